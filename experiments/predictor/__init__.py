"""Fidelity as a predictor of damage: python -m experiments.predictor RUN...

Rooms: signals.py (what is known of a scheme without labels), ranking.py (rank correlations),
rule.py (a threshold, cross-validated), tables.py, runner.py (reads, judges, writes).
"""

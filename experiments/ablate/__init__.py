"""Ablations: python -m experiments.ablate --task sudoku.

Rooms: job.py (command line -> studies with model and puzzles), interventions.py (what a study is
made of), studies/ (one file a study), retraining.py and fresh_puzzles.py (brief training inside
a study), rows.py, runner.py, tables.py.
"""

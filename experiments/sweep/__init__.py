"""Depth x precision sweeps: python -m experiments.sweep --task maze.

Rooms: job.py (command line -> loaded and checked), rows.py (what a row means, and on disk),
runner.py (computes rows), outcomes.py (rows -> numbers with errors), tables.py (tables, figures).
"""

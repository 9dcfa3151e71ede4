"""Rows of finished sweeps in Parquet: python -m experiments.pack runs/sweep.

Rooms: runner.py (one carrier of rows replaced by the other, in steps that a kill may part).
"""

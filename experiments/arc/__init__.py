"""ARC by votes over augmentations: python -m experiments.arc.

Rooms: job.py (command line -> loaded and checked), puzzle_rows.py (rows of tasks the model has
not seen), rows.py (answers on disk), runner.py (asks), outcomes.py (pass@k with errors).
"""

"""ARC data sets and votes over augmentations: python -m trm_jax.data.arc.

Read in this order: task_files.py (public task files), canvas.py (a grid as tokens), augment.py
(turns and colours), dataset.py (the released layout), generator.py (small tasks of one rule),
test_time.py (questions under augmentations), voting.py (votes and scores), __main__.py (the
command).
"""

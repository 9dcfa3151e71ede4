"""Sudoku data sets: python -m trm_jax.data.sudoku.

Read in this order: tokens.py (the alphabet), solver.py (bit-parallel, proves uniqueness),
symmetry.py (augmentation, and whether two puzzles are the same), generator.py, dataset.py (from CSV
files or the generator to the released layout), split.py (a training folder with an honest held-out
part), __main__.py (the command).
"""

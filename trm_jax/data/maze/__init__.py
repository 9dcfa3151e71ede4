"""Maze data sets: python -m trm_jax.data.maze.

Read in this order: solver.py (shortest paths by flooding), symmetry.py (tokens, turns and mirror
images), generator.py (the published recipe), dataset.py (from CSV files or the generator to the
released layout), __main__.py (the command).
"""

"""Recursion and tokens on one scale: both families on the same puzzles, under the same schemes.

Read in this order: `__main__.py` (command line), `job.py` (what is measured), `solvers.py` (how a
family answers), `runner.py`, `rows.py`, `outcomes.py`, `tables.py` and `figures.py`; `studies` has
what is asked of decoders alone.

Not here: decoders themselves (trm_jax/decoder) and what tokens mean (trm_jax/tasks/tokens).
"""

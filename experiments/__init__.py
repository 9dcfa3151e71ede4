"""Programs. Each folder is one; `measurement`, `render`, `paper` and `jobs` are what they share.

    sweep      depth x precision                ablate     eight studies
    arc        augment and vote                 predictor  fidelity against accuracy
    footprint  memory, work, energy             deploy     hosts, Cortex-M55, AI Hub
    train      training in segments             report     one page of everything
    watch      a puzzle, cycle by cycle         pack       rows of sweeps in Parquet

A program is run with `python -m experiments.NAME`. Its folder has the same rooms as every other:
__main__.py (command line; imports nothing heavy), job.py (command line -> loaded and checked),
rows.py (what a row means, and on disk), runner.py (computes rows and reports), outcomes.py (rows
-> numbers with errors), tables.py (numbers -> tables and figures). Nothing is re-exported: a
program is no library.
"""

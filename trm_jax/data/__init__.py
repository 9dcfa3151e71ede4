"""Data sets: the released .npy layout, builders, generators and downloads.

Read in this order:

    format.py       the layout on disk
    batches.py      batches for evaluation, training and calibration
    grids.py        turns and mirror images
    csv_puzzles.py  puzzles from published CSV files
    hub.py          files on disk or on the Hugging Face Hub
    generate.py     what the data commands share
    sudoku/ maze/ arc/   one folder a task, each a command: python -m trm_jax.data.sudoku

Not here: what a puzzle is (trm_jax/tasks), models, checkpoints.
"""

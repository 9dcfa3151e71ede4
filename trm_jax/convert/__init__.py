"""Checkpoints of the PyTorch releases, converted by an explicit total table, both ways.

Read in this order:

    name_table.py    names of the releases and of our leaves; nothing is matched by pattern
    hints.py         what a user says of a checkpoint
    torch_config.py  the configuration, read off tensors, completed and checked
    torch_files.py   PyTorch files, read without running what is pickled in them
    published.py     public checkpoints by short names
    load.py          from a source to configuration and weights, and back
    __main__.py      python -m trm_jax.convert
"""

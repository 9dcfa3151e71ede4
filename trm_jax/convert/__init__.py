"""Checkpoints of the PyTorch releases, converted by an explicit total table, both ways.

Read in this order:

    name_table.py    names of the releases and of our leaves; nothing is matched by pattern
    hints.py         what a user says of a checkpoint
    released_yaml.py all_config.yaml of a release
    torch_config.py  the configuration, read off tensors, completed and checked
    pickled.py       pickles of PyTorch as data: nothing named in them is run
    entries.py       the model among wrappers, averages and optimisers
    torch_files.py   PyTorch files and shards, their checksums, and tensors as float32
    published.py     public checkpoints by short names
    load.py          from a source to configuration and weights, and back
    __main__.py      python -m trm_jax.convert
"""

"""Training in segments that resume exactly: python -m experiments.train.

Rooms: job.py (what a run is asked for), runner.py (a run, from its options to what it leaves
behind), loop.py (one segment of it), folder.py (its files), data.py (its puzzles), decoder.py and
traces.py (the same for decoders), curves.py (loss curves), minimal_install.py (for machines with
jax, flax, optax, orbax and numpy alone).
"""

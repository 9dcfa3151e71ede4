"""A mutation fuzz of everything that programs read: `python -m tests.fuzz`.

    contract.py    what a kind of input is, and the five ways a case can end
    damage.py      mutations of bytes, files and folders
    documents.py   mutations of JSON, lines of JSON, YAML and texts
    kinds/         the kinds: a valid input, its mutations, the true reader, what decides "right"
    worker.py      a process that runs cases, and the one that watches it
    __main__.py    the command line

A case is a kind and a seed, so every case can be run again: `--case KIND:SEED`.
"""

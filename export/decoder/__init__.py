"""Decoders on devices: two graphs with keys and values as tensors, and the loop around them.

Read in this order:

    graphs.py        prefill and decode, lowered
    host.py          the loop: prompt in, tokens out
    manifest.py      what an export is, and what it must write
    open.py          an export from its folder
    confirmation.py  a runtime's tokens and logits against the simulation
    pipeline.py      from a decoder and a scheme to an export
    job.py           the same for a command line
    verification.py  the checks of an export
    solving.py       one puzzle, answered

Not here: recursive models (export/lowering, export/artifact), whose operators, products and
runtimes these are.
"""

"""Decoders on devices: two graphs with keys and values as tensors, and the loop around them.

Read in this order:

    graphs.py   prefill and decode, lowered
    host.py     the loop: prompt in, tokens out

Not here: recursive models (export/lowering, export/artifact), whose operators, products and
runtimes these are.
"""

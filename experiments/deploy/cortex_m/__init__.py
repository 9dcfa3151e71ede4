"""A Cortex-M55: does the whole of a model fit, and does it end in time?

Rooms: command.py (options), exports.py (what is put on the board), arena.py (attention at any
size, a program of its own), tables.py.
"""

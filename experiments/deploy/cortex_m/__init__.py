"""A Cortex-M55: does the whole of a model fit, and does it end in time?

Rooms: command.py (options), job.py (what is asked for, measured and reported), exports.py (what is
put on the board), arena.py (memory of attention at any size, a program of its own) and
graph_memory.py (its rows), rows.py, tables.py.
"""

"""Runtimes of this computer: accuracy, latency and memory of exports beside their simulation.

Rooms: command.py (options), job.py (what is asked for, run and reported), runner.py (measures),
probe.py (times one export in a process of its own), rows.py, tables.py.
"""

"""Bytes, work and energy of a model on a device, from shapes alone: no puzzle is run.

Read in this order: estimate.py (memory, GFLOPs, budgets), sram.py (peak memory of a puzzle),
energy.py (the paper's figure, and a model that says what it counts).
"""

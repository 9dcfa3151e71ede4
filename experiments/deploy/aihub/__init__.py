"""Phones by Qualcomm AI Hub: the paper's Table 11.

Rooms: command.py (options), job.py (what is asked for, run and reported), variants.py (what is
uploaded), step_inputs.py (inputs of a step), runner.py (jobs, each asked for once), measure.py
(numbers beside the simulation), rows.py, tables.py.
"""

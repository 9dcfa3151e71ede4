"""Phones by Qualcomm AI Hub: the paper's Table 11.

Rooms: command.py (options), variants.py (what is uploaded), step_inputs.py (inputs of a step),
runner.py (jobs, each asked for once), measure.py (numbers beside the simulation), rows.py.
"""

"""An Ethos-U NPU: what a puzzle takes there, the CPU's part included, and what it answers.

Rooms: command.py (options), job.py (what is asked for, measured and reported), rows.py,
tables.py. Answers are ../answers.py.
"""

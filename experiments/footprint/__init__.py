"""Memory, work and energy from shapes: python -m experiments.footprint.

Rooms: job.py (configurations and schemes by name), rows.py (records), runner.py, tables.py,
paper_check.py (the paper's figures beside ours).
"""

"""Memory, work and energy from shapes: python -m experiments.footprint.

Rooms: rows.py (records), tables.py, paper_check.py (the paper's figures beside ours).
"""

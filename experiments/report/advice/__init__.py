"""What to take on a device: recommend.py (the rule), paces.py (how fast devices are)."""

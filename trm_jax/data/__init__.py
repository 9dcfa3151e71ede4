"""Puzzles: the released .npy layout, builders, generators and downloads."""

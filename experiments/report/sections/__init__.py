"""Chapters of the report: claims, accuracy, depth, memory, devices, ablations."""

"""Deployments: python -m experiments.deploy --target NAME.

One folder per kind of target, each with its options, rows and tables: host (runtimes of this
computer), cortex_m (memory and time on a microcontroller), aihub (phones, by Qualcomm AI Hub).
"""

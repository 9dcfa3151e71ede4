"""A full-size model from one command, within a stated time: python -m experiments.full_size.

Rooms: job.py (what is asked for), speed.py (what a machine does, and how long a run that makes
possible), schedule.py (a run that ends when its time does), training.py (updates until then),
evaluation.py (the trained model under every scheme), luggage.py (the few small files that leave the
machine), runner.py (all of it in order; a step that fails leaves what the others made).
"""

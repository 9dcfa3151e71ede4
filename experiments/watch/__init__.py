"""The viewer: one puzzle under several schemes, cycle by cycle. `__main__.py` explains.

Read in this order: job.py (a command line, checked), recording.py (what is seen after every
H-cycle), violations.py (cells that break a rule), runner.py (which puzzles, and the files), page.py
and script.py (the page), film.py (frames and GIF). The rollouts are those of a sweep:
quant/simulation.py.
"""

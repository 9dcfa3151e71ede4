"""One page with every table and figure: python -m experiments.report --all.

Rooms: jobs.py (the programs a full report runs), inputs.py (folders of results, read), cells.py
(ours beside the paper's), evidence.py (the paper's claims as functions of results), verdicts.py
(how an interval decides them), provenance.py (what was run where), advice/ (what to take on a
device), sections/ (one file a chapter, opening.py the first screen), page.py (the page), runner.py
(measures and writes).
"""

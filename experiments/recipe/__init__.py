"""The search for a recipe: weights of every matrix under a budget of bytes. `__main__.py` explains.

Read in this order: job.py (a command line, checked; what a target stores), runner.py (search and
measurement), rows.py (what other programs read of it), tables.py (tables and figure). The
mathematics is quant/ptq/mixed_precision.py's, the losses quant/ptq/sensitivity.py's; the file is
quant/recipe.py's.
"""

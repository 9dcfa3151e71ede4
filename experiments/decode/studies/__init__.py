"""Studies of the second paper's parts: budgets, votes, a switcher, adapters (arXiv 2603.16867).

Read in this order: `command.py` (options), `subject.py` (a decoder and its puzzles, answered),
`folder.py` (what a killed study keeps), `traces.py` (supervised traces, whole, thinned or without
work), then one file a study: `budget.py`, `parallel.py`, `switch.py`, `lora.py`.

Not here: recursion and tokens side by side (experiments/decode), and the parts themselves
(trm_jax/decoder).
"""

"""Decoders of text under schemes: perplexity, and whether they still write the same.

Read in this order: `__main__.py` (command line), `passages.py` (what is read and asked), `rows.py`,
`study.py` (one scheme after the other), `tables.py`.

Not here: decoders of puzzles (experiments/decode).
"""

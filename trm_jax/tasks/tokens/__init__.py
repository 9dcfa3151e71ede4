"""Puzzles as sequences of tokens, for decoders that answer one token after the other.

Read in this order: `form.py` (the record and the orders of a trace), `sudoku.py`, `maze.py`.

A prompt is the puzzle, a trace what a decoder writes after it; the answer is read off the trace as
cells in the alphabet of the recursive models, so that the same scores apply (docs/tokens.md).

Not here: text and its tokenizers.
"""

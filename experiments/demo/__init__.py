"""The demo: a static page that solves puzzles with exported models. `__main__.py` explains.

Read in this order: job.py (a command line, checked), runtime.py (ONNX Runtime for browsers, where
it comes from), site.py (exports and files), then page/: demo.js (controls), reasoner.js (the loop
around the graphs), rules.js (what is right), board.js (drawing). Not here: recordings of schemes
side by side (experiments/watch).
"""

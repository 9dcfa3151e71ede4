"""Decoders of text on tasks of reasoning-gym: answers under schemes, and adapters that learn them.

Read `__main__.py` (the command line), `items.py` (tasks, and who scores them), `study.py` (answers
and tables), `tuning.py` (low-rank adapters). Not here: perplexity and questions without an answer
(experiments/decode/text), puzzles as tokens (experiments/decode/studies).
"""

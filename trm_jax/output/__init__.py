"""Where programs write: folders that are checked, locked and known by their documents.

Read in this order: ownership.py (may a program write into this folder), lock.py (one writer at a
time), staging.py (files that appear in one piece), folder.py (all of it around a program's work).
Nothing here imports jax: a folder is refused before anything heavy is loaded.
"""

"""What all measuring programs share.

Read in this order: spec.py (what is measured, and its digest), depths.py (the depth grid),
shards.py (the unit of work), side_by_side.py (several at once, in threads), row_files.py (folders
of rows: append-only, resumable), packed/ (the same rows in Parquet), options.py (the shared command
line), choices.py (what is taken where an option is silent). Not here: errors and paired tests
(trm_jax/intervals.py), JSON back into dataclasses (trm_jax/typed_json.py).
"""

"""Qualcomm AI Hub: its client behind a few verbs, its devices, and what was asked of it.

Read in this order: client.py (upload, compile, infer, wait), devices.py (phones and boards),
ledger.py (ids on disk, so that a run resumes), profile.py (a profile as numbers).
"""

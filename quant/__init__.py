"""Quantisers and integer-exact simulation of deployed arithmetic."""

"""From which sequence length int8 is faster than float."""

"""A whole depth x precision grid against every cell on its own."""

"""Oracles: the results again, by plain loops in float64 that share no code with the packages."""

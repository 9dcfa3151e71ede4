"""The firmware in tests: what it is given, the machines that run it, what it must answer."""

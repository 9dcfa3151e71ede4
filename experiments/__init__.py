"""Programs: the only place for argument parsing, printing and result files."""

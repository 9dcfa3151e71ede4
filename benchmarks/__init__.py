"""Speed measured against a named rival in the same run."""

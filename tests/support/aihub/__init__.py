"""AI Hub in tests: its protocol on 127.0.0.1, and uploaded models that really run."""

"""The GFLOP/s of a rollout against those of its matrix products alone."""

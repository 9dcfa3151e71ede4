"""One puzzle-step of the published architectures: JAX against PyTorch."""

"""A device's integers in JAX against TFLM's interpreter."""

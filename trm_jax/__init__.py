"""TRM and HRM, the recursive reasoners, in JAX/Flax: models, data, evaluation and training."""

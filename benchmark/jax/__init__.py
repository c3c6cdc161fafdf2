"""The JAX side of the comparisons: this project, optax and plain JAX."""

"""Pictures, tables and statistics of runs; no jax."""

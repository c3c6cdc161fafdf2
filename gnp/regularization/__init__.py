"""Penalties and the gradients they lead to, as pure functions."""

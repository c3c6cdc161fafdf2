"""Runs that have trained, as commands open them."""

"""Measurements of trained models, and their pictures."""

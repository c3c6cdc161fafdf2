"""Benchmarks against peers, which run in the same rounds."""

"""Training labels: read from a file, made wrong on purpose, balanced."""

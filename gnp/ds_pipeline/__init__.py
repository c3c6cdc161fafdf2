"""Data sources and augmentation."""

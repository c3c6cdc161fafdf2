"""Data sets by kind: each reads images, or lists their files, with labels."""

"""Config files: one per experiment."""

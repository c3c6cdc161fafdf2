"""What is measured and shown while a run trains."""

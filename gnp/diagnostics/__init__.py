"""Pictures and measurements of training."""

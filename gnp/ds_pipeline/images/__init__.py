"""Image files: decoding, skipping, keeping in memory, preparing for evaluation."""

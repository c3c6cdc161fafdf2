"""The PyTorch side of the comparisons."""

"""What stands before the first step: processes, devices, models and starting weights."""

"""The fields of a config: setting them, their meaning, and whether they have an effect."""

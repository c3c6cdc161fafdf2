"""What a run saves and reads again."""

"""What a config asks for, as frozen dataclasses, checked once."""

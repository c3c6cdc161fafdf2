"""Commands: each file reads its flags and calls the library."""

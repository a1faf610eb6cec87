"""The command lines: evaluate, encode, check_model, prefetch, status."""

"""The command lines: evaluate, encode, show, compare, check_model, prefetch, status."""

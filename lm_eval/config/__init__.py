"""Configurations: everything that decides a result, checked; and, separately, how it is computed."""

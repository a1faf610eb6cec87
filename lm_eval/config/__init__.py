"""A configuration, checked: everything that decides a number, and beside it how the number is computed."""

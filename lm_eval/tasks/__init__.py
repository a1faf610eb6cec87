"""The tasks: what a dataset's rows become, the built-in ones, and those of a user's own files."""

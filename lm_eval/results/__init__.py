"""Results on disk: identity of configurations; reading, writing and finding result files."""

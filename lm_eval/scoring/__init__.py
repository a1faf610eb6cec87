"""Scoring: from the documents of configurations that share a pass to metrics and result content."""

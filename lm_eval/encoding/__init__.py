"""Encoding arbitrary texts as concept vectors, without a task."""

"""Concept vectors of any texts, outside of any task."""

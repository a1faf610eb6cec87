"""Concept vectors: which are made of a segment, how they are aggregated, how similar they are."""

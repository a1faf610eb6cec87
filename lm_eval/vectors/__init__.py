"""Concept vectors: which vectors a segment gives, how they are aggregated, and their similarity."""

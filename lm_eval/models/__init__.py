"""Language models: families as a table, loading, encoding segments, scoring continuations."""

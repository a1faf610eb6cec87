"""From documents to what a model is given: the encoding schemes, and their segments as tokens."""

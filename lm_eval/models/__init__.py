"""What is known of models before and after loading: families as a table, sizes, what fits which settings."""

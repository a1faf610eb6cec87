"""Models before and after loading: the table of families, the list of models, sizes, dtypes, which settings fit."""

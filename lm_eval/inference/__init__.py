"""Running a model: loading it, encoding segments, scoring choices, and the plain way that all of it is held against."""

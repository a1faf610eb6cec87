"""Running a model: loading it, encoding segments, scoring choices, and the reference that all is compared with."""

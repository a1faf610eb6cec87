"""Grids as jobs of Slurm: a call is submitted as an array of jobs, each a driver on its node; they divide the work."""

"""Grids: many configurations run by one call. Grid scripts import what they need from here.

from lm_eval.grid import Grid, launch, list_models

and Python or a notebook `run_grid`, which returns the results as a table.
"""

from lm_eval.grid.grid import Grid
from lm_eval.grid.notebook import FailedRunsError, run_grid
from lm_eval.grid.script import launch
from lm_eval.models.model_list import list_models

__all__ = ["FailedRunsError", "Grid", "launch", "list_models", "run_grid"]

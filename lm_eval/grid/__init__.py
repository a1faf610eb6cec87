"""Grids: many configurations run by one call. Grid scripts import what they need from here.

from lm_eval.grid import Grid, launch, list_models
"""

from lm_eval.grid.grid import Grid
from lm_eval.grid.script import launch
from lm_eval.models.model_list import list_models

__all__ = ["Grid", "launch", "list_models"]

"""Where grid scripts used to import `launch` from: `lm_eval.grid` now."""

from lm_eval.grid.script import launch

__all__ = ["launch"]

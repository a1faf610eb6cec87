"""The old place of `launch`, kept for existing grid scripts; import it from `lm_eval.grid`."""

from lm_eval.grid.script import launch

__all__ = ["launch"]

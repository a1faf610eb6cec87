"""The old place of `list_models`, kept for existing grid scripts; import it from `lm_eval.grid`."""

from lm_eval.models.model_list import list_models

__all__ = ["list_models"]

"""Where grid scripts used to import `list_models` from: `lm_eval.grid` now."""

from lm_eval.models.model_list import list_models

__all__ = ["list_models"]

"""Ask what a language model's vectors mean: score continuations against aggregated concept vectors.

The modules follow the data: `config` → `tasks` → `documents` → `contexts` → `tokenised` → `models` → `aggregation` →
`scoring` → `metrics` → `evaluator` → `results`; `grid`, `scheduler` and `launch` run many configurations.
`lm_eval.encode` gives the vectors themselves. Importing the package loads nothing heavy.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lm_eval.concept_vectors import encode

__all__ = ["__version__", "encode"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:  # noqa: ANN401
    """Import what is heavy when it is first asked for."""
    if name == "encode":
        from lm_eval.concept_vectors import encode  # noqa: PLC0415  (seconds to import)

        return encode
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

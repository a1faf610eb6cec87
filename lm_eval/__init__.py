"""Ask what a language model's vectors mean: score continuations against aggregated concept vectors.

The packages follow the data: `config` → `tasks` → `contexts` → `inference` (on `models`) → `vectors` → `scoring` →
`results` → `analysis`; `grid` and `scheduling` run many configurations. `lm_eval.encode` gives the vectors themselves.
Importing the package loads nothing heavy.
"""

from typing import TYPE_CHECKING, Any

from lm_eval.version import __version__

if TYPE_CHECKING:
    from lm_eval.encoding.text_encoder import encode

__all__ = ["__version__", "encode"]


def __getattr__(name: str) -> Any:  # noqa: ANN401
    """Import what is heavy when it is first asked for."""
    if name == "encode":
        from lm_eval.encoding.text_encoder import encode  # noqa: PLC0415  (seconds to import)

        return encode
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

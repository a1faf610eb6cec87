"""Which dtype suits the hardware and the model's family. Knows nothing of torch, so that a plan can decide it.

A dtype that the user states wins: for grids in `grid.preflight`, for single runs in `inference.loading.choose_dtype`.
"""

from collections.abc import Sequence

_AMPERE = (8, 0)
"""First CUDA compute capability with native bfloat16."""


def suitable_dtype(capabilities: Sequence[tuple[int, int] | None], *, overflows_in_float16: bool) -> str:
    """Return the dtype that GPUs compute natively and a model's family survives; float32 where none is known.

    Args:
        capabilities: CUDA compute capabilities of the GPUs that a run may meet; unknown ones don't count.
        overflows_in_float16: whether the family does.
    """
    if avoids_float16(capabilities, overflows_in_float16=overflows_in_float16):
        return "float32"
    known = [capability for capability in capabilities if capability is not None]
    if not known:
        return "float32"
    return "bfloat16" if min(known) >= _AMPERE else "float16"


def avoids_float16(capabilities: Sequence[tuple[int, int] | None], *, overflows_in_float16: bool) -> bool:
    """Whether a family is computed in float32 only because float16, which some GPU computes natively, overflows.

    Args:
        capabilities: as above.
        overflows_in_float16: whether the family does.
    """
    return overflows_in_float16 and any(capability is not None and capability < _AMPERE for capability in capabilities)

"""Which dtype suits the hardware and the model's family. Knows nothing of torch, so that a plan can decide it."""

from collections.abc import Sequence

_AMPERE = (8, 0)
"""First CUDA compute capability with native bfloat16."""


def suitable_dtype(capabilities: Sequence[tuple[int, int] | None], *, overflows_in_float16: bool) -> str:
    """Return the dtype that GPUs compute natively and a model's family survives; float32 where none is known.

    Args:
        capabilities: CUDA compute capabilities of the GPUs that a run may meet; unknown ones don't count.
        overflows_in_float16: whether the family does.
    """
    known = [capability for capability in capabilities if capability is not None]
    if not known:
        return "float32"
    if min(known) >= _AMPERE:
        return "bfloat16"
    return "float32" if overflows_in_float16 else "float16"

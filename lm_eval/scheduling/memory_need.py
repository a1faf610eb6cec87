"""Estimating the memory that a worker needs for a model and its batches, before anything is loaded.

Doesn't know how long a run's sequences are: the estimate for batches suits most runs, and `lm_eval.inference.memory`
later fits the batches to the memory that is free.
"""

import math

_GIB = 1 << 30
_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
"""Bytes of a parameter."""
_GPU_GIB = 1.5
"""On a GPU, for every model: about 0.5 for the CUDA context and its libraries, 1 for logits and fragmentation."""
_GPU_BATCH_GIB = 1.0
"""On a GPU for batches, times the square root of the weights' GiB: weights grow with layers * hidden ** 2, a token's
vectors with layers * hidden. A batch of 16,384 tokens, caches included, takes about 3 times the root (by the bounds of
`lm_eval.inference.memory`, for 0.4 to 12 B parameters); a third of one is nine tenths as fast (benchmarks/README.md),
and where more is free, batches are larger."""
_CPU_GIB = 1.0 + 1.0
"""On a CPU: for batches, and for the vectors of a run."""


def memory_gib(parameters: int, dtype: str, *, on_gpu: bool, bits: int | None = None) -> float:
    """Return the memory, in GiB, that a model and its batches need on its device.

    Args:
        parameters: how many the model has.
        dtype: the weights' data type.
        on_gpu: whether the device is a GPU (or several, together) rather than the host's CPU.
        bits: per parameter of a quantised model.
    """
    weights = parameters * (_BYTES[dtype] if bits is None else bits / 8) / _GIB
    return weights + (_GPU_GIB + _GPU_BATCH_GIB * math.sqrt(weights) if on_gpu else _CPU_GIB)

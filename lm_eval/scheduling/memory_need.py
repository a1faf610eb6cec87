"""The memory that a worker needs for a model and its batches, estimated before anything is loaded.

Doesn't know how long a run's sequences are: the memory for batches is an estimate that suits most, and
`lm_eval.inference.memory` fits the batches to what is free in the end.
"""

import math

_GIB = 1 << 30
_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
"""Of a parameter."""
_GPU_GIB = 1.5
"""On a GPU, whatever the model: about 0.5 for the CUDA context and its libraries, 1 for logits and fragments."""
_GPU_BATCH_GIB = 1.0
"""On a GPU for batches, times the square root of the weights' GiB: weights grow with layers * hidden ** 2, a token's
vectors with layers * hidden. A full batch of 16,384 tokens, caches included, takes about 3 times the root (by the
bounds of `lm_eval.inference.memory`, for 0.4 to 12 B parameters); a third of one keeps a GPU busy."""
_CPU_GIB = 1.0 + 1.0
"""On a CPU: for batches, and for the vectors of a run."""


def memory_gib(parameters: int, dtype: str, *, on_gpu: bool, bits: int | None = None) -> float:
    """Return the memory, in GiB, that a model and its batches need on its device.

    Args:
        parameters: the model's.
        dtype: the weights' data type.
        on_gpu: whether the device is a GPU (or several, together) rather than the host's CPU.
        bits: of a parameter where they are quantised.
    """
    weights = parameters * (_BYTES[dtype] if bits is None else bits / 8) / _GIB
    return weights + (_GPU_GIB + _GPU_BATCH_GIB * math.sqrt(weights) if on_gpu else _CPU_GIB)

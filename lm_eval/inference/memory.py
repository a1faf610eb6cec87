"""Memory: how large a batch may be on a model's device, and what was used at most."""

import sys

import psutil
import torch

from lm_eval.config.runtime import Execution
from lm_eval.inference.batching import BatchBudget
from lm_eval.models.language_model import LanguageModel

_FEWEST_TOKENS, _MOST_TOKENS = 16_384, 65_536
"""Padded tokens of a batch on a GPU where memory doesn't set the limit: as many as keep it busy for longer than the
host takes to start the next pass. More would only cost memory (benchmarks/README.md)."""
_PASS_WORK = 2.7e13
"""Tokens times weights for which that holds."""
_MOST_TOKENS_CPU = 1024
"""The same for a CPU (benchmarks/README.md)."""
_CPU_BYTES = 1 << 30
"""What a batch may hold on a CPU."""
_GPU_SHARE = 0.5
"""Of a GPU's free memory; the rest is for fragments, logits and whatever else runs there."""
_ATTENTION_SHARE = 0.5
"""Of what a batch may hold, for the matrices of attention."""
_VALUES_PER_TOKEN = 24
"""Hidden-sized vectors that a block and its MLP hold for a token at once, at the most."""
_REDUCTION_BYTES = 16
"""What aggregating a token takes for each of its components, in float32."""


def choose_budget(model: LanguageModel, execution: Execution) -> BatchBudget:
    """Return what a batch may hold, by the memory of the model's device; a number of rows, where given, replaces it."""
    if model.runs_alone:
        return BatchBudget(max_rows=1)
    if execution.batch_size is not None:
        return BatchBudget(max_rows=execution.batch_size)
    on_cpu = model.device.type != "cuda"
    held = _CPU_BYTES if on_cpu else int(_GPU_SHARE * _free_bytes(model, execution.gpu_share))
    per_token, per_pair = _bytes_per_token(model), _bytes_per_pair(model)
    return BatchBudget(
        max_tokens=max(1, min(_MOST_TOKENS_CPU if on_cpu else _tokens_for_gpu(model), held // per_token)),
        max_attention=max(1, int(_ATTENTION_SHARE * held) // per_pair),
    )


def _tokens_for_gpu(model: LanguageModel) -> int:
    weights = sum(weight.numel() for weight in model.network.parameters())
    return int(min(_MOST_TOKENS, max(_FEWEST_TOKENS, _PASS_WORK / weights)))


def _free_bytes(model: LanguageModel, share: float) -> int:
    """Return the free memory of the fullest of the devices that hold the model, cached blocks of torch included.

    Args:
        model: the model.
        share: of each device's memory that this process may take; others take the rest, perhaps later.
    """
    return max(0, min(_free_bytes_of(device, share) for device in model.gpus))


def _free_bytes_of(device: torch.device, share: float) -> int:
    free, total = torch.cuda.mem_get_info(device)
    allocated = torch.cuda.memory_allocated(device)
    return min(free + torch.cuda.memory_reserved(device) - allocated, int(share * total) - allocated)


def reset_peak_memory(model: LanguageModel) -> None:
    """Measure the GPUs' peak from now on."""
    for device in model.gpus:
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory_gib(model: LanguageModel) -> float:
    """Return the most memory that tensors took on the model's GPUs together, or that this process took on a CPU."""
    if model.gpus:
        return sum(torch.cuda.max_memory_allocated(device) for device in model.gpus) / (1 << 30)
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset / (1 << 30)
    import resource  # noqa: PLC0415  (Windows has none)

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / (1 << 30)


def _bytes_per_token(model: LanguageModel) -> int:
    size, dim = model.dtype.itemsize, model.hidden_size
    cached = 0 if model.is_encoder_decoder else 2 * size * model.num_layers
    logits = len(model.output_matrix) * 2 * size if model.runs_whole else 0
    return dim * (_VALUES_PER_TOKEN * size + _REDUCTION_BYTES + cached) + logits


def _bytes_per_pair(model: LanguageModel) -> int:
    """Return what a pair of positions takes: a mask, and for every head its score where attention isn't fused."""
    size = model.dtype.itemsize
    scores = 0 if model.family.fused_attention else model.num_heads * (2 * size + 8)
    return 2 * size + 1 + scores

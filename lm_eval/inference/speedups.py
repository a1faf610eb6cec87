"""Faster passes, equal to rounding; whatever is changed for them is undone after the pass.

Activations in one kernel, rotary positions in place, attention that makes no plan for each shape, and no question that
the host can answer only once the GPU is idle. What each gives is in benchmarks/README.md.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import masking_utils

from lm_eval.models.activations import fused_activations
from lm_eval.models.language_model import LanguageModel
from lm_eval.models.rotary import rotary_in_place

_WITHOUT_PLANS = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
"""All but cuDNN's attention, which makes a plan for each shape of a batch, and here nearly every batch has its own."""


@contextmanager
def fast(model: LanguageModel) -> Iterator[None]:
    """Speed up what runs inside without changing a number beyond rounding."""
    with fused_activations(model.network), rotary_in_place(model.network), sdpa_kernel(_WITHOUT_PLANS), _unpacked():
        yield


@contextmanager
def _unpacked() -> Iterator[None]:
    """Tell transformers that no row holds several texts: it would look at the positions, and wait for the GPU."""
    look = masking_utils.find_packed_sequence_indices
    masking_utils.find_packed_sequence_indices = _find_none
    try:
        yield
    finally:
        masking_utils.find_packed_sequence_indices = look


def _find_none(position_ids: Tensor) -> None:  # noqa: ARG001
    return None

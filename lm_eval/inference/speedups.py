"""Faster passes, equal to rounding; whatever is changed for them is undone after the last pass that needs it.

Activations in one kernel, rotary positions in place, attention that makes no plan for each shape, and no question that
the host can answer only once the GPU is idle. What each gives is in benchmarks/README.md.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor
from transformers import masking_utils

from lm_eval.inference.untouched import untouched
from lm_eval.models.activations import fused_activations
from lm_eval.models.language_model import LanguageModel
from lm_eval.models.rotary import turn_in_place

Undo = Callable[[], None]


class _WhileUsed:
    """A change to a library, made while at least one thread is inside."""

    def __init__(self, change: Callable[[], Undo]) -> None:
        self._change = change
        self._lock = threading.Lock()
        self._num_inside = 0
        self._undo: Undo | None = None

    def __enter__(self) -> None:
        with self._lock:
            if self._num_inside == 0:
                self._undo = self._change()
            self._num_inside += 1

    def __exit__(self, *_error: object) -> None:
        with self._lock:
            self._num_inside -= 1
            if self._num_inside == 0 and self._undo is not None:
                self._undo()


def _attend_without_plans() -> Undo:
    """Leave cuDNN's attention out: it makes a plan for each shape, and here nearly every batch has its own."""
    was_on = torch.backends.cuda.cudnn_sdp_enabled()
    torch.backends.cuda.enable_cudnn_sdp(False)
    return lambda: torch.backends.cuda.enable_cudnn_sdp(was_on)


def _never_ask_for_packing() -> Undo:
    """Tell transformers that no row holds several texts: it would look at the positions, and wait for the GPU."""
    look = masking_utils.find_packed_sequence_indices

    def find(position_ids: Tensor) -> Tensor | None:
        return None if torch.is_inference_mode_enabled() else look(position_ids)

    def undo() -> None:
        masking_utils.find_packed_sequence_indices = look

    masking_utils.find_packed_sequence_indices = find
    return undo


_OF_ALL = (_WhileUsed(_attend_without_plans), _WhileUsed(_never_ask_for_packing))
_OF_GPT_NEOX = _WhileUsed(turn_in_place)


@contextmanager
def fast(model: LanguageModel) -> Iterator[None]:
    """Speed up what runs inside, in inference mode, without changing a number beyond rounding.

    A network that its user has loaded is in evaluation mode inside, and as it was behind; modules on which code of the
    user's may hang are left alone.
    """
    with ExitStack() as changes:
        if model.care is not None:
            changes.enter_context(untouched(model.network))
        if not model.runs_whole:
            changes.enter_context(fused_activations(model.network))
            if model.network.config.model_type == "gpt_neox":
                changes.enter_context(_OF_GPT_NEOX)
        for change in _OF_ALL:
            changes.enter_context(change)
        yield

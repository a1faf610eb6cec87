"""Hooks into the forward pass: what enters the blocks of a model is reported; the model is restored afterwards."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from lm_eval.config.layer import ResolvedLayer
from lm_eval.models.language_model import LanguageModel


class DeepestLayerReachedError(Exception):
    """Ends a forward pass whose further blocks nobody needs."""


OnLayer = Callable[[ResolvedLayer, Tensor], None]
"""Called with a layer and its token vectors, [batch, token, dim], as soon as they are computed."""


@contextmanager
def report_inputs(model: LanguageModel, layers: Collection[int], on_layer: OnLayer, *, stop: bool) -> Iterator[None]:
    """Report what enters the given blocks while this lasts; hidden state i is what enters block i.

    Args:
        model: the language model.
        layers: indices of blocks.
        on_layer: called with each layer and its token vectors.
        stop: whether the pass ends at the deepest of them, by a `DeepestLayerReachedError`.
    """

    def reporter(layer: int) -> Callable[..., None]:
        def report(_module: Any, args: Any, kwargs: Any) -> None:  # noqa: ANN401
            on_layer(layer, args[0] if args else kwargs["hidden_states"])
            if stop and layer == max(layers):
                raise DeepestLayerReachedError

        return report

    hooks = [  # of a later block's input, what the block before it gave: as transformers has it where more hooks hang
        model.blocks[layer].register_forward_pre_hook(reporter(layer), with_kwargs=True, prepend=layer > 0)
        for layer in layers
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()

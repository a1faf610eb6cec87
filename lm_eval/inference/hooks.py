"""What enters the blocks of a model is reported while it runs; a pass may end where the last of it is known.

How a hook is attached, and how users change what goes through a model: `lm_eval.inference.interventions`.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from torch import Tensor

from lm_eval.config.layer import ResolvedLayer
from lm_eval.inference.interventions import Change, changing
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

    def reporter(layer: int) -> Change:
        def report(hidden: Tensor) -> None:
            on_layer(layer, hidden)
            if stop and layer == max(layers):
                raise DeepestLayerReachedError

        return report

    with changing(model, {layer: reporter(layer) for layer in layers}):
        yield

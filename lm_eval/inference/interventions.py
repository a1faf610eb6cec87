"""Interventions: read, change, replace or add to a model's residual stream at any layer, and restore the model.

Layers are numbered as hidden states are (experiment §4.2): 0 is what enters the first block, i what enters block i and
the block before it gave, the last what follows the final norm. Of an encoder-decoder it is the encoder's stream.

    with adding(network, layer=2, vectors=direction):
        result = simple_evaluate(model_args={"pretrained": network, "tokenizer": tokenizer, …}, …)

What is computed meanwhile says so in its identity, and is never taken for another's. Both tests and `lm_eval.encode`
read hidden states and let vectors enter by the same function, `changing`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lm_eval.errors import ConfigurationError
from lm_eval.inference.transfers import to_device
from lm_eval.models.families import find_family
from lm_eval.models.language_model import LanguageModel

Hidden = Float[Tensor, "row position dim"]
Change = Callable[[Tensor], Tensor | None]
"""Takes the hidden states of a layer, [row, position, dim], and returns what goes on in their place; None: the same."""
Vectors = Any
"""[dim], the same at all positions, or [position, dim]; a tensor, or what makes one: an array, a list of numbers."""


class WrongChangeError(ConfigurationError):
    """A function gives what cannot go on in place of hidden states."""


_SAID = "lm_eval_intervention"
"""The attribute of a hook that says what it does."""


@contextmanager
def changing(
    network: Any,  # noqa: ANN401  (a `PreTrainedModel`, or a `LanguageModel`)
    changes: Mapping[int, Change],
    *,
    title: str = "changes",
) -> Iterator[None]:
    """Pass hidden states through functions, in every pass that is run while this lasts.

    Rows are padded on the right; a function that looks from the end of a row is found out where a network is used
    (`simple_evaluate`, `lm_eval.encode`), and each text then has a pass of its own.

    Args:
        network: a loaded network of transformers, or a `LanguageModel`.
        changes: a function for each layer; negative ones count from the last.
        title: what an identity says of it, before the layer.

    Raises:
        ConfigurationError: a layer that the network doesn't have, or no network.
        WrongChangeError: in the pass, a function that gives neither hidden states of the same shape nor None.
    """
    model = _as_model(network)
    with ExitStack() as hooks:
        for layer, change in changes.items():
            hook = _attach(model, _resolve(model, layer), change, title)
            hooks.callback(hook.remove)
        yield


@contextmanager
def adding(
    network: Any,  # noqa: ANN401
    *,
    layer: int,
    vectors: Vectors,
    positions: Sequence[int] | None = None,
) -> Iterator[None]:
    """Add vectors to the residual stream at a layer: a steering vector, say.

    Args:
        network: a loaded network of transformers, or a `LanguageModel`.
        layer: the layer.
        vectors: [dim], or one for each position.
        positions: in each row, negative ones from its end; None: all. Those that a row doesn't have are left out.

    Raises:
        ConfigurationError: a layer that the network doesn't have, or vectors of another shape.
    """
    change = _at(network, vectors, positions, lambda before, new: before + new)
    with changing(network, {layer: change}, title=_say("adds to", positions)):
        yield


@contextmanager
def replacing(
    network: Any,  # noqa: ANN401
    *,
    layer: int,
    vectors: Vectors,
    positions: Sequence[int] | None = None,
) -> Iterator[None]:
    """Replace the residual stream at a layer by vectors: a patch.

    Args:
        network: a loaded network of transformers, or a `LanguageModel`.
        layer: the layer.
        vectors: [dim], or one for each position.
        positions: in each row, negative ones from its end; None: all. Those that a row doesn't have are left out.

    Raises:
        ConfigurationError: a layer that the network doesn't have, or vectors of another shape.
    """
    change = _at(network, vectors, positions, lambda before, new: new.expand_as(before))
    with changing(network, {layer: change}, title=_say("replaces", positions)):
        yield


@contextmanager
def reading(
    network: Any,  # noqa: ANN401
    layers: Sequence[int],
    *,
    positions: Sequence[int] | None = None,
) -> Iterator[dict[int, list[Tensor]]]:
    """Collect the residual stream at some layers: a list for each, with what every pass had there.

    Args:
        network: a loaded network of transformers, or a `LanguageModel`.
        layers: the layers.
        positions: of each row, as for `adding`; None: all.

    Raises:
        ConfigurationError: a layer that the network doesn't have.
    """
    states: dict[int, list[Tensor]] = {layer: [] for layer in layers}

    def keep(layer: int) -> Change:
        def read(hidden: Tensor) -> None:
            places = None if positions is None else _places(positions, hidden.shape[1])
            states[layer].append((hidden if places is None else hidden[:, places]).detach().clone())

        return read

    with changing(network, {layer: keep(layer) for layer in layers}, title=_say("reads", positions)):
        yield states


def find_interventions(network: nn.Module) -> list[str]:
    """Return what is done to a network's residual stream just now, in words."""
    hooks = (
        hook
        for module in network.modules()
        for hook in (*module._forward_pre_hooks.values(), *module._forward_hooks.values())  # noqa: SLF001
    )
    return [said for hook in hooks if (said := getattr(hook, _SAID, None)) is not None]


def _as_model(network: Any) -> LanguageModel:  # noqa: ANN401
    """Return where a network's blocks are."""
    if isinstance(network, LanguageModel):
        return network
    config = getattr(network, "config", None)
    if not isinstance(network, nn.Module) or config is None:
        raise ConfigurationError(
            f"network: must be a loaded network of transformers, got {network!r:.80}; load it first, as by "
            "AutoModelForCausalLM.from_pretrained"
        )
    family = find_family(config.to_dict(), str(network.name_or_path or type(network).__name__))
    return LanguageModel(name=type(network).__name__, family=family, network=network, tokenizer=None, max_length=0)


def _resolve(model: LanguageModel, layer: object) -> int:
    lowest, highest = -(model.num_layers + 1), model.num_layers
    valid = f"choose from {lowest} to {highest}, for {model.name} has {model.num_layers} blocks"
    if not isinstance(layer, int) or isinstance(layer, bool):
        raise ConfigurationError(f"layer {layer}: must be an integer; {valid}")
    if not lowest <= layer <= highest:
        raise ConfigurationError(f"layer {layer}: out of range; {valid}")
    return layer % (model.num_layers + 1)


def _attach(model: LanguageModel, layer: int, change: Change, title: str) -> Any:  # noqa: ANN401
    """Hang a function where a layer's hidden states are made, behind whatever hangs there already.

    At the end of the block before, as transformers lists them, so that what is listed is what goes on; the first are
    those that enter the first block.
    """

    def enter(_block: Any, args: Any, kwargs: Any) -> Any:  # noqa: ANN401
        hidden = change(args[0] if args else kwargs["hidden_states"])
        if hidden is None:
            return None
        return ((hidden, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": hidden})

    said = f"{title} layer {layer}"
    change = _checked(change, layer)
    if layer == 0:
        setattr(enter, _SAID, said)
        return model.blocks[0].register_forward_pre_hook(enter, with_kwargs=True)
    place = model.encoder if layer == model.num_layers else model.blocks[layer - 1]
    return _attach_behind(place, change, said)


def _checked(change: Change, layer: int) -> Change:
    """Return a function that refuses what another gives where it cannot go on in place of hidden states."""

    def checked(hidden: Tensor) -> Tensor | None:
        new: object = change(hidden)
        if new is None or (isinstance(new, Tensor) and new.shape == hidden.shape):
            return new
        got = f"the shape {tuple(new.shape)}" if isinstance(new, Tensor) else type(new).__name__
        raise WrongChangeError(
            f"layer {layer}: its function must return None or hidden states of the shape that it got, "
            f"{tuple(hidden.shape)}, but it returned {got}"
        )

    return checked


def _attach_behind(module: nn.Module, change: Change, said: str) -> Any:  # noqa: ANN401
    """Hang a function where a module gives hidden states."""

    def leave(_module: Any, _args: Any, output: Any) -> Any:  # noqa: ANN401
        if isinstance(output, Tensor):
            return change(output)
        is_tuple = isinstance(output, tuple)
        hidden = change(output[0] if is_tuple else output.last_hidden_state)
        if hidden is None:
            return None
        if is_tuple:
            return (hidden, *output[1:])
        output["last_hidden_state"] = hidden
        return output

    setattr(leave, _SAID, said)
    return module.register_forward_hook(leave)


@contextmanager
def changing_last_block(model: LanguageModel, change: Change) -> Iterator[None]:
    """Pass what the last block gives through a function, before the final norm: no layer of the numbering."""
    hook = _attach_behind(model.blocks[-1], change, "changes what the last block gives")
    try:
        yield
    finally:
        hook.remove()


def _at(
    network: Any,  # noqa: ANN401
    vectors: Vectors,
    positions: Sequence[int] | None,
    combine: Callable[[Tensor, Tensor], Tensor],
) -> Change:
    """Return the function that combines vectors with hidden states at some positions."""
    values = torch.as_tensor(vectors)
    dim = _as_model(network).hidden_size
    shapes = ((dim,),) if positions is None else ((dim,), (len(positions), dim))
    if tuple(values.shape) not in shapes:
        raise ConfigurationError(
            f"vectors: the shape must be {' or '.join(map(str, shapes))}, got {tuple(values.shape)}"
            + ("; with a vector for each position, say which by positions" if positions is None else "")
        )

    def change(hidden: Tensor) -> Tensor:
        new = to_device(values, hidden.device).to(hidden.dtype)
        if positions is None:
            return combine(hidden, new)
        there = [index for index, position in enumerate(positions) if _is_in(position, hidden.shape[1])]
        places = _places(positions, hidden.shape[1])
        changed = hidden.clone()
        changed[:, places] = combine(hidden[:, places], new if new.ndim == 1 else new[there])
        return changed

    return change


def _is_in(position: int, length: int) -> bool:
    return -length <= position < length


def _places(positions: Sequence[int], length: int) -> list[int]:
    return [position % length for position in positions if _is_in(position, length)]


def _say(what: str, positions: Sequence[int] | None) -> str:
    return what if positions is None else f"{what} positions {', '.join(map(str, positions))} of"

"""Concept vectors in a decoder-only model: in place of input embeddings, or entering at a block (experiment §5, §10).

Vectors that enter at a block L stand in the row from the start: until then any embedding has their places, which no
other position sees. So windows and ALiBi count positions as if the context were there all along.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from lm_eval.common.text import say_cause
from lm_eval.errors import RunError
from lm_eval.inference.interventions import changing
from lm_eval.inference.transfers import to_device
from lm_eval.models.language_model import LanguageModel

Hidden = Float[Tensor, "row position dim"]
_TOLERANCE, _LOW_TOLERANCE = 1e-5, 1e-2
"""Of what should be equal, in float32 and in less."""


@dataclass(frozen=True)
class Placed:
    """The vectors of a batch, and where they stand."""

    rows: Tensor
    columns: Tensor
    values: Float[Tensor, "vector dim"]

    @classmethod
    def of(cls, contexts: Sequence[tuple[int, int, Tensor]]) -> "Placed | None":
        """Collect vectors; None where there are none.

        Args:
            contexts: for each context its row, the position at which it starts, and its vectors.
        """
        if not contexts:
            return None
        rows = torch.tensor([row for row, _, context in contexts for _ in range(len(context))])
        columns = torch.cat([start + torch.arange(len(context)) for _, start, context in contexts])
        return cls(rows, columns, torch.cat([context for _, _, context in contexts]))

    def put_into(self, hidden: Hidden) -> Hidden:
        """Return hidden states with the vectors in them; those given, which may be somebody's, stay as they are."""
        rows, columns, values = (to_device(part, hidden.device) for part in (self.rows, self.columns, self.values))
        return hidden.index_put((rows, columns), values.to(hidden.dtype))

    def covers(self, hidden: Hidden) -> Bool[Tensor, "row position"]:
        """Return at which positions of hidden states vectors stand."""
        covered = torch.zeros(hidden.shape[:2], dtype=torch.bool, device=hidden.device)
        covered[to_device(self.rows, hidden.device), to_device(self.columns, hidden.device)] = True
        return covered


@contextmanager
def entering(model: LanguageModel, layer: int, vectors: Placed) -> Iterator[None]:
    """Let vectors enter the residual stream where a block begins, for the passes that are run while this lasts.

    Args:
        model: a decoder-only model.
        layer: the block's number; 0 is the first.
        vectors: what enters, and where.

    Raises:
        RunError: a block takes no attention mask, so that positions cannot be hidden.
    """
    with ExitStack() as hooks:
        for block in model.blocks[:layer]:
            hook = block.register_forward_pre_hook(_hide(model, block, vectors), with_kwargs=True)
            hooks.callback(hook.remove)
        hooks.enter_context(changing(model, {layer: vectors.put_into}))
        yield


@torch.inference_mode()
def refuse_unhidden(model: LanguageModel, layer: int) -> None:
    """See that what has the places of vectors before a block changes nothing: a trial for families without a row.

    It is one for networks that a caller has loaded, too, whose hooks may carry something from one position to another.

    Raises:
        RunError: it does, or a block takes no attention mask.
    """
    num_vectors, num_tokens = (5, 4) if model.care is None else (60, 12)
    numbers = torch.arange(num_vectors + num_tokens, device=model.device) + 5
    vectors = Placed.of([(0, 0, torch.ones(num_vectors, model.hidden_size))])
    if vectors is None:
        return
    found = []
    for other in (0, 7):
        tokens = torch.cat([numbers[:num_vectors] + other, numbers[num_vectors:]]).unsqueeze(0)
        found.append(_run_behind(model, layer, vectors, tokens)[num_vectors:])
    difference = float((found[0] - found[1]).abs().max() / found[0].abs().max().clamp(min=1e-6))
    if not difference <= (_TOLERANCE if model.dtype == torch.float32 else _LOW_TOLERANCE):
        raise RunError(
            f"{model.name}: DECODING_LAYER={layer}: what stands behind hidden positions changes with them, by "
            f"{difference:.1e} of the largest value, so vectors can't enter there; leave it out"
        )


def _run_behind(model: LanguageModel, layer: int, vectors: Placed, tokens: Tensor) -> Float[Tensor, "position dim"]:
    """Return the last hidden states of a row of tokens that vectors enter.

    Raises:
        RunError: code of the caller's, or attention of another kind, fails on it.
    """
    try:
        with entering(model, layer, vectors):
            states = model.encoder(inputs_embeds=model.choice_embeddings(tokens), use_cache=False).last_hidden_state
    except (RunError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        if model.care is None:
            raise
        raise RunError(
            f"{model.name}: DECODING_LAYER={layer}: the network can't be run with vectors that enter there "
            f"({say_cause(error)}); leave it out"
        ) from error
    hidden: Tensor = states[0].float()
    return hidden


_Hook = Callable[[Any, Any, Any], Any]


def _hide(model: LanguageModel, block: nn.Module, vectors: Placed) -> _Hook:
    names = list(inspect.signature(block.forward).parameters)
    if "attention_mask" not in names:
        raise RunError(f"{model.name}: its blocks take no attention mask, so DECODING_LAYER can't hide the context")
    place = names.index("attention_mask")

    def hide(_block: Any, args: Any, kwargs: Any) -> Any:  # noqa: ANN401
        hidden = args[0] if args else kwargs["hidden_states"]
        given = args[place] if place < len(args) else kwargs.get("attention_mask")
        mask = _without(given, vectors.covers(hidden), hidden.dtype)
        if place < len(args):
            return (*args[:place], mask, *args[place + 1 :]), kwargs
        return args, {**kwargs, "attention_mask": mask}

    return hide


def _without(mask: Tensor | None, covered: Bool[Tensor, "row position"], dtype: torch.dtype) -> Tensor:
    """Return a mask of attention, [row, 1, query, key], that also hides vectors from all that are none."""
    hidden = (covered.unsqueeze(1) & ~covered.unsqueeze(2)).unsqueeze(1)
    if mask is None:  # plain causal attention
        size = covered.shape[1]
        behind = torch.ones(size, size, dtype=torch.bool, device=covered.device).triu(1)
        mask = torch.zeros(size, size, dtype=dtype, device=covered.device)
        mask = mask.masked_fill(behind, torch.finfo(dtype).min).expand(len(covered), 1, size, size)
    hidden = hidden.to(mask.device)
    if mask.dtype != torch.bool:
        return mask.masked_fill(hidden, torch.finfo(mask.dtype).min)
    says_what_is_seen = mask[..., :1, :1]  # the first position sees itself; MPT's masks say what is hidden
    return torch.where(says_what_is_seen, mask & ~hidden, mask | hidden)

"""The judge of movement (experiment §10): margins and walks, computed plainly, importing nothing from the package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tests.support.plain import Plain, check_settings
from tests.support.plain_text import Row, draw_documents, make_context

NORMS = (
    "ln_f",
    "final_layer_norm",
    "norm",
    "norm_f",
    "final_layernorm",
    "decoder.final_layer_norm",
    "language_model.norm",
)
"""What families call their final norm."""


def margin(values: Sequence[float], gold: Sequence[int]) -> float | None:
    """The best right value minus the best wrong one; None where none is wrong."""
    right = [value for index, value in enumerate(values) if index in gold]
    wrong = [value for index, value in enumerate(values) if index not in gold]
    return max(right) - max(wrong) if wrong else None


@dataclass
class PlainWalk:
    """What a walk is compared with."""

    positions: dict[str, Tensor]
    """[point, 2] of each layer: the context, then the choices."""
    explained: list[float]
    spreads: dict[str, float]
    nearest: dict[str, list[list[str]]]


def settings_of(settings: Mapping[str, Any], layer: str) -> Row:
    """The settings of one layer."""
    return check_settings("dist_sim", "concat_all_examples", {**settings, "ENCODING_LAYER": layer})


@torch.no_grad()
def margins(
    network: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, task: str, rows: Mapping[str, list[Row]],
    layers: Sequence[str], settings: Mapping[str, Any], limit: str,
) -> dict[tuple[int, str], float | None]:  # fmt: skip
    """The margin of every document at every layer, in the similarity task."""
    plain, found = Plain(network, tokenizer), {}
    plain.reuse_passes()
    for doc_id, query, shots in draw_documents(task, rows, 0, limit):
        context = make_context(query, shots, "concat_all_examples", None)
        for layer in layers:
            values = plain.raw_similarities(context, query.choices, settings_of(settings, layer))
            found[doc_id, layer] = margin([float(value) for value in values], query.gold)
    return found


@torch.no_grad()
def walk(
    network: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, task: str, rows: Mapping[str, list[Row]],
    layers: Sequence[str], settings: Mapping[str, Any], limit: str, doc: int,
) -> PlainWalk:  # fmt: skip
    """The walk of one document, in the similarity task."""
    plain = Plain(network, tokenizer)
    plain.reuse_passes()
    last = str(int(plain.text.num_hidden_layers))
    drawn = list(draw_documents(task, rows, 0, limit))
    normed, own, spreads = {}, {}, {}
    for layer in layers:
        chosen = settings_of(settings, layer)
        of_documents = []
        for _, query, shots in drawn:
            vectors, end = plain.encode_context(make_context(query, shots, "concat_all_examples", None), chosen)
            for choice in query.choices:
                ids = plain.tokenise_segment(choice, goes_on=True)
                vectors = torch.cat([vectors, plain.encode_segment(ids, chosen, side="OUT_", offset=end)])
            of_documents.append(vectors.double())
        every = torch.cat(of_documents)
        centre = every.sum(0) / len(every)
        spreads[layer] = sum(float((vector - centre).square().sum().sqrt()) for vector in every) / len(every)
        own[layer] = of_documents[doc]
        normed[layer] = (of_documents[doc] - centre) / spreads[layer]
    positions, explained = plane(torch.cat(list(normed.values())))
    parts = dict(zip(layers, positions.split([len(part) for part in normed.values()]), strict=True))
    nearest = {
        layer: [lens(plain, vector.float(), finished=layer == last) for vector in own[layer]] for layer in layers
    }
    return PlainWalk(parts, explained, spreads, nearest)


def plane(points: Tensor) -> tuple[Tensor, list[float]]:
    """Points along the two eigenvectors of their covariance with the largest eigenvalues, and these as shares."""
    centred = points - points.mean(0)
    values, axes = torch.linalg.eigh(centred.T @ centred)
    chosen = []
    for axis in (axes[:, -1], axes[:, -2]):
        largest = axis[axis.abs().argmax()]
        chosen.append(axis if largest > 0 else -axis)
    return centred @ torch.stack(chosen, dim=1), [float(values[-1] / values.sum()), float(values[-2] / values.sum())]


def lens(plain: Plain, vector: Tensor, *, finished: bool, number: int = 5) -> list[str]:
    """The tokens whose rows of the output matrix have the largest products with a vector, through the final norm."""
    if not finished:
        stack: Any = plain.model.get_encoder() if plain.encoder_decoder else plain.model.base_model
        named = dict(stack.named_modules())
        name = next((name for name in NORMS if name in named), None)
        vector = vector if name is None else named[name](vector)
    products = [float(row @ vector) for row in plain.output_matrix]
    best = sorted(range(len(products)), key=lambda token: -products[token])[:number]
    return [plain.tokenizer.decode([token]) for token in best]

"""Movement through embedding space, layer by layer: every document's margin, and one context's walk (experiment §10).

    margins = layer_margins(task="hellaswag_d", model_args="pretrained=…", task_args="data_dir=…")
    walk = take_walk(doc=3, task="hellaswag_d", model_args="pretrained=…", task_args="data_dir=…")

`lm_eval.analysis.figures` draws them: `margin_map(margins)`, `walk_map(walk)`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float

from lm_eval.analysis.movement import CONTEXT, Margins, Walk
from lm_eval.common.progress import DocumentProgress
from lm_eval.config.layer import ResolvedLayer
from lm_eval.contexts.encoding_schemes import build_context
from lm_eval.contexts.special_tokens import FrontTokens
from lm_eval.contexts.tokenization import Tokeniser
from lm_eval.encoding.layer_runs import Asked, LayerRuns
from lm_eval.errors import ConfigurationError
from lm_eval.inference.batching import Batcher
from lm_eval.inference.encoder import SegmentEncoder
from lm_eval.inference.logit_lens import nearest_tokens
from lm_eval.inference.memory import choose_budget
from lm_eval.inference.speedups import fast
from lm_eval.results.identity import Run
from lm_eval.scoring.metrics import METRICS
from lm_eval.scoring.run_pass import evaluate_many
from lm_eval.scoring.shared_pass import choice_spec
from lm_eval.tasks.documents import Document
from lm_eval.vectors.pipeline import Recipe

LIMIT = 200
"""Documents of a walk, unless a call says otherwise: the vectors of all of them are held at once."""
NUM_NEAREST = 5
"""Tokens that a walk names at each step."""

Positions = Float[np.ndarray, "point dim"]


def layer_margins(
    *,
    task: str,
    model_args: str | Mapping[str, Any],
    show_progress: bool = False,
    **how: Any,  # noqa: ANN401  (checked by `Asked`)
) -> Margins:
    """Return the margin of every document at every layer of a model, from one run (experiment §10).

    Args:
        task: its similarity or generation form (`hellaswag_d`, `hellaswag_dg`).
        model_args: the model and the settings of its vectors, as `simple_evaluate` takes them, a loaded network too;
            what isn't set is as in the paper's main configuration.
        show_progress: whether a progress bar is drawn.
        how: task_args, num_fewshot, limit, seed, batch_size, device, as `simple_evaluate` takes them; `layers`: `all`,
            `every N`, or a list.

    Raises:
        ConfigurationError: the call is wrong; nothing was computed.
        RunError: a document cannot be scored.
    """
    found = LayerRuns.load(Asked(task=task, model_args=model_args, **how))
    return _measure(found, task, show_progress=show_progress)


def _measure(found: LayerRuns, task: str, *, show_progress: bool = False) -> Margins:
    with DocumentProgress(len(found.runs[0].documents()), task, shown=show_progress) as progress:
        evaluations = evaluate_many(found.runs, found.model, found.execution, progress=progress)
    for evaluation in evaluations:
        evaluation.metrics()  # which says where a score is no number
    rows = [
        (document.doc_id, str(layer), document.margin, METRICS["acc"].of(document) == 1.0)
        for layer, evaluation in zip(found.layers, evaluations, strict=True)
        for document in evaluation.documents
    ]
    table = pd.DataFrame(rows, columns=["doc_id", "layer", "margin", "right"]).astype({"margin": "float64"})
    return Margins(table=table, model=found.model.name, task=task, settings=found.settings)


def take_walk(*, doc: int, task: str, model_args: str | Mapping[str, Any], **how: Any) -> Walk:  # noqa: ANN401
    """Return the way of one context and of its choices through the layers of a model (experiment §10).

    Every layer is centred on the mean of its vectors, contexts and choices of all documents, and divided by the mean
    length of what is left; the axes are the first two principal components of the walk's own positions.

    Args:
        doc: the document's number in the shuffled order, from 0.
        task: its similarity form (`hellaswag_d`).
        model_args: as for `layer_margins`; they must make one vector of a context.
        how: as for `layer_margins`; without a `limit` the first 200 documents.

    Raises:
        ConfigurationError: the call is wrong; nothing was computed.
        RunError: a document cannot be encoded.
    """
    found, documents = _load(doc, Asked(task=task, model_args=model_args, **{"limit": LIMIT, **how}))
    return _walk(doc, found, documents)


def walk_and_margins(*, doc: int, task: str, model_args: str | Mapping[str, Any], **how: Any) -> tuple[Walk, Margins]:  # noqa: ANN401
    """Return a walk and the margins of the same documents, with the model loaded once; see the two above."""
    found, documents = _load(doc, Asked(task=task, model_args=model_args, **{"limit": LIMIT, **how}))
    return _walk(doc, found, documents), _measure(found, task)


def _load(doc: int, asked: Asked) -> tuple[LayerRuns, Sequence[Document]]:
    """Load what a walk needs.

    Raises:
        ConfigurationError: the task compares no vectors, or has no such document.
    """
    if asked.kind != "dist_sim":
        raise ConfigurationError(f"task {asked.task}: a walk compares vectors; give its similarity form, ending in _d")
    found = LayerRuns.load(asked, _has_document(doc))
    return found, found.runs[0].documents()


def _has_document(doc: int) -> Callable[[Sequence[Document]], None]:
    def check(documents: Sequence[Document]) -> None:
        _place_of(doc, documents)

    return check


def _walk(doc: int, found: LayerRuns, documents: Sequence[Document]) -> Walk:
    place = _place_of(doc, documents)
    layers, vectors = _encode(found, documents)
    walked, scales = [], []
    for layer, of_documents in zip(layers, vectors, strict=True):
        every = np.concatenate(of_documents)
        mean = every.mean(axis=0)
        spread = np.linalg.norm(every - mean, axis=1).mean()
        scales.append((str(layer), float(np.linalg.norm(mean)), float(spread)))
        walked.append((of_documents[place] - mean) / spread)
    plane, explained = project_to_plane(np.concatenate(walked))
    own = [of_documents[place] for of_documents in vectors]
    tokens = nearest_tokens(found.model, dict(zip(layers, own, strict=True)), NUM_NEAREST)
    example = documents[place].example
    points = [CONTEXT, *(str(number) for number in range(1, len(example.choices) + 1))]
    table = pd.DataFrame({
        "point": points * len(layers),
        "is_right": [number - 1 in example.gold for number in range(len(points))] * len(layers),
        "layer": [str(layer) for layer in layers for _ in points],
        "x": plane[:, 0],
        "y": plane[:, 1],
        "nearest": [[token for token, _ in near] for layer in layers for near in tokens[layer]],
        "products": [[product for _, product in near] for layer in layers for near in tokens[layer]],
    })  # fmt: skip
    return Walk(
        table=table,
        scales=pd.DataFrame(scales, columns=["layer", "mean_length", "spread"]),
        explained=explained,
        num_documents=len(documents),
        doc_id=doc,
        context=_text_of(found.runs[0], documents[place]),
        choices=example.choices,
        gold=sorted(example.gold),
        model=found.model.name,
        task=found.runs[0].config.task,
        settings=found.settings,
    )


def _place_of(doc: int, documents: Sequence[Document]) -> int:
    numbers = [document.doc_id for document in documents]
    if doc not in numbers:
        raise ConfigurationError(
            f"doc {doc}: there are documents {numbers[0]} to {numbers[-1]}; choose one of them, or raise the limit"
        )
    if documents[numbers.index(doc)].example.contexts:
        raise ConfigurationError(f"doc {doc}: its choices have different contexts, and a walk is that of one context")
    return numbers.index(doc)


def _text_of(run: Run, document: Document) -> str:
    config = run.config
    context = build_context(
        run.task.dataset, document.example, document.shots, str(config.encoding_scheme), config.description
    )
    return "".join(text for sample in context.samples for text in sample)


def _encode(found: LayerRuns, documents: Sequence[Document]) -> tuple[list[ResolvedLayer], list[list[Positions]]]:
    """Return the layers whose vectors are as wide as the blocks', and for each the vectors of every document.

    A document's are those of its context and of its choices, in float64.
    """
    model = found.model
    is_wide = [model.width_of(layer) == model.hidden_size for layer in found.layers]
    layers = [layer for layer, has_width in zip(found.layers, is_wide, strict=True) if has_width]
    runs = [run for run, has_width in zip(found.runs, is_wide, strict=True) if has_width]
    groups: dict[FrontTokens, list[int]] = {}
    for index, run in enumerate(runs):
        groups.setdefault(FrontTokens.of(run.config, model), []).append(index)
    encoded: dict[int, list[Positions]] = {}
    for indices in groups.values():
        encoded.update(zip(indices, _encode_alike([runs[index] for index in indices], found, documents), strict=True))
    return layers, [encoded[index] for index in range(len(layers))]


def _encode_alike(runs: Sequence[Run], found: LayerRuns, documents: Sequence[Document]) -> list[list[Positions]]:
    """Encode documents in runs that have the same tokens in front."""
    model, batcher = found.model, Batcher(choose_budget(found.model, found.execution))
    tokenised = Tokeniser(model, runs[0].config, runs[0].task)(documents)
    recipes = [Recipe.of(run.form, model) for run in runs]
    specs = {recipe.spec for recipe in recipes}
    of_choices = {choice_spec(run.config, model) for run in runs}
    with fast(model):
        contexts = SegmentEncoder(model, specs, batcher, 0)([one for doc in tokenised for one in doc.context])
        choices = SegmentEncoder(model, of_choices, batcher, 0)([one for doc in tokenised for one in doc.choices])
    made = []
    for run, recipe in zip(runs, recipes, strict=True):
        rows = recipe.make([document.samples for document in tokenised], contexts)
        _refuse_several(rows.counts, run)
        spec = choice_spec(run.config, model)
        of_context = rows.vectors.split(1)
        made.append([
            torch.cat([vector, *(choices[choice][spec] for choice in document.choices)]).double().numpy()
            for vector, document in zip(of_context, tokenised, strict=True)
        ])  # fmt: skip
    return made


def _refuse_several(counts: torch.Tensor, run: Run) -> None:
    if (counts != 1).any():
        raise ConfigurationError(
            f"{run.config.encoding_scheme}: these settings make up to {int(counts.max())} vectors of a context, and a "
            "walk is that of one; set EXAMPLE_AGG_SCHEME=mean, or SEGMENT_AGG_SCHEME=mean where there is one sample"
        )


def project_to_plane(positions: Positions) -> tuple[Float[np.ndarray, "point 2"], tuple[float, float]]:
    """Return positions along their first two principal components, and the shares of the variance along these.

    Of the two directions of an axis the one is taken in which its largest component is positive.
    """
    centred = positions - positions.mean(axis=0)
    _, sizes, axes = np.linalg.svd(centred, full_matrices=False)
    axes = axes[:2] * np.sign(axes[:2][np.arange(len(axes[:2])), np.abs(axes[:2]).argmax(axis=1)])[:, None]
    shares = sizes**2 / max(float((sizes**2).sum()), np.finfo(float).tiny)
    return centred @ axes.T, (float(shares[0]), float(shares[1]))

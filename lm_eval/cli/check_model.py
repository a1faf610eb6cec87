"""The lines that `scripts/check_model.py` prints: a model's facts, memory, tokens, and checks of every shortcut."""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from lm_eval.config.run_config import RunConfig
from lm_eval.config.settings import VectorSettings
from lm_eval.contexts.special_tokens import tokenize_choices, tokenize_segments
from lm_eval.errors import ConfigurationError, RunError
from lm_eval.inference.conformance import SHARED_BY, check_sharing, check_structure
from lm_eval.inference.trials import Check, score_alone
from lm_eval.models.families import MAX_LENGTH_UNLIMITED
from lm_eval.models.language_model import LanguageModel, dtype_name
from lm_eval.models.text_borders import front_tokens
from lm_eval.scheduling.hardware import Gpu, Machine
from lm_eval.scheduling.memory_need import memory_gib
from lm_eval.scheduling.placement import choose_share

_GPU_GIB = (11.0, 24.0, 48.0, 80.0)
"""Memory of common GPUs, in GiB."""
_MOST_GPUS = 8
_WIDTH = 24


def describe_model(model: LanguageModel) -> list[str]:
    """Return the facts of a loaded model, line by line."""
    family, network, num_layers = model.family, model.network, model.num_layers
    has_positions = family.position_embedding is not None and _embedding_width(model) == model.hidden_size
    row = "a row made of its config" if family.is_generic else "in the table"
    parameters = sum(parameter.numel() for parameter in network.parameters())
    pairs: list[tuple[str, str]] = [
        ("family", f"{network.config.model_type} ({row}), {family.architecture}"),
        ("layers", f"{num_layers}; hidden states 0 to {num_layers}, middle is {(num_layers + 1) // 2}"),
        ("width", _describe_width(model)),
        ("longest sequence", _describe_limit(model)),
        ("activation", _activation(model)),
        ("ADD_POS", "possible" if has_positions else f"not possible: {_why_no_positions(model)}"),
        ("parameters", f"{parameters:,}, {dtype_name(model.dtype)} here"),
        ("memory on a CPU", f"about {memory_gib(parameters, dtype_name(model.dtype), on_gpu=False):.1f} GiB"),
        *_describe_gpus(model.name, parameters, model),
        *_describe_tokens(model),
        ("contexts", _describe_contexts(model)),
    ]
    return [f"{name:{_WIDTH}}{text}" for name, text in pairs]


def describe_checks(model: LanguageModel) -> Iterator[tuple[str, bool]]:
    """Check every property that the model's family declares; yield a line for each, and whether it holds."""
    alone = functools.cache(lambda: score_alone(model))
    for check in (*check_structure(model), *([] if model.attends_both_ways else [check_sharing(model, alone)])):
        yield ("ok" if check.fault is None else "FAILED").ljust(8) + _describe_check(check), check.fault is None
    for sharing in [] if model.attends_both_ways else SHARED_BY:
        if sharing != model.family.sharing and not (sharing == "cache" and model.is_encoder_decoder):
            check = check_sharing(replace(model, family=replace(model.family, sharing=sharing)), alone)
            verdict = "works too, but isn't used" if check.fault is None else "doesn't work for this model"
            yield f"(other)  {SHARED_BY[sharing]}: {verdict}", True


def _describe_check(check: Check) -> str:
    if check.fault is not None:
        return f"{check.what}: {check.fault}"
    if check.difference is None:
        return check.what
    return f"{check.what}: {'the same' if check.difference == 0 else f'the same to {check.difference:.0e}'}"


def _describe_contexts(model: LanguageModel) -> str:
    if model.attends_both_ways:
        return "no text is scored behind any: positions see what is behind them, so there are vectors alone"
    shared = SHARED_BY[model.family.sharing]
    return f"{shared}; of tokens alone, as its blocks look these up" if model.reads_tokens else shared


def _describe_width(model: LanguageModel) -> str:
    embeddings = _embedding_width(model)
    vocabulary = f"{len(model.output_matrix):,} rows in the output matrix, {len(model.tokenizer):,} tokens"
    if embeddings == model.hidden_size:
        return f"{embeddings} components; {vocabulary}"
    return f"{embeddings} components of embeddings, {model.hidden_size} of inner layers; {vocabulary}"


def _why_no_positions(model: LanguageModel) -> str:
    if model.is_encoder_decoder:
        return "it is for decoder-only models"
    if model.family.position_embedding is not None:
        return "its learned positions are not as wide as its embeddings"
    return "no learned absolute positions" + (" that are known" if model.family.is_generic else "")


def _embedding_width(model: LanguageModel) -> int:
    weight: Tensor = model.token_embeddings.weight  # type: ignore[assignment]
    return weight.shape[-1]


def _describe_limit(model: LanguageModel) -> str:
    if model.family.max_positions is None and model.max_length == MAX_LENGTH_UNLIMITED:
        return f"no limit of its own, {MAX_LENGTH_UNLIMITED:,} tokens here"
    return f"{model.max_length:,} tokens"


def _activation(model: LanguageModel) -> str:
    name = model.family.activation
    if name is None:
        return "none that the config names: no prefix in WORD_AGG_SCHEME"
    return name[1:] if name.startswith("=") else str(getattr(model.config, name))


def _describe_gpus(name: str, parameters: int, model: LanguageModel) -> Iterator[tuple[str, str]]:
    """Yield how many GPUs the model takes, for newer and older GPUs in their native dtypes."""
    newer = (8, 0)
    older = "float32" if model.family.overflows_in_float16 else "float16"
    for what, dtype, capability in (("GPUs, Ampere or later", "bfloat16", newer), ("GPUs, older ones", older, (7, 5))):
        why = " (float16 overflows)" if dtype == "float32" else ""
        need = memory_gib(parameters, dtype, on_gpu=True)
        shares = {size: _share(name, need, dtype, size, capability) for size in _GPU_GIB}
        counts = ", ".join(f"of {size:.0f} GiB {_say_share(share)}" for size, share in shares.items())
        yield what, f"{dtype}{why}, about {need:.1f} GiB: on GPUs {counts}"


def _share(name: str, need: float, dtype: str, size: float, capability: tuple[int, int]) -> float | None:
    """Return how many GPUs of a size a run takes; None for more than a machine has."""
    gpu = Gpu(name="any", memory_gib=size, capability=capability)
    machine = Machine(host="any", num_cpus=1, memory_gib=size, gpus=(gpu,) * _MOST_GPUS)
    try:
        return choose_share(need, [machine], num_gpus=None, num_units=_MOST_GPUS**2, name=name, dtype=dtype)
    except ConfigurationError:
        return None


def _say_share(share: float | None) -> str:
    if share is None:
        return f"more than {_MOST_GPUS} a run"
    if share < 1:
        return f"{round(1 / share)} runs a GPU"
    return "1 GPU a run" if share == 1 else f"{share:.0f} GPUs a run"


def _describe_tokens(model: LanguageModel) -> Iterator[tuple[str, str]]:
    """Yield how the tokenizer treats segments and choices."""
    yield "in front of a text", _describe_before(model)
    yield "behind a text", _describe_behind(model)
    if model.is_encoder_decoder:
        yield "ADD_BOS", "not possible: it is for decoder-only models"
    else:
        yield from _describe_front(model)
        yield "dummy prefix", _describe_prefix(model)
    (segment,) = tokenize_segments(model, ["the text"])
    yield "a segment 'the text'", _quoted(model, segment)
    (choice,) = tokenize_choices(model, [" the text"], are_segments=False)
    yield "a choice ' the text'", _quoted(model, choice)
    try:
        yield "no_context", _describe_no_context(model)
    except RunError as error:
        yield "no_context", f"not possible: {error}"


def _describe_before(model: LanguageModel) -> str:
    front = ", ".join(model.borders.front)
    if not front:
        return "nothing"
    return front if model.is_encoder_decoder else f"{front}, which hf keeps; in the two tests ADD_BOS decides"


def _describe_behind(model: LanguageModel) -> str:
    behind = ", ".join(model.borders.behind)
    if not behind:
        return "nothing"
    return f"{behind}, which {'segments get' if model.is_encoder_decoder else 'is never kept'}"


def _describe_front(model: LanguageModel) -> Iterator[tuple[str, str]]:
    """Yield what stands in front for each value of ADD_BOS."""
    for value, front in _fronts(model).items():
        if front:
            text = ", ".join(front)
        elif value is None and model.borders.front:
            text = "nothing, as all families of the paper"
        else:
            text = "not possible: it has no bos_token" if value else "nothing"
        yield f"ADD_BOS={value}", text + (" (the default)" if value is None else "")


def _fronts(model: LanguageModel) -> dict[bool | None, tuple[str, ...]]:
    """Return the tokens in front for each value of ADD_BOS."""
    config = RunConfig(model="dist_gen", pretrained="any", task="hellaswag_dg", encoding_scheme="cross_encoding")
    return {
        value: front_tokens(replace(config, vectors=VectorSettings(add_bos=value)), model.family, model.borders)
        for value in (None, True, False)
    }


def _describe_prefix(model: LanguageModel) -> str:
    if not model.borders.has_dummy_prefix:
        return "none: a text that goes on is tokenised as any other"
    return "a blank in front of every text; dropped where a text goes on, as in every choice"


def _describe_no_context(model: LanguageModel) -> str:
    end = _names(model.tokenizer, model.empty_context)
    has_some = not model.is_encoder_decoder and any(_fronts(model).values())
    return f"{end}, or what ADD_BOS puts in front" if has_some else end


def _quoted(model: LanguageModel, tokens: Sequence[int]) -> str:
    return " ".join(map(repr, model.tokenizer.convert_ids_to_tokens(list(tokens))))


def _names(tokenizer: Any, tokens: Sequence[int]) -> str:  # noqa: ANN401
    return ", ".join(map(str, tokenizer.convert_ids_to_tokens(list(tokens))))

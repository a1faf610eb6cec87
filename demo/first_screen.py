"""The first screen: how much of a context survives when a model gets it as fewer vectors than it has tokens.

The two numbers of tokens a vector were chosen on documents 200 to 499, which no demonstration shows.
"""

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence

from lm_eval.results.result_file import StoredResult

CHANCE = 0.25
"""Guessing, of four endings."""
BASELINE, CONTROL = "all of it, as tokens (the baseline)", "nothing (the control)"
COMPRESSED = {"a vector for every 2 tokens": "chunk2", "a vector for every 8 tokens": "chunk8", "one vector": "mean"}
"""What a model gets between these two, and the token aggregation that makes it."""


def draw_first_screen(results: Sequence[StoredResult], layers: Mapping[str, str | None]) -> str:
    """Return the table and what one sees in it.

    Args:
        results: the baseline of each model, its control and its compressed contexts, among others.
        layers: the models, and the layer that the vectors of each come from.

    Raises:
        LookupError: a result is missing.
    """
    rows = {BASELINE: [_find(results, model, "cross_encoding") for model in layers]}
    for title, aggregation in COMPRESSED.items():
        made = {name: {"WORD_AGG_SCHEME": aggregation, "ENCODING_LAYER": layer} for name, layer in layers.items()}
        rows[title] = [_find(results, model, "concat_all_examples", settings) for model, settings in made.items()]
    rows[CONTROL] = [_find(results, model, "no_context") for model in layers]
    num_stories = rows[BASELINE][0].record.num_documents
    tokens = rows["one vector"][0].record.tokens_per_vector or 0
    numbers = {BASELINE: f"{tokens:.0f} tokens", CONTROL: "0"}
    widths = [max(16, len(model) + 3) for model in layers]
    lines = [
        f"  {'what the model gets of the context':36}{'vectors':>9}"
        + "".join(model.rjust(width) for model, width in zip(layers, widths, strict=True))
    ]
    for title, found in rows.items():
        number = numbers.get(title) or f"{found[0].record.vectors_per_context or 0:.0f}"
        cells = [_say_accuracy(stored).rjust(width) for stored, width in zip(found, widths, strict=True)]
        lines.append(f"  {title:36}{number:>9}{''.join(cells)}")
    return "\n".join(
        [
            "Test 1 in five rows: how much of a context survives as fewer vectors?",
            f"{num_stories} stories, no shots; the share whose right ending of four scores best",
            f"(guessing: {CHANCE:.3f}):",
            "",
            *lines,
            "",
            *_say_what_is_kept(rows, list(layers)),
        ]
    )


def _find(
    results: Sequence[StoredResult], model: str, scheme: str, settings: Mapping[str, str | None] | None = None
) -> StoredResult:
    """Return a model's result of Test 1 without shots."""
    for stored in results:
        config, vectors = stored.config, stored.config.vectors.public()
        named = (config.model, config.model_name, config.num_fewshot, config.encoding_scheme)
        if named == ("dist_gen", model, 0, scheme) and all(vectors[key] == v for key, v in (settings or {}).items()):
            return stored
    raise LookupError(f"there is no result of {model}, {scheme}, 0 shots, {settings or 'no settings'}")


def _say_accuracy(stored: StoredResult) -> str:
    return f"{stored.metrics['acc']:.3f} ± {stored.metrics['acc_stderr']:.3f}"


def _say_what_is_kept(rows: Mapping[str, Sequence[StoredResult]], models: Sequence[str]) -> list[str]:
    """Say how much of what the context adds to no context each model keeps, with standard errors."""
    lines = ["Of what the whole context adds to none (± one standard error),"]
    for index, model in enumerate(models):
        found = {title: of[index] for title, of in rows.items()}
        kept = [share_kept(found[title], found[BASELINE], found[CONTROL]) for title in COMPRESSED]
        if None in kept:
            lines.append(f"  {model}: the context adds too little to none for a share of it")
            continue
        shares = [f"{100 * share:.0f} ± {100 * error:.0f} %" for share, error in filter(None, kept)]
        text = f"{model} keeps {shares[0]} with a vector for 2 tokens, {shares[1]} for 8, {shares[2]} with one vector."
        lines += textwrap.wrap(text, 78, initial_indent="  ", subsequent_indent="    ")
    return lines


def share_kept(some: StoredResult, whole: StoredResult, none: StoredResult) -> tuple[float, float] | None:
    """Return the share of what the whole context adds to none that a compressed one keeps, and its standard error.

    The errors of the three accuracies are taken as independent; over the same stories they mostly rise and fall
    together, so that this error is rather too large.

    Args:
        some: the compressed context's result.
        whole: the baseline's.
        none: the control's.

    Returns:
        None where the whole context adds less than two standard errors.
    """
    (acc, error), (most, most_error), (least, least_error) = map(_accuracy, (some, whole, none))
    gain = most - least
    if gain <= 2 * math.hypot(most_error, least_error):
        return None
    share = (acc - least) / gain
    return share, math.hypot(error, share * most_error, (1 - share) * least_error) / gain


def _accuracy(stored: StoredResult) -> tuple[float, float]:
    return stored.metrics["acc"] or 0.0, stored.metrics["acc_stderr"] or 0.0


def say_test_2(results: Sequence[StoredResult], models: Iterable[str]) -> str:
    """Say in a sentence what Test 2 gives without shots, the whole context being one vector; empty without its results.

    Args:
        results: of the test, among others.
        models: those to name.
    """
    told = []
    for model in models:
        found = [
            stored
            for stored in results
            if (stored.config.model, stored.config.model_name, stored.config.num_fewshot, stored.config.encoding_scheme)
            == ("dist_sim", model, 0, "concat_all_examples")
        ]
        if not found:
            return ""
        acc, error = _accuracy(found[0])
        is_above = acc - CHANCE > 2 * error
        verdict = "more often than by guessing" if is_above else "no more often than guessing could"
        told.append(f"{model} finds it in {_say_accuracy(found[0])} of the stories, {verdict}")
    sentence = (
        "Test 2 asks for the ending whose vector lies nearest to the context's one vector: "
        f"{'; '.join(told)} ({CHANCE:.3f})."
    )
    return textwrap.fill(sentence, 78)

"""The first screen: how much of a context survives when a model gets it as fewer vectors than it has tokens.

The two numbers of tokens a vector were chosen on documents 200 to 499, which no demonstration shows.
"""

from collections.abc import Mapping, Sequence

from lm_eval.results.result_file import StoredResult

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
    widths = [max(18, len(model) + 3) for model in layers]
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
            "Test 1 in five rows: how much of a context survives when it is handed over as fewer vectors?",
            f"{num_stories} stories, no shots; the share whose right ending of four scores best (guessing: 0.250):",
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
    """Say how much of what the context adds to no context each model keeps."""
    lines = ["Of what the whole context adds to none,"]
    for index, model in enumerate(models):
        acc = {title: found[index].metrics["acc"] or 0.0 for title, found in rows.items()}
        gain = acc[BASELINE] - acc[CONTROL]
        kept = [
            f"{max(0.0, (acc[title] - acc[CONTROL]) / gain):.0%}" if gain > 0 else "nothing" for title in COMPRESSED
        ]
        lines.append(
            f"  {model} keeps {kept[0]} with a vector for 2 tokens, {kept[1]} for 8, {kept[2]} with one vector."
        )
    return lines

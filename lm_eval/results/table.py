"""Formatting results as a text table, with scores relative to their baselines."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from lm_eval.config.run_config import ENCODING_SCHEMES, RunConfig
from lm_eval.config.settings import SETTING_NAMES
from lm_eval.results.baselines import key_of_run, keys_of_baseline
from lm_eval.results.identity import BaselineKey
from lm_eval.results.labels import NOTHING, SHORT_LABELS, say_cell
from lm_eval.results.result_file import StoredResult


def sort_results(results: Iterable[StoredResult]) -> list[StoredResult]:
    """Sort results by task, model, shots (most first), scheme and settings."""

    def key(stored: StoredResult) -> tuple[object, ...]:
        config = stored.config
        scheme = ENCODING_SCHEMES.index(config.encoding_scheme) if config.encoding_scheme else -1
        values = [text or "" for text in config.vectors.public().values()]
        where = (str(config.limit), str(config.dtype), str(config.revision), str(config.data_dir), config.pretrained)
        return (config.task, config.model_name, -config.num_fewshot, scheme, values, where)

    return sorted(results, key=key)


_ORIGINS: dict[str, Callable[[RunConfig], str]] = {
    "limit": lambda config: str(config.limit),
    "dtype": lambda config: str(config.dtype),
    "revision": lambda config: str(config.revision),
    "data": lambda config: str(config.data_dir),
    "description": lambda config: config.description,
}
"""Columns that are shown only where rows differ in them."""


def format_results(results: Sequence[StoredResult], baselines: Mapping[BaselineKey, float] | None = None) -> str:
    """Return a table with one row per result: model, scheme, shots, the settings in use, accuracy.

    Args:
        results: the results, in the order of the rows.
        baselines: accuracy of each `cross_encoding` baseline, as `find_baselines` has it; adds the normalised and the
            chance-corrected score (experiment §8).
    """
    stated = {name for stored in results for name in stored.config.vectors.stated()}
    settings = [name for name in SETTING_NAMES if name in stated]
    origins = [name for name, of in _ORIGINS.items() if len({of(stored.config) for stored in results}) > 1]
    titles = [*(SHORT_LABELS[name] for name in settings), *origins]
    header = ["task", "model", "scheme", "shots", *titles, "acc", "± s.e."]
    rows = [
        [*_describe_cells(s, settings), *(_ORIGINS[name](s.config) for name in origins), *_accuracy_cells(s)]
        for s in results
    ]
    if baselines is not None:
        header += ["normalised", "chance-corr."]
        for row, stored in zip(rows, results, strict=True):
            row.extend(_score_cells(stored, baselines.get(key_of_run(stored))))
    return _align([header, *rows], num_left=4 + len(titles))


def _accuracy(stored: StoredResult) -> float:
    return float(stored.content["results"][stored.config.task]["acc"])


def _describe_cells(stored: StoredResult, settings: Sequence[str]) -> list[str]:
    config = stored.config
    public = config.vectors.public()
    values = [say_cell(name, public[name], kind=config.model, scheme=config.encoding_scheme) for name in settings]
    return [config.task, config.model_name, config.encoding_scheme or config.model, str(config.num_fewshot), *values]


def _accuracy_cells(stored: StoredResult) -> list[str]:
    error = stored.metrics.get("acc_stderr")
    return [f"{_accuracy(stored):.3f}", NOTHING if error is None else f"{error:.3f}"]


def _score_cells(stored: StoredResult, baseline: float | None) -> list[str]:
    acc = _accuracy(stored)
    chance = stored.chance
    normalised = f"{acc / baseline:.3f}" if baseline else NOTHING
    if baseline is None or chance is None or baseline <= chance:
        return [normalised, NOTHING]
    return [normalised, f"{(acc - chance) / (baseline - chance):.3f}"]


def say_documents(results: Sequence[StoredResult]) -> str:
    """Describe how many documents the results were computed on."""
    numbers = [stored.record.num_documents for stored in results]
    known = sorted({number for number in numbers if number is not None})
    if not known:
        return "documents a run: not stated in results of the older form"
    text = f"documents a run: {known[0]}" + (f" to {known[-1]}" if len(known) > 1 else "")
    return text + (f" (not stated in {numbers.count(None)})" if None in numbers else "")


def _align(rows: Sequence[Sequence[str]], num_left: int) -> str:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]

    def line(row: Sequence[str]) -> str:
        cells = [
            cell.ljust(width) if i < num_left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    header, *body = rows
    return "\n".join([line(header), "  ".join("─" * width for width in widths), *map(line, body)])


def find_baselines(results: Iterable[StoredResult]) -> dict[BaselineKey, float]:
    """Return the accuracy of every `cross_encoding` result, by the keys of the runs that it belongs to."""
    return {
        key: _accuracy(stored)
        for stored in results
        if stored.config.encoding_scheme == "cross_encoding" and stored.config.vectors.decoding_scheme is None
        for key in keys_of_baseline(stored)
    }

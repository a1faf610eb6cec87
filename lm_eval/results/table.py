"""Results as a text table or as CSV, with scores relative to their baselines; sorted, or the best alone."""

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lm_eval.common.text import count_of, csv_cell
from lm_eval.common.text_table import TextTable
from lm_eval.config.run_config import RunConfig
from lm_eval.results.baselines import Baseline, dtype_of, keys_of_baseline
from lm_eval.results.columns import (
    USUAL_ORDER,
    Column,
    Value,
    accuracy,
    all_columns,
    pick_columns,
    usual_columns,
)
from lm_eval.results.identity import BaselineKey, loading_of
from lm_eval.results.result_file import StoredResult

Baselines = Mapping[BaselineKey, Baseline]


@dataclass(frozen=True, kw_only=True)
class View:
    """Which results are shown, in which order, by which columns."""

    columns: Sequence[str] = ()
    """Names of columns; empty takes what the results state and differ in."""
    sort: Sequence[str] = ()
    """Columns to sort by, scores highest first, in one table without sections; empty leaves the order as it is."""
    best: int | None = None
    """How many of each task, model and number of shots are shown, by accuracy; None shows all."""


def sort_results(results: Iterable[StoredResult]) -> list[StoredResult]:
    """Sort results by task, model, shots (most first), scheme and settings."""
    return sorted(results, key=lambda stored: [column.sort_key(stored) for column in USUAL_ORDER])


def format_results(
    results: Sequence[StoredResult],
    baselines: Baselines | None = None,
    *,
    view: View | None = None,
    width: int | None = None,
) -> str:
    """Return a table with one row per result: model, scheme, shots, the settings in use, accuracy.

    Columns in which all rows agree stand in a line above.

    Args:
        results: the results, in the order of the rows.
        baselines: each `cross_encoding` baseline, as `find_baselines` has it; adds the normalised and the
            chance-corrected score (experiment §8).
        view: which results are shown, and how; None shows all in the order given.
        width: characters a line may have; None takes as many as are needed.

    Raises:
        ConfigurationError: a column that there is not.
    """
    shown, columns = _look(results, baselines, view or View())
    rows = [[column.say(stored) for column in columns] for stored in shown]
    table = TextTable([column.heading for column in columns], rows)
    return table.draw(width, in_one=view is not None and bool(view.sort))  # sections would sort within themselves alone


def write_csv(results: Sequence[StoredResult], baselines: Baselines | None = None, *, view: View | None = None) -> str:
    """Return results as CSV, with whole numbers and every standard error in a column of its own.

    Raises:
        ConfigurationError: a column that there is not.
    """
    shown, columns = _look(results, baselines, view or View())
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([name for column in columns for name in _csv_names(column)])
    for stored in shown:
        values = [value for column in columns for value in _csv_values(column, stored)]
        writer.writerow(["" if value is None else csv_cell(value) for value in values])
    return stream.getvalue()


def _csv_names(column: Column) -> list[str]:
    return [column.name] if column.error is None else [column.name, f"{column.name}_stderr"]


def _csv_values(column: Column, stored: StoredResult) -> list[Value]:
    return [column.of(stored)] if column.error is None else [column.of(stored), column.error(stored)]


def _look(
    results: Sequence[StoredResult], baselines: Baselines | None, view: View
) -> tuple[list[StoredResult], list[Column]]:
    """Return the results that a view shows, in its order, and its columns."""
    known = all_columns(results, baselines)
    usual = usual_columns(results, known)  # also what the best all leave unset
    numbers = {id(stored): 0 for stored in results}
    if view.best is not None:
        best = _best_of(results, view.best)
        results, numbers = [stored for stored, _ in best], {id(stored): number for stored, number in best}
        known["best_of"] = Column(name="best_of", of=lambda stored: str(numbers[id(stored)]), is_number=True)
    order = pick_columns(view.sort, known, "--sort")
    if order:
        results = sorted(results, key=lambda stored: [column.sort_key(stored) for column in order])
    if view.columns:
        return list(results), pick_columns(view.columns, known, "--columns")
    return list(results), usual if view.best is None else [*usual, known["best_of"]]


def _best_of(results: Sequence[StoredResult], number: int) -> list[tuple[StoredResult, int]]:
    """Return the most accurate results of each task, model and number of shots, each with how many it is the best of.

    Other dtypes, ways of loading, slices of documents and data count apart, as they do in the report.
    Baselines and controls are none of what is chosen from.
    """
    return [(stored, len(group)) for group in _rank(results) for stored in group[:number]]


def say_ties(results: Sequence[StoredResult], number: int) -> list[str]:
    """Say where only some of the runs that share an accuracy are among the best, which are so by chance."""
    lines = []
    for group in _rank(results):
        scores = [accuracy(stored) for stored in group]
        if number < len(scores) and scores[number - 1] == scores[number]:
            config, shared = group[0].config, scores[number]
            better = scores.index(shared)
            tied = scores.count(shared)
            lines.append(
                f"best {number} of {config.task}, {config.model_name}, {count_of(config.num_fewshot, 'shot')}: "
                f"{tied} runs share {shared:.3f}, {number - better} of them shown; --best {better + tied} shows all"
            )
    return lines


def _rank(results: Sequence[StoredResult]) -> list[list[StoredResult]]:
    """Return the results of which the best are told together, each group's most accurate first."""
    groups: dict[tuple[object, ...], list[StoredResult]] = defaultdict(list)
    for stored in results:
        config = stored.config
        if config.is_segmented or config.encoding_scheme is None:
            of_model = config.pretrained, loading_of(config), dtype_of(stored)
            of_documents = config.limit, config.seed, config.data_dir, config.description
            groups[(config.task, config.num_fewshot, *of_model, *of_documents)].append(stored)
    return [sorted(group, key=accuracy, reverse=True) for group in groups.values()]


def say_documents(results: Sequence[StoredResult]) -> str:
    """Describe how many documents the results were computed on."""
    numbers = [stored.record.num_documents for stored in results]
    known = sorted({number for number in numbers if number is not None})
    if not known:
        return "documents a run: not stated in results of the older form"
    text = f"documents a run: {known[0]}" + (f" to {known[-1]}" if len(known) > 1 else "")
    return text + (f" (not stated in {numbers.count(None)})" if None in numbers else "")


def is_baseline(config: RunConfig) -> bool:
    """Whether a configuration is one that scores are normalised by."""
    return config.encoding_scheme == "cross_encoding" and config.vectors.decoding_scheme is None


def find_baselines(results: Iterable[StoredResult]) -> dict[BaselineKey, Baseline]:
    """Return every `cross_encoding` result that is a baseline, by the keys of the runs that it belongs to."""
    return {
        key: Baseline(accuracy(stored), stored.metrics.get("acc_stderr") or 0.0)
        for stored in results
        if is_baseline(stored.config)
        for key in keys_of_baseline(stored)
    }

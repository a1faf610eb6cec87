"""What figures call things, the same in all: tests, settings and their values, encoding schemes, numbers of shots.

The names of settings themselves come from `lm_eval.results.labels`, which tables and reports share; the label of an
encoding scheme stands beside its colour in `style`; an axis of scores is named by its `score_toggle.Score`. What one
figure alone says, such as its title, stands in that figure's own module.
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from lm_eval.analysis.figures.score_toggle import CHANCE_CORRECTED, Score
from lm_eval.analysis.figures.style import look_of
from lm_eval.analysis.findings import MINUS
from lm_eval.common.text import count_of
from lm_eval.results.labels import LABELS, NOTHING, say_slice, say_value

BARS = "error bars: 95 % intervals"
"""What error bars of scores are; the baseline's error is in them."""
_MANY_LAYERS = 10
_TESTS = {"dist_gen": "Test 1, generation", "dist_sim": "Test 2, similarity"}


def name_test(table: pd.DataFrame) -> str:
    """Return which test the runs are of, in words."""
    kind = str(table["kind"].iloc[0])
    return _TESTS.get(kind, kind)


def say(setting: str, value: object) -> str:
    """Return a setting's value as figures show it: in words."""
    if value is None or pd.isna(value):  # type: ignore[call-overload]
        return say_value(setting, None)
    if setting == "encoding_scheme":
        return look_of(str(value)).label
    return str(value).replace("_", " ")


def varying_settings(table: pd.DataFrame, settings: Sequence[str] = tuple(LABELS)) -> list[str]:
    """Return the settings that differ among runs."""
    return [name for name in settings if len({say(name, value) for value in table[name].unique()}) > 1]


def say_constant(table: pd.DataFrame) -> str:
    """Return, in words, the settings that are set and the same in all runs."""
    varying = varying_settings(table)
    same = [name for name in LABELS if name not in varying and pd.notna(table[name].iloc[0])]
    return ", ".join(f"{LABELS[name]}: {say(name, table[name].iloc[0])}" for name in same)


def name_models(table: pd.DataFrame) -> str:
    """Return the model's name, or how many there are."""
    models = table["model"].unique()
    return str(models[0]) if len(models) == 1 else f"{len(models)} models"


def join_layers(layers: Sequence[str]) -> list[str]:
    """Return layers, those with numbers put together by fives where there are many."""
    numbers = {int(layer) for layer in layers if layer.isdigit()}
    if len(numbers) <= _MANY_LAYERS:
        return list(layers)
    return [f"{int(name) // 5 * 5} to {int(name) // 5 * 5 + 4}" if name.isdigit() else name for name in layers]


def say_shots(number: int) -> str:
    """Return a number of shots in words."""
    return count_of(number, "shot")


def say_number(value: object, digits: int = 3) -> str:
    """Return a number with a minus that is as wide as a plus; `-` where there is none."""
    if value is None or pd.isna(value):  # type: ignore[call-overload]
        return NOTHING
    text = f"{value:.{digits}f}"
    return text.replace("-", "" if float(text) == 0 else MINUS)


def say_data(table: pd.DataFrame) -> str:
    """Return what the runs were scored on: task, number of documents, shots."""
    tasks = ", ".join(str(task) for task in table["task"].unique())
    shots = sorted(int(number) for number in table["num_fewshot"].unique())
    listed = " and ".join([", ".join(map(str, shots[:-1])), str(shots[-1])]) if len(shots) > 1 else str(shots[0])
    return f"{tasks}, {say_documents(table)}, {listed} {'shot' if shots == [1] else 'shots'}"


def say_documents(table: pd.DataFrame) -> str:
    """Return over how many documents runs of one slice went; the slice where the number isn't known."""
    limit, numbers = str(table["limit"].iloc[0]), table["num_documents"].dropna().unique()
    slice_of = say_slice(limit)
    if len(numbers) != 1:
        return slice_of
    number = count_of(int(numbers[0]), "document")
    return number if limit in ("None", str(int(numbers[0]))) else f"{number} ({slice_of})"


def say_settings(run: Mapping[Hashable, Any], *, line: int = 60) -> str:
    """Return the settings of a run in lines, those that are set and the layer."""
    kept = [name for name in LABELS if pd.notna(run[name]) or name == "ENCODING_LAYER"]
    said = [
        say(name, run[name]) if name == "encoding_scheme" else f"{LABELS[name]} {say(name, run[name])}" for name in kept
    ]
    lines = [""]
    for text in said:
        if lines[-1] and len(lines[-1]) + len(text) > line:
            lines.append("")
        lines[-1] += f", {text}" if lines[-1] else text
    return ",<br>".join(lines)


def say_run(run: Mapping[Hashable, Any], score: Score = CHANCE_CORRECTED, *, head: str = "") -> str:
    """Return what a figure tells of a run when one points at it: model, settings, score ± s.e., documents.

    Args:
        run: a row of the table.
        score: the score drawn.
        head: what else it is, such as the best of how many runs.
    """
    lines = [f"<b>{run['model']}</b>, {say_shots(int(run['num_fewshot']))}", say_settings(run)]
    if score.column != "acc":
        lines.append(f"{score.label} {_with_error(run[score.column], run[score.error])}")
    accuracy = f"acc {_with_error(run['acc'], run['acc_stderr'])}"
    if pd.notna(run["baseline"]):
        accuracy += f", baseline {run['baseline']:.3f}"
    if pd.notna(run["num_documents"]):
        accuracy += f", n = {int(run['num_documents']):,}"
    return "<br>".join([*([head] if head else []), *lines, accuracy])


def _with_error(value: object, error: object) -> str:
    said = say_number(value)
    return said if error is None or pd.isna(error) else f"{said} ± {error:.3f} s.e."  # type: ignore[call-overload]


def say_unscored(table: pd.DataFrame, score: Score) -> str:
    """Return the models that lack a score for want of a clear baseline, with their accuracies; "" where none does."""
    lacking = table[table[score.column].isna() & table["acc"].notna()]
    if score.column == "acc" or lacking.empty:
        return ""
    said = []
    for model, runs in lacking.groupby("model", sort=True):
        low, high = runs["acc"].min(), runs["acc"].max()
        said.append(f"{model} (acc {low:.2f}" + ("" if f"{low:.2f}" == f"{high:.2f}" else f" to {high:.2f}") + ")")
    why = "no baseline clear of chance" if score is CHANCE_CORRECTED else "no baseline"
    return f"not drawn, {why}: {', '.join(said)}"

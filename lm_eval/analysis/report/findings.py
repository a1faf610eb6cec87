"""What a report found, in words: its title, and up to three sentences that the runs themselves give.

Shares are chance-corrected scores (experiment §8): 0 % is guessing, 100 % the same model with its whole context.
"""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from lm_eval.analysis.findings import count_tried
from lm_eval.analysis.scores import ABOVE, BELOW, INTERVAL, NOT_TOLD, is_baseline, is_main
from lm_eval.common.text import count_of
from lm_eval.results.labels import say_slice

_TESTS = {"dist_gen": "Test 1 (generation)", "dist_sim": "Test 2 (similarity)"}
_SCORE = "chance_corrected"
_CONTROL = "no_context"
_FEW = 2
"""Fewer runs are not counted by where they lie."""
_MOST_NAMED = 2
"""Models, and tasks, that a title names; of more it gives the number."""


def say_title(table: pd.DataFrame) -> str:
    """Return what was run: models, datasets, tests and shots."""
    models = list(dict.fromkeys(table["model"]))
    who = join_words(models) if len(models) <= _MOST_NAMED else count_of(len(models), "model")
    datasets = sorted(set(table["dataset"]))
    where = join_words(datasets) if len(datasets) <= _MOST_NAMED else f"{len(datasets)} datasets"
    tested = table[~is_baseline(table) & (table["encoding_scheme"] != _CONTROL)]
    tests = [name for kind, name in _TESTS.items() if kind in set(tested["kind"])]
    what = join_words(tests) if tests else "with their whole context" if len(models) > 1 else "with its whole context"
    shots = [str(number) for number in sorted(set(table["num_fewshot"]))]
    return f"{who} on {where}: {what}, {join_words(shots)} {'shot' if shots == ['1'] else 'shots'}"


def say_findings(table: pd.DataFrame, scored: pd.DataFrame, architectures: Mapping[str, str]) -> list[str]:
    """Return up to three sentences with what came out.

    Args:
        table: all runs.
        scored: runs beside their baselines (`add_scores`).
        architectures: decoder-only or encoder-decoder, by `pretrained`.
    """
    tests = [rows for kind in _TESTS if not (rows := _largest_task(scored, kind)).empty]
    if not tests:
        return _say_baselines(table)
    tested = scored[scored["kind"].isin(_TESTS)]
    sentences = [_say_test(rows, architectures, _say_part(rows, tested)) for rows in tests]
    against = _say_against_chance(tests[0]) if len(tests) == 1 else []
    return [*sentences, *against, *_say_choice(tests, architectures)]


def _largest_task(scored: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Return the runs of a test that can be told together: of one task and slice, the one with the most scores."""
    runs = scored[(scored["kind"] == kind) & (scored["encoding_scheme"] != _CONTROL)]
    if runs.empty:
        return runs
    having = runs[runs[_SCORE].notna()]
    counted = having if not having.empty else runs
    task, limit = counted[["task", "limit"]].value_counts().index[0]
    chosen: pd.DataFrame = runs[(runs["task"] == task) & (runs["limit"] == limit)]
    return chosen


def _say_part(rows: pd.DataFrame, tested: pd.DataFrame) -> str:
    """Return of which dataset and slice of documents runs are, where there are several."""
    dataset = f" on {rows['dataset'].iloc[0]}" if tested["dataset"].nunique() > 1 else ""
    limit = rows["limit"].iloc[0]
    which = say_slice(limit)
    return f"{dataset}{f' with {which}' if tested['limit'].nunique() > 1 else ''}"


def _say_test(rows: pd.DataFrame, architectures: Mapping[str, str], part: str) -> str:
    """Return what the best runs of a test keep of the baseline, by architecture."""
    begin = f"In {_TESTS[rows['kind'].iloc[0]]}{part}"
    having = rows[rows[_SCORE].notna()]
    if having.empty:
        return f"{begin}, accuracy is {_say_range(rows['acc'])}; there is no baseline above guessing to compare with."
    best = count_tried(having)
    return f"{begin}, {_say_groups(best, architectures, ' of the baseline at best')} ({_say_errors(best)})."


def _say_range(acc: "pd.Series[float]") -> str:
    low, high = f"{acc.min():.3f}", f"{acc.max():.3f}"
    return low if low == high else f"between {low} and {high}"


def _say_groups(rows: pd.DataFrame, architectures: Mapping[str, str], what: str = "") -> str:
    """Return what the models of each architecture keep; of what, is said once."""
    parts: list[str] = []
    for architecture, group in _by_architecture(rows, architectures):
        models = list(dict.fromkeys(group["model"]))
        who = models[0] if len(models) == 1 else f"{len(models)} {architecture} models"
        verb = ("keeps " if len(models) == 1 else "keep ") if not parts else ""
        parts.append(f"{who} {verb}{_say_share(group[_SCORE])}{what if not parts else ''}")
    return ", ".join(parts)


def _by_architecture(rows: pd.DataFrame, architectures: Mapping[str, str]) -> Iterable[tuple[str, pd.DataFrame]]:
    """Yield the rows of each architecture, that with the best run first."""
    of_rows = rows["pretrained"].map(lambda name: architectures.get(name, "decoder-only"))
    groups = [(str(architecture), group) for architecture, group in rows.groupby(of_rows)]
    return sorted(groups, key=lambda item: -float(item[1][_SCORE].max()))


def _say_share(scores: "pd.Series[float]") -> str:
    low, high = (round(100 * float(end)) for end in (scores.min(), scores.max()))
    if high <= 0:
        return "nothing"
    if low < 0:
        return f"at most {high} %"
    return f"{high} %" if low == high else f"{low} to {high} %"


def _say_errors(rows: pd.DataFrame) -> str:
    """Return how wide the 95 % intervals of scores are, in points of a hundred."""
    errors = 100 * INTERVAL * rows[f"{_SCORE}_stderr"].dropna()
    if errors.empty:
        return "their errors are not known"
    low, high = round(float(errors.min())), round(float(errors.max()))
    width = f"± {high}" if low == high else f"± {low} to {high}"
    unknown = f", of {len(rows) - len(errors)} not known" if len(errors) < len(rows) else ""
    return f"95 % intervals: {width} points{unknown}"


def _say_against_chance(rows: pd.DataFrame) -> list[str]:
    """Return how many runs are clear of guessing, by their 95 % intervals."""
    told = rows["versus_chance"].dropna()
    if len(told) < _FEW:
        return []
    above, below, open_ = (int((told == state).sum()) for state in (ABOVE, BELOW, NOT_TOLD))
    lying = f"{above:,} lie above guessing, {below:,} below it, and {open_:,} can't be told from it"
    return [f"Of {len(told):,} runs, {lying} (95 %)."]


def _say_choice(tests: Sequence[pd.DataFrame], architectures: Mapping[str, str]) -> list[str]:
    """Return what picking the best does to scores, and what the paper's main settings give in the last test."""
    having = [rows for test in tests if not (rows := test[test[_SCORE].notna()]).empty]
    if not having:
        return []
    best = [count_tried(rows) for rows in having]
    most = max(int(rows["num_runs"].max()) for rows in best)
    if most == 1:
        return [f"Nothing was picked: {_say_which(best)} is of a model's only run at its number of shots."]
    which = _say_which(best)
    runs = f"{'' if len(best) == len(best[0]) == 1 else 'up to '}{most:,} runs over the same documents"
    picked = f"{which[0].upper()}{which[1:]} is the best of {runs}, and so rather too high"
    main = _main_rows(having[-1], architectures)
    if main.empty:
        return [f"{picked}."]
    return [f"{picked}; with the paper's main settings, {_say_groups(main, architectures)} in {_short(main)}."]


def _say_which(best: Sequence[pd.DataFrame]) -> str:
    """Return which shares of the baseline were told: the best ones of one test or of both."""
    if len(best) > 1:
        return "in both tests, each share of the baseline"
    return "the share of the baseline" if len(best[0]) == 1 else "each share of the baseline"


def _short(rows: pd.DataFrame) -> str:
    return _TESTS[rows["kind"].iloc[0]].partition(" (")[0]


def _main_rows(rows: pd.DataFrame, architectures: Mapping[str, str]) -> pd.DataFrame:
    """Return the runs of the paper's main configurations."""
    of_rows = rows["pretrained"].map(lambda name: architectures.get(name, "decoder-only"))
    chosen = pd.Series(data=False, index=rows.index)
    for architecture in set(of_rows):
        chosen |= is_main(rows, str(rows["kind"].iloc[0]), str(architecture)) & (of_rows == architecture)
    return rows[chosen]


def _say_baselines(table: pd.DataFrame) -> list[str]:
    """Return what there is to say of folders that hold baselines and controls alone."""
    sentences = []
    for which, what in ((is_baseline(table), "With the whole context"), (table["encoding_scheme"] == _CONTROL, "")):
        acc = table.loc[which, "acc"].dropna()
        if not acc.empty:
            sentences.append(f"{what or 'Without any context (the control)'}, accuracy is {_say_range(acc)}.")
    chance = table["rand_acc"].dropna()
    guessing = f" Guessing gives {chance.mean():.3f}." if not chance.empty else ""
    return [*sentences, f"There are no runs of Test 1 or Test 2 yet.{guessing}"]


def join_words(words: Sequence[str]) -> str:
    """Return words as a list in a sentence."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)

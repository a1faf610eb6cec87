"""A dry run in a few lines: how many runs are to run, done and failed, by model and encoding scheme."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from lm_eval.common.text_table import NOTHING, Heading, TextTable
from lm_eval.config.run_config import RunConfig
from lm_eval.grid.plan import Plan
from lm_eval.scheduling.units import make_units

_REASONS_SHOWN = 5
_NAMES = ("task", "model", "encoding_scheme", "shots")
_COUNTS = ("to run", "passes", "done", "failed before")

_Row = tuple[str, str, str]


def describe_dry_run(plan: Plan, width: int | None = None) -> list[str]:
    """Return how many runs each model and scheme has, and why results that are there are not enough.

    Args:
        plan: the plan.
        width: characters a line may have; None takes as many as are needed.
    """
    states = {
        "to run": [run.config for run in plan.to_run],
        "passes": [unit.runs[0].config for unit in make_units(plan.to_run)],
        "done": [run.config for run, _ in plan.done],
        "failed before": [run.config for run, _ in plan.failed],
    }
    counts: dict[_Row, Counter[str]] = defaultdict(Counter)
    shots: dict[_Row, set[int]] = defaultdict(set)
    for state, configs in states.items():
        for config in configs:
            counts[_row(config)][state] += 1
            shots[_row(config)].add(config.num_fewshot)
    headings = [Heading(name=name, section="early" if name in ("task", "model") else "never") for name in _NAMES]
    headings += [Heading(name=name, is_number=True) for name in _COUNTS]
    rows = [
        [*row, _say_shots(shots[row]), *(str(found[name] or NOTHING) for name in _COUNTS)]
        for row, found in counts.items()
    ]
    table = TextTable(headings, rows).draw(width).splitlines() if rows else []
    return [*table, *_describe_reasons(plan), "--dry_run --list names every run"]


def _row(config: RunConfig) -> _Row:
    return config.task, config.model_name, config.encoding_scheme or config.model


def _say_shots(numbers: set[int]) -> str:
    return ", ".join(map(str, sorted(numbers, reverse=True)))


def _describe_reasons(plan: Plan) -> Sequence[str]:
    """Return why runs are to run though the folder knows of them, each reason once with how many have it."""
    reasons = Counter(reason.why for reason in plan.reasons.values() if reason.why)
    lines = [f"{number} to run: {why}" for why, number in reasons.most_common(_REASONS_SHOWN)]
    return lines if len(reasons) <= _REASONS_SHOWN else [*lines, f"and {len(reasons) - _REASONS_SHOWN} reasons more"]

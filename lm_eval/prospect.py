"""What a plan comes to: who carries it out, how long it should take, and how the user is told before it begins."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lm_eval.estimate import RemainingTime, Timings, describe_seconds
from lm_eval.hardware import Machine
from lm_eval.models.facts import ModelFacts
from lm_eval.plan import Plan, plan_remarks
from lm_eval.results import ResultsFolder
from lm_eval.scheduler import make_units
from lm_eval.worker import ModelKey
from lm_eval.workforce import Workforce, describe_share, plan_workforce


@dataclass(frozen=True)
class Prospect:
    """Who will carry a plan out, and how long it should take."""

    workforce: Workforce
    timings: Timings
    remaining: RemainingTime

    def lines(self) -> list[str]:
        """Describe it."""
        number = len(self.remaining.units)
        lines = [f"{number} pass{'' if number == 1 else 'es'} on {self.workforce.describe()}, {self._time()}"]
        if self.workforce.has_gpus:
            lines += [
                f"{describe_share(share)} a run: {Path(key[0]).name} ({self._size(key)})"
                for key, share in self.workforce.shares.items()
            ]
        return lines

    def _time(self) -> str:
        planned = self.remaining.planned_s()
        if planned is None:
            return "no estimate of the time (no past result like these)"
        told = (
            f"about {describe_seconds(planned)} by the times of {self.timings.num_results} past results, "
            "and the start of the workers"
        )
        unknown = self.remaining.num_unknown
        return told + (f" ({unknown} passes are unlike any of them)" if unknown else "")

    def _size(self, key: ModelKey) -> str:
        if key not in self.workforce.needs_gib:
            return "size unknown"
        billions = self.workforce.sizes[key] / 1e9
        return f"{billions:.2g} billion parameters, about {self.workforce.needs_gib[key]:.1f} GiB"


def look_ahead(
    plan: Plan,
    folder: ResultsFolder,
    facts: Mapping[str, ModelFacts],
    machines: Sequence[Machine],
    num_gpus: int | None,
) -> Prospect | None:
    """Decide who carries a plan out; None where nothing is to run.

    Args:
        plan: what is to run.
        folder: the results there are, whose times tell how long runs take.
        facts: of every model, by its name.
        machines: where.
        num_gpus: GPUs of each worker; None takes the fewest that hold its model.

    Raises:
        ConfigurationError: no machine has so many GPUs, or none holds a model.
    """
    if not plan.to_run:
        return None
    units = make_units([pending.config for pending in plan.to_run])
    workforce = plan_workforce(units, facts, machines, num_gpus)
    timings = Timings(folder, on_gpu=workforce.has_gpus)
    remaining = RemainingTime(units, timings, workforce.sizes, workforce.num_workers)
    return Prospect(workforce, timings, remaining)


def print_plan(plan: Plan, folder: ResultsFolder, prospect: Prospect | None) -> None:
    """Print what is to run, what is done, and what a user should know before trusting that."""
    for path, why in folder.unreadable.items():
        print(f"not a result, kept and ignored: {path} ({why})", file=sys.stderr)
    for remark in plan_remarks(plan):
        print(remark, file=sys.stderr)
    outdated = f" ({plan.num_outdated} of them outdated)" if plan.num_outdated else ""
    failed = f", {len(plan.failed)} failed before (--retry_failed runs them again)" if plan.failed else ""
    print(f"{folder.path}: {len(plan.to_run)} to run{outdated}, {len(plan.done)} done{failed}")
    if prospect is not None:
        print("\n".join(prospect.lines()))
    sys.stdout.flush()

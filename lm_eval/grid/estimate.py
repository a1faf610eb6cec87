"""The estimate of a plan: which workers it gets, and how long it will take."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lm_eval.common.text import describe_seconds, short_name
from lm_eval.grid.plan import Plan
from lm_eval.results.folder import ResultsFolder
from lm_eval.scheduling.allocation import Workforce, describe_share, plan_workforce
from lm_eval.scheduling.cutting import cut_units
from lm_eval.scheduling.hardware import Machine
from lm_eval.scheduling.timing import RemainingTime, Timings
from lm_eval.scheduling.units import ModelKey, make_units


@dataclass(frozen=True)
class Estimate:
    """The workers of a plan, and how long it should take."""

    workforce: Workforce
    timings: Timings
    remaining: RemainingTime

    def lines(self) -> list[str]:
        """Describe workers and time, line by line."""
        number = len(self.remaining.units)
        lines = [f"{number} pass{'' if number == 1 else 'es'} on {self.workforce.describe()}, {self._time()}"]
        if self.workforce.has_gpus:
            lines += [
                f"{describe_share(share)} a run: {short_name(key[0])} ({self._size(key)})"
                for key, share in self.workforce.shares.items()
            ]
        return lines

    def _time(self) -> str:
        planned = self.remaining.planned_s()
        if planned is None:
            return "no estimate of the time (no past result of such runs)"
        text = (
            f"about {describe_seconds(planned)} by the times of {self.timings.num_results} past results, "
            "plus the start of the workers"
        )
        unknown = self.remaining.num_unknown
        return text + (f" ({unknown} passes have no similar past result)" if unknown else "")

    def _size(self, key: ModelKey) -> str:
        if key not in self.workforce.needs_gib:
            return "size unknown"
        billions = self.workforce.sizes[key] / 1e9
        return f"{billions:.2g} billion parameters in {key[2]}, about {self.workforce.needs_gib[key]:.1f} GiB"


def make_estimate(
    plan: Plan,
    folder: ResultsFolder,
    sizes: Mapping[str, int | None],
    machines: Sequence[Machine],
    num_gpus: int | None,
) -> Estimate | None:
    """Plan the workers and estimate the time; None where nothing is to run.

    Args:
        plan: what is to run.
        folder: the results folder, whose results state how long they took.
        sizes: parameters of every model, by its name; None where they are not known.
        machines: those to run on.
        num_gpus: GPUs of each worker; None takes the fewest that hold its model.

    Raises:
        ConfigurationError: no machine has so many GPUs, or none holds a model.
    """
    if not plan.to_run:
        return None
    on_gpu = any(machine.gpus for machine in machines)
    units = cut_units(make_units(plan.to_run), sizes, on_gpu=on_gpu)
    workforce = plan_workforce(units, sizes, machines, num_gpus)
    timings = Timings(folder, on_gpu=workforce.has_gpus)
    remaining = RemainingTime(units, timings, workforce.sizes, workforce.num_workers)
    return Estimate(workforce, timings, remaining)

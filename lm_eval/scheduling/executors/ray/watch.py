"""Watching the signs of life of workers: which one is named as silent, and which one is replaced."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from lm_eval.common.console import print_safely
from lm_eval.common.text import describe_seconds
from lm_eval.scheduling.executors.signs import Sign
from lm_eval.scheduling.units import ModelKey

NAMED_S = 60.0
"""Silence beyond what is usual, after which a worker is named."""
STALL_TIMEOUT_S = 900.0
"""Silence after which a worker is replaced."""
_STEP_S = 15.0
"""The most that counts as silence between two looks: the driver may have been stopped itself."""


@dataclass(eq=False)
class Watched:
    """What is known of a worker's signs of life."""

    name: str
    sign: Sign | None = None
    """The last one; None before the first."""
    silent_s: float = 0.0
    is_named: bool = False
    is_ended: bool = False
    """Whether its process was told to end, as it was silent for too long."""


@dataclass
class Watch:
    """Looks at the signs of life of workers that compute."""

    stall_timeout_s: float = STALL_TIMEOUT_S
    _usual_s: dict[ModelKey, float] = field(default_factory=dict)
    """The longest silence of a worker that then went on, by its model."""
    _looked: float | None = None

    def look(
        self, workers: Mapping[ModelKey, list[Watched]], signs: Mapping[str, Sign], now: float
    ) -> Iterator[Watched]:
        """Take what workers show, name those that are silent, and yield those that are to be replaced.

        Args:
            workers: those that compute, by their model.
            signs: the last sign of each worker.
            now: the time, in seconds; what has passed since the last look counts.
        """
        passed_s = 0.0 if self._looked is None else min(_STEP_S, now - self._looked)
        self._looked = now
        for key, alike in workers.items():
            for one in alike:
                sign = signs.get(one.name)
                if sign is None:  # it hasn't begun, or cannot show any
                    continue
                if sign != one.sign:
                    self._go_on(key, one, sign)
                    continue
                one.silent_s += passed_s
                self._name(key, one)
                if one.silent_s >= self.stall_timeout_s and not one.is_ended:
                    one.is_ended = True
                    yield one

    def begin(self, one: Watched) -> None:
        """Begin to count anew, as a worker gets work."""
        one.silent_s, one.is_named = 0.0, False

    def _go_on(self, key: ModelKey, one: Watched, sign: Sign) -> None:
        self._usual_s[key] = max(self._usual_s.get(key, 0.0), one.silent_s)
        if one.is_named:
            print_safely(f"{one.name} shows signs of life again")
        one.sign, one.silent_s, one.is_named = sign, 0.0, False

    def _name(self, key: ModelKey, one: Watched) -> None:
        usual_s = self._usual_s.get(key, 0.0)
        if one.silent_s >= min(usual_s + NAMED_S, self.stall_timeout_s) and not one.is_named:
            one.is_named = True
            print_safely(
                f"{one.name} has shown no sign of life for {describe_seconds(one.silent_s)}; it is replaced after "
                f"{describe_seconds(self.stall_timeout_s)} (--stall_timeout)"
            )

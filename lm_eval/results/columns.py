"""The columns of a table of results: what each says of a result, how it is sorted, which are shown."""

import functools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from lm_eval.common.text import did_you_mean
from lm_eval.common.text_table import NOTHING, Heading
from lm_eval.config.run_config import ENCODING_SCHEMES
from lm_eval.config.settings import SETTING_NAMES
from lm_eval.errors import ConfigurationError
from lm_eval.results.baselines import CLEAR, Baseline, baseline_of, dtype_of
from lm_eval.results.identity import BaselineKey, loading_of
from lm_eval.results.labels import say_cell
from lm_eval.results.result_file import StoredResult

ERROR = "± s.e."
Value = str | float | None


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column: its name, the same wherever it is typed or shown, and its value for a result."""

    name: str
    of: Callable[[StoredResult], Value]
    error: Callable[[StoredResult], float | None] | None = None
    """Its standard error, shown beside it."""
    is_score: bool = False
    """Whether it is a measurement, of which the highest come first."""
    is_number: bool = False
    """Whether it is a number, though no measurement."""
    section: Literal["never", "early", "late"] = "never"
    """Whether rows may be put into sections by it if the table is too wide."""
    order: Callable[[StoredResult], Any] | None = None
    """What it is sorted by; None sorts by its value, numbers in a text by their size."""

    @property
    def heading(self) -> Heading:
        """Its heading in a table of text."""
        name = self.name if self.error is None else f"{self.name} {ERROR}"
        return Heading(name=name, is_number=self.is_score or self.is_number, section=self.section)

    def say(self, stored: StoredResult) -> str:
        """Return its value as text."""
        value = self.of(stored)
        if value is None:
            return NOTHING
        if not isinstance(value, float):
            return value
        error = None if self.error is None else self.error(stored)
        return f"{value:.3f}" if error is None else f"{value:.3f} ± {error:.3f}"

    def sort_key(self, stored: StoredResult) -> tuple[object, ...]:
        """Return what it is sorted by; results without a value come last among scores, first among settings."""
        if self.order is not None:
            return (self.order(stored),)
        value = self.of(stored)
        if self.is_score:
            return (value is None, -float(value or 0.0))
        return natural(value)


@functools.lru_cache(maxsize=1 << 14)
def natural(value: Value) -> tuple[object, ...]:
    """Return a key that sorts numbers in texts by their size: chunk2 before chunk16."""
    if value is None:
        return ()
    text = re.sub(r"\bconcat$", "chunk1", str(value))  # which is the same
    parts = re.split(r"(-?\d{1,1000})", text)  # Python reads no integer of more than 4,300 digits
    return tuple((0, int(part), "") if index % 2 else (1, 0, part) for index, part in enumerate(parts) if part)


def _metric(name: str) -> Column:
    return Column(
        name=name,
        of=lambda stored: stored.metrics.get(name),
        error=lambda stored: stored.metrics.get(f"{name}_stderr"),
        is_score=True,
    )


def _setting(name: str) -> Column:
    def of(stored: StoredResult) -> str:
        config = stored.config
        return say_cell(name, config.vectors.public()[name], kind=config.model, scheme=config.encoding_scheme)

    return Column(name=name, of=of, order=lambda stored: natural(stored.config.vectors.public()[name]))


def _scheme_order(stored: StoredResult) -> int:
    scheme = stored.config.encoding_scheme
    return -1 if scheme is None else ENCODING_SCHEMES.index(scheme)


_RUN = (
    Column(name="task", of=lambda stored: stored.config.task, section="early"),
    Column(name="model", of=lambda stored: stored.config.model_name, section="early"),
    Column(
        name="encoding_scheme",
        of=lambda stored: stored.config.encoding_scheme or stored.config.model,
        section="late",
        order=_scheme_order,
    ),
    Column(
        name="shots",
        of=lambda stored: str(stored.config.num_fewshot),
        section="early",
        order=lambda stored: -stored.config.num_fewshot,
    ),
)
_SETTINGS = tuple(_setting(name) for name in SETTING_NAMES)
_ORIGINS = (
    Column(name="limit", of=lambda stored: str(stored.config.limit)),
    Column(name="seed", of=lambda stored: str(stored.config.seed)),
    Column(name="dtype", of=lambda stored: str(dtype_of(stored))),
    Column(name="loading", of=lambda stored: str(loading_of(stored.config))),
    Column(name="data_dir", of=lambda stored: str(stored.config.data_dir)),
    Column(name="pretrained", of=lambda stored: stored.config.pretrained),
    Column(name="description", of=lambda stored: stored.config.description),
)
"""Shown where rows differ in them, but for the model's whole name."""
_FILE = Column(name="file", of=lambda stored: str(stored.path))
USUAL_ORDER = (*_RUN[:2], _RUN[3], _RUN[2], *_SETTINGS, *_ORIGINS)
"""Task, model, shots (most first), scheme, settings."""


def _normalised(baselines: Mapping[BaselineKey, Baseline]) -> Column:
    def of(stored: StoredResult) -> float | None:
        baseline = baseline_of(stored, baselines)
        return accuracy(stored) / baseline.acc if baseline is not None and baseline.acc else None

    return Column(name="normalised", of=of, is_score=True)


def _chance_corrected(baselines: Mapping[BaselineKey, Baseline]) -> Column:
    def of(stored: StoredResult) -> float | None:
        baseline, chance = baseline_of(stored, baselines), stored.chance
        if baseline is None or chance is None:
            return None
        error = math.hypot(baseline.error, stored.metrics.get("rand_acc_stderr") or 0.0)
        is_clear = baseline.acc - chance > CLEAR * error
        return (accuracy(stored) - chance) / (baseline.acc - chance) if is_clear else None

    return Column(name="chance_corrected", of=of, is_score=True)


def accuracy(stored: StoredResult) -> float:
    """Return the accuracy of a result."""
    return stored.accuracy


def all_columns(results: Sequence[StoredResult], baselines: Mapping[BaselineKey, Baseline] | None) -> dict[str, Column]:
    """Return every column that results can be shown by, by name."""
    metrics = dict.fromkeys(
        name for stored in results for name in stored.metrics if not name.endswith("_stderr") and name != "acc"
    )
    scores = [] if baselines is None else [_normalised(baselines), _chance_corrected(baselines)]
    columns = (*_RUN, *_SETTINGS, *_ORIGINS, _metric("acc"), *scores, *map(_metric, metrics), _FILE)
    return {column.name: column for column in columns}


def usual_columns(results: Sequence[StoredResult], known: Mapping[str, Column]) -> list[Column]:
    """Return the columns that are shown unless others are asked for: what results state and differ in, their scores."""
    stated = {name for stored in results for name in stored.config.vectors.stated()}
    names = [column.name for column in _RUN]
    names += [name for name in SETTING_NAMES if name in stated]
    names += [
        column.name
        for column in _ORIGINS
        if column.name != "pretrained" and len({column.of(stored) for stored in results}) > 1
    ]
    names += [name for name in ("acc", "normalised", "chance_corrected") if name in known]
    return [known[name] for name in names]


def pick_columns(names: Sequence[str], known: Mapping[str, Column], what: str) -> list[Column]:
    """Return the columns of these names.

    Raises:
        ConfigurationError: a name that none has.
    """
    for name in names:
        if name not in known:
            raise ConfigurationError(
                f"{what}: unknown column {name!r}{did_you_mean(name, list(known))}; choose from {', '.join(known)}"
            )
    return [known[name] for name in dict.fromkeys(names)]

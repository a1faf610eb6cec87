"""What a section of `gpu.py` gets: where it runs, and the report that it fills row by row.

Every row is printed and written at once, so that nothing is lost when a later one hangs or the machine is taken away.
"""

import json
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

Item = TypeVar("Item")
Figures = Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Where everything runs."""

    device: str
    """A torch device."""
    tiny: bool
    """Whether this is a rehearsal, whose times say nothing."""
    folder: Path
    """For data and models that are made; removed at the end."""

    @property
    def on_card(self) -> bool:
        """Whether the device is a GPU."""
        return self.device.startswith("cuda")


class Report:
    """Rows of figures by section, printed and written as soon as they are known."""

    def __init__(self, path: Path | None, limit_s: float) -> None:
        self._path = path
        self._ends = time.monotonic() + limit_s
        self._rows: list[dict[str, Any]] = []
        self.content: dict[str, Any] = {"sections": {}}

    @property
    def left_s(self) -> float:
        """Seconds until the deadline."""
        return self._ends - time.monotonic()

    @property
    def failures(self) -> list[str]:
        """The names of rows that failed, or whose check did."""
        sections = self.content["sections"].values()
        return [row["row"] for rows in sections for row in rows if "error" in row or row.get("ok") is False]

    def figure(self, name: str, row: str, key: str) -> Any:  # noqa: ANN401
        """Return a figure of an earlier section; None where there is none."""
        rows = self.content["sections"].get(name, ())
        return next((one.get(key) for one in rows if one["row"] == row), None)

    @contextmanager
    def section(self, name: str) -> Iterator[None]:
        """Collect the rows of a section; an error ends it and becomes a row."""
        self._rows = self.content["sections"][name] = []
        print(f"\n{name}", flush=True)
        began = time.monotonic()
        with self.part(name):
            yield
        self.row("time", {"seconds": time.monotonic() - began})

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Let an error become a row, so that what comes next goes on."""
        try:
            yield
        except Exception as error:
            text = " ".join(str(error).split())[:300]
            self.row(name, {"error": f"{type(error).__name__}: {text}"}, {"traceback": traceback.format_exc()})

    def row(self, name: str, figures: Figures, details: Figures | None = None) -> None:
        """Add a row; details go to the file alone."""
        shown = "; ".join(f"{key} {_short(value)}" for key, value in figures.items())
        print(f"  {name:46} {shown}", flush=True)
        self._rows.append({"row": name, **figures, **(details or {})})
        self.write()

    def in_time(self, items: Iterable[Item], name: Callable[[Item], str], at_most_s: float) -> Iterator[Item]:
        """Yield items until the deadline, or until a section has taken what it may; what is left out becomes a row."""
        ends = time.monotonic() + min(at_most_s, self.left_s)
        for item in items:
            if time.monotonic() < ends:
                yield item
            else:
                self.row(name(item), {"left out": "no time"})

    def write(self) -> None:
        """Write all that is known, in the place of what was written before."""
        if self._path is None:
            return
        beside = self._path.with_name(f"{self._path.name}.part")
        content = json.loads(json.dumps(self.content, default=str), parse_constant=str)  # JSON has no NaN
        beside.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        beside.replace(self._path)


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)

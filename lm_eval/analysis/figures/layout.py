"""What stands around the panels of a figure: title, subtitle, legend, the names of panels, the ends of axes."""

import html
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from lm_eval.analysis.figures.style import FAINT, FONT, INK, SMALL, TEMPLATE, WIDTH
from lm_eval.analysis.scores import INTERVAL

_LETTER_PX, _WIDE_PX = 8.0, 12.0
"""Of a subtitle's letters: most, and capitals, of which the names of settings are made."""
_TITLE_PX = 42
_SUBTITLE_PX = 25
_LEGEND_ROW_PX = 25
ENTRY_PX = 240
"""Of the legend, with its symbol."""
_PANEL_TITLE_PX = 30


@dataclass(frozen=True)
class Legend:
    """How much room a legend takes."""

    num_entries: int
    columns: int = 2
    """1 where long labels leave little room for the panels, which a legend can't exceed."""

    @property
    def height(self) -> int:
        """In pixels."""
        return _LEGEND_ROW_PX * -(-self.num_entries // self.columns) + (10 if self.num_entries else 0)


def new_layout(
    title: str,
    *,
    plot_height: int,
    subtitle: str = "",
    legend: Legend = Legend(0),
    above: int = _PANEL_TITLE_PX,
    below: int = 60,
) -> dict[str, Any]:
    """Return the layout of a figure: title, subtitle and legend above the panels, in as much room as they take.

    Args:
        title: what the figure shows.
        plot_height: of the panels together, in pixels.
        subtitle: how to read it.
        legend: its size; without entries there is none.
        above: room for what is between legend and panels.
        below: room for what is below the panels.
    """
    head = _TITLE_PX + (_SUBTITLE_PX * (1 + subtitle.count("<br>")) if subtitle else 0)
    top = head + legend.height + above
    height = plot_height + top + below
    small = f"<br><span style='font-size:{SMALL}px;color:{FAINT}'>{subtitle}</span>" if subtitle else ""
    return {
        "template": TEMPLATE,
        "title": {"text": title + small, "x": 0.01, "xref": "container", "pad": {"t": 26 if small else 12}},
        "height": height,
        "width": WIDTH,
        "margin": {"t": top, "b": below, "l": 75, "r": 15},
        "legend": _place_legend(1 - head / height),
        "showlegend": legend.num_entries > 0,
    }


def lines(*texts: str, width: int = WIDTH) -> str:
    """Return texts one below the other, broken where they would leave a figure; empty ones are left out.

    Args:
        texts: of a subtitle.
        width: of the figure, in pixels.
    """
    return "<br>".join(part for text in texts if text for part in _broken(text, width - 20))


def _broken(text: str, room: float) -> Iterator[str]:
    """Yield the lines of a text, each in a room in pixels; a word that is longer than a line is broken too."""
    line = ""
    for word in text.split():
        longer = f"{line} {word}".lstrip()
        if line and _width(longer) > room:
            yield line
            longer = word
        while _width(longer) > room:
            end = next(end for end in range(len(longer), 0, -1) if end == 1 or _width(longer[:end]) <= room)
            yield longer[:end]
            longer = longer[end:]
        line = longer
    if line:
        yield line


def _width(text: str) -> float:
    shown = html.unescape(text)
    num_wide = sum(letter.isupper() for letter in shown)
    return _WIDE_PX * num_wide + _LETTER_PX * (len(shown) - num_wide)


def error_bars(errors: "pd.Series[float]", **looks: object) -> dict[str, Any]:
    """Return error bars of 95 % intervals; errors that aren't known are not drawn.

    Args:
        errors: standard errors.
        looks: of the bars.
    """
    if errors.isna().all():
        return {"visible": False}
    sizes = (INTERVAL * errors.astype("object")).where(errors.notna(), None).tolist()
    return {"type": "data", "array": sizes, "color": INK, "thickness": 1.3, "width": 2, **looks}


def _place_legend(top: float) -> dict[str, Any]:
    return {
        "orientation": "h",
        "xref": "container",
        "x": 0.01,
        "xanchor": "left",
        "yref": "container",
        "y": top,
        "yanchor": "top",
        "entrywidth": ENTRY_PX,
        "entrywidthmode": "pixels",
    }


def span(
    traces: Iterable[Any], axis: str, *, including: Sequence[float] = (), room: float = 0.05
) -> tuple[float, float]:
    """Return what an axis must span for all that is drawn, with its errors.

    Args:
        traces: those drawn on the axis.
        axis: `x` or `y`.
        including: values that must lie inside too.
        room: at both ends, as a share of the whole.
    """
    ends = [float(value) for value in including]
    for trace in traces:
        values = [] if trace[axis] is None else list(trace[axis])
        error = trace[f"error_{axis}"].array
        errors = [None] * len(values) if error is None else list(error)
        for value, size in zip(values, errors, strict=True):
            if value is not None and not pd.isna(value):
                room_of_error = 0.0 if size is None else size
                ends += [float(value - room_of_error), float(value + room_of_error)]
    low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)
    margin = room * (high - low or 1.0)
    return low - margin, high + margin


def panel_title(axis: int, text: str) -> dict[str, Any]:
    """Return the annotation that names a panel, at its upper left.

    Args:
        axis: the number of the panel's axes, from 1.
        text: its name.
    """
    number = "" if axis == 1 else str(axis)
    return {
        "text": f"<b>{text}</b>",
        "xref": f"x{number} domain",
        "yref": f"y{number} domain",
        "x": 0,
        "y": 1,
        "xanchor": "left",
        "yanchor": "bottom",
        "showarrow": False,
        "font": {"size": FONT},
    }

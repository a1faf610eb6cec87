"""Two runs over the same documents: which each has right, by how much, and the difference with its interval."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from lm_eval.analysis.compare import LEVEL, Comparison, Samples, compare
from lm_eval.analysis.figures.layout import lines, new_layout
from lm_eval.analysis.figures.selection import plain
from lm_eval.analysis.figures.style import BEST, COLOURS, FAINT, INK, SMALL, TRIED
from lm_eval.errors import ConfigurationError

_SQUARE_PX, _GAP_PX, _STRIP_PX = 460, 90, 70
_NEITHER = "#ffffff"
_ROOM = 1.15
"""Of an axis beyond its end, where the counts of documents stand."""
_WIDEST = 0.99
"""Quantile of the margins' sizes at which an axis ends; what lies beyond is drawn at the edge."""


def agreement(a: Samples, b: Samples, *, title: str | None = None, subtitle: Sequence[str] = ()) -> go.Figure:
    """Draw every document by its margin in two runs, how many each has right, and the difference of their accuracies.

    Args:
        a: a run's answers.
        b: another's, over the same data.
        title: in place of one that says which files are compared.
        subtitle: lines that say what A and B are.

    Raises:
        ConfigurationError: they are of other data, or share no document that has a right and a wrong choice.
    """
    found = compare(a, b)
    table = pd.DataFrame({"A": a.margins, "B": b.margins, "in A": a.is_right, "in B": b.is_right}).dropna()
    if table.empty:
        raise ConfigurationError(f"{a.path}, {b.path}: no margins to draw, no document has a right and a wrong choice")
    heights = [_SQUARE_PX, _STRIP_PX]
    total = sum(heights) + _GAP_PX
    figure = make_subplots(
        rows=2, cols=1, row_heights=[height / sum(heights) for height in heights], vertical_spacing=_GAP_PX / total
    )
    ends = {run: _end_of(table[run]) for run in ("A", "B")}
    for trace in _documents(table, ends):
        figure.add_trace(trace, row=1, col=1)
    figure.add_trace(_interval(found), row=2, col=1)
    name = title or f"Where two runs part: {plain(a.path.stem)} (A), {plain(b.path.stem)} (B)"
    below = f"{found.num_documents} documents, {a.task}; margin: the right choice's score less the best wrong one's"
    figure.update_layout(**new_layout(name, plot_height=total, subtitle=lines(*map(plain, subtitle), below), below=70))
    _label(figure, found, ends)
    return figure


def _end_of(margins: "pd.Series[float]") -> float:
    return float(margins.abs().quantile(_WIDEST)) or 1.0


def _documents(table: pd.DataFrame, ends: dict[str, float]) -> list[go.Scatter]:
    """Return a trace for each of the four ways in which two runs can answer."""
    looks = {
        (True, True): ("both right", TRIED, "circle"),
        (True, False): ("only A right", COLOURS[0], "square"),
        (False, True): ("only B right", BEST, "diamond"),
        (False, False): ("both wrong", _NEITHER, "circle"),
    }
    traces = []
    for (in_a, in_b), (name, colour, symbol) in looks.items():
        rows = table[(table["in A"] == in_a) & (table["in B"] == in_b)]
        traces.append(
            go.Scatter(
                x=np.clip(rows["A"], -ends["A"], ends["A"]),
                y=np.clip(rows["B"], -ends["B"], ends["B"]),
                customdata=rows[["A", "B"]].assign(document=rows.index)[["document", "A", "B"]].to_numpy(),
                mode="markers",
                name=name,
                showlegend=False,
                cliponaxis=False,
                marker={"color": colour, "symbol": symbol, "size": 8, "line": {"color": INK, "width": 0.8}},
                hovertemplate=f"document %{{customdata[0]}}, {name}<br>margin A %{{customdata[1]:.4g}}, "
                "B %{customdata[2]:.4g}<extra></extra>",
            )
        )
    return traces


def _interval(found: Comparison) -> go.Scatter:
    error = {"array": [found.high - found.difference], "arrayminus": [found.difference - found.low]}
    return go.Scatter(
        x=[found.difference],
        y=[0],
        error_x={"type": "data", "symmetric": False, "color": INK, "thickness": 2, "width": 6, **error},
        mode="markers",
        marker={"color": INK, "size": 12},
        showlegend=False,
        hovertemplate=f"B - A = {found.difference:+.3f}<br>{LEVEL:.0%} interval {found.low:+.3f} to {found.high:+.3f}"
        "<extra></extra>",
    )


def _label(figure: go.Figure, found: Comparison, ends: dict[str, float]) -> None:
    zero = {"zeroline": True, "zerolinecolor": INK, "zerolinewidth": 1.5}
    for axis, run in (("xaxis", "A"), ("yaxis", "B")):
        reach = _ROOM * ends[run]
        figure.layout[axis].update(range=(-reach, reach), title_text=f"margin in {run}", **zero)
    reach = 1.15 * max(0.02, abs(found.low), abs(found.high))
    difference = f"accuracy of B less A: {found.difference:+.3f} ({LEVEL:.0%}: {found.low:+.3f} to {found.high:+.3f})"
    figure.update_xaxes(range=(-reach, reach), title_text=difference, tickformat="+.2f", **zero, row=2, col=1)
    figure.update_yaxes(visible=False, range=(-1, 1), row=2, col=1)
    both = round(found.acc_a * found.num_documents) - found.only_a
    neither = found.num_documents - both - found.only_a - found.only_b
    counts = {
        (1, 1): (both, "both right"),
        (1, 0): (found.only_a, "only A right"),
        (0, 1): (found.only_b, "only B right"),
        (0, 0): (neither, "both wrong"),
    }
    for (x, y), (count, name) in counts.items():
        side = {"x": x, "y": y, "xanchor": ("left", "right")[x], "yanchor": "bottom"}
        figure.add_annotation(
            text=f"<b>{count}</b> {name}", xref="x domain", yref="y domain", showarrow=False,
            font={"size": SMALL, "color": INK if count else FAINT}, **side,
        )  # fmt: skip

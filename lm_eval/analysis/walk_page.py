"""A page of one context's walk: its text, the figure, the nearest tokens at each step, all documents' margins.

It needs nothing beside it, and no network.
"""

import html
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go

from lm_eval.analysis.figures.margin_map import margin_map
from lm_eval.analysis.figures.style import CONFIG
from lm_eval.analysis.figures.walk_map import walk_map
from lm_eval.analysis.movement import CONTEXT, Margins, Walk
from lm_eval.common.atomic import written_whole
from lm_eval.common.text import short_name

_STYLE = """
body { font: 16px/1.5 Arial, Helvetica, sans-serif; color: #222; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; font-size: 14px } td, th { border: 1px solid #ccc; padding: .25rem .5rem;
text-align: left; vertical-align: top } th { background: #f3f3f3 } .right { background: #e3f0fa }
code { background: #f3f3f3 } .scroll, .figure { overflow-x: auto } p.note { color: #595959 }
"""
_NEAREST = (
    "<p>Rows of the output matrix with the largest dot products with a vector, once it has been through the final "
    "norm; the last layer's has been through it already. A vector that averages tokens is no state of the model, so "
    "these are what it points to, not what the model would say.</p>"
)


def write_walk_page(walk: Walk, margins: Margins | None, path: Path) -> None:
    """Write the page of a walk.

    Args:
        walk: the walk.
        margins: of all documents, drawn beneath it; None leaves them out.
        path: the file.
    """
    guessing = 1 / len(walk.choices)
    figures = [walk_map(walk)] if margins is None else [walk_map(walk), margin_map(margins, chance=guessing)]
    drawn = [_draw(figure, is_first=index == 0) for index, figure in enumerate(figures)]
    parts = [
        f"<h1>Document {walk.doc_id} of {html.escape(walk.task)}: {html.escape(short_name(walk.model))}</h1>",
        f"<p class='note'>{html.escape(walk.settings)}</p>",
        f"<p><strong>Context.</strong> {_text(walk.context)}</p>",
        _list_choices(walk),
        "<h2>The walk</h2>",
        drawn[0],
        _explain(walk),
        "<h2>The nearest tokens at each step</h2>",
        _NEAREST,
        f"<div class='scroll'>{_nearest(walk)}</div>",
    ]
    if margins is not None:
        parts += ["<h2>All documents</h2>", drawn[1], _list_share(margins)]
    parts += ["<h2>Layers</h2>", _table(walk.scales.round(4))]
    title = f"walk of document {walk.doc_id}"
    page = (
        f"<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        f"<meta name='viewport' content='width=device-width, initial-scale=1'><title>{title}</title>"
        f"<style>{_STYLE}</style></head><body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )
    with written_whole(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _draw(figure: go.Figure, *, is_first: bool) -> str:
    """Return a figure as HTML; the first brings plotly with it."""
    drawn = str(figure.to_html(full_html=False, include_plotlyjs=is_first, config=CONFIG))
    return f"<div class='figure'>{drawn}</div>"


def _text(text: str) -> str:
    return html.escape(text).replace("\n", "<br>")


def _list_choices(walk: Walk) -> str:
    rows = [
        f"<li{' class=right' if index in walk.gold else ''}>{_text(choice.strip())}"
        f"{' (right)' if index in walk.gold else ''}</li>"
        for index, choice in enumerate(walk.choices)
    ]
    return f"<ol>{''.join(rows)}</ol>"


def _explain(walk: Walk) -> str:
    first, second = walk.explained
    return (
        f"<p>Each layer is centred on the mean of its vectors (contexts and choices of {walk.num_documents} documents) "
        "and divided by the mean length of what is left: otherwise the picture would show that vectors grow. The axes "
        f"are the first two principal components of the positions drawn; they hold {first:.1%} and {second:.1%} of "
        "their variance.</p>"
    )


def _nearest(walk: Walk) -> str:
    points = list(dict.fromkeys(walk.table["point"]))
    names = [CONTEXT if point == CONTEXT else f"choice {point}" for point in points]
    right = [bool(walk.table.loc[walk.table["point"] == point, "is_right"].any()) for point in points]
    marks = [" class=right" if is_right else "" for is_right in right]
    head = "".join(f"<th{mark}>{name}</th>" for mark, name in zip(marks, names, strict=True))
    rows = []
    for layer in walk.layers:
        of_layer = walk.table[walk.table["layer"] == layer].set_index("point")["nearest"]
        cells = (f"<td{mark}>{_tokens(of_layer[point])}</td>" for mark, point in zip(marks, points, strict=True))
        rows.append(f"<tr><th>{layer}</th>{''.join(cells)}</tr>")
    return f"<table><tr><th>layer</th>{head}</tr>{''.join(rows)}</table>"


def _tokens(tokens: Sequence[str]) -> str:
    return " ".join(f"<code>{html.escape(repr(token)[1:-1]).replace(' ', '&nbsp;')}</code>" for token in tokens)


def _list_share(margins: Margins) -> str:
    share = margins.share_right()
    best, value = max(share.items(), key=lambda pair: pair[1])
    return f"<p>Most documents are right at layer {best}: {value:.1%} of them.</p>"


def _table(table: pd.DataFrame) -> str:
    return str(table.to_html(index=False, border=0))

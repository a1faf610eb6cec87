"""What pages are made of: templates, styles and scripts of this package, plotly.js and DataTables as shipped."""

import functools
import gzip
import json
from base64 import b64encode
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs
from plotly.utils import PlotlyJSONEncoder

from lm_eval.analysis.figures.style import FAINT, GRID, INK, SHADE, TRIED

_STATIC = Path(__file__).with_name("static")
DARK_PAPER = "#16181b"
"""The background of a dark page, as `base.css` has it."""
DARK = {
    INK: "#e6e6e6",
    FAINT: "#a3a3a3",
    GRID: "#3d3d3d",
    SHADE: "#333333",
    TRIED: "#5a5d63",
    '"fillcolor":"white"': f'"fillcolor":"{DARK_PAPER}"',
}
"""What is written in place of what in figures of a dark page: lines, words and boxes; colours with a meaning stay."""


def render(template: str, **values: object) -> str:
    """Return a page: a template of `static/`, filled; plain texts are escaped."""
    return _templates().get_template(template).render(**values) + "\n"


@functools.cache
def _templates() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_STATIC),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        files=_files,
        plotly_js=_plotly_js,
        datatables=_datatables,
        as_json=as_json,
        dark=DARK,
        dark_paper=DARK_PAPER,
    )
    return environment


def _files(*names: str) -> Markup:
    """Return files of this package, one behind the other."""
    text = "\n".join((_STATIC / name).read_text(encoding="utf-8") for name in names)
    return Markup(text)  # noqa: S704


def _plotly_js() -> Markup:
    return Markup(get_plotlyjs())  # noqa: S704  (as its package ships it)


def _datatables(ending: str) -> Markup:
    """Return DataTables as the package itables bundles it, fit to stand inside a page's element."""
    text = (resources.files("itables") / "html" / f"dt_bundle.{ending}").read_text(encoding="utf-8")
    return Markup(text.replace("</script", "<\\/script"))  # noqa: S704  (a file of that package)


def as_json(value: Any) -> Markup:  # noqa: ANN401
    """Return plain data, or what plotly makes, as JSON that can stand in a script element."""
    text = json.dumps(value, cls=PlotlyJSONEncoder, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c"))  # noqa: S704  (no element can begin or end in it)


def packed(value: object) -> str:
    """Return plain data as JSON, compressed, in letters that can stand in a page."""
    return b64encode(gzip.compress(json.dumps(value, separators=(",", ":")).encode(), mtime=0)).decode()

"""Files of figures."""

from pathlib import Path

import plotly.graph_objects as go

from lm_eval.analysis.figures.kaleido import draw
from lm_eval.analysis.figures.score_toggle import without_buttons
from lm_eval.analysis.figures.style import CONFIG
from lm_eval.common.atomic import written_whole
from lm_eval.errors import ConfigurationError

ENDINGS = (".png", ".pdf", ".html")
_SCALE = 2
"""Pixels of a PNG for each of the figure's: 418 dots an inch in a column of 85 mm."""


def save(figure: go.Figure, path: Path) -> list[Path]:
    """Write a figure as PNG, as PDF (both as it first shows, without buttons) and as a page.

    Pages need no network; those in a folder share `plotly.min.js` there.

    Args:
        figure: what to write.
        path: folder and name; an ending of the three is left out of account.

    Returns:
        The files written.
    """
    base = path.with_suffix("") if path.suffix in ENDINGS else path
    if not isinstance(figure, go.Figure):
        raise ConfigurationError(f"{base}: a figure is wanted, got {type(figure).__name__}")
    base.parent.mkdir(parents=True, exist_ok=True)
    still = without_buttons(figure)
    targets = {ending: base.with_name(base.name + ending) for ending in ENDINGS}
    for ending, target in reversed(targets.items()):  # the page first, which is there whatever becomes of the images
        with written_whole(target, ending=ending) as temporary:
            if ending == ".html":
                figure.write_html(temporary, include_plotlyjs="directory", config=CONFIG)
            else:
                temporary.write_bytes(draw(still, ending[1:], _SCALE if ending == ".png" else 1))
    return list(targets.values())

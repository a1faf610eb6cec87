"""Lets kaleido work where the path of its package has a blank, which its start script takes apart."""

import functools
import os
import tempfile
from pathlib import Path

import plotly.io

from lm_eval.errors import ConfigurationError


@functools.cache
def prepare_kaleido() -> None:
    """Let kaleido be started by links whose paths have no blank, where its own or plotly's has one.

    Raises:
        ConfigurationError: no folder for temporary files has a path without a blank.
    """
    scope = plotly.io.kaleido.scope
    if scope is None:  # plotly says what is missing
        return
    program, script = Path(scope.executable_path()), Path(scope.plotlyjs)
    if not any(map(_has_blank, (program, script))):
        return
    links = _link({"executable": program.parent, "plotly.min.js": script})
    scope.executable_path = lambda: str(links / "executable" / program.name)
    scope.plotlyjs = str(links / "plotly.min.js")


def _has_blank(path: Path) -> bool:
    return any(letter.isspace() for letter in str(path))


def _link(targets: dict[str, Path]) -> Path:
    """Make a folder of links, which is removed at the end of the process, and return its path."""
    usual = (tempfile.gettempdir(), "/tmp", "/var/tmp")  # noqa: S108
    places = [place for place in dict.fromkeys(usual) if os.access(place, os.W_OK)]
    fitting = [place for place in places if not _has_blank(Path(place))]
    if not fitting:
        raise ConfigurationError(
            f"no PNG or PDF can be made: the path {next(iter(targets.values()))} has a blank, which kaleido cannot be "
            f"started with, and so has that of temporary files, {places[0]}; set TMPDIR to a folder without one"
        )
    _kept.append(tempfile.TemporaryDirectory(prefix="lm_eval_kaleido_", dir=fitting[0]))
    folder = Path(_kept[-1].name)
    for name, target in targets.items():
        (folder / name).symlink_to(target)
    return folder


_kept: list[tempfile.TemporaryDirectory[str]] = []
"""Folders of links that kaleido works with until the process ends."""

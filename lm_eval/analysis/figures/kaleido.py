"""Images by kaleido: without a network, where its path has a blank, and where it hangs.

Its start script takes a path with a blank apart. On a busy machine about one start in a hundred never comes to an end.
"""

import contextlib
import functools
import os
import tempfile
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import plotly.graph_objects as go
import plotly.io
import psutil

from lm_eval.errors import ConfigurationError

_PATIENCE_S = (60.0, 240.0)
"""How long kaleido may take for an image, its start included, the first time and when it is started anew."""
_hangs = threading.Event()
"""Set once it has hung each time: no further image waits for it."""


def draw(figure: go.Figure, ending: str, scale: float = 1) -> bytes:
    """Return a figure as an image.

    Args:
        figure: what to draw.
        ending: of a file of the image's format, without the dot.
        scale: pixels of the image for each of the figure's.

    Raises:
        ConfigurationError: kaleido can't be started from where it lies.
        ValueError, RuntimeError: there is no kaleido, it can't draw the figure, or it hangs each time.
        OSError: it can't be started.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # kaleido starts a thread in an old way
        _prepare()
        for patience_s in () if _hangs.is_set() else _PATIENCE_S:
            with _ended_after(patience_s) as is_ended:
                try:
                    return bytes(figure.to_image(format=ending, scale=scale))
                except (ValueError, OSError):
                    if not is_ended.is_set():
                        raise
        _hangs.set()
        plotly.io.kaleido.scope._shutdown_kaleido()  # noqa: SLF001  (or a thread of it reads its end for ever)
    waited = ", ".join(f"{patience_s:g}" for patience_s in _PATIENCE_S)
    raise RuntimeError(f"no image was made: kaleido gave no answer, waited for {waited} s; .html pages need none")


@contextlib.contextmanager
def _ended_after(patience_s: float) -> Iterator[threading.Event]:
    """End kaleido where the block takes longer; plotly starts another for the next image.

    Yields:
        What is set once kaleido has been ended.
    """
    is_done, is_ended = threading.Event(), threading.Event()

    def end() -> None:
        left_s = patience_s
        while not is_done.wait(left_s):
            is_ended.set()
            _end_kaleido()
            left_s = 1.0  # one that starts only now is ended too

    guard = threading.Thread(target=end, daemon=True)
    guard.start()
    try:
        yield is_ended
    finally:
        is_done.set()
        guard.join()


def _end_kaleido() -> None:
    """End its start script and what that has started, which holds the other ends of its pipes."""
    program, below = plotly.io.kaleido.scope.executable_path(), list[psutil.Process]()
    for process in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if any(program in word for word in process.cmdline()):
                below += [process, *process.children(recursive=True)]
    for process in below:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(below, timeout=5)


@functools.cache
def _prepare() -> None:
    """Let kaleido ask no network, and start by links without blanks where its own path or plotly's has one.

    Raises:
        ConfigurationError: no folder for temporary files has a path without a blank.
    """
    scope = plotly.io.kaleido.scope
    if scope is None:  # plotly says what is missing
        return
    scope.mathjax = None  # formulas, which no figure has, would come from elsewhere
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

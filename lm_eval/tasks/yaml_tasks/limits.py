"""Bounds of what a task file may ask for: its size and nesting once aliases are followed, the time of its templates."""

import ctypes
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import yaml

MOST_BYTES = 8 << 20
MOST_NODES = 200_000
DEEPEST = 60
SECONDS = 5.0
"""For one value of one row; templates take milliseconds."""
MOST_CHARACTERS = 10_000_000
"""Of a text that a template makes."""

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SUSPICIOUS_BRACKETS = 200


def check_yaml(text: bytes) -> None:
    """Check that a file is not too large, not nested too deeply, and that its aliases don't multiply without end.

    Raises:
        ValueError: it is; the message says in what.
        yaml.YAMLError: it is no YAML.
    """
    if len(text) > MOST_BYTES:
        raise ValueError(f"{len(text):,} bytes, and a task file may have {MOST_BYTES:,}")
    if b"&" not in text and not _may_be_deep(text):
        return
    sizes: dict[str, int] = {}
    open_: list[tuple[str | None, int]] = []
    total = 0
    for event in yaml.parse(text, _Loader):
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise ValueError(f"the alias *{event.anchor} stands for something that isn't whole before it")
            total += sizes[event.anchor]
        elif isinstance(event, yaml.CollectionStartEvent):
            open_.append((event.anchor, total))
            total += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_.pop()
            if anchor is not None:
                sizes[anchor] = total - before
        elif isinstance(event, yaml.ScalarEvent):
            total += 1
            if event.anchor is not None:
                sizes[event.anchor] = 1
        if len(open_) > DEEPEST:
            raise ValueError(f"nested more than {DEEPEST} deep")
        if total > MOST_NODES:
            raise ValueError(f"more than {MOST_NODES:,} values once its aliases are followed")


def _may_be_deep(text: bytes) -> bool:
    """Whether a file without anchors may be nested too deeply, by its brackets and by how its lines begin."""
    if text.count(b"[") + text.count(b"{") > _SUSPICIOUS_BRACKETS:
        return True
    lines = text.splitlines()
    return any(len(line) - len(line.lstrip(b" -?:")) > DEEPEST for line in lines if len(line) > DEEPEST)


class TooLongError(Exception):
    """A template has taken too long."""

    def __str__(self) -> str:
        return f"it takes more than {SECONDS:.0f} s for one row"


@contextmanager
def limited_time() -> Iterator[None]:
    """End what the `with` block does after `SECONDS`.

    Raises:
        TooLongError: it took longer.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if is_main and hasattr(signal, "setitimer") and signal.getitimer(signal.ITIMER_REAL)[0] == 0:
        with _alarm():
            yield
        return
    with _watched():
        yield


@contextmanager
def _alarm() -> Iterator[None]:
    """End the block by a signal, which also interrupts regular expressions."""
    before = signal.signal(signal.SIGALRM, _raise)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before or signal.SIG_DFL)  # none where it was set outside Python


def _raise(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    raise TooLongError


_WATCHER = "lm_eval templates"
_lock = threading.Lock()
_began: dict[int, float] = {}
"""When the block of each thread that is in one began."""


@contextmanager
def _watched() -> Iterator[None]:
    """End the block by an exception that another thread sends."""
    thread = threading.get_ident()
    with _lock:
        _began[thread] = time.monotonic()
        if not any(other.name == _WATCHER for other in threading.enumerate()):
            threading.Thread(target=_watch, name=_WATCHER, daemon=True).start()
    try:
        yield
    finally:
        with _lock:
            _began.pop(thread, None)


def _watch() -> None:
    while True:
        time.sleep(SECONDS / 10)
        with _lock:
            for thread, began in list(_began.items()):
                if time.monotonic() - began > SECONDS:
                    del _began[thread]  # once: a second one would end what the thread does about the first
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(TooLongError))

"""The progress of one run: lines now and then where there is no terminal, a bar where there is one."""

import contextlib
import os

import pytest

from lm_eval.common.progress import DocumentProgress


class Clock:
    """A clock that is put forward by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("lm_eval.common.progress.time.monotonic", clock)
    return clock


def test_a_log_gets_a_line_now_and_then_with_the_time_that_is_left(clock, capsys):
    with DocumentProgress(2000, "hellaswag_d") as progress:
        advance = progress.start_window(1000, 100)
        clock.now = 20.0
        advance(10)
        assert capsys.readouterr().err == ""
        clock.now = 40.0
        advance(40)
        assert capsys.readouterr().err == "hellaswag_d: 500 of 2,000 documents, about 2 min 0 s left\n"
        clock.now = 41.0
        progress.finish_window(1000)
    assert capsys.readouterr().err == ""


def test_documents_of_an_earlier_call_say_nothing_of_the_time_that_is_left(clock, capsys):
    with DocumentProgress(2000, "hellaswag_d") as progress:
        progress.skip(1000)
        clock.now = 40.0
        progress.finish_window(500)
    assert capsys.readouterr().err == "hellaswag_d: 1,500 of 2,000 documents, about 40 s left\n"


def test_nothing_is_told_where_nothing_is_to_be_shown(clock, capsys):
    with DocumentProgress(10, "hellaswag_d", shown=False) as progress:
        clock.now = 1000.0
        progress.finish_window(5)
    assert capsys.readouterr().err == ""


def read_all(master: int) -> str:
    """What a terminal was sent, which comes in parts, once its other end is closed."""
    sent = b""
    with contextlib.suppress(OSError):  # the end, on Linux
        while part := os.read(master, 1 << 16):
            sent += part
    os.close(master)
    return sent.decode()


def test_a_terminal_gets_a_bar_that_ends_at_all_documents(monkeypatch):
    master, slave = os.openpty()
    with os.fdopen(slave, "w") as terminal:
        monkeypatch.setattr("sys.stderr", terminal)
        monkeypatch.setenv("TERM", "xterm")
        with DocumentProgress(10, "hellaswag_d", unit="texts") as progress:
            progress.start_window(10, 4)(2)
            progress.finish_window(10)
    sent = read_all(master)
    assert "hellaswag_d" in sent
    assert "10/10 texts" in sent

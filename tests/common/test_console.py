"""What is known of a terminal, and lines that fit it."""

import os
from collections.abc import Iterator
from typing import TextIO

import pytest

from lm_eval.common.console import fit, is_terminal, line_width, print_safely


@pytest.fixture
def terminal(monkeypatch) -> Iterator[TextIO]:
    """A terminal of 40 columns."""
    master, slave = os.openpty()
    monkeypatch.setenv("COLUMNS", "40")
    with os.fdopen(slave, "w") as stream:
        yield stream
    os.close(master)


def test_a_file_takes_lines_of_any_length_whatever_the_environment_says(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "40")
    assert line_width() is None
    assert fit("word " * 20) == "word " * 20


def test_lines_are_broken_between_words_where_a_terminal_is_too_narrow(terminal):
    assert line_width(terminal) == 40
    assert fit("  one " + "word " * 8, terminal).splitlines() == [f"  one{' word' * 7}", "      word"]
    assert fit("short", terminal) == "short"
    assert fit("x" * 50, terminal) == "x" * 50  # a path can't be broken


def test_a_dumb_terminal_is_none_that_moves_its_cursor(terminal, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    assert is_terminal(terminal)
    monkeypatch.setenv("TERM", "dumb")
    assert not is_terminal(terminal)


def test_what_cannot_be_printed_is_left_out(tmp_path):
    with (tmp_path / "log").open("w") as stream:
        print_safely("kept", stream)
    print_safely("lost", stream)  # it is closed
    assert (tmp_path / "log").read_text() == "kept\n"

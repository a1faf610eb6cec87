"""Shutting the machine down at the end, by programs named `shutdown` and `sudo` that only write down their call."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lm_eval.errors import ConfigurationError
from lm_eval.grid.script import carry_out
from lm_eval.scheduling.executors.in_process import InProcessExecutor
from tests.support.grids import options, small_grid


@pytest.fixture
def programs(tmp_path, monkeypatch) -> Path:
    """A folder that comes first where programs are looked for."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    return folder


def write_program(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


@pytest.fixture
def calls(programs, tmp_path) -> Callable[[], list[str]]:
    """For each call of `shutdown` so far: its arguments, and how many results lay there."""
    record, results = tmp_path / "calls", tmp_path / "results"
    write_program(programs / "sudo", 'shift; exec "$@"')
    write_program(programs / "shutdown", f'echo "$*:" $(ls {results} 2>/dev/null | grep -c "json$") >>{record}')
    return lambda: record.read_text().splitlines() if record.exists() else []


def test_it_happens_only_when_asked_and_after_the_results_are_written(gpt2, data_dir, tmp_path, calls):
    results = tmp_path / "results"

    def run(**changed):
        return carry_out([small_grid(gpt2)], options(data_dir, results, **changed), "unused", InProcessExecutor())

    run()
    assert calls() == []
    run(overwrite_results=True, shutdown_at_exit=True)
    assert calls() == ["-h now: 3"]
    run(dry_run=True, shutdown_at_exit=True)
    assert calls() == ["-h now: 3"]


def test_a_run_that_fails_altogether_shuts_the_machine_down_too(gpt2, data_dir, tmp_path, calls):
    class Broken(InProcessExecutor):
        def run(self, queue, workforce):
            raise ConfigurationError("no cluster can be joined")
            yield

    chosen = options(data_dir, tmp_path / "results", shutdown_at_exit=True)
    with pytest.raises(ConfigurationError, match="no cluster can be joined"):
        carry_out([small_grid(gpt2)], chosen, "unused", Broken())
    assert calls() == ["-h now: 0"]


@pytest.mark.parametrize(
    ("interpreter", "said"),
    [("/bin/false", "ended with status 1"), ("/nowhere/sh", "No such file or directory")],
    ids=["refused", "not to be started"],
)
def test_a_machine_that_does_not_shut_down_is_told(gpt2, data_dir, tmp_path, programs, capsys, interpreter, said):
    for name in ("shutdown", "sudo"):
        write_program(programs / name, "")
        (programs / name).write_text(f"#!{interpreter}\n")
    chosen = options(data_dir, tmp_path / "results", shutdown_at_exit=True)
    assert carry_out([small_grid(gpt2)], chosen, "unused", InProcessExecutor()) == 0
    error = capsys.readouterr().err
    assert "shut down: " in error
    assert said in error

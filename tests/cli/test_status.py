"""How a grid is, told from its folder: results, failures, drivers that run, have ended or were killed."""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lm_eval.cli.status import describe_status
from lm_eval.config.limit import Limit
from lm_eval.config.run_config import RunConfig
from lm_eval.errors import ConfigurationError
from lm_eval.results.failures import Failure, write_failure
from lm_eval.results.folder import ResultsFolder
from lm_eval.results.identity import resolve
from lm_eval.results.result_file import config_content
from lm_eval.scheduling.heartbeat import Heartbeat, Progress, this_machine
from lm_eval.scheduling.processes import process_started
from tests.support.clusters import call
from tests.support.paths import TOP
from tests.support.runs import identify, name_of


@pytest.fixture
def config(data_dir) -> RunConfig:
    return RunConfig(
        model="hf",
        pretrained="someone/small",
        task="hellaswag",
        num_fewshot=2,
        limit=Limit(0, 4),
        data_dir=str(data_dir),
    )


def write_result(folder: Path, config: RunConfig) -> None:
    result = {
        "results": {config.task: {"acc": 0.5, "acc_stderr": 0.25}},
        "versions": {config.task: 0},
        "config": config_content(config),
        "identity": {config.task: identify(config)},
    }
    ResultsFolder(folder).write(config, result)


def fail(folder: Path, config: RunConfig, message: str = "no luck") -> str:
    return write_failure(folder, resolve(config), Failure(message=message)).name


def told(folder: Path, *, table: bool = False) -> list[str]:
    return describe_status(folder, table=table)


@pytest.fixture
def running(tmp_path) -> Iterator[Heartbeat]:
    """The heartbeat of a driver that runs in this process: of nine runs three are done, one elsewhere, one failed."""
    heartbeat = Heartbeat(tmp_path, Progress(planned=9, skipped=7, finished=3, elsewhere=1, failed=1, remaining_s=90.0))
    since = time.time() - 65
    heartbeat.progress.running["worker-2"] = {"num_runs": 3, "first": "the second run", "since": since}
    heartbeat.progress.running["worker-1"] = {"num_runs": 1, "first": "the first run", "since": since}
    heartbeat.open()
    yield heartbeat
    heartbeat.close("finished")


def write_driver(folder: Path, name: str, **changes) -> None:
    """Write what a driver told last, by default one that has finished."""
    content = {
        "driver": name,
        "host": "node7",
        "machine": "elsewhere",
        "pid": 4711,
        "process_started": "1",
        "command_line": "python run.py",
        "started": "2026-07-01T10:00:00+00:00",
        "planned": 5,
        "skipped": 2,
        "finished": 4,
        "elsewhere": 0,
        "failed": 1,
        "remaining_s": 0.0,
        "running": {},
        "ended": "finished",
    }
    file = folder / ".grid" / "drivers" / f"{name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({**content, **changes}))


def test_an_empty_folder_holds_nothing(tmp_path):
    assert told(tmp_path) == [f"{tmp_path}: 0 results, 0 failed, 0 unreadable files", "no grid has been run here"]


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="nowhere: no such folder; give the results folder of a grid"):
        told(tmp_path / "nowhere")


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="file: no such folder; give the results folder of a grid"):
        told(tmp_path / "file")


def test_results_failures_and_unreadable_files_are_counted(config, tmp_path):
    for shots in range(3):
        write_result(tmp_path, replace(config, num_fewshot=shots))
    fail(tmp_path, replace(config, num_fewshot=5))
    (tmp_path / "broken.json").write_text("{")
    lines = told(tmp_path)
    assert lines[0] == f"{tmp_path}: 3 results, 1 failed, 1 unreadable file"
    assert lines[-1].startswith("not a result: broken.json (")


def test_a_cause_is_told_once_under_the_runs_that_it_ended_the_commonest_first(config, tmp_path):
    rare = fail(tmp_path, config, "rare")
    others = [fail(tmp_path, replace(config, num_fewshot=shots), "common") for shots in (0, 1)]
    assert told(tmp_path)[2:] == [
        f"failed: hellaswag, small, hf, 0 shots, limit=4 ({others[0]})",
        f"failed: hellaswag, small, hf, 1 shot, limit=4 ({others[1]})",
        "    common",
        f"failed: hellaswag, small, hf, 2 shots, limit=4 ({rare})",
        "    rare",
    ]


def test_a_failure_of_a_run_that_has_a_result_is_history(config, tmp_path):
    fail(tmp_path, config)
    write_result(tmp_path, config)
    assert told(tmp_path) == [f"{tmp_path}: 1 result, 0 failed, 0 unreadable files", "no grid has been run here"]


def test_a_running_driver_is_told_with_how_far_it_is_and_what_its_workers_do(running, tmp_path):
    lines = told(tmp_path)[1:]
    assert lines[0].startswith(f"running: {platform.node()}, process {os.getpid()}, since 20")
    assert lines[0].endswith(": 4 of 9 done, 1 failed, 4 left, 7 done before")
    assert lines[1].startswith("    ")
    assert lines[2] in ("    about 1 min 30 s left", "    about 1 min 29 s left")
    assert [line.partition(", for 1 min ")[0] for line in lines[3:]] == ["    worker-1", "    worker-2"]
    assert [line.partition(" s: ")[2] for line in lines[3:]] == ["the first run", "the second run and 2 more"]


def test_a_running_driver_tells_its_documents_where_it_counts_them(running, tmp_path):
    running.progress.documents, running.progress.documents_done = 10042, 2500
    running._write()
    assert told(tmp_path)[3] == "    2,500 of 10,042 documents"


def test_what_remains_shrinks_between_two_words_of_a_driver(running, tmp_path):
    (file,) = (tmp_path / ".grid" / "drivers").iterdir()
    for passed_s, left in ((60, ("30 s", "29 s")), (900, ("0 s", "0 s"))):
        moment = time.time() - passed_s
        os.utime(file, (moment, moment))
        assert told(tmp_path)[3] in [f"    about {text} left" for text in left]


def test_a_driver_that_knows_no_end_tells_none(running, tmp_path):
    running.progress.remaining_s = None
    running._write()
    assert not any(line.endswith(" left") for line in told(tmp_path))


def test_times_are_told_as_the_clock_on_the_wall_shows_them(tmp_path, monkeypatch):
    write_driver(tmp_path, "one")
    monkeypatch.setenv("TZ", "UTC-2")  # east of Greenwich, as POSIX has it
    time.tzset()
    try:
        assert told(tmp_path)[1] == (
            "finished: node7, process 4711, since 2026-07-01 12:00:00: 4 of 5 done, 1 failed, 0 left, 2 done before"
        )
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("ended", ["finished", "interrupted", "stopped at the first failure", "stopped by an error"])
def test_a_driver_that_has_ended_is_told_with_how_and_without_what_was_running(tmp_path, ended):
    write_driver(tmp_path, "one", ended=ended, remaining_s=30.0)
    lines = told(tmp_path)
    assert lines[1].startswith(f"{ended}: node7, process 4711, since 2026-07-0")
    assert lines[2:] == ["    python run.py"]


def test_a_killed_driver_is_told_to_be_gone(tmp_path):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        here = {"machine": this_machine(), "pid": process.pid, "process_started": process_started(process.pid)}
        running = {"worker-1": {"num_runs": 1, "first": "the first run", "since": time.time()}}
        write_driver(tmp_path, "one", ended=None, finished=2, running=running, **here)
        assert told(tmp_path)[1].startswith(f"running: node7, process {process.pid}, since ")
        process.kill()
    lines = told(tmp_path)
    assert lines[1].startswith(f"exited without a final record (killed?): node7, process {process.pid}, since ")
    assert lines[1].endswith(": 2 of 5 done, 1 failed, 2 left, 2 done before")
    assert lines[2:] == ["    python run.py"]


def test_running_drivers_come_first_then_the_last_three_that_ended(running, tmp_path):
    for day in range(1, 6):
        write_driver(tmp_path, f"of day {day}", started=f"2020-07-0{day}T12:00:00+00:00", command_line=f"day {day}")
    lines = told(tmp_path)[1:]
    assert lines[0].startswith("running: ")
    assert [line.strip() for line in lines if line.startswith("    day")] == ["day 5", "day 4", "day 3"]
    assert lines[-1] == "2 earlier drivers"


def test_what_a_driver_whose_clock_is_ahead_has_just_begun_has_taken_no_time(running, tmp_path):
    running.progress.running["worker-1"]["since"] = time.time() + 100
    running._write()
    assert "    worker-1, for 0 s: the first run" in describe_status(tmp_path, table=False)


@pytest.mark.parametrize("content", ["{}", '{"driver": "one", "started": 3}', "[]", "{", '{"pid": null}'])
def test_a_damaged_file_of_a_driver_hides_no_other(tmp_path, content):
    write_driver(tmp_path, "whole")
    (tmp_path / ".grid" / "drivers" / "damaged.json").write_text(content)
    lines = told(tmp_path)[1:]
    assert len([line for line in lines if line.startswith("finished: node7")]) == 1
    others = [line for line in lines if not line.startswith(("finished: node7", "    "))]
    assert all(line.startswith("a driver whose file is not valid: ") for line in others)
    assert len(others) <= 1


def test_the_table_of_results_is_shown_where_it_is_asked_for(config, tmp_path):
    assert told(tmp_path, table=True)[-1] == "no grid has been run here"
    write_result(tmp_path, config)
    assert "acc" not in "\n".join(told(tmp_path))
    table = told(tmp_path, table=True)[-1].splitlines()
    assert len(table) == 5
    assert "0.500" in table[-2]
    assert table[-1].startswith("documents a run: ")


def test_looking_changes_nothing_in_the_folder(config, running, tmp_path):
    write_result(tmp_path, config)
    fail(tmp_path, replace(config, num_fewshot=0))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    told(tmp_path, table=True)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_the_script_tells_of_every_folder_it_is_given(config, running, tmp_path):
    write_result(tmp_path, config)
    (tmp_path / "empty").mkdir()
    shown = call("status.py", tmp_path, tmp_path / "empty", "--table")
    assert (shown.returncode, shown.stderr) == (0, "")
    lines = shown.stdout.splitlines()
    assert lines[0] == f"{tmp_path}: 1 result, 0 failed, 0 unreadable files"
    assert lines[1].startswith(f"running: {platform.node()}, process {os.getpid()}, since ")
    assert lines[-2:] == [
        f"{tmp_path / 'empty'}: 0 results, 0 failed, 0 unreadable files",
        "no grid has been run here",
    ]
    assert "0.500" in shown.stdout


def test_the_script_ends_with_2_where_there_is_no_such_folder(tmp_path):
    shown = call("status.py", tmp_path / "nowhere")
    assert (shown.returncode, shown.stdout) == (2, "")
    assert shown.stderr == f"error: {tmp_path / 'nowhere'}: no such folder; give the results folder of a grid\n"


def test_the_script_ends_with_2_and_its_usage_without_a_folder():
    shown = call("status.py")
    assert shown.returncode == 2
    assert "the following arguments are required: RESULTS_DIR" in shown.stderr


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with os.fdopen(writing) as output:
        ended = subprocess.run(
            [sys.executable, TOP / "scripts" / "status.py", tmp_path],
            cwd=TOP, env=environment, stdout=output, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (0, "")


def test_the_name_of_a_failures_file_is_that_of_the_result_that_is_missing(config, tmp_path):
    name = fail(tmp_path, config)
    assert name == name_of(config).removesuffix(".json") + ".error.json"
    assert f"({name})" in told(tmp_path)[2]

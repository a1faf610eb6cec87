"""How a grid is, told from its folder's files alone; the script that tells it."""

import json
import os
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from clusters import TOP, call
from grids import grid
from worlds import write_model_folder

from lm_eval.config import RunConfig
from lm_eval.errors import ConfigurationError
from lm_eval.failures import Failure, write_failure
from lm_eval.grid import expand
from lm_eval.identity import identify
from lm_eval.journal import Journal, Progress
from lm_eval.leases import LEASE_S, state_folder
from lm_eval.result_files import config_content
from lm_eval.results import ResultsFolder
from lm_eval.status import describe_status
from lm_eval.table import describe

SCHEMES = ["concat_each_example", "segment_each_example", "merge_all_segments"]


@pytest.fixture
def configs(tmp_path, data_dir) -> list[RunConfig]:
    model = str(write_model_folder(tmp_path / "some-model"))
    return expand(grid(models=[model], num_fewshot=[2], encoding_scheme=SCHEMES), data_dir=str(data_dir))


@pytest.fixture
def results(tmp_path) -> Path:
    (tmp_path / "results").mkdir()
    return tmp_path / "results"


def write_result(folder: Path, config: RunConfig, acc: float = 0.25) -> Path:
    content = {
        "results": {config.task: {"acc": acc, "acc_stderr": 0.125}},
        "versions": {config.task: 0},
        "config": config_content(config),
        "identity": {config.task: identify(config)},
    }
    return ResultsFolder(folder).write(config, content)


def fail(folder: Path, config: RunConfig, message: str) -> Path:
    return write_failure(folder, config, identify(config), Failure(message=message))


def write_driver(folder: Path, number: int, **changes: Any) -> Path:
    """What a driver on another machine, which has just been heard of, tells of itself."""
    content = {
        "driver": f"driver-{number}",
        "host": "some-host",
        "machine": "another",
        "pid": 77,
        "process_started": "1",
        "command_line": f"python grid.py --number {number}",
        "started": (datetime(2026, 1, 1, tzinfo=timezone.utc) + timedelta(hours=number)).isoformat(),
        "planned": 9,
        "skipped": 4,
        "finished": 2,
        "elsewhere": 1,
        "failed": 1,
        "remaining_s": 125.0,
        "running": {},
        "ended": None,
        **changes,
    }
    path = state_folder(folder) / "drivers" / f"driver-{number}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def killed(results) -> None:
    """A driver that really ran and was killed."""
    code = (
        "import sys, time; from pathlib import Path; from lm_eval.journal import Journal, Progress; "
        "Journal(Path(sys.argv[1]), Progress(planned=5, skipped=1, finished=2)).open(); "
        "print('open', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(results)], cwd=TOP, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "open\n"
    finally:
        process.kill()
        process.communicate()


def test_a_folder_that_is_missing_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match=r"nowhere: no such folder; give the results folder of a grid"):
        describe_status(tmp_path / "nowhere", table=False)


def test_an_empty_folder_says_so(results):
    assert describe_status(results, table=True) == [
        f"{results}: 0 results, 0 failed, 0 unreadable files",
        "no grid has been run here",
    ]


def test_results_failures_and_unreadable_files_are_counted_and_named(results, configs):
    write_result(results, configs[0])
    record = fail(results, configs[1], "no luck")
    (results / "broken.json").write_text("{")
    lines = describe_status(results, table=False)
    assert lines == [
        f"{results}: 1 results, 1 failed, 1 unreadable files",
        "no grid has been run here",
        f"failed: {describe(configs[1])} ({record.name})",
        "    no luck",
        lines[-1],
    ]
    assert lines[-1].startswith("not a result: broken.json (Expecting property name")


def test_a_cause_is_told_once_under_all_runs_that_it_ended_the_most_frequent_first(results, configs):
    fail(results, configs[0], "rare")
    fail(results, configs[1], "frequent")
    fail(results, configs[2], "frequent")
    lines = describe_status(results, table=False)[2:]
    assert [line.partition(":")[0].strip() for line in lines] == ["failed", "failed", "frequent", "failed", "rare"]


def test_a_failure_that_has_a_result_by_now_is_not_told(results, configs):
    fail(results, configs[0], "no luck")
    write_result(results, configs[0])
    assert describe_status(results, table=False)[0] == f"{results}: 1 results, 0 failed, 0 unreadable files"


def test_the_results_are_shown_where_they_are_asked_for(results, configs):
    for config, acc in zip(configs[:2], (0.25, 0.75), strict=True):
        write_result(results, config, acc)
    shown = describe_status(results, table=True)
    assert shown[:3] == [*describe_status(results, table=False), ""]
    rows = [line.split() for line in shown[3].splitlines()[2:]]
    assert {row[2]: "0.250" in row for row in rows} == {"concat_each_example": True, "segment_each_example": False}


def test_a_driver_that_runs_tells_what_it_does_and_how_long_it_will_take(results):
    running = {
        "worker-2": {"num_runs": 1, "first": "a small run", "since": time.time() - 5},
        "worker-1": {"num_runs": 4, "first": "a run", "since": time.time() - 130},
    }
    write_driver(results, 1, running=running)
    lines = describe_status(results, table=False)[1:]
    began = f"{datetime(2026, 1, 1, 1, tzinfo=timezone.utc).astimezone():%Y-%m-%d %H:%M:%S}"
    counts = "3 of 9 done, 1 failed, 5 left, 4 done before"
    assert lines == [
        f"running: some-host, process 77, since {began}: {counts}",
        "    python grid.py --number 1",
        "    about 2 min 5 s left",
        "    worker-1, for 2 min 10 s: a run and 3 more",
        "    worker-2, for 5 s: a small run",
    ]


@pytest.mark.parametrize(("remaining_s", "told"), [(60.0, "30 s"), (10.0, "0 s")])
def test_the_time_left_falls_between_two_signs_of_life(results, remaining_s, told):
    path = write_driver(results, 1, remaining_s=remaining_s)
    os.utime(path, (time.time() - 30,) * 2)
    assert describe_status(results, table=False)[3] == f"    about {told} left"


def test_where_the_time_left_is_unknown_or_a_clock_is_ahead_nothing_wrong_is_told(results):
    ahead = {"w": {"num_runs": 1, "first": "a run", "since": time.time() + 100}}
    write_driver(results, 1, remaining_s=None, running=ahead)
    assert describe_status(results, table=False)[3:] == ["    w, for 0 s: a run"]


def test_a_driver_that_has_ended_tells_how_and_nothing_of_what_ran(results):
    write_driver(results, 1, ended="interrupted", running={"w": {"num_runs": 1, "first": "a run", "since": 1.0}})
    lines = describe_status(results, table=False)[1:]
    assert lines[0].startswith("interrupted: some-host, process 77, since ")
    assert lines[1:] == ["    python grid.py --number 1"]


def test_a_driver_that_has_long_not_been_heard_of_counts_as_gone(results):
    path = write_driver(results, 1)
    os.utime(path, (time.time() - LEASE_S - 1,) * 2)
    lines = describe_status(results, table=False)[1:]
    assert lines[0].startswith("gone without a word (killed?): some-host, process 77")
    assert len(lines) == 2


def test_those_that_run_come_first_then_the_last_three_that_have_ended(results):
    for number in range(6):
        write_driver(results, number, ended=f"end {number}")
    write_driver(results, 7, ended=None, remaining_s=None)
    write_driver(results, 0, ended=None, remaining_s=None)
    lines = describe_status(results, table=False)[1:]
    assert [line.partition(":")[0] for line in lines if not line.startswith(" ")] == [
        "running",
        "running",
        "end 5",
        "end 4",
        "end 3",
        "2 earlier ones",
    ]


@pytest.mark.parametrize(
    "change",
    [{"started": 5}, {"started": "yesterday"}, {"running": []}, {"planned": None}, {"remaining_s": "long"}],
    ids=str,
)
def test_a_driver_of_another_version_does_not_stop_the_others_from_being_told(results, change):
    write_driver(results, 1, **change)
    write_driver(results, 2, ended="finished")
    lines = describe_status(results, table=False)[1:]
    assert lines[0] == "a driver tells of itself in a form that this version doesn't know: driver-1"
    assert lines[1].startswith("finished: some-host")


def test_a_driver_that_tells_nothing_does_not_stop_the_others_from_being_told(results):
    write_driver(results, 2, ended="finished")
    (state_folder(results) / "drivers" / "empty.json").write_text("{}")
    (state_folder(results) / "drivers" / "cut.json").write_text('{"host": "so')
    lines = describe_status(results, table=False)[1:]
    assert lines[0] == "a driver tells of itself in a form that this version doesn't know: None"
    assert lines[1].startswith("finished: some-host")


def test_the_script_tells_of_drivers_that_run_have_ended_and_were_killed(results, configs, killed):
    write_result(results, configs[0])
    fail(results, configs[1], "no luck")
    ended = Journal(results, Progress(planned=3, skipped=0, finished=3))
    ended.open()
    ended.close("finished")
    runs = Journal(results, Progress(planned=8, skipped=0, finished=1))
    runs.open()
    try:
        told = call("status.py", results)
    finally:
        runs.close("finished")
    assert (told.returncode, told.stderr) == (0, "")
    lines = told.stdout.splitlines()
    assert lines[0] == f"{results}: 1 results, 1 failed, 0 unreadable files"
    heads = [line for line in lines[1:] if "process" in line]
    assert heads[0].startswith("running: ")
    assert heads[0].endswith(": 1 of 8 done, 0 failed, 7 left, 0 done before")
    assert {line.partition(":")[0] for line in heads[1:]} == {"finished", "gone without a word (killed?)"}
    assert any(line.endswith(": 2 of 5 done, 0 failed, 3 left, 1 done before") for line in heads)
    assert lines[-1] == "    no luck"


def test_the_script_shows_several_folders_and_their_tables(results, configs):
    write_result(results, configs[0])
    shown = call("status.py", results, results, "--table")
    assert shown.returncode == 0
    assert shown.stdout.count("1 results, 0 failed") == 2
    assert shown.stdout.count("0.250") == 2


def test_the_script_ends_with_status_2_where_there_is_no_such_folder(tmp_path):
    ended = call("status.py", tmp_path / "nowhere")
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr == f"error: {tmp_path / 'nowhere'}: no such folder; give the results folder of a grid\n"


def test_the_script_ends_with_status_2_where_no_folder_is_given():
    ended = call("status.py")
    assert ended.returncode == 2
    assert "the following arguments are required: RESULTS_DIR" in ended.stderr


def test_telling_the_status_changes_nothing_in_the_folder(results, configs):
    write_result(results, configs[0])
    write_driver(results, 1)
    before = {path: path.stat().st_mtime_ns for path in results.rglob("*")}
    describe_status(results, table=True)
    assert {path: path.stat().st_mtime_ns for path in results.rglob("*")} == before

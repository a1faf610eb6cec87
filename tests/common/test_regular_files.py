"""Named pipes, sockets, devices and folders in place of files are refused at once; what may not be read is named."""

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lm_eval.cli.status import describe_status
from lm_eval.common.digests import digest_of
from lm_eval.common.file_state import states_of
from lm_eval.common.regular_files import NotAFileError, find_fault, read_regular
from lm_eval.errors import ConfigurationError, DataError
from lm_eval.models.info import read_facts
from lm_eval.results.folder import ResultsFolder
from lm_eval.tasks.rows import LocalSplit
from lm_eval.tasks.yaml_tasks.index import TaskIndex
from tests.support.worlds import write_model_folder, write_world

KINDS = ("a named pipe", "a socket", "a device", "a folder")


def make(path: Path, kind: str) -> Path:
    """Put something that is no file where one would be."""
    path.unlink(missing_ok=True)
    if kind == "a named pipe":
        os.mkfifo(path)
    elif kind == "a socket":
        place = Path.cwd()
        os.chdir(path.parent)  # the paths of sockets are short
        try:
            with socket.socket(socket.AF_UNIX) as made:
                made.bind(path.name)
        finally:
            os.chdir(place)
    elif kind == "a device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    return path


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="lm_eval-rights-"))
    folder.chmod(0o777)
    yield folder
    for path in folder.rglob("*"):
        path.chmod(0o777)
    shutil.rmtree(folder)


@contextmanager
def as_nobody() -> Iterator[None]:
    """As a user without rights, also where the tests run as root."""
    mine = os.geteuid()
    if mine == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(mine)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_is_refused_at_once_and_said_to_be_what_it_is(tmp_path, kind):
    path = make(tmp_path / "a.json", kind)
    with pytest.raises(NotAFileError, match=f"it is {kind} and no file"):
        read_regular(path)
    assert find_fault(path) == f"it is {kind} and no file"


@pytest.mark.parametrize("kind", KINDS)
def test_a_results_folder_that_holds_it_is_read_all_the_same(tmp_path, kind):
    make(tmp_path / "a.json", kind)
    make(tmp_path / "b.error.json", kind)
    (tmp_path / ".grid" / "drivers").mkdir(parents=True)
    make(tmp_path / ".grid" / "drivers" / "one.json", kind)
    lines = describe_status(tmp_path, table=True)
    assert f"not a result: a.json (it is {kind} and no file)" in lines
    assert "a driver whose file is not valid: one" in lines


@pytest.mark.parametrize("kind", KINDS[:3])
def test_data_and_models_that_hold_it_are_refused(tmp_path, kind):
    data = write_world(tmp_path / "data")
    make(data / "hellaswag" / "validation.jsonl", kind)
    with pytest.raises(DataError, match=rf"validation\.jsonl: it is {kind} and no file; it must be a file that you"):
        LocalSplit.find(str(data), "hellaswag", "validation")
    model = write_model_folder(tmp_path / "model")
    path = make(model / "model.safetensors", kind)
    with pytest.raises(ConfigurationError, match=rf"model\.safetensors: it is {kind} and no file; it must be a file"):
        read_facts(str(model))
    with pytest.raises(NotAFileError):
        digest_of(*states_of([path]))


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_model_file_that_may_not_be_read_is_named(open_folder, name):
    model = write_model_folder(open_folder / "model")
    (model / name).chmod(0)
    with as_nobody(), pytest.raises(ConfigurationError, match=rf"{name}: it can't be read \(Permission denied\)"):
        read_facts(str(model))


def test_a_model_folder_that_may_not_be_entered_is_named(open_folder):
    model = write_model_folder(open_folder / "above" / "model")
    for folder in (model, model.parent):
        folder.chmod(0)
        with as_nobody(), pytest.raises(ConfigurationError, match=r"model: it can't be read \(Permission denied\)"):
            read_facts(str(model))
        folder.chmod(0o755)


@pytest.mark.parametrize("what", ["hellaswag/validation.jsonl", "hellaswag"])
def test_data_that_may_not_be_read_is_named(open_folder, what):
    data = write_world(open_folder / "data")
    (data / what).chmod(0)
    with as_nobody(), pytest.raises(DataError, match=r"validation\.jsonl: it can't be read \(Permission denied\)"):
        LocalSplit.find(str(data), "hellaswag", "validation")


def test_a_results_folder_without_rights_is_one_message(open_folder):
    results = open_folder / "above" / "results"
    results.mkdir(parents=True)
    for folder in (results, results.parent):
        folder.chmod(0)
        for read in (lambda: ResultsFolder(results), lambda: describe_status(results, table=False)):
            with (
                as_nobody(),
                pytest.raises(ConfigurationError, match=r"can't be read \(Permission denied\); see that"),
            ):
                read()
        folder.chmod(0o755)


def test_a_result_that_may_not_be_read_is_named_and_left_out(open_folder):
    (open_folder / "a.json").write_text("{}")
    (open_folder / "a.json").chmod(0)
    with as_nobody():
        lines = describe_status(open_folder, table=True)
    assert lines[-1] == "not a result: a.json (it can't be read (Permission denied))"


def test_a_task_file_that_may_not_be_read_is_named_where_its_task_is_asked_for(open_folder):
    (open_folder / "a.yaml").write_text("task: a")
    (open_folder / "a.yaml").chmod(0)
    with as_nobody():
        assert "a.yaml: it can't be read (Permission denied)" in TaskIndex(open_folder).remarks("a")

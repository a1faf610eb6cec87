"""Where Ray has no room, that is said before it starts."""

import pytest

from lm_eval.errors import ConfigurationError
from lm_eval.scheduling.executors import room
from lm_eval.scheduling.executors.room import check_room


def test_a_folder_with_room_will_do(tmp_path):
    assert check_room(tmp_path, tmp_path) is None


def test_a_folder_for_temporary_files_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    with pytest.raises(ConfigurationError, match=r"gone: nothing can be written there \(No such file or directory\), "):
        check_room(tmp_path / "gone")
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "gone"))
    with pytest.raises(ConfigurationError, match="set TMPDIR to a folder that can be written and has room"):
        check_room()


def test_a_folder_that_is_too_small_is_named_with_what_is_free(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "_free", lambda folder: 3_000_000)
    with pytest.raises(ConfigurationError, match="only 3 MB are free there, but Ray keeps its files there, up to 100"):
        check_room(tmp_path)


def test_shared_memory_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    shared = tmp_path / "shared"
    shared.mkdir()
    monkeypatch.setattr(
        room, "_find_fault", lambda folder: "nothing can be written there" if folder == shared else None
    )
    with pytest.raises(
        ConfigurationError, match="shared: nothing can be written there, but Ray's processes share memory"
    ):
        check_room(tmp_path, shared)


def test_where_there_is_little_shared_memory_ray_takes_the_other_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "_free", lambda folder: 0 if folder.name == "shared" else 1 << 40)
    (tmp_path / "shared").mkdir()
    assert check_room(tmp_path, tmp_path / "shared") is None

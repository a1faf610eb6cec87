"""Digests that are kept in the user's cache folder: exact, whatever becomes of the files and of the folder."""

import hashlib
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lm_eval.common import digests, file_state
from lm_eval.common.digests import cache_file, digest_of
from lm_eval.common.file_state import states_of

LARGE = 1 << 20


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """A cache folder of each test's own, on a file system that is relied on; a process that knows nothing yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(digests, "_is_honest", lambda _path: True)
    monkeypatch.setattr(digests, "_known", {})


@pytest.fixture
def later(monkeypatch):
    """Let the clock go on by hours, so that what was written just now has long been there; start processes anew."""

    def forward(hours: float = 1.0) -> None:
        now = time.time() + 3600 * hours
        monkeypatch.setattr(file_state.time, "time", lambda: now)
        digests._known.clear()

    return forward


@pytest.fixture
def computed(monkeypatch):
    """The files whose digests were computed."""
    seen: list[Path] = []
    compute = digests._compute
    monkeypatch.setattr(digests, "_compute", lambda path: (seen.append(path), compute(path))[1])
    return seen


def write(path: Path, byte: bytes, size: int = LARGE) -> Path:
    path.write_bytes(byte * size)
    return path


def digest(path: Path) -> str:
    (state,) = states_of([path])
    found = digest_of(state)
    assert found == hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def test_a_file_is_hashed_once_a_machine(tmp_path, later, computed):
    path = write(tmp_path / "weights", b"a")
    later()
    for _ in range(3):
        digest(path)
        digests._known.clear()  # another process
    assert computed == [path]


def test_relative_paths_are_the_files_that_they_name(tmp_path, later, computed, monkeypatch):
    path = write(tmp_path / "weights", b"a")
    later()
    digest(path)
    monkeypatch.chdir(tmp_path)
    digest(Path("weights"))
    assert computed == [path]


def test_nothing_is_kept_of_a_file_that_changed_just_now(tmp_path, computed):
    path = write(tmp_path / "weights", b"a")
    digest(path)
    digest(path)
    assert computed == [path, path]
    assert not cache_file().exists()


def test_nothing_is_kept_of_small_files(tmp_path, later):
    path = write(tmp_path / "config.json", b"a", 100)
    later()
    digest(path)
    assert not cache_file().exists()


def test_nothing_is_kept_from_file_systems_that_make_times_up(tmp_path, later, monkeypatch):
    monkeypatch.setattr(digests, "_is_honest", lambda _path: False)
    path = write(tmp_path / "weights", b"a")
    later()
    digest(path)
    assert not cache_file().exists()


def test_a_change_is_seen_also_where_the_time_of_content_is_set_back(tmp_path, later, computed):
    path = write(tmp_path / "weights", b"a")
    later()
    before = path.stat()
    first = digest(path)
    with path.open("r+b") as stream:
        stream.write(b"b" * LARGE)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    later(2.0)
    assert digest(path) != first
    assert computed == [path, path]
    assert len(json.loads(cache_file().read_text())["digests"]) == 1  # nothing more is known of what was there


def test_a_file_that_changes_while_it_is_read_is_not_kept(tmp_path, later, monkeypatch):
    path = write(tmp_path / "weights", b"a")
    later()
    (state,) = states_of([path])
    compute = digests._compute
    monkeypatch.setattr(digests, "_compute", lambda path: (compute(path), write(path, b"b"))[0])
    digest_of(state)
    assert digests._known == {}
    assert not cache_file().exists()


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"digests": []}', '{"digests": [["a"]], "sha256": "x"}'])
def test_a_damaged_cache_is_ignored_and_written_anew(damage, tmp_path, later, computed):
    path = write(tmp_path / "weights", b"a")
    later()
    digest(path)
    cache_file().write_text(damage)
    for _ in range(2):
        digests._known.clear()
        digest(path)
    assert computed == [path, path]


def test_a_digest_that_is_not_the_one_written_is_ignored(tmp_path, later):
    path = write(tmp_path / "weights", b"a")
    later()
    found = digest(path)
    cache_file().write_text(cache_file().read_text().replace(found, "0" * 64))
    digests._known.clear()
    assert digest(path) == found


def test_a_cache_folder_that_cannot_be_had_takes_nothing_but_time(tmp_path, later, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    path = write(tmp_path / "weights", b"a")
    later()
    digest(path)


def test_the_oldest_digests_go_first(tmp_path, later, monkeypatch):
    monkeypatch.setattr(digests, "_MOST_KEPT", 2)
    paths = [write(tmp_path / name, name.encode()) for name in "abc"]
    later()
    for path in paths:
        digest(path)
    assert [Path(row[0]).name for row in json.loads(cache_file().read_text())["digests"]] == ["b", "c"]


def test_processes_that_write_at_once_leave_a_whole_cache(tmp_path, later):
    paths = [write(tmp_path / str(number), bytes([number])) for number in range(12)]
    later()
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(digest, paths))
    assert digests._read_kept()
    digests._known.clear()
    for path in paths:
        digest(path)
    assert [path.name for path in cache_file().parent.iterdir()] == [cache_file().name]

"""How a number came about: the code's version from real checkouts, packages, times of passes."""

import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import lm_eval
from lm_eval.results.provenance import PassRecord, code_version, command_line, describe_code, now, package_versions
from tests.support.paths import TOP


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    command = ["git", "-C", str(folder), *identity, *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.strip()


@pytest.fixture
def checkout(tmp_path) -> Path:
    """A clean checkout of one file."""
    git(tmp_path, "init", "--quiet")
    (tmp_path / "code.py").write_text("1\n")
    git(tmp_path, "add", "code.py")
    git(tmp_path, "commit", "--quiet", "--message", "one")
    return tmp_path


def test_a_clean_checkout_is_told_by_its_commit(checkout):
    commit = git(checkout, "rev-parse", "HEAD")
    assert len(commit) == 40
    assert code_version(checkout) == {"version": lm_eval.__version__, "commit": commit, "changed": False}


def test_a_tracked_file_that_differs_from_the_commit_is_told(checkout):
    (checkout / "code.py").write_text("2\n")
    assert code_version(checkout)["changed"] is True


def test_a_tracked_file_that_is_staged_or_gone_is_told(checkout):
    (checkout / "code.py").unlink()
    assert code_version(checkout)["changed"] is True
    code_version.cache_clear()
    git(checkout, "rm", "--quiet", "--cached", "code.py")
    assert code_version(checkout)["changed"] is True


def test_files_that_git_does_not_track_such_as_results_change_nothing(checkout):
    (checkout / "results").mkdir()
    (checkout / "results" / "one.json").write_text("{}")
    assert code_version(checkout)["changed"] is False


def test_a_worktree_is_a_checkout_too(checkout, tmp_path_factory):
    worktree = tmp_path_factory.mktemp("worktrees") / "other"
    git(checkout, "worktree", "add", "--quiet", "--detach", str(worktree))
    assert code_version(worktree)["commit"] == git(checkout, "rev-parse", "HEAD")


def test_code_outside_a_checkout_has_a_version_only(tmp_path):
    assert code_version(tmp_path) == {"version": lm_eval.__version__, "commit": None, "changed": None}


def test_code_in_a_folder_of_somebody_elses_checkout_has_a_version_only(checkout):
    (checkout / "site-packages").mkdir()
    assert code_version(checkout / "site-packages")["commit"] is None


def test_a_checkout_without_a_commit_has_none(tmp_path):
    git(tmp_path, "init", "--quiet")
    assert code_version(tmp_path) == {"version": lm_eval.__version__, "commit": None, "changed": False}


def test_a_broken_checkout_has_a_version_only(tmp_path):
    (tmp_path / ".git").write_text("gitdir: nowhere\n")
    assert code_version(tmp_path) == {"version": lm_eval.__version__, "commit": None, "changed": None}


def test_where_there_is_no_git_the_commit_is_unknown(checkout, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert code_version(checkout) == {"version": lm_eval.__version__, "commit": None, "changed": None}


def test_a_git_that_does_not_answer_is_not_waited_for(checkout, monkeypatch):
    (checkout / "bin").mkdir()
    (checkout / "bin" / "git").write_text("#!/bin/sh\nexec /bin/sleep 20\n")
    (checkout / "bin" / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(checkout / "bin"))
    monkeypatch.setattr("lm_eval.results.provenance._GIT_TIMEOUT_S", 0.1)
    assert code_version(checkout)["commit"] is None


def test_a_git_hook_that_runs_this_tells_of_its_own_checkout_all_the_same(checkout, monkeypatch, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    git(other, "init", "--quiet")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    commit = git(checkout, "rev-parse", "HEAD")
    assert code_version(checkout) == {"version": lm_eval.__version__, "commit": commit, "changed": False}


def test_the_version_is_the_one_of_the_time_when_it_was_first_asked_for(checkout):
    before = code_version(checkout)
    (checkout / "code.py").write_text("2\n")
    assert code_version(checkout) is before


def test_the_code_is_where_this_module_lies():
    assert code_version() == code_version(TOP)


@pytest.mark.parametrize(
    ("code", "described"),
    [
        ({"version": "1.0", "commit": "0123456789abcdef", "changed": False}, "1.0+0123456789"),
        ({"version": "1.0", "commit": "0123456789abcdef", "changed": True}, "1.0+0123456789 with changes"),
        ({"version": "1.0", "commit": None, "changed": None}, "1.0"),
        ({"version": "1.0"}, "1.0"),
        (None, "unknown"),
        ("1.0", "unknown"),
    ],
)
def test_a_version_is_told_in_a_few_characters(code, described):
    assert describe_code(code) == described


def test_versions_of_python_and_of_the_packages_that_carry_the_work_are_told():
    versions = package_versions()
    assert versions["python"] == platform.python_version()
    assert {"torch", "transformers", "numpy", "tokenizers"} <= versions.keys()
    assert versions["torch"] == metadata.version("torch")


def test_a_package_that_is_not_installed_is_left_out():
    found = package_versions(("numpy", "no-such-package-here"))
    assert found == {"python": platform.python_version(), "numpy": metadata.version("numpy")}


def test_telling_where_a_number_comes_from_imports_nothing_heavy():
    code = (
        "import sys, lm_eval.results.provenance as p; p.code_version(), p.package_versions();"
        "print([name for name in ('torch', 'ray', 'transformers', 'numpy') if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], cwd=TOP, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_the_command_line_can_be_pasted_into_a_shell(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/opt/a b/python3")
    monkeypatch.setattr(sys, "argv", ["scripts/run.py", "--results_dir", "my results", "--limit=4"])
    assert command_line() == "python3 scripts/run.py --results_dir 'my results' --limit=4"


def test_times_are_utc_to_the_second():
    moment = now()
    assert moment.endswith("+00:00")
    assert len(moment) == len("2026-07-01T10:00:00+00:00")


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    """What the clock shows, look by look."""
    shown: list[float] = []
    monkeypatch.setattr("lm_eval.results.provenance.time.perf_counter", lambda: shown.pop(0))
    return shown


def test_a_phase_adds_up_the_seconds_of_its_parts(clock):
    record = PassRecord(num_configurations=1)
    clock += [0.0, 1.0, 1.0, 3.0, 5.0, 5.5]
    for name in ("encode", "score", "encode"):
        with record.phase(name):
            pass
    assert record.phases == {"encode": 1.5, "score": 2.0}
    assert list(record.phases) == ["encode", "score"]


def test_a_phase_that_fails_is_counted_and_its_error_goes_on(clock):
    record = PassRecord(num_configurations=1)
    clock += [0.0, 2.5]
    with pytest.raises(RuntimeError, match="out of memory"), record.phase("encode"):
        raise RuntimeError("out of memory")
    assert record.phases == {"encode": 2.5}


def test_a_result_states_its_share_and_the_whole_of_the_pass():
    record = PassRecord(
        num_configurations=4,
        started="2026-07-01T10:00:00+00:00",
        finished="2026-07-01T10:00:08+00:00",
        seconds=8.0,
        phases={"tokenise": 0.12345, "encode": 6.0},
        num_documents=20,
        num_tokens=1000,
        num_truncated=3,
        batches={"encode": 16, "score": None},
        peak_memory_gib=1.23456,
    )
    assert record.content() == {
        "num_truncated_segments": 3,
        "seconds": 2.0,
        "pass": {
            "num_configurations": 4,
            "seconds": 8.0,
            "phases_s": {"tokenise": 0.123, "encode": 6.0},
            "documents_per_s": 2.5,
            "tokens_per_s": 125.0,
            "peak_memory_gib": 1.235,
        },
        "batches": {"encode": 16, "score": None},
        "started": "2026-07-01T10:00:00+00:00",
        "finished": "2026-07-01T10:00:08+00:00",
    }


def test_a_pass_that_took_no_time_states_finite_numbers():
    stated = PassRecord(num_configurations=1).content()["pass"]
    assert (stated["documents_per_s"], stated["tokens_per_s"]) == (0.0, 0.0)


def test_records_share_nothing_and_begin_with_the_time():
    one, other = PassRecord(num_configurations=1), PassRecord(num_configurations=1)
    one.phases["encode"] = 1.0
    one.batches["encode"] = 1
    assert (other.phases, other.batches) == ({}, {})
    assert one.started <= now()

"""How a number came about: the code's version, packages, the command, and what a pass took."""

import platform
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from importlib import metadata
from pathlib import Path

import pytest

import lm_eval
from lm_eval import provenance
from lm_eval.provenance import PassRecord, code_version, command_line, describe_code, now, package_versions

Git = Callable[..., str]


@pytest.fixture
def top(tmp_path, monkeypatch) -> Path:
    """The folder that is taken for the code's."""
    monkeypatch.setattr(provenance, "_TOP", tmp_path)
    return tmp_path


@pytest.fixture
def git(top) -> Git:
    """A checkout of one file, and git in it."""

    def run(*arguments: str) -> str:
        identity = ("-c", "user.name=any", "-c", "user.email=any@any")
        command = ["git", "-C", str(top), *identity, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    run("init", "--quiet")
    (top / "code.py").write_text("one\n")
    run("add", ".")
    run("commit", "--quiet", "--message", "any")
    return run


def fresh() -> dict[str, str | bool | None]:
    """The code's version as it is now, not as it was remembered."""
    return code_version.__wrapped__()


def test_a_clean_checkout_states_its_commit(git):
    assert fresh() == {"version": lm_eval.__version__, "commit": git("rev-parse", "HEAD"), "changed": False}


def test_a_changed_file_is_stated_whether_it_is_staged_or_not(git, top):
    (top / "code.py").write_text("two\n")
    assert fresh()["changed"] is True
    git("add", ".")
    assert fresh()["changed"] is True
    git("commit", "--quiet", "--message", "two")
    assert fresh() == {"version": lm_eval.__version__, "commit": git("rev-parse", "HEAD"), "changed": False}


def test_a_removed_file_is_a_change_and_a_new_one_that_git_does_not_know_is_none(git, top):
    (top / "result.json").write_text("{}")
    assert fresh()["changed"] is False
    (top / "code.py").unlink()
    assert fresh()["changed"] is True


def test_a_worktree_beside_the_checkout_states_its_own_commit(git, top, monkeypatch):
    git("worktree", "add", "--quiet", str(top / "beside"), "HEAD")
    monkeypatch.setattr(provenance, "_TOP", top / "beside")
    assert fresh()["commit"] == git("rev-parse", "HEAD")


def test_an_installed_copy_has_a_version_and_no_commit(top):
    assert fresh() == {"version": lm_eval.__version__, "commit": None, "changed": None}


def test_a_copy_within_somebody_else_s_checkout_does_not_state_their_commit(git, top, monkeypatch):
    (top / "site-packages").mkdir()
    monkeypatch.setattr(provenance, "_TOP", top / "site-packages")
    assert fresh()["commit"] is None


def test_a_checkout_without_commits_or_without_git_states_none(top, monkeypatch):
    (top / ".git").mkdir()
    assert fresh() == {"version": lm_eval.__version__, "commit": None, "changed": None}
    monkeypatch.setenv("PATH", str(top))
    assert fresh() == {"version": lm_eval.__version__, "commit": None, "changed": None}


def test_git_that_does_not_answer_is_not_waited_for(git, monkeypatch):
    def hang(command: list[str], *, timeout: float, **others: object) -> None:
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr("subprocess.run", hang)
    assert fresh() == {"version": lm_eval.__version__, "commit": None, "changed": None}


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ({"version": "1.0", "commit": "0123456789abcdef", "changed": False}, "1.0+0123456789"),
        ({"version": "1.0", "commit": "0123456789abcdef", "changed": True}, "1.0+0123456789 with changes"),
        ({"version": "1.0", "commit": None, "changed": None}, "1.0"),
        ({"version": "1.0"}, "1.0"),
        ({"version": "1.0", "commit": 7}, "1.0+7"),
        (None, "unknown"),
        ("1.0", "unknown"),
    ],
)
def test_a_code_version_is_told_in_a_few_characters(code, told):
    assert describe_code(code) == told


def test_the_packages_that_carry_the_work_are_stated_with_python():
    versions = package_versions()
    assert versions["python"] == platform.python_version()
    assert versions["torch"] == metadata.version("torch")
    assert versions.keys() <= {"python", *provenance._PACKAGES}


def test_a_package_that_is_not_installed_is_left_out(monkeypatch):
    monkeypatch.setattr(provenance, "_PACKAGES", ("torch", "no-such-package-anywhere"))
    assert package_versions.__wrapped__().keys() == {"python", "torch"}


def test_the_command_can_be_pasted_into_a_shell(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["grid.py", "--models", "a b,c", "--limit=4"])
    monkeypatch.setattr(sys, "executable", "/somewhere/python3")
    assert command_line() == "python3 grid.py --models 'a b,c' --limit=4"


def test_a_time_is_in_utc_to_the_second():
    moment = datetime.fromisoformat(now())
    assert moment.utcoffset() == timedelta(0)
    assert moment.microsecond == 0
    assert abs(moment.timestamp() - time.time()) < 3


def record(**changes: object) -> PassRecord:
    """Two configurations on six documents of 60 tokens in 3 s."""
    fields = {
        "num_configurations": 2,
        "started": "2026-01-01T00:00:00+00:00",
        "finished": "2026-01-01T00:00:03+00:00",
        "seconds": 3.0,
        "phases": {"tokenise": 0.12345, "encode": 2.0},
        "num_documents": 6,
        "num_tokens": 360,
        "num_truncated": 1,
        "batches": {"rows": 4},
        "peak_memory_gib": 1.23456,
    }
    return PassRecord(**{**fields, **changes})


def test_a_result_states_the_pass_that_it_shared_and_its_own_part_of_the_time():
    assert record().content() == {
        "num_truncated_segments": 1,
        "seconds": 1.5,
        "pass": {
            "num_configurations": 2,
            "seconds": 3.0,
            "phases_s": {"tokenise": 0.123, "encode": 2.0},
            "documents_per_s": 2.0,
            "tokens_per_s": 120.0,
            "peak_memory_gib": 1.235,
        },
        "batches": {"rows": 4},
        "started": "2026-01-01T00:00:00+00:00",
        "finished": "2026-01-01T00:00:03+00:00",
    }


def test_a_pass_that_took_no_time_has_finite_rates():
    content = record(seconds=0.0, num_documents=0, num_tokens=0).content()
    assert (content["pass"]["documents_per_s"], content["pass"]["tokens_per_s"]) == (0, 0)


def test_a_phase_adds_up_what_ran_in_it(monkeypatch):
    moments = iter([0.0, 2.0, 10.0, 13.0, 20.0, 21.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(moments))
    made = PassRecord(num_configurations=1)
    for name in ("encode", "encode", "score"):
        with made.phase(name):
            pass
    assert made.phases == {"encode": 5.0, "score": 1.0}


def test_a_phase_that_breaks_off_still_counts():
    made = PassRecord(num_configurations=1)
    with pytest.raises(ValueError, match="by the way"), made.phase("encode"):
        raise ValueError("by the way")
    assert made.phases.keys() == {"encode"}
    assert made.started <= now()

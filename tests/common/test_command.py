"""How commands end."""

import os
import subprocess
import sys

import pytest

from lm_eval.common.command import exit_status
from lm_eval.errors import ConfigurationError, RunError
from tests.support.paths import TOP


def fail_with(error: BaseException):
    def work() -> int:
        raise error

    return work


def test_the_status_is_what_the_work_returns(capsys):
    assert [exit_status(lambda status=status: status) for status in (0, 1)] == [0, 1]
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (ConfigurationError("no such model"), 2, "error: no such model\n"),
        (RunError("a choice is empty"), 1, "error: the run failed: a choice is empty\n"),
        (OSError("disk full"), 1, "error: the run failed: disk full\n"),
        (KeyboardInterrupt(), 130, "interrupted; call again\n"),
    ],
)
def test_whatever_is_wrong_is_one_line_and_a_status(error, status, message, capsys):
    ended = exit_status(
        fail_with(error), failed="the run failed: {error}", interrupted=lambda: "interrupted; call again"
    )
    assert ended == status
    assert capsys.readouterr() == ("", message)


@pytest.mark.parametrize("error", [RunError("x"), OSError("x"), ZeroDivisionError("x")])
def test_what_a_command_does_not_expect_keeps_its_traceback(error):
    with pytest.raises(type(error)):
        exit_status(fail_with(error))


@pytest.mark.parametrize(("only_shows", "status"), [(True, 0), (False, 1)])
@pytest.mark.parametrize("lines", [1, 100_000])
def test_a_reader_that_has_seen_enough_brings_no_traceback(only_shows, status, lines):
    work = f"lambda: print('a line\\n' * {lines}) or 0"
    code = (
        "import sys; from lm_eval.common.command import exit_status; "
        f"sys.exit(exit_status({work}, only_shows={only_shows}))"
    )
    reading, writing = os.pipe()
    os.close(reading)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with os.fdopen(writing) as output:
        ended = subprocess.run(
            [sys.executable, "-c", code],
            cwd=TOP, env=environment, stdout=output, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (status, "")

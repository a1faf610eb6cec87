"""A process that goes on in a copy of another Python is one as any other, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support import preloaded
from tests.support.waiting import wait_for

_SCRIPT = f"""\
import runpy, sys
if __name__ == "__main__":
    sys.exit(runpy.run_path({preloaded.__file__!r})["go_on_in_copy"](sys.argv[1]))
import os, time
print("copy", os.getpid(), os.environ["ASKED"], os.getcwd(), "fractions" in sys.modules, flush=True)
print(sys.stdin.readline().strip(), file=sys.stderr)
exec(sys.argv[2])
"""


@pytest.fixture
def server():
    with preloaded.preloaded("import fractions") as place:
        yield place


@pytest.fixture
def script(tmp_path) -> Path:
    path = tmp_path / "script.py"
    path.write_text(_SCRIPT)
    return path


def call(script: Path, place: Path, ending: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(script), str(place), ending], cwd=script.parent, env={**os.environ, "ASKED": "yes"},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("ending", "status", "said"),
    [
        ("pass", 0, ""),
        ("sys.exit(3)", 3, ""),
        ("sys.exit('no luck')", 1, "no luck"),
        ("1 / 0", 1, "ZeroDivisionError: division by zero"),
    ],
)
def test_a_copy_has_its_callers_place_and_ends_with_the_scripts_status(ending, status, said, script, server):
    caller = call(script, server, ending)
    printed, errors = caller.communicate("a line\n", timeout=60)
    name, pid, asked, folder, has_library = printed.split()
    assert (name, asked, folder, has_library) == ("copy", "yes", str(script.parent), "True")
    assert int(pid) != caller.pid
    assert caller.returncode == status
    assert errors.splitlines()[0] == "a line"
    assert said in errors


def test_a_copy_ends_with_its_caller(script, server):
    caller = call(script, server, "time.sleep(600)")
    assert caller.stdin is not None
    assert caller.stdout is not None
    caller.stdin.write("a line\n")
    caller.stdin.flush()
    copy = int(caller.stdout.readline().split()[1])
    caller.kill()
    caller.communicate(timeout=60)
    wait_for(lambda: not psutil.pid_exists(copy))


def test_a_preloaded_python_ends_with_who_started_it(tmp_path):
    starter = tmp_path / "starter.py"
    starter.write_text(
        "import time\nfrom tests.support.preloaded import preloaded\n"
        "with preloaded('') as place:\n    print(place, flush=True)\n    time.sleep(600)\n"
    )
    command = [sys.executable, str(starter)]
    top = str(Path(preloaded.__file__).parents[2])
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": top}, stdout=subprocess.PIPE) as started:
        assert started.stdout is not None
        assert started.stdout.readline()
        (server,) = psutil.Process(started.pid).children()
        started.send_signal(signal.SIGKILL)
        started.wait()
    wait_for(lambda: not server.is_running())


def test_a_python_that_cannot_import_is_told():
    with pytest.raises(RuntimeError, match="no Python with 'import nowhere' at"), preloaded.preloaded("import nowhere"):
        pass

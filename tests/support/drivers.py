"""Drivers and their leases as files, for tests of who gets a lease and when it passes to another."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from lm_eval.results.pieces import state_folder
from lm_eval.scheduling.heartbeat import this_machine
from lm_eval.scheduling.leases import Leases
from lm_eval.scheduling.processes import process_started

NAME = "a" * 64


def write_driver(results: Path, driver: str, *, age_s: float = 0.0, **changes) -> Path:
    """Write the file that tells of a driver, by default one of another machine that has just been heard of."""
    content = {"driver": driver, "machine": "elsewhere", "pid": 1, "process_started": "1", "ended": None, **changes}
    file = state_folder(results) / "drivers" / f"{driver}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))
    set_age(file, age_s)
    return file


def set_age(path: Path, age_s: float) -> None:
    moment = time.time() - age_s
    os.utime(path, (moment, moment))


def here(pid: int) -> dict:
    """What a driver of this machine tells of its process."""
    return {"machine": this_machine(), "pid": pid, "process_started": process_started(pid)}


def killed() -> dict:
    """What a driver tells that ran here until it was killed."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        told = here(process.pid)
        process.kill()
    return told


def leases_of(results: Path, driver: str, **changes) -> Leases:
    """The leases of a driver, with its file."""
    write_driver(results, driver, **changes)
    return Leases(results, driver)


def held(results: Path) -> dict[str, str]:
    """The lease files, each with whose it is."""
    return {path.name: path.read_text() for path in (state_folder(results) / "leases").iterdir()}

"""The heartbeat of a driver: a file, written every few seconds, with its process, its progress and what is running.

Other drivers see by it whether this one is alive (`lm_eval.scheduling.leases`); `scripts/status.py` shows it.
"""

import contextlib
import os
import platform
import stat
import threading
import time
import uuid
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lm_eval.common.atomic import remove_whatever, write_json
from lm_eval.common.json_files import parse_json, read_json
from lm_eval.common.regular_files import NotAFileError, names_of_files
from lm_eval.common.typed_files import read_as
from lm_eval.results.pieces import state_folder
from lm_eval.results.provenance import code_digest, code_version, command_line, now
from lm_eval.scheduling.driver_file import DriverRecord, LifeSigns
from lm_eval.scheduling.processes import process_started

LEASE_S = 180.0
"""Age of its file from which a driver counts as dead; network file systems may be a minute behind."""
STALLED_S = 1800.0
"""The same for a driver whose process exists on this machine but may be suspended."""

_BEAT_S = min(5.0, LEASE_S / 6)
_KEPT = 20
"""Files of ended drivers that are kept."""


def this_machine() -> str:
    """Return a name of the scope in which process ids are unique: host, boot and process namespace."""
    parts = [platform.node()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
        parts.append(os.readlink("/proc/self/ns/pid"))  # noqa: PTH115  (no file, so no path to resolve)
    return "/".join(parts)


def is_alive(file: Path, now: float, unchanged_s: float = 0.0) -> bool:
    """Whether the driver of a heartbeat file is alive; if that can't be determined, it counts as alive.

    Args:
        file: the driver's file.
        now: the file system's time, in seconds.
        unchanged_s: for how long the caller has seen the file as it is: the age of one that is dated in the future.
    """
    try:
        state = file.lstat()
        text = file.read_bytes().decode(errors="replace") if stat.S_ISREG(state.st_mode) else ""
    except FileNotFoundError:
        return False
    except OSError:
        return True
    age = now - state.st_mtime
    age = age if age > -LEASE_S else unchanged_s
    try:
        signs = read_as(LifeSigns, parse_json(text))
    except ValueError:  # damaged: its driver will write it again soon, if it is alive
        return age < LEASE_S
    if signs.ended is not None:
        return False
    if signs.machine == this_machine() and Path("/proc/self/stat").exists():
        started = None if signs.pid is None else process_started(signs.pid)
        return started is not None and started == signs.process_started and age < STALLED_S
    return age < LEASE_S


@dataclass
class Progress:
    """The progress of a grid."""

    planned: int
    """Configurations to run when the driver began."""
    skipped: int
    """Configurations whose results existed before."""
    finished: int = 0
    elsewhere: int = 0
    """Finished by another driver."""
    failed: int = 0
    documents: int = 0
    """Documents to score, of all configurations together; 0 where their numbers aren't known."""
    documents_done: int = 0
    """Those of configurations that have ended, and of pieces that were computed, here, elsewhere or before."""
    remaining_s: float | None = None
    """Estimated time to the end; None without an estimate."""
    running: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What each worker computes: number of runs, the first of them, since when."""

    @property
    def ended(self) -> int:
        """Runs that have finished or failed, here or elsewhere."""
        return self.finished + self.elsewhere + self.failed

    @property
    def left(self) -> int:
        """Runs that have not ended."""
        return self.planned - self.ended


class Heartbeat:
    """Writes a driver's heartbeat file from a background thread, from `open` to `close`."""

    def __init__(self, results: Path, progress: Progress) -> None:
        self.driver = f"{platform.node()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self.progress = progress
        self.opened = 0.0
        """When it was opened, by the file system's clock."""
        self._folder = state_folder(results) / "drivers"
        self._ended: str | None = None
        self._constant = {
            "driver": self.driver,
            "host": platform.node(),
            "machine": this_machine(),
            "pid": os.getpid(),
            "process_started": process_started(os.getpid()),
            "command_line": command_line(),
            "code": code_version(),
            "digest": code_digest(),
            "started": now(),
        }
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def open(self) -> None:
        """Write the file and start the thread.

        Raises:
            OSError: the folder cannot be written.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self._prune()
        self._write()
        self.opened = (self._folder / f"{self.driver}.json").stat().st_mtime
        self._thread.start()

    def close(self, ended: str) -> None:
        """Stop the thread and record how the driver ended."""
        self._ended = ended
        self.progress.running.clear()
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        with contextlib.suppress(OSError):
            self._write()

    def _beat(self) -> None:
        while not self._stop.wait(_BEAT_S):
            try:
                self._write()
            except (OSError, RuntimeError):  # a full disk; a run that ended while the progress was copied
                with contextlib.suppress(OSError):
                    os.utime(self._folder / f"{self.driver}.json")

    def _write(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        content = {**self._constant, **asdict(self.progress), "ended": self._ended, "written": now()}
        file = self._folder / f"{self.driver}.json"
        if file.is_dir():  # damaged: nothing else takes the place of a folder
            remove_whatever(file)
        write_json(file, content)

    def _prune(self) -> None:
        """Remove the files of drivers that ended long ago."""
        with contextlib.suppress(OSError):  # another driver removes them at the same time
            files = sorted(self._folder.glob("*.json"), key=lambda file: file.stat().st_mtime, reverse=True)
            for file in files[_KEPT:]:
                if abs(time.time() - file.stat().st_mtime) > LEASE_S * 60:
                    remove_whatever(file)


@dataclass(frozen=True, kw_only=True)
class DriverState:
    """A driver of a results folder, as read from its file."""

    name: str
    record: DriverRecord | None
    """The content of its file; None where it is not valid."""
    is_alive: bool
    updated: float
    """When the file was written, by the file system's clock."""


def read_drivers(results: Path) -> list[DriverState]:
    """Return the drivers of a results folder, newest first, those with invalid files last."""
    drivers = []
    folder = state_folder(results) / "drivers"
    for file in (folder / name for name in names_of_files(folder, ".json")):
        try:
            record = _read_driver(file)
            drivers.append(
                DriverState(
                    name=file.stem,
                    record=record,
                    is_alive=is_alive(file, time.time()),
                    updated=file.stat().st_mtime,
                )
            )
        except OSError:  # removed meanwhile
            continue
    return sorted(drivers, key=lambda driver: driver.record.started if driver.record else "", reverse=True)


def _read_driver(file: Path) -> DriverRecord | None:
    with contextlib.suppress(ValueError, NotAFileError):
        return read_as(DriverRecord, read_json(file))
    return None

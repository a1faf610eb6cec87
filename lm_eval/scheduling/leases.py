"""Leases: files that make sure that two drivers on one results folder never compute the same configuration.

A lease is a file that only one driver can create. It is valid while its driver is alive, which others see by the
driver's heartbeat or, on the same machine, by its process. The lease of a dead driver is taken over. When that is,
`scheduling.heartbeat` decides: `LEASE_S` after the last heartbeat, `STALLED_S` where the process is still there. All
times are the file system's, so that clocks of machines need not agree; what is dated in the future is watched instead.
What names no driver (a file that a loss of power has filled with zeros, a link, a folder) is judged by its age.
"""

import contextlib
import os
import re
import stat
import time
from dataclasses import dataclass, field
from pathlib import Path

from lm_eval.common.atomic import remove_whatever
from lm_eval.results.pieces import state_folder
from lm_eval.scheduling.heartbeat import LEASE_S, is_alive

_VERDICT_S = 1.0
"""Time for which a verdict on whether another driver is alive is reused."""
_PROBE = ".now-"
"""Beginning of the names of files that ask for the file system's time."""
_OWNER = re.compile(r"[^/\x00-\x1f\ufffd]{1,200}")
"""What the name of a driver looks like."""


@dataclass
class Leases:
    """The leases of one driver."""

    results: Path
    driver: str
    """The driver's name, which is also the stem of its heartbeat file."""
    _mine: set[str] = field(default_factory=set)
    _verdicts: dict[str, tuple[float, bool]] = field(default_factory=dict)
    _seen: dict[str, tuple[float, float]] = field(default_factory=dict)
    """When each driver has written its file, as it is dated, and since when it is known to be dated so."""

    @property
    def _folder(self) -> Path:
        return state_folder(self.results) / "leases"

    def driver_file(self, driver: str) -> Path:
        """Return the heartbeat file of a driver."""
        return state_folder(self.results) / "drivers" / f"{driver}.json"

    def claim(self, name: str) -> bool:
        """Try to take the lease of a configuration; return whether this driver has it.

        Args:
            name: the fingerprint of the configuration's identity.

        Raises:
            OSError: the folder cannot be written.
        """
        if name in self._mine:
            return True
        path = self._folder / name
        if not self._make(path):
            try:
                owner = self._read(path)
                if owner is None or (owner != self.driver and self._is_alive(owner, path)):
                    return False
                is_free = self._evict(path, owner)
            except OSError:  # unknown whether its driver is alive, so the lease stays valid
                return False
            if not (is_free and self._make(path)):
                return False
        self._mine.add(name)
        return True

    def sweep(self) -> None:
        """Remove the leases of dead drivers, such as those that finished a run but couldn't give its lease back."""
        with contextlib.suppress(OSError):
            for path in self._folder.iterdir():
                owner = self._read(path)
                if owner is not None and owner != self.driver and not self._is_alive(owner, path):
                    self._evict(path, owner)
        with contextlib.suppress(OSError):
            for probe in state_folder(self.results).glob(f"{_PROBE}*"):
                if not self.is_live(probe.name.removeprefix(_PROBE)):
                    probe.unlink(missing_ok=True)

    def others(self, names: str) -> set[str]:
        """Return the other drivers, as far as they live, that hold leases.

        Args:
            names: a pattern of the leases' names, as of files.
        """
        owners = dict[str, Path]()
        with contextlib.suppress(OSError):
            for path in self._folder.glob(names) if "*" in names else [self._folder / names]:
                if (owner := self._read(path)) and owner != self.driver:
                    owners[owner] = path
            return {owner for owner, path in owners.items() if self._is_alive(owner, path)}
        return set(owners)

    def others_live_since(self, moment: float) -> bool:
        """Whether other drivers hold leases and each of them has shown a sign of life since a moment."""
        try:
            files = [self.driver_file(driver) for driver in self.others("*")]
            return bool(files) and all(file.stat().st_mtime > moment for file in files)
        except OSError:
            return False

    def is_live(self, driver: str) -> bool:
        """Whether another driver is alive; if that can't be determined, it counts as alive."""
        with contextlib.suppress(OSError):
            return driver != self.driver and self._is_alive(driver, self._folder)
        return True

    def holds(self, name: str) -> bool:
        """Whether this driver still has a lease; another may have taken it over if this one seemed dead for a while."""
        with contextlib.suppress(OSError):
            return self._read(self._folder / name) == self.driver
        return True

    def release(self, name: str) -> None:
        """Give a lease back."""
        if name in self._mine:
            self._mine.discard(name)
            path = self._folder / name
            with contextlib.suppress(OSError):
                if self._read(path) == self.driver:  # else another driver has taken it over
                    path.unlink()

    def release_all(self) -> None:
        """Give all leases back."""
        for name in list(self._mine):
            self.release(name)

    def _make(self, path: Path) -> bool:
        try:
            handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            return False
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            return self._make(path)
        try:
            os.write(handle, self.driver.encode())
        except OSError:  # the disk is full: don't leave a lease without an owner
            path.unlink(missing_ok=True)
            raise
        finally:
            os.close(handle)
        return True

    @staticmethod
    def _read(path: Path) -> str | None:
        """Return the driver that a lease names; "" where it names none, None where there is no lease."""
        try:
            if not stat.S_ISREG(path.lstat().st_mode):
                return ""
            with path.open("rb") as stream:
                owner = stream.read(1000).decode(errors="replace")
        except FileNotFoundError:  # given back meanwhile
            return None
        return owner if _OWNER.fullmatch(owner) else ""

    def _is_alive(self, owner: str, lease: Path) -> bool:
        if not owner:  # being created now, or its driver died while creating it, or something has damaged it
            with contextlib.suppress(FileNotFoundError):
                return abs(self.now() - lease.lstat().st_mtime) < LEASE_S
            return True  # given back meanwhile
        asked, verdict = self._verdicts.get(owner, (-_VERDICT_S, False))
        if time.monotonic() - asked >= _VERDICT_S:
            file = self.driver_file(owner)
            verdict = is_alive(file, self.now(), self._unchanged_s(file))
            self._verdicts[owner] = time.monotonic(), verdict
        return verdict

    def _unchanged_s(self, file: Path) -> float:
        """Return for how long a driver's file has been seen as it is now."""
        with contextlib.suppress(FileNotFoundError):
            dated, (before, since) = file.stat().st_mtime, self._seen.get(file.name, (None, 0.0))
            if dated == before:
                return time.monotonic() - since
            self._seen[file.name] = dated, time.monotonic()
        return 0.0

    def now(self) -> float:
        """Return the file system's time."""
        probe = state_folder(self.results) / f"{_PROBE}{self.driver}"
        probe.write_bytes(b"")
        os.utime(probe)
        now = probe.stat().st_mtime
        probe.unlink(missing_ok=True)
        return now

    def _evict(self, path: Path, owner: str) -> bool:
        """Remove the lease of a dead driver; of several drivers that try, one succeeds.

        A guard file keeps the rest out: a slower driver would otherwise remove the lease of the one that was faster.
        """
        guard = path.with_name(f".{path.name}")
        if not self._make(guard):
            holder = self._read(guard)
            if holder is not None and (holder == self.driver or not self._is_alive(holder, guard)):
                remove_whatever(guard)  # its driver died; the next driver that asks can take the lease
            return False
        try:
            if self._read(path) != owner:  # another driver was faster, or the lease was given back
                return False
            if not owner and self._is_alive(owner, path):  # the faster one is just making its own
                return False
            remove_whatever(path)
            return True
        finally:
            guard.unlink(missing_ok=True)

"""Leases: which driver computes which configuration of a results folder, so that two never compute the same one.

A lease is a file that only one driver can make. It holds as long as its driver lives: every driver keeps a file of
its own fresh (`scheduling.heartbeat`), and where both run on one machine, the process itself is looked for. A lease
whose driver is gone is taken over. Times are the file system's own, so that clocks of machines need not agree.
"""

import contextlib
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from lm_eval.scheduling.heartbeat import LEASE_S, is_alive, state_folder

_VERDICT_S = 1.0
"""Time for which it is taken for granted that another driver lives or not."""


@dataclass
class Leases:
    """The leases of one driver."""

    results: Path
    driver: str
    """The driver's name, which is its file's too."""
    _mine: set[str] = field(default_factory=set)
    _verdicts: dict[str, tuple[float, bool]] = field(default_factory=dict)

    @property
    def _folder(self) -> Path:
        return state_folder(self.results) / "leases"

    def driver_file(self, driver: str) -> Path:
        """Return the file of a driver."""
        return state_folder(self.results) / "drivers" / f"{driver}.json"

    def claim(self, name: str) -> bool:
        """Take the lease of a configuration, and return whether it is this driver's now.

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
                if owner is None or (owner != self.driver and self._lives(owner, path)):
                    return False
                is_free = self._evict(path, owner)
            except OSError:  # it can't be judged, so it holds
                return False
            if not (is_free and self._make(path)):
                return False
        self._mine.add(name)
        return True

    def sweep(self) -> None:
        """Remove the leases of drivers that are gone, such as those of runs that these had just finished."""
        with contextlib.suppress(OSError):
            for path in self._folder.iterdir():
                owner = self._read(path)
                if owner is not None and owner != self.driver and not self._lives(owner, path):
                    self._evict(path, owner)

    def holds(self, name: str) -> bool:
        """Whether a lease is still this driver's: it may have counted as gone for a while."""
        with contextlib.suppress(OSError):
            return self._read(self._folder / name) == self.driver
        return True

    def release(self, name: str) -> None:
        """Give a lease back."""
        if name in self._mine:
            self._mine.discard(name)
            path = self._folder / name
            with contextlib.suppress(OSError):
                if self._read(path) == self.driver:  # else this driver counted as gone, and another has it now
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
        except OSError:  # the disk is full: a lease without an owner would only be in the way
            path.unlink(missing_ok=True)
            raise
        finally:
            os.close(handle)
        return True

    @staticmethod
    def _read(path: Path) -> str | None:
        try:
            return path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:  # given back meanwhile
            return None

    def _lives(self, owner: str, lease: Path) -> bool:
        if not owner:  # it is just being made, or its maker died over it
            with contextlib.suppress(FileNotFoundError):
                return self._now() - lease.stat().st_mtime < LEASE_S
            return True  # given back meanwhile
        asked, verdict = self._verdicts.get(owner, (-_VERDICT_S, False))
        if time.monotonic() - asked >= _VERDICT_S:
            verdict = is_alive(self.driver_file(owner), self._now())
            self._verdicts[owner] = time.monotonic(), verdict
        return verdict

    def _now(self) -> float:
        """Return the file system's time."""
        probe = state_folder(self.results) / f".now-{self.driver}"
        probe.write_bytes(b"")
        os.utime(probe)
        now = probe.stat().st_mtime
        probe.unlink(missing_ok=True)
        return now

    def _evict(self, path: Path, owner: str) -> bool:
        """Remove the lease of a driver that is gone; of several that try, one succeeds.

        A guard keeps the others out meanwhile: somebody slower would remove the lease that has taken this one's place.
        """
        guard = path.with_name(f".{path.name}")
        if not self._make(guard):
            holder = self._read(guard)
            if holder is not None and (holder == self.driver or not self._lives(holder, guard)):
                guard.unlink(missing_ok=True)  # that of a driver that died over it; the lease is for the next who asks
            return False
        try:
            if self._read(path) != owner:  # somebody was faster and holds it rightly now, or has given it back
                return False
            path.unlink(missing_ok=True)
            return True
        finally:
            guard.unlink(missing_ok=True)

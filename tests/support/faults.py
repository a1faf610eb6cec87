"""Faults: what is done to a grid while it runs, each of a kind, at random from a seed."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil

from tests.support.fault_world import Disturbed, World, name_of

_HARMLESS = {"SIGCHLD", "SIGCONT", "SIGURG", "SIGWINCH", "SIGSTKFLT", "SIGSTOP"}
SIGNALS = [number for number in signal.Signals if number.value < 32 and number.name not in _HARMLESS]
YEAR_S = 365 * 86400.0

Fault = Callable[[Disturbed, random.Random], str]
"""Does something; returns what, or "" where there was nothing to do it to."""


def send_signal(grid: Disturbed, rnd: random.Random) -> str:
    """Send any signal that does something to any process of the grid."""
    process, number = _any_process(grid, rnd), rnd.choice(SIGNALS)
    if process is None:
        return ""
    name = name_of(process)
    with contextlib.suppress(psutil.Error):
        process.send_signal(number)
    return f"{signal.Signals(number).name} to {name}"


def kill(grid: Disturbed, rnd: random.Random) -> str:
    """Kill any process of the grid."""
    process = _any_process(grid, rnd)
    if process is None:
        return ""
    name = name_of(process)
    with contextlib.suppress(psutil.Error):
        process.kill()
    return f"SIGKILL to {name}"


def stop(grid: Disturbed, rnd: random.Random) -> str:
    """Stop any process of the grid for good; the driver, which nobody else could replace, for some seconds."""
    process = _any_process(grid, rnd)
    if process is None:
        return ""
    name = name_of(process)
    with contextlib.suppress(psutil.Error):
        process.suspend()
        if name == "driver":
            time.sleep(rnd.uniform(1, 8))
            process.resume()
    return f"SIGSTOP to {name}"


def two_signals(grid: Disturbed, rnd: random.Random) -> str:
    """Interrupt the driver twice, with hardly any time between."""
    if grid.driver is None or grid.driver.poll() is not None:
        return ""
    for number in rnd.choices([signal.SIGINT, signal.SIGTERM], k=2):
        with contextlib.suppress(ProcessLookupError):
            grid.driver.send_signal(number)
        time.sleep(rnd.choice([0.0, 0.001, 0.05, 0.3]))
    return "two interrupts in a row"


def away(grid: Disturbed, rnd: random.Random) -> str:
    """Stop the driver, let another take over what it held, and wake it while that one works."""
    first = grid.driver
    if first is None or first.poll() is not None:
        return ""
    first.send_signal(signal.SIGSTOP)
    time.sleep(0.2)
    for file in _state(grid, "drivers"):
        _date(file, time.time() - 4000)
    heir = grid.start()
    time.sleep(rnd.uniform(2, 15))
    first.send_signal(signal.SIGCONT)
    grid.wait(first)
    grid.driver = heir
    return "a driver that was away"


def second_driver(grid: Disturbed, rnd: random.Random) -> str:
    """Call the grid once more; one of the two is killed."""
    first = grid.driver
    if first is None or first.poll() is not None:
        return ""
    second = grid.start()
    time.sleep(rnd.uniform(1, 10))
    victim, heir = rnd.sample([first, second], 2)
    victim.kill()
    victim.wait()
    grid.driver = heir
    return "one of two drivers killed"


def _any_process(grid: Disturbed, rnd: random.Random) -> psutil.Process | None:
    """Choose a kind of process first, as there are many workers and one driver."""
    by_name: dict[str, list[psutil.Process]] = {}
    for process in grid.processes():
        by_name.setdefault(name_of(process), []).append(process)
    by_name.pop("gone", None)
    return rnd.choice(by_name[rnd.choice(sorted(by_name))]) if by_name else None


def _state(grid: Disturbed, *kinds: str) -> list[Path]:
    state = grid.results / ".grid"
    found = [path for kind in kinds for path in (state / kind).rglob("*") if not path.is_dir()]
    return sorted(found)


def _date(path: Path, moment: float) -> None:
    with contextlib.suppress(OSError):
        os.utime(path, (moment, moment), follow_symlinks=False)


def turn_times(grid: Disturbed, rnd: random.Random) -> str:
    """Date files of the folder's state a year ahead or back, as by a machine whose clock is off."""
    shift = rnd.choice([YEAR_S, -YEAR_S])
    files = _state(grid, "drivers", "leases", "pieces")
    for file in files:
        _date(file, time.time() + shift)
    return f"files dated {'ahead' if shift > 0 else 'back'}" if files else ""


_CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
int clock_gettime(clockid_t id, struct timespec *t) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(id, t);
    const char *shift = getenv("FAULT_CLOCK_S");
    if (!failed && shift && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) t->tv_sec += atol(shift);
    return failed;
}
time_t time(time_t *t) { struct timespec s; clock_gettime(CLOCK_REALTIME, &s); if (t) *t = s.tv_sec; return s.tv_sec; }
"""


def clock_off(grid: Disturbed, rnd: random.Random) -> str:
    """Kill the driver, and call the grid again with a clock that is a year ahead or back, where C can be compiled."""
    if grid.driver is None or grid.driver.poll() is not None or shutil.which("cc") is None:
        return ""
    library, source = grid.folder / "clock.so", grid.folder / "clock.c"
    source.write_text(_CLOCK)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    shift = rnd.choice([YEAR_S, -YEAR_S])
    grid.driver.kill()
    grid.driver.wait()
    grid.start(LD_PRELOAD=str(library), FAULT_CLOCK_S=f"{shift:.0f}")
    return f"a clock a year {'ahead' if shift > 0 else 'back'}"


DAMAGES: dict[str, Callable[[Path, random.Random], object]] = {
    "zeros": lambda path, rnd: path.write_bytes(bytes(rnd.randrange(1, 300))),
    "rubbish": lambda path, rnd: path.write_bytes(rnd.randbytes(rnd.randrange(1, 300))),
    "nothing": lambda path, rnd: path.write_bytes(b""),
    "half of it": lambda path, rnd: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "a folder": lambda path, rnd: (path.unlink(), path.mkdir(), (path / "within").touch()),
    "a link to nothing": lambda path, rnd: (path.unlink(), path.symlink_to("nowhere")),
    "gone": lambda path, rnd: path.unlink(),
}


def damage_state(grid: Disturbed, rnd: random.Random) -> str:
    """Damage a lease, a piece or a driver's file."""
    kind, how = rnd.choice(["leases", "pieces", "drivers"]), rnd.choice(sorted(DAMAGES))
    files = _state(grid, kind)
    if not files:
        return ""
    with contextlib.suppress(OSError):
        path = rnd.choice(files)
        DAMAGES[how](path, rnd)
        _date(path, time.time() - rnd.choice([0, 4000]))
        if kind == "drivers":
            name = str(path.relative_to(grid.results))  # of a driver that is gone, which nobody writes again
            grid.own |= {name, f"{name}/within"}
    return f"{kind}: {how}"


def damage_result(grid: Disturbed, rnd: random.Random) -> str:
    """Damage a result; the file is kept, and another is written."""
    files, how = sorted(grid.results.glob("*.json")), rnd.choice(["zeros", "rubbish", "half of it", "gone"])
    if not files:
        return ""
    path = rnd.choice(files)
    with contextlib.suppress(OSError):
        DAMAGES[how](path, rnd)
    grid.own |= {f"{path.stem}-{number}.json" for number in range(2, 5)}
    return f"result: {how}"


def remove_state(grid: Disturbed, rnd: random.Random) -> str:
    """Remove all of the folder's state, or the whole folder."""
    folder = rnd.choice([grid.results / ".grid", grid.results / ".grid" / "pieces", grid.results])
    if not folder.exists():
        return ""
    shutil.rmtree(folder, ignore_errors=True)
    return f"{folder.name} removed"


def fill_disk(grid: Disturbed, rnd: random.Random) -> str:
    """Fill the disk of the results for some seconds; a file system of their own must be there."""
    disk = grid.folder / "disk"
    if not os.path.ismount(disk):
        return ""
    filler = disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb") as stream:
        while True:
            stream.write(bytes(1 << 16))
            stream.flush()
    time.sleep(rnd.uniform(1, 12))
    filler.unlink()
    return "full disk"


def lock_disk(grid: Disturbed, rnd: random.Random) -> str:
    """Make the results read-only for some seconds."""
    disk = grid.folder / "disk"
    if os.path.ismount(disk):
        subprocess.run(["mount", "-o", "remount,ro", disk], check=False, capture_output=True)
    else:
        _set_modes(grid.results, 0o555)
    time.sleep(rnd.uniform(1, 12))
    if os.path.ismount(disk):
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True, capture_output=True)
    else:
        _set_modes(grid.results, 0o755)
    return "read-only disk"


def _set_modes(folder: Path, mode: int) -> None:
    for path in [folder, *(path for path in folder.rglob("*") if path.is_dir())]:
        with contextlib.suppress(OSError):
            path.chmod(mode)


KINDS: dict[str, Fault] = {
    "any signal": send_signal,
    "SIGKILL": kill,
    "SIGSTOP": stop,
    "two interrupts": two_signals,
    "a driver away": away,
    "two drivers": second_driver,
    "file times": turn_times,
    "clock": clock_off,
    "damaged state": damage_state,
    "damaged result": damage_result,
    "state removed": remove_state,
    "full disk": fill_disk,
    "read-only disk": lock_disk,
}
_BETWEEN_S = (0.3, 6.0)
"""Seconds between two faults."""


@contextlib.contextmanager
def disk_of(folder: Path) -> Iterator[None]:
    """Give a folder a file system of its own, where that is allowed."""
    disk = folder / "disk"
    disk.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)]
    is_mounted = os.geteuid() == 0 and subprocess.run(mount, check=False, capture_output=True).returncode == 0
    try:
        yield
    finally:
        if is_mounted:
            subprocess.run(["umount", "-l", disk], check=False)


def disturb(world: World, folder: Path, rnd: random.Random, kinds: Sequence[str]) -> tuple[Disturbed, list[str]]:
    """Let a grid run with faults of these kinds, one after the other; return it, and what was done."""
    grid, done = Disturbed(world, folder), []
    driver = grid.start()
    for kind in kinds:
        for _ in range(20):
            time.sleep(rnd.uniform(*_BETWEEN_S))
            if driver.poll() == 0:
                break
            if driver.poll() is not None:
                driver = grid.start()
                continue
            if what := KINDS[kind](grid, rnd):
                done.append(f"{kind}: {what}")
                driver = grid.driver or driver
                break
    grid.finish()
    return grid, done

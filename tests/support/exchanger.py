"""Exchanges files at random moments, as a process of its own: by rename, in place, and with times set back.

Run as `python exchanger.py PLAN.json`: the plan names two contents of one length for each file, in files too, the
number of exchanges, the longest pause between two, and a seed. Each exchange is a line of JSON on stdout.
"""

import json
import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path


def by_rename(path: Path, content: bytes) -> None:
    """Put another file in a file's place."""
    beside = path.with_name(f".{path.name}.new")
    beside.write_bytes(content)
    beside.replace(path)


def in_place(path: Path, content: bytes) -> None:
    """Write over a file; one that is cut would end whoever has mapped it."""
    with path.open("r+b") as stream:
        stream.write(content)


def with_times_set_back(path: Path, content: bytes) -> None:
    """Put another file in a file's place, with the other's times."""
    stat = path.stat()
    by_rename(path, content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def in_place_with_times_set_back(path: Path, content: bytes) -> None:
    """Write over a file, and say that it is as old as before."""
    stat = path.stat()
    in_place(path, content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


EXCHANGES: list[Callable[[Path, bytes], None]] = [
    by_rename, in_place, with_times_set_back, in_place_with_times_set_back,
]  # fmt: skip


def main(plan: Path) -> None:
    """Exchange as planned."""
    told = json.loads(plan.read_text())
    rnd = random.Random(told["seed"])
    shown = dict.fromkeys(told["contents"], 0)
    for _ in range(told["number"]):
        time.sleep(rnd.uniform(0, told["pause_s"]))
        name, exchange = rnd.choice(sorted(shown)), rnd.choice(EXCHANGES)
        shown[name] = 1 - shown[name]
        exchange(Path(name), Path(told["contents"][name][shown[name]]).read_bytes())
        print(json.dumps([name, exchange.__name__]), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

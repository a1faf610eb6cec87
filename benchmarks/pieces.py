"""Long passes in pieces: how much faster more workers are, and what a killed driver loses, by workers that sleep.

All is real but the workers (`simulated.py`): the driver and its process, the queue, leases, pieces, results.
"""

import contextlib
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.command_line import TOP, make_parser, positive, write_figures
from benchmarks.simulated import SimulatedExecutor, carry_out
from lm_eval.results.folder import ResultsFolder
from lm_eval.results.identity import Run
from lm_eval.scheduling import piece_sizes
from tests.support.long_passes import long_pass

WORKERS = (1, 2, 4)
_BLOCKS = 100
_SHORTEST = 100
"""Parts of the whole time that the shortest piece takes."""


@contextlib.contextmanager
def _short_pieces(seconds: float) -> Iterator[None]:
    """Let pieces last as small a part of a short pass as they do of one of hours."""
    usual = piece_sizes.SHORTEST_S, piece_sizes.LONGEST_S
    piece_sizes.SHORTEST_S, piece_sizes.LONGEST_S = seconds / _SHORTEST, 5 * seconds / _SHORTEST
    try:
        yield
    finally:
        piece_sizes.SHORTEST_S, piece_sizes.LONGEST_S = usual


def metrics_of(folder: Path, runs: Sequence[Run]) -> list[object]:
    """Return the metrics of runs' results, without the time they took."""
    results = ResultsFolder(folder)
    found = [results.find(run) for run in runs]
    return [None if stored is None else (stored.metrics, stored.content.get("samples")) for stored in found]


def time_workers(scratch: Path, documents: int, seconds: float) -> dict[int, float]:
    """Return the seconds of one pass by its number of workers; one alone takes so many."""
    runs, took = long_pass(scratch, documents), {}
    with _short_pieces(seconds):
        for number in WORKERS:
            executor = SimulatedExecutor(num_workers=number, document_s=seconds / documents)
            _, took[number] = carry_out(runs, scratch / f"results-{number}", executor, num_blocks=_BLOCKS)
    return took


def work(scratch: Path, documents: int, seconds: float, workers: int) -> None:
    """Carry out a pass in this process, which somebody may kill; note the pieces that are begun in a file."""
    executor = SimulatedExecutor(num_workers=workers, document_s=seconds / documents, log=scratch / "began.txt")
    with _short_pieces(seconds):
        carry_out(long_pass(scratch, documents), scratch / "results", executor, num_blocks=_BLOCKS)


def kill_often(scratch: Path, documents: int, seconds: float, kills: int, seed: int) -> dict[str, float | bool]:
    """Kill the driver of a pass so many times, at random moments; return what was computed more than once.

    Raises:
        SystemExit: a driver ended with an error.
    """
    workers, rnd = 2, random.Random(seed)  # noqa: S311
    flags = [f"--scratch={scratch}", f"--documents={documents}", f"--seconds={seconds}"]
    command = [sys.executable, "-m", "benchmarks.pieces", *flags, "--work"]
    runs, began, killed = long_pass(scratch, documents), scratch / "began.txt", 0
    (scratch / "began.txt").touch()
    share = seconds / workers / (kills + 1)
    while True:
        with subprocess.Popen(command, cwd=TOP) as driver:  # noqa: S603
            before = len(began.read_text(encoding="utf-8"))
            while driver.poll() is None and len(began.read_text(encoding="utf-8")) == before:
                time.sleep(0.01)
            if killed < kills:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    driver.wait(rnd.uniform(0, 1.5 * share))
                killed += driver.poll() is None
                driver.kill()
            if driver.wait() > 0:
                raise SystemExit(f"error: a driver ended with status {driver.returncode}")
        if driver.returncode == 0:
            break
    undisturbed = SimulatedExecutor(num_workers=workers, document_s=seconds / documents / 50)
    carry_out(runs, scratch / "undisturbed", undisturbed, num_blocks=_BLOCKS)
    times = Counter[int]()
    for line in began.read_text(encoding="utf-8").splitlines():
        start, end = map(int, line.split()[:2])
        times.update(range(start, end))
    left = [path for path in (scratch / "results" / ".grid").rglob("*") if path.is_file() and path.suffix != ".json"]
    return {
        "documents": len(times),
        "killed": killed,
        "computed again": sum(times.values()) - len(times),
        "pieces under way, documents at most": workers * killed * documents * 5 // _SHORTEST,
        "scores the same": metrics_of(scratch / "results", runs) == metrics_of(scratch / "undisturbed", runs),
        "pieces left": len(left) + len(list((scratch / "results" / ".grid").glob("pieces/*"))),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure both and return the exit status."""
    parser = make_parser(__doc__)
    parser.add_argument("--documents", type=positive, default=2000)
    parser.add_argument("--seconds", type=float, default=60.0, help="what the pass takes one worker")
    parser.add_argument("--kills", type=positive, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", action="store_true", help="carry out the pass in --scratch")
    parser.add_argument("--scratch", type=Path)
    args = parser.parse_args(arguments)
    if args.work:
        work(args.scratch, args.documents, args.seconds, workers=2)
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        took = time_workers(Path(scratch) / "workers", args.documents, args.seconds)
        lost = kill_often(Path(scratch) / "kills", args.documents, args.seconds, args.kills, args.seed)
    for number, seconds in took.items():
        print(f"{number} workers: {seconds:.2f} s, {took[1] / seconds / number:.3f} of {number} times as fast")
    print(", ".join(f"{name}: {value}" for name, value in lost.items()))
    write_figures(args.out, {"seconds by workers": took, "killed": lost})
    return 0


if __name__ == "__main__":
    sys.exit(main())

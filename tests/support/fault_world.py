"""A grid that is disturbed while it runs: how it is started, what belongs to it, and what it must have done at the end.

All that it starts bears a mark in its environment, and all that it writes lies in one folder; so nothing that it leaves
behind goes unnoticed, and nothing else is touched.
"""

import contextlib
import io
import json
import os
import re
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from lm_eval.grid.script import carry_out
from lm_eval.results.result_file import read_results
from lm_eval.scheduling.executors.in_process import InProcessExecutor
from tests.support.clusters import environment, one_core
from tests.support.grids import options
from tests.support.long_passes import write_documents
from tests.support.paths import TOP

MARK = "LM_EVAL_FAULTS"
HUNG_S = 300.0
"""Far longer than the longest silence that is waited for: what has not ended by then hangs."""
STALL_S = 20
_ENDS_S = 15.0
"""Time for processes to end behind a driver."""

_GRID = '''
import lm_eval.scheduling.cutting
import lm_eval.scheduling.piece_sizes
import lm_eval.scoring.blocks
from lm_eval.grid.grid import Grid
from lm_eval.grid.script import launch

lm_eval.scheduling.cutting.block_tokens = lm_eval.scoring.blocks.block_tokens = lambda parameters, on_gpu: {block}
lm_eval.scheduling.piece_sizes.SHORTEST_S, lm_eval.scheduling.piece_sizes.LONGEST_S = 0.5, 1.0


def run() -> Grid:
    """Passes in pieces."""
    return Grid(
        model="dist_sim",
        task="hellaswag_d",
        models=["{model}"],
        arch_type="decoder-only",
        num_fewshot={shots},
        encoding_scheme=["concat_each_example", "segment_each_example"],
        settings={{"WORD_AGG_SCHEME": ["mean", "w1mean"], "SIMILARITY_FUNC": ["dot_product"]}},
    )


if __name__ == "__main__":
    launch(run, results_dir="unused")
'''


@dataclass(frozen=True)
class World:
    """A grid script with its model and data, and what comes of it where nothing disturbs it."""

    folder: Path
    script: Path
    expected: dict[str, dict]
    cores: int

    @classmethod
    def make(cls, folder: Path, model: str, *, documents: int, shots: int, cores: int) -> "World":
        """Write the script and the data, and compute the results in this process, in one piece."""
        folder.mkdir(parents=True, exist_ok=True)
        data, script = write_documents(folder / "data", documents), folder / "disturbed.py"
        script.write_text(_GRID.format(block=4000, model=model, shots=list(range(1, shots + 1))))
        scope: dict = {"__name__": "disturbed"}
        source = "\n".join(line for line in script.read_text().splitlines() if not line.startswith("lm_eval."))
        exec(compile(source, str(script), "exec"), scope)
        with contextlib.redirect_stdout(io.StringIO()):
            status = carry_out([scope["run"]()], options(data, folder / "whole", limit=None), "x", InProcessExecutor())
        assert status == 0
        found = {name: results[0] for name, results in scores_in(folder / "whole").items()}
        assert len(found) == 4 * shots
        return cls(folder, script, found, cores)


def scores_in(folder: Path) -> dict[str, list[dict]]:
    """The scores of all valid results, and what was counted, by what they are of."""
    found: dict[str, list[dict]] = {}
    for path in folder.glob("*.json"):
        with contextlib.suppress(ValueError, OSError):
            stored = read_results(path)[0]
            (record,) = stored.content["run"].values()
            kept = ("num_documents", "num_truncated_segments", "vectors_per_context", "tokens_per_vector")
            counts = {key: record.get(key) for key in kept}
            found.setdefault(json.dumps(stored.identity, sort_keys=True), []).append({**stored.metrics, **counts})
    return found


@dataclass
class Disturbed:
    """A results folder that a grid is called on until all is done, whatever happens."""

    world: World
    folder: Path
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    told: list[str] = field(default_factory=list)
    """What the calls have printed."""
    driver: "subprocess.Popen[bytes] | None" = None
    num_calls: int = 0
    problems: Counter[str] = field(default_factory=Counter)
    own: set[str] = field(default_factory=set)
    """Names of files that were damaged, and that are kept as they are."""

    def __post_init__(self) -> None:
        for name in ("tmp", "home"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)

    @property
    def results(self) -> Path:
        return self.folder / "disk" / "results"

    def start(self, **changes: str) -> "subprocess.Popen[bytes]":
        """Call the grid."""
        self.num_calls += 1
        flags = ["--data_dir", str(self.world.folder / "data"), "--results_dir", str(self.results), "--retry_failed"]
        command = [sys.executable, str(self.world.script), *flags, "--stall_timeout", str(STALL_S)]
        quick = {"period_ms": "1000", "timeout_ms": "3000", "failure_threshold": "3", "initial_delay_ms": "1000"}
        own = {
            "PYTHONPATH": str(TOP),
            "TMPDIR": str(self.folder / "tmp"),
            "HOME": str(self.folder / "home"),
            MARK: self.mark,
        }
        ray = {f"RAY_health_check_{key}": value for key, value in quick.items()}
        log = (self.folder / f"told-{self.num_calls}.txt").open("wb")
        with one_core() if self.world.cores == 1 else contextlib.nullcontext():
            driver = subprocess.Popen(
                command,
                cwd=TOP,
                env=environment(**own, **ray, RAY_worker_niceness="0", **changes),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        log.close()
        self.driver = driver
        return driver

    def processes(self) -> Iterator[psutil.Process]:
        """Yield all living processes that bear the mark."""
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.environ().get(MARK) == self.mark and process.status() != psutil.STATUS_ZOMBIE:
                    yield process

    def wait(self, driver: "subprocess.Popen[bytes]") -> int | None:
        """Wait until a call has ended; None if it hangs, when all of it is killed."""
        try:
            return driver.wait(timeout=HUNG_S)
        except subprocess.TimeoutExpired:
            self.problems["hung"] += 1
            for process in self.processes():
                with contextlib.suppress(psutil.Error):
                    process.kill()
            driver.wait()
            return None

    def finish(self) -> None:
        """Call the grid until all is done, and once more, as results may have been damaged; count what is wrong."""
        status = None if self.driver is None else self.wait(self.driver)
        for _ in range(4):
            if status == 0:
                break
            status = self.wait(self.start())
        self._let_damaged_leases_age()
        self.count(self.wait(self.start()) if status == 0 else status)

    def _let_damaged_leases_age(self) -> None:
        """Date leases that name no driver back: the last call has to remove them, which it does by their age."""
        drivers = {path.stem for path in (self.results / ".grid" / "drivers").glob("*.json")}
        for path in (self.results / ".grid" / "leases").glob("*"):
            with contextlib.suppress(OSError):
                if path.is_symlink() or path.is_dir() or path.read_text(errors="replace") not in drivers:
                    aged = time.time() - 4000
                    os.utime(path, (aged, aged), follow_symlinks=False)

    def count(self, status: int | None) -> None:
        """Count what is wrong at the end."""
        found = scores_in(self.results)
        self.problems["lost"] += len(self.world.expected.keys() - found.keys()) + (status != 0)
        self.problems["doubled"] += sum(len(scores) - 1 for scores in found.values())
        wrong = [name for name, scores in found.items() for one in scores if one != self.world.expected.get(name)]
        self.problems["wrong"] += len(wrong)
        told = "".join(path.read_text(errors="replace") for path in self.folder.glob("told-*.txt"))
        self.problems["tracebacks"] += len(re.findall(r"Traceback|Exception ignored|Fatal Python|\*\*\* SIG", told))
        for process in self.processes():
            if name_of(process) == "guard":  # it stood still when its driver was killed; nobody else ends it
                with contextlib.suppress(psutil.Error):
                    process.resume()
        deadline = time.monotonic() + _ENDS_S
        while (left := [name_of(process) for process in self.processes()]) and time.monotonic() < deadline:
            time.sleep(0.3)
        self.problems["processes left"] += len(left)
        files = self.files_left()
        self.problems["files left"] += len(files)
        self.told += [f"left: {one}" for one in [*left, *files]]
        for process in list(self.processes()):
            with contextlib.suppress(psutil.Error):
                process.kill()

    def files_left(self) -> list[str]:
        """Return all files that an undisturbed grid doesn't leave, or removes."""
        expected = re.compile(r"[^/]+[0-9a-f]{16}\.json|logs/.+\.log|\.grid/drivers/[^/.][^/]*\.json")
        state = [path for path in self.results.rglob("*") if not path.is_dir() or path.is_symlink()]
        names = [str(path.relative_to(self.results)) for path in state]
        left = [name for name in names if not expected.fullmatch(name) and name not in self.own]
        temporary = [path.name for path in (self.folder / "tmp").iterdir() if not path.name.startswith("ray")]
        home = [path.stat().st_mode & 0o077 for path in (self.folder / "home").rglob("auth_token")]
        return [*left, *temporary, *("a token that others may read" for mode in home if mode)]


def name_of(process: psutil.Process) -> str:
    """What a process of a grid is."""
    try:
        command = " ".join(process.cmdline())
    except psutil.Error:
        return "gone"
    for part, name in _PARTS.items():
        if part in command:
            return name
    return f"other ({command.rpartition('/')[2]:.40})"


_PARTS = {
    "ray::RayWorker": "worker",
    "ray::": "idle worker",
    "default_worker.py": "idle worker",
    "disturbed.py": "driver",
    "executors.ray.host": "Ray's holder",
    "processes.py": "guard",
    "gcs_server": "gcs_server",
    "raylet/raylet": "raylet",
    "dashboard/agent.py": "agent",
    "runtime_env/agent": "agent",
    "log_monitor.py": "log monitor",
    "monitor.py": "monitor",
    "ray_process_reaper": "reaper",
}

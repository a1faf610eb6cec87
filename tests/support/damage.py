"""A results folder with every kind of file, one of which is damaged; and the commands that read it."""

import contextlib
import copy
import io
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from benchmarks.simulated import even_blocks, make_part
from lm_eval import table
from lm_eval.analysis.report import find_architectures, make_report
from lm_eval.analysis.report.explorer import explorer_page
from lm_eval.analysis.report.page import report_page
from lm_eval.analysis.report.tables import readable, to_markdown
from lm_eval.analysis.runs import read_runs
from lm_eval.cli.compare import ComparedRun, describe_comparison
from lm_eval.cli.status import describe_status, fit_lines
from lm_eval.common.command import exit_status
from lm_eval.config.run_config import describe
from lm_eval.grid.console import print_plan
from lm_eval.grid.dry_run import describe_dry_run
from lm_eval.grid.job import prepare
from lm_eval.grid.plan import describe_plan
from lm_eval.results.failures import Failure, write_failure
from lm_eval.results.pieces import PassFolder, write_piece
from lm_eval.results.provenance import code_digest
from lm_eval.scheduling.executors.in_process import InProcessExecutor
from lm_eval.scheduling.heartbeat import Heartbeat, Progress
from lm_eval.scheduling.ownership import Ownership
from lm_eval.scheduling.passes import Passes, sweep_state
from lm_eval.scheduling.units import WorkUnit
from tests.support.grids import options, small_grid
from tests.support.worlds import write_model_folder, write_world

LONG = "x" * 5_000
VALUES = (
    *(None, True, False, -1, 0, 3.5, 2**31, 2**63, -(2**63), 10**18, 10**400, 1e308, 5e-324),
    *(float("nan"), float("inf"), float("-inf")),
    *("", " ", "NaN", "None", "\ud800", "\udcff\udc80", "a\x00b", "a\nb", "../..", "9" * 5000, LONG, "\x1b[31m"),
    *("<b>", "=1+1", ",", "pretrained=", "0001-01-01T00:00:00", "9999-12-31T23:59:59.999999+00:00", "%s {0}"),
    *([], [[]], [None], {}, {"": None}, {"\ud800": {}}, [1, "a", None], {"acc": "x"}, list(range(300))),
)
"""What stands in a file in place of a value."""
TEXTS = (b"", b"[" * 100_000, b"\xff\xfe", b"\xef\xbb\xbf{}", b"null", b"{}", b"[]", b"3", b"\0" * 4096, b'{"a":')
"""What stands in a place of a whole file."""
DRIVER = {
    "driver": "one", "host": "node7", "machine": "elsewhere", "pid": 4711, "process_started": "1",
    "command_line": "python run.py", "started": "2026-07-01T10:00:00+00:00", "digest": "ab",
    "planned": 5, "skipped": 2, "finished": 4, "elsewhere": 0, "failed": 1, "documents": 40, "documents_done": 4,
    "remaining_s": 30.0, "running": {"worker-1": {"num_runs": 2, "first": "the first run", "since": 1000.0}},
    "ended": None,
}  # fmt: skip


def places(content: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place of some content, as the keys that lead there."""
    inner = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return [path, *(place for key, value in inner for place in places(value, (*path, key)))]


def with_value(content: object, path: tuple[Any, ...], value: object) -> object:
    """A copy of some content with another value at a place."""
    if not path:
        return value
    content = copy.deepcopy(content)
    inner: Any = content
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return content


def _without(content: object, path: tuple[Any, ...]) -> object:
    content = copy.deepcopy(content)
    inner: Any = content
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    return content


def _nested(value: object, depth: int) -> object:
    for _ in range(depth):
        value = [value]
    return value


class DamagedFolder:
    """A results folder as a grid leaves it, half done, one file of which is damaged at a time."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "results"
        data, model = write_world(folder / "data"), write_model_folder(folder / "model")
        self.grids = [
            small_grid(model, settings={"WORD_AGG_SCHEME": ["mean"], "SIMILARITY_FUNC": ["cosine_sim", "dot_product"]}),
            small_grid(model, model="dist_gen", task="hellaswag_dg", encoding_scheme=["cross_encoding"], settings={}),
        ]
        self.options = options(data, self.path)
        runs = prepare(self.grids, self.options, self.path, InProcessExecutor()).checked.runs
        self.path.mkdir()
        self._write(runs)
        self.files = {path: path.read_bytes() for path in sorted(self.path.rglob("*")) if path.is_file()}
        self.damages = damages(self.files)
        """Which file is damaged, and how; made once, because hypothesis reads the source whenever one is made."""
        self.results = {path for path in self.files if path.parent == self.path and ".error." not in path.name}

    def _write(self, runs: list[Any]) -> None:
        failing, unfinished, *done = runs
        write_failure(self.path, failing, Failure(message="no luck", log_tail="the end", host="node7"))
        for number, run in enumerate(done):
            self._put(f"{number}.json", result_of_run(run, 0.25 + number / 8))
        older = result_of_run(done[0], 0.5)
        older["config"]["num_fewshot"] = 3
        self._put("older.json", {key: older[key] for key in ("results", "versions", "config")})
        self._put(".grid/drivers/one.json", DRIVER)
        (self.path / ".grid" / "leases").mkdir()
        (self.path / ".grid" / "leases" / unfinished.name).write_text("one")
        unit = WorkUnit(runs=(unfinished,), blocks=even_blocks(4, 2), num_documents=4)
        self.unit = unit
        folder = PassFolder.of(self.path, unfinished.pass_name)
        write_piece(
            folder.file(code_digest(), (0, 2), "one"), {unfinished.name: make_part(unfinished, (0, 2), 1.0, "w")}
        )

    def _put(self, name: str, content: object) -> None:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))

    @contextlib.contextmanager
    def damaged(self, path: Path, text: bytes) -> Iterator[None]:
        """Put a text in place of a file."""
        path.write_bytes(text)
        try:
            yield
        finally:
            for file, content in self.files.items():
                if file == path or not file.exists():  # what a driver needs no more, it removes
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_bytes(content)

    def commands(self) -> dict[str, Callable[[], int]]:
        """The commands that read it, as they are called, by their names; each prints and returns its exit status."""
        first, second = sorted(self.results)[:2]
        return {
            "status": lambda: exit_status(self._status, only_shows=True),
            "table": lambda: table.main([str(self.path)]),
            "table as CSV": lambda: table.main([str(self.path), "--csv", "--best", "1", "--sort", "normalised,limit"]),
            "plan": lambda: exit_status(self._plan),
            "compare": lambda: exit_status(lambda: self._compare(first, second), only_shows=True),
            "report": lambda: exit_status(self._report),
        }

    def _status(self) -> int:
        print("\n".join(fit_lines(describe_status(self.path, table=True))))
        return 0

    def _plan(self) -> int:
        job = prepare(self.grids, self.options, self.path, InProcessExecutor())
        print_plan(job.plan, job.folder, job.estimate, job.checked.notes)
        print("\n".join([*describe_plan(job.plan, describe), *describe_dry_run(job.plan)]))
        ownership = Ownership(job.plan.order, job.folder, Heartbeat(self.path, Progress(planned=1, skipped=0)))
        passes = Passes(job.plan.order, [self.unit], job.folder, ownership)
        passes.open()
        passes.claim(self.unit, 2)
        ownership.claim(job.plan.to_run)
        ownership.release_all()
        ownership.sweep()
        sweep_state(job.folder)
        return 0

    def _compare(self, a: Path, b: Path) -> int:
        runs = [ComparedRun.read(path, None) for path in (a, b)]
        print("\n".join(describe_comparison(*runs, num_documents=3, width=79)))
        return 0

    def _report(self) -> int:
        runs = read_runs([self.path])
        report = make_report([self.path], runs, find_architectures(runs.table))
        for one in report.tables.values():
            print(to_markdown(readable(one)))
            one.to_csv(io.StringIO(), index=False)
        print(len(explorer_page(report)), len(report_page(report)), *report.remarks)
        return 0


def result_of_run(run: Any, acc: float) -> dict[str, Any]:
    """A result with every field that is read."""
    task = run.config.task
    record = {
        "num_documents": 4, "device": "cpu", "dtype": "float32", "load_s": 1.0, "parameters": 1000, "num_layers": 2,
        "code": {"version": "1", "commit": None, "changed": None}, "seconds": 1.5, "host": "node7",
        "vectors_per_context": 2.0, "tokens_per_vector": 3.0, "finished": "2026-07-01T10:00:00+00:00",
        "pass": {"num_configurations": 1, "phases_s": {"encode": 1.0, "score": 1.0}},
    }  # fmt: skip
    samples = [
        {"doc_id": number, "gold": [number % 2], "scores": [acc, 0.5], "choices": [" no", " yes"],
         "context": [["a shot"], ["question"]]}
        for number in range(2)
    ]  # fmt: skip
    return {
        "results": {task: {"acc": acc, "acc_stderr": 0.25, "rand_acc": 0.25, "rand_acc_stderr": 0.0}},
        "versions": {task: 0},
        "config": {
            "model": run.config.model, "model_args": run.config.model_args(), "task_args": run.config.task_args(),
            "num_fewshot": run.config.num_fewshot, "limit": "4", "description_dict": {},
        },
        "identity": {task: copy.deepcopy(dict(run.identity))},
        "run": {task: record},
        "samples": {task: samples},
    }  # fmt: skip


def damages(files: Mapping[Path, bytes]) -> st.SearchStrategy[tuple[Path, bytes]]:
    """A file, and what it holds once one value in it is another, or is missing, or it is no JSON any more."""

    @st.composite
    def draw_one(draw: st.DrawFn) -> tuple[Path, bytes]:
        path = draw(st.sampled_from(sorted(files)))
        how = draw(st.integers(0, 19))
        if path.suffix != ".json" or how == 0:
            return path, draw(st.sampled_from(TEXTS))
        if how == 1:
            return path, files[path][: draw(st.integers(0, len(files[path])))]
        content = json.loads(files[path])
        place = draw(st.sampled_from(places(content)))
        if how == 2 and place:
            damaged = _without(content, place)
        elif how == 3:
            damaged = with_value(content, place, _nested(1, draw(st.sampled_from([50, 150, 900]))))
        else:
            damaged = with_value(content, place, draw(st.sampled_from(VALUES)))
        return path, json.dumps(damaged).encode()

    return draw_one()


def run_command(command: Callable[[], int]) -> tuple[int, str]:
    """Run a command whose output goes where only whole characters may; return its status and what it printed."""
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding="utf-8", errors="strict", write_through=True) as stream:
        with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
            status = command()
        stream.flush()
        return status, raw.getvalue().decode("utf-8")

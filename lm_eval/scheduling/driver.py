"""The driver of a grid: runs the plan, writes each outcome as a file, keeps leases, heartbeat and logs.

Only the driver writes into the results folder; workers need no access to it.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from lm_eval.common.atomic import sweep_temporary_files
from lm_eval.common.console import print_safely
from lm_eval.common.text import first_line, say_cut
from lm_eval.config.run_config import RunConfig, describe
from lm_eval.contexts.document_texts import with_texts
from lm_eval.errors import ConfigurationError, RunError
from lm_eval.results.failures import Failure, remove_failure, write_failure
from lm_eval.results.folder import ResultsFolder
from lm_eval.results.identity import Run, is_same_run
from lm_eval.results.provenance import code_version, command_line
from lm_eval.scheduling.allocation import Workforce
from lm_eval.scheduling.document_count import DocumentCount
from lm_eval.scheduling.executors.base import Executor
from lm_eval.scheduling.heartbeat import Heartbeat, Progress
from lm_eval.scheduling.ownership import Ownership
from lm_eval.scheduling.passes import Passes
from lm_eval.scheduling.piece_sizes import PieceSizes
from lm_eval.scheduling.queue import HELD_POLL_S, WorkQueue
from lm_eval.scheduling.result_writer import ResultWriter
from lm_eval.scheduling.shift import Shift
from lm_eval.scheduling.summary import Summary
from lm_eval.scheduling.timing import RemainingTime
from lm_eval.scheduling.units import Ended, Event, Order, Outcome, PieceDone, Started, Waiting
from lm_eval.scoring.assembly import documents_of_identity

OnChange = Callable[[Progress, str | None], None]
"""Called with the progress, and with a line about a run that has ended, if any."""

_CHANGED_SINCE_PLAN = Failure(
    message="the model or the data differ from those of the plan: they changed meanwhile, or the worker's machine has "
    "others; the result is stored under what it was computed from, call again to compute the planned run"
)


class Driver:
    """Carries out one order."""

    def __init__(
        self,
        order: Order,
        folder: ResultsFolder,
        workforce: Workforce,
        remaining: RemainingTime,
        on_change: OnChange,
        *,
        fail_fast: bool = False,
    ) -> None:
        self._order = order
        self._runs = {run.config: run for run in order.runs}
        self._folder = folder
        self._workforce = workforce
        self._remaining = remaining
        self._on_change = on_change
        self._fail_fast = fail_fast
        self._progress = Progress(planned=len(order.runs), skipped=order.num_done)
        self._heartbeat = Heartbeat(folder.path, self._progress)
        self._ownership = Ownership(order, folder, self._heartbeat)
        self._passes = Passes(order, remaining.units, folder, self._ownership)
        self._writer = ResultWriter(folder, self._runs)
        self._documents = DocumentCount(remaining, self._progress)
        self._causes: set[str] = set()
        self.summary = Summary(self._progress)
        self._shift = Shift()

    def run(self, executor: Executor, shift: Shift | None = None) -> Summary:
        """Run everything, and return how it ended.

        Args:
            executor: what computes it.
            shift: which part of the work is this driver's; None: all of it.

        Raises:
            ConfigurationError: the executor cannot run this; nothing ran.
            KeyboardInterrupt: the user interrupted it; finished runs are written.
        """
        self._shift = shift or self._shift
        self._shift.summary = self.summary
        queue = self._queue = WorkQueue(
            units=self._remaining.units,
            claim=self._ownership.claim,
            claim_piece=self._passes.claim,
            piece_sizes=PieceSizes(num_workers=self._workforce.num_workers, past=self._remaining.seconds_a_document),
            sizes=self._workforce.sizes,
            larger_share=self._workforce.larger_share,
        )
        with self._opened(queue):
            if self._shift.ending:  # before anything was begun
                queue.drain()
            self._compute(executor, queue)
            while queue and not self.summary.stopped:  # pieces that vanished after the last one was done
                self._compute(executor, queue)
            for written in self._writer.retry_for_a_while():
                self._settle(written)
        return self.summary

    def _compute(self, executor: Executor, queue: WorkQueue) -> None:
        """Compute what waits, and see to it that all of it has an outcome, as far as it wasn't lost meanwhile."""
        with contextlib.closing(executor.run(queue, self._workforce)) as events:  # type: ignore[type-var]
            for event in events:
                self._take(event)
                if self.summary.stopped:
                    break
                if self._is_over(queue):
                    queue.drain()
        self._take_rest(queue)
        while self._passes.is_waiting and not (self.summary.stopped or self._shift.ending):
            time.sleep(HELD_POLL_S / 4)
            self._take(Waiting())

    def _is_over(self, queue: WorkQueue) -> bool:
        only_waits = queue.only_waits and not self._progress.running
        return self._shift.is_over(only_waits=only_waits, leases=self._ownership.leases)

    @contextlib.contextmanager
    def _opened(self, queue: WorkQueue) -> Iterator[None]:
        """Keep the heartbeat during the `with` block; afterwards write what is left and release all leases."""
        try:
            self._heartbeat.open()
        except OSError as error:
            raise ConfigurationError(
                f"results folder {self._folder.path}: cannot be written ({error}); choose another"
            ) from error
        self._ownership.sweep()
        sweep_temporary_files(self._folder.path)
        self._passes.open()
        self._count_pieces(before=True)
        ended = "stopped by an error"
        try:
            yield
            ended = "stopped at the first failure" if self.summary.stopped else self._shift.ending or "finished"
        except KeyboardInterrupt:
            ended = "interrupted"
            raise
        finally:
            with contextlib.ExitStack() as last:  # all of them run, the last one first, even if some fail
                last.callback(lambda: self._heartbeat.close(ended))
                last.callback(lambda: sweep_temporary_files(self._folder.path))
                last.callback(self._ownership.sweep)  # of drivers that have died since this one began
                last.callback(self._ownership.release_all)
                last.callback(self._passes.write)
                last.callback(self._save_the_rest)
                last.callback(lambda: self._settle(self._writer.retry(now=True)))
                last.callback(lambda: self._take_rest(queue))

    def _take_rest(self, queue: WorkQueue) -> None:
        """Take outcomes that are left in the queue; after a failure that stopped the grid, only results."""
        for settled in queue.settled():
            if isinstance(settled, PieceDone):
                self._take_piece(settled)
            elif settled.failure is None or not self.summary.stopped:
                self._take_outcome(settled)
        self._take_assembled()

    def _take(self, event: Event) -> None:
        self._progress.remaining_s = self._remaining.remaining_s()
        if isinstance(event, Started):
            first, number = describe(event.unit.runs[0].config), len(event.unit.runs)
            self._progress.running[event.worker] = {"num_runs": number, "first": first, "since": time.time()}
            self._on_change(self._progress, None)
        elif isinstance(event, Ended):
            self._progress.running.pop(event.worker, None)
            self._keep_log(event)
        elif isinstance(event, Outcome):
            self._take_outcome(event)
        elif isinstance(event, PieceDone):
            self._take_piece(event)
        else:
            self._on_change(self._progress, None)
        self._take_assembled()
        self._settle(self._writer.retry())

    def _take_piece(self, piece: PieceDone) -> None:
        self.summary.num_pieces += bool(piece.parts)
        for outcome in self._passes.keep(piece):
            self._take_outcome(outcome)
        self._count_pieces()
        self._on_change(self._progress, None)

    def _take_assembled(self) -> None:
        """Take the results of runs whose last piece is there, by whomever it was computed."""
        for outcome in self._passes.assembled():
            self._take_outcome(outcome)
        self._queue.add(self._passes.lost())

    def _count_pieces(self, *, before: bool = False) -> None:
        for run in self._order.runs:
            if (number := self._passes.num_done(run)) is not None:
                self._documents.reach(run.config, number, before=before)

    def _take_outcome(self, outcome: Outcome) -> None:
        run = self._runs[outcome.config]
        self._queue.forget(outcome.config)
        if outcome.elsewhere or self._ownership.is_done_by_successor(run):
            self._end_elsewhere(outcome.config)
        elif outcome.failure is not None:
            self._record(outcome, outcome.failure)
        else:
            assert outcome.result is not None  # noqa: S101
            self._complete(outcome.result, run)
            self._settle(self._writer.write(outcome))

    def _end_elsewhere(self, config: RunConfig) -> None:
        self._progress.elsewhere += 1
        self._end(config, f"done elsewhere ({self._count()}): {describe(config)}")

    def _complete(self, result: dict[str, Any], run: Run) -> None:
        """Add what only the driver knows: the user's command, and the code's commit where workers got a copy.

        Also the texts of documents, where they are asked for: workers needn't send them.
        """
        task = run.config.task
        record = result["run"][task]
        record["command_line"] = command_line()
        if record["code"]["commit"] is None:
            record["code"] = code_version()
        if self._order.log_texts and "samples" in result:
            try:
                documents = documents_of_identity(run, result["identity"][task])
                result["samples"][task] = with_texts(result["samples"][task], run.config, run.task, documents)
            except (ConfigurationError, RunError) as error:  # the data is gone or another; the scores aren't
                print_safely(f"{describe(run.config)}: stored without texts: {error}")

    def _settle(self, written: Sequence[Outcome]) -> None:
        """Count results that have been written, here or elsewhere, and remove earlier failures of their runs."""
        for outcome in written:
            assert outcome.result is not None  # noqa: S101
            run = self._runs[outcome.config]
            if outcome.elsewhere:
                self._end_elsewhere(outcome.config)
                continue
            if not is_same_run(outcome.result["identity"][outcome.config.task], run.identity):
                self._record(replace(outcome, failure=_CHANGED_SINCE_PLAN), _CHANGED_SINCE_PLAN)
                continue
            self._progress.finished += 1
            remove_failure(self._folder.path, run, self._order.failure_files.get(run.name))
            self._end(outcome.config, f"done ({self._count()}): {describe(outcome.config)}{_remark(outcome)}")

    def _count(self) -> str:
        return f"{self._progress.ended}/{self._progress.planned}"

    def _record(self, outcome: Outcome, failure: Failure) -> None:
        self._progress.failed += 1
        self.summary.failures.append(outcome)
        self.summary.stopped = self._fail_fast
        with contextlib.suppress(OSError):  # the failure is also printed at the end
            write_failure(self._folder.path, self._runs[outcome.config], failure)
        cause = first_line(failure.message)
        shown = "as above" if cause in self._causes else f"{cause:.200}"
        self._causes.add(cause)
        self._end(outcome.config, f"failed ({self._count()}): {describe(outcome.config)}: {shown}")

    def _end(self, config: RunConfig, line: str) -> None:
        self._documents.finish(config)
        self._passes.end(self._runs[config])
        self._ownership.release(self._runs[config])
        self._on_change(self._progress, line)

    def _keep_log(self, event: Ended) -> None:
        if event.log:
            with contextlib.suppress(OSError):
                path = self._folder.path / "logs" / self._heartbeat.driver / f"{event.worker}.log"
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("a", encoding="utf-8") as stream:
                    stream.write(event.log)

    def _save_the_rest(self) -> None:
        if self._writer.waiting:
            self.summary.unwritten = list(self._writer.waiting)
            self.summary.rescued_to, self.summary.num_rescued = self._writer.rescue()
            self._writer.waiting.clear()


def _remark(outcome: Outcome) -> str:
    config, result = outcome.config, outcome.result or {}
    metrics = result["results"][config.task]
    error = metrics.get("acc_stderr")
    remark = f": acc {metrics['acc']:.3f}" + ("" if error is None else f" ± {error:.3f}")
    if cut := result["run"][config.task]["num_truncated_segments"]:
        remark += f" (warning: {say_cut(cut, 'the model takes')})"
    return remark

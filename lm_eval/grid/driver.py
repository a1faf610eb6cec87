"""Carrying a plan out: outcomes become files as they come; leases, journal and logs are kept meanwhile.

The only one who writes into a results folder while a grid runs; workers, wherever they are, need not see it.
"""

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from lm_eval.common.atomic import sweep_temporary_files
from lm_eval.common.console import tell
from lm_eval.config.run_config import RunConfig, describe
from lm_eval.errors import ConfigurationError
from lm_eval.grid.console import Summary
from lm_eval.grid.estimate import RemainingTime
from lm_eval.grid.plan import Pending, Plan
from lm_eval.grid.result_writer import GIVE_UP_S, RETRY_S, ResultWriter
from lm_eval.results.failures import Failure, find_failure, remove_failure, write_failure
from lm_eval.results.folder import ResultsFolder, is_same_run
from lm_eval.results.provenance import code_version, command_line
from lm_eval.scheduling.allocation import Workforce
from lm_eval.scheduling.executors.base import Executor
from lm_eval.scheduling.heartbeat import Journal, Progress
from lm_eval.scheduling.leases import Leases
from lm_eval.scheduling.queue import WorkQueue
from lm_eval.scheduling.units import Claim, Ended, Outcome, Started

_SOMETHING_ELSE = Failure(
    message="the model or the data were not what they were when the plan was made: changed meanwhile, or other ones on "
    "the worker's machine; the result is stored as what it was computed from, call again for the rest"
)


class Driver:
    """Carries one plan out."""

    def __init__(
        self,
        plan: Plan,
        folder: ResultsFolder,
        workforce: Workforce,
        remaining: RemainingTime,
        on_change: Callable[[Progress, str | None], None],
        *,
        fail_fast: bool = False,
    ) -> None:
        self._pending: dict[RunConfig, Pending] = {pending.config: pending for pending in plan.to_run}
        self._folder = folder
        self._workforce = workforce
        self._remaining = remaining
        self._on_change = on_change
        self._fail_fast = fail_fast
        self._progress = Progress(planned=len(plan.to_run), skipped=len(plan.done))
        self._journal = Journal(folder.path, self._progress)
        self._leases = Leases(folder.path, self._journal.driver)
        self._writer = ResultWriter(folder)
        self._leases_fail = False
        self._causes: set[str] = set()
        self.summary = Summary()

    def run(self, executor: Executor) -> Summary:
        """Run everything, and return how it ended.

        Raises:
            ConfigurationError: the executor cannot run this; nothing ran.
            KeyboardInterrupt: somebody wants it to stop; what is finished is written.
        """
        queue = WorkQueue(
            units=self._remaining.units,
            claim=self._claim,
            sizes=self._workforce.sizes,
            larger_share=self._workforce.larger_share,
        )
        try:
            self._journal.open()
        except OSError as error:
            raise ConfigurationError(
                f"results folder {self._folder.path}: cannot be written ({error}); choose another"
            ) from error
        self._leases.sweep()
        sweep_temporary_files(self._folder.path)
        ended = "stopped by an error"
        try:
            events = executor.run(queue, self._workforce)
            with contextlib.closing(events):  # type: ignore[type-var]
                for event in events:
                    self._take(event)
                    if self.summary.stopped:
                        break
            self._take_rest(queue)
            self._finish()
            ended = "stopped at the first failure" if self.summary.stopped else "finished"
        except KeyboardInterrupt:
            ended = "interrupted"
            raise
        finally:
            with contextlib.ExitStack() as last:  # each of these, whatever becomes of the others; the last one first
                last.callback(lambda: self._journal.close(ended))
                last.callback(lambda: sweep_temporary_files(self._folder.path))
                last.callback(self._leases.release_all)
                last.callback(self._save_the_rest)
                last.callback(lambda: self._settle(self._writer.retry(now=True)))
                last.callback(lambda: self._take_rest(queue))
        return self.summary

    def _take_rest(self, queue: WorkQueue) -> None:
        """Take what workers have handed back and nobody has asked for; beyond the failure that ends it only results."""
        for outcome in queue.settled():
            if outcome.failure is None or not self.summary.stopped:
                self._take_outcome(outcome)

    def _take(self, event: object) -> None:
        self._progress.remaining_s = self._remaining.remaining_s()
        if isinstance(event, Started):
            runs = [describe(config) for config in event.unit.configs]
            self._progress.running[event.worker] = {"num_runs": len(runs), "first": runs[0], "since": time.time()}
            self._on_change(self._progress, None)
        elif isinstance(event, Ended):
            self._progress.running.pop(event.worker, None)
            self._keep_log(event)
        elif isinstance(event, Outcome):
            self._take_outcome(event)
        else:
            self._on_change(self._progress, None)
        self._settle(self._writer.retry())

    def _take_outcome(self, outcome: Outcome) -> None:
        if outcome.result is not None and self._is_done_by_heir(outcome.config):
            self._take_outcome(Outcome(config=outcome.config, elsewhere=True))
        elif outcome.result is not None:
            self._complete(outcome.result, outcome.config)
            self._writer.write(outcome)
            if outcome not in self._writer.waiting:
                self._settle([outcome])
        elif outcome.failure is not None:
            self._record(outcome, outcome.failure)
        else:
            self._progress.elsewhere += 1
            self.summary.elsewhere += 1
            self._end(outcome.config, f"done elsewhere ({self._count()}): {describe(outcome.config)}")

    @staticmethod
    def _complete(result: dict[str, Any], config: RunConfig) -> None:
        """Add what only the driver knows: the user's command, and the code's commit where workers got a copy."""
        run = result["run"][config.task]
        run["command_line"] = command_line()
        if run["code"]["commit"] is None:
            run["code"] = code_version()

    def _settle(self, written: Sequence[Outcome]) -> None:
        """Take note of results that are in the folder now."""
        for outcome in written:
            assert outcome.result is not None  # noqa: S101
            pending = self._pending[outcome.config]
            if not is_same_run(outcome.result["identity"][outcome.config.task], pending.identity):
                self._record(replace(outcome, failure=_SOMETHING_ELSE), _SOMETHING_ELSE)
                continue
            self._progress.finished += 1
            self.summary.finished += 1
            remove_failure(self._folder.path, outcome.config, pending.identity, pending.failure)
            self._end(outcome.config, f"done ({self._count()}): {describe(outcome.config)}{_remark(outcome)}")

    def _count(self) -> str:
        progress = self._progress
        return f"{progress.finished + progress.elsewhere + progress.failed}/{progress.planned}"

    def _record(self, outcome: Outcome, failure: Failure) -> None:
        self._progress.failed += 1
        self.summary.failures.append(outcome)
        self.summary.stopped = self._fail_fast
        with contextlib.suppress(OSError):  # it is told at the end too
            write_failure(self._folder.path, outcome.config, self._pending[outcome.config].identity, failure)
        cause = failure.message.partition("\n")[0]
        told = "as above" if cause in self._causes else f"{cause:.200}"
        self._causes.add(cause)
        self._end(outcome.config, f"failed ({self._count()}): {describe(outcome.config)}: {told}")

    def _end(self, config: RunConfig, line: str) -> None:
        self._remaining.finish(config)
        self._leases.release(self._pending[config].name)
        self._on_change(self._progress, line)

    def _claim(self, configs: Sequence[RunConfig]) -> Claim:
        mine, done, held, failed = [], [], [], []
        for config in configs:
            if not self._lease(config):
                held.append(config)
            elif self._is_done(config):  # by another driver, which gave its lease back thereafter
                self._leases.release(self._pending[config].name)
                done.append(config)
            elif (failure := self._find_failure(config)) is not None:
                failed.append((config, failure))
            else:
                mine.append(config)
        return Claim(mine=tuple(mine), done=tuple(done), held=tuple(held), failed=tuple(failed))

    def _find_failure(self, config: RunConfig) -> Failure | None:
        """Return the failure that another driver has recorded since this one began."""
        recorded = find_failure(self._folder.path, config, self._pending[config].identity)
        with contextlib.suppress(OSError):
            if recorded is not None and recorded.path.stat().st_mtime > self._journal.opened:
                return recorded.failure
        return None

    def _lease(self, config: RunConfig) -> bool:
        try:
            return self._leases.claim(self._pending[config].name)
        except OSError as error:  # better to compute something twice than not at all
            if not self._leases_fail:
                self._leases_fail = True
                tell(f"no lease can be taken ({error}): other drivers on this folder may do the same")
            return True

    def _is_done_by_heir(self, config: RunConfig) -> bool:
        """Whether this driver counted as gone for a while, and another has done its run meanwhile."""
        return not self._leases.holds(self._pending[config].name) and self._is_done(config)

    def _is_done(self, config: RunConfig) -> bool:
        pending = self._pending[config]
        stored = self._folder.look_again(config, pending.identity)
        if stored is None:
            return False
        if not pending.replaces:
            return True
        with contextlib.suppress(OSError):
            return stored.path.stat().st_mtime > self._journal.opened
        return False

    def _keep_log(self, event: Ended) -> None:
        if event.log:
            with contextlib.suppress(OSError):
                path = self._folder.path / "logs" / self._journal.driver / f"{event.worker}.log"
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("a", encoding="utf-8") as stream:
                    stream.write(event.log)

    def _finish(self) -> None:
        """Go on trying to write for a while what could not be written."""
        deadline = time.monotonic() + GIVE_UP_S
        while self._writer.waiting and time.monotonic() < deadline:
            time.sleep(min(RETRY_S, 1.0))
            self._settle(self._writer.retry())

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
        remark += f" (warning: {cut} segments were longer than the model takes and were cut from the left)"
    return remark

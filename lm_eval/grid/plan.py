"""The plan of a grid: which runs are to run and why, are done, or failed before (experiment §6)."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lm_eval.common.text import first_line
from lm_eval.config.run_config import RunConfig
from lm_eval.results.difference import OUTDATED, describe_nearest
from lm_eval.results.failures import RecordedFailure, read_failures
from lm_eval.results.folder import ResultsFolder
from lm_eval.results.identity import Identity, Run
from lm_eval.results.provenance import code_version, describe_code
from lm_eval.results.result_file import StoredResult
from lm_eval.scheduling.units import Order


@dataclass(frozen=True, kw_only=True)
class Reason:
    """Why a run is to run: nothing stored, an outdated result, an earlier failure, or the user's wish."""

    why: str = ""
    """In words; empty where nothing is stored."""
    replaces: bool = False
    """Whether its result exists and will be replaced."""
    failure: Path | None = None
    """The file that records an earlier failure."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The runs of a grid, divided into those to run, done, and failed before."""

    to_run: list[Run] = field(default_factory=list)
    reasons: dict[str, Reason] = field(default_factory=dict)
    """Why each run in `to_run` is run, by the run's name."""
    done: list[tuple[Run, StoredResult]] = field(default_factory=list)
    """Runs whose result is in the folder."""
    failed: list[tuple[Run, RecordedFailure]] = field(default_factory=list)
    """Runs that failed before and are not to be tried again."""
    log_samples: bool = False
    """Whether results are to state the scores of every document."""
    log_texts: bool = False
    """Whether results are to state the texts of documents."""
    since: float | None = None
    """The moment from which results and failures count as this plan's; None: when it is carried out."""

    @property
    def num_outdated(self) -> int:
        """How many runs in `to_run` have an outdated result."""
        return sum(reason.why.startswith(OUTDATED) for reason in self.reasons.values())

    @property
    def order(self) -> Order:
        """What a driver is to carry out."""
        return Order(
            runs=self.to_run,
            num_done=len(self.done),
            replaced=frozenset(name for name, reason in self.reasons.items() if reason.replaces),
            failure_files={name: file for name, reason in self.reasons.items() if (file := reason.failure)},
            log_samples=self.log_samples,
            log_texts=self.log_texts,
            since=self.since,
        )

    def add(self, run: Run, reason: Reason) -> None:
        """Add a run to `to_run`."""
        self.to_run.append(run)
        self.reasons[run.name] = reason


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a call wants of its runs."""

    overwrite: bool = False
    """Whether all of them are run again."""
    retry_failed: bool = False
    """Whether failed ones are run again."""
    log_samples: bool = False
    """Whether those are run again whose result lacks the scores of every document."""
    log_texts: bool = False
    """Whether those are run again whose result lacks their texts."""
    since: float | None = None
    """The moment, by the file system's clock, from which results and failures are of this call; None: none are yet."""

    def is_ours(self, file: Path | None) -> bool:
        """Whether a result or a failure was written for this call."""
        if self.since is not None and file is not None:
            with contextlib.suppress(OSError):
                return file.stat().st_mtime > self.since
        return False


def make_plan(runs: Sequence[Run], folder: ResultsFolder, wanted: Wanted = Wanted()) -> Plan:
    """Divide runs into those to run, those whose results are in the folder, and those that failed before.

    Args:
        runs: the runs of the grid.
        folder: the results folder.
        wanted: what is wanted of them.
    """
    failures = read_failures(folder.path)
    plan = Plan(log_samples=wanted.log_samples, log_texts=wanted.log_texts, since=wanted.since)
    for run in runs:
        stored, failure = folder.find(run), failures.get(run.name)
        recorded = None if failure is None else failure.path
        is_again = failure is not None and (wanted.overwrite or wanted.retry_failed) and not wanted.is_ours(recorded)
        why = None if stored is None else _why_again(stored, wanted)
        if stored is not None and why is None:
            plan.done.append((run, stored))
        elif failure is not None and not is_again and (stored is None or wanted.is_ours(recorded)):
            plan.failed.append((run, failure))
        elif why is not None:
            plan.add(run, Reason(why=why, replaces=True, failure=recorded))
        elif wanted.overwrite:
            plan.add(run, Reason(why="asked for again" if failure else "", failure=recorded))
        else:
            why = _failed_before(failure) if failure is not None else describe_nearest(folder.find_outdated(run))
            plan.add(run, Reason(why=why, failure=recorded))
    return plan


def _why_again(stored: StoredResult, wanted: Wanted) -> str | None:
    """Return why a run is to run though it has a result; None where the result suffices."""
    if wanted.overwrite and not wanted.is_ours(stored.path):
        return "asked for again"
    if wanted.log_samples and not stored.has_samples:
        return "its result has no samples"
    if wanted.log_texts and not stored.has_texts:
        return "its samples have no texts"
    return None


def _failed_before(failure: RecordedFailure) -> str:
    return f"failed on {failure.time}: {first_line(failure.failure.message)}"


def describe_plan(plan: Plan, describe: Callable[[RunConfig], str]) -> list[str]:
    """Return a line for every run: to run, done or failed."""
    reasons = [(run, plan.reasons[run.name].why) for run in plan.to_run]
    lines = [f"to run: {describe(run.config)}{why and f' [{why}]'}" for run, why in reasons]
    lines += [f"done:   {describe(run.config)} ({stored.path.name})" for run, stored in plan.done]
    lines += [
        f"failed: {describe(run.config)} ({failure.path.name}: {first_line(failure.failure.message)})"
        for run, failure in plan.failed
    ]
    return lines


def plan_remarks(plan: Plan) -> list[str]:
    """Return remarks on stored results that count as done though they may differ: older form, other code."""
    remarks = []
    if older := sum(stored.is_older_form for _, stored in plan.done):
        remarks.append(
            f"{older} are in files of the older form, which don't state everything that decides a number: "
            "what they leave out (data, dtype, the model's weights) counts as equal"
        )
    partly = sum(not stored.is_older_form and _lacks(stored.identity) for _, stored in plan.done)
    if partly:
        remarks.append(
            f"{partly} are in files that don't state the data's content or the model's commit: that counts as equal"
        )
    here = describe_code(code_version())
    versions = {version for _, stored in plan.done if (version := stored.code_in_words) not in (None, here)}
    if versions:
        number = sum(stored.code_in_words in versions for _, stored in plan.done)
        remarks.append(
            f"{number} were computed by another version of this code ({', '.join(sorted(map(str, versions)))}; "
            f"this is {here}); they are used"
        )
    return remarks


def _lacks(identity: Identity) -> bool:
    return identity["data"].keys() == {"hub"} or identity["weights"].get("revision", "") is None

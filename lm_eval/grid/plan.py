"""The plan of a grid: what is to run and why, what is done, what failed before (experiment §6)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lm_eval.config.run_config import RunConfig
from lm_eval.results.failures import RecordedFailure, read_failures
from lm_eval.results.folder import ResultsFolder
from lm_eval.results.identity import Identifier, fingerprint
from lm_eval.results.provenance import code_version, describe_code
from lm_eval.results.result_file import StoredResult

Identity = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Pending:
    """A configuration without a result."""

    config: RunConfig
    identity: Identity
    why: str = ""
    """What there is instead of its result: an outdated one, or a failure."""
    replaces: bool = False
    """Whether it is run though there is a result."""
    failure: Path | None = None
    """The file that records an earlier failure."""

    @cached_property
    def name(self) -> str:
        """The fingerprint of its identity."""
        return fingerprint(self.identity)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a grid still needs."""

    to_run: list[Pending]
    done: list[tuple[RunConfig, StoredResult]]
    """Configurations whose result is in the folder."""
    failed: list[tuple[RunConfig, RecordedFailure]]
    """Configurations that failed before and are not to be tried again."""

    @property
    def num_outdated(self) -> int:
        """How many of those to run have an outdated result."""
        return sum(pending.why.startswith(_OUTDATED) for pending in self.to_run)


_OUTDATED = "outdated"


def make_plan(
    configs: Sequence[RunConfig],
    folder: ResultsFolder,
    *,
    overwrite: bool,
    retry_failed: bool,
    log_samples: bool = False,
) -> Plan:
    """Divide configurations into those to run, those that a folder's files already hold, and those that failed.

    Args:
        configs: the grid's configurations.
        folder: the results there are.
        overwrite: run all of them again.
        retry_failed: run those again that failed.
        log_samples: run those again whose result lacks the scores of every document.
    """
    identify, failures = Identifier(), read_failures(folder.path)
    plan = Plan(to_run=[], done=[], failed=[])
    for config in configs:
        identity = identify(config)
        stored = folder.find_identified(config, identity)
        failure = failures.get(fingerprint(identity))
        recorded = None if failure is None else failure.path
        if overwrite:
            why = "asked for again" if stored or failure else ""
            plan.to_run.append(
                Pending(config=config, identity=identity, why=why, replaces=stored is not None, failure=recorded)
            )
        elif stored is not None and log_samples and config.task not in stored.content.get("samples", {}):
            why = "its result has no samples"
            plan.to_run.append(Pending(config=config, identity=identity, why=why, replaces=True, failure=recorded))
        elif stored is not None:
            plan.done.append((config, stored))
        elif failure is not None and not retry_failed:
            plan.failed.append((config, failure))
        else:
            why = _failed_before(failure) if failure is not None else _outdated(folder, config, identity)
            plan.to_run.append(Pending(config=config, identity=identity, why=why, failure=recorded))
    return plan


def _failed_before(failure: RecordedFailure) -> str:
    return f"failed on {failure.time}: {failure.failure.message.partition(chr(10))[0]}"


def _outdated(folder: ResultsFolder, config: RunConfig, identity: Identity) -> str:
    found = folder.find_outdated(config, identity)
    if found is None:
        return ""
    stored, difference = found
    told = ", ".join(f"{key}: {values}" for key, values in difference.items())
    if difference.keys() <= {"limit", "dtype"}:  # both are as good as ever
        return f"there is one of another {told}"
    return f"{_OUTDATED}, other {told} ({stored.path.name})"


def describe_plan(plan: Plan, describe: Callable[[RunConfig], str]) -> list[str]:
    """Return a line for every configuration."""
    lines = [f"to run: {describe(p.config)}{f' [{p.why}]' if p.why else ''}" for p in plan.to_run]
    lines += [f"done:   {describe(config)} ({stored.path.name})" for config, stored in plan.done]
    lines += [
        f"failed: {describe(config)} ({failure.path.name}: {failure.failure.message.partition(chr(10))[0]})"
        for config, failure in plan.failed
    ]
    return lines


def plan_remarks(plan: Plan) -> list[str]:
    """Return what a user should know before trusting a plan."""
    remarks = []
    if older := sum(stored.identity is None for _, stored in plan.done):
        remarks.append(
            f"{older} are told by files of the older form, which don't state all that decides a number: "
            "what they lack (data, dtype, the model's weights) counts as equal"
        )
    partly = sum(stored.identity is not None and _lacks(stored.identity) for _, stored in plan.done)
    if partly:
        remarks.append(
            f"{partly} are told by files that don't state the data's content or the model's commit: "
            "that counts as equal"
        )
    here = describe_code(code_version())
    versions = {version for _, stored in plan.done if (version := _code(stored)) not in (None, here)}
    if versions:
        number = sum(_code(stored) in versions for _, stored in plan.done)
        remarks.append(
            f"{number} were computed by another version of this code ({', '.join(sorted(map(str, versions)))}; "
            f"this is {here}); they are used"
        )
    return remarks


def _lacks(identity: Identity) -> bool:
    return identity["data"].keys() == {"hub"} or identity["weights"].get("revision", "") is None


def _code(stored: StoredResult) -> str | None:
    run = stored.content.get("run", {}).get(stored.config.task, {})
    code = run.get("code") or ({"version": run["lm_eval"]} if "lm_eval" in run else None)
    return None if code is None else describe_code(code)

"""Failed runs: the cause, and the file that records it beside the results (`<run>.error.json`).

A recorded failure is kept until the run succeeds or is run again; a result in the folder takes precedence.
"""

import contextlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import ConfigDict

from lm_eval.common.atomic import write_json
from lm_eval.common.regular_files import names_of_files, read_regular
from lm_eval.common.typed_files import Text, read_json_as
from lm_eval.errors import ConfigurationError
from lm_eval.results.identity import Resolver, Run, StoredRun
from lm_eval.results.provenance import code_version, command_line, now
from lm_eval.results.result_file import FAILURE_ENDING, config_content, result_name
from lm_eval.results.schema import ConfigFile, StatedIdentity

Kind = Literal["run", "load", "memory", "death"]


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a run ended without a result."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
    message: Text
    """The message for the user; one line where the cause is known."""
    kind: Kind = "run"
    """What failed: the run itself, loading its model, the device's memory; or its process died."""
    traceback: Text | None = None
    """Given where the cause is a bug."""
    host: Text | None = None
    log_tail: Text = ""
    """The last lines of its worker's log."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RecordedFailure(StoredRun):
    """A failure that a folder's file records."""

    path: Path
    failure: Failure
    time: str


def write_failure(folder: Path, run: Run, failure: Failure) -> Path:
    """Record a failure, in place of the same run's earlier one.

    Raises:
        OSError: the file cannot be written.
    """
    path = _path(folder, run)
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "task": run.config.task,
        "config": config_content(run.config),
        "identity": run.identity,
        "failure": asdict(failure),
        "time": now(),
        "command_line": command_line(),
        "code": code_version(),
    }
    write_json(path, content)
    return path


def remove_failure(folder: Path, run: Run, recorded: Path | None = None) -> None:
    """Remove a run's recorded failure, now that it has a result.

    Args:
        folder: the results folder.
        run: the run.
        recorded: the file that recorded an earlier failure, perhaps under another name of the same model.
    """
    for path in (_path(folder, run), recorded):
        with contextlib.suppress(OSError):
            if path is not None:
                path.unlink()


def find_failure(folder: Path, run: Run) -> RecordedFailure | None:
    """Return the recorded failure of a run, if there is one."""
    with contextlib.suppress(OSError, ValueError):
        return _read(_path(folder, run))
    return None


def read_failures(folder: Path) -> dict[str, RecordedFailure]:
    """Return the failures that a folder records, by the fingerprint of their identity; other files are skipped."""
    failures: dict[str, RecordedFailure] = {}
    for name in names_of_files(folder, FAILURE_ENDING):
        with contextlib.suppress(OSError, ValueError):
            recorded = _read(folder / name)
            failures[recorded.as_run().name] = recorded
    return failures


def is_current(recorded: RecordedFailure) -> bool:
    """Whether the model and data of a recorded failure are unchanged since, so that it would fail again."""
    try:
        run = recorded.as_run()
        return Resolver().identify(run.config, run.form, run.task).identity == recorded.identity
    except ConfigurationError:  # its model or data are not available
        return True


class _FailureFile(ConfigFile):
    task: Text
    identity: StatedIdentity
    failure: Failure
    time: Text


def _read(path: Path) -> RecordedFailure:
    """Read a record.

    Raises:
        ValueError: the file is no record of a failure, or its task is unknown here.
        OSError: it cannot be read.
    """
    file = read_json_as(_FailureFile, read_regular(path))
    config = file.config.parse(file.task)
    recorded = RecordedFailure(
        config=config, stated_identity=file.identity, path=path, failure=file.failure, time=file.time
    )
    if recorded.task is None:
        raise ValueError(f"task {config.task!r} is not known")
    return recorded


def _path(folder: Path, run: Run) -> Path:
    return folder / (result_name(run.config, run.identity).removesuffix(".json") + FAILURE_ENDING)

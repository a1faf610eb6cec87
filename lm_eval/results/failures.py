"""Failed runs: why, and the file that records each beside the results (`<run>.error.json`).

A failure stands until the run succeeds or is asked for again; a result in the folder always comes before it.
"""

import contextlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

from lm_eval.common.atomic import write_json
from lm_eval.errors import ConfigurationError
from lm_eval.results.identity import Resolver, Run, Stated
from lm_eval.results.provenance import code_version, command_line, now
from lm_eval.results.result_file import FAILURE_ENDING, config_content, read_config, result_name

Kind = Literal["run", "load", "memory", "death"]
_KINDS = get_args(Kind)


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a run ended without a result."""

    message: str
    """For the user; one line where the cause is known."""
    kind: Kind = "run"
    """Of the run itself, of loading its model, of the device's memory, or the death of its process."""
    traceback: str | None = None
    """Where the cause is a bug."""
    host: str | None = None
    log_tail: str = ""
    """The last lines that its worker wrote."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RecordedFailure(Stated):
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
    """Forget a run's failure, now that it has a result.

    Args:
        folder: the results folder.
        run: the run.
        recorded: the file that told of an earlier failure, perhaps under another name of the same model.
    """
    for path in (_path(folder, run), recorded):
        with contextlib.suppress(OSError):
            if path is not None:
                path.unlink()


def find_failure(folder: Path, run: Run) -> RecordedFailure | None:
    """Return the recorded failure of a run, if there is one."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return _read(_path(folder, run))
    return None


def read_failures(folder: Path) -> dict[str, RecordedFailure]:
    """Return the failures that a folder records, by the fingerprint of their identity; what is no such file is left."""
    found: dict[str, RecordedFailure] = {}
    for path in sorted(folder.glob(f"*{FAILURE_ENDING}")) if folder.is_dir() else ():
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            recorded = _read(path)
            found[recorded.as_run().name] = recorded
    return found


def is_current(recorded: RecordedFailure) -> bool:
    """Whether a failure is still one of what its configuration means now: not of weights or data since mended."""
    try:
        run = recorded.as_run()
        return Resolver().identify(run.config, run.form, run.task).identity == recorded.identity
    except ConfigurationError:  # its model or data are not there to be asked
        return True


def _read(path: Path) -> RecordedFailure:
    content = json.loads(path.read_text(encoding="utf-8"))
    failure = Failure(**content["failure"])
    if failure.kind not in _KINDS or not isinstance(failure.message, str):
        raise ValueError(f"not a record of a failure (kind {failure.kind!r})")
    config, identity = read_config(content, content["task"]), dict(content["identity"])
    for key in ("weights", "data"):
        identity[key].items()
    recorded = RecordedFailure(config=config, identity=identity, path=path, failure=failure, time=str(content["time"]))
    if recorded.task is None:
        raise ValueError(f"task {config.task!r} is not known")
    return recorded


def _path(folder: Path, run: Run) -> Path:
    return folder / (result_name(run.config, run.identity).removesuffix(".json") + FAILURE_ENDING)

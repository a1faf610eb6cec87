"""Failed runs: why, and the file that records each beside the results (`<run>.error.json`).

A failure stands until the run succeeds or is asked for again; a result in the folder always comes before it.
"""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from lm_eval.common.atomic import write_json
from lm_eval.config.run_config import RunConfig
from lm_eval.errors import ConfigurationError
from lm_eval.results.identity import fingerprint, identify
from lm_eval.results.provenance import code_version, command_line, now
from lm_eval.results.result_file import FAILURE_ENDING, config_content, read_config, result_name
from lm_eval.tasks.registry import find_task

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


@dataclass(frozen=True, kw_only=True)
class RecordedFailure:
    """A failure that a folder's file tells of."""

    path: Path
    config: RunConfig
    identity: Mapping[str, Any]
    failure: Failure
    time: str


def write_failure(folder: Path, config: RunConfig, identity: Mapping[str, Any], failure: Failure) -> Path:
    """Record a failure, in place of the same run's earlier one.

    Raises:
        OSError: the file cannot be written.
    """
    path = _path(folder, config, identity)
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "task": config.task,
        "config": config_content(config),
        "identity": identity,
        "failure": asdict(failure),
        "time": now(),
        "command_line": command_line(),
        "code": code_version(),
    }
    write_json(path, content)
    return path


def remove_failure(folder: Path, config: RunConfig, identity: Mapping[str, Any], recorded: Path | None = None) -> None:
    """Forget a run's failure, now that it has a result.

    Args:
        folder: the results folder.
        config: the run's configuration.
        identity: its identity.
        recorded: the file that told of an earlier failure, perhaps under another name of the same model.
    """
    for path in (_path(folder, config, identity), recorded):
        with contextlib.suppress(OSError):
            if path is not None:
                path.unlink()


def find_failure(folder: Path, config: RunConfig, identity: Mapping[str, Any]) -> RecordedFailure | None:
    """Return the recorded failure of a run, if there is one."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return _read(_path(folder, config, identity))
    return None


def read_failures(folder: Path) -> dict[str, RecordedFailure]:
    """Return the failures that a folder records, by the fingerprint of their identity; what is no such file is left."""
    found: dict[str, RecordedFailure] = {}
    for path in sorted(folder.glob(f"*{FAILURE_ENDING}")) if folder.is_dir() else ():
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            recorded = _read(path)
            found[fingerprint(recorded.identity)] = recorded
    return found


def is_current(recorded: RecordedFailure) -> bool:
    """Whether a failure is still one of what its configuration means now: not of weights or data since mended."""
    try:
        return identify(recorded.config) == recorded.identity
    except ConfigurationError:  # its model or data are not there to be asked
        return True


def _read(path: Path) -> RecordedFailure:
    content = json.loads(path.read_text(encoding="utf-8"))
    failure = Failure(**content["failure"])
    if failure.kind not in _KINDS or not isinstance(failure.message, str):
        raise ValueError(f"not a record of a failure (kind {failure.kind!r})")
    config, identity = read_config(content, content["task"]), dict(content["identity"])
    find_task(config)
    for key in ("weights", "data"):
        identity[key].items()
    return RecordedFailure(
        path=path,
        config=config,
        identity=identity,
        failure=failure,
        time=str(content["time"]),
    )


def _path(folder: Path, config: RunConfig, identity: Mapping[str, Any]) -> Path:
    return folder / (result_name(config, dict(identity)).removesuffix(".json") + FAILURE_ENDING)

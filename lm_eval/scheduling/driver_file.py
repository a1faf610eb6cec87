"""The typed content of a driver's heartbeat file: the full record, and the few fields that show if it is alive."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from lm_eval.common.typed_files import FileModel, IntegerIfStated, Text, TextIfStated


def _check_moment(text: str) -> str:
    try:
        if text:
            datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError) as error:
        raise ValueError("a time in ISO 8601") from error
    return text


_Count = Annotated[int, Field(ge=0, lt=2**63)]


class LifeSigns(FileModel):
    """The fields that show whether a driver is alive; a field of the wrong type counts as missing."""

    ended: Any = None
    machine: TextIfStated = None
    pid: IntegerIfStated = None
    process_started: TextIfStated = None
    digest: TextIfStated = None
    """Of its code."""


class RunningUnit(FileModel):
    """The work unit that a worker is computing."""

    num_runs: _Count
    first: Text
    """Description of its first run."""
    since: float


class DriverRecord(FileModel):
    """A driver's process and the progress of its grid."""

    host: Text
    pid: _Count
    command_line: Text
    started: Annotated[Text, AfterValidator(_check_moment)]
    planned: _Count
    skipped: _Count
    finished: _Count
    elsewhere: _Count
    failed: _Count
    documents: _Count = 0
    documents_done: _Count = 0
    remaining_s: Annotated[float, Field(le=1e12)] | None
    running: dict[Text, RunningUnit]
    ended: Text | None

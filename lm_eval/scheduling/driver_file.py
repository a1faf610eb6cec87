"""What a driver's file states, as typed models: all that is shown of it, and the little that tells whether it lives."""

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
    """By what others judge whether a driver lives; what has another form counts as not stated."""

    ended: Any = None
    machine: TextIfStated = None
    pid: IntegerIfStated = None
    process_started: TextIfStated = None


class RunningUnit(FileModel):
    """What a worker does."""

    num_runs: _Count
    first: Text
    """The first of its runs, in words."""
    since: float


class DriverRecord(FileModel):
    """Who a driver is, and how far its grid is."""

    host: Text
    pid: _Count
    command_line: Text
    started: Annotated[Text, AfterValidator(_check_moment)]
    planned: _Count
    skipped: _Count
    finished: _Count
    elsewhere: _Count
    failed: _Count
    remaining_s: Annotated[float, Field(le=1e12)] | None
    running: dict[Text, RunningUnit]
    ended: Text | None

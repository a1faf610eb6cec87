"""The GPUs by which all jobs of a results folder decide the dtype: those of the first job that begins.

A partition may have GPUs of several generations, whose jobs would otherwise each compute everything in another dtype.
"""

import contextlib
from pathlib import Path

from pydantic import Field

from lm_eval.common.atomic import write_json
from lm_eval.common.json_files import read_json
from lm_eval.common.typed_files import FileModel, read_as
from lm_eval.scheduling.hardware import Capability, Machine


class _CapabilitiesFile(FileModel):
    capabilities: list[list[int] | None] = Field(max_length=1024)


def _file(submissions: Path) -> Path:
    return submissions / "gpus.json"


def settle_capabilities(submissions: Path, machine: Machine) -> tuple[Capability | None, ...]:
    """Return the compute capabilities of the first job's GPUs; this job is the first if nobody has settled them.

    Args:
        submissions: the folder of all submissions of a results folder.
        machine: this job's.
    """
    own = tuple(gpu.capability for gpu in machine.gpus)
    with contextlib.suppress(OSError):  # another was faster
        write_json(_file(submissions), {"capabilities": own}, anew=True)
    settled = known_capabilities(submissions)
    return own if settled is None else settled


def known_capabilities(submissions: Path) -> tuple[Capability | None, ...] | None:
    """Return what the first job has settled; None where none has."""
    try:
        found = read_as(_CapabilitiesFile, read_json(_file(submissions))).capabilities
    except (OSError, ValueError):
        return None
    return tuple(None if one is None or len(one) != 2 else (one[0], one[1]) for one in found)


def forget_capabilities(submissions: Path) -> None:
    """Forget what was settled: no job goes on that it holds for."""
    with contextlib.suppress(OSError):
        _file(submissions).unlink()

"""What Ray is told where it starts on this machine: which part of it is ours, and where its temporary files go.

Several such clusters run on one machine, of this user's jobs and of others'. Ray picks free ports itself.
"""

import os
import tempfile
from pathlib import Path
from typing import Any

from lm_eval.errors import ConfigurationError
from lm_eval.scheduling.hardware import Machine

_MIB = 1 << 20
_GIB = 1 << 30
_STORE_SHARE = 0.1
_MOST_STORE_GIB = 2.0
_LEAST_STORE_MIB = 128
"""The object store holds the reports of workers, no models or data. Ray would take 30 % of the memory that is free on
the machine, whoever may use it; it refuses less than 75 MiB."""
_LONGEST = 107 - len("/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store.1")
"""Characters that the name of Ray's folder may have: it makes sockets below, whose names may have 107."""


def local_options(machine: Machine) -> dict[str, Any]:
    """Return the options of `ray.init` for a cluster of this machine.

    Args:
        machine: what of it may be used.

    Raises:
        ConfigurationError: there is no folder for its temporary files.
    """
    if any(gpu.is_part for gpu in machine.gpus):  # indices don't name these; Ray hands out what stands here
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(str(gpu.uuid) for gpu in machine.gpus)
    store = max(_LEAST_STORE_MIB * _MIB, min(_MOST_STORE_GIB, _STORE_SHARE * machine.memory_gib) * _GIB)
    return {
        "include_dashboard": False,
        "num_gpus": len(machine.gpus),
        "num_cpus": machine.num_cpus,
        "object_store_memory": int(store),
        "_temp_dir": str(temporary_folder()),
    }


def temporary_folder() -> Path:
    """Return the folder for Ray's temporary files: below `RAY_TMPDIR` or `TMPDIR`; if these are too long, below /tmp.

    Raises:
        ConfigurationError: neither can be used.
    """
    asked = os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()
    user = f"ray-{os.getuid()}" if hasattr(os, "getuid") else "ray-user"
    for folder in (Path(asked) / "ray", Path(asked) / user, Path("/tmp/ray"), Path("/tmp") / user):  # noqa: S108
        if len(os.fsencode(folder)) <= _LONGEST and _is_usable(folder):
            return folder
    raise ConfigurationError(
        f"the folder for Ray's temporary files must have a name of at most {_LONGEST} characters: {asked} is too long "
        "or cannot be written, nor can /tmp; set RAY_TMPDIR to another"
    )


def _is_usable(folder: Path) -> bool:
    parent = folder if folder.exists() else folder.parent
    return parent.is_dir() and os.access(parent, os.W_OK | os.X_OK)

"""Provenance of a result: code, packages, command line, times. Recorded in the file, but no part of the identity.

Knows nothing of models; imports nothing heavy.
"""

import functools
import hashlib
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

from lm_eval.version import __version__

_TOP = Path(__file__).resolve().parents[2]


_PACKAGES = ("torch", "transformers", "accelerate", "datasets", "ray", "numpy", "tokenizers")
_GIT_TIMEOUT_S = 10
_GIT_VARIABLES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR")
"""Environment variables, set inside a git hook, that would make git read the hook's repository instead."""

_SOURCES = (".py", ".yaml")
"""Endings of the package's files that decide what it computes."""

Code = dict[str, str | bool | None]


@functools.cache
def code_version(top: Path = _TOP) -> Code:
    """Return the version of this code; for a checkout also its commit and whether tracked files have changed.

    Args:
        top: the folder that contains the code.
    """
    commit, status = _git(top, "rev-parse", "HEAD"), _git(top, "status", "--porcelain", "--untracked-files=no")
    return {"version": __version__, "commit": commit, "changed": None if status is None else bool(status)}


def _git(top: Path, *arguments: str) -> str | None:
    if not (top / ".git").exists():
        return None
    environment = {name: value for name, value in os.environ.items() if name not in _GIT_VARIABLES}
    try:
        ended = subprocess.run(  # noqa: S603
            ["git", "-C", str(top), *arguments],  # noqa: S607
            capture_output=True, text=True, timeout=_GIT_TIMEOUT_S, check=True, env=environment,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return ended.stdout.strip()


@functools.cache
def code_digest(package: Path = _TOP / "lm_eval") -> str:
    """Return a digest of the package's own files, which changes with any of them; taken when it is first asked for.

    Args:
        package: the folder of the package.
    """
    total = hashlib.sha256()
    files = (path for path in package.rglob("*") if path.suffix in _SOURCES and "__pycache__" not in path.parts)
    for path in sorted(files):
        total.update(f"{path.relative_to(package).as_posix()}\0".encode())
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()[:16]


def describe_code(code: object) -> str:
    """Return a code version, as a result file states it, in a few characters."""
    if not isinstance(code, dict):
        return "unknown"
    commit = f"+{str(code['commit'])[:10]}" if code.get("commit") else ""
    return f"{code.get('version')}{commit}{' with changes' if code.get('changed') else ''}"


@functools.cache
def package_versions(packages: Sequence[str] = _PACKAGES) -> dict[str, str]:
    """Return the versions of Python and of the packages that carry the work, where installed."""
    versions = {"python": platform.python_version()}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def command_line(*, without: Collection[str] = ()) -> str:
    """Return the command that this process was started with.

    Args:
        without: words that are left out.
    """
    return shlex.join([Path(sys.executable).name, *(word for word in sys.argv if word not in without)])


def now() -> str:
    """Return the time, in UTC, to the second."""
    return datetime.now(tz=timezone.utc).isoformat(timespec="seconds")


@dataclass(kw_only=True)
class PassRecord:
    """Time, tokens and memory of the passes that some configurations shared."""

    num_configurations: int
    """Configurations that were computed together."""
    started: str = field(default_factory=now)
    finished: str = ""
    seconds: float = 0.0
    """Total, without loading the model."""
    phases: dict[str, float] = field(default_factory=dict)
    """Seconds of tokenise (in a separate thread, in parallel with the rest), encode and score."""
    num_documents: int = 0
    num_tokens: int = 0
    """Tokens that went through the model, padding not counted."""
    num_truncated: int = 0
    """Segments that were longer than the model takes."""
    batches: dict[str, int | None] = field(default_factory=dict)
    """Sizes of the batches."""
    peak_memory_gib: float = 0.0
    """Of all GPUs together, or of the process where there is no GPU."""

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the time of the `with` block to a phase."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.phases[name] = self.phases.get(name, 0.0) + time.perf_counter() - began

    def content(self) -> dict[str, Any]:
        """Return what a result file states of it."""
        elapsed = max(self.seconds, 1e-9)
        return {
            "num_truncated_segments": self.num_truncated,
            "seconds": round(self.seconds / self.num_configurations, 3),
            "pass": {
                "num_configurations": self.num_configurations,
                "seconds": round(self.seconds, 3),
                "phases_s": {name: round(seconds, 3) for name, seconds in self.phases.items()},
                "documents_per_s": round(self.num_documents / elapsed, 3),
                "tokens_per_s": round(self.num_tokens / elapsed, 1),
                "peak_memory_gib": round(self.peak_memory_gib, 3),
            },
            "batches": self.batches,
            "started": self.started,
            "finished": self.finished,
        }

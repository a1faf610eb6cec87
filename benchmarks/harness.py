"""EleutherAI's lm-evaluation-harness in an environment of its own: it is a package `lm_eval` too, as this is."""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import torch
import transformers

VERSION = "0.4.13"


class UnavailableError(Exception):
    """The harness can't be installed or doesn't run; says why."""


def requirements() -> list[str]:
    """Return what the harness's environment holds; where versions are ours, they make no difference."""
    ours = {
        "torch": torch.__version__.partition("+")[0],
        "transformers": transformers.__version__,
        "gguf": version("gguf"),
    }
    return [f"lm-eval[hf]=={VERSION}", *(f"{name}=={version}" for name, version in ours.items())]


def has_harness(python: Path) -> bool:
    """Whether an interpreter is there and has the harness, recognised by a module that this project hasn't."""
    if not python.is_file():
        return False
    code = "import sys, importlib.util as util; sys.exit(util.find_spec('lm_eval.models.huggingface') is None)"
    return subprocess.run([python, "-I", "-c", code], capture_output=True, check=False).returncode == 0  # noqa: S603


def make_env(folder: Path) -> Path:
    """Return the interpreter of the environment in a folder; make it unless the harness is there already.

    Raises:
        UnavailableError: it can't be made, or the harness not be installed.
    """
    python = folder.absolute() / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if has_harness(python):
        return python
    print(f"installing {' '.join(requirements())} in {folder}", file=sys.stderr, flush=True)
    steps: list[list[str | Path]] = [
        [sys.executable, "-m", "venv", folder],
        [python, "-m", "pip", "install", "-qq", *requirements()],
    ]
    for step in steps:
        done = subprocess.run(step, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)  # noqa: S603
        if done.returncode:
            raise UnavailableError(f"{' '.join(map(str, step[1:]))} failed: {last_line(done.stderr)}")
    return python


def find_python(python: Path | None, env: Path) -> Path:
    """Return the interpreter that was named, else that of the environment in a folder.

    Raises:
        UnavailableError: it lacks the harness, or the environment can't be made.
    """
    if python is None:
        return make_env(env)
    if not has_harness(python):
        raise UnavailableError(f"{python} isn't a Python that has it; leave --python out to make an environment")
    return python.absolute()


def driver_command(python: Path, driver: str, **options: object) -> list[str | Path]:
    """Return how a driver script is called in the harness's environment.

    `-I`, because neither this folder nor PYTHONPATH may put our `lm_eval` before the harness's.
    """
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    return [python, "-I", Path(__file__).with_name(driver), *flags]


def offline(folder: Path) -> dict[str, str]:
    """Return the environment variables of a process that asks no hub and keeps its cache in a folder."""
    return {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(folder / "hf")}


def last_line(text: str) -> str:
    """Return the last line of what a process wrote, which names its error."""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "no message"

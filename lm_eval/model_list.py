"""The models that grids run over: the paper's list in `data/LM_List.csv`, and the embedded ones of the demo."""

import csv
from dataclasses import dataclass
from pathlib import Path

from lm_eval.errors import ConfigurationError
from lm_eval.models.families import ARCHITECTURES, Architecture

_TOP = Path(__file__).resolve().parents[1]
MODEL_LIST = _TOP / "data" / "LM_List.csv"
DEMO = _TOP / "demo"
DEMO_MODELS: dict[str, Architecture] = {"demo-gpt": "decoder-only", "demo-t5": "encoder-decoder"}


@dataclass(frozen=True)
class ListedModel:
    """One line of the list."""

    name: str
    architecture: Architecture
    size_b: float
    """Parameters, in billions."""


def read_model_list(path: Path = MODEL_LIST) -> list[ListedModel]:
    """Read the list, largest model first: what takes longest is best begun with."""
    with path.open(encoding="utf-8", newline="") as stream:
        rows = [ListedModel(row["model"], row["arch_type"], float(row["size_b"])) for row in csv.DictReader(stream)]  # type: ignore[arg-type]
    return sorted(rows, key=lambda model: -model.size_b)


def list_models(*, arch_type: Architecture | None = None, max_size: float = float("inf")) -> list[str]:
    """Return the names of listed models, largest first.

    Args:
        arch_type: only models of this architecture; None takes both.
        max_size: only models below so many billions of parameters.

    Raises:
        ConfigurationError: there is no such architecture.
    """
    if arch_type not in (None, *ARCHITECTURES):
        raise ConfigurationError(
            f"list_models: unknown arch_type {arch_type!r}; choose from {', '.join(ARCHITECTURES)}"
        )
    return [
        model.name for model in read_model_list() if arch_type in (None, model.architecture) and model.size_b < max_size
    ]


def demo_models(arch_type: Architecture | None) -> list[str]:
    """Return the folders of the embedded models of an architecture.

    Raises:
        ConfigurationError: they are not beside the package.
    """
    folders = [
        DEMO / "models" / name for name, architecture in DEMO_MODELS.items() if arch_type in (None, architecture)
    ]
    for folder in folders:
        if not folder.is_dir():
            raise ConfigurationError(
                f"--models demo: {folder} does not exist; run demo/make_demo.py, or work in a checkout of the project"
            )
    return [str(folder) for folder in folders]

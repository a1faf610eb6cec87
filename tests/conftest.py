"""Types and shapes of the package are checked while tests run; a small world of data for all tests."""

from pathlib import Path

import hypothesis
import pytest
import torch
from jaxtyping import install_import_hook

from tests.support.paths import REFERENCE, TOP
from tests.support.worlds import write_world

UNCHECKED = (
    "lm_eval.config.settings",  # text in place of a value is refused there
    "lm_eval.grid.options",  # fire hands it values of any type, and it is there that they are refused
    "lm_eval.models.model_list",  # users call it in the grids they edit, and there slips are refused
)


def _modules() -> list[str]:
    """Return all modules of the package."""
    paths = (TOP / "lm_eval").rglob("*.py")
    return sorted(".".join(path.relative_to(TOP).with_suffix("").parts) for path in paths if path.stem != "__init__")


# Before anything imports the package.
CHECKER = "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"  # an int will do for a float
install_import_hook([name for name in _modules() if name not in UNCHECKED], CHECKER)

hypothesis.settings.register_profile("steady", deadline=None, max_examples=100, derandomize=True, database=None)
hypothesis.settings.load_profile("steady")

torch.set_num_threads(1)  # tiny models take less than half the time so


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with both datasets, to be read only."""
    return write_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="session")
def reference() -> Path:
    """The reference material beside the project; tests that ask for it also carry the marker."""
    if not REFERENCE.is_dir():
        pytest.skip("../shared/reference is absent")
    return REFERENCE

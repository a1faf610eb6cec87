"""Types and shapes of the package are checked while tests run; a small world of data for all tests."""

import gc
import os
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest

from tests.support import type_checker
from tests.support.paths import REFERENCE, TOP
from tests.support.published_study import write_study
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


gc.disable()  # until all tests are collected, or a fifth of the time goes by looking at libraries and tests, which stay

# Before anything imports the package.
type_checker.install([name for name in _modules() if name not in UNCHECKED])

hypothesis.settings.register_profile("steady", deadline=None, max_examples=100, derandomize=True, database=None)
hypothesis.settings.load_profile("steady")

os.environ.setdefault("OMP_NUM_THREADS", "1")  # for programs that tests start: tiny models take half the time so
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # or each program that is started compiles the package, 1 s of time
os.environ.update(RAY_worker_niceness="0")  # Ray's 15 starves workers beside another process of tests


QUICK_CASES = 2


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option behind `make test-quick`."""
    text = f"leave out what is marked slow, and of a parametrised test all but {QUICK_CASES} cases spread evenly"
    parser.addoption("--quick", action="store_true", help=text)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Say which tests share a process."""
    from tests.support.scheduler import GroupScheduling  # noqa: PLC0415  (needs xdist, which runs of one process don't)

    return GroupScheduling(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return one process more than there are cores: tests of whole programs wait much of their time."""
    from lm_eval.scheduling.control_groups import usable_cpus  # noqa: PLC0415  (the package, once types are checked)

    return min(8, usable_cpus() + 1)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests of the study as slow; keep what the option `--quick` keeps; begin with what takes long."""
    for item in items:
        if "study_dir" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)
    if hasattr(config, "workerinput"):  # or one process ends long before the others
        items.sort(key=lambda item: item.get_closest_marker("slow") is None)
    if not config.getoption("--quick"):
        return
    cases: dict[str, list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("slow") is None:
            cases.setdefault(item.nodeid.partition("[")[0], []).append(item)
    kept = {item for same in cases.values() for item in same[:: max(1, -(-len(same) // QUICK_CASES))]}
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = [item for item in items if item in kept]


def pytest_collection_finish() -> None:
    """Look for garbage from here on, and only among what tests make; let torch compute in one thread.

    Not before: the process that hands out tests collects none, and needs no torch.
    """
    import torch  # noqa: PLC0415

    torch.set_num_threads(1)  # tiny models take less than half the time so, too
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with both datasets, to be read only."""
    return write_world(tmp_path_factory.mktemp("world"))


@pytest.fixture
def set_windows(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    """Set how many tokens a window of documents holds, and how many texts are tokenised together."""

    def change(tokens: int, texts: int) -> None:
        monkeypatch.setattr("lm_eval.contexts.streaming._WINDOW_TOKENS", tokens)
        monkeypatch.setattr("lm_eval.contexts.streaming._TOKENISED_TOGETHER", texts)

    return change


@pytest.fixture(scope="session")
def study_dir(reference: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published study as folders of result files, to be read only."""
    folder = tmp_path_factory.mktemp("study")
    write_study(reference / "paper", folder)
    return folder


@pytest.fixture(scope="session")
def reference() -> Path:
    """The reference material beside the project; tests that ask for it also carry the marker."""
    if not REFERENCE.is_dir():
        pytest.skip("../shared/reference is absent")
    return REFERENCE

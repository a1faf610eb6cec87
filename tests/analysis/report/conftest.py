"""A report of made-up runs, written once, and a browser to look at it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lm_eval.analysis.report import report_on
from lm_eval.config.run_config import RunConfig
from tests.support.browser import started_browser
from tests.support.grids import expand, grid
from tests.support.results import put, result_of

MODELS = ["some/model-1b", "some/model-2b", "google/flan-t5-xl"]


def _configs() -> list[RunConfig]:
    generation = grid(
        models=MODELS,
        num_fewshot=[0, 5],
        encoding_scheme=["concat_all_examples", "sentence_level_segmentation"],
        settings={"WORD_AGG_SCHEME": ["mean", "relu|mean"], "ENCODING_LAYER": [0, 1, None], "NORM": [None, "L2"]},
    )
    baselines = grid(models=MODELS, num_fewshot=[0, 5], encoding_scheme=["cross_encoding"], settings={})
    return [*expand(generation), *expand(baselines)]


@pytest.fixture(scope="session")
def report_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report's folder, to be read only."""
    results = tmp_path_factory.mktemp("made") / "results"
    for number, config in enumerate(_configs()):
        acc = 0.7 if config.encoding_scheme == "cross_encoding" else 0.3 + 0.002 * number
        put(results, f"{number:040x}.json", result_of(config, acc, error=0.01))
    return report_on([results], tmp_path_factory.mktemp("report")).parent


@pytest.fixture(scope="session")
def _started() -> Iterator[Any]:
    with started_browser() as running:
        yield running


@pytest.fixture(scope="module")
def browser(_started: Any) -> Iterator[Any]:
    """A window of the machine's browser, in which the pages of a module are opened.

    A module has its own: what explorers leave in a process makes work with the tables of reports take ten times as
    long there.
    """
    window = _started.new_context()
    yield window
    window.close()

"""The published study, read once."""

from pathlib import Path

import pytest

from lm_eval.analysis.runs import Runs, read_runs


@pytest.fixture(scope="session")
def study(study_dir: Path) -> Runs:
    """The runs of the published study, to be read only."""
    return read_runs(sorted(study_dir.iterdir()))

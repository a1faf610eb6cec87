"""Tiny models that the tests of grids share, to be read only."""

from pathlib import Path

import pytest

from tests.support.tiny_models import save_tiny


@pytest.fixture(scope="session")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A decoder-only model."""
    return save_tiny("gpt2", tmp_path_factory.mktemp("models") / "tiny-gpt2")


@pytest.fixture(scope="session")
def t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder-decoder model."""
    return save_tiny("t5", tmp_path_factory.mktemp("models") / "tiny-t5")

"""Python's search for garbage is held, and set free as it was."""

import gc
import importlib
import sys

import pytest

from lm_eval.common import garbage


def test_garbage_is_left_alone_meanwhile_and_looked_for_again_even_after_an_error():
    @garbage.left_alone()
    def fail() -> None:
        assert not gc.isenabled()
        raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert gc.isenabled()


def test_what_a_caller_has_switched_off_stays_off():
    gc.disable()
    try:
        with garbage.left_alone():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_only_what_an_import_leaves_is_never_looked_at_again(tmp_path, monkeypatch):
    (tmp_path / "a_new_module.py").write_text("LEFT = [[] for _ in range(1000)]")
    monkeypatch.syspath_prepend(tmp_path)
    held = gc.get_freeze_count()
    try:
        with garbage.importing():
            kept = [[] for _ in range(1000)]
        assert gc.get_freeze_count() == held
        with garbage.importing():
            importlib.import_module("a_new_module")
        assert gc.get_freeze_count() >= held + len(kept) + 1000
        assert gc.isenabled()
    finally:
        del sys.modules["a_new_module"]

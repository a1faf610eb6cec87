"""Python's search for garbage is held, and set free as it was."""

import gc

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

"""The strings under the fields of dataclasses."""

from dataclasses import dataclass, fields

import pytest

from lm_eval.common.field_docs import field_docs
from lm_eval.config.checkpoint import Checkpoint
from lm_eval.config.settings import VectorSettings
from lm_eval.grid.flags import Flags


@dataclass
class Sample:
    """Not the text of a field."""

    one: int = 1
    """What one is,
    over two lines."""
    two: str = "not the text of one either"
    three: tuple[int, ...] = ()
    # a comment
    """What three is."""

    def method(self) -> None:
        """Nor is this."""


def test_the_string_under_a_field_is_its_text_in_one_line():
    assert field_docs(Sample) == {"one": "What one is, over two lines.", "three": "What three is."}


def test_a_class_inside_a_function_is_read_too():
    @dataclass
    class Inner:
        field: int = 0
        """Indented."""

    assert field_docs(Inner) == {"field": "Indented."}


@pytest.mark.parametrize("cls", [Flags, VectorSettings, Checkpoint])
def test_what_users_can_set_is_described(cls):
    docs = field_docs(cls)
    assert list(docs) == [item.name for item in fields(cls)]
    assert all(text.endswith(".") for text in docs.values())

"""Types and shapes are checked while tests run, and sizes are told apart by the call that names them."""

import random
from collections.abc import Iterator

import jaxtyping
import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from tests.support.type_checker import check

checked = jaxtyping.jaxtyped(typechecker=check)  # what the hook decorates the package with


@checked
def yield_rows(tokens: Float[Tensor, "row dim"], same: Float[Tensor, "row dim"]) -> Iterator[int]:
    yield len(tokens)


@checked
def first_half(tokens: Float[Tensor, "row dim"]) -> Float[Tensor, "row dim"]:
    return tokens[: len(tokens) // 2]


@checked
def use_other_sizes(tokens: Float[Tensor, "row dim"]) -> Float[Tensor, "row dim"]:
    half = tokens[: len(tokens) // 2]
    assert list(yield_rows(half, half)) == [len(half)]
    return tokens


def test_arguments_and_result_agree_in_what_has_one_name():
    assert first_half(torch.zeros(0, 2)).shape == (0, 2)
    with pytest.raises(TypeError, match="first_half"):
        first_half(torch.zeros(4, 2))


def test_a_function_that_yields_has_sizes_of_its_own():
    assert len(use_other_sizes(torch.zeros(4, 2))) == 4
    with pytest.raises(TypeError, match="yield_rows"):
        list(yield_rows(torch.zeros(4, 2), torch.zeros(3, 2)))


@checked
def add(numbers: list[int]) -> int:
    return sum(numbers)


def test_checking_draws_nothing_from_the_generator_of_tests():
    before = random.getstate()
    assert add([1, 2, 3]) == 6
    with pytest.raises(TypeError, match="add"):
        add(["a", "b"])
    assert random.getstate() == before

"""Batches: every sequence once, within the budget."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lm_eval.models.batching import MAX_TOKENS, MAX_TOKENS_CPU, BatchBudget, make_batches, run_batches

lengths = st.lists(st.integers(0, 40), max_size=30)
max_tokens = st.integers(1, 100)
max_rows = st.none() | st.integers(1, 8)


@given(lengths, max_tokens, max_rows)
def test_every_sequence_is_in_one_batch(lengths, max_tokens, max_rows):
    batches = make_batches(lengths, BatchBudget(max_tokens=max_tokens, max_rows=max_rows))
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    assert all(batches)


@given(lengths, max_tokens, max_rows)
def test_a_batch_of_several_rows_stays_within_the_budget(lengths, max_tokens, max_rows):
    for batch in make_batches(lengths, BatchBudget(max_tokens=max_tokens, max_rows=max_rows)):
        if len(batch) > 1:
            assert len(batch) * max(lengths[index] for index in batch) <= max_tokens
            assert max_rows is None or len(batch) <= max_rows


@given(lengths, max_tokens, max_rows)
def test_sequences_come_longest_first_and_equal_ones_in_their_order(lengths, max_tokens, max_rows):
    batches = make_batches(lengths, BatchBudget(max_tokens=max_tokens, max_rows=max_rows))
    order = [(-lengths[index], index) for batch in batches for index in batch]
    assert order == sorted(order)


@given(lengths, max_tokens, max_rows)
def test_no_batch_could_have_taken_the_next_sequence(lengths, max_tokens, max_rows):
    budget = BatchBudget(max_tokens=max_tokens, max_rows=max_rows)
    batches = make_batches(lengths, budget)
    for batch in batches[:-1]:
        assert not budget.admits(len(batch) + 1, max(1, *(lengths[index] for index in batch)))


def test_batches_by_hand():
    assert make_batches([2, 5, 3, 5, 1], BatchBudget(max_tokens=10)) == [[1, 3], [2, 0, 4]]
    assert make_batches([2, 5, 3, 5, 1], BatchBudget(max_tokens=10, max_rows=2)) == [[1, 3], [2, 0], [4]]
    assert make_batches([], BatchBudget()) == []


def test_a_sequence_longer_than_the_budget_is_a_batch_of_its_own():
    assert make_batches([50, 60, 1], BatchBudget(max_tokens=10)) == [[1], [0], [2]]


def test_a_batch_size_replaces_the_budget_of_tokens():
    assert make_batches([10**6] * 5, BatchBudget.choose(2, "cuda")) == [[0, 1], [2, 3], [4]]
    assert BatchBudget.choose(None, "cuda") == BatchBudget() == BatchBudget(max_tokens=MAX_TOKENS)
    assert BatchBudget.choose(None, "cpu") == BatchBudget(max_tokens=MAX_TOKENS_CPU)


@pytest.mark.parametrize(("rows", "longest", "fits"), [(1, 99, True), (2, 5, True), (2, 6, False), (4, 1, False)])
def test_a_budget_limits_padded_tokens_and_rows_and_always_takes_one_row(rows, longest, fits):
    assert BatchBudget(max_tokens=10, max_rows=3).admits(rows, longest) is fits


def test_a_batch_that_runs_out_of_memory_is_halved_and_only_it_repeated(caplog):
    ran = []

    def run(batch: list[int]) -> int:
        ran.append(batch)
        if len(batch) > 2:
            raise torch.OutOfMemoryError
        return len(batch)

    found = list(run_batches([8, 7, 6, 5, 1], BatchBudget(max_tokens=32), run))
    assert found == [([0, 1], 2), ([2, 3], 2), ([4], 1)]
    assert ran == [[0, 1, 2, 3], [0, 1], [2, 3], [4]]
    assert "out of memory with 4 rows of up to 8 tokens: halved" in caplog.text


def test_a_single_sequence_that_runs_out_of_memory_is_an_error():
    def run(batch: list[int]) -> int:
        raise torch.OutOfMemoryError

    with pytest.raises(torch.OutOfMemoryError):
        list(run_batches([3], BatchBudget(), run))

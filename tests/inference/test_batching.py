"""Batches: every sequence once, within the budget."""

import weakref

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lm_eval.config.runtime import Execution
from lm_eval.errors import RunError
from lm_eval.inference import memory
from lm_eval.inference.batching import BatchBudget, Batcher
from lm_eval.inference.loading import wrap_model
from lm_eval.inference.memory import choose_budget
from tests.support.tiny_models import tiny_model


def make_batches(lengths: list[int], budget: BatchBudget) -> list[list[int]]:
    return [batch for batch, _ in Batcher(budget).run(lengths, lambda batch: batch, lambda batch: batch)]


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
    model = wrap_model(*tiny_model("gpt2"), name="gpt2")
    assert make_batches([10**6] * 5, choose_budget(model, Execution(batch_size=2))) == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize(("family", "bytes_per_pair"), [("gpt2", 9), ("bloom", 9 + 4 * 16), ("t5", 9 + 4 * 16)])
def test_long_rows_are_limited_by_their_square_and_more_where_heads_keep_scores(family, bytes_per_pair):
    budget = choose_budget(wrap_model(*tiny_model(family), name=family), Execution())
    assert budget.max_tokens == 1024
    assert budget.max_attention == (1 << 29) // bytes_per_pair


def test_where_memory_is_short_a_batch_gets_fewer_tokens(monkeypatch):
    monkeypatch.setattr(memory, "_CPU_BYTES", 1 << 20)
    model = wrap_model(*tiny_model("gpt2"), name="gpt2")
    assert choose_budget(model, Execution()).max_tokens == (1 << 20) // (
        model.hidden_size * (24 * 4 + 16 + 2 * 4 * model.num_layers)
    )


@pytest.mark.parametrize(("rows", "longest", "fits"), [(1, 99, True), (2, 5, True), (2, 6, False), (4, 1, False)])
def test_a_budget_limits_padded_tokens_and_rows_and_always_takes_one_row(rows, longest, fits):
    assert BatchBudget(max_tokens=10, max_rows=3).admits(rows, longest) is fits


@pytest.mark.parametrize(("rows", "longest", "fits"), [(1, 99, True), (2, 5, True), (2, 6, False), (5, 3, True)])
def test_a_budget_limits_the_square_of_long_rows(rows, longest, fits):
    assert BatchBudget(max_attention=50).admits(rows, longest) is fits


class Device:
    """Computes batches of so many rows, and remembers what it was asked."""

    def __init__(self, max_rows: int) -> None:
        self.max_rows = max_rows
        self.asked: list[list[int]] = []

    def launch(self, batch: list[int]) -> list[int]:
        self.asked.append(batch)
        if len(batch) > self.max_rows:
            raise torch.OutOfMemoryError
        return batch


def test_a_batch_that_runs_out_of_memory_is_halved_and_later_ones_are_no_larger(caplog):
    device, batcher = Device(2), Batcher(BatchBudget(max_tokens=32))
    found = list(batcher.run([8, 7, 6, 5, 5, 5, 5, 1], device.launch, len))
    assert [batch for batch, _ in found] == [[0, 1], [2, 3], [4, 5, 6][:2], [6, 7]]
    assert [count for _, count in found] == [2, 2, 2, 2]
    assert device.asked[:2] == [[0, 1, 2, 3], [0, 1]]
    assert "out of memory with 4 rows of up to 8 tokens: halved" in caplog.text
    assert batcher.record() == {
        "max_tokens": 10,
        "max_attention": None,
        "max_rows": None,
        "num_batches": 4,
        "most_rows": 2,
        "most_tokens": 16,
        "num_tokens": 42,
        "num_halved": 2,
    }


def test_when_freed_memory_is_given_back_a_failed_pass_holds_none(monkeypatch):
    held, alive = [], []

    def launch(batch: list[int]) -> None:
        hidden = torch.empty(len(batch))
        held.append(weakref.ref(hidden))
        if len(batch) > 1:
            raise torch.OutOfMemoryError

    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: alive.append(held[-1]() is not None))
    list(Batcher(BatchBudget()).run([2, 2], launch, lambda _: None))
    assert alive == [False]


def test_a_single_sequence_that_runs_out_of_memory_is_an_error():
    with pytest.raises(RunError, match="a single row of 3 tokens is more than the device's memory holds"):
        list(Batcher(BatchBudget()).run([3], Device(0).launch, len))


def test_a_batch_is_launched_before_the_last_one_is_waited_for():
    events = []

    def launch(batch: list[int]) -> list[int]:
        events.append(("launch", batch))
        return batch

    def collect(batch: list[int]) -> None:
        events.append(("collect", batch))

    list(Batcher(BatchBudget(max_rows=1)).run([3, 2, 1], launch, collect))
    assert events == [
        ("launch", [0]),
        ("launch", [1]),
        ("collect", [0]),
        ("launch", [2]),
        ("collect", [1]),
        ("collect", [2]),
    ]

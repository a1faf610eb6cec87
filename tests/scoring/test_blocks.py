"""Where a long pass is cut: by its documents' text and the model's size alone, and where shots are seldom repeated."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lm_eval.scoring.blocks import CPU_WORK, block_tokens, cut_into_blocks, num_kept
from lm_eval.tasks.base import Example
from lm_eval.tasks.documents import Document


def example(length: int, source: int = 0) -> Example:
    """An example of a question of so many characters and two choices of 10."""
    return Example(question=(f"{source:05d}".ljust(length, "x"),), choices=("a" * 10, "b" * 10), gold=(0,))


def documents(lengths: list[int], shots: list[list[int]] | None = None, shot_length: int = 90) -> list[Document]:
    """Documents of questions of such lengths, each with shots of these numbers."""
    return [
        Document(
            doc_id=place,
            example=example(length, 10_000 + place),
            shots=tuple(example(shot_length, number) for number in (shots[place] if shots else ())),
        )
        for place, length in enumerate(lengths)
    ]


@given(
    st.lists(st.integers(5, 400), min_size=1, max_size=60),
    st.integers(1, 500),
    st.booleans(),
    st.integers(1, 12),
)
def test_blocks_hold_each_document_once_and_in_order(lengths, tokens, shares, pool):
    made = documents(lengths, [[place % pool, (place * 7) % pool] for place in range(len(lengths))])
    blocks = cut_into_blocks(made, tokens, num_kept=100 if shares else 0)
    assert [place for start, end in blocks for place in range(start, end)] == list(range(len(lengths)))
    assert all(start < end for start, end in blocks)


def test_a_block_has_the_wanted_tokens_and_the_last_takes_what_is_too_little():
    made = documents([80] * 25)  # 100 characters each, 25 tokens
    assert cut_into_blocks(made, 100, num_kept=0) == [(0, 4), (4, 8), (8, 12), (12, 16), (16, 20), (20, 25)]
    assert cut_into_blocks(made, 1000, num_kept=0) == [(0, 25)]


def test_shots_count_once_in_a_block_where_a_pass_encodes_them_once():
    made = documents([80] * 100, [[0]] * 100)  # with a shot of 100 characters
    assert cut_into_blocks(made, 200, num_kept=0)[0] == (0, 4)
    assert cut_into_blocks(made, 200, num_kept=100)[0] == (0, 7)


def test_blocks_are_longer_where_they_repeat_more_than_a_fortieth():
    made = documents([80] * 1000, [[place % 10] for place in range(1000)])
    blocks = cut_into_blocks(made, 1250, num_kept=100)  # 50 documents, without the ten shots 1,000 of 5,000
    assert blocks[0] == (0, 40)  # the first repeats nothing
    assert {end - start for start, end in blocks[1:-1]} == {390}  # 1,000 of 40,000
    assert blocks[-1][1] - blocks[-1][0] >= 390


@pytest.mark.parametrize("pool", [3, 20, 100])
@pytest.mark.parametrize("tokens", [50, 500])
def test_blocks_repeat_no_more_than_a_fortieth_of_what_the_whole_pass_reads(pool, tokens):
    rnd = random.Random(pool)
    shots = [rnd.sample(range(pool), 3) for _ in range(2000)]
    made = documents([80] * 2000, shots)
    blocks = cut_into_blocks(made, tokens, num_kept=1000)
    seen = [len({shot for row in shots[start:end] for shot in row}) for start, end in blocks]
    assert 100 * sum(seen) + 100 * 2000 <= (100 * pool + 100 * 2000) / 0.975
    if pool == 3:
        assert len(blocks) > 10


def test_shots_that_the_whole_pass_would_have_forgotten_count_as_new():
    shots = [[place % 50] for place in range(1000)]
    made = documents([80] * 1000, shots)
    assert sum(start >= 50 for start, _ in cut_into_blocks(made, 125, num_kept=50)) <= 1
    assert len(cut_into_blocks(made, 125, num_kept=10)) > 100
    assert num_kept(7e9) < num_kept(1e8) / 3


def test_choices_that_are_decoded_often_make_a_document_longer():
    made = documents([80] * 100)  # 20 characters of choices each
    assert cut_into_blocks(made, 100, num_kept=0, num_decoded=16)[0] == (0, 1)
    assert cut_into_blocks(made, 1000, num_kept=0, num_decoded=16)[0] == (0, 10)


def test_a_larger_model_has_smaller_blocks_in_steps_of_two():
    sizes = [block_tokens(number * 1e6, on_gpu=False) for number in (100, 110, 400, 800)]
    assert sizes == [int(CPU_WORK / 2**power) for power in (27, 27, 29, 30)]
    assert block_tokens(7e9, on_gpu=True) > 100 * block_tokens(7e9, on_gpu=False)
    assert block_tokens(None, on_gpu=False) == block_tokens(1e9, on_gpu=False)


@pytest.mark.parametrize("on_gpu", [False, True])
def test_the_largest_model_has_blocks_of_some_batches(on_gpu):
    assert block_tokens(1e13, on_gpu=on_gpu) == (65_536 if on_gpu else 2048)

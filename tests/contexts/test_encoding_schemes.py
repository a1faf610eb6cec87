"""Contexts: every encoding scheme on text that is cut by hand."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lm_eval.config.limit import Limit
from lm_eval.config.run_config import ENCODING_SCHEMES
from lm_eval.contexts.encoding_schemes import SCHEMES, build_context, split_sentences
from lm_eval.tasks.base import Example
from lm_eval.tasks.documents import select_documents
from lm_eval.tasks.hellaswag import HELLASWAG
from lm_eval.tasks.webqs import WEBQS

TEA = Example(question=("Tea: Water boils. A cup",), choices=(" falls.", " is filled. Steam rises."), gold=(1,))
CHESS = Example(question=("Chess: A pawn moves.",), choices=(" The queen waits", " Rain"), gold=(0,))
KITE = Example(question=("Kite: A man runs. He jumps",), choices=(" far.", " up."), gold=(0,))

FOX = Example(question=("Question: who is Mr. Fox?",), choices=(" J. K. Doe", " Jo Doe"), gold=(0, 1))
RAIN = Example(question=("Question: where is rain?",), choices=(" Ulm",), gold=(0,))
ROSE = Example(question=("Question: what is red?",), choices=(" a rose",), gold=(0,))

HELLASWAG_WITHOUT_SHOTS = {
    "concat_all_examples": [["Kite: A man runs. He jumps"]],
    "concat_each_example": [["Kite: A man runs. He jumps"]],
    "segment_each_example": [["Kite: A man runs. He jumps"]],
    "merge_all_segments": [["Kite: A man runs. He jumps"]],
    "sentence_level_segmentation": [["Kite: A man runs.", " He jumps"]],
    "cross_encoding": [["Kite: A man runs. He jumps"]],
}
HELLASWAG_TEXT = (
    "Tea: Water boils. A cup is filled. Steam rises.\n\nChess: A pawn moves. The queen waits\n\n"
    "Kite: A man runs. He jumps"
)
HELLASWAG_WITH_SHOTS = {
    "concat_all_examples": [[HELLASWAG_TEXT]],
    "concat_each_example": [
        ["Tea: Water boils. A cup is filled. Steam rises."],
        ["Chess: A pawn moves. The queen waits"],
        ["Kite: A man runs. He jumps"],
    ],
    "segment_each_example": [
        ["Tea: Water boils. A cup", " is filled. Steam rises."],
        ["Chess: A pawn moves.", " The queen waits"],
        ["Kite: A man runs. He jumps"],
    ],
    "merge_all_segments": [
        [
            *("Tea: Water boils. A cup", " is filled. Steam rises."),
            *("Chess: A pawn moves.", " The queen waits"),
            "Kite: A man runs. He jumps",
        ]
    ],
    "sentence_level_segmentation": [
        ["Tea: Water boils.", " A cup", " is filled.", " Steam rises."],
        ["Chess: A pawn moves.", " The queen waits"],
        ["Kite: A man runs.", " He jumps"],
    ],
    "cross_encoding": [[HELLASWAG_TEXT]],
}

WEBQS_WITHOUT_SHOTS = {
    "concat_all_examples": [["Question: what is red?\nAnswer:"]],
    "concat_each_example": [["Question: what is red?\nAnswer:"]],
    "segment_each_example": [["Question: what is red?", "\nAnswer:"]],
    "merge_all_segments": [["Question: what is red?", "\nAnswer:"]],
    "sentence_level_segmentation": [["Question: what is red?", "\nAnswer:"]],
    "cross_encoding": [["Question: what is red?\nAnswer:"]],
}
WEBQS_TEXT = (
    "Question: who is Mr. Fox?\nAnswer: J. K. Doe\n\nQuestion: where is rain?\nAnswer: Ulm\n\n"
    "Question: what is red?\nAnswer:"
)
WEBQS_WITH_SHOTS = {
    "concat_all_examples": [[WEBQS_TEXT]],
    "concat_each_example": [
        ["Question: who is Mr. Fox?\nAnswer: J. K. Doe"],
        ["Question: where is rain?\nAnswer: Ulm"],
        ["Question: what is red?\nAnswer:"],
    ],
    "segment_each_example": [
        ["Question: who is Mr. Fox?", "\nAnswer: J. K. Doe"],
        ["Question: where is rain?", "\nAnswer: Ulm"],
        ["Question: what is red?", "\nAnswer:"],
    ],
    "merge_all_segments": [
        [
            *("Question: who is Mr. Fox?", "\nAnswer: J. K. Doe"),
            *("Question: where is rain?", "\nAnswer: Ulm"),
            *("Question: what is red?", "\nAnswer:"),
        ]
    ],
    "sentence_level_segmentation": [
        ["Question: who is Mr.", " Fox?", "\nAnswer:", " J.", " K.", " Doe"],
        ["Question: where is rain?", "\nAnswer:", " Ulm"],
        ["Question: what is red?", "\nAnswer:"],
    ],
    "cross_encoding": [[WEBQS_TEXT]],
}


def cut(dataset, query, shots, scheme, description="") -> list[list[str]]:
    context = build_context(dataset, query, tuple(shots), scheme, description)
    return [list(sample) for sample in context.samples]


def test_every_scheme_of_the_configuration_but_the_control_can_be_built():
    assert (*SCHEMES, "no_context") == ENCODING_SCHEMES


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(
    ("dataset", "query", "shots", "expected"),
    [
        (HELLASWAG, KITE, [], HELLASWAG_WITHOUT_SHOTS),
        (HELLASWAG, KITE, [TEA, CHESS], HELLASWAG_WITH_SHOTS),
        (WEBQS, ROSE, [], WEBQS_WITHOUT_SHOTS),
        (WEBQS, ROSE, [FOX, RAIN], WEBQS_WITH_SHOTS),
    ],
)
def test_a_context_is_cut_by_its_scheme(scheme, dataset, query, shots, expected):
    assert cut(dataset, query, shots, scheme) == expected[scheme]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(
    ("dataset", "query", "shots", "bare"),
    [
        (HELLASWAG, KITE, [], HELLASWAG_WITHOUT_SHOTS),
        (HELLASWAG, KITE, [TEA, CHESS], HELLASWAG_WITH_SHOTS),
        (WEBQS, ROSE, [], WEBQS_WITHOUT_SHOTS),
        (WEBQS, ROSE, [FOX, RAIN], WEBQS_WITH_SHOTS),
    ],
)
def test_a_description_is_one_segment_before_everything_else(scheme, dataset, query, shots, bare):
    description = "Read this. Then choose."
    expected = {
        "concat_all_examples": [[f"{description}\n\n{bare[scheme][0][0]}"]],
        "cross_encoding": [[f"{description}\n\n{bare[scheme][0][0]}"]],
        "merge_all_segments": [[description, *bare[scheme][0]]],
    }
    assert cut(dataset, query, shots, scheme, description) == expected.get(scheme, [[description], *bare[scheme]])


def test_a_shot_shows_its_first_right_answer():
    assert cut(HELLASWAG, KITE, [replace(TEA, gold=(0,))], "segment_each_example")[0][1] == " falls."
    assert cut(WEBQS, ROSE, [FOX], "segment_each_example")[0][1] == "\nAnswer: J. K. Doe"


def test_a_question_of_several_segments_becomes_one_text_without_separators():
    query = replace(KITE, question=("Kite: a man", " runs. He", " jumps"))
    assert cut(HELLASWAG, query, [], "concat_each_example") == [["Kite: a man runs. He jumps"]]
    assert cut(HELLASWAG, query, [], "segment_each_example") == [["Kite: a man", " runs. He", " jumps"]]
    assert cut(HELLASWAG, query, [], "sentence_level_segmentation") == [["Kite: a man", " runs.", " He", " jumps"]]


def test_only_the_first_sentence_of_a_hint_carries_the_delimiter():
    dataset = replace(WEBQS, answer_hint="Think. Answer:", hint_delimiter="\n")
    assert cut(dataset, ROSE, [], "sentence_level_segmentation") == [["Question: what is red?", "\nThink.", " Answer:"]]


def test_empty_segments_are_dropped():
    query = replace(KITE, question=("", "Kite: a man", ""))
    for scheme in ("segment_each_example", "merge_all_segments", "sentence_level_segmentation"):
        assert cut(HELLASWAG, query, [], scheme) == [["Kite: a man"]]


def test_a_context_without_any_text_has_no_samples():
    assert cut(HELLASWAG, replace(KITE, question=("",)), [], "segment_each_example") == []


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two.", ["One.", " Two."]),
        ("One.\nTwo.\tThree", ["One.", "\nTwo.", "\tThree"]),
        ("One.  Two", ["One.", "  Two"]),
        ("Mr. X came", ["Mr.", " X came"]),
        ("3.5 a.b", ["3.5 a.b"]),
        ("Who? Me! No", ["Who? Me! No"]),
        ("End. ", ["End.", " "]),
        (" lead", [" lead"]),
        ("... so. . x", ["...", " so.", " .", " x"]),
        ("", [""]),
    ],
)
def test_a_sentence_ends_at_a_full_stop_before_white_space(text, sentences):
    assert split_sentences(text) == sentences


@given(st.text("ab. \n"))
def test_sentences_joined_are_the_text(text):
    assert "".join(split_sentences(text)) == text


texts = st.text("xy. ", min_size=1)
rows = st.tuples(st.lists(texts, min_size=1, max_size=2), st.lists(texts, min_size=1, max_size=3))


def make_example(row: tuple[list[str], list[str]]) -> Example:
    question, choices = row
    return Example(question=tuple(question), choices=tuple(choices), gold=(len(choices) - 1,))


@given(rows, st.lists(rows, max_size=2), st.sampled_from([HELLASWAG, WEBQS]), st.sampled_from(["", "Do. It"]))
def test_schemes_cut_the_same_text_at_different_places(query_row, shot_rows, dataset, description):
    query, shots = make_example(query_row), list(map(make_example, shot_rows))
    contexts = {scheme: cut(dataset, query, shots, scheme, description) for scheme in SCHEMES}
    for context in contexts.values():
        assert all(segment for sample in context for segment in sample)
        assert all(context)
    kept_apart = ("concat_each_example", "segment_each_example", "sentence_level_segmentation")
    samples = {scheme: ["".join(sample) for sample in contexts[scheme]] for scheme in kept_apart}
    assert samples["segment_each_example"] == samples["concat_each_example"] == samples["sentence_level_segmentation"]
    assert contexts["concat_all_examples"] == [["\n\n".join(samples["concat_each_example"])]]
    assert contexts["merge_all_segments"] == [[part for sample in contexts["segment_each_example"] for part in sample]]


@pytest.mark.reference
def test_sentences_agree_with_the_reference(reference):
    cases = json.loads((reference / "sentences.json").read_text())
    assert len(cases) >= 10
    assert [split_sentences(text) for text, _ in cases] == [sentences for _, sentences in cases]


@pytest.mark.reference
def test_whole_contexts_agree_with_the_reference(reference):
    records = json.loads((reference / "contexts.json").read_text())
    assert len(records) > 20
    for record in records:
        dataset = HELLASWAG if record["task"].startswith("hellaswag") else WEBQS
        number = record["document"]
        document = select_documents(dataset, str(reference / "data"), record["num_fewshot"], Limit(number, number + 1))[
            0
        ]
        context = cut(dataset, document.example, document.shots, record["encoding_scheme"])
        assert context == record["samples"]
        assert list(document.example.choices) == record["choices"]
        assert list(document.example.gold) == record["gold"]

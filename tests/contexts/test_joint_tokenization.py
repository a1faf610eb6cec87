"""Contexts and choices in tokens, as the upstream harness cuts them."""

import re

import pytest
from tokenizers import processors

from lm_eval.contexts import joint_tokenization
from lm_eval.errors import RunError
from lm_eval.inference.loading import wrap_model
from lm_eval.models.language_model import LanguageModel
from tests.support.tiny_models import make_tokenizer, tiny_model


def load(family: str, *, begin: str | None = None) -> LanguageModel:
    """A model whose tokenizer puts a beginning-of-text token before every text, if one is given."""
    network, _ = tiny_model(family)
    tokenizer = make_tokenizer(family, 128)
    if begin is not None:
        tokenizer.bos_token = begin
        template = processors.TemplateProcessing(single=f"{begin} $A", special_tokens=[(begin, tokenizer.bos_token_id)])
        tokenizer.backend_tokenizer.post_processor = template
    return wrap_model(network, tokenizer, name=family)


def encode_pairs(model: LanguageModel, pairs):
    return joint_tokenization.encode_pairs(model, pairs, [f"pair {number}" for number in range(len(pairs))])


def tokens(model: LanguageModel, text: str) -> tuple[int, ...]:
    return tuple(model.tokenizer(text, add_special_tokens=False)["input_ids"])


@pytest.mark.parametrize(
    ("context", "choice", "bare", "moved"),
    [
        ("The man", " sings", "The man", " sings"),
        ("The man ", "sings", "The man", " sings"),
        ("The man \n", " sings", "The man", " \n sings"),
    ],
)
def test_blanks_at_the_end_of_a_context_go_to_the_choice(context, choice, bare, moved):
    model = load("gpt2")
    assert encode_pairs(model, [(context, choice)]) == [(tokens(model, bare), tokens(model, moved))]


def test_a_choice_is_what_the_tokens_of_both_have_behind_those_of_the_context():
    model = load("gpt2")
    context, choice = "The wat", ": more"
    whole, alone = tokens(model, context + choice), tokens(model, context)
    assert encode_pairs(model, [(context, choice)]) == [(alone, whole[len(alone) :])]


def refuse_near(model: LanguageModel, pairs):
    joint_tokenization.refuse_merging(model, pairs, [f"pair {number}" for number in range(len(pairs))])


@pytest.mark.parametrize("refuse", [encode_pairs, refuse_near])
@pytest.mark.parametrize(
    ("choice", "joined"), [("er and more", "'Ġwater'"), ("er", "'Ġwater'"), ("", None), (" sings", None)]
)
def test_a_choice_that_merges_with_its_context_is_refused_with_the_remedy(refuse, choice, joined):
    model, context = load("gpt2"), "The long way to the wat"
    alone = " ".join(map(repr, model.tokenizer.tokenize(" wat")))
    pairs = [("The man", " sings"), (context, choice)]
    if joined is None:
        refuse(model, pairs)
        return
    with pytest.raises(
        RunError,
        match=re.escape(
            f"pair 1 merges with its context: tokenised together they have {joined} "
            f"where the context ends in {alone}, so that a token is part of both; let the choice begin with a blank"
        ),
    ):
        refuse(model, pairs)


def test_what_looks_merged_near_the_border_counts_only_where_whole_texts_are(monkeypatch):
    model = load("gpt2")
    monkeypatch.setattr(joint_tokenization, "_NEAR", 1)
    assert len(tokens(model, "e" + "s")) == 1
    refuse_near(model, [("The", "s"), ("the", "s")])


def test_an_encoder_decoder_gets_them_apart():
    model = load("t5")
    (found,) = encode_pairs(model, [("The wat ", "er")])
    assert found == ((*tokens(model, "The wat"), model.tokenizer.eos_token_id), tokens(model, " er"))


def test_a_beginning_of_text_stands_before_the_context_once():
    model = load("gpt2", begin="<unk>")
    begin = model.tokenizer.bos_token_id
    plain, marked = encode_pairs(model, [("The man", " sings"), ("<unk>The man", " sings")])
    assert plain == marked == ((begin, *tokens(model, "The man")), tokens(model, " sings"))


def test_nothing_becomes_the_beginning_or_else_the_end_of_text():
    for model, token in ((load("gpt2", begin="<unk>"), "<unk>"), (load("gpt2"), "</s>")):
        prefix = model.tokenizer.convert_tokens_to_ids(token)
        pairs = [("", " sings"), ("  ", "sings"), ("", f"{token} sings")]
        sings = tokens(model, " sings")
        assert encode_pairs(model, pairs) == [
            ((prefix,), sings),
            ((prefix,), tokens(model, "  sings")),
            ((prefix,), sings),
        ]


def test_a_tokenizer_without_either_cannot_score_behind_nothing():
    model = load("gpt2")
    model.tokenizer.eos_token = None
    with pytest.raises(
        RunError, match="gpt2: the context is empty, and the tokenizer has neither bos_token nor eos_token"
    ):
        encode_pairs(model, [("", " sings")])

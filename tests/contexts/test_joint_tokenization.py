"""Contexts and choices in tokens, as the upstream harness cuts them."""

import pytest
from tokenizers import processors

from lm_eval.contexts.joint_tokenization import encode_pairs
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
    context, choice = "The wat", "er and more"
    whole, alone = tokens(model, context + choice), tokens(model, context)
    assert whole != alone + tokens(model, choice)  # tokens reach across the seam
    assert encode_pairs(model, [(context, choice)]) == [(alone, whole[len(alone) :])]


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

"""A tokenizer with tokens that the model has no embedding of: a fault only where they occur."""

import re

import pytest

from lm_eval.config.runtime import Execution
from lm_eval.errors import RunError
from lm_eval.inference.loading import wrap_model
from tests.support.judging import make_config, scores_of
from tests.support.runs import evaluate
from tests.support.tiny_models import tiny_model

WORKS = [("dist_gen", "hellaswag_dg", "concat_each_example"), ("dist_sim", "hellaswag_d", "concat_each_example"),
         ("dist_gen", "hellaswag_dg", "cross_encoding"), ("hf", "hellaswag", None)]  # fmt: skip


def with_tokens(*added: str):
    network, tokenizer = tiny_model("gpt2", max_length=2048)
    tokenizer.add_tokens(list(added))
    return wrap_model(network, tokenizer, name="tiny")


def settings(model: str, scheme: str | None) -> dict:
    if scheme in (None, "cross_encoding"):
        return {}
    return {"WORD_AGG_SCHEME": "mean"} | ({"SIMILARITY_FUNC": "cosine_sim"} if model == "dist_sim" else {})


@pytest.mark.parametrize(("model", "task", "scheme"), WORKS)
def test_a_token_beyond_the_embeddings_ends_a_run_before_its_first_batch(model, task, scheme, data_dir):
    loaded = with_tokens("the")
    passes = []
    hook = loaded.encoder.register_forward_pre_hook(lambda *_: passes.append(1))
    config = make_config(data_dir, model, task, scheme, settings(model, scheme))
    message = (
        r"validation.jsonl, line \d+: the tokenizer of tiny makes tokens of it that the model, with 360 embeddings, "
    )
    with pytest.raises(
        RunError, match=message + re.escape("doesn't know: 'the' (360); load the tokenizer that belongs")
    ):
        evaluate([config], loaded, Execution())
    hook.remove()
    assert passes == []


@pytest.mark.parametrize(("model", "task", "scheme"), WORKS)
def test_a_tokenizer_that_merely_has_more_tokens_is_no_fault(model, task, scheme, data_dir):
    config = make_config(data_dir, model, task, scheme, settings(model, scheme))
    more, same = (evaluate([config], with_tokens(*added), Execution()) for added in (("<never>",), ()))
    assert scores_of(more) == scores_of(same)

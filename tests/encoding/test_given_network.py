"""`lm_eval.encode` on a network that the caller has loaded."""

import numpy as np
import pytest

import lm_eval
from lm_eval.errors import ConfigurationError
from tests.support import plain
from tests.support.tiny_models import SENTENCES, tiny_model

SETTINGS = {"WORD_AGG_SCHEME": "w1mean", "ENCODING_LAYER": 2}


def expected_of(network, tokenizer) -> list[np.ndarray]:
    slow = plain.Plain(network, tokenizer)
    settings = {**dict.fromkeys(plain.SETTINGS), "WORD_AGG_SCHEME": "w1mean", "ENCODING_LAYER": "2"}
    return [slow.encode_context([[text]], settings)[0][0].detach().numpy() for text in SENTENCES]


def double(network, block: str) -> None:
    def hook(_module, _args, output):
        return (2 * output[0], *output[1:]) if isinstance(output, tuple) else 2 * output

    network.get_submodule(block).register_forward_hook(hook)


@pytest.mark.parametrize(("family", "block"), [("gpt2", "transformer.h.1"), ("t5", "encoder.block.1")])
def test_a_hook_changes_vectors_as_in_the_plain_pass_however_the_call_is_written(family, block):
    network, tokenizer = tiny_model(family, max_length=256)
    loaded = {"pretrained": network, "tokenizer": tokenizer}
    before = list(lm_eval.encode(SENTENCES, model_args={**loaded, **SETTINGS}))
    fresh, _ = tiny_model(family, max_length=256)
    assert np.stack(before) == pytest.approx(np.stack(expected_of(fresh, tokenizer)), rel=2e-5, abs=2e-5)
    fresh, _ = tiny_model(family, max_length=256)  # transformers lists states as they are before later hooks
    for one in (network, fresh):
        double(one, block)
    expected = expected_of(fresh, tokenizer)
    network.train()
    for vectors in (
        lm_eval.encode(SENTENCES, model_args={**loaded, **SETTINGS}),
        lm_eval.encode(SENTENCES, model=network, tokenizer=tokenizer, word_agg_scheme="w1mean", encoding_layer=2),
    ):
        found = list(vectors)
        assert np.stack(found) == pytest.approx(np.stack(expected), rel=2e-5, abs=2e-5)
        assert np.stack(found) != pytest.approx(np.stack(before), rel=1e-3)
    assert network.training


def test_between_two_windows_the_network_is_the_callers(set_windows):
    set_windows(1, 1)
    network, tokenizer = tiny_model("gpt2")
    network.train()
    vectors = lm_eval.encode(SENTENCES, model=network, tokenizer=tokenizer, word_agg_scheme="mean")
    for _ in vectors:
        assert all(module.training for module in network.modules())


def test_a_wrong_call_is_refused_before_anything_is_computed():
    network, tokenizer = tiny_model("gpt2")
    loaded = {"pretrained": network, "tokenizer": tokenizer, "WORD_AGG_SCHEME": "mean"}
    for call, message in [
        ({}, "encode: give either model or model_args .*, got neither"),
        ({"model": network, "model_args": loaded}, "encode: give either model or model_args .*, got both"),
        ({"model_args": loaded, "norm": "L2"}, "encode: norm: beside model_args; put all settings there"),
        (
            {"model": network, "word_agg_scheme": "mean"},
            "tokenizer must be its tokenizer, loaded too, but it is missing",
        ),
        ({"model_args": loaded, "device": "meta"}, "device=meta: the loaded network lies on cpu"),
        ({"model_args": {**loaded, "ENCODING_LAYER": 9}}, "ENCODING_LAYER=9: out of range"),
    ]:
        with pytest.raises(ConfigurationError, match=message):
            lm_eval.encode(SENTENCES, **call)


def test_settings_may_stand_in_model_args_as_text_too(tmp_path):
    network, tokenizer = tiny_model("gpt2")
    network.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    one = list(lm_eval.encode(SENTENCES, model_args=f"pretrained={tmp_path},WORD_AGG_SCHEME=mean"))
    other = list(lm_eval.encode(SENTENCES, model_args={"pretrained": tmp_path, "WORD_AGG_SCHEME": "mean"}))
    assert np.array_equal(np.stack(one), np.stack(other))

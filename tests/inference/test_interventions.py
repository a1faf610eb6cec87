"""Interventions in the residual stream, against hooks written by hand."""

import numpy as np
import pytest
import torch

import lm_eval
from lm_eval.config.runtime import Execution
from lm_eval.errors import ConfigurationError
from lm_eval.evaluator import simple_evaluate
from lm_eval.inference.interventions import _resolve, adding, changing, find_interventions, reading, replacing
from lm_eval.inference.loading import wrap_model
from tests.support.judging import LONG, TOLERANCE, assert_agrees, judge, make_config
from tests.support.runs import evaluate
from tests.support.tiny_families import LATER_DECODER_ONLY, PAPER_DECODER_ONLY
from tests.support.tiny_models import tiny_model

TOKENS = torch.tensor([[5, 9, 14, 20, 31, 40], [7, 8, 9, 10, 11, 12]])
DIM = 32


def blocks_of(network):
    lists = (part for part in network.base_model.modules() if isinstance(part, torch.nn.ModuleList))
    return next(part for part in lists if len(part) == 3)


def by_hand(network, layer, change):
    """What a network gives with its residual stream changed where a block begins."""

    def enter(_block, args, kwargs):
        hidden = change(args[0] if args else kwargs["hidden_states"])
        return ((hidden, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": hidden})

    hook = blocks_of(network)[layer].register_forward_pre_hook(enter, with_kwargs=True)
    try:
        return logits_of(network)
    finally:
        hook.remove()


@torch.no_grad()
def logits_of(network):
    return network(TOKENS, use_cache=False).logits


def vector(number=1):
    return torch.randn(number, DIM, generator=torch.Generator().manual_seed(number)).squeeze(0)


@pytest.mark.parametrize("family", [*PAPER_DECODER_ONLY, *LATER_DECODER_ONLY])
def test_adding_and_replacing_are_what_hooks_by_hand_do(family):
    network, _ = tiny_model(family)
    before, steering, patch = logits_of(network), vector(), vector(2)

    def put(hidden):
        changed = hidden.clone()
        changed[:, [1, 3]] = patch
        return changed

    for layer in range(3):
        with adding(network, layer=layer, vectors=steering):
            found = logits_of(network)
        added = by_hand(network, layer, lambda hidden: hidden + steering)
        assert torch.allclose(found, added, rtol=TOLERANCE, atol=TOLERANCE)
        with replacing(network, layer=layer - 4, vectors=patch.numpy(), positions=[1, 3]):
            found = logits_of(network)
        assert torch.allclose(found, by_hand(network, layer, put), rtol=TOLERANCE, atol=TOLERANCE)
        assert not torch.allclose(found, before, atol=1e-3)
    assert torch.equal(logits_of(network), before)
    assert find_interventions(network) == []


def test_what_is_read_is_what_transformers_lists():
    network, _ = tiny_model("llama")
    with reading(network, [0, 1, -1]) as states, torch.no_grad():
        listed = network(TOKENS, output_hidden_states=True).hidden_states
    for layer in (0, 1, -1):
        (read,) = states[layer]
        assert torch.equal(read, listed[layer])
    with reading(network, [2], positions=[-1, 0, 50]) as states:
        logits_of(network)
    assert torch.equal(states[2][0], listed[2][:, [-1, 0]])


def test_what_is_changed_at_a_layer_is_listed_and_encoded_as_that_layer():
    network, tokenizer = tiny_model("gpt2")
    steering, text = vector(), "The man begins paddling."
    how = {"model": network, "tokenizer": tokenizer, "word_agg_scheme": "mean"}
    for layer in (0, 2, 3):
        (before,) = lm_eval.encode([text], **how, encoding_layer=layer)
        with adding(network, layer=layer, vectors=steering):
            (after,) = lm_eval.encode([text], **how, encoding_layer=layer)
        assert after - before == pytest.approx(steering.numpy(), abs=1e-5)


def test_a_model_that_is_loaded_here_is_encoded_under_an_intervention_too():
    network, tokenizer = tiny_model("llama")
    model = wrap_model(network, tokenizer, name="tiny")
    texts = ["The man begins paddling.", "Mix the flour.", "A raft on rough waters gets choppy, and then some."]
    how = {"word_agg_scheme": "last", "encoding_layer": 2}
    with changing(network, {1: lambda hidden: hidden * 1.5}):
        vectors = lm_eval.encode(texts, model=model, **how)
    expected = []
    for text in texts:  # taken after the intervention is over, and alone
        with changing(network, {1: lambda hidden: hidden * 1.5}), reading(network, [2]) as states:
            network(torch.tensor([tokenizer(text)["input_ids"]]))
        expected.append(states[2][0][0, -1].detach().numpy())
    assert np.stack(list(vectors)) == pytest.approx(np.stack(expected), abs=1e-4)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_both_tests_score_under_an_intervention_as_the_plain_way_does_under_a_hook(family, data_dir):
    for kind, task in (("dist_gen", "hellaswag_dg"), ("dist_sim", "hellaswag_d")):
        network, tokenizer = tiny_model(family, max_length=LONG)
        similarity = {} if kind == "dist_gen" else {"SIMILARITY_FUNC": "dot_product"}
        settings = {"WORD_AGG_SCHEME": "mean", "ENCODING_LAYER": "2", **similarity}
        task_args = {"data_dir": str(data_dir), "encoding_scheme": "concat_all_examples"}
        steering = vector()
        with adding(network, layer=1, vectors=steering):
            result = simple_evaluate(
                model=kind, tasks=task, num_fewshot=0, limit=2, log_samples=True, task_args=task_args,
                model_args={"pretrained": network, "tokenizer": tokenizer, **settings},
            )  # fmt: skip
        config = make_config(data_dir, kind, task, "concat_all_examples", settings, num_fewshot=0)

        def enter(_block, args, kwargs, steering=steering):
            if args:
                return (args[0] + steering, *args[1:]), kwargs
            return args, {**kwargs, "hidden_states": kwargs["hidden_states"] + steering}

        hook = blocks_of(network)[1].register_forward_pre_hook(enter, with_kwargs=True)
        expected = judge(config, wrap_model(network, tokenizer, name="plain", care="whole"))
        hook.remove()
        for sample, wanted in zip(result["samples"][task], expected["samples"], strict=True):
            assert sample["scores"] == pytest.approx(wanted["scores"], rel=TOLERANCE, abs=TOLERANCE)
        assert result["identity"][task]["weights"]["interventions"] == "adds to layer 1"


def test_a_position_counted_from_the_end_of_a_text_is_not_that_of_its_neighbours():
    network, tokenizer = tiny_model("llama")
    texts = ["The man begins paddling.", "Mix the flour."]
    how = {"model": network, "tokenizer": tokenizer, "word_agg_scheme": "last", "encoding_layer": 3}
    with replacing(network, layer=1, vectors=vector(), positions=[-1]):
        together = list(lm_eval.encode(texts, **how))
        alone = [next(lm_eval.encode([text], **how)) for text in texts]
    assert np.stack(together) == pytest.approx(np.stack(alone), abs=1e-5)


def test_two_calls_under_the_same_intervention_have_different_identities(data_dir):
    network, tokenizer = tiny_model("gpt2", max_length=LONG)
    args = {"pretrained": network, "tokenizer": tokenizer, "WORD_AGG_SCHEME": "mean", "SIMILARITY_FUNC": "dot_product"}
    call = {"model": "dist_sim", "tasks": "hellaswag_d", "limit": 2, "model_args": args}
    call["task_args"] = {"data_dir": str(data_dir), "encoding_scheme": "concat_all_examples"}
    with adding(network, layer=1, vectors=vector()):
        one, two = (simple_evaluate(**call)["identity"]["hellaswag_d"] for _ in range(2))
    assert one != two


def test_a_grids_model_is_refused_under_an_intervention(data_dir):
    network, tokenizer = tiny_model("gpt2", max_length=LONG)
    model = wrap_model(network, tokenizer, name="tiny")
    config = make_config(data_dir, "dist_gen", "hellaswag_dg", "cross_encoding", {}, num_fewshot=0)
    with (
        adding(network, layer=1, vectors=vector()),
        pytest.raises(ConfigurationError, match=r"an intervention is at work \(adds to layer 1\)"),
    ):
        evaluate([config], model, Execution())
    assert_agrees(evaluate([config], model, Execution())[0], judge(config, model))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"layer": 4, "vectors": vector()}, "layer 4: out of range; choose from -4 to 3, for GPT2LMHeadModel has 3"),
        ({"layer": 1, "vectors": vector(2)}, r"shape must be \(32,\), got \(2, 32\); with a vector for each position"),
        ({"layer": 1, "vectors": vector(3), "positions": [0, 1]}, r"\(32,\) or \(2, 32\), got \(3, 32\)"),
        ({"layer": 1, "vectors": torch.ones(5)}, r"got \(5,\)"),
    ],
)
def test_what_does_not_fit_the_network_is_refused(call, message):
    network, _ = tiny_model("gpt2")
    with pytest.raises(ConfigurationError, match=message), adding(network, **call):
        pass
    assert find_interventions(network) == []


@pytest.mark.parametrize(
    ("layer", "says"), [("middle", "must be an integer"), (4, "out of range; choose from -4 to 3")]
)
def test_a_layer_that_a_network_does_not_have_is_refused(layer, says):
    model = wrap_model(*tiny_model("gpt2"), name="tiny")
    with pytest.raises(ConfigurationError, match=f"layer {layer}: {says}"):
        _resolve(model, layer)


def test_a_name_is_no_network():
    message = "network: must be a loaded network of transformers, got 'some/model'; load it first"
    with pytest.raises(ConfigurationError, match=message), adding("some/model", layer=0, vectors=vector()):
        pass


WRONG = {"shape": (lambda hidden: hidden[0], "the shape"), "type": (lambda hidden: "more", "str")}


@pytest.mark.parametrize(("change", "got"), WRONG.values(), ids=WRONG)
def test_a_function_that_gives_no_hidden_states_is_named(change, got, data_dir):
    network, tokenizer = tiny_model("gpt2")
    wanted = (
        r"layer 2: its function must return None or hidden states of the shape that it got, \(.*\), but it returned"
    )
    model_args, task_args = {"pretrained": network, "tokenizer": tokenizer}, {"data_dir": str(data_dir)}
    with changing(network, {2: change}), pytest.raises(ConfigurationError, match=f"{wanted} {got}"):
        simple_evaluate(model="hf", model_args=model_args, tasks=["hellaswag"], task_args=task_args, limit=2)

"""A caller's network is afterwards what it was before."""

import copy
from typing import Any

import pytest
import torch
from torch import nn

from lm_eval.config.runtime import Execution
from lm_eval.errors import RunError
from lm_eval.inference.given import take_given
from lm_eval.inference.untouched import untouched
from tests.support.judging import make_config
from tests.support.runs import evaluate
from tests.support.tiny_models import tiny_model

FAMILIES = ["gpt2", "gpt_neox", "t5", "phi3_turning", "gptj"]


def state(network: nn.Module) -> list[Any]:
    """All that can be seen of a network: modules, modes, hooks, attributes, weights."""
    seen: list[Any] = []
    for name, module in network.named_modules():
        kept = {key: value for key, value in vars(module).items() if isinstance(value, int | float | str | None)}
        hooks = [list(getattr(module, kind).items()) for kind in ("_forward_hooks", "_forward_pre_hooks")]
        tensors = [
            (key, tensor.data_ptr(), tensor.requires_grad, tensor.is_inference(), tensor.clone())
            for key, tensor in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False))
            if not tensor.is_inference()
        ]
        seen.append((name, type(module), "forward" in vars(module), kept, hooks, tensors))
    return [*seen, copy.deepcopy(network.config.to_dict())]


def assert_same(one: Any, other: Any) -> None:
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
    else:
        assert one == other


@pytest.mark.parametrize("hooked", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_of_a_network_is_changed_by_its_use(family, hooked, data_dir):
    network, tokenizer = tiny_model(family, max_length=256)
    network.train()
    network.get_input_embeddings().eval()
    next(network.parameters()).requires_grad_(False)
    if hooked:
        network.get_output_embeddings().register_forward_hook(lambda _module, _args, output: 2 * output)
    before = state(network)
    _, given = take_given({"pretrained": network, "tokenizer": tokenizer})
    assert given is not None
    model = given.wrap()
    assert_same(state(network), before)
    settings = {"WORD_AGG_SCHEME": "mean", "ENCODING_LAYER": "1"}
    config = make_config(data_dir, "dist_gen", "hellaswag_dg", "concat_each_example", settings, limit="1")
    evaluate([config], model, Execution())
    assert_same(state(network), before)
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("family", ["llama", "phi3_turning"])
def test_a_network_can_be_trained_on_afterwards(family, data_dir):
    network, tokenizer = tiny_model(family, max_length=256)
    _, given = take_given({"pretrained": network, "tokenizer": tokenizer})
    assert given is not None
    config = make_config(data_dir, "hf", "hellaswag", None, {}, limit="1")
    evaluate([config], given.wrap(), Execution())
    tokens = torch.tensor([[5, 6, 7, 8] * 10])
    network(tokens, labels=tokens).loss.backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_hooks_see_no_gradients_and_a_network_in_evaluation_mode():
    network, tokenizer = tiny_model("gpt2")
    network.train()
    seen = set()

    def look(module: nn.Module, _args: Any, output: Any) -> None:
        seen.add((module.training, output[0].requires_grad, torch.is_grad_enabled()))

    network.transformer.h[0].register_forward_hook(look)
    _, given = take_given({"pretrained": network, "tokenizer": tokenizer})
    assert given is not None
    given.wrap()
    assert seen == {(False, False, False)}


def test_an_error_in_a_pass_changes_nothing_either():
    network, _ = tiny_model("gpt2")
    network.train()
    before = state(network)

    def fail() -> None:
        with untouched(network):
            network(torch.tensor([[5]]), output_hidden_states=True)
            raise RunError("of the pass")

    with pytest.raises(RunError, match="of the pass"):
        fail()
    assert_same(state(network), before)


def test_hooks_of_transformers_that_were_there_stay_where_they_were():
    network, _ = tiny_model("llama")
    tokens = torch.tensor([[5, 6]])
    network(tokens, output_hidden_states=True)
    network.model.layers[0].register_forward_hook(lambda _module, _args, output: output + 1)
    before, listed = state(network), network(tokens, output_hidden_states=True).hidden_states
    with untouched(network), torch.no_grad():
        inside = network(tokens, output_hidden_states=True).hidden_states
    assert torch.equal(inside[1], listed[1] + 1)  # what goes on to the next block
    assert_same(state(network), before)
    assert torch.equal(network(tokens, output_hidden_states=True).hidden_states[1], listed[1])


def test_what_hooks_write_into_buffers_of_their_own_stays():
    network, _ = tiny_model("gpt2")
    network.transformer.register_buffer("seen", torch.zeros(()))

    def count(module: nn.Module, _args: Any, _output: Any) -> None:
        module.seen = module.seen + 1

    network.transformer.register_forward_hook(count)
    with untouched(network), torch.inference_mode():
        network(torch.tensor([[5]]))
    assert network.transformer.seen == 1
    assert not network.transformer.seen.is_inference()

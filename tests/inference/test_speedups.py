"""What is changed for the time of a pass, and undone."""

import pytest
import torch
from transformers import masking_utils
from transformers.models.gpt_neox import modeling_gpt_neox

from lm_eval.config.runtime import Execution
from lm_eval.inference.loading import wrap_model
from lm_eval.inference.memory import choose_budget
from lm_eval.inference.speedups import fast
from tests.support.tiny_models import tiny_model


def state(model):
    modules = [type(module) for module in model.network.modules()]
    functions = masking_utils.find_packed_sequence_indices, modeling_gpt_neox.apply_rotary_pos_emb
    return torch.backends.cuda.cudnn_sdp_enabled(), torch.backends.cuda.flash_sdp_enabled(), modules, functions


def test_a_gpt_neox_turns_its_queries_and_keys_in_place_with_the_same_bits():
    model = wrap_model(*tiny_model("gpt_neox"), name="gpt_neox")
    inputs = torch.randn(2, 9, 32, generator=torch.Generator().manual_seed(0))
    copying = modeling_gpt_neox.apply_rotary_pos_emb
    with torch.inference_mode():
        copied = model.encoder(inputs_embeds=inputs).last_hidden_state
        with fast(model):
            assert modeling_gpt_neox.apply_rotary_pos_emb is not copying
            in_place = model.encoder(inputs_embeds=inputs).last_hidden_state
    assert torch.equal(in_place, copied)


def test_whoever_needs_gradients_meanwhile_gets_them():
    model = wrap_model(*tiny_model("gpt_neox"), name="gpt_neox")
    inputs = torch.randn(1, 5, 32, requires_grad=True)
    with fast(model):
        model.encoder(inputs_embeds=inputs).last_hidden_state.sum().backward()
    assert inputs.grad is not None
    assert inputs.grad.abs().sum() > 0


@pytest.mark.parametrize("family", ["gpt_neox", "gpt2", "t5"])
def test_whatever_is_changed_for_a_pass_is_undone_also_after_an_error(family):
    model = wrap_model(*tiny_model(family), name=family)

    def fail():
        with fast(model):
            assert not torch.backends.cuda.cudnn_sdp_enabled()
            assert state(model) != before
            raise RuntimeError("of the pass")

    before = state(model)
    with pytest.raises(RuntimeError, match="of the pass"):
        fail()
    assert state(model) == before


def test_passes_that_overlap_in_any_order_leave_nothing_changed():
    one, other = (wrap_model(*tiny_model("gpt_neox"), name="gpt_neox") for _ in range(2))
    before = state(one), state(other)
    first, second = fast(one), fast(other)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert not torch.backends.cuda.cudnn_sdp_enabled()
    second.__exit__(None, None, None)
    assert (state(one), state(other)) == before


@pytest.mark.parametrize(
    ("weights", "tokens"), [(405_334_016, 65_536), (1_414_647_808, 19_086), (6_856_253_440, 16_384)]
)
def test_the_smaller_a_model_the_more_tokens_a_batch_has_on_a_gpu(weights, tokens, monkeypatch):
    model = wrap_model(*tiny_model("gpt2"), name="gpt2")
    monkeypatch.setattr(type(model), "device", torch.device("cuda"))
    monkeypatch.setattr(model.network, "parameters", lambda: [torch.empty(weights, device="meta")])
    monkeypatch.setattr("lm_eval.inference.memory._free_bytes", lambda *_: 1 << 40)
    assert choose_budget(model, Execution()).max_tokens == tokens

"""What is changed for the time of a pass, and undone."""

import pytest
import torch
from transformers import masking_utils
from transformers.models.gpt_neox import modeling_gpt_neox

from lm_eval.inference.loading import wrap_model
from lm_eval.inference.speedups import fast
from lm_eval.models.rotary import rotary_in_place
from tests.support.tiny_models import tiny_model


def test_a_gpt_neox_turns_its_queries_and_keys_in_place_with_the_same_bits():
    network, _ = tiny_model("gpt_neox")
    inputs = torch.randn(2, 9, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        copied = network.base_model(inputs_embeds=inputs).last_hidden_state
        with rotary_in_place(network):
            assert modeling_gpt_neox.apply_rotary_pos_emb.__module__ == rotary_in_place.__module__
            in_place = network.base_model(inputs_embeds=inputs).last_hidden_state
    assert torch.equal(in_place, copied)


@pytest.mark.parametrize("family", ["gpt_neox", "gpt2", "t5"])
def test_whatever_is_changed_for_a_pass_is_undone_also_after_an_error(family):
    model = wrap_model(*tiny_model(family), name=family)

    def state():
        flags = [
            torch.backends.cuda.cudnn_sdp_enabled(),
            torch.backends.cuda.flash_sdp_enabled(),
            torch.backends.cuda.math_sdp_enabled(),
        ]
        modules = [type(module) for module in model.network.modules()]
        return flags, modules, masking_utils.find_packed_sequence_indices, modeling_gpt_neox.apply_rotary_pos_emb

    def fail():
        with fast(model):
            assert not torch.backends.cuda.cudnn_sdp_enabled()
            assert state() != before
            raise RuntimeError("of the pass")

    before = state()
    with pytest.raises(RuntimeError, match="of the pass"):
        fail()
    assert state() == before

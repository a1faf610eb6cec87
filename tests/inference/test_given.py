"""Networks that a caller has loaded, hooked or patched: each place of a hook against the plain forward pass."""

import functools
import re
from dataclasses import replace
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from transformers import AutoModel

from lm_eval.config.runtime import Execution
from lm_eval.errors import ConfigurationError, RunError
from lm_eval.inference.given import Given, facts_of, take_given
from lm_eval.inference.loading import wrap_model
from lm_eval.models.compatibility import check_against_model
from lm_eval.models.language_model import LanguageModel
from tests.support.judging import assert_agrees, judge, make_config, scores_of
from tests.support.runs import evaluate
from tests.support.tiny_families import (
    LATER_DECODER_ONLY,
    LATER_ENCODER_DECODER,
    PAPER_DECODER_ONLY,
    PAPER_ENCODER_DECODER,
    UNKNOWN_DECODER_ONLY,
    UNKNOWN_ENCODER_DECODER,
)
from tests.support.tiny_models import tiny_model

LENGTH = 512
DECODER_ONLY = (*PAPER_DECODER_ONLY, *LATER_DECODER_ONLY, *UNKNOWN_DECODER_ONLY)
ENCODER_DECODER = (*PAPER_ENCODER_DECODER, *LATER_ENCODER_DECODER, *UNKNOWN_ENCODER_DECODER)

_NEOX, _T5, _BART = "gpt_neox.layers.1", "encoder.block.1.layer", "model.encoder.layers.1"
PLACES = {
    "gpt2": {
        "embedding": "transformer.wte", "positions": "transformer.wpe", "attention": "transformer.h.1.attn.c_proj",
        "queries": "transformer.h.1.attn.c_attn", "activation": "transformer.h.1.mlp.act", "block": "transformer.h.1",
        "norm": "transformer.ln_f", "stack": "transformer", "output": "lm_head", "network": "",
    },
    "gpt_neox": {
        "embedding": "gpt_neox.embed_in", "attention": f"{_NEOX}.attention.dense", "block": _NEOX,
        "queries": f"{_NEOX}.attention.query_key_value", "norm": "gpt_neox.final_layer_norm", "stack": "gpt_neox",
        "output": "lm_head",
    },
    "llama": {
        "embedding": "model.embed_tokens", "attention": "model.layers.1.self_attn.o_proj", "block": "model.layers.1",
        "norm": "model.norm", "stack": "model", "output": "lm_head", "network": "",
    },
    "t5": {
        "embedding": "encoder.embed_tokens", "attention": f"{_T5}.0.SelfAttention.o",
        "activation": f"{_T5}.1.DenseReluDense.act",
        "block": "encoder.block.1", "norm": "encoder.final_layer_norm", "decoder's embedding": "decoder.embed_tokens",
        "decoder's block": "decoder.block.1", "crossing": "decoder.block.1.layer.1.EncDecAttention.o",
        "decoder's norm": "decoder.final_layer_norm", "decoder": "decoder", "output": "lm_head", "network": "",
    },
    "bart": {
        "embedding": "model.encoder.embed_tokens", "attention": f"{_BART}.self_attn.out_proj", "block": _BART,
        "decoder's block": "model.decoder.layers.0", "middle": "model", "output": "lm_head",
    },
}  # fmt: skip


def give(network: Any, tokenizer: Any, **further: Any) -> Given:
    _, given = take_given({"pretrained": network, "tokenizer": tokenizer, **further})
    assert given is not None
    return given


def changed(output: Any, change) -> Any:
    """What a module gives, with its first tensor changed."""
    if isinstance(output, Tensor):
        return change(output)
    if isinstance(output, tuple):
        return (change(output[0]), *output[1:])
    name = next(iter(output))
    output[name] = change(output[name])
    return output


def hook(network: Any, place: str, change) -> None:
    network.get_submodule(place).register_forward_hook(lambda _module, _args, output: changed(output, change))


def bend(vectors: Tensor) -> Tensor:
    """Change every value by its own sign and every second component, so that no norm undoes it."""
    return vectors + 0.5 * vectors.clamp(min=0) * (torch.arange(vectors.shape[-1]) % 2)


def at_five(vectors: Tensor) -> Tensor:
    return torch.cat([vectors[:, :5], vectors[:, 5:6] + 1.0, vectors[:, 6:]], dim=1)


def at_the_end(vectors: Tensor) -> Tensor:
    return torch.cat([vectors[:, :-1], bend(vectors[:, -1:])], dim=1)


def configs_of(data_dir) -> list[Any]:
    def make(model: str, task: str, scheme: str, **settings: str) -> Any:
        return make_config(data_dir, model, task, scheme, settings, limit="2", num_fewshot=0)

    return [
        make("dist_gen", "hellaswag_dg", "cross_encoding"),
        make("dist_gen", "hellaswag_dg", "sentence_level_segmentation", WORD_AGG_SCHEME="mean", ENCODING_LAYER="1"),
        make(
            "dist_sim", "hellaswag_d", "concat_each_example",
            WORD_AGG_SCHEME="w1mean", ENCODING_LAYER="-1", SIMILARITY_FUNC="cosine_sim",
        ),
    ]  # fmt: skip


def assert_all_agree(model: LanguageModel, data_dir, kinds: tuple[int, ...] = (0, 1, 2)) -> list[float]:
    found = []
    for config in [configs_of(data_dir)[kind] for kind in kinds]:
        evaluations = evaluate([config], model, Execution())
        assert_agrees(evaluations[0], judge(config, model))
        found += scores_of(evaluations)
    return found


@functools.cache
def unpatched_scores(family: str, data_dir) -> list[float]:
    model = give(*tiny_model(family, max_length=LENGTH)).wrap()
    return scores_of([one for config in configs_of(data_dir)[:2] for one in evaluate([config], model, Execution())])


@pytest.mark.parametrize(("family", "place"), [(family, place) for family in PLACES for place in PLACES[family]])
def test_a_hook_anywhere_acts_as_in_the_plain_pass(family, place, data_dir):
    network, tokenizer = tiny_model(family, max_length=LENGTH)
    hook(network, PLACES[family][place], bend)
    model = give(network, tokenizer).wrap()
    assert model.care == "whole"
    # what transformers lists of the last layer, it has taken before a hook on the stack changes what that gives
    patched = assert_all_agree(model, data_dir, (0, 1) if place == "stack" else (0, 1, 2))
    unpatched = unpatched_scores(family, data_dir)
    assert patched[: len(unpatched)] != pytest.approx(unpatched, rel=1e-3)


@pytest.mark.parametrize("family", ["gpt2", "t5"])
@pytest.mark.parametrize(("change", "care"), [(at_five, "whole"), (at_the_end, "alone")])
def test_a_hook_at_a_place_of_the_text_finds_it_there(family, change, care, data_dir):
    network, tokenizer = tiny_model(family, max_length=LENGTH)
    hook(network, PLACES[family]["block"], change)
    model = give(network, tokenizer).wrap()
    assert model.care == care
    assert_all_agree(model, data_dir)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_a_hook_at_a_place_of_the_logits_finds_it_there(family, data_dir):
    network, tokenizer = tiny_model(family, max_length=LENGTH)
    hook(network, "lm_head", lambda logits: torch.cat([logits[:, :30], logits[:, 30:] * 1.5], dim=1))
    assert_all_agree(give(network, tokenizer).wrap(), data_dir)


@pytest.mark.parametrize("family", ["gpt2", "llama", "t5"])
def test_what_goes_into_a_block_is_what_comes_before_its_own_hooks(family, data_dir):
    network, tokenizer = tiny_model(family, max_length=LENGTH)
    block = network.get_submodule(PLACES[family]["block"])
    block.register_forward_pre_hook(lambda _module, args: (bend(args[0]), *args[1:]))
    assert_all_agree(give(network, tokenizer).wrap(), data_dir)


class Doubled(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return changed(self.inner(*args, **kwargs), lambda vectors: 2 * vectors)


def test_a_module_of_the_callers_own_and_a_forward_in_anothers_place_act_too(data_dir):
    network, tokenizer = tiny_model("gpt2", max_length=LENGTH)
    network.transformer.h[1].attn = Doubled(network.transformer.h[1].attn)
    found = [assert_all_agree(give(network, tokenizer).wrap(), data_dir)]
    network, tokenizer = tiny_model("gpt2", max_length=LENGTH)
    attention = network.transformer.h[1].attn
    own = attention.forward
    attention.forward = lambda *args, **kwargs: changed(own(*args, **kwargs), lambda vectors: 2 * vectors)
    model = give(network, tokenizer).wrap()
    assert model.care == "whole"
    found.append(assert_all_agree(model, data_dir))
    assert found[0] == pytest.approx(found[1])


def test_hooks_on_all_modules_of_a_process_count_as_code_of_the_callers():
    with nn.modules.module.register_module_forward_hook(lambda _module, _args, _output: None):
        assert give(*tiny_model("gpt2")).wrap().care == "whole"
    assert give(*tiny_model("gpt2")).wrap().care == "fast"


def test_an_adapter_acts_and_stays(data_dir):
    network, tokenizer = tiny_model("llama", max_length=LENGTH)
    with torch.random.fork_rng(devices=[]):
        adapted = get_peft_model(network, LoraConfig(target_modules=["q_proj", "v_proj"], init_lora_weights=False))
    model = give(adapted.get_base_model(), tokenizer).wrap()
    assert model.care == "fast"
    found = assert_all_agree(model, data_dir)
    with adapted.disable_adapter():
        assert assert_all_agree(model, data_dir) != pytest.approx(found, rel=1e-3)


@pytest.mark.parametrize("family", [*DECODER_ONLY, *ENCODER_DECODER])
def test_every_family_passes_its_trials_with_a_hook(family):
    network, tokenizer = tiny_model(family)
    network.get_output_embeddings().register_forward_hook(lambda _module, _args, output: 1.5 * output)
    assert give(network, tokenizer).wrap().care == "whole"


@pytest.mark.parametrize("family", ["gpt2", "bloom", "mistral", "t5", "bart", "cohere"])
def test_a_network_as_it_was_loaded_runs_as_fast_as_one_of_a_folder(family):
    given = give(*tiny_model(family)).wrap()
    assert (given.care, given.family) == ("fast", wrap_model(*tiny_model(family), name="x").family)


def add_noise(vectors: Tensor) -> Tensor:
    return vectors + torch.randn(vectors.shape)


def fail_without_tokens(_module: nn.Module, _args: Any, kwargs: Any) -> None:
    kwargs["input_ids"].shape  # noqa: B018


@pytest.mark.parametrize("family", ["gpt2", "bart"])
def test_what_cannot_be_respected_is_refused_with_the_reason(family):
    network, tokenizer = tiny_model(family)
    hook(network, PLACES[family]["block"], add_noise)
    message = (
        rf"it can't be used as it is \(code of yours: a hook on {re.escape(PLACES[family]['block'])}\): two equal "
    )
    with pytest.raises(ConfigurationError, match=message + r"passes give equal values, but values differ by"):
        give(network, tokenizer).wrap()
    network, tokenizer = tiny_model(family)
    network.register_forward_pre_hook(lambda _module, args: args)
    with pytest.raises(ConfigurationError, match=r"was put on the whole \w+, which isn't called where segments become"):
        give(network, tokenizer).wrap()
    network, tokenizer = tiny_model(family)
    network.base_model.register_forward_pre_hook(fail_without_tokens, with_kwargs=True)
    expected = "on model .BartModel., which isn't" if family == "bart" else "KeyError|AttributeError"
    with pytest.raises(ConfigurationError, match=expected):
        give(network, tokenizer).wrap()


def wrongs() -> dict[str, dict[str, Any]]:
    """What is given beside a network that would do, in its place, or in its tokenizer's."""
    network, tokenizer = tiny_model("llama")
    lacking = tiny_model("llama")[0]
    lacking.model.embed_tokens = Doubled(lacking.model.embed_tokens)
    adapted = get_peft_model(tiny_model("llama")[0], LoraConfig(target_modules=["q_proj"]))
    return {
        "no tokenizer": {"tokenizer": None},
        "a name": {"tokenizer": "gpt2"},
        "a backend": {"tokenizer": tokenizer.backend_tokenizer},
        "a tokenizer alone": {"pretrained": "gpt2"},
        "a module": {"pretrained": nn.Linear(1, 1)},
        "an adapter": {"pretrained": adapted},
        "a model of ours": {"pretrained": wrap_model(network, tokenizer, name="x")},
        "no output": {"pretrained": AutoModel.from_config(network.config)},
        "no matrix": {"pretrained": lacking},
        "dtype": {"dtype": "float16"},
        "bits": {"load_in_8bit": True, "revision": "main"},
        "peft": {"peft": adapted},
        "spread": {"device_map": "auto"},
    }


MESSAGES = {
    "no tokenizer": "tokenizer must be its tokenizer, loaded too, but it is missing; give AutoTokenizer.from_pret",
    "a name": "loaded too, but got an object of the class str; give AutoTokenizer",
    "a backend": "loaded too, but got an object of the class Tokenizer",
    "a tokenizer alone": "goes with a loaded network only, but pretrained is 'gpt2'",
    "a module": "got an object of the class Linear; give what from_pretrained returns",
    "an adapter": "got an object of the class PeftModel; give its get_base_model()",
    "a model of ours": "got an object of the class LanguageModel; give its network and its tokenizer",
    "no output": "got a LlamaModel, which has no output embeddings; load it by AutoModelForCausalLM",
    "no matrix": "the input embeddings of the LlamaForCausalLM (class Doubled) have no matrix",
    "dtype": "dtype=float16: such keys say how a model is loaded, but pretrained is a network that is loaded already",
    "bits": "revision=main, load_in_8bit=True: such keys",
    "peft": "peft, a PeftModel: such keys",
    "spread": "device_map=auto: such keys",
}


@pytest.mark.parametrize("case", MESSAGES)
def test_a_wrong_call_is_refused_with_what_is_wrong_and_what_to_do(case):
    network, tokenizer = tiny_model("llama")
    with pytest.raises(ConfigurationError, match=re.escape(MESSAGES[case])) as caught:
        take_given({"pretrained": network, "tokenizer": tokenizer, **wrongs()[case]})
    assert len(str(caught.value)) < 400


def test_keys_of_loading_that_say_nothing_are_let_through():
    network, tokenizer = tiny_model("gpt2")
    plain, given = take_given(
        {"pretrained": network, "tokenizer": tokenizer, "dtype": None, "load_in_8bit": False, "NORM": "L2"}
    )
    assert given is not None
    assert plain == {"pretrained": given.name, "NORM": "L2"}


@pytest.mark.parametrize("device", ["cuda:7", "meta", "nowhere"])
def test_another_device_than_the_networks_is_refused(device):
    given = give(*tiny_model("gpt2"))
    message = (
        f"device={device}: the loaded network lies on cpu, and is used where it lies; leave device out, or move it"
    )
    with pytest.raises(ConfigurationError, match=message):
        given.wrap(device)
    assert given.wrap("cpu").device.type == "cpu"


def test_a_network_without_weights_and_a_compiled_one_are_refused():
    network, tokenizer = tiny_model("gpt2")
    network.compile(backend="eager")
    with pytest.raises(ConfigurationError, match=r"GPT2LMHeadModel is compiled.* leave compile\(\) out"):
        give(network, tokenizer)
    with pytest.raises(ConfigurationError, match=r"have no weights here \(device meta\)"):
        give(tiny_model("gpt2")[0].to("meta"), tokenizer)


def test_a_network_that_runs_alone_has_batches_of_one_row(data_dir):
    model = replace(give(*tiny_model("gpt2", max_length=LENGTH)).wrap(), care="alone")
    (evaluation,) = evaluate(configs_of(data_dir)[2:], model, Execution(batch_size=8))
    assert evaluation.record.batches["most_rows"] == 1


def entering(data_dir, layer: str) -> Any:
    settings = {"WORD_AGG_SCHEME": "chunk3", "ENCODING_LAYER": "1", "DECODING_LAYER": layer}
    return make_config(data_dir, "dist_gen", "hellaswag_dg", "concat_each_example", settings, limit="2")


@pytest.mark.parametrize("place", [None, "attention", "block", "embedding"])
@pytest.mark.parametrize("family", ["gpt2", "llama", "gpt_neox"])
def test_vectors_enter_at_a_block_of_a_network_with_hooks(family, place, data_dir):
    network, tokenizer = tiny_model(family, max_length=LENGTH)
    if place is not None:
        hook(network, PLACES[family][place], bend)
    model = give(network, tokenizer).wrap()
    assert model.care == ("fast" if place is None else "whole")
    for config in [entering(data_dir, layer) for layer in ("0", "same", "2")]:
        check_against_model(config, facts_of(model))
        assert_agrees(*evaluate([config], model, Execution()), judge(config, model))


def blend(vectors: Tensor) -> Tensor:
    """Give every position the mean of those up to it."""
    return vectors.cumsum(1) / torch.arange(1, vectors.shape[1] + 1).unsqueeze(1)


def test_vectors_enter_nowhere_behind_a_hook_that_carries_what_they_hide(data_dir):
    network, tokenizer = tiny_model("llama", max_length=LENGTH)
    hook(network, "model.layers.1", blend)
    model = give(network, tokenizer).wrap()
    for layer in ("0", "1"):
        assert_agrees(
            *evaluate([entering(data_dir, layer)], model, Execution()), judge(entering(data_dir, layer), model)
        )
    with pytest.raises(RunError, match="DECODING_LAYER=2: what stands behind hidden positions changes with them"):
        evaluate([entering(data_dir, "2")], model, Execution())


def test_vectors_enter_nowhere_behind_a_forward_that_takes_no_mask(data_dir):
    network, tokenizer = tiny_model("llama", max_length=LENGTH)
    own = network.model.layers[0].forward
    network.model.layers[0].forward = lambda *args, **kwargs: changed(own(*args, **kwargs), bend)
    with pytest.raises(RunError, match="its blocks take no attention mask, so DECODING_LAYER can't hide the context"):
        evaluate([entering(data_dir, "1")], give(network, tokenizer).wrap(), Execution())


def test_what_a_hook_lets_positions_see_behind_them_scores_no_text(data_dir):
    network, tokenizer = tiny_model("llama", max_length=LENGTH)
    hook(network, "model.layers.1", lambda vectors: vectors - vectors.mean(1, keepdim=True))
    model = give(network, tokenizer).wrap()
    assert (model.care, model.attends_both_ways) == ("alone", True)
    assert_all_agree(model, data_dir, (2,))
    with pytest.raises(ConfigurationError, match="its positions see what is behind them, so it predicts no text"):
        evaluate(configs_of(data_dir)[:1], model, Execution())


@pytest.mark.parametrize("hooked", [False, True])
def test_a_network_whose_blocks_look_tokens_up_is_given_tokens(hooked, data_dir):
    network, tokenizer = tiny_model("gemma4_text", max_length=LENGTH)
    if hooked:
        hook(network, "lm_head", lambda logits: 1.5 * logits)
    model = give(network, tokenizer).wrap()
    assert (model.reads_tokens, model.runs_whole) == (True, hooked)
    assert_all_agree(model, data_dir, (0, 2))

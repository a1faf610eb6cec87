"""Weights that don't fill the model, or more than fill it, and adapters that aren't the model's."""

import json
import re
import shutil

import pytest
import torch
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from safetensors.torch import load_file, save_file

from lm_eval.config.checkpoint import Checkpoint
from lm_eval.config.run_config import RunConfig
from lm_eval.config.settings import VectorSettings
from lm_eval.encoding.text_encoder import encode
from lm_eval.errors import ConfigurationError
from lm_eval.inference.loading import load_model
from lm_eval.inference.reference import score_choice
from lm_eval.models.compatibility import check_against_model
from lm_eval.models.families import FAMILIES
from lm_eval.models.info import read_facts
from tests.support.tiny_models import save_tiny, tiny_model

LONG = "How to bake bread. Mix the flour with the water, let the dough rest and then bake it in the oven."


def change(folder, **fields):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
    return folder


def load(folder, **options):
    return load_model(str(folder), dtype="float32", device="cpu", **options)


@pytest.mark.parametrize(
    ("family", "fields", "message"),
    [
        ("gpt2", {"n_layer": 2}, "the checkpoint has 3 blocks in h, but its config asks for 2"),
        ("llama", {"num_hidden_layers": 2}, "the checkpoint has 3 blocks in layers, but its config asks for 2"),
        ("t5", {"num_layers": 2}, "the checkpoint has 3 blocks in encoder.block, but its config asks for 2"),
        ("opt", {"num_hidden_layers": 2}, "the checkpoint has 3 blocks in decoder.layers, but its config asks for 2"),
        ("gpt2", {"n_layer": 4}, "not complete: 12 of the model's tensors are missing (transformer.h.3"),
        ("gpt2", {"n_positions": 512}, "transformer.wpe.weight has the shape 128 x 32 in the checkpoint, but its"),
    ],
)  # fmt: skip
def test_a_config_of_another_checkpoint_is_refused_with_what_differs(family, fields, message, tmp_path):
    folder = change(save_tiny(family, tmp_path / family), **fields)
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        load(folder)


def test_tensors_without_a_place_are_named(tmp_path, caplog):
    folder = save_tiny("gpt2", tmp_path / "gpt2")
    tensors = load_file(folder / "model.safetensors")
    save_file({**tensors, "vision.weight": torch.zeros(2)}, folder / "model.safetensors", metadata={"format": "pt"})
    assert load(folder).num_layers == 3
    assert "1 tensors of the checkpoint have no place in the model (vision.weight)" in caplog.text


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    """A model, and an adapter of it that changes what it gives."""
    made = tmp_path_factory.mktemp("adapter")
    folder = save_tiny("gpt2", made / "gpt2")
    network, _ = tiny_model("gpt2")
    torch.manual_seed(0)
    lora = LoraConfig(
        r=2, target_modules=["c_attn"], init_lora_weights=False, task_type="CAUSAL_LM", fan_in_fan_out=True
    )
    get_peft_model(network, lora).save_pretrained(made / "right")
    return folder, made / "right"


@pytest.mark.parametrize("kind", ["foreign", "partial", "empty"])
def test_an_adapter_that_is_not_wholly_the_models_is_refused(kind, adapter, tmp_path):
    folder, right = adapter
    shutil.copytree(right, tmp_path / kind)
    tensors = load_file(right / "adapter_model.safetensors")
    kept = {
        "foreign": {name.replace("transformer.h", "model.layers"): tensor for name, tensor in tensors.items()},
        "partial": dict(list(tensors.items())[:2]),
        "empty": {},
    }[kind]
    save_file(kept, tmp_path / kind / "adapter_model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConfigurationError, match=rf"peft={tmp_path / kind}: .*it lacks \d tensors"):
        load(folder, checkpoint=Checkpoint(peft=str(tmp_path / kind)))


def test_an_adapter_of_the_model_changes_it(adapter):
    folder, right = adapter
    plain, changed = load(folder), load(folder, checkpoint=Checkpoint(peft=str(right)))
    weights = [model.network.transformer.h[0].attn.c_attn.weight for model in (plain, changed)]
    assert not torch.equal(*weights)


@pytest.mark.parametrize("family", ["t5", "mt5", "umt5"])
def test_a_head_of_its_own_is_not_scaled(family, tmp_path):
    """As in EleutherAI's pile-t5."""
    folder = save_tiny(family, tmp_path / family)
    weights = load_file(folder / "model.safetensors")
    head = 0.3 * torch.randn(weights["shared.weight"].shape, generator=torch.Generator().manual_seed(1))
    save_file({**weights, "lm_head.weight": head}, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config.pop("scale_decoder_outputs", None)
    (folder / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": False}))
    model, choice = load(folder), (20, 21, 22)
    with torch.no_grad():
        memory = model.encoder(torch.tensor([[5, 6, 7, 8]])).last_hidden_state
        inputs = torch.tensor([[model.start_token, *choice[:-1]]])
        hidden = model.decoder(input_ids=inputs, encoder_hidden_states=memory).last_hidden_state[0]
        rows = (hidden @ head.T).log_softmax(-1)
        expected = float(rows.gather(1, torch.tensor(choice)[:, None]).sum())
        assert score_choice(model, memory[0], choice, bare=False) == pytest.approx(expected, rel=1e-5)


BOTH_WAYS = [("llama", "is_causal", False), ("qwen3", "is_causal", False), ("mistral_full", "is_causal", False),
             ("gemma3_text", "use_bidirectional_attention", True)]  # fmt: skip


@pytest.mark.parametrize(("family", "key", "value"), BOTH_WAYS)
def test_a_model_that_attends_both_ways_gives_vectors_that_no_neighbour_changes(family, key, value, tmp_path):
    folder = change(save_tiny(family, tmp_path / family), **{key: value})
    model = load(folder)
    short = "A boy holds a kite."
    alone, beside = (next(encode(texts, model=model, word_agg_scheme="mean")) for texts in ([short], [short, LONG]))
    ids = torch.tensor([model.tokenizer(short)["input_ids"]])
    with torch.no_grad():
        plain = model.network(ids, output_hidden_states=True).hidden_states[-1][0].mean(0).numpy()
    assert alone == pytest.approx(plain, abs=2e-5)
    assert beside == pytest.approx(plain, abs=2e-5)


@pytest.mark.parametrize(("family", "key", "value"), BOTH_WAYS)
def test_a_model_that_attends_both_ways_scores_no_text(family, key, value, tmp_path):
    folder = change(save_tiny(family, tmp_path / family), **{key: value})
    facts = read_facts(str(folder))
    for kind, task, scheme in (("dist_gen", "hellaswag_dg", "cross_encoding"), ("hf", "hellaswag", None)):
        config = RunConfig(model=kind, pretrained=str(folder), task=task, encoding_scheme=scheme)
        with pytest.raises(ConfigurationError, match=f"so it predicts no text and {kind} can't score any"):
            check_against_model(config, facts)


@pytest.mark.parametrize("name", ["LlamaModel", "LlamaForSequenceClassification", "LlamaForTokenClassification"])
def test_a_checkpoint_of_another_head_scores_no_text(name, tmp_path):
    folder = change(save_tiny("llama", tmp_path / "llama"), architectures=[name])
    for kind, task, scheme in (("dist_gen", "hellaswag_dg", "cross_encoding"), ("hf", "hellaswag", None)):
        config = RunConfig(model=kind, pretrained=str(folder), task=task, encoding_scheme=scheme)
        with pytest.raises(
            ConfigurationError, match=rf"its checkpoint is no language model \({name}\), so {kind} can't"
        ):
            check_against_model(config, read_facts(str(folder)))


def test_vectors_are_refused_where_every_layer_looks_tokens_up(tmp_path):
    """As in Gemma 3n and 4."""
    folder = change(save_tiny("llama", tmp_path / "llama"), hidden_size_per_layer_input=8)
    facts = read_facts(str(folder))
    stated = {"model": "dist_gen", "pretrained": str(folder), "task": "hellaswag_dg"}
    vectors = VectorSettings.parse(word_agg_scheme="mean")
    with pytest.raises(ConfigurationError, match="its layers look further embeddings up by token"):
        check_against_model(RunConfig(**stated, encoding_scheme="concat_each_example", vectors=vectors), facts)
    check_against_model(RunConfig(**stated, encoding_scheme="cross_encoding"), facts)


def test_families_that_overflow_in_float16_say_so():
    overflowing = {name for name, family in FAMILIES.items() if family.overflows_in_float16}
    assert overflowing == {"t5", "mt5", "umt5", "gemma2", "gemma3_text", "gemma3", "t5gemma"}


def test_an_adapter_may_hold_whole_matrices_of_the_model_that_were_trained_with_it(adapter, tmp_path):
    folder, right = adapter
    shutil.copytree(right, tmp_path / "with_embeddings")
    path = tmp_path / "with_embeddings" / "adapter_model.safetensors"
    name, plain = "transformer.wte.weight", load(folder).token_embeddings.weight
    save_file({**load_file(path), f"base_model.model.{name}": plain + 1}, path, metadata={"format": "pt"})
    changed = load(folder, checkpoint=Checkpoint(peft=str(tmp_path / "with_embeddings")))
    torch.testing.assert_close(changed.token_embeddings.weight, plain + 1)


def test_an_adapter_that_changes_no_weights_is_refused(adapter, tmp_path):
    folder, _ = adapter
    network, _ = tiny_model("gpt2")
    prompt = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)
    get_peft_model(network, prompt).save_pretrained(tmp_path / "prompt")
    with pytest.raises(ConfigurationError, match="changes no weights, so it can't be merged"):
        load(folder, checkpoint=Checkpoint(peft=str(tmp_path / "prompt")))

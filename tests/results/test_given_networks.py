"""Results of networks that a caller has loaded: never taken for another's, whatever else is in the folder."""

import json
from typing import Any

import pytest
import torch

from lm_eval.analysis.runs import read_runs
from lm_eval.config.run_config import RunConfig
from lm_eval.errors import ConfigurationError
from lm_eval.evaluator import simple_evaluate
from lm_eval.results.folder import ResultsFolder
from lm_eval.results.identity import Resolver, Run, fingerprint
from lm_eval.results.result_file import read_results
from lm_eval.results.table import find_baselines, format_results
from tests.support.tiny_models import save_tiny, tiny_model

TASK = "hellaswag_dg"
HEAD = slice(0, 8)
"""The components of the first attention head."""


def silence(_module: Any, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    states = args[0].clone()
    states[..., HEAD] = 0
    return (states, *args[1:])


def call(data_dir, model_args: Any, **further: Any) -> dict[str, Any]:
    task_args = {"encoding_scheme": "cross_encoding", "data_dir": data_dir}
    named = {"model": "dist_gen", "tasks": TASK, "task_args": task_args, "limit": 3, "log_samples": True, **further}
    return simple_evaluate(model_args=model_args, **named)


def run_of_files(folder, data_dir) -> Run:
    """The same configuration, of a model in a folder."""
    task_args = {"encoding_scheme": "cross_encoding", "data_dir": data_dir}
    config = RunConfig.parse(
        model="dist_gen", model_args={"pretrained": folder}, task=TASK, task_args=task_args, num_fewshot=0, limit=3
    )
    return Resolver()(config, "float32")


def scores_of(result: dict[str, Any]) -> list[list[float]]:
    return [sample["scores"] for sample in result["samples"][TASK]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny("gpt2", tmp_path_factory.mktemp("models") / "tiny-gpt2", max_length=512)


def test_a_silenced_head_gives_other_scores_and_neither_is_taken_for_the_other(folder, data_dir, tmp_path):
    network, tokenizer = tiny_model("gpt2", max_length=512)
    loaded = {"pretrained": network, "tokenizer": tokenizer}
    results = ResultsFolder(tmp_path)
    keep = {"on_result": results.write}
    of_files = call(data_dir, {"pretrained": folder}, **keep)
    whole = call(data_dir, loaded, verify=2, **keep)
    handle = network.transformer.h[1].attn.c_proj.register_forward_pre_hook(silence)
    silenced = call(data_dir, loaded, verify=2, **keep)
    handle.remove()
    again = call(data_dir, loaded, **keep)

    assert scores_of(whole) == scores_of(again)
    assert torch.tensor(scores_of(whole)) == pytest.approx(torch.tensor(scores_of(of_files)), rel=1e-5)
    assert torch.tensor(scores_of(silenced)) != pytest.approx(torch.tensor(scores_of(whole)), rel=1e-3)
    for result in (whole, silenced):
        assert result["verification"][TASK]["largest_difference"] < 1e-4
    identities = [result["identity"][TASK] for result in (of_files, whole, silenced, again)]
    assert len({fingerprint(identity) for identity in identities}) == 4
    assert len(list(tmp_path.glob("*.json"))) == 4

    run = run_of_files(folder, data_dir)
    for seen in (results, ResultsFolder(tmp_path)):
        found = seen.find(run)
        assert found is not None
        assert found.identity["weights"].keys() == {"content"}
        assert len(list(seen)) == 4
    table = read_runs(tmp_path)
    assert (len(table.table), table.num_duplicates) == (4, 0)
    assert len({name for _, name, *_ in find_baselines(ResultsFolder(tmp_path))}) == 4


def test_a_plan_of_the_models_files_takes_no_loaded_networks_result_as_done(folder, data_dir, tmp_path):
    network, tokenizer = tiny_model("gpt2", max_length=512)
    network.name_or_path = str(folder)
    results = ResultsFolder(tmp_path)
    call(data_dir, {"pretrained": network, "tokenizer": tokenizer}, on_result=results.write)
    run = run_of_files(folder, data_dir)
    assert ResultsFolder(tmp_path).find(run) is None
    assert ResultsFolder(tmp_path).find_outdated(run) is None


def test_a_result_states_the_network_by_name_and_class_and_can_be_read(data_dir, tmp_path):
    network, tokenizer = tiny_model("gpt2", max_length=512)
    network.name_or_path = "/models/my,model"
    results = ResultsFolder(tmp_path)
    loaded = {"pretrained": network, "tokenizer": tokenizer, "WORD_AGG_SCHEME": "mean", "ENCODING_LAYER": 0}
    task_args = {"encoding_scheme": "concat_each_example", "data_dir": data_dir}
    result = call(data_dir, loaded, task_args=task_args, on_result=results.write)
    json.dumps(result)
    identity = result["identity"][TASK]
    assert identity["weights"]["loaded"] == "GPT2LMHeadModel given from Python"
    assert len(identity["weights"]["call"]) == 32
    assert identity["dtype"] == "float32"
    name = f"my-model (GPT2LMHeadModel given from Python {identity['weights']['call'][:8]})"
    assert result["config"]["model_args"].endswith(f",pretrained={name}")
    assert "ENCODING_LAYER=0" in result["config"]["model_args"]
    (file,) = tmp_path.glob("*.json")
    (stored,) = read_results(file)
    assert stored.config.pretrained == stored.config.model_name == name
    assert name in format_results([stored])
    assert read_runs(tmp_path).table["model"].tolist() == [name]
    with pytest.raises(ConfigurationError, match="no such model folder"):
        call(data_dir, result["config"]["model_args"], task_args=task_args)


def test_tasks_of_one_call_are_of_one_network(data_dir):
    network, tokenizer = tiny_model("t5", max_length=512)
    loaded = {"pretrained": network, "tokenizer": tokenizer}
    result = call(data_dir, loaded, tasks=[TASK, "webqs_dg"], limit="1")
    calls = {identity["weights"]["call"] for identity in result["identity"].values()}
    assert len(calls) == 1


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_the_tokens_in_front_of_a_loaded_network_are_its_tokenizers(family, data_dir, tmp_path):
    saved = save_tiny(family, tmp_path / "model", max_length=512)
    network, tokenizer = tiny_model(family, max_length=512)
    tokenizer.bos_token = "</s>"
    tokenizer.save_pretrained(saved)
    for add in (None, True, False):
        common = {"ADD_BOS": add}
        given = call(data_dir, {"pretrained": network, "tokenizer": tokenizer, **common})
        named = call(data_dir, {"pretrained": saved, **common})
        assert given["identity"][TASK].get("front_tokens") == named["identity"][TASK].get("front_tokens")
        assert torch.tensor(scores_of(given)) == pytest.approx(torch.tensor(scores_of(named)), rel=1e-5)
    assert given["identity"][TASK].get("front_tokens") is None


def test_what_does_not_fit_a_loaded_network_is_refused_as_it_is_for_others(data_dir):
    network, tokenizer = tiny_model("llama", max_length=512)
    loaded = {"pretrained": network, "tokenizer": tokenizer}
    vectors = {"encoding_scheme": "concat_each_example", "data_dir": data_dir}
    for model_args, further, message in [
        ({"WORD_AGG_SCHEME": "mean", "ADD_POS": True}, {"task_args": vectors}, "ADD_POS=True: LlamaForCausalLM given"),
        ({"WORD_AGG_SCHEME": "mean", "ENCODING_LAYER": 7}, {"task_args": vectors}, "ENCODING_LAYER=7: out of range"),
        ({"WORD_AGG_SCHEM": "mean"}, {}, "model_args: unknown key WORD_AGG_SCHEM"),
        ({}, {"device": "meta"}, "device=meta: the loaded network lies on cpu"),
        (
            {"NORM": network},
            {},
            "NORM must be text, a number, .* got an object of the class LlamaForCausalLM",
        ),
    ]:
        with pytest.raises(ConfigurationError, match=message) as caught:
            call(data_dir, {**loaded, **model_args}, **further)
        assert len(str(caught.value)) < 400
    network.config.is_causal = False
    with pytest.raises(ConfigurationError, match="its positions see what is behind them"):
        call(data_dir, loaded)


def test_values_of_dicts_may_be_plain_and_mean_what_their_texts_mean(folder, data_dir):
    settings = {"WORD_AGG_SCHEME": "mean", "ENCODING_LAYER": 1, "ADD_POS": True, "NORM": None}
    task_args = {"encoding_scheme": "concat_each_example", "data_dir": data_dir}
    one = call(data_dir, {"pretrained": folder, **settings}, task_args=task_args)
    texts = ",".join(f"{key}={value}" for key, value in {"pretrained": folder, **settings}.items())
    other = call(data_dir, texts, task_args=f"encoding_scheme=concat_each_example,data_dir={data_dir}")
    assert one["identity"] == other["identity"]
    assert one["config"] == other["config"]
    assert scores_of(one) == scores_of(other)

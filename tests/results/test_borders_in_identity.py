"""What an identity states of tokens in front and of blanks between texts: what changes the tokens, and nothing else."""

import shutil

import pytest

from lm_eval.config.run_config import RunConfig
from lm_eval.errors import ConfigurationError
from lm_eval.models.compatibility import check_against_model
from lm_eval.models.info import read_facts
from lm_eval.results.identity import baseline_key, resolve
from lm_eval.results.older_form import is_open_or_equal, upgraded_identity
from tests.support.runs import identify
from tests.support.tiny_models import save_tiny
from tests.support.tokenizer_forms import BEGIN, save_with_tokenizer

KEYS = ("front_tokens", "dummy_prefix", "dropped_behind", "text_borders")
FRONT, PREFIX = {"front_tokens": [BEGIN]}, {"dummy_prefix": "dropped where a text goes on"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = tmp_path_factory.mktemp("models")
    forms = {
        "llama BOS": ("llama", "byte level", "BOS"), "llama plain": ("llama", "byte level", "none"),
        "llama prefix": ("llama", "prepend", "BOS"), "llama EOS": ("llama", "byte level", "EOS"),
        "gpt2 BOS": ("gpt2", "byte level", "BOS"), "gpt2 plain": ("gpt2", "byte level", "none"),
    }  # fmt: skip
    return {name: save_with_tokenizer(made / name.replace(" ", "-"), *form) for name, form in forms.items()}


def config(folder, data_dir, kind="dist_gen", task="hellaswag_dg", scheme="cross_encoding", **settings) -> RunConfig:
    stated = {"pretrained": folder, **settings}
    return RunConfig.parse(
        model=kind, model_args=",".join(f"{key}={value}" for key, value in stated.items()), task=task,
        task_args=f"data_dir={data_dir}" + ("" if scheme is None else f",encoding_scheme={scheme}"), num_fewshot=0,
    )  # fmt: skip


def borders(identity) -> dict:
    assert "ADD_BOS" not in identity["settings"]
    return {key: identity[key] for key in KEYS if key in identity}


@pytest.mark.parametrize(
    ("name", "add_bos", "stated"),
    [
        ("llama BOS", None, FRONT), ("llama BOS", True, FRONT), ("llama BOS", False, {}),
        ("llama plain", None, {}), ("llama plain", False, {}), ("llama plain", True, FRONT),
        ("llama prefix", None, {**FRONT, **PREFIX}), ("llama prefix", False, PREFIX),
        ("gpt2 BOS", None, {}), ("gpt2 BOS", True, FRONT), ("gpt2 BOS", False, {}),
        ("gpt2 plain", None, {}), ("gpt2 plain", True, FRONT),
    ],
)  # fmt: skip
def test_tokens_in_front_are_stated_where_there_are_any(folders, data_dir, name, add_bos, stated):
    assert borders(identify(config(folders[name], data_dir, ADD_BOS=add_bos))) == stated


def test_where_files_do_not_tell_the_values_of_add_bos_stay_apart(folders, data_dir, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(folders["llama BOS"], folder)
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.model").write_bytes(b"of sentencepiece")
    identities = [identify(config(folder, data_dir, ADD_BOS=value)) for value in (None, True, False)]
    assert [identity.get("ADD_BOS") for identity in identities] == [None, "True", "False"]
    assert {identity["text_borders"] for identity in identities} == {"as the tokenizer's code has them"}


def test_configurations_of_the_same_tokens_are_one(folders, data_dir):
    same = [identify(config(folders["llama BOS"], data_dir, ADD_BOS=value)) for value in (None, True)]
    assert same[0] == same[1]
    assert identify(config(folders["llama BOS"], data_dir, ADD_BOS=False)) != same[0]


@pytest.mark.parametrize(("layers", "stated"), [(("E", "OE"), {}), (("E", "1"), FRONT), (("1", "OE"), FRONT)])
def test_where_nothing_is_read_nothing_stands_in_front(folders, data_dir, layers, stated):
    settings = {"WORD_AGG_SCHEME": "mean", "SIMILARITY_FUNC": "dot_product"}
    named = {"ENCODING_LAYER": layers[0], "OUT_ENCODING_LAYER": layers[1]}
    compared = config(
        folders["llama BOS"], data_dir, "dist_sim", "hellaswag_d", "concat_all_examples", **settings, **named
    )
    assert borders(identify(compared)) == stated


@pytest.mark.parametrize(
    ("name", "task", "stated"),
    [
        ("llama BOS", "hellaswag", FRONT), ("llama prefix", "hellaswag", {**FRONT, **PREFIX}),
        ("gpt2 plain", "hellaswag", {}), ("llama EOS", "hellaswag", {}), ("gpt2 BOS", "webqs", FRONT),
    ],
)  # fmt: skip
def test_ordinary_scores_that_were_wrong_are_outdated_and_others_are_not(folders, data_dir, name, task, stated):
    assert borders(identify(config(folders[name], data_dir, "hf", task, None))) == stated


def test_a_baseline_belongs_to_runs_of_the_same_tokens_in_front(folders, data_dir):
    keys = {value: baseline_key(config(folders["llama BOS"], data_dir, ADD_BOS=value)) for value in (None, True, False)}
    assert len(set(keys.values())) == 3
    run = config(folders["llama BOS"], data_dir, scheme="concat_all_examples", WORD_AGG_SCHEME="mean", ADD_BOS=False)
    assert baseline_key(run) == keys[False]


def refuse(run: RunConfig) -> None:
    check_against_model(run, read_facts(run.pretrained, run.revision, run.checkpoint))


def test_add_bos_is_refused_where_no_token_can_stand_in_front(folders, data_dir, tmp_path):
    bare = {"WORD_AGG_SCHEME": "mean", "DECODING_SCHEME": "parameterless_attention"}
    run = config(folders["llama BOS"], data_dir, scheme="concat_all_examples", ADD_BOS=True, **bare)
    with pytest.raises(ConfigurationError, match="decodes by attention without parameters, which has no tokens in fro"):
        refuse(run)
    with pytest.raises(ConfigurationError, match="ADD_BOS=False: hf scores text in the ordinary way"):
        config(folders["llama BOS"], data_dir, "hf", "hellaswag", None, ADD_BOS=False)
    refuse(config(folders["llama BOS"], data_dir, ADD_BOS=True))
    assert resolve(config(folders["llama BOS"], data_dir, ADD_BOS=True)).identity["front_tokens"] == [BEGIN]


@pytest.mark.parametrize("value", [True, False])
def test_encoder_decoders_refuse_add_bos(value, data_dir, tmp_path):
    folder = save_tiny("t5", tmp_path / "t5")
    with pytest.raises(ConfigurationError, match=f"ADD_BOS={value}: .* is an encoder-decoder"):
        refuse(config(folder, data_dir, ADD_BOS=value))


@pytest.mark.parametrize(("name", "is_done"), [("llama BOS", False), ("llama prefix", False), ("gpt2 BOS", True)])
def test_a_file_without_an_identity_is_no_result_of_rules_that_came_later(folders, data_dir, name, is_done):
    run = resolve(config(folders[name], data_dir))
    assert is_open_or_equal(upgraded_identity(run.form, run.task.version), run.identity) is is_done

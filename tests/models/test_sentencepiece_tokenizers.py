"""Tokenizers that are a sentencepiece file alone: what they need, what they do, and what an identity says of it."""

import importlib.util
import json
import shutil

import pytest
import sentencepiece

from lm_eval.config.checkpoint import Checkpoint
from lm_eval.config.run_config import RunConfig
from lm_eval.errors import ConfigurationError
from lm_eval.evaluator import simple_evaluate
from lm_eval.inference.loading import load_model
from lm_eval.models.info import read_facts
from lm_eval.models.text_borders import TextBorders, read_borders
from tests.support.runs import identify
from tests.support.sentencepiece_forms import FORMS, save_with_pieces
from tests.support.tiny_models import save_tiny

BORDERS = {
    "llama": TextBorders(front=("<s>",), has_dummy_prefix=True, begin="<s>"),
    "llama without BOS": TextBorders(has_dummy_prefix=True, begin="<s>"),
    "llama without prefix": TextBorders(front=("<s>",), begin="<s>"),
    "llama of nothing else": TextBorders(has_dummy_prefix=True, begin="<s>"),
    "mistral": TextBorders(front=("<s>",), has_dummy_prefix=True, begin="<s>"),
    "mistral of nothing else": TextBorders(has_dummy_prefix=True, begin="<s>"),
    "phi3 with EOS": TextBorders(front=("<s>",), behind=("</s>",), has_dummy_prefix=True, begin="<s>"),
    "gemma2": TextBorders(front=("<bos>",), begin="<bos>"),
    "t5": None,
}
"""What files tell; of T5's class nothing, for an encoder-decoder's borders decide nothing."""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {form: save_with_pieces(folder / form.replace(" ", "-"), form) for form in FORMS}


@pytest.fixture
def without(monkeypatch):
    """Hide packages from whoever looks whether they are installed."""
    find = importlib.util.find_spec

    def hide(*names: str) -> None:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name in names else find(name))

    return hide


@pytest.mark.parametrize("form", FORMS)
def test_files_tell_what_the_loaded_tokenizer_does(form, files):
    folder = files[form].parent
    stated, loaded = read_borders(folder), load_model(str(folder), dtype="float32", device="cpu").borders
    assert stated == BORDERS[form]
    if stated is not None:
        assert loaded == stated


@pytest.mark.parametrize("form", [form for form in FORMS if form != "llama without prefix"])
def test_a_loaded_tokenizer_makes_the_tokens_of_its_file(form, files):
    model = load_model(str(files[form].parent), dtype="float32", device="cpu")
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(files[form]))
    for text in ("A man is in a raft on rough waters.", "the water", "a house\nof the king"):
        (tokens,) = model.tokenize([text], special=False)
        assert model.tokenizer.convert_ids_to_tokens(list(tokens)) == pieces.encode(text, out_type=str)


def test_a_tokenizer_that_cannot_be_held_to_its_file_is_refused(files, tmp_path, monkeypatch):
    monkeypatch.setattr("lm_eval.inference.tokenizer_loading.BLANK", "_")
    message = r"transformers doesn't make the tokens of tokenizer\.model: of 'A man"
    with pytest.raises(ConfigurationError, match=message):
        load_model(str(files["mistral"].parent), dtype="float32", device="cpu")


def test_a_tokenizer_that_does_not_do_what_its_files_say_is_refused(files, monkeypatch):
    monkeypatch.setattr("lm_eval.inference.loading.read_text_borders", lambda *_: TextBorders(front=("<s>",)))
    with pytest.raises(
        ConfigurationError, match=r"in front of a text a blank, by its files <s>\); save a tokenizer\.json"
    ):
        load_model(str(files["llama without BOS"].parent), dtype="float32", device="cpu")


def config(folder, data_dir, **settings) -> RunConfig:
    named = {"pretrained": folder, "dtype": "float32", **settings}
    return RunConfig.parse(
        model="dist_gen", model_args=",".join(f"{key}={value}" for key, value in named.items()), task="hellaswag_dg",
        task_args=f"data_dir={data_dir},encoding_scheme=cross_encoding", num_fewshot=0, limit=2,
    )  # fmt: skip


@pytest.mark.parametrize("form", [form for form in FORMS if form != "t5"])
def test_an_identity_states_what_such_a_tokenizer_does(form, files, data_dir):
    folder, borders = files[form].parent, BORDERS[form]
    stated = {value: identify(config(folder, data_dir, ADD_BOS=value)) for value in (None, True, False)}
    assert stated[None].get("front_tokens", []) == list(borders.front)
    assert stated[True]["front_tokens"] == [borders.begin]
    assert "front_tokens" not in stated[False]
    assert ("dummy_prefix" in stated[None]) is borders.has_dummy_prefix
    assert not any("ADD_BOS" in identity for identity in stated.values())


def test_a_result_has_the_identity_of_the_plan(files, data_dir):
    run = config(files["mistral"].parent, data_dir)
    result = simple_evaluate(
        model="dist_gen", model_args=run.model_args(), tasks="hellaswag_dg", limit=2, device="cpu",
        task_args=f"data_dir={data_dir},encoding_scheme=cross_encoding",
    )  # fmt: skip
    assert result["identity"]["hellaswag_dg"] == identify(run)


@pytest.mark.parametrize("packages", [("sentencepiece",), ("google.protobuf",), ("sentencepiece", "google.protobuf")])
@pytest.mark.parametrize("form", ["t5", "llama"])
def test_packages_that_a_tokenizer_needs_are_named_before_a_run(form, packages, files, without):
    without(*packages)
    names = [package.removeprefix("google.") for package in packages]
    message = (
        rf"{files[form].name} and in no tokenizer.json, .* takes the packages? {' and '.join(names)}; run pip install "
        f"{' '.join(names)}$"
    )
    with pytest.raises(ConfigurationError, match=message):
        read_facts(str(files[form].parent))
    with pytest.raises(ConfigurationError, match="^tokenizer=.*" + message):
        read_facts(str(files["gemma2"].parent), None, Checkpoint(tokenizer=str(files[form].parent)))


def test_a_tokenizer_json_needs_no_package(tmp_path, files, without):
    without("sentencepiece", "google.protobuf", "tiktoken")
    folder = save_tiny("llama", tmp_path / "llama")
    shutil.copy(files["llama"], folder / "tokenizer.model")
    assert read_facts(str(folder)).num_layers == 3


def test_a_vocabulary_of_tiktoken_needs_that_package(tmp_path, without):
    without("tiktoken")
    folder = save_tiny("llama", tmp_path / "llama")
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.model").write_text("IQ== 0\nIg== 1\n")
    with pytest.raises(ConfigurationError, match="takes the package tiktoken; run pip install tiktoken"):
        read_facts(str(folder))


@pytest.mark.parametrize(
    ("settings", "fits"),
    [
        ({"tokenizer_class": "T5Tokenizer"}, False),
        ({"tokenizer_class": "ByT5Tokenizer"}, True),
        ({"auto_map": {}}, True),
    ],
)
def test_settings_without_a_vocabulary_are_no_tokenizer(settings, fits, tmp_path):
    folder = save_tiny("t5", tmp_path / "t5")
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    if fits:
        assert read_facts(str(folder)).name == str(folder)
        return
    with pytest.raises(ConfigurationError, match=r"the folder has no tokenizer \(tokenizer.json, \*.model, "):
        read_facts(str(folder))

"""What files say of the borders of texts is what the loaded tokenizer does."""

import json

import pytest
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from lm_eval.config.checkpoint import Checkpoint
from lm_eval.inference.loading import load_model, wrap_model
from lm_eval.inference.tokenizer_loading import load_tokenizer
from lm_eval.models.text_borders import TextBorders, read_borders
from lm_eval.models.tokenizer_files import read_text_borders
from tests.support.tiny_models import SENTENCES, save_tiny, tiny_model, train_tokenizer
from tests.support.tokenizer_forms import (
    AROUND,
    BEGIN,
    BODIES,
    END,
    HAVE_PREFIX,
    SECOND,
    make_tokenizer,
    save_with_tokenizer,
)

FRONT = {"BOS": (BEGIN,), "BOS and EOS": (BEGIN,), "two in front": (BEGIN, SECOND)}


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("body", BODIES)
def test_files_tell_what_stands_around_a_text(body, around, tmp_path):
    make_tokenizer(body, around).save_pretrained(tmp_path)
    behind = (END,) if "EOS" in around else ()
    stated = read_borders(tmp_path)
    assert stated == TextBorders(
        front=FRONT.get(around, ()), behind=behind, has_dummy_prefix=body in HAVE_PREFIX, begin=BEGIN
    )


@pytest.mark.parametrize(("body", "around"), [("byte level", "BOS"), ("prepend", "two in front"), ("wordpiece", "EOS")])
def test_a_loaded_model_does_what_its_files_tell(body, around, tmp_path):
    folder = save_with_tokenizer(tmp_path / "model", "llama", body, around)
    assert load_model(str(folder), dtype="float32", device="cpu").borders == read_borders(folder)


def test_a_byte_level_tokenizer_without_tokenizer_json_is_read_from_its_settings(tmp_path):
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    assert read_borders(tmp_path) == TextBorders()
    settings = {"add_bos_token": True, "bos_token": {"content": "</s>"}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    assert read_borders(tmp_path) == TextBorders(front=("</s>",), begin="</s>")


def test_the_token_to_begin_with_may_be_named_by_its_id_alone(tmp_path):
    make_tokenizer("byte level", "none").save_pretrained(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "bos_token": None}))
    (tmp_path / "config.json").write_text(json.dumps({"bos_token_id": 3}))
    stated = read_borders(tmp_path)
    assert stated is not None
    assert stated.begin == SECOND


def test_a_tokenizer_that_has_changed_is_read_again(tmp_path):
    make_tokenizer("byte level", "none").save_pretrained(tmp_path)
    assert read_borders(tmp_path).front == ()
    make_tokenizer("byte level", "BOS").save_pretrained(tmp_path)
    assert read_borders(tmp_path).front == (BEGIN,)


def test_what_cannot_be_read_is_left_to_loading(tmp_path):
    assert read_text_borders(str(tmp_path), None, Checkpoint()) is None
    (tmp_path / "tokenizer.json").write_text("{")
    assert read_text_borders(str(tmp_path), None, Checkpoint()) is None


def test_a_tokenizer_of_its_own_is_read_in_the_models_place(tmp_path):
    make_tokenizer("byte level", "BOS").save_pretrained(tmp_path / "other")
    folder = save_tiny("gpt2", tmp_path / "model")
    checkpoint = Checkpoint(tokenizer=str(tmp_path / "other"))
    assert read_text_borders(str(folder), None, checkpoint).front == (BEGIN,)


@pytest.mark.parametrize("name", ["GPT2Tokenizer", "GPTNeoXTokenizerFast", "Qwen2Tokenizer", "PreTrainedTokenizerFast"])
@pytest.mark.parametrize("step", ["NFC", "NFKC", "Lowercase", "BOS"])
def test_the_steps_of_the_file_hold_whatever_transformers_makes_of_them(name, step, tmp_path):
    folder = save_tiny("gpt2", tmp_path / "model")
    stated = Tokenizer.from_str(train_tokenizer(adds_end=False))
    if step == "BOS":
        stated.post_processor = processors.TemplateProcessing(single="</s> $A", special_tokens=[("</s>", 1)])
    else:
        stated.normalizer = getattr(normalizers, step)()
    saved = PreTrainedTokenizerFast(tokenizer_object=stated, eos_token="</s>", pad_token="<pad>", unk_token="<unk>")
    saved.save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "tokenizer_class": name}))
    model = load_model(str(folder), dtype="float32", device="cpu")
    for special in (False, True):
        text = "cafe\u0301 WATER \ufb01ne"
        assert model.tokenize([text], special=special) == [tuple(stated.encode(text, add_special_tokens=special).ids)]


@pytest.mark.parametrize("name", ["GPT2Tokenizer", "Qwen2Tokenizer", "CohereTokenizerFast", "PreTrainedTokenizerFast"])
def test_words_that_no_merges_make_are_tokens_where_the_file_says_so(name, tmp_path):
    stated = json.loads(train_tokenizer(adds_end=False))
    stated["model"]["ignore_merges"] = True
    stated["model"]["vocab"]["\u0120lighthouse"] = len(stated["model"]["vocab"])
    of_file = Tokenizer.from_str(json.dumps(stated))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    (tmp_path / "tokenizer.json").write_text(of_file.to_str())
    settings = {"tokenizer_class": name, "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    tokenizer = load_tokenizer(str(tmp_path), Checkpoint(), {"revision": None})
    text = "the lighthouse in the water"
    assert "\u0120lighthouse" in of_file.encode(text).tokens
    assert tokenizer(text)["input_ids"] == of_file.encode(text).ids


def make_tokenizer_that_makes_blanks_of_line_breaks():
    """Make one in XGLM's form: `</s>` in front, and no tokens of line breaks."""
    tokenizer = Tokenizer(models.Unigram())
    steps = [normalizers.NFKC(), normalizers.Replace("\n", " "), normalizers.Replace(Regex(" {2,}"), " ")]
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="always")
    options = {"vocab_size": 120, "special_tokens": ["<unk>", "</s>"], "unk_token": "<unk>", "show_progress": False}
    tokenizer.train_from_iterator(SENTENCES, trainers.UnigramTrainer(**options))
    tokenizer.post_processor = processors.TemplateProcessing(single="</s> $A", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", unk_token="<unk>")


def test_a_dummy_prefix_is_switched_off_where_line_breaks_become_blanks_too():
    tokenizer = make_tokenizer_that_makes_blanks_of_line_breaks()
    network, _ = tiny_model("llama")
    model = wrap_model(network, tokenizer, name="llama")
    assert model.borders.has_dummy_prefix
    assert model.borders.front == ("</s>",)
    for text in (" the water", "\n\nThe man"):
        alone, joined = model.tokenize(["A raft", "A raft" + text], special=False)
        (behind,) = model.tokenize([text], special=False, goes_on=True)
        assert joined == alone + behind
    (bare,) = model.tokenize(["man"], special=False, goes_on=True)
    assert "".join(tokenizer.convert_ids_to_tokens(bare)) == "man"

"""The tokenizer of a GGUF file cuts texts as the model's own, whatever transformers would make of its vocabulary."""

import pytest

from lm_eval.errors import ConfigurationError
from lm_eval.inference.gguf_weights import tokenizer_from
from lm_eval.models.gguf.header import read_header
from lm_eval.models.gguf.splits import SPLITS
from lm_eval.models.gguf.vocabulary import borders_of, make_tokenizer
from lm_eval.models.text_borders import TextBorders
from tests.support.gguf_files import write_gguf
from tests.support.plain_gguf import sentencepiece_tokens
from tests.support.tiny_models import SENTENCES, tiny_model
from tests.support.tokenizer_forms import BEGIN, END, load_with_tokenizer

TEXTS = (*SENTENCES, "\n", " word", "  two blanks", "été 日本語", "A man's 1234 boats.\n\nHe'll go", "")


def written(folder, body, around, **vocabulary):
    """Write a model with a tokenizer of a form; return the file's header and that tokenizer."""
    model = load_with_tokenizer("llama", body, around)
    path = write_gguf(folder / "m.gguf", model.network, model.tokenizer, vocabulary=vocabulary)
    return read_header(path), model.tokenizer


@pytest.mark.parametrize("around", ["none", "BOS", "EOS", "BOS and EOS"])
@pytest.mark.parametrize("body", ["byte level", "prepend", "sentencepiece without prefix"])
def test_texts_become_the_tokens_of_the_tokenizer_that_was_written(body, around, tmp_path):
    header, own = written(tmp_path, body, around)
    made = tokenizer_from(header)
    for special in (False, True):
        assert [made(text, add_special_tokens=special)["input_ids"] for text in TEXTS] == [
            own(text, add_special_tokens=special)["input_ids"] for text in TEXTS
        ]
    assert (made.bos_token, made.eos_token, made.unk_token) == (own.bos_token, own.eos_token, own.unk_token)


@pytest.mark.parametrize("around", ["none", "BOS", "EOS", "BOS and EOS"])
@pytest.mark.parametrize("body", ["byte level", "prepend", "sentencepiece without prefix"])
def test_the_header_alone_tells_what_stands_around_a_text(body, around, tmp_path):
    header, _ = written(tmp_path, body, around)
    made = make_tokenizer(header)
    assert borders_of(header) == TextBorders.probe(
        lambda text, special: made.encode(text, add_special_tokens=special).tokens, BEGIN
    )
    assert borders_of(header).front == ((BEGIN,) if "BOS" in around else ())
    assert borders_of(header).behind == ((END,) if "EOS" in around else ())


@pytest.mark.parametrize("body", ["prepend", "sentencepiece without prefix"])
def test_pieces_are_joined_by_their_scores_the_best_first(body, tmp_path):
    header, _ = written(tmp_path, body, "none")
    for text in filter(None, TEXTS):
        made = make_tokenizer(header).encode(text, add_special_tokens=False).ids
        assert made == sentencepiece_tokens(header.fields, text)


DEFAULTS = {"add_bos_token": None, "add_space_prefix": None, "add_eos_token": None}


def test_a_file_that_says_nothing_of_bos_means_what_llama_cpp_takes_it_for(tmp_path):
    folders = [tmp_path / name for name in ("a", "b", "c")]
    for folder in folders:
        folder.mkdir()
    sentencepiece, _ = written(folders[0], "prepend", "none", **DEFAULTS)
    assert borders_of(sentencepiece) == TextBorders(front=(BEGIN,), has_dummy_prefix=True, begin=BEGIN)
    assert borders_of(written(folders[1], "byte level", "BOS", **DEFAULTS)[0]).front == ()
    llama3, _ = written(folders[2], "byte level", "none", **DEFAULTS, pre="llama-bpe")
    assert borders_of(llama3).front == (BEGIN,)


WORDS = {
    "gpt-2": ["In", " 2024", ",", " he", "'ll", " pay", " $", "1234567", "\n", "\n", "now", "!!"],
    "smollm": ["In", " ", "2", "0", "2", "4", ",", " he", "'ll", " pay", " $", *"1234567", "\n", "\n", "now", "!!"],
    "llama-bpe": ["In", " ", "202", "4", ",", " he", "'ll", " pay", " $", "123", "456", "7", "\n\n", "now", "!!"],
    "qwen2": ["In", " ", *"2024", ",", " he", "'ll", " pay", " $", *"1234567", "\n\n", "now", "!!"],
    "tekken": ["In", " ", *"2024", ",", " he", "'ll", " pay", " $", *"1234567", "\n\n", "now", "!!"],
    "gpt-4o": ["In", " ", "202", "4", ",", " he'll", " pay", " $", "123", "456", "7", "\n\n", "now", "!!"],
    "falcon": [
        "In",
        " ",
        "202",
        "4",
        ",",
        " he",
        "'",
        "ll",
        " pay",
        " ",
        "$",
        "123",
        "456",
        "7",
        "\n",
        "\n",
        "now",
        "!!",
    ],
    "bloom": ["In", " 2024", ",", " he'll", " pay", " $1234567", "\n\n", "now", "!!"],
}
TEXT = "In 2024, he'll pay $1234567\n\nnow!!"


@pytest.mark.parametrize("pre", WORDS)
def test_words_are_cut_as_the_models_own_tokenizers_cut_them(pre):
    pieces = [TEXT.encode()[start:end].decode() for _, (start, end) in SPLITS[pre].make().pre_tokenize_str(TEXT)]
    assert pieces == WORDS[pre]


def test_every_numeral_is_a_word_of_its_own_where_numbers_are_cut_first():
    text = "a ½ x² Ⅷ\n   ٣4"
    pieces = [text[start:end] for _, (start, end) in SPLITS["smollm"].make().pre_tokenize_str(text)]
    assert pieces == ["a", " ", "½", " x", "²", " ", "Ⅷ", "\n   ", "٣", "4"]  # transformers has " ½" and "\n  ", " ٣4"


def test_a_word_that_is_a_token_stays_whole_where_llama_3_has_it_so(tmp_path):
    model, tokenizer = tiny_model("llama")
    merges = ["a b"]  # so that no merge leads to abc
    fields = {"tokens": ["a", "b", "c", "ab", "abc"], "token_type": [1] * 5, "merges": merges}
    for pre, expected in (("llama-bpe", ["abc"]), ("gpt-2", ["ab", "c"])):
        path = write_gguf(tmp_path / f"{pre}.gguf", model, tokenizer, vocabulary={**fields, "pre": pre})
        assert make_tokenizer(read_header(path)).encode("abc", add_special_tokens=False).tokens == expected


def test_tokens_that_a_file_marks_are_found_whole_in_every_text(tmp_path):
    model, tokenizer = tiny_model("llama")
    own = "<｜begin｜>"  # noqa: RUF001  (characters beyond the byte alphabet, as DeepSeek's)
    texts = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    texts[:3] = [own, texts[1], "<think>"]
    vocabulary = {"tokens": texts, "token_type": [3, 3, 4, *[1] * (len(texts) - 3)]}
    path = write_gguf(tmp_path / "m.gguf", model, tokenizer, vocabulary=vocabulary)
    made = tokenizer_from(read_header(path))
    tokens = made.tokenize(f"a{own}b<think>")
    assert own in tokens
    assert "<think>" in tokens
    assert own not in made.decode(made(f"a{own}<think>")["input_ids"], skip_special_tokens=True)


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"pre": "rwkv-odd"}, r"rule that isn't known here \(tokenizer.ggml.pre = 'rwkv-odd'; known: "),
        ({"pre": None}, r"tokenizer.ggml.pre = 'default'"),
        ({"model": "bert"}, r"is of kind 'bert' \(known: gpt2, llama\)"),
        ({"merges": None}, r"has no merges"),
        ({"merges": ["a bird"]}, r"cannot be made \(.*bird"),
        ({"tokens": [str(number) for number in range(400)]}, r"has 400 tokens, more than the model has embeddings"),
    ],
)
def test_a_tokenizer_that_cannot_be_made_is_refused_with_the_remedy(fields, what, tmp_path):
    model, tokenizer = tiny_model("llama")
    path = write_gguf(tmp_path / "m.gguf", model, tokenizer, vocabulary=fields)
    with pytest.raises(ConfigurationError, match=what + r".*tokenizer=FOLDER in model_args"):
        make_tokenizer(read_header(path))

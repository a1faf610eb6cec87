"""`lm_eval.encode` and `python -m lm_eval encode`: the vectors of the harness itself, for any texts."""

import functools
import json
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

import lm_eval
from lm_eval.cli.evaluate import main
from lm_eval.config.token_aggregation import ACTIVATION_PREFIXES, SINGLE_VECTOR_AGGREGATIONS
from lm_eval.encoding.texts import form_of
from lm_eval.errors import ConfigurationError, DataError, RunError
from lm_eval.inference.loading import wrap_model
from lm_eval.models.language_model import LanguageModel
from tests.support import plain
from tests.support.plain_text import split_sentences
from tests.support.tiny_models import SENTENCES, save_tiny, tiny_model

TOLERANCE = 2e-5
WHOLE, BY_SENTENCE = "concat_all_examples", "sentence_level_segmentation"
SEGMENTS = [
    ["A man is in a raft.", " The man begins paddling."],
    ["Mix the flour.", "", " Bake it.", " Eat."],
    ["One."],
]
SAMPLES = [[["A man.", " A raft."], ["The water is choppy."]], [["Mix the flour."], [""], ["Bake it.", " Eat."]]]
NONE: dict[str, Any] = dict.fromkeys(plain.SETTINGS)


@functools.lru_cache(maxsize=8)
def load(family: str, max_length: int = 256) -> LanguageModel:
    network, tokenizer = tiny_model(family, max_length=max_length)
    return wrap_model(network, tokenizer, name=family)


def samples_of(text: Any, scheme: str) -> list[list[str]]:
    """Cut a text by hand."""
    if isinstance(text, str):
        return [split_sentences(text) if scheme == BY_SENTENCE else [text]]
    samples = [text] if isinstance(text[0], str) else text
    kept = [[segment for segment in sample if segment] for sample in samples]
    return [sample for sample in kept if sample]


def judge(model: LanguageModel, text: Any, settings: dict[str, Any], scheme: str) -> np.ndarray:
    """What the plain implementation makes of one text."""
    slow = plain.Plain(model.network, model.tokenizer)
    context, _ = slow.encode_context(samples_of(text, scheme), {**NONE, **settings})
    return context.detach().numpy()


def random_settings(rnd: random.Random, family: str) -> dict[str, Any]:
    drawn = {
        "WORD_AGG_SCHEME": rnd.choice(ACTIVATION_PREFIXES)
        + rnd.choice((*SINGLE_VECTOR_AGGREGATIONS, "concat", "chunk2")),
        "SEGMENT_AGG_SCHEME": rnd.choice([None, "mean"]),
        "EXAMPLE_AGG_SCHEME": rnd.choice([None, "mean"]),
        "NORM": rnd.choice([None, "L2", "varNorm", "zNorm"]),
        "ENCODING_LAYER": rnd.choice([None, "middle", "E", "0", "1", "-2", "3"]),
    }
    return {**drawn, "ADD_POS": rnd.choice(["True", None])} if family == "gpt2" else drawn


@pytest.mark.parametrize("family", ["gpt2", "t5", "bloom"])
def test_every_setting_gives_the_vectors_of_the_plain_way(family):
    rnd, model = random.Random(family), load(family)
    for _ in range(20):
        texts, scheme = rnd.choice([(SENTENCES, WHOLE), (SENTENCES, BY_SENTENCE), (SEGMENTS, WHOLE), (SAMPLES, WHOLE)])
        settings = random_settings(rnd, family)
        batch_size = rnd.choice([None, 1, 2])
        found = list(lm_eval.encode(texts, model=model, encoding_scheme=scheme, batch_size=batch_size, **settings))
        assert len(found) == len(texts)
        for text, vectors in zip(texts, found, strict=True):
            expected = judge(model, text, settings, scheme)
            assert vectors.dtype == np.float32
            shape = expected.shape if vectors.ndim == 2 else (1, *vectors.shape)
            assert expected.shape == shape, settings
            assert vectors.reshape(shape) == pytest.approx(expected, rel=TOLERANCE, abs=TOLERANCE), settings


def test_order_company_batches_and_windows_change_no_vector(set_windows):
    model, settings = load("t5"), {"word_agg_scheme": "w1mean", "norm": "L2", "encoding_scheme": BY_SENTENCE}
    together = list(lm_eval.encode(SENTENCES, model=model, **settings))
    backwards = list(lm_eval.encode(reversed(SENTENCES), model=model, batch_size=1, **settings))[::-1]
    alone = [next(lm_eval.encode([text], model=model, **settings)) for text in SENTENCES]
    set_windows(1, 1)
    windowed = list(lm_eval.encode(iter(SENTENCES), model=model, **settings))
    for others in (backwards, alone, windowed):
        for one, other in zip(together, others, strict=True):
            assert one == pytest.approx(other, rel=TOLERANCE, abs=TOLERANCE)


def test_a_text_that_is_longer_than_the_model_takes_keeps_its_end_and_is_counted(caplog):
    model = load("gpt2", 16)
    (found,) = lm_eval.encode([SENTENCES[0]], model=model, word_agg_scheme="mean")
    expected = judge(model, SENTENCES[0], {"WORD_AGG_SCHEME": "mean"}, WHOLE)
    assert found == pytest.approx(expected[0], rel=TOLERANCE, abs=TOLERANCE)
    assert "1 segment was longer than the 16 tokens that gpt2 takes and was cut from the left" in caplog.text


def test_endless_texts_are_read_a_window_at_a_time(set_windows):
    set_windows(16, 4)
    read = 0

    def endless():
        nonlocal read
        while True:
            read += 1
            yield f"text {read}"

    vectors = lm_eval.encode(endless(), model=load("gpt2"), word_agg_scheme="mean")
    for _ in range(10):
        next(vectors)
    assert read <= 40


@pytest.mark.parametrize(
    ("settings", "texts", "shape"),
    [
        ({}, SENTENCES, (32,)),
        ({"encoding_scheme": BY_SENTENCE}, SENTENCES[:1], (3, 32)),
        ({"encoding_scheme": BY_SENTENCE}, ["One."], (1, 32)),
        ({"encoding_scheme": BY_SENTENCE, "segment_agg_scheme": "mean"}, SENTENCES, (32,)),
        ({"segment_agg_scheme": "mean"}, SEGMENTS, (32,)),
        ({"segment_agg_scheme": "mean"}, SAMPLES[:1], (2, 32)),
        ({"example_agg_scheme": "mean"}, SAMPLES, (32,)),
        ({}, SEGMENTS[:1], (2, 32)),
    ],
)
def test_settings_and_form_decide_whether_a_text_has_one_vector(settings, texts, shape):
    found = list(lm_eval.encode(texts, model=load("gpt2"), word_agg_scheme="mean", **settings))
    assert {vectors.shape for vectors in found} == {shape}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({}, "WORD_AGG_SCHEME= is missing; choose from mean, w1mean, last, concat"),
        ({"word_agg": "mean"}, "encode: unknown setting 'word_agg'; choose from word_agg_scheme, segment_agg_scheme"),
        ({"word_agg_scheme": "mean", "NORM": "l2"}, "NORM: unknown value 'l2'"),
        ({"word_agg_scheme": "mean", "encoding_layer": 9}, "ENCODING_LAYER=9: out of range"),
        ({"word_agg_scheme": "mean", "WORD_AGG_SCHEME": "mean"}, "WORD_AGG_SCHEME is given twice"),
        ({"word_agg_scheme": "mean", "decoding_scheme": "parameterless_attention"}, "DECODING_SCHEME: nothing is deco"),
        (
            {"word_agg_scheme": "mean", "encoding_scheme": "segment_each_example"},
            "this scheme cannot cut a bare text .*as a list",
        ),
        (
            {"word_agg_scheme": "mean", "encoding_scheme": "cross_encoding"},
            "this scheme cannot cut a bare text; choose from",
        ),
        ({"word_agg_scheme": "mean", "batch_size": 0}, "batch_size must be a positive integer"),
        ({"word_agg_scheme": "mean", "dtype": "float16"}, "encode: dtype: the model is loaded already"),
    ],
)
def test_a_wrong_call_is_refused_before_anything_is_computed(wrong, message):
    with pytest.raises(ConfigurationError, match=message):
        lm_eval.encode(["a"], model=load("gpt2"), **wrong)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["a", ""], r"texts\[1\]: the text is empty, so it has no vector"),
        (
            ["a", ["a"]],
            r"texts\[1\]: the text has the form 'segments', but the first one is 'text'; give all in one form",
        ),
        (["\ud800"], r"texts\[0\]: the text holds half a character"),
    ],
)
def test_a_text_of_no_use_is_told_with_its_place(texts, message):
    with pytest.raises(DataError, match=message):
        list(lm_eval.encode(texts, model=load("gpt2"), word_agg_scheme="mean"))


@pytest.mark.parametrize("text", [7, None, ["a", 7], [["a"], "b"], {"a": "b"}])
def test_what_is_no_text_is_refused(text):
    with pytest.raises(DataError, match=r"here: expected a text, a list of texts \(its segments\) or a list of lists"):
        form_of(text, "here")


def test_a_position_beyond_the_model_is_told_with_the_text():
    with pytest.raises(RunError, match=r"texts\[0\]: ADD_POS=True: a segment starts at token"):
        list(lm_eval.encode([[SENTENCES[0], "a", "b"]], model=load("gpt2", 16), word_agg_scheme="mean", add_pos=True))


def test_a_single_text_is_not_taken_for_a_list_of_letters():
    with pytest.raises(ConfigurationError, match="texts must be a list"):
        lm_eval.encode("text", model=load("gpt2"), word_agg_scheme="mean")


# --- the command line ---


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return save_tiny("gpt2", tmp_path_factory.mktemp("models") / "tiny-gpt2", max_length=256)


def write_lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def encode_file(file: Path, output: Path, checkpoint: Path, *flags: str, settings: str = "") -> int:
    model_args = f"pretrained={checkpoint},WORD_AGG_SCHEME=mean{settings}"
    return main(["encode", str(file), "--model_args", model_args, "--output", str(output), *flags])


def expected_of(checkpoint: Path, texts: list[Any], **settings: Any) -> list[np.ndarray]:
    return list(lm_eval.encode(texts, model=str(checkpoint), word_agg_scheme="mean", **settings))


def test_a_file_of_texts_becomes_parquet_with_a_vector_a_row(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr("lm_eval.encoding.vector_files._ROW_GROUP_BYTES", 300)
    rows = [{"body": text, "key": f"k{number}"} for number, text in enumerate(SENTENCES)]
    file, output = write_lines(tmp_path / "in.jsonl", *rows), tmp_path / "new" / "out.parquet"
    assert encode_file(file, output, checkpoint, "--field", "body", "--id_field", "key") == 0
    table = pq.read_table(output)
    assert table.column("id").to_pylist() == ["k0", "k1", "k2", "k3"]
    assert np.array(table.column("vector").to_pylist(), np.float32) == pytest.approx(
        np.stack(expected_of(checkpoint, list(SENTENCES))), rel=TOLERANCE, abs=TOLERANCE
    )
    assert pq.ParquetFile(output).num_row_groups == 2
    stated = json.loads(table.schema.metadata[b"lm_eval"])
    assert stated["settings"] == {"WORD_AGG_SCHEME": "mean"}
    assert (stated["dtype"], stated["encoding_scheme"], len(stated["weights"]["content"])) == ("float32", WHOLE, 64)
    assert [path.name for path in output.parent.iterdir()] == ["out.parquet"]


def test_texts_of_several_vectors_become_lists_in_parquet_and_offsets_in_safetensors(checkpoint, tmp_path):
    file = write_lines(tmp_path / "in.jsonl", *({"text": segments} for segments in SEGMENTS))
    expected = expected_of(checkpoint, SEGMENTS)
    assert encode_file(file, tmp_path / "out.parquet", checkpoint) == 0
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.column("id").to_pylist() == [1, 2, 3]
    for vectors, wanted in zip(table.column("vectors").to_pylist(), expected, strict=True):
        assert np.array(vectors, np.float32) == pytest.approx(wanted, rel=TOLERANCE, abs=TOLERANCE)
    assert encode_file(file, tmp_path / "out.safetensors", checkpoint) == 0
    with safe_open(tmp_path / "out.safetensors", "np") as stored:
        assert stored.get_tensor("offsets").tolist() == [0, 2, 5, 6]
        assert stored.get_tensor("vectors") == pytest.approx(np.concatenate(expected), rel=TOLERANCE, abs=TOLERANCE)
        assert json.loads(stored.metadata()["lm_eval"])["pretrained"] == str(checkpoint)


def test_safetensors_hold_one_matrix_where_each_text_has_one_vector(checkpoint, tmp_path):
    file = write_lines(tmp_path / "in.jsonl", *({"text": text} for text in SENTENCES))
    settings = ",SEGMENT_AGG_SCHEME=mean,NORM=L2"
    flags = ("--encoding_scheme", BY_SENTENCE)
    assert encode_file(file, tmp_path / "out.safetensors", checkpoint, *flags, settings=settings) == 0
    with safe_open(tmp_path / "out.safetensors", "np") as stored:
        assert list(stored.keys()) == ["vectors"]
        vectors = stored.get_tensor("vectors")
    assert vectors.shape == (4, 32)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(4), abs=1e-6)


@pytest.mark.parametrize(("layer", "width"), [("E", 16), ("1", 32), ("None", 16)])
@pytest.mark.parametrize("ending", ["parquet", "safetensors"])
def test_layers_of_different_width_are_written_as_they_are(ending, layer, width, tmp_path):
    model = save_tiny("opt_narrow", tmp_path / "model")
    texts, output = tmp_path / "texts.jsonl", tmp_path / f"vectors.{ending}"
    texts.write_text('{"text": "One text."}\n{"text": "Another, a longer one."}\n')
    model_args = f"pretrained={model},WORD_AGG_SCHEME=mean,ENCODING_LAYER={layer}"
    assert main(["encode", str(texts), "--model_args", model_args, "--output", str(output)]) == 0
    if ending == "parquet":
        found = np.array(pq.read_table(output)["vector"].to_pylist(), np.float32)
    else:
        found = load_file(output)["vectors"]
    assert found.shape == (2, width)
    network, tokenizer = tiny_model("opt_narrow")
    states = network(**tokenizer("One text.", return_tensors="pt"), output_hidden_states=True).hidden_states
    ids = tokenizer("One text.", return_tensors="pt")["input_ids"]
    expected = {"E": network.get_input_embeddings()(ids), "1": states[1], "None": states[-1]}[layer]
    assert found[0] == pytest.approx(expected[0].mean(0).detach().numpy(), rel=1e-4, abs=1e-5)


def test_what_is_there_is_replaced_only_when_asked_to(checkpoint, tmp_path, capsys):
    file, output = write_lines(tmp_path / "in.jsonl", {"text": "a"}), tmp_path / "out.parquet"
    output.write_text("precious")
    assert encode_file(file, output, checkpoint) == 2
    assert "exists; give --overwrite to replace it, or another name" in capsys.readouterr().err
    assert output.read_text() == "precious"
    assert encode_file(file, output, checkpoint, "--overwrite") == 0
    assert pq.read_table(output).num_rows == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "a"', r"in.jsonl, line 2: not a JSON object \(Expecting ',' delimiter at column 13\)"),
        ('["a"]', "in.jsonl, line 2: expected a JSON object"),
        ('{"txt": "a"}', "line 2: field 'text' is missing; the row has txt; name the one with the text by --field"),
        ('{"text": ""}', "line 2: the text is empty, so it has no vector"),
        ('{"text": ["a"]}', "line 2: the text has the form 'segments', but the first one is 'text'"),
        ('{"text": "\\ud800"}', "line 2: the text holds half a character"),
    ],
)
def test_a_bad_line_is_named_before_a_model_is_loaded(line, message, tmp_path, capsys):
    file = tmp_path / "in.jsonl"
    file.write_text('{"text": "a"}\n' + line + "\n")
    assert encode_file(file, tmp_path / "out.parquet", tmp_path / "no-model") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(message, error), error
    assert not (tmp_path / "out.parquet").exists()


@pytest.mark.parametrize(
    ("name", "flags", "message"),
    [
        ("out.csv", [], "the name must end in one of .parquet, .safetensors"),
        ("out.safetensors", ["--id_field", "id"], "safetensors hold numbers alone"),
        ("out.parquet", ["--id_field", "id"], "line 1: field 'id' is missing; the row has text; name the one"),
        ("out.parquet", ["--batch_size", "x"], "batch_size must be a positive integer"),
        ("out.parquet", ["--encoding_scheme", "words"], "encoding_scheme=words: this scheme cannot cut a bare text"),
    ],
)
def test_a_wrong_command_is_one_message_and_status_2(name, flags, message, checkpoint, tmp_path, capsys):
    file = write_lines(tmp_path / "in.jsonl", {"text": "a"})
    assert encode_file(file, tmp_path / name, checkpoint, *flags) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_file_that_is_missing_or_empty_is_told(checkpoint, tmp_path, capsys):
    assert encode_file(tmp_path / "none.jsonl", tmp_path / "out.parquet", checkpoint) == 2
    assert "none.jsonl: cannot be read (No such file or directory)" in capsys.readouterr().err
    assert encode_file(write_lines(tmp_path / "in.jsonl"), tmp_path / "out.parquet", checkpoint) == 2
    assert "in.jsonl: the file holds no texts" in capsys.readouterr().err


def test_a_failure_in_the_middle_writes_nothing_and_has_status_1(checkpoint, tmp_path, capsys):
    file = write_lines(tmp_path / "in.jsonl", {"text": ["a"]}, {"text": [*10 * list(SENTENCES), "b"]})
    output = tmp_path / "out" / "out.safetensors"
    assert encode_file(file, output, checkpoint, settings=",ADD_POS=True") == 1
    assert "in.jsonl, line 2: ADD_POS=True: a segment starts at token" in capsys.readouterr().err
    assert list(output.parent.iterdir()) == []


@pytest.mark.slow
def test_the_command_runs_as_a_user_calls_it(checkpoint, tmp_path):
    file = write_lines(tmp_path / "in.jsonl", {"text": "a raft"}, {"text": "a house"})
    command = [sys.executable, "-m", "lm_eval", "encode", str(file), "--output", str(tmp_path / "out.parquet")]
    model_args = f"pretrained={checkpoint},WORD_AGG_SCHEME=last"
    ended = subprocess.run([*command, "--model_args", model_args], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == f"2 texts: {tmp_path / 'out.parquet'}\n"
    assert ended.stderr == ""  # no bar where there is no terminal
    assert pq.read_table(tmp_path / "out.parquet").num_rows == 2

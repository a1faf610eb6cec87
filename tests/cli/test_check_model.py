"""`scripts/check_model.py` as a user calls it."""

import runpy
import subprocess
import sys

import pytest

from tests.support.paths import TOP
from tests.support.sentencepiece_forms import save_with_pieces
from tests.support.tiny_models import save_tiny
from tests.support.tokenizer_forms import save_with_tokenizer

SCRIPT = str(TOP / "scripts" / "check_model.py")


def check(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, check=False)


@pytest.fixture
def check_here(monkeypatch, capsys):
    """Run the script in this process, which has imported what takes seconds; return its status and what it prints."""

    def check(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", [SCRIPT, *arguments])
        return runpy.run_path(SCRIPT)["main"](), capsys.readouterr().out

    return check


@pytest.mark.slow
def test_a_model_of_the_table_is_described_and_tried(tmp_path):
    shown = check(str(save_tiny("llama", tmp_path / "llama")))
    assert shown.returncode == 0, shown.stderr
    lines = dict(line.split(maxsplit=1) for line in shown.stdout.splitlines() if line.startswith(("family", "layers")))
    assert lines["family"] == "llama (in the table), decoder-only"
    assert lines["layers"] == "3; hidden states 0 to 3, middle is 2"
    for told in (
        "32 components; 360 rows in the output matrix, 360 tokens",
        "128 tokens",
        "no_context              </s>",
        "bfloat16, about 1.5 GiB: on GPUs of 11 GiB 4 runs a GPU, of 24 GiB 4 runs a GPU",
        "ok      hidden states are numbered as expected",
        "ok      choices stand side by side behind their context",
        "(other)  the cache of a context is repeated for its choices: works too, but isn't used",
        "it fits",
    ):
        assert told in shown.stdout


def test_what_fails_is_told_with_the_reason_and_exit_status_1(check_here, tmp_path):
    status, shown = check_here(str(save_tiny("opt_narrow", tmp_path / "opt")))
    assert status == 1
    assert "FAILED  embeddings are as wide as hidden states: embeddings have 16 components" in shown
    assert "not possible: its learned positions are not as wide as its embeddings" in shown


def test_a_way_that_does_not_suit_a_model_is_told(check_here, tmp_path):
    status, shown = check_here(str(save_tiny("falcon_alibi", tmp_path / "falcon")))
    assert status == 0
    assert "ok      the cache of a context is repeated for its choices" in shown
    assert "(other)  choices stand side by side behind their context: doesn't work for this model" in shown


@pytest.mark.parametrize(
    ("family", "body", "around", "told"),
    [
        ("llama", "prepend", "BOS and EOS", {
            "in front of a text": "<s>, which hf keeps; in the two tests ADD_BOS decides",
            "behind a text": "</s>, which is never kept", "ADD_BOS=None": "<s> (the default)",
            "ADD_BOS=False": "nothing",
            "dummy prefix": "a blank in front of every text; dropped where a text goes on, as in every choice",
            "a choice ' the text'": "'▁the' '▁t' 'e' 'x' 't'", "no_context": "</s>, or what ADD_BOS puts in front",
        }),
        ("opt", "byte level", "BOS", {
            "behind a text": "nothing", "ADD_BOS=None": "nothing, as all families of the paper (the default)",
            "ADD_BOS=True": "<s>", "dummy prefix": "none: a text that goes on is tokenised as any other",
        }),
        ("qwen3", "byte level", "none", {
            "in front of a text": "nothing", "ADD_BOS=None": "nothing (the default)", "ADD_BOS=True": "<s>",
        }),
        ("mistral", "metaspace first", "two in front", {
            "ADD_BOS=None": "<s>, <sop> (the default)", "a segment 'the text'": "'▁the' '▁t' 'e' 'x' 't'",
        }),
    ],
)  # fmt: skip
def test_what_becomes_of_tokens_and_blanks_around_a_text_is_told(check_here, tmp_path, family, body, around, told):
    status, shown = check_here(str(save_with_tokenizer(tmp_path / "model", family, body, around)))
    lines = {line[:24].rstrip(): line[24:] for line in shown.splitlines()}
    assert status == 0
    assert {name: lines[name] for name in told} == told


def test_encoder_decoders_keep_what_their_tokenizer_puts_behind_a_segment(check_here, tmp_path):
    status, shown = check_here(str(save_with_pieces(tmp_path / "t5", "t5").parent))
    assert status == 0
    for told in (
        "behind a text           </s>, which segments get",
        "ADD_BOS                 not possible: it is for decoder-only models",
        "a segment 'the text'    '▁the' '▁t' 'e' 'x' 't' '</s>'",
        "a choice ' the text'    '▁the' '▁t' 'e' 'x' 't'\n",
    ):
        assert told in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["/nowhere"], "pretrained=/nowhere: no such model folder"),
        (["/nowhere", "--model_args", "WORD_AGG_SCHEME=mean"], "error: WORD_AGG_SCHEME=mean: hf scores text in the"),
        (
            ["/nowhere", "--model_args", "load_in_9bit=True"],
            "model_args: unknown key load_in_9bit (did you mean 'load_in_8bit'?)",
        ),
    ],
)
def test_a_wrong_call_ends_in_one_line_and_exit_status_2(arguments, message):
    shown = check(*arguments)
    assert shown.returncode == 2
    assert message in shown.stderr
    assert shown.stderr.count("\n") == 1

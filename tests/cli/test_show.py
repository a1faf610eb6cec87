"""`python -m lm_eval show`: a document as a model gets it."""

import subprocess
import sys
from pathlib import Path

import pytest

from lm_eval.cli.show import main
from tests.support.paths import TOP
from tests.support.tiny_models import save_tiny


def show(capsys, *argv: str) -> tuple[int, str, str]:
    status = main(argv)
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def sections_of(printed: str) -> dict[str, list[str]]:
    """The lines of each scheme, by its first line, and those of the choices."""
    _, *rest = printed.rstrip().split("\n\n")
    return {section.splitlines()[0]: section.splitlines()[1:] for section in rest}


def test_every_scheme_is_shown_once_and_those_that_are_alike_together(data_dir, capsys):
    status, printed, _ = show(capsys, "--task", "hellaswag_dg", "--doc", "1", "--data_dir", str(data_dir))
    assert status == 0
    assert printed.startswith("hellaswag_dg, document 1, 0 shots")
    names = [head.partition(": ")[0] for head in sections_of(printed)]
    assert names[0].startswith("concat_all_examples, concat_each_example, segment_each_example")
    assert names[1:] == ["sentence_level_segmentation", "choices"]


def test_segments_are_counted_in_the_model_s_tokens(data_dir, tmp_path, capsys):
    model = save_tiny("t5", tmp_path / "t5")
    flags = ("--task", "hellaswag_d", "--data_dir", str(data_dir), "--num_fewshot", "1", "--tokens")
    chosen = ("--encoding_scheme", "concat_each_example", "--model_args", f"pretrained={model}")
    status, printed, _ = show(capsys, *flags, *chosen)
    assert status == 0
    (scheme, choices) = sections_of(printed).values()
    (head,) = [head for head in sections_of(printed) if head.startswith("concat_each_example: 2 segments, ")]
    counts = [int(line.split()[0]) for line in scheme if line.startswith("     ") and '"' in line[:10]]
    assert sum(counts) == int(head.split()[-2].replace(",", ""))
    assert [line.strip() for line in scheme if not line.startswith("   ")] == ["sample 1", "query"]
    assert "".join(scheme).count("</s>") == 2
    assert [line[:1] for line in choices if '"' in line].count("*") == 1


def test_without_a_model_characters_are_counted(data_dir, capsys):
    _, printed, _ = show(capsys, "--task", "hellaswag", "--data_dir", str(data_dir))
    (head, _) = sections_of(printed)
    assert head.startswith("hf: 1 segment, ")
    assert head.endswith(" characters")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--task", "hellaswg_dg"], "unknown task 'hellaswg_dg' (did you mean hellaswag_dg?)"),
        (["--task", "hellaswag_dg", "--doc", "999"], "--doc 999: hellaswag_dg has "),
        (["--task", "hellaswag_dg", "--doc", "-1"], "--doc must be a non-negative number, got -1"),
        (["--task", "hellaswag_d", "--encoding_scheme", "cross_encoding"], "dist_sim compares vectors of segments"),
        (["--task", "hellaswag_d", "--model_args", "pretrained=./nowhere"], "no such model folder"),
    ],
)
def test_a_wrong_call_is_one_message_and_status_2(argv, message, data_dir, capsys):
    status, _, errors = show(capsys, *argv, "--data_dir", str(data_dir))
    assert status == 2
    assert message in errors
    assert len(errors.splitlines()) == 1


def test_a_document_is_shown_without_torch(data_dir, tmp_path):
    model = save_tiny("gpt2", tmp_path / "gpt2")
    flags = ["show", "--task", "hellaswag_dg", "--data_dir", str(data_dir), "--model_args", f"pretrained={model}"]
    code = (
        f"import sys; from lm_eval.cli.evaluate import main; status = main({flags!r}); "
        "sys.exit(status or 10 * bool({'torch', 'transformers', 'pandas'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=TOP, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "tokens" in ended.stdout


def test_the_demo_s_models_bring_their_data(capsys):
    path = Path(TOP) / "demo" / "models" / "demo-gpt"
    status, printed, _ = show(capsys, "--task", "hellaswag_dg", "--model_args", f"pretrained={path}")
    assert status == 0
    assert "demo/data/hellaswag/validation.jsonl" in "".join(line.strip() for line in printed.splitlines()[:3])

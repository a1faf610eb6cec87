"""Parsers of command lines: help that fits a terminal, and what may have been meant."""

import pytest

from lm_eval.cli.evaluate import build_parser
from lm_eval.common.arguments import joined, make_parser, wrap_line


@pytest.mark.parametrize("width", [80, 60])
def test_no_line_of_a_help_page_is_wider_than_the_terminal(width, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    page = build_parser().format_help()
    assert max(map(len, page.splitlines())) <= width
    assert "WORD_AGG_SCHEME" in page


def test_a_line_is_wrapped_below_its_text():
    line = "  the model   one two three four"
    assert wrap_line(line, 24) == "  the model   one two\n              three four"
    assert wrap_line("one two three", 8) == "one two\nthree"
    assert wrap_line("", 8) == ""


def test_sentences_are_paragraphs_of_a_help_page_and_lists_keep_their_lines():
    first = "The page shows the walk of one document's vector through layers, and the"
    text = f"{first}\nmargins of all.\n\nexit status: 0 done\nshort line"
    assert joined(text) == [f"{first} margins of all.", "", "exit status: 0 done", "short line"]
    of_list = f"  *.parquet  {first}"
    assert joined(f"{of_list}\n             rest\n  other      {first}\nBoth files") == [
        f"{of_list} rest", f"  other      {first}", "Both files"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--name", "x", "--colums", "y"], "error: unknown flag --colums (did you mean --columns?)"),
        (["--name", "x", "--zzz=1"], "error: unrecognized arguments: --zzz=1"),
        ([], "error: the following arguments are required: --name"),
    ],
)
def test_an_unknown_flag_is_answered_by_the_nearest_and_status_2(argv, message, capsys, monkeypatch):
    parser = make_parser("Does nothing.", "", prog="it")
    parser.add_argument("--name", required=True)
    parser.add_argument("--columns")
    monkeypatch.setattr("sys.argv", ["it", *argv])
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(argv)
    assert ended.value.code == 2
    assert capsys.readouterr().err.splitlines() == [message, "it --help lists all flags"]


def test_a_misspelt_flag_is_named_though_a_required_one_is_missing_for_it(capsys, monkeypatch):
    argv = ["--modl", "dist_sim", "--tasks", "hellaswag_d", "--model_args", "pretrained=x"]
    monkeypatch.setattr("sys.argv", ["it", *argv])
    with pytest.raises(SystemExit):
        build_parser().parse_args(argv)
    assert "unknown flag --modl (did you mean --model?)" in capsys.readouterr().err

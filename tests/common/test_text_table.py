"""Tables of text: what stands above, sections, broken headers and cells."""

import pytest

from lm_eval.common.text_table import Heading, TextTable

SCORE = Heading(name="acc", is_number=True)


def table(*names: str, rows: list[list[str]], early: str = "", late: str = "") -> TextTable:
    def section(name: str):
        return "early" if name == early else "late" if name == late else "never"

    return TextTable([*(Heading(name=name, section=section(name)) for name in names), SCORE], rows)


def test_what_all_rows_agree_in_stands_above_but_never_a_number():
    drawn = table("model", "NORM", rows=[["a", "L2", "0.5"], ["b", "L2", "0.5"]]).draw()
    assert drawn.splitlines() == ["NORM=L2", "model  acc", "──────────", "a      0.5", "b      0.5"]


def test_what_says_nothing_in_any_row_is_left_out():
    assert "NORM" not in table("model", "NORM", rows=[["a", "-", "1"], ["b", "-", "2"]]).draw()


def test_what_says_one_thing_or_nothing_stands_above_with_that():
    assert table("model", "NORM", rows=[["a", "-", "1"], ["b", "L2", "2"]]).draw().startswith("NORM=L2 or -\nmodel")


def test_numbers_stand_to_the_right_below_their_header():
    lines = table("model", rows=[["a", "10.5"], ["bb", "2"]]).draw().splitlines()
    assert lines == ["model   acc", "───────────", "a      10.5", "bb        2"]


def test_without_a_width_a_row_is_a_line_however_wide():
    rows = [[f"{'x' * 100}{number}", f"{'y' * 100}{number}", "1"] for number in range(2)]
    assert len(table("one", "other", rows=rows).draw().splitlines()) == 4


ROWS = [[task, scheme, "0.500 ± 0.100"] for task in ("one", "two") for scheme in ("short", "much_longer_than_that")]


@pytest.mark.parametrize("width", [80, 40, 36, 30])
def test_no_line_is_wider_than_asked_for(width):
    drawn = table("task", "encoding_scheme", rows=ROWS, early="task").draw(width)
    assert max(map(len, drawn.splitlines())) <= width
    assert drawn.count("0.500 ± 0.100") == 4


def test_a_table_that_is_too_wide_is_put_into_sections_with_what_they_agree_in_above():
    drawn = table("task", "encoding_scheme", rows=ROWS, early="task").draw(39)
    assert [line for line in drawn.splitlines() if "=" in line or not line] == ["task=one", "", "task=two"]


def test_in_one_table_rows_keep_their_order_with_texts_below_numbers():
    rows = [["one", "b", "0.9"], ["two", "a", "0.8"], ["one", "a", "0.7"], ["two", "-", "0.6"]]
    assert table("task", "norm", rows=rows, early="task").draw(11).startswith("task=one\n")
    drawn = table("task", "norm", rows=rows, early="task").draw(11, in_one=True).splitlines()
    assert drawn == [
        *("acc", "───", "0.9", "    task=one,", "    norm=b", "0.8", "    task=two,", "    norm=a"),
        *("0.7", "    task=one,", "    norm=a", "0.6", "    task=two"),
    ]
    drawn = table("task", "norm", rows=rows, early="task").draw(20, in_one=True).splitlines()
    assert [line.split()[-1] for line in drawn[2:]] == ["0.9", "0.8", "0.7", "0.6"]


def test_cells_are_broken_before_late_sections_and_at_underscores():
    rows = [[scheme, str(norm), "0.5"] for scheme in ("short_one", "first_second") for norm in range(2)]
    broken = table("s", "n", rows=rows, late="s").draw(15).splitlines()
    assert broken[2:5] == ["short_   0  0.5", "one", "short_   1  0.5"]


def test_sections_are_not_made_of_single_rows():
    rows = [["one_two", "0.500"], ["two_three", "0.600"]]
    assert "\n\n" not in table("task", rows=rows, early="task").draw(13)


def test_headers_are_broken_at_underscores_where_that_helps():
    drawn = table("WORD_AGG_SCHEME", rows=[["mean", "1"], ["last", "2"]]).draw(12).splitlines()
    assert drawn[:3] == ["WORD_", "AGG_", "SCHEME  acc"]


def test_wide_characters_count_as_they_are_shown():
    lines = table("model", rows=[["模型", "1"], ["abcd", "2"]]).draw().splitlines()
    assert lines[2:] == ["模型     1", "abcd     2"]

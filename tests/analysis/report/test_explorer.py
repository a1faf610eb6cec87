"""The explorer: runs by column, and the page that filters, draws and lists them."""

import csv
import io
import shlex
from dataclasses import replace

import pandas as pd
import pytest

from lm_eval.analysis.report.assets import packed
from lm_eval.analysis.report.explorer import runs_by_column
from lm_eval.analysis.runs import read_runs
from lm_eval.analysis.scores import add_scores
from lm_eval.config.limit import Limit
from lm_eval.config.run_config import RunConfig
from tests.support.browser import opened
from tests.support.grids import expand, grid
from tests.support.results import BASELINE, put, result_of, table_of

SUMMARY = "document.getElementById('summary').innerText"


def columns_of(*rows: dict) -> dict:
    table = table_of(*({"path": f"results/{number}.json", **row} for number, row in enumerate(rows)))
    return runs_by_column(table, add_scores(table).table)


def texts(content: dict, key: str) -> list[str]:
    (column,) = (column for column in content["texts"] if column["key"] == key)
    return [column["values"][code] for code in column["codes"]]


def test_runs_stand_by_column_with_each_value_once_and_scores_as_whole_numbers():
    content = columns_of({"acc": 0.4, "ENCODING_LAYER": "10"}, {"acc": 0.25, "ENCODING_LAYER": "9"}, BASELINE)
    assert content["num_runs"] == 3
    assert texts(content, "ENCODING_LAYER") == ["10", "9", "-"]
    assert next(c["values"] for c in content["texts"] if c["key"] == "ENCODING_LAYER") == ["9", "10", "-"]
    score = next(column for column in content["scores"] if column["key"] == "chance_corrected")
    assert score["values"] == [6000, 0, None]
    assert content["files"] == ["0.json", "1.json", "2.json"]
    assert content["folders"]["values"] == ["results"]


def test_a_column_keeps_apart_what_is_set_and_what_is_meant_where_nothing_is():
    content = columns_of({"NORM": "L2"}, {"NORM": None})
    column = next(column for column in content["texts"] if column["key"] == "NORM")
    assert [(text, raw) for text, raw in zip(column["values"], column["raw"], strict=True)] == [
        ("L2", "L2"),
        ("none", None),
    ]


@pytest.mark.reference
def test_the_published_study_takes_well_under_a_megabyte(study):
    content = runs_by_column(study.table, add_scores(study.table).table)
    assert content["num_runs"] == len(study.table) > 7000
    assert len(packed(content)) < 500_000


@pytest.mark.slow
def test_a_page_is_under_six_megabytes(report_dir):
    assert (report_dir / "explore.html").stat().st_size < 6_000_000


@pytest.fixture
def explorer(report_dir):
    return report_dir / "explore.html"


@pytest.fixture(scope="module")
def open_page(browser, report_dir):
    with opened(browser, report_dir / "explore.html", end="#score=acc") as page:
        page.wait_for_selector("#table tbody button")
        yield page


@pytest.fixture
def page(open_page):
    """The page with no run left out; tests leave it as they like."""
    open_page.click("#clear")
    open_page.fill(".dt-search input", "")
    open_page.wait_for_function(f"{SUMMARY} === '150 of 150 runs'")
    return open_page


def box(page, group: str, text: str):
    return page.locator(f"#facets [aria-label='{group}'] input[value='{text}']")


@pytest.mark.slow
def test_filters_tell_what_they_would_leave_and_stand_in_the_address(page):
    assert page.evaluate(SUMMARY) == "150 of 150 runs"
    box(page, "model", "some/model-1b").check()
    assert page.evaluate(SUMMARY) == "50 of 150 runs"
    box(page, "scheme", "sentence_level_segmentation").check()
    assert page.evaluate(SUMMARY) == "24 of 150 runs"
    counts = page.locator("#facets [aria-label='model'] label span").all_inner_texts()
    assert counts == ["24", "24", "24"]  # another model's box would bring its runs
    page.wait_for_function("location.hash.includes('encoding_scheme')")
    page.reload()
    page.wait_for_selector("#table tbody button")
    assert page.evaluate(SUMMARY) == "24 of 150 runs"
    page.click("#clear")
    assert page.evaluate(SUMMARY) == "150 of 150 runs"


@pytest.mark.slow
def test_scores_are_chosen_by_numbers_or_by_a_drag_across_the_points(page):
    page.fill("#low", "0.31")
    page.fill("#high", "0.35")
    page.keyboard.press("Tab")
    assert page.evaluate(SUMMARY) == "21 of 150 runs"  # 0.310, 0.312, … 0.350
    page.click("#clear")
    place = page.locator("#strip .nsewdrag").first.bounding_box()
    page.mouse.move(place["x"] + 5, place["y"] + 20)
    page.mouse.down()
    page.mouse.move(place["x"] + place["width"] / 3, place["y"] + 30, steps=5)
    page.mouse.up()
    page.wait_for_function(f"!{SUMMARY}.startsWith('150 ')")
    assert float(page.input_value("#low")) < float(page.input_value("#high"))


@pytest.mark.slow
def test_an_address_with_no_number_where_one_belongs_selects_all_runs(browser, explorer):
    with opened(browser, explorer, end="#low=much&high=") as page:
        page.wait_for_selector("#table tbody button")
        assert page.evaluate(SUMMARY) == "150 of 150 runs"
        assert page.input_value("#low") == ""


@pytest.mark.slow
def test_the_table_is_searched_and_sorted_and_a_run_opens_by_the_keyboard(page):
    page.fill(".dt-search input", "flan relu l2")
    page.wait_for_function(f"!{SUMMARY}.startsWith('150 ')")
    assert page.evaluate(SUMMARY) == "12 of 150 runs"
    place = page.locator("#table thead th").all_inner_texts().index("accuracy")
    page.locator("#table thead th").nth(place).click()
    page.wait_for_timeout(300)
    cells = page.locator(f"#table tbody td:nth-child({place + 1})").all_inner_texts()
    assert cells == sorted(cells, reverse=True)
    page.locator("#table button").first.focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "panel"
    assert "relu|mean" in page.inner_text("#panel")
    page.wait_for_function("location.hash.includes('run=')")


@pytest.mark.slow
def test_the_command_of_a_run_is_of_the_configuration_in_its_file(browser, tmp_path):
    from lm_eval.analysis.report import report_on  # noqa: PLC0415  (seconds to import)

    (config,) = expand(grid(models=["a/b c"], num_fewshot=[3], settings={"WORD_AGG_SCHEME": ["relu|mean"]}))
    config = replace(config, limit=Limit.parse("7:9"))
    put(tmp_path / "results", "one.json", result_of(config))
    page = report_on([tmp_path / "results"], tmp_path / "out").with_name("explore.html")
    with opened(browser, page) as shown:
        shown.click("#table tbody button")
        command, file = shown.locator("#panel pre").all_inner_texts()
    assert file == str(tmp_path / "results" / "one.json")
    words = shlex.split(command)
    flags = dict(zip(words[3::2], words[4::2], strict=True))
    again = RunConfig.parse(
        model=flags["--model"],
        model_args=flags["--model_args"],
        task=flags["--tasks"],
        task_args=flags["--task_args"],
        num_fewshot=int(flags["--num_fewshot"]),
        limit=flags["--limit"],
    )
    assert again == read_config(tmp_path / "results")


@pytest.mark.slow
def test_names_stand_in_the_page_as_they_are(browser, tmp_path):
    from lm_eval.analysis.report import report_on  # noqa: PLC0415  (seconds to import)

    for number, config in enumerate(
        expand(grid(models=["a/<i>one</i>", "a/&amp;"], settings={"WORD_AGG_SCHEME": ["mean"]}))
    ):
        put(tmp_path / "results", f"{number}.json", result_of(config))
    page = report_on([tmp_path / "results"], tmp_path / "out").with_name("explore.html")
    with opened(browser, page) as shown:
        shown.wait_for_selector("#table tbody button")
        for place in ("#strip", "#table", "#facets"):
            written = shown.locator(place).text_content()
            assert "<i>one</i>" in written, place
            assert "&amp;" in written, place


def read_config(folder) -> RunConfig:
    """The only run of a folder, as the table of runs has it."""
    from lm_eval.results.result_file import read_results  # noqa: PLC0415  (beside its only use)

    (stored,) = read_results(folder / "one.json")
    return stored.form


@pytest.mark.slow
def test_the_selection_is_saved_as_csv_in_the_order_of_the_table(page):
    box(page, "shots", "5").check()
    with page.expect_download() as download:
        page.click("#csv")
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text())))
    assert {row["num_fewshot"] for row in rows} == {"5"}
    assert len(rows) == 75
    assert all(row["path"].endswith(".json") for row in rows)


def test_a_baseline_with_its_controls_makes_a_report(tmp_path):
    from lm_eval.analysis.report import report_on  # noqa: PLC0415  (seconds to import)

    results = tmp_path / "results"
    schemes = ["cross_encoding", "no_context"]
    for number, config in enumerate(expand(grid(num_fewshot=[0], encoding_scheme=schemes, settings={}))):
        put(results, f"{number}.json", result_of(config, 0.6 - 0.3 * number))
    page = report_on([results], tmp_path / "out").read_text()
    assert "With the whole context, accuracy is 0.600." in page
    assert "Without any context (the control), accuracy is 0.300." in page
    assert len(read_runs(results).table) == len(pd.read_csv(tmp_path / "out" / "all_runs.csv")) + 1

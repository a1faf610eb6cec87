"""The report's page in a browser: the score's switch, tables, narrow and dark screens, print, and axe-core."""

import re

import plotly.graph_objects as go
import pytest

from lm_eval.analysis.report.drawings import make_drawings
from lm_eval.analysis.report.pictures import take_pictures
from tests.support.browser import PHONE, opened, serious_findings, share_that_differs

pytestmark = pytest.mark.slow

AXES = """() => [...document.querySelectorAll('.plot')].filter((plot) => plot.layout).map((plot) =>
    JSON.stringify(plot.layout).includes('normalised score'))"""
"""Whether each figure that is drawn names the normalised score."""


@pytest.fixture
def report(report_dir):
    return report_dir / "report.html"


@pytest.fixture(scope="module")
def touched(browser, report_dir):
    """The page with its figures drawn, which tests leave as it opens, but for the order of tables."""
    with opened(browser, report_dir / "report.html") as page:
        wait_for_figures(page)
        yield page


def wait_for_figures(page):
    """Touch the first figure, of which there is a picture until then."""
    page.locator(".frame").first.hover()
    page.wait_for_selector(".plot .main-svg")


def wait_for_tables(page):
    """Wait for all tables, which can be searched once they are near."""
    page.wait_for_selector("table")
    for table in page.locator("table").all():
        table.scroll_into_view_if_needed()
    made = "document.querySelectorAll('.dt-search').length"
    page.wait_for_function(f"{made} === document.querySelectorAll('table').length")


@pytest.mark.parametrize("name", ["report.html", "explore.html"])
@pytest.mark.parametrize(("colours", "rules"), [("light", []), ("dark", ["color-contrast"])])
def test_a_page_hinders_nobody_seriously_and_asks_nothing_of_a_network(browser, report_dir, name, colours, rules):
    with opened(browser, report_dir / name, colours=colours) as page:
        wait_for_tables(page)
        assert serious_findings(page, *rules) == []
        assert page.title().endswith(page.inner_text("h1"))
        assert page.get_attribute("html", "lang") == "en"


def test_axe_core_sees_what_hinders(browser, report_dir):
    with opened(browser, report_dir / "explore.html") as page:
        page.wait_for_selector(".dt-search")
        page.evaluate("document.querySelector('h1').style.color = '#cccccc'")
        assert [text.partition(":")[0] for text in serious_findings(page, "color-contrast")] == ["color-contrast"]


@pytest.mark.parametrize(("colours", "paper"), [("light", "#ffffff"), ("dark", "#16181b")])
def test_a_page_opens_with_pictures_of_figures_that_are_drawn_once_touched(browser, report, colours, paper):
    with opened(browser, report, colours=colours) as page:
        page.wait_for_timeout(1000)  # in which a figure could be drawn
        assert (page.locator("picture").count(), page.evaluate("typeof Plotly")) == (2, "undefined")
        picture = page.locator(".frame").first.screenshot()
        wait_for_figures(page)
        page.mouse.move(0, 0)
        page.wait_for_function("document.querySelectorAll('.hoverlayer > *').length === 0")
        assert page.locator("picture").count() == 1
        assert share_that_differs(page, picture, page.locator(".frame").first.screenshot()) < 0.01  # edges of letters
        assert share_that_differs(page, picture, page.locator(".frame").last.screenshot()) > 0.05
        layout = page.evaluate("document.querySelector('.plot').layout")
        assert layout["paper_bgcolor"] == paper
        assert ("#222222" in str(layout)) is (colours == "light")  # of words


def test_the_switch_puts_figures_in_place_of_pictures_of_the_first_score(browser, report):
    with opened(browser, report) as page:
        page.check("input[value=normalised]")
        page.wait_for_selector(".plot .main-svg")
        assert page.evaluate(AXES)[0]


def test_figures_are_drawn_where_a_viewer_takes_no_scripts_from_addresses(browser, report, tmp_path):
    forbids = """<meta http-equiv="Content-Security-Policy" content="script-src 'unsafe-inline'"></head>"""
    strict = tmp_path / "report.html"
    strict.write_text(report.read_text().replace("</head>", forbids, 1))
    with opened(browser, strict) as page:
        wait_for_figures(page)
        assert page.locator(".plot .main-svg").first.is_visible()


def test_without_kaleido_a_page_draws_its_figures_at_once(browser, report, tmp_path, monkeypatch):
    monkeypatch.setattr("plotly.io._kaleido.kaleido_available", lambda: False)
    drawings = make_drawings({"At a glance": go.Figure(go.Scatter(y=[1, 2]))})
    assert take_pictures(drawings) == {}
    page_without = tmp_path / "report.html"
    page_without.write_text(re.sub(r"(?s)<picture>.*?</picture>", "", report.read_text()))
    with opened(browser, page_without) as page:
        page.wait_for_selector(".plot .main-svg")


def test_the_switch_changes_the_score_of_all_figures_by_the_keyboard(touched):
    assert not any(touched.evaluate(AXES))
    touched.focus("input[value=chance_corrected]")
    touched.keyboard.press("ArrowRight")
    assert touched.evaluate(AXES)[0]
    touched.keyboard.press("ArrowLeft")
    assert not any(touched.evaluate(AXES))
    assert touched.query_selector(".modebar") is None


def test_what_the_legend_hides_stays_hidden_when_the_score_changes(touched):
    hidden = """() => {
        const plot = document.querySelector('.plot');
        const hidden = plot.data.filter((trace) => trace.visible === 'legendonly');
        return hidden.map((trace) => trace.legendgroup || trace.name);
    }"""
    touched.locator(".plot .legendtoggle").first.click()
    touched.wait_for_function(f"({hidden})().length > 0")
    before = set(touched.evaluate(hidden))
    touched.check("input[value=normalised]")
    assert set(touched.evaluate(hidden)) == before
    touched.check("input[value=chance_corrected]")
    assert set(touched.evaluate(hidden)) == before
    touched.locator(".plot .legendtoggle").first.click()
    touched.wait_for_function(f"({hidden})().length === 0")


def test_every_table_is_sorted_by_its_numbers_and_searched(touched):
    wait_for_tables(touched)
    table = touched.locator("section[aria-labelledby=all_runs]")
    place = table.locator("thead th").all_inner_texts().index("acc")

    def accuracies() -> list[float]:
        cells = table.locator(f"tbody tr td:nth-child({place + 1})").all_inner_texts()
        return [float(text.partition(" ")[0]) for text in cells]

    table.locator("thead th").nth(place).locator(".dt-column-order").click()
    assert accuracies() == sorted(accuracies())
    number = len(accuracies())
    table.locator("input[type=search]").fill("model-1b")
    assert 0 < len(accuracies()) < number
    table.locator("input[type=search]").fill("")


def test_a_page_fits_a_phone(browser, report_dir):
    for name in ("report.html", "explore.html"):
        with opened(browser, report_dir / name, size=PHONE) as page:
            page.wait_for_selector(".main-svg, picture")
            assert page.evaluate("document.documentElement.scrollWidth") == PHONE[0]


@pytest.mark.parametrize("is_touched", [False, True])
def test_print_has_all_figures_whole_and_no_buttons(browser, report, is_touched):
    with opened(browser, report, colours="dark") as page:
        if is_touched:
            wait_for_figures(page)
        assert page.locator(".plot:not(:has(.main-svg))").count() > 0  # they are drawn when they come into view
        wait_for_tables(page)
        page.emulate_media(media="print")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert page.locator(".plot:not(:has(.main-svg))").count() == 0
        assert page.evaluate("document.querySelector('.plot').layout.paper_bgcolor") == "#ffffff"
        for element in (".switch", "nav", ".dt-search"):
            assert not page.locator(element).first.is_visible()
        sizes = page.evaluate("[...document.querySelectorAll('.frame')].map((f) => [f.clientHeight, f.scrollHeight])")
        assert all(height <= 900 for height, _ in sizes)

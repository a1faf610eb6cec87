"""Pages in a browser, where the machine has one; without it, tests that look at pages are skipped."""

import shutil
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDE, PHONE = (1440, 900), (390, 844)
_EMPTY = "about:blank"


@contextmanager
def started_browser() -> Iterator[Any]:
    """Start the machine's browser, or skip the test."""
    playwright = pytest.importorskip("playwright.sync_api")
    path = next((found for name in _NAMES if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("no browser on this machine")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=path,
            args=[
                "--no-sandbox",
                "--use-angle=swiftshader",
                "--enable-unsafe-swiftshader",
                "--disable-gpu-rasterization",
                "--disable-gpu-compositing",
            ],
        )
        yield browser
        browser.close()


@contextmanager
def opened(
    window: Any, page: Path, *, size: tuple[int, int] = WIDE, colours: str = "light", end: str = ""
) -> Iterator[Any]:
    """Open a page; errors of its scripts, and what it asks of the network, fail the test.

    The page is loaded anew, in a tab that an earlier page has left empty where there is one: its process has compiled
    plotly.js before, and for a window of its own Chromium would load the parts of its own surface again, all of which
    takes more time than the page.

    Args:
        window: a context of the browser.
        page: the file.
        size: width and height of what is seen of it.
        colours: which ones the page is asked for.
        end: of the address.
    """
    shown = next((tab for tab in window.pages if tab.url == _EMPTY), None) or window.new_page()
    shown.set_viewport_size({"width": size[0], "height": size[1]})
    shown.emulate_media(color_scheme=colours, media="null")
    shown.mouse.move(0, 0)
    errors: list[str] = []
    listeners = {
        "pageerror": lambda error: errors.append(str(error)),
        "request": lambda request: errors.append(request.url) if request.url.startswith("http") else None,
    }
    for event, listener in listeners.items():
        shown.on(event, listener)
    try:
        shown.goto(f"{page.as_uri()}{end}")
        yield shown
    except BaseException:
        shown.close()  # or it would be at work beside the next ones
        raise
    shown.goto(_EMPTY)
    for event, listener in listeners.items():
        shown.remove_listener(event, listener)
    assert errors == []


def share_that_differs(page: Any, *screenshots: bytes) -> float:
    """Return the share of the colours of pixels in which two screenshots differ clearly, by any open page."""
    addresses = [f"data:image/png;base64,{b64encode(one).decode()}" for one in screenshots]
    return float(page.evaluate(_DIFFERENCE, addresses))


_DIFFERENCE = """async (addresses) => {
    const pixels = await Promise.all(addresses.map(async (address) => {
        const image = Object.assign(new Image(), { src: address });
        await image.decode();
        const canvas = new OffscreenCanvas(image.width, image.height).getContext("2d");
        canvas.drawImage(image, 0, 0);
        return canvas.getImageData(0, 0, image.width, image.height).data;
    }));
    const [one, other] = pixels;
    return one.filter((value, place) => !(Math.abs(value - other[place]) < 50)).length / one.length;
}"""


def serious_findings(page: Any, *rules: str) -> list[str]:
    """Return what axe-core finds on a page that hinders people seriously, each with an element that shows it.

    Of each table it looks at five rows: the others are like them, and would take most of its time.

    Args:
        page: an open page.
        rules: of axe-core; all of them where none is named.
    """
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    options = {"resultTypes": ["violations"], **({"runOnly": list(rules)} if rules else {})}
    found = axe.run(page, context={"exclude": [["tbody tr:nth-child(n+6)"]]}, options=options).response["violations"]
    return [
        f"{finding['id']}: {finding['nodes'][0]['html'][:200]}"
        for finding in found
        if finding["impact"] in ("serious", "critical")
    ]

"""The built site in a real browser, cut off from every other host: `make test-site`.

`open_page` opens a page, waits until its mathematics is set, and fails the test at its end if the page wrote to the
console, asked another host for anything, or asked its own for something that is not there.
"""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Page, sync_playwright
from wayfinding import base_path

from site_tests.serving import serve

HTML = Path(__file__).parents[1] / "_build" / "html"
LANDING = "book/index.html"
BROWSERS = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
NO_BROWSER = "no browser found; on Debian: apt-get install chromium; or name yours: make CHROMIUM=/path test-site"
ARGUMENTS = [
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # no other host can be found
    *("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--font-render-hinting=none"),
]
# What Sphinx and the theme write into each page for a reader with a choice of theme, and what they store of it.
CHOOSE_THEME = "localStorage.setItem('mode', '{0}'); localStorage.setItem('theme', '{0}');"
MATHJAX = "**/mathjax/startup.js"
# A page is ready when it has all its files, its fonts, its formulas, and its wide formulas are marked.
READY = """async () => {
    await document.fonts.ready;
    if (window.MathJax?.startup) await window.MathJax.startup.promise;
    await document.fonts.ready;
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
}"""


def built_pages() -> list[str]:
    """The pages of the site, by their paths; not the redirection at its root, nor the theme's own templates."""
    paths = sorted(path.relative_to(HTML) for path in HTML.rglob("*.html") if "_static" not in path.parts)
    return [path.as_posix() for path in paths if path.as_posix() != "index.html"]


def find_browser() -> str:
    named = os.environ.get("CHROMIUM")
    found = shutil.which(named) if named else next(filter(None, map(shutil.which, BROWSERS)), None)
    if not found:
        raise pytest.UsageError(f"CHROMIUM={named}: no such program" if named else NO_BROWSER)
    return found


def pytest_configure(config):
    """Say what is missing once, and before all tests."""
    find_browser()
    if not (HTML / LANDING).is_file():
        raise pytest.UsageError("the site is not built: make book")


def pytest_generate_tests(metafunc):
    """Run each test that takes a `path` for every page."""
    if "path" in metafunc.fixturenames:
        metafunc.parametrize("path", built_pages(), scope="module")


@pytest.fixture(scope="session")
def site():
    """The address of the site, without a slash at its end."""
    with serve(HTML, base_path()) as address:  # the links of 404.html hold under this path alone
        yield address


@pytest.fixture(scope="session")
def pages() -> list[str]:
    return built_pages()


@pytest.fixture(scope="session")
def browser() -> Browser:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=ARGUMENTS)
        yield browser
        browser.close()


def new_context(browser, theme: str, scripts: bool) -> BrowserContext:
    context = browser.new_context(color_scheme=theme, java_script_enabled=scripts, reduced_motion="reduce")
    context.add_init_script(CHOOSE_THEME.format(theme))
    return context


@pytest.fixture(scope="session")
def new_page(browser):
    """A function that opens an empty page: one browser context for each theme, with and without scripts."""
    contexts = {}

    def new(theme: str, scripts: bool) -> Page:
        if (theme, scripts) not in contexts:
            contexts[theme, scripts] = new_context(browser, theme, scripts)
        return contexts[theme, scripts].new_page()

    yield new
    for context in contexts.values():
        context.close()


def watch(page: Page, site: str) -> list[str]:
    """Return the list to which every complaint about the page will be added."""
    problems = []

    def asked(request):
        if not request.url.startswith((site, "data:", "blob:")):
            problems.append(f"asked another host: {request.url}")

    def failed(request):
        withheld = request.failure == "csp"  # by the browser itself, from a page without scripts
        icon = request.failure == "net::ERR_ABORTED" and request.resource_type == "other"  # of a page that was left
        if not (withheld or icon):
            problems.append(f"{request.failure}: {request.url}")

    def answered(response):
        if response.status >= 400:
            problems.append(f"{response.status}: {response.url}")

    def said(message):
        if message.type in ("error", "warning"):
            problems.append(f"console {message.type}: {message.text}")

    page.on("request", asked)
    page.on("response", answered)
    page.on("requestfailed", failed)
    page.on("console", said)
    page.on("pageerror", lambda error: problems.append(f"uncaught: {error}"))
    return problems


def until(page: Page, holds: Callable[[], bool], what: object, *, seconds: float = 20) -> None:
    """Let the page go on until `holds()`; fail when it takes longer than that."""
    last = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < last, f"not within {seconds} s: {what}"
        page.wait_for_timeout(50)


def opener(site, new_page, opened: list):
    def open_page(
        path: str = LANDING,
        *,
        width: int = 1280,
        height: int = 900,
        theme: str = "light",
        scripts: bool = True,
        formulas: bool = True,
        text: str | None = None,
    ) -> Page:
        page = new_page(theme, scripts)
        page.set_viewport_size({"width": width, "height": height})
        opened.append((page, watch(page, site)))
        if not formulas:
            page.route(MATHJAX, lambda route: route.fulfill(body="", content_type="text/javascript"))
        if text is not None:
            html = "text/html; charset=utf-8"
            page.route(f"**/{path.partition('?')[0]}*", lambda route: route.fulfill(body=text, content_type=html))
        page.goto(f"{site}/{path}", wait_until="load")
        if scripts:
            page.evaluate(READY)
        return page

    return open_page


def close(opened: list) -> list[str]:
    """Close the pages; return what they complained of."""
    for page, problems in opened:
        try:
            page.wait_for_load_state("load")
        except Error as error:
            problems.append(str(error))
    complaints = [f"{page.url}: {problem}" for page, problems in opened for problem in problems]
    for page, _ in opened:
        page.close()
    return complaints


@pytest.fixture
def open_page(site, new_page):
    """`open_page(path, *, width=1280, height=900, theme="light", scripts=True)` returns a page that is ready.

    `formulas=False` leaves the formulas as they are written: in a chapter, to set them takes most of the time.
    `text` is what the address shall hold in place of what the site has there.
    """
    opened = []
    yield opener(site, new_page, opened)
    assert close(opened) == []


@pytest.fixture(params=["light", "dark"])
def theme(request) -> str:
    return request.param

"""The site as one file, unpacked into a folder with a space and an umlaut, opened without any server.

In Chromium, and in Firefox where it is installed: formulas, icons, the dial, the cone, the search without its excerpts,
the copy button, and nothing on the console.
"""

import time
import zipfile

import pytest
import takeaway

from site_tests import firefox
from site_tests.conftest import HTML, READY, watch

PAGES = ["index.html", "book/index.html", "book/01_cosine_and_dot_product.html", "book/ja.html", "genindex.html"]
CHAPTER, CONE = "book/04_arbitrary_cosines.html", "book/11_what_your_loss_determines.html"
SEARCH = "search.html?q=softmax"
ICONS = "[...document.fonts].filter((font) => font.family.includes('Font Awesome'))"
LOADED = "[...document.fonts].filter(font => font.status === 'error').map(font => font.family)"


class Chromium:
    """What firefox.Firefox does, by playwright."""

    def __init__(self, browser):
        self.page = browser.new_page()
        self.problems = watch(self.page, "file://")

    def goto(self, address):
        self.page.goto(address)
        if address.endswith(f"/{takeaway.NAME}/index.html"):  # it leads on
            self.page.wait_for_url("**/book/index.html")

    def evaluate(self, expression):
        return self.page.evaluate(f"async () => await ({expression})")

    def press(self, selector):
        self.page.locator(selector).first.click()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("süß 1")
    takeaway.write_zip(HTML, place / "book.zip")
    with zipfile.ZipFile(place / "book.zip") as archive:
        archive.extractall(place)
    return place / takeaway.NAME


@pytest.fixture(scope="module", params=["chromium", "firefox"])
def reader(request, browser):
    if request.param == "chromium":
        yield Chromium(browser)
        return
    program = firefox.find()
    if not program:
        pytest.skip("no Firefox here; on Debian: apt-get install firefox-esr")
    with firefox.running(program) as found:
        yield found


@pytest.fixture
def read(reader, folder):
    """Open a page of the unpacked site; at the end it must have said nothing, and have found all its files."""

    def open_page(name):
        path, _, query = name.partition("?")
        reader.goto((folder / path).as_uri() + (f"?{query}" if query else ""))
        there = "location.pathname.endsWith('/book/index.html') && document.readyState === 'complete'"
        last = time.monotonic() + 60
        while path == "index.html" and not reader.evaluate(there):  # it leads on
            assert time.monotonic() < last, "index.html leads nowhere"
            time.sleep(0.05)
        reader.evaluate(f"({READY})()")
        return reader

    yield open_page
    reader.evaluate(f"({READY})()")  # a font still on its way when the next page comes would be one that failed
    problems, reader.problems[:] = list(reader.problems), []
    assert problems == []


def until(reader, expression):
    """Wait until an expression holds."""
    script = f"new Promise(async (done) => {{ for (let i = 0; i < 100; i++) {{ if ({expression}) return done(true);"
    script += "await new Promise((next) => setTimeout(next, 50)); } done(false); })"
    assert reader.evaluate(script), expression


@pytest.mark.parametrize("name", [*PAGES, CHAPTER])
def test_a_page_shows_its_formulas_and_its_icons(read, name):
    reader = read(name)
    assert reader.evaluate("document.querySelectorAll('mjx-merror').length") == 0
    assert reader.evaluate("document.querySelectorAll('.math').length") == reader.evaluate(
        "document.querySelectorAll('mjx-container').length"
    )
    assert reader.evaluate(LOADED) == []
    assert reader.evaluate(f"{ICONS}.some((font) => font.status === 'loaded')")
    assert reader.evaluate(f"document.querySelectorAll('[href$=\"{takeaway.NAME}.zip\"]').length") == 0
    shown = (
        "[...document.querySelectorAll('button')].filter(b => b.checkVisibility() && b.textContent.trim() === 'Run')"
    )
    assert reader.evaluate(f"{shown}.length") == 0  # it needs a server


def test_the_dial_turns(read):
    reader = read(CHAPTER)
    cosines = "document.querySelector('.cossim-dial .cd-neighbors tbody').textContent"
    before = reader.evaluate(cosines)
    reader.evaluate("document.querySelector('.cossim-dial').dial.set({ exponent: -0.5 })")
    until(reader, f"{cosines} !== {before!r}")


def test_the_cone_closes(read):
    reader = read(CONE)
    cosines = "document.querySelector('.cossim-cone [data-bars=cosines]').textContent"
    before = reader.evaluate(cosines)
    knob = "const knob = document.querySelector('.cossim-cone input[type=range]'); knob.value = knob.min;"
    reader.evaluate(f"(() => {{ {knob} knob.dispatchEvent(new Event('input', {{ bubbles: true }})); }})()")
    until(reader, f"{cosines} !== {before!r}")


def test_the_search_finds_sections_and_asks_for_no_page(read):
    reader = read(SEARCH)
    results = "document.querySelectorAll('#search-results li a')"
    until(reader, f"{results}.length > 5")
    until(reader, "/found/.test(document.querySelector('#search-results').textContent)")
    assert reader.evaluate(f"[...{results}].some((link) => /11_what_your_loss.*#/.test(link.href))")
    reader.evaluate("new Promise((done) => setTimeout(done, 500))")


def test_code_is_copied(read):
    reader = read(CHAPTER)
    seen = "[...document.querySelectorAll('.copybtn')].find((button) => button.checkVisibility())"
    reader.evaluate(f"void ({seen}.id = 'pressed')")
    reader.press("#pressed")
    until(reader, "document.querySelector('#pressed').classList.contains('success')")

"""Cells that run in the page, from the site alone: what comes out is what is stored, and what is not is said.

The site is built with Pyodide's files, or this fails: only RUN_IN_PAGE=no, for `make book` too, says there are none.
"""

import html
import json
import re

import pyodide_files
import pytest
import yaml
from run_in_page import ROOT, TOO_LONG

from site_tests.conftest import HTML, built_pages, close, opener, until
from site_tests.test_pages import OUT_OF_REACH, violations

WITHOUT = pyodide_files.setting() == "no"
with_python = pytest.mark.skipif(WITHOUT, reason="RUN_IN_PAGE=no: this site is built without what runs")
FIRST, LONG = "book/01_cosine_and_dot_product.html", "book/04_arbitrary_cosines.html"
SECONDS = 900  # for a chapter, on a busy machine
SAME = re.compile(r"Ran here in [\d.]+ s: (the same as stored|it shows nothing, as stored)\.")
SLIDERS = re.compile(r"Ran here in [\d.]+ s: move its sliders, below\.")
ENDS = ("Ran here", "Did not run", "Stopped", "Python ended")
BUTTON = "script[src*='run.js']"
# Keep what the page says, to readers and to screen readers, from now on.
LISTEN = """() => {
    window.heard = [];
    const listen = () => document.querySelectorAll(".run-note, .run-spoken").forEach(({ className, textContent }) => {
        const said = `${className.split(" ").at(-1)} ${textContent}`;
        if (!window.heard.includes(said)) window.heard.push(said);
    });
    const all = { childList: true, subtree: true, characterData: true };
    new MutationObserver(listen).observe(document.querySelector(".bd-article"), all);
}"""


def run_pages():
    return [path for path in built_pages() if "_static/run.js" in (HTML / path).read_text(encoding="utf-8")]


def folder():
    version = re.search(r'data-version="(\w+)"', (HTML / FIRST).read_text(encoding="utf-8"))[1]
    return HTML / "run" / version


def bar(page, number):
    return page.locator(".run-bar").nth(number)


def note(page, number):
    return bar(page, number).locator(".run-note").text_content()


def forget(page, number):
    """Let a cell say nothing, so that what it says next is of the run that begins now."""
    bar(page, number).evaluate("(bar) => bar.querySelector('.run-note')?.replaceChildren()")


def press(page, number, word="Run"):
    """Press a button, also of a cell in a fold that is closed."""
    if word == "Run":
        forget(page, number)
    bar(page, number).get_by_role("button", name=word, include_hidden=True).evaluate("(button) => button.click()")


def wait(page, number):
    """Wait until the run of a cell has come to its end: it says how, and has a Run button again."""
    button = bar(page, number).get_by_role("button", include_hidden=True).first
    until(
        page,
        lambda: note(page, number).startswith(ENDS) and button.text_content() == "Run",
        f"the end of cell {number + 1}",
        seconds=SECONDS,
    )
    return note(page, number)


def run(page, number):
    press(page, number)
    return wait(page, number)


def edit(page, number, old, new):
    """Change the code of a cell as a reader does."""
    if bar(page, number).get_by_role("button", name="Edit", include_hidden=True).count():
        press(page, number, "Edit")
    editor = page.locator("div.cell").nth(number).locator("textarea")
    editor.wait_for(state="attached")
    code = editor.input_value()
    assert old in code
    editor.evaluate(
        """(editor, code) => {
            editor.value = code;
            editor.dispatchEvent(new Event("input", { bubbles: true }));
        }""",
        code.replace(old, new, 1),
    )


def number_of(page, code):
    """The number of the first cell whose code holds this text."""
    return page.locator("div.cell .cell_input").evaluate_all(
        "(cells, code) => cells.findIndex((cell) => cell.textContent.includes(code))", code
    )


# What the site holds


@with_python
def test_the_site_is_built_with_what_runs():
    assert (HTML / "run").is_dir(), (
        "no Run buttons: make book says why; RUN_IN_PAGE=no, there and here, if none are meant"
    )


@pytest.mark.skipif(not WITHOUT, reason="this site is built with what runs")
def test_without_pyodide_there_is_no_button_and_no_file():
    assert run_pages() == []
    assert not (HTML / "run").exists()


@with_python
def test_each_listed_page_has_the_script_and_no_other_does():
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    listed = config["sphinx"]["config"]["run_in_page"]
    assert len(listed) >= 10
    assert sorted(run_pages()) == sorted(f"{name}.html" for name in listed)


@with_python
def test_the_stored_code_is_the_code_of_the_page_cell_by_cell():
    for path in run_pages():
        text = (HTML / path).read_text(encoding="utf-8")
        blocks = re.findall(r'<div class="[^"]*\bcell_input\b[^"]*">.*?<pre>(.*?)</pre>', text, re.DOTALL)
        shown = [html.unescape(re.sub(r"<[^>]*>", "", block)).strip() for block in blocks]
        stored = json.loads((folder() / f"{path[5:-5]}.json").read_text(encoding="utf-8"))["cells"]
        assert [cell["source"].strip() for cell in stored] == shown, path


@with_python
def test_every_file_of_pyodide_is_the_pinned_one_and_there_is_no_other():
    pyodide = next((HTML / "run").glob("pyodide-*"))
    assert pyodide_files.missing(pyodide) == []
    names = {file["file"] for file in pyodide_files.files()} | {"pyodide-lock.json"}
    assert {path.name for path in pyodide.iterdir()} == names
    sizes = json.loads((folder() / "files.json").read_text(encoding="utf-8"))["sizes"]
    for name, size in sizes.items():
        assert size == next(path for path in (pyodide / name, folder() / name) if path.exists()).stat().st_size
    assert sum(sizes.values()) <= 53e6
    notices = (folder() / "licenses.txt").read_text(encoding="utf-8")
    assert [package["name"] for package in pyodide_files.pin()["packages"] if package["name"] not in notices] == []


# Where nothing can run


@with_python
def test_without_the_means_there_is_no_button(browser, site):
    for means in ("Worker", "WebAssembly"):
        page = browser.new_page()
        page.add_init_script(f"delete window.{means}")
        page.goto(f"{site}/{FIRST}")
        assert page.locator(BUTTON).count() == 1
        assert page.locator(".run-bar").count() == 0
        page.close()
    page = browser.new_page()
    page.goto((HTML / FIRST).as_uri())
    assert page.locator("div.cell").count() > 0
    assert page.locator(".run-bar").count() == 0
    page.close()


@with_python
def test_before_the_first_press_nothing_is_asked_for_and_on_paper_there_is_no_button(open_page):
    page = open_page(FIRST)
    loaded = page.evaluate("performance.getEntriesByType('resource').map(({ name }) => name)")
    assert [address for address in loaded if "/run/" in address] == []
    assert page.locator(".run-bar:visible").count() > 5
    page.emulate_media(media="print")
    assert page.locator(".run-bar:visible").count() == 0


# A chapter, run from its first cell to its last


@pytest.fixture(scope="module")
def chapter(site, new_page):
    """A function that opens a chapter once, and runs it by a press on its last cell."""
    opened, ran = [], {}

    def get(path):
        if path not in ran:
            page = ran[path] = opener(site, new_page, opened)(path)
            page.evaluate(LISTEN)
            last = page.locator(".run-bar").count() - 1
            press(page, last)
            if path == FIRST:  # stopped while it loads, Python starts anew
                until(page, lambda: "Fetches Python: " in note(page, last), "it loads", seconds=SECONDS)
                press(page, last, "Stop")
                assert wait(page, last).startswith("Stopped.")
                press(page, last)
            wait(page, last)
        return ran[path]

    yield get
    assert close(opened) == []


@with_python
@pytest.mark.parametrize("ran", [FIRST, LONG], ids=["chapter 1", "chapter 4"])
def test_every_output_is_as_stored_figures_too(chapter, ran):
    page = chapter(ran)
    stored = json.loads((folder() / f"{ran[5:-5]}.json").read_text(encoding="utf-8"))["cells"]
    notes = page.locator(".run-note").all_text_contents()
    assert len(notes) == len(stored)
    wrong = [
        (number, text)
        for number, (text, cell) in enumerate(zip(notes, stored), start=1)
        if not (SAME if "texts" in cell else SLIDERS).fullmatch(text)
    ]
    assert wrong == []
    assert sum(cell.get("figures", 0) for cell in stored) >= 2


@with_python
def test_it_says_how_far_it_is_in_words_and_megabytes(chapter):
    heard = chapter(FIRST).evaluate("window.heard")
    came = [re.fullmatch(r"run-note Fetches Python: ([\d.]+) of ([\d.]+) MB\.", each) for each in heard]
    sizes = [(float(each[1]), float(each[2])) for each in came if each]
    assert len(sizes) >= 3
    assert len({total for _, total in sizes}) == 1
    assert max(size for size, _ in sizes) == sizes[0][1]
    cells = chapter(FIRST).locator(".run-bar").count()
    for words in ("Starting Python.", f"Runs the cells above: 1 of {cells - 1}.", "Runs."):
        assert f"run-note {words}" in heard
    aloud = [each for each in heard if each.startswith("run-spoken")]
    assert [each for each in aloud if re.search(r"fetches Python, [\d.]+ megabytes, once", each)]
    assert not [each for each in aloud if " of 4" in each]  # not each megabyte
    assert f"run-spoken Cell {cells}: " in aloud[-1]


@with_python
def test_a_slider_moves_the_figure(chapter):
    page = chapter(FIRST)
    number = number_of(page, "ipywidgets.interact")
    out = page.locator("div.cell").nth(number).locator(".run-out")
    slider, picture = out.get_by_role("slider", name="exponent"), out.locator("img")
    before = picture.get_attribute("src")
    slider.focus()
    page.keyboard.press("ArrowRight")
    until(page, lambda: out.locator("img").get_attribute("src") != before, "another figure", seconds=SECONDS)
    assert slider.get_attribute("aria-valuetext") == out.locator(".run-value").text_content() == "-0.4"


@with_python
def test_an_edited_cell_says_what_differs_and_can_be_restored(chapter):
    page = chapter(FIRST)
    number = number_of(page, "d falls from")
    edit(page, number, "d falls from {d[0]:.3f}", "d falls from {d[0]:.2f}")
    assert re.fullmatch(
        r"Ran here in .* s: not as stored, but 1 of 2 printed lines differs, below\.", run(page, number)
    )
    out = page.locator("div.cell").nth(number).locator(".run-out")
    assert out.locator("mark").all_text_contents() == ["d falls from 0.99 to 0.224"]
    press(page, number, "Restore")
    assert SAME.fullmatch(run(page, number))
    assert out.count() == 0


@with_python
def test_an_arrow_that_moves_is_seen_in_the_figure(chapter):
    page = chapter(FIRST)
    number = page.locator("div.cell").evaluate_all("(cells) => cells.findIndex((cell) => cell.querySelector('img'))")
    assert SAME.fullmatch(run(page, number))
    edit(page, number, "plt.show()", "for ax in figure.axes:\n    ax.set_ylim(-1.6, 1.6)\nplt.show()")
    assert "the figure differs" in run(page, number)
    press(page, number, "Restore")


@with_python
def test_the_keyboard_runs_edits_and_goes_on(chapter):
    page = chapter(FIRST)
    number = number_of(page, "plt.style.use") + 2
    button = bar(page, number).get_by_role("button").first
    button.focus()
    forget(page, number)
    page.keyboard.press("Enter")
    wait(page, number)
    assert button.evaluate("(button) => button === document.activeElement")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    editor = page.locator("div.cell").nth(number).locator("textarea")
    assert editor.evaluate("(editor) => editor === document.activeElement")
    page.keyboard.press("Control+A")
    page.keyboard.type("for n in range(2):\nprint(n / 0)")
    assert editor.input_value() == "for n in range(2):\n    print(n / 0)"
    forget(page, number)
    page.keyboard.press("Shift+Enter")
    assert wait(page, number).endswith("and stopped with an error, below.") or "the error" in note(page, number)
    error = page.locator("div.cell").nth(number).locator(".run-out pre").last.text_content()
    assert error.splitlines()[-2:] == ["line 2", "ZeroDivisionError: division by zero"]
    page.keyboard.press("Tab")
    assert not editor.evaluate("(editor) => editor === document.activeElement")  # no trap


@with_python
@pytest.mark.parametrize(("mode", "width"), [("light", 1280), ("dark", 390)])
def test_what_opens_is_accessible_and_no_wider_than_a_phone(chapter, mode, width):
    page = chapter(FIRST)
    assert page.locator("textarea").count() + page.locator(".run-out").count() >= 2
    page.set_viewport_size({"width": width, "height": 900})
    page.evaluate("(mode) => Object.assign(document.documentElement.dataset, { mode, theme: mode })", mode)
    page.evaluate("document.querySelectorAll('details').forEach((details) => (details.open = true))")
    page.wait_for_timeout(500)
    assert violations(page) == []
    assert page.evaluate(OUT_OF_REACH) == []
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0


@with_python
def test_stop_ends_what_would_never_end(chapter):
    page = chapter(FIRST)
    number = number_of(page, "plt.style.use") + 1
    edit(page, number, "", "while True: pass\n")
    press(page, number)
    until(page, lambda: note(page, number) == "Runs.", "it runs", seconds=SECONDS)
    press(page, number, "Stop")
    assert wait(page, number).startswith("Stopped. The next run starts Python anew.")


@with_python
def test_a_cell_that_is_too_long_says_why():
    for path in run_pages():
        for cell in json.loads((folder() / f"{path[5:-5]}.json").read_text(encoding="utf-8"))["cells"]:
            if "why" in cell:
                assert "texts" not in cell
                assert TOO_LONG not in cell["why"]

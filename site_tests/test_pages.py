"""Every page, in both themes: quiet, typeset, accessible, and no wider than the screen."""

from contextlib import suppress
from functools import cache

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from fontTools.ttLib import TTFont
from playwright.sync_api import TimeoutError

from site_tests.conftest import HTML

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"], "resultTypes": ["violations"]}
WIDTHS = [("light", 1280), ("light", 768), ("light", 390), ("light", 320), ("dark", 390)]
# What does not depend on the theme is looked at in one of them; and colors do not depend on the width.
in_light = pytest.mark.parametrize("theme", ["light"], indirect=True, scope="module")
in_dark = pytest.mark.parametrize("theme", ["dark"], indirect=True, scope="module")

# Two frames, so that observers of sizes have had their turn, and the theme's own delay of 300 ms.
SETTLED = "() => new Promise((done) => setTimeout(() => requestAnimationFrame(() => requestAnimationFrame(done)), 350))"

UNFOLD = "() => document.querySelectorAll('details').forEach((details) => (details.open = true))"
OPEN_SOLUTIONS = """() => {
    document.querySelectorAll(".toggle-button-hidden").forEach((button) => button.click());
    document.querySelectorAll("details").forEach((details) => { details.open = true; });
}"""

# Visible boxes that end beyond the right edge of the window, and that no box around them scrolls.
STICKING_OUT = """() => {
    const width = document.documentElement.clientWidth;
    const scrolls = (box) =>
        box && (/auto|scroll/.test(getComputedStyle(box).overflowX) || scrolls(box.parentElement));
    return [...document.querySelectorAll("body *:not(mjx-container *, pre *, svg *, option)")].filter((box) => {
        const { width: wide, height, right, left } = box.getBoundingClientRect();
        return wide > 1 && height > 1 && right > width + 1 && left < width
            && box.checkVisibility({ opacityProperty: true, visibilityProperty: true }) && !scrolls(box.parentElement);
    }).map((box) => box.outerHTML.slice(0, 120));
}"""

# Boxes that scroll sideways and can be reached neither themselves nor through something inside them.
OUT_OF_REACH = """() => [...document.querySelectorAll(".bd-main *:not(mjx-container *, svg *)")].filter((box) =>
    box.scrollWidth > box.clientWidth + 1 && box.clientWidth > 0
    && /auto|scroll/.test(getComputedStyle(box).overflowX) && box.checkVisibility({ visibilityProperty: true })
    && box.tabIndex < 0 && !box.querySelector("a[href], button, input, select, [tabindex='0']")
).map((box) => box.outerHTML.slice(0, 120))"""

# What MathJax shows: each letter with the files of the fonts that may hold it.
LETTERS = """() => {
    const rules = [...document.styleSheets].flatMap((sheet) => [...sheet.cssRules]);
    const faces = rules.filter((rule) => rule instanceof CSSFontFaceRule).map(({ style }) =>
        ["font-family", "src"].map((name) => style.getPropertyValue(name).replaceAll('"', "")));
    const file = Object.fromEntries(faces.map(([family, source]) => [family, source.match(/[^/]*\\.woff/)?.[0]]));
    const found = new Set();
    for (const box of document.querySelectorAll("mjx-c")) {
        const style = getComputedStyle(box, "::before");
        const files = style.fontFamily.split(", ").map((family) => file[family]).join(" ");
        for (const letter of style.content.slice(1, -1)) found.add(letter + files);
    }
    return [...found];
}"""


def violations(page) -> list[str]:
    """Return what axe finds against WCAG 2.2 A and AA: rule, number of places, the first of them."""
    page.evaluate(AXE_SCRIPT)
    found = page.evaluate("(rules) => axe.run(document, rules)", {**RULES, "preload": False})["violations"]
    return [f"{each['id']}, {len(each['nodes'])} times: {each['nodes'][0]['html'][:200]}" for each in found]


def resize(page, width):
    page.set_viewport_size({"width": width, "height": 900})
    page.evaluate(SETTLED)


@in_light
def test_it_has_one_heading_of_the_first_level(view):
    headings = view.locator("h1:visible")
    assert headings.count() == 1
    assert headings.inner_text().strip()


@in_light
def test_the_mathematics_is_set(view):
    formulas = view.locator(".math").count()
    assert view.locator("mjx-merror, [data-mjx-error]").count() == 0
    assert view.locator("mjx-container").count() >= formulas
    assert not view.evaluate(
        r"() => [...document.querySelectorAll('.math')].filter((box) => !box.querySelector('mjx-math'))"
        ".map((box) => box.textContent)"
    )


@cache
def characters(font: str) -> set[int]:
    return set(TTFont(HTML / "_static/mathjax/output/chtml/fonts/woff-v2" / font).getBestCmap())


@in_light
def test_each_letter_of_the_mathematics_is_in_its_font(view):
    for letter, *fonts in ((found[0], *found[1:].split()) for found in view.evaluate(LETTERS)):
        assert any(ord(letter) in characters(font) for font in fonts), f"{letter} in {fonts}"


@pytest.mark.parametrize(("theme", "width"), WIDTHS, indirect=["theme"], scope="module")
def test_nothing_is_wider_than_the_screen(view, width):
    view.evaluate(UNFOLD)
    resize(view, width)
    assert view.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    assert view.evaluate(STICKING_OUT) == []
    assert view.evaluate(OUT_OF_REACH) == []


@in_light
def test_no_code_and_no_output_scrolls_sideways_on_a_desk(view):
    view.evaluate(UNFOLD)
    resize(view, 1280)
    wide = """() => [...document.querySelectorAll(".bd-article pre")]
        .filter((box) => box.scrollWidth > box.clientWidth + 1)
        .map((box) => `${box.scrollWidth} > ${box.clientWidth}: ${box.textContent.slice(0, 80)}`)"""
    with suppress(TimeoutError):  # a page with all folds open takes its time
        view.wait_for_function(f"({wide})().length === 0", timeout=5_000)
    assert view.evaluate(wide) == []


@in_light
def test_it_is_accessible_on_a_desk_with_all_open(view):
    view.evaluate(OPEN_SOLUTIONS)
    resize(view, 1280)
    assert violations(view) == []


@in_dark
def test_it_is_accessible_on_a_phone_with_all_open(view):
    view.evaluate(OPEN_SOLUTIONS)
    resize(view, 390)
    assert view.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    assert view.evaluate(OUT_OF_REACH) == []
    assert violations(view) == []


def test_figures_stand_on_a_light_card_that_does_not_glare_in_the_dark(view, theme):
    cards = view.locator(".bd-article :is(.cell_output, figure) img:not(.only-light, .only-dark)").evaluate_all(
        "(images) => images.map((image) => [getComputedStyle(image).backgroundColor, getComputedStyle(image).filter])"
    )
    dimmed = {"light": "none", "dark": "brightness(0.78)"}[theme]
    assert set(map(tuple, cards)) <= {("rgb(255, 255, 255)", dimmed)}

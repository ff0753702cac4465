"""Every page, in both themes: quiet, typeset, accessible, light, and no wider than the screen or the paper.

To load a page takes longer than to look at it: each is loaded once, with an empty cache. The tests look at it in the
order in which they stand here: what needs closed folds before what opens them, the light theme before the dark one.
"""

from contextlib import suppress
from functools import cache
from types import SimpleNamespace

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from fontTools.ttLib import TTFont
from playwright.sync_api import TimeoutError

from site_tests.conftest import HTML, LANDING, close, new_context, opener, until

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"], "resultTypes": ["violations"]}
kB = 1_000
WIDTHS = [320, 390, 768, 1280]
# What does not depend on the theme is looked at in one of them; and colors do not depend on the width.
in_light = pytest.mark.parametrize("theme", ["light"], indirect=True)
in_dark = pytest.mark.parametrize("theme", ["dark"], indirect=True)

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


# What takes axe's time, without what it would find twice. Most of a chapter's boxes are letters of formulas, which all
# come from MathJax: all but the first formulas, and those that hold something to click or a color, are empty for this
# time, at their size.
EMPTY_FORMULAS = """() => {
    const own = "a, [href], [tabindex], [role], [id], [style*=color]";
    const formulas = [...document.querySelectorAll("mjx-container:has(> mjx-math)")].slice(20);
    const marked = formulas.filter((formula) => !formula.querySelector(own)).map((formula) => {
        const line = formula.appendChild(document.createElement("span"));
        line.style.cssText = "display: inline-block; width: 0; height: 0";
        return [formula.querySelector(":scope > mjx-math"), line];
    });
    const sizes = marked.map(([math, line]) => {
        const { width, height, bottom } = math.getBoundingClientRect();
        return { width, height, below: bottom - line.getBoundingClientRect().bottom };
    });
    const moved = marked.flatMap(([math, line], i) => {
        const { width, height, below } = sizes[i];
        const spoken = math.parentElement.querySelector(":scope > mjx-assistive-mml");
        const kept = [math, spoken].filter(Boolean).map((box) => [box, box.getAttribute("style"), [...box.childNodes]]);
        kept.forEach(([box]) => box.replaceChildren());
        const size = { width: `${width}px`, height: `${height}px`, verticalAlign: `${-below}px` };
        if (width) Object.assign(math.style, size);
        line.remove();
        return kept;
    });
    window.fillFormulas = () => moved.forEach(([box, style, nodes]) => {
        if (style === null) box.removeAttribute("style");
        else box.setAttribute("style", style);
        box.replaceChildren(...nodes);
    });
}"""
# And most texts look alike: axe compares with its ground the first three of each look. A look is color, size and
# weight, and of all that lies behind it what paints.
LOOKS = """() => {
    const behind = new Map([[null, ""]]), times = new Map();
    const paint = ["backgroundColor", "backgroundImage", "opacity", "filter", "mixBlendMode", "visibility"];
    const ground = (box) => {
        if (!behind.has(box)) {
            const style = getComputedStyle(box), own = paint.map((name) => style[name]).join();
            const below = ground(box.parentElement);
            behind.set(box, below.endsWith(own) ? below : `${below} ${own}`);
        }
        return behind.get(box);
    };
    for (const box of document.querySelectorAll("body *")) {
        if (!/^(INPUT|SELECT|TEXTAREA)$/.test(box.tagName)) {
            if (![...box.childNodes].some((node) => node.nodeType === 3 && node.data.trim())) continue;
            const { color, fontSize, fontWeight, textShadow, position } = getComputedStyle(box);
            const seen = [position, box.checkVisibility(), ground(box)];
            const look = [color, fontSize, fontWeight, textShadow, ...seen].join();
            times.set(look, (times.get(look) ?? 0) + 1);
            if (times.get(look) > 3) continue;
        }
        box.setAttribute("data-look", "");
    }
    axe.configure({ rules: [{ id: "color-contrast", selector: "[data-look]" }] });
}"""
AXE = """async (rules) => {
    const { violations } = await axe.run(document, rules);
    document.querySelectorAll("[data-look]").forEach((box) => box.removeAttribute("data-look"));
    fillFormulas();
    return violations;
}"""


def violations(page) -> list[str]:
    """Return what axe finds against WCAG 2.2 A and AA: rule, number of places, the first of them."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    page.evaluate(EMPTY_FORMULAS)
    page.evaluate(LOOKS)
    found = page.evaluate(AXE, {**RULES, "preload": False})
    return [f"{each['id']}, {len(each['nodes'])} times: {each['nodes'][0]['html'][:200]}" for each in found]


def resize(page, width):
    page.set_viewport_size({"width": width, "height": 900})
    page.evaluate(SETTLED)


def weighed(context, page):
    """Follow what the page loads; return a function that says the bytes of stored figures, and of the rest."""
    network, addresses, sizes = context.new_cdp_session(page), {}, {}

    def asked(event):
        addresses[event["requestId"]] = event["request"]["url"]

    def loaded(event):
        sizes[event["requestId"]] = event["encodedDataLength"]

    def weights():
        page.evaluate("document.querySelectorAll('img').forEach((picture) => (picture.loading = 'eager'))")
        page.wait_for_load_state("networkidle")
        until(page, lambda: addresses.keys() <= sizes.keys(), "each file that the page asked for has come")
        figures = sum(size for each, size in sizes.items() if "/_images/" in addresses[each])
        return figures, sum(sizes.values()) - figures

    network.on("Network.requestWillBeSent", asked)
    network.on("Network.loadingFinished", loaded)
    network.send("Network.enable")
    return weights


@pytest.fixture(scope="module")
def loaded(site, browser, path):
    """The page at `path`, and what it weighs: loaded once, with an empty cache."""
    context, opened, weights = new_context(browser, "light", True), [], []

    def new_page(theme, scripts):
        page = context.new_page()
        weights.append(weighed(context, page))
        return page

    page = opener(site, new_page, opened)(path)
    yield SimpleNamespace(page=page, weights=weights[0])
    complaints = close(opened)
    context.close()
    assert complaints == []


@pytest.fixture
def view(loaded, theme):
    """The page in a theme: a reader presses its button."""
    page = loaded.page
    page.emulate_media(color_scheme=theme)
    for _ in range(3):  # light, dark, as the system has it
        if page.evaluate("document.documentElement.dataset.mode") != theme:
            page.evaluate("document.querySelector('.theme-switch-button').click()")
    assert page.evaluate("document.documentElement.dataset.theme") == theme
    return page


# As it comes, with all its folds closed


@in_light
def test_its_text_and_formulas_weigh_at_most_500_kB(loaded, view, path):
    """The figures of chapters are stored pictures, compared pixel by pixel; they are counted apart."""
    figures, rest = loaded.weights()
    assert rest > 50 * kB  # the scales work
    if path == LANDING:
        assert figures + rest <= 800 * kB
    else:
        assert rest <= 500 * kB
        assert figures <= 900 * kB


@in_light
def test_on_paper_no_code_and_no_table_is_cut_off(view):
    view.emulate_media(media="print")
    resize(view, 718)  # A4 without its margins
    cut_off = view.locator(".bd-article :is(pre, .pst-scrollable-table-container)").evaluate_all("""(boxes) => boxes
        .filter((box) => box.scrollWidth > box.clientWidth + 1 && box.checkVisibility())
        .map((box) => `${box.scrollWidth} > ${box.clientWidth}: ${box.textContent.slice(0, 80)}`)""")
    view.emulate_media(media="screen")
    assert cut_off == []


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


@in_light
@pytest.mark.parametrize("width", WIDTHS)
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
    assert view.evaluate(STICKING_OUT) == []
    assert view.evaluate(OUT_OF_REACH) == []
    assert violations(view) == []


def test_figures_stand_on_a_light_card_that_does_not_glare_in_the_dark(view, theme):
    cards = view.locator(".bd-article :is(.cell_output, figure) img:not(.only-light, .only-dark)").evaluate_all(
        "(images) => images.map((image) => [getComputedStyle(image).backgroundColor, getComputedStyle(image).filter])"
    )
    dimmed = {"light": "none", "dark": "brightness(0.78)"}[theme]
    assert set(map(tuple, cards)) <= {("rgb(255, 255, 255)", dimmed)}

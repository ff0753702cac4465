"""What a reader does with the site: load it on a phone, print it, walk it by keyboard, search it, look at its menus."""

import io
import re
import statistics
import unicodedata

import pytest
from pypdf import PdfReader

from site_tests.conftest import LANDING, READY, until, watch
from site_tests.test_pages import OPEN_SOLUTIONS, OUT_OF_REACH, SETTLED, UNFOLD, violations

CHAPTER = "book/02_two_objectives.html"
FIGURES = "book/06_figure_1.html"
# Lighthouse's mobile profile
PHONE = {"viewport": {"width": 412, "height": 823}, "device_scale_factor": 1.75, "is_mobile": True, "has_touch": True}
SLOW_LINE = {"offline": False, "latency": 150, "downloadThroughput": 1.6e6 / 8, "uploadThroughput": 0.75e6 / 8}
SLOW_PROCESSOR = {"rate": 4}
LARGEST_PAINT = """() => new Promise((done) => {
    new PerformanceObserver((list) => done(list.getEntries().at(-1).startTime))
        .observe({ type: "largest-contentful-paint", buffered: true });
})"""

FOCUS = """() => {
    const box = document.activeElement;
    if (!box || box === document.body || box === document.documentElement) return null;
    const { width, height, top, bottom, left, right } = box.getBoundingClientRect();
    const style = getComputedStyle(box);
    const parents = (each) => each ? [getComputedStyle(each), ...parents(each.parentElement)] : [];
    box.number ??= (window.focused = (window.focused ?? 0) + 1);
    return {
        number: box.number,
        html: box.outerHTML.slice(0, 150),
        name: box.className + " " + box.localName,
        seen: width > 0 && height > 0 && bottom > 0 && top < innerHeight && right > 0 && left < innerWidth
            && box.checkVisibility({ opacityProperty: true, visibilityProperty: true }),
        marked: (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0) || style.boxShadow !== "none",
    };
}"""


# Speed


def test_a_figure_is_loaded_when_the_reader_comes_near(open_page):
    page = open_page(FIGURES, width=390)
    last = page.locator(".cell_output > figure img:visible").last
    assert not last.evaluate("(picture) => picture.complete && picture.naturalWidth > 0")
    place = last.evaluate("(picture) => [picture.offsetWidth, picture.offsetHeight]")
    last.scroll_into_view_if_needed()
    until(page, lambda: last.evaluate("(picture) => picture.complete && picture.naturalWidth > 0"), "it has come")
    assert last.evaluate("(picture) => [picture.offsetWidth, picture.offsetHeight]") == pytest.approx(place, abs=1)


@pytest.mark.parametrize(("width", "across"), [(1280, None), (390, 388), (320, 318)])
def test_figures_keep_their_shape_and_have_the_whole_width_of_a_phone(open_page, width, across):
    page = open_page(FIGURES, width=width)
    page.evaluate(UNFOLD)
    page.evaluate(SETTLED)
    figures = page.locator(".cell_output > figure img").evaluate_all("""(pictures) => pictures.map((picture) => {
        const { left, width, height } = picture.getBoundingClientRect();
        return [left, width, width * picture.getAttribute("height") / picture.getAttribute("width") - height];
    })""")
    assert len(figures) >= 2
    for left, shown, distortion in figures:
        assert abs(distortion) <= 1
        assert across is None or (shown == pytest.approx(across, abs=1) and left == pytest.approx(1, abs=1))


@pytest.mark.parametrize("page_path", [LANDING, "book/notation.html", CHAPTER])
def test_its_largest_paint_comes_within_2_seconds_on_a_phone(browser, site, page_path):
    def paint():
        context = browser.new_context(**PHONE)
        page = context.new_page()
        session = context.new_cdp_session(page)
        session.send("Network.enable")
        session.send("Network.emulateNetworkConditions", SLOW_LINE)
        session.send("Emulation.setCPUThrottlingRate", SLOW_PROCESSOR)
        page.goto(f"{site}/{page_path}", wait_until="load")
        page.evaluate(READY)
        seconds = page.evaluate(LARGEST_PAINT) / 1_000
        context.close()
        return seconds

    times = [paint(), paint()]
    if min(times) <= 2 < max(times):  # the third decides on which side the median is
        times.append(paint())
    assert statistics.median(times) <= 2


# On paper


def text_colors(sheet):
    """Return the colors (red, green, blue in 0 … 1) in which a sheet of a PDF shows text."""
    color, saved, shown = (0.0, 0.0, 0.0), [], set()
    for operation in re.finditer(rb"([\d.]+) ([\d.]+) ([\d.]+) rg\b|\b(q|Q|Tj|TJ)\b", sheet.get_contents().get_data()):
        *rgb, name = operation.groups()
        if name is None:
            color = tuple(map(float, rgb))
        elif name == b"q":
            saved.append(color)
        elif name == b"Q":
            color = saved.pop()
        else:
            shown.add(color)
    return shown


def contrast_with_white(rgb):
    """Return the contrast as WCAG defines it."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
    return 1.05 / (0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05)


def test_on_paper_nothing_is_folded_away_and_nothing_is_there_to_click(open_page):
    page = open_page(CHAPTER, theme="dark")
    hidden = page.locator(".toggle-hidden")
    assert hidden.count() >= 3
    page.emulate_media(media="print")
    for menu in (".bd-sidebar-primary", ".bd-sidebar-secondary", ".bd-header-article", ".toggle-button", ".copybtn"):
        assert page.locator(f"{menu}:visible").count() == 0, menu
    folded = page.evaluate("""() => [...document.querySelectorAll(".bd-article :is(.toggle-hidden, details) p")]
        .filter((text) => !text.closest("summary"))
        .filter((text) => !text.checkVisibility({ opacityProperty: true, visibilityProperty: true }))
        .map((text) => text.outerHTML.slice(0, 100))""")
    assert folded == []


def test_the_printed_page_holds_the_solutions_in_dark_ink(open_page):
    page = open_page(CHAPTER, theme="dark")
    sentences = page.locator(".toggle-hidden p:not(.admonition-title)").evaluate_all("""(texts) => texts.map((text) => {
        const words = text.cloneNode(true);
        words.querySelectorAll("mjx-container, code").forEach((formula) => formula.replaceWith(" "));
        return words.textContent;
    })""")
    words = [set(re.findall(r"\b[a-z]{6,}\b", sentence)) for sentence in sentences]
    assert len(words) >= 3
    paper = PdfReader(io.BytesIO(page.pdf(format="A4")))
    printed = unicodedata.normalize("NFKC", "".join(sheet.extract_text() for sheet in paper.pages))  # ﬀ is ff
    assert len(paper.pages) > 5
    assert set().union(*words) - set(re.findall(r"\b[a-z]{6,}\b", printed)) == set()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"  # again, on the screen
    inks = set().union(*map(text_colors, paper.pages))
    assert inks
    assert {ink: round(contrast_with_white(ink), 1) for ink in inks if contrast_with_white(ink) < 4.5} == {}


def test_the_printed_page_holds_its_figures_and_its_folded_code(open_page):
    page = open_page(FIGURES)
    figures = page.locator(".cell_output > figure img").count()
    code = page.locator("details.hide .cell_input pre").all_text_contents()
    assert figures >= 2 and len(code) >= 2
    paper = PdfReader(io.BytesIO(page.pdf(format="A4")))
    printed = "".join("".join(sheet.extract_text() for sheet in paper.pages).split())
    assert "Showcodecell" not in printed and "Hidecodecell" not in printed
    first_lines = ["".join(text.split("\n")[0].split()) for text in code]
    assert [line for line in first_lines if line not in printed] == []
    assert sum(picture.image.width > 600 for sheet in paper.pages for picture in sheet.images) >= figures


def test_on_paper_folded_code_has_no_frame_of_its_own_and_no_frame_is_left_alone(open_page):
    page = open_page(FIGURES)
    page.emulate_media(media="print")
    frames = page.locator("details.hide").evaluate_all("""(folds) => folds.map((fold) => {
        const style = getComputedStyle(fold);
        return [style.borderLeftWidth, style.boxShadow, style.paddingLeft, style.breakInside];
    })""")
    assert set(map(tuple, frames)) == {("0px", "none", "0px", "auto")}
    kept = page.locator(".cell_input").evaluate_all("(boxes) => boxes.map((box) => getComputedStyle(box).breakInside)")
    assert set(kept) == {"avoid"}


# On a phone: what is wider scrolls, and shows it

HINTS = """() => [...document.querySelectorAll(".bd-article :is(mjx-container, pre, .pst-scrollable-table-container)")]
    .filter((box) => box.checkVisibility() && box.clientWidth > 0
        && /auto|scroll/.test(getComputedStyle(box).overflowX) && box.scrollWidth > box.clientWidth + 1)
    .map((box) => ({
        kind: box.localName,
        right: box.classList.contains("more-right"),
        left: box.classList.contains("more-left"),
        faded: getComputedStyle(box).maskImage !== "none",
        arrow: getComputedStyle(box.parentElement, "::after").content,
    }))"""


def test_what_is_wider_than_a_phone_shows_that_there_is_more(open_page):
    page = open_page(CHAPTER, width=390)
    page.evaluate(UNFOLD)
    page.evaluate(SETTLED)
    boxes = page.evaluate(HINTS)
    assert {"mjx-container", "pre"} <= {box["kind"] for box in boxes}
    assert [box for box in boxes if not (box["right"] and box["faded"] and not box["left"])] == []
    assert page.locator(".more-right").count() == len(boxes)  # and nothing else fades
    assert [box for box in boxes if box["kind"] == "mjx-container" and "→" not in box["arrow"]] == []
    page.evaluate("document.querySelectorAll('.more-right').forEach((box) => (box.scrollLeft = box.scrollWidth))")
    page.evaluate(SETTLED)
    boxes = page.evaluate(HINTS)
    assert [box for box in boxes if box["right"] or not (box["left"] and box["faded"]) or "→" in box["arrow"]] == []


# By keyboard


def walk(page, steps):
    """Press Tab until the walk comes back to where it began; return what had the focus, in order."""
    stops = []
    for _ in range(steps):
        page.keyboard.press("Tab")
        stop = page.evaluate(FOCUS)
        if stop is None or (stops and stop["number"] == stops[0]["number"]):
            return stops
        stops.append(stop)
    pytest.fail(f"no end after {steps} steps: {stops[-1]['html']}")


@pytest.mark.parametrize("width", [1280, 390])
def test_a_chapter_can_be_walked_by_keyboard_alone(open_page, width):
    page = open_page(CHAPTER, width=width)
    page.add_style_tag(content="* { transition: none !important; }")  # what fades in is there at once
    page.evaluate(SETTLED)
    assert page.evaluate(OUT_OF_REACH) == []
    stops = walk(page, 1_000)
    assert stops[0]["html"].startswith('<a href="#main-content"')
    assert [stop["html"] for stop in stops if not stop["seen"]] == []
    assert [stop["html"] for stop in stops if not stop["marked"]] == []
    assert len({stop["number"] for stop in stops}) == len(stops)
    reached = " ".join(stop["name"] for stop in stops)
    for kind in ("sidebar-toggle", "copybtn", "toggle-button", "left-prev", "right-next", "headerlink"):
        assert kind in reached, kind
    if width == 1280:
        assert "search-button" in reached
        assert "nav-link" in reached
    missed = page.locator(".bd-article :is(a[href], button, summary, [tabindex='0']):not(.onlyprint *):visible")
    missed = missed.evaluate_all("(boxes) => boxes.filter((box) => !box.number).map((box) => box.outerHTML)")
    assert missed == []


def test_the_keyboard_skips_to_the_text_and_opens_a_solution(open_page):
    page = open_page(CHAPTER)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.querySelector('#main-content').contains(document.activeElement)")
    button = page.locator(".toggle-button").first
    folded = page.locator(".toggle-hidden").count()
    button.focus()
    for state, key in (("true", "Enter"), ("false", "Space")):
        page.keyboard.press(key)
        assert button.get_attribute("aria-expanded") == state
        assert page.locator(".toggle-hidden").count() == folded - (state == "true")


def test_the_theme_can_be_changed_by_keyboard(open_page):
    page = open_page(LANDING)
    page.locator(".theme-switch-button:visible").first.focus()
    themes = set()
    for _ in range(3):
        page.keyboard.press("Enter")
        themes.add(page.evaluate("document.documentElement.dataset.theme"))
    assert themes == {"light", "dark"}


# Menus and search


def test_the_menu_of_a_phone_is_accessible_and_closes(open_page, theme):
    page = open_page(LANDING, width=390, theme=theme)
    page.locator(".primary-toggle:visible").first.click()
    menu = page.locator("#pst-primary-sidebar-modal")
    menu.locator("a").first.wait_for(state="visible")
    assert violations(page) == []
    page.keyboard.press("Escape")
    menu.wait_for(state="hidden")


@pytest.mark.parametrize("how", ["key", "click"])
@pytest.mark.parametrize(
    ("width", "opener", "dialog"),
    [
        (1280, ".search-button-field:visible", "#pst-search-dialog"),
        (390, ".search-button:visible", "#pst-search-dialog"),
        (390, ".primary-toggle:visible", "#pst-primary-sidebar-modal"),
        (390, ".secondary-toggle:visible", "#pst-secondary-sidebar-modal"),
    ],
)
def test_escape_gives_the_focus_back(open_page, width, opener, dialog, how):
    page = open_page(CHAPTER, width=width)
    button = page.locator(opener).first
    if how == "click":
        button.click()
    else:
        button.focus()
        page.keyboard.press("Enter")
    page.locator(f"{dialog}[open]").wait_for()
    page.keyboard.press("Escape")
    page.locator(f"{dialog}:not([open])").wait_for(state="attached")
    until(page, lambda: button.evaluate("(button) => button === document.activeElement"), "it has the focus")


def test_the_search_finds_words_and_is_accessible(open_page, theme):
    page = open_page(LANDING, theme=theme)
    page.locator(".search-button-field:visible").first.click()
    page.locator("#pst-search-dialog input").wait_for(state="visible")
    assert violations(page) == []
    page.keyboard.type("regularization")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=regularization")
    page.locator("#search-results li a").first.wait_for()
    page.wait_for_load_state("networkidle")
    assert page.locator("#search-results li").count() >= 3
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    assert violations(page) == []
    page.set_viewport_size({"width": 320, "height": 900})
    page.evaluate(SETTLED)
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0


@pytest.mark.parametrize("page_path", [LANDING, CHAPTER])
def test_without_scripts_the_text_is_there(open_page, page_path):
    page = open_page(page_path, scripts=False, width=320)
    assert page.locator("h1:visible").count() == 1
    assert page.locator("nav a:visible, .bd-article a:visible").count() > 10


def test_a_wrong_address_shows_the_way_at_any_depth(site, new_page):
    page = new_page("light", True)
    problems = watch(page, site)
    for address in ("nothing.html", "book/no/such/page.html"):
        assert page.goto(f"{site}/{address}").status == 404
        page.evaluate(READY)
        until(page, lambda: len(problems) >= 2, "the answer is 404, and the console says so")
        of_server, of_console = sorted(problems)
        assert of_server == f"404: {site}/{address}" and re.match("console error: .* 404 ", of_console)
        problems.clear()
        with page.expect_navigation(wait_until="load"):
            page.locator(".bd-article a").first.click()
        assert page.evaluate("document.title")
        assert problems == []
    page.close()


# The harness itself: what must not happen is noticed


def test_what_a_page_does_wrong_is_noticed(site, new_page):
    page = new_page("light", True)
    page.goto(f"{site}/{LANDING}")
    problems = watch(page, site)
    page.evaluate("""() => {
        console.error("first");
        setTimeout(() => { throw new Error("second"); });
        for (const address of ["https://third.example.org/picture.png", "/fourth.png"]) {
            document.body.append(Object.assign(new Image(), { src: address }));
        }
    }""")
    expected = {"first", "second", "third", "404.*fourth", "NAME_NOT_RESOLVED"}
    until(page, lambda: expected == {each for each in expected if re.search(each, "\n".join(problems))}, expected)
    page.close()


def test_what_a_page_does_wrong_for_readers_is_noticed(open_page):
    page = open_page("book/bibliography.html", width=320)
    page.evaluate("""() => document.querySelector(".bd-article").insertAdjacentHTML("afterbegin",
        "<p style='color: #999; width: 900px'>A pale and wide paragraph.</p>")""")
    assert any(problem.startswith("color-contrast") for problem in violations(page))
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") > 0


FAULTS = {  # the last of its kind on the page, and what is done to it
    "color-contrast": ("pre span", "(it) => { it.style.color = '#bbb'; }"),
    "link-name": ("p > a", "(it) => { it.replaceChildren(); it.title = ''; }"),
    "image-alt": ("img", "(it) => { it.removeAttribute('alt'); }"),
    "button-name": ("button", "(it) => { it.replaceChildren(); it.removeAttribute('aria-label'); it.title = ''; }"),
    "aria-hidden-focus": ("mjx-math", "(it) => { it.tabIndex = 0; }"),
    "target-size": ("h3", "(it) => { it.innerHTML = '<button>i</button><button>j</button>'; "
                         "[...it.children].forEach((each) => { each.style.cssText = 'width: 9px; padding: 0'; }); }"),
}  # fmt: skip


def test_no_fault_is_too_far_down_a_chapter_to_be_noticed(open_page):
    """`violations` looks at a part of the formulas and of the texts that look alike: each fault is in it."""
    page = open_page(CHAPTER)
    page.evaluate(OPEN_SOLUTIONS)
    page.evaluate(SETTLED)
    formulas = "[...document.querySelectorAll('mjx-container, [data-look]')].map((box) => box.innerHTML).join()"
    before = page.evaluate(formulas)
    assert violations(page) == []
    assert page.evaluate(formulas) == before  # they are as they were
    for selector, spoil in FAULTS.values():
        page.locator(f".bd-article {selector}").last.evaluate(spoil)
    assert {found.partition(",")[0] for found in violations(page)} >= FAULTS.keys()
    page.reload()
    page.evaluate(READY)
    page.evaluate(OPEN_SOLUTIONS)
    page.add_style_tag(content=".bd-article .highlight span { color: #bbb !important; }")
    assert [found.partition(",")[0] for found in violations(page)] == ["color-contrast"]

"""The first page and its doors in a browser: what stands above the fold, and the decision guide."""

import re

import pytest

from site_tests.conftest import HTML, LANDING

SCREENS = [(1280, 800), (390, 844)]
DOORS = {
    "I ship embeddings": "book/decide.html",
    "I study": "book/01_cosine_and_dot_product.html",
    "I doubt": "book/claims.html",
}
LEAST = 9  # pixels, of a letter
# Texts that leave the box in which they start.
OUTSIDE = """(svg) => {
    const boxes = [...svg.querySelectorAll("rect")].map((box) => box.getBBox());
    const within = (box, x, y) => x >= box.x && x <= box.x + box.width && y >= box.y && y <= box.y + box.height;
    return [...svg.querySelectorAll(".said text")].filter((text) => {
        const it = text.getBBox();
        const box = boxes.find((box) => within(box, it.x, it.y));
        return !box || !within(box, it.x + it.width + 4, it.y + it.height);
    }).map((text) => text.textContent);
}"""


@pytest.mark.parametrize(("width", "height"), SCREENS)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_first_screen_holds_the_picture_and_three_doors(open_page, theme, width, height):
    page = open_page(LANDING, width=width, height=height, theme=theme)
    parts = [page.locator("h1:visible"), page.locator(".one-model"), *page.locator(".doors a").all()]
    assert len(parts) == 2 + len(DOORS)
    for part in parts:
        box = part.bounding_box()
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= height
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width


@pytest.mark.parametrize("said", DOORS)
@pytest.mark.parametrize("scripts", [True, False])
def test_each_door_opens(open_page, said, scripts):
    page = open_page(LANDING, scripts=scripts)
    with page.expect_navigation(wait_until="load"):
        page.locator(".doors a", has_text=said).click()
    assert page.url.endswith(DOORS[said])


@pytest.mark.parametrize(("width", "height"), SCREENS)
def test_letters_on_the_first_screen_can_be_read(open_page, width, height):
    page = open_page(LANDING, width=width, height=height)
    sizes = page.locator(".one-model :is(dt, dd, .chip, p), .doors :is(strong, em)").evaluate_all(
        "(all) => all.map((each) => parseFloat(getComputedStyle(each).fontSize))"
    )
    assert min(sizes) >= LEAST


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_picture_of_the_guide_can_be_read(open_page, width, theme):
    page = open_page("book/decide.html", width=width, theme=theme)
    picture = page.locator("svg.decide-picture")
    scale = picture.bounding_box()["width"] / float(picture.get_attribute("viewBox").split()[2])
    size = picture.evaluate("(svg) => parseFloat(getComputedStyle(svg).fontSize)")
    assert size * scale >= LEAST
    assert picture.evaluate(OUTSIDE) == []


@pytest.mark.parametrize("scripts", [True, False])
def test_the_path_opens_by_keyboard_and_without_scripts(open_page, scripts):
    page = open_page("book/decide.html", scripts=scripts)
    case = page.get_by_text("You are case S.")
    assert not case.is_visible()
    for said in ("two kinds", "not normalized", "No such penalty", "differences of scores"):
        page.locator("details.path > summary", has_text=said).focus()
        page.keyboard.press("Enter")
    assert case.is_visible()


def test_nothing_within_the_path_is_wider_than_a_phone(open_page):
    page = open_page("book/decide.html", width=390)
    page.locator("details.path").evaluate_all("(all) => all.forEach((each) => { each.open = true; })")
    cut = page.locator("details.path code").evaluate_all(
        "(all) => all.filter((each) => each.getBoundingClientRect().right > innerWidth - 8).map((it) => it.textContent)"
    )
    assert cut == []


def test_a_shared_link_shows_title_description_and_picture(path):
    html = (HTML / path).read_text(encoding="utf-8")
    tags = dict(re.findall(r'<meta (?:property|name)="((?:og|twitter):[\w:]+)" content="([^"]+)" />', html))
    assert {"og:title", "og:description", "og:image", "og:image:alt", "twitter:card"} <= set(tags)
    assert tags["og:description"] == re.search(r'<meta name="description" content="([^"]+)"', html)[1]
    assert tags["og:image"].endswith("_static/card.png")
    assert (HTML / "_static" / "card.png").is_file()

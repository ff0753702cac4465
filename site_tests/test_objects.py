"""The cone in a browser, within a page of the site: its numbers against NumPy, keyboard, phone, dark, print."""

import json
import re
from itertools import combinations
from urllib.parse import unquote

import numpy as np
import pytest
from axe_playwright_python.base import AXE_SCRIPT

from cossim_helpers import cone
from site_tests.conftest import HTML, until
from site_tests.test_pages import RULES

CONE = cone()
DATA = json.loads(re.search(r'<script type="application/json">(.*?)</script>', CONE.html, re.DOTALL)[1])
HOST = "book/bibliography.html"  # a page whose text gives way to the object
LOSSES, SCALES = ("one", "two"), ("learned", "fixed")


@pytest.fixture
def open_cone(open_page):
    """`open_cone(query="", copies=1, lab=False, **options of open_page)` returns a page of the site with cones."""
    before, article, after = re.split(
        r"(<article[^>]*>).*(?=</article>)", (HTML / HOST).read_text(encoding="utf-8"), flags=re.DOTALL
    )

    def open_it(query="", copies=1, *, lab=False, **options):
        text = before + article + "<h1>Cone</h1>" + CONE.html * copies + after
        text = text.replace("<body", '<body data-jp-theme-light="true"' if lab else "<body", 1)
        return open_page(f"book/cone.html{query}", text=text, **options)

    return open_it


def ask(page, script):
    return page.evaluate(f"() => {{ const {{ cone }} = document.querySelector('.cossim-cone'); return {script}; }}")


def knob(page, name):
    return page.locator(f".cossim-cone [data-knob={name}]").first


def text(page, name):
    return page.locator(f'.cossim-cone [data-of="{name}"]').first.text_content()


def number(shown):
    return float(shown.replace("−", "-"))


def bars(page, name):
    cells = page.locator(f'.cossim-cone [data-bars="{name}"]').first.locator("td:last-child")
    return [number(each) for each in cells.all_text_contents()]


# --- what it should show, from the definitions ---


def vectors(around, off):
    turn, off = np.radians(around), np.broadcast_to(off, len(around))
    return np.column_stack([off * np.cos(turn), off * np.sin(turn), np.sqrt(1 - off**2)])


def softmax(scores):
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def seen(scores, loss):
    """All probabilities in the loss: of the items for each user; in the symmetric one of the users, too."""
    return softmax(scores) if loss == "one" else np.concatenate([softmax(scores), softmax(scores.T).T])


def at_the_start(loss):
    theta = np.radians(DATA["theta"])
    users = vectors(DATA["users"], DATA["lengths"] if loss == "one" else np.sin(theta))
    return users, vectors(DATA["items"], np.sin(theta))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize(("items", "users"), [(60, 60), (90, 90), (52, 33), (80, 5), (20, 71), (5, 5)])
def test_probabilities_stand_still_and_cosines_slide(open_cone, loss, scale, items, users):
    page = open_cone()
    ask(page, f"cone.set({{ loss: '{loss}', scale: '{scale}', items: {items}, users: {users}, user: 2, item: 3 }})")
    state, shown = ask(page, "cone.state"), ask(page, "cone.numbers")
    P, Q, s = np.array(shown["P"]), np.array(shown["Q"]), shown["s"]
    np.testing.assert_allclose([*(P**2).sum(1), *(Q**2).sum(1)], 1, atol=1e-12)

    start_P, start_Q = at_the_start(loss)
    still = seen(DATA["scale"] * start_P @ start_Q.T, loss)
    np.testing.assert_allclose(seen(s * P @ Q.T, loss), still, atol=1e-12)
    told = [np.array(shown["seen"][:6]), *([np.array(shown["seen"][6:]).T] if loss == "two" else [])]
    np.testing.assert_allclose(np.concatenate(told), still, atol=1e-12)  # what the page itself compares
    assert shown["change"] < 1e-12 and text(page, "change").startswith("No probability has moved")
    np.testing.assert_allclose(bars(page, "chances"), still[2], atol=0.0051)

    theta, start = np.radians(state["items"]), np.radians(DATA["theta"])
    least = np.sin(start) * (max(DATA["lengths"]) if loss == "one" else np.sin(start))
    assert state["items"] == (items if scale == "learned" else max(items, np.ceil(np.degrees(np.arcsin(least)))))
    np.testing.assert_allclose(Q[:, 2], np.cos(theta), atol=1e-9)
    np.testing.assert_allclose(Q @ Q.T, np.cos(theta) ** 2 + np.sin(theta) ** 2 * turns(), atol=1e-12)
    np.testing.assert_allclose(bars(page, "cosines"), (Q @ Q.T)[3], atol=0.0051)
    if scale == "fixed":
        assert s == DATA["scale"]
    elif loss == "one":
        np.testing.assert_allclose(P, start_P, atol=1e-12)
        assert s == pytest.approx(DATA["scale"] * np.sin(start) / np.sin(theta))
    else:
        np.testing.assert_allclose(P[:, 2], np.cos(np.radians(users)), atol=1e-9)
        assert s == pytest.approx(DATA["scale"] * np.sin(start) ** 2 / np.sin(theta) / np.sin(np.radians(users)))

    pairs = [Q[i] @ Q[j] for i, j in combinations(range(len(Q)), 2)]
    assert number(text(page, "mean")) == pytest.approx(np.mean(pairs), abs=0.0051)
    assert text(page, "above") == f"{sum(pair > 0.7 for pair in pairs)} of {len(pairs)}"
    assert text(page, "swapped") == "0"


def turns():
    around = np.radians(DATA["items"])
    return np.cos(around[:, None] - around)


def test_a_change_would_be_told(open_cone):
    """The numbers that say "none" are not constants: other vectors at the start, and they say so."""
    page = open_cone()
    told = page.evaluate(
        """([script]) => {
        const numbers = script.split("const fixed")[0];
        const run = new Function("data", "other", `${numbers}
            const state = { loss: "one", scale: "learned", items: 60, users: 60 };
            return compare(evaluate(data, { ...state, items: 20 }), evaluate(other, state));`);
        const data = JSON.parse(document.querySelector('.cossim-cone [type="application/json"]').textContent);
        return run(data, { ...data, lengths: [0.5, ...data.lengths.slice(1)], items: [...data.items].reverse() });
    }""",
        [re.search(r"<script>\(\(\) => \{(.*)\}\)\(\);</script>", CONE.html, re.DOTALL)[1]],
    )
    assert told["change"] > 0.01 and told["swapped"] > 0


# --- by hand ---


def test_the_slider_of_the_items_closes_the_cone(open_cone):
    page = open_cone()
    before, chances = bars(page, "cosines"), bars(page, "chances")
    means = [number(text(page, "mean"))]
    slider = page.get_by_role("slider", name="Angle of the items")
    for presses in (15, 15, 20):
        for _ in range(presses):
            slider.press("ArrowLeft")
        means.append(number(text(page, "mean")))
    assert ask(page, "cone.state.items") == 10 and text(page, "items") == "10°"
    assert slider.get_attribute("aria-valuetext") == "10° from the axis"
    assert means == sorted(means) and means[0] < 0.3 and means[-1] > 0.9
    assert bars(page, "chances") == chances and min(bars(page, "cosines")) > 0.9 > min(before)
    assert number(text(page, "s")) == pytest.approx(DATA["scale"] * np.sin(np.pi / 3) / np.sin(np.pi / 18), abs=0.0051)
    page.get_by_role("button", name="Reset").press("Enter")
    assert bars(page, "cosines") == before


def test_where_the_scale_is_fixed_there_is_an_end(open_cone):
    page = open_cone()
    knob(page, "scale").select_option("fixed")
    knob(page, "items").press("Home")
    least = np.degrees(np.arcsin(np.sin(np.radians(DATA["theta"])) * max(DATA["lengths"])))
    assert ask(page, "cone.state.items") == np.ceil(least) and f"Below {least:.0f}°" in text(page, "note")
    longest = max(np.hypot(*user[:2]) for user in ask(page, "cone.numbers.P"))
    assert 0.97 < longest <= 1 and text(page, "s") == "4.00"


def test_two_cones_move_together_or_each_by_itself(open_cone):
    page = open_cone()
    users = page.get_by_role("slider", name="Angle of the users")
    assert users.count() == 0
    knob(page, "loss").select_option("two")
    assert users.is_visible() and users.is_enabled()
    users.press("ArrowLeft")
    assert text(page, "users") == "59°" and text(page, "items") == "60°"
    knob(page, "scale").select_option("fixed")
    assert users.is_disabled() and text(page, "users") == "60°"
    knob(page, "items").press("End")
    assert text(page, "items") == "90°" and text(page, "users") == "49°"


def test_any_user_and_any_item_can_be_looked_at(open_cone):
    page = open_cone()
    P, Q = at_the_start("one")
    knob(page, "user").select_option("5")
    knob(page, "item").select_option("7")
    np.testing.assert_allclose(bars(page, "chances"), softmax(DATA["scale"] * P @ Q.T)[5], atol=0.0051)
    np.testing.assert_allclose(bars(page, "cosines"), Q @ Q[7], atol=0.0051)
    assert page.locator(".cossim-cone .co-chosen").count() == 2


def test_the_bars_are_as_long_as_the_numbers_say(open_cone):
    page = open_cone()
    for name, scale, start in (("chances", 1, 0), ("cosines", 0.5, 0.5)):
        drawn = page.locator(f'.cossim-cone [data-bars="{name}"] .co-bar').evaluate_all(
            "(bars) => bars.map((bar) => ['--from', '--size'].map((each) => +bar.style.getPropertyValue(each)))"
        )
        for value, (left, size) in zip(bars(page, name), drawn, strict=True):
            assert size == pytest.approx(abs(value) * scale, abs=0.0051)
            assert left == pytest.approx(start + min(0, value * scale), abs=0.0051)


def test_the_keyboard_reaches_every_control_and_leaves(open_cone):
    page = open_cone()
    knob(page, "loss").select_option("two")
    knob(page, "loss").focus()
    reached = []
    for _ in range(9):
        at = page.evaluate("""() => {
            const at = document.activeElement;
            return at.closest(".cossim-cone") && [at.dataset.knob ?? at.textContent, getComputedStyle(at).outlineStyle];
        }""")
        if at is None:
            break
        assert at[1] != "none"
        reached.append(at[0])
        page.keyboard.press("Tab")
    assert reached == ["loss", "scale", "items", "users", "Reset", "user", "item"]


# --- the address ---


def test_the_address_can_be_sent(open_cone):
    page = open_cone("?from=here#main-content")
    knob(page, "loss").select_option("two")
    knob(page, "items").press("ArrowLeft")
    knob(page, "item").select_option("4")
    until(page, lambda: page.url.endswith("?from=here&cone=loss:two,items:59,item:4#main-content"), page.url)
    other = open_cone(page.url.partition(".html")[2])
    assert ask(other, "cone.state") == ask(page, "cone.state") and bars(other, "cosines") == bars(page, "cosines")
    other.get_by_role("button", name="Reset").press("Enter")
    until(other, lambda: other.url.endswith("cone.html?from=here#main-content"), "the address is as before")


@pytest.mark.parametrize(
    "nonsense", ["", "items", "items:x,users:91,user:6,item:-1", "loss:<b>,scale:constructor", "%00:,:,,", "items:NaN"]
)
def test_an_address_that_makes_no_sense_is_as_none(open_cone, nonsense):
    page = open_cone(f"?cone={nonsense}")
    begin = {"loss": "one", "scale": "learned", "items": 60, "users": 60, "user": "0", "item": "0"}
    assert ask(page, "cone.state") == begin
    until(page, lambda: page.url.endswith("cone.html"), "the address is set right")


def test_two_on_a_page_keep_apart_and_jupyterlab_keeps_its_address(open_cone):
    page = open_cone("?cone=items:30&cone2=items:40", 2)
    states = [each.evaluate("(root) => root.cone.state.items") for each in page.locator(".cossim-cone").all()]
    assert states == [30, 40]
    lab = open_cone("?cone=items:30", lab=True)
    assert ask(lab, "cone.state.items") == 60
    ask(lab, "cone.set({ items: 20 })")
    until(lab, lambda: text(lab, "said").startswith("20°"), "the hand has come to rest")
    assert unquote(lab.url).endswith("?cone=items:30")


# --- for everyone ---


def all_states(page):
    """Show each state of the cone in turn."""
    for loss in LOSSES:
        for scale in SCALES:
            ask(page, f"cone.set({{ loss: '{loss}', scale: '{scale}', items: 25 }})")
            yield page.locator(".cossim-cone").first


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_it_fits_and_fingers_hit_its_controls(open_cone, width):
    page = open_cone(width=width)
    for root in all_states(page):
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert root.evaluate("(root) => root.scrollWidth <= root.clientWidth")
    for control in page.locator(".cossim-cone :is(input, select, button):visible").all():
        box = control.bounding_box()
        assert box["width"] >= 24 and box["height"] >= 44, box


# Colors depend on the theme, the layout on the width: each theme at one of them.
@pytest.mark.parametrize(
    ("theme", "width", "ground"), [("light", 1280, "rgb(255, 255, 255)"), ("dark", 390, "rgb(20, 24, 30)")]
)
def test_axe_finds_nothing_in_any_state(open_cone, theme, width, ground):
    page = open_cone(width=width, theme=theme)
    page.evaluate(AXE_SCRIPT)
    for _ in all_states(page):
        found = page.evaluate("(rules) => axe.run('.cossim-cone', { ...rules, preload: false })", RULES)
        assert [(each["id"], each["nodes"][0]["html"][:200]) for each in found["violations"]] == []
    root = page.locator(".cossim-cone").first
    assert root.evaluate("(root) => getComputedStyle(root).backgroundColor") == ground


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
def test_slider_and_bars_are_in_one_view(open_cone, width, height):
    page = open_cone(width=width, height=height)
    boxes = [knob(page, "items").bounding_box()]
    boxes += [page.locator(f'[data-bars="{name}"]').bounding_box() for name in ("chances", "cosines")]
    tops, bottoms = zip(*((box["y"], box["y"] + box["height"]) for box in boxes), strict=True)
    header = page.locator(".bd-header-article").bounding_box()
    assert max(bottoms) - min(tops) <= height - header["height"] - 16
    assert boxes[1]["y"] == boxes[2]["y"] and boxes[2]["x"] > boxes[1]["x"]


def test_it_says_what_it_shows(open_cone):
    page = open_cone()
    knob(page, "items").press("ArrowLeft")
    until(page, lambda: text(page, "said").startswith("59°: mean cosine "), "the status follows")
    assert "No probability has moved" in text(page, "said")
    image = page.get_by_role("img", name="8 items on a cone, 59° from its axis")
    assert image.locator(".co-item").count() == 8 and image.locator(".co-user").count() == 6


def test_without_scripts_there_is_a_table(open_cone):
    page = open_cone(scripts=False, width=320)
    root = page.locator(".cossim-cone").first
    assert root.locator(".co-static tr").count() == 9 and root.locator(".co-static table").is_visible()
    assert not root.locator(".co-live").is_visible() and root.locator("button").count() == 0
    assert root.locator(".co-static table").bounding_box()["width"] <= 300


def test_in_print_the_picture_stays_and_the_controls_go(open_cone):
    page = open_cone(theme="dark")
    page.emulate_media(media="print")
    root = page.locator(".cossim-cone").first
    assert root.locator(".co-legend").text_content().startswith(" items, 60° off the axis")
    assert root.locator("svg").is_visible() and root.locator("[data-bars]").count() == 2
    assert not root.locator(".co-controls").is_visible() and not root.locator(".co-static").is_visible()
    assert root.evaluate("(root) => getComputedStyle(root).color") == "rgb(0, 0, 0)"


def test_nothing_but_the_element_carries_the_hook(open_cone):
    page = open_cone()
    assert page.evaluate("() => typeof window.cone") == "undefined" and ask(page, "typeof cone") == "object"

"""Details and badges: closed on the page, and open for whoever looks for what they hold."""

import io
import re
import unicodedata

import pytest
from bs4 import BeautifulSoup
from pypdf import PdfReader

from site_tests.conftest import HTML

CHAPTER = "book/03_first_objective.html"
FOLD = "details.fold"
SEEN = """(box) => {
    const { top, bottom } = box.getBoundingClientRect();
    return box.checkVisibility() && bottom > 0 && top < innerHeight;
}"""


@pytest.fixture
def anchor():
    """The anchor of a theorem in a fold."""
    page = BeautifulSoup((HTML / CHAPTER).read_text(encoding="utf-8"), "html.parser")
    return page.select_one("details.fold div.proof[id]")["id"]


def test_folds_and_badges_are_closed_at_first(open_page):
    page = open_page(CHAPTER, formulas=False)
    assert page.locator(FOLD).count() >= 3
    assert page.locator("details.checks").count() >= 10
    assert page.locator("details[open]").count() == 0
    titles = page.locator(f"{FOLD} > summary :is(h2, h3, h4)").all_text_contents()
    assert [title for title in titles if not re.match(r"[\dA.]*\s*Details: ", title)] == []


@pytest.mark.parametrize("scripts", [True, False])
def test_a_fold_opens_by_a_click_without_scripts_too(open_page, scripts):
    page = open_page(CHAPTER, scripts=scripts, formulas=False)
    fold = page.locator(FOLD).first
    assert not fold.locator("p").first.is_visible()
    fold.locator("summary").first.click(position={"x": 5, "y": 5})
    assert fold.locator("p").first.is_visible()


def test_a_link_from_elsewhere_opens_the_fold_that_it_leads_into(open_page, anchor):
    page = open_page(f"{CHAPTER}#{anchor}")
    target = page.locator(f"#{anchor}")
    target.wait_for(state="visible")
    assert target.evaluate(SEEN)


def test_a_link_on_the_page_opens_the_fold_too(open_page, anchor):
    page = open_page(CHAPTER)
    page.evaluate("(anchor) => { location.hash = anchor; }", anchor)
    target = page.locator(f"#{anchor}")
    target.wait_for(state="visible")
    assert target.evaluate(SEEN)


def test_the_contents_open_a_fold(open_page):
    page = open_page(CHAPTER, formulas=False)
    section = page.locator(f"section:has(> {FOLD})").first
    page.evaluate("(anchor) => { location.hash = anchor; }", section.get_attribute("id"))
    section.locator("p").first.wait_for(state="visible")


def test_the_label_of_a_fold_opens_it(open_page):
    """Which stands in a span of its own beside the fold."""
    page = open_page(CHAPTER, formulas=False)
    labels = page.locator(f"section > span:has(~ {FOLD})").evaluate_all("(spans) => spans.map((span) => span.id)")
    assert len(labels) >= 3
    for label in labels:
        fold = page.locator(f"section:has(> #{label}) > {FOLD}").first
        assert not fold.evaluate("(fold) => fold.open")
        page.evaluate("(anchor) => { location.hash = anchor; }", label)
        fold.locator("p").first.wait_for(state="visible")


def test_find_in_page_opens_a_fold(open_page):
    page = open_page(CHAPTER, formulas=False)
    fold = page.locator(FOLD).first
    words = " ".join(re.findall(r"\b[a-z]+\b", fold.locator("p").first.text_content())[:3])
    assert page.evaluate("(words) => window.find(words)", words)


def test_on_paper_folds_and_badges_are_open(open_page):
    page = open_page(CHAPTER)
    sentences = page.locator(f"{FOLD} p:not(summary p)").evaluate_all("""(texts) => texts.map((text) => {
        const words = text.cloneNode(true);
        words.querySelectorAll("mjx-container, code").forEach((formula) => formula.replaceWith(" "));
        return words.textContent;
    })""")
    words = set(re.findall(r"\b[a-z]{6,}\b", " ".join(sentences)))
    paper = PdfReader(io.BytesIO(page.pdf(format="A4")))
    printed = unicodedata.normalize("NFKC", "".join(sheet.extract_text() for sheet in paper.pages))
    assert len(words) > 50
    assert words - set(re.findall(r"\b[a-z]{6,}\b", printed)) == set()


def test_a_badge_names_what_was_checked_and_opens_to_its_lines(open_page):
    page = open_page(CHAPTER, formulas=False)
    badge = page.locator("details.checks").first
    said = badge.locator("summary").inner_text()
    assert re.search(r"✓ \d+ checks? .*closed-form-1", said)
    badge.locator("summary").click()
    lines = badge.locator("li")
    assert lines.first.is_visible()
    times = [
        int(number or 1) for number in re.findall(r": [^\n]*?(?: × (\d+))?(?:\n|$)", "\n".join(lines.all_inner_texts()))
    ]
    assert sum(times) == int(re.search(r"\d+", said)[0])
    assert page.locator("pre", has_text="[ok] ").count() == 0

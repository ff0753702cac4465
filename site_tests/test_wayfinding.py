"""Finding one's way in a browser: what the search finds first, permalinks, from chapter to chapter, 404.html."""

import re
from pathlib import Path

import pytest

from site_tests.conftest import HTML, LANDING

EQUATION_5 = "book/03_first_objective.html#equation-eq-5"
PERRON = "book/05_second_objective.html#lem-05-perron"


def hits(page):
    """Return (title, address) of what the search shows, when it has finished."""
    page.wait_for_function("document.querySelector('.search-summary')?.innerText.includes('finished')")
    links = page.locator("ul.search > li > a")
    return [(link.inner_text(), link.get_attribute("href")) for link in links.all()]


@pytest.mark.parametrize(
    ("query", "address"),
    [
        ("Eq. 5", EQUATION_5),
        ("eq5", EQUATION_5),
        ("equation (5)", EQUATION_5),
        ("(5)", EQUATION_5),
        ("(1.5)", "book/01_cosine_and_dot_product.html#equation-eq-row-lengths"),
        ("lemma 5.3", PERRON),
        ("thm 4.1", "book/04_arbitrary_cosines.html#thm-any-correlation-matrix"),
        ("Exercise 3.1", "book/03_first_objective.html#ex-03-by-hand"),
    ],
)
def test_a_number_finds_what_bears_it_and_nothing_else(open_page, query, address):
    page = open_page(f"search.html?q={query.replace(' ', '+')}")
    assert [found for _, found in hits(page)] == [address]


@pytest.mark.parametrize(
    ("query", "address"),
    [
        ("Perron", PERRON),
        ("theorem Perron", PERRON),
        ("whitening", "book/glossary.html#term-whitening"),
        ("nuclear norm", "book/glossary.html#term-nuclear-norm"),
        ("dropout", "book/02_two_objectives.html#thm-input-dropout"),
    ],
)
def test_a_name_finds_what_bears_it_first(open_page, query, address):
    assert hits(open_page(f"search.html?q={query.replace(' ', '+')}"))[0][1] == address


def test_a_claim_is_found_by_its_id(open_page):
    assert ("eq3-rescaling", "book/claims.html#claim-eq3-rescaling") in hits(open_page("search.html?q=eq3-rescaling"))


def test_a_result_quotes_no_source_of_a_formula(open_page):
    page = open_page("search.html?q=whitening")
    assert len(hits(page)) > 5
    page.wait_for_function("document.querySelectorAll('p.context').length > 5")
    assert not re.search(r"\\[a-z(\[]", " ".join(page.locator("p.context").all_inner_texts()))


@pytest.mark.parametrize("anchor", ["equation-eq-dot", "thm-cosine-maps", "ex-01-by-hand"])
def test_a_permalink_shows_under_the_pointer_and_under_the_keyboard(open_page, anchor):
    page = open_page("book/01_cosine_and_dot_product.html")
    link = page.locator(f'a.headerlink[href="#{anchor}"]')

    def opacity():
        return link.evaluate("link => getComputedStyle(link).opacity")

    page.mouse.move(0, 0)
    assert opacity() == "0"
    link.locator("xpath=..").hover()
    assert opacity() == "1"
    page.mouse.move(0, 0)
    assert opacity() == "0"
    page.keyboard.press("Tab")  # from here on the browser shows where the keyboard is
    link.focus()
    assert opacity() == "1"
    page.keyboard.press("Enter")
    page.wait_for_url(f"**#{anchor}")


def test_one_walks_from_page_to_page(open_page):
    page = open_page(LANDING)
    seen = []
    while (following := page.locator("a.right-next")).count():
        seen.append(page.title())
        with page.expect_navigation(wait_until="load"):
            following.click()
        assert page.locator("a.left-prev").count() == 1
    assert len(seen) == len(set(seen)) == len([name for name in HTML.glob("book/*.html")]) - 1


def test_a_lost_reader_finds_the_way_back():
    """Every link of 404.html is absolute, and leads to a page of this site."""
    html = (HTML / "404.html").read_text(encoding="utf-8")
    root = re.search(r'data-content_root="([^"]*)"', html)[1]
    assert root.startswith("/") and root.endswith("/")
    links = re.findall(r'\b(?:href|src|action)="([^"#?]+)', html)
    inside = [link for link in links if not re.match(r"[a-z]+:", link)]
    assert [link for link in inside if not link.startswith(root)] == []
    paths = {link.removeprefix(root) for link in inside}
    assert paths >= {"book/index.html", "search.html", "book/glossary.html", "book/claims.html"}
    own = {"book/404.html", "_sources/book/404.md"}
    assert [path for path in paths - own if not Path(HTML, path).exists()] == []


def test_a_chapter_says_how_long_it_takes_and_the_ledger_does_not(pages):
    timed = {path for path in pages if 'class="reading-time"' in (HTML / path).read_text(encoding="utf-8")}
    assert {path for path in pages if re.match(r"book/\d\d_", path)} <= timed
    assert "book/claims.html" not in timed

"""Finding one's way in a browser: what the search finds first, permalinks, from chapter to chapter, 404.html."""

import re
from pathlib import Path

import languages
import lookup
import pytest
from provenance import repository_url

from site_tests.conftest import HTML, LANDING, close, opener

ROOT = Path(__file__).parents[1]

EQUATION_5 = "book/03_first_objective.html#equation-eq-5"
PERRON = "book/appendix.html#lem-05-perron"


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
        ("(1.7)", "book/01_cosine_and_dot_product.html#equation-eq-row-lengths"),
        ("lemma A.3", PERRON),
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


# Ask on a page that has its index and the pages that it has read already.
ASK = """async (query) => {
    Search.output.replaceChildren();
    await Search.query(query);
    return [...Search.output.children].map((item) => {
        const link = item.querySelector("a");
        const said = item.querySelector("p.context")?.textContent ?? "";
        const address = link.getAttribute("href");
        return { kind: item.className, address, lang: link.lang, said, text: item.innerText };
    });
}"""


@pytest.fixture(scope="module")
def ask(site, new_page):
    """A function that returns what the search shows: kind, address, lang, said, text. All of it asked on one page."""
    opened = []
    page = opener(site, new_page, opened)("search.html?q=cosine")
    hits(page)
    yield lambda query: page.evaluate(ASK, query)
    assert close(opened) == []


@pytest.mark.parametrize("row", lookup.rows(ROOT / "book"), ids=lambda row: str(row["words"][0]))
def test_what_readers_type_leads_to_the_very_section(ask, row):
    for word in row["words"]:
        first = ask(word)[0]
        page, _, anchor = first["address"].partition("#")
        assert anchor in (row["label"], f"equation-{row['label']}"), word
        assert first["said"] == row["say"]
        assert f'id="{anchor}"' in (HTML / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("query", ["dropout", "whitening", "normalize", "singular value", "AUC", "layer norm"])
def test_names_come_before_texts(ask, query):
    named = [found["kind"] != "kind-text" for found in ask(query)]
    assert named == sorted(named, reverse=True)
    assert len(set(named)) == 2


@pytest.mark.parametrize("query", ["ALS", "als", "SVD", "AUC", "PMI", "NCE"])
def test_short_words_are_whole_words(ask, query):
    found = ask(query)
    assert found
    word = re.compile(rf"(?<![^\W_]){query}s?(?![^\W_])", re.IGNORECASE)
    assert [each["text"] for each in found if each["kind"] != "kind-row" and not word.search(each["text"])] == []


@pytest.mark.parametrize("query", ["popularity", "ridge regression", "covariance", "first direction", "行列"])
def test_a_hit_in_a_text_lands_at_its_section(ask, query):
    found = ask(query)
    assert [each["kind"] for each in found].count("kind-text") > 1
    addresses = [each["address"] for each in found]
    assert len(addresses) == len(set(addresses))
    at_sections = [address.partition("#")[::2] for address in addresses if "#" in address]
    assert len(at_sections) > len(found) / 2
    assert [at for at in at_sections if f'id="{at[1]}"' not in (HTML / at[0]).read_text(encoding="utf-8")] == []


def test_nothing_is_found_for_what_is_not_there(ask):
    assert ask("xyzzy") == []


@pytest.mark.parametrize("query", ["コサイン類似度", "正則化", "層正規化", "一意", "白色化", "ベクトルデータベース"])
def test_japanese_words_find_the_page_in_japanese(ask, query):
    found = ask(query)
    assert {each["address"].partition("#")[0] for each in found} == {"book/ja.html"}
    assert {each["lang"] for each in found} == {"ja"}


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_in_japanese_says_so_and_keeps_its_formulas_in_their_font(open_page, width):
    page = open_page("book/ja.html", width=width)
    assert page.locator("title").get_attribute("lang") == page.locator("article").get_attribute("lang") == "ja"
    style = "(box) => [getComputedStyle(box).lineBreak, getComputedStyle(box).fontFamily]"
    rule, font = page.locator("article p").nth(1).evaluate(style)
    assert rule == "strict"
    assert "Hiragino Sans" in font
    assert "Hiragino Sans" not in page.locator("mjx-c").first.evaluate(
        "(box) => getComputedStyle(box, '::before').fontFamily"
    )
    texts = page.locator("a:not([lang])").all_text_contents()
    unmarked = [text for text in texts if re.search(languages.JAPANESE, text)]
    assert unmarked == []


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


# What is text stays text


def test_the_search_shows_names_as_text(open_page):
    """The index of the site holds headings and terms as they are written."""
    page = open_page("search.html")
    page.evaluate(
        """() => {
          const evil = "Unheardof <img src=x onerror='window.evil = 1'> heading";
          Search._index.alltitles[evil] = [[0, "somewhere"]];
          Search._index.indexentries["unheardof <img src=x onerror='window.evil = 2'>"] = [[0, "term-unheardof"]];
          Search.performSearch("unheardof");
        }"""
    )
    shown = [title for title, _ in hits(page)]
    assert len(shown) == 2 and all("<img src=x onerror=" in title for title in shown)
    assert page.locator("ul.search img").count() == 0 and page.evaluate("window.evil") is None


def test_each_page_leads_to_the_form_for_errata_where_the_repository_is_known(open_page):
    page = open_page("book/bibliography.html", formulas=False)
    line = page.locator("p.erratum")
    if not repository_url():
        assert line.count() == 0
        return
    (address,) = [link.get_attribute("href") for link in line.locator("a").all()]
    assert address.startswith(f"{repository_url()}/issues/new?template=erratum.yml&") and "page=book%2Fbib" in address
    assert line.is_visible()
    page.emulate_media(media="print")
    assert not line.is_visible()

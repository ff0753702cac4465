"""The built PDF, read: every page of the book, its numbers, its fonts. `make pdf` has seen what LaTeX complains of."""

import html
import re
from pathlib import Path

import pytest
import takeaway
import yaml
from pypdf import PdfReader
from pypdf.generic import IndirectObject

from site_tests.conftest import HTML
from tools import toc
from tools.pdf import NAME, OUT

ROOT = Path(__file__).parents[1]
PDF = OUT / NAME
A4 = (595, 842)
pytestmark = pytest.mark.skipif(
    "pdf" not in takeaway.present(PDF, toc.pages()), reason="no PDF, or one of older pages: make pdf"
)


@pytest.fixture(scope="module")
def paper():
    return PdfReader(PDF)


@pytest.fixture(scope="module")
def texts(paper):
    return [page.extract_text() for page in paper.pages]


def plain(text):
    """Return text as it can be compared: without blanks, which a PDF does not keep, and in one case of ligatures."""
    return re.sub(r"\s", "", text.replace("ﬁ", "fi").replace("ﬂ", "fl").replace("ﬀ", "ff").replace("ﬃ", "ffi"))


def heading(page):
    """Return the heading of a page of the site."""
    text = re.search(r"<h1>(.*?)</h1>", (HTML / f"{page}.html").read_text(encoding="utf-8"), re.DOTALL)[1]
    text = re.sub(r'<a class="headerlink".*?</a>', "", text, flags=re.DOTALL)
    return plain(html.unescape(re.sub(r"<[^>]+>", "", text)))


def bookmarks(outline):
    for entry in outline:
        if isinstance(entry, list):
            yield from bookmarks(entry)
        else:
            yield entry


def test_each_page_of_the_book_has_a_bookmark_in_order(paper):
    titles = [entry.title for entry in bookmarks(paper.outline)]
    titles[titles.index("About this book")] = "Is cosine similarity about similarity?"  # the book bears that title
    names = [plain(re.sub(r"^(?:\d+|A) (?=\S)", "", title)) for title in titles]
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    listed = [contents["root"], *(chapter["file"] for part in contents["parts"] for chapter in part["chapters"])]
    wanted = [heading(page) for page in listed]
    places = [names.index(name) if name in names else name for name in wanted]
    assert all(isinstance(place, int) for place in places), [place for place in places if not isinstance(place, int)]
    assert places == sorted(places)


def test_the_pages_are_a4_and_few_enough(paper):
    assert {(round(float(page.mediabox.width)), round(float(page.mediabox.height))) for page in paper.pages} == {A4}
    assert 300 < len(paper.pages) < 800
    assert PDF.stat().st_size < 12e6


def test_results_and_exercises_have_the_numbers_of_the_site(texts):
    book = plain("".join(texts))
    numbered = re.compile(
        r'<span class="caption-number">((?:Theorem|Lemma|Proposition|Corollary|Exercise) [\dA-Z.]+) *</span>'
    )
    found = [
        name for path in sorted(HTML.glob("book/*.html")) for name in numbered.findall(path.read_text(encoding="utf-8"))
    ]
    assert len(found) > 200
    for name in found:
        assert re.search(rf"{re.escape(plain(name))}(?![\d.]\d)", book), name


def test_the_list_of_results_has_the_names_of_the_site(texts):
    back = plain("".join(texts[-40:]))
    title = re.compile(
        r'<span class="caption-number">((?:Theorem|Lemma|Proposition|Corollary) [\dA-Z.]+) *</span> *\(([^<$]*?)\)<'
    )
    found = [
        pair for path in sorted(HTML.glob("book/*.html")) for pair in title.findall(path.read_text(encoding="utf-8"))
    ]
    assert len(found) > 50
    missing = [pair for pair in found if plain(html.unescape("".join(pair))) not in back]
    assert not missing


def test_no_reference_is_open(texts):
    assert not [number for number, text in enumerate(texts, 1) if "??" in text]


def test_all_fonts_are_embedded(paper):
    seen = {}
    for page in paper.pages:
        for font in (page["/Resources"].get("/Font") or {}).values():
            font = font.get_object() if isinstance(font, IndirectObject) else font
            for part in [each.get_object() for each in font.get("/DescendantFonts", [font])]:
                described = part["/FontDescriptor"].get_object()
                seen[str(part["/BaseFont"])] = any(key.startswith("/FontFile") for key in described)
    assert len(seen) > 5
    assert all(seen.values()), [name for name, embedded in seen.items() if not embedded]


def test_nothing_of_the_machine_is_in_it(paper):
    said = " ".join(map(str, (paper.metadata or {}).values()))
    assert "Is cosine similarity about similarity?" in said
    assert not re.search(r"/(?:home|root|tmp|work|usr)/", said)


def test_the_site_has_the_same_file():
    assert (HTML / "_static" / NAME).read_bytes() == PDF.read_bytes()

"""Found a mistake? Where the repository is known each page leads to the form, with page and commit filled in."""

import html
import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import errata
import pytest
import yaml
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace, patch_docutils

ROOT = Path(__file__).parents[2]
FORMS = ROOT / ".github" / "ISSUE_TEMPLATE"


def build(folder):
    """Return {name: page} of a small site with the theme of the book."""
    (folder / "book").mkdir()
    (folder / "index.md").write_text("# Home\n\n```{toctree}\nbook/one\n```\n", encoding="utf-8")
    (folder / "book" / "one.md").write_text("# A & B, `<b>` and “more”\n\nWords.\n", encoding="utf-8")
    settings = {"extensions": ["myst_nb", "provenance", "errata"], "html_theme": "sphinx_book_theme"}
    with patch_docutils(), docutils_namespace():
        app = Sphinx(folder, None, folder / "out", folder / "tree", "html", settings, status=None, warning=None)
        app.build()
    out = folder / "out"
    return {path.stem: path.read_text("utf-8") for path in [*out.glob("*.html"), *out.glob("book/*.html")]}


def links(page):
    return [html.unescape(link) for link in re.findall(r'<p class="erratum d-print-none"><a href="([^"]*)"', page)]


@pytest.mark.filterwarnings("ignore")  # of the theme
def test_each_page_asks_for_errata_where_the_repository_is_known(tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_REPOSITORY", "ada/book")
    pages = build(tmp_path)
    assert {"index", "one", "search", "genindex"} <= pages.keys()
    for name, page in pages.items():
        (link,) = links(page)
        assert link.startswith("https://github.com/ada/book/issues/new?template=erratum.yml&")
        assert page.index("erratum d-print-none") < page.index("extra_footer") + 100  # the theme's foot is still there
        asked = parse_qs(urlsplit(link).query)
        assert asked["page"] == [{"one": "book/one"}.get(name, name)]
    assert parse_qs(urlsplit(links(pages["one"])[0]).query)["title"] == ["Erratum: A & B, <b> and “more”"]
    assert "verified with" in pages["one"] or "not verified" in pages["one"]


@pytest.mark.filterwarnings("ignore")  # of the theme
def test_no_page_asks_where_the_repository_is_unknown(tmp_path, monkeypatch):
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    for page in build(tmp_path).values():
        assert "erratum" not in page and errata.WORDS not in page


def test_no_title_breaks_out_of_the_link():
    line = str(errata.link("https://github.com/ada/book", 'a"b', '<i>"><script>alert(1)</script></i>', "c" * 40))
    assert re.fullmatch(r'<p class="erratum d-print-none"><a href="[^"<>]*">[^<>]*</a></p>\n', line)
    asked = parse_qs(urlsplit(links(line)[0]).query)
    assert asked == {
        "template": ["erratum.yml"],
        "title": ['Erratum: ">alert(1)'],
        "page": ['a"b'],
        "commit": ["c" * 40],
    }
    assert "commit" not in links(str(errata.link("https://github.com/ada/book", "a", "A")))[0]


def test_the_form_has_the_fields_that_the_link_fills_in():
    form = yaml.safe_load((FORMS / errata.FORM).read_text(encoding="utf-8"))
    fields = {part.get("id") for part in form["body"]}
    assert {"page", "commit", "claim"} <= fields
    assert not fields & {"template", "title", "labels", "body"}  # an address means something else by these
    asked = parse_qs(urlsplit(errata.address("https://github.com/ada/book", "p", "t", "c")).query)
    assert asked.keys() - {"template", "title"} <= fields
    assert asked["title"][0].startswith(form["title"])


def test_what_the_forms_call_a_claim_is_one():
    form = yaml.safe_load((FORMS / errata.FORM).read_text(encoding="utf-8"))
    example = next(part for part in form["body"] if part.get("id") == "claim")["attributes"]["placeholder"]
    claims = yaml.safe_load((ROOT / "cossim_helpers" / "claims.yml").read_text(encoding="utf-8"))["claims"]
    assert example in {claim["id"] for claim in claims}

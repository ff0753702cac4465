"""What a reader takes along: the PDF and the zip where they are there, and what a notebook lacks alone."""

import io
import json
import os
import zipfile
from pathlib import Path

import pytest
import takeaway
from names import UMLAUT

from tools import toc
from tools.notebooks import ALONE

LINKS = [f"../_static/{takeaway.NAME}.{suffix}" for suffix in takeaway.ENTRIES]


@pytest.fixture
def site(tmp_path):
    """A site with all that a zip must not hold."""
    folder = tmp_path / UMLAUT / "html"
    for name in ("index.html", "404.html", ".buildinfo", "_static/a.js", f"_static/{takeaway.NAME}.pdf"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name, encoding="utf-8")
    (folder / "run" / "pyodide-1").mkdir(parents=True)
    (folder / "run" / "pyodide-1" / "python.wasm").write_text("46 MB", encoding="utf-8")
    return folder


def test_the_zip_depends_on_the_pages_alone(site, tmp_path):
    one, two = tmp_path / "one.zip", tmp_path / "two.zip"
    takeaway.write_zip(site, one)
    for path in site.rglob("*"):
        os.utime(path, (1, 1))
        path.chmod(0o755)
    takeaway.write_zip(site, two)
    assert one.read_bytes() == two.read_bytes()
    with zipfile.ZipFile(two) as archive:
        assert archive.namelist() == [f"{takeaway.NAME}/_static/a.js", f"{takeaway.NAME}/index.html"]
        assert archive.testzip() is None
        kept = {(entry.date_time, entry.external_attr >> 16) for entry in archive.infolist()}
    assert kept == {((1980, 1, 1, 0, 0, 0), 0o644)}
    (site / "index.html").write_text("changed", encoding="utf-8")
    takeaway.write_zip(site, two)
    assert one.read_bytes() != two.read_bytes()


def page(there, group="download-buttons"):
    """Return the menu and the text of a page, as the theme hands them over."""
    context = {
        "header_buttons": [{"label": "fullscreen-button"}, {"label": group, "buttons": [{"text": ".ipynb"}]}],
        "body": f"<p>before</p>{takeaway.PLACE}<p>after</p>",
        "pathto": lambda name, resource: f"../{name}",
    }
    takeaway.name_them(type("App", (), {"take_along": there}), "book/index", "page.html", context, None)
    return [button.get("url") for button in context["header_buttons"][1]["buttons"]], context["body"]


def test_pages_name_the_files_that_are_there():
    assert page([]) == ([None], "<p>before</p><p>after</p>")
    menu, body = page(["pdf", "zip"])
    assert menu == [None, *LINKS]
    assert [body.count(link) for link in LINKS] == [1, 1]
    menu, body = page(["zip"])
    assert menu == [None, LINKS[1]]
    assert LINKS[0] not in body
    assert page(["zip"], group="another")[0] == [None]


def test_a_page_of_the_zip_names_neither_file():
    entries = "".join(f'<li><a href="{link}"\n class="x">\n<i></i></a></li>\n' for link in ["01.ipynb", *LINKS])
    body = page(["pdf", "zip"])[1] + f"<ul>{entries}</ul>"
    assert takeaway.alone(body).split() == [
        *'<p>before</p><p>after</p><ul><li><a href="01.ipynb" class="x"> <i></i></a></li>'.split(),
        "</ul>",
    ]


def test_a_pdf_of_older_pages_is_left_out(tmp_path):
    source, printed = tmp_path / "index.md", tmp_path / "book.pdf"
    source.write_text("", encoding="utf-8")
    assert takeaway.present(printed, [source], {}) == []
    assert takeaway.present(printed, [source], {"BOOK_ZIP": "1"}) == ["zip"]
    printed.write_text("", encoding="utf-8")
    os.utime(source, (1_000, 1_000))
    assert takeaway.present(printed, [source], {"BOOK_ZIP": "1"}) == ["pdf", "zip"]
    os.utime(printed, (999, 999))
    assert takeaway.present(printed, [source], {}) == []


@pytest.mark.parametrize("path", toc.notebooks(), ids=lambda path: path.name)
def test_a_notebook_of_the_site_says_where_the_book_is(path):
    before = path.read_text(encoding="utf-8")
    after = takeaway.with_address(before, "https://github.com/ada/book")
    assert after.replace('    "# https://github.com/ada/book\\n",\n', "") == before
    code = next(cell for cell in json.loads(after)["cells"] if cell["cell_type"] == "code")
    assert "".join(code["source"]).startswith(f"{ALONE}# https://github.com/ada/book\n")


def test_a_notebook_without_that_comment_stays():
    stored = json.dumps({"cells": [{"cell_type": "code", "source": ["1\n", "2"]}]}, indent=1) + "\n"
    assert takeaway.with_address(stored, "https://github.com/ada/book") == stored


def test_the_zip_is_written_last_and_once(site, monkeypatch):
    notebook = json.dumps({"cells": [{"cell_type": "code", "source": ["# alone\n", "import cossim_helpers"]}]})
    (site / "_sources").mkdir()
    (site / "_sources" / "a.ipynb").write_text(notebook, encoding="utf-8")
    monkeypatch.setattr(takeaway.provenance, "repository_url", lambda: "https://github.com/ada/book")
    printed = Path(site.parent, f"{takeaway.NAME}.pdf")
    printed.write_text("%PDF", encoding="utf-8")
    monkeypatch.setattr(takeaway, "PRINTED", printed)
    app = type(
        "App", (), {"outdir": site, "take_along": ["pdf", "zip"], "builder": type("Builder", (), {"name": "html"})}
    )
    takeaway.finish(app, None)
    assert (site / "_static" / printed.name).read_text(encoding="utf-8") == "%PDF"
    content = (site / "_static" / f"{takeaway.NAME}.zip").read_bytes()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert "https://github.com/ada/book" in archive.read(f"{takeaway.NAME}/_sources/a.ipynb").decode()
        assert not [name for name in archive.namelist() if name.endswith((".pdf", ".zip", ".wasm"))]

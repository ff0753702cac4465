"""Text of data reaches a page as text: each field that becomes HTML, JSON, a script or LaTeX holds markup here."""

import csv
import html
import io
import json
import re
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import data_text
import determines
import ledger
import numpy as np
import provenance
import pytest
import timings
import yaml
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import docutils_namespace, patch_docutils

from cossim_helpers import Table, audit_embeddings, cone, determined, dial, simulate_interactions, spectrum
from cossim_helpers.audit.report import audit_page
from cossim_helpers.widget import payload

pytestmark = pytest.mark.filterwarnings("ignore")  # of the extensions, about docutils

EVIL = [
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(2)</script>",
    "<!-- ",
    """" onmouseover="alert(3)" '""",
    "{{ env.config }}",
    "{raw}`html <b onclick=alert(4)>`",
    "{download}`conf.py`",
    "[here](javascript:alert(5))",
    "![there](https://example.org/x.png)",
    "<https://example.org/y>",
    "(target)=",
    "# Heading",
    "[^1]",
    "&lt;b&gt; and &amp;",
    r"$ 5 and \input{/etc/passwd} % ~ ^ _ # &",
    "* item",
]
BLOCKS = ["```{raw} html\n<script>alert(6)</script>\n```", ":::{raw} html\n<hr>\n:::", "- a\n- b", "| a |\n|--|\n| b |"]
FORMULAS = r"For $x < y$, $\mathbb{R}^{{2}}$ and *all* `code <b>`, see {claim}`plain` and {eq}`eq-1`."
TEXT = " ".join(EVIL)
CODE = re.compile(r"`([^`]*)`")


class Reader(HTMLParser):
    """The tags, the attributes and the visible text of a page."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.text, self.loaded = [], [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]
        self.loaded += [value for name, value in attrs if name in ("src", "href") and value]

    def handle_data(self, data):
        self.text.append(data)

    def says(self):
        return " ".join("".join(self.text).split())


def is_harmless(page, tags=()):
    """Hold what a page of these fields must not have; return what a reader sees."""
    read = Reader(page)
    assert not {"img", "script", "b", "hr", "iframe", *tags} & set(read.tags)
    assert not [name for name in read.attributes if name.startswith("on")]
    assert not [to for to in read.loaded if re.match(r"\s*javascript:|https://example\.org/[xy]", to)]
    return read.says()


def article(page):
    return re.search(r'<div class="body" role="main">(.*?)<div class="clearer">', page, re.DOTALL)[1]


# A small site with all of it


def claim(name, text):
    return {"id": name, "source": text, "statement": text, "verdict": "refuted", "note": text, "chapter": 1}


@dataclass(frozen=True)
class Row:
    loss: str = "evil"
    label: str = TEXT
    theorem: str = "thm-1"
    rule: str = TEXT
    sees: str = "scores"
    tied: bool = False
    balanced: bool = False
    unit_users: bool = False
    unit_items: bool = False
    verdicts: tuple = ()


VERDICT = SimpleNamespace(answer="if", condition=TEXT)
MEASURED = {
    **{"data": "small", "threads": "1", "kernel": TEXT, "method": TEXT, "n": "3", "p": "2", "nonzeros": "4", "k": "2"},
    **{"cpu": "1", "cpu_least": "1", "cpu_most": "1", "cpu_ratio": "1", "wall_ratio": "1", "peak_mb": "1", "runs": "3"},
    **{"projector_error": "1e-9", "objective_gap": "0", "note": ""},
}
INDEX = f"""---
description: {json.dumps(TEXT)}
---
# Home

```{{math}}
:label: eq-1
a = b
```

```{{prf:theorem}} A name
:label: thm-1
Words.
```

(sec-code)=
## On `<img src=x onerror=alert(7)>` and $x < y$

```{{toctree}}
claims
losses
timings
cells
```
"""
EXTENSIONS = ["myst_nb", "sphinx_proof", "ledger", "determines", "timings", "lookup", "wayfinding", "badges"]


def notebook():
    """A notebook with a table, a line that a cell prints, and lines of checks."""
    table = Table(TEXT, ("", "<i>n</i>"), [("<b>a</b>", 1), "</table>"])
    bundle = {"text/html": table.html, "text/plain": repr(table)}
    outputs = [
        {"output_type": "stream", "name": "stdout", "text": f"{TEXT}\n[ok] plain (thm-1): {TEXT}\n"},
        {"output_type": "display_data", "data": bundle, "metadata": {}},
    ]
    code = {"cell_type": "code", "id": "b", "metadata": {}, "source": "run()", "outputs": outputs, "execution_count": 1}
    cells = [{"cell_type": "markdown", "id": "a", "metadata": {}, "source": "# Cells"}, code]
    return {"cells": cells, "metadata": {"language_info": {"name": "python"}}, "nbformat": 4, "nbformat_minor": 5}


def write(folder):
    claims = [claim(f"evil-{n}", text) for n, text in enumerate([*EVIL, *BLOCKS])] + [claim("plain", FORMULAS)]
    texts = {
        "index.md": INDEX,
        "claims.md": "# Claims\n\n```{claims}\n```\n",
        "losses.md": "# Losses\n\n```{determined}\n```\n",
        "timings.md": "# Timings\n\n```{timings} rows.csv small 1\n```\n",
        "cells.ipynb": json.dumps(notebook()),
        ledger.LEDGER: yaml.safe_dump({"claims": claims}),
        "book/search.yml": yaml.safe_dump([{"words": ["evil", TEXT], "label": "sec-code", "say": TEXT}]),
    }
    for name, text in texts.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    results = folder / timings.RESULTS
    results.mkdir(parents=True)
    with (results / "rows.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(MEASURED))
        table.writeheader()
        table.writerows([MEASURED, MEASURED | {"note": f"not run: {TEXT}"}])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Return {name: page} of the small site, the warnings under "warnings"."""
    folder = tmp_path_factory.mktemp("escaping")
    write(folder)
    settings = {"extensions": EXTENSIONS, "nb_execution_mode": "off", "html_title": "A site", "html_theme": "basic"}
    settings["smartquotes"] = False  # they would make other quotes and dashes of them
    settings["myst_enable_extensions"] = yaml.safe_load(
        (Path(__file__).parents[2] / "_config.yml").read_text(encoding="utf-8")
    )["parse"]["myst_enable_extensions"]
    with pytest.MonkeyPatch.context() as patch, patch_docutils(), docutils_namespace():
        verdicts = dict.fromkeys(("item_item_value", "item_item_order"), VERDICT)
        patch.setattr(determines, "determined", lambda loss: Row(verdicts=verdicts))
        patch.setattr(determines, "LOSSES", ("evil",))
        warnings = io.StringIO()
        app = Sphinx(folder, None, folder / "out", folder / "tree", "html", settings, status=None, warning=warnings)
        app.build()
    pages = {path.stem: path.read_text(encoding="utf-8") for path in (folder / "out").glob("*.html")}
    return pages | {"warnings": warnings.getvalue()}


def as_seen(text):
    """A text as a reader of a page sees it: code without its quotes, a formula without its dollars."""
    return " ".join(CODE.sub(r"\1", text).split())


def test_nothing_of_it_is_a_warning(site):
    assert site["warnings"] == ""


@pytest.mark.parametrize("text", EVIL)
def test_a_claim_says_what_its_file_says(site, text):
    says = is_harmless(article(site["claims"]))
    for label in ("Instead", "Source"):
        assert f"{label}: {as_seen(text)}" in says


@pytest.mark.parametrize("text", BLOCKS)
def test_a_claim_opens_no_block(site, text):
    says = is_harmless(article(site["claims"]), tags=("table", "ul", "pre"))
    assert as_seen(text.replace("```", "`")).split()[-1].strip("`") in says


def test_a_claim_still_has_its_formulas_its_code_and_its_references(site):
    entry = site["claims"][site["claims"].rindex("evil-") :]
    assert r'<span class="math notranslate nohighlight">\(x &lt; y\)</span>' in entry
    assert r"\(\mathbb{R}^{{2}}\)" in entry
    assert "<em>all</em>" in entry and 'href="#claim-plain"' in entry and 'href="index.html#equation-eq-1"' in entry
    assert "code &lt;b&gt;" in entry.replace('<span class="pre">', "").replace("</span> ", " ")


@pytest.mark.parametrize("page", ["losses", "timings"])
def test_a_table_from_data_says_what_its_file_says(site, page):
    body = article(site[page])
    says = is_harmless(body)
    told = says.replace("\N{NO-BREAK SPACE}", " ")
    assert told.count(" ".join(TEXT.split())) == {"losses": 4, "timings": 4}[page]
    formulas = re.findall(r'<span class="math[^>]*>(.*?)</span>', body)
    assert formulas == {"losses": [], "timings": [r"\(10^{-9}\)"] * 1}[page]
    assert not {"em", "code", "pre"} & set(Reader(body).tags)


def test_the_search_gets_text_and_nothing_ends_its_script(site):
    found = re.search(r'<script type="application/json" id="search-words">(.*?)</script>', site["search"], re.DOTALL)
    (row,) = json.loads(found[1])
    assert row["words"] == ["evil", TEXT] and row["say"] == TEXT  # search.js sets both as text
    assert is_harmless(row["name"]) == html.unescape(row["name"]) == "On <img src=x onerror=alert(7)> and x < y"
    assert is_harmless(row["about"]) == "in Home"


def test_a_description_stays_in_its_attribute(site):
    head = site["index"].partition("</head>")[0]
    (meta,) = re.findall(r"<meta name=\"description\"[^>]*>", head)
    assert html.unescape(re.search(r'content="([^"]*)"', meta)[1]) == TEXT


def test_what_a_cell_prints_is_text(site):
    body = article(site["cells"])
    table = body[body.index('<table class="cossim-table">') : body.index("</table>")]
    assert is_harmless(table, tags=("i",)).startswith(" ".join(TEXT.split()))
    says = is_harmless(body.replace(table, ""), tags=("i",))
    assert says.count(" ".join(TEXT.split())) == 2  # what is printed, and the rule in the badge


@pytest.mark.parametrize("text", [*EVIL, *BLOCKS])
def test_literal_text_has_no_punctuation_of_its_own(text):
    written = data_text.literal(text)
    assert "\n" not in written
    assert re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", written) == " ".join(text.split())
    assert not re.search(r"(?<!\\)(?:\\\\)*[!-/:-@\[\]-`{-~]", re.sub(r"\\[!-/:-@\[-`{-~]", "", written))


# LaTeX


def test_no_text_is_a_command_in_print():
    from sphinx.util import texescape
    from typeset import escaped

    texescape.init()  # as the builder of the book does
    written = escaped(TEXT)
    assert r"\input" not in written and not re.search(r"(?<!\\)[$%&#_~^]", re.sub(r"\\\w+\{\}", "", written))
    assert re.findall(r"\\[a-zA-Z]+", written) and r"\textbackslash{}input" in written


# Objects and reports


def test_no_data_end_the_script_of_a_widget():
    written = payload.as_json({"words": TEXT})
    assert json.loads(written) == {"words": TEXT}
    assert "<" not in written
    data = simulate_interactions(50, 8, 2, rng=0)
    shown = dial(spectrum(data.X), data.X[:2], data.item_cluster, data.X.sum(axis=0), lam=1.0)
    for page in (shown.html, cone().html):
        assert page.count("<script") == page.count("</script>") == 2
    presets = [{"name": name} for name in ("{{more}}", TEXT, "{{rows}}", TEXT)]
    markup = payload._markup(shown, presets)
    assert "{{more}}" in markup and "{{rows}}" in markup  # a name is no place to be filled
    read = Reader(markup)
    assert read.tags.count("button") == markup.count("<button") and "img" not in read.tags
    assert read.says().count(" ".join(TEXT.split())) == 2


def test_a_file_name_is_text_in_a_report(monkeypatch):
    audit = audit_embeddings(np.random.default_rng(0).normal(size=(40, 4)), k=3, n_draws=2)
    page = audit_page(audit, TEXT)
    says = is_harmless(page)
    assert says.count(f"Audit of {' '.join(TEXT.split())}") == 2


def test_a_stamp_is_text_in_the_footer():
    said = provenance.footer(provenance.Revision("a" * 40, True), "<img src=x onerror=alert(1)>")
    assert "<img" not in said


def test_a_language_is_a_language():
    from languages import foreign

    pages = {"ja": {"lang": "ja"}, "index": {}}
    assert foreign(SimpleNamespace(metadata=pages)) == {"ja": {"lang": "ja"}}
    with pytest.raises(ExtensionError, match="lang is"):
        foreign(SimpleNamespace(metadata=pages | {"evil": {"lang": 'ja"><img'}}))


def test_the_losses_of_this_book_are_words():
    """So `literal` takes no markup from them that would have been meant."""
    for loss in determines.LOSSES:
        row = determined(loss)
        assert not re.search(r"[`$\\{}]", " ".join([row.label, row.rule, *map(determines.said, row.verdicts.values())]))

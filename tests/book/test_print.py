"""The book on paper, without LaTeX: what a small site says in HTML, its LaTeX says with the same numbers."""

import base64
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import in_print
import pytest
import typeset
import web_parts
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace, patch_docutils

from cossim_helpers import Table
from tools import pdf

pytestmark = pytest.mark.filterwarnings("ignore")  # of the extensions, about docutils

ROOT = Path(__file__).parents[2]
EXTENSIONS = [
    *("myst_nb", "sphinx_external_toc", "sphinx_design", "sphinx_proof", "sphinx_exercise", "sphinxcontrib.bibtex"),
    *("sphinx_multitoc_numbering", "equations", "tracks", "in_print"),
]
FIRST = """# Start

```{math}
:label: eq-01-first
a = b
```

```{prf:theorem} A name
:label: thm-01
Words.
```

## A section

Text.
"""
SECOND = """# Next

{prf:ref}`thm-01`, {prf:ref}`thm-02`, {eq}`eq-01-first`, {eq}`eq-02-own`, {eq}`eq-4`, {ref}`ex-02`, {numref}`fig-02`,
{cite:t}`key2024`, 日本語 and `a_long_name.of_code`.

```{math}
:label: eq-4
c = d
```

```{math}
:label: eq-02-own
e = f
```

```{prf:theorem} Another name
:label: thm-02
Words.
```

```{prf:proof}
Why.
```

```{figure} dot.png
:name: fig-02
A caption.
```

## Details: a fold

Folded words, a⁻¹, xᵀ and `ℓ`.

## Details: another fold

More of them.

## Exercises

```{exercise} Its name
:label: ex-02
Question?
```

```{solution-start} ex-02
:class: dropdown
```

Answer!

```{solution-end}
```

## Next chapter

:::{container} site-only
On the site only.
:::

:::{dropdown} A hint
Closed on the site.
:::

:::{container} doors
Three doors.
:::

<div class="button site-only">On the site only</div>

Shown <span class="a">in</span> both. Last words.
"""
TOC = """
format: jb-book
root: index
options: {numbered: false}
parts:
  - caption: One
    numbered: true
    chapters: [{file: first}]
  - caption: Two
    numbered: true
    chapters: [{file: second}, {file: cells}]
  - caption: Back
    chapters: [{file: bibliography}]
"""
TABLE = Table("What it shows", ("", "mean", "word"), [("a & b", 0.5, "yes"), "A heading", ("c", -1.25, "no_way")])
CHECKS = "[ok] a-claim (thm-02): |a - b| ≤ 1e-10\n[ok] a-claim (eq-4): |a - b| ≤ 1e-10, 3 times\n"


def drawn(source, folded):
    """Return a cell that shows a picture."""
    picture = base64.b64encode((ROOT / "book" / "_static" / "card.png").read_bytes()).decode()
    outputs = [{"output_type": "display_data", "data": {"image/png": picture}, "metadata": {}}]
    tags = {"tags": ["hide-input"]} if folded else {}
    cell = {"cell_type": "code", "id": f"c{len(source)}", "metadata": tags, "source": source}
    return cell | {"outputs": outputs, "execution_count": 2}


def notebook():
    bundle = {"text/html": TABLE.html, "text/plain": repr(TABLE)}
    outputs = [
        {"output_type": "stream", "name": "stdout", "text": f"printed\n{CHECKS}"},
        {"output_type": "display_data", "data": bundle, "metadata": {}},
    ]
    cells = [
        {"cell_type": "markdown", "id": "a", "metadata": {}, "source": "# Cells"},
        {"cell_type": "code", "id": "b", "metadata": {}, "source": "run()", "outputs": outputs, "execution_count": 1},
        *(drawn(*one) for one in [("plot()", True), ("plot(1)\ncheck(2)", True), ("plot(shown)", False)]),
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return json.dumps({"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5})


def build(folder, builder, extra=""):
    pages = {"first.md": FIRST, "second.md": SECOND + extra, "index.md": "# Home\n\nWelcome.\n", "_toc.yml": TOC}
    pages |= {"bibliography.md": "# Books\n\n```{bibliography}\n```\n", "cells.ipynb": notebook()}
    pages["refs.bib"] = "@book{key2024, author={Doe, Jane}, title={On it}, year={2024}, publisher={P}}"
    for name, text in pages.items():
        (folder / name).write_text(text, encoding="utf-8")
    shutil.copy(ROOT / "book" / "_static" / "card.png", folder / "dot.png")
    config = {
        "extensions": EXTENSIONS if builder == "print" else EXTENSIONS[:-1],
        "external_toc_path": "_toc.yml",
        "external_toc_exclude_missing": True,
        "use_multitoc_numbering": True,
        "html_title": "A small site",
        "author": "its authors",
        "nb_execution_mode": "off",
        "numfig": True,
        "math_numfig": True,
        "math_eqref_format": "({number})",
        "bibtex_bibfiles": ["refs.bib"],
        "bibtex_reference_style": "author_year",
        "myst_enable_extensions": ["dollarmath", "colon_fence"],
    }
    with patch_docutils(), docutils_namespace():
        app = Sphinx(folder, None, folder / builder, folder / f".{builder}", builder, config, status=None, warning=None)
        app.build()
        return app


@pytest.fixture(scope="module")
def latex(tmp_path_factory):
    folder = tmp_path_factory.mktemp("print")
    build(folder, "print")
    return (folder / "print" / "book.tex").read_text(encoding="utf-8").partition(r"\begin{document}")[2]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("html")
    build(folder, "html")
    return (folder / "html" / "second.html").read_text(encoding="utf-8")


def shown(latex):
    """Return what LaTeX shows of a text: without macros and braces."""
    return re.sub(r"[{}]", "", re.sub(r"\\[A-Za-z]+(\[[^]]*\])?", "", latex))


def test_numbers_are_the_sites(latex, page):
    html = re.sub(r"<[^>]+>", "", page)
    for reference in ("Theorem 1.1", "Theorem 2.1", "Exercise 2.1", "Fig. 2.1"):
        assert reference in html
        assert reference in shown(latex)
    for number in ("(1.1)", "(2.1)", "(4)"):  # the paper's equation 4 is (4) wherever it stands
        assert number in html
        assert f"]{{{number}}}" in latex
    assert re.findall(r"\\tag\{(.*?)\}", latex) == ["1.1", "4", "2.1"]
    assert re.findall(r"\\bookchapter\{(.*?)\}\{(.*?)\}\{(.*?)\}", latex)[:4] == [
        ("", "", "About this book"),
        ("Chapter", "1", "Start"),
        ("Chapter", "2", "Next"),
        ("Chapter", "3", "Cells"),
    ]
    assert r"\booksection{2.1}{Details: a fold}" in latex
    assert r"\begin{bookfigure}[!htb]{2.1}" in latex


def test_two_builds_in_two_folders_write_the_same(latex, tmp_path):
    build(tmp_path, "print")
    again = (tmp_path / "print" / "book.tex").read_text(encoding="utf-8")
    assert again.partition(r"\begin{document}")[2] == latex
    assert str(tmp_path) not in again


def test_every_label_is_there(latex):
    wanted = set(re.findall(r"\\hyperref\[\\detokenize\{(.*?)\}\]", latex))
    there = set(re.findall(r"\\label\{\\detokenize\{(.*?)\}\}", latex))
    assert {"second:thm-02", "second:equation-eq-4", "second:ex-02", "bibliography:id2"} & wanted
    # the ledger is no page of this small site
    assert not {label for label in wanted - there if not label.startswith("book/")}
    assert len(re.findall(r"\\label\{", latex)) == len(there)


def test_a_page_that_is_listed_is_in_the_book(latex):
    order = [
        latex.index(rf"\label{{\detokenize{{{name}::doc}}}}") for name in ("first", "second", "cells", "bibliography")
    ]
    assert order == sorted(order)


def test_each_environment_is_defined_and_closed(latex):
    defined = re.findall(
        r"^\\newenvironment\{(\w+)\}",
        (ROOT / "book" / "_ext" / "in_print.tex").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    begun, closed = (re.findall(rf"\\{word}\{{(book\w+)\}}", latex) for word in ("begin", "end"))
    assert Counter(begun) == Counter(closed)
    assert {"bookcell", "bookfoldedcode", "bookoutput", "bookdropdown", "bookdoors"} <= {*begun} <= {*defined}
    assert r"\midrule" + "\n" + r"\endhead" in latex  # a long table has its head on each page


def test_solutions_stand_at_the_end_of_their_chapter(latex):
    question, last, answer, following = map(latex.index, ("Question?", "Last words.", "Answer!", "{Cells}"))
    assert question < last < latex.index(r"\booksolutions") < answer < following
    assert re.search(r"\\begin\{booksolution\}\{Solution to .*Exercise 2\.1\}*\{Its name\}", latex)


def test_a_fold_is_set_apart(latex):
    fold = latex[latex.index(r"\begin{bookfold}") : latex.index(r"\end{bookfold}")]
    assert "Folded words" in fold and "Question?" not in fold


def test_folds_in_a_row_have_one_rule_between_them(latex):
    assert re.findall(r"\\begin\{bookfold\}\{(.*?)\}", latex) == [r"\bookfoldrule", ""]


def test_code_that_only_draws_and_is_folded_is_left_out(latex):
    cells = latex[latex.index("{Cells}") : latex.index("{Books}")]
    called = re.findall(r"plot(.*)", re.sub(r"\\PYG\{[\w+]+\}\{(.*?)\}", r"\1", cells))
    assert called == ["(1)", "(shown)"]  # one checks, the other is open on the site
    assert cells.count(r"\bookpicture") == 3


def test_a_table_is_a_table(latex):
    table = latex[latex.index(r"\begin{bookweb}") : latex.index(r"\end{bookweb}")]
    assert r"\begin{bookweb}{What it shows}{lrl}" in table
    assert r"a \& b & 0.50 & yes \\" in table
    assert r"c & −1.25 & no\_way \\" in table
    assert r"\multicolumn{3}{l}{\textit{A heading}} \\" in table
    assert r"\textit{A heading}} \\*" in table  # it is not left behind
    assert "<t" not in latex
    assert typeset.room(3) < typeset.room(16) > typeset.room(17)  # a long table may be torn


def test_checks_are_one_line(latex):
    assert "[ok]" not in latex
    line = re.search(r"\\bookchecks\{(.*)\}", latex)[1]
    assert shown(line).startswith("4 checks: Theorem 2.1, (4) · ")
    assert latex.index("printed") < latex.index(r"\bookchecks")


def test_signs_that_a_font_lacks_come_from_another(latex, monkeypatch):
    assert r"\bookcjk{日本語}" in latex
    assert r"a\_\allowbreak{}long\_\allowbreak{}name.\allowbreak{}of\_\allowbreak{}code" in latex
    fonts = dict.fromkeys((*typeset.TEXT, *typeset.CODE), frozenset("a−i")) | {"STIXMath-Regular.otf": {"ℓ"}}
    monkeypatch.setattr(typeset, "signs_of", fonts.get)
    typeset.sign.cache_clear()
    try:
        assert typeset.escaped("a⁻ᵢ") == r"a\textsuperscript{−}\textsubscript{i}"
        assert typeset.escaped("ℓ", typeset.CODE) == r"\bookmathsign{ℓ}"
        with pytest.raises(typeset.ExtensionError, match=r"no font of the book has '☃' \(U\+2603\)"):
            typeset.escaped("☃")
    finally:
        typeset.sign.cache_clear()


def test_no_html_is_lost(latex, tmp_path):
    assert "On the site only" not in latex and "Shown in both" in " ".join(latex.split())
    with pytest.raises(Exception, match="second: HTML has nothing for print: '<p>a'"):
        build(tmp_path, "print", "\n```{raw} html\n<p>a\n```\n")
    with pytest.raises(ValueError, match="a table holds <div>"):
        web_parts.html_table("<table><tbody><tr><td><div>a</div></td></tr></tbody></table>")
    with pytest.raises(ValueError, match="print does not know <a>"):
        web_parts.inline("b <a>")


def test_the_drawing_of_the_guide_is_drawn_whole():
    svg = (ROOT / "book" / "_static" / "decide.svg").read_text(encoding="utf-8")
    drawn = web_parts.drawing(svg)
    assert drawn.count("rectangle") == svg.count("<rect")
    assert drawn.count(r"\node") == svg.count("<text")
    assert drawn.count(r"\path[way]") == 6 and drawn.count(r"\path[head]") == 6
    assert r"\path[way] (160.0,43.0) -- (196.0,43.0);" in drawn
    assert r"\path[head] (202.0,43.0) -- (194.0,39.0) -- (194.0,47.0) -- cycle;" in drawn
    with pytest.raises(ValueError, match="holds <circle>"):
        web_parts.drawing(svg.replace("<rect x", '<circle r="1"/><rect x', 1))


def test_columns_are_as_wide_as_low_rows_want():
    shares, total = typeset.widths([["a", "bb"], ["cc", "d"]])
    assert (shares, total) == ([4, 4], 8)  # a narrow table stays narrow
    shares, total = typeset.widths([["case", "much to read " * 20, "less to read " * 5]])
    assert sum(shares) == total == typeset.WIDEST
    assert shares[0] == 6 < shares[2] < shares[1]


def test_a_formula_is_one_word_in_a_table():
    formula = nodes.math("", r"\Omega_A (XA)^\top")
    entry = nodes.entry("", nodes.paragraph("", "", nodes.Text("a cell "), formula))
    assert typeset.seen(entry) == "a cell " + "x" * 10


def test_code_is_wider_than_words_in_a_table():
    entry = nodes.entry("", nodes.paragraph("", "", nodes.Text("a "), nodes.literal(text="long_name")))
    assert typeset.seen(entry) == "a longx_namex"


def test_the_ledger_names_a_file_of_tests_once():
    tests = [nodes.literal(text=name) for name in ("test_a.py::test_1", "test_a.py::test_2", "test_b.py::test_3")]
    said = "".join(part.astext() for part in in_print.by_file([tests[0], nodes.Text(", "), *tests[1:]]))
    assert said == "test_a.py: test_1, test_2; test_b.py: test_3"
    assert [part.astext() for part in in_print.by_file([nodes.Text("none yet")])] == ["none yet"]


@pytest.mark.parametrize(("badge", "verdict", "same"), [("holds", "holds", True), ("holds if …", "holds if a", False)])
def test_the_ledger_gives_a_verdict_once(badge, verdict, same):
    line = nodes.paragraph("", "", nodes.strong(text="Verdict:"), nodes.Text(" "), nodes.Text(verdict))
    term = nodes.term("", "", nodes.literal(text="a-claim"), nodes.Text(" "), nodes.inline(text=badge))
    nodes.definition_list_item("", term, nodes.definition("", line))
    assert in_print.repeated(line) is same


def test_the_ledger_gives_the_pages_of_a_heading_together():
    class Page(in_print.Page):
        def __init__(self):
            anchors = {name: ("book/a", name, "") for name in ("x-1", "x-2", "y")}
            domain = SimpleNamespace(anonlabels=anchors)
            self.env = SimpleNamespace(get_domain=lambda name: domain)

    named = [("x-1", "Name"), ("x-2", "Name (2)"), ("y", "Other")]
    links = [in_print.addnodes.pending_xref("", nodes.inline(text=text), reftarget=to) for to, text in named]
    said = [part.astext() for part in Page().places(links)]
    assert said == ["Name", r", \bookpages{book/a:x-1,book/a:x-2}", "; ", "Other", r", \bookpages{book/a:y}"]
    assert [part.astext() for part in Page().places([nodes.Text("no check yet")])] == ["no check yet"]


def test_a_heading_with_a_formula_has_a_bookmark():
    assert typeset.spoken(r"D") == "D"
    assert typeset.spoken(r"\lambda \to \infty") == "λ→∞"
    with pytest.raises(ValueError, match=r"a heading has \\mathcal"):
        typeset.spoken(r"\mathcal{C}")


# --- the tool ---


def test_it_says_what_to_install(monkeypatch, capsys):
    assert pdf.missing(find=lambda file: True) == []
    assert pdf.missing(find=lambda file: not file.startswith("STIX")) == ["fonts-stix"]
    assert pdf.line_to_type(["a", "b"], root=True) == "apt-get install --no-install-recommends a b"
    assert pdf.line_to_type(["a"], root=False) == "sudo apt-get install --no-install-recommends a"
    monkeypatch.setenv("PATH", "")
    assert pdf.main([]) == 1
    said = capsys.readouterr().err
    assert "apt-get install --no-install-recommends texlive-xetex" in said and said.count("\n") == 1


def test_it_lists_what_is_missing_without_any_package_of_ours():
    """As .ci/run and the workflows ask, before there is an environment."""
    command = [sys.executable, "-I", "-S", ROOT / "tools" / "pdf.py", "--missing"]
    listed = subprocess.run(command, capture_output=True, text=True, env={"PATH": ""})
    assert listed.stdout.split()[0] == "texlive-xetex", listed.stderr
    assert set(listed.stdout.split()) <= set(pdf.PACKAGES)


def test_an_edition_has_the_day_of_its_commit(tmp_path):
    assert pdf.written(environ={"SOURCE_DATE_EPOCH": "86400"}) == 86400
    assert pdf.written(root=tmp_path, environ={}) is None
    assert re.fullmatch(r"version \d+\.\d+\.\d+, 2 January 1970", pdf.edition(86400))
    assert re.fullmatch(r"version \d+\.\d+\.\d+", pdf.edition(None))


def test_what_latex_only_warns_of_is_an_error():
    log = (
        "Missing character: There is no ☃ (U+2603) in font STIX!\n"
        "Overfull \\hbox (10.5pt too wide) in paragraph at lines 1--2\n"
        "Overfull \\hbox (9.5pt too wide) in paragraph at lines 3--4\n"
        "LaTeX Warning: Hyper reference `a:b' on page 3 undefined on input line 5.\n"
        "LaTeX Warning: Label `a:b' multiply defined.\n"
        "LaTeX Font Warning: Some font shapes were not available.\n"
    )
    assert len(pdf.complaints(log)) == 4
    assert not any("9.5pt" in line or "shapes" in line for line in pdf.complaints(log))

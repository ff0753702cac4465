"""Finding one's way: what each page says of itself, the words and the questions, names for the search, 404.html."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import wayfinding
import yaml

from tools.notebooks import loads

ROOT = Path(__file__).parents[2]
BOOK = ROOT / "book"
NOTEBOOKS = sorted(BOOK.glob("*.ipynb"))
PAGES = sorted([*NOTEBOOKS, *BOOK.glob("*.md")])
LEDGER = yaml.safe_load((ROOT / "cossim_helpers" / "claims.yml").read_text(encoding="utf-8"))
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
LISTED = [Path(chapter["file"]).name for part in TOC["parts"] for chapter in part["chapters"]]
TABLE = re.search(r"```\{list-table\}.*?```", (BOOK / "index.md").read_text(encoding="utf-8"), re.DOTALL)[0]
MYTHS = re.split(r"^### ", (BOOK / "myths.md").read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]


def metadata(path):
    """Return the front matter of a page, or the metadata of a notebook."""
    text = path.read_text(encoding="utf-8")
    return json.loads(text)["metadata"] if path.suffix == ".ipynb" else yaml.safe_load(text.split("---\n")[1])


def printed():
    """Return all that the notebooks print."""
    outputs = [
        output
        for path in NOTEBOOKS
        for cell in loads(path.read_text(encoding="utf-8")).cells
        for output in cell.get("outputs", [])
    ]
    return "".join(output.get("text", "") for output in outputs)


# What a page says of itself


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_each_page_has_a_description_of_its_own(path):
    description = metadata(path)["description"]
    assert 50 <= len(description) <= 160
    assert description.endswith(".")
    assert [other.name for other in PAGES if metadata(other)["description"] == description] == [path.name]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_each_chapter_says_how_long_it_takes_and_where_it_stands_in_the_paper(path):
    """The box at its top agrees with the line under its title, which is computed."""
    box = loads(path.read_text(encoding="utf-8")).cells[0].source
    assert re.search(r"\*\*Time:\*\* (\d+) minutes to read", box)[1] == str(wayfinding.length(path).minutes())
    assert re.search(r"\*\*In the paper:\*\* (nothing|.*?Sections? \d)", box)


def test_what_is_read_is_counted(tmp_path):
    first = "\n".join(
        [
            "# Two words",
            "",
            "```{note}",
            ":class: tip",
            "It is $a + b$, see {term}`this <that>`.",
            "```",
            "",
            "```{math}",
            ":label: eq-x",
            "a = b",
            "```",
            "",
            "$$",
            "c = d",
            "$$",
            "",
            "(sec-label)=",
            "## More",
        ]
    )
    second = "Last word.\n\n## Exercises\n\n```{exercise} Not read\n```\n\n```{exercise-start} Neither\n```"
    figure = {"output_type": "display_data", "data": {"image/png": ""}}
    cells = [
        {"cell_type": "markdown", "source": first.splitlines(keepends=True)},
        {"cell_type": "code", "source": "a = 1\n\nb = 2", "outputs": [figure]},
        {"cell_type": "markdown", "source": second},
        {"cell_type": "code", "source": "c = 3", "outputs": [figure]},
    ]
    path = tmp_path / "chapter.ipynb"
    path.write_text(json.dumps({"cells": cells}), encoding="utf-8")
    assert wayfinding.length(path) == wayfinding.Length(words=11, equations=2, code_lines=2, figures=1, exercises=2)
    page = tmp_path / "page.md"
    page.write_text("---\ndescription: Not read.\n---\n" + first, encoding="utf-8")
    assert wayfinding.length(page) == wayfinding.Length(words=9, equations=2, code_lines=0, figures=0, exercises=0)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (0, ""),
        (74, ""),
        (75, "1 minute to read"),
        (1_200, "8 minutes to read"),
        (1_500, "10 minutes to read"),
        (1_874, "10 minutes to read"),
        (1_875, "15 minutes to read"),
    ],
)
def test_reading_times_are_rounded(words, sentence):
    assert wayfinding.Length(words, 0, 0, 0, 0).sentence() == sentence


def test_a_reading_time_counts_everything():
    assert wayfinding.Length(150, 3, 30, 3, 4).sentence() == "4 minutes to read, and 4 exercises"


# Questions, myths and words


def test_the_table_of_questions_leads_to_every_chapter():
    rows = re.findall(r"^\* - (.+)\n  - (.+)\n  - (.+)$", TABLE, re.MULTILINE)[1:]
    assert len(rows) == TABLE.count("* - ") - 1
    linked = [name for *_, chapter in rows for name in re.findall(r"\{doc\}`(\w+)`", chapter)]
    assert set(linked) <= set(LISTED)
    reference = {"notation", "glossary", "myths", "claims", "api"}
    assert {name for name in LISTED if name[0].isdigit()} | reference <= set(linked)
    assert all(question.rstrip().endswith("?") and answer.endswith(".") for question, answer, _ in rows)


@pytest.mark.parametrize(
    "question",
    [
        "unique and yet not the truth",
        "layer normalization in a matrix factorization",
        "do not commute",
        "two item matrices",
        "train for the cosine",
        "sentences and a vector database",
        "Should I use the dot product",
        "too sensitive to magnitude",
        "word2vec a matrix factorization",
    ],
)
def test_what_readers_of_the_paper_ask_is_in_the_table(question):
    assert question in TABLE


@pytest.mark.parametrize("myth", MYTHS, ids=lambda myth: myth.split('"')[1])
def test_each_myth_is_answered_by_checked_claims(myth):
    answer, _, checked = myth.partition("*Checked by* ")
    assert re.match(r'"[^"\n]+"\n\n\*\*[A-Z][^*]+\.\*\*', answer)  # the sentence, and a verdict on it
    cited = re.findall(r"\{claim\}`([\w-]+)`", checked)
    assert cited
    assert set(cited) <= {claim["id"] for claim in LEDGER["claims"]} - set(LEDGER["pending"])


@pytest.mark.parametrize("text", [TABLE, *MYTHS], ids=lambda text: text.split('"')[1])
def test_results_in_numbers_are_printed_by_a_chapter(text):
    numbers = set(re.findall(r"\d+\.\d+%?|\d+%", text))
    if '"A cosine of 0.4 means' in text:
        numbers.discard("0.4")  # the myth's own
    assert numbers <= set(re.findall(r"\d+\.\d+%?|\d+%", printed()))


def test_the_words_are_defined_once_and_briefly():
    text = (BOOK / "glossary.md").read_text(encoding="utf-8")
    body = re.search(r"```\{glossary\}\n:sorted:\n(.*?)```", text, re.DOTALL)[1]
    entries = re.findall(r"^(\S.*)\n((?:  .*\n?)+)", body, re.MULTILINE)
    names = [name for name, _ in entries]
    assert len(names) == len({name.lower() for name in names}) >= 35
    assert [name for name, definition in entries if wayfinding.prose_length(definition)[0] > 60] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_each_chapter_links_words_to_the_glossary(path):
    text = "\n".join(cell.source for cell in loads(path.read_text(encoding="utf-8")).cells)
    links = re.findall(r"\{term\}`([^`]+)`", text)
    assert len(links) >= 3
    words = [re.sub(r".*<(.*)>", r"\1", link, flags=re.DOTALL).lower() for link in links]
    assert len(words) == len(set(words)), "a chapter links a word where it first uses it"


# The extension on a small book


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    source = tmp_path_factory.mktemp("source")
    (source / "book").mkdir()
    (source / "conf.py").write_text(
        f"""
import sys
sys.path.insert(0, {str(BOOK / "_ext")!r})
extensions = ["myst_parser", "sphinx_proof", "sphinx_exercise", "equations", "wayfinding"]
myst_enable_extensions = ["dollarmath"]
numfig = math_numfig = True
html_static_path = [{str(BOOK / "_static")!r}]
html_baseurl = "https://example.org/book-of-ada/"
""",
        encoding="utf-8",
    )
    (source / "index.md").write_text(
        """---
description: A "small" <book>.
---
# Book

```{toctree}
:numbered:
one
```
""",
        encoding="utf-8",
    )
    (source / "one.md").write_text(
        "# One\n\n"
        + "word " * 300
        + """

```{math}
:label: eq-5
a = b
```

```{math}
:label: eq-01-some-name
c = d
```

````{prf:theorem} A truth (an odd one)
:label: thm-truth
It holds.
````

````{prf:lemma}
:label: lem-unnamed
It holds as well.
````

```{exercise} Try *it*
:label: ex-try
Do.
```
""",
        encoding="utf-8",
    )
    lost = "---\norphan: true\nnosearch: true\n---\n# Lost\n\n{doc}`/one`\n" + "word " * 300
    (source / "book" / "404.md").write_text(lost, encoding="utf-8")
    out = source / "out"
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "-n", source, out]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out


def test_the_search_knows_names_and_their_places(site):
    index = json.loads((site / "searchindex.js").read_text(encoding="utf-8").removeprefix("Search.setIndex(")[:-1])
    kinds = {int(number): names[2] for number, names in index["objnames"].items()}
    found = {
        f"{prefix}.{name}" if prefix else name: (index["docnames"][doc], kinds[kind], anchor)
        for prefix, entries in index["objects"].items()
        for doc, kind, _, anchor, name in entries
    }
    assert found == {
        "Eq. 5: one solution of the first objective": ("one", "equation", "equation-eq-5"),
        "Eq. 1.1: some name": ("one", "equation", "equation-eq-01-some-name"),
        "Theorem 1.1: A truth (an odd one)": ("one", "theorem or lemma", "thm-truth"),
        "Exercise 1.1: Try it": ("one", "exercise", "ex-try"),
    }
    page = (site / "one.html").read_text(encoding="utf-8")
    assert all(f'id="{anchor}"' in page for _, _, anchor in found.values())
    assert "lost" not in index["titleterms"]


@pytest.mark.parametrize("anchor", ["equation-eq-5", "thm-truth", "lem-unnamed", "ex-try"])
def test_equations_results_and_exercises_link_to_themselves(site, anchor):
    assert f'class="headerlink" href="#{anchor}"' in (site / "one.html").read_text(encoding="utf-8")


def test_a_page_says_how_long_it_takes_and_what_it_is_about(site):
    assert '<p class="reading-time">3 minutes to read, and 1 exercise</p>' in (site / "one.html").read_text("utf-8")
    landing = (site / "index.html").read_text(encoding="utf-8")
    assert "reading-time" not in landing
    assert '<meta name="description" content="A &#34;small&#34; &lt;book&gt;." />' in landing
    generated = {name: (site / f"{name}.html").read_text(encoding="utf-8") for name in wayfinding.GENERATED}
    assert all('<meta name="description"' in page for page in generated.values())
    assert "search_names.js" in generated["search"]
    assert "search_names.js" not in landing + generated["genindex"]


def test_the_page_for_lost_readers_works_at_any_address(site):
    assert not (site / "book" / "404.html").exists()
    page = (site / "404.html").read_text(encoding="utf-8")
    assert 'href="/book-of-ada/one.html"' in page
    assert "reading-time" not in page
    links = re.findall(r'\b(?:href|src|action|data-content_root)="([^"#]+)"', page)
    assert [link for link in links if not re.match(r"/book-of-ada/|https?:", link)] == []
    inside = [link.removeprefix("/book-of-ada/").split("?")[0] for link in links if link.startswith("/book-of-ada/")]
    assert [link for link in inside if link and not (site / link).exists() and "404" not in link] == []


@pytest.mark.parametrize(
    ("environ", "baseurl", "path"),
    [
        ({}, "", "/"),
        ({"GITHUB_REPOSITORY": "ada/book"}, "", "/book/"),
        ({"GITHUB_REPOSITORY": "Ada/ada.github.io"}, "", "/"),
        ({"GITHUB_REPOSITORY": "ada/book"}, "https://example.org/", "/"),
        ({"GITHUB_REPOSITORY": "ada/book"}, "https://example.org/sub/dir", "/sub/dir/"),
    ],
)
def test_the_site_stands_under_the_name_of_its_repository(environ, baseurl, path):
    assert wayfinding.base_path(environ, baseurl) == path


@pytest.mark.parametrize(
    ("link", "absolute"),
    [
        ("../_static/a.css?v=1", "/r/_static/a.css?v=1"),
        ("index.html#x", "/r/book/index.html#x"),
        ("../", "/r/"),
        ("#main", "#main"),
        ("", ""),
        ("https://example.org/x", "https://example.org/x"),
        ("data:,", "data:,"),
        ("/x", "/x"),
    ],
)
def test_relative_links_become_absolute(link, absolute):
    assert wayfinding.with_absolute_links(f'<a href="{link}">', "/r/book/404.html") == f'<a href="{absolute}">'

"""Finding one's way: what each page says of itself, the words and the questions, names for the search, 404.html."""

import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import tracks
import wayfinding
import yaml

from tools import terms, toc
from tools.notebooks import loads

ROOT = Path(__file__).parents[2]
BOOK = ROOT / "book"
NOTEBOOKS, PAGES = toc.notebooks(), toc.pages()
LEDGER = yaml.safe_load((ROOT / "cossim_helpers" / "claims.yml").read_text(encoding="utf-8"))
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
LISTED = [Path(chapter["file"]).name for part in TOC["parts"] for chapter in part["chapters"]]
TABLES = re.findall(r"```\{list-table\}.*?```", (BOOK / "questions.md").read_text(encoding="utf-8"), re.DOTALL)
TABLE = "\n".join(TABLES)
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
    assert description.endswith((".", "。"))
    assert [other.name for other in PAGES if metadata(other)["description"] == description] == [path.name]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_each_chapter_says_how_long_it_takes_and_where_it_stands_in_the_paper(path):
    """The box at its top agrees with the line under its title, which is computed."""
    box = loads(path.read_text(encoding="utf-8")).cells[0].source
    main, details = (length.minutes() for length in tracks.lengths(path))
    time = f"{main} minutes for the main line, {details} more with the details"
    assert f"**Time:** {time}" in box
    assert re.search(r"\*\*In the paper:\*\* (nothing|.*?Sections? \d)", box)


# Questions, myths and words


def chapter_of(label):
    """Return the name of the page on which a label stands."""
    found = [
        path.stem for path in PAGES if re.search(rf"\({label}\)=|:label: {label}(?![\w-])", path.read_text("utf-8"))
    ]
    return found[0]


def test_the_tables_of_questions_lead_to_every_chapter():
    rows = re.findall(r"^\* - (.+)\n  - (.+)\n  - (.+)$", TABLE, re.MULTILINE)
    rows = [row for row in rows if row[0] != "Question"]
    assert len(rows) == TABLE.count("* - ") - len(TABLES)
    pages = {name for *_, where in rows for name in re.findall(r"\{doc\}`(\w+)`", where)}
    labels = {
        label for *_, where in rows for label in re.findall(r"\{(?:ref|prf:ref|eq)\}`(?:[^`<]*<)?([\w-]+)>?`", where)
    }
    linked = pages | {chapter_of(label) for label in labels}
    assert linked <= {"index", *LISTED}
    reference = {"notation", "glossary", "myths", "claims", "api", "benchmarks", "decide"}
    assert {name for name in LISTED if name[0].isdigit()} | reference <= linked


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
    assert set(cited) <= {claim["id"] for claim in LEDGER["claims"]}


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
    assert [name for name, definition in entries if tracks.of_prose(definition).words > 60] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_each_chapter_links_words_to_the_glossary(path):
    text = "\n".join(cell.source for cell in loads(path.read_text(encoding="utf-8")).cells)
    links = re.findall(r"\{term\}`([^`]+)`", text)
    assert len(links) >= 3
    words = [re.sub(r".*<(.*)>", r"\1", link, flags=re.DOTALL).lower() for link in links]
    assert len(words) == len(set(words)), "a chapter links a word once"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_word_is_linked_where_a_chapter_first_uses_it(path):
    cells = terms.prose(loads(path.read_text(encoding="utf-8")))
    assert [word for word in terms.words() if terms.first_use(cells, word)] == [], "run: python -m tools.terms --write"


def test_each_word_of_the_glossary_is_linked_from_somewhere():
    text = "".join(path.read_text(encoding="utf-8") for path in PAGES)
    linked = {terms.meant(link) for link in terms.LINK.finditer(text.replace("\\n", " "))}
    assert [word for word in terms.words() if word.lower() not in linked] == []


@pytest.mark.parametrize(
    ("text", "use"),
    [
        ("The rank is 3.", "rank"),
        ("{term}`rank` is one, rank another.", None),
        ("Ranks, then {term}`ranks <rank>`.", "Ranks"),
        ("# The rank\n\n`rank` $rank$ [rank](#rank) ranked low-rank", None),
        ("```{math}\nrank\n```\n\n| rank |", None),
    ],
)
def test_a_first_use_is_found_in_prose_alone(text, use):
    cells = [nbformat.v4.new_markdown_cell(text)]
    found = terms.first_use(cells, "rank")
    assert (found and found[1][0]) == use


def test_a_first_use_takes_the_link():
    cells = [nbformat.v4.new_markdown_cell(text) for text in ("Low ranks.", "See {term}`the rank <rank>`.")]
    terms.link_first_use(cells, "rank")
    assert [cell.source for cell in cells] == ["Low {term}`ranks <rank>`.", "See the rank."]


# The extension on a small book


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    source = tmp_path_factory.mktemp("source")
    (source / "book").mkdir()
    (source / "conf.py").write_text(
        f"""
import sys
sys.path.insert(0, {str(BOOK / "_ext")!r})
extensions = ["myst_parser", "sphinx_proof", "sphinx_exercise", "equations", "tracks", "wayfinding"]
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
    assert '<p class="reading-time">3 minutes to read and 1 exercise</p>' in (site / "one.html").read_text("utf-8")
    landing = (site / "index.html").read_text(encoding="utf-8")
    assert "reading-time" not in landing
    assert '<meta name="description" content="A &#34;small&#34; &lt;book&gt;." />' in landing
    generated = {name: (site / f"{name}.html").read_text(encoding="utf-8") for name in wayfinding.GENERATED}
    assert all('<meta name="description"' in page for page in generated.values())
    assert "search.js" in generated["search"]
    assert "search.js" not in landing + generated["genindex"]


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

"""The two tracks of a chapter: main line and details, how long they take, and what each chapter keeps to."""

import json
import statistics
from pathlib import Path

import pytest
import tracks
from docutils import nodes
from docutils.core import publish_doctree

from tools import toc
from tools.notebooks import loads

BOOK = Path(__file__).parents[2] / "book"
CHAPTERS = [path for path in toc.notebooks() if path.name[0].isdigit()]


def page(folder, *cells):
    """Store a notebook of these cells: a str is markdown, a tuple is (code, outputs, tags)."""
    path = folder / "chapter.ipynb"
    stored = [
        {"cell_type": "markdown", "source": cell.splitlines(keepends=True)}
        if isinstance(cell, str)
        else {"cell_type": "code", "source": cell[0], "outputs": cell[1], "metadata": {"tags": cell[2]}}
        for cell in cells
    ]
    path.write_text(json.dumps({"cells": stored}), encoding="utf-8")
    return path


FIGURE = {"output_type": "display_data", "data": {"image/png": ""}}
TABLE = {
    "output_type": "execute_result",
    "data": {"text/html": ["<table>", "…</table>"], "text/plain": ["one caption\n", "a  b\n", "c  7"]},
}
PRINTED = {"output_type": "stream", "name": "stdout", "text": "7\n[ok] eq5: at most 1\n\n8\n"}
TEXT = """# Two words

```{note}
:class: tip
It is $a + b$, see {term}`this <that>`.
```

```{math}
:label: eq-x
a = b
```

$$
c = d
$$

(sec-label)=
## More
"""


def test_what_is_read_is_counted(tmp_path):
    path = page(
        tmp_path,
        TEXT,
        ("a = 1\n\nb = 2", [FIGURE, TABLE, PRINTED], []),
        ("folded = 1", [], ["hide-input"]),
        "Last word.\n\n## Exercises\n\n```{exercise} Not read\n```\n\n```{exercise-start} Neither\n```",
        ("c = 3", [FIGURE], []),
    )
    main, details = tracks.lengths(path)
    assert main == tracks.Length(words=9, formulas=1, equations=2, code_lines=2, printed_lines=5, figures=1)
    assert details == tracks.Length()
    assert tracks.exercises(path) == 2


def test_a_page_without_cells_is_read_too(tmp_path):
    path = tmp_path / "page.md"
    path.write_text("---\ndescription: Not read.\n---\n" + TEXT, encoding="utf-8")
    assert tracks.lengths(path) == (tracks.Length(words=7, formulas=1, equations=2), tracks.Length())
    assert tracks.exercises(path) == 0


def test_a_fold_ends_with_the_next_heading_of_its_level(tmp_path):
    path = page(
        tmp_path,
        "# One\n\n## Two\n\n### Details: three four",
        ("a = 1", [], []),
        "#### Inside\n\nOne two three.\n\n```python\n## no heading\n```",
        ("b = 2", [FIGURE], []),
        "## Out\n\nSix more.\n\n## Details: to the end\n\nSeven.",
        ("c = 3\nd = 4", [], []),
    )
    main, details = tracks.lengths(path)
    assert main == tracks.Length(words=5)
    assert details == tracks.Length(words=3 + 6 + 5, code_lines=4, figures=1)


@pytest.mark.parametrize(
    "box",
    [
        "```{dropdown} Hint\nOne two.\n```",
        "````{admonition} Symbols\n:class: dropdown\nOne two.\n````",
        ":::{admonition} Symbols\n:class: note dropdown\nOne two.\n:::",
    ],
)
def test_a_box_that_opens_by_a_click_is_a_detail(tmp_path, box):
    main, details = tracks.lengths(page(tmp_path, f"One.\n\n{box}\n\nTwo three."))
    assert (main.words, details.words) == (3, 2)


@pytest.mark.parametrize(
    ("words", "minutes"), [(74, 0), (75, 1), (1_200, 8), (1_500, 10), (1_874, 10), (1_875, 15), (4_500, 30)]
)
def test_reading_times_are_rounded(words, minutes):
    assert tracks.Length(words=words).minutes() == minutes


def test_a_reading_time_counts_everything():
    length = tracks.Length(words=150, formulas=10, equations=2, code_lines=30, printed_lines=60, figures=3)
    assert length.minutes() == 1 + 1 + 1 + 1 + 1 + 1


@pytest.mark.parametrize(
    ("cells", "sentence"),
    [
        ([""], ""),
        (["word " * 150], "1 minute to read"),
        (["word " * 300 + "\n\n## Details: more\n\n" + "word " * 449], "2 minutes to read and 3 more with the details"),
        (
            ["word " * 300 + "\n\n## Exercises\n\n```{exercise} One\n```"],
            "2 minutes to read and 1 exercise",
        ),
        (
            [
                "word " * 300,
                "## Details: a\n" + "word " * 299,
                "## Exercises\n\n```{exercise} One\n```\n```{exercise} Two\n```",
            ],
            "2 minutes to read, 2 more with the details and 2 exercises",
        ),
    ],
)
def test_a_page_says_how_long_it_takes(tmp_path, cells, sentence):
    assert tracks.sentence(page(tmp_path, *cells)) == sentence


# On the page


def test_a_fold_wraps_its_whole_section():
    document = publish_doctree(
        "Page\n====\n\nTwo\n---\n\nDetails: three\n~~~~~~~~~~~~~~\n\nInside.\n\nIn\n..\n\nToo.\n\nOut\n---\n\nAfter."
    )
    tracks.Fold(document).run()
    shown = [
        node.astext() if isinstance(node, nodes.raw | nodes.title) else "text"
        for node in document.findall(lambda node: isinstance(node, nodes.raw | nodes.title | nodes.paragraph))
    ]
    start = shown.index('<details class="fold"><summary>')
    assert shown[start:] == [
        '<details class="fold"><summary>',
        "Details: three",
        "</summary>",
        "text",
        "In",
        "text",
        "</details>",
        "Out",
        "text",
    ]


# What each chapter keeps to


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.name)
def test_a_main_line_is_short(path):
    main, _ = tracks.lengths(path)
    words, minutes = tracks.LONGEST["words"], tracks.LONGEST["minutes"]
    say = 'cut, or put a section behind a heading that starts with "Details: "'
    assert main.words <= words, f"the main line has {main.words} words, at most {words}: {say}"
    assert main.seconds() <= 60 * minutes, f"the main line takes {main.seconds():.0f} s, at most {60 * minutes}: {say}"


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.name)
def test_a_picture_comes_in_the_first_third(path):
    words = figure_at = 0
    for folded, kind, text, cell in tracks.stretches(loads(path.read_text(encoding="utf-8")).cells):
        if folded:
            continue
        if kind == "markdown":
            words += tracks.of_prose(text).words
        elif tracks.of_cell(cell).figures and not figure_at:
            figure_at = words
    assert 0 < figure_at <= words / 3


@pytest.mark.parametrize("path", toc.notebooks(), ids=lambda path: path.name)
def test_cells_are_short(path):
    cells = [cell for cell in loads(path.read_text(encoding="utf-8")).cells if cell.cell_type == "code"]
    lines = [len(cell.source.splitlines()) for cell in cells]
    assert max(lines) <= 25
    assert statistics.median(lines) <= 12
    assert "hide-input" in cells[0].metadata.get("tags", []), "the first cell sets up the chapter, and is folded"


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.name)
def test_code_follows_code_only_in_folds_and_exercises(path):
    """On the main line each cell has a sentence that says what to look at."""
    before = None
    for folded, kind, _, cell in tracks.stretches(loads(path.read_text(encoding="utf-8")).cells):
        widget = "remove-output" in cell.metadata.get("tags", [])
        follows = (folded, kind, before) == (False, "code", "code") and not widget
        assert not follows, f"no text stands between {cell.id} and the code before it: say what to look at"
        before = "code" if kind == "code" and not folded else None


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.name)
def test_a_chapter_lets_its_reader_predict(path):
    source = "\n\n".join(
        cell.source for cell in loads(path.read_text(encoding="utf-8")).cells if cell.cell_type == "markdown"
    )
    titles = [line for line in source.splitlines() if line.lstrip("`:").startswith(("{exercise}", "{exercise-start}"))]
    assert sum("Predict, then run" in title for title in titles) >= 2
    assert not [title for title in titles if "★" not in title]
    stars = [title.count("★") for title in titles]
    assert stars == sorted(stars)

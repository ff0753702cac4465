"""What readers type: each word of search.yml leads to one place, which exists, and says what stands there."""

import json
import re
import subprocess
import sys
from pathlib import Path

import lookup
import pytest

from tools import terms
from tools.measured import measured

BOOK = Path(__file__).parents[2] / "book"
ROWS = lookup.rows(BOOK)
LABELS = (Path(__file__).parent / "labels.txt").read_text(encoding="utf-8").split()
TERMS = {f"term-{re.sub('[^A-Za-z0-9]+', '-', word)}" for word in terms.words()}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row["words"][0]))
def test_a_row_leads_to_a_place_and_says_what_stands_there(row):
    assert set(row) == {"words", "label", "say"}
    assert row["label"] in LABELS or row["label"] in TERMS
    assert row["say"].endswith((".", "。"))
    assert len(row["say"]) <= 140
    assert measured(row["say"]) == []  # nothing would notice if it changed


def test_a_word_leads_to_one_place():
    words = [str(word).lower() for row in ROWS for word in row["words"]]
    assert sorted(words) == sorted(set(words))


@pytest.mark.parametrize(
    "word",
    [
        *("normalize", "vector database", "ALS", "InfoNCE", "contrastive", "temperature", "threshold", "faiss"),
        *("OpenAI", "Euclidean", "layer norm", "コサイン類似度", "正則化"),
    ],
)
def test_what_readers_typed_has_a_row(word):
    assert [row for row in ROWS if word in row["words"]]


# The extension on a small book

PAGE = """# One

(sec-here)=
## Details: a section

```{prf:theorem} A truth
:label: thm-truth
It holds.
```

```{math}
:label: eq-some-name
a = b
```

```{exercise} Try
:label: ex-try
Do.
```

```{glossary}
big word
  A word.
```
"""
LABELED = ["sec-here", "thm-truth", "eq-some-name", "ex-try", "term-big-word"]


def build(source, labels):
    (source / "book").mkdir()
    extensions = ["myst_parser", "sphinx_proof", "sphinx_exercise", "equations", "wayfinding", "lookup"]
    (source / "conf.py").write_text(
        f"import sys\nsys.path.insert(0, {str(BOOK / '_ext')!r})\nextensions = {extensions}\n"
        f"numfig = math_numfig = True\nhtml_static_path = [{str(BOOK / '_static')!r}]\n",
        encoding="utf-8",
    )
    (source / "index.md").write_text("# Book\n\n```{toctree}\n:numbered:\none\n```\n", encoding="utf-8")
    (source / "one.md").write_text(PAGE, encoding="utf-8")
    rows = [f"- words: [word{i}, ab</script>{i}]\n  label: {label}\n  say: Here.\n" for i, label in enumerate(labels)]
    (source / "book" / "search.yml").write_text("".join(rows), encoding="utf-8")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "-n", source, source / "out"]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_search_page_holds_the_table(tmp_path):
    done = build(tmp_path, LABELED)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "out" / "search.html").read_text(encoding="utf-8")
    table = json.loads(re.search(r'<script type="application/json" id="search-words">(.*?)</script>', page)[1])
    assert [row["words"][1] for row in table] == [f"ab</script>{i}" for i in range(len(LABELED))]
    assert [row["name"] for row in table] == [
        *("A section", "Theorem 1.1: A truth", "Eq. 1.1: some name", "Exercise 1.1: Try", "Big word")
    ]
    assert {(row["page"], row["about"]) for row in table} == {("one", "in One")}
    one = (tmp_path / "out" / "one.html").read_text(encoding="utf-8")
    assert all(f'id="{row["ids"][0]}"' in one for row in table)
    assert "search-words" not in one


def test_a_label_that_does_not_exist_fails_the_build(tmp_path):
    done = build(tmp_path, ["sec-here", "sec-nowhere"])
    assert done.returncode != 0
    assert "nothing has the label sec-nowhere" in done.stderr

"""The frozen sentences of chapter 12: which sentences count, and that nobody changes them in passing."""

import csv
import hashlib
import re
from collections import Counter

import nbformat
import sentences

DIGEST = "4a3b1716711610bb681689270dd0f0a5379bbaa026d94f4486b7a6f90d1a6e17"


def test_the_sentences_are_frozen():
    """The outputs of chapter 12 depend on them. Who draws them anew runs and reads chapter 12, and then sets DIGEST."""
    assert hashlib.sha256(sentences.TABLE.read_bytes()).hexdigest() == DIGEST


def test_each_sentence_is_plain_and_has_a_chapter():
    with open(sentences.TABLE, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len({row["sentence"] for row in rows}) == 900
    counts = Counter(int(row["chapter"]) for row in rows)
    assert counts.keys() == set(sentences.CHAPTERS)
    assert min(counts.values()) >= 40
    for row in rows:
        assert sentences.PLAIN.fullmatch(row["sentence"])
        assert 8 <= len(row["sentence"].split()) <= 30


TEXT = """# A heading that nobody takes for a sentence of the book.

```{note}
A sentence in a box is left out, however long and plain it may be.
```

(sec-label)=
Here is a sentence of *eight* words, {term}`plain ones <plain>` only. This one is short. And here $a$ stands in the way
of taking it along with all the others.

$$
A line of words in a formula is no sentence of the book.
$$

| A table has cells that are no sentences of the book. |
It goes on
over two lines, and counts as one sentence all the same.
"""


def test_which_sentences_count():
    page = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_markdown_cell(TEXT),
            nbformat.v4.new_code_cell("# Code with eight words and more is none."),
        ]
    )
    assert sentences.sentences(page) == [
        "Here is a sentence of eight words, plain ones only.",
        "It goes on over two lines, and counts as one sentence all the same.",
    ]


def test_it_reads_the_book(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sentences, "TABLE", tmp_path / "sentences.csv")
    sentences.main()
    said = capsys.readouterr().out
    assert (
        int(re.match(r"(\d+) sentences of 10 chapters", said)[1])
        == len((tmp_path / "sentences.csv").read_text(encoding="utf-8").splitlines()) - 1
    )

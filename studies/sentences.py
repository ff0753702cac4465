"""The sentences that chapter 12 embeds: a sample of the book's own text, frozen, with its chapter as its label.

    python studies/sentences.py

writes studies/results/sentences.csv from the chapters as they are now. It is not part of `make study`: the text of the
book changes, and chapter 12 must not change with it. Who runs it again executes and reads chapter 12 anew.
"""

import csv
import re
from pathlib import Path

from tools import toc
from tools.notebooks import loads

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "studies" / "results" / "sentences.csv"
CHAPTERS = range(1, 11)
MARKUP = re.compile(
    r"^(`{3,}|:{3,})\{.*?^\1[ ]*$|^\$\$.*?^\$\$|^\s*(?:#|\||\([a-z]+-|:|-|\d+\.).*?$", re.MULTILINE | re.DOTALL
)
TERM = re.compile(r"\{term\}`([^`<]*?)(?:\s*<[^`>]*>)?`")
PLAIN = re.compile(r"[A-Z][^$`{}\[\]\\<>_=|*]*\.")


def sentences(notebook):
    """The plain sentences of a chapter, of 8 to 30 words, in their order: no formula, no link, nothing from a box."""
    found = []
    for cell in notebook.cells:
        if cell.cell_type != "markdown":
            continue
        text = TERM.sub(r"\1", MARKUP.sub("", cell.source)).replace("*", "")
        for paragraph in re.split(r"\n\s*\n", text):
            for sentence in re.split(r"(?<=[.!?]) (?=[A-Z])", " ".join(paragraph.split())):
                if 8 <= len(sentence.split()) <= 30 and PLAIN.fullmatch(sentence) and sentence not in found:
                    found.append(sentence)
    return found


def main():
    rows = [("chapter", "sentence")]
    for chapter in CHAPTERS:
        (path,) = [path for path in toc.notebooks() if path.name.startswith(f"{chapter:02d}_")]
        rows += [(chapter, sentence) for sentence in sentences(loads(path.read_text(encoding="utf-8")))]
    with open(TABLE, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    print(f"{len(rows) - 1} sentences of {len(CHAPTERS)} chapters")


if __name__ == "__main__":
    main()

"""A word of the glossary is linked where a chapter first uses it.

python -m tools.terms            the words that are not
python -m tools.terms --write    link them, and take the links away that come later
"""

import argparse
import re
import sys
from pathlib import Path

from tools.notebooks import dumps, loads
from tools.toc import notebooks

BOOK = Path(__file__).parents[1] / "book"
GLOSSARY = BOOK / "glossary.md"
# Where a word is no prose: roles and code, formulas, links, and the lines of markup, headings and tables.
ELSEWHERE = re.compile(
    r"\{[\w:]+\}`[^`]*`|`[^`\n]+`|\$\$.*?\$\$|\$[^$]+\$|\[[^\]\n]*\]\([^)\n]*\)|^(`{3,})\{math\}.*?^\1"
    r"|^(?:#+ |\s*[`:]{3,}|:[\w-]+:|\([\w-]+\)=|\|)[^\n]*$",
    re.MULTILINE | re.DOTALL,
)
LINK = re.compile(r"\{term\}`(?:(?P<said>[^`<]*?)\s*<(?P<meant>[^`>]*)>|(?P<plain>[^`<]*))`")


def words():
    """Return the words that the glossary defines."""
    body = re.search(r"```\{glossary\}\n:sorted:\n(.*?)```", GLOSSARY.read_text(encoding="utf-8"), re.DOTALL)[1]
    return re.findall(r"^(\S.*)$", body, re.MULTILINE)


def meant(link):
    return " ".join((link["meant"] or link["plain"]).split()).lower()


def first_use(cells, word):
    """Return (cell, match) of the first plain use of a word, or None where a link comes first or it is not used."""
    plain = re.compile(rf"(?<![\w-]){re.escape(word)}(?:e?s)?(?![\w-])".replace(r"\ ", r"\s+"), re.IGNORECASE)
    for cell in cells:
        links = [link.start() for link in LINK.finditer(cell.source) if meant(link) == word.lower()]
        elsewhere = [match.span() for match in ELSEWHERE.finditer(cell.source)]
        uses = [match for match in plain.finditer(cell.source) if not any(a <= match.start() < b for a, b in elsewhere)]
        if uses and uses[0].start() < min(links, default=len(cell.source)):
            return cell, uses[0]
        if links:
            return None
    return None


def prose(notebook):
    """Return the cells of text, without the box of symbols."""
    return [cell for cell in notebook.cells if cell.cell_type == "markdown" and not cell.id.endswith("-symbols")]


def link_first_use(cells, word):
    """Link the first use of a word, and no other."""
    for each in cells:
        each.source = LINK.sub(
            lambda link: (link["said"] or link["plain"]) if meant(link) == word.lower() else link[0], each.source
        )
    cell, use = first_use(cells, word)
    said = " ".join(use[0].split())
    link = f"{{term}}`{said}`" if said == word else f"{{term}}`{said} <{word}>`"
    cell.source = cell.source[: use.start()] + link + cell.source[use.end() :]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="link them")
    arguments = parser.parse_args()
    missing = 0
    for path in notebooks():
        notebook = loads(path.read_text(encoding="utf-8"))
        cells = prose(notebook)
        for word in words():
            if found := first_use(cells, word):
                cell, use = found
                around = cell.source[max(0, use.start() - 40) : use.end() + 40].replace("\n", " ")
                print(f"{path.name}: {word}: … {around} …")
                missing += 1
                if arguments.write:
                    link_first_use(cells, word)
        if arguments.write:
            path.write_text(dumps(notebook), encoding="utf-8")
    return bool(missing and not arguments.write)


if __name__ == "__main__":
    sys.exit(main())

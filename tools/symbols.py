"""One symbol, one meaning: book/notation.md says what each letter means, and each chapter lists the letters it uses.

    python -m tools.symbols            what is wrong
    python -m tools.symbols --write    "First used" on the page and the box of each chapter, written anew

A letter here is a capital, a Greek or a calligraphic letter, or one of the few small Latin letters that the page lists.
All other small letters are local to a proof or a paragraph. Hats, bars and indices do not make another letter, with two
exceptions: the activity k_u is not the rank k, and the preferences π_uc are not the number π.
"""

import argparse
import ast
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tools.notebooks import dumps, loads
from tools.toc import notebooks

BOOK = Path(__file__).parents[1] / "book"
PAGE = BOOK / "notation.md"
ROW = re.compile(r"^\| (?P<symbols>\$.*?) \| (?P<code>.*?) \| (?P<meaning>.*?) \| (?P<first>.*?) \|$", re.MULTILINE)
MATH = re.compile(
    r"^\s*(`{3,})\{math\}\n(?P<block>.*?)^\s*\1|\$\$(?P<display>.*?)\$\$|\$(?P<inline>[^$]+)\$", re.S | re.M
)
WORDS = re.compile(
    r"\\(?:text|textbf|operatorname\*?|mathrm|tag|label|begin|end|mathbf)\{[^}]*\}|\b(?:GL|O)\(|^:\w+:.*$", re.MULTILINE
)
GREEK = (
    "alpha beta gamma delta epsilon varepsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau phi varphi "
    "chi psi omega"
)
GREEK_CAPITALS = "Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega"
SIGNS = {
    "dMat": r"dMat",
    "norm_F": r"Vert_F",
    "norm_*": r"Vert_\*",
    "( )_+": r"[)\]]_\+",
    "circ": r"\\circ\b",
    "^+": r"\^\{?\+",
}
SMALL = "npkdf"
LETTER = re.compile(
    r"k_\{?u\b|\\pi_?|\\(?:mathcal|mathbb)\{?\s*[A-Z]\}?|"
    + "|".join(rf"\\{name}(?![A-Za-z])" for name in [*GREEK.split(), *GREEK_CAPITALS.split()])
    + rf"|\\[A-Za-z]+|[A-Z]|[{SMALL}]"
)
CODE_NAMES = {"lam", *GREEK.split(), *(name for name in GREEK_CAPITALS.split())} - {"lambda"}


@dataclass
class Row:
    """A row of the page: its letters, in order of appearance, and its columns as they are written."""

    letters: list[str]
    symbols: str
    code: str
    meaning: str
    first: str


@dataclass
class Use:
    """What a chapter uses: the letters of its formulas, and the names that its code gives to values."""

    letters: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)


# --- reading ---


def letters(formula):
    """Return the letters of a formula, in order, each once."""
    found = {name: None for name, sign in SIGNS.items() if re.search(sign, formula)}
    for token in LETTER.findall(WORDS.sub(" ", formula)):
        token = re.sub(r"[{}\s]", "", token)
        known = token[1:] in GREEK.split() + GREEK_CAPITALS.split() or token.startswith(
            (r"\mathcal", r"\mathbb", r"\pi")
        )
        if known or not token.startswith("\\"):
            found[token] = None
    return list(found)


def formulas(markdown):
    """Yield the formulas of a text, displayed ones and those within lines."""
    for match in MATH.finditer(re.sub(r"(?<!`)`[^`\n]+`", " ", markdown)):
        yield match["block"] or match["display"] or match["inline"]


def rows(page):
    """Return the rows of the notation page."""
    found = []
    for row in ROW.finditer(page):
        heads = [letter for symbol in re.findall(r"\$([^$]+)\$", row["symbols"]) for letter in letters(symbol)[:1]]
        found.append(Row(list(dict.fromkeys(heads)), **row.groupdict()))
    return found


def use(path):
    """Return what a chapter uses, its box apart."""
    found = Use()
    for cell in loads(path.read_text(encoding="utf-8")).cells:
        if cell.cell_type == "code":
            found.names |= assigned(cell.source)
        elif not is_box(cell):
            for formula in formulas(cell.source):
                found.letters |= set(letters(formula))
    return found


def assigned(source):
    """Return the names to which a cell assigns, those of parameters too."""
    tree = ast.parse(source)
    stored = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return stored | {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}


# --- the box of a chapter ---


def is_box(cell):
    return cell.id.endswith("-symbols")


def box(page, used):
    """Return the text of a chapter's box: the rows of the page whose letters it uses."""
    lines = [f"| {row.symbols} | {row.code} | {row.meaning} |" for row in page if used & set(row.letters)]
    return "\n".join(
        [
            "```{admonition} Symbols of this chapter",
            ":class: dropdown",
            "| Symbol | In the code, shape | Meaning |",
            "|:--|:--|:--|",
            *lines,
            "```",
        ]
    )


def first_used(page, uses):
    """Return "First used" for each row: the first chapter whose formulas hold one of its letters."""
    return [next((path for path, used in uses.items() if used.letters & set(row.letters)), None) for row in page]


def link(path):
    if path is None:
        return "here"
    number = re.match(r"\d+", path.stem)
    return f"{{doc}}`{f'ch. {int(number[0])}' if number else 'appendix'} <{path.stem}>`"


# --- what is wrong, and writing ---


def complaints(page, uses):
    """Yield what is wrong with the page and the chapters."""
    meanings = [letter for row in page for letter in row.letters]
    for letter in sorted({letter for letter in meanings if meanings.count(letter) > 1}):
        yield f"notation.md: {letter} has more than one row"
    for row, path in zip(page, first_used(page, uses), strict=True):
        if row.first != link(path):
            yield f"notation.md: {row.symbols} is first used in {link(path)}, not in {row.first}"
    in_code = set(
        re.findall(r"\b[A-Za-z]\w*\b", " ".join(re.findall(r"`([^`]+)`", " ".join(row.code for row in page))))
    )
    for path, used in uses.items():
        for letter in sorted(used.letters - set(meanings)):
            yield f"{path.name}: {letter} is not on the notation page"
        for name in sorted(used.names - in_code):
            if name in CODE_NAMES or re.fullmatch(r"[A-Z]", name) or name in ("n", "p"):
                yield f"{path.name}: the code's {name} is not on the notation page"
        boxes = [cell.source for cell in loads(path.read_text(encoding="utf-8")).cells if is_box(cell)]
        if boxes != [box(page, used.letters)]:
            yield f"{path.name}: its box of symbols is not what the page says; run: make symbols"


def write(page, uses):
    """Write "First used" and the boxes anew. A chapter without a box gets one after its first code cell."""
    text = PAGE.read_text(encoding="utf-8")
    for row, path in zip(page, first_used(page, uses), strict=True):
        line = f"| {row.symbols} | {row.code} | {row.meaning} | "
        text = text.replace(f"{line}{row.first} |", f"{line}{link(path)} |")
    PAGE.write_text(text, encoding="utf-8")
    for path, used in uses.items():
        notebook = loads(path.read_text(encoding="utf-8"))
        boxes = [cell for cell in notebook.cells if is_box(cell)]
        if not boxes:
            first = next(place for place, cell in enumerate(notebook.cells) if cell.cell_type == "code")
            prefix = re.sub(r"-[^-]+$", "", notebook.cells[0].id)
            cell = {"cell_type": "markdown", "id": f"{prefix}-symbols", "metadata": {}, "source": ""}
            boxes = [type(notebook.cells[0])(cell)]
            notebook.cells.insert(first + 1, boxes[0])
        boxes[0].source = box(page, used.letters)
        path.write_text(dumps(notebook), encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help='write "First used" and the boxes anew')
    arguments = parser.parse_args()
    page, uses = rows(PAGE.read_text(encoding="utf-8")), {path: use(path) for path in notebooks()}
    if arguments.write:
        write(page, uses)
        page = rows(PAGE.read_text(encoding="utf-8"))
    found = list(complaints(page, uses))
    print("\n".join(found) or "each symbol has one meaning")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())

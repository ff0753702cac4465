"""What somebody has to read again when it changes, since no program sees whether it is still true.

Of such a text not only the digits are signed, but all words (`words` in its record): claims with the calls and the
lines of their checks, the assertions of a notebook, statements of theorems, captions, alt texts with the pictures that
they describe, rows of the tables that pages are made of, references, drawings, and where links lead. texts.py holds the
texts, bindings.py signs them.
"""

import ast
import base64
import io
import json
import re
from collections import defaultdict

import yaml
from PIL import Image

from tools.measured import digest

LINKS, ASSERTIONS = "(links)", "(assertions)"  # in the key of a file: no heading and no label is called so
LINE = re.compile(r"^\[ok\] ([\w-]+).*", re.MULTILINE)
STATEMENT = re.compile(r"^[ \t]*(`{3,}|:{3,})\{prf:(?!proof\}|ref\})\w+\}.*?^[ \t]*\1", re.MULTILINE | re.DOTALL)
LINK = re.compile(
    r"\{[\w:-]+\}`[^`]+`|(?<=\])\([^()\s]*(?:\([^()\s]*\)[^()\s]*)*\)|(?:href=\"|https?://)[^\s\"'<>)\]}]+"
)
LABEL = re.compile(r"^[ \t]*:(?:label|name|target): .*$|^\([\w-]+\)=$", re.MULTILINE)


def statements(source):
    """Return the theorems, lemmas and so on of a text, without their proofs."""
    return "\n".join(match.group() for match in STATEMENT.finditer(source))


def links(source):
    """Return where the links of a text lead, in their order, and what others can link to."""
    return "\n".join([*LINK.findall(source), *LABEL.findall(source)])


def pictures(cell):
    """Return a digest of each figure that a cell stores: of its pixels, since its bytes depend on a library."""
    encoded = [output.get("data", {}).get("image/png") for output in cell.get("outputs", [])]
    drawn = [Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB") for png in encoded if png]
    return "\n".join(digest(f"{picture.size} {picture.tobytes().hex()}") for picture in drawn)


def claim(entry, checked):
    """Return the words of a claim, where it comes from, where it stands, and what checks it: see checks()."""
    return "\n".join([*(f"{name}: {entry[name]}" for name in sorted(entry)), *checked])


def checks(notebooks):
    """Return {claim: the calls that check it, and the lines that they print with their tolerances}, in order."""
    found = defaultdict(list)
    for cell in code_cells(notebooks):
        for name, call in calls(cell.source):
            if name.startswith("check") and (match := re.search(r"[\"']([a-z0-9-]+)[\"']", call)):
                found[match[1]].append(call)
        for output in cell.outputs:
            for match in LINE.finditer(output.get("text", "")):
                found[match[1]].append(match.group())
    return found


def assertions(notebook):
    """Return what the cells of a notebook assert, with its tolerances, checks of claims apart."""
    sources = [cell.source for cell in code_cells([notebook])]
    return "\n".join(call for source in sources for name, call in calls(source) if name.startswith("assert"))


def code_cells(notebooks):
    return (cell for notebook in notebooks for cell in notebook.cells if cell.cell_type == "code")


def calls(source):
    """Yield (name, code) of each call and each `assert` in a cell, in its order, whatever spaces are in it."""
    source = re.sub(r"^[%!].*$", "", source, flags=re.MULTILINE)
    found = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call | ast.Assert)]
    for node in sorted(found, key=lambda node: (node.lineno, node.col_offset)):
        called = getattr(node, "func", None)
        name = getattr(called, "id", getattr(called, "attr", "")) if called else "assert"
        if name.startswith(("check", "assert")):
            yield name, "".join(ast.get_source_segment(source, node).split())


def beside_pages(root):
    """Yield (key, file, words) of what is no page, and stands on some."""
    for name, rows in (("losses.yml", losses(root)), ("search.yml", searches(root))):
        for key, row in rows:
            yield f"{name}#{key}", name, json.dumps(row, sort_keys=True, ensure_ascii=False)
    for path in root.glob("book/references.bib"):
        for entry in re.split(r"^(?=@)", path.read_text("utf-8"), flags=re.MULTILINE):
            if entry.startswith("@"):
                yield f"{path.name}#{re.search(r'{([^,]+),', entry)[1]}", path.name, " ".join(entry.split())
    if (readme := root / "README.md").exists():
        yield f"{readme.name}#{LINKS}", readme.name, links(readme.read_text("utf-8"))
    for path in sorted(root.glob("book/_static/*.svg")):
        yield f"{path.name}#drawing", path.name, path.read_text("utf-8")


def losses(root):
    for path in root.glob("cossim_helpers/losses.yml"):
        yield from yaml.safe_load(path.read_text("utf-8"))["losses"].items()


def searches(root):
    for path in root.glob("book/search.yml"):
        for row in yaml.safe_load(path.read_text("utf-8")):
            yield str(row["words"][0]), row

"""The book's texts, the places that their numbers come from, and whether the two agree. See bindings.py.

An address is `cell#n`, the n-th number that a cell prints, in its tables too; `cell@n`, the n-th number in its code;
`cell!n`, the n-th number in the lines of its checks; or `path.py@name.n`, the n-th number that a module gives to this
name. Words before it, those of TRANSFORMS, say how the text's number follows.
"""

import ast
import io
import json
import re
import tokenize
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import yaml

from tools import signed, toc
from tools.measured import Number, constants, digest, measured, numbers
from tools.notebooks import dumps, loads

ROOT = Path(__file__).parents[1]
LEDGER = "cossim_helpers/claims.yml"
SIDECAR = "book/numbers.yml"
HEADER = "# Which cell computes each measured number of the pages and of claims.yml; what is signed. By: make numbers\n"
OPEN = "?"  # stands where a number is not bound yet
TRANSFORMS = {
    "percent": lambda value: 100 * value,  # 0.36 is printed, 36 percent is said
    "share": lambda value: value / 100,
    "complement": lambda value: 1 - value,
    "size": abs,  # "falls by 0.30", and −0.30 is printed
    "power": lambda value: 10.0 ** min(value, 300),
    "above": None,  # the text's number is the value, rounded down ("above 0.98")
    "below": None,  # … rounded up ("below 0.4")
}
CHECK_LINE = "[ok]"
HEADING = re.compile(r"^(?:\((?P<label>[\w-]+)\)=\n)?#{1,6} +(?P<title>.*)$", re.MULTILINE)
LISTING = re.compile(r"^[ \t]*(`{3,}|:{3,}).*?^[ \t]*\1", re.MULTILINE | re.DOTALL)
ADDRESS = re.compile(r"(?P<words>(?:[a-z]+ )*)(?P<plain>(?P<place>[\w./-]+)(?P<kind>[#@!])(?:\w+\.)?[1-9]\d*)")
MODULES = ("book/_ext/*.py", "cossim_helpers/**/*.py", "studies/*.py")


# Where numbers come from


@dataclass(frozen=True)
class Cell:
    """A code cell as a source of numbers."""

    id: str
    notebook: str
    position: int
    section: int
    source: str
    printed: str
    checks: str

    @cached_property
    def layout(self):
        """A digest of the printed words: which number is the n-th."""
        text = self.printed
        for number in reversed(numbers(text)):
            text = text[: number.start] + "0" + text[number.end :]
        return digest(" ".join(text.split()))

    @cached_property
    def sources(self):
        """Return {address: (number, the line that holds it)}."""
        found = {}
        for kind, text, its_numbers in (
            ("#", self.printed, numbers(self.printed)),
            ("!", self.checks, numbers(self.checks)),
            ("@", self.source, literals(self.source)),
        ):
            for n, number in enumerate(its_numbers, start=1):
                start, end = text.rfind("\n", 0, number.start) + 1, text.find("\n", number.end)
                line = f"{text[start : number.start]}[{number.written}]{text[number.end : end if end >= 0 else None]}"
                found[f"{self.id}{kind}{n}"] = number, line.strip()
        return found


# From Python 3.12 on the tokenizer looks into f-strings. For an address they are strings, as they were before.
OPENS, CLOSES = ([getattr(tokenize, kind + end, -1) for kind in ("FSTRING", "TSTRING")] for end in ("_START", "_END"))


def literals(source):
    """Return the numbers in Python code, those in strings and comments apart."""
    found, lines, before, depth = [], source.splitlines(keepends=True), ("", ""), 0
    starts = [sum(map(len, lines[:row])) for row in range(len(lines) + 1)]
    try:
        for token in tokenize.generate_tokens(io.StringIO(re.sub(r"^[%!].*$", "", source, flags=re.M)).readline):
            depth += (token.type in OPENS) - (token.type in CLOSES)
            if depth:
                continue
            if token.type == tokenize.NUMBER and not token.string.endswith("j"):
                value = float(ast.literal_eval(token.string))
                negative = before[1] == "-" and re.fullmatch(r"|[-+*/(\[{,=:<>]+|return|in", before[0])
                start, end = starts[token.start[0] - 1] + token.start[1], starts[token.end[0] - 1] + token.end[1]
                found.append(Number(start, end, token.string, -value if negative else value, 0.0, False))
            if token.type not in (tokenize.NL, tokenize.COMMENT):
                before = before[1], token.string
    except tokenize.TokenError:
        pass
    return found


def settings(path, name):
    """Return {address: (number, line)} of what a module gives to names: as values, defaults or arguments."""
    source = path.read_text("utf-8")
    found, lines, taken = {}, source.split("\n"), Counter()
    encoded = [line.encode() for line in lines]  # where ast counts; ast.get_source_segment would split anew each time
    for target, value in sorted(named(ast.parse(source)), key=lambda pair: (pair[1].lineno, pair[1].col_offset)):
        segment = encoded[value.lineno - 1 : value.end_lineno]
        segment[-1] = segment[-1][: value.end_col_offset]
        segment[0] = segment[0][value.col_offset :]
        for number in literals(b"\n".join(segment).decode()):
            taken[target] += 1
            found[f"{name}@{target}.{taken[target]}"] = number, lines[value.lineno - 1].strip()
    return found


def named(tree):
    """Yield (name, expression) of each assignment, default and keyword argument in a module."""
    for node in ast.walk(tree):
        pairs = []
        if isinstance(node, ast.keyword):
            pairs = [(node.arg, node.value)]
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value:
            target, value = node.targets[0] if isinstance(node, ast.Assign) else node.target, node.value
            several = isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple)
            pairs = zip(target.elts, value.elts) if several else [(target, value)]
        elif isinstance(node, ast.arguments):
            plain = [*node.posonlyargs, *node.args]
            pairs = [
                *zip(plain[len(plain) - len(node.defaults) :], node.defaults),
                *zip(node.kwonlyargs, node.kw_defaults),
            ]
        for target, value in pairs:
            name = target if isinstance(target, str) else getattr(target, "id", getattr(target, "arg", None))
            if name and value:
                yield name, value


def said(cell):
    """Return what a cell says in words, and of that the lines of its checks."""
    text = []
    for output in cell.outputs:
        plain = output.get("data", {}).get("text/plain", "")
        text += [output.get("text", ""), output.get("evalue", ""), "" if plain.startswith("<") else plain]
    lines = "\n".join(filter(None, text)).splitlines()
    checks = [line for line in lines if line.startswith(CHECK_LINE)]
    return "\n".join(line for line in lines if line not in checks), "\n".join(checks)


# The texts


@dataclass(frozen=True)
class Text:
    """A piece of the book's text, with its bindings, the digest of its constants, and that of its words."""

    key: str  # names it in messages and in files of choices
    file: str
    text: str
    bound: tuple
    constants: str | None  # both as signed: see signature, and Book.layout
    layout: str | None
    words: str | None
    position: int = 0
    section: int = 0
    near: tuple = ()  # the chapters that it speaks of
    beside: bool = False  # bound in SIDECAR, not in the metadata of a cell
    read: str = ""  # what somebody has to read when it changes: see signed.py

    @property
    def signed_words(self):
        return digest(self.read) if self.read else None

    @cached_property
    def measured(self):
        return measured(self.text)

    @cached_property
    def signature(self):
        found = constants(self.text, self.measured)
        return digest("\n".join(found)) if found else None

    @property
    def record(self):
        """What is stored for this text."""
        whole = {"bound": list(self.bound), "layout": self.layout, "constants": self.constants, "words": self.words}
        return {name: value for name, value in whole.items() if value}

    def around(self, number, width=70):
        before, after = self.text[max(0, number.start - width) : number.start], self.text[number.end :][:width]
        return " ".join(f"…{before}«{self.text[number.start : number.end]}»{after}…".split())


def make_text(key, file, text, record, **where):
    stored = (record.get(name) for name in ("constants", "layout", "words"))
    return Text(key, file, text, tuple(record.get("bound", [])), *stored, **where)


def parts(cell):
    """Yield (name, text) of what a reader of a cell reads, its outputs apart."""
    if cell.cell_type == "markdown":
        yield "text", cell.source
    figure = cell.metadata.get("mystnb", {})
    yield "caption", figure.get("figure", {}).get("caption", "")
    yield "alt", figure.get("image", {}).get("alt", "")


def sections(page):
    """Yield (anchor, text) of each section of a page: what precedes its first heading is called top."""
    masked = LISTING.sub(lambda match: "\n".join("" for _ in match.group().split("\n")).ljust(len(match.group())), page)
    heads, taken = list(HEADING.finditer(masked)), Counter()
    ends = [head.start() for head in heads] + [len(page)]
    yield "top", page[: ends[0]]
    for head, end in zip(heads, ends[1:]):
        anchor = head["label"] or re.sub(r"\W+", "-", head["title"].lower()).strip("-")
        taken[anchor] += 1
        yield anchor + (f"-{taken[anchor]}" if taken[anchor] > 1 else ""), page[head.start() : end]


class Book:
    """All texts, and all places that numbers come from."""

    def __init__(self, root=ROOT):
        self.root = root
        self.notebooks = {path.name: loads(path.read_text("utf-8")) for path in toc.notebooks(root)}
        sidecar = root / SIDECAR
        self.sidecar = (yaml.safe_load(sidecar.read_text("utf-8")) if sidecar.exists() else None) or {}
        self.texts, self.cells = [], {}
        for name, notebook in self.notebooks.items():
            self.read_notebook(name, notebook)
        for path in toc.texts(root):
            page = path.read_text("utf-8")
            for anchor, text in sections(page):
                self.add_beside(f"{path.name}#{anchor}", path.name, text)
            self.add_beside(f"{path.name}#{signed.LINKS}", path.name, "", read=signed.links(page))
        checked = signed.checks(self.notebooks.values())
        for claim in yaml.safe_load((root / LEDGER).read_text("utf-8"))["claims"]:
            text = "\n".join(claim[name] for name in ("source", "statement", "verdict", "note") if name in claim)
            where = {"near": (f"{claim['chapter']:02d}_",), "read": signed.claim(claim, checked[claim["id"]])}
            self.add_beside(f"claims.yml#{claim['id']}", "claims.yml", text, **where)
        for key, name, words in signed.beside_pages(root):
            self.add_beside(key, name, "", read=words)
        self.modules = {}
        for path in sorted(path for pattern in MODULES for path in root.glob(pattern)):
            name = path.relative_to(root).as_posix()
            self.modules[name] = settings(path, name)
        self.by_key = {text.key: position for position, text in enumerate(self.texts)}

    def read_notebook(self, name, notebook):
        self.add_beside(f"{name}#description", name, notebook.metadata.get("description", ""))
        source = "\n".join(text for cell in notebook.cells for _, text in parts(cell))
        self.add_beside(f"{name}#{signed.LINKS}", name, "", read=signed.links(source))
        self.add_beside(f"{name}#{signed.ASSERTIONS}", name, "", read=signed.assertions(notebook))
        section = 0
        for position, cell in enumerate(notebook.cells):
            record, where = cell.metadata.get("numbers", {}), {"position": position, "section": section}
            for part, text in parts(cell):
                if text:
                    key = cell.id if part == "text" else f"{cell.id}:{part}"
                    read = signed.statements(text) if part == "text" else text
                    read += f"\n{signed.pictures(cell)}" if part == "alt" else ""
                    self.texts.append(make_text(key, name, text, record.get(part, {}), read=read, **where))
            if cell.cell_type == "markdown":
                section += len(HEADING.findall(cell.source))
            elif cell.cell_type == "code" and "nbval-ignore-output" not in cell.metadata.get("tags", []):
                if cell.id in self.cells:
                    raise ValueError(f"two code cells are called {cell.id}")
                self.cells[cell.id] = Cell(cell.id, name, position, section, cell.source, *said(cell))

    def add_beside(self, key, file, text, near=(), read=""):
        near = (*near, *re.findall(r"\b(\d\d_)\w+", text))
        self.texts.append(make_text(key, file, text, self.sidecar.get(key, {}), near=near, beside=True, read=read))

    def source(self, address):
        """Return (number, line, words) of an address. An address that leads nowhere is a ValueError."""
        match = ADDRESS.fullmatch(address)
        if not match:
            raise ValueError(f"{address!r}, which is no address")
        words = match["words"].split()
        if unknown := set(words) - set(TRANSFORMS):
            raise ValueError(f"{address!r}, with the unknown word {', '.join(sorted(unknown))}")
        cell = self.cells.get(match["place"])
        sources = cell.sources if cell else self.modules.get(match["place"])
        if sources is None:
            raise ValueError(f"{address!r}, but no compared cell and no module has this name")
        if match["plain"] not in sources:
            raise ValueError(f"{address!r}, which does not exist (any more)")
        return *sources[match["plain"]], words

    def holds(self, number, address):
        source, _, words = self.source(address)
        return agrees(number, source.value, words)

    def layout(self, bound):
        """Return a digest of the printed words of all cells in these addresses, or None if they name none."""
        cells = sorted({place(address) for address in bound if "#" in address})
        return digest(" ".join(self.cells[cell].layout for cell in cells if cell in self.cells)) if cells else None

    def problems(self, text):
        """Yield what is wrong with a text, in words that lead to the place."""
        if text.constants != text.signature:
            yield f"{text.file}, {text.key}: a constant has changed, or is not signed: make numbers"
        if text.words != text.signed_words:
            yield (
                f"{text.file}, {text.key}: its words have changed, or its checks, its picture, where its links lead, "
                "and nobody has signed it. Read a claim beside its checks, an alt text beside its figure; then make "
                "numbers"
            )
        found = text.measured
        if len(found) != len(text.bound):
            written = ", ".join(number.written for number in found)
            yield f"{text.file}, {text.key}: {len(found)} measured numbers ({written}), {len(text.bound)} bindings"
            return
        for n, (number, address) in enumerate(zip(found, text.bound), start=1):
            where = f"{text.file}, {text.key}, number {n}: {number.written!r} in {text.around(number)!r}"
            if address == OPEN:
                yield f"{where} is not bound"
                continue
            try:
                source, line, words = self.source(address)
            except ValueError as error:
                yield f"{where} is bound to {error}"
                continue
            if not agrees(number, source.value, words):
                yield f"{where} is bound to {address}, which is {source.written} in the line {line!r}"
        if text.layout != self.layout(text.bound):
            yield (
                f"{text.file}, {text.key}: a cell prints other words than when the numbers were bound to it, "
                f"so each may stand at another place. Run make numbers, and read its list: {', '.join(text.bound)}"
            )

    # Writing

    def take(self, text):
        """Let a text stand in the place of that of the same key."""
        self.texts[self.by_key[text.key]] = text

    def write(self, files):
        """Store the bindings of the texts of these files: in the metadata of their cells, or beside."""
        records = {text.key: text.record for text in self.texts}
        for name in files & set(self.notebooks):
            notebook = self.notebooks[name]
            for cell in notebook.cells:
                keys = {part: cell.id if part == "text" else f"{cell.id}:{part}" for part, _ in parts(cell)}
                cell.metadata["numbers"] = {part: records[key] for part, key in keys.items() if records.get(key)}
                if not cell.metadata["numbers"]:
                    del cell.metadata["numbers"]
            (self.root / "book" / name).write_text(dumps(notebook), encoding="utf-8")
        lines = [
            f"{json.dumps(text.key)}: {json.dumps(text.record, ensure_ascii=False)}\n"
            for text in self.texts
            if text.beside and text.record
        ]
        (self.root / SIDECAR).write_text(HEADER + "".join(lines), encoding="utf-8")


def place(address):
    """Return the cell or module of an address."""
    return re.split("[#@!]", address.split(" ")[-1])[0]


def agrees(number, value, words):
    """Say whether a number of a text is what an address gives, rounded to the digits that the text shows."""
    for word in words:
        if TRANSFORMS[word]:
            value = TRANSFORMS[word](value)
    slack = 1e-9 * max(number.step, abs(number.value))
    if "above" in words:
        return number.value - slack <= value < number.value + number.step - slack
    if "below" in words:
        return number.value - number.step + slack < value <= number.value + slack
    return abs(value - number.value) <= number.step / 2 + slack

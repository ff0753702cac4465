"""The two tracks of a chapter: its main line, and details behind folds. How long each takes to read, and the folds.

A section whose heading starts with "Details: " is a fold, with all that it holds, cells too. On the page it is closed,
and opens by a click, by a link into it, by find-in-page and for print. In JupyterLab it is a section like any other.
What stands before "Exercises" and in no fold is the main line. Boxes of the class dropdown count as details.
"""

import json
import math
import re
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import NamedTuple

from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform

DETAILS = "Details: "
LOOKED_UP = {"book/404", "book/claims", "book/api"}  # no reading time: nobody reads a reference from end to end
LONGEST = {"words": 3_000, "minutes": 30}  # of a main line
HEADING = re.compile(r"(#{1,6}) +(.+?)\s*")
FENCE = re.compile(r"\s*(`{3,}|:{3,}|~{3,})(.*)")
DROPDOWN = re.compile(
    r"^(?P<fence>`{3,}|:{3,})\{(?:dropdown\}|[\w:]+\}[^\n]*\n:class:[^\n]*\bdropdown\b).*?^(?P=fence)[ ]*$",
    re.MULTILINE | re.DOTALL,
)
SYMBOLS = "Symbols of this chapter"  # a box to look things up in: nobody reads it
FOLDED_CODE = {"hide-input", "hide-cell", "remove-input", "remove-cell"}


class Pace(NamedTuple):
    """Seconds for each thing that is read: a word at 150 a minute, a formula within a line as 15 words.

    By it the four chapters on which readers were timed, at 130 to 145 minutes, took 128 to 154, and 143 on average.
    """

    word: float = 60 / 150
    formula: float = 6
    equation: float = 30
    code_line: float = 2
    printed_line: float = 1
    figure: float = 20


PACE = Pace()


@dataclass(frozen=True)
class Length:
    """What there is to read. Formulas stand within lines, equations are displayed."""

    words: int = 0
    formulas: int = 0
    equations: int = 0
    code_lines: int = 0
    printed_lines: int = 0
    figures: int = 0

    def seconds(self, pace=PACE):
        return sum(amount * seconds for amount, seconds in zip(astuple(self), pace, strict=True))

    def minutes(self, pace=PACE):
        """Return the reading time: in steps of 5 minutes from 10 on, else in minutes. 0 is less than half a minute."""
        minutes = self.seconds(pace) / 60
        return math.floor(minutes / 5 + 0.5) * 5 if minutes >= 10 else math.floor(minutes + 0.5)

    def __add__(self, other):
        return Length(*(mine + its for mine, its in zip(astuple(self), astuple(other), strict=True)))


# --- measuring ---


def stretches(cells):
    """Yield (whether in a fold, kind of cell, text, cell) for each stretch of a page before its exercises."""
    level = 0  # of the heading that opened the fold, 0 outside
    for cell in cells:
        text = "".join(cell["source"])
        if cell["cell_type"] == "code":
            yield bool(level), "code", text, cell
            continue
        for heading, stretch in by_headings(text):
            if heading:
                depth, title = len(heading[1]), heading[2]
                if (depth, title) == (2, "Exercises"):
                    return
                level = 0 if depth <= level else level
                level = depth if not level and title.startswith(DETAILS) else level
            boxes, rest = dropdowns(stretch)
            yield bool(level), "markdown", rest, cell
            for box in boxes:
                if SYMBOLS not in box:
                    yield True, "markdown", box, cell


def by_headings(text):
    """Yield (heading or None, the text from there on) up to the next heading that stands in no fence."""
    fences, heading, lines = [], None, []
    for line in text.splitlines():
        if fence := FENCE.fullmatch(line):
            if fences and fence[1].startswith(fences[-1]) and not fence[2].strip():
                fences.pop()
            else:
                fences.append(fence[1])
        if not fences and (found := HEADING.fullmatch(line)):
            yield heading, "\n".join(lines)
            heading, lines = found, []
        lines.append(line)
    yield heading, "\n".join(lines)


def dropdowns(text):
    """Return (the boxes of a text that open by a click, the text without them)."""
    return [match[0] for match in DROPDOWN.finditer(text)], DROPDOWN.sub("", text)


def of_prose(markdown):
    """Return the length of a text in MyST: its words, its formulas within lines and its displayed equations."""
    text = re.sub(r"\A---\n.*?\n---\n", "", markdown, flags=re.DOTALL)
    text, fenced = re.subn(r"^\s*(`{3,})\{math\}.*?^\s*\1\s*$", "", text, flags=re.MULTILINE | re.DOTALL)
    text, dollars = re.subn(r"^\s*\$\$.*?\$\$\s*$", "", text, flags=re.MULTILINE | re.DOTALL)
    text, formulas = re.subn(r"\$[^$]+\$", " ", text)
    text = re.sub(r"\{[\w:]+\}(?=`)|\s*<[^<>`]*>(?=`)", "", text)  # of a role only what it shows
    text = re.sub(r"^\s*(?:[`:]{3,}.*|:\w+:.*|\([\w-]+\)=)$", "", text, flags=re.MULTILINE)  # markup around the prose
    return Length(words=len(re.findall(r"[^\W_][\w'’.-]*", text)), formulas=formulas, equations=fenced + dollars)


def of_cell(cell):
    """Return the length of a code cell. Code that the page folds is not read, nor are the lines of checks."""
    folded = FOLDED_CODE & set(cell.get("metadata", {}).get("tags", []))
    code = [] if folded else [line for line in "".join(cell["source"]).splitlines() if line.strip()]
    outputs = cell.get("outputs", [])
    printed = "\n".join(text for output in outputs for text in said(output)).splitlines()
    return Length(
        code_lines=len(code),
        printed_lines=sum(bool(line.strip()) and not line.startswith("[ok]") for line in printed),
        figures=sum(any(kind.startswith("image/") for kind in output.get("data", {})) for output in outputs),
    )


def said(output):
    """Yield what an output prints, or the text of its table: a row is a line."""
    yield "".join(output.get("text", ""))
    data = output.get("data", {})
    if "<table" in "".join(data.get("text/html", "")):
        yield "".join(data["text/plain"])


def lengths(path):
    """Return the lengths of a page's main line and of its details."""
    text = path.read_text(encoding="utf-8")
    cells = json.loads(text)["cells"] if path.suffix == ".ipynb" else [{"cell_type": "markdown", "source": text}]
    prose, code = {False: [], True: []}, {False: Length(), True: Length()}
    for folded, kind, stretch, cell in stretches(cells):
        if kind == "markdown":
            prose[folded].append(stretch)
        else:
            code[folded] += of_cell(cell)
    return tuple(of_prose("\n\n".join(prose[folded])) + code[folded] for folded in (False, True))


def exercises(path):
    """Return the number of exercises on a page."""
    text = path.read_text(encoding="utf-8").replace("\\n", "\n") if path.suffix == ".ipynb" else path.read_text("utf-8")
    return len(re.findall(r"^\W*(?:`{3,}|:{3,})\{exercise(?:-start)?\}", text, re.MULTILINE))


def sentence(path):
    """Return what a page says under its title, nothing where that is less than half a minute."""
    main, details = (length.minutes() for length in lengths(path))
    if not main:
        return ""
    said = [f"{counted(main, 'minute')} to read"]
    said += [f"{details} more with the details"] if details else []
    said += [counted(exercises(path), "exercise")] if exercises(path) else []
    return f"{', '.join(said[:-1])} and {said[-1]}" if len(said) > 1 else said[0]


def counted(number, thing):
    return f"{number} {thing}{'s' if number > 1 else ''}"


# --- the folds of a page ---


class Fold(SphinxPostTransform):
    """Put the section of each fold into <details>, its heading into <summary>."""

    default_priority = 900
    formats = ("html",)

    def run(self, **kwargs):
        for section in list(self.document.findall(nodes.section)):
            title = section.next_node(nodes.title)
            if title is not None and title.parent is section and title.astext().startswith(DETAILS):
                place = section.index(title)
                section.insert(place + 1, nodes.raw("", "</summary>", format="html"))
                section.insert(place, nodes.raw("", '<details class="fold"><summary>', format="html"))
                section.append(nodes.raw("", "</details>", format="html"))


def unlink_summaries(app, pagename, templatename, context, doctree):
    """Take the permalink out of each summary, which is a button already, and put it behind."""
    summary = re.compile(
        r'<summary>(<(h\d)>(?:(?!</summary>).)*?)(<a class="headerlink"[^>]*>[^<]*</a>)</\2>\s*</summary>', re.S
    )
    if "body" in context:
        context["body"] = summary.sub(r"<summary>\1</\2></summary>\3", context["body"])


def show_reading_time(app, doctree):
    """Put the reading time under the title."""
    said = sentence(Path(app.env.doc2path(app.env.docname)))
    title = next(doctree.findall(nodes.title), None)
    if said and title and app.env.docname not in LOOKED_UP:
        title.parent.insert(title.parent.index(title) + 1, nodes.paragraph("", said, classes=["reading-time"]))


def setup(app):
    app.add_post_transform(Fold)
    app.connect("doctree-read", show_reading_time)
    app.connect("html-page-context", unlink_summaries)
    app.add_css_file("folds.css")
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

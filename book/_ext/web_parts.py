"""Parts of pages that are written in HTML or SVG, read for print: tables, a drawing, words within a line."""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from xml.etree import ElementTree

from typeset import escaped

SVG = "{http://www.w3.org/2000/svg}"


@dataclass(frozen=True)
class Cell:
    """A cell of a table: its text, the columns that it spans, whether it stands at its left edge."""

    text: str
    span: int = 1
    left: bool = False


@dataclass
class Grid:
    """A table: its caption, the rows of its head, and its other rows."""

    caption: str = ""
    head: list[list[Cell]] = field(default_factory=list)
    body: list[list[Cell]] = field(default_factory=list)


class _Reader(HTMLParser):
    KNOWN = ("table", "caption", "thead", "tbody", "tr", "th", "td")

    def __init__(self):
        super().__init__()
        self.grid, self.rows, self.text, self.cell = Grid(), None, [], {}

    def handle_starttag(self, tag, attrs):
        if tag not in self.KNOWN:
            raise ValueError(f"a table holds <{tag}>, which print does not know")
        self.text = []
        if tag in ("thead", "tbody"):
            self.rows = self.grid.head if tag == "thead" else self.grid.body
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("th", "td"):
            self.cell = dict(attrs)

    def handle_endtag(self, tag):
        if tag == "caption":
            self.grid.caption = "".join(self.text)
        elif tag in ("th", "td"):
            left = "left" in (self.cell.get("style") or "")
            span = int(self.cell.get("colspan") or 1)
            self.rows[-1].append(Cell("".join(self.text), span, left))

    def handle_data(self, data):
        self.text.append(data)


def html_table(page):
    """Return the table of an output as a Grid; ValueError if it holds what print does not know."""
    reader = _Reader()
    reader.feed(page)
    if not reader.grid.body:
        raise ValueError("a table has no rows")
    return reader.grid


def inline(text):
    """Return a line of HTML as LaTeX: bold, emphasis and code, nothing else."""
    macros = {"strong": r"\textbf{", "em": r"\emph{", "code": r"\texttt{"}
    parts = []
    for part in re.split(r"(</?\w+>)", text.strip()):
        tag = re.fullmatch(r"<(/?)(\w+)>", part)
        if tag is None:
            parts.append(escaped(part))
        elif tag[2] in macros:
            parts.append("}" if tag[1] else macros[tag[2]])
        else:
            raise ValueError(f"print does not know {part}")
    return "".join(parts)


def drawing(svg):
    """Return an SVG of rectangles, straight paths and lines of text as TikZ, with the same units."""
    root = ElementTree.fromstring(svg)
    lines = []
    for group in root.findall(f"{SVG}g"):
        kind = group.get("class")
        for shape in group:
            name = shape.tag.removeprefix(SVG)
            if name == "rect":
                x, y, width, height = (float(shape.get(key)) for key in ("x", "y", "width", "height"))
                lines.append(rf"\draw[{kind}] ({x},{y}) rectangle ({x + width},{y + height});")
            elif name == "path":
                lines += [rf"\path[{shape.get('class') or kind}] {line};" for line in lines_of(shape.get("d"))]
            elif name == "text":
                lines.append(rf"\node[{kind}] at ({shape.get('x')},{shape.get('y')}) {{{words(shape)}}};")
            else:
                raise ValueError(f"a drawing holds <{name}>, which print does not know")
    return "\n".join([r"\begin{bookdrawing}", *lines, r"\end{bookdrawing}"])


def lines_of(path):
    """Yield the lines of a path of straight strokes, in TikZ: M, h, v, l and z are known."""
    x = y = 0
    points = []
    for command, text in re.findall(r"([A-Za-z])([^A-Za-z]*)", path):
        numbers = [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", text)]
        if command == "M":
            if points:
                yield " -- ".join(points)
            points = []
            x, y = numbers
        elif command == "h":
            x += numbers[0]
        elif command == "v":
            y += numbers[0]
        elif command == "l":
            for step in zip(numbers[::2], numbers[1::2]):
                x, y = x + step[0], y + step[1]
                points.append(f"({x},{y})")
            continue
        elif command == "z":
            yield " -- ".join([*points, "cycle"])
            points = []
            continue
        else:
            raise ValueError(f"a drawing has the stroke {command}, which print does not know")
        points.append(f"({x},{y})")
    if len(points) > 1:
        yield " -- ".join(points)


def words(shape):
    """Return the text of an SVG's line, its parts of the class "big" in bold."""
    parts = [escaped(shape.text or "")]
    for part in shape:
        parts += [rf"\textbf{{{escaped(part.text or '')}}}", escaped(part.tail or "")]
    return "".join(parts)

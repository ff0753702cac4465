"""Finding one's way: reading times, descriptions, permalinks, a search that knows names, and the page for lost readers.

Each page    says under its title how long it takes to read, and in its head what it is about.
Results      and exercises carry a link to themselves, as headings and equations do.
The search   finds an equation, a theorem, an exercise or a claim by its number and by its name.
404.html     stands at the site's root. GitHub Pages shows it at any depth, so its links are absolute.
"""

import json
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple
from urllib.parse import urljoin, urlsplit

from docutils import nodes
from markupsafe import escape
from sphinx.domains import Domain, ObjType

LOST = "book/404"
LOOKED_UP = {LOST, "book/claims", "book/api"}  # no reading time: nobody reads a reference from end to end
GENERATED = {
    "genindex": "Index of the terms that the book defines, with links to the places where they are explained.",
    "search": "Search the book: pages, terms, equations, theorems, exercises and claims, by name and by number.",
}
PAPER_EQUATIONS = {
    1: "the first objective, with a penalty on the product",
    2: "the second objective, with a penalty on each factor",
    3: "the rescaling by a diagonal D",
    4: "the rescaled embeddings, normalized",
    5: "one solution of the first objective",
    6: "the solution of the second objective",
}


# --- how long a page takes ---


class Pace(NamedTuple):
    """Seconds for each thing that is read: 150 words a minute, as for a text with proofs, and time to look."""

    word: float = 60 / 150
    equation: float = 20
    code_line: float = 2
    figure: float = 20


PACE = Pace()


@dataclass(frozen=True)
class Length:
    """What there is to read on a page, its exercises apart; and how many of those there are."""

    words: int
    equations: int
    code_lines: int
    figures: int
    exercises: int

    def minutes(self, pace=PACE):
        """Return the reading time: in steps of 5 minutes from 10 on, else in minutes. 0 is less than half a minute."""
        amounts = (self.words, self.equations, self.code_lines, self.figures)
        minutes = sum(amount * seconds for amount, seconds in zip(amounts, pace, strict=True)) / 60
        return math.floor(minutes / 5 + 0.5) * 5 if minutes >= 10 else math.floor(minutes + 0.5)

    def sentence(self):
        minutes = self.minutes()
        if not minutes:
            return ""
        exercises = f", and {counted(self.exercises, 'exercise')}" if self.exercises else ""
        return f"{counted(minutes, 'minute')} to read{exercises}"


def counted(number, thing):
    return f"{number} {thing}{'s' if number > 1 else ''}"


def cells(path):
    """Return (kind, source, whether it draws) for each cell of a notebook; a Markdown page is one cell."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return [("markdown", text, False)]
    return [
        (
            cell["cell_type"],
            "".join(cell["source"]),
            any(kind.startswith("image/") for output in cell.get("outputs", []) for kind in output.get("data", {})),
        )
        for cell in json.loads(text)["cells"]
    ]


def length(path):
    """Measure a page: all that stands before its section "Exercises", and the number of exercises in it."""
    before, exercises = [], 0
    reading = True
    for kind, source, draws in cells(path):
        if kind == "markdown":
            exercises += len(re.findall(r"^(?:`{3,}|:{3,})\{exercise(?:-start)?\}", source, re.MULTILINE))
            head, found, _ = source.partition("## Exercises\n")
            if reading:
                before.append((kind, head, False))
            reading &= not found
        elif reading:
            before.append((kind, source, draws))
    prose = "\n\n".join(source for kind, source, _ in before if kind == "markdown")
    words, equations = prose_length(prose)
    lines = [line for kind, source, _ in before if kind == "code" for line in source.splitlines() if line.strip()]
    return Length(words, equations, len(lines), sum(draws for *_, draws in before), exercises)


def prose_length(markdown):
    """Return (words, displayed equations) of a text in MyST. A formula within a line counts as one word."""
    text = re.sub(r"\A---\n.*?\n---\n", "", markdown, flags=re.DOTALL)
    text, fenced = re.subn(r"^(`{3,})\{math\}.*?^\1\s*$", "", text, flags=re.MULTILINE | re.DOTALL)
    text, dollars = re.subn(r"^\$\$.*?\$\$\s*$", "", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"\$[^$]+\$", "formula", text)
    text = re.sub(r"\{[\w:]+\}(?=`)", "", text)
    text = re.sub(r"^(?:[`:]{3,}.*|:\w+:.*|\([\w-]+\)=)$", "", text, flags=re.MULTILINE)  # markup around the prose
    return len(re.findall(r"[^\W_][\w'’.-]*", text)), fenced + dollars


def show_reading_time(app, doctree):
    """Put the reading time under the title."""
    sentence = length(Path(app.env.doc2path(app.env.docname))).sentence()
    title = next(doctree.findall(nodes.title), None)
    if sentence and title and app.env.docname not in LOOKED_UP:
        title.parent.insert(title.parent.index(title) + 1, nodes.paragraph("", sentence, classes=["reading-time"]))


# --- what a page is about ---


def describe(app, pagename, templatename, context, doctree):
    """Give each page a description: its own metadata hold it, in the front matter or in the notebook."""
    description = app.env.metadata.get(pagename, {}).get("description") or GENERATED.get(pagename)
    if description:
        meta = f'\n<meta name="description" content="{escape(description)}" />'
        context["metatags"] = context.get("metatags", "") + meta
    if pagename == app.config.root_doc:
        context["docstitle"] = ""  # else its title would say the same twice
    if pagename == "search":
        app.add_js_file("search_names.js")


# --- permalinks, and names for the search ---


def named_blocks(doctree):
    """Return (node, title node, kind, counter) for each theorem and the like, and for each exercise."""
    found = []
    for node in doctree.findall(nodes.Element):
        kind = node.get("realtype") or ("exercise" if node.get("type") in ("exercise", "exercise-start") else None)
        title = next((child for child in node.children if isinstance(child, nodes.title)), None)
        if kind and title and node["ids"]:
            found.append((node, title, kind, node.get("countertype", "exercise")))
    return found


def keep_names(app, doctree):
    """Remember what the theorems and the exercises of a page are called."""
    names = {}
    for node, title, kind, counter in named_blocks(doctree):
        text = title.astext().strip()
        text = text.removeprefix("Exercise").strip() if kind == "exercise" else text.removeprefix("(").removesuffix(")")
        if text:
            names[node["ids"][0]] = (kind, counter, text)
    app.env.metadata[app.env.docname]["names"] = names


def add_permalinks(app, doctree, docname):
    """End the title of each theorem and each exercise with a link to it."""
    if app.builder.format == "html":
        for node, title, kind, _ in named_blocks(doctree):
            link = f'<a class="headerlink" href="#{node["ids"][0]}" title="Link to this {kind}">#</a>'
            title += nodes.raw("", link, format="html")


class Names(Domain):
    """Names for the search only: what it shows is "Eq. 5: one solution of …", "Theorem 5.4: …"."""

    name = "names"
    label = "Names"
    object_types: ClassVar = {
        "equation": ObjType("equation"),
        "result": ObjType("theorem or lemma"),
        "exercise": ObjType("exercise"),
        "claim": ObjType("claim"),
    }

    def get_type_name(self, type, primary=False):
        return type.lname

    def get_objects(self):
        """Yield (name, name shown, kind, page, anchor, rank: 0 stands above the pages that hold the word)."""
        env = self.env
        for docname, numbers in env.toc_fignumbers.items():
            for anchor, number in numbers.get("displaymath", {}).items():
                yield self._equation(docname, anchor, number)
        for docname, names in ((docname, metadata.get("names", {})) for docname, metadata in env.metadata.items()):
            for label, (kind, counter, title) in names.items():
                if number := env.toc_fignumbers.get(docname, {}).get(counter, {}).get(label):
                    name = f"{kind.title()} {'.'.join(map(str, number))}: {title}"
                    exercise = kind == "exercise"
                    yield (name, name, "exercise" if exercise else "result", docname, label, 1 if exercise else 0)
        for label, (docname, anchor) in env.get_domain("std").anonlabels.items():
            if label.startswith("claim-"):
                claim = label.removeprefix("claim-")
                yield (claim, claim, "claim", docname, anchor, 1)

    @staticmethod
    def _equation(docname, anchor, number):
        paper = len(number) == 1
        words = re.sub(r"^equation-eq-(?:\d\d-)?", "", anchor).replace("-", " ")
        name = f"Eq. {'.'.join(map(str, number))}: {PAPER_EQUATIONS[number[0]] if paper else words}"
        return (name, name, "equation", docname, anchor, 0 if paper else 2)


# --- the page for lost readers ---


def base_path(environ=os.environ, baseurl=""):
    """Return the path under which the site stands: /, or /name/ for the GitHub Pages of the repository owner/name."""
    if baseurl:
        return urlsplit(baseurl).path.rstrip("/") + "/"
    owner, _, name = environ.get("GITHUB_REPOSITORY", "").partition("/")
    return "/" if not name or name.lower() == f"{owner}.github.io".lower() else f"/{name}/"


def with_absolute_links(html, address):
    """Return a page that works at any address: every relative link of the page at `address` made absolute."""

    def absolute(match):
        attribute, link = match.groups()
        stays = not link or re.match(r"#|/|[a-z][a-z0-9+.-]*:", link, re.IGNORECASE)
        return match[0] if stays else f'{attribute}="{urljoin(address, link)}"'

    return re.sub(r'\b(href|src|action|data-content_root)="([^"]*)"', absolute, html)


def include_lost(app, config):
    """The table of contents does not list 404.md, and what it does not list is left out."""
    config.exclude_patterns = [pattern for pattern in config.exclude_patterns if pattern != f"{LOST}.md"]


def move_lost(app, exception):
    if exception or app.builder.name != "html":
        return
    page = Path(app.outdir, f"{LOST}.html")
    if page.exists():
        address = base_path(baseurl=app.config.html_baseurl) + f"{LOST}.html"
        html = with_absolute_links(page.read_text(encoding="utf-8"), address)
        Path(app.outdir, "404.html").write_text(html, encoding="utf-8")
        page.unlink()


def setup(app):
    app.add_domain(Names)
    app.connect("config-inited", include_lost, priority=900)  # after the table of contents has been read
    app.connect("doctree-read", show_reading_time)
    app.connect("doctree-read", keep_names)
    app.connect("doctree-resolved", add_permalinks)
    app.connect("html-page-context", describe)
    app.connect("build-finished", move_lost, priority=900)
    app.add_css_file("wayfinding.css")
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

"""Finding one's way: descriptions, permalinks, a search that knows names, and the page for lost readers.

Each page    says in its head what it is about.
Results      and exercises carry a link to themselves, as headings and equations do.
The search   finds an equation, a theorem, an exercise or a claim by its number and by its name.
404.html     stands at the site's root. GitHub Pages shows it at any depth, so its links are absolute.
"""

import os
import re
from pathlib import Path
from typing import ClassVar
from urllib.parse import urljoin, urlsplit

from docutils import nodes
from markupsafe import escape
from sphinx.domains import Domain, ObjType

LOST = "book/404"
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
        app.add_js_file("search.js")


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
    app.connect("doctree-read", keep_names)
    app.connect("doctree-resolved", add_permalinks)
    app.connect("html-page-context", describe)
    app.connect("build-finished", move_lost, priority=900)
    app.add_css_file("wayfinding.css")
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

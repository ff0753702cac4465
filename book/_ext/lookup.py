"""What readers type, and the very section to which it leads: search.yml, for the search page.

Its rows are written into search.html, where search.js reads them. A label that does not exist is a warning, and so an
error of the build.
"""

import json
from html import escape
from pathlib import Path

import yaml
from docutils import nodes
from sphinx.util import logging

LOGGER = logging.getLogger(__name__)
TABLE = "search.yml"


def rows(folder):
    """Return the rows of search.yml, none where there is no such file."""
    path = Path(folder, TABLE)
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else []


def place(env, label):
    """Return (page, anchor) of a label, whatever it names; None if nothing does."""
    std = env.get_domain("std")
    if label in std.anonlabels:
        return std.anonlabels[label]
    for (kind, _), (page, anchor) in std.objects.items():
        if kind == "term" and anchor == label:
            return page, anchor
    anchors = (f"equation-{label}", label)  # of equations; of theorems and exercises, which keep their own lists
    for page, numbers in env.toc_fignumbers.items():
        for known in numbers.values():
            if found := next((anchor for anchor in anchors if anchor in known), None):
                return page, found
    return None


def called(env, page, anchor):
    """Return (what the place is called, all of its anchors)."""
    objects = env.get_domain("names").get_objects()
    name = next((name for name, *_, on, at, _ in objects if (on, at) == (page, anchor)), "")
    node = env.get_doctree(page).ids.get(anchor)
    while node is not None and not name and not isinstance(node, nodes.section | nodes.term):
        node = node.parent  # a target stands in its section
    if node is None:
        return name or anchor, [anchor]
    title = node if isinstance(node, nodes.term) else next(iter(node.findall(nodes.title)), None)
    name = name or title.astext().removeprefix("Details: ")
    return name[:1].upper() + name[1:], [anchor, *(other for other in node["ids"] if other != anchor)]


def resolved(env, row):
    """Return a row as search.js wants it, None if its label does not exist."""
    found = place(env, row["label"])
    if found is None:
        LOGGER.warning("%s: nothing has the label %s", TABLE, row["label"])
        return None
    page, anchor = found
    name, anchors = called(env, page, anchor)
    of_page = env.titles[page].astext()
    about = f"in {of_page}" if name != of_page else ""
    words = [str(word) for word in row["words"]]
    shown = {"name": escape(name, quote=False), "about": escape(about, quote=False)}  # search.js shows them as HTML
    return {"words": words, "page": page, "ids": anchors, **shown, "say": row["say"]}


def write(app, pagename, templatename, context, doctree):
    if pagename == "search":
        found = [row for row in (resolved(app.env, row) for row in rows(Path(app.srcdir, "book"))) if row]
        table = json.dumps(found, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
        script = f'\n<script type="application/json" id="search-words">{table}</script>'
        context["metatags"] = context.get("metatags", "") + script


def setup(app):
    app.connect("html-page-context", write)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

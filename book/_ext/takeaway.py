"""What a reader takes along: the book as a PDF, the site as one file for reading without a network, one notebook.

The PDF     is taken if `make pdf` has made it from these pages. The zip is made of the site itself if BOOK_ZIP is set,
            as `make zip` does. Each page's menu of downloads and the landing page name those that are there alone.
The zip     holds the same bytes for the same pages. It leaves out what needs a server (Pyodide's files, the page for
            lost readers) and itself.
A notebook  says in its first code cell what it lacks alone. Where the repository is known, its copy here adds where.
"""

import json
import os
import re
import shutil
from pathlib import Path

import provenance
import zips
from docutils import nodes
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

NAME = "cosine-similarity-book"
PRINTED = Path(__file__).parents[2] / "_build" / "pdf" / f"{NAME}.pdf"  # where `make pdf` leaves it
ENTRIES = {  # suffix: (what the landing page calls it, icon, tooltip)
    "pdf": ("the book as PDF", "fas fa-book", "Download the whole book as PDF"),
    "zip": ("the site for reading offline", "fas fa-box-archive", "Download the whole site, to read it offline"),
}
PLACE = '<p class="take-along site-only"></p>'
LINKED = re.compile(
    rf'<p class="take-along site-only">.*?</p>|<li>(?:(?!</li>).)*/{NAME}\.\w+"(?:(?!</li>).)*</li>', re.DOTALL
)
LEFT_OUT = re.compile(rf"run/|404\.html|\.buildinfo|\.nojekyll|_static/{NAME}\.\w+$")


# --- which files there are ---


def present(printed, sources, environ=os.environ):
    """Return the suffixes of the files that this build offers: a PDF older than a page is that of another book."""
    newest = max((Path(path).stat().st_mtime for path in sources), default=0.0)
    made = [printed.is_file() and printed.stat().st_mtime >= newest, bool(environ.get("BOOK_ZIP"))]
    return [suffix for suffix, there in zip(ENTRIES, made, strict=True) if there]


def look(app, env, docnames):
    """Say once what there is: pages are written by several processes."""
    app.take_along = present(PRINTED, [env.doc2path(name) for name in env.found_docs])
    if PRINTED.is_file() and "pdf" not in app.take_along:
        logging.getLogger(__name__).info("%s is older than a page: make pdf", PRINTED.name)


# --- where they are named ---


class TakeAlong(SphinxDirective):
    """{take-along}: the files on the landing page, nothing where there are none."""

    def run(self):
        return [nodes.raw("", PLACE, format="html")]


def name_them(app, pagename, templatename, context, doctree):
    """Add the files to the page's menu of downloads, and to the place that is kept for them."""
    there = getattr(app, "take_along", [])
    paths = {suffix: context["pathto"](f"_static/{NAME}.{suffix}", 1) for suffix in there}
    for group in context.get("header_buttons", []):
        if group.get("label") == "download-buttons":
            for suffix, path in paths.items():
                _, icon, tooltip = ENTRIES[suffix]
                shown = {"text": f"whole book, .{suffix}", "icon": icon, "tooltip": tooltip}
                group["buttons"].append(
                    {"type": "link", "url": path, "label": f"download-book-{suffix}-button"} | shown
                )
    if PLACE in context.get("body", ""):
        links = ", ".join(f'<a href="{path}">{ENTRIES[suffix][0]}</a>' for suffix, path in paths.items())
        said = f'<p class="take-along site-only">Take it along: {links}.</p>' if links else ""
        context["body"] = context["body"].replace(PLACE, said)


# --- the files ---


def alone(page):
    """Return a page of the zip, which names neither the zip nor the PDF: they do not lie in it."""
    return LINKED.sub("", page)


def write_zip(site, target):
    """Write the site into one file, below one folder."""
    names = sorted(path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file())
    zips.write(target, ((f"{NAME}/{name}", content(site / name)) for name in names if not LEFT_OUT.match(name)))


def content(path):
    """Return the bytes of a file as the zip holds them."""
    stored = path.read_bytes()
    return alone(stored.decode()).encode() if path.suffix == ".html" else stored


def with_address(notebook, url):
    """Return a notebook, as text, whose first code cell goes on after its comment with where the repository is."""
    stored = json.loads(notebook)
    code = next(cell for cell in stored["cells"] if cell["cell_type"] == "code")
    lines = "".join(code["source"]).splitlines(keepends=True)
    comment = next((n for n, line in enumerate(lines) if not line.startswith("#")), len(lines))
    if comment:
        code["source"] = [*lines[:comment], f"# {url}\n", *lines[comment:]]
    return json.dumps(stored, indent=1, ensure_ascii=False) + "\n"


def finish(app, exception):
    if exception or app.builder.name != "html":
        return
    site = Path(app.outdir)
    if url := provenance.repository_url():
        for path in sorted((site / "_sources").rglob("*.ipynb")):
            path.write_text(with_address(path.read_text(encoding="utf-8"), url), encoding="utf-8")
    there = getattr(app, "take_along", [])
    if "pdf" in there:
        shutil.copyfile(PRINTED, site / "_static" / PRINTED.name)
    if "zip" in there:
        write_zip(site, site / "_static" / f"{NAME}.zip")


def setup(app):
    app.add_directive("take-along", TakeAlong)
    app.connect("env-before-read-docs", look)
    app.connect("html-page-context", name_them, priority=900)  # after the theme has made its menu
    app.connect("build-finished", finish, priority=1000)  # after all else that changes pages
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

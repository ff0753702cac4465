"""Found a mistake? At the foot of each page, where the repository is known: a link to the form for errata.

The form is .github/ISSUE_TEMPLATE/erratum.yml. The link fills in which page of which commit was read, so that whoever
writes need not know. On paper there is no such line.
"""

from urllib.parse import urlencode

from markupsafe import Markup
from provenance import repository_url, revision

FORM = "erratum.yml"
WORDS = "Found a mistake? Tell us."


def address(repository, page, title, commit=""):
    """Return the address of the form, with its fields `page` and `commit` filled in."""
    fields = {"template": FORM, "title": f"Erratum: {title}", "page": page, "commit": commit}
    return f"{repository}/issues/new?{urlencode({name: value for name, value in fields.items() if value})}"


def link(repository, page, title, commit=""):
    """Return the line that a page ends with, as HTML; `title` is HTML, too."""
    plain = Markup(title).striptags()
    return Markup('<p class="erratum d-print-none"><a href="{}">{}</a></p>\n').format(
        address(repository, page, plain or page, commit), WORDS
    )


def find_commit(app):
    app.read_commit = revision().commit if repository_url() else ""


def ask(app, pagename, templatename, context, doctree):
    """Put the line above the theme's own foot."""
    if repository := repository_url():
        line = link(repository, pagename, context.get("title", ""), app.read_commit)
        context["theme_extra_footer"] = line + Markup(context.get("theme_extra_footer", ""))


def setup(app):
    app.connect("builder-inited", find_commit)
    app.connect("html-page-context", ask)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

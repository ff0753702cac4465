"""What Sphinx and its extensions write into each page, put right for what reads it: screen readers, browsers."""

import re

from sphinx.builders.html._assets import _JavaScript

AT_ONCE = {"documentation_options.js", "doctools.js"}  # scripts in the pages themselves call these
PLAIN = re.compile(r'<span class="[npw]">([^<]*)</span>')  # names, punctuation, blanks: in the color of all code
REPEATED = re.compile(r' id="(?:proof|(?:proof|exercise|solution)-content)"')  # one id on each box of a kind


def corrected(body):
    """Return the text of a page without the ids that stand on every proof, exercise and solution, and lighter.

    docutils gives references a role that ARIA 1.2 has withdrawn, in a list that so has no items.
    """
    body = PLAIN.sub(r"\1", body)
    return REPEATED.sub("", body).replace('role="doc-biblioentry"', 'role="listitem"')


def correct(app, pagename, templatename, context, doctree):
    if "body" in context:
        context["body"] = corrected(context["body"])
    for script in context.get("script_files", []):  # these do not hold up the text
        if isinstance(script, _JavaScript) and script.filename and script.filename.rsplit("/")[-1] not in AT_ONCE:
            script.attributes["defer"] = "defer"


def setup(app):
    app.connect("html-page-context", correct)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

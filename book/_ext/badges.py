"""The lines of checks, [ok] …, as badges: a run of them folds into one line that names what it checked, and opens.

The stored output stays as it is. Only the page shows it so, and without scripts too.
"""

import re
from itertools import groupby

from docutils import nodes
from markupsafe import Markup, escape
from sphinx.transforms.post_transforms import SphinxPostTransform

LINE = re.compile(
    r"\[ok\] (?P<claim>[a-z0-9-]+)(?: \((?P<of>[a-z0-9-]+)\))?: (?P<rule>.*?)"
    r"(?:, (?P<times>\d+) (?:times|rounds of \d+))?"
)
NAMED = 4  # a badge names so many things, and counts the others
LEDGER = "book/claims"


class Badges(SphinxPostTransform):
    default_priority = 900
    formats = ("html",)

    def run(self, **kwargs):
        for block in list(self.document.findall(nodes.literal_block)):
            if "stream" in block["classes"] and "[ok] " in block.astext():
                place = block.parent.index(block)
                block.parent[place : place + 1] = list(self._parts(block))

    def _parts(self, block):
        for checks, lines in runs(block.astext()):
            if checks:
                yield nodes.raw("", self._badge(lines), format="html")
            elif text := "\n".join(lines).strip("\n"):
                part = block.deepcopy()
                part.children = [nodes.Text(text)]
                part.rawsource = text  # else it would not be highlighted as it was
                yield part

    def _badge(self, lines):
        checks = [LINE.fullmatch(line) for line in lines]
        count = sum(int(check["times"] or 1) for check in checks)
        claims = ", ".join(f"<code>{claim}</code>" for claim in dict.fromkeys(check["claim"] for check in checks))
        labels = list(dict.fromkeys(check["of"] for check in checks if check["of"]))
        named = ", ".join(escape(number(self.env, label)[0]) for label in labels[:NAMED])
        more = f" and {len(labels) - NAMED} more" if len(labels) > NAMED else ""
        of = f"{named}{more} · " if labels else ""
        rows = Markup("").join(self._row(check) for check in checks)
        return (
            f'<details class="checks"><summary><span class="checks-count">✓ {count} '
            f"check{'s' if count > 1 else ''}</span> {of}{claims}</summary><ul>{rows}</ul></details>"
        )

    def _row(self, check):
        claim = self._link(LEDGER, f"claim-{check['claim']}", Markup("<code>{}</code>").format(check["claim"]))
        text, page, anchor = number(self.env, check["of"]) if check["of"] else ("", None, None)
        of = Markup(" {}").format(self._link(page, anchor, text)) if check["of"] else ""
        times = Markup(" × {}").format(check["times"]) if check["times"] else ""
        return Markup("<li>{}{}: {}{}</li>").format(claim, of, check["rule"], times)

    def _link(self, page, anchor, text):
        if page is None:
            return text
        address = "" if page == self.env.docname else self.app.builder.get_relative_uri(self.env.docname, page)
        return Markup('<a href="{}#{}">{}</a>').format(address, anchor, text)


def runs(text):
    """Yield (whether these are checks, lines) for each run of lines of one kind."""
    for checks, lines in groupby(text.splitlines(), key=lambda line: bool(LINE.fullmatch(line))):
        yield checks, list(lines)


def number(env, label):
    """Return (name, page, anchor) of a label. It is called (3.7), Theorem 3.2, Exercise 3.1, or by its title."""
    equations = env.get_domain("math").equations
    if label in equations:
        page, anchor = equations[label][0], f"equation-{label}"
        return f"({dotted(env, page, 'displaymath', anchor)})", page, anchor
    if label in getattr(env, "proof_list", {}):
        page, kind = env.proof_list[label]["docname"], env.proof_list[label]["realtype"]
        counter = env.proof_list[label]["countertype"]
        return f"{kind.title()} {dotted(env, page, counter, label)}", page, label
    if label in getattr(env, "sphinx_exercise_registry", {}):
        page = env.sphinx_exercise_registry[label]["docname"]
        return f"Exercise {dotted(env, page, 'exercise', label)}", page, label
    page, anchor, title = env.get_domain("std").labels.get(label, (None, None, label))
    return (f"“{title}”" if page else label), page, anchor


def dotted(env, page, counter, anchor):
    return ".".join(map(str, env.toc_fignumbers.get(page, {}).get(counter, {}).get(anchor, ())))


def setup(app):
    app.add_post_transform(Badges)
    app.add_css_file("badges.css")
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

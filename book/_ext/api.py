"""The API page: docstrings as they stand in the code, made ready for Sphinx with napoleon.

A docstring is written to be read in a terminal: an indented block is a formula, and `name` is a piece of code. Here the
block becomes preformatted text, and the name of something public a link to where the page documents it.
"""

import re
from collections.abc import Iterator

from sphinx import addnodes
from sphinx.ext.napoleon import Config, NumpyDocstring
from sphinx.transforms import SphinxTransform

import cossim_helpers

NAPOLEON = Config(
    napoleon_use_param=False,  # types stay as the docstrings give them, "array_like, shape (n, p)": no links to "shape"
    napoleon_use_rtype=False,
    napoleon_custom_sections=[("Attributes", "params_style")],
)
STRUCTURED = {"Attributes", "Parameters", "Returns", "Raises"}  # sections in which indentation has a meaning
CODE_OR_BAR = re.compile(r"(?<![`:\w])`([^`\n]+)`(?!`)|(?<!`)\|(?!`)")


def ready(lines: list[str]) -> Iterator[str]:
    """A docstring in reStructuredText: where indentation has no meaning of its own, an indented block is a formula."""
    section, formula = "", False
    for number, line in enumerate(lines):
        if line and re.fullmatch("-{3,}", "".join(lines[number + 1 : number + 2])):
            section = line
        indented = line.startswith("    ") and section not in STRUCTURED
        if indented and not formula and not lines[number - 1]:
            yield from (".. code-block:: text", "    :class: formula", "")
            formula = True
        formula &= indented or not line
        yield line if formula or line.startswith(">>>") else CODE_OR_BAR.sub(_marked, line)


def _marked(match: re.Match) -> str:
    """Code as code, a public name as a link to its place, and a bar as a bar, which else begins a substitution."""
    name = match[1]
    if not name:
        return r"\|"
    return f":py:obj:`~cossim_helpers.{name}`" if name in cossim_helpers.__all__ else f"``{name}``"


def prepare(app, what, name, thing, options, lines):
    what = "method" if what == "property" else what  # else what stands before a colon would be taken for its type
    lines[:] = NumpyDocstring(list(ready(lines)), NAPOLEON, app, what, name, thing, options).lines()


class KeepTheIndexToTerms(SphinxTransform):
    """The index at the back lists the terms of the book; functions are found on their page and by the search."""

    default_priority = 800  # before the index is collected, at 850

    def apply(self, **kwargs):
        for node in self.document.findall(addnodes.index):
            node["entries"] = [entry for entry in node["entries"] if not entry[2].startswith("cossim_helpers.")]


def setup(app):
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-docstring", prepare)
    app.add_transform(KeepTheIndexToTerms)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

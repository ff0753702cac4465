"""The directive `dial`: the D dial on a page of text, over a simulated data set of its own.

Where HTML is shown it is the interactive object of cossim_helpers.Dial, elsewhere its picture.
"""

import os
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.util.docutils import SphinxDirective

from cossim_helpers import Dial, Interactions, dial, simulate_interactions, spectrum


def landing_data() -> Interactions:
    return simulate_interactions(n_users=4_000, n_items=160, n_clusters=5, rng=0)


def landing_dial() -> Dial:
    """All 160 directions of 4,000 simulated users and 160 items in 5 clusters: the cases of full rank are exact."""
    data = landing_data()
    return dial(spectrum(data.X), data.X[:24], data.item_cluster, data.X.sum(axis=0), lam=10_000)


class DialDirective(SphinxDirective):
    """{dial}: no arguments, no content."""

    def run(self):
        shown = landing_dial()
        picture = Path(self.env.doctreedir) / "dial.png"
        picture.write_bytes(shown.png)
        elsewhere = addnodes.only(expr="not html")
        elsewhere += nodes.image(
            uri=os.path.relpath(picture, Path(self.env.doc2path(self.env.docname)).parent),
            alt="Three heat maps of item–item cosines of one model, for three choices of D.",
        )
        return [nodes.raw("", shown.html, format="html"), elsewhere]


def setup(app):
    app.add_directive("dial", DialDirective)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

"""The first page: the directive `one-model`, its picture, and the directive `dial`, over a data set of their own.

Where HTML is shown the dial is the interactive object of cossim_helpers.Dial, in print its picture. The two halves are
two pictures and two sentences there.
"""

import base64
import os
from functools import cache
from pathlib import Path

import numpy as np
from docutils import nodes
from sphinx import addnodes
from sphinx.util.docutils import SphinxDirective

from cossim_helpers import (
    Dial,
    Interactions,
    Spectrum,
    block_average,
    dial,
    item_item_cosine,
    rescale,
    shrinkage,
    simulate_interactions,
    solve_product_penalty,
    spectrum,
    user_embeddings,
)
from cossim_helpers.widget.picture import png_of

LAM = 10_000
EXPONENTS = {"one scaling": 1.0, "another scaling": -0.5}  # D = dMat(d)^e in Eq. 3, for the two halves of the picture
ITEM, USER, LISTED = 40, 4, 4  # whose neighbors are listed, who gets recommendations, and how many
PIXELS = 80


@cache
def landing_data() -> Interactions:
    return simulate_interactions(n_users=4_000, n_items=160, n_clusters=5, rng=0)


@cache
def landing_spectrum() -> Spectrum:
    return spectrum(landing_data().X)


def landing_dial() -> Dial:
    """All 160 directions of 4,000 simulated users and 160 items in 5 clusters: the cases of full rank are exact."""
    data = landing_data()
    return dial(landing_spectrum(), data.X[:24], data.item_cluster, data.X.sum(axis=0), lam=LAM)


@cache
def two_halves():
    """Return [(name, cosines, nearest items of ITEM, best new items for USER)]: one model, scaled in two ways."""
    data, top = landing_data(), landing_spectrum()
    fit, d = solve_product_penalty(top, LAM, len(top.sigma)), shrinkage(top.sigma, LAM)
    user, halves = data.X[[USER]], []
    for name, exponent in EXPONENTS.items():
        scaled = rescale(fit, d**exponent)
        cosine = item_item_cosine(scaled)
        nearest = best(np.where(np.arange(len(cosine)) == ITEM, -2, cosine[ITEM]))
        scores = (user_embeddings(user, scaled) @ scaled.B.T)[0]
        halves.append((name, cosine, nearest, best(np.where(user.toarray()[0] > 0, -np.inf, scores))))
    return halves


def best(values):
    return np.argsort(-values, kind="stable")[:LISTED]


def picture() -> str:
    """Return the two halves as HTML: heat map, neighbors of one item, recommendations for one user."""
    cluster = landing_data().item_cluster
    return "".join(half(*each, cluster) for each in two_halves())


def half(name, cosine, nearest, recommended, cluster):
    within = int(np.sum(cluster[nearest] == cluster[ITEM]))
    blocks = "five clusters stand out" if within == LISTED else "no cluster can be seen"
    alt = (
        f"Heat map of the cosines between {len(cosine)} items, {name}: {blocks}. "
        f"Of the {LISTED} items most similar to item {ITEM}, {within} are of its cluster."
    )
    source = base64.b64encode(png_of(block_average(cosine, PIXELS))).decode()
    return (
        f'<div class="half"><img alt="{alt}" width="160" height="160" src="data:image/png;base64,{source}">'
        f"<dl><dt>User {USER} gets</dt><dd>{chips(recommended, cluster)}</dd>"
        f"<dt>Similar to {chips([ITEM], cluster)}</dt><dd>{chips(nearest, cluster)}"
        f"<br>by a cosine up to {cosine[ITEM, nearest[0]]:.2f}</dd></dl></div>"
    )


def chips(items, cluster):
    return " ".join(f'<span class="chip c{cluster[i]}">{i}{chr(65 + cluster[i])}</span>' for i in items)


def on_paper(env) -> addnodes.only:
    """Return the two halves for print: both heat maps in a row, and a sentence for each."""
    cluster = landing_data().item_cluster
    maps, sentences = nodes.paragraph(), []
    for name, cosine, nearest, recommended in two_halves():
        shown = np.kron(block_average(cosine, PIXELS), np.ones((3, 3)))  # a viewer would blur what it enlarges
        maps += picture_of(env, f"{name.replace(' ', '-')}.png", png_of(shown), name, "160px")
        maps += nodes.Text("   ")
        sentences.append(
            f"{name.capitalize()}: user {USER} gets {listed(recommended, cluster)}. "
            f"Similar to {listed([ITEM], cluster)}: {listed(nearest, cluster)}, "
            f"by a cosine up to {cosine[ITEM, nearest[0]]:.2f}."
        )
    lines = [nodes.paragraph("", sentence) for sentence in sentences]
    return addnodes.only("", maps, *lines, expr="not html")


def listed(items, cluster):
    return ", ".join(f"{i}{chr(65 + cluster[i])}" for i in items)


def picture_of(env, name, png, alt, size=None):
    """Return an image of these bytes, kept beside the pages that Sphinx has read."""
    path = Path(env.doctreedir) / name
    path.write_bytes(png)
    given = {"width": size, "height": size} if size else {}
    return nodes.image(uri=os.path.relpath(path, Path(env.doc2path(env.docname)).parent), alt=alt, **given)


class OneModelDirective(SphinxDirective):
    """{one-model}: no arguments; its content is the caption."""

    has_content = True

    def run(self):
        caption = nodes.container(classes=["one-model-caption"])
        caption += self.parse_content_to_nodes()
        start = f'<div class="one-model"><div class="halves">{picture()}</div>'
        end = nodes.raw("", "</div>", format="html", in_print=True)
        return [nodes.raw("", start, format="html", in_print=True), caption, end, on_paper(self.env)]


class DialDirective(SphinxDirective):
    """{dial}: no arguments, no content."""

    def run(self):
        shown = landing_dial()
        alt = "Three heat maps of item–item cosines of one model, for three choices of D."
        elsewhere = addnodes.only("", picture_of(self.env, "dial.png", shown.png, alt), expr="not html")
        return [nodes.raw("", shown.html, format="html", in_print=True), elsewhere]


def setup(app):
    app.add_directive("one-model", OneModelDirective)
    app.add_directive("dial", DialDirective)
    app.add_css_file("doors.css")
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

"""What a link to a page shows where it is shared: a title, a description and a picture (Open Graph).

The picture is book/_static/card.png. `python book/_ext/sharing.py` draws it anew, from the data of Figure 1.
"""

import os
import re
from pathlib import Path
from urllib.parse import urljoin

import numpy as np
from markupsafe import Markup, escape
from provenance import repository_url
from wayfinding import GENERATED, base_path

CARD = Path(__file__).parents[1] / "_static" / "card.png"
SIZE = (1_200, 630)
ALT = (
    "Two heat maps of the cosines between 1,000 items, of one model with the same predictions. Left, five clusters are "
    "pale; right, they are dark."
)


def base_url(environ=os.environ, baseurl=""):
    """Return the address of the site's root with a slash at its end, or None where nobody has said it."""
    if baseurl:
        return baseurl.rstrip("/") + "/"
    repository = repository_url(environ) or ""
    owner = re.fullmatch(r"https://github\.com/([^/]+)/.+", repository)
    return f"https://{owner[1].lower()}.github.io{base_path(environ)}" if owner else None


def share(app, pagename, templatename, context, doctree):
    """Add the tags of a shared link. Addresses are absolute where the site knows its own, else relative to the page."""
    root = base_url(baseurl=app.config.html_baseurl)
    description = app.env.metadata.get(pagename, {}).get("description") or GENERATED.get(pagename)
    image = context["pathto"]("_static/card.png", 1)
    tags = {
        "og:type": "website",
        "og:site_name": app.config.html_title,
        "og:title": Markup(context.get("title") or app.config.html_title).striptags(),
        "og:description": description,
        "og:image": urljoin(root, "_static/card.png") if root else image,
        "og:image:width": SIZE[0],
        "og:image:height": SIZE[1],
        "og:image:alt": ALT,
        "og:url": urljoin(root, app.builder.get_target_uri(pagename)) if root else None,
    }
    meta = [f'<meta property="{name}" content="{escape(value)}" />' for name, value in tags.items() if value]
    meta.append('<meta name="twitter:card" content="summary_large_image" />')
    context["metatags"] = "\n".join([context.get("metatags", ""), *meta])


def setup(app):
    app.connect("html-page-context", share)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


# --- the picture ---


def panels():
    """Return the cosines of two scalings of one model on the data of Figure 1, averaged over blocks of 5 by 5."""
    from cossim_helpers import block_average, cosine_similarity, shrinkage, simulate_interactions, spectrum

    top = spectrum(simulate_interactions(rng=0).X, 50)
    d = shrinkage(top.sigma, top.sigma[6] ** 2)
    return [block_average(cosine_similarity(top.V * d**exponent), 200) for exponent in (0.0, 1.0)]


def draw(path=CARD):
    import matplotlib.pyplot as plt
    from PIL import Image

    with plt.style.context("cossim_helpers.cossim"):
        figure = plt.figure(figsize=(12, 6.3), dpi=100, facecolor="white", layout="none")
        figure.text(0.05, 0.87, "Is cosine similarity about similarity?", fontsize=36, fontweight="bold")
        figure.text(0.05, 0.78, "One model. The same predictions. Two answers.", fontsize=24, color="0.25")
        for left, cosine in zip((0.05, 0.395), panels(), strict=True):
            axes = figure.add_axes([left, 0.08, 0.3281, 0.625])
            axes.imshow(cosine, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        lines = (
            "Which items are\nsimilar? Here are\nall cosines of\n1,000 items, under\n"
            "two scalings that\ntraining cannot\ntell apart."
        )
        figure.text(0.745, 0.39, lines, fontsize=19, va="center", linespacing=1.5, color="0.25")
        figure.canvas.draw()
        pixels = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("RGB")
        plt.close(figure)
    pixels.quantize(96).save(path, optimize=True)


if __name__ == "__main__":
    draw()

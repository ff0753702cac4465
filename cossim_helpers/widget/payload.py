"""What travels with the page: the singular pairs in 16 bits, the presets, the markup that scripts fill with life."""

from __future__ import annotations

import base64
import json
import math
import re
from html import escape
from importlib.resources import files

import numpy as np

from ..spectra import Spectrum

X_HAND = [[1.0, 1.0], [1.0, 0.0], [0.0, 1.0]]  # the book's example: three users, two items
HAND = Spectrum(np.sqrt([3.0, 1.0]), [[1.0, 1.0], [1.0, -1.0]] / np.sqrt(2))
FRONT = 3  # so many presets are large and in sight; the others are behind "More presets"


def quantize(matrix) -> dict[str, object]:
    """A matrix in 16 bits an entry: {"base64": little-endian int16, row by row; "scale": one factor for each row}.

    Entry (i, j) is integer_ij · scale_i. The rounding error is at most half a scale: 1/65,534 of the row's largest
    entry. Rows have their own scale because a cosine does not notice it, and a rare item has a short row.
    """
    largest = abs(matrix).max(axis=1)
    scale = np.array([float(f"{size / 32_766:.5e}") for size in np.where(largest > 0, largest, 1.0)])
    integers = np.rint(matrix / scale[:, None]).astype("<i2")
    return {"base64": base64.b64encode(integers.tobytes()).decode(), "scale": scale.tolist()}


def page_data(dial) -> dict[str, object]:
    """All that numbers.js and view.js know of a dial."""
    starts = {"own": _start(dial)}
    starts["hand"] = starts["own"] | {"data": "hand", "exponent": 0.0, "cut": 1.0, "k": 2}
    presets = _presets(dial, **starts)
    words = "By hand: one user has both items, two users have one each."
    return {
        "sets": {
            "own": _data_set(dial.spectrum, dial.user_coordinates, dial.item_cluster, dial.popularity_rank, ""),
            "hand": _data_set(HAND, X_HAND @ HAND.V, np.zeros(2, int), np.array([1, 2]), words),
        },
        "presets": presets,
        "markup": _markup(dial, presets),
        "starts": starts,
        "diverging": _colors("RdBu_r", 17),
        "sequential": _colors("viridis", 17),
    }


def _data_set(spectrum, user_coordinates, item_cluster, popularity_rank, words):
    """One of the data sets that a dial may stand on; `words` say what it is, where the page around does not."""
    p, clusters = len(item_cluster), np.unique(item_cluster)
    edges = np.flatnonzero(np.diff(item_cluster)) + 1
    return {
        "sigma": [float(f"{sigma:.7e}") for sigma in spectrum.sigma],
        "V": quantize(spectrum.V),
        "users": quantize(user_coordinates),
        "cluster": np.searchsorted(clusters, item_cluster).tolist(),
        "clusterNames": _cluster_names(clusters.size),
        "clusterSizes": np.diff([0, *edges, p]).tolist(),
        "popularityRank": popularity_rank.tolist(),
        "words": words,
    }


def _start(dial):
    """Where the dial stands at first. Penalties cut at the singular value `cut`: λ = cut² in Eq. 1, cut in Eq. 2."""
    return {
        "data": "own",
        "objective": "product",
        "compare": "items",
        "base": "d",
        "exponent": dial.exponent,
        "cut": math.sqrt(dial.lam),
        "k": dial.k,
        "item": 0,
        "want": "",
    }


def _presets(dial, own, hand):
    """The buttons, FRONT large ones first: what each sets on the dial's own data and on the example by hand, a note."""
    ours = _settings(dial.spectrum, np.unique(dial.item_cluster).size, own["cut"])
    theirs = _settings(HAND, 1, hand["cut"])
    presets = [
        {"name": name, "set": {"own": setting, "hand": by_hand}, "note": note}
        for (name, setting, note), (_, by_hand, _) in zip(ours, theirs, strict=True)
        if setting
    ]
    note = "Cosine of the two items: 1/5. At the exponent 0.5 it is 0, at −0.5 it is 5/13; no score moves."
    for name, setting, says in ("By hand", hand, note), (f"{len(dial.item_cluster)} items", own, ""):
        presets.append({"name": name, "set": {"own": setting, "hand": setting}, "note": says})
    return presets


def _settings(spectrum, n_clusters, cut):
    """The settings that this book discusses. Each names λ and the rank; what else it does not name stays as it is."""
    sigma, (p, r) = spectrum.sigma, spectrum.V.shape
    full = r == p

    def of_d(exponent, base="d", **more):
        return {"objective": "product", "compare": "items", "base": base, "exponent": exponent} | more

    settings = [
        (
            "All strangers" if full else "B = V",
            of_d(0.5),
            "The rows of V: case 1 of the paper. At full rank every item is similar to itself only."
            if full
            else "The item embeddings are the rows of V. At full rank every item would be similar to itself only.",
        ),
        ("As trained", of_d(0), "Eq. 5, the paper’s first choice: one of infinitely many."),
        (
            "All clusters",
            of_d(-0.5),
            "Case 2 of the paper. At full rank it makes the users as similar as their raw data.",
        ),
        ("D = 1/√σ", of_d(-0.5, base="sigma"), "The items’ lengths grow by √σ in each direction."),
        ("Eq. 2", {"objective": "factors", "compare": "items"}, ""),
        (
            "Eq. 2, λ > σ₂",
            {"objective": "factors", "compare": "items", "cut": float(f"{sigma[:2].mean():.5g}")}
            if r > 1 and sigma[0] > sigma[1]
            else None,
            "One direction is left: everything is similar to everything.",
        ),
        ("Weight decay", {"objective": "decay", "compare": "items"}, ""),
        (
            "Whitened",
            {"objective": "product", "compare": "whitened", "k": n_clusters} if r >= n_clusters else None,
            "The rank is that of the clusters, and each direction counts alike.",
        ),
        ("Scores, Eq. 1", {"objective": "product", "compare": "scores"}, ""),
        ("Scores, Eq. 2", {"objective": "factors", "compare": "scores"}, ""),
        (
            "Data",
            {"objective": "product", "compare": "data"},
            "" if full else f"(Here only their {r} leading directions.)",
        ),
    ]
    return [(name, setting and {"cut": cut, "k": r, "want": ""} | setting, note) for name, setting, note in settings]


def _cluster_names(count):
    return [chr(ord("A") + place) if count <= 26 else str(place + 1) for place in range(count)]


def _markup(dial, presets):
    """What scripts fill with life. It travels with the data: where scripts are off, no dead control may stand.

    data-lm-suppress-shortcuts keeps JupyterLab's own shortcuts, such as 0 0, off the keys that are meant for a control.
    """
    markup = read("dial.html")
    buttons = [
        '<button data-lm-suppress-shortcuts type="button" aria-pressed="false" data-preset>'
        f"<b>{escape(preset['name'])}</b> <small></small></button>"
        for preset in presets
    ]
    parts = {
        "front": "".join(buttons[:FRONT]),
        "more": "".join(buttons[FRONT:]),
        "rows": "<tr><td></td><td></td><td></td><td></td><td class=cd-five></td></tr>"
        * min(10, len(dial.item_cluster) - 1),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], markup)  # at once: a part may hold such a place


def _colors(name, count):
    import matplotlib as mpl
    from matplotlib.colors import to_hex

    return [to_hex(color) for color in mpl.colormaps[name](np.linspace(0, 1, count))]


def as_json(value) -> str:
    """JSON in which nothing can end the script element that holds it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def read(name) -> str:
    """The text of a file that stands beside this one."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8").strip()


def style(name) -> str:
    """The style of the object "dial" or "cone": the frame that all objects share, in its class, and its own rules."""
    frame = read("frame.css").replace(".cossim-object", f".cossim-{name}")
    return re.sub(r"/\*.*?\*/\n?", "", frame + "\n" + read(f"{name}.css"), flags=re.DOTALL)


def script(name) -> str:
    """The code of a script that stands beside this file. Its comments stay here: a page need not carry them."""
    return re.sub(r"^ *(//|/\*\*| \*).*\n", "", read(name), flags=re.MULTILINE)

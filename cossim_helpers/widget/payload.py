"""What travels with the page: the singular pairs in 16 bits, the presets, the markup that scripts fill with life."""

from __future__ import annotations

import base64
import json
from html import escape
from importlib.resources import files

import numpy as np

from .._validation import real_array


def quantize(matrix) -> dict[str, object]:
    """A matrix in 16 bits an entry: {"base64": little-endian int16, row by row; "scale": one factor for each row}.

    Entry (i, j) is integer_ij · scale_i. The rounding error is at most half a scale: 1/65,534 of the row's largest
    entry. Rows have their own scale because a cosine does not notice it, and a rare item has a short row.
    """
    matrix = real_array("matrix", matrix, ndim=2)
    largest = abs(matrix).max(axis=1)
    scale = np.array([float(f"{size / 32_766:.5e}") for size in np.where(largest > 0, largest, 1.0)])
    integers = np.rint(matrix / scale[:, None]).astype("<i2")
    return {"base64": base64.b64encode(integers.tobytes()).decode(), "scale": scale.tolist()}


def dequantize(coded) -> np.ndarray:
    """The matrix that `quantize` coded, to its rounding: the oracle of what the browser decodes."""
    integers = np.frombuffer(base64.b64decode(coded["base64"]), "<i2").reshape(len(coded["scale"]), -1)
    return integers * np.array(coded["scale"])[:, None]


def page_data(dial) -> dict[str, object]:
    """All that numbers.js and view.js know of a dial."""
    presets, clusters = _presets(dial), np.unique(dial.item_cluster)
    return {
        "sigma": [float(f"{sigma:.7e}") for sigma in dial.spectrum.sigma],
        "V": quantize(dial.spectrum.V),
        "users": quantize(dial.user_coordinates),
        "cluster": np.searchsorted(clusters, dial.item_cluster).tolist(),
        "clusterNames": list(_cluster_names(dial.item_cluster).values()),
        "popularityRank": dial.popularity_rank.tolist(),
        "presets": presets,
        "markup": _markup(dial, presets),
        "start": {
            "objective": "product",
            "compare": "items",
            "base": "d",
            "exponent": dial.exponent,
            "cut": _cut(dial),
            "k": dial.k,
            "item": 0,
        },
        "diverging": _colors("RdBu_r", 17),
        "sequential": _colors("viridis", 17),
    }


def _presets(dial):
    """The settings that this book discusses; each leaves what it does not name as it is."""
    sigma, (p, r) = dial.spectrum.sigma, dial.spectrum.V.shape
    n_clusters = np.unique(dial.item_cluster).size

    def of_d(exponent, base="d", **more):
        return {"objective": "product", "compare": "items", "base": base, "exponent": exponent} | more

    presets = [
        ("Eq. 5", of_d(0), "The paper’s first choice, one of infinitely many."),
        ("B = V", of_d(0.5), "The item embeddings are the rows of V_k."),
        ("Case 1", of_d(0.5, k=p) if r == p else None, "At full rank every item is similar to itself only."),
        ("Case 2", of_d(-0.5), "At full rank it makes the users as similar as their raw data."),
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
        ("Data", {"compare": "data"}, "" if r == p else f"(Here only their {r} leading directions.)"),
    ]
    return [{"name": name, "set": setting, "note": note} for name, setting, note in presets if setting]


def _cut(dial):
    """The singular value at which the penalties cut: λ = cut² in Eq. 1, λ = cut in Eq. 2."""
    return float(np.sqrt(dial.lam))


def _cluster_names(item_cluster):
    clusters = np.unique(item_cluster)
    return {
        cluster: chr(ord("A") + place) if len(clusters) <= 26 else str(place + 1)
        for place, cluster in enumerate(clusters)
    }


def _markup(dial, presets):
    """What scripts fill with life. It travels with the data: where scripts are off, no dead control may stand.

    data-lm-suppress-shortcuts keeps JupyterLab's own shortcuts, such as 0 0, off the keys that are meant for a control.
    """
    p = len(dial.item_cluster)
    edges = np.flatnonzero(np.diff(dial.item_cluster)) + 1
    names = _cluster_names(dial.item_cluster)
    letters = [
        f'<span style="flex:{size}">{names[cluster]}</span>'
        for size, cluster in zip(np.diff([0, *edges, p]), dial.item_cluster[[0, *edges]])
    ]
    markup = read("dial.html")
    for name, text in {
        "presets": "".join(
            f'<button data-lm-suppress-shortcuts type="button" aria-pressed="false">{escape(preset["name"])}</button>'
            for preset in presets
        ),
        "letters": "".join(letters),
        "edges": "".join(f"M{edge} 0V{p}M0 {edge}H{p}" for edge in edges),
        "rows": "<tr><td></td><td></td><td></td><td></td></tr>" * min(10, p - 1),
        "n_items": str(p),
        "last_item": str(p - 1),
        "n_users": str(len(dial.user_coordinates)),
    }.items():
        markup = markup.replace("{{" + name + "}}", text)
    return markup


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

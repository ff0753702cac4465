"""The D dial: turn D, λ and the rank by hand, on a page without a kernel, and watch cosines move and scores stay.

Python writes the singular pairs into the page; dial.js computes every number from them, in the reader's browser.
It is a plain inline script in an HTML output. An anywidget would do the same with 940 kB (gzipped) of require.js and
widget manager around it on a static page, by default from another host. The inline script is 7 kB (gzipped), asks no
one for anything, and runs in JupyterLab just as it does on the site.
"""

from __future__ import annotations

import base64
import io
import json
import struct
import zlib
from dataclasses import dataclass
from html import escape
from importlib.resources import files

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import to_hex

from ._validation import penalty, real_array, real_number, require_same, whole_number
from .closed_forms import shrinkage, solve_product_penalty
from .gauge import rescale
from .metrics import cluster_auc
from .plots import block_average, plot_cosine_panels
from .similarity import item_item_cosine
from .spectra import Spectrum

MAX_ITEMS, MAX_USERS = 400, 40
STATIC = {"B = V, exponent ½": 0.5, "Eq. 5, exponent 0": 0.0, "Case 2, exponent −½": -0.5}  # of D = dMat(d)^e
STATIC_PIXELS = 60


@dataclass(frozen=True, eq=False)
class Dial:
    """What the D dial shows: a spectrum, the truth about its items, some users, and where the dial starts.

    Notebooks show it as the interactive object where HTML is shown, as three heat maps elsewhere. `html` is the same
    text at every run: the numbers in it are rounded to 16 bits.

    Attributes
    ----------
    spectrum : Spectrum
        σ (r,) and V (p, r).
    user_coordinates : ndarray, shape (m, r)
        x_u V for a few users.
    item_cluster : ndarray of int, shape (p,)
    popularity_rank : ndarray of int, shape (p,)
        1 for the most popular item.
    lam : float
        λ of Eq. 1 at the start. Eq. 2 starts at √λ, which cuts at the same singular value.
    k : int
        Rank at the start.
    exponent : float
        e of D = dMat(d)^e at the start.
    """

    spectrum: Spectrum
    user_coordinates: np.ndarray
    item_cluster: np.ndarray
    popularity_rank: np.ndarray
    lam: float
    k: int
    exponent: float

    def __repr__(self) -> str:
        p, r = self.spectrum.V.shape
        return (f"Dial({p} items, {r} directions, {len(self.user_coordinates)} users; "
                f"lam={self.lam:g}, k={self.k}, exponent={self.exponent:g})")

    @property
    def html(self) -> str:
        """The interactive object, self-contained: style, data and script. Several may stand on one page."""
        p, k = len(self.item_cluster), self.k
        maps = "".join(_static_map(title, cosine, self.item_cluster) for title, cosine in _static_cosines(self).items())
        return f"""<div class="cossim-dial" role="group" aria-label="The D dial">
<style>{_file("dial.css")}</style>
<div class="cd-static">
<p>One model, three choices of D: the cosines between {p} items at λ = {self.lam:,g} and rank {k}. The scores of all
users for all items are the same in all three.</p>
<div class="cd-maps">{maps}</div>
</div>
<div class="cd-live"></div>
<script type="application/json">{_json(_payload(self))}</script>
<script>{_file("dial.js")}</script>
</div>"""

    @property
    def png(self) -> bytes:
        """The static picture: three settings of D as heat maps."""
        with plt.style.context("cossim_helpers.cossim"):
            figure = plot_cosine_panels(_static_cosines(self), self.item_cluster, columns=3)
            target = io.BytesIO()
            figure.savefig(target, format="png", bbox_inches="tight", metadata={"Software": None})
            plt.close(figure)
        return target.getvalue()

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        return {"text/html": self.html, "image/png": base64.b64encode(self.png).decode(), "text/plain": repr(self)}


def dial(spectrum: Spectrum, users, item_cluster, item_popularity, *, lam: float, k: int | None = None,
         exponent: float = 0.0) -> Dial:
    """The D dial over a fitted spectrum.

        cosines between the rows of B̂D⁻¹,   D = dMat(d)^e or dMat(σ)^e        (Eq. 3 applied to Eq. 5)
        scores (x_u Â D)(B̂D⁻¹)ᵀ of a few users, multiplied out for each D     (the same for every D)

    Parameters
    ----------
    spectrum : Spectrum
        Of at most 400 items, each σ above 0. With all p directions the cases that need full rank are exact.
    users : array_like, shape (m, p)
        Rows of X, at most 40, whose scores are shown.
    item_cluster : array_like of int, shape (p,)
        Non-decreasing, so that each cluster is one block of the heat map.
    item_popularity : array_like, shape (p,)
        Larger is more popular; only the order is shown.
    lam : float
        λ > 0 at the start.
    k : int, optional
        Rank at the start. Default: all directions of the spectrum.
    exponent : float
        From −2 to 2: e at the start.

    Returns
    -------
    Dial

    Raises
    ------
    ValueError, TypeError
        For more than 400 items or 40 users, shapes that do not match, a σ of 0, clusters that are not sorted or are
        only one, λ ≤ 0, k out of range, an exponent beyond ±2.

    Examples
    --------
    >>> from cossim_helpers import simulate_interactions, spectrum
    >>> data = simulate_interactions(300, 40, 4, rng=1)
    >>> dial(spectrum(data.X), data.X[:8], data.item_cluster, data.item_popularity, lam=100)
    Dial(40 items, 40 directions, 8 users; lam=100, k=40, exponent=0)
    """
    if not isinstance(spectrum, Spectrum):
        raise TypeError(f"spectrum takes a Spectrum, got {type(spectrum).__name__}")
    p, r = spectrum.V.shape
    if not 2 <= p <= MAX_ITEMS:
        raise ValueError(f"spectrum takes from 2 to {MAX_ITEMS} items (they travel with the page), got {p}")
    if spectrum.sigma[-1] <= 0:
        raise ValueError("spectrum takes positive singular values (dMat(d) must be invertible), got 0; "
                         "pass a smaller k")
    users = real_array("users", users.toarray() if hasattr(users, "toarray") else users, ndim=2)
    require_same("users, with one column for each item", users.shape[1], p)
    if len(users) > MAX_USERS:
        raise ValueError(f"users takes at most {MAX_USERS} rows, got {len(users)}")
    item_cluster = np.asarray(item_cluster)
    if item_cluster.dtype.kind not in "iu":
        raise TypeError(f"item_cluster takes integers, got dtype {item_cluster.dtype}")
    require_same("item_cluster, one for each item", item_cluster.shape, (p,))
    if (np.diff(item_cluster) < 0).any():
        raise ValueError("item_cluster takes items sorted by cluster, got one that is smaller than the one before")
    if not 1 < np.unique(item_cluster).size < p:
        raise ValueError("item_cluster takes at least two clusters, one of them with two items, got "
                         f"{np.unique(item_cluster).size} cluster(s) for {p} items")
    item_popularity = real_array("item_popularity", item_popularity, ndim=1)
    require_same("item_popularity, one for each item", item_popularity.size, p)
    if (lam := penalty(lam)) == 0:
        raise ValueError("lam takes a number above 0 (its knob is logarithmic), got 0")
    k = r if k is None else whole_number("k", k, low=1, high=r, why=" (what the spectrum holds)")
    if not -2 <= (exponent := real_number("exponent", exponent)) <= 2:
        raise ValueError(f"exponent takes a number from -2 to 2 (the knob's ends), got {exponent:g}")
    popularity_rank = np.empty(p, dtype=int)
    popularity_rank[np.argsort(-item_popularity, kind="stable")] = np.arange(1, p + 1)
    return Dial(spectrum, users @ spectrum.V, item_cluster, popularity_rank, lam, k, exponent)


# --- what travels with the page ----------------------------------------------------------------------------------


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


def _markup(dial, presets):
    """What scripts fill with life. It travels with the data: where scripts are off, no dead control may stand.

    data-lm-suppress-shortcuts keeps JupyterLab's own shortcuts, such as 0 0, off the keys that are meant for a control.
    """
    p = len(dial.item_cluster)
    edges = np.flatnonzero(np.diff(dial.item_cluster)) + 1
    names = _cluster_names(dial.item_cluster)
    letters = [f'<span style="flex:{size}">{names[cluster]}</span>'
               for size, cluster in zip(np.diff([0, *edges, p]), dial.item_cluster[[0, *edges]])]
    markup = _file("dial.html")
    for name, text in {
        "presets": "".join('<button data-lm-suppress-shortcuts type="button" aria-pressed="false">'
                           f'{escape(preset["name"])}</button>' for preset in presets),
        "letters": "".join(letters),
        "edges": "".join(f"M{edge} 0V{p}M0 {edge}H{p}" for edge in edges),
        "rows": "<tr><td></td><td></td><td></td><td></td></tr>" * min(10, p - 1),
        "n_items": str(p), "last_item": str(p - 1), "n_users": str(len(dial.user_coordinates)),
    }.items():
        markup = markup.replace("{{" + name + "}}", text)
    return markup


def _payload(dial):
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
        "start": {"objective": "product", "compare": "items", "base": "d", "exponent": dial.exponent,
                  "cut": _cut(dial), "k": dial.k, "item": 0},
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
        ("Eq. 2, λ > σ₂", {"objective": "factors", "compare": "items", "cut": float(f"{sigma[:2].mean():.5g}")}
         if r > 1 and sigma[0] > sigma[1] else None, "One direction is left: everything is similar to everything."),
        ("Weight decay", {"objective": "decay", "compare": "items"}, ""),
        ("Whitened", {"objective": "product", "compare": "whitened", "k": n_clusters} if r >= n_clusters else None,
         "The rank is that of the clusters, and each direction counts alike."),
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
    return {cluster: chr(ord("A") + place) if len(clusters) <= 26 else str(place + 1)
            for place, cluster in enumerate(clusters)}


def _colors(name, count):
    return [to_hex(color) for color in plt.get_cmap(name)(np.linspace(0, 1, count))]


def _json(value):
    """Nothing in it can end the script element that holds it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _file(name):
    return files(__package__).joinpath(name).read_text(encoding="utf-8").strip()


# --- the static picture ------------------------------------------------------------------------------------------


def _static_cosines(dial):
    """Cosines at the three exponents of STATIC, from the book's own functions."""
    fit = solve_product_penalty(dial.spectrum, dial.lam, dial.k)
    d = shrinkage(dial.spectrum.sigma[: dial.k], dial.lam)
    return {title: item_item_cosine(rescale(fit, d**exponent)) for title, exponent in STATIC.items()}


def _static_map(title, cosine, item_cluster):
    auc = cluster_auc(cosine.round(9), item_cluster)
    alt = f"Heat map of {len(cosine)} × {len(cosine)} cosines, cluster AUC {auc:.2f}"
    source = base64.b64encode(_png(block_average(cosine, STATIC_PIXELS))).decode()
    return (f'<figure><img alt="{escape(alt)}" src="data:image/png;base64,{source}">'
            f"<figcaption>{escape(title)}. Cluster AUC {auc:.2f}</figcaption></figure>")


def _png(cosine) -> bytes:
    """A heat map, a pixel an entry, as a PNG of 65 colors with its pixels stored uncompressed.

    Compression libraries differ in their output; stored pixels are the same bytes everywhere. The middle color is
    that of 0 and of what rounding makes of 0.
    """
    rows, columns = cosine.shape
    index = np.clip(np.rint((cosine + 1) * 32), 0, 64).astype(np.uint8)
    pixels = np.pad(index, ((0, 0), (1, 0))).tobytes()  # each row begins with its filter, 0: none
    colors = (plt.get_cmap("RdBu_r")(np.linspace(0, 1, 65))[:, :3] * 255).round().astype(np.uint8).tobytes()
    stored = struct.pack("<BHH", 1, len(pixels), len(pixels) ^ 0xFFFF) + pixels  # one block, up to 65,535 bytes
    stream = b"\x78\x01" + stored + struct.pack(">I", zlib.adler32(pixels))

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", columns, rows, 8, 3, 0, 0, 0)  # 8 bits a pixel, an index of a palette
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"PLTE", colors) + chunk(b"IDAT", stream)
            + chunk(b"IEND", b""))

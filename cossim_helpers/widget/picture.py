"""The static picture of the dial, for where no script runs: three settings of D as heat maps."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from html import escape

import numpy as np

from ..closed_forms import shrinkage, solve_product_penalty
from ..gauge import rescale
from ..metrics import cluster_auc
from ..plots import block_average, plot_cosine_panels
from ..similarity import item_item_cosine

STATIC = {"B = V, exponent ½": 0.5, "Eq. 5, exponent 0": 0.0, "Case 2, exponent −½": -0.5}  # of D = dMat(d)^e
STATIC_PIXELS = 40


def static_maps(dial) -> str:
    """The picture as HTML: three small heat maps, each with its AUC."""
    return "".join(_map(title, cosine, dial.item_cluster) for title, cosine in _cosines(dial).items())


def static_figure(dial) -> bytes:
    """The picture as a PNG with axes and a color bar."""
    import matplotlib.pyplot as plt

    with plt.style.context("cossim_helpers.cossim"):
        figure = plot_cosine_panels(_cosines(dial), dial.item_cluster, columns=len(STATIC))
        target = io.BytesIO()
        figure.savefig(target, format="png", bbox_inches="tight", metadata={"Software": None})
        plt.close(figure)
    return target.getvalue()


def _cosines(dial):
    """Cosines at the three exponents of STATIC, from the book's own functions."""
    fit = solve_product_penalty(dial.spectrum, dial.lam, dial.k)
    d = shrinkage(dial.spectrum.sigma[: dial.k], dial.lam)
    return {title: item_item_cosine(rescale(fit, d**exponent)) for title, exponent in STATIC.items()}


def _map(title, cosine, item_cluster):
    auc = cluster_auc(cosine, item_cluster)
    alt = f"Heat map of {len(cosine)} × {len(cosine)} cosines, cluster AUC {auc:.2f}"
    source = base64.b64encode(png_of(block_average(cosine, STATIC_PIXELS))).decode()
    return (
        f'<figure><img alt="{escape(alt)}" src="data:image/png;base64,{source}">'
        f"<figcaption>{escape(title)}. Cluster AUC {auc:.2f}</figcaption></figure>"
    )


def png_of(cosine) -> bytes:
    """A heat map, a pixel an entry, as a PNG of 65 colors with its pixels stored uncompressed.

    Compression libraries differ in their output; stored pixels are the same bytes everywhere. The middle color is
    that of 0 and of what rounding makes of 0.
    """
    import matplotlib as mpl

    rows, columns = cosine.shape
    index = np.rint((cosine + 1) * 32).astype(np.uint8)
    pixels = np.pad(index, ((0, 0), (1, 0))).tobytes()  # each row begins with its filter, 0: none
    colors = (mpl.colormaps["RdBu_r"](np.linspace(0, 1, 65))[:, :3] * 255).round().astype(np.uint8).tobytes()
    stored = struct.pack("<BHH", 1, len(pixels), len(pixels) ^ 0xFFFF) + pixels  # one block, up to 65,535 bytes
    stream = b"\x78\x01" + stored + struct.pack(">I", zlib.adler32(pixels))

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", columns, rows, 8, 3, 0, 0, 0)  # 8 bits a pixel, an index of a palette
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"PLTE", colors)
        + chunk(b"IDAT", stream)
        + chunk(b"IEND", b"")
    )

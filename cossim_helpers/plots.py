"""Stage 7: figures. Each function draws into axes or returns a figure; none shows or stores anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ._validation import real_array, whole_number

if TYPE_CHECKING:  # Matplotlib takes half a second to load: only for whoever draws
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

PIXELS = 250  # a heat map of more rows is averaged down to about these


def block_average(matrix, size: int = PIXELS) -> np.ndarray:
    """Means over a grid of size × size blocks that are as equal as can be; a smaller matrix stays as it is.

    Parameters
    ----------
    matrix : array_like, shape (m, l)
    size : int
        At least 1.

    Returns
    -------
    ndarray, shape (min(m, size), min(l, size))
    """
    matrix = real_array("matrix", matrix, ndim=2)
    size = whole_number("size", size, low=1)
    for axis, length in enumerate(matrix.shape):
        edges = np.linspace(0, length, min(length, size) + 1).astype(int)
        matrix = np.add.reduceat(matrix, edges[:-1], axis=axis) / np.expand_dims(np.diff(edges), 1 - axis)
    return matrix


def plot_cosine_matrix(
    ax: Axes, cosine, item_cluster=None, *, limits: tuple[float, float] = (-1.0, 1.0), title: str = ""
) -> AxesImage:
    """Heat map of a cosine matrix, averaged to the pixels shown; white lines part the clusters.

    `limits` are the colors' ends: the map is sequential from 0, diverging where it starts below 0. Give panels
    that are compared the same limits. Returns the image, for a color bar.
    """
    cosine = real_array("cosine", cosine, ndim=2)
    rows, columns = cosine.shape
    image = ax.imshow(
        block_average(cosine),
        vmin=limits[0],
        vmax=limits[1],
        interpolation="nearest",
        cmap="RdBu_r" if limits[0] < 0 else "viridis",
        extent=(0, columns, rows, 0),
    )
    if item_cluster is not None:
        for edge in np.flatnonzero(np.diff(item_cluster)) + 1:
            for line in (ax.axhline, ax.axvline):
                line(float(edge), color="white" if limits[0] >= 0 else "0.35", linewidth=0.6)
    ax.set(title=title, xlabel="item", ylabel="item")
    return image


def plot_cosine_panels(
    cosines: Mapping[str, np.ndarray], item_cluster=None, *, limits: tuple[float, float] = (-1.0, 1.0), columns: int = 2
) -> Figure:
    """One heat map for each entry of `cosines` (title → matrix), all with the same colors and one color bar."""
    import matplotlib.pyplot as plt

    columns = min(columns, len(cosines))
    rows = -(-len(cosines) // columns)
    figure, axes = plt.subplots(rows, columns, squeeze=False, figsize=(2.95 * columns + 0.7, 3.1 * rows))
    for ax in axes.flat[len(cosines) :]:
        ax.set_axis_off()
    for ax, (title, cosine) in zip(axes.flat, cosines.items()):
        image = plot_cosine_matrix(ax, cosine, item_cluster, limits=limits, title=title)
        ax.label_outer()
    figure.colorbar(image, ax=axes, label="cosine", shrink=0.9)
    return figure

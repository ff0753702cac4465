"""Stage 7: figures. Each function draws into axes or returns a figure; none shows or stores anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ._scales import near_one
from ._validation import integers, of_type, real_array, require_same, shown, text, whole_number

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
    matrix, exponent = near_one(real_array("matrix", matrix, ndim=2))  # sums may be beyond what means are
    size = whole_number("size", size, low=1)
    for axis, length in enumerate(matrix.shape):
        edges = np.linspace(0, length, min(length, size) + 1).astype(int)
        matrix = np.add.reduceat(matrix, edges[:-1], axis=axis) / np.expand_dims(np.diff(edges), 1 - axis)
    return np.ldexp(matrix, exponent)


def plot_cosine_matrix(
    ax: Axes, cosine, item_cluster=None, *, limits: tuple[float, float] = (-1.0, 1.0), title: str = ""
) -> AxesImage:
    """Heat map of a cosine matrix, averaged to the pixels shown; white lines part the clusters.

    `limits` are the colors' ends: the map is sequential from 0, diverging where it starts below 0. Give panels
    that are compared the same limits. Returns the image, for a color bar. Raises ValueError or TypeError for a matrix
    with NaN or infinite values, clusters that are not one integer for each row and column, or limits that do not rise.
    """
    if isinstance(ax, type) or not hasattr(ax, "imshow"):
        raise TypeError(f"ax takes axes of Matplotlib, got {of_type(ax)}")
    cosine, item_cluster = _with_clusters("cosine", cosine, item_cluster)
    limits, title = _limits(limits), text("title", title)
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
    """One heat map for each entry of `cosines` (title → matrix), all with the same colors and one color bar.

    Arguments and errors as in `plot_cosine_matrix`. `columns` is the number of maps side by side, at least 1.
    """
    if not isinstance(cosines, Mapping) or not all(isinstance(title, str) for title in cosines):
        raise TypeError(f"cosines takes a dict of matrices by their titles, got {of_type(cosines)}")
    if not cosines:
        raise ValueError("cosines takes at least one matrix, got none")
    for title, cosine in cosines.items():
        _with_clusters(f"cosines[{title!r}]", cosine, item_cluster)
    limits, columns = _limits(limits), min(whole_number("columns", columns, low=1), len(cosines))
    import matplotlib.pyplot as plt

    rows = -(-len(cosines) // columns)
    figure, axes = plt.subplots(rows, columns, squeeze=False, figsize=(2.95 * columns + 0.7, 3.1 * rows))
    for ax in axes.flat[len(cosines) :]:
        ax.set_axis_off()
    for ax, (title, cosine) in zip(axes.flat, cosines.items()):
        image = plot_cosine_matrix(ax, cosine, item_cluster, limits=limits, title=title)
        ax.label_outer()
    figure.colorbar(image, ax=axes, label="cosine", shrink=0.9)
    return figure


def _with_clusters(name, cosine, item_cluster):
    """The matrix, and the clusters of its rows and columns, or None."""
    cosine = real_array(name, cosine, ndim=2)
    if item_cluster is None:
        return cosine, None
    item_cluster = integers("item_cluster", item_cluster)
    require_same(f"item_cluster, one for each row and column of {name}", item_cluster.shape * 2, cosine.shape)
    return cosine, item_cluster


def _limits(limits) -> tuple[float, float]:
    ends = real_array("limits", limits, ndim=1)
    if ends.size != 2 or not ends[0] < ends[1] or abs(ends).max() > 1e300:
        raise ValueError(f"limits takes two numbers, the larger one last, got {shown(limits)}")
    return ends[0], ends[1]

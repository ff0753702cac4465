"""The D dial: turn D, λ and the rank by hand, on a page without a kernel, and watch cosines move and scores stay.

Python writes the singular pairs into the page. In the reader's browser numbers.js computes every number from them, and
view.js shows it. Both travel in one plain inline script of an HTML output. An anywidget would do the same with 940 kB
(gzipped) of require.js and widget manager around it on a static page, by default from another host. The inline script
is 8 kB (gzipped), asks no one for anything, and runs in JupyterLab just as it does on the site.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

import numpy as np

from .._owned import hold
from .._scales import product
from .._validation import dense_matrix, instance_of, item_integers, real_array, real_number, require_same, whole_number
from ..spectra import Spectrum
from .payload import as_json, page_data, script, style
from .picture import static_figure, static_maps

FEWEST_ITEMS, MAX_ITEMS, MAX_USERS = 3, 400, 40  # three: two clusters, one of them with two items


@dataclass(frozen=True, eq=False)
class Dial:
    """What the D dial shows: a spectrum, the truth about its items, some users, and where the dial starts.

    Notebooks show it as the interactive object where HTML is shown, as three heat maps elsewhere. `html` is the same
    text at every run: the numbers in it are rounded to 16 bits. Behind the button "By hand" each dial has the book's
    example, three users and two items. Under an item's neighbors the reader types a list: a full G in the place of D
    makes it the nearest neighbors, in this order, and the scores stand still.

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

    The arrays are read-only, and copies of what was passed.
    """

    spectrum: Spectrum
    user_coordinates: np.ndarray
    item_cluster: np.ndarray
    popularity_rank: np.ndarray
    lam: float
    k: int
    exponent: float

    def __post_init__(self):
        p, r = _require_spectrum(self.spectrum).V.shape
        hold(
            self,
            user_coordinates=lambda name, value: _few_rows(name, value, r, "direction"),
            item_cluster=lambda name, value: item_integers(name, value, p),
            popularity_rank=lambda name, value: item_integers(name, value, p),
        )
        item_cluster = self.item_cluster
        if (np.diff(item_cluster) < 0).any():
            raise ValueError("item_cluster takes items sorted by cluster, got one that is smaller than the one before")
        if not 1 < np.unique(item_cluster).size < p:
            raise ValueError(
                "item_cluster takes at least two clusters, one of them with two items, got "
                f"{np.unique(item_cluster).size} cluster(s) for {p} items"
            )
        if (missing := np.setdiff1d(np.arange(1, p + 1), self.popularity_rank)).size:
            raise ValueError(f"popularity_rank takes each number from 1 to {p} once, got no {missing[0]}")
        for name, value in {
            "lam": real_number("lam", self.lam, above=0.0),  # its knob is logarithmic
            "k": whole_number("k", self.k, low=1, high=r, why=" (what the spectrum holds)"),
            "exponent": real_number("exponent", self.exponent, at_least=-2.0, at_most=2.0),  # the knob's ends
        }.items():
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        p, r = self.spectrum.V.shape
        return (
            f"Dial({p} items, {r} directions, {len(self.user_coordinates)} users; "
            f"lam={self.lam:g}, k={self.k}, exponent={self.exponent:g})"
        )

    @property
    def html(self) -> str:
        """The interactive object, self-contained: style, data and script. Several may stand on one page."""
        p, k = len(self.item_cluster), self.k
        return f"""<div class="cossim-dial" role="group" aria-label="The D dial">
<style>{style("dial")}</style>
<div class="cd-static">
<p>One model, three choices of D: the cosines between {p} items at λ = {self.lam:,g} and rank {k}. The scores of all
users for all items are the same in all three.</p>
<div class="cd-maps">{static_maps(self)}</div>
</div>
<div class="cd-live"></div>
<script type="application/json">{as_json(page_data(self))}</script>
<script>(() => {{
{script("numbers.js")}

{script("view.js")}
}})();</script>
</div>"""

    @property
    def png(self) -> bytes:
        """The static picture: three settings of D as heat maps."""
        return static_figure(self)

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        return {"text/html": self.html, "image/png": base64.b64encode(self.png).decode(), "text/plain": repr(self)}


def dial(
    spectrum: Spectrum, users, item_cluster, item_popularity, *, lam: float, k: int | None = None, exponent: float = 0.0
) -> Dial:
    """The D dial over a fitted spectrum.

        cosines between the rows of B̂D⁻¹,   D = dMat(d)^e or dMat(σ)^e        (Eq. 3 applied to Eq. 5)
        scores (x_u Â D)(B̂D⁻¹)ᵀ of a few users, multiplied out for each D     (the same for every D)

    Parameters
    ----------
    spectrum : Spectrum
        Of 3 to 400 items, each σ above 0. With all p directions the cases that need full rank are exact.
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
        For fewer than 3 or more than 400 items, more than 40 users, shapes that do not match, a σ of 0, clusters that
        are not sorted or are only one, λ ≤ 0, k out of range, an exponent beyond ±2.

    Examples
    --------
    >>> from cossim_helpers import simulate_interactions, spectrum
    >>> data = simulate_interactions(300, 40, 4, rng=1)
    >>> dial(spectrum(data.X), data.X[:8], data.item_cluster, data.item_popularity, lam=100)
    Dial(40 items, 40 directions, 8 users; lam=100, k=40, exponent=0)
    """
    p, r = _require_spectrum(spectrum).V.shape
    users = _few_rows("users", dense_matrix("users", users), p, "item")
    item_popularity = real_array("item_popularity", item_popularity, ndim=1, dtype=None)
    require_same("item_popularity, one for each item", item_popularity.size, p)
    popularity_rank = np.empty(p, dtype=int)
    popularity_rank[np.argsort(-np.unique(item_popularity, return_inverse=True)[1], kind="stable")] = np.arange(
        1, p + 1
    )
    k = r if k is None else k
    coordinates = product("users takes rows whose products with V floats hold", users, spectrum.V)
    return Dial(spectrum, coordinates, item_cluster, popularity_rank, lam, k, exponent)


def _require_spectrum(spectrum) -> Spectrum:
    """`spectrum`, if it is one that a page can carry and whose every d = σ²/(σ² + λ) can be inverted."""
    p = len(instance_of("spectrum", spectrum, Spectrum).V)
    if not FEWEST_ITEMS <= p <= MAX_ITEMS:
        raise ValueError(
            f"spectrum takes from {FEWEST_ITEMS} to {MAX_ITEMS} items (they travel with the page), got {p}"
        )
    if spectrum.sigma[-1] <= 0:
        raise ValueError(
            "spectrum takes positive singular values (dMat(d) must be invertible), got 0; pass a smaller k"
        )
    return spectrum


def _few_rows(name, value, columns, column) -> np.ndarray:
    """`value` as a matrix with a row for each user shown and the given columns."""
    rows = real_array(name, value, ndim=2)
    require_same(f"{name}, with one column for each {column} of spectrum", rows.shape[1], columns)
    if len(rows) > MAX_USERS:
        raise ValueError(f"{name} takes at most {MAX_USERS} rows, got {len(rows)}")
    return rows

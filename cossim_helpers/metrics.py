"""Stage 6: how well cosines recover known clusters, and how much two cosine matrices agree.

Cosines within 1e-9 of each other count as tied everywhere in this module.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ._validation import (
    item_integers,
    real_array,
    require_same,
    whole_number,
)

TIE = 1e-9
LARGEST = 1e100  # of similarities that are no cosines: their squares and sums are floats


# --- known clusters ---


def cluster_auc(cosine, item_cluster) -> float:
    """Probability that a random same-cluster pair has a larger cosine than a random different-cluster pair.

        AUC = P(s > t) + ½ P(s = t),   s over pairs i < j of one cluster, t over pairs of two clusters

    Parameters
    ----------
    cosine : array_like, shape (p, p)
        Symmetric; the diagonal is not used.
    item_cluster : array_like of int, shape (p,)

    Returns
    -------
    float
        1 for a perfect separation, ½ for none.

    Raises
    ------
    ValueError, TypeError
        For shapes that do not match, NaN, or when either kind of pair is missing.
    """
    return _auc(*_pairs(cosine, item_cluster))


def _auc(same, different):
    different = np.sort(different)
    below = np.searchsorted(different, same - TIE)  # pairs with t < s − 1e-9
    not_above = np.searchsorted(different, same + TIE, side="right")  # pairs with t ≤ s + 1e-9
    return float(np.mean(below + not_above) / (2 * different.size))


def mean_cosine(cosine, item_cluster) -> tuple[float, float]:
    """(within, between): the mean cosine over pairs of one cluster and over pairs of two clusters.

    Arguments and errors as in `cluster_auc`.
    """
    same, different = _pairs(cosine, item_cluster)
    return float(same.mean()), float(different.mean())


# --- nearest neighbors ---


def neighbor_weights(cosine, k: int = 10) -> np.ndarray:
    """Probability that item j is among the k nearest neighbors of item i when ties are broken at random.

    1 where cos(i, j) is above the k-th largest of row i, 0 where it is below; those tied with the k-th largest
    share the places that are left evenly. An item is not its own neighbor.

    Parameters
    ----------
    cosine : array_like, shape (p, p)
    k : int
        From 1 to p − 1.

    Returns
    -------
    ndarray, shape (p, p)
        Rows sum to k.

    Raises
    ------
    ValueError, TypeError
        For a matrix that is not square, NaN, or k out of range.
    """
    return _weights(*_neighbor_arguments(cosine, k))


def _weights(cosine, k):
    ahead = cosine - _off_diagonal_kth_largest(cosine, k)  # of the k-th largest, (p, p)
    above, tied = ahead > TIE, abs(ahead) <= TIE
    np.fill_diagonal(above, False)
    np.fill_diagonal(tied, False)
    places_left = k - above.sum(axis=1, keepdims=True)
    return above + tied * (places_left / tied.sum(axis=1, keepdims=True))


def all_tied(cosine) -> bool:
    """Whether every item is equally similar to all others, so that no neighbor is nearer than another.

    True at cosine = I and wherever all off-diagonal entries of each row are within 1e-9.
    """
    cosine, _ = _neighbor_arguments(cosine, 1)
    off_diagonal = ~np.eye(len(cosine), dtype=bool)
    spread = [np.ptp(row[others]) for row, others in zip(cosine, off_diagonal)]
    return max(spread) <= TIE


def precision_at_k(cosine, item_cluster, k: int = 10) -> float:
    """Share of the k nearest neighbors that are in the item's own cluster, averaged over the items.

        (1/p) Σ_i (1/k) Σ_j w_ij 1[c(i) = c(j)],   w from `neighbor_weights`

    Arguments and errors as in `neighbor_weights` and `cluster_auc`; ties enter by their expectation.
    """
    weights = neighbor_weights(cosine, k)
    cluster = item_integers("item_cluster", item_cluster, len(weights))
    return float(np.sum(weights * (cluster[:, None] == cluster)) / (k * len(weights)))


def overlap_at_k(cosine_a, cosine_b, k: int = 10) -> float:
    """Share of the k nearest neighbors that two cosine matrices have in common, averaged over the items.

        (1/p) Σ_i (1/k) Σ_j w^a_ij w^b_ij

    With ties this is the expectation when each matrix breaks its own at random. Arguments and errors as in
    `neighbor_weights`; both matrices must have the same shape.
    """
    a, k = _neighbor_arguments(cosine_a, k, "cosine_a")
    b = _square(cosine_b, "cosine_b")
    require_same("cosine_b, with the shape of cosine_a", b.shape, a.shape)
    a, b = _weights(a, k), _weights(b, k)
    return float(np.sum(a * b) / (k * len(a)))


# --- popularity ---


def popularity_correlation(cosine, popularity) -> float:
    """Spearman's rank correlation of an item's mean cosine with its popularity; ties share their mean rank.

    Parameters
    ----------
    cosine : array_like, shape (p, p)
        The diagonal is not used. Mean cosines are rounded to multiples of 1e-9 before they are ranked.
    popularity : array_like, shape (p,)

    Returns
    -------
    float
        0 if all mean cosines are tied, or all items equally popular.
    """
    cosine, popularity = real_array("cosine", cosine, ndim=2), real_array("popularity", popularity, ndim=1, dtype=None)
    require_same("popularity and cosine, (p,) and (p, p)", cosine.shape, (popularity.size,) * 2)
    if len(cosine) < 2:
        return 0.0
    cosine = _square(cosine)
    mean = np.rint((cosine.sum(axis=1) - np.diag(cosine)) / (len(cosine) - 1) / TIE)  # in steps of TIE
    if (mean == mean[0]).all() or (popularity == popularity[0]).all():
        return 0.0
    from scipy.stats import rankdata, spearmanr  # half a second to load: only for whoever ranks

    ranks = rankdata(popularity).astype(np.float64)  # of popularity's own type: 2^53 and the next one differ
    return float(spearmanr(mean, ranks).statistic)


# --- all of these in one row ---


@dataclass(frozen=True)
class Yardsticks:
    """How well cosines recover known clusters, in one row of numbers.

    Attributes
    ----------
    auc : float
        From `cluster_auc`.
    within, between : float
        From `mean_cosine`: 1 and 0 for the truth.
    distance : float
        Root mean square of cos(i, j) − 1[c(i) = c(j)] over all pairs i < j: 0 for the truth.
    precision : float
        From `precision_at_k`, for k = 10.
    popularity : float or None
        From `popularity_correlation`; None where no popularity was given.
    """

    auc: float
    within: float
    between: float
    distance: float
    precision: float
    popularity: float | None = None


def yardsticks(cosine, item_cluster, popularity=None) -> Yardsticks:
    """All yardsticks of one cosine matrix, with the pairs looked up once.

    Parameters
    ----------
    cosine : array_like, shape (p, p)
        Symmetric, p ≥ 11; the diagonal is not used.
    item_cluster : array_like of int, shape (p,)
    popularity : array_like, shape (p,), optional
        Such as the number of users of each item.

    Returns
    -------
    Yardsticks

    Raises
    ------
    ValueError, TypeError
        As the functions that `Yardsticks` names.
    """
    same, different = _pairs(cosine, item_cluster)
    squared_error = np.sum((same - 1) ** 2) + np.sum(different**2)
    return Yardsticks(
        auc=_auc(same, different),
        within=float(same.mean()),
        between=float(different.mean()),
        distance=float(np.sqrt(squared_error / (same.size + different.size))),
        precision=precision_at_k(cosine, item_cluster, 10),
        popularity=None if popularity is None else popularity_correlation(cosine, popularity),
    )


# --- what the functions above share ---


def _pairs(cosine, item_cluster):
    """Cosines of the pairs i < j of one cluster, and of those of two clusters."""
    cosine = _square(cosine)
    cluster = item_integers("item_cluster", item_cluster, len(cosine))
    i, j = np.triu_indices(len(cosine), 1)
    same = cluster[i] == cluster[j]
    if not same.any() or same.all():
        raise ValueError(
            "item_cluster takes clusters with at least one pair in the same and one pair in different "
            f"clusters, got {np.unique(cluster).size} cluster(s) for {cluster.size} items"
        )
    values = cosine[i, j]
    return values[same], values[~same]


def _square(cosine, name="cosine"):
    cosine = real_array(name, cosine, ndim=2)
    require_same(f"{name}, square", cosine.shape[1], cosine.shape[0])
    if (size := abs(cosine).max()) > LARGEST:
        raise ValueError(f"{name} takes similarities of up to {LARGEST:.0e} in size, got {size:.3g}")
    return cosine


def _neighbor_arguments(cosine, k, name="cosine"):
    cosine = _square(cosine, name)
    return cosine, whole_number("k", k, low=1, high=len(cosine) - 1, why=" (p − 1)")


def _off_diagonal_kth_largest(cosine, k):
    masked = cosine.copy()
    np.fill_diagonal(masked, -np.inf)
    return -np.partition(-masked, k - 1)[:, k - 1 : k]

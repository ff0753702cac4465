"""Stage 6: how well cosines recover known clusters, and how much two cosine matrices agree.

Cosines within 1e-9 of each other count as tied everywhere in this module.
"""

from __future__ import annotations

import numpy as np

from ._validation import real_array, require_same, whole_number

TIE = 1e-9


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
    same, different = _pairs(cosine, item_cluster)
    different = np.sort(different)
    below = np.searchsorted(different, same - TIE, side="left")  # pairs with t < s − 1e-9
    not_above = np.searchsorted(different, same + TIE, side="right")  # pairs with t ≤ s + 1e-9
    return float(np.mean(below + not_above) / (2 * different.size))


def mean_cosine(cosine, item_cluster) -> tuple[float, float]:
    """(within, between): the mean cosine over pairs of one cluster and over pairs of two clusters.

    Arguments and errors as in `cluster_auc`.
    """
    same, different = _pairs(cosine, item_cluster)
    return float(same.mean()), float(different.mean())


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
    cosine, k = _neighbor_arguments(cosine, k)
    kth = _off_diagonal_kth_largest(cosine, k)  # (p, 1)
    above, tied = cosine > kth + TIE, abs(cosine - kth) <= TIE
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
    cluster = _clusters(item_cluster, len(weights))
    return float(np.sum(weights * (cluster[:, None] == cluster)) / (k * len(weights)))


def overlap_at_k(cosine_a, cosine_b, k: int = 10) -> float:
    """Share of the k nearest neighbors that two cosine matrices have in common, averaged over the items.

        (1/p) Σ_i (1/k) Σ_j w^a_ij w^b_ij

    With ties this is the expectation when each matrix breaks its own at random. Arguments and errors as in
    `neighbor_weights`; both matrices must have the same shape.
    """
    a, b = neighbor_weights(cosine_a, k), neighbor_weights(cosine_b, k)
    require_same("cosine_b, with the shape of cosine_a", b.shape, a.shape)
    return float(np.sum(a * b) / (k * len(a)))


def _pairs(cosine, item_cluster):
    """Cosines of the pairs i < j of one cluster, and of those of two clusters."""
    cosine = _square(cosine)
    cluster = _clusters(item_cluster, len(cosine))
    i, j = np.triu_indices(len(cosine), 1)
    same = cluster[i] == cluster[j]
    if not same.any() or same.all():
        raise ValueError("item_cluster takes clusters with at least one pair in the same and one pair in different "
                         f"clusters, got {np.unique(cluster).size} cluster(s) for {cluster.size} items")
    values = cosine[i, j]
    return values[same], values[~same]


def _square(cosine, name="cosine"):
    cosine = real_array(name, cosine, ndim=2)
    require_same(f"{name}, square", cosine.shape[1], cosine.shape[0])
    return cosine


def _clusters(item_cluster, n_items):
    cluster = np.asarray(item_cluster)
    if cluster.dtype.kind not in "iu":
        raise TypeError(f"item_cluster takes integers, got dtype {cluster.dtype}")
    require_same("item_cluster, one for each item", cluster.shape, (n_items,))
    return cluster


def _neighbor_arguments(cosine, k):
    cosine = _square(cosine)
    return cosine, whole_number("k", k, low=1, high=len(cosine) - 1, why=" (p − 1)")


def _off_diagonal_kth_largest(cosine, k):
    masked = cosine.copy()
    np.fill_diagonal(masked, -np.inf)
    return -np.partition(-masked, k - 1, axis=1)[:, k - 1 : k]

"""Stage 6: how well cosines recover known clusters, how much two cosine matrices agree, how well a model predicts.

Cosines within 1e-9 of each other count as tied everywhere in this module.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ._validation import (
    generator,
    item_integers,
    real_array,
    real_number,
    require_same,
    whole_number,
    zero_one,
    zero_one_matrix,
)

TIE = 1e-9


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
    below = np.searchsorted(different, same - TIE, side="left")  # pairs with t < s − 1e-9
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
    cluster = item_integers("item_cluster", item_cluster, len(weights))
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
        0 if all mean cosines are tied.
    """
    cosine, popularity = real_array("cosine", cosine, ndim=2), real_array("popularity", popularity, ndim=1)
    require_same("popularity and cosine, (p,) and (p, p)", cosine.shape, (popularity.size,) * 2)
    mean = np.rint((cosine.sum(axis=1) - np.diag(cosine)) / (len(cosine) - 1) / TIE)  # in steps of TIE
    if np.ptp(mean) == 0 or np.ptp(popularity) == 0:
        return 0.0
    from scipy.stats import spearmanr  # half a second to load: only for whoever ranks

    return float(spearmanr(mean, popularity).statistic)


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


# --- quality on held-out interactions ---


def hold_out(X, share: float = 0.2, *, min_items: int = 5, rng=0) -> tuple[np.ndarray, np.ndarray]:
    """(seen, held): the items of each user in two parts, 0/1 arrays of shape (m, p).

    Of each user with k_u ≥ min_items, ⌈share · k_u⌉ items chosen at random are held out, but never all of them; the
    other users are left out.

    Parameters
    ----------
    X : array_like or sparse array, shape (n, p)
        0/1.
    share : float
        Above 0 and below 1.
    min_items : int
        At least 2, so that a part is never empty.
    rng : int, sequence of int, SeedSequence, Generator or None
    """
    X, share = zero_one_matrix("X", X), real_number("share", share, above=0.0, below=1.0)
    min_items, rng = whole_number("min_items", min_items, low=2), generator(rng)
    X = X[X.sum(axis=1) >= min_items]
    if not len(X):
        raise ValueError(f"X takes a user with at least min_items = {min_items} items, got none")
    k_u = X.sum(axis=1, keepdims=True)
    n_held = np.minimum(np.ceil(share * k_u), k_u - 1)
    lot = np.where(X > 0, rng.random(X.shape), 2.0)
    held = (np.argsort(np.argsort(lot, axis=1), axis=1) < n_held).astype(float)
    return X - held, held


def ndcg_at_k(scores, seen, held, k: int = 10) -> float:
    """Normalized discounted cumulative gain of the k unseen items with the highest scores, averaged over users.

        DCG = Σ_{r=1..k} h_(r) / log₂(r + 1),   divided by its largest value, with the user's held-out items on top

    Parameters
    ----------
    scores, seen, held : array_like, shape (m, p)
        seen and held are 0/1 and share no item. Seen items are not ranked; each user has a held-out item.
    k : int

    Returns
    -------
    float
        From 0 to 1. Ties go to the item with the lower number.
    """
    scores, seen, held = (
        real_array(name, value, ndim=2) for name, value in (("scores", scores), ("seen", seen), ("held", held))
    )
    for name, value in (("seen", seen), ("held", held)):
        require_same(f"{name}, with the shape of scores", value.shape, scores.shape)
        zero_one(name, value)
    if (seen * held).any():
        raise ValueError("held takes items that are not in seen, got one that is")
    k = whole_number("k", k, low=1, high=scores.shape[1], why=" (p)")
    if not held.any(axis=1).all():
        raise ValueError("held takes at least one item of each user")
    top = np.argsort(np.where(seen > 0, np.inf, -scores), axis=1, kind="stable")[:, :k]
    discount = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.cumsum(discount)[np.minimum(held.sum(axis=1), k).astype(int) - 1]
    return float(np.mean(np.take_along_axis(held, top, axis=1) @ discount / ideal))


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
    return cosine


def _neighbor_arguments(cosine, k):
    cosine = _square(cosine)
    return cosine, whole_number("k", k, low=1, high=len(cosine) - 1, why=" (p − 1)")


def _off_diagonal_kth_largest(cosine, k):
    masked = cosine.copy()
    np.fill_diagonal(masked, -np.inf)
    return -np.partition(-masked, k - 1, axis=1)[:, k - 1 : k]

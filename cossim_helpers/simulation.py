"""Stage 1: interactions with known clusters, as in Section 4 of the paper."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.sparse as sp

from ._validation import one_of, real_array, real_number, whole_number

USERS_PER_BLOCK = 500  # part of the law of the draws: another value draws other data from the same seed


@dataclass(frozen=True, eq=False)
class Interactions:
    """Simulated interactions and the truth behind them (paper, §4).

    Attributes
    ----------
    X : scipy.sparse.csr_array, shape (n_users, n_items)
        1.0 where a user consumed an item. No other entry is stored.
    item_cluster : ndarray of int, shape (n_items,)
        The true cluster c(i) of each item, non-decreasing.
    item_popularity : ndarray, shape (n_items,)
        p_i > 0, falling within each cluster.
    user_preference : ndarray, shape (n_users, n_clusters)
        p_uc, how much user u prefers cluster c.
    """

    X: sp.csr_array
    item_cluster: np.ndarray
    item_popularity: np.ndarray
    user_preference: np.ndarray


def simulate_interactions(
    n_users: int = 20_000,
    n_items: int = 1_000,
    n_clusters: int = 5,
    *,
    cluster_probabilities=None,
    popularity_law: Literal["rank", "random"] = "rank",
    popularity_exponents: tuple[float, float] = (0.25, 1.5),
    preference_law: Literal["dirichlet", "uniform"] = "dirichlet",
    preference_concentration: float = 1.0,
    activity_exponent: float = 0.5,
    min_activity: int = 1,
    max_activity: int | None = None,
    rng=0,
) -> Interactions:
    r"""Simulate which users consumed which items, with known item clusters.

    User u draws k_u items without replacement with probabilities

        p_ui = p_{u,c(i)} p_i / Σ_j p_{u,c(j)} p_j                       (paper, §4)

    Where the paper is silent, the defaults are this book's reading and the arguments are the others.

    Parameters
    ----------
    n_users, n_items, n_clusters : int
        n, p and C of the paper.
    cluster_probabilities : array_like, shape (n_clusters,), optional
        p_c, the probability that an item belongs to cluster c. Default: all equal.
    popularity_law : {"rank", "random"}
        "rank": p_i = r_i^{-β_c} for the item with rank r_i = 1, 2, … in its cluster.
        "random": p_i is drawn from the density ∝ x^{-β_c} on [1/n_items, 1].
    popularity_exponents : (low, high)
        β_c ~ Unif(low, high), one for each cluster; 0 ≤ low ≤ high.
    preference_law : {"dirichlet", "uniform"}
        "dirichlet": p_u· ~ Dirichlet(α, …, α). "uniform": each p_uc ~ Unif(0, 1) on its own.
    preference_concentration : float
        α of the Dirichlet law; not used by the uniform one.
    activity_exponent, min_activity, max_activity : float, int, int
        P(k_u = k) ∝ k^{-exponent} on min_activity … max_activity (default: half of the items).
    rng : int, SeedSequence, Generator or None
        Source of the randomness (SPEC 7). One child seeds the items and one each block of 500 users,
        so users of a block are the same however many follow, and blocks can be drawn anywhere.

    Returns
    -------
    Interactions
        Items are sorted by cluster, then by falling popularity.

    Raises
    ------
    ValueError, TypeError
        For probabilities that are negative or do not sum to 1, an unknown law, a bound out of range, or a
        user who would have to draw more items than have a positive probability.

    References
    ----------
    Drawing without replacement by exponential races: Efraimidis and Spirakis (2006).

    Examples
    --------
    >>> data = simulate_interactions(300, 40, 4, rng=1)
    >>> data.X.shape, data.item_cluster.shape, data.user_preference.shape
    ((300, 40), (40,), (300, 4))
    """
    n_users = whole_number("n_users", n_users, low=1)
    n_items = whole_number("n_items", n_items, low=1)
    n_clusters = whole_number("n_clusters", n_clusters, low=1)
    p_c = _cluster_probabilities(cluster_probabilities, n_clusters)
    beta_range = _exponent_range(popularity_exponents)
    alpha = real_number("preference_concentration", preference_concentration, above=0.0)
    one_of("popularity_law", popularity_law, ("rank", "random"))
    one_of("preference_law", preference_law, ("dirichlet", "uniform"))
    if max_activity is None:
        max_activity = max(n_items // 2, 1)
    max_activity = whole_number("max_activity", max_activity, low=1, high=n_items, why=" (n_items)")
    min_activity = whole_number("min_activity", min_activity, low=1, high=max_activity, why=" (max_activity)")
    activity = np.arange(min_activity, max_activity + 1)  # the values that k_u takes
    activity_law = activity ** -real_number("activity_exponent", activity_exponent)
    activity_law /= activity_law.sum()

    n_blocks = -(-n_users // USERS_PER_BLOCK)
    item_rng, *block_rngs = np.random.default_rng(rng).spawn(1 + n_blocks)
    item_cluster, item_popularity = _draw_items(item_rng, n_items, p_c, popularity_law, beta_range)

    def draw_preference(block_rng):
        if preference_law == "dirichlet":
            return block_rng.dirichlet(np.full(n_clusters, alpha), USERS_PER_BLOCK)
        return block_rng.random((USERS_PER_BLOCK, n_clusters))

    blocks = []
    for block_rng in block_rngs:  # always whole blocks, so that a longer simulation begins with a shorter one
        preference = draw_preference(block_rng)
        k_u = block_rng.choice(activity, USERS_PER_BLOCK, p=activity_law)
        weights = preference[:, item_cluster] * item_popularity  # (users, p), proportional to p_ui
        blocks.append((preference, k_u, _draw_without_replacement(block_rng, weights, k_u)))

    preference, k_u, items = (np.concatenate(parts) for parts in zip(*blocks))
    indptr = np.concatenate([[0], np.cumsum(k_u[:n_users])])
    X = sp.csr_array((np.ones(indptr[-1]), items[: indptr[-1]], indptr), shape=(n_users, n_items))
    return Interactions(X, item_cluster, item_popularity, preference[:n_users])


def _draw_items(rng, n_items, p_c, popularity_law, beta_range):
    """Cluster and popularity of each item, sorted by cluster, then by falling popularity."""
    beta = rng.uniform(*beta_range, size=p_c.size)  # β_c
    item_cluster = np.sort(rng.choice(p_c.size, n_items, p=p_c))
    sizes = np.bincount(item_cluster, minlength=p_c.size)
    if popularity_law == "rank":
        popularity = [np.arange(1.0, size + 1) ** -b for size, b in zip(sizes, beta)]
    else:
        popularity = [
            np.sort(_bounded_power_law(rng.random(size), b, 1 / n_items))[::-1] for size, b in zip(sizes, beta)
        ]
    return item_cluster, np.concatenate(popularity)


def _bounded_power_law(u, beta, low):
    """The quantiles at u of the density ∝ x^{-β} on [low, 1]."""
    if np.isclose(beta, 1.0, rtol=0, atol=1e-9):  # x^0 - 1 over 0: the logarithm is its limit
        return low ** (1 - u)
    a = 1 - beta
    return (low**a + u * (1 - low**a)) ** (1 / a)


def _draw_without_replacement(rng, weights, k_u):
    """Column indices of the k_u[r] draws without replacement from each row r, rising, all rows one after another.

    Item i rings after an exponential time with rate w_i; the first k to ring are k draws without replacement
    with probabilities proportional to w.
    """
    with np.errstate(divide="ignore", over="ignore"):  # weight 0, or too small for its time to be a number: never rings
        ring_time = rng.standard_exponential(weights.shape) / weights
    possible = np.count_nonzero(np.isfinite(ring_time), axis=1)
    if (k_u > possible).any():
        short = int(np.argmax(k_u > possible))
        raise ValueError(
            f"max_activity: a user draws {k_u[short]} items, but only {possible[short]} have a "
            "positive probability for them; take a smaller max_activity"
        )
    last = np.take_along_axis(np.sort(ring_time, axis=1), k_u[:, None] - 1, axis=1)  # (users, 1)
    drawn = ring_time <= last
    for row in np.flatnonzero(drawn.sum(axis=1) > k_u):  # two rang at the same instant: either will do
        drawn[row] = False
        drawn[row, np.argsort(ring_time[row])[: k_u[row]]] = True
    return np.nonzero(drawn)[1].astype(np.int32)


def _cluster_probabilities(value, n_clusters):
    if value is None:
        return np.full(n_clusters, 1 / n_clusters)
    p_c = real_array("cluster_probabilities", value, ndim=1)
    if p_c.size != n_clusters:
        raise ValueError(f"cluster_probabilities takes n_clusters = {n_clusters} numbers, got {p_c.size}")
    if (p_c < 0).any() or abs(p_c.sum() - 1) > 1e-9:
        raise ValueError(
            "cluster_probabilities takes numbers of at least 0 that sum to 1, "
            f"got a smallest of {p_c.min():g} and a sum of {p_c.sum():.12g}"
        )
    return p_c / p_c.sum()


def _exponent_range(value):
    exponents = real_array("popularity_exponents", value, ndim=1)
    if exponents.size != 2 or exponents[0] < 0 or exponents[1] < exponents[0]:
        raise ValueError(f"popularity_exponents takes (low, high) with 0 <= low <= high, got {value!r}")
    return exponents

"""Stage 1: interactions with known clusters, as in Section 4 of the paper."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.sparse as sp

from ._draws import World, child, draw_items, draw_users
from ._owned import as_it_is, hold, ours
from ._validation import MANY, one_of, real_array, real_number, seed_sequence, shown, whole_number


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
        p_i, falling within each cluster: positive, but 0 where steep laws lead below all floats; then none is drawn.
    user_preference : ndarray, shape (n_users, n_clusters)
        p_uc, how much user u prefers cluster c.

    All are read-only, and copies of what was passed.
    """

    X: sp.csr_array
    item_cluster: np.ndarray
    item_popularity: np.ndarray
    user_preference: np.ndarray

    def __post_init__(self):
        hold(self, X=as_it_is, item_cluster=as_it_is, item_popularity=as_it_is, user_preference=as_it_is)


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
        β_c ~ Unif(low, high), one for each cluster; 0 ≤ low ≤ high. From some hundred on, p_i may be 0 in floats.
    preference_law : {"dirichlet", "uniform"}
        "dirichlet": p_u· ~ Dirichlet(α, …, α). "uniform": each p_uc ~ Unif(0, 1) on its own.
    preference_concentration : float
        α of the Dirichlet law; not used by the uniform one.
    activity_exponent, min_activity, max_activity : float, int, int
        P(k_u = k) ∝ k^{-exponent} on min_activity … max_activity (default: half of the items).
    rng : int, sequence of int, SeedSequence, Generator or None
        Source of the randomness (SPEC 7). One child of this seed draws the items and one each block of 500 users,
        so users are the same however many follow, and can be drawn anywhere (`simulate_users`). A SeedSequence
        stays as it is, and gives the same data each time. A Generator draws the seed, and moves on: its state
        decides, and a second call gives other data. None takes a seed from the system.

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
    n_users = whole_number("n_users", n_users, low=1, high=MANY)
    world = _world(
        n_items,
        n_clusters,
        cluster_probabilities=cluster_probabilities,
        popularity_law=popularity_law,
        popularity_exponents=popularity_exponents,
        preference_law=preference_law,
        preference_concentration=preference_concentration,
        activity_exponent=activity_exponent,
        min_activity=min_activity,
        max_activity=max_activity,
        rng=rng,
    )
    X, preference = draw_users(world, 0, n_users)
    return Interactions(*map(ours, (X, world.item_cluster, world.item_popularity, preference)))


def simulate_users(
    first: int,
    count: int,
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
) -> sp.csr_array:
    r"""Some rows of the X of `simulate_interactions`: for data that no machine holds as a whole.

    The items a user consumes depend on the user's number, on `rng` and on the other arguments below. So

        simulate_users(first, count, …) = simulate_interactions(n_users, …).X[first : first + count]

    bit for bit, for every n_users ≥ first + count, wherever and in whatever order rows are drawn.

    Parameters
    ----------
    first : int
        Number of the first user, from 0 on, without limit. Users of a block of 500 share one stream of random
        numbers, so a multiple of 500 wastes no work.
    count : int
        How many users, at least 1.
    n_items, n_clusters, and what follows
        As for `simulate_interactions`. For rows of one data set pass the same integer or SeedSequence as `rng`:
        a Generator draws another data set at each call, and None does so, too.

    Returns
    -------
    scipy.sparse.csr_array, shape (count, n_items)
        1.0 where a user consumed an item. No other entry is stored.

    Raises
    ------
    ValueError, TypeError
        As `simulate_interactions`, for these users.

    Examples
    --------
    >>> whole = simulate_interactions(1_200, 40, 4, rng=1).X
    >>> part = simulate_users(700, 300, 40, 4, rng=1)
    >>> part.shape, (part != whole[700:1_000]).nnz
    ((300, 40), 0)
    """
    first = whole_number("first", first, low=0)
    count = whole_number("count", count, low=1, high=MANY)
    world = _world(
        n_items,
        n_clusters,
        cluster_probabilities=cluster_probabilities,
        popularity_law=popularity_law,
        popularity_exponents=popularity_exponents,
        preference_law=preference_law,
        preference_concentration=preference_concentration,
        activity_exponent=activity_exponent,
        min_activity=min_activity,
        max_activity=max_activity,
        rng=rng,
    )
    return draw_users(world, first, count)[0]


def _world(
    n_items,
    n_clusters,
    *,
    cluster_probabilities,
    popularity_law,
    popularity_exponents,
    preference_law,
    preference_concentration,
    activity_exponent,
    min_activity,
    max_activity,
    rng,
):
    n_items = whole_number("n_items", n_items, low=1, high=MANY)
    n_clusters = whole_number("n_clusters", n_clusters, low=1, high=MANY)
    p_c = _cluster_probabilities(cluster_probabilities, n_clusters)
    beta_range = _exponent_range(popularity_exponents)
    alpha = real_number("preference_concentration", preference_concentration, above=0.0, at_most=1e100)
    one_of("popularity_law", popularity_law, ("rank", "random"))
    one_of("preference_law", preference_law, ("dirichlet", "uniform"))
    if max_activity is None:
        max_activity = max(n_items // 2, 1)
    max_activity = whole_number("max_activity", max_activity, low=1, high=n_items, why=" (n_items)")
    min_activity = whole_number("min_activity", min_activity, low=1, high=max_activity, why=" (max_activity)")
    activity = np.arange(min_activity, max_activity + 1, dtype=np.intp)  # np.repeat takes no wider integers
    activity_law = _activity_law(activity, real_number("activity_exponent", activity_exponent))
    seed = seed_sequence(rng)
    cluster, popularity = draw_items(child(seed, 0), n_items, p_c, popularity_law, beta_range)
    return World(cluster, popularity, preference_law, np.full(n_clusters, alpha), activity, activity_law, seed)


def _activity_law(values, exponent):
    """P(k_u = k) ∝ k^{-exponent} for rising values: over the largest of these powers, none leaves the floats."""
    law = (values / values[0 if exponent > 0 else -1]) ** -exponent
    return law / law.sum()


def _cluster_probabilities(value, n_clusters):
    if value is None:
        return np.full(n_clusters, 1 / n_clusters)
    p_c = real_array("cluster_probabilities", value, ndim=1)
    if p_c.size != n_clusters:
        raise ValueError(f"cluster_probabilities takes n_clusters = {n_clusters} numbers, got {p_c.size}")
    with np.errstate(over="ignore"):
        total = p_c.sum()
    if (p_c < 0).any() or abs(total - 1) > 1e-9:
        raise ValueError(
            "cluster_probabilities takes numbers of at least 0 that sum to 1, "
            f"got a smallest of {p_c.min():g} and a sum of {total:.12g}"
        )
    return p_c / p_c.sum()


def _exponent_range(value):
    exponents = real_array("popularity_exponents", value, ndim=1)
    if exponents.size != 2 or exponents[0] < 0 or exponents[1] < exponents[0]:
        raise ValueError(f"popularity_exponents takes (low, high) with 0 <= low <= high, got {shown(value)}")
    return exponents

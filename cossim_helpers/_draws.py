"""How `simulation` draws: items, then users in blocks that each have a stream of random numbers of their own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

USERS_PER_BLOCK = 500  # part of the law of the draws: another value draws other data from the same seed
TIMES_AT_ONCE = 2**17  # of the exponential races: one megabyte, which stays in the cache of a core


@dataclass(frozen=True, eq=False)
class World:
    """What the users share: the items, the laws of preference and activity, the seed of all blocks."""

    item_cluster: np.ndarray
    item_popularity: np.ndarray
    preference_law: str
    alpha: np.ndarray  # (n_clusters,)
    activity: np.ndarray  # the values that k_u takes
    activity_law: np.ndarray
    seed: np.random.SeedSequence


def child(seed, number):
    """The generator from child 0 (items) or 1 + b (block b) of `seed`, which does not count its children here."""
    key = (*seed.spawn_key, number)
    return np.random.default_rng(np.random.SeedSequence(seed.entropy, spawn_key=key, pool_size=seed.pool_size))


def draw_users(world, first, count):
    """(X, p_uc) of the users first … first + count − 1."""
    blocks = []
    for block in range(first // USERS_PER_BLOCK, (first + count - 1) // USERS_PER_BLOCK + 1):
        rng = child(world.seed, 1 + block)
        if world.preference_law == "dirichlet":
            preference = rng.dirichlet(world.alpha, USERS_PER_BLOCK)
        else:
            preference = rng.random((USERS_PER_BLOCK, world.alpha.size))
        blocks.append((rng, preference, rng.choice(world.activity, USERS_PER_BLOCK, p=world.activity_law)))

    _, preference, k_u = zip(*blocks)
    skipped = first % USERS_PER_BLOCK
    wanted = slice(skipped, skipped + count)  # of the users of these blocks
    indptr = np.zeros(count + 1, dtype=np.int64)
    np.cumsum(np.concatenate(k_u)[wanted], dtype=np.int64, out=indptr[1:])
    columns, filled = np.empty(indptr[-1], dtype=np.int32), 0
    for number, drawn_so_far in enumerate(blocks):
        before = number * USERS_PER_BLOCK
        for drawn in _draw_of_block(world, *drawn_so_far, skipped - before, skipped + count - before):
            columns[filled : filled + drawn.size] = drawn
            filled += drawn.size
    X = sp.csr_array((np.ones(filled), columns, indptr), shape=(count, world.item_cluster.size))
    return X, np.concatenate(preference)[wanted]


def _draw_of_block(world, rng, preference, k_u, start, stop):
    """Yield the items of the users start … stop − 1 of a block, rising, for a few users at a time.

    A block's stream runs through its users, so those before `start` are drawn, too.
    """
    n_items = world.item_cluster.size
    step = max(TIMES_AT_ONCE // n_items, 1)
    stop = min(stop, USERS_PER_BLOCK)
    for low in range(0, stop, step):
        high = min(low + step, stop)
        times = rng.standard_exponential((high - low, n_items))
        users = slice(max(low, start), high)  # none before `start`
        weights = preference[users].take(world.item_cluster, axis=1)  # p_{u,c(i)}
        weights *= world.item_popularity  # (users, p), proportional to p_ui
        yield _first_to_ring(times[users.start - low :], weights, k_u[users])


def draw_items(rng, n_items, p_c, popularity_law, beta_range):
    """Cluster and popularity of each item, sorted by cluster, then by falling popularity."""
    beta = rng.uniform(*beta_range, size=p_c.size)  # β_c
    item_cluster = np.sort(rng.choice(p_c.size, n_items, p=p_c)).astype(np.intp)
    sizes = np.bincount(item_cluster)  # up to the last cluster that has items
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
    if a < 0 and np.log(low) < 700 / a:  # low^a is no float, and 1 is nothing beside it
        return low * (1 - u) ** (1 / a)
    return (low**a + u * (1 - low**a)) ** (1 / a)


def _first_to_ring(times, weights, k_u):
    """Column indices of the k_u[r] items of row r that ring first, rising, all rows one after another.

    `times`, which are overwritten, are exponential of rate 1. Item i rings after times_i / w_i, an exponential time
    of rate w_i, so the first k to ring are k draws without replacement with probabilities proportional to w.

    Rounding to float32 keeps the order of two times or makes them equal, and float32 sorts much faster. So the k-th
    rounded time decides, unless the next one equals it: there, float64 does.
    """
    with np.errstate(divide="ignore", over="ignore"):  # weight 0, or too small for its time to be a number: never rings
        times /= weights
        rounded = times.astype(np.float32)
    ordered = np.sort(rounded)
    n_items, row = times.shape[1], np.arange(len(times), dtype=np.intp)
    last = ordered[row, k_u - 1]
    following = ordered[row, np.minimum(k_u, n_items - 1)]
    drawn = rounded <= last[:, None]
    for r in np.flatnonzero((following == last) & (k_u < n_items) | ~np.isfinite(last)):
        drawn[r] = False
        drawn[r, _first_of_row(times[r], k_u[r])] = True
    flat = np.flatnonzero(drawn)
    flat -= np.repeat(np.arange(0, drawn.size, n_items, dtype=np.intp), k_u)
    return flat


def _first_of_row(times, k):
    """Indices of the k smallest times: of two that are equal, the first."""
    possible = np.count_nonzero(np.isfinite(times))
    if k > possible:
        raise ValueError(
            f"max_activity takes at most the {possible} items that have a positive probability for a user, got {k}: "
            "take a smaller one, or another popularity_exponents, preference_concentration or cluster_probabilities"
        )
    return np.argsort(times, kind="stable")[:k]

"""Draws without replacement at a cost that does not grow with the number of items: alias tables and rejection.

`simulate_interactions` spends time on each user and item. Where items are a million and a user takes a hundred, almost
all of it is spent on items that nobody takes. Here a draw takes a cluster by the user's preferences, then an item of
the cluster by its alias table, in a fixed number of steps. What a user has already is drawn again: the first k
different ones of independent draws are k draws without replacement. The law is that of `simulate_interactions`, the
draws are others.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

CLUSTERS = 5


class AliasTables:
    """For each cluster a table that draws its items by their popularity (Walker 1977, Vose 1991)."""

    def __init__(self, item_cluster, item_popularity):
        self.sizes = np.bincount(item_cluster)
        self.starts = np.cumsum(self.sizes) - self.sizes
        self.masses = np.bincount(item_cluster, item_popularity)
        parts = np.split(np.asarray(item_popularity, dtype=float), self.starts[1:])
        tables = [alias_table(part) for part in parts]
        self.threshold = np.concatenate([threshold for threshold, _ in tables])
        self.alias = np.concatenate([start + alias for start, (_, alias) in zip(self.starts, tables)])

    @classmethod
    def simulated(cls, n_items, rng=0):
        """Items as `simulate_interactions` draws them by default: equal chances of clusters, β_c ~ Unif(0.25, 1.5)."""
        rng = np.random.default_rng(rng)
        item_cluster = np.sort(rng.integers(CLUSTERS, size=n_items))
        betas = rng.uniform(0.25, 1.5, size=CLUSTERS)
        sizes = np.bincount(item_cluster, minlength=CLUSTERS)
        popularity = [np.arange(1.0, size + 1) ** -beta for size, beta in zip(sizes, betas)]
        return cls(item_cluster, np.concatenate(popularity))

    def draw(self, cluster, rng):
        """One item of each of the given clusters."""
        item = self.starts[cluster] + (rng.random(len(cluster)) * self.sizes[cluster]).astype(np.int64)
        return np.where(rng.random(len(cluster)) < self.threshold[item], item, self.alias[item])


def alias_table(weights):
    """(threshold, alias): take i at random, keep it with probability threshold[i], else take alias[i]."""
    n = len(weights)
    threshold = weights * (n / weights.sum())
    alias = np.arange(n)
    small, large = (list(np.flatnonzero(mask)) for mask in (threshold < 1, threshold >= 1))
    while small and large:
        lacking, giving = small.pop(), large[-1]
        alias[lacking] = giving  # fills what `lacking` leaves of its share
        threshold[giving] -= 1 - threshold[lacking]
        if threshold[giving] < 1:
            small.append(large.pop())
    threshold[small + large] = 1.0  # rounding
    return threshold, alias


def draw_by_alias(tables, n_users, max_activity, rng):
    """(X, number of draws) for users with Dirichlet(1) preferences and P(k_u = k) ∝ k^{-1/2}, k ≤ max_activity."""
    rng = np.random.default_rng(rng)
    n_clusters, n_items = len(tables.sizes), len(tables.alias)
    activity = np.arange(1, max_activity + 1)
    k_u = rng.choice(activity, n_users, p=activity**-0.5 / np.sum(activity**-0.5))
    chance = rng.dirichlet(np.ones(n_clusters), n_users) * tables.masses
    cumulated = np.cumsum(chance / chance.sum(axis=1, keepdims=True), axis=1)
    done, open_keys, draws = [], np.zeros(0, dtype=np.int64), 0
    missing = k_u.copy()
    while missing.any():  # as many new draws as are missing, so that nobody ever has too many
        user = np.repeat(np.arange(n_users), missing)
        cluster = np.sum(rng.random(len(user))[:, None] > cumulated[user, :-1], axis=1)
        open_keys = np.union1d(open_keys, user * n_items + tables.draw(cluster, rng))
        draws += len(user)
        owner = open_keys // n_items
        had = np.bincount(owner, minlength=n_users)
        missing = np.where(missing > 0, k_u - had, 0)
        unfinished = missing[owner] > 0
        done.append(open_keys[~unfinished])
        open_keys = open_keys[unfinished]
    keys = np.sort(np.concatenate(done))
    indptr = np.concatenate([[0], np.cumsum(k_u)])
    items = (keys % n_items).astype(np.int32)
    return sp.csr_array((np.ones(len(items), dtype=np.float32), items, indptr), shape=(n_users, n_items)), draws

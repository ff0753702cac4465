"""Interactions whose truth has grades, and one training on them: what a worker of studies/graded.py does."""

from functools import cache

import numpy as np
from deep_jobs import N_ITEMS, N_TEST, N_TRAIN, checkpoints, nearest, representatives

from cossim_helpers import cosine_similarity, hold_out, ndcg_at_k

CLUSTERS, PARTS = 5, 3  # 15 sub-clusters, fewer than the dimensions of the models
BLOCK = 500  # users that are drawn at once
REPRESENTATIVES = ("as trained", "canonical", "correlation")


def interactions(n_users, n_items, rng):
    """(X, sub-cluster of each item, falling into clusters of PARTS each).

    As in Section 4 of the paper, but for the preferences: p_us = p_uc q_us for sub-cluster s of cluster c, with
    p_u ~ Dirichlet(1, …, 1) over clusters and q_u ~ Dirichlet(1, …, 1) over the sub-clusters of each.
    """
    rng = np.random.default_rng(rng)
    part = np.sort(rng.integers(CLUSTERS * PARTS, size=n_items))
    exponent = rng.uniform(0.25, 1.5, CLUSTERS * PARTS)
    rank = np.arange(n_items) - np.searchsorted(part, part) + 1
    popularity = rank ** -exponent[part]
    activity = np.arange(1, n_items // 2 + 1)
    X = np.zeros((n_users, n_items))
    for start in range(0, n_users, BLOCK):
        rows = X[start : start + BLOCK]
        within = rng.dirichlet(np.ones(PARTS), (len(rows), CLUSTERS))
        preference = (rng.dirichlet(np.ones(CLUSTERS), len(rows))[:, :, None] * within).reshape(len(rows), -1)
        ring = rng.standard_exponential(rows.shape) / np.maximum(preference[:, part] * popularity, 1e-300)
        k_u = rng.choice(activity, len(rows), p=activity**-0.5 / (activity**-0.5).sum())
        rows[np.argsort(np.argsort(ring, axis=1), axis=1) < k_u[:, None]] = 1.0
    return X, part


@cache
def data(seed):
    """(training X, test (seen, held), sub-clusters)."""
    X, part = interactions(N_TRAIN + N_TEST, N_ITEMS, seed)
    return X[:N_TRAIN], hold_out(X[N_TRAIN:], rng=[seed, 2]), part


def measure(recipe, data_seed, seed):
    """NDCG@10 on the test users, and the neighbors by each representative."""
    X, (seen, held), _ = data(data_seed)
    (model,) = checkpoints(X, recipe, (recipe.epochs,), seed)
    vectors = representatives(model, X)
    lists = {name: nearest(cosine_similarity(vectors[name])).tolist() for name in REPRESENTATIVES}
    return {"ndcg": ndcg_at_k(model.scores(seen), seen, held), "lists": lists}

"""How well a model predicts: interactions that are held out, and how high it ranks them.

Beside the stages.
"""

from __future__ import annotations

import numpy as np

from ._validation import (
    MANY,
    generator,
    real_array,
    real_number,
    require_same,
    whole_number,
    zero_one,
    zero_one_matrix,
)
from .metrics import TIE


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
    min_items, rng = whole_number("min_items", min_items, low=2, high=MANY), generator(rng)
    X = X[X.sum(axis=1) >= min_items]
    if not len(X):
        raise ValueError(f"X takes a user with at least min_items = {min_items} items, got none")
    k_u = X.sum(axis=1, keepdims=True)
    n_held = np.minimum(np.ceil(share * k_u), k_u - 1)
    lot = np.where(X > 0, rng.random(X.shape), 2.0)
    held = (np.argsort(np.argsort(lot)) < n_held).astype(float)
    return X - held, held


def ndcg_at_k(scores, seen, held, k: int = 10) -> float:
    """Normalized discounted cumulative gain of the k unseen items with the highest scores, averaged over users.

        DCG = Σ_{r=1..k} h_(r) / log₂(r + 1),   divided by its largest value, with the user's held-out items on top

    Ties enter by their expectation under random tie-breaking, which is exact: items that share the ranks a to b each
    have the mean of the discounts of these ranks, where ranks beyond k have none.

    Parameters
    ----------
    scores, seen, held : array_like, shape (m, p)
        seen and held are 0/1 and share no item. Seen items are not ranked; each user has a held-out item. Scores count
        as tied that follow each other within 1e-9 of the largest in size among the user's unseen items: 1e-9 itself
        where that is a cosine of 1.
    k : int

    Returns
    -------
    float
        From 0 to 1. A factor of a user's scores changes nothing.
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
        raise ValueError(
            f"held takes at least one item of each user, got {np.count_nonzero(~held.any(axis=1))} without"
        )
    discount = np.append(1 / np.log2(np.arange(2, k + 2)), np.zeros(scores.shape[1] - k))
    ideal = np.cumsum(discount)[held.sum(axis=1).astype(int) - 1]
    return float(np.mean(_expected_gains(scores, seen > 0, held, discount) / ideal))


def _expected_gains(scores, seen, held, discount):
    """The DCG of each user, on average over the orders of tied items."""
    largest = abs(np.where(seen, 0.0, scores)).max(axis=1, keepdims=True)
    lag = np.where(seen, 2.0, -scores / np.where(largest > 0, largest, 1.0))  # from −1 to 1: seen items come last
    order = np.argsort(lag, kind="stable")
    lag, held = np.take_along_axis(lag, order, axis=1), np.take_along_axis(held, order, axis=1)
    first = np.flatnonzero(np.diff(lag, prepend=-9.0) > TIE)  # where groups of tied items begin
    size = np.diff(np.append(first, lag.size))
    of_group = np.add.reduceat(np.tile(discount, len(lag)), first) / size
    return (held * np.repeat(of_group, size).reshape(lag.shape)).sum(axis=1)

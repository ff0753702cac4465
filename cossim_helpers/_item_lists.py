"""What callers of `reachable` name: pairs of items, and lists of neighbors with their cosines."""

from __future__ import annotations

import numpy as np

from ._validation import integers, plain_array, positive, real_array, require_same, whole_number

ZERO = 1e-12  # a row of orthonormal columns that is no longer than this is zero: rounding leaves about 1e-16
IN_SPAN = 1e-8  # a row that leaves a span by no more than this part of its length lies in it
_LEAST = 1e-10  # the smallest cosine of a list: above rounding, and no stretch overflows


def pairs(name, value, n_items):
    """`value` as integers of shape (2,) or (m, 2), each the index of an item."""
    pairs = integers(name, value)
    if pairs.ndim not in (1, 2) or pairs.shape[-1] != 2 or not pairs.size:
        raise ValueError(f"{name} takes a pair of items or pairs in rows, got shape {pairs.shape}")
    _require_items(name, pairs, n_items)
    return pairs


def items_to_choose(item, neighbors, n_items, k):
    """(item, *neighbors) as an array of different items, at most k."""
    item = whole_number("item", item, low=0, high=n_items - 1, why=" (the last item)")
    if k == 1:
        raise ValueError("factors takes a rank of at least 2 for a list of neighbors, got 1: all cosines are ±1")
    neighbors = plain_array("neighbors", neighbors)
    if neighbors.ndim != 1 or not 1 <= neighbors.size < k:
        limit = f"at least 1 and at most {k - 1} (one less than the rank of factors) items in a row"
        raise ValueError(f"neighbors takes {limit}, got shape {neighbors.shape}")
    neighbors = integers("neighbors", neighbors)
    _require_items("neighbors", neighbors, n_items)
    if np.unique(neighbors).size < neighbors.size or item in neighbors:
        raise ValueError(f"neighbors takes different items, none of them item {item}, got {neighbors.tolist()}")
    return np.append(item, neighbors)


def _require_items(name, indices, n_items):
    if (outside := indices[(indices < 0) | (indices >= n_items)]).size:
        raise ValueError(f"{name} takes items from 0 to {n_items - 1}, got {outside[0]}")


def falling(cosines, count):
    """The cosines of the neighbors, strictly falling, from 1e-10 to below 1."""
    if cosines is None:
        return np.linspace(0.9, 0.6, count)
    cosines = positive("cosines", real_array("cosines", cosines, ndim=1))
    require_same("cosines, one for each of neighbors", cosines.size, count)
    if cosines[0] >= 1 or (np.diff(cosines) >= 0).any() or cosines[-1] < _LEAST:
        raise ValueError(f"cosines takes falling numbers below 1, from {_LEAST:.0e} on, got {cosines.tolist()}")
    return cosines


def require_independent(rows, lengths):
    if (lengths <= ZERO).any():
        raise ValueError("item and neighbors take items with nonzero rows in factors, got a zero row")
    smallest = np.linalg.svd(rows / lengths[:, None], compute_uv=False)[-1]
    if smallest <= IN_SPAN:
        raise ValueError(
            f"item and neighbors take items with independent rows, got a smallest singular value of {smallest:.3g} "
            "at unit length"
        )

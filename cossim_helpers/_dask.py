"""Sums over the blocks of a Dask array, on whichever scheduler or cluster the caller has connected."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial

import numpy as np

from ._blocks import Part, added, gram_part, product_part, stacked, triangle_part
from ._krylov import OVERSAMPLE, PASSES, Ritz, krylov_pairs
from ._lanczos import top_eigenpairs
from ._routes import EPS, GRAM_IS_ENOUGH, fix_signs, joined, linked_items, triangular
from ._validation import whole_number

BRANCHES = 4  # parts that one task adds up: it holds so many of them, whatever the number of blocks


def is_dask_array(X) -> bool:
    """Whether X is a Dask array. Asking imports nothing: whoever has one has imported its module."""
    module = sys.modules.get("dask.array")
    return module is not None and isinstance(X, module.Array)


def dask_shape(name: str, X) -> tuple[int | None, int]:
    """n (None if unknown) and p of a Dask array in blocks of whole rows."""
    if X.dtype.kind not in "biuf":
        raise TypeError(f"{name} takes real numbers, got dtype {X.dtype}")
    if X.ndim != 2 or 0 in X.shape:
        raise ValueError(f"{name} takes a non-empty 2-dimensional array, got shape {X.shape}")
    if X.numblocks[1] > 1:
        raise ValueError(
            f"{name} takes a Dask array in blocks of whole rows, got {X.numblocks[1]} blocks side by side: "
            f"pass {name}.rechunk({{1: -1}})"
        )
    n, p = X.shape
    if np.isnan(p):
        raise ValueError(f"{name} takes a Dask array with a known number of columns: call {name}.compute_chunk_sizes()")
    return (None if np.isnan(n) else n), p


def dask_gram(name: str, X) -> Part:
    return _tree(name, X, gram_part, added)


def dask_product(name: str, X, Q: np.ndarray) -> Part:
    return _tree(name, X, product_part, added, Q=Q)


def _tree(name: str, X, part: Callable[..., Part], add: Callable[[list[Part]], Part], **arrays: np.ndarray) -> Part:
    """The parts of all blocks, added up in a tree: the number of blocks decides its shape, so the bits are the same.

    What makes a block and its part are one task, so that no worker stores a block.
    """
    import dask

    part = partial(part, name=name, p=dask_shape(name, X)[1])
    once = {key: dask.delayed(array, pure=False, traverse=False) for key, array in arrays.items()}  # not once a block
    parts = X.map_blocks(part, **once, dtype=np.float64, meta=np.empty((0, 0))).to_delayed().ravel().tolist()
    add = dask.delayed(add, pure=False)
    while len(parts) > 1:
        parts = [add(parts[first : first + BRANCHES]) for first in range(0, len(parts), BRANCHES)]
    connected = "distributed" in sys.modules  # before, its settings must not be touched
    with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TiB"} if connected else {}):
        return parts[0].compute()  # a graph with Q in it, so that a worker who dies takes nothing along


def dask_pairs(name: str, X, k: int | None, gram_items: int) -> Ritz | tuple[np.ndarray, np.ndarray]:
    """Top k pairs: from XᵀX, or from block Krylov with more than `gram_items` items, unless its basis is no smaller."""
    n, p = dask_shape(name, X)
    if k is not None:
        k = whole_number("k", k, low=1, high=p if n is None else min(n, p), why=" (min(n, p))")
        if p > gram_items and (k + OVERSAMPLE) * (PASSES - 1) < p:
            return krylov_pairs(lambda Q: dask_product(name, X, Q), p, k)
    n, gram = dask_gram(name, X)
    k = whole_number("k", min(n, p) if k is None else k, low=1, high=min(n, p), why=" (min(n, p))")
    return _pairs_by_gram(name, X, n, gram, k)


def _pairs_by_gram(name, X, n, gram, k):
    """Top k pairs from XᵀX; where a small σ would drown in the rounding of σ_1², from the triangle of X = Q R."""
    pieces = []
    for items in linked_items(gram):
        eigenvalues, vectors = top_eigenpairs(gram[np.ix_(items, items)], min(k, items.size))
        pieces.append((items, np.sqrt(np.maximum(eigenvalues, 0.0)), vectors))
    R, settled = None, set[int]()
    while doubtful := _doubtful(pieces, k) - settled:  # what turns out to be zero makes room for others below it
        R = _tree(name, X, triangle_part, stacked)[1] if R is None else R
        for number in doubtful:
            items = pieces[number][0]
            pieces[number] = (items, *triangular(R[:, items], k))
        settled |= doubtful
    sigma, V = joined(pieces, len(gram), k)
    return np.where(sigma > max(n, len(gram)) * EPS * sigma[0], sigma, 0.0), fix_signs(V)


def _doubtful(pieces, k):
    """The numbers of the pieces that have a σ among the top k which may have drowned in the rounding of their σ_1²."""
    last = np.sort(np.concatenate([np.zeros(k), *(own for _, own, _ in pieces)]))[-k]
    small = [own[own**2 <= GRAM_IS_ENOUGH * own[0] ** 2] for _, own, _ in pieces]
    return {number for number, own in enumerate(small) if (own >= last).any()}

"""Exact zeros: XᵀX is block-diagonal over the connected components of the data, and each is solved on its own."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from ._gram import unchecked_csr
from ._routes import LANCZOS_FROM

_STEPS = 20  # in most data, fewer lead from any item to any other; a chain of items takes as many as it is long


def pieces(X):
    """(its part of X, its items, its Frobenius norm) of each connected component, the norms falling.

    A user with two items links them. Items without users are in none.
    """
    if sp.issparse(X):
        X, pattern, there = _stored(X)
    else:
        pattern = X != 0
        there = pattern.any(axis=0)
    if _in_one_piece(pattern, there):
        if there.any():
            yield _without_empty(X, there), np.flatnonzero(there), np.inf
        return
    links = sp.block_array([[None, sp.csr_array(pattern)], [pattern.T, None]])
    label = connected_components(links, directed=False)[1]
    owner, label = label[: X.shape[0]], label[X.shape[0] :]
    users, items = np.argsort(owner, kind="stable"), np.argsort(label, kind="stable")
    items = items[there[items]]
    X = X[users][:, items]
    squares = np.bincount(owner[users], (X * X).sum(axis=1))
    for number in sorted(np.unique(label[there]), key=lambda number: -squares[number]):
        rows, columns = (slice(*np.searchsorted(of, [number, number + 1])) for of in (owner[users], label[items]))
        yield X[rows, columns], items[columns], np.sqrt(squares[number])


def _stored(X):
    """X without stored zeros, which link nothing; ones in its places; and the items that are there."""
    if not X.data.all():
        X = X.copy()
        X.eliminate_zeros()
    pattern = unchecked_csr(np.ones(X.nnz, np.float32), X.indices, X.indptr, X.shape[1])
    items = X.indices.astype(np.intp, copy=False)  # np.bincount takes no wider integers
    return X, pattern, np.bincount(items, minlength=X.shape[1]) > 0


def _without_empty(X, there):
    """X without empty items, and without empty users where it is large and sparse: they cost time, and add nothing."""
    if not sp.issparse(X):
        return X if there.all() else X[:, there]
    used = (np.diff(X.indptr) > 0) | (min(X.shape) <= LANCZOS_FROM)
    if used.all() and there.all():
        return X
    place = np.cumsum(there, dtype=X.indices.dtype) - 1
    indptr = np.append(X.indptr[:-1][used], X.indptr[-1:])
    return unchecked_csr(X.data, place[X.indices], indptr, there.sum())


def _in_one_piece(pattern, there):
    """Whether users link all of the items that are there, as far as _STEPS from the first of them tell."""
    reached = there & (np.cumsum(there) == 1)
    for _ in range(_STEPS):
        if np.array_equal(reached, there):
            return True
        reached = _linked(pattern, reached)
    return False


def _linked(pattern, items):
    """The items of all users who have one of `items`."""
    if sp.issparse(pattern):
        return pattern.T @ (pattern @ items) > 0
    return pattern[pattern[:, items].any(axis=1)].any(axis=0)

"""Exact nearest neighbors of some rows among all rows, in blocks, under several ways to look at the vectors at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

NUMBERS = 1 << 23  # in one block of scores or of rows: 32 MB
COSINE, DOT, DISTANCE = "cosine", "dot", "distance"


@dataclass(frozen=True, eq=False)
class View:
    """A way to find k neighbors: x ↦ (x − shift) basis, each coordinate times √weights, then a measure.

    ⟨Dx, Dy⟩ with D² = dMat(weights), over the lengths ‖Dx‖ for "cosine"; minus the squared distance for "distance".
    """

    k: int
    measure: str = COSINE
    weights: np.ndarray | None = None
    shift: np.ndarray | None = None
    basis: np.ndarray | None = None
    part: tuple[int, int] = (0, 1)  # (i, m): of the queries, every m-th from the i-th on

    def of(self, queries: np.ndarray) -> np.ndarray:
        """The part of the queries, or of what stands for them, that is looked at."""
        return queries[self.part[0] :: self.part[1]]


def row_blocks(E, numbers: int = NUMBERS) -> Iterator[tuple[int, np.ndarray]]:
    """(first, rows) over all rows of E, as float32: what a block takes is bounded, whatever E is."""
    step = max(1, numbers // E.shape[1])
    for first in range(0, E.shape[0], step):
        with np.errstate(over="ignore", invalid="ignore"):  # what is then infinite or NaN is refused by `as_vectors`
            rows = np.ascontiguousarray(E[first : first + step], dtype=np.float32)
        yield first, rows


def nearest(
    E,
    queries: np.ndarray,
    views: Sequence[View],
    *,
    done: Callable[[float], None] = lambda share: None,
) -> list[np.ndarray]:
    """Under each view the nearest of all rows of E to the rows `queries`, nearest first, a row not its own neighbor.

    Parameters
    ----------
    E : array, shape (n, dim)
        Finite; a memory map is read once, in blocks.
    queries : ndarray of int, shape (m,)
    views : sequence of View
        With k of at most n − 1. Views of all queries that share shift, basis and weights (the same objects) share the
        products, too.
    done : callable, optional
        Is told the share of the work that is done.

    Returns
    -------
    list of ndarray of int, shape (m, k)
        One for each view; of a part of the queries, as many rows. Of rows that are equally near in float32 the earlier
        one counts as nearer. A row of length 0 has cosine 0 with everything.
    """
    looked = np.asarray(E[queries], dtype=np.float32)
    best = [_Best(len(view.of(queries)), view.k) for view in views]
    families: dict[tuple, list[int]] = {}
    for at, view in enumerate(views):
        families.setdefault((id(view.weights), view.part, id(view.shift), id(view.basis)), []).append(at)
    step = max(256, NUMBERS // max(E.shape[1], len(queries)))
    for first, rows in row_blocks(E, step * E.shape[1]):
        moved: dict[tuple, np.ndarray] = {}
        for (_, _, *place), members in families.items():
            view = views[members[0]]
            if tuple(place) not in moved:
                moved[tuple(place)] = _moved(rows, view)
            products, squares = _products(_moved(view.of(looked), view), moved[tuple(place)], view.weights)
            own = _own(view.of(queries), first, len(rows))
            for at in members:
                scores = _scores(products, squares, views[at].measure)
                scores[own] = -np.inf
                best[at].add(first, scores)
        done((first + len(rows)) / len(E))
    return [found.ids for found in best]


def _own(queries: np.ndarray, first: int, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Where in a block the queries meet themselves."""
    here = (queries >= first) & (queries < first + n_rows)
    return here, queries[here] - first


def _moved(rows: np.ndarray, view: View) -> np.ndarray:
    """(rows − shift) basis in float32."""
    if view.shift is not None:
        rows = rows - view.shift.astype(np.float32)
    return rows if view.basis is None else rows @ view.basis.astype(np.float32)


def _products(looked: np.ndarray, rows: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """⟨Dy, Dx⟩ of each query y with each row x, and ‖Dx‖²."""
    if weights is None:
        return looked @ rows.T, np.einsum("ij,ij->i", rows, rows)
    weights = weights.astype(np.float32)
    return (looked * weights) @ rows.T, np.square(rows) @ weights


def _scores(products: np.ndarray, squares: np.ndarray, measure: str) -> np.ndarray:
    """The larger, the nearer, for one query each row."""
    if measure == DOT:
        return products.copy()
    if measure == DISTANCE:
        return 2.0 * products - squares  # ‖Dy‖² − ‖Dx − Dy‖²
    return products * np.divide(1.0, np.sqrt(squares), out=np.zeros_like(squares), where=squares > 0)


class _Best:
    """The k largest scores that each query has met so far, and the rows that have them."""

    def __init__(self, n_queries: int, k: int) -> None:
        self.scores = np.full((n_queries, k), -np.inf, np.float32)
        self.ids = np.full((n_queries, k), -1)

    def add(self, first: int, scores: np.ndarray) -> None:
        better, column = np.divmod(np.flatnonzero(scores > self.scores[:, -1:]), scores.shape[1])
        edges = np.searchsorted(better, np.arange(len(scores) + 1))
        for query in np.flatnonzero(np.diff(edges)):
            columns = column[edges[query] : edges[query + 1]]
            self._merge(query, scores[query, columns], columns + first)

    def _merge(self, query, scores: np.ndarray, ids: np.ndarray) -> None:
        k = self.ids.shape[1]
        scores = np.concatenate([self.scores[query], scores])
        ids = np.concatenate([self.ids[query], ids])
        kept = np.flatnonzero(scores >= np.partition(scores, -k)[-k])
        order = kept[np.argsort(-scores[kept], kind="stable")[:k]]  # of equal ones the earlier row first
        self.scores[query], self.ids[query] = scores[order], ids[order]


def shared(ids: np.ndarray, other: np.ndarray) -> np.ndarray:
    """For each query the share of its neighbors `ids` (m, k) that are among its neighbors `other` (m, l)."""
    return (ids[:, :, None] == other[:, None, :]).any(axis=2).mean(axis=1)

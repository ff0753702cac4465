"""Two trainings of the same items: how many neighbors are lost, to coordinates or to the model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce

import numpy as np

from .._validation import generator, require_same, whole_number
from .neighbors import View, nearest, shared
from .tables import as_vectors, chosen_rows, exact_blocks, interval, require_different

PENALTIES = (0.0, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0, np.inf)  # in units of the mean variance; inf: the rotation itself
_EPS = np.finfo(np.float64).eps


@dataclass(frozen=True)
class Comparison:
    """What `compare_embeddings` found. Overlaps are means over the queries, of shares of k neighbors.

    Attributes
    ----------
    n, dims
        The rows, and the dimensions of both sides.
    k, n_queries
        How many neighbors of how many rows.
    overlap, overlap_error
        Neighbors under both trainings, and half a 95% interval over the queries.
    overlap_mapped, overlap_mapped_error
        The same after the best affine map of the first onto the second.
    rotation_fit, map_fit
        Share of the second's variance that a rotation with one scale, and the map, predict on rows that they
        were not fitted to.
    expected_by_chance
        K/(n − 1).
    """

    n: int
    dims: tuple[int, int]
    k: int
    n_queries: int
    overlap: float
    overlap_error: float
    overlap_mapped: float
    overlap_mapped_error: float
    rotation_fit: float
    map_fit: float
    expected_by_chance: float

    @property
    def lost(self) -> float:
        """Share of the neighbors that the two trainings do not share."""
        return 1.0 - self.overlap

    @property
    def lost_to_coordinates(self) -> float:
        """The part of `lost` that the map brings back: the same information, other coordinates."""
        return self.overlap_mapped - self.overlap

    @property
    def lost_to_the_model(self) -> float:
        """The part of `lost` that no affine map brings back: noise, convergence, or news."""
        return 1.0 - self.overlap_mapped


def compare_embeddings(E1, E2, *, k: int = 10, n_queries: int = 500, rng=0) -> Comparison:
    """Of the neighbors that two trainings of the same items do not share, how many are lost to coordinates?

    A loss of dot products leaves E1 and E1 G equally good (chapter 2), a softmax E1 G + 1mᵀ too. So the neighbors of
    E1 are compared with those of E2 as they stand, and after the affine map x ↦ x M + m that brings E1 nearest to E2:

        min over M, m of  Σ ‖x M + m − y‖² + μ ‖M − sR‖²,   sR the best rotation with one scale

    Each half of the rows is mapped as fitted on the other half, so that a flexible map cannot flatter itself; μ is the
    one that predicts best there. The larger of both overlaps counts, since the identity is one of the maps.

    Directions of E1 that are lost in its rounding are counted as lost to the model: of an exact copy E1 = E2 G the map
    brings back all neighbors while the condition number of G is at most about 1e6, in float32 1e4. Exchange E1 and E2
    if E1 is the worse conditioned side.

    Parameters
    ----------
    E1, E2 : array_like or data frame, shapes (n, dim) and (n, dim')
        Row i is the same item in both.
    k : int
        Neighbors, from 1 to n − 1.
    n_queries : int
        Rows whose neighbors are compared, at most; drawn by `rng`. Their neighbors are sought among all rows.
    rng : int, sequence of int, SeedSequence, Generator or None

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError, TypeError
        For NaN or infinite values, fewer than 4 rows, numbers of rows that differ, or vectors that do not.
    """
    E1, E2 = as_vectors("E1", E1, at_least=4), as_vectors("E2", E2, at_least=4)
    n = len(E1)
    require_same("E2, with as many rows as E1", len(E2), n)
    k = whole_number("k", k, low=1, high=n - 1, why=", one less than there are rows")
    require_different("E1", E1)
    require_different("E2", E2)
    rng = generator(rng)
    queries = chosen_rows(E1, whole_number("n_queries", n_queries, low=1), rng, E2, names="E1 and E2 take")
    mapped, rotation_fit, map_fit = _mapped(E1, E2, rng.permutation(n) % 2)
    target, *both = (nearest(table, queries, [View(k)])[0] for table in (E2, E1, mapped))
    before, after = (shared(ids, target) for ids in both)
    better = after if after.mean() > before.mean() else before
    return Comparison(
        n=n,
        dims=(E1.shape[1], E2.shape[1]),
        k=k,
        n_queries=len(queries),
        overlap=float(before.mean()),
        overlap_error=interval(before),
        overlap_mapped=float(better.mean()),
        overlap_mapped_error=interval(better),
        rotation_fit=rotation_fit,
        map_fit=map_fit,
        expected_by_chance=k / (n - 1),
    )


@dataclass(frozen=True, eq=False)
class _Moments:
    """Sums over rows x of E1 and y of E2: their number, Σx, Σy, Σxxᵀ, Σxyᵀ, Σ‖y‖²."""

    n: float
    x: np.ndarray
    y: np.ndarray
    xx: np.ndarray
    xy: np.ndarray
    yy: float

    def __add__(self, other: _Moments) -> _Moments:
        return _Moments(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))

    def centered(self) -> _Moments:
        """The same sums of x − x̄ and y − ȳ."""
        x, y = self.x / self.n, self.y / self.n
        xx, xy = self.xx - self.n * np.outer(x, x), self.xy - self.n * np.outer(x, y)
        return _Moments(self.n, x, y, xx, xy, self.yy - self.n * float(y @ y))


def _mapped(E1, E2, fold: np.ndarray) -> tuple[np.ndarray, float, float]:
    """E1 mapped onto E2, each half by the other half's map, and the fits of the rotation and of the map."""
    sums = [_sums(E1, E2, fold == half) for half in (0, 1)]
    maps = [_maps(sums[1 - half].centered()) for half in (0, 1)]
    spread = (sums[0] + sums[1]).centered().yy
    errors = np.array([[_error(sums[half], *maps[half][at]) for at in range(len(PENALTIES))] for half in (0, 1)]).sum(
        axis=0
    )
    fits = 1.0 - errors / spread if spread > 0 else np.zeros(len(PENALTIES))
    best = np.argmax(fits)
    mapped = np.empty((len(E1), E2.shape[1]), np.float32)
    for half in (0, 1):
        M, m = maps[half][best]
        for first, rows in exact_blocks(E1):
            inside = fold[first : first + len(rows)] == half
            mapped[first : first + len(rows)][inside] = rows[inside] @ M + m
    return mapped, float(fits[-1]), float(fits[best])


def _sums(E1, E2, inside: np.ndarray) -> _Moments:
    return reduce(_Moments.__add__, _parts(E1, E2, inside))


def _parts(E1, E2, inside: np.ndarray) -> Iterator[_Moments]:
    """The sums of each block, over its rows inside."""
    for first, rows in exact_blocks(E1):
        kept = inside[first : first + len(rows)]
        x = rows[kept]
        y = np.asarray(E2[first : first + len(rows)], dtype=np.float64)[kept]
        yield _Moments(len(x), x.sum(axis=0), y.sum(axis=0), x.T @ x, x.T @ y, (y * y).sum())


def _maps(moments: _Moments) -> list[tuple[np.ndarray, np.ndarray]]:
    """(M, m) for each penalty, from centered moments: the ridge solution about the best rotation with one scale."""
    left, size, rightt = np.linalg.svd(moments.xy, full_matrices=False)
    square = np.trace(moments.xx)
    rotation = left @ rightt * (size.sum() / square if square > 0 else 0.0)
    w, axes = np.linalg.eigh(moments.xx)
    rest = axes.T @ (moments.xy - moments.xx @ rotation)  # Σx(y − sRx)ᵀ in the axes of the data
    small = len(w) * _EPS * w[-1]
    maps = []
    for penalty in PENALTIES:
        bottom = w + penalty * (w.mean() or 1.0)
        M = rotation + axes @ np.divide(rest, bottom[:, None], out=np.zeros_like(rest), where=(bottom > small)[:, None])
        maps.append((M, moments.y - moments.x @ M))
    return maps


def _error(sums: _Moments, M: np.ndarray, m: np.ndarray) -> float:
    """Σ ‖x M + m − y‖² from the sums alone."""
    squares = (M * (sums.xx @ M)).sum() - 2 * (M * sums.xy).sum() + sums.yy
    return squares + 2 * m @ (sums.x @ M - sums.y) + sums.n * m @ m

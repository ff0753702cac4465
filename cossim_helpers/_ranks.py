"""Decisions on which singular values are 0, and the spaces that follow from them."""

from __future__ import annotations

import numpy as np
import scipy.linalg

ZERO = 1e-9  # of the largest singular value: what is smaller counts as 0


class Ranks:
    """Decides which singular values are 0, and remembers how close the decisions were."""

    def __init__(self):
        self.kept, self.dropped = 1.0, 0.0

    def rank(self, size, floor=0.0):
        """How many of the singular values count, relative to the largest or to `floor`."""
        top = max(size.max(initial=0.0), floor)
        relative = size / top if top else size
        counts = relative > ZERO
        self.kept = min(self.kept, relative[counts].min(initial=1.0))
        self.dropped = max(self.dropped, relative[~counts].max(initial=0.0))
        return int(counts.sum())


def triangle(M) -> np.ndarray:
    """R, at most square, of M = Q R with orthonormal columns in Q: MᵀM = RᵀR."""
    return scipy.linalg.qr(M, mode="r")[0][: M.shape[1]]


def row_space(M):
    """Orthonormal columns (k, rank) that span the rows of M."""
    _, size, right = np.linalg.svd(triangle(M), full_matrices=False)
    return right[size > ZERO * size[0]].T


def empty_space(M):
    """Orthonormal columns that span what the rows of M leave empty."""
    return scipy.linalg.null_space(triangle(M), rcond=ZERO)


def null_space(C, ranks, floor=0.0):
    """Rows that span {x : C x = 0}; singular values count as 0 relative to the largest, or to `floor`.

    An unknown that stands in one equation only solves it: both leave the system first, which may halve it.
    """
    alone = np.where((C != 0).sum(axis=0) == 1, abs(C), 0.0)
    unknown, size = alone.argmax(axis=1), np.linalg.norm(C, axis=1)
    solved = alone.max(axis=1) > ZERO * np.maximum(size, floor)
    left = np.setdiff1d(np.arange(C.shape[1]), unknown[solved])
    part = _dense_null_space(C[~solved][:, left], ranks, floor)
    x = np.zeros((len(part), C.shape[1]))
    x[:, left] = part
    x[:, unknown[solved]] = -(part @ C[solved][:, left].T) / C[solved, unknown[solved]]
    return x


def _dense_null_space(C, ranks, floor):
    if not C.shape[0]:
        return np.eye(C.shape[1])
    _, size, right = scipy.linalg.svd(triangle(C))
    return right[ranks.rank(size, floor) :]


def axis_of_hyperplane(M):
    """a with M a = 1, or None: the rows lie in one hyperplane that misses 0."""
    a = np.linalg.lstsq(M, np.ones(len(M)), rcond=ZERO)[0]
    return a if abs(M @ a - 1).max() <= ZERO * (1 + np.linalg.norm(a)) else None


def less_the_mean(M: np.ndarray) -> np.ndarray:
    """Rows less their mean; what is left of a row within rounding of it is 0, since its direction is none."""
    largest = abs(M).max() or 1.0
    scaled = M / largest
    centered = scaled - scaled.mean(axis=0)
    rounding = 8 * np.finfo(np.float64).eps * np.linalg.norm(scaled, axis=1).max()
    return np.where(np.linalg.norm(centered, axis=1, keepdims=True) > rounding, centered, 0.0) * largest

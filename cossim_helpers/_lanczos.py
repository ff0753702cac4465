"""Block Lanczos for the top eigenpairs of A = XᵀX: a block of start vectors sees copies of a repeated eigenvalue."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.linalg

WIDTH = 6  # start vectors: so many copies one run tells apart, and one product serves all of them
ARRIVED = 3e-9  # of θ: ‖A v − θ v‖ of a pair that has arrived; its square is the error of θ
SAME = 1e-8  # of an eigenvalue: two that are so near count as copies
LOST = 1e-13  # of θ_1: what is left of a vector that lies in the basis already
PATIENCE = 100  # times that the basis may fill


def top_eigenpairs(A: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Top k eigenvalues, falling, and their eigenvectors as columns, of a symmetric array.

    LAPACK's search for some of the eigenvalues may come back with fewer, or none, where nearly all of them agree.
    """
    m = len(A)
    values, vectors = scipy.linalg.eigh(A, subset_by_index=[m - k, m - 1])
    if values.size < k:
        values, vectors = scipy.linalg.eigh(A, driver="evd")
    return values[::-1][:k], vectors[:, ::-1][:, :k]


class NoConvergence(Exception):
    """The pairs did not arrive."""


class _Krylov:
    """An orthonormal basis Q of a Krylov space, T = QᵀA Q, and the block of vectors that continues it."""

    def __init__(self, product: Callable, m: int, capacity: int, width: int):
        self.product, self.capacity, self.width, self.starts = product, capacity, width, 0
        self.Q, self.T = np.empty((m, capacity), order="F"), np.zeros((capacity, capacity))
        self.rng, self.size, self.scale, self.fills = np.random.default_rng(0), 0, 0.0, 0
        self.block, self.coupled_from = np.empty((m, 0)), 0
        self.start_anew()

    @property
    def basis(self):
        return self.Q[:, : self.size]

    def start_anew(self):
        """`width` more random vectors (as far as there is room) join the block."""
        beside = np.column_stack([self.basis, self.block])
        fresh = self.rng.standard_normal((len(self.Q), min(self.width, len(self.Q) - beside.shape[1])))
        for _ in range(2):
            fresh -= beside @ (beside.T @ fresh)
        self.block = np.column_stack([self.block, np.linalg.qr(fresh)[0]])
        self.starts += self.width

    def grow(self):
        """The block joins the basis, and what A makes of it becomes the next one.

        A couples a block with itself and the one before it, the first one after a restart with all that was kept. With
        the rest of the basis it has in common what rounding made, which grows from block to block unless it goes, too.
        """
        newest = slice(self.size, self.size + self.block.shape[1])
        self.Q[:, newest], self.size = self.block, newest.stop
        image = self.product(self.block)
        self.scale = max(self.scale, _lengths(image).max(initial=0.0))
        coupled = slice(self.coupled_from, self.size)
        inside = self.Q[:, coupled].T @ image
        self.T[coupled, newest], self.T[newest, coupled] = inside, inside.T
        block, first = _orthonormal(image - self.Q[:, coupled] @ inside, LOST * self.scale)
        block -= self.basis @ (self.basis.T @ block)
        self.block, again = _orthonormal(block, 0.0)
        self.newest, self.coupling, self.coupled_from = newest, again @ first, newest.start

    def pairs(self, k):
        """Top k eigenvalues of T, falling, their vectors, and the largest ‖A v − θ v‖, 1 where all have arrived."""
        values, S = top_eigenpairs(self.T[: self.size, : self.size], k)
        wanted = np.maximum(ARRIVED * values, LOST * self.scale)
        far = np.divide(_lengths(self.coupling @ S[self.newest]), wanted, out=np.zeros(k), where=wanted > 0)
        return values, S, far.max()

    def shrink(self, keep):
        """The top of the basis takes the place of all of it (thick restart)."""
        values, S, _ = self.pairs(keep)
        self.Q[:, :keep] = self.basis @ S
        self.T[:] = 0.0
        np.fill_diagonal(self.T[:keep, :keep], values)
        self.size, self.fills, self.coupled_from = keep, self.fills + 1, 0
        if self.fills > PATIENCE:
            raise NoConvergence


def top_eigenpairs_of(product: Callable, m: int, k: int, enough: float) -> tuple[np.ndarray, np.ndarray]:
    """Top k eigenvalues, falling, and eigenvectors (m, k) of the symmetric A ≥ 0 behind `product`: V ↦ A V.

    The Krylov basis grows from random vectors (seeded), orthogonal in full. In exact arithmetic it holds as many copies
    of an eigenvalue as it has start vectors, or all if they are fewer. So where as many values above `enough` θ_1 agree
    as vectors started, more are started, until fewer agree: then no copy is missing. Raises NoConvergence.
    """
    capacity = min(m, max(8 * k, k + 120))
    krylov, looks = _Krylov(product, m, capacity, min(WIDTH, m)), _Looks(3 * k)
    while True:
        krylov.grow()
        looks.vectors += krylov.newest.stop - krylov.newest.start
        full = krylov.size + krylov.block.shape[1] > capacity or krylov.size == m
        if krylov.size >= k and (full or not krylov.block.size or looks.due()):
            values, S, far = krylov.pairs(k)
            if far <= 1 and (looks.vectors >= looks.not_before or not krylov.block.size):
                if krylov.size == m or not _copies(values, krylov.starts, enough):
                    return values, krylov.basis @ S
                krylov.start_anew()
                looks.not_before = 2 * looks.vectors  # the new ones need as long as the first did
            looks.note(far)
        elif not krylov.block.size:
            krylov.start_anew()
        if krylov.size + krylov.block.shape[1] > capacity:
            krylov.shrink(k + (capacity - k) // 3)


def _copies(values, many, enough):
    """Whether `many` of the falling values agree, above `enough` of the first."""
    first, last = values[: 1 - many], values[many - 1 :]
    return many <= values.size and bool(((first - last <= SAME * first) & (last > enough * values[0])).any())


def _lengths(block):
    return np.sqrt(np.einsum("ij,ij->j", block, block))


def _orthonormal(block, lost):
    """Q with orthonormal columns and R, block = Q R; without directions whose length is at most `lost`."""
    Q, R = scipy.linalg.qr(block, mode="economic")
    if abs(np.diag(R)).min(initial=np.inf) > lost:
        return Q, R
    Q, R, order = scipy.linalg.qr(block, mode="economic", pivoting=True)
    there = abs(np.diag(R)) > lost
    return Q[:, there], R[there][:, np.argsort(order)]


class _Looks:
    """When to look at the pairs: a look costs, and so does a basis that grows for nothing."""

    def __init__(self, first):
        self.vectors, self.next, self.last, self.not_before = 0, first, None, 0

    def due(self):
        return self.vectors >= self.next

    def note(self, far):
        """The next look, where the decay since the last one promises arrival, at most 15% later."""
        step, far = 0.12 * self.vectors, np.log(max(far, 1.0))
        if self.last and self.last[1] > far and self.vectors > self.last[0]:
            step = far * (self.vectors - self.last[0]) / (self.last[1] - far)
        self.last = self.vectors, far
        self.next = self.vectors + min(max(step, 1), 0.15 * self.vectors)

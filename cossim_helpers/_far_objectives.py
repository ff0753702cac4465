"""Objectives and gradients of both penalties where numbers are extreme: the formulas of `objectives`, by powers of two.

Each term is made of arrays near 1, with an exponent, so no square overflows or vanishes before the sum is known.
"""

from __future__ import annotations

import numpy as np

from ._scales import TINY, balanced, near_one, sizes

_FAR = 100  # exponents of X, λ and the factors up to which no product of the formulas leaves the range of floats
_ROWS = 1_000  # of the residual at once


def is_far(X, A, B, lam: float) -> bool:
    """Whether the formulas as they stand may overflow or lose digits."""
    there = np.concatenate([sizes(A, 0), sizes(B, 0), [lam, abs(X).max()]])
    return bool(abs(np.frexp(there[there > 0])[1]).max(initial=0) > _FAR)


class FarTerms:
    """X = 2^e X′ and A_j = 2^{c_j} A′_j, B_j = 2^{t − c_j} B′_j, λ = 2^l λ′: X′, A′, B′ and λ′ are near 1 or below."""

    def __init__(self, X, A, B, lam):
        self.X, self.e = near_one(X, 0)
        self.A, self.B, self.t, self.c = balanced(A, B)
        self.lam, self.l = (part.item() for part in np.frexp(lam))
        self.s = max(self.t, 0)  # X − A Bᵀ = 2^(e + s) (2^−s X′ − X′ A′ Cᵀ)
        self.C = np.ldexp(self.B, self.t - self.s)
        self.whole_A, self.whole_B = near_one(A, 0), near_one(B, 0)

    def _squared_error(self):
        total = 0.0
        for start in range(0, self.X.shape[0], _ROWS):
            rows = self.X[start : start + _ROWS]
            dense = rows.toarray() if hasattr(rows, "toarray") else rows
            total += np.sum((np.ldexp(dense, -self.s) - (rows @ self.A) @ self.C.T) ** 2)
        return total, 2 * (self.e + self.s)

    def _error_gradients(self):
        XA, XB = self.X @ self.A, self.X @ self.B
        dA = 2 * (self.X.T @ (XA @ (self.C.T @ self.B) - np.ldexp(XB, -self.s)))
        dB = 2 * (self.C @ (XA.T @ XA) - np.ldexp(self.X.T @ XA, -self.s))
        return (dA, 2 * self.e + self.s + self.t - self.c), (dB, 2 * self.e + self.s + self.c)

    def product_penalty_objective(self) -> float:
        penalty = self.lam * np.sum((np.linalg.qr(self.A, mode="r") @ self.B.T) ** 2)
        return float(_sum("the objective", self._squared_error(), (penalty, self.l + 2 * self.t)))

    def factor_penalty_objective(self) -> float:
        (A, a), (B, b) = self.whole_A, self.whole_B
        users, items = self.lam * np.sum((self.X @ A) ** 2), self.lam * np.sum(B**2)
        terms = self._squared_error(), (users, self.l + 2 * (self.e + a)), (items, self.l + 2 * b)
        return float(_sum("the objective", *terms))

    def product_penalty_gradient(self):
        dA, dB = self._error_gradients()
        of_A, of_B = 2 * self.lam * self.A @ (self.B.T @ self.B), 2 * self.lam * self.B @ (self.A.T @ self.A)
        return (
            _sum("the gradient", dA, (of_A, self.l + 2 * self.t - self.c)),
            _sum("the gradient", dB, (of_B, self.l + self.t + self.c)),
        )

    def factor_penalty_gradient(self):
        (dA, dB), (A, a), (B, b) = self._error_gradients(), self.whole_A, self.whole_B
        return (
            _sum("the gradient", dA, (2 * self.lam * (self.X.T @ (self.X @ A)), self.l + 2 * self.e + a)),
            _sum("the gradient", dB, (2 * self.lam * B, self.l + b)),
        )


def _sum(name, *terms):
    """Σ 2^e M over the terms (M, e), if floats hold it: M is a number, or an array with one e, or one a column."""
    there = [np.where(np.any(M, axis=0), e, -9_999) for M, e in terms]
    top = np.max(np.broadcast_arrays(*there), axis=0)
    total = sum(np.ldexp(M, np.maximum(e - top, -9_999)) for M, e in terms)
    with np.errstate(over="ignore"):
        result = np.ldexp(total, top)
        largest, scale = abs(result).max(), np.ldexp(1.0, top.max())
    if not largest < np.inf or (max(largest, scale) < TINY and np.any(total)):
        raise ValueError(f"X, factors and lam take numbers for which floats hold {name}, got a size of {largest:.3g}")
    return result

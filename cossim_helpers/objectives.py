"""Both objectives and their gradients, straight from their definitions: what an independent optimizer needs."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from ._validation import instance_of, penalty, real_matrix, require_same
from .closed_forms import Factors

_BLOCK = 1_000  # rows of the residual that are held at once


def product_penalty_objective(X, factors: Factors, lam: float) -> float:
    """‖X − X A Bᵀ‖²_F + λ ‖A Bᵀ‖²_F                                      (Eq. 1)

    Parameters
    ----------
    X : array_like or sparse array, shape (n, p)
    factors : Factors
        A and B, shape (p, k).
    lam : float
        λ ≥ 0.

    Returns
    -------
    float

    Raises
    ------
    ValueError, TypeError
        For λ < 0, NaN or infinite values, or shapes that do not match.
    """
    X, A, B, lam = _arguments(X, factors, lam)
    return _squared_error(X, A, B) + lam * float(np.sum((A.T @ A) * (B.T @ B)))  # ‖ABᵀ‖² = ⟨AᵀA, BᵀB⟩


def product_penalty_gradient(X, factors: Factors, lam: float) -> tuple[np.ndarray, np.ndarray]:
    """(∂/∂A, ∂/∂B) of Eq. 1's objective.

        ∂/∂A = −2 Xᵀ(X − X A Bᵀ) B + 2λ A BᵀB
        ∂/∂B = −2 (X − X A Bᵀ)ᵀ X A + 2λ B AᵀA

    Arguments and errors as in `product_penalty_objective`; returns two ndarrays of shape (p, k).
    """
    X, A, B, lam = _arguments(X, factors, lam)
    dA, dB = _squared_error_gradient(X, A, B)
    return dA + 2 * lam * A @ (B.T @ B), dB + 2 * lam * B @ (A.T @ A)


def factor_penalty_objective(X, factors: Factors, lam: float) -> float:
    """‖X − X A Bᵀ‖²_F + λ (‖X A‖²_F + ‖B‖²_F)                           (Eq. 2)

    Arguments and errors as in `product_penalty_objective`; returns a float.
    """
    X, A, B, lam = _arguments(X, factors, lam)
    return _squared_error(X, A, B) + lam * float(np.sum((X @ A) ** 2) + np.sum(B**2))


def factor_penalty_gradient(X, factors: Factors, lam: float) -> tuple[np.ndarray, np.ndarray]:
    """(∂/∂A, ∂/∂B) of Eq. 2's objective.

        ∂/∂A = −2 Xᵀ(X − X A Bᵀ) B + 2λ XᵀX A
        ∂/∂B = −2 (X − X A Bᵀ)ᵀ X A + 2λ B

    Arguments and errors as in `product_penalty_objective`; returns two ndarrays of shape (p, k).
    """
    X, A, B, lam = _arguments(X, factors, lam)
    dA, dB = _squared_error_gradient(X, A, B)
    return dA + 2 * lam * (X.T @ (X @ A)), dB + 2 * lam * B


def _squared_error(X, A, B):
    """‖X − X A Bᵀ‖²_F from the residual itself, block by block of users: no cancellation, no n × p array."""
    total = 0.0
    for start in range(0, X.shape[0], _BLOCK):
        rows = X[start : start + _BLOCK]
        residual = (rows.toarray() if sp.issparse(rows) else rows) - (rows @ A) @ B.T
        total += float(np.sum(residual**2))
    return total


def _squared_error_gradient(X, A, B):
    XA, XB = X @ A, X @ B
    dA = 2 * (X.T @ (XA @ (B.T @ B) - XB))  # −2 Xᵀ(X − X A Bᵀ) B
    dB = 2 * (B @ (XA.T @ XA) - X.T @ XA)  # −2 (X − X A Bᵀ)ᵀ X A
    return dA, dB


def _arguments(X, factors, lam):
    X = real_matrix("X", X)
    instance_of("factors", factors, Factors)
    require_same("X, with as many columns as A has rows", X.shape[1], factors.A.shape[0])
    return X, factors.A, factors.B, penalty(lam)

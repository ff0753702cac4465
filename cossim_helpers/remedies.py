"""Remedies after the fit: outside the embedding space, as the paper's Section 3 proposes, and on the fitted factors.

Those before the fit are in `data_remedies`, those inside the loss in `trained`.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg

from ._ranks import triangle
from ._scales import balanced, columns_of_product, held, rows_near_one, rows_of_product, rows_of_products
from ._validation import instance_of, real_array, real_number, require_same
from .closed_forms import Factors, data_and_factors
from .similarity import cosine_similarity

_EPS = np.finfo(np.float64).eps


# --- outside the embedding space: functions of the product A Bᵀ, so no G can move them ---


def score_column_cosine(X, factors: Factors) -> np.ndarray:
    """Cosines between the columns of the scores Ŷ = X A Bᵀ: items, compared by whom they are predicted for.

        ŶᵀŶ = B M Bᵀ,   M = (X A)ᵀ(X A) = RᵀR  (k × k),   so they are the cosines between the rows of B Rᵀ

    Parameters
    ----------
    X : array_like or sparse array, shape (n, p)
    factors : Factors

    Returns
    -------
    ndarray, shape (p, p)
        The same for every (A G, B G⁻ᵀ). Ŷ itself, n × p, is never formed; R is the triangle of X A = Q R, which keeps
        the digits that squaring X A would lose.

    Raises
    ------
    ValueError, TypeError
        For NaN or infinite values, or shapes that do not match.

    References
    ----------
    Steck, Ekanadham and Kallus (2024), §3.
    """
    X, A, B = data_and_factors(X, factors)
    P, powers = columns_of_product(X, A)
    return cosine_similarity(rows_of_product(B, triangle(P).T, powers))


def score_row_cosine(X, factors: Factors) -> np.ndarray:
    """Cosines between the rows of the scores Ŷ = X A Bᵀ: users, compared by what is predicted for them.

        ŶŶᵀ = (X A) (BᵀB) (X A)ᵀ,   so they are the cosines between the rows of X A Rᵀ, shape (n, k), with B = Q R

    Arguments and errors as in `score_column_cosine`. Returns an ndarray of shape (n, n): pass X[rows] for the users
    that you need. The same for every (A G, B G⁻ᵀ).
    """
    return cosine_similarity(rows_of_products(*data_and_factors(X, factors)))


# --- whitening: on the fitted factors ---


def whitened_cosine(factors: Factors) -> np.ndarray:
    """Normalized B (BᵀB)⁻¹ Bᵀ, the projector onto the column space of B.

    The same for every G, and I where B has rank p. Where B lacks full column rank, (BᵀB)⁻¹ is the pseudo-inverse:
    singular values of B up to max(p, k) u of the largest count as 0. Returns an ndarray of shape (p, p).

    References
    ----------
    Su et al. (2021) whiten sentence embeddings (about their mean, which is not invariant under a shift of B).
    """
    return fractionally_whitened_cosine(factors, 1.0)


def fractionally_whitened_cosine(factors: Factors, exponent: float) -> np.ndarray:
    """Cosines between the rows of B (BᵀB)^{-w/2}: plain ones at w = 0, whitened ones at w = 1.

    For 0 < w < 1 the same under rotations only; `spectral_cosine` is the variant that no G moves.

    Parameters
    ----------
    factors : Factors
    exponent : float
        w, from 0 to 1.

    Returns
    -------
    ndarray, shape (p, p)
    """
    exponent = real_number("exponent", exponent, at_least=0.0, at_most=1.0)
    B = instance_of("factors", factors, Factors).B
    left, size, _ = scipy.linalg.svd(B, full_matrices=False)
    kept = size > max(B.shape) * _EPS * size[0]
    return _cosine_where_embedded(left * np.where(kept, size ** (1 - exponent), 0.0), B)  # B = left size rightᵀ


def spectral_cosine(factors: Factors, exponent: float) -> np.ndarray:
    """Normalized (WᵀW)^{1−w} of the product W = A Bᵀ: a fractional whitening that no G moves.

        W = Y dMat(s) Zᵀ  (singular value decomposition),   kernel Z dMat(s^{2(1−w)}) Zᵀ

    For both objectives W = V_k dMat(s) V_kᵀ: s = d for Eq. 1, s = (1 − λ/σ)_+ for Eq. 2. At w = 0 these are the cosines
    between the columns of W, at w = ½ those of Eq. 5, at w = 1 the whitened ones.

    Parameters
    ----------
    factors : Factors
    exponent : float
        w, from 0 to 1. Singular values up to max(p, k) u ‖A‖ ‖B‖ count as 0 and are left out, at w = 1 as well.

    Returns
    -------
    ndarray, shape (p, p)
    """
    exponent = real_number("exponent", exponent, at_least=0.0, at_most=1.0)
    A, B, *_ = balanced(instance_of("factors", factors, Factors).A, factors.B)
    R_A = triangle(A)
    Q_B, R_B = scipy.linalg.qr(B, mode="economic")
    _, s, Zt = scipy.linalg.svd(R_A @ R_B.T)  # W = Q_A (R_A R_Bᵀ) Q_Bᵀ
    size = np.linalg.norm(R_A, axis=0) * np.linalg.norm(R_B, axis=0)  # of each a_j b_jᵀ, which no D changes
    kept = s > max(B.shape) * _EPS * size.max()
    return _cosine_where_embedded(Q_B @ Zt.T * np.where(kept, s ** (1 - exponent), 0.0), factors.B)


# --- normalization of an embedding ---


def layer_norm(M, gain=None, bias=None) -> np.ndarray:
    """Layer normalization of each row: (b − b̄1) / sd(b), times a gain, plus a bias.

        b̄ = (1/k) Σ_l b_l,   sd(b)² = (1/k) Σ_l (b_l − b̄)²,   LN(b) = g ∘ (b − b̄1)/sd(b) + h

    Without gain and bias it is √k N(b − b̄1): center the embedding over its own k coordinates, then bring it to the
    length √k. (Libraries add an ε to the variance, which makes short embeddings shorter; here ε = 0.)

    Parameters
    ----------
    M : array_like, shape (m, k)
        One embedding a row, k ≥ 2, none of them constant.
    gain, bias : array_like, shape (k,), optional
        Default: 1 and 0.

    Returns
    -------
    ndarray, shape (m, k)

    Raises
    ------
    ValueError, TypeError
        For an embedding that is constant to rounding: it has no direction left; for a gain and a bias that lead beyond
        what a float holds.

    References
    ----------
    Ba, Kiros and Hinton (2016).
    """
    M = rows_near_one(real_array("M", M, ndim=2))  # the size of an embedding does not matter
    k = M.shape[1]
    gain = np.ones(k) if gain is None else real_array("gain", gain, ndim=1)
    bias = np.zeros(k) if bias is None else real_array("bias", bias, ndim=1)
    for name, value in (("gain", gain), ("bias", bias)):
        require_same(f"{name}, one entry for each column of M", value.size, k)
    centered = M - M.mean(axis=1, keepdims=True)
    constant = abs(centered).max(axis=1) <= 8 * _EPS * abs(M).max(axis=1)
    if constant.any():
        raise ValueError(f"M takes rows that are not constant, got {np.count_nonzero(constant)} constant row(s)")
    with np.errstate(over="ignore"):
        normalized = centered / centered.std(axis=1, keepdims=True) * gain + bias
    return held("gain and bias take numbers that lead to floats", normalized)


# --- what the functions above share ---


def _cosine_where_embedded(rows, B):
    """Cosines between rows, 0 for an item without an embedding: a decomposition leaves it rounding instead of zeros."""
    return cosine_similarity(np.where(B.any(axis=1, keepdims=True), rows, 0.0))

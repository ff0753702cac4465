"""Stage 3: the closed forms of both objectives, from the top right singular pairs of X."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ._owned import hold, matrix, ours
from ._validation import instance_of, non_negative, penalty, real_array, real_matrix, require_same, whole_number
from .spectra import Spectrum


@dataclass(frozen=True, eq=False)
class Factors:
    """The two item matrices of the model X ≈ X A Bᵀ.

    Attributes
    ----------
    A : ndarray, shape (p, k)
        Rows add up to user embeddings: X A, shape (n, k).
    B : ndarray, shape (p, k)
        Rows are the item embeddings.

    Both are read-only, and copies of what was passed.
    """

    A: np.ndarray
    B: np.ndarray

    def __post_init__(self):
        hold(self, A=matrix, B=matrix)
        require_same("B, with the shape of A", self.B.shape, self.A.shape)


def shrinkage(sigma, lam: float) -> np.ndarray:
    """d_i = 1 / (1 + λ/σ_i²) = σ_i² / (σ_i² + λ), and 0 where σ_i = 0 (also at λ = 0).

    Parameters
    ----------
    sigma : array_like, shape (k,)
        Singular values, at least 0.
    lam : float
        λ ≥ 0.

    Returns
    -------
    ndarray, shape (k,)
        How much of each singular direction the first objective keeps: 0 none, 1 all of it.

    Raises
    ------
    ValueError, TypeError
        For a negative or non-finite sigma or lam.

    Examples
    --------
    >>> shrinkage([10.0, 1.0, 0.0], lam=1.0).round(4)
    array([0.9901, 0.5   , 0.    ])
    """
    sigma = non_negative("sigma", real_array("sigma", sigma, ndim=1))
    return _root_shrinkage(sigma, penalty(lam)) ** 2


def _root_shrinkage(sigma, lam):
    """√d_i = σ_i / √(σ_i² + λ), whose square may be below all floats."""
    hypotenuse = np.hypot(sigma, np.sqrt(lam))  # without overflow
    return np.divide(sigma, hypotenuse, out=np.zeros_like(sigma), where=sigma > 0)


def solve_product_penalty(spectrum: Spectrum, lam: float, k: int | None = None) -> Factors:
    """The choice of Eq. 5 among the infinitely many solutions of Eq. 1.

        min_{A,B} ‖X − X A Bᵀ‖²_F + λ ‖A Bᵀ‖²_F                          (Eq. 1)
        Â B̂ᵀ = V_k dMat(d) V_kᵀ,   d_i = 1 / (1 + λ/σ_i²)               (paper, §2.2)
        Â = B̂ = V_k dMat(d)^{1/2}                                       (Eq. 5)

    Parameters
    ----------
    spectrum : Spectrum
        Singular pairs of X, at least k of them.
    lam : float
        λ ≥ 0. At σ_i = 0 the quotient takes its limit, d_i = 0.
    k : int, optional
        Rank of the model, from 1 to as many pairs as the spectrum holds. Default: all of them.

    Returns
    -------
    Factors
        A and B, both of shape (p, k), equal to each other.

    Raises
    ------
    ValueError, TypeError
        For λ < 0 or NaN, k out of range, or an argument of another type.

    References
    ----------
    Steck, Ekanadham and Kallus (2024), Eq. 1 and Eq. 5; Jin et al. (2021).
    """
    sigma, V = _top(spectrum, k)
    B = V * _root_shrinkage(sigma, penalty(lam))  # V_k dMat(d)^{1/2}
    return Factors(ours(B.copy()), ours(B))


def solve_factor_penalty(spectrum: Spectrum, lam: float, k: int | None = None) -> Factors:
    """The solution of Eq. 2, unique up to a rotation (Eq. 6).

        min_{A,B} ‖X − X A Bᵀ‖²_F + λ (‖X A‖²_F + ‖B‖²_F)               (Eq. 2)
        Â = V_k dMat(√((1/σ_i)(1 − λ/σ_i)_+))
        B̂ = V_k dMat(√(σ_i (1 − λ/σ_i)_+))                              (Eq. 6)

    Parameters
    ----------
    spectrum : Spectrum
        Singular pairs of X, at least k of them.
    lam : float
        λ ≥ 0. Directions with σ_i ≤ λ or σ_i = 0 get weight 0, and so do those above λ by no more than rounding
        (`Spectrum.exceeds`).
    k : int, optional
        Rank of the model, from 1 to as many pairs as the spectrum holds. Default: all of them.

    Returns
    -------
    Factors
        A and B, both of shape (p, k).

    Raises
    ------
    ValueError, TypeError
        For λ < 0 or NaN, k out of range, or an argument of another type.

    References
    ----------
    Steck, Ekanadham and Kallus (2024), Eq. 2 and Eq. 6; Zheng, Ding and Nie (2018).
    """
    sigma, V = _top(spectrum, k)
    lam = penalty(lam)
    kept = spectrum.exceeds(lam)[: sigma.size]
    root = np.sqrt(np.where(kept, sigma - lam, 0.0))  # √(σ (1 − λ/σ)_+) = √((σ − λ)_+)
    return Factors(ours(V * np.divide(root, sigma, out=np.zeros_like(root), where=root > 0)), ours(V * root))


def data_and_factors(X, factors):
    """(X, A, B): X as a matrix, and the arrays of Factors that it can be multiplied by."""
    X, A = real_matrix("X", X), instance_of("factors", factors, Factors).A
    require_same("X, with as many columns as the A of factors has rows", X.shape[1], len(A))
    return X, A, factors.B


def _top(spectrum, k):
    """The top k singular values and right singular vectors."""
    instance_of("spectrum", spectrum, Spectrum)
    held = spectrum.sigma.size
    k = held if k is None else whole_number("k", k, low=1, high=held, why=" (what the spectrum holds)")
    return spectrum.sigma[:k], spectrum.V[:, :k]

"""Stage 4: changes of (A, B) that leave the product A Bᵀ as it is."""

from __future__ import annotations

import numpy as np

from ._owned import ours
from ._scales import held, near_one, product, require_digits
from ._validation import instance_of, real_array, require_same
from .closed_forms import Factors


def rescale(factors: Factors, d) -> Factors:
    """(A D, B D⁻¹) for D = dMat(d): the freedom of Eq. 3.

    Parameters
    ----------
    factors : Factors
    d : array_like, shape (k,)
        Diagonal of D, each entry nonzero.

    Returns
    -------
    Factors
        With the same product A Bᵀ.

    Raises
    ------
    ValueError, TypeError
        For a zero or non-finite entry of d, another length than k, or columns that no float holds.
    """
    d = real_array("d", d, ndim=1)
    require_same("d, one entry for each latent dimension of factors", d.size, _rank(factors))
    if (d == 0).any():
        raise ValueError(f"d takes nonzero numbers (D must be invertible), got 0 at position {int(np.argmin(abs(d)))}")
    with np.errstate(over="ignore"):
        A, B = factors.A * d, factors.B / d
    for before, after in ((factors.A, A), (factors.B, B)):
        require_digits("d takes numbers by which floats hold the A D and B D⁻¹ of factors", before, after, axis=0)
    return Factors(ours(A), ours(B))


def rotate(factors: Factors, R) -> Factors:
    """(A R, B R) for an orthogonal R: R Rᵀ = I, so the product and all cosines stay (paper, §2.1).

    Parameters
    ----------
    factors : Factors
    R : array_like, shape (k, k)
        Orthogonal: Rᵀ R = I within 1e-10.

    Returns
    -------
    Factors

    Raises
    ------
    ValueError, TypeError
        For an R that is not orthogonal, not finite or of another shape.
    """
    R = _square("R", R, _rank(factors))
    with np.errstate(over="ignore", invalid="ignore"):
        departure = abs(R.T @ R - np.eye(len(R))).max()
    if not departure <= 1e-10:
        raise ValueError(f"R takes an orthogonal matrix, got max|RᵀR − I| = {departure:.3g}")
    turned = (product("factors takes numbers that floats hold turned", M, R) for M in (factors.A, factors.B))
    return Factors(*map(ours, turned))


def reparameterize(factors: Factors, G) -> Factors:
    """(A G, B G⁻ᵀ) for any invertible G: (A G)(B G⁻ᵀ)ᵀ = A G G⁻¹ Bᵀ = A Bᵀ.

    Every change that keeps the product of full-rank factors is of this form; D and R are special cases.

    Parameters
    ----------
    factors : Factors
    G : array_like, shape (k, k)
        Invertible in floating point (numerical rank k).

    Returns
    -------
    Factors

    Raises
    ------
    ValueError, TypeError
        For a singular or non-finite G, another shape, or factors that no float holds.
    """
    G = _square("G", G, _rank(factors))
    rank = np.linalg.matrix_rank(G)
    if rank < len(G):
        raise ValueError(f"G takes an invertible matrix, got one of shape {G.shape} with numerical rank {rank}")
    takes = "G takes a matrix for which floats hold the A G and B G⁻ᵀ of factors"
    (H, e), (B, f) = (near_one(M, 250) for M in (G, factors.B))  # G = 2^e H
    B = held(takes, np.linalg.solve(H, B.T).T, f - e)  # (G⁻¹ Bᵀ)ᵀ = B G⁻ᵀ
    return Factors(ours(product(takes, factors.A, G)), ours(B))


def _rank(factors):
    return instance_of("factors", factors, Factors).A.shape[1]


def _square(name, value, k):
    matrix = real_array(name, value, ndim=2)
    require_same(f"{name}, square with one row for each latent dimension of factors", matrix.shape, (k, k))
    return matrix

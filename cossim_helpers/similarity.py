"""Stage 5: cosines between rows."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from ._scales import over_rows, product, rows_near_one, rows_of_product
from ._validation import instance_of, real_matrix, require_same
from .closed_forms import Factors, data_and_factors


def cosine_similarity(P, Q=None) -> np.ndarray:
    """Cosine of the angle between each row of P and each row of Q: Ω_P P Qᵀ Ω_Q.

        cos(p_i, q_j) = ⟨p_i, q_j⟩ / (‖p_i‖ ‖q_j‖)

    Parameters
    ----------
    P : array_like or sparse array, shape (m, k)
    Q : array_like or sparse array, shape (l, k), optional
        Default: P.

    Returns
    -------
    ndarray, shape (m, l)
        From −1 to 1. A row of zeros has no direction; its cosine is 0 with everything, itself included. Any other row
        of P has the cosine 1 with itself, to the last digit. The size of a row never matters, from 1e-308 to 1e308.

    Raises
    ------
    ValueError, TypeError
        For NaN or infinite values, or numbers of columns that differ.

    Examples
    --------
    >>> cosine_similarity([[3.0, 0.0], [0.0, 0.0]], [[5.0, 0.0], [1.0, 1.0]]).round(4)
    array([[1.    , 0.7071],
           [0.    , 0.    ]])
    """
    unit_P, there = _unit_rows(real_matrix("P", P))
    if Q is None:
        unit_Q = unit_P
    else:
        Q = real_matrix("Q", Q)
        require_same("Q, with as many columns as P", Q.shape[1], unit_P.shape[1])
        unit_Q = _unit_rows(Q)[0]
    cosine = unit_P @ unit_Q.T
    cosine = cosine.toarray() if sp.issparse(cosine) else cosine
    np.clip(cosine, -1.0, 1.0, out=cosine)  # rounding may lead beyond
    if Q is None:
        np.fill_diagonal(cosine, there)
    return cosine


def item_item_cosine(factors: Factors) -> np.ndarray:
    """Ω_B B Bᵀ Ω_B, the cosines between the item embeddings: rows of B.

    Returns an ndarray of shape (p, p). After `rescale` by D it is Ω B D⁻² Bᵀ Ω with Ω that of B D⁻¹ (paper, §2.1).
    """
    return cosine_similarity(instance_of("factors", factors, Factors).B)


def user_user_cosine(X, factors: Factors) -> np.ndarray:
    """Ω_A X A (X A)ᵀ Ω_A, the cosines between the user embeddings: rows of X A.

    Returns an ndarray of shape (n, n): pass X[rows] for the users that you need. Raises ValueError where X has
    another number of columns than A has rows (paper, §2.1).
    """
    return cosine_similarity(embedding_rows(X, factors))


def user_item_cosine(X, factors: Factors) -> np.ndarray:
    """Ω_A X A Bᵀ Ω_B, the cosines between user embeddings (rows of X A) and item embeddings (rows of B).

    Returns an ndarray of shape (n, p): pass X[rows] for the users that you need. Raises ValueError where X has
    another number of columns than A has rows (paper, §2.1).
    """
    return cosine_similarity(embedding_rows(X, factors), factors.B)


def user_embeddings(X, factors: Factors) -> np.ndarray:
    """X A, shape (n, k): one embedding a user.

    Raises ValueError where X has another width than A has rows, or products that no float holds.
    """
    X, A, _ = data_and_factors(X, factors)
    return product("X and factors take numbers whose products a float holds", X, A)


def embedding_rows(X, factors: Factors) -> np.ndarray:
    """X A for whoever asks for the directions of its rows: where numbers are extreme, powers of two are left out."""
    X, A, _ = data_and_factors(X, factors)
    return rows_of_product(X, A)


def _unit_rows(M):
    """Each row over its Euclidean length (Ω M), zero rows left as they are; and which rows are not zero."""
    M = rows_near_one(M)  # squares of what is left neither overflow nor vanish
    lengths = np.sqrt((M * M).sum(axis=1))
    return over_rows(M, np.where(lengths > 0, lengths, 1.0)), lengths > 0

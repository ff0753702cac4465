"""Stage 5: cosines between rows."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from ._validation import instance_of, real_matrix, require_same
from .closed_forms import Factors


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
        A row of zeros has no direction; its cosine is 0 with everything, itself included.

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
    unit_P = _unit_rows(real_matrix("P", P))
    if Q is None:
        unit_Q = unit_P
    else:
        Q = real_matrix("Q", Q)
        require_same("Q, with as many columns as P", Q.shape[1], unit_P.shape[1])
        unit_Q = _unit_rows(Q)
    cosine = unit_P @ unit_Q.T
    return cosine.toarray() if sp.issparse(cosine) else cosine


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
    return cosine_similarity(user_embeddings(X, factors))


def user_item_cosine(X, factors: Factors) -> np.ndarray:
    """Ω_A X A Bᵀ Ω_B, the cosines between user embeddings (rows of X A) and item embeddings (rows of B).

    Returns an ndarray of shape (n, p): pass X[rows] for the users that you need. Raises ValueError where X has
    another number of columns than A has rows (paper, §2.1).
    """
    return cosine_similarity(user_embeddings(X, factors), factors.B)


def user_embeddings(X, factors: Factors) -> np.ndarray:
    """X A, shape (n, k): one embedding a user. Raises ValueError where X has another width than A has rows."""
    X = real_matrix("X", X)
    A = instance_of("factors", factors, Factors).A
    require_same("X, with as many columns as A has rows", X.shape[1], A.shape[0])
    return X @ A


def _unit_rows(M):
    """Each row over its Euclidean length (Ω M), zero rows left as they are."""
    largest = abs(M).max(axis=1)
    largest = np.asarray(largest.todense() if sp.issparse(largest) else largest).ravel()
    M = _scale_rows(M, largest)  # squares of what is left neither overflow nor vanish
    squares = M.multiply(M) if sp.issparse(M) else M * M
    return _scale_rows(M, np.sqrt(np.asarray(squares.sum(axis=1)).ravel()))


def _scale_rows(M, lengths):
    """Row i over lengths[i]; rows of length 0 stay."""
    lengths = np.where(lengths > 0, lengths, 1.0)[:, None]
    return sp.csr_array(M / lengths) if sp.issparse(M) else M / lengths

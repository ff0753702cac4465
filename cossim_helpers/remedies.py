"""Remedies: what the paper's Section 3 proposes against arbitrary cosines, and whitening, as functions.

Four places to act: on the data before the fit, inside the loss, on the fitted factors, outside the embedding space.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
import scipy.sparse as sp

from ._validation import instance_of, non_negative, positive, real_array, real_matrix, real_number, require_same
from .closed_forms import Factors
from .similarity import cosine_similarity, user_embeddings
from .spectra import item_gram

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
    P, B = user_embeddings(X, factors), factors.B
    return cosine_similarity(B @ _triangle(P).T)


def score_row_cosine(X, factors: Factors) -> np.ndarray:
    """Cosines between the rows of the scores Ŷ = X A Bᵀ: users, compared by what is predicted for them.

        ŶŶᵀ = (X A) (BᵀB) (X A)ᵀ,   so they are the cosines between the rows of X A Rᵀ, shape (n, k), with B = Q R

    Arguments and errors as in `score_column_cosine`. Returns an ndarray of shape (n, n): pass X[rows] for the users
    that you need. The same for every (A G, B G⁻ᵀ).
    """
    P, B = user_embeddings(X, factors), factors.B
    return cosine_similarity(P @ _triangle(B).T)


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


def fractionally_whitened_cosine(factors: Factors, alpha: float) -> np.ndarray:
    """Cosines between the rows of B (BᵀB)^{-α/2}: plain ones at α = 0, whitened ones at α = 1.

    For 0 < α < 1 the same under rotations only; `spectral_cosine` is the variant that no G moves.

    Parameters
    ----------
    factors : Factors
    alpha : float
        From 0 to 1.

    Returns
    -------
    ndarray, shape (p, p)
    """
    alpha, B = real_number("alpha", alpha, at_least=0.0, at_most=1.0), instance_of("factors", factors, Factors).B
    left, size, _ = scipy.linalg.svd(B, full_matrices=False)
    kept = size > max(B.shape) * _EPS * size[0]
    return _cosine_where_embedded(left * np.where(kept, size ** (1 - alpha), 0.0), B)  # B = left size rightᵀ


def spectral_cosine(factors: Factors, alpha: float) -> np.ndarray:
    """Normalized (WᵀW)^{1−α} of the product W = A Bᵀ: a fractional whitening that no G moves.

        W = Y dMat(s) Zᵀ  (singular value decomposition),   kernel Z dMat(s^{2(1−α)}) Zᵀ

    For both objectives W = V_k dMat(s) V_kᵀ: s = d for Eq. 1, s = (1 − λ/σ)_+ for Eq. 2. At α = 0 these are the cosines
    between the columns of W, at α = ½ those of Eq. 5, at α = 1 the whitened ones.

    Parameters
    ----------
    factors : Factors
    alpha : float
        From 0 to 1. Singular values up to max(p, k) u ‖A‖ ‖B‖ count as 0 and are left out, at α = 1 as well.

    Returns
    -------
    ndarray, shape (p, p)
    """
    alpha = real_number("alpha", alpha, at_least=0.0, at_most=1.0)
    instance_of("factors", factors, Factors)
    R_A = _triangle(factors.A)
    Q_B, R_B = scipy.linalg.qr(factors.B, mode="economic")
    _, s, Zt = scipy.linalg.svd(R_A @ R_B.T)  # W = Q_A (R_A R_Bᵀ) Q_Bᵀ
    kept = s > max(factors.B.shape) * _EPS * np.linalg.norm(R_A, 2) * np.linalg.norm(R_B, 2)
    return _cosine_where_embedded(Q_B @ Zt.T * np.where(kept, s ** (1 - alpha), 0.0), factors.B)


# --- normalization of an embedding ---


def layer_norm(E, gain=None, bias=None) -> np.ndarray:
    """Layer normalization of each row: (e − ē1) / sd(e), times a gain, plus a bias.

        ē = (1/k) Σ_l e_l,   sd(e)² = (1/k) Σ_l (e_l − ē)²,   LN(e) = g ∘ (e − ē1)/sd(e) + h

    Without gain and bias it is √k N(e − ē1): center the embedding over its own k coordinates, then bring it to the
    length √k. (Libraries add an ε to the variance, which makes short embeddings shorter; here ε = 0.)

    Parameters
    ----------
    E : array_like, shape (m, k)
        One embedding a row, k ≥ 2, none of them constant.
    gain, bias : array_like, shape (k,), optional
        Default: 1 and 0.

    Returns
    -------
    ndarray, shape (m, k)

    Raises
    ------
    ValueError, TypeError
        For an embedding that is constant to rounding: it has no direction left.

    References
    ----------
    Ba, Kiros and Hinton (2016).
    """
    E = real_array("E", E, ndim=2)
    k = E.shape[1]
    gain = np.ones(k) if gain is None else real_array("gain", gain, ndim=1)
    bias = np.zeros(k) if bias is None else real_array("bias", bias, ndim=1)
    for name, value in (("gain", gain), ("bias", bias)):
        require_same(f"{name}, one entry for each latent dimension", value.size, k)
    centered = E - E.mean(axis=1, keepdims=True)
    constant = abs(centered).max(axis=1) <= 8 * _EPS * abs(E).max(axis=1)
    if constant.any():
        raise ValueError(f"E takes rows that are not constant, got {np.count_nonzero(constant)} constant row(s)")
    return centered / centered.std(axis=1, keepdims=True) * gain + bias


# --- before the fit: changes of the data ---


def standardized_gram(X) -> np.ndarray:
    """ZᵀZ of the standardized columns z_i = (x_i − μ_i1)/s_i, from XᵀX and two vectors.

        ZᵀZ = S⁻¹ (XᵀX − n μμᵀ) S⁻¹,   μ = Xᵀ1/n,   s_i² = ‖x_i‖²/n − μ_i²,   S = dMat(s)

    Z has hardly a zero, and is never formed: the centering is a correction of rank one.

    Parameters
    ----------
    X : array_like or sparse array, shape (n, p)
        No column constant.

    Returns
    -------
    ndarray, shape (p, p)
        n times the correlation matrix of the columns; for `spectrum_from_gram`.

    Raises
    ------
    ValueError, TypeError
        For NaN or infinite values, or a column that is constant to rounding: it has no unit variance.
    """
    X = real_matrix("X", X)
    n = X.shape[0]
    gram = item_gram(X)
    mean = np.asarray(X.sum(axis=0)).ravel() / n
    variance = np.diag(gram) / n - mean**2
    constant = variance <= 8 * n * _EPS * np.diag(gram) / n
    if constant.any():
        raise ValueError(f"X takes columns that are not constant, got {np.count_nonzero(constant)} constant column(s)")
    scale = np.sqrt(n * variance)
    correlation = (gram - n * np.outer(mean, mean)) / np.outer(scale, scale)
    return n * (correlation + correlation.T) / 2


def activity_normalized(X, exponent: float = 1.0) -> np.ndarray | sp.csr_array:
    """Each row over a power of its sum: x_u / k_u^e, with k_u = Σ_i x_ui. Users speak with equal voices at e = 1.

    Parameters
    ----------
    X : array_like or sparse array, shape (n, p)
        Numbers of at least 0. Rows of zeros stay.
    exponent : float
        e; 0 leaves X as it is, ½ gives the rows of 0/1 data unit length.

    Returns
    -------
    ndarray or sparse array
        As sparse as X.
    """
    X, exponent = non_negative("X", real_matrix("X", X)), real_number("exponent", exponent)
    activity = np.asarray(X.sum(axis=1)).ravel()
    weight = np.where(activity > 0, activity, 1.0) ** -exponent
    return sp.csr_array(sp.diags_array(weight) @ X) if sp.issparse(X) else weight[:, None] * X


def propensities(counts, exponent: float, floor: float = 0.0) -> np.ndarray:
    """π_i = max((c_i / max c)^e, floor): how likely a taste for item i leaves a trace in the data.

    Parameters
    ----------
    counts : array_like, shape (p,)
        Popularity c_i > 0, such as the column sums of X.
    exponent : float
        e ≥ 0. At 0 every π_i is 1.
    floor : float
        Propensities below it are raised to it (clipping): from 0, no clipping, to 1, no correction at all. A weight
        1/π_i has at most the value 1/floor.

    Returns
    -------
    ndarray, shape (p,)
        In (0, 1].

    References
    ----------
    Schnabel et al. (2016).
    """
    counts = positive("counts", real_array("counts", counts, ndim=1))
    exponent = real_number("exponent", exponent, at_least=0.0)
    floor = real_number("floor", floor, at_least=0.0, at_most=1.0)
    return np.maximum((counts / counts.max()) ** exponent, floor)


def inverse_propensity_scaled(X, propensity) -> np.ndarray | sp.csr_array:
    """X dMat(1/π): each column over its propensity. E(x_ui)/π_i is the taste where E(x_ui) = π_i · taste.

    Parameters
    ----------
    X : array_like or sparse array, shape (n, p)
    propensity : array_like, shape (p,)
        π_i > 0, from `propensities`.

    Returns
    -------
    ndarray or sparse array
        As sparse as X. Its Gram matrix is that of X, divided by π_i π_j.
    """
    X, propensity = real_matrix("X", X), real_array("propensity", propensity, ndim=1)
    require_same("propensity, one for each column of X", propensity.size, X.shape[1])
    positive("propensity", propensity)
    return sp.csr_array(X @ sp.diags_array(1 / propensity)) if sp.issparse(X) else X / propensity


def shifted_pmi(counts, *, exponent: float = 0.75, negatives: float = 1.0, positive: bool = True) -> np.ndarray:
    """What skip-gram with negative sampling factorizes, if its rank allows: a shifted pointwise mutual information.

        M_wc = log( #(w,c) / (negatives · #(w) · P_n(c)) ),   P_n(c) = #(c)^a / Σ_c' #(c')^a
             = PMI(w,c) + (1 − a) log P(c) + log Σ_c' P(c')^a − log(negatives)

    Parameters
    ----------
    counts : array_like, shape (m, l)
        Co-occurrences #(w, c) ≥ 0, with no empty row or column.
    exponent : float
        a, ¾ in word2vec.
    negatives : float
        Negative samples for each observed pair, above 0.
    positive : bool
        True: max(M, 0), and 0 where #(w,c) = 0. False: M itself, for which each count must be positive.

    Returns
    -------
    ndarray, shape (m, l)

    References
    ----------
    Levy and Goldberg (2014), for a = 1; Mikolov et al. (2013) for a = ¾.
    """
    counts = real_array("counts", counts, ndim=2)
    if (counts < 0).any() or (counts.sum(axis=1) == 0).any() or (counts.sum(axis=0) == 0).any():
        raise ValueError("counts takes numbers of at least 0 with no empty row and no empty column")
    if not positive and (counts == 0).any():
        raise ValueError(
            f"counts takes positive numbers for positive=False, got {np.count_nonzero(counts == 0)} "
            "zero(s), whose logarithm is −∞"
        )
    exponent, negatives = real_number("exponent", exponent), real_number("negatives", negatives, above=0.0)
    of_context = counts.sum(axis=0) ** exponent
    sampled = counts.sum(axis=1, keepdims=True) * (of_context / of_context.sum())  # #(w) P_n(c)
    ratio = counts / (negatives * sampled)
    return np.log(np.maximum(ratio, 1.0) if positive else ratio)


# --- what the functions above share ---


def _cosine_where_embedded(rows, B):
    """Cosines between rows, 0 for an item without an embedding: a decomposition leaves it rounding instead of zeros."""
    return cosine_similarity(np.where(B.any(axis=1, keepdims=True), rows, 0.0))


def _triangle(M):
    """R, at most square, of M = Q R with orthonormal columns in Q: MᵀM = RᵀR."""
    return scipy.linalg.qr(M, mode="r")[0][: M.shape[1]]

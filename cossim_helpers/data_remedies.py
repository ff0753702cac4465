"""Remedies before the fit: changes of the data, as the paper's Section 3 proposes."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.special import logsumexp

from ._scales import columns_near_one, of_each_column, over_rows, require_digits, rows_near_one, values, with_values
from ._validation import non_negative, positive, real_array, real_matrix, real_number, require_same, true_or_false
from .spectra import item_gram

_EPS = np.finfo(np.float64).eps


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
    X = columns_near_one(real_matrix("X", X))  # the size of a column does not matter
    n = X.shape[0]
    gram = item_gram(X)
    mean = X.sum(axis=0) / n
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

    Raises
    ------
    ValueError, TypeError
        For NaN, infinite or negative values, or an exponent that leads beyond what a float holds.
    """
    X, exponent = non_negative("X", real_matrix("X", X)), real_number("exponent", exponent)
    rows = rows_near_one(X)  # x_u / k_u^e = (x_u / k_u) k_u^{1 − e}, where x_u / k_u has no unit
    total = rows.sum(axis=1)
    shares = over_rows(rows, np.where(total > 0, total, 1.0))
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        result = over_rows(shares, np.where(total > 0, X.sum(axis=1), 1.0) ** (exponent - 1))
    require_digits("exponent takes a number at which floats hold the rows", X, result, axis=1)
    return result


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

    Raises
    ------
    ValueError, TypeError
        For counts that are not positive, or without a floor an exponent for which a propensity is below what a float
        holds.

    References
    ----------
    Schnabel et al. (2016).
    """
    counts = positive("counts", real_array("counts", counts, ndim=1))
    exponent = real_number("exponent", exponent, at_least=0.0)
    floor = real_number("floor", floor, at_least=0.0, at_most=1.0)
    with np.errstate(over="ignore"):  # of an exponent of 1e308
        powers = np.exp(exponent * (np.log(counts) - np.log(counts.max())))  # a share itself may be below all floats
    if not (propensity := np.maximum(powers, floor)).all():
        raise ValueError(f"exponent takes a number at which floats hold each π_i, got {exponent:g}: take a floor")
    return propensity


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

    Raises
    ------
    ValueError, TypeError
        For NaN or infinite values, propensities that are not positive, other than p of them, or quotients that no
        float holds.
    """
    X, propensity = real_matrix("X", X), real_array("propensity", propensity, ndim=1)
    require_same("propensity, one for each column of X", propensity.size, X.shape[1])
    positive("propensity", propensity)
    with np.errstate(over="ignore"):
        result = with_values(X, values(X) / of_each_column(X, propensity))
    require_digits("X and propensity take numbers whose quotients floats hold", X, result, axis=0)
    return result


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
    counts, positive = real_array("counts", counts, ndim=2), true_or_false("positive", positive)
    if not non_negative("counts", counts).any(axis=1).all() or not counts.any(axis=0).all():
        empty = [np.count_nonzero(~counts.any(axis=axis)) for axis in (1, 0)]
        raise ValueError(f"counts takes no empty row and no empty column, got {empty[0]} and {empty[1]}")
    if not positive and (counts == 0).any():
        raise ValueError(
            f"counts takes positive numbers for positive=False, got {np.count_nonzero(counts == 0)} "
            "zero(s), whose logarithm is −∞"
        )
    exponent, negatives = real_number("exponent", exponent), real_number("negatives", negatives, above=0.0)
    with np.errstate(divide="ignore", over="ignore"):
        log_counts = np.log(counts)
        of_word, of_context = logsumexp(log_counts, axis=1, keepdims=True), exponent * logsumexp(log_counts, axis=0)
    if not np.isfinite(of_context).all():
        raise ValueError(f"exponent takes a number at which floats hold the logarithms of counts, got {exponent:g}")
    M = log_counts - np.log(negatives) - of_word - (of_context - logsumexp(of_context))  # of #(w, c) / (m #(w) P_n(c))
    return np.maximum(M, 0.0) if positive else M

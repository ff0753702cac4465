"""Powers of two that keep squares and products in the range of floats: they round nothing, so they change no digit."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from ._ranks import triangle

TINY = np.finfo(np.float64).tiny  # what has a largest number from here on keeps its digits, relative to it
_NONE = -9_999  # the exponent of what is 0


def near_one(X, far: int = 400):
    """X / 2^e and e: 0 unless the largest entry is beyond 2^±far, so that its powers would overflow or lose digits."""
    exponent = int(np.frexp(abs(values(X)).max(initial=0.0))[1])
    return (X, 0) if abs(exponent) < far else (times_power(X, -exponent), exponent)


def times_power(X, exponent):
    """X · 2^exponent, of an array or of the entries of a CSR array."""
    return with_values(X, np.ldexp(values(X), exponent))


def held(takes: str, X, exponent=0):
    """X · 2^exponent, if floats hold it: nothing infinite, and digits where X is not 0. `takes` begins the error."""
    with np.errstate(over="ignore"):
        result = times_power(X, exponent)
    before, largest = (abs(values(one)).max(initial=0.0) for one in (X, result))
    if not largest < np.inf or (0 < before and largest < TINY):
        raise ValueError(f"{takes}, got a result of up to {largest:.3g}")
    return result


def product(takes: str, X, M) -> np.ndarray:
    """X M, if floats hold it."""
    (X, e), (M, f) = near_one(X, 250), near_one(M, 250)
    return held(takes, X @ M, e + f) if e or f else X @ M


def require_digits(takes: str, before, after, axis: int) -> None:
    """Refuse `after` if it is infinite somewhere, or if its rows (axis=1), columns (axis=0) lost digits of `before`."""
    was, now = sizes(before, axis), sizes(after, axis)
    if not (now < np.inf).all() or (wrong := (now < TINY) & (was >= TINY) | (now == 0) & (was > 0)).any():
        size = now.max() if not (now < np.inf).all() else now[wrong].min()
        raise ValueError(f"{takes}, got a result of {size:.3g}")


def sizes(M, axis: int) -> np.ndarray:
    """The largest entry in size of each row (axis=1) or column (axis=0)."""
    largest = abs(M).max(axis=axis)
    return largest.toarray() if sp.issparse(largest) else largest


def rows_near_one(M):
    """Each row over a power of two, so that its largest entry is from ½ to 1."""
    return times_power(M, -of_each(M, np.frexp(sizes(M, 1))[1]))


def columns_near_one(M):
    """The same of the columns, where one of them is extreme."""
    exponents = np.frexp(sizes(M, 0))[1]
    if abs(exponents).max() < 250:
        return M
    return times_power(M, -of_each_column(M, exponents))


def over_rows(M, lengths):
    """Row i over lengths[i] > 0."""
    return with_values(M, values(M) / of_each(M, lengths))


def rows_of_product(X, M, powers=0) -> np.ndarray:
    """X M, or where numbers are extreme its rows, each times a power of two of its own, which keeps its digits.

    `powers`, one for each row of M, says that it stands for 2^power times that row.
    """
    return X @ M if _moderate(X) and _moderate(M) and not np.any(powers) else _far_product(X, M, powers)[0]


def rows_of_products(X, M, N) -> np.ndarray:
    """X M Nᵀ Q with some orthogonal Q, as many columns as M has, or where numbers are extreme its rows, as above."""
    if _moderate(X) and _moderate(M) and _moderate(N):
        return X @ M @ triangle(N).T
    powers = np.frexp(sizes(N, 0))[1]
    rows, powers = _far_product(M, triangle(np.ldexp(N, -powers)).T, powers)
    return rows_of_product(X, rows, powers)


def columns_of_product(X, M) -> tuple[np.ndarray, np.ndarray]:
    """(Y, e) with X M = Y dMat(2^e): X M itself and zeros, unless numbers are extreme. Each column keeps its digits."""
    if _moderate(X) and _moderate(M):
        return X @ M, np.zeros(M.shape[1], int)
    parts, exponents = [], []
    for column in M.T:  # one by one, as each has scales of its own
        part, of_row = _far_product(X, column[:, None], 0)
        size = np.where(part[:, 0] != 0, np.frexp(part[:, 0])[1] + of_row, _NONE).max()
        parts.append(np.ldexp(part[:, 0], of_row - size))
        exponents.append(size)
    return np.column_stack(parts), np.array(exponents)


def _far_product(X, M, powers):
    """The rows of X M, and the exponents of the powers of two that each is to be multiplied by."""
    own = np.frexp(sizes(M, 1))[1]
    of_row = np.where(M.any(axis=1), own + powers, _NONE)
    here = of_each_column(X, of_row)
    of_term = np.where(values(X) != 0, np.frexp(values(X))[1] + here, _NONE)
    if sp.issparse(X):
        largest = np.full(X.shape[0], _NONE)
        np.maximum.at(largest, np.repeat(np.arange(X.shape[0]), np.diff(X.indptr)), of_term)
    else:
        largest = of_term.max(axis=1)
    return times_power(X, here - of_each(X, largest)) @ np.ldexp(M, -own[:, None]), largest


def balanced(A, B):
    """(A′, B′, t, e) with A Bᵀ = 2^t A′ B′ᵀ: as they are with t = 0, unless a column or a product of two is extreme.

    Column by column what one has too much goes to the other. So a product that floats hold is not lost, however far
    apart its factors are. Column j of A is that of A′ times 2^e_j.
    """
    (of_A, there_A), (of_B, there_B) = ((np.frexp(abs(M).max(axis=0))[1], M.any(axis=0)) for M in (A, B))
    if max(abs(of_A).max(), abs(of_B).max()) < 100:
        return A, B, 0, np.zeros(len(of_A), int)
    there = there_A & there_B
    top = int((of_A + of_B)[there].max()) if there.any() else 0
    of_A = np.where(there_A, of_A, top - of_B)
    return np.ldexp(A, -of_A), np.ldexp(B, of_A - top), top, of_A


def values(X) -> np.ndarray:
    """The entries that are stored."""
    return X.data if sp.issparse(X) else np.asarray(X)


def with_values(X, new):
    """`new` in the places of the stored entries of X; what comes back shares nothing with X."""
    return sp.csr_array((new, X.indices.copy(), X.indptr.copy()), shape=X.shape) if sp.issparse(X) else new


def _moderate(X) -> bool:
    """Whether the numbers of X that are not 0 have sizes from 2^−400 to 2^400."""
    sizes = abs(values(X))
    return bool(sizes.max(initial=0.0) < 2.0**400 and sizes.min(initial=1.0, where=sizes > 0) > 2.0**-400)


def of_each(M, of_rows):
    """What belongs to the row of each entry of M."""
    return np.repeat(of_rows, np.diff(M.indptr)) if sp.issparse(M) else of_rows[:, None]


def of_each_column(M, of_columns):
    """What belongs to the column of each entry of M."""
    return of_columns[M.indices] if sp.issparse(M) else of_columns

"""Stage 2: the top right singular pairs of X, all that either closed form needs to know of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from scipy.sparse.linalg import ArpackError, LinearOperator, svds

from ._validation import non_negative, real_array, real_matrix, require_same, whole_number

_EPS = np.finfo(np.float64).eps
_BLOCK_NUMBERS = 4_000_000  # numbers in a dense block of rows: 32 MB in float64
# Seconds of each step, measured on two cores; only their ratios matter, and they choose a route, never a result.
_SECONDS = {
    "dense product": 2e-11,  # a multiplication of XᵀX over dense blocks
    "sparse product": 4e-9,  # a pair of entries in one row of X
    "Lanczos vector": 2e-8,  # an entry of X, or of a vector, for each pair that is wanted
    "eigenpairs": 2e-10,  # m³ of an m × m eigenproblem
}
_LANCZOS_FROM, _LANCZOS_SHARE = 2_000, 10  # for smaller m or k above m/10, a dense eigenproblem costs little
_GRAM_IS_ENOUGH = 1e-5  # σ_k²/σ_1² from which eigenvalues of XᵀX give σ_k to better than 1e-8


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Top right singular pairs of X = U Σ Vᵀ.

    Attributes
    ----------
    sigma : ndarray, shape (k,)
        Singular values, falling, at least 0.
    V : ndarray, shape (p, k)
        Right singular vectors, orthonormal columns; the sign of each is fixed by its largest entry.
    """

    sigma: np.ndarray
    V: np.ndarray

    def __post_init__(self):
        sigma, V = real_array("sigma", self.sigma, ndim=1), real_array("V", self.V, ndim=2)
        require_same("V, with one column for each singular value", V.shape[1], sigma.size)
        non_negative("sigma", sigma)
        if (rise := np.diff(sigma, prepend=sigma[0]).max()) > 0:
            raise ValueError(f"sigma takes falling numbers, got a largest rise of {rise:g}")
        departure = abs(V.T @ V - np.eye(sigma.size)).max()
        if departure > 1e-8:
            raise ValueError(f"V takes orthonormal columns, got max|VᵀV − I| = {departure:.3g}")
        object.__setattr__(self, "sigma", sigma)
        object.__setattr__(self, "V", V)


def spectrum(X, k: int | None = None) -> Spectrum:
    """Top k singular values and right singular vectors of X.

        X = U Σ Vᵀ,   XᵀX = V Σ² Vᵀ,   σ_1 ≥ σ_2 ≥ …

    Parameters
    ----------
    X : array_like or sparse array, shape (n, p)
        Finite real numbers, bool and integers included.
    k : int, optional
        From 1 to min(n, p). Default: min(n, p).

    Returns
    -------
    Spectrum
        sigma of shape (k,), V of shape (p, k). Singular values within rounding of zero are 0.

    Raises
    ------
    ValueError, TypeError
        For NaN or infinite values, an empty X, or k out of range.

    Notes
    -----
    The route is chosen by its estimated cost; u = 2.2e-16 is the rounding unit, m = min(n, p).

    ============== ============================================ ==============================================
    route          what it does                                 error of σ_i
    ============== ============================================ ==============================================
    dense Gram     adds up XᵀX (X Xᵀ if n < p) over dense       about u σ_1²/σ_i: σ² is computed, and small σ
                   blocks of rows, in float32 where the counts  drown in the rounding of σ_1²
                   stay exact; then its top k eigenpairs
    sparse Gram    the same from a sparse product               the same
    Lanczos        ARPACK on v ↦ Xᵀ(X v); m > 2,000, k < m/10   the same; copies of a repeated σ
                                                                are looked for in what is left over
    triangular     R of X = Q R, block by block, then the SVD   about u σ_1: what a full SVD gives
                   of R (of X itself if n < p)
    ============== ============================================ ==============================================

    The first three are taken only as long as σ_k² > 1e-5 σ_1², where they are right to 1e-8 and better; else the
    triangular route decides, which alone can tell a small σ from zero. The projector V Vᵀ has an error of about
    u σ_1²/(σ_k² − σ_{k+1}²): where the gap closes, V's last columns are arbitrary, as they are in any SVD.

    References
    ----------
    Golub and Van Loan, *Matrix Computations*, §8.6; Demmel et al. (2012) for the triangular route.

    Examples
    --------
    >>> spectrum([[3.0, 0.0], [0.0, 4.0], [0.0, 0.0]]).sigma
    array([4., 3.])
    """
    X = real_matrix("X", X)
    k = min(X.shape) if k is None else whole_number("k", k, low=1, high=min(X.shape), why=" (min(n, p))")
    X, exponent = _near_one(X)
    route = _ROUTES[_cheapest_route(X, k)]
    sigma, V = route(X, k)
    if route is not _triangular and not sigma[-1] ** 2 > _GRAM_IS_ENOUGH * sigma[0] ** 2:
        sigma, V = _triangular(X, k)
    return Spectrum(np.ldexp(sigma, exponent), _fix_signs(V))


def spectrum_from_gram(gram, k: int | None = None) -> Spectrum:
    """Top k singular values and right singular vectors of any X with XᵀX = gram.

        XᵀX = V dMat(σ²) Vᵀ

    Parameters
    ----------
    gram : array_like, shape (p, p)
        Symmetric, positive semidefinite.
    k : int, optional
        From 1 to p. Default: p.

    Returns
    -------
    Spectrum
        Eigenvalues within rounding of zero, 4 max(p, 8) u of the largest, become σ = 0.

    Raises
    ------
    ValueError, TypeError
        For a matrix that is not square, not symmetric, has NaN or infinite entries or an eigenvalue that is
        negative by more than rounding, or for k out of range.
    """
    gram = real_matrix("gram", gram)
    gram = gram.toarray() if sp.issparse(gram) else gram
    require_same("gram, square", gram.shape[1], gram.shape[0])
    asymmetry = abs(gram - gram.T).max()
    if asymmetry > 1e-10 * abs(gram).max():
        raise ValueError(f"gram takes a symmetric matrix, got max|gram − gramᵀ| = {asymmetry:.3g}")
    p = len(gram)
    k = p if k is None else whole_number("k", k, low=1, high=p, why=" (p)")
    eigenvalues, V = _top_eigenpairs(gram, p)  # all of them: a negative one must not go unseen
    rounding = 4 * max(p, 8) * _EPS * abs(eigenvalues).max()
    if eigenvalues[-1] < -rounding:
        raise ValueError(f"gram takes a positive semidefinite matrix, got an eigenvalue of {eigenvalues[-1]:.6g}")
    eigenvalues = np.where(eigenvalues > rounding, eigenvalues, 0.0)
    return Spectrum(np.sqrt(eigenvalues[:k]), _fix_signs(V[:, :k]))


def item_gram(X) -> np.ndarray:
    """XᵀX, shape (p, p), added up over dense blocks of rows: X itself stays as sparse as it is."""
    return _gram_by_dense_blocks(real_matrix("X", X))


# --- the routes: each takes X and k, and returns sigma (k,) and V (p, k) ---


def _dense_gram(X, k):
    return _from_gram(X, _gram_by_dense_blocks(X if X.shape[0] >= X.shape[1] else X.T), k)


def _sparse_gram(X, k):
    X = sp.csr_array(X)
    return _from_gram(X, (X.T @ X if X.shape[0] >= X.shape[1] else X @ X.T).toarray(), k)


def _lanczos(X, k):
    """ARPACK, and again on what it left over until nothing larger is there: it may miss copies of a repeated σ."""
    try:
        sigma, V = _arpack(X, k)
        while sigma[-1] ** 2 > _GRAM_IS_ENOUGH * sigma[0] ** 2:
            left_over, v = _arpack(_deflated(X, V), 1)
            if left_over[0] <= (1 + 1e-10) * sigma[-1]:
                break
            sigma, V = np.append(sigma, left_over), np.column_stack([V, v])
            order = np.argsort(-sigma, kind="stable")[:k]
            sigma, V = sigma[order], V[:, order]
    except ArpackError:  # no convergence, or nothing is left over
        return _triangular(X, k)
    return sigma, V


def _arpack(X, k):
    start = np.random.default_rng(0).standard_normal(min(X.shape))  # ARPACK's own start is another at each call
    _, sigma, Vt = svds(X, k=k, v0=start, solver="arpack", return_singular_vectors="vh")
    return sigma[::-1], Vt[::-1].T


def _deflated(X, V):
    """X (I − V Vᵀ)."""
    return LinearOperator(X.shape, dtype=X.dtype, matvec=lambda x: X @ (x - V @ (V.T @ x)),
                          rmatvec=lambda y: (z := X.T @ y) - V @ (V.T @ z))


def _triangular(X, k):
    n, p = X.shape
    R = np.zeros((0, p))
    if n < p:
        R = _dense(X)
    else:
        for rows in _row_blocks(X, at_least=p):
            stacked = np.concatenate([R, _dense(rows)])
            R = scipy.linalg.qr(stacked, mode="r", overwrite_a=True, check_finite=False)[0][:p]
    _, sigma, Vt = scipy.linalg.svd(R, full_matrices=False, check_finite=False)
    sigma = np.where(sigma > max(n, p) * _EPS * sigma[0], sigma, 0.0)
    return sigma[:k], Vt[:k].T


_ROUTES = {"dense gram": _dense_gram, "sparse gram": _sparse_gram, "lanczos": _lanczos, "triangular": _triangular}


def _cheapest_route(X, k):
    """The route with the least estimated seconds."""
    m = min(X.shape)
    if not sp.issparse(X):
        return "dense gram"
    eigenpairs = _SECONDS["eigenpairs"] * m**3
    per_row = np.diff((X if X.shape[0] >= X.shape[1] else sp.csr_array(X.T)).indptr).astype(float)
    seconds = {
        "dense gram": _SECONDS["dense product"] * max(X.shape) * m**2 + eigenpairs,
        "sparse gram": _SECONDS["sparse product"] * np.sum(per_row**2) + eigenpairs,
    }
    if m > _LANCZOS_FROM and k < m / _LANCZOS_SHARE:
        seconds["lanczos"] = _SECONDS["Lanczos vector"] * (X.nnz + sum(X.shape)) * k
    return min(seconds, key=seconds.get)


def _from_gram(X, gram, k):
    """σ and V from XᵀX, or from X Xᵀ = U Σ² Uᵀ where that is the smaller one: V = Xᵀ U Σ⁻¹."""
    eigenvalues, vectors = _top_eigenpairs(gram, k)
    sigma = np.sqrt(np.maximum(eigenvalues, 0.0))
    if X.shape[0] >= X.shape[1]:
        return sigma, vectors
    return sigma, np.divide(X.T @ vectors, sigma, out=np.zeros((X.shape[1], k)), where=sigma > 0)


def _gram_by_dense_blocks(X):
    """XᵀX in float64; multiplied in float32 where each sum is a whole number below 2^24, so that nothing rounds."""
    dtype = np.float32 if _sums_fit_float32(X) else np.float64
    syrk = scipy.linalg.get_blas_funcs("syrk", dtype=dtype)
    upper = np.zeros((X.shape[1],) * 2, dtype, order="F")
    for rows in _row_blocks(sp.csr_array(X) if sp.issparse(X) else X):
        upper = syrk(1.0, _dense(rows.astype(dtype)).T, beta=1.0, c=upper, overwrite_c=True)  # += rowsᵀ rows
    return (upper + np.triu(upper, 1).T).astype(np.float64)


def _near_one(X):
    """X / 2^e and e: 0 unless squares of entries would overflow or lose digits. A power of two rounds nothing."""
    values = X.data if sp.issparse(X) else X
    exponent = int(np.frexp(abs(values).max(initial=0.0))[1])
    if abs(exponent) < 400:
        return X, 0
    scaled = np.ldexp(values, -exponent)
    return (sp.csr_array((scaled, X.indices, X.indptr), shape=X.shape) if sp.issparse(X) else scaled), exponent


def _sums_fit_float32(X):
    values = X.data if sp.issparse(X) else X
    largest = float(abs(values).max()) if values.size else 0.0
    return X.shape[0] * largest**2 < 2**24 and bool((values == np.rint(values)).all())


def _row_blocks(X, at_least=1):
    step = max(_BLOCK_NUMBERS // X.shape[1], at_least)
    for start in range(0, X.shape[0], step):
        yield X[start : start + step]


def _dense(rows):
    return rows.toarray() if sp.issparse(rows) else rows


def _top_eigenpairs(gram, k):
    """Top k eigenvalues, falling, and their eigenvectors as columns."""
    p = len(gram)
    eigenvalues, vectors = scipy.linalg.eigh(gram, subset_by_index=[p - k, p - 1], check_finite=False)
    beyond_rounding = eigenvalues > 4 * max(p, 8) * _EPS * abs(eigenvalues).max()
    vectors[np.ix_(~gram.any(axis=1), beyond_rounding)] = 0.0  # an empty item has no direction, not one of rounding
    return eigenvalues[::-1], vectors[:, ::-1]


def _fix_signs(V):
    """The largest entry of each column made positive; of entries within rounding of the largest, the first."""
    size = abs(V)
    first = np.argmax(size >= (1 - 1e-6) * size.max(axis=0), axis=0)
    return V * np.where(V[first, np.arange(V.shape[1])] < 0, -1.0, 1.0)

"""The routes to the top right singular pairs: each takes X and k, and returns sigma (k,) and V (p, k)."""

from __future__ import annotations

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from ._gram import accumulate_gram, dense, row_blocks
from ._lanczos import NoConvergence, top_eigenpairs, top_eigenpairs_of

EPS = np.finfo(np.float64).eps
GRAM_IS_ENOUGH = 1e-5  # σ_k²/σ_1² from which eigenvalues of XᵀX give σ_k to better than 1e-8

# Seconds of each step, measured on two cores; only their ratios matter, and they choose a route, never a result.
SECONDS = {
    "dense product": 2e-11,  # a multiplication of XᵀX over dense blocks
    "sparse product": 4e-9,  # a pair of entries in one row of X
    "Lanczos vector": 2e-8,  # an entry of X, or of a vector, for each pair that is wanted
    "eigenpairs": 2e-10,  # m³ of an m × m eigenproblem
}
LANCZOS_FROM, LANCZOS_SHARE = 2_000, 10  # for smaller m or k above m/10, a dense eigenproblem costs little


def dense_gram(X, k):
    return _from_gram(X, accumulate_gram([X if X.shape[0] >= X.shape[1] else X.T], min(X.shape)), k)


def sparse_gram(X, k):
    return _from_gram(X, (X.T @ X if X.shape[0] >= X.shape[1] else X @ X.T).toarray(), k)


def lanczos(X, k):
    """Block Lanczos on XᵀX, or on X Xᵀ = U Σ² Uᵀ where that is the smaller one."""
    rows = sp.csr_array(X if X.shape[0] >= X.shape[1] else X.T)
    columns = rows.tocsc()  # SciPy multiplies a block of vectors faster by columns than by rows

    def product(V):
        return rows.T @ (columns @ np.ascontiguousarray(V))

    try:
        return _from_eigenpairs(X, *top_eigenpairs_of(product, rows.shape[1], k, GRAM_IS_ENOUGH))
    except NoConvergence:
        return triangular(X, k)


def low_rank(X):
    """All pairs with σ > 0 of an X of low rank, or None where the rank is no low one.

    Rows of X, mixed at random, span all of its rows if the rank is below their number. What they leave over of random
    vectors tells whether it is; the bound is what a full SVD takes for zero, with a factor of 10 to spare. Near their
    number rounding may hide a low rank: then more rows are mixed, or the caller takes another route.
    """
    rng, width = np.random.default_rng(0), 32
    while (width := 2 * width) <= min(X.shape) // 4:
        Q = scipy.linalg.qr(X.T @ rng.standard_normal((X.shape[0], width)), mode="economic")[0]
        probe = rng.standard_normal((X.shape[1], 10))
        seen, negligible = X @ Q, max(X.shape) * EPS
        size = np.linalg.norm(seen, axis=0).max()
        if np.linalg.norm(X @ (probe - Q @ (Q.T @ probe)), axis=0).max() <= 0.1 * negligible * size:
            sigma, V = triangular(seen, width)
            return sigma[sigma > 0], (Q @ V)[:, sigma > 0]
    return None


def triangular(X, k):
    _, sigma, Vt = scipy.linalg.svd(triangle(X), full_matrices=False)
    sigma = np.where(sigma > max(X.shape) * EPS * sigma[0], sigma, 0.0)
    return sigma[:k], Vt[:k].T


def triangle(X):
    """R of X = Q R, with RᵀR = XᵀX and at most p rows; X itself if it has fewer."""
    n, p = X.shape
    if n < p:
        return dense(X)
    R = np.zeros((0, p))
    for rows in row_blocks(X, at_least=p):
        stacked = np.concatenate([R, dense(rows)])
        R = scipy.linalg.qr(stacked, mode="r", overwrite_a=True)[0][:p]
    return R


ROUTES = {"dense gram": dense_gram, "sparse gram": sparse_gram, "lanczos": lanczos, "triangular": triangular}


def cheapest_route(X, k):
    """The route with the least estimated seconds."""
    m = min(X.shape)
    if not sp.issparse(X):
        return "dense gram"
    eigenpairs = SECONDS["eigenpairs"] * m**3
    per_row = np.diff((X if X.shape[0] >= X.shape[1] else sp.csr_array(X.T)).indptr).astype(float)
    seconds = {
        "dense gram": SECONDS["dense product"] * max(X.shape) * m**2 + eigenpairs,
        "sparse gram": SECONDS["sparse product"] * np.sum(per_row**2) + eigenpairs,
    }
    if m > LANCZOS_FROM and k < m / LANCZOS_SHARE:
        seconds["lanczos"] = SECONDS["Lanczos vector"] * (X.nnz + sum(X.shape)) * k
    return min(seconds, key=seconds.__getitem__)


def _from_gram(X, gram, k):
    return _from_eigenpairs(X, *top_eigenpairs(gram, k))


def _from_eigenpairs(X, eigenvalues, vectors):
    """σ and V from XᵀX, or from X Xᵀ = U Σ² Uᵀ where that is the smaller one: V = Xᵀ U Σ⁻¹."""
    sigma = np.sqrt(np.maximum(eigenvalues, 0.0))
    if X.shape[0] >= X.shape[1]:
        return sigma, vectors
    return sigma, np.divide(X.T @ vectors, sigma, out=np.zeros((X.shape[1], sigma.size)), where=sigma > 0)


def rounding(p):
    """Bound on the rounding of eigenvalues of a p × p Gram matrix, as a share of the largest."""
    return 4 * max(p, 8) * EPS


# --- the items that belong together, and one result of what each of these groups has ---


def linked_items(gram):
    """The items of each connected component of XᵀX; items without users are in none."""
    label = connected_components(sp.csr_array(gram), directed=False)[1]
    return [np.flatnonzero(label == number) for number in np.unique(label[gram.any(axis=1)])]


def joined(pieces, p, k):
    """The top k values and vectors of all pieces, and any complement with value 0 where they are fewer.

    Rounding in one piece never reaches the items of another, and values that agree do not mix their vectors.
    """
    values = np.concatenate([np.zeros(0), *(own for _, own, _ in pieces)])
    order = np.argsort(-values, kind="stable")[:k]
    V, column, first = np.zeros((p, order.size)), np.full(values.size, -1), 0
    column[order] = np.arange(order.size)
    for items, own, vectors in pieces:
        to = column[first : first + own.size]
        V[np.ix_(items, to[to >= 0])] = vectors[:, to >= 0]
        first += own.size
    if missing := k - order.size:  # empty items, and what components with fewer users than items leave over
        values, V = np.append(values[order], np.zeros(missing)), np.column_stack([V, _complement(V, missing)])
        order = np.argsort(-values, kind="stable")
        return values[order], V[:, order]
    return values[order], V


def _complement(V, many):
    """`many` orthonormal vectors that are orthogonal to V: of items that V does not reach, then what else there is.

    The others are columns of the Householder Q of all before: p (columns of V) (many) multiplications, no p many².
    """
    p, alone = len(V), np.flatnonzero(~V.any(axis=1))[:many]
    of_items = np.zeros((p, alone.size))
    of_items[alone, np.arange(alone.size)] = 1.0
    if alone.size == many:
        return of_items
    (reflectors, tau), _ = scipy.linalg.qr(np.column_stack([V, of_items]), mode="raw")
    others = np.zeros((p, many - alone.size), order="F")
    others[tau.size + np.arange(others.shape[1]), np.arange(others.shape[1])] = 1.0
    multiply = scipy.linalg.get_lapack_funcs("ormqr", (reflectors,))
    length = int(multiply("L", "N", reflectors, tau, others, -1)[1][0])
    return np.column_stack([of_items, multiply("L", "N", reflectors, tau, others, length, overwrite_c=True)[0]])


def fix_signs(V):
    """The largest entry of each column made positive; of entries within rounding of the largest, the first."""
    size = abs(V)
    first = np.argmax(size >= (1 - 1e-6) * size.max(axis=0), axis=0)
    return V * np.where(V[first, np.arange(V.shape[1])] < 0, -1.0, 1.0) + 0.0  # and no −0

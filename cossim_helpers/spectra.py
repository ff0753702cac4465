"""Stage 2: the top right singular pairs of X, all that either closed form needs to know of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ._components import pieces
from ._dask import dask_pairs, is_dask_array
from ._gram import accumulate_gram
from ._krylov import Ritz
from ._lanczos import top_eigenpairs
from ._owned import hold, matrix, ours, vector
from ._routes import (
    EPS,
    GRAM_IS_ENOUGH,
    LANCZOS_FROM,
    ROUTES,
    cheapest_route,
    fix_signs,
    joined,
    linked_items,
    low_rank,
    rounding,
    triangular,
)
from ._scales import held, near_one
from ._validation import dense_matrix, non_negative, real_matrix, real_number, require_same, whole_number

GRAM_ITEMS = 5_000  # up to so many items a Dask array's XᵀX is formed: 200 MB, some of them on each worker
_LARGEST_RATIO = 1e300  # of singular values: more than double precision knows


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Top right singular pairs of X = U Σ Vᵀ.

    Attributes
    ----------
    sigma : ndarray, shape (k,)
        Singular values, falling, at least 0.
    V : ndarray, shape (p, k)
        Right singular vectors, orthonormal columns; the sign of each is fixed by its largest entry.

    Both are read-only, and copies of what was passed.
    """

    sigma: np.ndarray
    V: np.ndarray

    def __post_init__(self):
        hold(self, sigma=vector, V=matrix)
        sigma, V = self.sigma, self.V
        require_same("V, with one column for each of sigma", V.shape[1], sigma.size)
        non_negative("sigma", sigma)
        if (rise := np.diff(sigma, prepend=sigma[0]).max()) > 0:
            raise ValueError(f"sigma takes falling numbers, got a largest rise of {rise:g}")
        with np.errstate(all="ignore"):  # what leaves the floats is refused
            departure = abs(V.T @ V - np.eye(sigma.size)).max()
        if not departure <= 1e-8:
            raise ValueError(f"V takes orthonormal columns, got max|VᵀV − I| = {departure:.3g}")

    def exceeds(self, level: float) -> np.ndarray:
        """Whether each σ_i is above `level` by more than `spectrum` may be wrong: bools, shape (k,).

            σ_i > level (1 + 4 max(p, 8) u e_i),   e_i = max(min((σ_1/σ_i)², 10⁵), σ_1/σ_i),   u = 2.2e-16

        A penalty that equals a singular value in exact arithmetic must remove its direction, whichever way σ_i was
        rounded. e_i is the error of the routes of `spectrum`, those over XᵀX and the triangular one. Where fewer than
        some hundred items meet more than 10⁵ users, sums of fractions may round by more; counts never do.
        """
        level = real_number("level", level, at_least=0.0)
        with np.errstate(over="ignore"):  # a ratio beyond all floats: the error is as large as it can be
            ratio = np.divide(self.sigma[0], self.sigma, out=np.ones_like(self.sigma), where=self.sigma > 0)
            error = np.maximum(np.minimum(ratio**2, 1 / GRAM_IS_ENOUGH), np.minimum(ratio, _LARGEST_RATIO))
            return self.sigma > level * (1 + rounding(len(self.V)) * error)


@dataclass(frozen=True, eq=False)
class KrylovSpectrum(Spectrum):
    """A `Spectrum` from a few passes over the data, with what they say of its error.

    Attributes
    ----------
    sigma, V : ndarray
        As in `Spectrum`.
    residual : ndarray, shape (k,)
        ‖XᵀX v_i − σ_i² v_i‖ / σ_1². Some σ² of X is as near to σ_i² as that, in units of σ_1².
    error : ndarray, shape (passes,)
        ‖V Vᵀ − V* V*ᵀ‖ after each pass, an estimate of how far the projector is from the one of X.
    """

    residual: np.ndarray
    error: np.ndarray

    def __post_init__(self):
        super().__post_init__()
        hold(self, residual=vector, error=vector)
        require_same("residual, one for each of sigma", self.residual.size, self.sigma.size)


class NotSettled(ValueError):
    """The passes over the data did not suffice; `spectrum` holds what they found, with its residual."""

    def __init__(self, message: str, spectrum: KrylovSpectrum):
        super().__init__(message)
        self.spectrum = spectrum


def settled_or_raise(found: Ritz) -> KrylovSpectrum:
    """What block Krylov found, unless it was still on the move."""
    result = KrylovSpectrum(*map(ours, (found.sigma, found.V, found.residual, found.error)))
    if not found.settled:
        raise NotSettled(
            f"passes takes enough of them for V to settle, got {found.error.size}, which leave an estimated error of "
            f"{found.error[-1]:.1g} in V Vᵀ: more passes help, or a k with a wider gap after σ_k",
            result,
        )
    return result


def spectrum(X, k: int | None = None) -> Spectrum:
    """Top k singular values and right singular vectors of X.

        X = U Σ Vᵀ,   XᵀX = V Σ² Vᵀ,   σ_1 ≥ σ_2 ≥ …

    Parameters
    ----------
    X : array_like, sparse array or Dask array, shape (n, p)
        Finite real numbers, bool and integers included. A Dask array in blocks of whole rows, dense or scipy.sparse; it
        is computed where its scheduler computes, and need not know its n.
    k : int, optional
        From 1 to min(n, p). Default: min(n, p).

    Returns
    -------
    Spectrum
        sigma of shape (k,), V of shape (p, k). Singular values within rounding of zero are 0. Exact zeros of V are
        kept where σ > 0: at empty items, and outside of the connected component of the data that a vector lives in
        (users link their items, by however small a number), also where two components share a σ. So an item that a
        model has no direction for gets no cosine made of rounding. What crosses a link is right to about u in V:
        below 1e-14 of σ_1, a link that is all that two communities share may be lost to rounding.

    Raises
    ------
    ValueError, TypeError
        For NaN or infinite values, singular values beyond float64, an empty X, or k out of range.

    Notes
    -----
    Each component is solved on its own, on the route of the least estimated cost, and without empty items and, where X
    is sparse and m > 2,000, empty users. u = 2.2e-16 is the rounding unit, m = min(n, p), s the stored entries, and j
    the vectors that Lanczos needs, some 3 k to 8 k.

    ============== ============================================ ==============================================
    route          what it does, and its multiplications        error of σ_i
    ============== ============================================ ==============================================
    dense Gram     adds up XᵀX (X Xᵀ if n < p) over dense       about u σ_1²/σ_i: σ² is computed, and small σ
                   blocks of rows in one buffer, in float32     drown in the rounding of σ_1²
                   where the counts stay exact; then its top k
                   eigenpairs: n p m/2 + O(m³). Dense X; sparse
                   X of some percent
    sparse Gram    the same from a sparse product: pairs of     the same
                   entries in a row, + O(m³)
    Lanczos        block Lanczos on v ↦ Xᵀ(X v), to residuals   the same, and below 1e-8
                   of 3e-9 σ_i²: 2 s j + 2 m j². m > 2,000,
                   k < m/10
    low rank       a random mixture of all rows, if nothing     about u σ_1
                   is left over beside it: some (s + n k) k.
                   Rank below m/4, where σ_k is near zero, or
                   where m > 2,000 and Lanczos is not taken
    triangular     R of X = Q R, block by block, then the SVD   about u σ_1: what a full SVD gives
                   of R (of X itself if n < p): O(n p m)
    ============== ============================================ ==============================================

    The Gram routes and Lanczos are taken only as long as σ_k² > 1e-5 σ_1², where they are right to 1e-8 and better;
    else one of the last two decides, which alone can tell a small σ from zero. The projector V Vᵀ has an error of about
    u σ_1²/(σ_k² − σ_{k+1}²), with Lanczos up to its residual in place of u σ_1²: where the gap closes, V's last columns
    are arbitrary, as they are in any SVD. Lanczos starts from six fixed vectors at once, hence sees up to five copies
    of a repeated σ; where six agree it starts more, and looks again.

    BLAS uses all cores. Its threads wait by spinning: where other programs keep the cores busy, one thread was 2.3
    times faster than two in wall time. There set ``OPENBLAS_NUM_THREADS=1`` before Python starts.

    **A Dask array** of up to 5,000 items gives XᵀX, added up over its blocks in a tree: exact for counts, and the same
    bits each time for the same blocks. Small σ are told from zero by the triangle of X = Q R, in one more pass.
    With more items XᵀX has more than 200 MB, and 11 to 18 of it are in memory at once (measured: 16 to 256 blocks, two
    threads). Then `krylov_spectrum` reads the blocks up to 12 times, unless its basis would be larger than XᵀX, and the
    result is a `KrylovSpectrum`. To choose, call it, or `spectrum_from_gram(gram(X), k)`. Blocks of 5,000 to 20,000
    rows suit. Workers take the memory of each block from the system anew; with

        dask.config.set({"distributed.nanny.pre-spawn-environ.MALLOC_MMAP_THRESHOLD_": 33554432})

    after `import distributed` and before the cluster starts, a block of 5,000 × 1,000 took 1.6 to 1.7 times the CPU
    time of a loop, not 2.1 times, with a fifth of the page faults.

    References
    ----------
    Golub and Van Loan, *Matrix Computations*, §8.6; Demmel et al. (2012) for the triangular route.

    Examples
    --------
    >>> spectrum([[3.0, 0.0], [0.0, 4.0], [0.0, 0.0]]).sigma
    array([4., 3.])
    """
    if is_dask_array(X):
        found = dask_pairs("X", X, k, GRAM_ITEMS)
        return settled_or_raise(found) if isinstance(found, Ritz) else Spectrum(*map(ours, found))
    X = real_matrix("X", X)
    k = min(X.shape) if k is None else whole_number("k", k, low=1, high=min(X.shape), why=" (min(n, p) of X)")
    X, exponent = near_one(X)
    solved, top = [], np.zeros(0)  # of each connected component; the k largest values so far
    for piece, items, size in pieces(X):
        if top.size == k and top[-1] >= size:
            break
        solved.append((items, *_top_pairs(piece, min(k, *piece.shape))))
        top = -np.sort(-np.append(top, solved[-1][1]))[:k]
    sigma, V = joined(solved, X.shape[1], k)
    sigma = np.where(sigma > max(X.shape) * EPS * sigma[0], sigma, 0.0)
    with np.errstate(over="ignore"):
        scaled_back = np.ldexp(sigma, exponent)
    if not np.isfinite(scaled_back).all():
        raise ValueError(f"X takes numbers with singular values below 1.8e308, got entries of up to 2^{exponent}")
    return Spectrum(ours(scaled_back), ours(fix_signs(V)))


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
        Eigenvalues within rounding of zero, 4 max(p, 8) u of the largest, become σ = 0. Exact zeros as in `spectrum`.

    Raises
    ------
    ValueError, TypeError
        For a matrix that is not square, not symmetric, has NaN or infinite entries or an eigenvalue that is
        negative by more than rounding, or for k out of range.
    """
    gram, exponent = near_one(dense_matrix("gram", gram))
    require_same("gram, square", gram.shape[1], gram.shape[0])
    asymmetry = abs(gram - gram.T).max()
    if asymmetry > 1e-10 * abs(gram).max():
        raise ValueError(f"gram takes a symmetric matrix, got max|gram − gramᵀ| = {np.ldexp(asymmetry, exponent):.3g}")
    p = len(gram)
    k = p if k is None else whole_number("k", k, low=1, high=p, why=" (p)")
    pieces = [(items, *top_eigenpairs(gram[np.ix_(items, items)], items.size)) for items in linked_items(gram)]
    eigenvalues, V = joined(pieces, p, p)  # all of them: a negative one must not go unseen
    negligible = rounding(p) * abs(eigenvalues).max()
    if eigenvalues[-1] < -negligible:
        lowest = np.ldexp(eigenvalues[-1], exponent)
        raise ValueError(f"gram takes a positive semidefinite matrix, got an eigenvalue of {lowest:.6g}")
    odd = exponent % 2
    sigma = np.sqrt(np.ldexp(np.where(eigenvalues > negligible, eigenvalues, 0.0)[:k], odd))
    return Spectrum(ours(np.ldexp(sigma, (exponent - odd) // 2)), ours(fix_signs(V[:, :k])))


def item_gram(X) -> np.ndarray:
    """XᵀX, shape (p, p), added up over dense blocks of rows: X itself stays as sparse as it is.

    Raises ValueError where the largest sum of squares is none that a float holds.
    """
    X, exponent = near_one(real_matrix("X", X))
    gram = accumulate_gram([X], X.shape[1])
    return held("X takes numbers with sums of squares from 2.2e-308 to 1.8e308", gram, 2 * exponent)


def _top_pairs(X, k):
    """Top k of one component, or all that are above zero where they are fewer."""
    name = cheapest_route(X, k)
    if name != "lanczos" and min(X.shape) > LANCZOS_FROM and (pairs := low_rank(X)):
        return pairs  # an eigenproblem of this size would take far longer than the look
    sigma, V = ROUTES[name](X, k)
    if name == "triangular" or sigma[-1] ** 2 > GRAM_IS_ENOUGH * sigma[0] ** 2:
        return sigma, V
    sigma, V = low_rank(X) or triangular(X, k)
    return sigma[:k], V[:, :k]

"""Block Krylov: the top right singular pairs of X from a few passes Q ↦ Xᵀ(X Q), for p too large for XᵀX."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.linalg

from ._lanczos import top_eigenpairs
from ._routes import EPS, fix_signs, joined, rounding
from ._scales import near_one
from ._validation import generator, require_same, whole_number

OVERSAMPLE, PASSES, SETTLED = 20, 12, 1e-7

Product = Callable[[np.ndarray], tuple[int, np.ndarray]]  # Q (p, ·) ↦ n and XᵀX Q


class Ritz(NamedTuple):
    sigma: np.ndarray  # (k,)
    V: np.ndarray  # (p, k)
    residual: np.ndarray  # (k,), of ‖XᵀX v − σ² v‖ over σ_1²
    error: np.ndarray  # (passes,), of ‖V Vᵀ − V* V*ᵀ‖ after each pass, estimated
    settled: bool


def krylov_pairs(
    product: Product, p: int, k: int, *, oversample=OVERSAMPLE, passes=PASSES, tolerance=SETTLED, rng=0
) -> Ritz:
    """Rayleigh–Ritz in the span of G Ω, G² Ω, …, G^(passes − 1) Ω, with G = XᵀX and Ω Gaussian, (p, k + oversample).

    The first pass draws G Ω, whose empty rows are the empty items; they stay out. Each further pass multiplies the
    newest block of the basis, and so tells the residual of all before. The end is where the estimated
    error of V Vᵀ is at most the tolerance, where the residual has fallen to rounding, or where nothing new is left.
    """
    width = min(k + oversample, p)
    n, sketch = product(generator(rng).standard_normal((p, width)))
    whole_number("k", k, low=1, high=min(n, p), why=" (min(n, p))")
    sketch, exponent = near_one(sketch, 200)  # XᵀX / 2^exponent from here on: its powers are floats
    product = _over_power(product, exponent) if exponent else product
    items = np.flatnonzero(sketch.any(axis=1))
    basis = np.empty((items.size, min(items.size, width * (passes - 1))), order="F")
    newest, coupling = _orthonormal(sketch[items], basis[:, :0], rounding(items.size) * abs(sketch).max())
    size, T, theta, residual, settled = 0, np.empty((0, 0)), np.empty(0), np.zeros(k), not items.size
    turns, error, y = [1.0], [float(items.size > 0)], np.empty((0, 0))
    while not settled and len(error) < passes:
        first, size = size, size + newest.shape[1]
        basis[:, first:size] = newest
        image = _among_items(product, newest, items, p, n)
        columns = basis[:, :size].T @ image
        if first:
            _require_same_rows(columns[:first], coupling[: newest.shape[1]], theta[0])
        T = np.block([[T, columns[:first]], [columns.T]])
        before = y
        theta, y = top_eigenpairs(T, min(k, size))
        image -= basis[:, :size] @ columns
        newest, coupling = _orthonormal(image, basis[:, :size], rounding(items.size) * theta[0])
        residual = np.linalg.norm(coupling @ y[first:], axis=0) / theta[0]
        turns.append(_turn(before, y))
        error.append(_left_over(*turns[-2:]) if newest.shape[1] else residual.max())
        settled = bool(error[-1] <= tolerance or residual.max() <= EPS or not newest.shape[1])
    values = np.sqrt(np.where(theta > rounding(items.size) * theta[:1], theta, 0.0)) * 2.0 ** (exponent / 2)
    sigma, V = joined([(items, values, basis[:, :size] @ y)], p, k)
    return Ritz(sigma, fix_signs(V), np.pad(residual, (0, k - residual.size)), np.array(error), settled)


def _over_power(product, exponent):
    def scaled(Q):
        rows, image = product(Q)
        return rows, np.ldexp(image, -exponent)

    return scaled


def _among_items(product, Q, items, p, n):
    """G Q for a Q that knows only the items that are there."""
    full = np.zeros((p, Q.shape[1]))
    full[items] = Q
    rows, image = product(full)
    require_same("blocks, number of rows in each pass", rows, n)
    return image[items]


def _orthonormal(W, basis, negligible):
    """An orthonormal basis of what W adds to `basis`, and the norms that it had: W ≈ new @ coupling[: new.shape[1]].

    W is orthogonal to `basis` already, to rounding of what it was. Directions below `negligible` are left out.
    """
    if not W.size:
        return W, np.empty((0, W.shape[1]))
    new, R, order = scipy.linalg.qr(W, mode="economic", pivoting=True)
    coupling = np.empty_like(R)
    coupling[:, order] = R
    kept = min(np.count_nonzero(abs(np.diag(R)) > negligible), len(basis) - basis.shape[1])
    new = new[:, :kept]
    if kept:  # once more: small directions have lost their orthogonality to the basis, and little else
        new, R = scipy.linalg.qr(new - basis @ (basis.T @ new), mode="economic")
        new *= np.sign(np.diag(R))
    return new, coupling


def _turn(before, y):
    """The sine of the largest angle between the spans of orthonormal columns, `y` in the wider space."""
    if before.shape[1] < y.shape[1]:
        return 1.0
    before = np.pad(before, ((0, len(y) - len(before)), (0, 0)))
    return np.linalg.norm(before - y @ (y.T @ before), 2)


def _left_over(before, last):
    """What all passes to come would turn, if each of them turns by a share of what the pass before did, as these did.

    Never less than the last turn: a share that happens to be small promises nothing.
    """
    return min(1.0, last * max(1.0, last / (before - last) if last < before else np.inf)) if last else 0.0


def _require_same_rows(found, coupling, largest):
    """Raise unless the newest pass saw the matrix that the pass before it saw: G is symmetric."""
    gap = abs(found[-coupling.shape[1] :] - coupling.T).max()
    if gap > 1e-6 * largest:
        raise ValueError(
            f"blocks takes the same rows in each pass, got others: XᵀX differs by {gap / largest:.1g} σ_1²"
        )

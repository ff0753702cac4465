"""Both objectives and their gradients, straight from their definitions, and an optimizer that knows no closed form."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ._owned import ours
from ._validation import (
    MANY,
    function,
    generator,
    instance_of,
    listed,
    penalty,
    plain_array,
    real_array,
    real_matrix,
    real_number,
    require_same,
    whole_number,
)
from .closed_forms import Factors, data_and_factors

_IN = 1e-30, 1e30  # X, A, B; λ counts twice: six at most are multiplied, as in ‖X A Bᵀ‖² and λ ‖A Bᵀ‖², so 1e±180
_BLOCK = 1_000  # rows of the residual that are held at once


def product_penalty_objective(X, factors: Factors, lam: float) -> float:
    """‖X − X A Bᵀ‖²_F + λ ‖A Bᵀ‖²_F                                      (Eq. 1)

    Parameters
    ----------
    X : array_like or sparse array, shape (n, p)
    factors : Factors
        A and B, shape (p, k).
    lam : float
        λ ≥ 0.

    Returns
    -------
    float

    Raises
    ------
    ValueError, TypeError
        For λ < 0, NaN or infinite values, shapes that do not match, a largest entry of X, A or B that is neither 0 nor
        from 1e-30 to 1e30 in size, or a λ that is neither 0 nor from 1e-60 to 1e60: products may leave the floats.
    """
    return _product_penalty_value(*_arguments(X, factors, lam))


def product_penalty_gradient(X, factors: Factors, lam: float) -> tuple[np.ndarray, np.ndarray]:
    """(∂/∂A, ∂/∂B) of Eq. 1's objective.

        ∂/∂A = −2 Xᵀ(X − X A Bᵀ) B + 2λ A BᵀB
        ∂/∂B = −2 (X − X A Bᵀ)ᵀ X A + 2λ B AᵀA

    Arguments and errors as in `product_penalty_objective`; returns two ndarrays of shape (p, k).
    """
    return _product_penalty_slope(*_arguments(X, factors, lam))


def factor_penalty_objective(X, factors: Factors, lam: float) -> float:
    """‖X − X A Bᵀ‖²_F + λ (‖X A‖²_F + ‖B‖²_F)                           (Eq. 2)

    Arguments and errors as in `product_penalty_objective`; returns a float.
    """
    return _factor_penalty_value(*_arguments(X, factors, lam))


def factor_penalty_gradient(X, factors: Factors, lam: float) -> tuple[np.ndarray, np.ndarray]:
    """(∂/∂A, ∂/∂B) of Eq. 2's objective.

        ∂/∂A = −2 Xᵀ(X − X A Bᵀ) B + 2λ XᵀX A
        ∂/∂B = −2 (X − X A Bᵀ)ᵀ X A + 2λ B

    Arguments and errors as in `product_penalty_objective`; returns two ndarrays of shape (p, k).
    """
    return _factor_penalty_slope(*_arguments(X, factors, lam))


def minimize_product_penalty(X, lam: float, k: int, *, start: Factors | None = None, rng=0) -> Factors:
    """A minimizer of Eq. 1, found by L-BFGS, which knows the objective and its gradient and no closed form.

        min_{A,B} ‖X − X A Bᵀ‖²_F + λ ‖A Bᵀ‖²_F                          (Eq. 1)

    Which one of the infinitely many it finds depends on the start.

    Parameters
    ----------
    X : array_like or sparse array, shape (n, p)
    lam : float
        λ ≥ 0.
    k : int
        Columns of A and B, at least 1; it may exceed the rank of X.
    start : Factors, optional
        Where to start, A and B of shape (p, k). Default: entries from N(0, 0.5²), in units of X.
    rng : int, sequence of int, SeedSequence, Generator or None
        Draws the default start, A before B.

    Returns
    -------
    Factors
        A and B, shape (p, k).

    Raises
    ------
    ValueError, TypeError
        For λ < 0, NaN or infinite values, k below 1, a start of another shape, or what is neither 0 nor from 1e-30 to
        1e30 in size: the largest entry of X, of the A or the B of start, or λ in units of X.
    RuntimeError
        Where the search ends at a point that is not stationary (see `minimize_factors`, which measures it by the value
        at the start), or above ‖X‖², which no stationary point is: it has the value ‖X‖² − ‖X A Bᵀ‖² − λ‖A Bᵀ‖² in
        Eq. 1, and ‖X‖² − ‖X A Bᵀ‖² in Eq. 2. From a start far larger than a minimizer the search may still end too
        early, below ‖X‖²: compare with another start.
    """
    return _minimize_penalty(_product_penalty_value, _product_penalty_slope, X, lam, k, start, rng, of_lam=2)


def minimize_factor_penalty(X, lam: float, k: int, *, start: Factors | None = None, rng=0) -> Factors:
    """A minimizer of Eq. 2, found by L-BFGS, which knows the objective and its gradient and no closed form.

        min_{A,B} ‖X − X A Bᵀ‖²_F + λ (‖X A‖²_F + ‖B‖²_F)               (Eq. 2)

    Arguments, errors and what is returned as in `minimize_product_penalty`.
    """
    return _minimize_penalty(_factor_penalty_value, _factor_penalty_slope, X, lam, k, start, rng, of_lam=1)


def minimize_factors(
    objective_and_gradients: Callable[..., tuple[Any, Sequence[Any]]],
    start: Sequence[Any],
    *,
    tol: float = 1e-6,
    max_iterations: int = 20_000,
) -> list[np.ndarray]:
    """Where L-BFGS ends from `start`, for a smooth objective f of one or several arrays.

    Parameters
    ----------
    objective_and_gradients : callable
        Takes as many arrays as `start` holds, of the same shapes; returns the value of f there, and a sequence
        of its gradients by each of them.
    start : sequence of array_like
        Arrays of any shapes, such as (A, B).
    tol : float
        The end z has to be stationary: ‖∇f(z)‖ · s ≤ tol · max(|f(z)|, |f(start)|), where s is the larger of ‖z‖
        and ‖start‖ (1 in its place where start is zero). This stays the same where f or z changes its unit.
    max_iterations : int
        At least 1.

    Returns
    -------
    list of ndarray
        One array for each of `start`, a local minimizer of f as far as `tol` tells. A start at a saddle stays there.

    Raises
    ------
    ValueError, TypeError
        For a start that is empty or not finite, a gradient of another shape, or tol ≤ 0.
    RuntimeError
        Where f is not finite, or the end not stationary: the gradient is wrong, f is not smooth or has no minimum,
        or max_iterations is too small.

    Examples
    --------
    >>> [z] = minimize_factors(lambda z: (((z - 3) ** 2).sum(), [2 * (z - 3)]), [[0.0, 1.0]])
    >>> z.round(6)
    array([3., 3.])
    """
    function("objective_and_gradients", objective_and_gradients, "arrays")
    if not (start := listed("start", start, "arrays")):
        raise ValueError("start takes at least one array, got none")
    begin = [plain_array(f"start[{i}]", one) for i, one in enumerate(start)]
    begin = [real_array(f"start[{i}]", one, ndim=one.ndim) for i, one in enumerate(begin)]
    tol = real_number("tol", tol, above=0.0)
    rounds = whole_number("max_iterations", max_iterations, low=1)
    return _lbfgs(objective_and_gradients, begin, tol, rounds)


def _minimize_penalty(value, slope, X, lam, k, start, rng, of_lam):
    """Of X/c, the largest entry near 1: for Eq. 1 with λ/c² and the same A and B, for Eq. 2 with λ/c, A √c and B/√c."""
    X, lam, k = real_matrix("X", X), penalty(lam), whole_number("k", k, low=1, high=MANY)
    shape, rng = (X.shape[1], k), generator(rng)
    root = 2.0 ** int(np.frexp(_in_range("X", X))[1] // 2)  # √c, a power of two, which rounds nothing
    X, lam, unit = X / root**2, lam / root ** (2 * of_lam), root if of_lam == 1 else 1.0
    _in_range("lam", lam, why=" in units of X")
    if start is None:
        A, B = 0.5 * rng.standard_normal((2, *shape))
    else:
        A, B = instance_of("start", start, Factors).A, start.B
        require_same("start, with A of as many rows as X has columns, and k columns", A.shape, shape)
        for M in (A, B):
            _in_range("start", M)
        A, B = A * unit, B / unit
    A, B = _lbfgs(lambda A, B: (value(X, A, B, lam), slope(X, A, B, lam)), [A, B], 1e-6, 20_000)
    end, at_zero = value(X, A, B, lam), value(X, 0 * A, 0 * B, lam)
    if end > at_zero * (1 + 1e-6) > 0:  # of X = 0 the minimum is 0, and rounding is above
        raise RuntimeError(
            f"L-BFGS ends at a point that is not stationary: the value is {end / at_zero:.6g} ‖X‖², and no "
            "stationary point is above ‖X‖²; start nearer to the size of a minimizer"
        )
    return Factors(ours(A / unit), ours(B * unit))


def _lbfgs(objective_and_gradients, start, tol, max_iterations):
    """The one L-BFGS driver: arrays become one vector and back, and the end is checked to be stationary."""
    from scipy.optimize import minimize  # here, since the import takes a while and most readers never need it

    shapes, cuts = [one.shape for one in start], np.cumsum([one.size for one in start])[:-1]

    def unpack(z):
        return [part.reshape(shape) for part, shape in zip(np.split(z, cuts), shapes)]

    def of_vector(z):
        value, gradients = objective_and_gradients(*unpack(z))
        got = [np.shape(one) for one in gradients]
        require_same("objective_and_gradients, the shapes of its gradients", got, shapes)
        slope = np.concatenate([np.ravel(one) for one in gradients])
        if not (np.isfinite(value) and np.isfinite(slope).all()):
            raise RuntimeError(f"L-BFGS came to a point where the objective is {value} or its gradient is not finite")
        return value, slope

    z = np.concatenate([one.ravel() for one in start])
    first, slope = of_vector(z)
    nothing = 1e-30 * abs(slope).max()  # of the slope is left: where the minimum is 0, steps would underflow
    options = {"maxiter": max_iterations, "maxfun": 2 * max_iterations, "ftol": 0.0, "gtol": nothing, "maxcor": 30}
    found = minimize(of_vector, z, jac=True, method="L-BFGS-B", options=options)
    size = max(math.hypot(*z) or 1.0, math.hypot(*found.x))
    left, scale = math.hypot(*found.jac) * size, max(abs(found.fun), abs(first))
    if not left <= tol * scale:
        raise RuntimeError(
            f"L-BFGS ends at a point that is not stationary: ‖gradient‖ · ‖point‖ is {left:.3g}, "
            f"at most {tol:g} · {scale:.3g} is needed ({found.nit} iterations; {found.message})"
        )
    return unpack(found.x)


def _product_penalty_value(X, A, B, lam):
    R = np.linalg.qr(A, mode="r")  # ‖A Bᵀ‖ = ‖R Bᵀ‖, k × p; ⟨AᵀA, BᵀB⟩ would lose what cancels in A Bᵀ
    return _squared_error(X, A, B) + lam * float(np.sum((R @ B.T) ** 2))


def _product_penalty_slope(X, A, B, lam):
    dA, dB = _squared_error_gradient(X, A, B)
    return dA + 2 * lam * A @ (B.T @ B), dB + 2 * lam * B @ (A.T @ A)


def _factor_penalty_value(X, A, B, lam):
    return _squared_error(X, A, B) + lam * float(np.sum((X @ A) ** 2) + np.sum(B**2))


def _factor_penalty_slope(X, A, B, lam):
    dA, dB = _squared_error_gradient(X, A, B)
    return dA + 2 * lam * (X.T @ (X @ A)), dB + 2 * lam * B


def _squared_error(X, A, B):
    """‖X − X A Bᵀ‖²_F from the residual itself, block by block of users: no cancellation, no n × p array."""
    total = 0.0
    for start in range(0, X.shape[0], _BLOCK):
        rows = X[start : start + _BLOCK]
        residual = rows - (rows @ A) @ B.T  # dense, of sparse rows too
        total += float(np.sum(residual**2))
    return total


def _squared_error_gradient(X, A, B):
    XA, XB = X @ A, X @ B
    dA = 2 * (X.T @ (XA @ (B.T @ B) - XB))  # −2 Xᵀ(X − X A Bᵀ) B
    dB = 2 * (B @ (XA.T @ XA) - X.T @ XA)  # −2 (X − X A Bᵀ)ᵀ X A
    return dA, dB


def _arguments(X, factors, lam):
    (X, A, B), lam = data_and_factors(X, factors), penalty(lam)
    for name, M in (("X", X), ("factors", A), ("factors", B)):
        _in_range(name, M)
    _in_range("lam", lam, (1e-60, 1e60))
    return X, A, B, lam


def _in_range(name, M, ends=_IN, why=""):
    """The size of the largest entry of M: 0, or not so far from 1 that the formulas would lose digits."""
    if (size := np.max(abs(M))) and not ends[0] <= size <= ends[1]:
        raise ValueError(f"{name} takes 0 or a largest size from {ends[0]:g} to {ends[1]:g}{why}, got {size:.3g}")
    return size

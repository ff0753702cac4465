"""Training of vectors for users and items by contrast: each against all others, on one side or on both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import scipy.special

from .._owned import hold, matrix, ours
from .._validation import MANY, one_of, real_array, real_number, require_same, true_or_false, whole_number

LOSSES = ("symmetric", "one-sided")
OPTIMIZERS = ("l-bfgs", "adam")
GRADIENT_TOLERANCE = 1e-13  # far below what training needs: so L-BFGS stops at rounding, or after its steps
_SHORTEST = 1e-150  # a length whose square keeps its digits
_SMALLEST = 1e-300  # a number that keeps its digits


@dataclass(frozen=True, eq=False)
class ContrastiveModel:
    """Vectors whose scores are s⟨z_u, z_i⟩, and how near to the best of all losses training came.

    Attributes
    ----------
    P, Q : ndarray, shapes (n, k) and (p, k)
        A row for each user z_u and each item z_i; unit vectors if trained so.
    scale : float
        s > 0.
    excess : float
        The loss minus the smallest that any scores have, which those of the truth have: at least 0.
    gradient : float
        Length of the loss's gradient in all that was trained, there.
    steps : int
        Steps of the optimizer.

    P and Q are read-only, and copies of what was passed.
    """

    P: np.ndarray
    Q: np.ndarray
    scale: float
    excess: float
    gradient: float
    steps: int

    def __post_init__(self):
        hold(self, P=matrix, Q=matrix)
        require_same("Q, with as many columns as P", self.Q.shape[1], self.P.shape[1])
        for name, value in {
            "scale": real_number("scale", self.scale, above=0.0),
            "excess": real_number("excess", self.excess),
            "gradient": real_number("gradient", self.gradient, at_least=0.0),
            "steps": whole_number("steps", self.steps, low=0),
        }.items():
            object.__setattr__(self, name, value)

    @property
    def scores(self) -> np.ndarray:
        """s P Qᵀ, shape (n, p)."""
        return self.scale * self.P @ self.Q.T


class _Task(NamedTuple):
    """What is trained: log-probabilities of the truth, by rows and by columns, and what its loss is made of."""

    of_rows: np.ndarray  # (n, p)
    of_columns: np.ndarray | None  # (n, p), None for one side
    shapes: tuple[tuple[int, int], tuple[int, int]]
    unit: bool
    scale: float | None  # None if it is trained


def train_contrastive(
    Z,
    P,
    Q,
    *,
    loss: Literal["symmetric", "one-sided"] = "symmetric",
    unit: bool = True,
    scale: float = 1.0,
    learn_scale: bool = False,
    optimizer: Literal["l-bfgs", "adam"] = "l-bfgs",
    steps: int = 5_000,
    learning_rate: float = 0.02,
) -> ContrastiveModel:
    """Train a vector for each user and each item on the probabilities of true scores Z, all of them known.

        "one-sided":  min_{P,Q} (1/n) Σ_u KL(softmax(z_u·) ‖ softmax(y_u·)),   y_ui = s⟨z_u, z_i⟩
        "symmetric":  the mean of this and of (1/p) Σ_i KL(softmax(z_·i) ‖ softmax(y_·i))

    This is InfoNCE in the limit of all pairs, minus what no scores can avoid: its minimum is 0 if Z can be met. With
    `unit` the rows of P and Q are divided by their lengths first, as CLIP does.

    Parameters
    ----------
    Z : array_like, shape (n, p)
        True scores; the loss sees them up to one number a user, in the symmetric case up to one number for all.
    P, Q : array_like, shapes (n, k) and (p, k)
        The start. With `unit` no row of zeros.
    loss : {"symmetric", "one-sided"}
    unit : bool
    scale : float
        s > 0, kept or, with `learn_scale`, where its training starts.
    learn_scale : bool
    optimizer : {"l-bfgs", "adam"}
        SciPy's L-BFGS, up to `steps` iterations, or fewer where nothing falls any more; or `steps` of Adam, whose rate
        falls to 0 along a half cosine.
    steps, learning_rate : int, float
        The second is Adam's alone.

    Returns
    -------
    ContrastiveModel
        In float64, by NumPy. Where the loss is flat, what training ends with differs between processors.

    Raises
    ------
    ValueError, TypeError
        For shapes that do not match, a number out of its range, with `unit` a row of zeros or one whose squared length
        no float holds, scores that none holds, or a learning rate that leads to such.
    """
    Z, P, Q = (real_array(name, value, ndim=2) for name, value in (("Z", Z), ("P", P), ("Q", Q)))
    require_same("Z, a row for each of P's and a column for each of Q's", Z.shape, (len(P), len(Q)))
    require_same("Q, with as many columns as P", Q.shape[1], P.shape[1])
    one_of("loss", loss, LOSSES)
    one_of("optimizer", optimizer, OPTIMIZERS)
    scale = real_number("scale", scale, above=0.0)
    steps = whole_number("steps", steps, low=1, high=MANY)
    learning_rate = real_number("learning_rate", learning_rate, above=0.0)
    unit, learn_scale = true_or_false("unit", unit), true_or_false("learn_scale", learn_scale)
    for name, vectors in (("P", P), ("Q", Q)) if unit else ():
        _require_directions(name, vectors)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # what no float holds is refused
        of_columns = scipy.special.log_softmax(Z, axis=0) if loss == "symmetric" else None
        shapes, kept = (P.shape, Q.shape), None if learn_scale else scale
        task = _Task(scipy.special.log_softmax(Z, axis=1), of_columns, shapes, unit, kept)
        start = np.concatenate([P.ravel(), Q.ravel(), [np.log(scale)] * learn_scale])
        _require_held(task, start, *_excess(task, start))
        end, made = _run(lambda x: _excess(task, x), start, optimizer, steps, learning_rate)
        if optimizer == "adam":
            value, slope = _excess(task, end)
            _require_held(task, end, value, slope, learning_rate)
        return _model(task, end, made)


def max_norm(P, Q, *, tolerance: float = 1e-4, steps: int = 20_000) -> tuple[float, float]:
    """(below, above): two bounds of γ₂(PQᵀ), the smallest s for which unit vectors can have s⟨z_u, z_i⟩ = (PQᵀ)_ui.

        γ₂(Z) = min_{Γ ≻ 0} √(max_u x_uᵀ Γ x_u · max_i y_iᵀ Γ⁻¹ y_i) = max_{w, v} ‖dMat(√w) Z dMat(√v)‖_*

    for Z = PQᵀ with rows x_u, y_i, and weights w, v ≥ 0 that sum to 1 on each side: any Γ gives the bound from above,
    any weights the one from below. Unit vectors may have as many dimensions as they like.

    Parameters
    ----------
    P, Q : array_like, shapes (n, k) and (p, k)
        Both of rank k.
    tolerance : float
        By how much, relative to `below`, the bounds may differ.
    steps : int
        At most so many, each of which gives more weight to the rows that are too long.

    Raises
    ------
    ValueError, TypeError
        For a rank below k, shapes that do not match, a number out of its range, or products that no float holds or that
        rounding spoils.
    """
    P, Q = (real_array(name, value, ndim=2) for name, value in (("P", P), ("Q", Q)))
    require_same("Q, with as many columns as P", Q.shape[1], P.shape[1])
    tolerance = real_number("tolerance", tolerance, above=0.0)
    steps = whole_number("steps", steps, low=1, high=MANY)
    largest = [float(abs(M).max()) or 1.0 for M in (P, Q)]
    if not _SMALLEST < (size := largest[0] * largest[1]) < np.inf:
        raise ValueError(f"P and Q take vectors whose products a float holds, got {size:.6g}")
    P, Q = P / largest[0], Q / largest[1]
    for name, vectors in (("P", P), ("Q", Q)):
        if np.linalg.matrix_rank(vectors) < P.shape[1]:
            raise ValueError(f"{name} takes independent columns, got rank below {P.shape[1]}")
    P, Q = _balanced(P, Q)
    w, v, below, above = np.full(len(P), 1 / len(P)), np.full(len(Q), 1 / len(Q)), 0.0, np.inf
    for _ in range(steps):
        root, inverse = _powers(P.T * w @ P, 0.5, -0.5)
        middle, half, back = _powers(root @ (Q.T * v @ Q) @ root, 0.5, 0.25, -0.25)
        # Γ = L Lᵀ with L = inverse · half is the best one for these weights; L⁻ᵀ = root · back
        users, items = ((P @ inverse @ half) ** 2).sum(axis=1), ((Q @ root @ back) ** 2).sum(axis=1)
        below = max(below, np.trace(middle))
        above = min(above, np.sqrt(users.max() * items.max()))
        if above <= (1 + tolerance) * below:
            break
        w, v = w * users / (w @ users), v * items / (v @ items)
    if below > above * (1 + 1e-6):
        raise ValueError(f"P and Q take better conditioned vectors, got {below * size:.6g} below {above * size:.6g}")
    below, above = float(below), float(max(above, below))
    if not above * size < np.inf:
        raise ValueError(f"P and Q take vectors whose products a float holds, got some of {size:.6g}")
    return below * size, above * size


# --- what the functions above share ---


def _require_directions(name, vectors):
    if not vectors.any(axis=1).all():
        raise ValueError(f"{name} takes rows that are not zero: a row of zeros has no direction, got one")
    with np.errstate(over="ignore"):
        length = np.linalg.norm(vectors, axis=1)
    if (far := ~((length > _SHORTEST) & (length < 1 / _SHORTEST))).any():
        raise ValueError(f"{name} takes rows whose squared length a float holds, got a length of {length[far][0]:.6g}")


def _require_held(task, x, value, slope, learning_rate=None):
    """Raise if floats do not hold the scale, a length, the loss or its slope at x."""
    held = 0 < _unpacked(task, x)[2] < np.inf and (not task.unit or np.isfinite(x @ x))
    if held and np.isfinite(value) and np.isfinite(np.linalg.norm(slope)):
        return
    if learning_rate is not None:
        raise ValueError(f"learning_rate takes a smaller number here, got {learning_rate:g}: no float holds the scores")
    raise ValueError(
        f"Z, P, Q and scale take numbers whose scores, differences and loss a float holds, got a loss of {value:g}"
    )


def _balanced(P, Q):
    """Factors of the same product whose Gram matrices are equal: no others have better conditions."""
    (left, R), (right, S) = np.linalg.qr(P), np.linalg.qr(Q)
    U, size, V = np.linalg.svd(R @ S.T)
    return left @ (U * np.sqrt(size)), right @ (V.T * np.sqrt(size))


def _run(function: Callable, x, optimizer, steps, learning_rate):
    """The end x of the training, and the number of its steps."""
    if optimizer == "l-bfgs":
        from scipy.optimize import minimize  # half a second to load: only for whoever trains

        options = {"maxiter": steps, "maxfun": 2 * steps, "maxcor": 20, "ftol": 0.0, "gtol": GRADIENT_TOLERANCE}
        found = minimize(function, x, jac=True, method="L-BFGS-B", options=options)
        return found.x, found.nit  # a first step may have tried an infinite scale: it was shortened
    first, second = np.zeros_like(x), np.zeros_like(x)
    for step in range(1, steps + 1):
        _, slope = function(x)
        first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope**2
        rate = learning_rate * (1 + np.cos(np.pi * (step - 1) / steps)) / 2
        x = x - rate * first / (1 - 0.9**step) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
    return x, steps


def _unpacked(task, x):
    """P and Q as they are stored, and the scale."""
    (n, k), (p, _) = task.shapes
    scale = np.exp(x[-1]) if task.scale is None else task.scale
    return x[: n * k].reshape(n, k), x[n * k : (n + p) * k].reshape(p, k), scale


def _excess(task, x):
    """The excess of the loss and its gradient in x."""
    P, Q, scale = _unpacked(task, x)
    lengths = [np.linalg.norm(M, axis=1, keepdims=True) if task.unit else 1.0 for M in (P, Q)]
    P, Q = P / lengths[0], Q / lengths[1]
    products = P @ Q.T
    value, slope = _divergence(scale * products, task.of_rows, 1)
    if task.of_columns is not None:
        other_value, other_slope = _divergence(scale * products, task.of_columns, 0)
        value, slope = (value + other_value) / 2, (slope + other_slope) / 2
    slopes = [scale * slope @ Q, scale * slope.T @ P]
    if task.unit:  # what changes a length changes nothing
        slopes = [(G - (G * M).sum(axis=1, keepdims=True) * M) / norm for G, M, norm in zip(slopes, (P, Q), lengths)]
    of_scale = [scale * (slope * products).sum()] if task.scale is None else []
    return value, np.concatenate([slopes[0].ravel(), slopes[1].ravel(), of_scale])


def _divergence(scores, log_truth, axis):
    """Mean of KL(truth ‖ softmax(scores)) along an axis, and its gradient in the scores."""
    log_mine, many = scipy.special.log_softmax(scores, axis=axis), scores.shape[1 - axis]
    gap, truth = log_mine - log_truth, np.exp(log_truth)
    # softmax(scores) − truth: its sum is 0, and near the minimum no digits are lost; where the gap is wide none can be
    change = np.where(gap < 1, truth * np.expm1(gap), np.exp(log_mine) - truth)
    return (change - truth * gap).sum() / many, change / many


def _model(task, x, steps):
    excess, slope = _excess(task, x)
    P, Q, scale = _unpacked(task, x)
    if task.unit:
        P, Q = (M / np.linalg.norm(M, axis=1, keepdims=True) for M in (P, Q))
    return ContrastiveModel(ours(P), ours(Q), scale, excess, float(np.linalg.norm(slope)), steps)


def _powers(M, *exponents):
    zeta, vectors = np.linalg.eigh(M)
    zeta = np.maximum(zeta, 1e-14 * zeta[-1])  # what is smaller is rounding
    return [vectors * zeta**exponent @ vectors.T for exponent in exponents]

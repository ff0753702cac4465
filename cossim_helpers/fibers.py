"""What a loss leaves free: directions in which given vectors move while all that it sees stays, counted numerically."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import scipy.linalg

from ._derivatives import changes
from ._moves import euclidean, of_blocks, of_prefixes, tied, two_sided
from ._owned import as_it_is, hold, ours
from ._ranks import Ranks, row_space
from ._scales import near_one
from ._validation import listed, positive, real_array, real_number, require_same, true_or_false, unit_rows, whole_number
from .losses import Determined, determined

_EQUAL = 1e-9  # how far lengths that are equal may be apart
_SPREAD = 1e-100  # the smallest of a gain over its largest, at least: so that squares are floats
_SAMPLE = 20_000  # entries of a quantity that its rank is read from, at least


@dataclass(frozen=True, eq=False)
class Freedom:
    """Directions in which vectors can move while what the loss sees stays: to first order, and but for rotations.

    Attributes
    ----------
    loss : str
        The slug.
    directions : int
        How many there are, m.
    moved : dict of str to int
        For each quantity of `determined`, how many independent directions move it. What is a ratio, or an order, is
        moved by what no common factor, or no line a·y + b for each row, explains.
    dP, dQ, dscale : ndarray, shape (m, n, k), (m, p, k), (m,)
        The directions; dscale is the change of log s. They are orthonormal, and orthogonal to every rotation, where the
        rows of P and of Q have the root mean square length 1. Where the loss sees rotations (Matryoshka, a gain), a
        direction keeps what it sees once a rotation (P K, Q K) is added to it.
    unused : int
        Dimensions that no vector uses. A move into one of them begins like a square root, so it is not counted:
        `lift_into_spare` makes it, and what it returns is free to first order.
    kept, dropped : float
        The smallest singular value that counted and the largest that did not, relative to the largest. The counts are
        safe where they are far apart (1 and 0: nothing to decide).

    The arrays are read-only, and copies of what was passed.
    """

    loss: str
    directions: int
    moved: dict[str, int]
    dP: np.ndarray
    dQ: np.ndarray
    dscale: np.ndarray
    unused: int
    kept: float
    dropped: float

    def __post_init__(self):
        object.__setattr__(self, "moved", dict(self.moved))
        hold(self, dP=as_it_is, dQ=as_it_is, dscale=as_it_is)


def freedom(
    P, Q, loss: str, *, scale: float = 1.0, scale_is_learned: bool | None = None, blocks=None, gain=None
) -> Freedom:
    """Count the directions in which the vectors can move while all that the loss sees of the scores stays.

        d(s P Qᵀ) + what the loss does not see = 0,   under the constraints of the model (unit rows, …)

    The solutions, modulo rotations (P K, Q K) with Kᵀ = −K, are reduced to one symmetric matrix S, a shift and a scale:
    dP = P S, dQ = −Q S − 1 mᵀ − (ds/s) Q, plus moves of the users into dimensions that the items leave empty, and the
    reverse.

    Parameters
    ----------
    P : array_like, shape (n, k)
        Users (queries, contexts), one a row. For a tied encoder the same as Q.
    Q : array_like, shape (p, k)
        Items.
    loss : str
        One of `LOSSES`.
    scale : float
        s > 0, the inverse temperature. No count depends on it.
    scale_is_learned : bool, optional
        Default: what is usual for the loss, `determined(loss).learned_scale`. Only unit vectors have a scale.
    blocks : sequence of int, optional
        Matryoshka only: sizes of the blocks between the prefixes, which add up to k. Default: k blocks of 1.
    gain : array_like, shape (k,), optional
        For a gain after normalization, positive: rows of Q (gain-after-norm) or P (lm-head) divided by it have one
        length. Default: 1.

    Returns
    -------
    Freedom
        Singular values below 1e-9 of the largest count as 0. `moved` is read from a fixed sample of at least 20,000
        entries of a quantity, or all of them.

    Raises
    ------
    ValueError, TypeError
        For vectors that the model cannot have, such as rows of another length than 1 where they are normalized; for
        triplets of distances where the users lie in a hyperplane, or the items in one or on a sphere; for more moves
        than fit into 400 MB.
    """
    spec = determined(loss)
    P, Q, size_P, size_Q, gain = _checked(P, Q, spec, gain)
    real_number("scale", scale, above=0.0)
    learned = spec.learned_scale
    if scale_is_learned is not None:
        learned = true_or_false("scale_is_learned", scale_is_learned)
    used = row_space(np.vstack([P, Q]))
    squared, units, ranks = spec.sees == "squared distances", np.array([size_P, size_Q]), Ranks()
    units /= units.max()
    if spec.sees in ("blocks", "prefixes"):
        sizes = _block_sizes(blocks, P.shape[1])
        moves = (of_blocks if spec.sees == "blocks" else of_prefixes)(P, Q, sizes, learned, ranks)
    elif spec.gain_on:
        moves = two_sided(P, Q, spec, False, ranks, gain)
    else:
        solve = tied if spec.tied else partial(euclidean, units=units) if squared else two_sided
        dP, dQ, dscale = solve(P @ used, Q @ used, spec, learned and spec.unit_items, ranks)
        moves = dP @ used.T, dQ @ used.T, dscale
    dP, dQ, dscale = _but_for_rotations(P, Q, used, moves, ranks)
    moved = _moved(P, Q, dP, dQ, spec.quantities, ranks, squared, units)
    empty, directions = P.shape[1] - used.shape[1], len(dscale)
    dP, dQ, dscale = map(ours, (dP * size_P, dQ * size_Q, dscale.copy()))
    return Freedom(loss, directions, moved, dP, dQ, dscale, empty, ranks.kept, ranks.dropped)


# --- input ---


def _checked(P, Q, spec: Determined, gain):
    """P and Q with rows of root mean square length 1, these lengths, and the gain."""
    P, Q = real_array("P", P, ndim=2), real_array("Q", Q, ndim=2)
    require_same("Q, with as many columns as P", Q.shape[1], P.shape[1])
    if spec.tied and not np.array_equal(P, Q):
        raise ValueError(f"P takes the same vectors as Q for {spec.loss!r}, which has one encoder, got others")
    gain = np.ones(P.shape[1]) if gain is None else positive("gain", real_array("gain", gain, ndim=1))
    require_same("gain, one entry for each latent dimension", gain.size, P.shape[1])
    if gain.min() / gain.max() < _SPREAD:
        raise ValueError(f"gain takes numbers less far apart, got {gain.min():.6g} to {gain.max():.6g}")
    gain, _ = near_one(gain, far=0)
    sides = (("P", P, spec.unit_users, spec.gain_on == "P"), ("Q", Q, spec.unit_items, spec.gain_on == "Q"))
    (P, size_P), (Q, size_Q) = (_of_length_one(*side, gain) for side in sides)
    return P, Q, size_P, size_Q, gain


def _of_length_one(name, M, is_unit, has_gain, gain):
    """M with rows of root mean square length 1, and what they had, if the model can have them."""
    if not M.any():
        raise ValueError(f"{name} takes vectors that are not all 0, got zeros only")
    if is_unit:
        return unit_rows(name, M), 1.0
    M, exponent = near_one(M)  # so that its squares are floats
    length = np.linalg.norm(M / gain, axis=1)
    if has_gain and np.ptp(length) > _EQUAL * length.max():
        ratio = length.max() / length.min() if length.min() else np.inf
        raise ValueError(f"{name} / gain takes rows of one length, got a longest of {ratio:.12g} times the shortest")
    size = np.sqrt(np.mean((M**2).sum(axis=1)))
    with np.errstate(over="ignore"):
        in_units_of_M = np.ldexp(size, exponent)
    if in_units_of_M == np.inf:
        raise ValueError(f"{name} takes vectors whose lengths a float holds, got numbers of up to 2^{exponent}")
    return M / size, in_units_of_M


def _block_sizes(blocks, k):
    blocks = [1] * k if blocks is None else listed("blocks", blocks, "integers")
    sizes = [whole_number("blocks", size, low=1) for size in blocks]
    require_same("blocks, which add up to the columns of P", sum(sizes), k)
    return sizes


# --- what the moves do ---


def _but_for_rotations(P, Q, used, moves, ranks):
    """Orthonormal moves that span what is given but for rotations (P K, Q K) and moves into unused dimensions."""
    dP, dQ, dscale = moves
    W = np.vstack([P, Q]) @ used
    value, vectors = np.linalg.eigh(W.T @ W)
    W = W @ vectors
    dW = np.concatenate([dP, dQ], axis=1) @ used @ vectors
    twist = W.T @ dW
    K = (twist - twist.transpose(0, 2, 1)) / (value[:, None] + value)  # nearest rotation: K WᵀW + WᵀW K = WᵀdW − dWᵀW
    flat = np.column_stack([(dW - W @ K).reshape(len(dW), W.size), dscale])
    _, size, basis = scipy.linalg.svd(flat, full_matrices=False)
    basis = basis[: ranks.rank(size, floor=np.sqrt(len(W)))]
    dW = basis[:, :-1].reshape(len(basis), *W.shape) @ vectors.T @ used.T
    return dW[:, : len(P)], dW[:, len(P) :], basis[:, -1]


def _moved(P, Q, dP, dQ, names, ranks, squared_distances, units):
    """How many directions move each quantity: the rank of its derivative, over a fixed sample of its entries."""
    rows: dict[str, list] = {name: [] for name in names}
    most = max(_SAMPLE, 4 * len(dP))
    for change_P, change_Q in zip(dP, dQ):
        for name, change in changes(P, Q, change_P, change_Q, squared_distances, units):
            if change.size > most:
                change = change[np.random.default_rng(0).integers(change.size, size=most)]
            rows[name].append(change)
    return {name: ranks.rank(scipy.linalg.svdvals(each), 1.0) if each else 0 for name, each in rows.items()}

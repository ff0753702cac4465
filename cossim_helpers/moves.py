"""Finite moves of unit vectors that no probability sees: along a cone, and into dimensions that no score needs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ._ranks import axis_of_hyperplane
from ._validation import real_array, real_number, require_same, unit_rows

_ROUNDING = 1e-12  # in lengths
_APART = 1e-8  # how far the distances of items from the axis of their cone may be apart
_NO_CONE = "Q takes items on a cone: unit vectors with one inner product with an axis, which is not 0, got others"
_SMALLEST, _LARGEST = 1e-150, 1e150  # lengths whose squares are floats


class Moved(NamedTuple):
    """Users P, items Q and the scale s after a move."""

    P: np.ndarray
    Q: np.ndarray
    scale: float


def slide_cone(P, Q, height: float, *, scale: float = 1.0, new_scale: float | None = None) -> Moved:
    """Slide items that lie on a cone to another height: each user's scores change by one number, the cosines by a lot.

        z_i = h a + √(1 − h²) w_i   becomes   h′ a + √(1 − h′²) w_i,      ⟨z_i, z_j⟩ = h² + (1 − h²) ⟨w_i, w_j⟩
        z_u = g a + ξ_u             becomes   ±√(1 − |ξ′_u|²) a + ξ′_u,   s′ √(1 − h′²) ξ′_u = s √(1 − h²) ξ_u

    So all softmax probabilities of users over items stay. If the users lie on a cone around the same axis, the scores
    change by one number in all, and the probabilities of items over users stay as well.

    Parameters
    ----------
    P : array_like, shape (n, k)
        Users, unit vectors.
    Q : array_like, shape (p, k)
        Items, unit vectors with ⟨a, z_i⟩ = h > 0 for one unit vector a.
    height : float
        h′, from 0 up to but not including 1.
    scale, new_scale : float
        s and s′, positive. Default for s′: s √(1 − h²)/√(1 − h′²), at which the users stay where they are.

    Returns
    -------
    Moved
        P, Q, scale.

    Raises
    ------
    ValueError, TypeError
        For items on no cone, rows of another length than 1, or an s′ too small: s′ √(1 − h′²) takes at least
        s √(1 − h²) max |ξ_u|; for scales whose ratio no float holds.
    """
    P, Q = unit_rows("P", P), unit_rows("Q", Q)
    require_same("Q, with as many columns as P", Q.shape[1], P.shape[1])
    height = real_number("height", height, at_least=0.0, below=1.0)
    scale = real_number("scale", scale, above=0.0)
    axis = axis_of_hyperplane(Q)
    if axis is None:
        raise ValueError(_NO_CONE)
    axis /= np.linalg.norm(axis)
    off = Q - np.outer(Q @ axis, axis)
    sines = np.linalg.norm(off, axis=1)
    if sines.min() < 1e-7:
        raise ValueError(f"Q takes items that are not all equal, got {len(Q)} that are")
    if np.ptp(sines) > _APART:
        raise ValueError(_NO_CONE)
    across = [float(sines.mean()), float(np.sqrt((1 - height) * (1 + height)))]  # sin θ before and after
    around = off / sines[:, None]
    around -= np.outer(around @ axis, axis)  # where the cone is thin, rounding leans them on it
    new_Q = height * axis + across[1] * around
    if new_scale is None:
        if not 0 < (new_scale := scale * across[0] / across[1]) < np.inf:
            raise ValueError(f"scale takes a number from which s′ is a float, got {scale:g}, which makes {new_scale:g}")
        return Moved(P.copy(), new_Q, new_scale)
    new_scale = real_number("new_scale", new_scale, above=0.0)
    factor = (scale / new_scale) * (across[0] / across[1])
    if not 0 < factor < _LARGEST:
        raise ValueError(f"scale and new_scale take numbers less far apart, got {scale:g} and {new_scale:g}")
    heights = P @ axis
    off = (P - np.outer(heights, axis)) * factor  # ξ′
    square = (off**2).sum(axis=1)
    if square.max() > 1 + _ROUNDING:
        least = new_scale * np.sqrt(square.max())
        raise ValueError(f"new_scale takes at least {least:.6g} at this height and scale, got {new_scale:.6g}")
    along = np.copysign(np.sqrt(np.maximum(1 - square, 0)), heights)
    return Moved(off + np.outer(along, axis), new_Q, new_scale)


def lift_into_spare(P, Q, G, *, scale: float = 1.0, new_scale: float | None = None, signs=None) -> Moved:
    """Another model of unit vectors with the same scores, and two dimensions more: any invertible G, at some scale.

        z_u′ = (Gᵀ z_u, 0, √(1 − |Gᵀ z_u|²)),   z_i′ = (s/s′ G⁻¹ z_i, ε_i √(1 − |s/s′ G⁻¹ z_i|²), 0)

    Then s′ ⟨z_u′, z_i′⟩ = s ⟨z_u, z_i⟩. With G = I the users need no dimension more, and the items one:
    cos → a² cos + (1 − a²) ε_i ε_j with a = s/s′.

    Parameters
    ----------
    P : array_like, shape (n, k)
        Users, unit vectors.
    Q : array_like, shape (p, k)
        Items, unit vectors.
    G : array_like, shape (k, k)
        Invertible, with |Gᵀ z_u| ≤ 1 for all users.
    scale, new_scale : float
        s and s′. Default for s′: the smallest that G allows.
    signs : array_like, shape (p,), optional
        ε_i, each 1 or −1. Default: 1.

    Returns
    -------
    Moved
        P (n, k+2), Q (p, k+2), scale.

    Raises
    ------
    ValueError, TypeError
        For rows of another length than 1, a G that is singular or makes a user longer than 1, an s′ too small, or
        numbers that no float holds.
    """
    P, Q, G = unit_rows("P", P), unit_rows("Q", Q), real_array("G", G, ndim=2)
    require_same("Q, with as many columns as P", Q.shape[1], P.shape[1])
    require_same("G, k × k", G.shape, (P.shape[1], P.shape[1]))
    scale = real_number("scale", scale, above=0.0)
    if np.linalg.matrix_rank(G) < len(G):
        raise ValueError("G takes an invertible matrix, got a singular one")
    users, items = P @ G, _solved(G, Q)
    if (longest := np.linalg.norm(users, axis=1).max()) > 1 + _ROUNDING:
        raise ValueError(f"G takes a matrix that makes no user longer than 1, got a length of {longest:.6g}")
    least = scale * float(np.linalg.norm(items, axis=1).max())
    if not np.finfo(np.float64).tiny < least < np.inf:
        raise ValueError(f"scale takes a number for which s′ is a float, got {scale:g}, which makes {least:g}")
    new_scale = least if new_scale is None else real_number("new_scale", new_scale, above=0.0)
    if new_scale < least * (1 - _ROUNDING):
        raise ValueError(f"new_scale takes at least {least:.6g} with this G and this scale, got {new_scale:.6g}")
    items = scale * items / new_scale
    signs = np.ones(len(Q)) if signs is None else real_array("signs", signs, ndim=1)
    require_same("signs, one for each item of Q", signs.size, len(Q))
    if (other := signs[abs(signs) != 1]).size:
        raise ValueError(f"signs takes 1 and −1 only, got {other[0]:g}")
    rest_P, rest_Q = _rest(users), signs * _rest(items)
    zero_P, zero_Q = np.zeros_like(rest_P), np.zeros_like(rest_Q)
    return Moved(np.column_stack([users, zero_P, rest_P]), np.column_stack([items, rest_Q, zero_Q]), new_scale)


def _solved(G, Q):
    """Rows G⁻¹ z_i."""
    with np.errstate(over="ignore"):
        items = np.linalg.solve(G, Q.T).T
        longest = np.linalg.norm(items, axis=1).max()
    if not _SMALLEST < longest < _LARGEST:
        raise ValueError(f"G takes a matrix by whose inverse items have lengths that a float holds, got {longest:.6g}")
    return items


def _rest(M):
    """What a row lacks to the length 1, and 0 where that is rounding."""
    square = 1 - (M**2).sum(axis=1)
    return np.sqrt(np.where(square > _ROUNDING, square, 0.0))

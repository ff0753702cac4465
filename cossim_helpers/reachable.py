"""What cosines the minimizers of Eq. 1 can have, and a minimizer with the nearest neighbors that you name.

The optimal product is V_k dMat(d) V_kᵀ. Where it is unique and of rank k (σ_k > σ_{k+1}, or k = p with σ_p > 0), the
minimizers have the items B = V_k Y with any invertible Y, and their cosines are the normalized matrices V_k M V_kᵀ with
any positive-definite M. All that this module says follows from that, and depends on V_k only through its range: any
V_k Y does as well, such as the B of a minimizer.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg

from ._item_lists import IN_SPAN, ZERO, falling, items_to_choose, pairs, require_independent
from ._owned import ours
from ._scales import balanced, held, near_one
from ._validation import instance_of, real_array, real_number, require_same
from .closed_forms import Factors

_EPS = np.finfo(np.float64).eps
_PAIRS = 4_096  # pairs that are compared at a time


# --- how much is free ---


def matroid_components(V, *, tolerance: float = 1e-8, zero: float = ZERO) -> np.ndarray:
    """Connected components of the matroid of the rows of V: items whose lengths hang together.

        Π = V (VᵀV)⁻¹ Vᵀ;   items i and j are coupled if Π_ij ≠ 0: their whitened cosine is not 0

    The components are those of this graph. A smallest set of dependent rows (a circuit) never leaves one, and any two
    items of one component share such a set. So the cosines of a minimizer determine the ratio of two lengths within
    a component, and no ratio across. Most time goes by where each item is alone, at k = p: with 2,000 items about ten
    seconds on one core.

    Parameters
    ----------
    V : array_like, shape (p, k)
        Independent columns: V_k, or the item embeddings of any minimizer of full rank.
    tolerance : float
        Whitened cosines up to this count as 0. Exact zeros come out near 1e-16, divided by the relative gap between
        σ_k² and σ_{k+1}² and by the lengths of the two rows, and times the condition number of V.
    zero : float
        Rows up to this length, with the columns of V made orthonormal, count as zero rows. Those of a spectrum come out
        near 1e-16, divided by the same gap: take a larger number where it is below about 1e-4. Do not trust a count
        that moves with either tolerance.

    Returns
    -------
    ndarray of int, shape (p,)
        Labels 0 to c − 1 in the order of their first items, and −1 for zero rows.

    Raises
    ------
    ValueError, TypeError
        For NaN or infinite values, dependent columns of V, fewer rows than columns, or a tolerance that is no number
        from 0 to below 1.

    Examples
    --------
    >>> matroid_components([[1, 0, 0], [1, 1, 0], [0, 2, 0], [0, 0, 3], [0, 0, 0]])
    array([ 0,  0,  0,  1, -1])
    """
    rows = _unit_rows(V, real_number("zero", zero, at_least=0.0, below=1.0))
    tolerance = real_number("tolerance", tolerance, at_least=0.0, below=1.0)
    labels = np.where(rows.any(axis=1), -2, -1)  # −2: not reached yet
    label = 0
    while (new := np.flatnonzero(labels == -2)[:1]).size:
        while new.size:
            labels[new] = label
            left = np.flatnonzero(labels == -2)
            chunks = np.array_split(new, -(-new.size // 256))
            reached = [(abs(rows[chunk] @ rows[left].T) > tolerance).any(axis=0) for chunk in chunks]
            new = left[np.any(reached, axis=0)]
        label += 1
    return labels


def reachable_dimension(V, *, tolerance: float = 1e-8, zero: float = ZERO) -> int:
    """Dimension of the manifold of all item–item cosines that minimizers of Eq. 1 have: k(k+1)/2 − c.

    The numbers of a symmetric k × k matrix, less one free factor for each of the c components that
    `matroid_components` finds. Arguments and errors as there. It holds for σ_k > σ_{k+1}, or k = p with σ_p > 0.

    Examples
    --------
    >>> reachable_dimension([[1, 1], [1, -1]])  # k = p = 2: one cosine
    1
    """
    components = 1 + int(matroid_components(V, tolerance=tolerance, zero=zero).max())
    k = np.shape(V)[1]
    return k * (k + 1) // 2 - components


# --- which comparisons are not free ---


def comparison_is_determined(V, pair, other, *, tolerance: float = 1e-8) -> bool | np.ndarray:
    """Does cos(i, j) ≥ cos(l, m) hold at every minimizer of Eq. 1?

    With v_i the rows of V, none of the four zero, it does exactly if

        v_i = c v_j, c > 0 (the left side is always 1);   or   v_l = −c v_m, c > 0 (the right side is always −1);
        or v_i and v_j both lie in cone(v_l, v_m) = {a v_l + b v_m : a, b ≥ 0}, or both in its negative

    Where it does not, some minimizers bring cos(i, j) as near to −1 and, at once, cos(l, m) as near to 1 as you like.
    A pair with a zero row has cosine 0: then a sign that never changes decides.

    Parameters
    ----------
    V : array_like, shape (p, k)
        Independent columns: V_k, or the item embeddings of any minimizer of full rank.
    pair, other : array_like of int, shape (2,) or (m, 2)
        (i, j) and (l, m); one pair is compared with each of many.
    tolerance : float
        Angles up to this count as 0, between the rows of V with its columns made orthonormal. So each case holds for
        rows that are this near to it, up to a factor of 2. Rows up to 1e-12 count as zero.

    Returns
    -------
    bool, or ndarray of bool, shape (m,)

    Raises
    ------
    ValueError, TypeError
        For a V as in `matroid_components`, or pairs that are no integers from 0 to p − 1 of these shapes.

    Examples
    --------
    >>> V = [[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1]]
    >>> comparison_is_determined(V, (0, 1), (0, 2))  # item 1 lies between 0 and 2
    True
    >>> comparison_is_determined(V, (0, 2), [(0, 1), (1, 3)])
    array([False, False])
    """
    rows = _unit_rows(V, ZERO)
    tolerance = real_number("tolerance", tolerance, at_least=0.0, below=1.0)
    pair, other = pairs("pair", pair, len(rows)), pairs("other", other, len(rows))
    if pair.ndim == other.ndim == 2 and 1 not in (len(pair), len(other)):
        require_same("other, as many pairs as pair", len(other), len(pair))
    single = pair.ndim == other.ndim == 1
    left, right = np.broadcast_arrays(np.atleast_2d(pair), other)
    starts = range(0, len(left), _PAIRS)
    parts = [_determined(rows, left[s : s + _PAIRS].T, right[s : s + _PAIRS].T, tolerance) for s in starts]
    determined = np.concatenate(parts)
    return bool(determined[0]) if single else determined


def _determined(rows, pair, other, tolerance):
    """The rule of `comparison_is_determined`, for unit rows and columns of indices."""
    (b_i, b_j), (b_l, b_m) = rows[pair], rows[other]
    sine, cosine, aside = _angle(b_l, b_m)
    plane = sine > tolerance
    axis = np.divide(aside, sine[:, None], out=np.zeros_like(aside), where=plane[:, None])

    def in_cone(row):  # the angle of the row, from l towards m, in their plane
        along, across = (row * b_l).sum(axis=1), (row * axis).sum(axis=1)
        off = np.linalg.norm(row - along[:, None] * b_l - across[:, None] * axis, axis=1)
        turn = np.arctan2(across, along)
        return (off <= tolerance) & (-tolerance <= turn) & (turn <= np.arctan2(sine, cosine) + tolerance)

    left_zero, right_zero = (~rows.any(axis=1)[two].all(axis=0) for two in (pair, other))
    between = in_cone(b_i) & in_cone(b_j) | in_cone(-b_i) & in_cone(-b_j)
    sine_left, cosine_left, _ = _angle(b_i, b_j)
    always_1 = (sine_left <= tolerance) & (cosine_left > 0)
    always_minus_1 = ~plane & (cosine < 0)
    embedded = plane & ~left_zero & ~right_zero
    return always_1 | always_minus_1 | between & embedded | left_zero & right_zero


def _angle(a, b):
    """Sine and cosine of the angle between unit rows, and what of b is orthogonal to a."""
    cosine = (a * b).sum(axis=1)
    aside = b - cosine[:, None] * a
    return np.linalg.norm(aside, axis=1), cosine, aside


# --- a minimizer with the neighbors that you name ---


def factors_with_neighbors(factors: Factors, item: int, neighbors, *, cosines=None) -> Factors:
    """The same product A Bᵀ, and `neighbors`, in this order, are the nearest neighbors of `item` by cosine.

    Let Z be an orthonormal basis of the range of B, Π = Z Zᵀ, J the item and the list, and ℓ_j = √Π_jj. In general
    position, up to k − 2 neighbors are possible. The dot products of the new items are

        K = T dMat(ℓ) 𝒞 dMat(ℓ) Tᵀ + t² (Π − T Π_{J,·}),   T = Π_{·,J} Π_{JJ}⁻¹   (p × (N+1))

    𝒞 has row 0 (1, c_1, …, c_N) and the entries c_j c_l elsewhere, 1 on its diagonal. So K_JJ = dMat(ℓ) 𝒞 dMat(ℓ): the
    neighbors have the cosines c_1 > … > c_N > 0 with the item. T holds each item's coordinates in terms of the rows of
    J; the second term is what is left of it, stretched. With a = K_{o,item}/ℓ_item and K⁰ the first term,

        t² = max(1, max over other items o with a_o > 0 of ((a_o / (0.9 c_N))² − K⁰_oo) / (Π_oo − (T Π_{J,·})_oo))

    keeps the cosine of each other item with `item` at 0.9 c_N or below. The factors come from the same formulas by
    Z_J = L Qᵀ (L triangular, Q orthonormal): B = Z Y, Y = [Q L⁻¹ dMat(ℓ) H, t Q_⊥], with 𝒞 = H Hᵀ, and A follows.
    Rank 1 has no list: all cosines are ±1.

    Parameters
    ----------
    factors : Factors
        B of rank k. Any minimizer leads to the same cosines.
    item : int
    neighbors : array_like of int, shape (N,)
        Different from each other and from item; their rows and the item's are independent.
    cosines : array_like, shape (N,), optional
        The cosines c, falling, from 1e-10 to below 1. Default: evenly from 0.9 to 0.6.

    Returns
    -------
    Factors

    Raises
    ------
    ValueError, TypeError
        For arguments of another form; a B of a lower rank, or of rank 1; rows of J that are dependent (the smallest
        singular value of these rows, at unit length in Z, is at most 1e-8); another item in the span of J (at most 1e-8
        of its row is left) whose cosine would exceed 0.9 c_N: no stretch moves it; or cosines so near to each other or
        to 0 that rounding reorders the list: its error is about 1e-16 over that singular value.
    """
    instance_of("factors", factors, Factors)
    A, B, power, _ = balanced(factors.A, factors.B)  # A Bᵀ over 2^power: whatever their units
    Z, R = _orthonormal("the B of factors", B)
    chosen = items_to_choose(item, neighbors, *Z.shape)
    wanted = falling(cosines, len(chosen) - 1)
    lengths = np.linalg.norm(Z[chosen], axis=1)
    require_independent(Z[chosen], lengths)
    Q, Lt = scipy.linalg.qr(Z[chosen].T)  # Z_J = Lᵗᵀ Qᵀ, and the rest of Q is orthogonal to the rows of J
    count = len(chosen)
    H = np.diag(np.append(1.0, np.sqrt(1 - wanted**2)))
    H[1:, 0] = wanted
    Y = scipy.linalg.solve_triangular(Lt[:count], lengths[:, None] * H, trans="T")
    near, rest = Z @ (Q[:, :count] @ Y), Z @ Q[:, count:]
    squares = (Z**2).sum(axis=1)
    stretch = _stretch(near, rest, squares, chosen, 0.9 * wanted[-1])
    Y = np.hstack([Q[:, :count] @ Y, stretch * Q[:, count:]])
    B = Z @ Y
    B[chosen, count:] = 0.0  # these rows lie in the span; the stretch would multiply what rounding leaves of them
    _require_in_order(B, chosen, squares, wanted)
    new_A = np.linalg.solve(Y, R @ A.T).T  # A Bᵀ = (A Rᵀ) Zᵀ = (A Rᵀ Y⁻ᵀ)(Z Y)ᵀ
    takes = "factors takes numbers whose products a float holds"
    return Factors(ours(held(takes, new_A, power - power // 2)), ours(held(takes, B, power // 2)))


def _stretch(near, rest, squares, chosen, most):
    """The t of `factors_with_neighbors`: no other item has a cosine above `most` with the first one chosen."""
    along = near @ near[chosen[0]] / np.linalg.norm(near[chosen[0]])
    missing = (along / most) ** 2 - (near**2).sum(axis=1)
    missing[(along <= 0) | (squares <= ZERO**2)] = -np.inf
    missing[chosen] = -np.inf
    ahead = np.flatnonzero(missing > 0)
    left = (rest[ahead] ** 2).sum(axis=1)
    stuck = ahead[left <= IN_SPAN**2 * squares[ahead]]
    if stuck.size:
        raise ValueError(
            f"neighbors takes items whose rows, with item's, span no other row, got item {stuck[0]} in their span "
            f"with a cosine above {most:.3g}"
        )
    return np.sqrt((missing[ahead] / left).max(initial=1.0))


def _require_in_order(B, chosen, squares, wanted):
    """The cosines of the list fall strictly, and all others are below."""
    cosine = B @ B[chosen[0]] / np.maximum(np.linalg.norm(B, axis=1), np.finfo(np.float64).tiny)
    others = np.delete(cosine, np.append(chosen, np.flatnonzero(squares <= ZERO**2)))
    if (np.diff(np.append(cosine[chosen], others.max(initial=-np.inf))) >= 0).any():
        raise ValueError(
            "cosines takes numbers that rounding leaves in order, further apart for rows that are nearly dependent, "
            f"got {wanted.tolist()}"
        )


# --- what the functions above share ---


def _orthonormal(name, V):
    """Z (p, k) with orthonormal columns and R (k, k) with V = Z R, for a V of independent columns."""
    V = real_array(name, V, ndim=2)
    if V.shape[0] < V.shape[1]:
        raise ValueError(f"{name} takes at least as many rows as columns, got shape {V.shape}")
    Z, R = np.linalg.qr(V)
    size = np.linalg.svd(R, compute_uv=False)
    rank = (size > max(V.shape) * _EPS * size[0]).sum()
    if rank < V.shape[1]:
        raise ValueError(f"{name} takes independent columns, got a numerical rank of {rank} for shape {V.shape}")
    return Z, R


def _unit_rows(V, zero):
    """The rows of V with orthonormal columns, at unit length; those up to the length `zero` become exactly zero."""
    Z = _orthonormal("V", near_one(real_array("V", V, ndim=2), 250)[0])[0]
    lengths = np.linalg.norm(Z, axis=1, keepdims=True)
    return np.divide(Z, lengths, out=np.zeros_like(Z), where=lengths > zero)

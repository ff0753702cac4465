"""Moves of vectors that keep what a loss sees, from small linear systems: one solver for each kind of model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ._ranks import ZERO, axis_of_hyperplane, empty_space, null_space, row_space
from .losses import determined

_ROOM = 5e7  # numbers in the moves, at most: 400 MB

# --- two sides ---


@dataclass(frozen=True, eq=False)
class _Part:
    """A group of m unknowns x: what they do to the constraint of each row, and the move that they stand for."""

    users: np.ndarray  # (n, m): ⟨normal, dz_u⟩
    items: np.ndarray  # (p, m): ⟨normal, dz_i⟩
    move: Callable  # x (j, m) -> dP (j, n, k), dQ (j, p, k), dscale (j,)


def two_sided(P, Q, spec, learned, ranks, gain=None):
    """dP, dQ, dscale of all moves with d(s P Qᵀ) + t_u (or c, or nothing) = 0 that keep the constraints."""
    on = spec.gain_on
    normal_P = P if spec.unit_users else P / gain**2 if on == "P" else np.zeros_like(P)
    normal_Q = Q if spec.unit_items else Q / gain**2 if on == "Q" else np.zeros_like(Q)
    parts = [_linear(P, Q, normal_P, normal_Q, symmetric=gain is None)]
    parts += [_into_empty(P, Q, normal_P, normal_Q, swapped=False), _into_empty(Q, P, normal_Q, normal_P, swapped=True)]
    if learned:  # Q against s
        parts.append(_Part(np.zeros((len(P), 1)), -_dots(normal_Q, Q), lambda x: (0, -x[:, :, None] * Q, x[:, 0])))
    if gain is not None:  # the gain against the length before it
        parts.append(_Part(normal_P * P, normal_Q * Q, lambda x: (0, 0, 0)))
    if spec.sees in ("rows", "constant"):
        parts += _shifts(P, Q, normal_P, normal_Q, free_rows=spec.sees == "rows")
    constraints = np.vstack([np.hstack([part.users for part in parts]), np.hstack([part.items for part in parts])])
    if spec.balanced:
        constraints = np.vstack([constraints, _balance(P, Q, parts)])
    x = null_space(constraints[constraints.any(axis=1)], ranks)
    return _sum_of_moves(P, Q, parts, x)


def _sum_of_moves(P, Q, parts, x):
    if x.shape[0] * (P.size + Q.size) > _ROOM:
        raise ValueError(
            f"P and Q take fewer rows: {x.shape[0]} moves of {P.size + Q.size} numbers each; a sample of the users and "
            "of the items that spans as much has the same freedom where lengths are free"
        )
    dP, dQ, dscale = np.zeros((len(x), *P.shape)), np.zeros((len(x), *Q.shape)), np.zeros(len(x))
    ends = np.cumsum([part.users.shape[1] for part in parts])
    for part, values in zip(parts, np.split(x, ends, axis=1)):
        for total, change in zip((dP, dQ, dscale), part.move(values)):
            total += change
    return dP, dQ, dscale


def _linear(P, Q, normal_P, normal_Q, symmetric):
    """dP = P S, dQ = −Q Sᵀ. An antisymmetric S is a rotation, which matters only where the gain sees one."""
    k = P.shape[1]
    basis = _symmetric_basis(k) if symmetric else np.eye(k * k)
    flat = basis.reshape(len(basis), k * k).T

    def features(left, right):  # ⟨left_i, S right_i⟩ for all S of the basis
        return (left[:, :, None] * right[:, None, :]).reshape(len(left), k * k) @ flat

    def move(x):
        S = (x @ flat.T).reshape(len(x), k, k)
        return P @ S, -Q @ S.transpose(0, 2, 1), 0

    return _Part(features(P, normal_P), -features(normal_Q, Q), move)


def _symmetric_basis(k):
    """Orthonormal symmetric matrices, (k(k+1)/2, k, k)."""
    row, column = np.triu_indices(k)
    basis = np.zeros((len(row), k, k))
    basis[np.arange(len(row)), row, column] = basis[np.arange(len(row)), column, row] = np.sqrt(0.5)
    basis[row == column] *= np.sqrt(2)
    return basis


def _into_empty(M, other, normal, other_normal, swapped):
    """Moves of M into dimensions that `other` leaves empty: no score sees them."""
    directions = empty_space(other)  # (k, e)
    m, e = len(M), directions.shape[1]
    own = np.zeros((m, m, e))
    own[np.arange(m), np.arange(m)] = normal @ directions
    own, none = own.reshape(m, m * e), np.zeros((len(other), m * e))

    def move(x):
        change = x.reshape(len(x), m, e) @ directions.T
        return (0, change, 0) if swapped else (change, 0, 0)

    return _Part(none, own, move) if swapped else _Part(own, none, move)


def _shifts(P, Q, normal_P, normal_Q, free_rows):
    """Moves that add t_u, or one constant, to the scores."""
    n, k = P.shape
    axis = axis_of_hyperplane(Q)
    if axis is not None:  # the items lie in a hyperplane: users move along its axis, dP = −t aᵀ
        along = -normal_P @ axis
        if free_rows:
            return [_Part(np.diag(along), np.zeros((len(Q), n)), lambda x: (-x[:, :, None] * axis, 0, 0))]
        return [_Part(along[:, None], np.zeros((len(Q), 1)), lambda x: (-x[:, :, None] * axis, 0, 0))]
    # otherwise t = P m: items move together, dQ = −1 mᵀ
    directions = row_space(P)
    if not free_rows:
        axis = axis_of_hyperplane(P)
        directions = np.zeros((k, 0)) if axis is None else axis[:, None]
    none = np.zeros((n, directions.shape[1]))
    return [_Part(none, -normal_Q @ directions, lambda x: (0, -(x @ directions.T)[:, None, :], 0))]


def _balance(P, Q, parts):
    """d(PᵀP − QᵀQ) for each unknown."""
    if len({part.users.shape[1] for part in parts[1:]} | {0}) > 1:
        raise ValueError("P and Q take vectors that use the same dimensions where decay acts on both")
    M = P.T @ P + Q.T @ Q
    return np.stack([(S @ M + M @ S).ravel() for S in _symmetric_basis(P.shape[1])], axis=1)


def _dots(M, N):
    return (M * N).sum(axis=1, keepdims=True)


# --- other models ---


def euclidean(P, Q, spec, learned, ranks, units=(1.0, 1.0)):
    """2⟨z_u, z_i⟩ − |z_i|² up to t_u. dP = P S + 1 hᵀ, dQ = −Q S + 1 (h − m)ᵀ with ⟨z_i, S z_i⟩ + ⟨z_i, m⟩ = const.

    P and Q may be in units of their own: the lengths are `units` times theirs.
    """
    n, p, k = len(P), len(Q), P.shape[1]
    seen = np.column_stack([Q, (Q**2).sum(axis=1), np.ones(p)])
    if np.linalg.matrix_rank(np.column_stack([P, np.ones(n)])) <= k or np.linalg.matrix_rank(seen) < k + 2:
        raise ValueError("P takes users that lie in no hyperplane, Q items that lie in no hyperplane and on no sphere")
    linear = _linear(P, Q, np.zeros_like(P), Q, symmetric=True)
    none_P = np.zeros((n, k))
    parts = [
        linear,
        _Part(none_P, -Q, lambda x: (0, -x[:, None, :], 0)),  # m
        _Part(none_P, np.zeros_like(Q), lambda x: (x[:, None, :] * units[1], x[:, None, :] * units[0], 0)),  # h
        _Part(none_P[:, :1], np.ones((p, 1)), lambda x: (0, 0, 0)),  # the constant
    ]
    return _sum_of_moves(P, Q, parts, null_space(np.hstack([part.items for part in parts]), ranks))


def tied(P, Q, spec, learned, ranks):
    """d(s QQᵀ) + c 11ᵀ = 0, on the diagonal too if the loss sees it: −(ds/s) QQᵀ − c 11ᵀ + e I is the change of QQᵀ."""
    gram, one, left = Q @ Q.T, np.ones((len(Q), len(Q))), np.linalg.svd(Q, full_matrices=False)[0]
    changes = [gram] * learned + [one] * (spec.sees != "scores") + [np.eye(len(Q))] * (not spec.sees_diagonal)
    if not changes:
        return np.zeros((0, *P.shape)), np.zeros((0, *Q.shape)), np.zeros(0)
    outside = np.eye(len(Q)) - left @ left.T
    conditions = [np.ravel(outside @ change @ outside) for change in changes]  # no dimension is there for them
    if spec.unit_items:
        conditions = [np.concatenate([c, np.diag(change)]) for c, change in zip(conditions, changes)]
    x = null_space(np.column_stack(conditions), ranks, floor=1.0)
    half = (np.eye(len(Q)) - left @ left.T / 2) @ np.tensordot(x, changes, 1)
    dQ = half @ np.linalg.pinv(Q).T
    return dQ, dQ, -x[:, 0] if learned else np.zeros(len(x))


def of_blocks(P, Q, sizes, learned, ranks):
    """Scores of each prefix: each block by itself is a model of the dot product."""
    free, found = determined("squared"), []
    W = np.vstack([P, Q])
    blocks = [slice(end - size, end) for size, end in zip(sizes, np.cumsum(sizes))]
    for block in [block for block in blocks if W[:, block].any()]:
        inside = np.eye(P.shape[1])[:, block] @ row_space(W[:, block])
        dP, dQ, dscale = two_sided(P @ inside, Q @ inside, free, False, ranks)
        found.append((dP @ inside.T, dQ @ inside.T, dscale))
    return tuple(np.concatenate(moves) for moves in zip(*found))


def of_prefixes(P, Q, sizes, learned, ranks):
    """Cosines of each prefix, from the full Jacobian: for few vectors."""
    n, p, k = len(P), len(Q), P.shape[1]
    if (n + p) * k * n * p * len(sizes) > _ROOM:
        raise ValueError("P and Q take fewer rows or prefixes: the Jacobian has more numbers than fit")
    _require_prefixes(P, Q, np.cumsum(sizes))
    variables = np.eye((n + p) * k)
    dP, dQ = np.split(variables.reshape(len(variables), n + p, k), [n], axis=1)
    ends = np.cumsum(sizes)
    jacobian = np.zeros((len(ends), n * p, len(variables) + learned + len(ends)))  # and log s, and a constant each
    for number, end in enumerate(ends):
        (unit_P, change_P), (unit_Q, change_Q) = (_unit(M[:, :end], dM[:, :, :end]) for M, dM in ((P, dP), (Q, dQ)))
        change = change_P @ unit_Q.T + unit_P @ change_Q.transpose(0, 2, 1)
        jacobian[number, :, : len(variables)] = change.reshape(len(variables), n * p).T
        if learned:
            jacobian[number, :, len(variables)] = (unit_P @ unit_Q.T).ravel()
        jacobian[number, :, -1 - number] = 1
    lengths = np.zeros((n + p, jacobian.shape[2]))  # the length of a whole vector is seen by nobody: it stays 1
    lengths[:, : len(variables)] = (np.hstack([dP, dQ]) * np.vstack([P, Q])).sum(axis=2).T
    x = null_space(np.vstack([*jacobian, lengths]), ranks)
    dP, dQ = np.split(x[:, : len(variables)].reshape(len(x), n + p, k), [n], axis=1)
    return dP, dQ, x[:, len(variables)] if learned else np.zeros(len(x))


def _require_prefixes(P, Q, ends):
    for name, M in (("P", P), ("Q", Q)):
        for end in ends:
            if (length := np.linalg.norm(M[:, :end], axis=1).min()) <= ZERO:
                raise ValueError(
                    f"{name} takes rows whose prefixes are not 0, got a length of {length:.6g} up to {end}"
                )


def _unit(M, dM):
    """Rows of M at length 1, and their derivatives."""
    length = np.linalg.norm(M, axis=1, keepdims=True)
    unit = M / length
    return unit, (dM - unit * (unit * dM).sum(axis=2, keepdims=True)) / length

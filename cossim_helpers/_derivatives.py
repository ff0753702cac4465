"""How fast each quantity of the table of losses changes when the vectors P, Q move along dP, dQ."""

from __future__ import annotations

import numpy as np


def _kernel(M, dM):
    """MMᵀ and its derivative."""
    half = dM @ M.T
    return M @ M.T, half + half.T


def _cosines(K, dK):
    """Derivative of K_ij / √(K_ii K_jj) for all i < j; 0 for a row without a direction."""
    size = np.diag(K)
    kept = size > 1e-24 * size.max(initial=0.0)
    inverse = np.zeros(len(K))
    inverse[kept] = 1 / np.sqrt(size[kept])
    C, dC = K * np.outer(inverse, inverse), dK * np.outer(inverse, inverse)
    growth = np.diag(dC) / 2
    return (dC - C * (growth[:, None] + growth))[np.triu_indices(len(K), 1)]


def _centered(M):
    return M - M.mean(axis=0)


def _projector(M, dM):
    """M(MᵀM)⁺Mᵀ and its derivative while the rank of M stays."""
    left, size, right = np.linalg.svd(M, full_matrices=False)
    kept = size > 1e-10 * size[0]
    left, inverse = left[:, kept], right[kept].T / size[kept]
    outside = dM @ inverse
    half = (outside - left @ (left.T @ outside)) @ left.T
    return left @ left.T, half + half.T


def _without(direction, change):
    """`change` less its part along `direction`."""
    return change - direction * (np.vdot(direction, change) / max(np.vdot(direction, direction), 1e-300))


def _bend(values, change, skip_diagonal=False):
    """What no increasing straight line a·value + b explains of a change, for each row by itself."""
    rest = np.zeros_like(change)
    keep = np.ones(values.shape) - np.eye(*values.shape) * skip_diagonal > 0
    for row, (y, dy, kept) in enumerate(zip(values, change, keep) if keep.any() else ()):  # one item has no order
        y, dy = y[kept] - y[kept].mean(), dy[kept] - dy[kept].mean()
        rest[row, kept] = _without(y, dy)
    return rest.ravel()


def _distances(Q, dQ):
    K, dK = _kernel(_centered(Q), _centered(dQ))
    size, growth = np.diag(K), np.diag(dK)
    pairs = np.triu_indices(len(Q), 1)
    return (size[:, None] + size - 2 * K)[pairs], (growth[:, None] + growth - 2 * dK)[pairs]


def _unit(M, dM):
    length = np.linalg.norm(M, axis=1, keepdims=True)
    length[length == 0] = 1.0
    unit = M / length
    dM = dM / length
    return unit, dM - unit * (unit * dM).sum(axis=1, keepdims=True)


def _item_order(Q, dQ):
    Z, dZ = _unit(Q, dQ)
    C, dC = _kernel(Z, dZ)
    return _bend(C, dC, skip_diagonal=True)


def _columns(L, R, dL, dR):
    """Of the scores L Rᵀ: their columns have the inner products R (LᵀL) Rᵀ."""
    M, half = L.T @ L, dL.T @ L
    growth = (R @ half + dR @ M) @ R.T
    return _cosines(R @ M @ R.T, growth + growth.T)


def _scores(L, R, dL, dR):
    return L @ R.T, dL @ R.T + L @ dR.T


# What can be asked, and its derivative along (dP, dQ), where the factors of the scores L Rᵀ move by (dL, dR). What
# means something only up to a factor, or up to an increasing map, loses that part of its change.
OF_ITEMS = {
    "item_item_value": lambda Q, dQ: _cosines(*_kernel(Q, dQ)),
    "item_item_order": _item_order,
    "distance": lambda Q, dQ: _without(*_distances(Q, dQ)),
    "cka": lambda Q, dQ: _without(*_kernel(_centered(Q), _centered(dQ))).ravel(),
    "centered": lambda Q, dQ: _cosines(*_kernel(_centered(Q), _centered(dQ))),
    "whitened": lambda Q, dQ: _cosines(*_projector(Q, dQ)),
    "centered_whitened": lambda Q, dQ: _cosines(*_projector(_centered(Q), _centered(dQ))),
}
OF_USERS = {"user_user_value": lambda P, dP: _cosines(*_kernel(P, dP))}
OF_SCORES = {
    "user_item_value": lambda L, R, dL, dR: _scores(L, R, dL, dR)[1].ravel(),
    "user_item_order": lambda L, R, dL, dR: _bend(*_scores(L, R, dL, dR)),
    "score_columns": _columns,
    "centered_score_columns": lambda L, R, dL, dR: _columns(L, _centered(R), dL, _centered(dR)),
}


def changes(P, Q, dP, dQ, squared_distances, units=(1.0, 1.0)):
    """name, derivative for each quantity; scores are ⟨z_u, z_i⟩, or −|z_u − z_i|² of P, Q times these units."""
    yield from ((name, of(P, dP)) for name, of in OF_USERS.items())
    yield from ((name, of(Q, dQ)) for name, of in OF_ITEMS.items())
    factors = (P, Q, dP, dQ)
    if squared_distances:
        P, dP, Q, dQ = P * units[0], dP * units[0], Q * units[1], dQ * units[1]
        # −|z_u − z_i|² = ⟨(2 z_u, −|z_u|², −1), (z_i, 1, |z_i|²)⟩
        (u, du), (i, di) = _squares(P, dP), _squares(Q, dQ)
        one, zero, column = np.ones_like, np.zeros_like, np.column_stack
        factors = (column([2 * P, -u, -one(u)]), column([Q, one(i), i]),
                   column([2 * dP, -du, zero(u)]), column([dQ, zero(i), di]))  # fmt: skip
    yield from ((name, of(*factors)) for name, of in OF_SCORES.items())


def _squares(M, dM):
    return (M**2).sum(axis=1), 2 * (M * dM).sum(axis=1)

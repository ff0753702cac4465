"""Vectors whose cosines the training did determine: the repair that a vector database can store."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._ranks import less_the_mean
from .._validation import one_of, real_number, require_same, true_or_false
from ..losses import LOSSES, determined
from .tables import as_vectors, exact_blocks

_EPS = np.finfo(np.float64).eps


@dataclass(frozen=True)
class Repair:
    """A way to repair item vectors: what it needs, what of the old cosine it gives up, and what moves it no more."""

    needs_users: bool
    keeps: str


REPAIRS = {
    "predicted": Repair(True, "the cosines between predicted score columns; no invertible G moves them"),
    "canonical": Repair(
        True, "the same of scores less each user's mean; neither a G nor a shift of all items moves them"
    ),
    "balanced": Repair(True, "the cosines that a penalty on both sides would choose for these scores; no G moves them"),
    "whitened": Repair(False, "what no G moves without the other side; all directions weigh alike, noise too"),
    "centered": Repair(False, "all but the mean item; a shift of all items moves nothing, a G still does"),
    "plain": Repair(False, "the vectors as they are: for losses that determine their cosine, or its order"),
}
UNKNOWN = "unknown"


def repair_vectors(items, users=None, *, method: str | None = None, trained: str = UNKNOWN) -> np.ndarray:
    """Item vectors for a database that compares by cosine, repaired by one of `REPAIRS`.

    Parameters
    ----------
    items : array_like or data frame, shape (p, dim)
    users : array_like or data frame, shape (n, dim), optional
        The other tower: queries, users, contexts. Three of the methods need it.
    method : str, optional
        "predicted", "canonical", "balanced", "whitened", "centered" or "plain". Default: what `trained` calls for, by
        `default_repair`.
    trained : str
        The loss, one of `LOSSES`, or "unknown". For triplets of squared distances, which a common translation of both
        sides leaves alone, "canonical" subtracts the mean user as well.

    Returns
    -------
    ndarray of float64, shape (p, dim or fewer)

    Raises
    ------
    ValueError, TypeError
        For a method that needs users where none are given, items that are all equal where their mean is subtracted, and
        as `predicted_item_vectors`.
    """
    one_of("trained", trained, (*LOSSES, UNKNOWN))
    items = as_vectors("items", items)
    if users is not None:
        users = as_vectors("users", users, at_least=1)
        require_same("users, with as many columns as items", users.shape[1], items.shape[1])
    method = default_repair(trained, users is not None) if method is None else one_of("method", method, REPAIRS)
    if REPAIRS[method].needs_users and users is None:
        raise ValueError(f"users takes the vectors of the other side for method {method!r}, got None")
    if method in ("canonical", "centered"):
        items = _centered(items)
        if not items.any():
            raise ValueError(f"items takes vectors that differ, got one vector {len(items):,} times")
    if method in ("centered", "plain"):
        return items.astype(np.float64)
    if method == "whitened":
        return _in_principal_axes(_triangle(items), items, 1.0, names="items takes")
    if method == "canonical" and trained != UNKNOWN and determined(trained).repair_options.get("users_centered"):
        users = _centered(users)
    exponent = 0.5 if method == "balanced" else 0.0
    return _in_principal_axes(_triangle(users), items, exponent, names="users and items take")


def default_repair(trained: str, has_users: bool) -> str:
    """What a loss calls for: "plain" where it determines cosine or order, else the richest that is invariant."""
    has_users = true_or_false("has_users", has_users)
    if one_of("trained", trained, (*LOSSES, UNKNOWN)) == UNKNOWN:
        return "canonical" if has_users else "centered"
    row = determined(trained)
    if "yes" in (row.verdicts["item_item_value"].answer, row.verdicts["item_item_order"].answer):
        return "plain"
    sees_all = row.verdicts["score_columns"].answer == "yes"
    if has_users:
        return "predicted" if sees_all else "canonical"
    return "whitened" if sees_all and row.verdicts["item_item_order"].answer == "no" else "centered"


def predicted_item_vectors(P, Q, *, exponent: float = 0.0) -> np.ndarray:
    """Q (PᵀP)^{1/2} in its principal axes: vectors whose cosines are those between the columns of the scores P Qᵀ.

        P Qᵀ = Y dMat(s) Zᵀ  (singular value decomposition),   vectors Z dMat(s^{1−w})

    All (P G, Q G⁻ᵀ) give the same scores, hence the same vectors, whatever training left open. w = 0 keeps the scores'
    own weights; w = 1/2 is the choice of a penalty on both factors; w = 1 whitens.

    Parameters
    ----------
    P : array_like or data frame, shape (n, dim)
        Users, or queries: the other tower. Which of them are given matters as the weights of a mean do.
    Q : array_like or data frame, shape (p, dim)
        Items.
    exponent : float
        w, from 0 to 1.

    Returns
    -------
    ndarray of float64, shape (p, min(n, p, dim))
        By falling s; the sign of each column is fixed by its largest entry. Directions in which the scores are 0 up to
        rounding are 0. Where values of s are equal, their columns are determined up to a rotation; the cosines always
        are.

    Raises
    ------
    ValueError, TypeError
        For NaN or infinite values, other than dim columns, or scores that are all 0.

    References
    ----------
    Steck, Ekanadham and Kallus (2024), §3: leave the embedding space.
    """
    P, Q = as_vectors("P", P, at_least=1), as_vectors("Q", Q, at_least=1)
    exponent = real_number("exponent", exponent, at_least=0.0, at_most=1.0)
    require_same("Q, with as many columns as P", Q.shape[1], P.shape[1])
    return _in_principal_axes(_triangle(P), Q, exponent)


def _centered(Q: np.ndarray) -> np.ndarray:
    """Rows less their mean, in float64; a row at the mean is 0, as in `canonical_item_vectors`."""
    return less_the_mean(np.asarray(Q, dtype=np.float64))


def _in_principal_axes(root: np.ndarray, Q: np.ndarray, exponent: float, names: str = "P and Q take") -> np.ndarray:
    """Z dMat(s^{1−w}) of root Qᵀ = Y dMat(s) Zᵀ."""
    triangle = _triangle(Q)  # QᵀQ = triangleᵀ triangle
    Y, s, _ = np.linalg.svd(root @ triangle.T, full_matrices=False)
    if not s[0] > 0:
        raise ValueError(f"{names} vectors with scores, got scores that are all 0")
    kept = s > max(len(root), len(triangle)) * _EPS * np.linalg.norm(root, 2) * np.linalg.norm(triangle, 2)
    turn = root.T @ Y * np.where(kept, np.divide(1.0, s, out=np.zeros_like(s), where=kept) ** exponent, 0.0)
    vectors = np.empty((len(Q), len(s)))
    for first, rows in exact_blocks(Q):
        vectors[first : first + len(rows)] = rows @ turn
    top = vectors[abs(vectors).argmax(axis=0), np.arange(len(s))]
    return vectors * np.where(top < 0, -1.0, 1.0)


def _triangle(M: np.ndarray) -> np.ndarray:
    """R, at most square, with MᵀM = RᵀR, by QR of blocks: no square of M is formed, so small directions keep digits."""
    R = np.zeros((0, M.shape[1]))
    for _, rows in exact_blocks(M):
        R = np.asarray(np.linalg.qr(np.vstack([R, rows]), mode="r"))
    return R

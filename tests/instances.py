"""What tests run on: one collection of small data by name, each with a property that code and theorems must survive.

`INSTANCES` is frozen: a test that needs other numbers copies. The functions draw data of a kind from the test's own
generator. All of it is dense; a test of sparse input converts.
"""

import numpy as np
from oracles import orthonormal_columns, random_orthogonal, unit

from cossim_helpers import lift_into_spare


def interactions(seed, n, p, density=0.4):
    """0/1, each entry 1 with the given chance."""
    return (np.random.default_rng(seed).random((n, p)) < density).astype(float)


def planted_svd(sigma, n, p, rng):
    """A random n × p matrix with these singular values (and zeros), and its U and V."""
    U, V = orthonormal_columns(n, len(sigma), rng), orthonormal_columns(p, len(sigma), rng)
    return (U * np.asarray(sigma, float)) @ V.T, U, V


def with_singular_values(sigma, n, rng=0):
    """A random n × p matrix with exactly these p singular values; rng is a seed or a generator."""
    return planted_svd(sigma, n, len(sigma), np.random.default_rng(rng))[0]


def binary(rng, n, p):
    """0/1 with no empty row and column."""
    X = (rng.random((n, p)) < 0.5).astype(float)
    X[np.arange(n), np.arange(n) % p] = 1.0
    X[np.arange(p) % n, np.arange(p)] = 1.0
    return X


def communities(rng, *shapes, empty=0):
    """Communities that share neither users nor items, then empty items; all of them shuffled. And whose is whose."""
    X = np.zeros((sum(n for n, _ in shapes), sum(p for _, p in shapes) + empty))
    owner = np.full(X.shape[1], -1)
    row = column = 0
    for number, (n, p) in enumerate(shapes):
        X[row : row + n, column : column + p] = binary(rng, n, p)
        owner[column : column + p] = number
        row, column = row + n, column + p
    order = rng.permutation(X.shape[1])
    return X[rng.permutation(len(X))][:, order], owner[order]


def small_interactions(rng, n, p=6, share=0.5):
    """0/1, no empty row or column, two equal rows."""
    X = (rng.random((n, p)) < share).astype(float)
    X[range(n), rng.integers(p, size=n)] = 1.0
    X[1] = X[0]
    X[2] = X.sum(axis=0) == 0
    X[2, 0] = 1.0
    return X


def random_parameters(rng, model, normalization, p=6, k=3, width=4):
    shapes = {"W": (p, k), "B": (p, k), "b": (k,)}
    if model == "linear":
        del shapes["b"]
    if model == "two-tower":
        shapes = {
            "W": (p, width),
            "b": (width,),
            "W2": (width, k),
            "E": (p, k),
            "V1": (k, width),
            "c": (width,),
            "V2": (width, k),
        }
    if normalization == "layer":
        towers = ("user", "item") if model == "two-tower" else ("user",)
        shapes |= {f"{tower}_{what}": (k,) for tower in towers for what in ("gain", "shift")}
    if normalization == "unit":
        shapes |= {"log_scale": ()}
    return {name: np.array(rng.standard_normal(shape)) for name, shape in shapes.items()}


def equal_items():
    X = interactions(16, 14, 6)
    X[:, 4] = X[:, 1]
    return X


INSTANCES = {
    "tall": interactions(1, 30, 8),
    "n < p": interactions(2, 4, 7, 0.5),
    "square": np.random.default_rng(3).standard_normal((7, 7)),
    "signed": np.random.default_rng(5).standard_normal((15, 6)),
    "counts": np.random.default_rng(6).poisson(2, (25, 6)).astype(float),
    "rank 2 of 5": with_singular_values([3, 1, 0, 0, 0], 9),
    "ties": with_singular_values([4, 2, 2, 2, 1], 9),
    "a tie on top": with_singular_values([5, 5, 2, 1], 11),
    "all tied": with_singular_values([2, 2, 2, 2], 9),
    "condition number 1e3": with_singular_values(np.logspace(0, -3, 6), 12),
    "one item": interactions(4, 10, 1),
    "one user": interactions(7, 1, 5, 0.7),
    "one entry": np.array([[2.0]]),
    "empty user and item": np.pad(interactions(8, 20, 6), ((0, 1), (0, 1))),
    "equal items": equal_items(),
    "disconnected": communities(np.random.default_rng(9), (12, 4), (7, 3), empty=1)[0],
    "very sparse": interactions(10, 60, 12, 0.03),
    "zero": np.zeros((5, 3)),
}
for _X in INSTANCES.values():
    _X.setflags(write=False)


# --- vectors of two sides, for losses ---


def cone(directions, height):
    """Unit vectors at one height over the last axis."""
    return np.column_stack([np.sqrt(1 - height**2) * unit(directions), np.full(len(directions), height)])


def two_sides(seed, k):
    """name -> unit vectors P (n, k), Q (p, k): in general position, on cones, few, with dimensions to spare."""
    rng = np.random.default_rng([seed, k])
    n, p = k * (k + 1) // 2 + 3, k * (k + 1) // 2 + 4
    P, Q = unit(rng.standard_normal((n, k))), unit(rng.standard_normal((p, k)))
    cone_P, cone_Q = cone(rng.standard_normal((n, k - 1)), 0.4), cone(rng.standard_normal((p, k - 1)), -0.3)
    R, S = random_orthogonal(k, rng), random_orthogonal(k + 1, rng)
    signs, G = np.where(rng.random(p) < 0.5, 1.0, -1.0), 0.5 * np.eye(k) + 0.1 * rng.standard_normal((k, k))
    one = lift_into_spare(P, Q, np.eye(k), new_scale=1.3, signs=signs)
    two = lift_into_spare(P, Q, G, new_scale=1.2 * lift_into_spare(P, Q, G).scale)
    users_alone = unit(np.hstack([P, rng.standard_normal((n, 1))])), np.hstack([Q, np.zeros((p, 1))])
    return {
        "generic": (P, Q),
        "items on a cone": (P, cone_Q @ R),
        "users on a cone": (cone_P @ R, Q),
        "coaxial cones": (cone_P @ R, cone_Q @ R),
        "cones of two axes": (cone_P, cone_Q @ R),
        "users orthogonal to the items' axis": (unit(np.vstack([P[:k], P[k:] * (np.arange(k) < k - 1)])), cone_Q),
        "one unused dimension": (np.hstack([P, np.zeros((n, 1))]), np.hstack([Q, np.zeros((p, 1))])),
        "one spare dimension": (one.P[:, :-1] @ S, one.Q[:, :-1] @ S),
        "two spare dimensions": (two.P, two.Q),
        "a dimension of the users alone": (users_alone[0] @ S, users_alone[1] @ S),
        "few": (P[: k + 1], Q[: k + 1]),
        "few users": (P[:k], Q),
        "few items": (P, Q[:k]),
        "repeated": (P[np.arange(n) % (k + 1)], Q[np.arange(p) % (k + 2)]),
    }


FEW = ("few", "few users", "few items", "repeated")


def for_model(spec, P, Q, seed=0):
    """The instance as vectors that the model can have, and its gain."""
    rng = np.random.default_rng([seed, len(P)])
    if spec.tied:
        return (Q, Q, None) if spec.unit_items else (2.0 * Q, 2.0 * Q, None)
    if spec.gain_on:
        gain = rng.uniform(0.5, 2.0, P.shape[1])
        return (P * gain, Q, gain) if spec.gain_on == "P" else (P, Q * gain, gain)
    if spec.balanced:  # P Qᵀ = left dMat(size) rightᵀ, with PᵀP = QᵀQ
        left, size, right = np.linalg.svd(P @ Q.T, full_matrices=False)
        size, k = np.sqrt(np.where(size > 1e-9, size, 0)), P.shape[1]
        size, left, right = size[:k], left[:, :k], right[:k]
        wide = np.zeros((len(size), k))
        np.fill_diagonal(wide, size)
        return left @ wide, right.T @ wide, None
    if spec.sees == "squared distances":
        return P * rng.uniform(1, 2, (len(P), 1)), Q * rng.uniform(1, 2, (len(Q), 1)), None
    return P, Q, None

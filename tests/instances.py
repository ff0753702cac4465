"""What tests run on: one collection of small data by name, each with a property that code and theorems must survive.

`INSTANCES` is frozen: a test that needs other numbers copies. The functions draw data of a kind from the test's own
generator. All of it is dense; a test of sparse input converts.
"""

import numpy as np
from oracles import orthonormal_columns


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

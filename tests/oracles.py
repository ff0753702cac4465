"""Slow, independent ways to the numbers that the helpers compute: definitions, loops and a general optimizer."""

import math

import numpy as np
import scipy.optimize

from cossim_helpers import Factors


def cosine_by_loops(P, Q):
    """The definition of cosine, one pair at a time; 0 for a row of zeros."""
    cosine = [[0.0] * len(Q) for _ in P]
    for i, p in enumerate(P):
        for j, q in enumerate(Q):
            lengths = math.sqrt(math.fsum(x * x for x in p)) * math.sqrt(math.fsum(x * x for x in q))
            if lengths > 0:
                cosine[i][j] = math.fsum(x * y for x, y in zip(p, q)) / lengths
    return np.array(cosine)


def eq1_by_hand(X, A, B, lam):
    product = A @ B.T
    return np.linalg.norm(X - X @ product, "fro") ** 2 + lam * np.linalg.norm(product, "fro") ** 2


def eq2_by_hand(X, A, B, lam):
    return (np.linalg.norm(X - X @ A @ B.T, "fro") ** 2
            + lam * (np.linalg.norm(X @ A, "fro") ** 2 + np.linalg.norm(B, "fro") ** 2))


def minimize_by_lbfgs(objective, gradient, shape, rng, scale=0.5):
    """(A, B) where L-BFGS ends from one random start; objective and gradient take Factors."""
    size = math.prod(shape)

    def unpack(z):
        return Factors(z[:size].reshape(shape), z[size:].reshape(shape))

    result = scipy.optimize.minimize(
        lambda z: objective(unpack(z)),
        scale * rng.standard_normal(2 * size),
        jac=lambda z: np.concatenate([g.ravel() for g in gradient(unpack(z))]),
        method="L-BFGS-B",
        options={"maxiter": 20_000, "maxfun": 40_000, "ftol": 0.0, "gtol": 1e-9, "maxcor": 30},
    )
    return unpack(result.x)


def random_orthogonal(k, rng):
    return np.linalg.qr(rng.standard_normal((k, k)))[0]

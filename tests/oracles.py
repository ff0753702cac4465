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
    return np.linalg.norm(X - X @ A @ B.T, "fro") ** 2 + lam * (
        np.linalg.norm(X @ A, "fro") ** 2 + np.linalg.norm(B, "fro") ** 2
    )


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


def orthonormal_columns(rows, columns, rng):
    return np.linalg.qr(rng.standard_normal((rows, columns)))[0]


def random_orthogonal(k, rng):
    return orthonormal_columns(k, k, rng)


# --- the formulas of Recipe, a user and an item at a time; w holds the parameters ---

WEIGHTS = {"W", "B", "W2", "E", "V1", "V2"}  # what Recipe calls weights


def relu(v):
    return np.array([max(value, 0.0) for value in v])


def scaled(x):
    return x / math.sqrt(x.sum()) if x.any() else x


def layer_by_hand(v, gain, shift):
    mean = math.fsum(v) / len(v)
    variance = math.fsum((value - mean) ** 2 for value in v) / len(v)
    return np.array([g * (value - mean) / math.sqrt(variance + 1e-5) + h for value, g, h in zip(v, gain, shift)])


def unit_by_hand(v):
    return v / math.sqrt(math.fsum(v**2)) if v.any() else v


def user_by_hand(recipe, w, inputs):
    u = inputs @ w["W"]
    if recipe.model != "linear":
        u = relu(u + w["b"])
    if recipe.model == "two-tower":
        u = u @ w["W2"]
    if recipe.normalization == "layer":
        u = layer_by_hand(u, w["user_gain"], w["user_shift"])
    return np.exp(w["log_scale"]) * unit_by_hand(u) if recipe.normalization == "unit" else u


def item_by_hand(recipe, w, i):
    if recipe.model != "two-tower":
        item = w["B"][i]
    else:
        item = relu(w["E"][i] @ w["V1"] + w["c"]) @ w["V2"]
        if recipe.normalization == "layer":
            item = layer_by_hand(item, w["item_gain"], w["item_shift"])
    return unit_by_hand(item) if recipe.normalization == "unit" else item


def log_sum_exp(values):
    largest = max(values)
    return largest + math.log(math.fsum(math.exp(value - largest) for value in values))


def loss_by_hand(recipe, w, X, positives=None, masks=None, log_q=None):
    """One batch X; `masks` holds 0 for what is dropped."""
    total, interactions_of_all, users = 0.0, X.sum(), []
    items = [item_by_hand(recipe, w, i) for i in range(X.shape[1])]
    for a, x in enumerate(X):
        seen = x.copy()
        if positives is not None:
            seen[positives[a]] = 0.0
        inputs = scaled(seen) if masks is None else scaled(seen) * masks[a] / (1 - recipe.dropout)
        users.append(user_by_hand(recipe, w, inputs))
    for a, (x, u) in enumerate(zip(X, users)):
        if recipe.model in ("linear", "squared"):
            total += sum((x_i - u @ item) ** 2 for x_i, item in zip(x, items)) / len(X)
        elif recipe.model == "softmax":
            scores = [u @ item for item in items]
            total -= sum(x_i * (score - log_sum_exp(scores)) for x_i, score in zip(x, scores)) / interactions_of_all
        else:
            rivals = [j for c, j in enumerate(positives) if c == a or j != positives[a]]
            scores = [u @ items[j] - log_q[j] for j in rivals]
            own = u @ items[positives[a]] - log_q[positives[a]]
            total -= (own - log_sum_exp(scores)) / len(X)
    return total + recipe.decay * sum(np.sum(value**2) for name, value in w.items() if name in WEIGHTS)

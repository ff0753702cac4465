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


# --- what a loss leaves free: the plain Jacobian of every equation that must hold, by complex steps ---

STEP = 1e-30  # derivatives without rounding


def unit(M):
    return M / np.sqrt((M**2).sum(axis=1, keepdims=True))


def equations(spec, n, p, k, learned, sizes, gain):
    """x -> what must not change, and how many unknowns stand behind P and Q in x."""
    ends = np.cumsum(sizes)
    count = {"rows": n, "squared distances": n, "constant": 1, "prefixes": len(ends)}.get(spec.sees, 0)
    extra = 1 + count + (k if spec.gain_on else 0)

    def stays(x):
        P, Q, rest = x[: n * k].reshape(n, k), x[n * k : (n + p) * k].reshape(p, k), x[(n + p) * k :]
        log_s, t, log_gain = rest[0], rest[1 : 1 + count], rest[1 + count :]
        s = np.exp(log_s) if learned else 1.0
        out = [] if learned else [log_s]
        if spec.sees == "blocks":
            out += [P[:, :end] @ Q[:, :end].T for end in ends]
        elif spec.sees == "prefixes":
            out += [s * unit(P[:, :end]) @ unit(Q[:, :end]).T + t[i] for i, end in enumerate(ends)]
        elif spec.sees == "squared distances":
            out.append(((P[:, None] - Q) ** 2).sum(axis=2) + t[:, None])
        elif spec.tied:
            gram = s * Q @ Q.T + (t[0] if count else 0)
            out += [gram if spec.sees_diagonal else gram[np.triu_indices(p, 1)], P - Q]
        else:
            out.append(s * P @ Q.T + (t[:, None] if spec.sees == "rows" else t[0] if count else 0))
        if spec.unit_users:
            out += [(P**2).sum(axis=1), (Q**2).sum(axis=1)]
        if spec.balanced:
            out.append(P.T @ P - Q.T @ Q)
        if spec.gain_on:
            out.append((((P if spec.gain_on == "P" else Q) / (gain * np.exp(log_gain))) ** 2).sum(axis=1))
        return np.concatenate([np.ravel(part) for part in out])

    return stays, extra


def derivative(function, x, directions):
    """Of a function, along each column."""
    changes = [np.imag(function(x + 1j * STEP * direction)) / STEP for direction in directions.T]
    return np.stack(changes, axis=1) if changes else np.zeros((1, 0))


def rank(M):
    size = np.linalg.svd(M, compute_uv=False) if M.size else np.zeros(1)
    return int((size > 1e-9 * max(size[0], 1.0)).sum())


def cosines(K):
    length = np.sqrt(np.diag(K))
    return (K / (length[:, None] * length))[np.triu_indices(len(K), 1)]


def quantities(P, Q, squared_distances):
    """Each quantity, and the directions that do not count: a factor, or a line for each row."""
    Z = -((P[:, None] - Q) ** 2).sum(axis=2) if squared_distances else P @ Q.T
    H = np.eye(len(Q)) - 1 / len(Q)
    HQ, C = H @ Q, unit(Q) @ unit(Q).T
    distance = ((Q[:, None] - Q) ** 2).sum(axis=2)

    def projector(M):
        _, size, right = np.linalg.svd(np.real(M), full_matrices=False)
        M = M @ right[size > 1e-9 * size[0]].T  # independent columns
        return M @ np.linalg.solve(M.T @ M, M.T)

    return {
        "user_item_value": Z,
        "user_item_order": Z,
        "item_item_value": cosines(Q @ Q.T),
        "item_item_order": C[~np.eye(len(C), dtype=bool)].reshape(len(C), -1),
        "user_user_value": cosines(P @ P.T),
        "distance": distance,
        "cka": HQ @ HQ.T,
        "centered": cosines(HQ @ HQ.T),
        "whitened": cosines(projector(Q)),
        "centered_whitened": cosines(projector(HQ)),
        "score_columns": cosines(Z.T @ Z),
        "centered_score_columns": cosines((Z @ H).T @ (Z @ H)),
    }


def nuisance(name, value):
    """Changes of a quantity that mean nothing: columns."""
    if name in ("distance", "cka"):
        return value.reshape(-1, 1)
    if name.endswith("order"):
        rows = [
            np.outer(np.eye(len(value))[r], row).ravel() for r in range(len(value)) for row in (value[r], value[r] ** 0)
        ]
        return np.stack(rows, axis=1)
    return np.zeros((value.size, 1))


def null_directions(P, Q, spec, learned, sizes=None, gain=None):
    """All unknowns in one vector, and columns that keep every equation: rotations and unused dimensions included."""
    (n, k), p = P.shape, len(Q)
    stays, extra = equations(spec, n, p, k, learned, sizes or [1] * k, gain)
    x = np.concatenate([P.ravel(), Q.ravel(), np.zeros(extra)])
    _, size, right = np.linalg.svd(derivative(stays, x, np.eye(len(x))))
    return x, right[(size > 1e-9 * size[0]).sum() :].T


def free_directions(P, Q, spec, learned, sizes=None, gain=None):
    """(directions, moved) from the plain Jacobian: what moves inner products of vectors, or s, is a direction."""
    (n, k), p = P.shape, len(Q)
    x, free = null_directions(P, Q, spec, learned, sizes, gain)

    def shapes(x):
        W = x[: (n + p) * k].reshape(n + p, k)
        return np.append(np.ravel(W @ W.T), x[(n + p) * k])

    def all_quantities(x):
        vectors = x[: (n + p) * k].reshape(n + p, k)
        return quantities(vectors[:n], vectors[n:], spec.sees == "squared distances")

    real = derivative(shapes, x, free)
    _, size, right = np.linalg.svd(real, full_matrices=False) if real.size else (0, np.zeros(0), np.zeros((0, 0)))
    directions, moved, free = int((size > 1e-9).sum()), {}, free @ right[size > 1e-9].T
    values = all_quantities(x)
    changes = [all_quantities(x + 1j * STEP * direction) for direction in free.T]
    for name, value in values.items():
        change = np.stack([np.ravel(np.imag(each[name])) / STEP for each in changes] or [np.zeros(value.size)], axis=1)
        dull = nuisance(name, value)
        moved[name] = rank(change - dull @ np.linalg.lstsq(dull, change, rcond=None)[0])
    return directions, moved


def interactions_by_sorting(data, n_clusters, *, exponent, least, most, alpha, seed):
    """X anew, dense, from the items of `data`: whole blocks of 500 users, and every user's times sorted in float64.

    `alpha` is the Dirichlet law's, or None for uniform preferences; `seed` a SeedSequence without children so far.
    """
    n_users, n_items = data.X.shape
    values = np.arange(least, most + 1)
    law = values**-exponent / np.sum(values**-exponent)
    blocks = []
    for child in seed.spawn(1 + -(-n_users // 500))[1:]:
        rng = np.random.default_rng(child)
        preference = rng.random((500, n_clusters)) if alpha is None else rng.dirichlet([alpha] * n_clusters, 500)
        k_u = rng.choice(values, 500, p=law)
        times = rng.standard_exponential((500, n_items))
        X = np.zeros((500, n_items))
        for u in range(500):
            order = np.argsort(times[u] / (preference[u, data.item_cluster] * data.item_popularity))
            X[u, order[: k_u[u]]] = 1
        blocks.append(X)
    return np.concatenate(blocks)[:n_users]

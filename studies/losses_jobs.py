"""Trainings by contrast and what is measured of them: what a worker of studies/losses.py does."""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import scipy.special

from cossim_helpers import cosine_similarity, max_norm, neighbor_weights, train_contrastive

# --- lookup tables ---

SIDE, TRUE_RANK, TRUE_SCALE, SHORTEST = 80, 5, 6.0, 0.3  # users, and items; of the truth


def unit(M):
    return M / np.linalg.norm(M, axis=1, keepdims=True)


def truth(kind, seed):
    """(users, items) with scores users @ items.T: random directions; in "lengths" of random lengths as well."""
    rng = np.random.default_rng([seed, 0])
    users, items = (unit(rng.standard_normal((SIDE, TRUE_RANK))) for _ in range(2))
    if kind == "lengths":
        users, items = (M * rng.uniform(SHORTEST, 1, (SIDE, 1)) for M in (users, items))
    return TRUE_SCALE * users, items


@dataclass(frozen=True)
class Lookup:
    """How lookup tables are trained: the truth, and what `train_contrastive` takes."""

    truth: str = "unit"
    k: int = 10
    loss: str = "symmetric"
    unit: bool = True
    scale: float = TRUE_SCALE
    learn_scale: bool = False
    optimizer: str = "l-bfgs"


def trained_lookup(recipe, seed, start):
    users, items = truth(recipe.truth, seed)
    rng = np.random.default_rng([seed, 1, start])
    P, Q = rng.standard_normal((2, SIDE, recipe.k))
    options = {name: getattr(recipe, name) for name in ("loss", "unit", "scale", "learn_scale", "optimizer")}
    return train_contrastive(users @ items.T, P, Q, **options)


def lookup(recipe, seed):
    """Two starts of one recipe against each other and against the truth."""
    users, items = truth(recipe.truth, seed)
    models = [trained_lookup(recipe, seed, start) for start in (0, 1)]
    cosines = [cosine_similarity(M) for M in (items, models[0].Q, models[1].Q)]
    canonical = [canonical_cosine(*pair) for pair in ((users, items), *((one.P, one.Q) for one in models))]
    return {
        "gamma": max_norm(users, items),
        "scale": [one.scale for one in models],
        "excess": [one.excess for one in models],
        "gradient": [one.gradient for one in models],
        "steps": [one.steps for one in models],
        **compared("cosine", cosines),
        **compared("canonical", canonical),
    }


def compared(name, three):
    """Of the truth and of two trainings: largest difference and overlap@10 of the two, and each with the truth."""
    of_truth, *two = three
    return {
        f"{name} difference": float(abs(two[0] - two[1]).max()),
        f"{name} overlap": overlap(*two),
        f"{name} difference from truth": [float(abs(one - of_truth).max()) for one in two],
        f"{name} overlap with truth": [overlap(one, of_truth) for one in two],
    }


def overlap(one, other, k=10):
    """Share of the k nearest neighbors that two tables of cosines have in common."""
    return float(np.sum(neighbor_weights(one, k) * neighbor_weights(other, k)) / (k * len(one)))


def canonical_cosine(P, Q):
    """Cosines of the rows of (Q − 1q̄ᵀ)(PᵀP)^{1/2}: any root of PᵀP gives the same."""
    return cosine_similarity((Q - Q.mean(axis=0)) @ np.linalg.qr(P, mode="r").T)


# --- towers and a tied encoder ---

FEATURES, HIDDEN, BATCH, SHOWN = 8, 128, 64, 200  # SHOWN: users, and items, that nothing was trained on
BEND, TRUE_HIDDEN = 0.5, 32  # of the truth: how far its units leave their linear range, and how many they are
HIGH = 0.7  # a cosine that is called high
STARTS = {"first": (0, 1.0), "second": (1, 1.0), "stretch 4": (0, 4.0), "stretch 16": (0, 16.0)}


@dataclass(frozen=True)
class Encoders:
    """How networks are trained; their truth is a pair of networks, or one, with unit vectors.

    tied : one encoder on both sides
    true_k, true_scale : of the truth
    scale : None if it is trained, from 1 / 0.07
    decay : AdamW's, of the weights alone
    """

    tied: bool = False
    true_k: int = 8
    true_scale: float = 8.0
    k: int = 8
    loss: str = "symmetric"
    unit: bool = True
    scale: float | None = None
    decay: float = 0.0
    steps: int = 6_000
    learning_rate: float = 5e-3


def encoder(rng, k, width=HIDDEN):
    """A network with one hidden layer and normal weights that keep the size of a vector."""
    return {
        "W": rng.standard_normal((FEATURES, width)) / np.sqrt(FEATURES),
        "b": np.zeros(width),
        "V": rng.standard_normal((width, k)) * np.sqrt(2 / (width * k)),
        "c": np.zeros(k),
    }


def true_layers(recipe, seed):
    """The weights of the truth on both sides, which for a tied encoder are the same."""
    rng = np.random.default_rng([seed, 2])
    layers = [(BEND * one["W"], one["V"]) for one in (encoder(rng, recipe.true_k, TRUE_HIDDEN) for _ in range(2))]
    return layers[0], layers[0] if recipe.tied else layers[1]


def true_vectors(recipe, seed):
    """Two functions from features to the unit vectors of the truth: odd, so that they lean nowhere on average."""
    return [lambda xp, x, W=W, V=V: odd(xp, x, W, V) for W, V in true_layers(recipe, seed)]


def odd(xp, x, W, V):
    return _unit(xp, xp.tanh(x @ W) @ V)


def start_of(recipe, seed, number, stretch=1.0):
    """Parameters to start from. A stretch t: G on the users' side, G⁻ᵀ on the items', singular values 1/t to t.

    It moves no dot product: neither layer has a shift yet.
    """
    rng = np.random.default_rng([seed, 3, number])
    sides = [encoder(rng, recipe.k) for _ in range(1 if recipe.tied else 2)]
    if stretch != 1:
        rng = np.random.default_rng([seed, 4])
        left, right = (np.linalg.qr(rng.standard_normal((recipe.k, recipe.k)))[0] for _ in range(2))
        strengths = np.geomspace(1 / stretch, stretch, recipe.k)
        for side, d in zip(sides, (strengths, 1 / strengths)):
            side["V"] = side["V"] @ (left * d) @ right
    log_scale = np.log(1 / 0.07) if recipe.scale is None else np.log(recipe.scale)
    return {"sides": sides, "log_scale": np.array(log_scale if recipe.unit else 0.0)}


def vectors(xp, parameters, recipe, users, items):
    first, last = parameters["sides"][0], parameters["sides"][-1]
    P, Q = (xp.maximum(x @ w["W"] + w["b"], 0) @ w["V"] + w["c"] for x, w in ((users, first), (items, last)))
    return (_unit(xp, P), _unit(xp, Q)) if recipe.unit else (P, Q)


def decayed(parameters):
    """What decay acts on: neither biases nor the scale."""
    return {"sides": [{name: name in "WV" for name in side} for side in parameters["sides"]], "log_scale": False}


def _unit(xp, M):
    return M / xp.sqrt((M**2).sum(axis=1, keepdims=True) + 1e-12)


def excess(log_softmax, xp, scores, true_scores, loss):
    """Mean of KL(softmax(true) ‖ softmax(scores)) over the users, or over both sides."""

    def of(axis):
        log_truth = log_softmax(true_scores, axis=axis)
        gap = log_softmax(scores, axis=axis) - log_truth
        return -(xp.exp(log_truth) * gap).sum(axis=axis).mean()

    return (of(1) + of(0)) / 2 if loss == "symmetric" else of(1)


def train_encoders(recipe, seed, number, stretch=1.0):
    """The parameters after AdamW on new users and items at each step, whose true probabilities are known."""
    import jax  # seconds, which reading the table does not need

    with jax.enable_x64(True):
        run = _training(replace(recipe, decay=0.0, true_scale=1.0, true_k=1), (BATCH, FEATURES))
        truth = true_layers(recipe, seed), recipe.true_scale
        key = jax.random.key(1_000 * seed + number)  # a stretched start sees the same users and items
        return jax.tree.map(np.asarray, run(start_of(recipe, seed, number, stretch), key, truth, recipe.decay))


@lru_cache
def _training(recipe, batch):
    """To compile it takes seconds: the truth and the decay are handed in; all else is written into the program."""
    import jax
    import jax.numpy as jnp
    import optax

    rate = optax.cosine_decay_schedule(recipe.learning_rate, recipe.steps)
    free = recipe.unit and recipe.scale is None

    def batch_loss(parameters, users, items, truth):
        P, Q = vectors(jnp, parameters, recipe, users, items)
        log_scale = parameters["log_scale"] if free else jax.lax.stop_gradient(parameters["log_scale"])
        layers, true_scale = truth
        true = true_scale * odd(jnp, users, *layers[0]) @ odd(jnp, items, *layers[1]).T
        return excess(jax.nn.log_softmax, jnp, jnp.exp(log_scale) * P @ Q.T, true, recipe.loss)

    @jax.jit
    def run(parameters, key, truth, decay):
        adam = optax.adamw(rate, weight_decay=decay, mask=decayed)

        def step(state, key):
            parameters, moments = state
            users, items = jax.random.normal(key, (2, *batch))
            slope = jax.grad(batch_loss)(parameters, users, items, truth)
            change, moments = adam.update(slope, moments, parameters)
            change["log_scale"] = change["log_scale"] * free
            return (optax.apply_updates(parameters, change), moments), None

        state = parameters, adam.init(parameters)
        return jax.lax.scan(step, state, jax.random.split(key, recipe.steps))[0][0]

    return run


def shown(recipe, seed):
    """Features of users and items that nothing was trained on, and their true vectors."""
    users, items = np.random.default_rng([seed, 5]).standard_normal((2, SHOWN, FEATURES))
    of_users, of_items = true_vectors(recipe, seed)
    return users, items, of_users(np, users), of_items(np, items)


def towers(recipe, seed):
    """Each start: the neighbors of items, the items of users, and how near the loss is."""
    users, items, true_P, true_Q = shown(recipe, seed)
    true = recipe.true_scale * true_P @ true_Q.T
    found = {"cosine": [cosine_similarity(true_Q)], "scores": [true], "canonical": [canonical_cosine(true_P, true_Q)]}
    result = {"scale": [], "excess": []}
    for start in STARTS.values():
        parameters = train_encoders(recipe, seed, *start)
        P, Q = vectors(np, parameters, recipe, users, items)
        scores = np.exp(parameters["log_scale"]) * P @ Q.T
        for name, table in (
            ("cosine", cosine_similarity(Q)),
            ("scores", scores),
            ("canonical", canonical_cosine(P, Q)),
        ):
            found[name].append(table)
        result["scale"].append(float(np.exp(parameters["log_scale"])))
        result["excess"].append(float(excess(scipy.special.log_softmax, np, scores, true, recipe.loss)))
    for name, tables in found.items():
        share = top_overlap if name == "scores" else overlap
        of_truth, first, *others = tables
        result[name] = [share(first, other) for other in others]
        result[f"{name}, truth"] = [share(of_truth, one) for one in (first, *others)]
    return result


def top_overlap(one, other, k=10):
    """Share of the k items with the highest scores that two tables have in common, averaged over the users."""
    tops = [np.argsort(-scores, axis=1)[:, :k] for scores in (one, other)]
    return float(np.mean([len(set(a) & set(b)) / k for a, b in zip(*tops)]))


def tied(recipe, seed):
    """Two starts of a tied encoder: its cosines, and what the cosines of the truth predict for its scale."""
    _, items, _, true_Q = shown(recipe, seed)
    pairs = np.triu_indices(len(items), 1)
    true = cosine_similarity(true_Q)
    predicted = 1 - recipe.true_scale / recipe.scale * (1 - true[pairs])
    result = {name: [] for name in ("mean", "share", "error", "excess", "overlap with truth")}
    tables = []
    for number in (0, 1):
        Q = vectors(np, train_encoders(recipe, seed, number), recipe, items, items)[1]
        tables.append(cosine_similarity(Q))
        values, scores = tables[-1][pairs], (recipe.scale * Q @ Q.T, recipe.true_scale * true)
        result["mean"].append(float(values.mean()))
        result["share"].append(float((values > HIGH).mean()))
        result["error"].append(float(np.sqrt(np.mean((values - predicted) ** 2))))
        result["excess"].append(float(excess(scipy.special.log_softmax, np, *scores, recipe.loss)))
        result["overlap with truth"].append(overlap(tables[-1], true))
    result["overlap"] = overlap(*tables)
    return result | {"predicted mean": float(predicted.mean()), "predicted share": float((predicted > HIGH).mean())}

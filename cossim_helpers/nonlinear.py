"""Models without a closed form: autoencoders with one hidden layer, and a two-tower model, trained with JAX.

All of them give a user a vector u(x) that depends on the user's items x, an item a vector b_i, and score with the
dot product ⟨u(x), b_i⟩.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.sparse as sp
import scipy.special
import scipy.stats

from ._validation import real_array, real_matrix, real_number, require_same, whole_number
from .closed_forms import Factors
from .remedies import whitened_cosine
from .similarity import cosine_similarity

MODELS = ("linear", "squared", "softmax", "two-tower")
NORMALIZATIONS = ("none", "layer", "unit")
HIDDEN = 64  # units of each tower's hidden layer
LAYER_NORM_EPSILON = 1e-5  # added to the variance, as libraries do


@dataclass(frozen=True)
class Recipe:
    """What to train, and how.

    With x the user's 0/1 row, k_u its sum, x̃ = x / √k_u with the dropout mask applied, and φ = max(·, 0):

        linear, squared  u = x̃ W (+ b, φ for "squared"),        loss  mean over users of ‖x − u Bᵀ‖²
        softmax          u = φ(x̃ W + b),                         loss  −Σ_ui x_ui log softmax_i(⟨u, b_i⟩) / Σ_ui x_ui
        two-tower        u = φ(x̃ W₁ + b) W₂,  b_i = φ(e_i V₁ + c) V₂,
                         loss  −log softmax over the positives of the batch of ⟨u, b_j⟩ − log q_j, at the user's own,
                         where x̃ lacks the positive, drawn evenly from the user's items; q_j, the mean
                         of x_uj / k_u over users, is how often j is drawn; other copies of the positive do not count

    plus `decay` times the sum of squares of all weights, without biases and gains.

    Attributes
    ----------
    model : {"linear", "squared", "softmax", "two-tower"}
    normalization : {"none", "layer", "unit"}
        "layer": u ← g ∘ (u − ū1)/√(var u + 1e-5) + h with learned g and h, and the same for the items of the two-tower
        model with their own. "unit": u ← s u/‖u‖ with a learned s > 0, and b_i ← b_i/‖b_i‖: training for the cosine.
    dropout : float
        Probability q ∈ [0, 1) that an item of x is dropped from the input; the others are scaled by 1/(1 − q).
    decay : float
        λ ≥ 0.
    learning_rate, epochs, batch_size : float, int, int
        Adam with a constant rate. Users that do not fill a last batch wait for the next epoch's order.
    k : int
        Dimension of u and b_i.
    """

    model: Literal["linear", "squared", "softmax", "two-tower"]
    normalization: Literal["none", "layer", "unit"] = "none"
    dropout: float = 0.0
    decay: float = 0.0
    learning_rate: float = 3e-3
    epochs: int = 16
    k: int = 16
    batch_size: int = 500

    def __post_init__(self):
        for name, choices in (("model", MODELS), ("normalization", NORMALIZATIONS)):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} takes one of {choices}, got {getattr(self, name)!r}")
        if real_number("dropout", self.dropout, at_least=0.0) >= 1:
            raise ValueError(f"dropout takes a probability below 1, got {self.dropout:g}")
        real_number("decay", self.decay, at_least=0.0)
        real_number("learning_rate", self.learning_rate, above=0.0)
        for name, low in (("epochs", 1), ("k", 2 if self.normalization == "layer" else 1), ("batch_size", 1)):
            whole_number(name, getattr(self, name), low=low)


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """What `train_model` returns: the recipe, and its parameters as float64 arrays by name."""

    recipe: Recipe
    parameters: dict[str, np.ndarray]

    @property
    def item_vectors(self) -> np.ndarray:
        """b_i, one a row: shape (p, k)."""
        return np.asarray(_item_vectors(np, self.parameters, self.recipe))

    def user_vectors(self, X) -> np.ndarray:
        """u(x), one a row: shape (n, k). X, shape (n, p), is the users' items, 0/1, without dropout."""
        return np.asarray(_user_vectors(np, self.parameters, _input(np, _dense(X)), self.recipe))

    def scores(self, X) -> np.ndarray:
        """⟨u(x), b_i⟩, shape (n, p)."""
        return self.user_vectors(X) @ self.item_vectors.T

    def predictions(self, X) -> np.ndarray:
        """What the model says of the data, shape (n, p): the scores, or for a softmax loss their softmax."""
        scores = self.scores(X)
        return scores if self.recipe.model in ("linear", "squared") else scipy.special.softmax(scores, axis=1)


def train_model(X, recipe: Recipe, *, rng=0, keep=()) -> TrainedModel | dict[int, TrainedModel]:
    """Train a model with Adam on mini-batches, in float64, on the CPU or whatever JAX finds.

    Parameters
    ----------
    X : array_like or sparse array, shape (n, p)
        0/1, no empty row, n ≥ batch_size.
    recipe : Recipe
    rng : int, SeedSequence, Generator or None
        Source of one key (SPEC 7), from which the start, the order of the users, the masks and the positives follow.
        Recipes with the same model and k start from the same weights and see the users in the same order.
    keep : sequence of int
        Epochs after which to keep the model as well, from 1 to recipe.epochs.

    Returns
    -------
    TrainedModel, or dict of them by epoch if `keep` is given
        What training ends with differs between processors in the last digits: compare rounded conclusions.

    Raises
    ------
    ValueError, TypeError
        For a matrix with other numbers than 0 and 1, an empty row, fewer rows than a batch takes, or an epoch to keep
        that is never reached.
    """
    import jax  # 350 MB installed, and a second to load: only for whoever trains
    import jax.numpy as jnp
    import optax

    X = _dense(X)
    n, p = X.shape
    whole_number("recipe.batch_size", recipe.batch_size, low=1, high=n, why=" (users)")
    keep = {whole_number("keep", epoch, low=1, high=recipe.epochs, why=" (recipe.epochs)") for epoch in keep}
    if not X.any(axis=1).all():
        raise ValueError("X takes no empty row: a user without items teaches nothing")
    q = (X / X.sum(axis=1, keepdims=True)).mean(axis=0)
    if recipe.model == "two-tower" and not q.all():
        raise ValueError("X takes no empty column for a two-tower model: an item that nobody has is never a positive")
    key = jax.random.key(int(np.random.default_rng(rng).integers(2**32)))
    batches = n // recipe.batch_size
    adam = optax.adam(recipe.learning_rate)

    def loss(parameters, x, key):
        fit = _batch_loss(jax, parameters, x, key, recipe, log_q)
        return fit + recipe.decay * sum(jnp.sum(w**2) for name, w in parameters.items() if name in WEIGHTS)

    def step(state, batch):
        parameters, moments = state
        rows, key = batch
        gradient = jax.grad(loss)(parameters, X[rows].astype(jnp.float64), key)
        change, moments = adam.update(gradient, moments)
        return (optax.apply_updates(parameters, change), moments), None

    @jax.jit
    def epoch(state, key):
        order_key, batch_key = jax.random.split(key)
        order = jax.random.permutation(order_key, n)[: batches * recipe.batch_size]
        keys = jax.random.split(batch_key, batches)
        return jax.lax.scan(step, state, (order.reshape(batches, recipe.batch_size), keys))[0]

    kept = {}
    with jax.enable_x64(True):
        log_q = jnp.log(jnp.asarray(q))
        X = jnp.asarray(X, dtype=jnp.int8)
        parameters = _start(jax, key, recipe, p)
        state = parameters, adam.init(parameters)
        for done in range(1, recipe.epochs + 1):
            state = epoch(state, jax.random.fold_in(key, done))
            if done == recipe.epochs or done in keep:
                kept[done] = TrainedModel(recipe, {name: np.array(value) for name, value in state[0].items()})
    return kept if keep else kept[recipe.epochs]


WEIGHTS = ("W", "B", "W2", "E", "V1", "V2")  # what decay acts on: neither biases nor gains nor the scale


def _start(jax, key, recipe, p):
    """Independent normal weights that keep the size of a vector through a layer; each from a key of its own."""
    k, relu = recipe.k, np.sqrt(2)
    two_tower = recipe.model == "two-tower"
    width = HIDDEN if two_tower else k
    shapes = {"W": (p, width, 1.0)}  # ‖x̃‖ = 1: each coordinate of x̃ W has variance 1
    if two_tower:
        shapes |= {"W2": (HIDDEN, k, relu / np.sqrt(HIDDEN)), "E": (p, k, 1.0), "V1": (k, HIDDEN, 1 / np.sqrt(k)),
                   "V2": (HIDDEN, k, relu / np.sqrt(HIDDEN * k))}
    else:
        shapes |= {"B": (p, k, 1 / np.sqrt(k))}
    parameters = {
        name: size * jax.random.normal(jax.random.fold_in(key, 1_000_000 + number), (rows, columns), dtype="float64")
        for number, (name, (rows, columns, size)) in enumerate(shapes.items())
    }
    zeros, ones = (lambda m: jax.numpy.zeros(m, "float64")), (lambda m: jax.numpy.ones(m, "float64"))
    if recipe.model != "linear":
        parameters["b"] = zeros(width)
    if two_tower:
        parameters["c"] = zeros(HIDDEN)
    if recipe.normalization == "layer":
        parameters |= {"user_gain": ones(k), "user_shift": zeros(k)}
        if two_tower:
            parameters |= {"item_gain": ones(k), "item_shift": zeros(k)}
    if recipe.normalization == "unit":
        parameters["log_scale"] = zeros(()) + (np.log(10) if recipe.model in ("softmax", "two-tower") else 0)
    return parameters


def _batch_loss(jax, parameters, x, key, recipe, log_q):
    jnp = jax.numpy
    mask_key, positive_key = jax.random.split(key)
    seen = x
    if recipe.model == "two-tower":
        positive = jax.random.categorical(positive_key, jnp.where(x > 0, 0.0, -jnp.inf))
        seen = x - jax.nn.one_hot(positive, x.shape[1], dtype=x.dtype)
    inputs = _input(jnp, seen)
    if recipe.dropout > 0:
        inputs *= jax.random.bernoulli(mask_key, 1 - recipe.dropout, x.shape) / (1 - recipe.dropout)
    users = _user_vectors(jnp, parameters, inputs, recipe)
    items = _item_vectors(jnp, parameters, recipe)
    if recipe.model == "two-tower":
        scores = users @ items[positive].T - log_q[positive]
        copies = (positive[:, None] == positive) & ~jnp.eye(len(positive), dtype=bool)
        log_probability = jax.nn.log_softmax(jnp.where(copies, -jnp.inf, scores), axis=1)
        return -jnp.mean(jnp.diagonal(log_probability))
    scores = users @ items.T
    if recipe.model == "softmax":
        return -jnp.sum(x * jax.nn.log_softmax(scores, axis=1)) / jnp.sum(x)
    return jnp.mean(jnp.sum((x - scores) ** 2, axis=1))


def _input(xp, x):
    """x̃ = x / √k_u; a row of zeros stays."""
    return x / xp.sqrt(xp.maximum(x.sum(axis=1, keepdims=True), 1.0))


def _user_vectors(xp, parameters, inputs, recipe):
    users = inputs @ parameters["W"]
    if recipe.model != "linear":
        users = xp.maximum(users + parameters["b"], 0.0)
    if recipe.model == "two-tower":
        users = users @ parameters["W2"]
    if recipe.normalization == "layer":
        return _layer_norm(xp, users, parameters["user_gain"], parameters["user_shift"])
    if recipe.normalization == "unit":
        return xp.exp(parameters["log_scale"]) * _unit(xp, users)
    return users


def _item_vectors(xp, parameters, recipe):
    if recipe.model == "two-tower":
        items = xp.maximum(parameters["E"] @ parameters["V1"] + parameters["c"], 0.0) @ parameters["V2"]
        if recipe.normalization == "layer":
            return _layer_norm(xp, items, parameters["item_gain"], parameters["item_shift"])
    else:
        items = parameters["B"]
    return _unit(xp, items) if recipe.normalization == "unit" else items


def _layer_norm(xp, E, gain, shift):
    E = E - E.mean(axis=1, keepdims=True)
    return gain * E / xp.sqrt((E**2).mean(axis=1, keepdims=True) + LAYER_NORM_EPSILON) + shift


def _unit(xp, E):
    return E / xp.sqrt((E**2).sum(axis=1, keepdims=True) + 1e-12)  # 0 stays 0, with a gradient


def _dense(X):
    X = real_matrix("X", X)
    return _zero_one("X", X.toarray() if sp.issparse(X) else X)


def _zero_one(name, array):
    if other := array[(array != 0) & (array != 1)].tolist():
        raise ValueError(f"{name} takes 0 and 1 only, got {other[0]:g}")
    return array


# --- quality on held-out interactions ----------------------------------------------------------------------------


def hold_out(X, share: float = 0.2, *, min_items: int = 5, rng=0) -> tuple[np.ndarray, np.ndarray]:
    """(seen, held): the items of each user in two parts, 0/1 arrays of shape (m, p).

    Of each user with k_u ≥ min_items, ⌈share · k_u⌉ items chosen at random are held out, but never all of them; the
    other users are left out.

    Parameters
    ----------
    X : array_like or sparse array, shape (n, p)
        0/1.
    share : float
        Above 0 and below 1.
    min_items : int
        At least 2, so that a part is never empty.
    rng : int, SeedSequence, Generator or None
    """
    X, share = _dense(X), real_number("share", share, above=0.0)
    if share >= 1:
        raise ValueError(f"share takes a number below 1, got {share:g}")
    min_items = whole_number("min_items", min_items, low=2)
    X = X[X.sum(axis=1) >= min_items]
    if not len(X):
        raise ValueError(f"X takes a user with at least min_items = {min_items} items, got none")
    k_u = X.sum(axis=1, keepdims=True)
    n_held = np.minimum(np.ceil(share * k_u), k_u - 1)
    lot = np.where(X > 0, np.random.default_rng(rng).random(X.shape), 2.0)
    held = (np.argsort(np.argsort(lot, axis=1), axis=1) < n_held).astype(float)
    return X - held, held


def ndcg_at_k(scores, seen, held, k: int = 10) -> float:
    """Normalized discounted cumulative gain of the k unseen items with the highest scores, averaged over users.

        DCG = Σ_{r=1..k} h_(r) / log₂(r + 1),   divided by its largest value, with the user's held-out items on top

    Parameters
    ----------
    scores, seen, held : array_like, shape (m, p)
        seen and held are 0/1 and share no item. Seen items are not ranked; each user has a held-out item.
    k : int

    Returns
    -------
    float
        From 0 to 1. Ties go to the item with the lower number.
    """
    scores, seen, held = (real_array(name, value, ndim=2) for name, value in
                          (("scores", scores), ("seen", seen), ("held", held)))
    for name, value in (("seen", seen), ("held", held)):
        require_same(f"{name}, with the shape of scores", value.shape, scores.shape)
        _zero_one(name, value)
    if (seen * held).any():
        raise ValueError("held takes items that are not in seen, got one that is")
    k = whole_number("k", k, low=1, high=scores.shape[1], why=" (p)")
    if not held.any(axis=1).all():
        raise ValueError("held takes at least one item of each user")
    top = np.argsort(np.where(seen > 0, np.inf, -scores), axis=1, kind="stable")[:, :k]
    discount = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.cumsum(discount)[np.minimum(held.sum(axis=1), k).astype(int) - 1]
    return float(np.mean(np.take_along_axis(held, top, axis=1) @ discount / ideal))


# --- five ways to compare items ----------------------------------------------------------------------------------


def item_similarities(model: TrainedModel, X) -> dict[str, np.ndarray]:
    """What people compare items with: arrays of shape (p, p) by name.

        cosine        ⟨b_i, b_j⟩ / ‖b_i‖‖b_j‖
        centered      cosine of the rows of B − 1b̄ᵀ, b̄ the mean of the items
        dot product   ⟨b_i, b_j⟩
        whitened      cosine of the rows of B (BᵀB)^{-1/2}; for a softmax loss with B − 1b̄ᵀ in the place of B
        predictions   cosine between columns i and j of the predictions for the users X

    The whitened one is the same for every (u G, G⁻ᵀ b_i + v), v = 0 for a squared loss; the last one depends on the
    predictions alone.
    """
    B = model.item_vectors
    centered = B - B.mean(axis=0)
    whitened = B if model.recipe.model in ("linear", "squared") else centered
    predictions = model.predictions(X)
    return {
        "cosine": cosine_similarity(B),
        "centered": cosine_similarity(centered),
        "dot product": B @ B.T,
        "whitened": whitened_cosine(Factors(whitened, whitened)),
        "predictions": cosine_similarity(predictions.T),
    }


# --- whose variation is it? --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class VarianceShares:
    """Shares of the variance in a design of levels × seeds; they sum to 1."""

    level: float
    seed: float
    rest: float


def variance_shares(squared_distance) -> VarianceShares:
    """Two-way analysis of variance, with one run for each level and seed, from the distances between the runs.

        y_ls = μ + level_l + seed_s + rest_ls

    The sums of squares need nothing but squared distances, so y may be a number, or a whole list of neighbors:

        SS_total = Σ_{a<b} D²_ab / (LS),   SS_within levels = Σ_l Σ_{s<t} D²_{ls,lt} / S,   and the same for seeds

    The components are estimated from the mean squares, σ²_rest = MS_rest, σ²_level = (MS_level − MS_rest)/S,
    σ²_seed = (MS_seed − MS_rest)/L; negative estimates count as 0.

    Parameters
    ----------
    squared_distance : array_like, shape (L, S, L, S)
        Between run (l, s) and run (m, t); L, S ≥ 2. For numbers y: (y_ls − y_mt)². For lists of neighbors:
        1 − overlap, which is their squared distance as 0/1 vectors over twice the length of all lists.

    References
    ----------
    Anderson (2001).
    """
    D2 = real_array("squared_distance", squared_distance, ndim=4)
    L, S = D2.shape[:2]
    if D2.shape != (L, S, L, S) or min(L, S) < 2:
        raise ValueError(f"squared_distance takes the shape (L, S, L, S) with L, S >= 2, got {D2.shape}")
    total = D2.sum() / (2 * L * S)
    within_levels = np.einsum("lslt->", D2) / (2 * S)
    within_seeds = np.einsum("lsms->", D2) / (2 * L)
    ss_level, ss_seed = total - within_levels, total - within_seeds
    rest = (total - ss_level - ss_seed) / ((L - 1) * (S - 1))
    level = max((ss_level / (L - 1) - rest) / S, 0.0)
    seed = max((ss_seed / (S - 1) - rest) / L, 0.0)
    size = level + seed + rest
    if size <= 0:
        raise ValueError("squared_distance takes runs that differ, got none that do")
    return VarianceShares(level / size, seed / size, rest / size)


def shares_with_intervals(squared_distance, confidence: float = 0.95) -> dict[str, tuple[float, float, float]]:
    """(estimate, low, high) of each share of `variance_shares`, by the jackknife over seeds.

    Leave out one seed at a time; the S pseudo-values S θ − (S−1) θ_(−s) have the standard error of θ, and Student's t
    with S − 1 degrees of freedom gives the interval, cut to [0, 1]. S ≥ 3. The confidence, above 0 and below 1, is
    met roughly: with 8 seeds, simulated 95% intervals held the true share in 87% to 96% of the cases.
    """
    D2 = real_array("squared_distance", squared_distance, ndim=4)
    if real_number("confidence", confidence, above=0.0) >= 1:
        raise ValueError(f"confidence takes a number below 1, got {confidence:g}")
    S = D2.shape[1]
    if S < 3:
        raise ValueError(f"squared_distance takes at least 3 seeds, got {S}")
    whole = variance_shares(D2)
    without = [variance_shares(np.delete(np.delete(D2, s, axis=1), s, axis=3)) for s in range(S)]
    result = {}
    for name in ("level", "seed", "rest"):
        estimate = getattr(whole, name)
        pseudo = S * estimate - (S - 1) * np.array([getattr(one, name) for one in without])
        half = scipy.stats.t.ppf((1 + confidence) / 2, S - 1) * pseudo.std(ddof=1) / np.sqrt(S)
        result[name] = (estimate, max(estimate - half, 0.0), min(estimate + half, 1.0))
    return result

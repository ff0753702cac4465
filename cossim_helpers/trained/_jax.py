"""Training with JAX: the only module that imports it. 350 MB installed, and a second to load.

It computes on the CPU, unless the caller has named a platform (`JAX_PLATFORMS`): on a machine with another device the
numbers would be others, and where JAX has no driver for that device, it says so on stderr.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from . import models
from .models import Recipe, input_rows, item_vectors, user_vectors

if getattr(jax.config, "jax_platforms", None) is None:  # an attribute that JAX adds when it runs
    jax.config.update("jax_platforms", "cpu")

WEIGHTS = ("W", "B", "W2", "E", "V1", "V2")  # what decay acts on: neither biases nor gains nor the scale
WEIGHT_KEYS_FROM = 1_000_000  # far above the number of any epoch: a weight's key is never an epoch's


class Data(NamedTuple):
    """What a training sees."""

    X: jax.Array  # (n, p), 0/1
    log_q: jax.Array  # (p,), log of how often an item is drawn as a positive


class Rates(NamedTuple):
    """What a recipe may change without another program: numbers that are handed in."""

    learning_rate: float
    decay: float


def train(X: np.ndarray, q: np.ndarray, recipe: Recipe, seed: int, keep: set[int]) -> dict[int, dict[str, np.ndarray]]:
    """Adam on mini-batches in float64: the parameters, as arrays by name, after each epoch that is to be kept."""
    kept, rates = {}, Rates(recipe.learning_rate, recipe.decay)
    program = replace(recipe, epochs=1, learning_rate=1.0, decay=0.0)  # all else is written into it
    with jax.enable_x64(True):
        key = jax.random.key(seed)
        data = Data(jnp.asarray(X, dtype=jnp.int8), jnp.log(q))
        parameters = start(recipe, X.shape[1], key)
        state = parameters, optax.adam(recipe.learning_rate).init(parameters)
        for done in range(1, max(keep) + 1):
            state = epoch(state, jax.random.fold_in(key, done), data, rates, program)
            if done in keep:
                kept[done] = {name: np.array(value) for name, value in state[0].items()}
    return kept


@partial(jax.jit, static_argnames="recipe")
def epoch(state, key, data: Data, rates: Rates, recipe: Recipe):
    """All batches once, in a new order. To compile takes a second: once for all seeds, epochs and rates."""
    n = len(data.X)
    batches = n // recipe.batch_size
    adam = optax.adam(rates.learning_rate)
    order_key, batch_key = jax.random.split(key)
    order = jax.random.permutation(order_key, n)[: batches * recipe.batch_size]
    keys = jax.random.split(batch_key, batches)

    def step(state, batch):
        parameters, moments = state
        rows, key = batch
        x = data.X[rows].astype(jnp.float64)
        gradient = jax.grad(penalized_loss)(parameters, x, key, recipe, data.log_q, rates.decay)
        change, moments = adam.update(gradient, moments)
        return (optax.apply_updates(parameters, change), moments), None

    return jax.lax.scan(step, state, (order.reshape(batches, recipe.batch_size), keys))[0]


def start(recipe: Recipe, p: int, key) -> dict[str, jax.Array]:
    """Independent normal weights that keep the size of a vector through a layer; each from a key of its own."""
    k, relu = recipe.k, np.sqrt(2)
    two_tower = recipe.model == "two-tower"
    width = models.HIDDEN if two_tower else k
    shapes = {"W": (p, width, 1.0)}  # ‖x̃‖ = 1: each coordinate of x̃ W has variance 1
    if two_tower:
        shapes |= {
            "W2": (width, k, relu / np.sqrt(width)),
            "E": (p, k, 1.0),
            "V1": (k, width, 1 / np.sqrt(k)),
            "V2": (width, k, relu / np.sqrt(width * k)),
        }
    else:
        shapes |= {"B": (p, k, 1 / np.sqrt(k))}
    parameters = {}
    for number, (name, (rows, columns, size)) in enumerate(shapes.items()):
        weight_key = jax.random.fold_in(key, WEIGHT_KEYS_FROM + number)
        parameters[name] = size * jax.random.normal(weight_key, (rows, columns))
    if recipe.model != "linear":
        parameters["b"] = jnp.zeros(width)
    if two_tower:
        parameters["c"] = jnp.zeros(width)
    if recipe.normalization == "layer":
        for side in ("user", "item") if two_tower else ("user",):
            parameters[f"{side}_gain"] = jnp.ones(k)
            parameters[f"{side}_shift"] = jnp.zeros(k)
    if recipe.normalization == "unit":
        softmax = recipe.model in ("softmax", "two-tower")
        parameters["log_scale"] = jnp.zeros(()) + (np.log(10) if softmax else 0)
    return parameters


def penalized_loss(parameters, x, key, recipe: Recipe, log_q, decay):
    """The loss of one batch, plus the decay of all weights."""
    squares = sum(jnp.sum(w**2) for name, w in parameters.items() if name in WEIGHTS)
    return batch_loss(parameters, x, key, recipe, log_q) + decay * squares


def batch_loss(parameters, x, key, recipe: Recipe, log_q):
    """The loss of one batch of users x, shape (m, p); `key` draws the masks and the positives."""
    mask_key, positive_key = jax.random.split(key)
    seen = x
    if recipe.model == "two-tower":
        positive = jax.random.categorical(positive_key, jnp.log(x))
        seen = x - jax.nn.one_hot(positive, x.shape[1], dtype=x.dtype)
    inputs = input_rows(jnp, seen)
    if recipe.dropout > 0:
        inputs *= jax.random.bernoulli(mask_key, 1 - recipe.dropout, x.shape) / (1 - recipe.dropout)
    users = user_vectors(jnp, parameters, inputs, recipe)
    items = item_vectors(jnp, parameters, recipe)
    if recipe.model == "two-tower":
        scores = users @ items[positive].T - log_q[positive]
        copies = (positive[:, None] == positive) & ~jnp.eye(len(positive), dtype=bool)
        log_probability = jax.nn.log_softmax(jnp.where(copies, -jnp.inf, scores))
        return -jnp.mean(jnp.diagonal(log_probability))
    scores = users @ items.T
    if recipe.model == "softmax":
        return -jnp.sum(x * jax.nn.log_softmax(scores)) / jnp.sum(x)
    return jnp.mean(jnp.sum((x - scores) ** 2, axis=1))


# --- a linear model of the cosine ---


class CosineParameters(NamedTuple):
    A: jax.Array
    B: jax.Array
    log_scale: jax.Array


def train_cosine(X, A, B, loss: str, steps: int, learning_rate: float) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Full-batch Adam on `cosine_loss` from (A, B) and scale 1, in float64: A, B, the scale, the loss at the end."""
    with jax.enable_x64(True):
        parameters = CosineParameters(A, B, jnp.zeros(()))
        state, X = (parameters, _falling_adam(steps, learning_rate).init(parameters)), jnp.array(X)
        for _ in range(steps):
            state = _cosine_step(state, X, loss, steps, learning_rate)
        found = state[0]
        scale = float(np.exp(found.log_scale))
        return np.array(found.A), np.array(found.B), scale, float(cosine_loss(found, X, loss))


def _falling_adam(steps: int, learning_rate: float):
    return optax.adam(optax.cosine_decay_schedule(learning_rate, steps))


@partial(jax.jit, static_argnames=("loss", "steps", "learning_rate"))
def _cosine_step(state, X, loss: str, steps: int, learning_rate: float):
    parameters, moments = state
    gradient = jax.grad(cosine_loss)(parameters, X, loss)
    change, moments = _falling_adam(steps, learning_rate).update(gradient, moments)
    return optax.apply_updates(parameters, change), moments


def cosine_loss(parameters: CosineParameters, X, loss: str):
    """The loss of the scores s · cos(x_u A, b_i)."""
    scores = jnp.exp(parameters.log_scale) * _unit(X @ parameters.A) @ _unit(parameters.B).T
    if loss == "squared":
        return jnp.mean((X - scores) ** 2)
    return -jnp.sum(X * jax.nn.log_softmax(scores)) / X.sum()


def _unit(E):
    return E / jnp.linalg.norm(E, axis=1, keepdims=True)

"""Models without a closed form: autoencoders with one hidden layer, a two-tower model, a linear model of the cosine.

The first two give a user a vector u(x) that depends on the user's items x, an item a vector b_i, and score with the
dot product ⟨u(x), b_i⟩. What they compute is written once, for NumPy and for JAX: `xp` is either one's namespace.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.special

from .._owned import hold
from .._validation import (
    MANY,
    instance_of,
    of_type,
    one_of,
    real_array,
    real_number,
    require_same,
    whole_number,
    zero_one_matrix,
)
from ..closed_forms import Factors
from ..remedies import whitened_cosine
from ..similarity import cosine_similarity

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
        given = {
            "model": one_of("model", self.model, MODELS),
            "normalization": one_of("normalization", self.normalization, NORMALIZATIONS),
            "dropout": real_number("dropout", self.dropout, at_least=0.0, below=1.0),
            "decay": real_number("decay", self.decay, at_least=0.0),
            "learning_rate": real_number("learning_rate", self.learning_rate, above=0.0),
        }
        for name, low in (("epochs", 1), ("k", 2 if self.normalization == "layer" else 1), ("batch_size", 1)):
            given[name] = whole_number(name, getattr(self, name), low=low, high=MANY)
        for name, value in given.items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """What training a recipe returns: the recipe, and its parameters as float64 arrays by name.

    The arrays are read-only, and copies of what was passed.
    """

    recipe: Recipe
    parameters: dict[str, np.ndarray]

    def __post_init__(self):
        instance_of("recipe", self.recipe, Recipe)
        hold(self, parameters=self._arrays_by_name)

    def _arrays_by_name(self, name, value):
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise TypeError(f"{name} takes a dict of arrays by their names, got {of_type(value)}")
        dimensions = _dimensions(self.recipe)
        if missing := set(dimensions) - set(value):
            raise ValueError(f"{name} takes {sorted(missing)} as well, got {sorted(value)}")
        return {key: real_array(f"{name}[{key!r}]", value[key], ndim=ndim) for key, ndim in dimensions.items()}

    @property
    def item_vectors(self) -> np.ndarray:
        """b_i, one a row: shape (p, k)."""
        return item_vectors(np, self.parameters, self.recipe)

    def user_vectors(self, X) -> np.ndarray:
        """u(x), one a row: shape (n, k). X, shape (n, p), is the users' items, 0/1, without dropout."""
        X = zero_one_matrix("X", X)
        require_same("X, with a column for each item", X.shape[1], len(self.parameters["W"]))
        return user_vectors(np, self.parameters, input_rows(np, X), self.recipe)

    def scores(self, X) -> np.ndarray:
        """⟨u(x), b_i⟩, shape (n, p)."""
        return self.user_vectors(X) @ self.item_vectors.T

    def predictions(self, X) -> np.ndarray:
        """What the model says of the data, shape (n, p): the scores, or for a softmax loss their softmax."""
        scores = self.scores(X)
        return scores if self.recipe.model in ("linear", "squared") else scipy.special.softmax(scores, axis=1)


@dataclass(frozen=True, eq=False)
class CosineModel:
    """A model whose score is s · cos(x_u A, b_i).

    Attributes
    ----------
    factors : Factors
        A and B, shape (p, k). The row lengths of B and the size of A as a whole mean nothing: the loss does not see
        them.
    scale : float
        s > 0.
    loss : float
        At the end of the training.
    """

    factors: Factors
    scale: float
    loss: float

    def __post_init__(self):
        instance_of("factors", self.factors, Factors)
        object.__setattr__(self, "scale", real_number("scale", self.scale, above=0.0))
        object.__setattr__(self, "loss", real_number("loss", self.loss))


# --- five ways to compare items ---


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
    B = instance_of("model", model, TrainedModel).item_vectors
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


# --- what the models compute, for NumPy and for JAX ---


def _dimensions(recipe) -> dict[str, int]:
    """The parameters of a recipe by name, and how many dimensions each has."""
    two_tower = recipe.model == "two-tower"
    found = dict.fromkeys(("W", "W2", "E", "V1", "V2") if two_tower else ("W", "B"), 2)
    found |= {} if recipe.model == "linear" else {"b": 1}
    found |= {"c": 1} if two_tower else {}
    sides = ("user", "item") if two_tower else ("user",)
    if recipe.normalization == "layer":
        found |= {f"{side}_{name}": 1 for side in sides for name in ("gain", "shift")}
    return found | ({"log_scale": 0} if recipe.normalization == "unit" else {})


def input_rows(xp, x):
    """x̃ = x / √k_u; a row of zeros stays."""
    return x / xp.sqrt(xp.maximum(x.sum(axis=1, keepdims=True), 1.0))


def user_vectors(xp, parameters, inputs, recipe):
    """u of each row of inputs, shape (n, k)."""
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


def item_vectors(xp, parameters, recipe):
    """b_i, one a row: shape (p, k)."""
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

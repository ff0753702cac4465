"""Training of the models without a closed form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from .._owned import ours
from .._validation import (
    MANY,
    dense_matrix,
    generator,
    instance_of,
    listed,
    non_negative,
    one_of,
    real_number,
    require_same,
    whole_number,
    zero_one_matrix,
)
from ..closed_forms import Factors
from .models import CosineModel, Recipe, TrainedModel

_SMALLEST = 1e-60  # of the numbers of a row: gradients take fourth powers of lengths


def train_model(X, recipe: Recipe, *, rng=0) -> TrainedModel:
    """Train a model with Adam on mini-batches, in float64, on the CPU or whatever JAX finds.

    Parameters
    ----------
    X : array_like or sparse array, shape (n, p)
        0/1, no empty row, n ≥ batch_size.
    recipe : Recipe
    rng : int, sequence of int, SeedSequence, Generator or None
        Source of one key (SPEC 7), from which the start, the order of the users, the masks and the positives follow.
        Recipes with the same model and k start from the same weights and see the users in the same order.

    Returns
    -------
    TrainedModel
        What training ends with differs between processors in the last digits: compare rounded conclusions.

    Raises
    ------
    ValueError, TypeError
        For a matrix with other numbers than 0 and 1, an empty row, fewer rows than a batch takes, or, for a two-tower
        model, an empty column.
    """
    epochs = instance_of("recipe", recipe, Recipe).epochs
    return train_checkpoints(X, recipe, [epochs], rng=rng)[epochs]


def train_checkpoints(X, recipe: Recipe, epochs: Sequence[int], *, rng=0) -> dict[int, TrainedModel]:
    """One training, and the model as it was after some of its epochs: {epoch: model}.

    Parameters
    ----------
    X, recipe, rng
        As in `train_model`.
    epochs : sequence of int
        After which to keep the model, from 1 to recipe.epochs. Training stops after the last of them.

    Returns
    -------
    dict of TrainedModel by epoch
        Each is what `train_model` gives for a recipe with that number of epochs.

    Raises
    ------
    ValueError, TypeError
        As `train_model`, and for no epoch or one that is never reached.
    """
    instance_of("recipe", recipe, Recipe)
    X = zero_one_matrix("X", X)
    whole_number("recipe.batch_size", recipe.batch_size, low=1, high=len(X), why=" (rows of X)")
    asked = listed("epochs", epochs, "integers")
    keep = {whole_number("epochs", epoch, low=1, high=recipe.epochs, why=" (recipe.epochs)") for epoch in asked}
    if not keep:
        raise ValueError("epochs takes at least one epoch, got none")
    if not X.any(axis=1).all():
        raise ValueError(f"X takes no empty row: a user without items teaches nothing, got {_empty(X)}")
    q = (X / X.sum(axis=1, keepdims=True)).mean(axis=0)  # how often each item is drawn as a positive
    if recipe.model == "two-tower" and not q.all():
        raise ValueError(
            "X takes no empty column for a two-tower model: an item that nobody has is never a positive, got one"
        )
    seed = int(generator(rng).integers(2**32))

    from . import _jax

    found = _jax.train(X, q, recipe, seed, keep)
    if not all(np.isfinite(array).all() for weights in found.values() for array in weights.values()):
        raise ValueError(f"recipe takes a learning rate and a decay at which training stays finite, got {recipe}")
    return {epoch: TrainedModel(recipe, ours(weights)) for epoch, weights in found.items()}


def train_cosine(
    X,
    k: int,
    *,
    loss: Literal["squared", "softmax"] = "squared",
    steps: int = 300,
    learning_rate: float = 0.15,
    start: Factors | None = None,
    rng=0,
) -> CosineModel:
    """Train for the cosine itself: full-batch Adam on a loss of the scores y_ui = s · cos(x_u A, b_i).

        "squared":  min_{A,B,s} (1/np) Σ_ui (x_ui − y_ui)²
        "softmax":  min_{A,B,s} −(1/Σx) Σ_ui x_ui log softmax_i(y_u·)

    Parameters
    ----------
    X : array_like or sparse array, shape (n, p)
        Numbers of at least 0, no empty row. Held dense: n p numbers.
    k : int
        Rank of the model.
    loss : {"squared", "softmax"}
    steps, learning_rate : int, float
        Steps of Adam; the rate falls to 0 along a half cosine.
    start : Factors, optional
        Where to start, shape (p, k). Default: independent normal numbers.
    rng : int, sequence of int, SeedSequence, Generator or None
        Source of the start (SPEC 7).

    Returns
    -------
    CosineModel
        In float64. What training ends with differs between processors in the last digits, and more where the loss is
        flat: compare rounded conclusions.

    References
    ----------
    Steck, Ekanadham and Kallus (2024), §3.
    """
    X = non_negative("X", dense_matrix("X", X))
    if not X.any(axis=1).all():
        raise ValueError(f"X takes no empty row: a user without items has no direction, got {_empty(X)}")
    if not (_SMALLEST < (size := X.max(axis=1)).min() and size.max() < 1 / _SMALLEST):
        raise ValueError(
            f"X takes rows whose largest number is from {_SMALLEST:.0e} to {1 / _SMALLEST:.0e}, "
            f"got {size.min():.3g} to {size.max():.3g}"
        )
    one_of("loss", loss, ("squared", "softmax"))
    k, steps = whole_number("k", k, low=1, high=X.shape[1], why=" (p)"), whole_number("steps", steps, low=1, high=MANY)
    learning_rate, rng = real_number("learning_rate", learning_rate, above=0.0), generator(rng)
    if start is None:
        A, B = rng.standard_normal((2, X.shape[1], k)) / np.sqrt(k)
        start = Factors(ours(A), ours(B))
    require_same(
        "start, with a row of A for each column of X, and k columns",
        instance_of("start", start, Factors).A.shape,
        (X.shape[1], k),
    )
    with np.errstate(all="ignore"):  # what leaves the floats is refused
        sizes = np.concatenate([abs(M).max(axis=1) for M in (X @ start.A, start.B)])
    if not (_SMALLEST < sizes.min() and sizes.max() < 1 / _SMALLEST):
        got = f"got {sizes.min():.3g} to {sizes.max():.3g}"
        raise ValueError(f"start takes vectors of sizes from {_SMALLEST:.0e} to {1 / _SMALLEST:.0e}, {got}")

    from . import _jax

    with np.errstate(over="ignore"):  # of the scale
        A, B, scale, final_loss = _jax.train_cosine(X, start.A, start.B, loss, steps, learning_rate)
    if not np.isfinite([A.sum(), B.sum(), scale, final_loss]).all() or scale == 0:
        raise ValueError(
            "learning_rate and start take numbers at which training stays finite, "
            f"got {learning_rate:g} and a loss of {final_loss:.3g}"
        )
    return CosineModel(Factors(ours(A), ours(B)), scale, final_loss)


def _empty(X):
    return np.count_nonzero(~X.any(axis=1))

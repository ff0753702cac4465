"""Training of models without a closed form: their losses by loops, Adam by hand, and what training refuses."""

import functools
import itertools
import math
import os
import subprocess
import sys
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp
import scipy.stats
from instances import random_parameters, small_interactions
from oracles import WEIGHTS, log_sum_exp, loss_by_hand, scaled

from cossim_helpers import (
    Factors,
    Recipe,
    TrainedModel,
    _owned,
    cosine_similarity,
    simulate_interactions,
    train_checkpoints,
    train_cosine,
    train_model,
)
from cossim_helpers.trained import _jax, models
from cossim_helpers.trained.models import MODELS, NORMALIZATIONS

P, K, WIDTH = 6, 3, 4  # items, dimension, hidden units of the small models below
SHALLOW = [(model, normalization) for model in MODELS for normalization in NORMALIZATIONS if model != "two-tower"]
STAY = 1e-300  # a learning rate: training returns its start


# --- losses ---


def batch_loss(recipe, w, X, keys, log_q):
    """The losses of the code, one for each key, without decay."""
    with jax.enable_x64(True):
        w, X, log_q = ({name: jnp.asarray(value) for name, value in w.items()}, jnp.asarray(X), jnp.asarray(log_q))
        one = jax.jit(lambda key: _jax.batch_loss(w, X, key, recipe, log_q))
        return np.asarray(jax.vmap(one)(keys))


def keys(number, seed=0):
    return jax.random.split(jax.random.key(seed), number)


@pytest.mark.parametrize(("model", "normalization"), SHALLOW)
def test_batch_loss_by_loops(model, normalization):
    rng = np.random.default_rng(7)
    recipe, X = Recipe(model, normalization, k=K), small_interactions(rng, 5)
    w = random_parameters(rng, model, normalization)
    got = batch_loss(recipe, w, X, keys(2), np.zeros(P))
    np.testing.assert_allclose(got, loss_by_hand(recipe, w, X), rtol=1e-9)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_two_tower_batch_loss_by_loops_over_all_draws(normalization):
    """Three users with two items: 2 positives and 2 masks for each, 64 possible losses, all equally likely."""
    rng = np.random.default_rng(8)
    recipe = Recipe("two-tower", normalization, dropout=0.5, k=K)
    X = np.zeros((3, P))
    for x, own in zip(X, [(0, 1), (0, 2), (3, 4)]):
        x[list(own)] = 1.0
    w = {name: value / 2 for name, value in random_parameters(rng, "two-tower", normalization, width=12).items()}
    log_q = np.log(rng.dirichlet(np.ones(P)))
    draws = list(
        itertools.product(*([(np.flatnonzero(x)[pick], mask) for pick in (0, 1) for mask in (0.0, 1.0)] for x in X))
    )
    possible = np.array(
        [
            loss_by_hand(
                recipe, w, X, [positive for positive, _ in draw], [np.full(P, mask) for _, mask in draw], log_q
            )
            for draw in draws
        ]
    )
    assert np.diff(np.sort(possible)).min() > 1e-7  # a loss tells the draw that it comes from
    got = batch_loss(recipe, w, X, keys(3_200), log_q)
    nearest = abs(got[:, None] - possible).argmin(axis=1)
    np.testing.assert_allclose(got, possible[nearest], rtol=1e-9)
    seen = np.bincount(nearest, minlength=len(draws))
    assert scipy.stats.chisquare(seen).pvalue > 1e-4


def test_the_positive_of_the_two_tower_model_is_any_of_the_users_items():
    rng = np.random.default_rng(4)
    recipe, X = Recipe("two-tower", k=K), np.array([[1.0, 1, 0, 1, 1, 0], [0, 0, 0, 0, 0, 1]])
    w, log_q = random_parameters(rng, "two-tower", "none"), np.log(np.full(P, 1 / P))
    possible = np.array([loss_by_hand(recipe, w, X, [i, 5], None, log_q) for i in (0, 1, 3, 4)])
    got = batch_loss(recipe, w, X, keys(2_000), log_q)
    nearest = abs(got[:, None] - possible).argmin(axis=1)
    np.testing.assert_allclose(got, possible[nearest], rtol=1e-9)
    assert scipy.stats.chisquare(np.bincount(nearest, minlength=4)).pvalue > 1e-4


@pytest.mark.parametrize("q", [0.2, 0.8])
def test_dropout_of_the_linear_model_is_a_ridge_on_average(q):
    """E‖x − x̃WBᵀ‖² over the masks = the loss without a mask + q/(1−q) Σ_i x̃_i² ‖row i of WBᵀ‖²."""
    rng = np.random.default_rng(3)
    X, recipe = small_interactions(rng, 4), Recipe("linear", dropout=q, k=K)
    w = random_parameters(rng, "linear", "none")
    product, inputs = w["W"] @ w["B"].T, np.array([scaled(x) for x in X])
    ridge = q / (1 - q) * np.sum(inputs**2 @ np.sum(product**2, axis=1)) / len(X)
    expected = loss_by_hand(replace(recipe, dropout=0.0), w, X) + ridge
    losses = batch_loss(recipe, w, X, keys(20_000), np.zeros(P))
    error = losses.std() / math.sqrt(len(losses))
    assert error < 0.02 * ridge
    assert abs(losses.mean() - expected) < 4 * error


def test_dropout_masks_are_independent_and_keep_the_mean():
    q, recipe = 0.3, Recipe("linear", dropout=0.3, k=1)
    w = {"W": np.array([[1.0], [2.0], [5.0]]), "B": np.array([[1.0], [-1.0], [3.0]])}
    X = np.array([[1.0, 1, 0], [0, 0, 1]])
    masks = [np.array([[a, b, 1], [1, 1, c]]) for a, b, c in itertools.product((0.0, 1.0), repeat=3)]
    possible = np.array([loss_by_hand(recipe, w, X, masks=mask) for mask in masks])
    chance = np.array([q ** (6 - mask.sum()) * (1 - q) ** (mask.sum() - 3) for mask in masks])
    got = batch_loss(recipe, w, X, keys(4_000), np.zeros(3))
    nearest = abs(got[:, None] - possible).argmin(axis=1)
    np.testing.assert_allclose(got, possible[nearest], rtol=1e-9)
    assert scipy.stats.chisquare(np.bincount(nearest, minlength=8), 4_000 * chance).pvalue > 1e-4


# --- training ---


def numerical_gradient(loss, w, names=None, step=1e-4):
    """Central differences of fourth order, of all parameters or of some; what is 0 up to rounding is 0.

    (Adam divides a gradient by its size: of 1e-12 in place of 0 it makes a step, and later epochs start elsewhere.)
    """
    gradient = {name: np.zeros_like(w[name]) for name in names or w}
    for name in gradient:
        value = w[name]
        for index in np.ndindex(value.shape):
            here = value[index]
            for steps, weight in ((-2, 1), (-1, -8), (1, 8), (2, -1)):
                value[index] = here + steps * step
                gradient[name][index] += weight * loss(w) / (12 * step)
            value[index] = here
        gradient[name][abs(gradient[name]) < 1e-9] = 0.0
    return gradient


def adam_by_hand(w, moments, gradient, rate, t):
    """Kingma and Ba (2015), Algorithm 1, with the defaults of the paper."""
    moved, kept = {}, {}
    for name, g in gradient.items():
        first, second = moments[name] if moments else (np.zeros_like(g), np.zeros_like(g))
        first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g**2
        step = (first / (1 - 0.9**t)) / (np.sqrt(second / (1 - 0.999**t)) + 1e-8)
        moved[name] = np.array(w[name] - rate * step)
        kept[name] = first, second
    return moved, kept


@pytest.fixture(scope="module")
def start():
    """The weights from which a model without normalization starts, for k = K and rng = 3."""

    @functools.cache
    def weights(model, n, p):
        recipe = Recipe(model, learning_rate=STAY, epochs=1, k=K, batch_size=n)
        return train_model(np.ones((n, p)), recipe, rng=3).parameters

    return weights


def with_the_rest(weights, model, normalization):
    """What training starts from: zero biases, gains of 1, shifts of 0, a scale of 1, or 10 for a softmax."""
    neutral = random_parameters(np.random.default_rng(0), model, normalization)
    scale = math.log(10) if model in ("softmax", "two-tower") else 0.0
    values = {"user_gain": 1.0, "item_gain": 1.0, "log_scale": scale}
    return {
        name: weights[name].copy() if name in WEIGHTS else np.full_like(value, values.get(name, 0.0))
        for name, value in neutral.items()
    }


@pytest.mark.parametrize(("model", "normalization"), SHALLOW)
def test_training_is_adam_on_the_loss_with_decay(model, normalization, start):
    """Three epochs of one batch, redone in NumPy with numerical gradients from the start that the model has alone."""
    X = small_interactions(np.random.default_rng(1), 5)
    recipe = Recipe(model, normalization, decay=0.02, learning_rate=0.05, epochs=3, k=K, batch_size=5)
    kept = train_checkpoints(sp.csr_array(X), recipe, (1, 2, 3), rng=3)
    assert list(kept) == [1, 2, 3]
    w, moments = with_the_rest(start(model, 5, P), model, normalization), None
    for epoch, found in kept.items():
        gradient = numerical_gradient(lambda w: loss_by_hand(recipe, w, X), w)
        w, moments = adam_by_hand(w, moments, gradient, 0.05, epoch)
        assert found.parameters.keys() == w.keys()
        for name, value in found.parameters.items():
            np.testing.assert_allclose(value, w[name], atol=1e-7, err_msg=name)
            assert value.dtype == np.float64


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_training_the_two_tower_model_is_adam_on_the_loss_of_some_positives(normalization, start, monkeypatch):
    """As above: at each step one of the 12 draws of positives explains where the parameters go."""
    monkeypatch.setattr(models, "HIDDEN", WIDTH)
    X = np.zeros((3, 5))
    for x, own in zip(X, [(0, 1, 2), (0, 2), (3, 4)]):
        x[list(own)] = 1.0
    log_q = np.log(np.mean([row / row.sum() for row in X], axis=0))  # how often each item is the positive
    recipe = Recipe("two-tower", normalization, decay=0.02, learning_rate=0.05, epochs=2, k=K, batch_size=3)

    def explained(found, epoch, w, moments, positives, names=None):
        """How far the parameters of these names are from where this draw takes them, and where that is."""
        gradient = numerical_gradient(lambda w: loss_by_hand(recipe, w, X, positives, None, log_q), w, names)
        moved = adam_by_hand(w, moments, gradient, 0.05, epoch)
        return max(abs(found[name] - moved[0][name]).max() for name in gradient), moved

    kept = train_checkpoints(X, recipe, (1, 2), rng=3)
    w, moments = with_the_rest(start("two-tower", 3, 5), "two-tower", normalization), None
    draws = list(itertools.product(*map(np.flatnonzero, X)))
    for epoch, model in kept.items():
        found = model.parameters
        assert found.keys() == w.keys()
        gaps = [explained(found, epoch, w, moments, positives, ["E"])[0] for positives in draws]  # this one tells them
        best, runner_up = np.argsort(gaps)[:2]
        gap, (w, moments) = explained(found, epoch, w, moments, draws[best])
        assert gap < 1e-7 < 1e-3 < gaps[runner_up]


def closed_form_linear_optimum(X, k):
    """min over rank k of ‖X − X̃M‖²/n: reduced-rank regression, the best rank k of the projection of X on X̃."""
    inputs = X / np.sqrt(X.sum(axis=1, keepdims=True))
    fitted = inputs @ np.linalg.lstsq(inputs, X, rcond=None)[0]
    return (np.sum(X**2) - np.sum(np.linalg.svd(fitted, compute_uv=False)[:k] ** 2)) / len(X)


def test_the_linear_model_approaches_its_closed_form_from_above():
    X = small_interactions(np.random.default_rng(2), 30)
    recipe = Recipe("linear", learning_rate=0.02, epochs=2_000, k=2, batch_size=30)
    kept = train_checkpoints(X, recipe, (1, 100, 2_000), rng=1)
    losses = [np.mean(np.sum((X - model.predictions(X)) ** 2, axis=1)) for model in kept.values()]
    best = closed_form_linear_optimum(X, 2)
    assert losses[0] > losses[1] > losses[2] >= best - 1e-9
    assert losses[0] > 1.2 * best
    assert losses[2] < best * (1 + 1e-6)


def test_the_softmax_model_approaches_the_entropy_of_the_data_from_above():
    """With enough dimensions each user's predictions are even over the user's items: Σ k_u log k_u / Σ k_u."""
    X = small_interactions(np.random.default_rng(5), 8)
    recipe = Recipe("softmax", learning_rate=0.05, epochs=1_000, k=16, batch_size=8)
    model = train_model(X, recipe, rng=1)
    k_u = X.sum(axis=1)
    loss, best = -np.sum(X * np.log(model.predictions(X))) / X.sum(), k_u @ np.log(k_u) / k_u.sum()
    assert best < loss < best + 1e-2


def test_the_same_rng_trains_the_same_and_keep_changes_nothing():
    X = small_interactions(np.random.default_rng(6), 9)
    recipe = Recipe("softmax", "layer", dropout=0.4, decay=1e-3, epochs=4, k=2, batch_size=4)
    before = X.copy()
    kept = train_checkpoints(X, recipe, (2, 3, 4), rng=11)
    short = train_model(X, replace(recipe, epochs=2), rng=np.random.default_rng(11))
    other = train_model(X, replace(recipe, epochs=2), rng=12)
    assert list(kept) == [2, 3, 4]
    assert kept[4].recipe == recipe
    assert short.recipe.epochs == 2
    for name, value in kept[2].parameters.items():
        np.testing.assert_array_equal(value, short.parameters[name])
        if name in WEIGHTS:
            assert abs(value - other.parameters[name]).max() > 0.01
            assert abs(value - kept[3].parameters[name]).max() > 1e-4
    np.testing.assert_array_equal(X, before)
    with jax.enable_x64(False):  # 64 bits for the training alone
        assert train_model(X, replace(recipe, epochs=1), rng=11).parameters["W"].dtype == np.float64
        assert jnp.ones(1).dtype == jnp.float32


def test_recipes_of_one_model_see_the_users_in_the_same_order():
    """One batch of 4 of 6 users with items of their own: a row of W stays if its user waits for the next epoch."""
    n, private = 6, 3
    X = np.kron(np.eye(n), np.ones((1, private)))

    def weights(normalization="none", rng=0, **changes):
        recipe = Recipe("linear", normalization, epochs=8, k=K, batch_size=4, **changes)
        return {epoch: model.parameters["W"] for epoch, model in train_checkpoints(X, recipe, (1, 8), rng=rng).items()}

    def users(found, start):
        moved = [set(np.flatnonzero((found[epoch] != start).any(axis=1)) // private) for epoch in (1, 8)]
        assert len(moved[0]) == 4
        assert len(moved[1]) == n  # everybody has a turn: the order changes from epoch to epoch
        return moved[0]

    start = weights(learning_rate=STAY)[8]
    plain = users(weights(), start)
    assert users(weights("layer", dropout=0.05), start) == plain
    assert users(weights("unit", learning_rate=0.1), start) == plain
    assert users(weights(rng=2), weights(rng=2, learning_rate=STAY)[8]) != plain


@pytest.mark.parametrize("model", MODELS)
def test_the_start_keeps_the_size_of_a_vector(model):
    """Users' coordinates have a mean square near 1 (½ after a ReLU), items' near 1/k; tensors are independent."""
    p, k, n = 400, 16, 200
    rng = np.random.default_rng(0)
    X = np.eye(p)[rng.permutation(p)][:n] + 0.0
    X[:, 0] = 1.0
    recipe = Recipe(model, k=k)
    with jax.enable_x64(True):
        parameters = {name: np.asarray(value) for name, value in _jax.start(recipe, p, jax.random.key(1)).items()}
    trained = TrainedModel(recipe, parameters)
    expected = {"linear": 1.0, "two-tower": 1.0}.get(model, 0.5)
    assert np.mean(trained.user_vectors(X) ** 2) == pytest.approx(expected, rel=0.35)
    assert np.mean(trained.item_vectors**2) == pytest.approx(1 / k, rel=0.35)
    large = [value.ravel() for name, value in parameters.items() if name in WEIGHTS]
    for one, other in itertools.combinations(large, 2):
        m = min(one.size, other.size)
        assert abs(np.corrcoef(one[:m], other[:m])[0, 1]) < 4.5 / math.sqrt(m)


@pytest.mark.parametrize(
    ("model", "normalization"),
    [("linear", "unit"), ("squared", "layer"), ("softmax", "unit"), ("two-tower", "layer"), ("two-tower", "unit")],
)
def test_the_start_is_drawn_from_a_key_for_each_tensor(model, normalization, monkeypatch):
    """Not a property but a promise: stored tables were trained from these numbers. Sizes are those of the docstring."""
    monkeypatch.setattr(models, "HIDDEN", WIDTH)
    sizes = {"W": 1.0, "B": 1 / math.sqrt(K)}
    if model == "two-tower":
        sizes = {
            "W": 1.0,
            "W2": math.sqrt(2 / WIDTH),
            "E": 1.0,
            "V1": 1 / math.sqrt(K),
            "V2": math.sqrt(2 / (WIDTH * K)),
        }
    key = jax.random.key(5)
    with jax.enable_x64(True):
        found = _jax.start(Recipe(model, normalization, k=K), P, key)
        assert {value.dtype for value in found.values()} == {jnp.dtype("float64")}
        drawn = {
            name: size * np.asarray(jax.random.normal(jax.random.fold_in(key, 1_000_000 + number), found[name].shape))
            for number, (name, size) in enumerate(sizes.items())
        }
    expected = with_the_rest(drawn, model, normalization)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].shape == value.shape
        np.testing.assert_allclose(found[name], value, rtol=1e-14)


# --- what train refuses ---


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (lambda X: X * 2, ValueError, "X takes 0 and 1 only"),
        (lambda X: X * 0.5, ValueError, "X takes 0 and 1 only"),
        (lambda X: -X, ValueError, "X takes 0 and 1 only, got -1"),
        (lambda X: X * np.nan, ValueError, "X takes finite"),
        (lambda X: X.astype(str), TypeError, "X takes real numbers"),
        (lambda X: X[0], ValueError, "X takes a non-empty 2-dimensional"),
        (lambda X: X * (np.arange(6) != 3)[:, None], ValueError, "X takes no empty row"),
        (lambda X: sp.csr_array(X * (np.arange(6) != 3)[:, None]), ValueError, "X takes no empty row"),
        (lambda X: X[:5], ValueError, r"recipe.batch_size takes an integer from 1 to 5 \(rows of X\), got 6"),
    ],
)
def test_train_refuses(change, error, match):
    X = small_interactions(np.random.default_rng(0), 6)
    X[:, 0] = 1.0
    with pytest.raises(error, match=match):
        train_model(change(X), Recipe("linear", epochs=1, k=K, batch_size=6))


@pytest.mark.parametrize("recipe", [None, "linear", {}, Recipe])
def test_train_takes_a_recipe(recipe):
    for train in (train_model, functools.partial(train_checkpoints, epochs=[1])):
        with pytest.raises(TypeError, match=r"^recipe takes Recipe"):
            train(np.ones((6, 3)), recipe)


@pytest.mark.parametrize(
    ("epochs", "error"),
    [((3,), ValueError), ((0,), ValueError), ((), ValueError), ((1.5,), TypeError), (2, TypeError), (None, TypeError)],
)
def test_train_refuses_epochs_that_it_does_not_reach(epochs, error):
    X = small_interactions(np.random.default_rng(0), 6)
    X[:, 0] = 1.0
    with pytest.raises(error, match=r"^epochs takes (an integer|at least one epoch|.*integers)") as caught:
        train_checkpoints(X, Recipe("linear", epochs=2, batch_size=6), epochs)
    assert ("from 1 to 2 (recipe.epochs)" in str(caught.value)) == (epochs in ((3,), (0,)))


def test_train_keeps_the_epochs_of_an_array():
    X = small_interactions(np.random.default_rng(0), 6)
    X[:, 0] = 1.0
    assert sorted(train_checkpoints(X, Recipe("linear", epochs=3, k=K, batch_size=6), np.array([1, 2]))) == [1, 2]


def test_train_refuses_an_item_that_nobody_has_for_the_two_tower_model_alone():
    X = small_interactions(np.random.default_rng(0), 6)
    X[:, 0], X[:, 3] = 1.0, 0.0
    with pytest.raises(ValueError, match="X takes no empty column for a two-tower model"):
        train_model(X, Recipe("two-tower", epochs=1, k=K, batch_size=6))
    trained = train_model(X, Recipe("linear", epochs=1, k=K, batch_size=6))
    assert np.isfinite(trained.predictions(X)).all()


@pytest.fixture
def given(monkeypatch):
    """What `_jax.train` is given, by name; it returns what stands in "found" for each epoch, or random weights."""
    seen = {}

    def train(X, q, recipe, seed, keep):
        seen.update(X=X, q=q, recipe=recipe, seed=seed, keep=keep)
        rng = np.random.default_rng(0)
        return {epoch: random_parameters(rng, recipe.model, "none") | seen.get("found", {}) for epoch in sorted(keep)}

    monkeypatch.setattr(_jax, "train", train)
    return seen


@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
def test_training_is_given_the_shares_of_the_items_and_a_seed(given, form):
    X, recipe = (
        np.array([[1, 1, 0, 0, 0, 0], [1, 0, 1, 1, 0, 0], [0, 0, 0, 0, 1, 1]]),
        Recipe("two-tower", batch_size=3),
    )
    kept = train_checkpoints(form(X), recipe, (5, 2), rng=7)
    assert sorted(kept) == [2, 5] and all(model.recipe is recipe for model in kept.values())
    np.testing.assert_allclose(given["q"], np.array([5, 3, 2, 2, 3, 3]) / 18, rtol=1e-15)
    np.testing.assert_array_equal(given["X"], X)
    assert isinstance(given["X"], np.ndarray) and given["keep"] == {2, 5}
    assert given["seed"] == np.random.default_rng(7).integers(2**32) and type(given["seed"]) is int
    for train in (train_model, functools.partial(train_checkpoints, epochs=(1,))):
        train(X, recipe)
        assert given["seed"] == np.random.default_rng(0).integers(2**32)
    assert list(train_checkpoints(X, replace(recipe, epochs=9, batch_size=1), (9,))) == [9]
    train_model(X, replace(recipe, epochs=4))
    assert given["keep"] == {4}
    train_model(X, recipe, rng=5)
    assert given["seed"] == np.random.default_rng(5).integers(2**32)


def test_weights_that_are_not_finite_are_refused(given):
    for wrong in (np.nan, np.inf):
        given["found"] = {"B": np.array([[1.0, wrong], [2.0, 3.0]])}
        with pytest.raises(ValueError, match=r"^recipe takes a learning rate and a decay at which training stays fin"):
            train_model(np.eye(6), Recipe("squared", batch_size=6))


def test_an_item_that_nobody_has_is_no_positive(given):
    X = np.eye(6)[:, [0, 1, 2, 3, 4]]
    X[5, 0] = 1.0
    X[:, 1], X[1, 0] = 0.0, 1.0
    with pytest.raises(ValueError, match=r"^X takes no empty column for a two-tower model"):
        train_model(X, Recipe("two-tower", batch_size=6))
    for model in ("linear", "squared", "softmax"):
        train_model(X, Recipe(model, batch_size=6))
        assert given["q"].tolist() == [0.5, 0.0, *[1 / 6] * 3]


def test_the_weights_that_training_made_are_not_copied(given, monkeypatch):
    monkeypatch.setattr(_owned, "_copied", None)
    assert train_model(np.eye(6), Recipe("squared", batch_size=6)).parameters["W"].shape == (6, 3)


def test_the_number_of_empty_users_is_said():
    with pytest.raises(ValueError, match=r"^X takes no empty row: a user without items teaches nothing, got 2$"):
        train_model(np.diag([1.0, 0, 1, 0]), Recipe("linear", batch_size=4))
    with pytest.raises(ValueError, match=r"^X takes no empty row: a user without items has no direction, got 3$"):
        train_cosine(np.diag([1.0, 0, 0, 0]), 1)


# --- the model trained for cosine ---

GOOD = Factors(np.eye(3)[:, :2], np.eye(3)[:, :2])


@pytest.fixture
def given_to_cosine(monkeypatch):
    """As `given`; it returns what stands in "found"."""
    seen = {"found": (np.eye(3)[:, :2], np.eye(3)[:, :2], 2.0, 0.5)}

    def train(X, A, B, loss, steps, learning_rate):
        seen.update(X=X, A=A, B=B, loss=loss, steps=steps, learning_rate=learning_rate)
        np.exp(np.array(1e3))  # as the scale may leave the floats
        return seen["found"]

    monkeypatch.setattr(_jax, "train_cosine", train)
    return seen


def test_cosine_training_is_given_the_start_and_its_settings(given_to_cosine, monkeypatch):
    given, X = given_to_cosine, np.array([[1.0, 0, 0], [0, 2, 0], [0, 0, 0.5], [1, 1, 1]])
    own = Factors(np.arange(1.0, 7.0).reshape(3, 2), np.ones((3, 2)))
    monkeypatch.setattr(_owned, "_copied", None)  # nothing is copied
    model = train_cosine(sp.csr_array(X), 2)
    assert (given["loss"], given["steps"], given["learning_rate"]) == ("squared", 300, 0.15)
    start = np.random.default_rng(0).standard_normal((2, 3, 2)) / math.sqrt(2)
    for found, expected in ((given["X"], X), (given["A"], start[0]), (given["B"], start[1])):
        np.testing.assert_array_equal(found, expected)
    assert (model.scale, model.loss) == (2.0, 0.5) and model.factors.A.tolist() == [[1, 0], [0, 1], [0, 0]]
    train_cosine(X, 2, loss="softmax", steps=1, learning_rate=1e-9, start=own, rng=5)
    assert (given["loss"], given["steps"], given["learning_rate"]) == ("softmax", 1, 1e-9)
    assert given["A"] is own.A and given["B"] is own.B
    train_cosine(X, 3, rng=5)
    np.testing.assert_array_equal(given["A"], np.random.default_rng(5).standard_normal((2, 3, 3))[0] / math.sqrt(3))


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_cosine_training_that_leaves_the_floats_is_refused(place, wrong, given_to_cosine):
    found = list(given_to_cosine["found"])
    found[place] = np.array([[1.0, 2.0], [3.0, wrong], [0.0, 0.0]]) if place < 2 else wrong
    for end in (found, [*found[:2], 0.0, 0.5]):
        given_to_cosine["found"] = end
        with pytest.raises(ValueError, match=r"^learning_rate and start take numbers at which training stays finite"):
            train_cosine(np.eye(3), 2)


@pytest.mark.parametrize(
    ("size", "taken"),
    [(0.99e-60, False), (1e-60, False), (1.01e-60, True), (0.99e60, True), (1 / 1e-60, False), (1.01e60, False)],
)
def test_sizes_whose_fourth_powers_a_float_holds(size, taken, given_to_cosine):
    """Of the largest number of each row of X, X A and B."""
    X = np.array([[size, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    of_users, of_items = GOOD.A.copy(), GOOD.B.copy() + 1.0
    of_users[2], of_items[2] = [0.0, -size], [-size, 0.0]
    ones = np.ones((3, 2))
    for data, start, name in (
        (X, Factors(ones / max(size, 1e-60), ones), "X takes rows whose largest number is from 1e-60 to 1e"),
        (np.eye(3), Factors(of_users, ones), "start takes vectors of sizes from 1e-60 to 1e"),
        (np.eye(3), Factors(ones, of_items), "start takes vectors of sizes from 1e-60 to 1e"),
    ):
        if taken:
            assert train_cosine(data, 2, start=start).scale == 2.0
        else:
            with pytest.raises(ValueError, match=f"^{name}"):
                train_cosine(data, 2, start=start)


def small():
    return simulate_interactions(60, 12, 3, max_activity=6, rng=1).X


@pytest.mark.parametrize("loss", ["squared", "softmax"])
def test_training_lowers_the_loss_that_it_reports(loss):
    X = small().toarray()
    start = Factors(*np.random.default_rng(0).standard_normal((2, 12, 3)))
    model = train_cosine(small(), 3, loss=loss, steps=80, start=start)
    scores = model.scale * cosine_similarity(X @ model.factors.A, model.factors.B)
    log_softmax = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    by_hand = np.mean((X - scores) ** 2) if loss == "squared" else -np.sum(X * log_softmax) / X.sum()
    assert model.loss == pytest.approx(by_hand, rel=1e-9)
    assert model.loss < train_cosine(small(), 3, loss=loss, steps=1, start=start).loss - 0.01


@pytest.mark.parametrize("loss", ["squared", "softmax"])
def test_training_for_the_cosine_is_adam_whose_rate_falls(loss):
    """Three steps, redone in NumPy with numerical gradients; the rate falls along a half cosine."""
    rng = np.random.default_rng(2)
    X = np.array([[1.0, 0, 2, 0], [0, 1, 0, 1], [1, 1, 0, 0], [0, 0, 0.5, 1], [0, 3, 0, 0]])
    w = {"A": rng.standard_normal((4, 2)), "B": rng.standard_normal((4, 2)), "log_scale": np.array(0.0)}

    def by_hand(w):
        scores = math.exp(w["log_scale"]) * np.array(
            [[u @ b / math.sqrt((u @ u) * (b @ b)) for b in w["B"]] for u in X @ w["A"]]
        )
        if loss == "squared":
            return np.mean((X - scores) ** 2)
        return -sum(x * (score - log_sum_exp(row)) for xs, row in zip(X, scores) for x, score in zip(xs, row)) / X.sum()

    model, moments = train_cosine(X, 2, loss=loss, steps=3, learning_rate=0.1, start=Factors(w["A"], w["B"])), None
    for t in (1, 2, 3):
        rate = 0.1 * (1 + math.cos(math.pi * (t - 1) / 3)) / 2
        w, moments = adam_by_hand(w, moments, numerical_gradient(by_hand, w), rate, t)
    np.testing.assert_allclose(model.factors.A, w["A"], atol=1e-6)
    np.testing.assert_allclose(model.factors.B, w["B"], atol=1e-6)
    assert model.scale == pytest.approx(math.exp(w["log_scale"]), abs=1e-6)
    assert model.loss == pytest.approx(by_hand(w), abs=1e-6)


def test_training_is_deterministic_and_leaves_jax_as_it_was():
    import jax

    before = jax.config.jax_enable_x64
    one, two = train_cosine(small(), 2, steps=5, rng=3), train_cosine(small(), 2, steps=5, rng=3)
    np.testing.assert_array_equal(one.factors.B, two.factors.B)
    assert one.factors.B.dtype == np.float64
    assert jax.config.jax_enable_x64 == before


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: train_cosine(np.eye(3), 4), ValueError, r"^k takes an integer from 1 to 3 \(p\), got 4$"),
        (lambda: train_cosine(np.ones((2, 3)), 4), ValueError, r"^k takes an integer from 1 to 3 \(p\), got 4$"),
        (lambda: train_cosine(np.eye(3), 0), ValueError, r"^k takes an integer from 1 to 3 \(p\), got 0$"),
        (lambda: train_cosine(-np.eye(3), 1), ValueError, "^X takes numbers of at least 0"),
        (lambda: train_cosine([1.0], 1), ValueError, "^X takes a non-empty 2-dimensional"),
        (lambda: train_cosine(np.eye(3), 1, steps=0), ValueError, "^steps takes an integer"),
        (lambda: train_cosine(np.eye(3), 1, steps=10**30), ValueError, "^steps takes an integer from 1 to"),
        (lambda: train_cosine(np.eye(3), 1, learning_rate=0.0), ValueError, "^learning_rate takes a finite number"),
        (lambda: train_cosine(np.eye(3), 1, rng="a"), TypeError, "^rng takes"),
        (lambda: train_cosine(np.eye(3), 2, start=np.eye(3)), TypeError, "^start takes Factors"),
        (
            lambda: train_cosine(
                np.full((3, 3), 1e59), 2, start=Factors([[1e300] * 2, [-1e300] * 2, [1e300] * 2], GOOD.B + 1)
            ),
            ValueError,
            "^start takes vectors of sizes",
        ),
        (lambda: train_cosine(np.eye(3), 2, loss="hinge"), ValueError, "loss takes one of"),
        (lambda: train_cosine(np.diag([1.0, 0.0]), 1), ValueError, "no empty row"),
        (lambda: train_cosine(np.eye(3), 1, start=GOOD), ValueError, "^start, with a row of A for each column of X"),
        (lambda: train_cosine(np.eye(2), 2, start=GOOD), ValueError, "^start, with a row of A for each column of X"),
    ],
)
def test_cosine_training_refuses_by_name(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(("platforms", "said"), [(None, False), ("cpu", False), ("", True)])
def test_no_output_depends_on_a_device_that_jax_finds(platforms, said):
    """On a machine with an NVIDIA device, or in WSL2, JAX would say on stderr that it has no driver for it."""
    program = """
import jax._src.hardware_utils as hardware
hardware._NVIDIA_GPU_DEVICES = ["/"]  # a path that exists, in the place of /dev/nvidia0 and /dev/dxg
import jax
import cossim_helpers.trained._jax
print(jax.numpy.ones(3).sum(), jax.default_backend())
"""
    environment = {name: value for name, value in os.environ.items() if name != "JAX_PLATFORMS"}
    environment |= {} if platforms is None else {"JAX_PLATFORMS": platforms}  # "" is a reader's own wish: any device
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "3.0 cpu\n"
    assert ("NVIDIA" in done.stderr) == said
    assert said or done.stderr == ""

"""The models without a closed form, against loops over their formulas, and what they refuse."""

import functools
import itertools
import math
from collections import Counter
from dataclasses import FrozenInstanceError, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp
import scipy.stats
from oracles import cosine_by_loops
from sklearn.metrics import ndcg_score

from cossim_helpers import (
    Recipe,
    TrainedModel,
    hold_out,
    item_similarities,
    ndcg_at_k,
    shares_with_intervals,
    train_checkpoints,
    train_model,
    variance_shares,
)
from cossim_helpers.trained import _jax, models
from cossim_helpers.trained.models import MODELS, NORMALIZATIONS

P, K, WIDTH = 6, 3, 4  # items, dimension, hidden units of the small models below
KINDS = [(model, normalization) for model in MODELS for normalization in NORMALIZATIONS]
SHALLOW = [kind for kind in KINDS if kind[0] != "two-tower"]
STAY = 1e-300  # a learning rate: training returns its start
LARGE = {"W", "B", "W2", "E", "V1", "V2"}  # what Recipe calls weights


# ---- the formulas of Recipe, a user and an item at a time


def interactions(rng, n, p=P, share=0.5):
    """0/1, no empty row or column, two equal rows."""
    X = (rng.random((n, p)) < share).astype(float)
    X[range(n), rng.integers(p, size=n)] = 1.0
    X[1] = X[0]
    X[2] = X.sum(axis=0) == 0
    X[2, 0] = 1.0
    return X


def random_parameters(rng, model, normalization, p=P, k=K, width=WIDTH):
    shapes = {"W": (p, k), "B": (p, k), "b": (k,)}
    if model == "linear":
        del shapes["b"]
    if model == "two-tower":
        shapes = {"W": (p, width), "b": (width,), "W2": (width, k), "E": (p, k), "V1": (k, width), "c": (width,),
                  "V2": (width, k)}
    if normalization == "layer":
        towers = ("user", "item") if model == "two-tower" else ("user",)
        shapes |= {f"{tower}_{what}": (k,) for tower in towers for what in ("gain", "shift")}
    if normalization == "unit":
        shapes |= {"log_scale": ()}
    return {name: np.array(rng.standard_normal(shape)) for name, shape in shapes.items()}


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
    return total + recipe.decay * sum(np.sum(value**2) for name, value in w.items() if name in LARGE)


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
    recipe, X = Recipe(model, normalization, k=K), interactions(rng, 5)
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
    draws = list(itertools.product(*([(np.flatnonzero(x)[pick], mask) for pick in (0, 1) for mask in (0.0, 1.0)]
                                     for x in X)))
    possible = np.array([
        loss_by_hand(recipe, w, X, [positive for positive, _ in draw],
                     [np.full(P, mask) for _, mask in draw], log_q)
        for draw in draws
    ])
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
    X, recipe = interactions(rng, 4), Recipe("linear", dropout=q, k=K)
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


# ---- training


def numerical_gradient(loss, w, step=1e-4):
    """Central differences of fourth order."""
    gradient = {name: np.zeros_like(value) for name, value in w.items()}
    for name, value in w.items():
        for index in np.ndindex(value.shape):
            here = value[index]
            for steps, weight in ((-2, 1), (-1, -8), (1, 8), (2, -1)):
                value[index] = here + steps * step
                gradient[name][index] += weight * loss(w) / (12 * step)
            value[index] = here
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
    def weights(model, p):
        recipe = Recipe(model, learning_rate=STAY, epochs=1, k=K, batch_size=1)
        return train_model(np.ones((1, p)), recipe, rng=3).parameters

    return weights


def with_the_rest(weights, model, normalization):
    """What training starts from: zero biases, gains of 1, shifts of 0, a scale of 1, or 10 for a softmax."""
    neutral = random_parameters(np.random.default_rng(0), model, normalization)
    scale = math.log(10) if model in ("softmax", "two-tower") else 0.0
    values = {"user_gain": 1.0, "item_gain": 1.0, "log_scale": scale}
    return {name: weights[name].copy() if name in LARGE else np.full_like(value, values.get(name, 0.0))
            for name, value in neutral.items()}


@pytest.mark.parametrize(("model", "normalization"), SHALLOW)
def test_training_is_adam_on_the_loss_with_decay(model, normalization, start):
    """Three epochs of one batch, redone in NumPy with numerical gradients from the start that the model has alone."""
    X = interactions(np.random.default_rng(1), 5)
    recipe = Recipe(model, normalization, decay=0.02, learning_rate=0.05, epochs=3, k=K, batch_size=5)
    kept = train_checkpoints(sp.csr_array(X), recipe, (1, 2, 3), rng=3)
    assert list(kept) == [1, 2, 3]
    w, moments = with_the_rest(start(model, P), model, normalization), None
    for epoch, found in kept.items():
        gradient = numerical_gradient(lambda w: loss_by_hand(recipe, w, X), w)
        w, moments = adam_by_hand(w, moments, gradient, 0.05, epoch)
        assert found.parameters.keys() == w.keys()
        for name, value in found.parameters.items():
            np.testing.assert_allclose(value, w[name], atol=1e-5, err_msg=name)
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
    kept = train_checkpoints(X, recipe, (1, 2), rng=3)
    w, moments = with_the_rest(start("two-tower", 5), "two-tower", normalization), None
    for epoch, found in kept.items():
        assert found.parameters.keys() == w.keys()
        differences = []
        for positives in itertools.product(*map(np.flatnonzero, X)):
            gradient = numerical_gradient(lambda w: loss_by_hand(recipe, w, X, positives, None, log_q), w)  # noqa: B023
            moved = adam_by_hand(w, moments, gradient, 0.05, epoch)
            # Adam divides a gradient by its size: where that is hardly above rounding, differences tell nothing
            gap = max(abs(value - moved[0][name])[abs(gradient[name]) > 1e-6].max(initial=0.0)
                      for name, value in found.parameters.items())
            differences.append((gap, positives, moved))
        (gap, _, (w, moments)), runner_up = sorted(differences, key=lambda one: one[0])[:2]
        assert gap < 1e-5 < 1e-3 < runner_up[0]


def closed_form_linear_optimum(X, k):
    """min over rank k of ‖X − X̃M‖²/n: reduced-rank regression, the best rank k of the projection of X on X̃."""
    inputs = X / np.sqrt(X.sum(axis=1, keepdims=True))
    fitted = inputs @ np.linalg.lstsq(inputs, X, rcond=None)[0]
    return (np.sum(X**2) - np.sum(np.linalg.svd(fitted, compute_uv=False)[:k] ** 2)) / len(X)


def test_the_linear_model_approaches_its_closed_form_from_above():
    X = interactions(np.random.default_rng(2), 30)
    recipe = Recipe("linear", learning_rate=0.02, epochs=2_000, k=2, batch_size=30)
    kept = train_checkpoints(X, recipe, (1, 100, 2_000), rng=1)
    losses = [np.mean(np.sum((X - model.predictions(X)) ** 2, axis=1)) for model in kept.values()]
    best = closed_form_linear_optimum(X, 2)
    assert losses[0] > losses[1] > losses[2] >= best - 1e-9
    assert losses[0] > 1.2 * best
    assert losses[2] < best * (1 + 1e-6)


def test_the_softmax_model_approaches_the_entropy_of_the_data_from_above():
    """With enough dimensions each user's predictions are even over the user's items: Σ k_u log k_u / Σ k_u."""
    X = interactions(np.random.default_rng(5), 8)
    recipe = Recipe("softmax", learning_rate=0.05, epochs=1_000, k=16, batch_size=8)
    model = train_model(X, recipe, rng=1)
    k_u = X.sum(axis=1)
    loss, best = -np.sum(X * np.log(model.predictions(X))) / X.sum(), k_u @ np.log(k_u) / k_u.sum()
    assert best < loss < best + 1e-2


def test_the_same_rng_trains_the_same_and_keep_changes_nothing():
    X = interactions(np.random.default_rng(6), 9)
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
        if name in LARGE:
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
        parameters = {name: np.asarray(value)
                      for name, value in _jax.start(recipe, p, jax.random.key(1)).items()}
    trained = TrainedModel(recipe, parameters)
    expected = {"linear": 1.0, "two-tower": 1.0}.get(model, 0.5)
    assert np.mean(trained.user_vectors(X) ** 2) == pytest.approx(expected, rel=0.35)
    assert np.mean(trained.item_vectors**2) == pytest.approx(1 / k, rel=0.35)
    large = [value.ravel() for name, value in parameters.items() if name in LARGE]
    for one, other in itertools.combinations(large, 2):
        m = min(one.size, other.size)
        assert abs(np.corrcoef(one[:m], other[:m])[0, 1]) < 4.5 / math.sqrt(m)


# ---- the trained model


def by_name(model, normalization, seed=0):
    rng = np.random.default_rng(seed)
    return rng, TrainedModel(Recipe(model, normalization, k=K), random_parameters(rng, model, normalization))


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize(("model", "normalization"), KINDS)
def test_the_forward_pass_by_loops(model, normalization, sparse):
    rng, trained = by_name(model, normalization)
    X = interactions(rng, 5)
    w, recipe = trained.parameters, trained.recipe
    users = np.array([user_by_hand(recipe, w, scaled(x)) for x in X])
    items = np.array([item_by_hand(recipe, w, i) for i in range(P)])
    given = sp.csr_array(X) if sparse else X
    np.testing.assert_allclose(trained.user_vectors(given), users, atol=1e-9)
    np.testing.assert_allclose(trained.item_vectors, items, atol=1e-9)
    scores = np.array([[u @ item for item in items] for u in users])
    np.testing.assert_allclose(trained.scores(given), scores, atol=1e-9)
    if model in ("softmax", "two-tower"):
        scores = np.array([[math.exp(score - log_sum_exp(row)) for score in row] for row in scores])
    np.testing.assert_allclose(trained.predictions(given), scores, atol=1e-9)


def test_a_user_without_items_has_the_vector_of_the_biases():
    _, trained = by_name("squared", "none")
    np.testing.assert_array_equal(trained.user_vectors(np.zeros((1, P)))[0], np.maximum(trained.parameters["b"], 0))


def test_softmax_predictions_of_large_scores():
    _, trained = by_name("softmax", "none")
    trained.parameters["B"] *= 1e4
    predictions = trained.predictions(np.ones((1, P)))
    assert np.isfinite(predictions).all()
    assert predictions.sum() == pytest.approx(1)


def rescaled_units(trained, c, d):
    """Every hidden unit multiplied by c before, divided after; d for the items of the two-tower model."""
    w = dict(trained.parameters)
    w["W"], w["b"] = w["W"] * c, w["b"] * c
    if trained.recipe.model == "two-tower":
        w["W2"] = w["W2"] / c[:, None]
        w |= {"V1": w["V1"] * d, "c": w["c"] * d, "V2": w["V2"] / d[:, None]}
    else:
        w["B"] = w["B"] / c
    return TrainedModel(trained.recipe, w)


@pytest.mark.parametrize("model", ["squared", "softmax", "two-tower"])
def test_rescaling_units_leaves_the_predictions(model):
    rng, trained = by_name(model, "none", seed=1)
    X, width = interactions(rng, 5), WIDTH if model == "two-tower" else K
    c, d = 10 ** rng.uniform(-1, 1, (2, width))
    moved = rescaled_units(trained, c, d)
    np.testing.assert_allclose(moved.predictions(X), trained.predictions(X), atol=1e-10)
    one, other = (item_similarities(model, X)["cosine"] for model in (trained, moved))
    assert (abs(one - other).max() > 0.1) == (model != "two-tower")  # there the items' own units are hidden


def test_rescaling_units_before_a_layer_norm_does_not():
    rng, trained = by_name("squared", "layer", seed=1)
    moved = rescaled_units(trained, np.array([0.2, 1.0, 5.0]), None)
    X = interactions(rng, 5)
    assert abs(moved.predictions(X) - trained.predictions(X)).max() > 0.1


# ---- what Recipe and train refuse


@pytest.mark.parametrize(("argument", "value", "error"), [
    ("model", "quadratic", ValueError), ("model", None, ValueError), ("normalization", "batch", ValueError),
    ("dropout", 1.0, ValueError), ("dropout", 1.5, ValueError), ("dropout", -0.1, ValueError),
    ("dropout", math.nan, ValueError), ("dropout", "0.5", TypeError), ("dropout", True, TypeError),
    ("decay", -1e-9, ValueError), ("decay", math.inf, ValueError), ("decay", None, TypeError),
    ("learning_rate", 0.0, ValueError), ("learning_rate", -1.0, ValueError), ("learning_rate", "fast", TypeError),
    ("epochs", 0, ValueError), ("epochs", 2.0, TypeError), ("epochs", True, TypeError),
    ("k", 0, ValueError), ("k", 2.5, TypeError), ("batch_size", 0, ValueError), ("batch_size", "all", TypeError),
])
def test_recipe_refuses(argument, value, error):
    with pytest.raises(error, match=rf"^{argument} takes"):
        Recipe(**{"model": "linear"} | {argument: value})


def test_recipe_takes_the_least_of_each():
    Recipe("softmax", "unit", dropout=0.0, decay=0.0, learning_rate=1e-9, epochs=1, k=1, batch_size=1)
    with pytest.raises(ValueError, match=r"^k takes an integer at least 2, got 1"):
        Recipe("softmax", "layer", k=1)  # a layer norm of one number is always 0
    assert Recipe("linear", k=1).k == 1
    with pytest.raises(FrozenInstanceError):
        Recipe("linear").k = 3


@pytest.mark.parametrize(("change", "error", "match"), [
    (lambda X: X * 2, ValueError, "X takes 0 and 1 only"),
    (lambda X: X * 0.5, ValueError, "X takes 0 and 1 only"),
    (lambda X: -X, ValueError, "X takes 0 and 1 only, got -1"),
    (lambda X: X * np.nan, ValueError, "X takes finite"),
    (lambda X: X.astype(str), TypeError, "X takes real numbers"),
    (lambda X: X[0], ValueError, "X takes a non-empty 2-dimensional"),
    (lambda X: X * (np.arange(6) != 3)[:, None], ValueError, "X takes no empty row"),
    (lambda X: sp.csr_array(X * (np.arange(6) != 3)[:, None]), ValueError, "X takes no empty row"),
    (lambda X: X[:5], ValueError, r"recipe.batch_size takes an integer from 1 to 5 \(users\), got 6"),
])
def test_train_refuses(change, error, match):
    X = interactions(np.random.default_rng(0), 6)
    X[:, 0] = 1.0
    with pytest.raises(error, match=match):
        train_model(change(X), Recipe("linear", epochs=1, k=K, batch_size=6))


@pytest.mark.parametrize(
    ("epochs", "error"), [((3,), ValueError), ((0,), ValueError), ((), ValueError), ((1.5,), TypeError)]
)
def test_train_refuses_epochs_that_it_does_not_reach(epochs, error):
    X = interactions(np.random.default_rng(0), 6)
    X[:, 0] = 1.0
    with pytest.raises(error, match=r"^epochs takes"):
        train_checkpoints(X, Recipe("linear", epochs=2, batch_size=6), epochs)


def test_train_keeps_the_epochs_of_an_array():
    X = interactions(np.random.default_rng(0), 6)
    X[:, 0] = 1.0
    assert sorted(train_checkpoints(X, Recipe("linear", epochs=3, batch_size=6), np.array([1, 2]))) == [1, 2]


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95, np.nan])
def test_intervals_refuse_a_confidence_that_is_no_probability(confidence):
    with pytest.raises(ValueError, match=r"^confidence takes"):
        shares_with_intervals(squared_distances(design(np.random.default_rng(0), 4, 5)), confidence)


def test_train_refuses_an_item_that_nobody_has_for_the_two_tower_model_alone():
    X = interactions(np.random.default_rng(0), 6)
    X[:, 0], X[:, 3] = 1.0, 0.0
    with pytest.raises(ValueError, match="X takes no empty column for a two-tower model"):
        train_model(X, Recipe("two-tower", epochs=1, k=K, batch_size=6))
    trained = train_model(X, Recipe("linear", epochs=1, k=K, batch_size=6))
    assert np.isfinite(trained.predictions(X)).all()


# ---- quality on held-out interactions


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize(("share", "min_items"), [(0.2, 5), (0.5, 2), (0.34, 3), (0.99, 4)])
def test_hold_out_parts_the_items_of_each_user(share, min_items, sparse):
    X = interactions(np.random.default_rng(1), 60, 12)
    seen, held = hold_out(sp.csr_array(X) if sparse else X, share, min_items=min_items, rng=2)
    np.testing.assert_array_equal(seen + held, np.array([x for x in X if x.sum() >= min_items]))
    assert set(np.unique(held)) == set(np.unique(seen)) == {0.0, 1.0}
    for seen_u, held_u in zip(seen, held):
        k_u = int(seen_u.sum() + held_u.sum())
        assert held_u.sum() == min(math.ceil(share * k_u), k_u - 1)
        assert seen_u.any() and held_u.any()


def test_hold_out_follows_rng():
    X = interactions(np.random.default_rng(1), 60, 12)
    np.testing.assert_array_equal(hold_out(X, rng=3)[1], hold_out(X, rng=np.random.default_rng(3))[1])
    assert (hold_out(X, rng=3)[1] != hold_out(X, rng=4)[1]).any()


def test_hold_out_draws_every_set_of_items_equally_often():
    X = np.tile([1.0, 1, 0, 1, 1, 1, 0, 1], (6_000, 1))  # ⌈0.3 · 6⌉ = 2 of 6: 15 pairs
    _, held = hold_out(X, 0.3, rng=5)
    pairs = Counter(tuple(np.flatnonzero(row)) for row in held)
    assert len(pairs) == 15
    assert scipy.stats.chisquare(list(pairs.values())).pvalue > 1e-4


@pytest.mark.parametrize(("arguments", "error", "match"), [
    ({"share": 0.0}, ValueError, "^share takes"), ({"share": 1.0}, ValueError, "^share takes"),
    ({"share": "half"}, TypeError, "^share takes"), ({"min_items": 1}, ValueError, "^min_items takes"),
    ({"min_items": 5.0}, TypeError, "^min_items takes"), ({"X": np.eye(4)}, ValueError, "^X takes a user with at"),
    ({"X": 2 * np.ones((3, 8))}, ValueError, "^X takes 0 and 1"), ({"X": [["a"]]}, TypeError, "^X takes"),
])
def test_hold_out_refuses(arguments, error, match):
    with pytest.raises(error, match=match):
        hold_out(**{"X": np.ones((3, 8))} | arguments)


@pytest.mark.parametrize("k", [1, 3, 10, 20])
def test_ndcg_of_scikit_learn(k):
    rng = np.random.default_rng(k)
    seen, held = hold_out(interactions(rng, 40, 20), 0.4, rng=1)
    scores = rng.standard_normal(seen.shape)
    expected = ndcg_score(held, np.where(seen > 0, -1e3, scores), k=k)
    assert ndcg_at_k(scores, seen, held, k) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("scores", "seen", "held", "k", "expected"), [
    ([4, 3, 2, 1], [0, 0, 0, 0], [1, 0, 0, 0], 2, 1.0),
    ([4, 3, 2, 1], [0, 0, 0, 0], [0, 1, 0, 0], 2, 1 / math.log2(3)),
    ([4, 3, 2, 1], [0, 0, 0, 0], [0, 0, 1, 0], 2, 0.0),
    ([4, 3, 2, 1], [1, 0, 0, 0], [0, 1, 0, 0], 1, 1.0),  # the seen one does not count
    ([4, 3, 2, 1], [1, 1, 0, 0], [0, 0, 0, 1], 4, 1 / math.log2(3)),  # and comes last where k reaches it
    ([4, 3, 2, 1], [0, 0, 0, 0], [1, 0, 1, 1], 2, 1 / (1 + 1 / math.log2(3))),  # at most k on top
    ([4, 3, 2, 1], [0, 0, 0, 0], [1, 0, 1, 0], 3, 1.5 / (1 + 1 / math.log2(3))),
    ([1, 1, 1, 1], [0, 0, 0, 0], [0, 1, 0, 0], 4, 1 / math.log2(3)),  # ties: the lower number first
    ([1, 1, 1, 1], [1, 0, 0, 0], [0, 0, 0, 1], 4, 1 / 2),
])
def test_ndcg_by_hand(scores, seen, held, k, expected):
    assert ndcg_at_k([scores], [seen], [held], k) == pytest.approx(expected)
    both = ndcg_at_k([scores, [9, 0, 0, 0]], [seen, [0] * 4], [held, [1, 0, 0, 0]], k)
    assert both == pytest.approx((expected + 1) / 2)


@pytest.mark.parametrize(("arguments", "error", "match"), [
    ({"seen": np.zeros((2, 3))}, ValueError, "seen, with the shape of scores"),
    ({"held": np.ones((3, 4))}, ValueError, "held, with the shape of scores"),
    ({"held": np.eye(2, 4) * [[1], [0]]}, ValueError, "held takes at least one item"),
    ({"k": 5}, ValueError, r"^k takes an integer from 1 to 4 \(p\)"), ({"k": 0}, ValueError, "^k takes"),
    ({"k": 1.0}, TypeError, "^k takes"), ({"scores": np.full((2, 4), np.nan)}, ValueError, "^scores takes finite"),
    ({"scores": [["a"]]}, TypeError, "^scores takes"), ({"held": np.ones(4)}, ValueError, "^held takes"),
    ({"held": np.full((2, 4), 0.5)}, ValueError, "^held takes 0 and 1 only, got 0.5"),
    ({"seen": np.full((2, 4), 2.0)}, ValueError, "^seen takes 0 and 1 only, got 2"),
    ({"seen": np.ones((2, 4))}, ValueError, "^held takes items that are not in seen"),
])
def test_ndcg_refuses(arguments, error, match):
    with pytest.raises(error, match=match):
        ndcg_at_k(**{"scores": np.ones((2, 4)), "seen": np.zeros((2, 4)), "held": np.ones((2, 4)), "k": 2} | arguments)


# ---- five ways to compare items


@pytest.mark.parametrize(("model", "normalization"), KINDS)
def test_item_similarities_by_definition(model, normalization):
    rng, trained = by_name(model, normalization, seed=2)
    X, B = interactions(rng, 9), trained.item_vectors
    got = item_similarities(trained, X)
    assert list(got) == ["cosine", "centered", "dot product", "whitened", "predictions"]
    np.testing.assert_allclose(got["cosine"], cosine_by_loops(B, B), atol=1e-9)
    np.testing.assert_allclose(got["dot product"], [[b @ other for other in B] for b in B], atol=1e-12)
    predictions = trained.predictions(X)
    np.testing.assert_allclose(got["predictions"], cosine_by_loops(predictions.T, predictions.T), atol=1e-9)
    centered = B - np.mean(B, axis=0)
    np.testing.assert_allclose(got["centered"], cosine_by_loops(centered, centered), atol=1e-9)
    if model in ("linear", "squared"):
        centered = B
    # rows of B (BᵀB)^(-1/2) have the inner products of the orthogonal projector on the columns of B
    projector = centered @ np.linalg.pinv(centered, rcond=1e-8)
    length = np.sqrt(np.diag(projector))
    np.testing.assert_allclose(got["whitened"], projector / np.outer(length, length), atol=1e-7)


@pytest.mark.parametrize("model", ["linear", "softmax"])
def test_what_stays_when_the_factors_move(model):
    rng, trained = by_name(model, "none", seed=3)
    X, w, G = interactions(rng, 9), trained.parameters, rng.standard_normal((K, K))
    v = np.zeros(K) if model == "linear" else 2 * rng.standard_normal(K)
    if model == "softmax":
        w["b"] = np.abs(w["b"]) + 5
        w["W"] = np.abs(w["W"])
        G = np.abs(G)  # φ does nothing to u and to uG
    moved = w | {"W": w["W"] @ G, "B": w["B"] @ np.linalg.inv(G).T + v}
    if model == "softmax":
        moved["b"] = w["b"] @ G
    one, other = item_similarities(trained, X), item_similarities(TrainedModel(trained.recipe, moved), X)
    for name in ("whitened", "predictions"):
        np.testing.assert_allclose(one[name], other[name], atol=1e-7)
    for name in ("cosine", "centered", "dot product"):
        assert abs(one[name] - other[name]).max() > 0.1


def test_whitened_similarity_of_a_squared_loss_changes_with_a_shift():
    """The predictions change as well there, so that nothing asks it to stay."""
    rng, trained = by_name("squared", "none", seed=3)
    X, w = interactions(rng, 9), trained.parameters
    moved = TrainedModel(trained.recipe, w | {"B": w["B"] + rng.standard_normal(K)})
    assert abs(item_similarities(trained, X)["whitened"] - item_similarities(moved, X)["whitened"]).max() > 0.1
    assert abs(trained.predictions(X) - moved.predictions(X)).max() > 0.1


# ---- whose variation is it?


def squared_distances(y):
    """(L, S, …) to (L, S, L, S), a pair at a time."""
    L, S = y.shape[:2]
    D2 = np.empty((L, S, L, S))
    for a in np.ndindex(L, S):
        for b in np.ndindex(L, S):
            D2[a + b] = np.sum((y[a] - y[b]) ** 2)
    return D2


def shares_by_anova(y):
    """Textbook: mean squares from the means of rows and columns, one coordinate of y at a time, summed."""
    L, S = y.shape[:2]
    ms = np.zeros(3)
    for y_c in y.reshape(L, S, -1).transpose(2, 0, 1):
        mean, levels, seeds = y_c.mean(), y_c.mean(axis=1), y_c.mean(axis=0)
        ms[0] += sum(S * (levels[a] - mean) ** 2 for a in range(L)) / (L - 1)
        ms[1] += sum(L * (seeds[s] - mean) ** 2 for s in range(S)) / (S - 1)
        ms[2] += sum((y_c[a, s] - levels[a] - seeds[s] + mean) ** 2
                     for a in range(L) for s in range(S)) / ((L - 1) * (S - 1))
    components = np.array([max((ms[0] - ms[2]) / S, 0), max((ms[1] - ms[2]) / L, 0), ms[2]])
    return components / components.sum(), ms


def design(rng, L, S, sizes=(1.0, 1.0, 1.0), coordinates=()):
    level, seed, rest = np.sqrt(sizes)
    return (level * rng.standard_normal((L, 1, *coordinates)) + seed * rng.standard_normal((1, S, *coordinates))
            + rest * rng.standard_normal((L, S, *coordinates)))


def as_array(shares):
    return np.array([shares.level, shares.seed, shares.rest])


@pytest.mark.parametrize("coordinates", [(), (5,)])
@pytest.mark.parametrize(("L", "S"), [(2, 2), (3, 5), (6, 4)])
@pytest.mark.parametrize("seed", range(3))
def test_shares_by_textbook_anova(seed, L, S, coordinates):
    y = design(np.random.default_rng(seed), L, S, (3.0, 2.0, 1.0), coordinates)
    shares = variance_shares(squared_distances(y))
    np.testing.assert_allclose(as_array(shares), shares_by_anova(y)[0], atol=1e-10)
    np.testing.assert_allclose(as_array(variance_shares(7 * squared_distances(y + 3))), as_array(shares), atol=1e-10)


@pytest.mark.parametrize("sizes", [(6.0, 3.0, 1.0), (0.5, 5.0, 4.5), (2.0, 0.0, 8.0), (0.0, 0.0, 1.0)])
def test_shares_recover_planted_components(sizes):
    y = design(np.random.default_rng(1), 6, 8, sizes, (4_000,))  # so many coordinates that estimates hardly vary
    flat = y.reshape(48, -1)
    gram = flat @ flat.T
    D2 = np.maximum(np.diag(gram)[:, None] + np.diag(gram) - 2 * gram, 0).reshape(6, 8, 6, 8)
    np.testing.assert_allclose(as_array(variance_shares(D2)), np.array(sizes) / sum(sizes), atol=0.03)


def test_shares_of_neighbor_lists_are_those_of_their_indicators():
    """1 − overlap is the squared distance of 0/1 vectors up to a factor."""
    rng = np.random.default_rng(2)
    lists = np.argsort(rng.random((3, 4, 7, 12)), axis=-1) < 5  # of 7 items, 5 of 12 neighbors
    y = lists.reshape(3, 4, -1).astype(float)
    overlap = np.einsum("lsc,mtc->lsmt", y, y) / (5 * 7)
    np.testing.assert_allclose(as_array(variance_shares(1 - overlap)), shares_by_anova(y)[0], atol=1e-10)


def test_negative_estimates_count_as_nothing():
    negative = set()
    for seed in range(40):
        y = design(np.random.default_rng(seed), 3, 3, (0.0, 0.0, 1.0))
        expected, ms = shares_by_anova(y)
        shares = as_array(variance_shares(squared_distances(y)))
        np.testing.assert_allclose(shares, expected, atol=1e-10)
        assert shares.min() >= 0
        assert shares.sum() == pytest.approx(1)
        for index in (0, 1):
            if ms[index] < ms[2]:
                negative.add(index)
                assert shares[index] == 0
    assert negative == {0, 1}


@pytest.mark.parametrize(("value", "error"), [
    (np.zeros((2, 3, 3, 2)), ValueError), (np.ones((1, 3, 1, 3)), ValueError), (np.ones((3, 1, 3, 1)), ValueError),
    (np.ones((3, 3)), ValueError), (np.full((2, 2, 2, 2), np.nan), ValueError),
    (np.full((2, 2, 2, 2), "a"), TypeError), (np.zeros((3, 3, 3, 3)), ValueError),
])
def test_shares_refuse(value, error):
    with pytest.raises(error, match=r"^squared_distance takes"):
        variance_shares(value)
    with pytest.raises(error, match=r"^squared_distance takes"):
        shares_with_intervals(value)


def test_intervals_need_three_seeds():
    with pytest.raises(ValueError, match=r"^squared_distance takes at least 3 seeds, got 2"):
        shares_with_intervals(squared_distances(design(np.random.default_rng(0), 4, 2)))


@pytest.mark.parametrize("confidence", [0.8, 0.95])
@pytest.mark.parametrize("seed", range(3))
def test_intervals_are_those_of_the_jackknife(seed, confidence):
    y = design(np.random.default_rng(seed), 4, 6, coordinates=(3,))
    got = shares_with_intervals(squared_distances(y), confidence)
    whole = shares_by_anova(y)[0]
    without = np.array([shares_by_anova(np.delete(y, s, axis=1))[0] for s in range(6)])
    # the textbook's form: SE² = (S − 1)/S Σ (θ_(−s) − mean)²
    error = np.sqrt(5 / 6 * np.sum((without - without.mean(axis=0)) ** 2, axis=0))
    half = scipy.stats.t.ppf(0.5 + confidence / 2, 5) * error
    assert list(got) == ["level", "seed", "rest"]
    for i, (estimate, low, high) in enumerate(got.values()):
        assert estimate == pytest.approx(whole[i])
        assert low == pytest.approx(max(whole[i] - half[i], 0))
        assert high == pytest.approx(min(whole[i] + half[i], 1))


@pytest.mark.parametrize("coordinates", [1, 10])
def test_intervals_cover_about_as_often_as_they_say(coordinates):
    """200 studies of 6 fixed levels and 8 seeds; true shares known. Nominal 95 %; the jackknife may lose some."""
    rng = np.random.default_rng(9)
    levels = rng.standard_normal((6, 1, coordinates))
    levels *= np.sqrt(2 * coordinates * 5 / np.sum((levels - levels.mean(axis=0)) ** 2))  # a component of 2
    truth = dict(zip(("level", "seed", "rest"), np.array([2, 1, 1]) / 4))
    hits = Counter()
    for _ in range(200):
        y = levels + design(rng, 6, 8, (0.0, 1.0, 1.0), (coordinates,))
        gaps = y[:, :, None, None] - y
        for name, (_, low, high) in shares_with_intervals(np.sum(gaps**2, axis=-1)).items():
            hits[name] += low <= truth[name] <= high
    assert all(0.85 * 200 <= hits[name] <= 199 for name in truth), hits

"""Trained models, their recipes and their five similarities, against loops over the formulas."""

import math
from dataclasses import FrozenInstanceError
from types import MappingProxyType

import numpy as np
import pytest
import scipy.sparse as sp
from instances import random_parameters, small_interactions
from oracles import cosine_by_loops, item_by_hand, log_sum_exp, scaled, user_by_hand

from cossim_helpers import CosineModel, Factors, Recipe, TrainedModel, item_similarities
from cossim_helpers.trained import models
from cossim_helpers.trained.models import MODELS, NORMALIZATIONS

P, K, WIDTH = 6, 3, 4  # items, dimension, hidden units of the small models below
KINDS = [(model, normalization) for model in MODELS for normalization in NORMALIZATIONS]


# --- from users to scores ---


def by_name(model, normalization, seed=0):
    rng = np.random.default_rng(seed)
    return rng, TrainedModel(Recipe(model, normalization, k=K), random_parameters(rng, model, normalization))


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize(("model", "normalization"), KINDS)
def test_the_forward_pass_by_loops(model, normalization, sparse):
    rng, trained = by_name(model, normalization)
    X = small_interactions(rng, 5)
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
    _, made = by_name("softmax", "none")
    trained = TrainedModel(made.recipe, made.parameters | {"B": 1e4 * made.parameters["B"]})
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
    X, width = small_interactions(rng, 5), WIDTH if model == "two-tower" else K
    c, d = 10 ** rng.uniform(-1, 1, (2, width))
    moved = rescaled_units(trained, c, d)
    np.testing.assert_allclose(moved.predictions(X), trained.predictions(X), atol=1e-10)
    one, other = (item_similarities(model, X)["cosine"] for model in (trained, moved))
    assert (abs(one - other).max() > 0.1) == (model != "two-tower")  # there the items' own units are hidden


def test_rescaling_units_before_a_layer_norm_does_not():
    rng, trained = by_name("squared", "layer", seed=1)
    moved = rescaled_units(trained, np.array([0.2, 1.0, 5.0]), None)
    X = small_interactions(rng, 5)
    assert abs(moved.predictions(X) - trained.predictions(X)).max() > 0.1


# --- what Recipe refuses ---


@pytest.mark.parametrize(
    ("argument", "value", "error"),
    [
        ("model", "quadratic", ValueError),
        ("model", None, ValueError),
        ("normalization", "batch", ValueError),
        ("dropout", 1.0, ValueError),
        ("dropout", 1.5, ValueError),
        ("dropout", -0.1, ValueError),
        ("dropout", math.nan, ValueError),
        ("dropout", "0.5", TypeError),
        ("dropout", True, TypeError),
        ("decay", -1e-9, ValueError),
        ("decay", math.inf, ValueError),
        ("decay", None, TypeError),
        ("learning_rate", 0.0, ValueError),
        ("learning_rate", -1.0, ValueError),
        ("learning_rate", "fast", TypeError),
        ("epochs", 0, ValueError),
        ("epochs", 2.0, TypeError),
        ("epochs", True, TypeError),
        ("k", 0, ValueError),
        ("k", 2.5, TypeError),
        ("batch_size", 0, ValueError),
        ("batch_size", "all", TypeError),
    ],
)
def test_recipe_refuses(argument, value, error):
    with pytest.raises(error, match=rf"^{argument} takes"):
        Recipe(**{"model": "linear"} | {argument: value})


def test_the_defaults_are_those_of_the_stored_tables():
    for model in MODELS:
        assert Recipe(model) == Recipe(model, "none", 0.0, 0.0, 0.003, 16, 16, 500) and models.HIDDEN == 64


def test_recipe_takes_the_least_of_each():
    Recipe("softmax", "unit", dropout=0.0, decay=0.0, learning_rate=1e-9, epochs=1, k=1, batch_size=1)
    with pytest.raises(ValueError, match=r"^k takes an integer at least 2, got 1"):
        Recipe("softmax", "layer", k=1)  # a layer norm of one number is always 0
    assert Recipe("linear", k=1).k == 1
    with pytest.raises(FrozenInstanceError):
        Recipe("linear").k = 3


def test_a_recipe_holds_plain_numbers():
    held = Recipe("linear", dropout=0, decay=np.float32(0.5), learning_rate=1, epochs=np.int8(3), k=np.int64(2))
    assert held == Recipe("linear", decay=0.5, learning_rate=1.0, epochs=3, k=2)
    assert [type(value) for value in vars(held).values()][2:] == [float, float, float, int, int, int]
    for name in ("epochs", "k", "batch_size"):
        with pytest.raises(ValueError, match=rf"^{name} takes an integer from 1 to \d+, got 10{{30}}$"):
            Recipe("linear", **{name: 10**30})


# --- what is held ---


def test_a_trained_model_holds_the_parameters_of_its_recipe_alone():
    for model, normalization in KINDS:
        given = random_parameters(np.random.default_rng(0), model, normalization)
        recipe = Recipe(model, normalization, k=K)
        held = TrainedModel(recipe, MappingProxyType(given | {"other": "text"})).parameters
        assert type(held) is dict and held.keys() == given.keys()
        for name, value in given.items():
            assert held[name].dtype == np.float64 and not held[name].flags.writeable
            assert not np.shares_memory(held[name], value)
            with pytest.raises(ValueError, match=rf"^parameters takes \['{name}'\] as well, got \["):
                TrainedModel(recipe, {key: one for key, one in given.items() if key != name})
            with pytest.raises(ValueError, match=rf"^parameters\['{name}'\] takes"):
                TrainedModel(recipe, given | {name: np.full(value.shape, np.nan)})
            with pytest.raises(ValueError, match=rf"^parameters\['{name}'\] takes a .*{value.ndim}-dimensional"):
                TrainedModel(recipe, given | {name: value[None]})


@pytest.mark.parametrize("wrong", [None, [], [("W", np.eye(3))], "W", {1: np.eye(3)}, {"W": np.eye(3), 1: np.eye(3)}])
def test_parameters_are_a_dict_by_names(wrong):
    with pytest.raises(TypeError, match=r"^parameters takes a dict of arrays by their names, got "):
        TrainedModel(Recipe("linear"), wrong)
    with pytest.raises(TypeError, match=r"^recipe takes Recipe, got "):
        TrainedModel(wrong, {"W": np.eye(3), "B": np.eye(3)})


def test_a_cosine_model_holds_plain_numbers():
    factors = Factors(np.eye(3), np.eye(3))
    held = CosineModel(factors, np.float32(2), 1)
    assert held.factors is factors and (held.scale, held.loss) == (2.0, 1.0)
    assert type(held.scale) is type(held.loss) is float
    assert CosineModel(factors, 1e-300, -1.0).loss == -1.0
    for name, wrong in (("factors", np.eye(3)), ("scale", "1"), ("loss", "1"), ("scale", True)):
        with pytest.raises(TypeError, match=f"^{name} takes"):
            CosineModel(**{"factors": factors, "scale": 1.0, "loss": 0.0} | {name: wrong})
    for name, wrong in (("scale", 0.0), ("scale", -1.0), ("scale", np.nan), ("loss", np.inf), ("loss", np.nan)):
        with pytest.raises(ValueError, match=f"^{name} takes"):
            CosineModel(**{"factors": factors, "scale": 1.0, "loss": 0.0} | {name: wrong})


def test_users_have_a_column_for_each_item_and_0_or_1_in_it():
    _, trained = by_name("linear", "none")
    for X, message in (
        (np.ones((2, P - 1)), r"X, with a column for each item: got 5, takes 6"),
        (2 * np.ones((2, P)), "X takes 0"),
    ):
        for function in (
            trained.user_vectors,
            trained.scores,
            trained.predictions,
            lambda X: item_similarities(trained, X),
        ):
            with pytest.raises(ValueError, match=f"^{message}"):
                function(X)
    with pytest.raises(TypeError, match=r"^model takes TrainedModel"):
        item_similarities(trained.recipe, np.ones((2, P)))


# --- five ways to compare items ---


@pytest.mark.parametrize(("model", "normalization"), KINDS)
def test_item_similarities_by_definition(model, normalization):
    rng, trained = by_name(model, normalization, seed=2)
    X, B = small_interactions(rng, 9), trained.item_vectors
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
    X, w, G = small_interactions(rng, 9), trained.parameters, rng.standard_normal((K, K))
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
    X, w = small_interactions(rng, 9), trained.parameters
    moved = TrainedModel(trained.recipe, w | {"B": w["B"] + rng.standard_normal(K)})
    assert abs(item_similarities(trained, X)["whitened"] - item_similarities(moved, X)["whitened"]).max() > 0.1
    assert abs(trained.predictions(X) - moved.predictions(X)).max() > 0.1

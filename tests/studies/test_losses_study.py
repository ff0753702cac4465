"""studies/losses.py: its truths, its trainings and what is measured of them, on small data; and its tables."""

import csv
import math
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path

import deep
import jax
import losses
import losses_jobs as jobs
import numpy as np
import pytest
import scipy.linalg
from losses_jobs import Encoders, Lookup

from cossim_helpers import cosine_similarity, overlap_at_k

RESULTS = Path(__file__).parents[2] / "studies" / "results"


@pytest.fixture
def small(monkeypatch):
    """The study on few users and items, with small networks."""
    sizes = {"SIDE": 18, "FEATURES": 3, "HIDDEN": 5, "BATCH": 6, "SHOWN": 15, "TRUE_HIDDEN": 4}
    for name, value in sizes.items():
        monkeypatch.setattr(jobs, name, value)


# --- lookup tables ---


def test_the_truths():
    for seed in range(3):
        users, items = jobs.truth("unit", seed)
        assert users.shape == items.shape == (80, 5)
        np.testing.assert_allclose(np.linalg.norm(users, axis=1), 6)
        np.testing.assert_allclose(np.linalg.norm(items, axis=1), 1)
        for M, longest in zip(jobs.truth("lengths", seed), (6, 1)):
            lengths = np.linalg.norm(M, axis=1) / longest
            assert 0.3 <= lengths.min() < 0.4 < 0.9 < lengths.max() <= 1
        np.testing.assert_array_equal(jobs.truth("unit", seed)[1], items)
    assert not np.array_equal(jobs.truth("unit", 0)[1], jobs.truth("unit", 1)[1])


def canonical_by_definition(P, Q):
    """Cosines of (PᵀP)^{1/2}(z_i − z̄)."""
    rows = (Q - Q.mean(axis=0)) @ scipy.linalg.sqrtm(P.T @ P).real
    return rows @ rows.T / np.outer(np.linalg.norm(rows, axis=1), np.linalg.norm(rows, axis=1))


@pytest.mark.parametrize("recipe", [Lookup(scale=7.0), Lookup("lengths", 5, "one-sided", False, 1.0)])
def test_lookup_by_definition(small, recipe):
    found = jobs.lookup(recipe, 3)
    users, items = jobs.truth(recipe.truth, 3)
    models = [jobs.trained_lookup(recipe, 3, start) for start in (0, 1)]
    assert abs(models[0].Q - models[1].Q).max() > 0.1  # starts of their own
    for name in ("scale", "excess", "gradient", "steps"):
        assert found[name] == [getattr(one, name) for one in models]
    tables = {
        "cosine": [cosine_similarity(M) for M in (items, models[0].Q, models[1].Q)],
        "canonical": [canonical_by_definition(P, Q) for P, Q in ((users, items), *((one.P, one.Q) for one in models))],
    }
    for name, (true, one, two) in tables.items():
        assert found[f"{name} difference"] == pytest.approx(abs(one - two).max(), abs=1e-9)
        assert found[f"{name} overlap"] == pytest.approx(overlap_at_k(one, two), abs=1e-9)
        for i, model in enumerate((one, two)):
            assert found[f"{name} difference from truth"][i] == pytest.approx(abs(model - true).max(), abs=1e-9)
            assert found[f"{name} overlap with truth"][i] == pytest.approx(overlap_at_k(model, true), abs=1e-9)


def test_the_canonical_cosine_is_that_of_the_centered_columns_of_scores():
    P, Q = (np.random.default_rng(1).standard_normal((size, 4)) for size in (30, 12))
    scores = P @ Q.T
    columns = (scores - scores.mean(axis=1, keepdims=True)).T
    np.testing.assert_allclose(jobs.canonical_cosine(P, Q), cosine_similarity(columns), atol=1e-12)


def test_overlaps_by_counting():
    one, two = np.random.default_rng(2).random((2, 20, 20))
    common = []
    for i in range(20):
        tops = []
        for table in (one, two):
            order = sorted((j for j in range(20)), key=lambda j: -table[i, j])
            tops.append(set(order[:10]))
        common.append(len(tops[0] & tops[1]) / 10)
    assert jobs.top_overlap(one, two) == pytest.approx(np.mean(common))
    assert jobs.overlap(one, two) == pytest.approx(overlap_at_k(one, two))
    assert jobs.overlap(one, one) == jobs.top_overlap(two, two) == 1


# --- networks ---

TWO, ONE = Encoders(k=4, true_k=4), Encoders(tied=True, k=4, true_k=3, scale=9.0)
ALL = [TWO, replace(TWO, unit=False), replace(TWO, loss="one-sided", scale=7.0), ONE]


def network_by_loops(w, x, unit_rows):
    hidden = [max(0.0, sum(a * b for a, b in zip(x, column)) + c) for column, c in zip(w["W"].T, w["b"])]
    z = np.array([sum(a * b for a, b in zip(hidden, column)) + c for column, c in zip(w["V"].T, w["c"])])
    return z / math.sqrt(z @ z + 1e-12) if unit_rows else z


@pytest.mark.parametrize("recipe", ALL)
def test_networks_by_loops(small, recipe):
    rng = np.random.default_rng(3)
    parameters = jobs.start_of(recipe, 0, 0)
    for side in parameters["sides"]:
        for name in "bc":
            side[name] = rng.standard_normal(side[name].shape)
    users, items = rng.standard_normal((2, 7, 3))
    first, last = parameters["sides"][0], parameters["sides"][-1]
    P, Q = jobs.vectors(np, parameters, recipe, users, items)
    np.testing.assert_allclose(P, [network_by_loops(first, x, recipe.unit) for x in users], atol=1e-12)
    np.testing.assert_allclose(Q, [network_by_loops(last, x, recipe.unit) for x in items], atol=1e-12)
    assert len(parameters["sides"]) == 1 + (not recipe.tied)


@pytest.mark.parametrize("loss", ["symmetric", "one-sided"])
def test_the_excess_by_loops(loss):
    import scipy.special

    true, scores = np.random.default_rng(4).standard_normal((2, 5, 6))

    def divergence(true, scores):
        q, r = (np.exp(M) / np.exp(M).sum(axis=1, keepdims=True) for M in (true, scores))
        return np.mean([sum(a * math.log(a / b) for a, b in zip(x, y)) for x, y in zip(q, r)])

    rows, columns = divergence(true, scores), divergence(true.T, scores.T)
    expected = rows if loss == "one-sided" else (rows + columns) / 2
    assert jobs.excess(scipy.special.log_softmax, np, scores, true, loss) == pytest.approx(expected)
    shifted = scores + 5.0
    assert jobs.excess(scipy.special.log_softmax, np, shifted, true, loss) == pytest.approx(expected)


@pytest.mark.parametrize("stretch", [4.0, 16.0])
def test_a_stretched_start_has_the_same_dot_products(stretch):
    recipe = Encoders(unit=False)
    users, items = np.random.default_rng(5).standard_normal((2, 40, jobs.FEATURES))
    plain, other = (jobs.vectors(np, jobs.start_of(recipe, 2, 0, t), recipe, users, items) for t in (1.0, stretch))
    np.testing.assert_allclose(other[0] @ other[1].T, plain[0] @ plain[1].T, atol=1e-10)
    G = np.linalg.lstsq(plain[1], other[1], rcond=None)[0]
    values = np.linalg.svd(G, compute_uv=False)
    assert values[[0, -1]] == pytest.approx([stretch, 1 / stretch])
    assert abs(cosine_similarity(other[1]) - cosine_similarity(plain[1])).max() > 0.5
    second = jobs.start_of(recipe, 2, 1)["sides"]
    assert abs(second[0]["W"] - jobs.start_of(recipe, 2, 0)["sides"][0]["W"]).max() > 0.1


def test_the_truth_of_the_networks_leans_nowhere():
    users, items = np.random.default_rng(6).standard_normal((2, 2_000, jobs.FEATURES))
    for recipe in (Encoders(), Encoders(tied=True, true_k=7)):
        f, g = jobs.true_vectors(recipe, 1)
        for function, x in ((f, users), (g, items)):
            z = function(np, x)
            assert z.shape == (2_000, recipe.true_k)
            np.testing.assert_allclose(np.linalg.norm(z, axis=1), 1, atol=1e-9)
            np.testing.assert_allclose(function(np, -x), -z, atol=1e-12)
        assert (abs(f(np, items) - g(np, items)).max() < 1e-12) == recipe.tied


def flat(parameters):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(parameters)])


@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("recipe", [*ALL[:2], ALL[3]])
def test_training_is_adamw_by_hand(small, recipe, decay):
    """Two steps redone in NumPy with numerical slopes: decay acts on W and V alone, and a kept scale is kept."""
    recipe = replace(recipe, decay=decay, steps=2)
    seed, number = 4, 1
    found = jobs.train_encoders(recipe, seed, number)
    parameters = jobs.start_of(recipe, seed, number)
    leaves, shape = jax.tree.flatten(parameters)
    of_users, of_items = jobs.true_vectors(recipe, seed)
    with jax.enable_x64(True):
        keys = jax.random.split(jax.random.key(1_000 * seed + number), 2)
        batches = [np.array(jax.random.normal(key, (2, 6, 3))) for key in keys]

    def unflat(x):
        ends = np.cumsum([np.size(leaf) for leaf in leaves])
        return jax.tree.unflatten(shape, [a.reshape(np.shape(b)) for a, b in zip(np.split(x, ends[:-1]), leaves)])

    def loss(x, users, items):
        w = unflat(x)
        P, Q = jobs.vectors(np, w, recipe, users, items)  # tested above
        true, scores = recipe.true_scale * of_users(np, users) @ of_items(np, items).T, np.exp(w["log_scale"]) * P @ Q.T
        parts = []
        for one, other in ((true, scores), (true.T, scores.T)):
            q, r = (np.exp(M) / np.exp(M).sum(axis=1, keepdims=True) for M in (one, other))
            parts.append((q * np.log(q / r)).sum(axis=1).mean())
        return parts[0] if recipe.loss == "one-sided" else sum(parts) / 2

    x = flat(parameters)
    weights = flat(
        {
            "sides": [
                {name: np.full(M.shape, name in "WV") for name, M in side.items()} for side in parameters["sides"]
            ],
            "log_scale": np.array(False),
        }
    )
    moving = np.ones(len(x), bool)
    place = len(flat({"log_scale": 0}))
    assert jax.tree.leaves(parameters)[0] is parameters["log_scale"]  # the first entry of x
    moving[:place] = recipe.unit and recipe.scale is None
    first, second = np.zeros_like(x), np.zeros_like(x)
    for t, (users, items) in enumerate(batches, start=1):
        step = 1e-5 * np.eye(len(x))
        slope = np.array([(loss(x + e, users, items) - loss(x - e, users, items)) / 2e-5 for e in step])
        first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope**2
        change = (first / (1 - 0.9**t)) / (np.sqrt(second / (1 - 0.999**t)) + 1e-8) + decay * weights * x
        rate = recipe.learning_rate * (1 + math.cos(math.pi * (t - 1) / 2)) / 2
        x = x - rate * moving * change
    seen = abs(slope) > 1e-6  # Adam divides a slope by its size: where that is rounding, differences tell nothing
    np.testing.assert_allclose(flat(found)[seen], x[seen], atol=1e-6)
    assert seen.mean() > 0.5


@pytest.mark.parametrize("recipe", [replace(TWO, steps=2), replace(TWO, unit=False, steps=2)])
def test_towers_by_definition(small, recipe):
    found = jobs.towers(recipe, 2)
    users, items, true_P, true_Q = jobs.shown(recipe, 2)
    pairs = [(recipe.true_scale * true_P, true_Q)]
    for number, stretch in ((0, 1.0), (1, 1.0), (0, 4.0), (0, 16.0)):
        w = jobs.train_encoders(recipe, 2, number, stretch)
        P, Q = jobs.vectors(np, w, recipe, users, items)
        pairs.append((np.exp(w["log_scale"]) * P, Q))
    assert found["scale"] == pytest.approx([np.linalg.norm(P[0]) if recipe.unit else 1.0 for P, _ in pairs[1:]])
    tables = {
        "cosine": ([cosine_similarity(Q) for _, Q in pairs], overlap_at_k),
        "scores": ([P @ Q.T for P, Q in pairs], jobs.top_overlap),
        "canonical": ([canonical_by_definition(P, Q) for P, Q in pairs], overlap_at_k),
    }
    for name, (ones, share) in tables.items():
        assert found[name] == pytest.approx([share(ones[1], other) for other in ones[2:]], abs=1e-9)
        assert found[f"{name}, truth"] == pytest.approx([share(ones[0], other) for other in ones[1:]], abs=1e-9)


def test_tied_by_definition(small):
    recipe = replace(ONE, true_scale=5.0, steps=2)
    found = jobs.tied(recipe, 2)
    _, items, _, true_Q = jobs.shown(recipe, 2)
    i, j = np.triu_indices(15, 1)
    true = cosine_similarity(true_Q)
    predicted = (5 * true[i, j] + 9 - 5) / 9  # the Gram matrix times 5, plus a constant that makes the diagonal 9
    tables = []
    for number in (0, 1):
        w = jobs.train_encoders(recipe, 2, number)
        tables.append(cosine_similarity(jobs.vectors(np, w, recipe, items, items)[1]))
    for place, table in enumerate(tables):
        values = table[i, j]
        assert found["mean"][place] == pytest.approx(values.mean())
        assert found["share"][place] == pytest.approx(np.mean(values > 0.7))
        assert found["error"][place] == pytest.approx(np.sqrt(np.mean((values - predicted) ** 2)))
        assert found["overlap with truth"][place] == pytest.approx(overlap_at_k(table, true))
    assert found["overlap"] == pytest.approx(overlap_at_k(*tables))
    assert found["predicted mean"] == pytest.approx(predicted.mean())
    assert found["predicted share"] == pytest.approx(np.mean(predicted > 0.7))


# --- the tables ---


@pytest.mark.parametrize("name", losses.TABLES)
def test_the_tables_hold_what_was_found(name, monkeypatch, tmp_path):
    def made_up(recipe, seed):
        draw = np.random.default_rng([*repr(recipe).encode(), seed])
        return {
            "scale": draw.random(2).tolist(),
            "excess": [1e-12 * draw.random()],
            "overlap": draw.random(),
            "steps": [7],
        }

    monkeypatch.setattr(losses, "all_results", lambda todo, workers: [made_up(*rest) for _, *rest in todo])
    monkeypatch.setattr(deep, "RESULTS", tmp_path)
    losses.run(1)
    with (tmp_path / name).open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    _, recipes, shown = losses.TABLES[name]
    assert [(int(row["recipe"]), int(row["seed"])) for row in rows] == list(product(range(len(recipes)), range(10)))
    for row in rows:
        recipe = recipes[int(row["recipe"])]
        expected = made_up(recipe, int(row["seed"]))
        for setting in shown:
            value = getattr(recipe, setting)
            assert row[setting] == ("" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value))
        assert [float(x) for x in row["final scale"].split()] == pytest.approx(expected["scale"], abs=6e-5)
        assert float(row["excess"]) == pytest.approx(expected["excess"][0], rel=0.06)
        assert float(row["overlap"]) == pytest.approx(expected["overlap"], abs=6e-5)
        assert row["steps"] == "7"


@cache
def table(name):
    with (RESULTS / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def numbers(row, name):
    return [float(value) for value in row[name].split()]


@pytest.mark.parametrize("name", losses.TABLES)
def test_the_stored_tables_are_complete(name):
    _, recipes, shown = losses.TABLES[name]
    rows = table(name)
    assert [(int(row["recipe"]), int(row["seed"])) for row in rows] == list(product(range(len(recipes)), losses.SEEDS))
    assert len(losses.SEEDS) >= 10
    for row in rows:
        recipe = recipes[int(row["recipe"])]
        assert [row[one] for one in shown] == [losses.written(one, getattr(recipe, one)) for one in shown]


@pytest.mark.parametrize(("recipe", "seed"), [(0, 3), (15, 7), (16, 1)])
def test_rows_of_the_lookup_tables(recipe, seed):
    """What is determined is found again: to the digits of the table, or to what the training leaves."""
    [stored] = [row for row in table("losses_lookup.csv") if (row["recipe"], row["seed"]) == (str(recipe), str(seed))]
    found = jobs.lookup(losses.LOOKUPS[recipe], seed)
    assert numbers(stored, "gamma") == pytest.approx(found["gamma"], abs=1e-4)
    for name in ("cosine overlap", "canonical overlap", "canonical difference"):
        assert float(stored[name]) == pytest.approx(found[name], abs=5e-3), name
    assert numbers(stored, "final scale") == pytest.approx(found["scale"], abs=1e-3)
    assert max(found["excess"]) < 1e-10


def test_a_row_that_the_start_decides():
    """At s = 9 a processor may lead elsewhere: what is not free stays, and the rest is about as free."""
    [stored] = [row for row in table("losses_lookup.csv") if (row["recipe"], row["seed"]) == ("2", "0")]
    found = jobs.lookup(losses.LOOKUPS[2], 0)
    for name in ("cosine difference", "cosine overlap"):
        assert float(stored[name]) == pytest.approx(found[name], abs=0.15), name
    assert max(found["canonical difference"], float(stored["canonical difference"])) < 1e-3


def test_a_row_of_the_tied_encoder():
    [stored] = [row for row in table("losses_tied.csv") if (row["recipe"], row["seed"]) == ("2", "5")]
    found = jobs.tied(losses.TIED[2], 5)
    assert float(stored["predicted mean"]) == pytest.approx(found["predicted mean"], abs=1e-4)
    for name in ("mean", "share", "overlap with truth"):
        assert numbers(stored, name) == pytest.approx(found[name], abs=0.03), name

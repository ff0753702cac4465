"""Chapter 11: does training use the freedom? The claims counted in the tables, and attacked with new seeds."""

import csv
from functools import cache
from pathlib import Path

import losses_jobs as jobs
import numpy as np
import pytest
from losses_jobs import Encoders, Lookup

from cossim_helpers import cosine_similarity, overlap_at_k, train_contrastive

RESULTS = Path(__file__).parents[2] / "studies" / "results"


@cache
def table(name):
    with (RESULTS / f"losses_{name}.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def rows(name, **settings):
    found = [row for row in table(name) if all(row[key] == str(value) for key, value in settings.items())]
    assert len({row["seed"] for row in found}) >= 10
    return found


def values(found, name):
    return np.array([[float(value) for value in row[name].split()] for row in found])


def unit(M):
    return M / np.linalg.norm(M, axis=1, keepdims=True)


# --- spare dimensions ---

SPARE = {"truth": "unit", "k": 10, "optimizer": "l-bfgs", "learn_scale": False}


@pytest.mark.claim("loss-training-spare")
@pytest.mark.parametrize("loss", ["symmetric", "one-sided"])
def test_spare_dimensions_in_the_table(loss):
    at_6, at_7, at_9 = (rows("lookup", loss=loss, scale=f"{s:.4f}", **SPARE) for s in (6, 7, 9))
    np.testing.assert_allclose(values(at_6, "gamma")[:, 0], 6, atol=1e-4)
    assert values(at_6, "cosine difference").max() < 1e-3
    assert values(at_6, "cosine difference from truth").max() < 1e-3
    for found, low, high in ((at_7, 0.735, 0.855), (at_9, 0.535, 0.675)):
        kept = values(found, "cosine overlap")
        assert low < kept.min() <= kept.max() < high
    for found in (at_6, at_7, at_9):
        assert values(found, "canonical difference").max() < 1e-3
        assert values(found, "excess").max() < 1e-10


@pytest.mark.claim("loss-training-spare")
@pytest.mark.parametrize("seed", [101, 102])
def test_spare_dimensions_on_new_seeds(seed):
    """Without the study's code: other sizes, another truth; the neighbors are lost above the smallest scale alone."""
    rng = np.random.default_rng(seed)
    X, Y = unit(rng.standard_normal((60, 3))), unit(rng.standard_normal((50, 3)))
    starts = [(rng.standard_normal((60, 7)), rng.standard_normal((50, 7))) for _ in range(2)]
    kept = {}
    for scale in (4.0, 6.0):
        models = [train_contrastive(4 * X @ Y.T, *start, scale=scale) for start in starts]
        assert max(one.excess for one in models) < 1e-10
        kept[scale] = overlap_at_k(*(cosine_similarity(one.Q) for one in models), 10)
        columns = [(one.scores - one.scores.mean(axis=1, keepdims=True)).T for one in models]
        np.testing.assert_allclose(*map(cosine_similarity, columns), atol=1e-3)
    assert kept[4.0] > 0.99 > 0.85 > kept[6.0]


# --- a learned scale ---


@pytest.mark.claim("loss-training-scale")
def test_the_learned_scale_in_the_table():
    learned = {"truth": "unit", "learn_scale": True, "loss": "symmetric"}
    bounds = {"1.0000": (6.1, 6.3), "14.2857": (6.8, 7.6), "30.0000": (9.7, 11.3)}
    for start, (low, high) in bounds.items():
        found = rows("lookup", k=10, optimizer="adam", scale=start, **learned)
        scale = values(found, "final scale")
        assert low <= round(scale.min(), 1) <= round(scale.max(), 1) <= high
        assert values(found, "excess").max() < 1e-4
        quasi_newton = values(rows("lookup", k=10, optimizer="l-bfgs", scale=start, **learned), "final scale")
        assert 6 <= quasi_newton.min() <= quasi_newton.max() < 6.15
    no_room = rows("lookup", k=5, optimizer="adam", scale="14.2857", **learned)
    np.testing.assert_allclose(values(no_room, "final scale"), 6, atol=1e-3)
    assert values(no_room, "cosine difference").max() < 1e-3


@pytest.mark.claim("loss-training-scale")
def test_the_learned_scale_on_a_new_seed():
    """The order of the ends is that of the starts; a solution far above the smallest scale does not move at all."""
    rng = np.random.default_rng(103)
    X, Y = unit(rng.standard_normal((50, 3))), unit(rng.standard_normal((50, 3)))
    P, Q = rng.standard_normal((2, 50, 6))
    options = {"learn_scale": True, "optimizer": "adam", "steps": 3_000}
    ends = [train_contrastive(4 * X @ Y.T, P, Q, scale=s, **options).scale for s in (1.0, 10.0, 30.0)]
    assert 3.9 < ends[0] < ends[1] - 0.3 < ends[2] - 0.6
    high = train_contrastive(4 * X @ Y.T, P, Q, scale=8.0)
    again = train_contrastive(4 * X @ Y.T, high.P, high.Q, scale=8.0, learn_scale=True)
    assert high.excess < 1e-10
    assert again.scale == pytest.approx(8.0, abs=1e-3)


# --- networks ---


@pytest.mark.claim("loss-training-networks")
def test_networks_in_the_table():
    recipes = {row["recipe"] for row in table("towers")}
    assert len(recipes) == 8
    for recipe in recipes:
        found = rows("towers", recipe=recipe)
        gap = values(found, "canonical")[:, 0] - values(found, "cosine")[:, 0]
        assert gap.mean() <= 0.07
    for unit_rows, decay, low, high in ((False, 0.0, 0, 0.7), (False, 0.1, 0.75, 1), (True, 0.0, 0.8, 1)):
        found = rows("towers", unit=unit_rows, decay=f"{decay:.4f}", loss="symmetric", k=8)
        kept = values(found, "cosine")[:, 2]
        assert low < kept.min() <= kept.max() < high


@pytest.mark.claim("loss-training-networks")
def test_a_distorted_start_on_a_new_seed():
    """Half as many steps: the distortion that no score shows is there at the end, and the start moved no score."""
    recipe, seed = Encoders(unit=False, steps=3_000), 104
    users, items, *_ = jobs.shown(recipe, seed)
    ends, scores = [], []
    for number, stretch in ((0, 1.0), (0, 16.0)):
        P, Q = jobs.vectors(np, jobs.start_of(recipe, seed, number, stretch), recipe, users, items)
        scores.append(P @ Q.T)
        ends.append(jobs.vectors(np, jobs.train_encoders(recipe, seed, number, stretch), recipe, users, items))
    np.testing.assert_allclose(*scores, atol=1e-9)
    by_cosine = overlap_at_k(*(cosine_similarity(Q) for _, Q in ends), 10)
    by_columns = overlap_at_k(*(jobs.canonical_cosine(P, Q) for P, Q in ends), 10)
    assert by_cosine < 0.7 < 0.8 < by_columns


# --- one encoder ---


@pytest.mark.claim("loss-training-temperature")
def test_temperatures_in_the_table():
    for k, scale in ((8, 20), (8, 28), (8, 40), (8, 80), (7, 80)):
        found = rows("tied", k=k, scale=f"{scale:.4f}")
        predicted = values(found, "predicted mean")
        assert abs(values(found, "mean") - predicted).max() <= 0.05
        assert abs(predicted - (1 - 20 / scale)).max() < 0.02  # cosines of the truth around 0


@pytest.mark.claim("loss-training-temperature")
def test_temperatures_on_a_new_seed():
    """The formula against a truth with another scale: from 10 to 40 the mean cosine goes to about three quarters."""
    recipe, seed = Encoders(tied=True, true_k=5, true_scale=10.0, k=6, scale=40.0, steps=3_000), 105
    _, items, _, true_Q = jobs.shown(recipe, seed)
    Q = jobs.vectors(np, jobs.train_encoders(recipe, seed, 0), recipe, items, items)[1]
    pairs = np.triu_indices(len(Q), 1)
    expected = (10 * cosine_similarity(true_Q)[pairs] + 30) / 40
    assert abs(cosine_similarity(Q)[pairs].mean() - expected.mean()) < 0.05
    assert 0.7 < expected.mean() < 0.8


def test_the_recipes_are_those_that_the_claims_name():
    assert (Lookup().truth, Lookup().k, Lookup().scale) == ("unit", 10, 6.0)
    assert (Encoders().true_k, Encoders().steps, jobs.FEATURES) == (8, 6_000, 8)

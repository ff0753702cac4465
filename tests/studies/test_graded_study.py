"""studies/graded.py: its data have the grades that it says, and its numbers are what they are called."""

import csv
from itertools import product

import deep
import deep_jobs
import graded
import graded_jobs
import numpy as np
import pytest

from cossim_helpers import Recipe, overlap_at_k, train_model


@pytest.fixture(scope="module")
def drawn():
    return graded_jobs.interactions(4_000, 90, 5)


def test_users_draw_what_they_prefer(drawn):
    X, part = drawn
    assert set(np.unique(X)) == {0.0, 1.0}
    assert X.sum(axis=1).min() >= 1 and X.sum(axis=1).max() <= 45
    assert (np.diff(part) >= 0).all() and set(part) <= set(range(15))
    again, _ = graded_jobs.interactions(4_000, 90, 5)
    np.testing.assert_array_equal(again, X)
    assert not np.array_equal(graded_jobs.interactions(4_000, 90, 6)[0], X)


def test_the_activity_has_the_law_of_the_simulation(drawn):
    k = np.arange(1, 46)
    expected = (k**-0.5 / (k**-0.5).sum()) @ k
    k_u = drawn[0].sum(axis=1)
    assert abs(k_u.mean() - expected) < 4 * k_u.std() / np.sqrt(len(k_u))


def test_the_truth_has_three_grades(drawn):
    """Users who took one item take those of its sub-cluster most, of the rest of its cluster less, of others least."""
    X, part = drawn
    active = X[X.sum(axis=1) >= 5]
    C = np.corrcoef(active.T)
    i, j = np.triu_indices(len(part), 1)
    same_part, same_cluster = part[i] == part[j], part[i] // 3 == part[j] // 3
    means = [C[i, j][kind].mean() for kind in (same_part, same_cluster & ~same_part, ~same_cluster)]
    assert means[0] > means[1] + 0.03 > means[2] + 0.06


@pytest.mark.claim("deep-seed")
def test_hits_and_chance_by_simulation():
    rng = np.random.default_rng(3)
    part = np.repeat(np.arange(6), 12)  # two clusters of three

    def lists(of_part, of_rest):
        result = []
        for item, own in enumerate(part):
            grades = [
                np.flatnonzero((part == own) & (np.arange(72) != item)),
                np.flatnonzero((part // 3 == own // 3) & (part != own)),
                np.flatnonzero(part // 3 != own // 3),
            ]
            takes = (of_part, of_rest, 10 - of_part - of_rest)
            result.append(
                np.concatenate([rng.choice(grade, take, replace=False) for grade, take in zip(grades, takes)])
            )
        return np.array(result)

    hits = graded.graded_hits(lists(6, 3), part)
    np.testing.assert_array_equal(hits, np.tile([6, 3, 1], (72, 1)))
    others = graded.graded_hits(lists(2, 2), part)
    expected = graded.chance(hits, others, part)
    seen = [deep.overlap_table([lists(6, 3), lists(2, 2)])[0, 1] for _ in range(60)]
    assert abs(np.mean(seen) - expected) < 4 * np.std(seen) / np.sqrt(60)
    assert expected == pytest.approx((6 * 2 / 11 + 3 * 2 / 24 + 1 * 6 / 36) / 10)


def test_measure_by_definition(monkeypatch):
    for name, value in {"N_TRAIN": 60, "N_TEST": 40, "N_ITEMS": 45, "data": graded_jobs.data.__wrapped__}.items():
        monkeypatch.setattr(graded_jobs, name, value)
    X, part = graded_jobs.interactions(100, 45, 0)
    monkeypatch.setattr(
        graded_jobs,
        "data",
        lambda seed: (np.maximum(X[:60], np.eye(45)[np.arange(60) % 45]), deep_jobs.hold_out(X[60:]), part),
    )
    recipe = Recipe("squared", epochs=2, k=4, batch_size=20)
    result = graded_jobs.measure(recipe, 0, 5)
    users, *_ = graded_jobs.data(0)
    vectors = deep_jobs.representatives(train_model(users, recipe, rng=5), users)
    assert set(result["lists"]) == set(graded.REPRESENTATIVES)
    for name, lists in result["lists"].items():
        unit = vectors[name] / np.linalg.norm(vectors[name], axis=1, keepdims=True)
        np.testing.assert_array_equal(lists, deep_jobs.nearest(unit @ unit.T))


def test_the_table(monkeypatch, tmp_path):
    part = np.repeat(np.arange(15), 3)

    def similarity(model_seed, name):
        return np.random.default_rng([*model_seed, len(name)]).random((45, 45))

    def serial(jobs, workers):
        return [
            {
                "ndcg": 0.3,
                "lists": {
                    name: deep_jobs.nearest(similarity((recipe.epochs, seed), name)).tolist()
                    for name in graded.REPRESENTATIVES
                },
            }
            for _, recipe, _, seed in jobs
        ]

    monkeypatch.setattr(graded, "all_results", serial)
    monkeypatch.setattr(graded, "data", lambda seed: (None, None, part))
    monkeypatch.setattr(graded, "SEEDS", range(3))
    monkeypatch.setattr(
        graded,
        "chosen",
        lambda: {
            ("equal", model, device): Recipe(model, epochs=10 * i + j + 1)
            for (i, model), (j, device) in product(enumerate(graded.MODELS), enumerate(graded.DEVICES))
        },
    )
    monkeypatch.setattr(deep, "RESULTS", tmp_path)
    graded.run(1)
    with (tmp_path / "graded.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    keys = [(row["model"], row["representative"], row["device"], int(row["seed"])) for row in rows]
    assert keys == list(product(graded.MODELS, graded.REPRESENTATIVES, graded.DEVICES, range(3)))
    for first in (0, 9, 45):
        block = rows[first : first + 9]
        own = [similarity((int(row["epochs"]), int(row["seed"])), row["representative"]) for row in block]
        for i, row in enumerate(block):
            neighbors = deep_jobs.nearest(own[i])
            assert float(row["own sub-cluster"]) == pytest.approx(np.mean(part[neighbors] == part[:, None]), abs=6e-5)
            assert float(row["own cluster"]) == pytest.approx(
                np.mean(part[neighbors] // 3 == part[:, None] // 3), abs=6e-5
            )
            overlaps = [float(value) for value in row["overlap with each row before"].split()]
            assert overlaps == pytest.approx([overlap_at_k(own[i], own[j]) for j in range(i)], abs=6e-4)
            assert len(row["by chance, given the grades"].split()) == i

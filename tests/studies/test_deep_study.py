"""benchmarks/deep.py: its grid, its choice, its data and its bookkeeping, on small data and made-up results."""

import csv
import importlib.util
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import scipy.stats
from sklearn.metrics import roc_auc_score

from cossim_helpers import Recipe, item_similarities, ndcg_at_k, overlap_at_k, simulate_interactions, train_model
from cossim_helpers.trained.models import MODELS

ROOT = Path(__file__).parents[2]


def load_study():
    spec = importlib.util.spec_from_file_location("benchmark_deep", ROOT / "benchmarks" / "deep.py")
    module = sys.modules["benchmark_deep"] = importlib.util.module_from_spec(spec)
    with mock.patch.dict(os.environ):  # it chooses the platform and the threads of its own process
        spec.loader.exec_module(module)
    return module


deep = load_study()


@pytest.fixture
def small(monkeypatch, tmp_path):
    """The study on 120 users and 24 items, with its files in a folder of its own."""
    changes = {"N_TRAIN": 60, "N_VALIDATE": 20, "N_TEST": 40, "N_ITEMS": 24, "EPOCHS": (1, 3), "ROOT": tmp_path,
               "RESULTS": tmp_path / "results", "data": deep.data.__wrapped__}
    for name, value in changes.items():
        monkeypatch.setattr(deep, name, value)
    return tmp_path


# ---- the grid


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("device", deep.DEVICES)
def test_the_grid_is_the_declared_one(model, device):
    decays = (1e-3, 1e-2, 1e-1) if model in ("linear", "squared") else (1e-5, 1e-4, 1e-3)
    strengths = {
        "none": [(0.0, 0.0)],
        "dropout": [(0.2, 0.0), (0.5, 0.0), (0.8, 0.0)],
        "decay": [(0.0, decay) for decay in decays],
        "both": [(0.2, decays[0]), (0.2, decays[1]), (0.5, decays[0]), (0.5, decays[1])],
        "layer norm": [(0.0, 0.0)],
        "cosine": [(0.0, 0.0)],
    }[device]
    normalization = {"layer norm": "layer", "cosine": "unit"}.get(device, "none")
    expected = {Recipe(model, normalization, dropout, decay, rate, epochs=64)
                for (dropout, decay), rate in product(strengths, (0.003, 0.01))}
    got = deep.grid(model, device)
    assert set(got) == expected
    assert len(got) == len(expected)
    assert deep.EPOCHS == (4, 8, 16, 32, 64)


# ---- the choice


def row(model, device, ndcg, dropout=0.0, decay=0.0, rate=0.003, epochs=16):
    return {"model": model, "device": device, "dropout": str(dropout), "decay": str(decay), "learning_rate": str(rate),
            "epochs": str(epochs), "ndcg": str(ndcg)}


def made_up_grid(**points):
    """A row for each model and device, and for "linear" with dropout those given."""
    rows = [row(model, device, 0.3) for model in MODELS for device in deep.DEVICES]
    if points:
        rows = [one for one in rows if (one["model"], one["device"]) != ("linear", "dropout")]
    return rows + [row("linear", "dropout", **point) for point in points.values()]


@pytest.mark.parametrize(("points", "best", "equal"), [
    # within 1 % of 0.3: the longest of those, though others are better, longer or nearer
    ({"a": {"ndcg": 0.4, "epochs": 64}, "b": {"ndcg": 0.3029, "epochs": 32}, "c": {"ndcg": 0.3}}, "a", "b"),
    ({"a": {"ndcg": 0.2971, "epochs": 32}, "b": {"ndcg": 0.2969, "epochs": 64}, "c": {"ndcg": 0.3}}, "c", "a"),
    ({"a": {"ndcg": 0.3031, "epochs": 64}, "b": {"ndcg": 0.3, "epochs": 4}}, "a", "b"),
    # of the longest, the strongest, then the faster rate
    ({"a": {"ndcg": 0.302, "dropout": 0.2, "decay": 0.1}, "b": {"ndcg": 0.301, "dropout": 0.5}}, "a", "b"),
    ({"a": {"ndcg": 0.302, "dropout": 0.5, "decay": 0.1, "rate": 0.003},
      "b": {"ndcg": 0.301, "dropout": 0.5, "decay": 0.01, "rate": 0.01}}, "a", "a"),
    ({"a": {"ndcg": 0.302, "rate": 0.003}, "b": {"ndcg": 0.301, "rate": 0.01}}, "a", "b"),
    ({"a": {"ndcg": 0.302, "rate": 0.01, "epochs": 8}, "b": {"ndcg": 0.301, "rate": 0.003, "epochs": 16}}, "a", "b"),
    ({"a": {"ndcg": 0.302, "epochs": 8}, "b": {"ndcg": 0.301, "epochs": 32}}, "a", "b"),  # numbers, not text
    # none is near: the nearest, above or below
    ({"a": {"ndcg": 0.2, "epochs": 64}, "b": {"ndcg": 0.29}, "c": {"ndcg": 0.311}}, "c", "b"),
    ({"a": {"ndcg": 0.2, "epochs": 64}, "b": {"ndcg": 0.28}, "c": {"ndcg": 0.311}}, "c", "c"),
])
def test_chosen_on_made_up_rows(points, best, equal):
    choice = deep.chosen(made_up_grid(**points))
    assert set(choice) == set(product(("best", "equal"), MODELS, deep.DEVICES))
    for quality, name in (("best", best), ("equal", equal)):
        recipe, point = choice[quality, "linear", "dropout"], points[name]
        expected = Recipe("linear", "none", point.get("dropout", 0.0), point.get("decay", 0.0),
                          point.get("rate", 0.003), point.get("epochs", 16))
        assert recipe == expected


def test_equal_quality_is_that_of_the_weakest_device():
    rows = [*made_up_grid(), row("softmax", "none", 0.306, epochs=64), row("softmax", "none", 0.302, epochs=8),
            row("softmax", "layer norm", 0.3049, epochs=32), row("squared", "layer norm", 0.3029, epochs=4)]
    choice = deep.chosen(rows)
    assert choice["best", "softmax", "none"].epochs == 64
    assert choice["equal", "softmax", "none"].epochs == 16  # 1 % of 0.3, the best of "decay" and others
    assert choice["equal", "softmax", "layer norm"] == Recipe("softmax", "layer", epochs=16)
    assert choice["equal", "squared", "layer norm"].epochs == 16
    assert choice["best", "squared", "layer norm"].epochs == 4
    assert choice["best", "two-tower", "cosine"].normalization == "unit"
    for one in rows:  # where all devices do better, so does the target
        if one["model"] == "softmax":
            one["ndcg"] = str(float(one["ndcg"]) + 0.01)
    rows += [row("softmax", device, 0.4, epochs=4) for device in deep.DEVICES if device != "dropout"]
    rows += [row("softmax", "dropout", 0.398, epochs=4)]
    assert all(deep.chosen(rows)["equal", "softmax", device].epochs == 4 for device in deep.DEVICES)


# ---- what a worker does


@pytest.mark.parametrize("seed", range(5))
def test_data_are_three_groups_of_users(small, seed):
    X, validation, test, item_cluster = deep.data(seed)
    drawn = simulate_interactions(120, 24, rng=seed)
    whole = drawn.X.toarray()
    np.testing.assert_array_equal(X, whole[:60])
    for (seen, held), group in ((validation, whole[60:80]), (test, whole[80:])):
        np.testing.assert_array_equal(seen + held, group[group.sum(axis=1) >= 5])
        np.testing.assert_array_equal(held.sum(axis=1), np.ceil((seen + held).sum(axis=1) / 5))
        assert set(np.unique(seen)) == set(np.unique(held)) == {0.0, 1.0}
    np.testing.assert_array_equal(item_cluster, drawn.item_cluster)
    np.testing.assert_array_equal(deep.data(seed)[2][1], test[1])
    assert not np.array_equal(deep.data(seed + 1)[0], X)


def test_the_declared_sizes():
    assert (deep.N_TRAIN, deep.N_VALIDATE, deep.N_TEST, deep.N_ITEMS) == (20_000, 2_000, 5_000, 300)
    assert deep.TUNING_SEED not in {*deep.SEEDS, *deep.NEW_SEEDS}
    assert not set(deep.SEEDS) & set(deep.NEW_SEEDS)


def test_validate_reads_the_epochs_off_one_training(small):
    recipe = Recipe("linear", epochs=3, k=4, batch_size=20)
    X, (seen, held), *_ = deep.data(0)
    expected = [ndcg_at_k(train_model(X, replace(recipe, epochs=epochs), rng=5).scores(seen), seen, held)
                for epochs in (1, 3)]
    assert deep.validate(recipe, 0, 5) == {"ndcg": expected}


def test_measure_by_definition(small):
    recipe = Recipe("softmax", epochs=3, k=4, batch_size=20, learning_rate=0.05)
    result = deep.measure(recipe, 1, 5)
    X, _, (seen, held), cluster = deep.data(1)
    model = train_model(X, recipe, rng=5)
    assert result["ndcg"] == ndcg_at_k(model.scores(seen), seen, held)
    similarities = item_similarities(model, X)
    assert set(similarities) == set(deep.SIMILARITIES)
    assert set(result) == {"ndcg", *deep.SIMILARITIES, *(f"neighbors, {name}" for name in deep.SIMILARITIES)}
    i, j = np.triu_indices(24, 1)
    same = cluster[i] == cluster[j]
    for name, similarity in similarities.items():
        auc, within, between, precision, popularity = result[name]
        pairs = similarity[i, j]
        assert auc == pytest.approx(roc_auc_score(same, pairs), abs=1e-6)
        assert (within, between) == pytest.approx((pairs[same].mean(), pairs[~same].mean()))
        neighbors = []
        for item in range(24):
            others = sorted((other for other in range(24) if other != item), key=similarity[item].__getitem__)
            neighbors.append(others[-10:])
        assert list(map(set, result["neighbors, " + name])) == list(map(set, neighbors))
        own = [cluster[ten] == cluster[item] for item, ten in enumerate(neighbors)]
        assert precision == pytest.approx(np.mean(own))
        assert -1 <= popularity <= 1


def test_nearest_leaves_out_the_item_and_breaks_ties_by_number():
    similarity = np.array([[9.0, 1, 2, 1], [1, 0, 1, 1], [2, 1, -5, 3], [1, 1, 3, 9]])
    before = similarity.copy()
    assert deep.nearest(similarity, 2).tolist() == [[2, 1], [0, 2], [3, 0], [2, 0]]
    np.testing.assert_array_equal(similarity, before)
    assert deep.nearest(np.random.default_rng(0).random((20, 20))).shape == (20, 10)


calls = []


def task(recipe, *seeds):
    calls.append((recipe, seeds))
    return {"dropout": recipe.dropout, "seeds": list(seeds)}


def other_task(recipe, *seeds):
    return {"other": len(seeds)}


def test_results_are_stored_until_something_changes(small):
    calls.clear()
    recipe = Recipe("linear", dropout=0.2)
    for _ in range(3):
        assert deep.stored(task, recipe, 1, 2) == {"dropout": 0.2, "seeds": [1, 2]}
    assert calls == [(recipe, (1, 2))]
    changed = replace(recipe, dropout=0.5)
    assert deep.stored(task, changed, 1, 2) == {"dropout": 0.5, "seeds": [1, 2]}
    assert deep.stored(task, recipe, 1, 3) == {"dropout": 0.2, "seeds": [1, 3]}
    assert deep.stored(task, recipe) == {"dropout": 0.2, "seeds": []}
    assert calls == [(recipe, (1, 2)), (changed, (1, 2)), (recipe, (1, 3)), (recipe, ())]
    assert deep.stored(other_task, recipe, 1, 2) == {"other": 2}
    for name, value in {"model": "squared", "normalization": "unit", "decay": 0.1, "learning_rate": 0.1, "epochs": 3,
                        "k": 5, "batch_size": 7}.items():
        deep.stored(task, replace(recipe, **{name: value}), 1, 2)
    assert len(calls) == 4 + 7
    assert {path.suffix for path in (small / "_build" / "deep").iterdir()} == {".json"}


class Threads(ThreadPoolExecutor):
    def __init__(self, workers, mp_context=None):
        super().__init__(workers)


def test_results_come_in_the_order_of_the_jobs(small, monkeypatch):
    monkeypatch.setattr(deep, "ProcessPoolExecutor", Threads)
    jobs = [(task, Recipe("linear", dropout=q), seed) for q in (0.5, 0.1, 0.3) for seed in (2, 0, 1)]
    monkeypatch.setattr(deep, "as_completed", lambda waiting: reversed(list(waiting)))
    expected = [{"dropout": recipe.dropout, "seeds": [seed]} for _, recipe, seed in jobs]
    assert deep.all_results(jobs, 2) == expected
    calls.clear()
    assert deep.all_results(jobs, 2) == expected
    assert calls == []  # they are stored
    assert deep.all_results(jobs, 2, anew=True) == expected
    assert len(calls) == len(jobs)


@pytest.mark.parametrize(("name", "value"), [
    ("N_TRAIN", 61), ("N_VALIDATE", 21), ("N_TEST", 31), ("N_ITEMS", 25), ("TUNING_SEED", 1), ("EPOCHS", (2,)),
    ("SIMILARITIES", ("cosine",)),
])
def test_a_result_is_stored_under_all_that_it_depends_on(monkeypatch, name, value):
    deep._code.cache_clear()
    before = deep._code()
    monkeypatch.setattr(deep, name, value)
    deep._code.cache_clear()
    assert deep._code() != before
    deep._code.cache_clear()


def test_a_result_is_stored_under_the_code_of_all_helpers():
    helpers = sorted((deep.ROOT / "cossim_helpers").rglob("*.py"))
    assert {"training.py", "simulation.py", "closed_forms.py"} <= {path.name for path in helpers}
    assert all(path.read_text(encoding="utf-8") in deep._code() for path in helpers)


# ---- the tables


def made_up_validate(recipe, *_):
    """The longer and the stronger, the better."""
    number = recipe.dropout + recipe.decay + recipe.learning_rate
    return {"ndcg": [0.3 + 0.001 * number * epochs for epochs in deep.EPOCHS]}


@cache
def made_up_measure(recipe, data_seed, seed):
    """Normal numbers whose law depends on the recipe and on the data, and that follow from the seed."""
    name = repr((recipe, data_seed)).encode()
    mean = np.random.default_rng(list(name)).random(6)
    draw = np.random.default_rng([*name, seed])
    result = {"ndcg": mean[5] + 0.01 * draw.standard_normal()}
    for similarity in deep.SIMILARITIES:
        result[similarity] = (mean[:5] + 0.01 * draw.standard_normal(5)).tolist()
        result["neighbors, " + similarity] = deep.nearest(draw.random((24, 24))).tolist()
    return result


@pytest.fixture
def study(small, monkeypatch):
    """The study with made-up trainings: (the folder of its tables, a function that changes what is measured)."""
    def serial(jobs, workers, anew=False):
        return [deep_task(recipe, *seeds) for deep_task, recipe, *seeds in jobs]

    for name, value in {"validate": made_up_validate, "measure": made_up_measure, "all_results": serial}.items():
        monkeypatch.setattr(deep, name, value)
    deep.tune(1)
    deep.run(1)
    return small / "results"


def table(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_table_of_the_grid(study):
    rows = table(study / "deep_grid.csv")
    assert len(rows) == 4 * (1 + 3 + 3 + 4 + 1 + 1) * 2 * 2  # models, strengths of the devices, rates, epochs
    assert len({tuple(one.values())[:-1] for one in rows}) == len(rows)
    for one in rows:
        recipe = Recipe(one["model"], {"layer norm": "layer", "cosine": "unit"}.get(one["device"], "none"),
                        float(one["dropout"]), float(one["decay"]), float(one["learning_rate"]))
        number = recipe.dropout + recipe.decay + recipe.learning_rate
        assert float(one["ndcg"]) == pytest.approx(0.3 + 0.001 * number * int(one["epochs"]), abs=6e-5)
        assert (one["dropout"] != "0.0") == (one["device"] in ("dropout", "both"))
        assert (one["decay"] != "0.0") == (one["device"] in ("decay", "both"))


def test_the_tables_of_the_study(study):
    choice, rows = deep.chosen(), table(study / "deep.csv")
    at = {(*(one[name] for name in ("quality", "data", "model", "device", "seed", "similarity")),): one for one in rows}
    assert len(at) == len(rows)
    expected = {(quality, str(data_seed), model, device, str(seed), name)
                for quality, data_seed, seeds in (("equal", 0, range(8)), ("best", 0, range(8)), ("equal", 1, range(3)),
                                                  ("equal", 2, range(3)))
                for model in MODELS for device in deep.DEVICES for seed in seeds for name in deep.SIMILARITIES}
    assert set(at) == expected
    for (quality, data_seed, model, device, seed, name), one in at.items():
        recipe = choice[quality, model, device]
        result = made_up_measure(recipe, int(data_seed), int(seed))
        numbers = [result["ndcg"], *result[name]]
        assert [float(one[column]) for column in deep.NUMBERS] == pytest.approx(numbers, abs=6e-5)
        assert [float(one[part]) for part in deep.CHOSEN] == [getattr(recipe, part) for part in deep.CHOSEN]


def test_the_table_of_overlaps(study):
    choice, rows = deep.chosen(), table(study / "deep_overlaps.csv")
    assert len(rows) == 4 * len(deep.SIMILARITIES) * 6 * 8
    for model, name in product(MODELS, deep.SIMILARITIES):
        block = [one for one in rows if (one["model"], one["similarity"]) == (model, name)]
        assert [(one["device"], int(one["seed"])) for one in block] == list(product(deep.DEVICES, range(8)))
        for i in (0, 1, 20, 47):
            overlaps = [float(value) for value in block[i]["overlap with each row before"].split()]
            assert len(overlaps) == i
            lists = [made_up_measure(choice["equal", model, block[j]["device"]], 0, int(block[j]["seed"]))
                     ["neighbors, " + name] for j in range(i + 1)]
            for j, overlap in enumerate(overlaps):
                common = [len(set(a) & set(b)) for a, b in zip(lists[i], lists[j])]
                assert overlap == pytest.approx(sum(common) / 240, abs=6e-4)


def test_overlap_table_is_overlap_at_k():
    similarities = np.random.default_rng(0).random((4, 300, 300))
    got = deep.overlap_table([deep.nearest(similarity).tolist() for similarity in similarities])
    expected = [[overlap_at_k(one, other) for other in similarities] for one in similarities]
    np.testing.assert_allclose(got, expected, atol=1e-6)
    np.testing.assert_allclose(np.diag(got), 1, atol=1e-6)


# ---- does it reproduce?


def test_verify_accepts_what_it_finds_again(study, capsys):
    deep.verify(1, sample_seed=1)
    out = capsys.readouterr().out
    assert f"of {12 * 6 * len(deep.SIMILARITIES)} numbers outside" in out


@pytest.mark.parametrize(("what", "change"), [("same", 0.01), ("same", -0.01), ("new", 0.2), ("new", np.nan)])
def test_verify_refuses_other_numbers(study, monkeypatch, what, change):
    """`change` added to one number of all runs with the same seeds, or with new ones."""
    def changed(recipe, data_seed, seed):
        result = deepcopy(made_up_measure(recipe, data_seed, seed))
        if (seed in deep.NEW_SEEDS) == (what == "new"):
            for name in deep.SIMILARITIES:
                result[name][2] += change
        return result

    monkeypatch.setattr(deep, "measure", changed)
    with pytest.raises(SystemExit, match="the table is not reproduced"):
        deep.verify(1, sample_seed=1)


@pytest.mark.parametrize("n", [5, 8])
@pytest.mark.parametrize("confidence", [0.9, 0.99])
def test_prediction_intervals_cover_as_often_as_they_say(n, confidence):
    rng, hits, times = np.random.default_rng(n), 0, 4_000
    for _ in range(times):
        *known, new = 3 + 2 * rng.standard_normal(n + 1)
        low, high = deep.prediction_interval(known, confidence)
        hits += low <= new <= high
    assert scipy.stats.binomtest(hits, times, confidence).pvalue > 1e-4


def test_prediction_interval_by_hand():
    low, high = deep.prediction_interval([1.0, 2.0, 3.0], 0.9)
    half = scipy.stats.t.ppf(0.95, 2) * (4 / 3) ** 0.5
    assert (low, high) == pytest.approx((2 - half - 1e-4, 2 + half + 1e-4))
    assert deep.prediction_interval([0.5] * 5) == pytest.approx((0.4999, 0.5001))

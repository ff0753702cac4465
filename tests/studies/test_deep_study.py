"""studies/deep.py: its grid, its choice, its data and its bookkeeping, on small data and made-up results."""

import csv
import json
from copy import deepcopy
from dataclasses import astuple, replace
from functools import cache
from itertools import product

import deep
import deep_jobs
import numpy as np
import pytest
import scipy.stats
from sklearn.metrics import roc_auc_score

from cossim_helpers import Recipe, item_similarities, ndcg_at_k, overlap_at_k, simulate_interactions, train_model

MODELS = ("linear", "squared", "softmax", "two-tower")


@pytest.fixture
def small(monkeypatch, tmp_path):
    """The study on 120 users and 24 items, with its files in a folder of its own."""
    for name, value in {
        "N_TRAIN": 60,
        "N_VALIDATE": 20,
        "N_TEST": 40,
        "N_ITEMS": 24,
        "data": deep_jobs.data.__wrapped__,
    }.items():
        monkeypatch.setattr(deep_jobs, name, value)
    monkeypatch.setattr(deep, "EPOCHS", (1, 3))
    monkeypatch.setattr(deep, "RESULTS", tmp_path / "results")
    return tmp_path


# --- the grid ---


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
    expected = {
        Recipe(model, normalization, dropout, decay, rate, epochs=64)
        for (dropout, decay), rate in product(strengths, (0.003, 0.01))
    }
    got = deep.grid(model, device)
    assert set(got) == expected
    assert len(got) == len(expected)
    assert deep.EPOCHS == (4, 8, 16, 32, 64)


# --- the choice ---


def row(model, device, ndcg, dropout=0.0, decay=0.0, rate=0.003, epochs=16):
    return {
        "model": model,
        "device": device,
        "dropout": str(dropout),
        "decay": str(decay),
        "learning_rate": str(rate),
        "epochs": str(epochs),
        "ndcg": str(ndcg),
    }


def made_up_grid(**points):
    """A row for each model and device, and for "linear" with dropout those given."""
    rows = [row(model, device, 0.3) for model in MODELS for device in deep.DEVICES]
    if points:
        rows = [one for one in rows if (one["model"], one["device"]) != ("linear", "dropout")]
    return rows + [row("linear", "dropout", **point) for point in points.values()]


@pytest.mark.parametrize(
    ("points", "best", "equal"),
    [
        # within 1 % of 0.3: the longest of those, though others are better, longer or nearer
        ({"a": {"ndcg": 0.4, "epochs": 64}, "b": {"ndcg": 0.3029, "epochs": 32}, "c": {"ndcg": 0.3}}, "a", "b"),
        ({"a": {"ndcg": 0.2971, "epochs": 32}, "b": {"ndcg": 0.2969, "epochs": 64}, "c": {"ndcg": 0.3}}, "c", "a"),
        ({"a": {"ndcg": 0.3031, "epochs": 64}, "b": {"ndcg": 0.3, "epochs": 4}}, "a", "b"),
        # of the longest, the strongest, then the faster rate
        ({"a": {"ndcg": 0.302, "dropout": 0.2, "decay": 0.1}, "b": {"ndcg": 0.301, "dropout": 0.5}}, "a", "b"),
        (
            {
                "a": {"ndcg": 0.302, "dropout": 0.5, "decay": 0.1, "rate": 0.003},
                "b": {"ndcg": 0.301, "dropout": 0.5, "decay": 0.01, "rate": 0.01},
            },
            "a",
            "a",
        ),
        ({"a": {"ndcg": 0.302, "rate": 0.003}, "b": {"ndcg": 0.301, "rate": 0.01}}, "a", "b"),
        (
            {"a": {"ndcg": 0.302, "rate": 0.01, "epochs": 8}, "b": {"ndcg": 0.301, "rate": 0.003, "epochs": 16}},
            "a",
            "b",
        ),
        ({"a": {"ndcg": 0.302, "epochs": 8}, "b": {"ndcg": 0.301, "epochs": 32}}, "a", "b"),  # numbers, not text
        # none is near: the nearest, above or below
        ({"a": {"ndcg": 0.2, "epochs": 64}, "b": {"ndcg": 0.29}, "c": {"ndcg": 0.311}}, "c", "b"),
        ({"a": {"ndcg": 0.2, "epochs": 64}, "b": {"ndcg": 0.28}, "c": {"ndcg": 0.311}}, "c", "c"),
    ],
)
def test_chosen_on_made_up_rows(points, best, equal):
    choice = deep.chosen(made_up_grid(**points))
    assert set(choice) == set(product(("best", "equal"), MODELS, deep.DEVICES))
    for quality, name in (("best", best), ("equal", equal)):
        recipe, point = choice[quality, "linear", "dropout"], points[name]
        expected = Recipe(
            "linear",
            "none",
            point.get("dropout", 0.0),
            point.get("decay", 0.0),
            point.get("rate", 0.003),
            point.get("epochs", 16),
        )
        assert recipe == expected


def test_equal_quality_is_that_of_the_weakest_device():
    rows = [
        *made_up_grid(),
        row("softmax", "none", 0.306, epochs=64),
        row("softmax", "none", 0.302, epochs=8),
        row("softmax", "layer norm", 0.3049, epochs=32),
        row("squared", "layer norm", 0.3029, epochs=4),
    ]
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


def test_the_band_holds_every_point_as_good_as_the_weakest_device():
    rows = [
        *made_up_grid(),
        row("squared", "decay", 0.3059, epochs=64),
        row("squared", "decay", 0.3061, epochs=32),
        row("squared", "none", 0.2941, rate=0.01),
        row("squared", "none", 0.2939, rate=0.01, epochs=4),
    ]
    points = deep.band(rows)
    assert len(points) == len(set(points)) == 4 * 6 + 2
    assert ("squared", "decay", Recipe("squared", epochs=64)) in points
    assert ("squared", "none", Recipe("squared", learning_rate=0.01)) in points


# --- what a worker does ---


@pytest.mark.parametrize("seed", range(5))
def test_data_are_three_groups_of_users(small, seed):
    X, validation, test, item_cluster = deep_jobs.data(seed)
    drawn = simulate_interactions(120, 24, rng=seed)
    whole = drawn.X.toarray()
    np.testing.assert_array_equal(X, whole[:60])
    for (seen, held), group in ((validation, whole[60:80]), (test, whole[80:])):
        np.testing.assert_array_equal(seen + held, group[group.sum(axis=1) >= 5])
        np.testing.assert_array_equal(held.sum(axis=1), np.ceil((seen + held).sum(axis=1) / 5))
        assert set(np.unique(seen)) == set(np.unique(held)) == {0.0, 1.0}
    np.testing.assert_array_equal(item_cluster, drawn.item_cluster)
    np.testing.assert_array_equal(deep_jobs.data(seed)[2][1], test[1])
    assert not np.array_equal(deep_jobs.data(seed + 1)[0], X)


def test_the_declared_sizes():
    assert (deep_jobs.N_TRAIN, deep_jobs.N_VALIDATE, deep_jobs.N_TEST, deep_jobs.N_ITEMS) == (20_000, 2_000, 5_000, 300)
    assert deep.TUNING_SEED not in {*deep.SEEDS, *deep.NEW_SEEDS}
    assert not set(deep.SEEDS) & set(deep.NEW_SEEDS)


def test_validate_reads_the_epochs_off_one_training(small):
    recipe = Recipe("linear", epochs=3, k=4, batch_size=20)
    X, (seen, held), *_ = deep_jobs.data(0)
    expected = [
        ndcg_at_k(train_model(X, replace(recipe, epochs=epochs), rng=5).scores(seen), seen, held) for epochs in (1, 3)
    ]
    assert deep_jobs.validate(recipe, 0, 5, (1, 3)) == expected


def test_measure_by_definition(small):
    recipe = Recipe("softmax", epochs=3, k=4, batch_size=20, learning_rate=0.05)
    early, result = deep_jobs.measure(recipe, 1, 5, (2, 3))
    X, _, (seen, held), cluster = deep_jobs.data(1)
    model = train_model(X, recipe, rng=5)
    assert early["ndcg"] == ndcg_at_k(train_model(X, replace(recipe, epochs=2), rng=5).scores(seen), seen, held)
    assert result["ndcg"] == ndcg_at_k(model.scores(seen), seen, held)
    [parameters] = deep_jobs.parameters(recipe, 1, 5, (3,))
    assert parameters == {name: np.atleast_2d(value).tolist() for name, value in model.parameters.items()}
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


# --- representatives ---


def cosines(B):
    unit = B / np.linalg.norm(B, axis=1, keepdims=True)
    return unit @ unit.T


@pytest.fixture(scope="module")
def small_users():
    return simulate_interactions(60, 24, rng=3).X.toarray()


def fit(model, normalization, X):
    recipe = Recipe(model, normalization, epochs=3, k=4, batch_size=20, learning_rate=0.05)
    return train_model(X, recipe, rng=1)


@pytest.mark.claim("deep-mostly-gauge")
@pytest.mark.parametrize("normalization", ["none", "layer", "unit"])
@pytest.mark.parametrize("model", MODELS)
def test_representatives_give_the_same_predictions(small_users, model, normalization):
    """Each with users of its own and an output bias; found by least squares, and not by the rule of the function."""
    trained = fit(model, normalization, small_users)
    scores = trained.scores(small_users)
    if model in ("softmax", "two-tower"):  # of no concern to a softmax
        scores = scores - scores.mean(axis=1, keepdims=True)
    for name, B in deep_jobs.representatives(trained, small_users).items():
        if model in ("softmax", "two-tower"):
            B = B - B.mean(axis=0)
        users = np.linalg.lstsq(B, (scores - scores.mean(axis=0)).T, rcond=None)[0].T
        np.testing.assert_allclose(
            users @ B.T + scores.mean(axis=0), scores, atol=1e-8 * abs(scores).max(), err_msg=name
        )


@pytest.mark.claim("deep-mostly-gauge")
@pytest.mark.parametrize("model", MODELS)
def test_representatives_do_not_depend_on_what_is_free(small_users, model):
    """Another scale of each coordinate, another slide of each item, another vector for all: the same canonical one."""
    trained = fit(model, "layer", small_users)
    rng = np.random.default_rng(4)
    P, delta = trained.parameters, rng.uniform(0.3, 3, 4)

    class Moved:
        recipe, parameters = trained.recipe, P | {"user_gain": delta * P["user_gain"]}
        item_vectors = trained.item_vectors + np.outer(rng.standard_normal(24), 1 / P["user_gain"])

        def user_vectors(self, X):
            return trained.user_vectors(X) * delta

    if model in ("softmax", "two-tower"):
        Moved.item_vectors = Moved.item_vectors + rng.standard_normal(4)
    Moved.item_vectors = Moved.item_vectors / delta
    before, after = (deep_jobs.representatives(one, small_users) for one in (trained, Moved()))
    for name in ("canonical", "correlation"):
        np.testing.assert_allclose(cosines(after[name]), cosines(before[name]), atol=1e-8)
    for name in ("as trained", "common scale"):
        assert abs(cosines(after[name]) - cosines(before[name])).max() > 0.1


@pytest.mark.parametrize("model", ["linear", "squared"])
def test_the_common_scale_and_the_correlation_by_definition(small_users, model):
    trained = fit(model, "none", small_users)
    found = deep_jobs.representatives(trained, small_users)
    U, B = trained.user_vectors(small_users), trained.item_vectors
    np.testing.assert_array_equal(found["as trained"], B)
    np.testing.assert_array_equal(found["canonical"], found["common scale"])
    moving = U.std(axis=0) > 0
    scaled_users = U[:, moving] @ np.diag(1 / U[:, moving].std(axis=0))
    np.testing.assert_allclose(scaled_users @ found["common scale"][:, moving].T, U[:, moving] @ B[:, moving].T)
    np.testing.assert_allclose(cosines(found["correlation"]), np.corrcoef((U @ B.T).T), atol=1e-8)


def test_measure_representatives_by_definition(small):
    recipe = Recipe("squared", "layer", epochs=3, k=4, batch_size=20, learning_rate=0.05)
    early, late = deep_jobs.measure_representatives(recipe, 0, 5, (1, 3))
    X, _, (seen, held), cluster = deep_jobs.data(0)
    model = train_model(X, recipe, rng=5)
    assert set(early) == set(late) == {"ndcg", *deep.REPRESENTATIVES}
    assert late["ndcg"] == ndcg_at_k(model.scores(seen), seen, held) != early["ndcg"]
    i, j = np.triu_indices(24, 1)
    for name, B in deep_jobs.representatives(model, X).items():
        assert late[name][0] == pytest.approx(roc_auc_score(cluster[i] == cluster[j], cosines(B)[i, j]), abs=1e-6)
    assert late["as trained"] == deep_jobs.measure(recipe, 0, 5, (3,))[0]["cosine"]


def test_nearest_leaves_out_the_item_and_breaks_ties_by_number():
    similarity = np.array([[9.0, 1, 2, 1], [1, 0, 1, 1], [2, 1, -5, 3], [1, 1, 3, 9]])
    before = similarity.copy()
    assert deep_jobs.nearest(similarity, 2).tolist() == [[2, 1], [0, 2], [3, 0], [2, 0]]
    np.testing.assert_array_equal(similarity, before)
    assert deep_jobs.nearest(np.random.default_rng(0).random((20, 20))).shape == (20, 10)


# --- the tables ---


def made_up_validate(recipe, data_seed, seed, epochs):
    """The longer and the stronger, the better."""
    number = recipe.dropout + recipe.decay + recipe.learning_rate
    return [0.3 + 0.001 * number * one for one in epochs]


@cache
def made_up(recipe, data_seed, seed):
    """Normal numbers whose law depends on the recipe and on the data, and that follow from the seed."""
    settings = [one if isinstance(one, str) else float(one) for one in astuple(recipe)]  # 0 or 0.0: one recipe
    name = repr((settings, data_seed)).encode()
    mean = np.random.default_rng(list(name)).random(6)
    draw = np.random.default_rng([*name, seed])
    result = {"ndcg": mean[5] + 0.01 * draw.standard_normal()}
    for similarity in (*deep.SIMILARITIES, *deep.REPRESENTATIVES):
        result[similarity] = (mean[:5] + 0.01 * draw.standard_normal(5)).tolist()
        result["neighbors, " + similarity] = deep_jobs.nearest(draw.random((24, 24))).tolist()
    return result


def made_up_measure(recipe, data_seed, seed, epochs):
    return [made_up(replace(recipe, epochs=one), data_seed, seed) for one in epochs]


def made_up_parameters(recipe, data_seed, seed, epochs):
    draw = np.random.default_rng([*repr((recipe, data_seed)).encode(), seed])
    return [{"W": draw.standard_normal((3, 4)).tolist(), "b": draw.standard_normal((1, 4)).tolist()} for _ in epochs]


@pytest.fixture
def study(small, monkeypatch):
    """The study with made-up trainings: the folder of its tables."""

    def serial(jobs, workers, anew=False):
        return [deep_task(recipe, *rest) for deep_task, recipe, *rest in jobs]

    for name, value in {
        "validate": made_up_validate,
        "measure": made_up_measure,
        "measure_representatives": made_up_measure,
        "parameters": made_up_parameters,
        "all_results": serial,
    }.items():
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
        recipe = Recipe(
            one["model"],
            {"layer norm": "layer", "cosine": "unit"}.get(one["device"], "none"),
            float(one["dropout"]),
            float(one["decay"]),
            float(one["learning_rate"]),
        )
        number = recipe.dropout + recipe.decay + recipe.learning_rate
        assert float(one["ndcg"]) == pytest.approx(0.3 + 0.001 * number * int(one["epochs"]), abs=6e-5)
        assert (one["dropout"] != "0.0") == (one["device"] in ("dropout", "both"))
        assert (one["decay"] != "0.0") == (one["device"] in ("decay", "both"))


def test_the_tables_of_the_study(study):
    choice, rows = deep.chosen(), table(study / "deep.csv")
    at = {(*(one[name] for name in ("quality", "data", "model", "device", "seed", "similarity")),): one for one in rows}
    assert len(at) == len(rows)
    expected = {
        (quality, str(data_seed), model, device, str(seed), name)
        for quality, data_seed, seeds in (
            ("equal", 0, range(8)),
            ("best", 0, range(8)),
            ("equal", 1, range(3)),
            ("equal", 2, range(3)),
        )
        for model in MODELS
        for device in deep.DEVICES
        for seed in seeds
        for name in deep.SIMILARITIES
    }
    assert set(at) == expected
    for (quality, data_seed, model, device, seed, name), one in at.items():
        recipe = choice[quality, model, device]
        result = made_up(recipe, int(data_seed), int(seed))
        numbers = [result["ndcg"], *result[name]]
        assert [float(one[column]) for column in ("ndcg", *deep.NUMBERS)] == pytest.approx(numbers, abs=6e-5)
        assert [float(one[part]) for part in deep.CHOSEN] == [getattr(recipe, part) for part in deep.CHOSEN]


def test_the_table_of_the_band(study):
    rows = table(study / "deep_band.csv")
    names = ("quality", "model", "device", *deep.CHOSEN, "seed", "representative")
    got = {tuple(one[name] for name in names): one for one in rows}
    assert len(got) == len(rows)
    close = set(product(("linear", "squared"), ("decay", "layer norm")))
    points = [("band", *one) for one in deep.band()]
    points += [("best", model, device, deep.chosen()["best", model, device]) for model, device in close]
    expected = {
        (quality, model, device, *map(str, deep.point(recipe)), str(seed), name): made_up(recipe, 0, seed)
        for quality, model, device, recipe in points
        for seed in range(10 if (model, device) in close else len(deep.BAND_SEEDS))
        for name in deep.REPRESENTATIVES
    }
    assert set(got) == set(expected)
    for key, one in got.items():
        numbers = [expected[key]["ndcg"], *expected[key][key[-1]]]
        assert [float(one[column]) for column in ("ndcg", *deep.NUMBERS)] == pytest.approx(numbers, abs=6e-5)


def test_the_table_of_the_models(study):
    rows = table(study / "deep_models.csv")
    names = [("W", "0"), ("W", "1"), ("W", "2"), ("b", "0")]
    assert [(one["device"], one["parameter"], one["row"]) for one in rows] == [
        (device, *name) for device in ("none", "layer norm") for name in names
    ]
    for device in ("none", "layer norm"):
        recipe = deep.chosen()["equal", "squared", device]
        [expected] = made_up_parameters(recipe, 0, 0, [recipe.epochs])
        got = [[float(value) for value in one["values"].split()] for one in rows if one["device"] == device]
        np.testing.assert_allclose(got, [*expected["W"], *expected["b"]], rtol=6e-5)


def test_the_setting_says_what_the_tables_hold(study):
    setting = json.loads((study / "deep.json").read_text(encoding="utf-8"))
    rows, band = table(study / "deep.csv"), table(study / "deep_band.csv")
    assert [*rows[0]] == [
        "quality",
        "data",
        "model",
        "device",
        *setting["chosen"],
        "seed",
        "similarity",
        *setting["numbers"],
    ]
    for column, name in (("model", "models"), ("device", "devices"), ("similarity", "similarities")):
        assert list(dict.fromkeys(one[column] for one in rows)) == setting[name]
    assert {one["representative"] for one in band} == set(setting["representatives"])
    assert {int(one["seed"]) for one in rows if one["data"] == "0"} == set(setting["seeds"])
    assert {(int(one["data"]), int(one["seed"])) for one in rows if one["data"] != "0"} == set(
        product(setting["other data"], setting["seeds there"])
    )
    for one in band:
        close = [one["model"], one["device"]] in setting["close look"]
        assert int(one["seed"]) in setting["close seeds" if close else "band seeds"]
    assert setting["tolerance"] == deep.TOLERANCE


def test_recipes_that_differ_in_their_epochs_share_one_training(study, monkeypatch):
    asked = []

    def count(jobs, workers, anew):
        asked.extend(jobs)
        return [task(*rest) for task, *rest in jobs]

    monkeypatch.setattr(deep, "all_results", count)
    recipe = Recipe("linear", epochs=8)
    runs = [
        ("band", 0, "linear", "none", 1, one)
        for one in (recipe, replace(recipe, epochs=32), recipe, replace(recipe, learning_rate=0.1))
    ]
    results = deep.trained(deep.measure, runs, 1)
    assert len(asked) == 2
    assert results == {(one, 0, 1): made_up(one, 0, 1) for *_, one in runs}


def test_the_table_of_overlaps(study):
    choice, rows = deep.chosen(), table(study / "deep_overlaps.csv")
    assert len(rows) == 4 * len(deep.SIMILARITIES) * 6 * 8
    for model, name in product(MODELS, deep.SIMILARITIES):
        block = [one for one in rows if (one["model"], one["similarity"]) == (model, name)]
        assert [(one["device"], int(one["seed"])) for one in block] == list(product(deep.DEVICES, range(8)))
        for i in (0, 1, 20, 47):
            overlaps = [float(value) for value in block[i]["overlap with each row before"].split()]
            assert len(overlaps) == i
            lists = [
                made_up(choice["equal", model, block[j]["device"]], 0, int(block[j]["seed"]))["neighbors, " + name]
                for j in range(i + 1)
            ]
            for j, overlap in enumerate(overlaps):
                common = [len(set(a) & set(b)) for a, b in zip(lists[i], lists[j])]
                assert overlap == pytest.approx(sum(common) / 240, abs=6e-4)


def test_overlap_table_is_overlap_at_k():
    similarities = np.random.default_rng(0).random((4, 300, 300))
    got = deep.overlap_table([deep_jobs.nearest(similarity).tolist() for similarity in similarities])
    expected = [[overlap_at_k(one, other) for other in similarities] for one in similarities]
    np.testing.assert_allclose(got, expected, atol=1e-6)
    np.testing.assert_allclose(np.diag(got), 1, atol=1e-6)


# --- does it reproduce? ---


def test_verify_accepts_what_it_finds_again(study, capsys):
    deep.verify(1, sample_seed=1)
    out = capsys.readouterr().out
    assert f"of {12 * 6 * len(deep.SIMILARITIES)} numbers outside" in out


@pytest.mark.parametrize(("what", "change"), [("same", 0.01), ("same", -0.01), ("new", 0.2), ("new", np.nan)])
def test_verify_refuses_other_numbers(study, monkeypatch, what, change):
    """`change` added to one number of all runs with the same seeds, or with new ones."""

    def changed(recipe, data_seed, seed, epochs):
        results = deepcopy(made_up_measure(recipe, data_seed, seed, epochs))
        if (seed in deep.NEW_SEEDS) == (what == "new"):
            for result, name in product(results, deep.SIMILARITIES):
                result[name][2] += change
        return results

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

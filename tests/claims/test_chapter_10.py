"""Chapter 10, the study: its tables are complete, belong together, can be reproduced, and say what the chapter says.

The theorems of the chapter are tested in test_chapter_10_theory.py, the code of the study in
studies/test_deep_study.py, the models in helpers/test_training.py and helpers/test_trained_models.py.
"""

import importlib.util
from collections import Counter, defaultdict
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import ndcg_score, roc_auc_score

from cossim_helpers import overlap_at_k, simulate_interactions, train_model
from cossim_helpers.trained.models import MODELS

ROOT = Path(__file__).parents[2]


def imported(name):
    spec = importlib.util.spec_from_file_location(f"benchmarks_{name}", ROOT / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


deep = imported("deep")


@pytest.fixture(scope="module")
def grid_rows():
    return deep.read("deep_grid.csv")


@pytest.fixture(scope="module")
def values():
    """{(quality, data, model, device, similarity): {number: array over seeds}}"""
    table = defaultdict(lambda: defaultdict(list))
    for row in deep.read("deep.csv"):
        for number in deep.NUMBERS:
            table[tuple(row[part] for part in ("quality", "data", "model", "device", "similarity"))][number].append(
                float(row[number]))
    return {key: {number: np.array(column) for number, column in numbers.items()} for key, numbers in table.items()}


@pytest.fixture(scope="module")
def equal_devices(values):
    """The devices of each model within 2 % of the median device's NDCG@10, on the first data set."""
    kept = {}
    for model in MODELS:
        ndcg = {device: values["equal", "0", model, device, "cosine"]["ndcg"].mean() for device in deep.DEVICES}
        middle = np.median(list(ndcg.values()))
        kept[model] = [device for device in deep.DEVICES if abs(ndcg[device] - middle) <= 0.02 * middle]
    return kept


# The tables


def test_the_grid_table_holds_the_declared_grid_once(grid_rows):
    got = Counter((row["model"], row["device"], *(float(row[part]) for part in deep.CHOSEN)) for row in grid_rows)
    declared = {(model, device, recipe.dropout, recipe.decay, recipe.learning_rate, float(epochs))
                for model, device in product(MODELS, deep.DEVICES) for recipe in deep.grid(model, device)
                for epochs in deep.EPOCHS}
    assert set(got) == declared
    assert set(got.values()) == {1}
    assert all(0 < float(row["ndcg"]) < 1 for row in grid_rows)


def test_the_study_holds_each_chosen_recipe_with_each_seed_once(grid_rows):
    chosen, got = deep.chosen(grid_rows), Counter()
    for row in deep.read("deep.csv"):
        recipe = chosen[row["quality"], row["model"], row["device"]]
        assert [float(row[part]) for part in deep.CHOSEN] == [float(getattr(recipe, part)) for part in deep.CHOSEN]
        got[tuple(row[part] for part in ("quality", "data", "model", "device", "seed", "similarity"))] += 1
    designs = [("equal", "0", deep.SEEDS), ("best", "0", deep.SEEDS)]
    designs += [("equal", str(data), deep.SEEDS_THERE) for data in deep.OTHER_DATA]
    assert set(got) == {(quality, data, model, device, str(seed), similarity)
                        for quality, data, seeds in designs for seed in seeds
                        for model, device, similarity in product(MODELS, deep.DEVICES, deep.SIMILARITIES)}
    assert set(got.values()) == {1}
    assert len(deep.SEEDS) >= 5


def test_the_table_of_overlaps_is_complete_and_plausible():
    rows = deep.read("deep_overlaps.csv")
    blocks = defaultdict(list)
    for row in rows:
        blocks[row["model"], row["similarity"]].append(row)
    assert set(blocks) == set(product(MODELS, deep.SIMILARITIES))
    for block in blocks.values():
        assert [(row["device"], int(row["seed"])) for row in block] == list(product(deep.DEVICES, deep.SEEDS))
        for i, row in enumerate(block):
            overlaps = [float(value) for value in row["overlap with each row before"].split()]
            assert len(overlaps) == i
            assert all(0 <= value <= 1 for value in overlaps)


# They can be reproduced, with other code for each number


@pytest.mark.claim("deep-models")
@pytest.mark.parametrize(("model", "device"), [("squared", "decay"), ("softmax", "dropout")])
def test_a_row_is_reproduced_by_other_code(values, model, device):
    recipe = deep.chosen()["equal", model, device]
    drawn = simulate_interactions(deep.N_TRAIN + deep.N_VALIDATE + deep.N_TEST, deep.N_ITEMS, rng=0)
    X = drawn.X.toarray()
    fits = [train_model(X[: deep.N_TRAIN], recipe, rng=seed) for seed in (0, 1)]
    _, _, (seen, held), _ = deep.data(0)
    own = [row for row in X[deep.N_TRAIN + deep.N_VALIDATE:] if row.sum() >= 5]
    np.testing.assert_array_equal(seen + held, own)  # the held-out users are strangers

    scores = fits[0].scores(seen)
    B = fits[0].item_vectors
    lengths = np.sqrt((B**2).sum(axis=1))
    cosine = (B @ B.T) / np.outer(lengths, lengths)
    i, j = np.triu_indices(deep.N_ITEMS, 1)
    same = drawn.item_cluster[i] == drawn.item_cluster[j]
    nearest = np.argsort(-np.where(np.eye(deep.N_ITEMS), -2, cosine), axis=1)[:, :10]
    expected = {
        "ndcg": ndcg_score(held, np.where(seen > 0, scores.min() - 1, scores), k=10),
        "auc": roc_auc_score(same, cosine[i, j]),
        "within": cosine[i, j][same].mean(),
        "between": cosine[i, j][~same].mean(),
        "precision": np.mean(drawn.item_cluster[nearest] == drawn.item_cluster[:, None]),
        "popularity": spearmanr((cosine.sum(axis=1) - 1).round(9), X[: deep.N_TRAIN].sum(axis=0)).statistic,
    }
    stored = values["equal", "0", model, device, "cosine"]
    for number, value in expected.items():
        assert stored[number][0] == pytest.approx(value, abs=2e-3), number

    other = fits[1].item_vectors
    other = other / np.linalg.norm(other, axis=1, keepdims=True)
    row = next(row for row in deep.read("deep_overlaps.csv")
               if (row["model"], row["similarity"], row["device"], row["seed"]) == (model, "cosine", device, "1"))
    assert float(row["overlap with each row before"].split()[-1]) == pytest.approx(
        overlap_at_k(cosine, other @ other.T), abs=5e-3)


# They say what the chapter says


def two_way_share(y):
    """The level's share of the variance of y, levels × seeds, from the mean squares of a textbook; components ≥ 0."""
    L, S = y.shape
    rows, columns, mean = y.mean(axis=1), y.mean(axis=0), y.mean()
    of_rest = sum((y[i, j] - rows[i] - columns[j] + mean) ** 2 for i in range(L) for j in range(S))
    of_rest /= (L - 1) * (S - 1)
    of_level = max((S * sum((rows - mean) ** 2) / (L - 1) - of_rest) / S, 0)
    of_seed = max((L * sum((columns - mean) ** 2) / (S - 1) - of_rest) / L, 0)
    return of_level / (of_level + of_seed + of_rest)


def test_all_but_four_combinations_are_equally_good(equal_devices):
    apart = {(model, device) for model in MODELS for device in deep.DEVICES if device not in equal_devices[model]}
    assert apart == {("squared", "both"), ("squared", "cosine"), ("softmax", "dropout"), ("two-tower", "none")}


@pytest.mark.claim("deep-models")
@pytest.mark.parametrize("data", ["0", "1", "2"])
def test_the_auc_varies_most_in_the_squared_relu_model(values, equal_devices, data):
    width = {model: np.ptp([values["equal", data, model, device, "cosine"]["auc"].mean()
                            for device in equal_devices[model]]) for model in MODELS}
    assert width["squared"] > width["linear"] + 0.1
    without = np.ptp([values["equal", data, "squared", device, "cosine"]["auc"].mean()
                      for device in equal_devices["squared"] if device != "layer norm"])
    assert without < width["linear"]
    assert max(width["softmax"], width["two-tower"]) < width["linear"]


@pytest.mark.claim("deep-device")
@pytest.mark.parametrize("model", MODELS)
def test_the_device_explains_the_level(values, equal_devices, model):
    def seeds(number, data="0"):
        return np.array([values["equal", data, model, device, "cosine"][number] for device in equal_devices[model]])

    for number in ("within", "between"):
        whole = two_way_share(seeds(number))
        without = [two_way_share(np.delete(seeds(number), s, axis=1)) for s in range(8)]
        error = np.sqrt(7 / 8 * sum((np.array(without) - np.mean(without)) ** 2))  # the jackknife's
        assert whole - 2.365 * error > 0.7  # Student's t with 7 degrees of freedom
    if model != "two-tower":
        for data in ("0", "1", "2"):
            assert np.ptp(seeds("popularity", data).mean(axis=1)) > 0.6


@pytest.mark.claim("deep-seed")
@pytest.mark.parametrize("model", MODELS)
def test_lists_depend_on_the_combination_of_seed_and_device(equal_devices, model):
    rows = [row for row in deep.read("deep_overlaps.csv")
            if (row["model"], row["similarity"]) == (model, "cosine")]
    overlap = np.eye(48)
    for i, row in enumerate(rows):
        for j, value in enumerate(row["overlap with each row before"].split()):
            overlap[i, j] = overlap[j, i] = float(value)
    own = [i for i, row in enumerate(rows) if row["device"] in equal_devices[model]]
    device = np.array([rows[i]["device"] for i in own])
    overlap = overlap[np.ix_(own, own)]
    pairs = [(i, j) for i in range(len(own)) for j in range(i)]
    assert np.mean([overlap[i, j] for i, j in pairs if device[i] == device[j]]) < 0.4
    assert np.mean([overlap[i, j] for i, j in pairs if (i - j) % 8 == 0]) < 0.4  # the same seed
    # an indicator of neighbors, centered: its Gram matrix is that of the overlaps, doubly centered
    center = np.eye(len(own)) - 1 / len(own)
    gram = center @ overlap @ center
    L, S = len(own) // 8, 8
    levels = (device[:, None] == device) / S
    seeds = np.tile(np.eye(S), (L, L)) / L
    ms_level = np.trace(levels @ gram) / (L - 1)
    ms_seed = np.trace(seeds @ gram) / (S - 1)
    ms_rest = (np.trace(gram) - np.trace(levels @ gram) - np.trace(seeds @ gram)) / ((L - 1) * (S - 1))
    level, seed = max((ms_level - ms_rest) / S, 0), max((ms_seed - ms_rest) / L, 0)
    assert max(level, seed) / (level + seed + ms_rest) < 0.2


@pytest.mark.claim("deep-not-only-scale")
def test_a_common_rule_for_the_scales_does_not_make_them_agree():
    X, _, _, cluster = deep.data(0)
    i, j = np.triu_indices(len(cluster), 1)

    def auc(B):
        unit = B / np.linalg.norm(B, axis=1, keepdims=True)
        return roc_auc_score(cluster[i] == cluster[j], np.sum(unit[i] * unit[j], axis=1))

    trained, ruled = {}, {}
    for device in ("decay", "layer norm"):
        fit = train_model(X, deep.chosen()["equal", "squared", device], rng=0)
        trained[device] = auc(fit.item_vectors)
        users = fit.user_vectors(X)
        ruled[device] = auc(np.column_stack([column * np.sqrt(np.mean((u - u.mean()) ** 2))
                                             for column, u in zip(fit.item_vectors.T, users.T)]))
    assert trained["decay"] - trained["layer norm"] > 0.3
    assert ruled["decay"] - ruled["layer norm"] > 0.2

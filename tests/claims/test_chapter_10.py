"""Chapter 10, the study: its tables are complete, belong together, can be reproduced, and say what the chapter says.

The theorems of the chapter are tested in test_chapter_10_theory.py, the code of the study in
studies/test_deep_study.py, the models in helpers/test_training.py and helpers/test_trained_models.py.
"""

import json
from collections import Counter, defaultdict
from itertools import product

import deep
import deep_jobs
import graded_jobs
import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import ndcg_score, roc_auc_score

from cossim_helpers import overlap_at_k, simulate_interactions, train_model

MODELS = deep.MODELS
RULES = ("as trained", "common scale", "canonical", "correlation")


@pytest.fixture(scope="module")
def grid_rows():
    return deep.read("deep_grid.csv")


@pytest.fixture(scope="module")
def values():
    """{(quality, data, model, device, similarity): {number: array over seeds}}"""
    table = defaultdict(lambda: defaultdict(list))
    for row in deep.read("deep.csv"):
        for number in ("ndcg", *deep.NUMBERS):
            table[tuple(row[part] for part in ("quality", "data", "model", "device", "similarity"))][number].append(
                float(row[number])
            )
    return {key: {number: np.array(column) for number, column in numbers.items()} for key, numbers in table.items()}


@pytest.fixture(scope="module")
def setting():
    return json.loads((deep.RESULTS / "deep.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def points():
    """{(quality, model, device): {recipe as text: {(rule, number): array over seeds}}}"""
    table = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for row in deep.read("deep_band.csv"):
        recipe = tuple(row[part] for part in deep.CHOSEN)
        for number in ("ndcg", *deep.NUMBERS):
            table[row["quality"], row["model"], row["device"]][recipe][row["representative"], number].append(
                float(row[number])
            )
    return {
        key: {recipe: {column: np.array(value) for column, value in numbers.items()} for recipe, numbers in own.items()}
        for key, own in table.items()
    }


@pytest.fixture(scope="module")
def equal_devices(values, setting):
    """The devices of each model within the tolerance of the median device's NDCG@10, on the first data set."""
    kept = {}
    for model in MODELS:
        ndcg = {device: values["equal", "0", model, device, "cosine"]["ndcg"].mean() for device in deep.DEVICES}
        middle = np.median(list(ndcg.values()))
        kept[model] = [device for device in deep.DEVICES if abs(ndcg[device] - middle) <= setting["tolerance"] * middle]
    return kept


# The tables


def test_the_grid_table_holds_the_declared_grid_once(grid_rows):
    got = Counter((row["model"], row["device"], *(float(row[part]) for part in deep.CHOSEN)) for row in grid_rows)
    declared = {
        (model, device, recipe.dropout, recipe.decay, recipe.learning_rate, float(epochs))
        for model, device in product(MODELS, deep.DEVICES)
        for recipe in deep.grid(model, device)
        for epochs in deep.EPOCHS
    }
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
    assert set(got) == {
        (quality, data, model, device, str(seed), similarity)
        for quality, data, seeds in designs
        for seed in seeds
        for model, device, similarity in product(MODELS, deep.DEVICES, deep.SIMILARITIES)
    }
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


def test_the_band_holds_every_point_of_equal_quality_and_repeats_the_study(grid_rows, values, points, setting):
    assert setting == json.loads(json.dumps(deep.setting()))
    best = {
        (model, device): max(
            float(row["ndcg"]) for row in grid_rows if (row["model"], row["device"]) == (model, device)
        )
        for model, device in product(MODELS, deep.DEVICES)
    }
    expected = set()
    for model in MODELS:
        target = min(best[model, device] for device in deep.DEVICES)
        expected |= {
            (model, row["device"], tuple(row[part] for part in deep.CHOSEN))
            for row in grid_rows
            if row["model"] == model and abs(float(row["ndcg"]) / target - 1) <= setting["tolerance"]
        }
    got = {
        (model, device, recipe)
        for (quality, model, device), own in points.items()
        if quality == "band"
        for recipe in own
    }
    assert got == expected
    chosen, repeated = deep.chosen(grid_rows), 0
    for (quality, model, device), own in points.items():
        close = [model, device] in setting["close look"]
        seeds = setting["close seeds" if close else "band seeds"]
        assert quality == "band" or close
        for recipe, numbers in own.items():
            assert {rule for rule, _ in numbers} == set(RULES)
            assert all(len(value) == len(seeds) for value in numbers.values())
            kind = "equal" if quality == "band" else "best"
            if recipe == tuple(map(str, deep.point(chosen[kind, model, device]))):
                both = min(len(seeds), len(setting["seeds"]))
                for number in ("ndcg", *deep.NUMBERS):
                    np.testing.assert_allclose(
                        numbers["as trained", number][:both],
                        values[kind, "0", model, device, "cosine"][number][:both],
                        atol=2e-3,
                    )
                repeated += 1
    assert repeated == len(MODELS) * len(deep.DEVICES) + len(setting["close look"])


# They can be reproduced, with other code for each number


@pytest.mark.claim("deep-models")
@pytest.mark.parametrize(("model", "device"), [("squared", "decay"), ("softmax", "dropout")])
def test_a_row_is_reproduced_by_other_code(values, model, device):
    recipe = deep.chosen()["equal", model, device]
    drawn = simulate_interactions(deep_jobs.N_TRAIN + deep_jobs.N_VALIDATE + deep_jobs.N_TEST, deep_jobs.N_ITEMS, rng=0)
    X = drawn.X.toarray()
    fits = [train_model(X[: deep_jobs.N_TRAIN], recipe, rng=seed) for seed in (0, 1)]
    _, _, (seen, held), _ = deep_jobs.data(0)
    own = [row for row in X[deep_jobs.N_TRAIN + deep_jobs.N_VALIDATE :] if row.sum() >= 5]
    np.testing.assert_array_equal(seen + held, own)  # the held-out users are strangers

    scores = fits[0].scores(seen)
    B = fits[0].item_vectors
    lengths = np.sqrt((B**2).sum(axis=1))
    cosine = (B @ B.T) / np.outer(lengths, lengths)
    i, j = np.triu_indices(deep_jobs.N_ITEMS, 1)
    same = drawn.item_cluster[i] == drawn.item_cluster[j]
    nearest = np.argsort(-np.where(np.eye(deep_jobs.N_ITEMS), -2, cosine), axis=1)[:, :10]
    expected = {
        "ndcg": ndcg_score(held, np.where(seen > 0, scores.min() - 1, scores), k=10),
        "auc": roc_auc_score(same, cosine[i, j]),
        "within": cosine[i, j][same].mean(),
        "between": cosine[i, j][~same].mean(),
        "precision": np.mean(drawn.item_cluster[nearest] == drawn.item_cluster[:, None]),
        "popularity": spearmanr((cosine.sum(axis=1) - 1).round(9), X[: deep_jobs.N_TRAIN].sum(axis=0)).statistic,
    }
    stored = values["equal", "0", model, device, "cosine"]
    for number, value in expected.items():
        assert stored[number][0] == pytest.approx(value, abs=2e-3), number

    other = fits[1].item_vectors
    other = other / np.linalg.norm(other, axis=1, keepdims=True)
    row = next(
        row
        for row in deep.read("deep_overlaps.csv")
        if (row["model"], row["similarity"], row["device"], row["seed"]) == (model, "cosine", device, "1")
    )
    assert float(row["overlap with each row before"].split()[-1]) == pytest.approx(
        overlap_at_k(cosine, other @ other.T), abs=5e-3
    )


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


def of_points(points, model, devices, number="auc", rule="as trained"):
    return np.array(
        [numbers[rule, number].mean() for device in devices for numbers in points["band", model, device].values()]
    )


@pytest.mark.claim("deep-models")
def test_equally_good_recipes_recover_the_clusters_well_or_badly_and_rank_no_models(points, values):
    ranges = {model: np.ptp(of_points(points, model, deep.DEVICES)) for model in MODELS}
    at_best = {
        model: np.ptp([values["best", "0", model, device, "cosine"]["auc"].mean() for device in deep.DEVICES])
        for model in MODELS
    }
    assert min(ranges["linear"], ranges["squared"]) > 0.3
    assert min(ranges["softmax"], ranges["two-tower"]) > 0.1
    assert 0.02 < ranges["squared"] - ranges["linear"] < 0.1
    assert 0.02 < at_best["linear"] - at_best["squared"] < 0.1


@pytest.mark.claim("deep-within-device")
def test_one_device_has_many_answers(points):
    auc = np.array([numbers["as trained", "auc"] for numbers in points["band", "linear", "layer norm"].values()])
    assert auc.shape == (6, 10)
    assert np.ptp(auc, axis=0).min() > 0.15


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
    rows = [row for row in deep.read("deep_overlaps.csv") if (row["model"], row["similarity"]) == (model, "cosine")]
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


@pytest.mark.claim("deep-device")
def test_at_best_quality_the_device_explains_the_level_but_in_one_case(values):
    low = {}
    for model, number in product(MODELS, ("within", "between")):
        y = np.array([values["best", "0", model, device, "cosine"][number] for device in deep.DEVICES])
        without = [two_way_share(np.delete(y, s, axis=1)) for s in range(8)]
        error = np.sqrt(7 / 8 * sum((np.array(without) - np.mean(without)) ** 2))
        low[model, number] = two_way_share(y) - 2.365 * error
    assert {case for case, value in low.items() if value <= 0.7} == {("squared", "between")}


@pytest.mark.claim("deep-seed")
@pytest.mark.parametrize("model", ["linear", "squared"])
@pytest.mark.parametrize("rule", ["as trained", "canonical"])
def test_with_graded_truth_lists_change_among_equals(model, rule):
    rows = [row for row in deep.read("graded.csv") if (row["model"], row["representative"]) == (model, rule)]
    assert len({row["seed"] for row in rows}) == 10
    pairs = [
        (float(overlap), float(chance))
        for i, row in enumerate(rows)
        for other, overlap, chance in zip(
            rows[:i],
            row["overlap with each row before"].split(),
            row["by chance, given the grades"].split(),
            strict=True,
        )
        if row["device"] == other["device"]
    ]
    assert len(pairs) == 3 * 10 * 9 / 2
    overlap, chance = np.mean(pairs, axis=0)
    assert abs(overlap - chance) < 0.1


@pytest.mark.claim("deep-seed")
def test_with_graded_truth_the_device_decides_how_good_a_list_is():
    for model in ("linear", "squared"):
        rows = [
            row for row in deep.read("graded.csv") if (row["model"], row["representative"]) == (model, "as trained")
        ]
        hits = np.array(
            [
                [float(row["own sub-cluster"]) for row in rows if row["device"] == device]
                for device in ("none", "decay", "layer norm")
            ]
        )
        assert two_way_share(hits) > 0.7


@pytest.mark.claim("deep-mostly-gauge")
@pytest.mark.parametrize("model", ["linear", "squared"])
@pytest.mark.parametrize("kind", ["equal", "best"])
def test_most_of_the_largest_gap_is_gauge(points, model, kind):
    gap = {}
    for rule in RULES:
        decayed, normed = (
            points["band" if kind == "equal" else "best", model, device][
                tuple(map(str, deep.point(deep.chosen()[kind, model, device])))
            ][rule, "auc"]
            for device in ("decay", "layer norm")
        )
        gap[rule] = decayed - normed
    assert len(gap["canonical"]) == 10
    assert (abs(gap["canonical"]) < gap["as trained"] / 2).all()
    if (model, kind) == ("squared", "equal"):
        assert min(gap["as trained"]) > 0.35
        assert min(gap["common scale"]) > 0.2  # the scale alone leaves most of it


@pytest.mark.claim("deep-mostly-gauge")
def test_over_all_points_the_rule_narrows_the_range_only_in_part(points):
    def size(model, rule):
        means = [
            numbers[rule, "auc"].mean()
            for (kind, name, _), own in points.items()
            if (kind, name) == ("band", model)
            for numbers in own.values()
        ]
        return max(means) - min(means)

    assert size("squared", "canonical") < size("squared", "as trained") / 2
    for model in ("linear", "two-tower"):
        assert size(model, "as trained") / 2 < size(model, "canonical")


@pytest.mark.claim("deep-mostly-gauge")
def test_the_table_of_representatives_by_other_code(points):
    """Absorb the gain, center each row, then bring the coordinates of the users to one scale; as a projection."""
    X, _, _, cluster = deep_jobs.data(0)
    i, j = np.triu_indices(len(cluster), 1)

    def auc(B):
        unit = B / np.linalg.norm(B, axis=1, keepdims=True)
        return roc_auc_score(cluster[i] == cluster[j], np.sum(unit[i] * unit[j], axis=1))

    recipe = deep.chosen()["equal", "squared", "layer norm"]
    fit = train_model(X, recipe, rng=0)
    stored = points["band", "squared", "layer norm"][tuple(map(str, deep.point(recipe)))]
    gain, shift = fit.parameters["user_gain"], fit.parameters["user_shift"]
    normed = (fit.user_vectors(X) - shift) / gain
    np.testing.assert_allclose(normed.sum(axis=1), 0, atol=1e-9)
    sd = np.sqrt(np.mean((normed - normed.mean(axis=0)) ** 2, axis=0))
    rows = fit.item_vectors * gain * sd
    away = np.eye(len(sd)) - np.outer(sd, sd) / (sd @ sd)
    scores = fit.scores(X)
    expected = {
        "as trained": auc(fit.item_vectors),
        "common scale": auc(rows),
        "canonical": auc(rows @ away),
        "correlation": roc_auc_score(cluster[i] == cluster[j], np.corrcoef(scores.T)[i, j]),
    }
    for rule, value in expected.items():
        assert stored[rule, "auc"][0] == pytest.approx(value, abs=2e-3), rule


@pytest.mark.claim("deep-seed")
def test_a_row_of_the_graded_table_is_reproduced_by_other_code():
    X, _, part = graded_jobs.data(0)
    recipe = deep.chosen()["equal", "squared", "decay"]
    B = train_model(X, recipe, rng=0).item_vectors
    unit = B / np.sqrt((B**2).sum(axis=1, keepdims=True))
    nearest = np.argsort(-np.where(np.eye(len(B)), -2, unit @ unit.T), axis=1)[:, :10]
    row = next(
        row
        for row in deep.read("graded.csv")
        if (row["model"], row["representative"], row["device"], row["seed"]) == ("squared", "as trained", "decay", "0")
    )
    assert [row[name] for name in deep.CHOSEN] == [str(value) for value in deep.point(recipe)]
    assert float(row["own sub-cluster"]) == pytest.approx(np.mean(part[nearest] == part[:, None]), abs=2e-3)
    assert float(row["own cluster"]) == pytest.approx(np.mean(part[nearest] // 3 == part[:, None] // 3), abs=2e-3)

"""Do nonlinear models have arbitrary cosines as well? The study of chapter 10.

    python studies/deep.py tune       the declared grid on one seed: writes results/deep_grid.csv
    python studies/deep.py run        the chosen recipes on all seeds: writes results/deep.csv and deep_overlaps.csv;
                                      every point of the grid that is as good: deep_band.csv; and deep.json, which
                                      says what the tables hold
    python studies/deep.py models     what chapter 10 takes apart: writes results/deep_models.csv; run does this, too
    python studies/deep.py verify     a random sample of the table once more, and new seeds against its intervals

Deterministic: the same seeds give the same tables, but for the last digits of what is trained. Each command goes on
where it was interrupted (finished trainings wait in _build/studies).
"""

import argparse
import csv
import json
from collections import defaultdict
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
from deep_jobs import (
    N_ITEMS,
    N_TEST,
    N_TRAIN,
    N_VALIDATE,
    NUMBERS,
    measure,
    measure_representatives,
    parameters,
    validate,
)
from scipy.stats import t as student
from stored import all_results

from cossim_helpers import Recipe

RESULTS = Path(__file__).parent / "results"
MODELS = ("linear", "squared", "softmax", "two-tower")
DEVICES = ("none", "dropout", "decay", "both", "layer norm", "cosine")
SIMILARITIES = ("cosine", "centered", "dot product", "whitened", "predictions")
REPRESENTATIVES = ("as trained", "common scale", "canonical", "correlation")
CHOSEN = ("dropout", "decay", "learning_rate", "epochs")  # what the grid leaves to be chosen
TUNING_SEED, SEEDS, NEW_SEEDS = 1_000, range(8), range(100, 108)
OTHER_DATA, SEEDS_THERE = (1, 2), range(3)
CLOSE_LOOK = tuple(product(("linear", "squared"), ("decay", "layer norm")))  # more seeds, and their best points too
BAND_SEEDS, CLOSE_SEEDS = range(2), range(10)
TAKEN_APART = ("none", "layer norm")  # chapter 10 takes apart what the squared model gives with these devices

# The declared grid. Epochs are read off along one training, since the learning rate is constant.
RATES, EPOCHS, DROPOUTS = (3e-3, 1e-2), (4, 8, 16, 32, 64), (0.2, 0.5, 0.8)
DECAYS = {
    "linear": (1e-3, 1e-2, 1e-1),
    "squared": (1e-3, 1e-2, 1e-1),
    "softmax": (1e-5, 1e-4, 1e-3),
    "two-tower": (1e-5, 1e-4, 1e-3),
}  # smaller for the losses that are means over interactions
TOLERANCE = 0.02  # of NDCG@10: what counts as equal quality


def grid(model, device):
    """The recipes that are tried."""
    decays = DECAYS[model]
    strengths = {
        "dropout": [(q, 0.0) for q in DROPOUTS],
        "decay": [(0.0, decay) for decay in decays],
        "both": list(product(DROPOUTS[:2], decays[:2])),
    }.get(device, [(0.0, 0.0)])
    normalization = {"layer norm": "layer", "cosine": "unit"}.get(device, "none")
    return [Recipe(model, normalization, q, decay, rate, max(EPOCHS)) for rate in RATES for q, decay in strengths]


# --- the grid and the choice ---


def tune(workers):
    cells = [(model, device, recipe) for model in MODELS for device in DEVICES for recipe in grid(model, device)]
    results = all_results([(validate, recipe, 0, TUNING_SEED, EPOCHS) for *_, recipe in cells], workers)
    rows = [
        (model, device, *point(replace(recipe, epochs=epochs)), f"{ndcg:.4f}")
        for (model, device, recipe), result in zip(cells, results)
        for epochs, ndcg in zip(EPOCHS, result)
    ]
    write("deep_grid.csv", ("model", "device", *CHOSEN, "ndcg"), rows)


def chosen(rows=None):
    """{(quality, model, device): recipe}, from the table of the grid.

    "best": the highest NDCG@10. "equal": as good as the model can be with every device, which is the best of its
    weakest one. Of the points within half the tolerance of that, the longest training, of those the strongest device,
    the faster rate; if there is none, the nearest point.
    """
    choice = {}
    for model, (points, target) in targets(rows).items():
        for device, own in points.items():
            choice["best", model, device] = _recipe(max(own, key=_quality))
            near = [row for row in own if abs(_quality(row) / target - 1) <= TOLERANCE / 2]
            strength = ("epochs", "dropout", "decay", "learning_rate")
            choice["equal", model, device] = _recipe(
                max(near, key=lambda row: [float(row[name]) for name in strength])
                if near
                else min(own, key=lambda row: abs(_quality(row) - target))
            )
    return choice


def band(rows=None):
    """[(model, device, recipe)] of every point of the grid that is as good as the weakest device at its best."""
    return [
        (model, device, _recipe(row))
        for model, (points, target) in targets(rows).items()
        for device, own in points.items()
        for row in own
        if abs(_quality(row) / target - 1) <= TOLERANCE
    ]


def targets(rows=None):
    """{model: ({device: its rows of the grid}, NDCG@10 of the weakest device at its best)}"""
    rows = read("deep_grid.csv") if rows is None else rows
    result = {}
    for model in MODELS:
        points = {
            device: [row for row in rows if (row["model"], row["device"]) == (model, device)] for device in DEVICES
        }
        result[model] = points, min(max(map(_quality, own)) for own in points.values())
    return result


def _quality(row):
    return float(row["ndcg"])


def _recipe(row):
    shape = grid(row["model"], row["device"])[0]
    return replace(
        shape,
        dropout=float(row["dropout"]),
        decay=float(row["decay"]),
        epochs=int(row["epochs"]),
        learning_rate=float(row["learning_rate"]),
    )


def point(recipe):
    """What was chosen, as it stands in the tables."""
    return tuple(getattr(recipe, part) for part in CHOSEN)


# --- the study ---


def design():
    """(quality, data seed, model, device, seed, recipe) of each run of the study."""
    runs = []
    for quality, data_seed, seeds in (
        ("best", 0, SEEDS),
        ("equal", 0, SEEDS),
        *(("equal", other, SEEDS_THERE) for other in OTHER_DATA),
    ):
        runs += [
            (quality, data_seed, model, device, seed, recipe)
            for (one, model, device), recipe in chosen().items()
            if one == quality
            for seed in seeds
        ]
    return runs


def band_design():
    """The same for each point of the band, and for the best points of the devices that get a close look."""
    seeds = defaultdict(lambda: BAND_SEEDS, dict.fromkeys(CLOSE_LOOK, CLOSE_SEEDS))
    points = [("band", *one) for one in band()]
    points += [("best", *one, chosen()["best", *one]) for one in CLOSE_LOOK]
    return [
        (quality, 0, model, device, seed, recipe)
        for quality, model, device, recipe in points
        for seed in seeds[model, device]
    ]


def trained(task, runs, workers, anew=False):
    """{(recipe, data seed, seed): the task's result}. Recipes that differ in their epochs only share one training."""
    wanted = defaultdict(set)
    for _, data_seed, _, _, seed, recipe in runs:
        wanted[replace(recipe, epochs=1), data_seed, seed].add(recipe.epochs)
    jobs = [
        (task, replace(recipe, epochs=max(epochs)), data_seed, seed, tuple(sorted(epochs)))
        for (recipe, data_seed, seed), epochs in wanted.items()
    ]
    return {
        (replace(recipe, epochs=one), data_seed, seed): result
        for (_, recipe, data_seed, seed, epochs), results in zip(jobs, all_results(jobs, workers, anew))
        for one, result in zip(epochs, results)
    }


def run(workers):
    run_band(workers)
    run_models(workers)
    runs = design()
    results = trained(measure, runs, workers)
    rows, lists = [], defaultdict(list)
    for quality, data_seed, model, device, seed, recipe in runs:
        result = results[recipe, data_seed, seed]
        rows += [
            (quality, data_seed, model, device, *point(recipe), seed, name, *rounded((result["ndcg"], *result[name])))
            for name in SIMILARITIES
        ]
        if (quality, data_seed) == ("equal", 0):
            for name in SIMILARITIES:
                lists[model, name].append((device, seed, result["neighbors, " + name]))
    write("deep.csv", ("quality", "data", "model", "device", *CHOSEN, "seed", "similarity", "ndcg", *NUMBERS), rows)
    overlaps = []
    for (model, name), ones in lists.items():
        table = overlap_table([neighbors for *_, neighbors in ones])
        overlaps += [
            (model, name, device, seed, " ".join(f"{value:.3f}" for value in table[i, :i]))
            for i, (device, seed, _) in enumerate(ones)
        ]
    write("deep_overlaps.csv", ("model", "similarity", "device", "seed", "overlap with each row before"), overlaps)


def run_band(workers):
    """Write deep_band.csv, and deep.json with what whoever reads the tables must know."""
    rows = []
    for part in ("band", "best"):
        runs = [one for one in band_design() if one[0] == part]
        results = trained(measure_representatives, runs, workers)
        for _, data_seed, model, device, seed, recipe in runs:
            result = results[recipe, data_seed, seed]
            rows += [
                (part, model, device, *point(recipe), seed, name, *rounded((result["ndcg"], *result[name])))
                for name in REPRESENTATIVES
            ]
    write("deep_band.csv", ("quality", "model", "device", *CHOSEN, "seed", "representative", "ndcg", *NUMBERS), rows)
    (RESULTS / "deep.json").write_text(json.dumps(setting(), indent=1) + "\n", encoding="utf-8")


def run_models(workers):
    """Write deep_models.csv: the parameters of the models that chapter 10 takes apart, each row of a matrix a line."""
    runs = [("equal", 0, "squared", device, 0, chosen()["equal", "squared", device]) for device in TAKEN_APART]
    results = trained(parameters, runs, workers)
    rows = [
        (device, name, number, " ".join(f"{value:.5g}" for value in values))
        for _, data_seed, _, device, seed, recipe in runs
        for name, matrix in results[recipe, data_seed, seed].items()
        for number, values in enumerate(matrix)
    ]
    write("deep_models.csv", ("device", "parameter", "row", "values"), rows)


def setting():
    """What whoever reads the tables must know."""
    return {
        "users": {"training": N_TRAIN, "validation": N_VALIDATE, "test": N_TEST},
        "items": N_ITEMS,
        "models": MODELS,
        "devices": DEVICES,
        "similarities": SIMILARITIES,
        "representatives": REPRESENTATIVES,
        "numbers": ("ndcg", *NUMBERS),
        "chosen": CHOSEN,
        "tolerance": TOLERANCE,
        "seeds": list(SEEDS),
        "other data": OTHER_DATA,
        "seeds there": list(SEEDS_THERE),
        "band seeds": list(BAND_SEEDS),
        "close look": CLOSE_LOOK,
        "close seeds": list(CLOSE_SEEDS),
    }


def rounded(numbers):
    return [f"{number:.4f}" for number in numbers]


def overlap_table(lists):
    """Share of the 10 nearest neighbors that two runs have in common, averaged over the items; shape (runs, runs)."""
    n_items = len(lists[0])
    members = np.zeros((len(lists), n_items, n_items), dtype=np.float32)
    for run_members, neighbors in zip(members, lists):
        np.put_along_axis(run_members, np.array(neighbors), 1, axis=1)
    flat = members.reshape(len(lists), -1)
    return flat @ flat.T / (10 * n_items)


# --- does it reproduce? ---


def verify(workers, sample=12, sample_seed=None, tolerance=2e-3, confidence=0.99):
    """Compare a random sample of the table with what its seeds give now, and new seeds with its intervals."""
    runs = design()
    picked = np.random.default_rng(sample_seed).choice(len(runs), sample, replace=False)
    rows = {
        tuple(row[name] for name in ("quality", "data", "model", "device", "seed", "similarity")): row
        for row in read("deep.csv")
    }
    again = [runs[i] for i in picked]
    new = [
        (quality, data_seed, model, device, NEW_SEEDS[i % len(NEW_SEEDS)], recipe)
        for i, (quality, data_seed, model, device, _, recipe) in enumerate(again)
    ]
    results = trained(measure, again + new, workers, anew=True)
    worst, outside, total = 0.0, 0, 0
    for quality, data_seed, model, device, seed, recipe in again + new:
        result = results[recipe, data_seed, seed]
        for name in SIMILARITIES:
            for number, value in zip(("ndcg", *NUMBERS), (result["ndcg"], *result[name])):
                if seed in NEW_SEEDS:
                    known = [
                        float(row[number])
                        for key, row in rows.items()
                        if key[:4] == (quality, str(data_seed), model, device) and key[5] == name
                    ]
                    low, high = prediction_interval(known, confidence)
                    total, outside = total + 1, outside + (not low <= value <= high)
                else:
                    stored_value = float(rows[quality, str(data_seed), model, device, str(seed), name][number])
                    worst = np.maximum(worst, abs(value - stored_value) / max(1.0, abs(stored_value)))  # keeps a NaN
    print(f"same seeds: largest difference {worst:.1e} (at most {tolerance:.0e})")
    print(f"new seeds: {outside} of {total} numbers outside their {confidence:.0%} intervals")
    if not worst <= tolerance or outside > 0.05 * total:
        raise SystemExit("the table is not reproduced")


def prediction_interval(values, confidence=0.99):
    """(low, high) for one more value from the normal law that the values came from; widened by the rounding to 1e-4."""
    n = len(values)
    half = student.ppf((1 + confidence) / 2, n - 1) * np.std(values, ddof=1) * np.sqrt(1 + 1 / n) + 1e-4
    return np.mean(values) - half, np.mean(values) + half


def read(name):
    with (RESULTS / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write(name, header, rows):
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / name).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=("tune", "run", "models", "verify"))
    parser.add_argument("--workers", type=int, default=2, help="processes, one a core")
    options = parser.parse_args()
    {"tune": tune, "run": run, "models": run_models, "verify": verify}[options.command](options.workers)


if __name__ == "__main__":
    main()

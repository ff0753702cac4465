"""Do nonlinear models have arbitrary cosines as well? The study of chapter 10.

    python benchmarks/deep.py tune       the declared grid on one seed: writes results/deep_grid.csv
    python benchmarks/deep.py run        the chosen recipes on all seeds: writes results/deep.csv, deep_overlaps.csv
    python benchmarks/deep.py verify     a random sample of the table once more, and new seeds against its intervals

Deterministic: the same seeds give the same tables, but for the last digits of what is trained. Each command goes on
where it was interrupted (finished trainings wait in _build/deep).
"""

import os

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"  # one process a core

import argparse
import csv
import hashlib
import inspect
import json
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, replace
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
from scipy.stats import t as student

from cossim_helpers import (
    Recipe,
    cluster_auc,
    hold_out,
    item_similarities,
    mean_cosine,
    ndcg_at_k,
    popularity_correlation,
    precision_at_k,
    simulate_interactions,
    train_checkpoints,
    train_model,
)
from cossim_helpers.trained.models import MODELS

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
N_TRAIN, N_VALIDATE, N_TEST, N_ITEMS = 20_000, 2_000, 5_000, 300
DEVICES = ("none", "dropout", "decay", "both", "layer norm", "cosine")
SIMILARITIES = ("cosine", "centered", "dot product", "whitened", "predictions")
CHOSEN = ("dropout", "decay", "learning_rate", "epochs")  # what the grid leaves to be chosen
NUMBERS = ("ndcg", "auc", "within", "between", "precision", "popularity")
TUNING_SEED, SEEDS, NEW_SEEDS = 1_000, range(8), range(100, 108)
OTHER_DATA, SEEDS_THERE = (1, 2), range(3)

# The declared grid. Epochs are read off along one training, since the learning rate is constant.
RATES, EPOCHS, DROPOUTS = (3e-3, 1e-2), (4, 8, 16, 32, 64), (0.2, 0.5, 0.8)
DECAYS = {"linear": (1e-3, 1e-2, 1e-1), "squared": (1e-3, 1e-2, 1e-1), "softmax": (1e-5, 1e-4, 1e-3),
          "two-tower": (1e-5, 1e-4, 1e-3)}  # smaller for the losses that are means over interactions
TOLERANCE = 0.02  # of NDCG@10: what counts as equal quality


def grid(model, device):
    """The recipes that are tried."""
    decays = DECAYS[model]
    strengths = {"dropout": [(q, 0.0) for q in DROPOUTS], "decay": [(0.0, decay) for decay in decays],
                 "both": list(product(DROPOUTS[:2], decays[:2]))}.get(device, [(0.0, 0.0)])
    normalization = {"layer norm": "layer", "cosine": "unit"}.get(device, "none")
    return [Recipe(model, normalization, q, decay, rate, max(EPOCHS)) for rate in RATES for q, decay in strengths]


@cache
def data(seed):
    """(training X, validation (seen, held), test (seen, held), clusters) of one data set."""
    drawn = simulate_interactions(N_TRAIN + N_VALIDATE + N_TEST, N_ITEMS, rng=seed)
    X, end = drawn.X.toarray(), N_TRAIN + N_VALIDATE
    validation, test = hold_out(X[N_TRAIN:end], rng=[seed, 1]), hold_out(X[end:], rng=[seed, 2])
    return X[:N_TRAIN], validation, test, drawn.item_cluster


# --- one training: what a worker does ----------------------------------------------------------------------------


def validate(recipe, data_seed=0, seed=TUNING_SEED):
    """NDCG@10 on the validation users after each number of epochs of the grid."""
    X, (seen, held), *_ = data(data_seed)
    kept = train_checkpoints(X, recipe, EPOCHS, rng=seed)
    return {"ndcg": [ndcg_at_k(kept[epochs].scores(seen), seen, held) for epochs in EPOCHS]}


def measure(recipe, data_seed, seed):
    """NDCG@10 on the test users; five numbers and the neighbor lists of each similarity."""
    X, _, (seen, held), item_cluster = data(data_seed)
    model = train_model(X, recipe, rng=seed)
    result = {"ndcg": ndcg_at_k(model.scores(seen), seen, held)}
    for name, similarity in item_similarities(model, X).items():
        within, between = mean_cosine(similarity, item_cluster)
        result[name] = [cluster_auc(similarity, item_cluster), within, between,
                        precision_at_k(similarity, item_cluster, 10), popularity_correlation(similarity, X.sum(axis=0))]
        result["neighbors, " + name] = nearest(similarity).tolist()
    return result


def nearest(similarity, k=10):
    """The k nearest items of each item, shape (p, k); a tie goes to the lower number."""
    distance = -similarity
    np.fill_diagonal(distance, np.inf)
    return np.argsort(distance, axis=1, kind="stable")[:, :k]


def stored(task, recipe, *seeds):
    """The result of a task, computed at most once for this code."""
    key = hashlib.sha256(json.dumps([_code(), task.__name__, asdict(recipe), seeds]).encode()).hexdigest()[:24]
    path = ROOT / "_build" / "deep" / f"{key}.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps(task(recipe, *seeds)), encoding="utf-8")
        part.rename(path)
    return json.loads(path.read_text(encoding="utf-8"))


@cache
def _code():
    """All that a result depends on, besides its arguments and the libraries."""
    helpers = sorted((ROOT / "cossim_helpers").rglob("*.py"))
    constants = N_TRAIN, N_VALIDATE, N_TEST, N_ITEMS, TUNING_SEED, EPOCHS, SIMILARITIES
    return repr(constants) + "".join(
        [*(inspect.getsource(part) for part in (data, validate, measure, nearest)),
         *(path.read_text(encoding="utf-8") for path in helpers)])


def all_results(jobs, workers, anew=False):
    """Results of jobs (task, recipe, *seeds), in their order, by several processes; anew: whatever is stored."""
    results, start = {}, time.perf_counter()
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting = {pool.submit(*job) if anew else pool.submit(stored, *job): job for job in jobs}
        for done, future in enumerate(as_completed(waiting), start=1):
            results[waiting[future]] = future.result()
            bar = "#" * round(30 * done / len(waiting))
            print(f"\r[{bar:30}] {done} of {len(waiting)} trainings, {time.perf_counter() - start:.0f} s", end="",
                  flush=True)
    print()
    return [results[job] for job in jobs]


# --- the grid and the choice -------------------------------------------------------------------------------------


def tune(workers):
    cells = [(model, device, recipe) for model in MODELS for device in DEVICES for recipe in grid(model, device)]
    results = all_results([(validate, recipe) for *_, recipe in cells], workers)
    rows = [(model, device, *(getattr(replace(recipe, epochs=epochs), part) for part in CHOSEN), f"{ndcg:.4f}")
            for (model, device, recipe), result in zip(cells, results)
            for epochs, ndcg in zip(EPOCHS, result["ndcg"])]
    write("deep_grid.csv", ("model", "device", *CHOSEN, "ndcg"), rows)


def chosen(rows=None):
    """{(quality, model, device): recipe}, from the table of the grid.

    "best": the highest NDCG@10. "equal": as good as the model can be with every device, which is the best of its
    weakest one. Of the points within half the tolerance of that, the longest training, of those the strongest device,
    the faster rate; if there is none, the nearest point.
    """
    rows = read("deep_grid.csv") if rows is None else rows
    choice = {}
    for model in MODELS:
        points = {device: [row for row in rows if (row["model"], row["device"]) == (model, device)]
                  for device in DEVICES}
        best = {device: max(own, key=lambda row: float(row["ndcg"])) for device, own in points.items()}
        target = min(float(row["ndcg"]) for row in best.values())
        for device, own in points.items():
            choice["best", model, device] = _recipe(best[device])
            near = [row for row in own if abs(float(row["ndcg"]) / target - 1) <= TOLERANCE / 2]
            strength = ("epochs", "dropout", "decay", "learning_rate")
            choice["equal", model, device] = _recipe(
                max(near, key=lambda row: [float(row[name]) for name in strength]) if near
                else min(own, key=lambda row: abs(float(row["ndcg"]) - target)))
    return choice


def _recipe(row):
    shape = grid(row["model"], row["device"])[0]
    return replace(shape, dropout=float(row["dropout"]), decay=float(row["decay"]), epochs=int(row["epochs"]),
                   learning_rate=float(row["learning_rate"]))


# --- the study ---------------------------------------------------------------------------------------------------


def design():
    """(quality, data seed, model, device, seed, recipe) of each run of the study."""
    recipes = chosen()
    return [(quality, data_seed, model, device, seed, recipe)
            for (quality, model, device), recipe in recipes.items()
            for data_seed, seeds in ((0, SEEDS), *((other, SEEDS_THERE) for other in OTHER_DATA))
            if quality == "equal" or data_seed == 0
            for seed in seeds]


def run(workers):
    runs = design()
    jobs = list(dict.fromkeys((measure, recipe, data_seed, seed) for _, data_seed, _, _, seed, recipe in runs))
    results = dict(zip(jobs, all_results(jobs, workers)))
    rows, lists = [], {}
    for quality, data_seed, model, device, seed, recipe in runs:
        result = results[measure, recipe, data_seed, seed]
        for name in SIMILARITIES:
            numbers = (result["ndcg"], *result[name])
            rows.append((quality, data_seed, model, device, *(getattr(recipe, part) for part in CHOSEN), seed, name,
                         *(f"{number:.4f}" for number in numbers)))
            if quality == "equal" and data_seed == 0:
                lists.setdefault((model, name), []).append((device, seed, result["neighbors, " + name]))
    write("deep.csv", ("quality", "data", "model", "device", *CHOSEN, "seed", "similarity", *NUMBERS), rows)
    overlaps = []
    for (model, name), ones in lists.items():
        table = overlap_table([neighbors for *_, neighbors in ones])
        overlaps += [(model, name, device, seed, " ".join(f"{value:.3f}" for value in table[i, :i]))
                     for i, (device, seed, _) in enumerate(ones)]
    write("deep_overlaps.csv", ("model", "similarity", "device", "seed", "overlap with each row before"), overlaps)


def overlap_table(lists):
    """Share of the 10 nearest neighbors that two runs have in common, averaged over the items; shape (runs, runs)."""
    members = np.zeros((len(lists), N_ITEMS, N_ITEMS), dtype=np.float32)
    for run_members, neighbors in zip(members, lists):
        np.put_along_axis(run_members, np.array(neighbors), 1, axis=1)
    flat = members.reshape(len(lists), -1)
    return flat @ flat.T / (10 * N_ITEMS)


# --- does it reproduce? ------------------------------------------------------------------------------------------


def verify(workers, sample=12, sample_seed=None, tolerance=2e-3, confidence=0.99):
    """Compare a random sample of the table with what its seeds give now, and new seeds with its intervals."""
    runs = design()
    picked = np.random.default_rng(sample_seed).choice(len(runs), sample, replace=False)
    rows = {tuple(row[name] for name in ("quality", "data", "model", "device", "seed", "similarity")): row
            for row in read("deep.csv")}
    again = [runs[i] for i in picked]
    new = [(quality, data_seed, model, device, NEW_SEEDS[i % len(NEW_SEEDS)], recipe)
           for i, (quality, data_seed, model, device, _, recipe) in enumerate(again)]
    jobs = [(measure, recipe, data_seed, seed) for _, data_seed, _, _, seed, recipe in again + new]
    worst, outside, total = 0.0, 0, 0
    for (quality, data_seed, model, device, seed, _), result in zip(again + new, all_results(jobs, workers, anew=True)):
        for name in SIMILARITIES:
            for number, value in zip(NUMBERS, (result["ndcg"], *result[name])):
                if seed in NEW_SEEDS:
                    known = [float(row[number]) for key, row in rows.items()
                             if key[:4] == (quality, str(data_seed), model, device) and key[5] == name]
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
    parser.add_argument("command", choices=("tune", "run", "verify"))
    parser.add_argument("--workers", type=int, default=2, help="processes, one a core")
    options = parser.parse_args()
    {"tune": tune, "run": run, "verify": verify}[options.command](options.workers)


if __name__ == "__main__":
    main()

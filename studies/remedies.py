"""All remedies on simulated data of the paper's size, under many laws: writes studies/results/remedies.csv.

    python studies/remedies.py [--output FILE]
    python studies/remedies.py --only REMEDY     prints its rows on the first data set, in seconds, and writes nothing

For each reading of the paper's simulation, data set, remedy and model: six numbers about the item–item cosines.
Deterministic: the same seeds give the same table, but for the last digits of what is trained. About 25 minutes on one
core, 1 GB. Readings other than ours have two models, and little that is trained.
"""

import argparse
import csv
import time
from collections.abc import Iterator
from dataclasses import astuple, fields, replace
from functools import partial
from pathlib import Path

import numpy as np
import readings

from cossim_helpers import (
    Yardsticks,
    activity_normalized,
    cosine_similarity,
    fractionally_whitened_cosine,
    item_gram,
    item_item_cosine,
    layer_norm,
    propensities,
    rescale,
    score_column_cosine,
    shifted_pmi,
    shrinkage,
    simulate_interactions,
    solve_factor_penalty,
    solve_product_penalty,
    spectral_cosine,
    spectrum_from_gram,
    standardized_gram,
    train_cosine,
    whitened_cosine,
    yardsticks,
)

RESULTS = Path(__file__).parent / "results" / "remedies.csv"
K = 50  # rank
SCALINGS = {"Eq. 1, B = V": 0.5, "Eq. 1, B = V d^1/2": 0.0, "Eq. 1, B = V d": -0.5}  # exponent of D = dMat(d)^e
MODELS = [*SCALINGS, "Eq. 2"]
MODELS_ELSEWHERE = MODELS[-2:]  # the best scaling of Eq. 1, and Eq. 2, are what other readings have
NUMBERS = [field.name for field in fields(Yardsticks)]
TRAINING_USERS = 1_000  # training runs on the first users of each data set, and so does one untreated fit, to compare

OURS = readings.OURS
READINGS = readings.READINGS | {  # of the simulation in the paper, as in chapter 6, and more clusters
    "20 clusters": {"n_clusters": 20},
    "5 clusters, taken for 20": {},
    "20 clusters, taken for 5": {"n_clusters": 20},
}
DATA_SETS = range(1, 11)  # seeds; other readings than ours have hardly any training, which is the slow part
TRAINED_ELSEWHERE = {"trained, softmax, k = C": (1, 2)}
MISTAKEN = {"5 clusters, taken for 20": 20, "20 clusters, taken for 5": 5}  # what remedies are told of C, if not C


def fits(top, n_clusters, k=K):
    """The solutions that are compared: Eq. 1 in three scalings, and Eq. 2, at rank k.

    Both penalties cut at σ_{C+2}: λ = σ² in Eq. 1 and σ in Eq. 2. For C = 5 that is where the paper's λ cut.
    """
    cut = top.sigma[n_clusters + 1]
    fit, d = solve_product_penalty(top, cut**2, k), shrinkage(top.sigma[:k], cut**2)
    scaled = {name: rescale(fit, d**exponent) for name, exponent in SCALINGS.items()}
    return scaled | {"Eq. 2": solve_factor_penalty(top, cut, k)}


def prepared_grams(X):
    """What each remedy hands to the fit, by name: a function that returns the Gram matrix of its data."""
    gram, counts = item_gram(X), np.asarray(X.sum(axis=0)).ravel()

    def scaled(exponent, floor=0.0):
        pi = propensities(counts, exponent, floor)
        return gram / np.outer(pi, pi)  # of X dMat(1/π)

    def pmi():
        M = shifted_pmi(gram - np.diag(np.diag(gram)))  # co-occurrences of two different items
        return M.T @ M

    return {
        "none": lambda: gram,
        "rows / k_u": lambda: item_gram(activity_normalized(X)),
        "rows / k_u^1/2": lambda: item_gram(activity_normalized(X, 0.5)),
        "standardized": lambda: standardized_gram(X),
        "rows / k_u, standardized": lambda: standardized_gram(activity_normalized(X)),
        "rows / k_u^1/2, standardized": lambda: standardized_gram(activity_normalized(X, 0.5)),
        "propensity^1/2": lambda: scaled(0.5),
        "propensity^1, floor 0.1": lambda: scaled(1.0, 0.1),
        "propensity^1": lambda: scaled(1.0),
        "shifted PMI, 3/4": pmi,
    }


def after_the_fit(prepared, X, n_clusters):
    """Remedies that take the fits to data prepared in this way as they are: name → (rank, function of the factors)."""
    if prepared in ("standardized", "rows / k_u^1/2, standardized"):
        return {prepared + ", whitened, k = C": (n_clusters, whitened_cosine)}
    if prepared != "none":
        return {}
    return {
        "columns of X A B^T": (K, lambda factors: score_column_cosine(X, factors)),
        "whitened, k = 50": (K, whitened_cosine),
        "whitened, k = C": (n_clusters, whitened_cosine),
        "centered, whitened, k = 50": (K, centered_whitened_cosine),
        "centered, whitened, k = C": (n_clusters, centered_whitened_cosine),
        "half whitened": (K, lambda factors: fractionally_whitened_cosine(factors, 0.5)),
        "half whitened, spectral": (K, lambda factors: spectral_cosine(factors, 0.5)),
        "layer norm afterwards": (K, lambda factors: cosine_similarity(layer_norm(_without_zero_columns(factors.B)))),
    }


def centered_whitened_cosine(factors):
    """Whitening about the mean embedding."""
    return whitened_cosine(replace(factors, B=factors.B - factors.B.mean(axis=0)))


def _without_zero_columns(B):
    return B[:, np.linalg.norm(B, axis=0) > 0]


def all_cosines(data, n_clusters, wanted=lambda remedy: True, models=MODELS) -> Iterator[tuple[str, str, np.ndarray]]:
    """(remedy, model, item–item cosines) for each row of the table, if wanted(remedy); remedies are told n_clusters."""

    def rows(remedy, top, k=K, cosine_of=item_item_cosine):
        found = fits(top, n_clusters, k)
        return ((remedy, model, cosine_of(found[model])) for model in models)

    for name, gram in prepared_grams(data.X).items():
        later = {one: how for one, how in after_the_fit(name, data.X, n_clusters).items() if wanted(one)}
        if later or wanted(name):
            top = spectrum_from_gram(gram(), K)
            yield from rows(name, top) if wanted(name) else ()
            for remedy, (k, cosine_of) in later.items():
                yield from rows(remedy, top, k, cosine_of)
    X, name = data.X[:TRAINING_USERS], "none, 1,000 users"
    if wanted(name):
        yield from rows(name, spectrum_from_gram(item_gram(X), K))
    for loss in ("squared", "softmax"):
        for rank, k in (("50", K), ("C", n_clusters)):
            name = f"trained, {loss}, k = {rank}"
            if wanted(name):
                yield name, "s cos", item_item_cosine(train_cosine(X, k, loss=loss, rng=0).factors)


def measure(seed, reading=OURS, wanted=None):
    """Rows (reading, seed, remedy, model, *numbers) of one data set; wanted(remedy): default, what the table has."""
    data = comparable(simulate_interactions(**READINGS[reading], rng=seed))
    popularity = np.asarray(data.X.sum(axis=0)).ravel()
    cosines = all_cosines(
        data,
        MISTAKEN.get(reading, data.user_preference.shape[1]),
        wanted or partial(in_the_table, reading, seed),
        models_of(reading),
    )
    return [
        (reading, seed, remedy, model, *astuple(yardsticks(cosine, data.item_cluster, popularity)))
        for remedy, model, cosine in cosines
    ]


def comparable(data):
    """The data without the items that nobody took along with another one: no remedy has anything to compare there.

    It happens where most users have few items: 5 of 1,000 items in one data set of "activity: 1–50".
    """
    X = data.X[data.X.sum(axis=1) > 1]
    kept = X.sum(axis=0) > 0
    if kept.all():
        return data
    taken = data.X[:, kept]
    users = taken.sum(axis=1) > 0
    return replace(
        data,
        X=taken[users],
        item_cluster=data.item_cluster[kept],
        item_popularity=data.item_popularity[kept],
        user_preference=data.user_preference[users],
    )


def models_of(reading):
    return MODELS if reading == OURS else MODELS_ELSEWHERE


def in_the_table(reading, seed, remedy):
    """Whether the table has this row."""
    if remedy.startswith("trained") and reading != OURS:
        return seed in TRAINED_ELSEWHERE.get(remedy, ())
    return seed in DATA_SETS


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--only", metavar="REMEDY", help="print its rows on the first data set, and write nothing")
    options = parser.parse_args()
    if options.only:
        return print_rows(options.only)
    jobs = [(seed, reading) for seed in DATA_SETS for reading in READINGS if in_the_table(reading, seed, "none")]
    rows, start = [], time.perf_counter()
    for done, (seed, reading) in enumerate(jobs, start=1):
        rows += measure(seed, reading)
        bar = "#" * round(30 * done / len(jobs))
        print(f"[{bar:30}] {done} of {len(jobs)} data sets, {time.perf_counter() - start:.0f} s", flush=True)
        write(rows, options.output)


def print_rows(remedy):
    """The numbers of one remedy on one data set, to look at before the table is computed anew."""
    rows = measure(DATA_SETS[0], wanted=remedy.__eq__)
    if not rows:
        raise SystemExit(f"no remedy of this study is called {remedy!r}")
    for _, _, _, model, *values in rows:
        print(f"{model:20}", *(f"{name} {value:.2f}" for name, value in zip(NUMBERS, values)), sep="  ")
    return None


def write(rows, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    order = list(READINGS)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["reading", "data set", "remedy", "model", *NUMBERS])
        for row in sorted(rows, key=lambda row: order.index(row[0])):  # stable: seeds and remedies keep their order
            writer.writerow([*row[:4], *(f"{value:.4f}" for value in row[4:])])


if __name__ == "__main__":
    main()

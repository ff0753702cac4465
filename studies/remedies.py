"""All remedies on simulated data of the paper's size: writes studies/results/remedies.csv.

    python studies/remedies.py [--first SEED] [--data-sets N] [--output FILE]

For each data set, remedy and model: five numbers about the item–item cosines. Deterministic: the same seeds give the
same table, but for the last digits of what is trained. About 10 minutes on two cores, 1.5 GB.
"""

import argparse
import csv
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cossim_helpers import (
    activity_normalized,
    cluster_auc,
    cosine_similarity,
    fractionally_whitened_cosine,
    inverse_propensity_scaled,
    item_gram,
    item_item_cosine,
    layer_norm,
    mean_cosine,
    popularity_correlation,
    precision_at_k,
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
)

RESULTS = Path(__file__).parent / "results" / "remedies.csv"
K, CUT = 50, 7  # rank; both penalties cut at σ_7: λ = σ_7² in Eq. 1 and σ_7 in Eq. 2
SCALINGS = {"Eq. 1, B = V": 0.5, "Eq. 1, B = V d^1/2": 0.0, "Eq. 1, B = V d": -0.5}  # exponent of D = dMat(d)^e
MODELS = [*SCALINGS, "Eq. 2"]
NUMBERS = ["auc", "within", "between", "precision", "popularity"]
TRAINING_USERS = 1_000  # training runs on the first users of each data set, and so does one untreated fit, to compare


def fits(top, k=K):
    """The solutions that are compared: Eq. 1 in three scalings, and Eq. 2, at rank k."""
    cut = top.sigma[CUT - 1]
    fit, d = solve_product_penalty(top, cut**2, k), shrinkage(top.sigma[:k], cut**2)
    scaled = {name: rescale(fit, d**exponent) for name, exponent in SCALINGS.items()}
    return scaled | {"Eq. 2": solve_factor_penalty(top, cut, k)}


def prepared_grams(X, names):
    """Gram matrix of the data that each remedy hands to the fit, by name; None: all of them."""
    gram, counts = item_gram(X), np.asarray(X.sum(axis=0)).ravel()

    def scaled(exponent, floor=0.0):
        return item_gram(inverse_propensity_scaled(X, propensities(counts, exponent, floor)))

    def pmi():
        M = shifted_pmi(gram - np.diag(np.diag(gram)))  # co-occurrences of two different items
        return M.T @ M

    recipes = {
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
    return {name: recipe() for name, recipe in recipes.items() if names is None or name in names}


def after_the_fit(X, top, n_clusters):
    """Remedies that take the fits as they are: name → (rank, function of the factors)."""
    return {
        "columns of X A B^T": (K, lambda factors: score_column_cosine(X, factors)),
        "whitened, k = 50": (K, whitened_cosine),
        "whitened, k = C": (n_clusters, whitened_cosine),
        "half whitened": (K, lambda factors: fractionally_whitened_cosine(factors, 0.5)),
        "half whitened, spectral": (K, lambda factors: spectral_cosine(factors, 0.5)),
        "layer norm afterwards": (K, lambda factors: cosine_similarity(layer_norm(_without_zero_columns(factors.B)))),
    }


def _without_zero_columns(B):
    return B[:, np.linalg.norm(B, axis=0) > 0]


def all_cosines(data, names=None) -> Iterator[tuple[str, str, np.ndarray]]:
    """(remedy, model, item–item cosines) for each row of the table; `names`: only these remedies."""
    n_clusters = data.user_preference.shape[1]

    def wanted(name):
        return names is None or name in names

    both = {name + ", whitened, k = C": name for name in ("standardized", "rows / k_u^1/2, standardized")}
    on_plain_data = list(after_the_fit(None, None, n_clusters))
    needed = None if names is None else {both.get(name, "none" if name in on_plain_data else name) for name in names}
    for name, gram in prepared_grams(data.X, needed).items():
        top = spectrum_from_gram(gram, K)
        if wanted(name):
            yield from ((name, model, item_item_cosine(factors)) for model, factors in fits(top).items())
        later = after_the_fit(data.X, top, n_clusters) if name == "none" else {}
        if name in both.values():
            later[name + ", whitened, k = C"] = (n_clusters, whitened_cosine)
        for remedy, (k, cosine_of) in later.items():
            if wanted(remedy):
                yield from ((remedy, model, cosine_of(factors)) for model, factors in fits(top, k).items())
    X = data.X[:TRAINING_USERS]
    if wanted("none, 1,000 users"):
        top = spectrum_from_gram(item_gram(X), K)
        yield from (("none, 1,000 users", model, item_item_cosine(factors)) for model, factors in fits(top).items())
    for loss in ("squared", "softmax"):
        for k in (K, n_clusters):
            name = f"trained, {loss}, k = {'C' if k == n_clusters else k}"
            if wanted(name):
                model = train_cosine(X, k, loss=loss, rng=0)
                yield name, "s cos", item_item_cosine(model.factors)


def numbers(cosine, data):
    """The five numbers of the table, in the order of NUMBERS."""
    popularity = np.asarray(data.X.sum(axis=0)).ravel()
    within, between = mean_cosine(cosine, data.item_cluster)
    return [cluster_auc(cosine, data.item_cluster), within, between, precision_at_k(cosine, data.item_cluster, 10),
            popularity_correlation(cosine, popularity)]


def measure(seed, names=None):
    """Rows (seed, remedy, model, *numbers) of one data set."""
    data = simulate_interactions(rng=seed)
    return [(seed, remedy, model, *numbers(cosine, data)) for remedy, model, cosine in all_cosines(data, names)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--first", type=int, default=1, help="seed of the first data set")
    parser.add_argument("--data-sets", type=int, default=10)
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    rows, start = [], time.perf_counter()
    for done in range(1, options.data_sets + 1):
        rows += measure(options.first + done - 1)
        bar = "#" * round(30 * done / options.data_sets)
        print(f"[{bar:30}] {done} of {options.data_sets} data sets, {time.perf_counter() - start:.0f} s", flush=True)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    with options.output.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["data set", "remedy", "model", *NUMBERS])
        writer.writerows([*row[:3], *(f"{value:.4f}" for value in row[3:])] for row in rows)


if __name__ == "__main__":
    main()

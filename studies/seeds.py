"""The sentences of chapters 6 and 8, measured on many data sets: writes studies/results/{seeds,readings}.csv.

    python studies/seeds.py [--seeds SEED ...] [--reading-seeds SEED ...] [--output FOLDER]

seeds.csv has one row for each seed of the book's own reading of the simulation: the numbers that both chapters state
for seed 0. readings.csv has one row for each seed, reading and cut: Figure 1 in numbers. Deterministic: the same seeds
give the same tables. About 10 minutes on two cores, 1 GB.
"""

import argparse
import csv
import time
from pathlib import Path

import numpy as np
import scipy.optimize
from readings import (
    CUT,
    READINGS,
    SCALINGS,
    K,
    four_models,
    gram_of,
    measure_reading,
    numbers_of,
    panels_in_numbers,
)

from cossim_helpers import (
    cosine_similarity,
    mean_cosine,
    overlap_at_k,
    shrinkage,
    simulate_interactions,
    solve_factor_penalty,
    spectrum_from_gram,
    yardsticks,
)

RESULTS = Path(__file__).parent / "results"
SEEDS = (*range(11), *range(101, 607, 101))  # of seeds.csv: 0, 1, …, 10 and 101, 202, …, 606, seventeen
READING_SEEDS = (0, 1, 2, *range(101, 708, 101))  # of readings.csv: 0, 1, 2 and 101, 202, …, 707, ten
MIXED = 0.1  # a direction with more weight than this on the rarer signs does not tell clusters apart
USERS_OF_LIMIT = 4_000  # the limit of infinitely many draws is taken over the first users
USUAL = ("auc", "distance", "within", "between")  # the yardsticks of most cosines

# --- chapter 8: f(σ, cut) of each named cosine; the penalty is cut² for Eq. 1 and decay on A and B, cut for Eq. 2 ---

FILTERS = {
    "X": lambda sigma, cut: sigma**2,
    "V": lambda sigma, cut: np.ones_like(sigma),
    "eq5": lambda sigma, cut: shrinkage(sigma, cut**2),
    "case2": lambda sigma, cut: shrinkage(sigma, cut**2) ** 2,
    "root": lambda sigma, cut: sigma * shrinkage(sigma, cut**2),
    "scores1": lambda sigma, cut: (sigma * shrinkage(sigma, cut**2)) ** 2,
    "decay": lambda sigma, cut: np.maximum(1 - (cut / sigma) ** 2, 0),
    "eq2": lambda sigma, cut: np.maximum(sigma - cut, 0),
    "scores2": lambda sigma, cut: np.maximum(sigma - cut, 0) ** 2,
}


def truth_of(item_cluster):
    return (item_cluster[:, None] == item_cluster).astype(float)


def off_diagonal(matrix):
    return matrix[np.triu_indices(len(matrix), 1)]


def filtered(V, f):
    """cos_f: rows of V dMat(f)^{1/2}."""
    return cosine_similarity(V * np.sqrt(f))


# --- our reading, looked at closely ---


def chapter_6(top, data):
    """What chapter 6 states for its own data, beyond the numbers of `panels_in_numbers`."""
    cosines, _, d = four_models(top, CUT)
    cluster, truth, sigma = data.item_cluster, truth_of(data.item_cluster), top.sigma
    row = panels_in_numbers(cosines, cluster)
    row["above_100"] = float(np.count_nonzero(sigma > 100))
    row["overlap_eq2"] = max(overlap_at_k(cosines[name], cosines["eq2"], 10) for name in SCALINGS)
    row["smallest_eq2"] = off_diagonal(cosines["eq2"]).min()
    row["weight_1_eq2"] = (sigma[0] - CUT) / np.maximum(sigma - CUT, 0).sum()
    without = cosine_similarity(solve_factor_penalty(top, CUT).B[:, 1:])
    row |= numbers_of("without_1", without, cluster, ("auc", "distance", "between"))

    n_clusters = data.user_preference.shape[1]
    for c in range(n_clusters):  # exponent of the popularity, and mean cosine within the cluster under B = V
        popularity = data.item_popularity[cluster == c]
        row[f"beta_{c + 1}"] = -np.log2(popularity[1] / popularity[0])
        row[f"block_{c + 1}"] = off_diagonal(cosines["V"][np.ix_(cluster == c, cluster == c)]).mean()

    other = {"Vs2": sigma**4, "Vd_minus_half": 1 / d}  # other readings of the middle panels, as weights f
    for name, f in other.items():
        row |= numbers_of(name, filtered(top.V, f), cluster, USUAL)
    row["change_other"] = abs(filtered(top.V, other["Vs2"]) - filtered(top.V, other["Vd_minus_half"])).max()

    aucs = [yardsticks(cosine_similarity(top.V[:, :k]), cluster).auc for k in range(2, 13)]
    row["best_rank"] = 2.0 + np.argmax(aucs)
    at_6 = [yardsticks(filtered(top.V[:, :6], d[:6] ** power), cluster).distance for power in (0, 1, 2)]
    row["distance_at_6_least"], row["distance_at_6_most"] = min(at_6), max(at_6)
    row["change_at_6"] = abs(filtered(top.V[:, :6], np.ones(6)) - filtered(top.V[:, :6], d[:6] ** 2)).max()

    tuned = best_threshold(cosines["Vd"], truth)
    row["threshold_Vd"], row["threshold_eq2"] = tuned, best_threshold(cosines["eq2"], truth)
    row["accuracy_Vd"] = balanced_accuracy(cosines["Vd"], truth, tuned)
    row["accuracy_eq2"] = balanced_accuracy(cosines["eq2"], truth, tuned)
    row["accuracy_eq2_tuned"] = balanced_accuracy(cosines["eq2"], truth, row["threshold_eq2"])
    return row


def balanced_accuracy(cosine, truth, threshold):
    """Mean of the share of same-cluster pairs above the threshold and of that of other pairs at or below it."""
    pairs, same = off_diagonal(cosine), off_diagonal(truth) == 1
    return (np.mean(pairs[same] > threshold) + np.mean(pairs[~same] <= threshold)) / 2


def best_threshold(cosine, truth):
    """The threshold with the best balanced accuracy, on a grid of step 0.01."""
    grid = np.linspace(-0.2, 1.0, 121)
    return grid[np.argmax([balanced_accuracy(cosine, truth, threshold) for threshold in grid])]


def oracle_loss(g, V, Y):
    """Mean square of cosine minus truth for f = g², and its gradient in g; Y holds the memberships (p, C)."""
    B = V * g
    length = np.linalg.norm(B, axis=1, keepdims=True)
    N = B / length
    value = np.sum((N.T @ N) ** 2) - 2 * np.sum((Y.T @ N) ** 2) + np.sum((Y.T @ Y) ** 2)
    dN = 4 * N @ (N.T @ N) - 4 * Y @ (Y.T @ N)
    dB = (dN - N * np.sum(dN * N, axis=1, keepdims=True)) / length
    pairs = len(Y) * (len(Y) - 1)
    return value / pairs, np.sum(V * dB, axis=0) / pairs


def best_filter(V, Y, start):
    """Distance to the truth of the filter at which L-BFGS ends, and the filter, with weights that add up to 1."""
    options = {"maxiter": 2_000, "maxfun": 4_000, "ftol": 0, "gtol": 1e-9, "maxcor": 20}
    found = scipy.optimize.minimize(oracle_loss, start, args=(V, Y), jac=True, method="L-BFGS-B", options=options)
    return np.sqrt(found.fun), found.x**2 / np.sum(found.x**2)


def mixed_weights(V, member):
    """For each direction, the weight v_il² of the items with the rarer sign in their cluster.

    Near 0 for a direction that tells clusters apart: it has one sign within each.
    """
    positive, negative = (member.T @ np.maximum(sign * V, 0) ** 2 for sign in (1, -1))
    return np.minimum(positive, negative).sum(axis=0)


def chapter_8(top, data, gram):
    """What chapter 8 states for its own data. `top`: the first 50 directions, `gram`: XᵀX."""
    V, sigma, cluster = top.V, top.sigma, data.item_cluster
    member = np.eye(data.user_preference.shape[1])[cluster]
    row, cosines = {}, {name: filtered(V, f(sigma, CUT)) for name, f in FILTERS.items() if name != "X"}
    cosines["X"] = _normalized(gram)
    for name, cosine in cosines.items():
        row |= numbers_of(name, cosine, cluster, USUAL)
    for k in range(3, 11):
        row |= numbers_of(f"V{k}", cosine_similarity(V[:, :k]), cluster, ("distance", "within", "between"))

    mixed = mixed_weights(V[:, :8], member)
    row |= {f"mixed_{i + 1}": mixed[i] for i in range(8)} | {f"sigma_{i + 1}": sigma[i] for i in range(8)}
    newcomer = V[:, np.argmax(mixed > MIXED)]  # the first direction that mixes signs
    heads = [newcomer[np.flatnonzero(column)[:2]].mean() for column in member.T]  # the two most popular of a cluster
    tails = [newcomer[np.flatnonzero(column)[-10:]].mean() for column in member.T]  # the ten least popular
    heads, tails = np.sign(np.sum(heads)) * np.array([heads, tails])
    row["head_least"], row["tail_most"] = heads.min(), tails.max()

    weights = FILTERS["eq2"](sigma, CUT)
    share = weights[0] * V[:, 0] ** 2 / (V**2 @ weights)
    i, j = np.triu_indices(len(V), 1)
    row["share_least"], row["share_most"] = share.min(), share.max()
    row["sure_pairs"] = np.mean(share[i] + share[j] > 1)
    row["between_eq2_direction_1"] = np.sqrt(share[i] * share[j])[cluster[i] != cluster[j]].mean()
    row["v1_correlation"] = np.corrcoef(V[:, 0], data.X.sum(axis=0))[0, 1]

    return row | _oracle(V, sigma, member) | _hidden_labels(V, member, cluster) | _limits(data, gram)


def _normalized(gram):
    length = np.sqrt(np.diag(gram))
    length = np.where(length > 0, length, 1)
    return gram / np.outer(length, length)


def _oracle(V, sigma, member):
    """The best filter from five starts, and the best cut of each named one."""
    rng = np.random.default_rng(84)
    starts = [np.sqrt(FILTERS[name](sigma, CUT) + 1e-3) for name in ("V", "eq5", "decay")]
    starts += [rng.random(K) + 0.02 for _ in range(2)]
    runs = [best_filter(V, member, start) for start in starts]
    ends = [end for end, _ in runs]
    oracle = runs[int(np.argmin(ends))][1]
    row = {"distance_oracle": min(ends), "distance_oracle_worst_start": max(ends)}
    row |= {f"oracle_{i + 1}": oracle[i] / oracle[0] for i in range(8)}
    row["oracle_rest"] = oracle[8:].max() / oracle[0]
    for name in ("eq5", "case2", "root", "scores1", "decay", "eq2", "scores2"):
        cuts = np.geomspace(5, 380, 40)
        losses = [oracle_loss(np.sqrt(FILTERS[name](sigma, cut)), V, member)[0] for cut in cuts]
        row[f"best_{name}"], row[f"best_cut_{name}"] = np.sqrt(min(losses)), cuts[np.argmin(losses)]
    flat = mixed_weights(V[:, :8], member) <= MIXED  # the first eight directions, without those that mix signs
    row["distance_pure"] = np.sqrt(oracle_loss(np.r_[flat, np.zeros(K - 8)], V, member)[0])
    row["distance_least_squares"] = np.sqrt(oracle_loss(np.linalg.norm(member.T @ V, axis=0), V, member)[0])
    return row


def general_loss(z, V, Y):
    """The loss of the oracle for B = V G, G = z as a square matrix, and its gradient."""
    B = V @ z.reshape(V.shape[1], -1)
    length = np.linalg.norm(B, axis=1, keepdims=True)
    N = B / length
    value = np.sum((N.T @ N) ** 2) - 2 * np.sum((Y.T @ N) ** 2) + np.sum((Y.T @ Y) ** 2)
    dN = 4 * N @ (N.T @ N) - 4 * Y @ (Y.T @ N)
    dB = (dN - N * np.sum(dN * N, axis=1, keepdims=True)) / length
    return value / (len(Y) * (len(Y) - 1)), (V.T @ dB).ravel() / (len(Y) * (len(Y) - 1))


def _hidden_labels(V, member, cluster):
    """Oracle and general G, fitted to the labels of four items in five and tested on the others."""
    shown = np.arange(len(V)) % 5 != 0
    diagonal = best_filter(V[shown], member[shown], np.ones(K))[1]
    start = np.diag(np.sqrt(diagonal + 1e-6)).ravel()
    fitted = scipy.optimize.minimize(
        general_loss, start, args=(V[shown], member[shown]), jac=True, method="L-BFGS-B", options={"maxiter": 60}
    )
    tested = {
        "hidden_diagonal": filtered(V[~shown], diagonal),
        "hidden_general": cosine_similarity(V[~shown] @ fitted.x.reshape(K, K)),
    }
    return {name: yardsticks(cosine, cluster[~shown]).distance for name, cosine in tested.items()}


def taken_once(weights, k_u):
    """1 − exp(−τ_u p_ui) with τ_u such that each row sums to k_u, by Newton's method from below."""
    tau = k_u[:, None].astype(float)
    for _ in range(8):
        silent = np.exp(-weights * tau)
        missing = k_u[:, None] - (1 - silent).sum(axis=1, keepdims=True)
        tau = tau + missing / (weights * silent).sum(axis=1, keepdims=True)
    return 1 - np.exp(-weights * tau)


def limit_grams(data):
    """Gram matrices per user: each item taken once, and the same with the Bernoulli diagonal (the limit of draws)."""
    k_u, n_items = np.diff(data.X.indptr), data.X.shape[1]
    once, taken = np.zeros((n_items, n_items)), np.zeros(n_items)
    for start in range(0, USERS_OF_LIMIT, 1_000):
        users = slice(start, start + 1_000)
        p_ui = data.user_preference[users][:, data.item_cluster] * data.item_popularity
        mu = taken_once(p_ui / p_ui.sum(axis=1, keepdims=True), k_u[users])
        once += mu.T @ mu / USERS_OF_LIMIT
        taken += mu.sum(axis=0) / USERS_OF_LIMIT
    limit = once.copy()
    np.fill_diagonal(limit, taken)
    return once, limit


def _limits(data, gram):
    """Mean cosines in the population of items taken once, and distances to the truth for infinitely many draws."""
    once, limit = limit_grams(data)
    row, cluster = {}, data.item_cluster
    top = spectrum_from_gram(once, 8)
    row["within_X_once"], row["between_X_once"] = mean_cosine(_normalized(once), cluster)
    for k in (5, 6):
        row[f"within_V{k}_once"], row[f"between_V{k}_once"] = mean_cosine(cosine_similarity(top.V[:, :k]), cluster)
    n_users = data.X.shape[0]
    few = gram_of(data.X[:500]) / 500
    for when, matrix in (("few", few), ("limit", limit)):
        top = spectrum_from_gram(matrix, K)
        used = np.diag(matrix) > 0  # an item without users has no embedding
        V, cut = top.V * used[:, None], CUT / np.sqrt(n_users)
        found = {"X": _normalized(matrix), "V5": cosine_similarity(V[:, :5]), "V6": cosine_similarity(V[:, :6])}
        found |= {name: filtered(V, FILTERS[name](top.sigma, cut)) for name in ("eq5", "eq2")}
        row |= {f"{when}_{name}": yardsticks(cosine, cluster).distance for name, cosine in found.items()}
    return row


def measure_seed(seed):
    """The row of seeds.csv for one seed."""
    data = simulate_interactions(rng=seed)
    gram = gram_of(data.X)
    top = spectrum_from_gram(gram, K)
    return {"seed": seed} | chapter_6(top, data) | chapter_8(top, data, gram)


def write(path, rows):
    """Write rows (one dict each, with the same keys) as CSV, numbers with four decimals."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({key: f"{x:.4f}" if isinstance(x, float) else x for key, x in row.items()})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, metavar="SEED", help="rows of seeds.csv")
    parser.add_argument("--reading-seeds", type=int, nargs="+", default=READING_SEEDS, metavar="SEED")
    parser.add_argument("--output", type=Path, default=RESULTS, metavar="FOLDER")
    options = parser.parse_args()
    cells = [(seed, reading) for seed in options.reading_seeds for reading in READINGS]
    total, start = len(options.seeds) + len(cells), time.perf_counter()

    def report(done):
        bar = "#" * round(30 * done / total)
        print(f"[{bar:30}] {done} of {total} data sets, {time.perf_counter() - start:.0f} s", flush=True)

    rows = []
    for seed in options.seeds:
        rows.append(measure_seed(seed))
        write(options.output / "seeds.csv", rows)
        report(len(rows))
    rows = []
    for seed, reading in cells:
        rows += measure_reading(seed, reading)
        write(options.output / "readings.csv", rows)
        report(len(options.seeds) + len(rows) // 2)


if __name__ == "__main__":
    main()

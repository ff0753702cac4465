"""Readings of the paper's simulation, and Figure 1 in numbers under each: rows of studies/results/readings.csv.

studies/seeds.py writes the table; studies/remedies.py measures the remedies under the same readings.
"""

import numpy as np

from cossim_helpers import (
    all_tied,
    item_item_cosine,
    overlap_at_k,
    rescale,
    shrinkage,
    simulate_interactions,
    solve_factor_penalty,
    solve_product_penalty,
    spectrum_from_gram,
    yardsticks,
)

K, CUT = 50, 100.0  # the paper's rank; λ = CUT² in Eq. 1 and CUT in Eq. 2
SCALINGS = {"V": 0.5, "Vd_half": 0.0, "Vd": -0.5}  # name of B → exponent of D = dMat(d)^e
MODELS = (*SCALINGS, "eq2")
NUMBERS = ("auc", "within", "between", "precision", "distance")  # of each model, from the yardsticks

OURS = "our reading"
_DRAWN = np.random.default_rng(7).dirichlet(np.ones(5))
_FALLING = (1 / np.arange(1, 6)) / np.sum(1 / np.arange(1, 6))
READINGS = {
    OURS: {},
    "clusters: Dirichlet": {"cluster_probabilities": _DRAWN},
    "clusters: 1/c": {"cluster_probabilities": _FALLING},
    "popularity: drawn": {"popularity_law": "random"},
    "popularity: Pareto": {"popularity_law": "random", "popularity_exponents": (1.25, 2.5)},
    "popularity: β = 0.25": {"popularity_exponents": (0.25, 0.25)},
    "popularity: β = 1.5": {"popularity_exponents": (1.5, 1.5)},
    "taste: uniform": {"preference_law": "uniform"},
    "taste: Dirichlet 0.1": {"preference_concentration": 0.1},
    "taste: Dirichlet 10": {"preference_concentration": 10.0},
    "activity: 1–1000": {"max_activity": 1_000},
    "activity: 1–200": {"max_activity": 200},
    "activity: 1–50": {"max_activity": 50},
    "activity: 10–100": {"min_activity": 10, "max_activity": 100},
    "activity: flat": {"activity_exponent": 0.0},
    "activity: Pareto": {"activity_exponent": 1.5},
    "all at once": {
        "cluster_probabilities": _DRAWN,
        "popularity_law": "random",
        "preference_law": "uniform",
        "max_activity": 1_000,
    },
}


def gram_of(X):
    """XᵀX in blocks of rows: dense blocks are faster here than a sparse product, and as exact (whole numbers)."""
    blocks = (X[start : start + 2_000].toarray() for start in range(0, X.shape[0], 2_000))
    return sum(rows.T @ rows for rows in blocks)


def numbers_of(name, cosine, item_cluster, wanted=NUMBERS):
    """{number_name: value} of the wanted yardsticks."""
    found = yardsticks(cosine, item_cluster)
    return {f"{number}_{name}": getattr(found, number) for number in wanted}


def four_models(top, cut):
    """Cosines of Eq. 1 in three scalings and of Eq. 2, the product of each fit of Eq. 1, and d."""
    fit, d = solve_product_penalty(top, cut**2), shrinkage(top.sigma, cut**2)
    fits = [rescale(fit, d**exponent) for exponent in SCALINGS.values()]
    cosines = [item_item_cosine(each) for each in (*fits, solve_factor_penalty(top, cut))]
    return dict(zip(MODELS, cosines, strict=True)), [each.A @ each.B.T for each in fits], d


def panels_in_numbers(cosines, item_cluster):
    """The yardsticks of each of the four models, and how two scalings differ."""
    row = {}
    for name, cosine in cosines.items():
        row |= numbers_of(name, cosine, item_cluster)
    row["change"] = abs(cosines["V"] - cosines["Vd"]).max()
    row["overlap"] = overlap_at_k(cosines["V"], cosines["Vd"], 10)
    return row


def figure_1(top, item_cluster, cut):
    """One row of readings.csv: Figure 1 in numbers, for the λ of both objectives that cut at σ = cut."""
    cosines, products, d = four_models(top, cut)
    kappa, expected = d[0] / d[-1], (top.V * d) @ top.V.T  # Â B̂ᵀ, what all scores come from
    return panels_in_numbers(cosines, item_cluster) | {
        "limit": 2 * (kappa - 1) / (kappa + 1),  # no cosine can move by more
        "tied": float(all_tied(cosines["eq2"])),
        "one_product": float(all(abs(product - expected).max() <= 1e-12 * abs(expected).max() for product in products)),
        "above_100": float(np.count_nonzero(top.sigma > 100)),
    }


def measure_reading(seed, reading):
    """Rows (seed, reading, cut, numbers) of readings.csv: cut at σ = 100, as in the paper, and at σ_7 of the data."""
    data = simulate_interactions(**({"rng": seed} | READINGS[reading]))
    top = spectrum_from_gram(gram_of(data.X), K)
    return [
        {"seed": seed, "reading": reading, "cut": name} | figure_1(top, data.item_cluster, cut)
        for name, cut in (("at 100", CUT), ("at sigma_7", top.sigma[6]))
    ]

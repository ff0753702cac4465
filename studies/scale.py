"""Chapter 14: data of many users by blocks, Figure 1 with ten times its users, and what each step costs.

    python studies/scale.py          writes results/scale_users.csv, scale_figure.csv, scale_spectra.csv,
                                     scale_unrelated.csv and scale_costs.csv

All runs on one thread, where memory is measured in a process of its own. Results are stored (_build/studies), so that
the study goes on where it was interrupted. The same code gives the same numbers, but for megabytes and seconds: those
belong to the machine, and to what else it did. About a quarter of an hour on one core, below 2 GB.
"""

import argparse
import os
from pathlib import Path

from scale_jobs import (
    ONE_THREAD,
    alone,
    by_blocks,
    cost_of_alias,
    cost_of_gram,
    cost_of_krylov,
    cost_of_pairs,
    cost_of_simulation,
    cost_of_slider,
    figure_1,
    figure_1_limit,
    unrelated,
)
from seeds import write
from stored import all_results, stored

RESULTS = Path(__file__).parent / "results"
SEEDS = range(10)
USERS = (20_000, 200_000, 2_000_000, 10_000_000)  # of scale_users.csv, with 200 items
CHUNKS = ((20_000, 500), (20_000, 7_000))  # more rows: other blocks, the same counts
FIGURE_USERS = (2_000, 20_000, 200_000)
ALPHAS, UNRELATED_USERS = (0.2, 1.0, 5.0), (2_000, 20_000)

# What a step costs: sizes that the model is fitted on, sizes that it has not seen, and one beyond all others. The last
# were added when the model was finished; the stored table has them, and all alias tables, from another, less busy day.
FIT, HELD_OUT, BEYOND, LATER = "fit", "held out", "beyond", "another day"
COSTS = {
    "simulation": (
        cost_of_simulation,
        {
            FIT: [(4_000, 100), (2_000, 250), (2_000, 500), (2_000, 1_000), (1_000, 2_000), (1_000, 4_000)],
            HELD_OUT: [(10_000, 200), (5_000, 700), (1_000, 3_000)],
            BEYOND: [(1_000, 20_000)],
            LATER: [(3_000, 1_500)],
        },
    ),
    "Gram": (
        cost_of_gram,
        {
            FIT: [(20_000, 100), (20_000, 250), (20_000, 500), (20_000, 1_000), (10_000, 2_000)],
            HELD_OUT: [(50_000, 200), (50_000, 700), (20_000, 1_500)],
            BEYOND: [(10_000, 5_000)],
            LATER: [(30_000, 400)],
        },
    ),
    "eigenpairs": (
        cost_of_pairs,
        {
            FIT: [(p,) for p in (250, 350, 500, 1_000, 1_500, 2_000)],
            HELD_OUT: [(p,) for p in (700, 1_200, 1_700)],
            BEYOND: [(3_000,)],
            LATER: [(1_100,), (2_500,)],
        },
    ),
    "slider": (
        cost_of_slider,
        {
            FIT: [(p,) for p in (250, 500, 1_000, 2_000)],
            HELD_OUT: [(p,) for p in (700, 1_500)],
            BEYOND: [(3_000,)],
            LATER: [(1_200,)],
        },
    ),
    "Krylov": (
        cost_of_krylov,
        {
            FIT: [
                (10_000, 5_000, 4),
                (20_000, 5_000, 6),
                (20_000, 20_000, 3),
                (10_000, 20_000, 6),
                (10_000, 50_000, 3),
                (20_000, 50_000, 4),
            ],
            HELD_OUT: [(20_000, 10_000, 5), (20_000, 40_000, 4)],
            BEYOND: [(10_000, 100_000, 4)],
            LATER: [(20_000, 30_000, 5)],
        },
    ),
    "alias": (
        cost_of_alias,
        {
            FIT: [(1_000, 10_000), (1_000, 100_000), (3_000, 100_000)],
            HELD_OUT: [(2_000, 50_000), (3_000, 20_000)],
            BEYOND: [(2_000, 1_000_000)],
        },
    ),
}
COST_COLUMNS = ("n_users", "n_items", "nonzeros", "directions", "passes", "draws")


def jobs():
    """[(task, *arguments)] of all that is computed, but for the data sets whose memory is measured."""
    found = [(figure_1, seed, n_users) for n_users in FIGURE_USERS for seed in SEEDS]
    found += [(figure_1_limit, seed) for seed in SEEDS]
    found += [(unrelated, *one) for one in unrelated_cells()]
    return found + [(task, *size) for task, sizes in COSTS.values() for some in sizes.values() for size in some]


def users_cells():
    return [(n_users, 200, 10_000) for n_users in USERS] + [(n_users, 200, rows) for n_users, rows in CHUNKS]


def unrelated_cells():
    return [(alpha, n_users, seed) for alpha in ALPHAS for n_users in UNRELATED_USERS for seed in SEEDS]


def costs():
    """Rows of scale_costs.csv; what a task has no number for stays empty."""
    rows = []
    for name, (task, sizes) in COSTS.items():
        for role, some in sizes.items():
            for size in some:
                found = stored(task, *size)
                rows.append({"task": name, "role": role})
                rows[-1] |= {column: found.get(column, "") for column in COST_COLUMNS} | {
                    "seconds": f"{found['seconds']:.5f}"
                }
    return rows


def run():
    os.environ.update(ONE_THREAD)  # the process that computes inherits it
    all_results(jobs(), workers=1)
    for one in users_cells():
        alone(stored, by_blocks, *one)
    figures = [stored(figure_1, seed, n_users) for n_users in FIGURE_USERS for seed in SEEDS]
    figures += [stored(figure_1_limit, seed) for seed in SEEDS]
    write(RESULTS / "scale_users.csv", [stored(by_blocks, *one) for one in users_cells()])
    write(RESULTS / "scale_figure.csv", [row for figure in figures for row in figure["models"]])
    write(RESULTS / "scale_spectra.csv", [figure["data"] for figure in figures])
    write(RESULTS / "scale_unrelated.csv", [stored(unrelated, *one) for one in unrelated_cells()])
    write(RESULTS / "scale_costs.csv", costs())


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    run()

"""How fast `simulate_interactions` is against a loop over users, and whether both draw from one law: `make bench`.

    python benchmarks/simulation.py [--rounds N] [--users N]

Fails where one of the figures that the book promises is missed.
"""

import argparse
import sys

import numpy as np
from measure import interleaved, report

from cossim_helpers import simulate_interactions

FASTER_THAN = {"loop with rng.choice": 3.0}
STANDARD_DEVIATIONS = 5.0  # of the difference between two frequencies: one of 1,000 exceeds it once in 1,700 runs


def draw_by_loop(data, activity, rng):
    """Items of each user by NumPy's own sampling without replacement, from the probabilities p_ui of the paper."""
    items = []
    for preference, k_u in zip(data.user_preference, activity, strict=True):
        p = preference[data.item_cluster] * data.item_popularity
        items.append(rng.choice(p.size, k_u, replace=False, p=p / p.sum()))
    return items


def speed(n_users, rounds):
    """The loop is given preferences and activity, and builds no matrix: it has less to do."""
    print(f"Draws of {n_users:,} users, {rounds} rounds")
    data = simulate_interactions(n_users, rng=0)
    activity = np.diff(data.X.indptr)
    return report(
        interleaved(
            {
                "simulate_interactions": lambda: simulate_interactions(n_users, rng=0),
                "loop with rng.choice": lambda: draw_by_loop(data, activity, np.random.default_rng(0)),
            },
            rounds,
        ),
        "simulate_interactions",
        FASTER_THAN,
    )


def law(n_users):
    """Inclusion frequencies of each item, over all users and over the less and the more active half."""
    data = simulate_interactions(n_users, rng=1)
    n_items, activity = data.X.shape[1], np.diff(data.X.indptr)
    looped = draw_by_loop(data, activity, np.random.default_rng(1))
    print("\nInclusion frequencies of the items against the loop's, in standard deviations of the difference")
    missed = []
    middle = np.median(activity)
    halves = {"all users": activity > 0, "less active half": activity <= middle, "more active half": activity > middle}
    for name, users in halves.items():
        ours = np.asarray(data.X[users].sum(axis=0)).ravel()
        theirs = np.bincount(np.concatenate([looped[u] for u in np.flatnonzero(users)]), minlength=n_items)
        variance = sum(count * (1 - count / users.sum()) for count in (ours, theirs))
        z = (ours - theirs) / np.sqrt(np.maximum(variance, 1.0))
        print(f"{name:28} largest {abs(z).max():.1f}, root mean square {np.sqrt(np.mean(z**2)):.2f}")
        if abs(z).max() > STANDARD_DEVIATIONS:
            missed.append(f"inclusion frequencies of {name}: {abs(z).max():.1f} standard deviations apart")
    return missed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--users", type=int, default=20_000)
    options = parser.parse_args()
    missed = speed(options.users, options.rounds) + law(options.users)
    return "missed:\n  " + "\n  ".join(missed) if missed else None


if __name__ == "__main__":
    sys.exit(main())

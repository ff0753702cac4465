"""How fast `simulate_interactions` is beside what people write instead, and whether the laws agree: `make bench`.

    python benchmarks/simulation.py [--rounds N]

Writes benchmarks/results/simulation.csv, which the page "Benchmarks" shows. Fails where the laws differ.
"""

import argparse
import sys

import numpy as np
from measure import interleaved, row, serve, show, store

from cossim_helpers import simulate_interactions

OURS = "simulate_interactions (ours)"
DATA = {  # name → n, p, what else the simulation takes
    "paper": (20_000, 1_000, {}),
    "items": (20_000, 5_000, {"max_activity": 500}),
}
PLAN = (("paper", 1), ("paper", 2), ("items", 1))
STANDARD_DEVIATIONS = 5.0  # of the difference between two frequencies: one of 1,000 exceeds it once in 1,700 runs


def draw_by_loop(data, activity, rng):
    """Items of each user by NumPy's own sampling without replacement, from the probabilities p_ui of the paper."""
    items = []
    for preference, k_u in zip(data.user_preference, activity, strict=True):
        p = preference[data.item_cluster] * data.item_popularity
        items.append(rng.choice(p.size, k_u, replace=False, p=p / p.sum()))
    return items


def draw_by_gumbel(data, activity, rng):
    """The k_u largest of log p_ui + Gumbel noise, for 500 users at a time, found by a partition of each row."""
    items = []
    for first in range(0, len(activity), 500):
        users = slice(first, first + 500)
        weights = data.user_preference[users][:, data.item_cluster] * data.item_popularity
        keys = np.log(weights) + rng.gumbel(size=weights.shape)
        items += [np.argpartition(keys[u], -k_u)[-k_u:] for u, k_u in enumerate(activity[users])]
    return items


LOOPS = {"loop with rng.choice": draw_by_loop, "NumPy, Gumbel noise in blocks": draw_by_gumbel}


def work(name, data):
    """The peers are given preferences and activity, and build no matrix: they have less to do."""
    n, p, law = DATA[data]
    few = simulate_interactions(500, p, **law, rng=0)
    if name == OURS:
        return serve(lambda: simulate_interactions(n, p, **law, rng=0), lambda found: {})
    LOOPS[name](few, np.diff(few.X.indptr), np.random.default_rng(0))  # load the libraries
    drawn = simulate_interactions(n, p, **law, rng=0)
    activity = np.diff(drawn.X.indptr)
    serve(lambda: LOOPS[name](drawn, activity, np.random.default_rng(0)), lambda found: {})


def measure(data, threads, rounds):
    commands = {name: [__file__, "--work", name, data] for name in (OURS, *LOOPS)}
    reports = interleaved(commands, rounds, threads, "")
    n, p, _ = DATA[data]
    about = {"data": data, "n": n, "p": p, "threads": threads}
    return [about | {"method": name} | row(reports[name], reports[OURS]) | {"note": ""} for name in commands]


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
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        return work(*options.work)
    rows = []
    for data, threads in PLAN:
        rows += (some := measure(data, threads, options.rounds))
        print(f"\n{data}: draws of {some[0]['n']:,} users of {some[0]['p']:,} items; threads: {threads}")
        show(some)
        store("simulation.csv", rows)
    missed = law(20_000)
    return "missed:\n  " + "\n  ".join(missed) if missed else None


if __name__ == "__main__":
    sys.exit(main())

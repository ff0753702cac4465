"""Are the lists of neighbors as unstable where the truth is graded? A second look at the lists of chapter 10.

    python studies/graded.py          writes results/graded.csv

In the study's data the items of a cluster are interchangeable, so that no two lists of ten from the right cluster can
differ in truth. Here each cluster has three sub-clusters: an item of the same sub-cluster is a better neighbor than
one that shares the cluster only. The recipes are those of equal quality in studies/deep.py.
"""

import argparse

import numpy as np
from deep import CHOSEN, chosen, overlap_table, point, write
from graded_jobs import PARTS, REPRESENTATIVES, data, measure
from stored import all_results

MODELS, DEVICES, SEEDS, DATA_SEED = ("linear", "squared"), ("none", "decay", "layer norm"), range(10), 0


def graded_hits(neighbors, part):
    """How many of each item's ten are of its sub-cluster, of the rest of its cluster, of others: shape (p, 3)."""
    neighbors = np.asarray(neighbors)
    same_part = part[neighbors] == part[:, None]
    same_cluster = part[neighbors] // PARTS == part[:, None] // PARTS
    return np.stack([same_part, same_cluster & ~same_part, ~same_cluster], axis=2).sum(axis=1)


def chance(hits, others, part):
    """The overlap to expect of two lists with these graded hits, if the items of a grade are drawn at random."""
    same_part = np.bincount(part)[part] - 1
    same_cluster = np.bincount(part // PARTS)[part // PARTS] - 1
    sizes = np.stack([same_part, same_cluster - same_part, len(part) - 1 - same_cluster], axis=1)
    return float((hits * others / np.maximum(sizes, 1)).sum(axis=1).mean() / 10)


def run(workers):
    recipes = chosen()
    cells = [(model, device, seed) for model in MODELS for device in DEVICES for seed in SEEDS]
    jobs = [(measure, recipes["equal", model, device], DATA_SEED, seed) for model, device, seed in cells]
    results = dict(zip(cells, all_results(jobs, workers)))
    part, rows = data(DATA_SEED)[2], []
    for model in MODELS:
        own = [cell for cell in cells if cell[0] == model]
        for name in REPRESENTATIVES:
            lists = [results[cell]["lists"][name] for cell in own]
            hits, overlaps = [graded_hits(one, part) for one in lists], overlap_table(lists)
            for i, (_, device, seed) in enumerate(own):
                of_part, of_rest, _ = hits[i].mean(axis=0) / 10
                expected = [chance(hits[i], hits[j], part) for j in range(i)]
                rows.append(
                    (
                        model,
                        name,
                        device,
                        *point(recipes["equal", model, device]),
                        seed,
                        *(f"{value:.4f}" for value in (results[own[i]]["ndcg"], of_part, of_part + of_rest)),
                        *(" ".join(f"{value:.3f}" for value in values) for values in (overlaps[i, :i], expected)),
                    )
                )
    header = (
        "model",
        "representative",
        "device",
        *CHOSEN,
        "seed",
        "ndcg",
        "own sub-cluster",
        "own cluster",
        "overlap with each row before",
        "by chance, given the grades",
    )
    write("graded.csv", header, rows)
    sizes = np.bincount(part)
    print(f"written: graded.csv, with sub-clusters of {sizes.min()} to {sizes.max()} items")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=2, help="processes, one a core")
    run(parser.parse_args().workers)

"""Does training use the freedom that its loss leaves? The study of chapter 11.

    python studies/losses.py          writes results/losses_lookup.csv, losses_towers.csv and losses_tied.csv

Each row is a recipe and a seed, which draws a truth and all starts. Where a cell holds several numbers, they are those
of the starts, in the order of the training. Goes on where it was interrupted (finished trainings wait in
_build/studies). The same seeds give the same tables, but for what a processor rounds otherwise: along a direction in
which the loss is flat, that may show. About half an hour on one core.
"""

import argparse
from dataclasses import asdict

from deep import write
from losses_jobs import TRUE_SCALE, Encoders, Lookup, lookup, tied, towers
from stored import all_results

SEEDS = range(10)
CLIP = 1 / 0.07  # where CLIP's scale starts
FAR = 30.0

LOOKUPS = [
    *(Lookup(loss=loss, scale=scale) for loss in ("symmetric", "one-sided") for scale in (TRUE_SCALE, 7.0, 9.0)),
    *(Lookup(scale=scale, optimizer="adam") for scale in (TRUE_SCALE, 9.0)),
    *(
        Lookup(scale=scale, learn_scale=True, optimizer=optimizer)
        for optimizer in ("l-bfgs", "adam")
        for scale in (1.0, CLIP, FAR)
    ),
    *(Lookup(k=5, scale=CLIP, learn_scale=True, optimizer=optimizer) for optimizer in ("l-bfgs", "adam")),
    Lookup(k=5, unit=False, scale=1.0),
    Lookup(truth="lengths", scale=1.0, learn_scale=True),
    Lookup(truth="lengths", scale=CLIP, learn_scale=True, optimizer="adam"),
]
TOWERS = [
    *(Encoders(unit=False, loss=loss, decay=decay) for loss in ("symmetric", "one-sided") for decay in (0.0, 0.1)),
    *(Encoders(decay=decay) for decay in (0.0, 0.1)),
    Encoders(loss="one-sided"),
    Encoders(k=16, scale=12.0),
]
TIED = [
    *(Encoders(tied=True, true_k=7, true_scale=20.0, scale=scale) for scale in (20.0, 28.0, 40.0, 80.0)),
    Encoders(tied=True, true_k=7, true_scale=20.0, k=7, scale=80.0),
]
TABLES = {
    "losses_lookup.csv": (lookup, LOOKUPS, ("truth", "k", "loss", "unit", "scale", "learn_scale", "optimizer")),
    "losses_towers.csv": (towers, TOWERS, ("k", "loss", "unit", "scale", "decay")),
    "losses_tied.csv": (tied, TIED, ("k", "scale")),
}
SMALL = ("excess", "gradient")  # numbers that are written with their power of ten


def rows_of(name, workers):
    """The header and the rows of one table."""
    task, recipes, shown = TABLES[name]
    cells = [(recipe, seed) for recipe in recipes for seed in SEEDS]
    results = all_results([(task, *cell) for cell in cells], workers)
    header = ("recipe", *shown, "seed", *("final scale" if one == "scale" else one for one in results[0]))
    rows = []
    for (recipe, seed), result in zip(cells, results):
        settings = [written(one, asdict(recipe)[one]) for one in shown]
        numbers = [written(one, value) for one, value in result.items()]
        rows.append((recipes.index(recipe), *settings, seed, *numbers))
    return header, rows


def written(name, value):
    """A cell: numbers of several starts with spaces between them."""
    if isinstance(value, (list, tuple)):
        return " ".join(written(name, one) for one in value)
    if isinstance(value, float):
        return f"{value:.1e}" if name in SMALL else f"{value:.4f}"
    return "" if value is None else str(value)


def run(workers):
    for name in TABLES:
        write(name, *rows_of(name, workers))
        print(f"written: {name}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=2, help="processes, one a core")
    run(parser.parse_args().workers)

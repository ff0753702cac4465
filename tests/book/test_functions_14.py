"""Functions that chapter 14 shows: they hold for other numbers than those that its cells give them."""

import json
from pathlib import Path

import numpy as np
import pytest

NOTEBOOK = Path(__file__).parents[2] / "book" / "14_beyond_one_machine.ipynb"


def defined_by(number):
    """The names that a cell of functions leaves; of all else it needs NumPy alone."""
    stored = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    [source] = ["".join(cell["source"]) for cell in stored["cells"] if cell["id"] == f"14-scale-{number}"]
    names = {"np": np}
    exec(source.split("\n\nw = ")[0], names)
    return names


@pytest.mark.parametrize("seed", range(10))
def test_an_alias_table_of_any_weights(seed):
    """Each item gets its weight, whatever the weights add up to, and no share leaves 0 to 1."""
    rng = np.random.default_rng(seed)
    for w in (rng.random(40) ** 6, 7.0 * rng.random(9), np.arange(1.0, 200) ** -1.5, np.array([0.02, 3.0, 0.0]), [2.0]):
        w = np.asarray(w)
        share, alias = defined_by("43")["alias_table"](w)
        assert share.min() >= -1e-12 and share.max() <= 1 + 1e-12
        chance = [0.0] * w.size
        for column in range(w.size):  # each column is drawn as often
            chance[column] += share[column] / w.size
            chance[alias[column]] += (1 - share[column]) / w.size
        np.testing.assert_allclose(chance, w / sum(w.tolist()), atol=1e-12)


def test_what_is_read_beyond_the_cache_is_added_up_step_by_step():
    beyond_cache = defined_by("35")["beyond_cache"]
    for n_items, cache in ((7, 0), (7, 200), (7, 391), (7, 392), (300, 2_000)):
        read = 0
        for left in range(n_items, 0, -1):  # each step reads what is left of S: left² numbers of 8 bytes
            read += max(8 * left * left - cache, 0)
        assert beyond_cache(n_items, cache) == read


def test_the_work_of_each_step():
    work = defined_by("35")["work"]
    row = {"n_users": 11, "n_items": 5, "nonzeros": 23, "directions": 3, "passes": 4}
    of_task = {
        task: work(row | {"task": task}, 48) for task in ("simulation", "Gram", "eigenpairs", "slider", "Krylov")
    }
    left = sum(max(8 * m * m - 48, 0) for m in (1, 2, 3, 4, 5))
    outside = 1 - 48 / (8 * 5 * 3)  # share of Q, of 5 × 3 numbers, that the cache does not hold
    columns = 12  # three in each of four passes
    assert of_task == {
        "simulation": (1, 11, 55),
        "Gram": (55, 275),
        "eigenpairs": (25, 125, left),
        "slider": (5, 25),
        "Krylov": (276, 276 * outside, 5 * columns * columns, columns * columns * columns),
    }
    assert work(row | {"task": "Krylov"}, 10**6)[1] == 0  # all of Q fits
    assert work(row | {"task": "slider", "n_users": ""}, 0) == (5, 25)

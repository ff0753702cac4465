"""studies/scale.py: its tables belong to the code, and what chapter 14 and the ledger say of them is so."""

import csv
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import scale as study
import scale_jobs
import scipy.optimize
from oracles import cosine_by_loops

import cossim_helpers as ch

RESULTS = Path(__file__).parents[2] / "studies" / "results"
DIGITS = 6e-5  # the tables hold four decimals


@cache
def table(name):
    with (RESULTS / f"scale_{name}.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def column(name, **keys):
    """One number a seed."""
    rows = [row for row in table("figure") if all(row[key] == str(value) for key, value in keys.items())]
    assert [row["seed"] for row in rows] == [str(seed) for seed in study.SEEDS]
    return np.array([float(row[name]) for row in rows])


def same(row, stored, free=()):
    assert list(row) == list(stored)
    for key, value in row.items():
        if key not in free:
            expected = stored[key] if isinstance(value, str) else float(stored[key])
            assert value == (expected if isinstance(value, str) else pytest.approx(expected, abs=DIGITS)), key


# --- the tables are what the code computes ---


def test_every_computation_once():
    assert [(int(row["n_users"]), int(row["rows"])) for row in table("users")] == [
        (n_users, rows) for n_users, _, rows in study.users_cells()
    ]
    assert len(table("spectra")) == (len(study.FIGURE_USERS) + 1) * len(study.SEEDS)
    assert [
        (float(r["alpha"]), int(r["n_users"]), int(r["seed"])) for r in table("unrelated")
    ] == study.unrelated_cells()
    roles = {(row["task"], row["role"]) for row in table("costs")}
    assert roles == {(task, role) for task, (_, sizes) in study.COSTS.items() for role in sizes}


@pytest.mark.claim("scale-memory")
def test_rows_of_the_users():
    """The same data in other blocks: the same counts, to the bit, and what does not fit does not matter."""
    small = [row for row in table("users") if row["n_users"] == "20000"]
    assert len(small) == 3
    assert len({(row["nonzeros"], row["crc"]) for row in small}) == 1
    found = scale_jobs.by_blocks(20_000, 200, 10_000)
    measured = ("data_mb", "peak_mb", "start_mb", "simulate_s", "gram_s", "pairs_s")
    same(found, small[0], free=measured)
    largest = table("users")[3]
    assert largest["n_users"] == "10000000"
    assert float(largest["data_mb"]) == pytest.approx(12e-6 * int(largest["nonzeros"]) + 40, abs=0.01)
    assert float(largest["peak_mb"]) < float(largest["data_mb"]) / 10


def test_rows_of_the_figure():
    found = scale_jobs.figure_1(3, 2_000)
    stored = [row for row in table("figure") if (row["seed"], row["n_users"]) == ("3", "2000")]
    for row, expected in zip(found["models"], stored, strict=True):
        same(row, expected)
    [expected] = [row for row in table("spectra") if (row["seed"], row["n_users"]) == ("3", "2000")]
    same(found["data"], expected)


def test_a_row_of_the_unrelated():
    [stored] = [
        row for row in table("unrelated") if (row["alpha"], row["n_users"], row["seed"]) == ("1.0000", "2000", "4")
    ]
    same(scale_jobs.unrelated(1.0, 2_000, 4), stored)


def test_the_figure_agrees_with_the_book():
    """Seed 0 with 20,000 users is the data set of chapter 6."""
    top = ch.spectrum(ch.simulate_interactions(rng=0).X, 50)
    cosine = ch.item_item_cosine(ch.solve_factor_penalty(top, 100.0))
    cluster = ch.simulate_interactions(1, rng=0).item_cluster
    within, between = ch.mean_cosine(cosine, cluster)
    for model in ("Eq. 2", "Eq. 2 as printed"):
        assert column("within", model=model, n_users=20_000)[0] == pytest.approx(within, abs=DIGITS)
        assert column("between", model=model, n_users=20_000)[0] == pytest.approx(between, abs=DIGITS)


# --- its pieces, against computations of another kind ---


def test_the_models_by_loops():
    data = ch.simulate_interactions(1_500, 60, 3, max_activity=15, rng=5)
    counts = (data.X.T @ data.X).toarray()
    top = ch.spectrum(data.X, 12)
    found = scale_jobs.models(counts, top, 5_000)  # cut at 50
    assert found["data"] == pytest.approx(np.array(cosine_by_loops(data.X.toarray().T, data.X.toarray().T)), abs=1e-12)
    for name, penalty in (("Eq. 2", 50.0), ("Eq. 2 as printed", 100.0)):
        B = ch.solve_factor_penalty(top, penalty).B
        assert found[name] == pytest.approx(np.array(cosine_by_loops(B, B)), abs=1e-9)
    fit = ch.solve_product_penalty(top, 50.0**2)
    assert found["Eq. 5"] == pytest.approx(np.array(cosine_by_loops(fit.B, fit.B)), abs=1e-9)


def test_a_checksum_sees_one_bit():
    counts = np.arange(12.0).reshape(3, 4)
    other = counts.copy()
    other[2, 1] += 1
    assert scale_jobs.checksum(counts) != scale_jobs.checksum(other)
    assert scale_jobs.checksum(counts) == scale_jobs.checksum(np.asfortranarray(counts))
    with pytest.raises(ValueError, match="whole"):
        scale_jobs.checksum(counts + 0.5)


def test_memory_is_measured():
    before = scale_jobs.memory_peak()
    block = np.ones(10_000_000)  # 80 MB
    assert scale_jobs.memory_peak() >= max(before, block.nbytes / 1e6)


# --- what the chapter and the ledger count ---


@pytest.mark.claim("scale-converges")
def test_how_the_halves_come_together():
    def fall(model):
        return column("halves", model=model, n_users=20_000) / column("halves", model=model, n_users=200_000)

    for model in ("data", "V_6", "Eq. 2"):
        assert fall(model).min() > 2.9
        assert fall(model).max() < 3.5
    assert fall("V_50").max() < 2.1


@pytest.mark.claim("scale-stays")
def test_what_stays():
    for name in ("between", "distance"):
        at = {n: column(name, model="Eq. 2", n_users=n) for n in (20_000, 200_000, "limit")}
        assert abs(at[200_000] - at[20_000]).max() < 0.02
        assert abs(at[200_000] - at["limit"]).max() < 0.02
    fixed = [column("between", model="Eq. 2 as printed", n_users=n) for n in (20_000, 200_000)]
    assert (fixed[1] < fixed[0] - 0.1).all()


@pytest.mark.claim("scale-unrelated")
def test_the_moments_of_unrelated_clusters():
    for alpha in study.ALPHAS:
        rows = [row for row in table("unrelated") if float(row["alpha"]) == alpha and row["n_users"] == "20000"]
        off = [float(row["cosine"]) - alpha / (alpha + 1) for row in rows]
        assert len(off) == 10
        assert np.sqrt(np.mean(np.square(off))) < 0.02


@pytest.mark.claim("scale-cost")
def test_the_prices_predict_what_they_have_not_seen():
    """Another solver for the same fit: bounded least squares. No row that it is judged on takes part in it."""

    def amounts(row):
        n, p, m = (float(row[name] or 0) for name in ("n_users", "n_items", "passes"))
        width, pairs = float(row["directions"] or 0), float(row["nonzeros"] or 0)
        return {
            "simulation": (1.0, n, n * p),
            "Gram": (n * p, n * p**2),
            "eigenpairs": (p**2, p**3),
            "slider": (p, p**2),
            "Krylov": (pairs * width * m, p * (width * m) ** 2, (width * m) ** 3),
        }[row["task"]]

    for task in set(study.COSTS) - {"alias"}:
        rows = [row for row in table("costs") if row["task"] == task]
        work = np.array([amounts(row) for row in rows])
        seconds = np.array([float(row["seconds"]) for row in rows])
        seen = np.array([row["role"] == "fit" for row in rows])
        relative = work / seconds[:, None]
        scale = relative[seen].max(axis=0)
        prices = scipy.optimize.lsq_linear(relative[seen] / scale, np.ones(seen.sum()), (0, np.inf)).x / scale
        off = relative @ prices - 1
        if task != "eigenpairs":  # which need the cache: without it they are far off beyond it
            assert abs(off[~seen]).max() < 0.6, task

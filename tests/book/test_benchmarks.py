"""The page of benchmarks: its tables are the stored ones, and what it says of who wins is what they hold."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import timings
from markdown_it.common.utils import unescapeAll

from benchmarks.measure import interleaved, row
from benchmarks.peers import FAST, LARGEST_GRAM, NEEDS, OURS, PEERS, objective_gap, projector_error, why_not
from cossim_helpers import (
    Factors,
    factor_penalty_objective,
    minimize_factor_penalty,
    product_penalty_objective,
    solve_product_penalty,
    spectrum,
)

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "book" / "benchmarks.md").read_text(encoding="utf-8")
SPECTRA, SIMULATION = (timings.read(ROOT, table) for table in ("spectra.csv", "simulation.csv"))
EXACT = [OURS, "SciPy svds, ARPACK", "SciPy svds, PROPACK", "full SVD (LAPACK)"]
APPROXIMATE = ["scikit-learn randomized_svd", "scikit-learn TruncatedSVD", "torch svd_lowrank", "Dask svd_compressed"]
OPTIMIZERS = ["L-BFGS on Eq. 1", "Adam on Eq. 1", "implicit ALS"]
RUN = [one for one in SPECTRA if not one["note"]]


def groups(rows):
    found = {}
    for one in rows:
        found.setdefault((one["data"], one["threads"], one["kernel"]), []).append(one)
    return found


# --- the tables ---


def test_every_peer_is_run_or_the_table_says_why_not():
    assert {data for data, *_ in groups(SPECTRA)} == {"paper", "items", "many items", "users", "dense"}
    assert {EXACT[0], *EXACT[1:], *APPROXIMATE, *OPTIMIZERS} == set(PEERS)
    complete = set()
    for (data, *_), rows in groups(SPECTRA).items():
        methods = [one["method"] for one in rows]
        assert methods in ([*PEERS], [*FAST]), data
        complete |= {data} if methods == [*PEERS] else set()
        assert all(one["note"].startswith("not run: ") or float(one["cpu"]) > 0 for one in rows)
    assert complete == {data for data, *_ in groups(SPECTRA)}
    kernels = {kernel for data, threads, kernel in groups(SPECTRA) if (data, threads) == ("paper", "1")}
    assert len(kernels) >= 2 and {threads for data, threads, _ in groups(SPECTRA) if data == "paper"} == {"1", "2"}


@pytest.mark.parametrize("rows", [SPECTRA, SIMULATION], ids=["spectra", "simulation"])
def test_times_are_medians_with_their_spread_beside_ours(rows):
    for one in rows:
        if one["note"]:
            continue
        for clock in ("cpu", "wall", "cpu_ratio", "wall_ratio"):
            least, median, most = (float(one[name]) for name in (f"{clock}_least", clock, f"{clock}_most"))
            assert 0 < least <= median <= most, one
        if "ours" in one["method"]:
            assert one["cpu_ratio"] == one["wall_ratio"] == "1"
        assert int(one["runs"]) >= 1 and float(one["peak_mb"]) >= 0


def test_the_tables_name_no_machine():
    for one in [*SPECTRA, *SIMULATION]:
        words = {name for name, value in one.items() if not re.fullmatch(r"[\d.e+-]*", value)}
        assert words <= {"data", "kernel", "method", "note"}
        assert one["method"] in {*PEERS} or one in SIMULATION
        assert re.fullmatch(r"[A-Z]\w+", one["kernel"])


def test_the_page_shows_every_group_once():
    shown = re.findall(r"^```\{timings\} (\S+) (.+) (\d)\n```$", PAGE, re.MULTILINE)
    stored = {(name, data, threads) for name, rows in (("spectra.csv", SPECTRA), ("simulation.csv", SIMULATION))
              for data, threads, _ in groups(rows)}  # fmt: skip
    assert len(shown) == len(set(shown)) and set(shown) == stored


def test_a_table_holds_each_row_with_its_reason():
    for data, threads, _ in groups(SPECTRA):
        text = unescapeAll(timings.listed(ROOT, "spectra.csv", data, threads))
        for kernel, rows in timings.chosen(SPECTRA, data, threads).items():
            assert f"kernel: {kernel}." in text
            for one in rows:
                why = one["note"].removeprefix("not run: ")
                shown = rf"^Not run: .*{re.escape(one['method'])}[^()]*( \(LAPACK\))?[^()]* \({re.escape(why)}\)"
                assert re.search(shown if why else rf"^\* - {re.escape(one['method'])}$", text, re.MULTILINE), one
    assert timings.listed(ROOT, "spectra.csv", "paper", "64") == ""


def test_numbers_of_the_tables_are_readable():
    assert [timings.seconds(text) for text in ("0.123", "9.99", "12.3")] == ["0.12", "9.99", "12"]
    assert [timings.power(text) for text in ("-1e-16", "0", "0.997", "0.00312", "2e-13")] == [
        *("0", "0", "1.00", "$10^{-3}$", "$10^{-13}$")
    ]


def a_row(**other):
    """A row whose numbers all differ, so that no column can stand in for another."""
    clocks = {"cpu": 2.5, "cpu_ratio": 3.1, "wall": 40.4, "wall_ratio": 5.2}
    numbers = {key: f"{value}" for key, value in clocks.items()}
    numbers |= {f"{key}_{end}": f"{value * by:.4f}" for key, value in clocks.items()
                for end, by in (("least", 0.5), ("most", 6.0))}  # fmt: skip
    about = {"data": "one", "threads": "1", "kernel": "Zen", "note": "", "n": "12000", "p": "345", "nonzeros": "67890"}
    errors = {"projector_error": "0.25", "objective_gap": "2e-7"}
    return {**about, "k": "8", "method": "a method", "runs": "9", "peak_mb": "1234.4", **numbers, **errors, **other}


def test_each_number_of_a_row_stands_below_its_head():
    assert timings.cells(a_row()) == (
        *("a method", "2.50\xa0(1.25\N{EN DASH}15)", "3.1", "5.2", "1234\xa0MB", "0.25", "$10^{-7}$"),
    )
    assert timings.cells(a_row(runs="1", projector_error="", objective_gap=""))[1:] == (
        *("2.50\xa0(once)", "3.1", "5.2", "1234\xa0MB"),
    )
    heads = ("Method", "CPU seconds", "CPU, ×\xa0ours", "wall, ×\xa0ours", "Memory", "Projector", "Missed")
    assert heads == timings.HEADS and timings.ERRORS == ("projector_error", "objective_gap")


def test_a_table_says_of_what_it_is_and_has_as_many_heads_as_cells(tmp_path):
    folder = tmp_path / timings.RESULTS
    folder.mkdir(parents=True)

    def table(*rows):
        lines = [",".join(rows[0]), *(",".join(one.values()) for one in rows)]
        (folder / "some.csv").write_text("\n".join(lines), encoding="utf-8")
        return unescapeAll(timings.listed(tmp_path, "some.csv", "one", "1"))

    judged, plain = table(a_row(), a_row(threads="2")), table(a_row(projector_error="", objective_gap=""))
    assert "12,000 × 345, 67,890 numbers, k = 8. Threads: 1. OpenBLAS kernel: Zen." in judged
    for text, columns in ((judged, 7), (plain, 5)):
        assert len(re.findall(r"^\* - ", text, re.MULTILINE)) == 2
        assert len(re.findall(r"^  - ", text, re.MULTILINE)) == 2 * (columns - 1)


def test_numbers_at_the_edges_of_their_forms():
    assert [timings.seconds(text) for text in ("9.994", "10", "99.6", "0.04")] == ["9.99", "10", "100", "0.04"]
    powers = [timings.power(text) for text in ("0.01", "0.00999", "0.002", "4e-9", "2e-9", "1e-300")]
    assert powers == ["0.01", *(f"$10^{{-{n}}}$" for n in (2, 3, 8, 9, 300))]


# --- what the page says of who wins ---


def test_exact_is_exact_and_approximate_misses_a_direction():
    for one in RUN:
        error, gap = float(one["projector_error"]), float(one["objective_gap"])
        if one["method"] in EXACT:
            assert error < 1e-6 and abs(gap) < 1e-9, one
        elif one["method"] in APPROXIMATE:
            assert error > 0.01 and gap < 0.1, one


def test_optimizers_take_longer_and_stop_before_the_minimum():
    rows = [one for one in RUN if one["method"] in OPTIMIZERS]
    assert {one["method"] for one in rows} == set(OPTIMIZERS)
    assert all(float(one["cpu_ratio"]) > 1 and float(one["objective_gap"]) > 1e-9 for one in rows)


def test_exact_peers_come_near_only_where_there_are_many_items():
    rows = [one for one in RUN if one["method"] in EXACT[1:] and one["threads"] == "1"]
    few, many = ([one for one in rows if (int(one["p"]) > 1_000) == above] for above in (False, True))
    assert len(few) >= 8 and all(float(one["cpu_ratio"]) > 5 for one in few)
    assert len(many) >= 4 and all(float(one["cpu_ratio_least"]) > 1 for one in many)  # in each round
    near = [float(one["cpu_ratio"]) for one in many if one["p"] == "5000"]
    assert len(near) == 2 and all(1.03 < ratio < 1.2 for ratio in near)  # "a few percent", "by little"


def test_two_threads_on_busy_cores_take_longer():
    ours = [one for one in RUN if one["data"] == "paper" and one["method"] == OURS]
    one, two = (next(row for row in ours if row["threads"] == threads) for threads in "12")
    assert float(two["cpu"]) > 2 * float(one["cpu"]) and float(two["wall"]) > 2 * float(one["wall"])


def test_where_we_lose():
    lost = {}
    for one in RUN:
        if float(one["cpu_ratio"]) < 1:
            lost.setdefault(one["data"], set()).add(one["method"])
    of_many = {"scikit-learn randomized_svd", "scikit-learn TruncatedSVD", "torch svd_lowrank"}
    assert lost == {"items": of_many, "many items": of_many, "dense": {"Dask svd_compressed"}}
    memory = {one["method"]: float(one["peak_mb"]) for one in RUN if one["data"] == "many items"}
    assert memory["SciPy svds, ARPACK"] < memory[OURS]


def test_the_simulation_is_faster_than_both_loops():
    rows = [one for one in SIMULATION if "ours" not in one["method"]]
    assert len(rows) == 6 and all(float(one["cpu_ratio"]) > 1 for one in rows)
    paper = [float(one["cpu_ratio"]) for one in rows if one["data"] == "paper" and "choice" in one["method"]]
    assert min(paper) > 3


# --- what measures ---


def test_errors_against_the_objectives_of_the_book():
    rng = np.random.default_rng(0)
    X, k, lam = (rng.random((40, 12)) < 0.4).astype(float), 4, 3.0
    exact = spectrum(X)
    best = product_penalty_objective(X, solve_product_penalty(exact, lam, k), lam)
    factors = Factors(*(0.3 * rng.standard_normal((2, 12, k))))
    gap = objective_gap(("Eq. 1", factors.A, factors.B), X, k, lam, exact.sigma[:k])
    missed = (product_penalty_objective(X, factors, lam) - best) / (np.sum(X**2) - best)
    assert gap == pytest.approx(missed, rel=1e-10)
    assert objective_gap(("V", exact.V[:, :k]), sp.csr_array(X), k, lam, exact.sigma[:k]) == pytest.approx(0, abs=1e-12)
    weight = np.sqrt(lam) / 2
    end = minimize_factor_penalty(X, weight, k, rng=0)
    for scale in (1.0, 0.7):
        worse = Factors(scale * end.A, end.B)
        best = factor_penalty_objective(X, end, weight)
        missed = (factor_penalty_objective(X, worse, weight) - best) / (np.sum(X**2) - best)
        gap = objective_gap(("Eq. 2", X @ worse.A, worse.B), X, k, lam, exact.sigma[:k])
        assert gap == pytest.approx(missed, abs=1e-7)
    V = exact.V
    assert projector_error(("V", V[:, :k] @ rng.standard_normal((k, k))), V[:, :k]) < 1e-12
    assert projector_error(("V", V[:, [0, 1, 2, 5]]), V[:, :k]) == pytest.approx(1)


@pytest.mark.parametrize("name", [name for name in PEERS if name not in NEEDS])
def test_peers_do_what_their_name_says(name):
    pytest.importorskip("sklearn")
    X = sp.csr_array((np.random.default_rng(1).random((60, 9)) < 0.5).astype(float))
    exact = spectrum(X)
    found = PEERS[name](X, 2, float(exact.sigma[1] ** 2))
    assert found[-1].shape == (9, 2)
    assert objective_gap(found, X, 2, float(exact.sigma[1] ** 2), exact.sigma[:2]) < 1e-3


def test_a_peer_that_is_left_out_says_why(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert why_not("torch svd_lowrank", 10, 10, True) == "not run: torch is not installed"
    assert why_not("Adam on Eq. 1", 10, LARGEST_GRAM, True) == ""
    assert why_not("Adam on Eq. 1", 10, LARGEST_GRAM + 1, True).startswith("not run: ")
    assert all(why_not(OURS, n, p, sparse) == "" for n in (1, 10**9) for p in (1, 10**6) for sparse in (True, False))


def test_calls_alternate_each_in_its_own_process(tmp_path):
    pytest.importorskip("threadpoolctl")
    script = tmp_path / "work.py"
    script.write_text(
        "import os, sys, time\nfrom pathlib import Path\nfrom benchmarks.measure import serve\n"
        "def call():\n"
        "    with (Path(__file__).parent / 'calls').open('a') as file:\n"
        "        file.write(f\"{sys.argv[1]} {os.getpid()} {os.environ['OMP_NUM_THREADS']}\\n\")\n"
        "    return b'x' * (int(sys.argv[2]) << 20)\n"
        "serve(call, lambda found: {'projector_error': len(found) >> 20})\n",
        encoding="utf-8",
    )
    commands = {"a": [str(script), "a", "1"], "b": [str(script), "b", "300"]}
    reports = interleaved(commands, 3, 2, "Haswell")
    calls = [line.split() for line in (tmp_path / "calls").read_text(encoding="utf-8").splitlines()]
    assert [name for name, *_ in calls] == ["a", "b", "b", "a", "a", "b"]
    assert len({pid for _, pid, _ in calls}) == 2 and {threads for *_, threads in calls} == {"2"}
    assert sys.executable and [report["round"] for report in reports["a"]] == [0, 1, 2]
    found = row(reports["b"], reports["a"])
    assert found["runs"] == 3 and found["projector_error"] == 300
    assert 290 < found["peak_mb"] - row(reports["a"], reports["a"])["peak_mb"] < 320

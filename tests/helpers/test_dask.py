"""Dask arrays give what the whole matrix gives, on each scheduler, and when a worker dies.

These tests need the packages of requirements-dask.txt, as `make test` installs them. Without them they fail: nothing is
skipped.
"""

import inspect
import logging
import os
import signal
import subprocess
import sys

import dask
import dask.array as da
import numpy as np
import pytest
import scipy.sparse as sp
from distributed import Client, LocalCluster
from hypothesis import given
from hypothesis import strategies as st
from instances import INSTANCES, with_singular_values
from strategies import matrices

import cossim_helpers
from cossim_helpers import (
    KrylovSpectrum,
    NotSettled,
    Recipe,
    Spectrum,
    gram,
    krylov_spectrum,
    simulate_interactions,
    solve_product_penalty,
    spectra,
    spectrum,
)

# Some tests choose a scheduler of their own while the cluster is there. Dask 2024.12 asks whether that is meant: it is.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Running on a single-machine scheduler when a distributed client:UserWarning"
)


@pytest.fixture(scope="module")
def cluster():
    """Two processes with one thread each."""
    quiet = {"silence_logs": logging.CRITICAL, "dashboard_address": ":0"}
    with LocalCluster(n_workers=2, threads_per_worker=1, **quiet) as two, Client(two) as client:
        yield client


@pytest.fixture(params=["synchronous", "threads"])
def scheduler(request):
    with dask.config.set(scheduler=request.param):
        yield


@pytest.fixture(params=INSTANCES)
def X(request):
    return INSTANCES[request.param]


def in_blocks(X, rows, form=np.asarray):
    return da.from_array(X, chunks=(rows, -1)).map_blocks(form, dtype=X.dtype)


def assert_same(found, X):
    """The singular values, and the projectors wherever the gap after them leaves them no choice."""
    expected, k = spectrum(X), found.sigma.size
    np.testing.assert_allclose(found.sigma, expected.sigma[:k], rtol=1e-8, atol=0)
    squares = np.append(expected.sigma**2, 0.0)
    for j in np.flatnonzero(squares[:k] - squares[1 : k + 1] > 1e-6 * squares[0]):
        projectors = (V[:, : j + 1] @ V[:, : j + 1].T for V in (found.V, expected.V))
        np.testing.assert_allclose(*projectors, atol=1e-8)


# --- the same spectrum, whatever the blocks ---


@pytest.mark.parametrize("rows", [1, 4, (1, 0, 2, 0), -1])
@pytest.mark.parametrize("form", [np.asarray, sp.csr_array, sp.csr_matrix])
def test_the_spectrum_is_that_of_the_whole(X, rows, form):
    if isinstance(rows, tuple):
        rows = (*rows, len(X) - 3) if len(X) > 3 else (0, len(X), 0)
    with dask.config.set(scheduler="synchronous"):
        for k in {1, min(X.shape)}:
            found = spectrum(in_blocks(X, rows, form), k)
            assert type(found) is Spectrum
            assert_same(found, X)
        empty = ~X.any(axis=0)
        np.testing.assert_array_equal(found.V[empty][:, found.sigma > 0], 0.0)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.int64, np.float32, np.float64])
@pytest.mark.parametrize("form", [np.asarray, sp.csr_array, sp.csr_matrix])
def test_counts_add_up_exactly(scheduler, dtype, form):
    counts = np.random.default_rng(3).integers(0, 2 if dtype is bool else 90, (41, 7)).astype(dtype)
    exact = counts.astype(object).T @ counts.astype(object)
    for rows in (1, 10, -1):
        np.testing.assert_array_equal(gram(in_blocks(counts, rows, form)), exact.astype(float))


@pytest.mark.parametrize(
    "sigma",
    [np.logspace(0, -7, 12), np.logspace(0, -4.5, 12), np.r_[8.0, 4, 2, 1, np.zeros(8)], np.logspace(0, -3, 12)],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_small_values_are_told_from_zero(sigma, dtype):
    """XᵀX drowns them in the rounding of σ_1²; the triangle of X does not."""
    X = with_singular_values(sigma, 50, 1).astype(dtype)
    expected = np.linalg.svd(X.astype(float))[1]
    with dask.config.set(scheduler="synchronous"):
        for rows in (3, 20, -1):
            found = spectrum(in_blocks(X, rows)).sigma
            np.testing.assert_allclose(found, np.where(expected > 1e-14, expected, 0), rtol=1e-8, atol=0)
            few_users = spectrum(in_blocks(X.T, rows)).sigma
            np.testing.assert_allclose(few_users, found, rtol=1e-8, atol=0)


def test_zeros_of_several_components_are_all_told(scheduler):
    """One that proves to be zero makes room among the top k for another, which has to be told from zero, too."""
    for seed in range(25):
        X = (np.random.default_rng(seed).random((14, 36)) < 0.05) * 1.0
        rank = np.linalg.matrix_rank(X)
        found = spectrum(in_blocks(X, 5), min(rank + 1, 14)).sigma
        np.testing.assert_allclose(found, np.linalg.svd(X)[1][: found.size], atol=1e-13)


def test_a_community_that_is_rounding_of_another_is_zero(scheduler):
    rng = np.random.default_rng(8)
    X = np.zeros((12, 7))
    X[:6, :4], X[6:, 4:] = rng.random((6, 4)), 1e-17 * rng.random((6, 3))
    found = spectrum(in_blocks(X, 5)).sigma
    np.testing.assert_array_equal(found[4:], 0.0)
    np.testing.assert_allclose(found[:4], np.linalg.svd(X[:6, :4])[1], rtol=1e-10)


def test_communities_keep_their_zeros(scheduler):
    X = INSTANCES["disconnected"]
    found, expected = (spectrum(one) for one in (in_blocks(X, 5), X))
    np.testing.assert_array_equal((found.V == 0)[:, found.sigma > 0], (expected.V == 0)[:, expected.sigma > 0])


def test_an_unknown_number_of_rows(scheduler):
    X = INSTANCES["tall"]
    some = in_blocks(X, 4)[da.from_array(X[:, 0] > 0, chunks=4)]
    assert np.isnan(some.shape[0])
    assert_same(spectrum(some), X[X[:, 0] > 0])
    few = in_blocks(X, 4)[da.from_array(np.arange(30) < 3, chunks=4)]
    assert spectrum(few).sigma.size == 3
    with pytest.raises(ValueError, match=r"k takes an integer from 1 to 3 \(min\(n, p\)\), got 4"):
        spectrum(few, 4)


def test_lazy_blocks_of_a_function(scheduler):
    data = simulate_interactions(700, 30, 3, rng=2).X
    lazy = da.map_blocks(
        lambda block_id: data[100 * block_id[0] :][:100], chunks=((100,) * 7, (30,)), dtype=float, meta=np.empty((0, 0))
    )
    assert_same(spectrum(lazy, 5), data)
    assert_same(krylov_spectrum(lazy, 5), data)


@given(matrices(), st.integers(1, 4))
def test_the_spectrum_of_whatever_is_drawn(X, rows):
    lazy = in_blocks(X, rows)
    with dask.config.set(scheduler="synchronous"):
        sigma = np.linalg.svd(X, compute_uv=False)
        found = spectrum(lazy).sigma
        assert (abs(found - sigma) <= 1e-8 * sigma + 1e-14 * sigma[0]).all()
        np.testing.assert_allclose(gram(lazy), X.T @ X, rtol=0, atol=1e-14 * sigma[0] ** 2 * len(sigma))


# --- the block Krylov route ---


def test_many_items_take_the_krylov_route(scheduler, monkeypatch):
    data = simulate_interactions(900, 400, 4, rng=3).X
    lazy = in_blocks(data.toarray(), 100, sp.csr_array)
    monkeypatch.setattr(spectra, "GRAM_ITEMS", 399)
    found = spectrum(lazy, 4)
    assert isinstance(found, KrylovSpectrum) and found.error[-1] <= 1e-7
    assert_same(found, data)
    np.testing.assert_allclose(found.V, krylov_spectrum([data], 4).V, atol=1e-10)
    assert type(spectrum(lazy, 40)) is Spectrum  # a basis would be no smaller than XᵀX
    assert type(spectrum(lazy, 17)) is Spectrum  # 11 blocks of 17 + 20 vectors
    assert type(spectrum(lazy)) is Spectrum
    monkeypatch.setattr(spectra, "GRAM_ITEMS", 400)
    assert type(spectrum(lazy, 4)) is Spectrum


def test_the_krylov_route_says_when_it_did_not_settle(monkeypatch):
    monkeypatch.setattr(spectra, "GRAM_ITEMS", 100)
    flat = in_blocks(np.random.default_rng(0).standard_normal((900, 600)), 300)
    with dask.config.set(scheduler="synchronous"), pytest.raises(NotSettled, match="passes takes enough of them"):
        spectrum(flat, 3)


# --- a cluster of processes ---


def test_a_cluster_computes_the_same_bits(cluster):
    fractions = np.random.default_rng(4).random((300, 20))
    lazy = in_blocks(fractions, 30)
    there = spectrum(lazy, 5), gram(lazy), krylov_spectrum(lazy, 5)
    with dask.config.set(scheduler="synchronous"):
        here = spectrum(lazy, 5), gram(lazy), krylov_spectrum(lazy, 5)
    np.testing.assert_array_equal(there[1], here[1])
    for one, other in ((there[0], here[0]), (there[2], here[2])):
        np.testing.assert_array_equal(one.sigma, other.sigma)
        np.testing.assert_array_equal(one.V, other.V)


def test_what_is_wrong_in_a_block_is_said_by_the_cluster(cluster):
    wrong = np.ones((40, 3))
    wrong[33, 1] = np.nan
    with pytest.raises(ValueError, match="X takes finite numbers, got 1 NaN or infinite"):
        spectrum(in_blocks(wrong, 10))
    with pytest.raises(ValueError, match="blocks takes finite numbers, got 1 NaN or infinite"):
        krylov_spectrum(in_blocks(wrong, 10), 1)


def made_once(block_id, folder):
    """A block; each making leaves a line. The first who makes two of the same four dies of it.

    The four are not added up by then, so the part of the other one dies with him.
    """
    number, me, made = block_id[0], os.getpid(), os.path.join(folder, "made")
    with open(made, "a+", encoding="utf-8") as lines:
        lines.seek(0)
        others = [int(one) for one, maker in map(str.split, lines.read().splitlines()) if int(maker) == me]
        lines.write(f"{number} {me}\n")
    if any(one // 4 == number // 4 for one in others):
        try:
            with open(os.path.join(folder, "dead"), "x", encoding="utf-8") as name:
                name.write(str(me))
        except FileExistsError:
            pass
        else:
            os.kill(me, signal.SIGKILL)
    return np.random.default_rng(number).random((50, 12))


@pytest.mark.claim("scale-lost-worker")
@pytest.mark.parametrize("compute", [gram, lambda X: spectrum(X, 3).V, lambda X: krylov_spectrum(X, 3).V])
def test_a_worker_killed_in_the_middle_changes_no_bit(cluster, tmp_path, compute):
    shape = {"chunks": ((50,) * 16, (12,)), "dtype": float, "meta": np.empty((0, 0))}
    whole = np.concatenate([np.random.default_rng(number).random((50, 12)) for number in range(16)])
    cluster.wait_for_workers(2)
    before = set(cluster.run(os.getpid).values())
    found = compute(da.map_blocks(made_once, folder=str(tmp_path), **shape))
    made = [tuple(map(int, line.split())) for line in (tmp_path / "made").read_text(encoding="utf-8").splitlines()]
    dead = int((tmp_path / "dead").read_text(encoding="utf-8"))
    assert dead in before and dead not in set(cluster.run(os.getpid).values())
    lost = {number for number, pid in made if pid == dead}
    assert len(lost) >= 2 and lost <= {number for number, pid in made if pid != dead}  # all of it was computed again
    with dask.config.set(scheduler="synchronous"):
        np.testing.assert_array_equal(found, compute(da.from_array(whole, chunks=(50, -1))))


def peak():
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # MB on Linux


def test_workers_need_less_memory_than_the_data(cluster):
    def block(block_id):
        return np.random.default_rng(block_id[0]).random((5_000, 250))  # 10 MB

    lazy = da.map_blocks(block, chunks=((5_000,) * 30, (250,)), dtype=float, meta=np.empty((0, 0)))
    cluster.wait_for_workers(2)
    spectrum(lazy[:5_000], 2)  # what the libraries themselves take
    before = cluster.run(peak)
    spectrum(lazy, 2)
    krylov_spectrum(lazy, 2, passes=3, tolerance=1.0)
    after = cluster.run(peak)
    assert max(after[worker] - before[worker] for worker in before) < 100


# --- what takes no Dask array, and what is no good one ---


def never(block_id):
    raise AssertionError("computed")


def lazy_of(chunks, dtype=float):
    return da.map_blocks(never, chunks=chunks, dtype=dtype, meta=np.empty((0, 0), dtype))


ARRAY = {"X", "P", "Q", "M", "gram", "vectors", "E", "cosine", "cosine_a", "A", "B", "counts", "sigma"}
SMALL = INSTANCES["tall"]
KNOWN = {
    **{"factors": solve_product_penalty(spectrum(SMALL, 3), 0.5), "lam": 1.0, "k": 2, "rng": 0},
    **{"loss": "squared", "recipe": Recipe("linear", "none"), "epochs": (1,)},
}


def takers():
    """Each public function or class whose first argument is data."""
    for name in cossim_helpers.__all__:
        thing = getattr(cossim_helpers, name)
        if inspect.isfunction(thing) and name not in {"spectrum", "gram", "krylov_spectrum"}:
            needed = [p.name for p in inspect.signature(thing).parameters.values() if p.default is p.empty]
            if needed and needed[0] in ARRAY:
                yield name


@pytest.mark.parametrize("name", list(takers()))
def test_nothing_else_loads_a_dask_array(name):
    function = getattr(cossim_helpers, name)
    needed = [p.name for p in inspect.signature(function).parameters.values() if p.default is p.empty]
    lazy = lazy_of(((10,) * 3, (8,)))
    arguments = {argument: KNOWN.get(argument, lazy) for argument in needed}
    with pytest.raises(
        TypeError, match="takes an array in memory, got one of Dask: spectrum, gram and krylov_spectrum"
    ):
        function(**arguments)


def test_the_list_of_takers_is_not_empty():
    assert {"item_gram", "product_penalty_objective", "user_user_cosine", "cosine_similarity"} <= set(takers())


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (
            lazy_of(((4,), (3, 3))),
            ValueError,
            r"X takes a Dask array in blocks of whole rows, got 2 .* X.rechunk\({1: -1}",
        ),
        (lazy_of(((4,), (np.nan,))), ValueError, "X takes a Dask array with a known number of columns"),
        (lazy_of(((4,), (3,)), complex), TypeError, "X takes real numbers, got dtype complex128"),
        (lazy_of(((0,), (3,))), ValueError, r"X takes a non-empty 2-dimensional array, got shape \(0, 3\)"),
        (da.zeros(4), ValueError, r"X takes a non-empty 2-dimensional array, got shape \(4,\)"),
        (da.ma.masked_equal(da.ones((4, 3)), 0), TypeError, "X takes an array without a mask, got a masked one"),
        (da.ones((4, 3)) * np.inf, ValueError, "X takes finite numbers, got 12 NaN or infinite"),
        (da.ones((4, 3)) * 1e200, ValueError, r"X takes blocks whose largest entry .* got 1e\+200"),
        (dask.delayed(np.ones)((4, 3)), TypeError, "X takes an array in memory, got one of Dask"),
    ],
)
def test_bad_input_names_X(X, error, message):
    with dask.config.set(scheduler="synchronous"), pytest.raises(error, match=message):
        spectrum(X, 1)


@pytest.mark.parametrize(("k", "error"), [(0, ValueError), (4, ValueError), (1.5, TypeError), (True, TypeError)])
def test_a_bad_k_costs_no_pass(k, error):
    with pytest.raises(error, match="k takes an integer"):
        spectrum(lazy_of(((4,), (3,))), k)
    with pytest.raises(error, match="k takes an integer"):
        spectrum(lazy_of(((3,), (9,))), k)  # fewer users than items


def test_without_a_dask_array_dask_is_not_imported():
    code = (
        "import sys, numpy as np; from cossim_helpers import gram, krylov_spectrum, spectrum\n"
        "X = np.eye(3); spectrum(X), gram([X]), krylov_spectrum([X], 2)\n"
        "print([name for name in ('dask', 'distributed') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"

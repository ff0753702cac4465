"""Dask arrays, part by part, each in this thread: shapes, the tree of sums, and which values are doubtful."""

import sys

import dask
import dask.array as da
import numpy as np
import pytest

from cossim_helpers import KrylovSpectrum, Spectrum, _dask, spectra, spectrum

EPS = np.finfo(float).eps
WARNING = "distributed.admin.large-graph-warning-threshold"


@pytest.fixture(autouse=True)
def in_this_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


def rows(X, many=1):
    return da.from_array(np.asarray(X, float), chunks=(many, -1))


def test_what_is_a_dask_array(monkeypatch):
    assert _dask.is_dask_array(da.ones(3)) and not _dask.is_dask_array(np.ones(3))
    monkeypatch.delitem(sys.modules, "dask.array")
    assert _dask.is_dask_array(np.ones(3)) is False


def test_the_shape_is_of_whole_numbers():
    found = _dask.dask_shape("X", da.ones((5, 3), chunks=(2, -1)))
    assert found == (5, 3) and all(type(size) is int for size in found)
    found = _dask.dask_shape("X", lazy(((np.int64(2), np.int64(2)), (np.int64(3),))))
    assert found == (4, 3) and all(type(size) is int for size in found)
    unknown = da.ones((5, 1), chunks=(2, -1))
    assert _dask.dask_shape("X", unknown[unknown[:, 0] > 0]) == (None, 1)
    assert _dask.dask_shape("X", da.ones((1, 4), chunks=1, dtype=bool).rechunk({1: -1})) == (1, 4)


def lazy(chunks, dtype=float):
    """Nothing of it can be computed."""
    return da.map_blocks(lambda block_id: None, chunks=chunks, dtype=dtype, meta=np.empty((0,) * len(chunks), dtype))


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (lazy(((4,), (3,)), complex), TypeError, "^X takes real numbers, got dtype complex128$"),
        (lazy(((4,), (3,)), "U1"), TypeError, "^X takes real numbers, got dtype <U1$"),
        (lazy(((0,), (3,))), ValueError, r"^X takes a non-empty 2-dimensional array, got shape \(0, 3\)$"),
        (lazy(((4,), (0,))), ValueError, r"^X takes a non-empty 2-dimensional array, got shape \(4, 0\)$"),
        (lazy(((4,),)), ValueError, r"^X takes a non-empty 2-dimensional array, got shape \(4,\)$"),
        (lazy(((4,), (3,), (2,))), ValueError, r"^X takes a non-empty 2-dimensional array, got shape \(4, 3, 2\)$"),
        (lazy(((4,), (3, 3))), ValueError, r"^X takes .* whole rows, got 2 blocks .*: pass X\.rechunk\({1: -1}\)$"),
        (lazy(((4,), (np.nan,))), ValueError, "^X takes a Dask array with a known number of columns"),
    ],
)  # fmt: skip
def test_no_other_shape_is_taken(X, error, message):
    with pytest.raises(error, match=message):
        _dask.dask_shape("X", X)
    with pytest.raises(error, match=message):
        spectrum(X)


@pytest.mark.parametrize(
    ("blocks", "groups"), [(1, []), (2, [2]), (4, [4]), (5, [4, 1, 2]), (17, [4, 4, 4, 4, 1, 4, 1, 2])]
)
def test_a_task_adds_up_to_four_parts(blocks, groups, monkeypatch):
    made, add = [], _dask.added
    monkeypatch.setattr(_dask, "added", lambda parts: made.append(len(parts)) or add(parts))
    X = np.random.default_rng(0).integers(0, 9, (blocks, 3))
    n, gram = _dask.dask_gram("X", rows(X))
    assert n == blocks and sorted(made) == sorted(groups)
    np.testing.assert_array_equal(gram, X.T @ X)
    Q = np.random.default_rng(1).standard_normal((3, 2))
    n, image = _dask.dask_product("X", rows(X), Q)
    assert n == blocks
    np.testing.assert_allclose(image, X.T @ (X @ Q), rtol=1e-12)


@pytest.mark.parametrize("connected", [True, False])
def test_a_large_graph_is_no_warning_and_without_a_cluster_nothing_is_set(connected, monkeypatch):
    seen = []

    def look(parts):
        seen.append(dask.config.get(WARNING, "unset"))
        return parts[0]

    monkeypatch.setattr(_dask, "added", look)
    if connected:
        monkeypatch.setitem(sys.modules, "distributed", sys)
    else:
        monkeypatch.delitem(sys.modules, "distributed", raising=False)
    before = dask.config.get(WARNING, "unset")
    _dask.dask_gram("X", rows(np.eye(2)))
    assert seen == ["1 TiB" if connected else before] and before != "1 TiB"
    assert dask.config.get(WARNING, "unset") == before


@pytest.mark.parametrize(("shape", "k", "high"), [((5, 3), 4, 3), ((3, 5), 4, 3), ((5, 3), 0, 3), ((3, 5), 0, 3)])
@pytest.mark.parametrize("unknown", [False, True])
def test_k_is_from_1_to_the_smaller_side(shape, k, high, unknown):
    X = rows(np.arange(1.0, 1 + np.prod(shape)).reshape(shape))
    X = X[X[:, 0] > 0] if unknown else X
    if unknown and k == 0:
        high = shape[1]  # before a pass, as far as one knows
    with pytest.raises(ValueError, match=rf"^k takes an integer from 1 to {high} \(min\(n, p\)\), got {k}$"):
        spectrum(X, k)
    assert spectrum(X).sigma.size == 3 == spectrum(X, 3).sigma.size and spectrum(X, 1).sigma.size == 1


@pytest.mark.parametrize(("p", "k", "krylov"), [(232, 1, True), (231, 1, False), (243, 2, True), (242, 2, False)])
def test_block_krylov_needs_a_basis_that_is_smaller_than_the_gram_matrix(p, k, krylov, monkeypatch):
    """11 blocks of k + 20 vectors."""
    X = np.zeros((2, p))
    X[0, 0], X[1, 1] = 3.0, 2.0
    for most, chosen in ((p - 1, krylov), (p, False)):
        monkeypatch.setattr(spectra, "GRAM_ITEMS", most)
        found = spectrum(rows(X), k)
        assert type(found) is (KrylovSpectrum if chosen else Spectrum)
        np.testing.assert_allclose(found.sigma, [3.0, 2.0][:k])


@pytest.mark.parametrize(
    ("pieces", "k", "doubtful"),
    [
        ([[4.0, 1.0]], 2, set()),
        ([[4.0, 4.0 * 0.99e-5**0.5 * 0.99]], 2, {0}),
        ([[4.0, 4.0 * 1.01e-5**0.5]], 2, set()),
        ([[0.25, 0.25 * 1.01e-5**0.5]], 2, set()),
        ([[0.25, 0.25 * 0.99e-5**0.5]], 2, {0}),
        ([[4.0, 0.001]], 1, set()),  # not among the top
        ([[4.0, 0.001], [3.0, 2.0]], 3, set()),
        ([[4.0, 0.001], [3.0, 2.0]], 4, {0}),
        ([[4.0, 0.001, 0.0001], [3.0, 2.0]], 4, {0}),
        ([[3.0, 2.0], [4.0, 0.001]], 4, {1}),
        ([[3.0, 0.002], [4.0, 0.001]], 4, {0, 1}),
        ([[3.0, 0.002], [4.0, 0.001]], 3, {0}),
        ([[0.5, 0.0]], 3, {0}),
        ([[0.5]], 1, set()),
    ],
)
def test_doubtful_is_a_small_value_among_the_top(pieces, k, doubtful):
    assert _dask._doubtful([(None, np.array(own), None) for own in pieces], k) == doubtful


@pytest.mark.parametrize(("shape", "longest"), [((50, 3), 50), ((3, 50), 50)])
@pytest.mark.parametrize("scale", [1.0, 2.0**-20, 2.0**20])
def test_values_within_rounding_of_the_largest_are_zero(shape, longest, scale):
    for share, there in ((longest + 1, True), (longest, False), (longest - 1, False)):
        X = np.zeros(shape)
        X[0, 0], X[1, 1], X[2, 2] = scale, scale * share * EPS, scale / 2
        sigma = spectrum(rows(X, 50)).sigma
        np.testing.assert_array_equal(sigma, scale * np.array([1.0, 0.5, share * EPS * there]))


def test_the_triangle_is_made_once(monkeypatch):
    made, tree = [], _dask._tree
    monkeypatch.setattr(_dask, "_tree", lambda *a, **b: made.append(a[2].__name__) or tree(*a, **b))
    X = np.kron(np.eye(3), [[1.0, 1.0], [1.0, 1.0 + 1e-6]])
    sigma = np.sort(np.tile(np.linalg.svd(X[:2, :2])[1], 3))[::-1]
    np.testing.assert_allclose(spectrum(rows(X)).sigma, sigma, rtol=1e-8)
    assert made == ["gram_part", "triangle_part"]
    del made[:]
    spectrum(rows(X), 3)
    assert made == ["gram_part"]
    del made[:]
    rounds = iter([{0}, {0, 1, 2}, {0, 1, 2}])  # what turns out to be zero makes room for what was below it
    monkeypatch.setattr(_dask, "_doubtful", lambda *a: next(rounds))
    np.testing.assert_allclose(spectrum(rows(X)).sigma, sigma, rtol=1e-8)
    assert made == ["gram_part", "triangle_part"] and next(rounds, None) is None


def test_the_triangle_gives_all_k_values_of_its_piece():
    X = np.array([[1.0, 1.0], [1.0, 1.0 + 1e-6]])
    np.testing.assert_allclose(spectrum(rows(X), 2).sigma, np.linalg.svd(X)[1], rtol=1e-8)


def test_the_signs_are_those_of_every_spectrum():
    rng = np.random.default_rng(0)
    for X in rng.normal(size=(10, 5, 4)):
        np.testing.assert_allclose(spectrum(rows(X)).V, spectrum(X).V, atol=1e-10)

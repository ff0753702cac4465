"""Every route against a full SVD, on matrices that suit none of them."""

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse as sp
from instances import with_singular_values
from scipy.sparse.linalg import svds

from cossim_helpers import (
    Spectrum,
    _gram,
    item_gram,
    krylov_spectrum,
    simulate_interactions,
    spectra,
    spectrum,
    spectrum_from_gram,
)
from cossim_helpers import _routes as routes


def hostile_matrices():
    rng = np.random.default_rng(3)
    dense_row = np.zeros((80, 30))
    dense_row[17] = rng.standard_normal(30)
    one_column = np.zeros((60, 25))
    one_column[:, 9] = rng.standard_normal(60) * 1e3
    one_heavy_column = (rng.random((60, 25)) < 0.1) * 1.0
    one_heavy_column[:, 9] *= 1e4
    wide = (rng.random((40, 300)) < 0.05).astype(float)
    return {
        "one dense row": dense_row,
        "all mass in one column": one_column,
        "most mass in one column": one_heavy_column,
        "condition number 1e7": with_singular_values(np.logspace(0, -7, 30), 90, 1),
        "rank 4 of 20": with_singular_values(np.r_[8.0, 4, 2, 1, np.zeros(16)], 50, 2),
        "one item": rng.standard_normal((40, 1)),
        "one user": rng.standard_normal((1, 40)),
        "very sparse": sp.random_array((500, 200), density=0.001, rng=rng).toarray(),
        "n = p": rng.standard_normal((45, 45)),
        "n < p": wide,
        "empty users and items": np.pad((rng.random((30, 12)) < 0.3) * 1.0, ((2, 3), (1, 2))),
        "counts": rng.poisson(3, (70, 20)).astype(float),
        "counts too large for float32": rng.poisson(3, (70, 20)) * 5_000.0 + rng.integers(0, 2, (70, 20)),
        "zeros": np.zeros((6, 4)),
    }


HOSTILE = hostile_matrices()


@pytest.fixture(params=HOSTILE)
def X(request):
    return HOSTILE[request.param]


def full_svd(X):
    _, sigma, Vt = scipy.linalg.svd(X, full_matrices=False)
    sigma[sigma <= max(X.shape) * np.finfo(float).eps * sigma[0]] = 0
    return sigma, Vt.T


def assert_same_projectors(V, sigma, V_full, k):
    """V Vᵀ at each rank up to k where σ_j² − σ_{j+1}² > 1e-7 σ_1²: elsewhere V's columns are arbitrary."""
    squares = np.append(sigma**2, 0.0)
    for j in range(1, k + 1):
        if squares[j - 1] - squares[j] > 1e-7 * squares[0]:
            np.testing.assert_allclose(V[:, :j] @ V[:, :j].T, V_full[:, :j] @ V_full[:, :j].T, atol=1e-8)


@pytest.mark.parametrize("form", [np.array, sp.csr_array])
@pytest.mark.parametrize("k", [1, 3, None])
def test_spectrum_is_as_exact_as_a_full_svd(X, form, k):
    k = min(X.shape) if k is None else min(k, *X.shape)
    sigma, V = full_svd(X)
    s = spectrum(form(X), k)
    assert s.sigma.shape == (k,) and s.V.shape == (X.shape[1], k)
    np.testing.assert_allclose(s.sigma, sigma[:k], rtol=1e-8, atol=0)
    assert_same_projectors(s.V, sigma, V, k)
    np.testing.assert_allclose(s.V.T @ s.V, np.eye(k), atol=1e-8)


@pytest.mark.parametrize("name", routes.ROUTES)
def test_each_route_keeps_its_promise(X, name):
    """σ² within a few u σ_1², the accuracy that the docstring states for the routes by XᵀX."""
    k = min(5, *X.shape)
    sigma, V = full_svd(X)
    found, found_V = routes.ROUTES[name](sp.csr_array(X), k)
    np.testing.assert_allclose(found**2, sigma[:k] ** 2, atol=1e-13 * sigma[0] ** 2, rtol=0)
    if name == "triangular":
        np.testing.assert_allclose(found, sigma[:k], atol=1e-14 * sigma[0], rtol=0)
    # a direction with σ near zero is noise on the routes by XᵀX, and absent where V = Xᵀ U Σ⁻¹
    well_above = int(np.sum(sigma[:k] > 3e-3 * sigma[0])) if name != "triangular" else k
    assert_same_projectors(found_V, sigma, V, well_above)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: np.ones((50, 20)), "dense gram"),
        (lambda: sp.csr_array(np.ones((5_000, 200))), "dense gram"),
        (lambda: sp.random_array((50_000, 1_000), density=0.001, format="csr", rng=1), "sparse gram"),
        (lambda: sp.random_array((30_000, 9_000), density=0.0005, format="csr", rng=1), "lanczos"),
    ],
)
def test_the_route_follows_the_cost(make, expected):
    assert routes.cheapest_route(make(), 10) == expected


def seconds_by_hand(X, k):
    """What each route is estimated to take, entry by entry."""
    n, p = X.shape
    m, long_side, entries = min(n, p), max(n, p), X.toarray() != 0
    pairs = sum(int(row.sum()) ** 2 for row in (entries if n >= p else entries.T))
    seconds = {
        "dense gram": routes.SECONDS["dense product"] * long_side * m * m + routes.SECONDS["eigenpairs"] * m**3,
        "sparse gram": routes.SECONDS["sparse product"] * pairs + routes.SECONDS["eigenpairs"] * m**3,
        "lanczos": routes.SECONDS["Lanczos vector"] * (int(entries.sum()) + n + p) * k,
    }
    if not (m > routes.LANCZOS_FROM and routes.LANCZOS_SHARE * k < m):
        del seconds["lanczos"]
    return seconds


def test_the_cheapest_route_by_hand(monkeypatch):
    rng, chosen = np.random.default_rng(0), []
    monkeypatch.setattr(routes, "LANCZOS_FROM", 20)
    for _ in range(200):
        for name in routes.SECONDS:
            monkeypatch.setitem(routes.SECONDS, name, 10 ** rng.uniform(-3, 3))
        shape = rng.choice([18, 19, 20, 21, 22, 30, 31, 60], 2)
        k = int(rng.integers(1, 5))
        X = sp.random_array(tuple(shape), density=rng.choice([0.02, 0.2]), rng=rng, format="csr")
        seconds = seconds_by_hand(X, k)
        best = routes.cheapest_route(X, k)
        assert seconds[best] == pytest.approx(min(seconds.values()), rel=1e-9)
        assert routes.cheapest_route(X.toarray(), k) == "dense gram"
        chosen.append(best)
    assert min(chosen.count(name) for name in ("dense gram", "sparse gram", "lanczos")) >= 10


@pytest.mark.parametrize(
    ("m", "k", "taken"), [(20, 1, False), (21, 1, True), (21, 2, True), (30, 3, False), (31, 3, True)]
)
def test_lanczos_needs_many_items_and_few_pairs(m, k, taken, monkeypatch):
    monkeypatch.setattr(routes, "LANCZOS_FROM", 20)
    monkeypatch.setitem(routes.SECONDS, "Lanczos vector", 1e-30)
    for X in (sp.eye_array(m, 2 * m, format="csr"), sp.eye_array(2 * m, m, format="csr")):
        assert (routes.cheapest_route(X, k) == "lanczos") == taken


@pytest.mark.parametrize(("square", "looks"), [(1.1e-5, 0), (0.9e-5, 1)])
@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
def test_a_gram_matrix_decides_down_to_1e_5_of_the_largest_square(square, looks, form, monkeypatch):
    made, factorize = [], spectra.triangular
    monkeypatch.setattr(spectra, "triangular", lambda X, k: made.append(k) or factorize(X, k))
    sigma = np.array([4.0, 1.0, 4.0 * square**0.5])
    found = spectrum(form(with_singular_values(sigma, 20)))
    np.testing.assert_allclose(found.sigma, sigma, rtol=1e-9)
    assert len(made) == looks


def test_lanczos_at_the_size_that_it_is_for():
    X = simulate_interactions(3_000, 2_500, 5, max_activity=20, rng=1).X
    assert routes.cheapest_route(X, 5) == "lanczos"
    found = spectrum(X, 5)
    np.testing.assert_array_equal(spectrum(X, 5).V, found.V)  # no random start
    _, sigma, Vt = svds(X.astype(float), 5, v0=np.ones(2_500))  # ARPACK: a dense eigenproblem takes seconds
    sigma, V = sigma[::-1], Vt[::-1].T
    np.testing.assert_allclose(found.sigma, sigma, rtol=1e-9)
    np.testing.assert_allclose(found.V @ found.V.T, V @ V.T, atol=1e-9)


def test_lanczos_finds_copies_of_a_repeated_value():
    block = sp.random_array((600, 550), density=0.01, rng=np.random.default_rng(0), format="csr")
    block.data[:] = 1
    X = sp.block_diag([block] * 4, format="csr")
    assert routes.cheapest_route(X, 6) == "lanczos"
    expected = np.repeat(full_svd(block.toarray())[0][:2], 4)[:6]
    np.testing.assert_allclose(spectrum(X, 6).sigma, expected, rtol=1e-9)


@pytest.mark.parametrize("form", [np.array, sp.csr_array])
@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1e155, 1e300])
def test_scales_whose_squares_overflow_or_vanish(form, scale):
    X = np.random.default_rng(4).standard_normal((40, 12))
    s, unscaled = spectrum(form(scale * X), 5), spectrum(X, 5)
    np.testing.assert_allclose(s.sigma, scale * unscaled.sigma, rtol=1e-12)
    np.testing.assert_allclose(s.V, unscaled.V, atol=1e-10)


def test_blocks_of_rows_add_up(monkeypatch):
    X = HOSTILE["counts"]
    monkeypatch.setattr(_gram, "BLOCK_NUMBERS", 100)  # five rows a block
    np.testing.assert_array_equal(_gram.accumulate_gram([sp.csr_array(X)], 20), X.T @ X)
    sigma, _ = routes.triangular(sp.csr_array(X), 20)
    np.testing.assert_allclose(sigma, full_svd(X)[0], rtol=1e-12)


@pytest.mark.parametrize("form", [np.array, sp.csr_array, sp.csc_array, sp.coo_array, sp.csr_matrix])
@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, np.int64, np.float32, np.float64])
def test_every_kind_of_X(form, dtype):
    dense = (np.random.default_rng(7).random((300, 8)) < 0.5).astype(dtype)
    s = spectrum(form(dense), 3)
    np.testing.assert_allclose(s.sigma, full_svd(dense.astype(float))[0][:3], rtol=1e-12)


def test_duplicate_entries_add_up_and_the_caller_s_matrix_stays():
    X = sp.csr_array((np.array([1.0, 2.0, 4.0]), np.array([1, 1, 0]), np.array([0, 2, 3])), shape=(2, 2))
    np.testing.assert_allclose(spectrum(X).sigma, [4, 3])
    assert X.nnz == 3


def test_signs_are_fixed():
    X = HOSTILE["n = p"]
    V = spectrum(X).V
    assert (V[np.argmax(abs(V), axis=0), np.arange(45)] > 0).all()
    np.testing.assert_allclose(spectrum(-X).V, V, atol=1e-10)
    # of entries that rounding orders, the first decides
    fixed = routes.fix_signs(np.array([[-1.0], [1.0 + 1e-15]]) / np.sqrt(2))
    assert fixed[0, 0] > 0


def test_from_gram():
    X = HOSTILE["counts"]
    s, full = spectrum_from_gram(X.T @ X, 4), spectrum(X, 4)
    np.testing.assert_allclose(s.sigma, full.sigma, rtol=1e-10)
    np.testing.assert_allclose(s.V, full.V, atol=1e-9)
    low = HOSTILE["rank 4 of 20"]
    np.testing.assert_array_equal(spectrum_from_gram(low.T @ low).sigma[4:], 0)
    np.testing.assert_allclose(spectrum_from_gram([[9.0]]).sigma, [3])
    assert spectrum_from_gram(HOSTILE["n < p"].T @ HOSTILE["n < p"]).V.shape == (300, 300)


@pytest.mark.parametrize("scale", [2.0**1000, 2.0**1019, 2.0**-1000, 2.0**-601])
def test_from_gram_of_any_scale(scale):
    gram = np.array([[2.0, 1, 0], [1, 2, 1], [0, 1, 2]])
    s, one = spectrum_from_gram(scale * gram), spectrum_from_gram(gram)
    np.testing.assert_allclose(s.sigma, np.sqrt(scale) * one.sigma, rtol=1e-14)
    np.testing.assert_allclose(s.V, one.V, atol=1e-14)
    np.testing.assert_allclose(spectrum_from_gram(np.full((3, 3), 1e308)).sigma, [np.sqrt(3) * 1e154, 0, 0])


def test_an_empty_item_has_no_direction():
    X = np.insert(np.random.default_rng(2).standard_normal((60, 9)), 4, 0.0, axis=1)
    for s in (spectrum(X, 9), spectrum_from_gram(X.T @ X, 9), spectrum(sp.csr_array(X), 9)):
        np.testing.assert_array_equal(s.V[4], 0.0)
    whole = spectrum_from_gram(X.T @ X)  # its own direction has σ = 0
    np.testing.assert_allclose(abs(whole.V[4]), np.eye(10)[9], atol=1e-12)


def test_a_spectrum_holds_floats_and_nearly_orthonormal_columns():
    one, other = Spectrum([1.0], [[1.0]]), Spectrum([1.0], [[1.0]])
    assert one == one and one != other and len({one, other}) == 2
    pairs = Spectrum([2, 1], [[0, 1], [1, 0], [0, 0]])
    for part in (pairs.sigma, pairs.V):
        assert type(part) is np.ndarray and part.dtype == np.float64
    assert Spectrum((1, 1, 0), np.eye(3)).sigma.tolist() == [1, 1, 0]  # falling, ties and zeros included
    for size, taken in ((0.9e-8, True), (1.1e-8, False)):
        longer, leaning = np.eye(3), np.eye(3)
        longer[0, 0] += size / 2
        leaning[0, 1] += size
        for V in (longer, leaning, 2 * np.eye(3) - longer, 2 * np.eye(3) - leaning):
            if taken:
                assert Spectrum([3, 2, 1], V).V.shape == (3, 3)
            else:
                with pytest.raises(ValueError, match=r"^V takes orthonormal columns, got max\|VᵀV − I\| = 1\.1e-08$"):
                    Spectrum([3, 2, 1], V)
    with pytest.raises(ValueError, match=r"^sigma takes falling numbers, got a largest rise of 1e-300$"):
        Spectrum([1.0, 0.0, 1e-300], np.eye(3))
    for wrong in ([1.0, np.nan], [[1.0]], [1j]):
        with pytest.raises((ValueError, TypeError), match=r"^sigma takes"):
            Spectrum(wrong, np.eye(2))


def test_a_gram_matrix_is_symmetric_to_1e_10_of_its_largest_entry():
    for scale in (1.0, 1e-300, 1e300):
        for size, taken in ((0.9e-10, True), (1.1e-10, False)):
            gram = scale * np.array([[-0.0, 0.0, 0.0], [0.0, 4.0, 1.0], [0.0, 1.0 + 4 * size, 2.0]])
            if taken:
                found = spectrum_from_gram(gram)
                np.testing.assert_allclose(found.sigma**2, scale * np.array([3 + 2**0.5, 3 - 2**0.5, 0]), rtol=1e-9)
            else:
                with pytest.raises(
                    ValueError, match=r"^gram takes a symmetric matrix, got max\|gram − gramᵀ\| = 4\.4e"
                ):
                    spectrum_from_gram(gram)


@pytest.mark.parametrize("p", [2, 8, 9, 20])
@pytest.mark.parametrize("form", [np.array, sp.csr_array, sp.coo_matrix])
def test_eigenvalues_within_rounding_of_zero_are_zero_and_no_others(p, form):
    """4 max(p, 8) u of the largest, on either side; a diagonal has its own entries for eigenvalues."""
    bound = 4 * max(p, 8) * np.finfo(float).eps
    rest = np.full(p - 2, 0.5)
    for largest in (1.0, 1e-12, 2.0**601):
        for below in (0.99, 1.0):
            few = spectrum_from_gram(form(np.diag(largest * np.r_[1.0, rest, below * bound])))
            np.testing.assert_array_equal(few.sigma[-1], 0.0)
        more = spectrum_from_gram(form(np.diag(largest * np.r_[1.01 * bound, 1.0, rest])))
        np.testing.assert_allclose(more.sigma[-1], np.sqrt(largest * 1.01 * bound), rtol=1e-13)
        assert spectrum_from_gram(form(np.diag(largest * np.r_[-0.99 * bound, 1.0, rest]))).sigma[-1] == 0
        for k in (1, p):  # a negative one must not go unseen
            with pytest.raises(ValueError, match=r"^gram takes a positive semidefinite matrix, got an eigenvalue of -"):
                spectrum_from_gram(form(np.diag(largest * np.r_[1.0, -1.01 * bound, rest])), k)
    with pytest.raises(ValueError, match=r"got an eigenvalue of -1e\+20$"):
        spectrum_from_gram(form(np.diag([-1e20, 1.0])))  # the largest in size


@pytest.mark.parametrize("factor", [0.98, 1.02])
def test_what_is_rounding_is_measured_by_the_largest_eigenvalue_not_by_the_largest_entry(factor):
    small = factor * 4 * 8 * np.finfo(float).eps * 4  # four items of all users have the eigenvalue 4, and entries 1
    gram = scipy.linalg.block_diag(np.ones((4, 4)), small)
    expected = [2.0, np.sqrt(small) if factor > 1 else 0.0]
    np.testing.assert_allclose(spectrum_from_gram(gram, 2).sigma, expected, rtol=1e-13)


ONES = np.ones((4, 3))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: spectrum([[np.nan, 1.0]]), ValueError, "X takes finite numbers, got 1 NaN or infinite"),
        (lambda: spectrum(sp.csr_array([[np.inf, 1.0]])), ValueError, "X takes finite numbers, got 1 NaN or infinite"),
        (lambda: spectrum(ONES, 0), ValueError, r"k takes an integer from 1 to 3 \(min\(n, p\) of X\), got 0"),
        (lambda: spectrum(ONES, 4), ValueError, "k takes an integer from 1 to 3"),
        (lambda: spectrum(ONES, 1.5), TypeError, "k takes an integer, got 1.5"),
        (lambda: spectrum(ONES, True), TypeError, "k takes an integer, got True"),
        (lambda: spectrum(np.ones(3)), ValueError, r"X takes a non-empty 2-dimensional array, got shape \(3,\)"),
        (lambda: spectrum(np.ones((0, 3))), ValueError, "X takes a non-empty"),
        (lambda: spectrum(sp.csr_array((3, 0))), ValueError, "X takes a non-empty"),
        (lambda: spectrum(ONES * 1j), TypeError, "X takes real numbers, got dtype complex128"),
        (lambda: spectrum([["a"]]), TypeError, "X takes real numbers"),
        (lambda: spectrum_from_gram(np.ones((2, 3))), ValueError, "gram, square: got 3, takes 2"),
        (lambda: spectrum_from_gram([[1.0, 2.0], [0.0, 1.0]]), ValueError, "gram takes a symmetric matrix"),
        (lambda: spectrum_from_gram([[1.0, 2.0], [2.0, 1.0]]), ValueError, "gram takes a positive semidefinite .* -1"),
        (lambda: spectrum_from_gram(np.eye(2), 3), ValueError, r"k takes an integer from 1 to 2 \(p\)"),
        (lambda: spectrum_from_gram([[np.nan]]), ValueError, "gram takes finite numbers"),
        (
            lambda: item_gram(np.full((2, 2), 1e200)),
            ValueError,
            "X takes numbers with sums of squares from",
        ),
        (lambda: item_gram(sp.csr_array([[0.3e200]])), ValueError, "X takes numbers with sums of squares"),
        (lambda: Spectrum([1.0, 2.0], np.eye(2)), ValueError, "sigma takes falling numbers"),
        (lambda: Spectrum([1.0, -2.0], np.eye(2)), ValueError, "sigma takes numbers of at least 0"),
        (lambda: Spectrum([2.0, 1.0], np.ones((2, 2))), ValueError, "V takes orthonormal columns"),
        (lambda: Spectrum([2.0], np.eye(2)), ValueError, "V, with one column for each of sigma: got 2, takes 1"),
    ],
)
def test_bad_input_names_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("k", [1, 2, 5])
def test_an_eigensolver_that_comes_back_with_fewer_pairs_is_made_up_for(k, monkeypatch):
    """LAPACK's search by index does so at some multiples of the identity, with rounding beside it."""
    search = scipy.linalg.eigh

    def fewer(A, subset_by_index=None, **others):
        return (np.zeros(0), np.zeros((len(A), 0))) if subset_by_index else search(A, **others)

    monkeypatch.setattr(scipy.linalg, "eigh", fewer)
    sigma = np.array([3.0, 2.0, 2.0, 1.0, 0.5, 0.25])
    X = np.linalg.qr(np.random.default_rng(0).standard_normal((9, 6)))[0] * sigma
    X = X @ scipy.linalg.hadamard(8)[:6, :6]  # in one piece
    expected = scipy.linalg.svdvals(X)[:k]
    for found in (spectrum(X, k), spectrum_from_gram(X.T @ X, k), krylov_spectrum([X], k)):
        np.testing.assert_allclose(found.sigma, expected, rtol=1e-9)


@pytest.mark.parametrize("seed", range(60))
def test_orthonormal_columns(seed):
    """XᵀX is the identity with rounding beside it: `scipy.linalg.eigh` finds no largest eigenvalue for some."""
    X = np.linalg.qr(np.random.default_rng(seed).standard_normal((12, 10)))[0]
    for found in (spectrum(X, 1), spectrum_from_gram(X.T @ X, 1), krylov_spectrum([X], 1)):
        np.testing.assert_allclose(found.sigma, 1.0, rtol=1e-12)

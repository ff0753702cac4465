"""Large sparse X: copies of singular values, low rank, empty users and items; and XᵀX over blocks."""

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse as sp
from instances import planted_svd

from cossim_helpers import _gram, _lanczos, spectrum
from cossim_helpers import _routes as routes


def with_copies(where, many, k, m=120, n=150, seed=0):
    """X with singular values from 10 to 1, `many` of them equal: the first, just above the k-th, or at the edge."""
    rng = np.random.default_rng(seed)
    sigma = np.sort(1 + 9 * rng.random(m))[::-1]
    if where == "all":
        sigma[:] = 3.0
    elif where == "just above the edge":
        start = max(0, k - 1 - many)
        sigma[start : start + many] = sigma[k - 1] * (1 + 1e-5)
    else:
        start = {"first": 0, "edge": k - 1, "across the edge": max(0, k - 2)}[where]
        sigma[start : start + many] = sigma[start]
    sigma = np.sort(sigma)[::-1]
    return planted_svd(sigma, n, m, rng)[0], sigma


@pytest.fixture
def no_fallback(monkeypatch):
    """Lanczos has to arrive by itself: behind it stands a factorization that is right whatever Lanczos does."""
    monkeypatch.setattr(routes, "triangular", None)


def assert_top_pairs(X, sigma, found, V):
    k = found.size
    np.testing.assert_allclose(found, sigma[:k], rtol=1e-9)
    np.testing.assert_allclose(V.T @ V, np.eye(k), atol=1e-10)
    np.testing.assert_allclose(X.T @ (X @ V), V * found**2, atol=1e-7 * sigma[0] ** 2)


@pytest.mark.parametrize("where", ["first", "just above the edge", "edge", "across the edge", "all"])
@pytest.mark.parametrize("many", [2, 3, _lanczos.WIDTH, _lanczos.WIDTH + 1])
@pytest.mark.parametrize("k", [4, 15])
def test_lanczos_misses_no_copy(where, many, k, no_fallback):
    X, sigma = with_copies(where, many, k)
    assert_top_pairs(X, sigma, *routes.lanczos(sp.csr_array(X), k))


@pytest.mark.parametrize("copies", [2, 3, 7])
def test_lanczos_on_equal_blocks(copies, no_fallback):
    """Exact copies, in one eigenproblem: `spectrum` would take them apart first."""
    block = (np.random.default_rng(1).random((60, 40)) < 0.3).astype(float)
    X = sp.block_diag([sp.csr_array(block)] * copies, format="csr")
    expected = np.repeat(scipy.linalg.svdvals(block), copies)
    assert_top_pairs(X, expected, *routes.lanczos(X, 2 * copies + 1))


def test_lanczos_on_a_hadamard_matrix(no_fallback):
    """All singular values are one: whatever V is returned is right, if there is all of it."""
    X = scipy.linalg.hadamard(128).astype(float)
    assert_top_pairs(X, np.full(128, np.sqrt(128)), *routes.lanczos(sp.csr_array(X), 20))


def test_vectors_that_start_later_are_orthogonal_to_the_basis(no_fallback):
    for seed in range(4):
        X, sigma = with_copies("first", _lanczos.WIDTH + 1, 12, m=240, n=300, seed=seed)
        assert_top_pairs(X, sigma, *routes.lanczos(sp.csr_array(X), 12))


def test_as_many_start_vectors_as_copies_are_needed(monkeypatch):
    """What the look at values that agree is for: without it, a copy is lost."""
    monkeypatch.setattr(_lanczos, "_copies", lambda *_: False)
    far = []
    for seed in range(4):
        X, sigma = with_copies("first", _lanczos.WIDTH + 1, 12, m=240, n=300, seed=seed)
        far.append(abs(routes.lanczos(sp.csr_array(X), 12)[0] - sigma[:12]).max())
    assert max(far) > 1e-3


def test_lanczos_starts_again_from_the_best_of_a_full_basis(no_fallback):
    """A spectrum without gaps: the basis fills, more than once."""
    X = np.diag(np.linspace(2, 1, 400))
    assert_top_pairs(X, np.linspace(2, 1, 400), *routes.lanczos(sp.csr_array(X), 3))


def eigenpairs_of_diagonal(d, k):
    values, V = _lanczos.top_eigenpairs_of(lambda block: d[:, None] * block, d.size, k, 1e-5)
    np.testing.assert_allclose(values, np.sort(d)[::-1][:k], rtol=1e-11)
    np.testing.assert_allclose(V.T @ V, np.eye(k), atol=1e-11)


@pytest.mark.parametrize("rank", [6, 8, 12])
@pytest.mark.parametrize("tail", [1e-9, 1e-11])
def test_the_basis_stays_orthogonal_where_little_is_left_of_a_block(rank, tail):
    eigenpairs_of_diagonal(np.append(np.linspace(2, 1, rank), tail * np.linspace(2, 1, 400 - rank)), 5)


@pytest.mark.parametrize("seed", range(5))
def test_the_basis_stays_orthogonal_over_many_blocks(seed):
    """The first pairs arrive long before the last: what one projection leaves over would grow with each block."""
    rng = np.random.default_rng(seed)
    d = np.append([60, 12, 11, 10, 9], 0.1 + 3 * rng.beta(1.5, 1.5, 1_000))
    d[-4:] = 11
    eigenpairs_of_diagonal(d, 20)


@pytest.mark.parametrize("seed", range(5))
def test_directions_that_are_lost_leave_the_others_as_they_were(seed):
    """Columns of very different lengths, whose order by length is not its own inverse, and one that depends on two."""
    rng = np.random.default_rng(seed)
    block = rng.standard_normal((30, 5)) * [1.0, 1e3, 1e-2, 1e4, 10.0]
    block[:, 4] = 3 * block[:, 0] - block[:, 2]
    Q, R = _lanczos._orthonormal(block, 1e-9)
    assert Q.shape == (30, 4) and R.shape == (4, 5)
    np.testing.assert_allclose(Q.T @ Q, np.eye(4), atol=1e-14)
    np.testing.assert_allclose(Q @ R, block, atol=1e-11)


def test_lanczos_gives_up_after_some_fills_of_its_basis(monkeypatch):
    """The same look at a spectrum without gaps, which takes more than one: counted by what it asks for."""
    monkeypatch.setattr(_lanczos, "PATIENCE", 1)
    d, asked = np.linspace(2, 1, 2_000), []

    def product(block):
        asked.append(block.shape[1])
        assert sum(asked) < 600  # 123 + 2 · 82 vectors, and a block more
        return d[:, None] * block

    with pytest.raises(_lanczos.NoConvergence):
        _lanczos.top_eigenpairs_of(product, d.size, 3, 1e-5)
    assert 123 < sum(asked) < 330


def test_lanczos_that_never_arrives_falls_back(monkeypatch):
    monkeypatch.setattr(_lanczos, "PATIENCE", 0)
    X = np.diag(np.linspace(2, 1, 400))
    np.testing.assert_allclose(routes.lanczos(sp.csr_array(X), 3)[0], np.linspace(2, 1, 400)[:3], rtol=1e-12)


@pytest.mark.parametrize("k", [2, 50, 400])
def test_the_rank_of_a_large_matrix_is_below_k(k, monkeypatch):
    """Without a dense factorization of this size."""
    rng = np.random.default_rng(0)
    left, right = (rng.random((2_600, 5)) < 0.3) * 1.0, (rng.random((5, 2_100)) < 0.1) * 1.0
    right[rng.integers(5, size=2_100), np.arange(2_100)] = 1.0
    X = sp.csr_array(left) @ sp.csr_array(right)
    dense = scipy.linalg.svdvals(scipy.linalg.qr(left, mode="r")[0][:5] @ right)
    monkeypatch.setitem(routes.ROUTES, "dense gram", None)
    monkeypatch.setitem(routes.ROUTES, "sparse gram", None)
    found = spectrum(X, k)
    np.testing.assert_allclose(found.sigma, np.append(dense, np.zeros(k))[:k], rtol=1e-9, atol=0)
    np.testing.assert_allclose(found.V.T @ found.V, np.eye(k), atol=1e-10)


def test_low_rank_answers_only_where_nothing_is_left_over():
    rng = np.random.default_rng(0)
    X = planted_svd([5.0, 2, 1, 1e-9], 500, 400, rng)[0]
    found, V = routes.low_rank(X)
    np.testing.assert_allclose(found, [5, 2, 1, 1e-9], rtol=1e-6)
    assert V.shape == (400, 4)
    assert routes.low_rank(X + 1e-9 * rng.standard_normal(X.shape)) is None
    assert routes.low_rank(np.eye(300)) is None


def test_a_large_matrix_of_zeros():
    found = spectrum(sp.csr_array((3_000, 2_500)), 200)
    np.testing.assert_array_equal(found.sigma, 0.0)
    np.testing.assert_allclose(found.V.T @ found.V, np.eye(200), atol=1e-14)


def test_empty_users_and_items_change_nothing():
    rng = np.random.default_rng(4)
    X = (rng.random((80, 30)) < 0.2).astype(float)
    wide = np.zeros((900, 700))
    items = np.sort(rng.choice(700, 30, replace=False))
    wide[np.ix_(np.sort(rng.choice(900, 80, replace=False)), items)] = X
    found, alone = spectrum(sp.csr_array(wide), 5), spectrum(sp.csr_array(X), 5)
    np.testing.assert_allclose(found.sigma, alone.sigma, rtol=1e-13)
    np.testing.assert_allclose(found.V[items], alone.V, atol=1e-10)
    assert not np.delete(found.V, items, axis=0).any()


@pytest.mark.parametrize("form", [np.array, sp.csr_array])
def test_numbers_too_large_for_their_singular_values_name_x(form):
    with pytest.raises(ValueError, match=r"X takes numbers with singular values below 1\.8e308"):
        spectrum(form(np.full((3, 3), 1.7e308)))
    assert spectrum(form(np.diag([1.7e308, 1e300]))).sigma[0] == 1.7e308


@pytest.mark.parametrize("form", [np.array, sp.csr_array])
def test_subnormal_numbers(form):
    found = spectrum(form(np.diag([3e-320, 5e-324])))
    np.testing.assert_array_equal(found.sigma, [3e-320, 5e-324])
    np.testing.assert_array_equal(found.V, np.eye(2))


@pytest.mark.parametrize("form", [sp.coo_array, sp.csr_array, sp.csc_array])
@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16])
def test_duplicates_add_up_beyond_the_range_of_their_type(form, dtype):
    largest = np.iinfo(dtype).max
    coordinates = (np.array([largest, largest, 1], dtype), (np.array([0, 0, 1]), np.array([0, 0, 1])))
    if form is sp.coo_array:
        X = sp.coo_array(coordinates, shape=(2, 2))
    else:
        X = form((coordinates[0], np.array([0, 0, 1]), np.array([0, 2, 3])), shape=(2, 2))
    before = X.data.copy()
    np.testing.assert_allclose(spectrum(X).sigma, [2.0 * largest, 1.0])
    np.testing.assert_array_equal(X.data, before)


@pytest.mark.parametrize("form", [np.array, sp.csr_array, sp.csc_array, sp.coo_array])
def test_nothing_of_the_caller_s_is_written_to(form):
    X = form((np.random.default_rng(0).random((50, 9)) < 0.3) * 2.0)
    parts = [X] if form is np.array else [X.data]
    before = [part.copy() for part in parts]
    for part in parts:
        part.flags.writeable = False
    spectrum(X, 3)
    for part, was in zip(parts, before, strict=True):
        np.testing.assert_array_equal(part, was)


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("sparse", [False, True])
def test_the_gram_matrix_of_counts_is_exact_whatever_the_blocks(seed, sparse):
    rng = np.random.default_rng(seed)
    heights, p = rng.integers(1, 9, rng.integers(1, 6)), rng.integers(1, 6)
    dtype = rng.choice([np.uint8, np.int8, np.int64, np.float32, np.float64])
    X = rng.choice([0, 1, 3, 100], (sum(heights), p)).astype(dtype)
    X[rng.random(X.shape) < 0.1] = np.iinfo(np.int8).min if dtype in (np.int8, np.int64) else 127
    blocks = np.split(X, np.cumsum(heights)[:-1])
    total = _gram.accumulate_gram([sp.csc_array(block) for block in blocks] if sparse else blocks, p)
    expected = X.astype(object).T @ X.astype(object)  # in Python's own integers
    np.testing.assert_array_equal(total, expected.astype(float))


def test_the_gram_matrix_stays_exact_where_float32_ends():
    block = np.full((2, 2), 2_000.0)  # 8e6 a block: the third would not fit
    block[0, 0] += 1
    total = _gram.accumulate_gram([block] * 9, 2)
    np.testing.assert_array_equal(total, 9 * (block.T @ block))
    mixed = _gram.accumulate_gram([block, block / 3, block], 2)
    np.testing.assert_allclose(mixed, (2 + 1 / 9) * (block.T @ block), rtol=1e-14)
    np.testing.assert_array_equal(_gram.accumulate_gram([], 2), np.zeros((2, 2)))


def test_the_smallest_integer_of_a_type_counts_at_its_size():
    X = np.full((2_001, 1), -128, np.int8)  # abs() of it is -128
    X[0] = 1
    assert _gram.accumulate_gram([X], 1) == 2_000 * 128**2 + 1  # odd, beyond 2^24

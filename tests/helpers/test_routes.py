"""The parts that the routes share: triangles, low ranks, pieces that are joined, complements, signs."""

import numpy as np
import pytest
import scipy.sparse as sp
from instances import planted_svd

from cossim_helpers import _routes as routes
from cossim_helpers import spectra

EPS = np.finfo(float).eps
FORMS = [np.asarray, sp.csr_array]


def test_the_numbers_that_the_docstring_of_spectrum_states():
    assert (routes.LANCZOS_FROM, routes.LANCZOS_SHARE, routes.GRAM_IS_ENOUGH) == (2_000, 10, 1e-5)
    assert spectra.GRAM_ITEMS == 5_000 and routes.EPS == 2.0**-52


@pytest.mark.parametrize(("p", "share"), [(1, 32), (8, 32), (9, 36), (100, 400)])
def test_rounding_is_4_max_p_8_units(p, share):
    assert routes.rounding(p) == share * EPS


def test_squares_of_row_lengths_do_not_overflow(monkeypatch):
    """A row of 50,000 entries has more pairs than 32 bits count."""
    for name, seconds in (("dense product", 0.0), ("eigenpairs", 0.0), ("sparse product", 1.0)):
        monkeypatch.setitem(routes.SECONDS, name, seconds)
    ends = np.r_[0, np.full(50_000, 50_000)].astype(np.int32)
    X = sp.csr_array((np.ones(50_000), np.arange(50_000, dtype=np.int32), ends), shape=(50_000, 50_000))
    assert X.indptr.dtype == np.int32 and routes.cheapest_route(X, 6_000) == "dense gram"


@pytest.mark.parametrize(
    ("shape", "dense", "expected"),
    [
        ((6, 20), 100 / 720, "sparse gram"),  # 20 pairs in columns, 400 in rows, of X Xᵀ as of (Xᵀ)ᵀXᵀ
        ((20, 6), 100 / 720, "sparse gram"),
        ((8, 8), 30 / 512, "dense gram"),  # 64 pairs in rows, 8 in columns
    ],
)
def test_pairs_are_counted_along_the_longer_side(shape, dense, expected, monkeypatch):
    for name, seconds in (("dense product", dense), ("eigenpairs", 0.0), ("sparse product", 1.0)):
        monkeypatch.setitem(routes.SECONDS, name, seconds)
    X = np.zeros(shape)
    X[(slice(None), 3) if shape[0] > shape[1] else 3] = 1.0  # a user who has all items, or an item that all users have
    assert routes.cheapest_route(sp.csr_array(X), 2) == expected


@pytest.mark.parametrize(("seconds", "expected"), [(0.23, "sparse gram"), (0.2, "lanczos")])
def test_lanczos_takes_entries_and_both_sides_for_each_pair(seconds, expected, monkeypatch):
    """2 (20 + 20 + 6) · 0.23 = 21.2 and 18.4 · 1, beside 20 pairs of entries."""
    costs = {"dense product": 9.0, "eigenpairs": 0.0, "sparse product": 1.0, "Lanczos vector": seconds}
    monkeypatch.setattr(routes, "SECONDS", costs)
    monkeypatch.setattr(routes, "LANCZOS_FROM", 5)
    monkeypatch.setattr(routes, "LANCZOS_SHARE", 1)
    X = np.zeros((20, 6))
    X[:, 3] = 1.0
    assert routes.cheapest_route(sp.csr_array(X), 2) == expected


def test_lanczos_is_not_for_many_pairs_of_many_entries():
    """Of 2,001² and 10⁶ entries: 199 pairs would take 4 s, all of a dense Gram matrix 1.8 s."""
    ends = np.minimum(500 * np.arange(2_002), 1_000_000)
    X = sp.csr_array((np.ones(1_000_000), np.tile(np.arange(500), 2_000), ends), shape=(2_001, 2_001))
    assert routes.cheapest_route(X, 199) == "dense gram" and routes.cheapest_route(X, 20) == "lanczos"


# --- from eigenpairs of the smaller Gram matrix ---


@pytest.mark.parametrize("form", FORMS)
def test_right_vectors_from_left_ones(form):
    X = np.array([[0.0, 0.5, 0, 0], [2.0, 0, 0, 0], [0, 0, 0, 0]])
    sigma, V = routes._from_eigenpairs(form(X), np.array([4.0, 0.25, -1e-20]), np.eye(3)[:, [1, 0, 2]])
    np.testing.assert_array_equal(sigma, [2, 0.5, 0])
    np.testing.assert_array_equal(V, np.eye(4)[:, :2] @ np.eye(2, 3))
    assert routes._from_eigenpairs(X.T, np.array([4.0]), np.eye(3)[:, :1])[1].shape == (3, 1)


@pytest.mark.parametrize("name", routes.ROUTES)
@pytest.mark.parametrize("shape", [(9, 9), (9, 8), (8, 9), (20, 4), (4, 20)])
@pytest.mark.parametrize("k", [1, 3, 4])
def test_every_route_on_every_side(name, shape, k):
    X = np.random.default_rng(sum(shape)).standard_normal(shape)
    sigma, V = routes.ROUTES[name](sp.csr_array(X), k)
    _, expected, Vt = np.linalg.svd(X)
    np.testing.assert_allclose(sigma, expected[:k], rtol=1e-9)
    np.testing.assert_allclose(V @ V.T, Vt[:k].T @ Vt[:k], atol=1e-7)
    assert V.shape == (shape[1], k)


# --- triangles ---


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", [(7, 7), (8, 7), (30, 7), (6, 7), (1, 1)])
def test_the_triangle(form, shape, monkeypatch):
    X = np.random.default_rng(0).standard_normal(shape)
    R = routes.triangle(form(X))
    assert type(R) is np.ndarray and R.shape == (min(shape), shape[1])
    np.testing.assert_allclose(R.T @ R, X.T @ X, atol=1e-13)
    if shape[0] < shape[1]:
        np.testing.assert_array_equal(R, X)
    else:
        np.testing.assert_array_equal(np.tril(R, -1), 0.0)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("shape", "longest"), [((50, 4), 50), ((4, 50), 50)])
@pytest.mark.parametrize("scale", [1.0, 2.0**-20, 2.0**20])
def test_the_triangular_route_tells_zeros_by_the_longer_side(form, shape, longest, scale):
    for share, there in ((longest + 1, True), (longest - 1, False), (longest / 2, False)):
        X = np.zeros(shape)
        np.fill_diagonal(X, scale * np.array([1.0, 0.25, 0.125, share * EPS]))
        sigma, V = routes.triangular(form(X), 4)
        np.testing.assert_allclose(sigma, scale * np.array([1, 0.25, 0.125, share * EPS * there]), rtol=1e-13)
        np.testing.assert_allclose(abs(V), np.eye(shape[1], 4), atol=1e-13)
        assert routes.triangular(form(X), 2)[0].shape == (2,) and routes.triangular(form(X), 2)[1].shape == (
            shape[1],
            2,
        )


# --- low ranks ---


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("n", "p", "rank", "found"),
    [
        (256, 300, 9, True),
        (255, 300, 9, False),
        (300, 256, 20, True),
        (300, 255, 9, False),
        (1024, 1030, 70, True),
        (400, 400, 70, False),
    ],
)
@pytest.mark.parametrize("scale", [1.0, 1e-8, 1e8])
def test_a_low_rank_is_one_below_a_quarter_of_the_smaller_side(form, n, p, rank, found, scale):
    """The nearer the rank is to a quarter, the more rounding decides: at 64 of 256 it is chance."""
    sigma = scale * np.linspace(2, 0.3, rank)
    X = planted_svd(sigma, n, p, np.random.default_rng(0))[0]
    pairs = routes.low_rank(form(X))
    assert (pairs is not None) == found
    if found:
        np.testing.assert_allclose(pairs[0], sigma, rtol=1e-9)
        assert pairs[1].shape == (p, rank)
        np.testing.assert_allclose(pairs[1].T @ pairs[1], np.eye(rank), atol=1e-11)
        np.testing.assert_allclose(X.T @ (X @ pairs[1]), pairs[1] * sigma**2, atol=1e-12 * scale**2)


@pytest.mark.parametrize("form", FORMS)
def test_one_more_user_is_no_rounding(form):
    """Of 300 × 256, one row that the others do not span, at 1e-11 of them."""
    X = planted_svd(np.linspace(2, 1, 9), 300, 256, np.random.default_rng(0))[0]
    X[7] += 1e-11 * np.random.default_rng(1).standard_normal(256)
    found, _ = routes.low_rank(form(X))
    np.testing.assert_allclose(found, np.linalg.svd(X)[1][:10], rtol=1e-3)
    assert routes.low_rank(form(X + 1e-12 * np.random.default_rng(2).standard_normal(X.shape))) is None


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", range(3))
def test_noise_is_no_rounding(form, seed):
    """Noise of full rank, half as much again as the bound lets pass: 0.1 · 300 u of the largest column of X Q."""
    rng = np.random.default_rng(seed)
    X = planted_svd(np.linspace(2, 1, 9), 300, 256, np.random.default_rng(0))[0]
    assert routes.low_rank(form(X)) is not None
    assert routes.low_rank(form(X + 6.5e-17 * rng.standard_normal(X.shape))) is None


def test_the_bound_on_rounding_grows_with_the_longer_side():
    """Noise of full rank between 0.1 · 256 u and 0.1 · 8,000 u: an SVD of so many rows takes it for zero."""
    sigma = np.array([2.0, 1.5, 1.0])
    X = planted_svd(sigma, 8_000, 256, np.random.default_rng(0))[0]
    noise = 5e-16 / 8_000**0.5 * np.random.default_rng(1).choice([-8.0, 8.0], X.shape)  # each σ is near 4e-15
    pairs = routes.low_rank(X + noise)
    assert pairs is not None
    np.testing.assert_allclose(pairs[0], sigma, rtol=1e-12)


def test_rows_are_mixed_by_a_seed_of_their_own():
    X = planted_svd(np.linspace(2, 1, 9), 300, 256, np.random.default_rng(0))[0]
    np.random.seed(5)  # noqa: NPY002
    one, other = routes.low_rank(X), routes.low_rank(X)
    np.testing.assert_array_equal(one[1], other[1])
    after = np.random.random()  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    assert after == np.random.random(), "nor does it touch the caller's numbers"  # noqa: NPY002


# --- the items that belong together ---


@pytest.mark.parametrize("link", [1.0, -1e-300])
def test_items_are_linked_by_however_little_and_through_others(link):
    gram = np.diag([1.0, 2, 0, 3, 4, 0, 5])
    for i, j in ((0, 3), (3, 6), (1, 4)):
        gram[i, j] = gram[j, i] = link
    assert sorted(items.tolist() for items in routes.linked_items(gram)) == [[0, 3, 6], [1, 4]]
    assert routes.linked_items(np.zeros((3, 3))) == []


PIECES = [
    (np.array([0, 3]), np.array([5.0, 2.0]), np.array([[0.6, -0.8], [0.8, 0.6]])),
    (np.array([1]), np.array([3.0]), np.array([[1.0]])),
    (np.array([5, 4]), np.array([2.0, 1.0]), np.array([[0.0, 1.0], [-1.0, 0.0]])),
]
COLUMNS = np.zeros((7, 5))
COLUMNS[[0, 3], 0], COLUMNS[1, 1], COLUMNS[[0, 3], 2] = [0.6, 0.8], 1.0, [-0.8, 0.6]
COLUMNS[4, 3], COLUMNS[5, 4] = -1.0, 1.0


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
def test_the_top_pairs_of_all_pieces_in_order_ties_as_they_come(k):
    values, V = routes.joined(PIECES, 7, k)
    np.testing.assert_array_equal(values, [5, 3, 2, 2, 1][:k])
    np.testing.assert_array_equal(V, COLUMNS[:, :k])


@pytest.mark.parametrize("k", [6, 7])
def test_where_pairs_are_missing_empty_items_come_first(k):
    values, V = routes.joined(PIECES, 7, k)
    np.testing.assert_array_equal(values, [5, 3, 2, 2, 1, 0, 0][:k])
    np.testing.assert_array_equal(V[:, :6], np.column_stack([COLUMNS, np.eye(7)[2]]))
    np.testing.assert_array_equal(V, np.column_stack([COLUMNS, np.eye(7)[:, [2, 6]]])[:, :k])
    values, V = routes.joined([], 4, 2)
    np.testing.assert_array_equal(V, np.eye(4)[:, :2])
    assert values.tolist() == [0, 0]


def test_zeros_of_a_piece_and_missing_ones_keep_their_order():
    few = [(np.array([0, 1]), np.array([2.0, -1e-20]), np.eye(2))]
    values, V = routes.joined(few, 4, 4)
    np.testing.assert_array_equal(values, [2, 0, 0, -1e-20])
    np.testing.assert_array_equal(V, np.eye(4)[:, [0, 2, 3, 1]])


@pytest.mark.parametrize("k", [50, 100, 130, 150])
@pytest.mark.parametrize("low", [0.0, -1e-20])
def test_many_ties_keep_the_order_of_their_pieces(k, low):
    """Ones, then zeros, each in the order of the pieces, then empty items; these before what is below 0."""
    items, values = np.arange(100), np.where(np.arange(100) % 2, 1.0, low)
    pieces = [(items[i : i + 1], values[i : i + 1], np.eye(1)) for i in range(100)]
    found, V = routes.joined(pieces, 150, k)
    order = [*items[1::2], *items[::2]][:k]
    order = np.array(order + list(range(100, k)) if low == 0 else order[:50] + list(range(100, k)) + order[50:])
    np.testing.assert_array_equal(found, np.append(values, np.zeros(50))[order])
    np.testing.assert_array_equal(V, np.eye(150)[:, order])


@pytest.mark.parametrize(
    ("reached", "columns", "many"),
    [(6, 2, 4), (6, 2, 1), (4, 2, 4), (4, 2, 3), (4, 1, 5), (6, 5, 1), (3, 2, 2), (2, 1, 3)],
)
def test_a_complement_is_orthonormal_and_of_empty_items_first(reached, columns, many):
    V = np.zeros((6, columns))
    V[:reached] = np.linalg.qr(np.random.default_rng(many).standard_normal((reached, columns)))[0]
    others = routes._complement(V, many)
    assert others.shape == (6, many)
    whole = np.column_stack([V, others])
    np.testing.assert_allclose(whole.T @ whole, np.eye(columns + many), atol=1e-14)
    empty = min(many, 6 - reached)
    np.testing.assert_array_equal(others[:, :empty], np.eye(6)[:, reached : reached + empty])


# --- signs ---


@pytest.mark.parametrize(
    ("column", "turned"),
    [
        ([0.1, -0.9, 0.3], True),
        ([0.1, 0.9, -0.3], False),
        ([-0.1, 0.9, 0.3], False),
        ([-1.0, 1.0, 0.0], True),
        ([1.0, -1.0, 0.0], False),
        ([-(1 - 0.9e-6), 1.0, 0.0], True),  # within rounding of the largest: the first
        ([-(1 - 1e-6), 1.0, 0.0], True),
        ([-(1 - 1.1e-6), 1.0, 0.0], False),
        ([0.0, -1e-300, 0.0], True),
        ([-0.0, 0.0, -0.0], False),
        ([-30.0, 2.0, 40.0], False),
    ],
)
def test_the_largest_entry_is_positive(column, turned):
    V = np.column_stack([[9.0, -9.0, 1.0], column, [0.0, -0.5, -0.5]])
    fixed = routes.fix_signs(V)
    np.testing.assert_array_equal(fixed[:, 1], np.negative(column) if turned else column)
    np.testing.assert_array_equal(fixed[:, [0, 2]], V[:, [0, 2]] * [1, -1])
    assert not np.signbit(fixed[fixed == 0]).any()

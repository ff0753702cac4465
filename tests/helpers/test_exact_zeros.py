"""What is zero in exact arithmetic is zero: items without users, other communities, penalties that equal a σ."""

import numpy as np
import pytest
import scipy.sparse as sp
from instances import binary, communities, with_singular_values

from cossim_helpers import (
    Spectrum,
    _components,
    _routes,
    item_gram,
    item_item_cosine,
    solve_factor_penalty,
    solve_product_penalty,
    spectra,
    spectrum,
    spectrum_from_gram,
)

WAYS = {
    "dense": spectrum,
    "sparse": lambda X, k=None: spectrum(sp.csr_array(X), k),
    "coordinates": lambda X, k=None: spectrum(sp.coo_array(X), k),
    "gram": lambda X, k=None: spectrum_from_gram(item_gram(X), k or min(X.shape)),
}


@pytest.fixture(params=[*WAYS, *(f"route {name}" for name in _routes.ROUTES)])
def top(request, monkeypatch):
    """The top singular pairs of X: by each entrance, and by each route that the cost could choose."""
    if request.param in WAYS:
        return WAYS[request.param]
    monkeypatch.setattr(spectra, "cheapest_route", lambda X, k: request.param.removeprefix("route "))
    return lambda X, k=None: spectrum(sp.csr_array(X), min(k or min(X.shape), min(X.shape) - 1))


def solutions(top, X, lam_1, lam_2, k=None):
    pairs = top(X, k)
    return solve_product_penalty(pairs, lam_1), solve_factor_penalty(pairs, lam_2)


def test_an_empty_item_has_no_cosine(top):
    X = np.array([[0.0, 1, 1], [0, 1, 1], [0, 0, 1]])
    for fit in solutions(top, X, 1.0, 0.1):
        np.testing.assert_array_equal(item_item_cosine(fit)[0], 0.0)


@pytest.mark.parametrize("seed", range(10))
def test_empty_items_among_others(top, seed):
    rng = np.random.default_rng(seed)
    X, owner = communities(rng, (20, 9), empty=3)
    for fit in solutions(top, X, 1.0, 0.5, 5):
        cosine = item_item_cosine(fit)
        np.testing.assert_array_equal(cosine[owner < 0], 0.0)
        assert (np.diag(cosine)[owner == 0] > 0.5).all()


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("shapes", [((30, 6), (8, 4)), ((6, 30), (4, 8)), ((25, 7), (10, 3), (5, 4))])
def test_communities_stay_strangers(top, seed, shapes):
    """Also where λ of Eq. 2 leaves the smaller community without any direction: then its items have no cosine."""
    X, owner = communities(np.random.default_rng(seed), *shapes, empty=1)
    largest = [np.linalg.norm(X[:, owner == number], 2) for number in range(len(shapes))]
    other = owner[:, None] != owner
    for fit in (*solutions(top, X, 1.0, 0.3), *solutions(top, X, 1.0, 1.01 * min(largest))):
        np.testing.assert_array_equal(item_item_cosine(fit)[other], 0.0)
    below = np.flatnonzero(np.array(largest) < 1.01 * min(largest))
    np.testing.assert_array_equal(fit.B[np.isin(owner, below)], 0.0)
    np.testing.assert_array_equal(fit.A[np.isin(owner, below)], 0.0)


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_communities_at_any_scale(scale):
    X, owner = communities(np.random.default_rng(3), (30, 6), (8, 4))
    lam = 1.01 * scale * min(np.linalg.norm(X[:, owner == number], 2) for number in (0, 1))
    cosine = item_item_cosine(solve_factor_penalty(spectrum(scale * X), lam))
    np.testing.assert_array_equal(cosine[owner[:, None] != owner], 0.0)


def test_copies_of_one_community_share_their_values():
    """σ is repeated, so the vectors may mix the copies; the cosines may not."""
    block = binary(np.random.default_rng(0), 12, 5)
    X = np.kron(np.eye(3), block)
    owner = np.repeat([0, 1, 2], 5)
    for fit in solutions(spectrum, X, 1.0, 0.7):
        assert abs(item_item_cosine(fit)[owner[:, None] != owner]).max() < 1e-12


@pytest.mark.parametrize("ratio", 10.0 ** -np.arange(4, 15))
@pytest.mark.parametrize("seed", range(3))
def test_small_singular_values_put_nothing_on_empty_items(top, ratio, seed):
    """The rounding of a vector grows as σ_1/σ, up to 1; the vectors stay orthonormal, or `Spectrum` refuses them."""
    X = np.insert(with_singular_values([1.0, 0.5, ratio, ratio / 2], 12, seed), [1, 2, 4], 0.0, axis=1)
    for fit in solutions(top, X, 0.0, 0.0):
        np.testing.assert_array_equal(fit.B[~X.any(axis=0)], 0.0)


@pytest.mark.parametrize("gap", [1e-6, 1e-9, 1e-11, 1e-12, 1e-13])
@pytest.mark.parametrize("seed", range(5))
def test_a_penalty_between_the_nearly_equal_values_of_two_communities(top, gap, seed):
    """Their vectors are at the mercy of rounding wherever both are in one eigenproblem."""
    rng = np.random.default_rng(seed)
    X, owner = communities(rng, (9, 5), (7, 4))
    for number, size in ((0, 1.0), (1, 1 + gap)):
        X[:, owner == number] *= size / np.linalg.norm(X[:, owner == number], 2)
    fit = solve_factor_penalty(top(X, 2), 1 + gap / 2)
    np.testing.assert_array_equal(fit.B[owner == 0], 0.0)
    assert fit.B[owner == 1].any()


@pytest.mark.parametrize("copies", [2, 3, 50])
def test_copies_of_one_community_stay_strangers_at_every_rank(top, copies):
    rng = np.random.default_rng(copies)
    items = rng.permutation(3 * copies)
    X = np.kron(np.eye(copies), [[0.0, 1, 1], [1, 1, 1], [1, 1, 1], [1, 1, 1]])[rng.permutation(4 * copies)][:, items]
    other = (items // 3)[:, None] != items // 3
    for k in (1, copies - 1, copies, copies + 1, 2 * copies - 1):
        for fit in solutions(top, X, 1.0, 0.1, k):
            np.testing.assert_array_equal(item_item_cosine(fit)[other], 0.0, err_msg=f"k = {k}")


def test_copies_of_a_large_community():
    block = sp.random_array((1_200, 1_100), density=0.01, rng=np.random.default_rng(0), format="csr")
    X, owner = sp.block_diag([block] * 5, format="csr"), np.repeat(range(5), 1_100)
    for fit in solutions(spectrum, X, 1.0, 0.1, 7):
        assert not item_item_cosine(fit)[owner[:, None] != owner].any()


def test_one_user_links_two_communities():
    """However small the number, and at however large a penalty."""
    for link in (1.0, 1e-3, 1e-6):
        X = np.zeros((14, 9))
        X[:8, :5], X[8:13, 5:] = 1.0, 1.0
        X[13, 4:6] = 1.0, link
        lam = 1.2 * np.linalg.norm(X[8:, 5:], 2)
        V = np.linalg.svd(X)[2][:1].T  # the only direction that is left
        B = solve_factor_penalty(spectrum(X), lam).B
        np.testing.assert_allclose(B[5:, 0] / B[0, 0], V[5:, 0] / V[0, 0], rtol=1e-6)
        np.testing.assert_allclose(item_item_cosine(solve_factor_penalty(spectrum(X), lam)), 1.0, rtol=1e-9)


def test_a_long_chain_is_one_community():
    n = 3 * _components._STEPS
    X = np.eye(n) + np.eye(n, k=1)
    np.testing.assert_allclose(abs(spectrum(X, 1).V), abs(np.linalg.svd(X)[2][:1].T), atol=1e-9)
    assert (spectrum(sp.csr_array(X), 1).V != 0).all()


@pytest.mark.parametrize("k", [1, 4, 90])
def test_many_communities_have_the_values_of_all_of_them(top, k):
    """Also of those that come last, and with as many σ = 0 as the users of a community fall short of its items."""
    rng = np.random.default_rng(5)
    X, owner = communities(rng, *[tuple(rng.integers(1, 6, 2)) for _ in range(40)], empty=4)
    found, k = top(X, k), min(k, *X.shape)
    sigma = np.linalg.svd(X, compute_uv=False)[:k]
    np.testing.assert_allclose(found.sigma, sigma[: found.sigma.size], atol=1e-7)
    assert found.sigma.size in (k, k - 1)
    for vector in found.V[:, found.sigma > 0].T:
        assert np.unique(owner[vector != 0]).size == 1


@pytest.mark.parametrize("seed", range(10))
def test_stored_zeros_link_nothing(seed):
    X, owner = communities(np.random.default_rng(seed), (30, 6), (8, 4))
    lam = 1.01 * min(np.linalg.norm(X[:, owner == number], 2) for number in (0, 1))
    stored = sp.csr_array(X + 1.0)
    stored.data -= 1.0
    assert stored.nnz == X.size
    cosine = item_item_cosine(solve_factor_penalty(spectrum(stored), lam))
    np.testing.assert_array_equal(cosine[owner[:, None] != owner], 0.0)


@pytest.mark.parametrize("shape", [(3, 3), (7, 5), (5, 7), (2, 90), (400, 60), (61, 61)])
@pytest.mark.parametrize("scale", [1.0, 0.1, 3e-5, 7e8])
def test_a_penalty_that_equals_the_singular_value_removes_all(top, shape, scale):
    """c · ones((n, p)) has σ_1 = c √(np) and no other."""
    n, p = shape
    fit = solve_factor_penalty(top(np.full(shape, scale), 1), scale * np.sqrt(n * p))
    np.testing.assert_array_equal(fit.A, 0.0)
    np.testing.assert_array_equal(fit.B, 0.0)
    np.testing.assert_array_equal(item_item_cosine(fit), 0.0)


@pytest.mark.parametrize("second", range(1, 40, 3))
def test_a_penalty_that_equals_a_later_singular_value(top, second):
    """Two communities of ones, σ = 40 and `second`; λ at the second leaves the first alone."""
    X = np.zeros((second + 40, 80))
    X[:40, :40] = 1.0
    X[40:, 40 : 40 + second] = 1.0
    B = solve_factor_penalty(top(X, 2), float(second)).B
    np.testing.assert_array_equal(B[40:], 0.0)
    np.testing.assert_allclose(np.linalg.norm(B[:40]) ** 2, 40 - second, rtol=1e-9)


@pytest.mark.parametrize("first", [1e2, 1e4, 1e6])
@pytest.mark.parametrize("second", [1, 2, 5, 7])
def test_a_penalty_that_equals_the_value_of_a_far_smaller_community(top, first, second):
    X = np.zeros((40 + second, 31 + second))
    X[:40, :31] = first / np.sqrt(40 * 31)
    X[40:, 31:] = 1.0
    X = X[:, np.random.default_rng(second).permutation(X.shape[1])]
    np.testing.assert_array_equal(solve_factor_penalty(top(X, 2), second).B[:, 1], 0.0)


def test_exceeds_tells_what_rounding_can_tell():
    pairs = spectrum(np.diag([100.0, 3.0, 1e-6]))
    for level in (100.0, 3.0, 1e-6):
        np.testing.assert_array_equal(pairs.exceeds(level), pairs.sigma > 1.5 * level)
        np.testing.assert_array_equal(pairs.exceeds(level * (1 - 1e-4)), pairs.sigma > level / 1.5)
    np.testing.assert_array_equal(pairs.exceeds(0.0), [True, True, True])
    with pytest.raises(ValueError, match="level takes a finite number of at least 0, got -1"):
        pairs.exceeds(-1)


@pytest.mark.parametrize("second", [0.3, 0.03, 0.004])
@pytest.mark.parametrize("seed", range(5))
def test_a_penalty_that_equals_a_small_value_of_one_community(top, second, seed):
    """Squaring costs digits of a small σ: the tolerance has to grow with σ_1/σ."""
    X = with_singular_values([1.0, second, second / 2], 12, seed)
    B = solve_factor_penalty(top(X, 2), second).B
    np.testing.assert_array_equal(B[:, 1], 0.0)
    assert solve_factor_penalty(top(X, 2), second * (1 - 1e-6)).B[:, 1].any()


@pytest.mark.parametrize(("ratio", "error"), [(1, 1), (100, 1e4), (1e3, 1e5), (1e4, 1e5), (1e7, 1e7)])
def test_exceeds_by_its_formula(ratio, error):
    pairs = Spectrum([ratio, 1.0], np.eye(9)[:, :2])
    tolerance = 4 * 9 * np.finfo(float).eps * error
    assert not pairs.exceeds(1 / (1 + 0.9 * tolerance))[1]
    assert pairs.exceeds(1 / (1 + 1.1 * tolerance))[1]


def test_what_is_zero_is_so_beside_the_largest_value_of_all(top):
    """Also where the small value stands alone in its community, and knows of no larger one."""
    X = np.zeros((5, 4))
    X[[0, 1], [0, 1]] = 1.0, 1e-17
    np.testing.assert_array_equal(top(X, 2).sigma, [1.0, 0.0])

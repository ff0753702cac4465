"""What is zero in exact arithmetic is zero: items without users, other communities, penalties that equal a σ."""

import numpy as np
import pytest
import scipy.sparse as sp
from instances import binary, communities

from cossim_helpers import (
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


def test_exceeds_tells_what_rounding_can_tell():
    pairs = spectrum(np.diag([100.0, 3.0, 1e-6]))
    for level in (100.0, 3.0, 1e-6):
        np.testing.assert_array_equal(pairs.exceeds(level), pairs.sigma > 1.5 * level)
        np.testing.assert_array_equal(pairs.exceeds(level * (1 - 1e-4)), pairs.sigma > level / 1.5)
    np.testing.assert_array_equal(pairs.exceeds(0.0), [True, True, True])
    with pytest.raises(ValueError, match="level takes a finite number of at least 0, got -1"):
        pairs.exceeds(-1)

"""Chapter 03: the closed form of Eq. 1, Eq. 5 as one choice, and when the product is unique."""

from itertools import combinations, pairwise

import numpy as np
import pytest
import scipy.linalg
import scipy.optimize
from instances import INSTANCES, with_singular_values
from oracles import eq1_by_hand, minimize_by_lbfgs, random_orthogonal

from cossim_helpers import (
    Factors,
    item_item_cosine,
    product_penalty_gradient,
    product_penalty_objective,
    reparameterize,
    shrinkage,
    solve_product_penalty,
    spectrum_from_gram,
)


def ranks(X):
    return range(1, X.shape[1] + 1)


def solve(X, lam, k):
    return solve_product_penalty(spectrum_from_gram(X.T @ X), lam, k)


def smallest_value(X, lam, k):
    """‖X‖² − Σ_{i≤k} σ_i⁴/(σ_i² + λ), from NumPy's SVD; a term with σ_i = 0 is 0."""
    s = np.linalg.svd(X, compute_uv=False)[:k]
    s = s[s > 1e-9]
    return np.linalg.norm(X) ** 2 - np.sum(s**4 / (s**2 + lam))


def by_reduced_rank_regression(X, lam, k):
    """Regress the stacked problem, then project on the top right singular vectors of the fitted values."""
    p = X.shape[1]
    stacked, target = np.vstack([X, np.sqrt(lam) * np.eye(p)]), np.vstack([X, np.zeros((p, p))])
    W = np.linalg.lstsq(stacked, target)[0]
    V = np.linalg.svd(stacked @ W)[2][:k].T
    return W @ V @ V.T


def by_change_of_metric(X, lam, k):
    """M⁻¹ (M W_ridge)_k with M = (XᵀX + λI)^{1/2} from SciPy's matrix square root."""
    H = X.T @ X + lam * np.eye(X.shape[1])
    M = scipy.linalg.sqrtm(H)
    left, tau, right_t = np.linalg.svd(M @ np.linalg.solve(H, X.T @ X))
    return np.linalg.solve(M, (left[:, :k] * tau[:k]) @ right_t[:k])


def is_unique(sigma, k, lam):
    """The theorem, for k ≤ p = len(sigma)."""
    p = len(sigma)
    at_the_cut = k == p or sigma[k - 1] > sigma[k] or sigma[k - 1] == 0
    return at_the_cut and (lam > 0 or sigma[-1] > 0)


@pytest.mark.claim("closed-form-1")
@pytest.mark.parametrize("lam", [0.0, 1e-3, 0.7, 40.0])
@pytest.mark.parametrize("name", INSTANCES)
def test_value_at_the_closed_form_is_the_lower_bound(name, lam):
    X = INSTANCES[name]
    for k in ranks(X):
        f = solve(X, lam, k)
        expected = smallest_value(X, lam, k)
        assert eq1_by_hand(X, f.A, f.B, lam) == pytest.approx(expected, rel=1e-11, abs=1e-11)


@pytest.mark.claim("closed-form-1")
@pytest.mark.parametrize("lam", [0.0, 1e-3, 0.7, 40.0])
@pytest.mark.parametrize("name", INSTANCES)
def test_no_product_of_rank_k_is_better(name, lam):
    X, rng = INSTANCES[name], np.random.default_rng(0)
    p = X.shape[1]
    for k in ranks(X):
        f = solve(X, lam, k)
        best = eq1_by_hand(X, f.A, f.B, lam)
        for step in (1e-3, 1e-1, 1.0):
            for _ in range(20):
                A, B = f.A + step * rng.standard_normal((p, k)), f.B + step * rng.standard_normal((p, k))
                assert eq1_by_hand(X, A, B, lam) >= best - 1e-11 * (1 + np.linalg.norm(X) ** 2)


@pytest.mark.claim("closed-form-1")
@pytest.mark.parametrize("lam", [0.05, 0.7, 40.0])
@pytest.mark.parametrize("name", INSTANCES)
def test_two_other_routes_to_the_product(name, lam):
    X = INSTANCES[name]
    sigma = spectrum_from_gram(X.T @ X).sigma.round(6)
    for k in ranks(X):
        f = solve(X, lam, k)
        for W in (by_reduced_rank_regression(X, lam, k), by_change_of_metric(X, lam, k)):
            assert eq1_by_hand(X, W, np.eye(len(W)), lam) == pytest.approx(smallest_value(X, lam, k), abs=1e-9)
            if is_unique(sigma, k, lam):
                np.testing.assert_allclose(W, f.A @ f.B.T, atol=1e-7)


@pytest.mark.claim("closed-form-1")
def test_every_choice_of_directions_is_stationary_and_the_first_k_are_the_best():
    X, lam, k = INSTANCES["signed"], 0.7, 3
    s = spectrum_from_gram(X.T @ X)
    d = shrinkage(s.sigma, lam)
    values = {}
    for chosen in combinations(range(6), k):
        B = s.V[:, chosen] * np.sqrt(d[list(chosen)])
        scale = np.linalg.norm(X.T @ X @ B)
        assert max(abs(g).max() for g in product_penalty_gradient(X, Factors(B, B), lam)) < 1e-13 * scale
        values[chosen] = eq1_by_hand(X, B, B, lam)
    assert min(values, key=values.get) == (0, 1, 2)
    assert sorted(values.values())[1] > values[0, 1, 2] + 0.1


@pytest.mark.claim("closed-form-1")
@pytest.mark.parametrize("sigma", [[3, 2, 2, 0, 0], [2, 2, 2, 1, 0], [3, 3, 0, 0, 0], [4, 3, 2, 1, 0.5]], ids=str)
def test_stationary_points_pick_directions_also_with_ties_and_without_full_rank(sigma):
    """W = Σ_{i∈J} d_i v_i v_iᵀ in some eigenbasis of S: W is symmetric, commutes with S, and W² = W H⁻¹S.

    Points that are not minima have a direction of negative curvature.
    """
    lam, k, p = 0.7, 2, 5
    X, rng = with_singular_values(sigma, 9), np.random.default_rng(5)
    S, V = X.T @ X, spectrum_from_gram(X.T @ X).V
    ridge = np.linalg.solve(S + lam * np.eye(p), S)

    def gradient(z):
        return np.ravel(product_penalty_gradient(X, Factors(*z.reshape(2, p, k)), lam))

    def hessian(z, h=1e-5):
        return np.array([(gradient(z + h * e) - gradient(z - h * e)) / (2 * h) for e in np.eye(z.size)])

    saddles, off_diagonal = 0, 0.0
    for _ in range(40):
        start = rng.standard_normal(2 * p * k)
        end = scipy.optimize.least_squares(gradient, start, method="lm", xtol=1e-15, ftol=1e-15)
        if np.linalg.norm(end.fun) > 1e-9:
            continue
        A, B = end.x.reshape(2, p, k)
        W = A @ B.T  # entries of size 1
        np.testing.assert_allclose(W, W.T, atol=1e-5)
        np.testing.assert_allclose(W @ S, S @ W, atol=1e-4)  # entries of S up to 16
        np.testing.assert_allclose(W @ W, W @ ridge, atol=1e-5)
        value = eq1_by_hand(X, A, B, lam)
        assert value == pytest.approx(np.linalg.norm(X) ** 2 - np.sum(S * W), abs=1e-4)
        picked = V.T @ W @ V
        off_diagonal = max(off_diagonal, abs(picked - np.diag(np.diag(picked))).max())
        if value > smallest_value(X, lam, k) + 0.01:
            saddles += 1
            assert np.linalg.eigvalsh(hessian(end.x)).min() < -0.01
    assert saddles >= 3
    tie = any(one == other > 0 for one, other in pairwise(sigma))
    assert (off_diagonal > 0.01) == tie  # a tie needs its own choice of eigenvectors, no tie does not


@pytest.mark.claim("eq5")
@pytest.mark.parametrize("lam", [0.0, 0.7, 40.0])
@pytest.mark.parametrize("name", INSTANCES)
def test_eq5_is_balanced_and_every_G_is_as_good(name, lam):
    X, rng = INSTANCES[name], np.random.default_rng(1)
    for k in ranks(X):
        f = solve(X, lam, k)
        sigma = np.linalg.svd(X.T @ X, compute_uv=False)[:k] ** 0.5
        d = [s**2 / (s**2 + lam) if s > 1e-6 else 0.0 for s in sigma]
        np.testing.assert_allclose(f.A.T @ f.A, np.diag(d), atol=1e-10)
        np.testing.assert_allclose(f.A, f.B, atol=0)
        G = random_orthogonal(k, rng) * np.exp(rng.uniform(-1, 1, k)) @ random_orthogonal(k, rng)
        other = reparameterize(f, G)
        expected = smallest_value(X, lam, k)
        assert eq1_by_hand(X, other.A, other.B, lam) == pytest.approx(expected, rel=1e-11, abs=1e-11)


@pytest.mark.claim("eq5")
def test_other_choices_have_other_cosines_and_more_weight():
    X, lam, k, rng = INSTANCES["tall"], 0.7, 3, np.random.default_rng(2)
    f = solve(X, lam, k)
    d = np.diag(f.B.T @ f.B)
    for _ in range(50):
        G = rng.standard_normal((k, k))
        other = reparameterize(f, G)
        N = G @ G.T
        weight = np.linalg.norm(other.A) ** 2 + np.linalg.norm(other.B) ** 2
        assert weight == pytest.approx(np.sum((np.diag(N) + np.diag(np.linalg.inv(N))) * d))
        assert weight > 2 * d.sum() + 1e-3
        assert np.linalg.norm(other.A.T @ other.A - other.B.T @ other.B) > 1e-3
        assert abs(item_item_cosine(other) - item_item_cosine(f)).max() > 1e-2
    turned = reparameterize(f, random_orthogonal(k, rng))
    assert np.linalg.norm(turned.A) ** 2 + np.linalg.norm(turned.B) ** 2 == pytest.approx(2 * d.sum())


@pytest.mark.claim("eq5")
def test_surplus_columns_of_B_are_free():
    X, lam, rng = INSTANCES["rank 2 of 5"], 0.7, np.random.default_rng(3)
    f = solve(X, lam, 4)
    junk = Factors(f.A, np.hstack([f.B[:, :2], 10 * rng.standard_normal((5, 2))]))
    assert eq1_by_hand(X, junk.A, junk.B, lam) == pytest.approx(smallest_value(X, lam, 4), rel=1e-12)
    assert np.linalg.matrix_rank(junk.B) > np.linalg.matrix_rank(f.B, tol=1e-9)
    assert abs(item_item_cosine(junk) - item_item_cosine(f)).max() > 0.1


def second_product(X, lam, k):
    """Another minimizing product, built as in the theorem's proof; None where its construction does not apply."""
    s = spectrum_from_gram(X.T @ X)
    sigma, V, p = s.sigma, s.V, X.shape[1]
    if lam == 0 and sigma[-1] < 1e-7:  # a null vector of X shifts the product
        return V[:, :k] @ V[:, :k].T + np.outer(V[:, -1], V[:, 0])
    if k < p and sigma[k - 1] > 1e-7 and sigma[k - 1] - sigma[k] < 1e-7:  # a tie: direction k + 1 in the place of k
        chosen = [*range(k - 1), k]
        return (V[:, chosen] * shrinkage(sigma[chosen], lam)) @ V[:, chosen].T
    return None


SPECTRA = [
    [4, 3, 2, 1],
    [4, 3, 3, 1],
    [3, 3, 2, 1],
    [4, 3, 2, 2],
    [4, 3, 0, 0],
    [4, 0, 0, 0],
    [2, 2, 2, 2],
    [2, 2, 0, 0],
    [0, 0, 0, 0],
    [5],
]


@pytest.mark.claim("eq1-uniqueness")
@pytest.mark.parametrize("lam", [0.0, 0.5])
@pytest.mark.parametrize("sigma", SPECTRA, ids=str)
def test_a_second_minimizer_exists_exactly_where_the_theorem_says(sigma, lam):
    X = with_singular_values(sigma, 9)
    for k in ranks(X):
        other = second_product(X, lam, k)
        assert (other is None) == is_unique(sigma, k, lam)
        if other is not None:
            f = solve(X, lam, k)
            assert np.linalg.matrix_rank(other, tol=1e-6) <= k
            assert abs(other - f.A @ f.B.T).max() > 0.1
            value = eq1_by_hand(X, other, np.eye(len(other)), lam)
            assert value == pytest.approx(smallest_value(X, lam, k), rel=1e-11, abs=1e-11)


@pytest.mark.claim("eq1-uniqueness")
@pytest.mark.parametrize("lam", [0.0, 0.5])
@pytest.mark.parametrize("sigma", SPECTRA[:-2], ids=str)
def test_runs_of_lbfgs_agree_exactly_where_the_theorem_says(sigma, lam):
    X, rng = with_singular_values(sigma, 9), np.random.default_rng(4)
    for k in ranks(X):
        ends = [
            minimize_by_lbfgs(
                lambda f: product_penalty_objective(X, f, lam),
                lambda f: product_penalty_gradient(X, f, lam),
                (4, k),
                rng,
            )
            for _ in range(3)
        ]
        for f in ends:
            assert eq1_by_hand(X, f.A, f.B, lam) == pytest.approx(smallest_value(X, lam, k), abs=1e-8)
        products = [f.A @ f.B.T for f in ends]
        spread = max(abs(one - other).max() for one, other in combinations(products, 2))
        if is_unique(sigma, k, lam):
            assert spread < 1e-4
        else:
            assert spread > 0.02


@pytest.mark.claim("eq1-uniqueness")
@pytest.mark.parametrize("sigma", [[4, 3, 0, 0], [4, 0, 0, 0], [2, 2, 0, 0]], ids=str)
def test_a_penalty_notices_what_no_penalty_does_not(sigma):
    """The shift by a null vector of X costs exactly λ more, so λ > 0 needs no full column rank."""
    X, lam = with_singular_values(sigma, 9), 0.5
    s = spectrum_from_gram(X.T @ X)
    f = solve(X, lam, 1)
    shifted = f.A @ f.B.T + np.outer(s.V[:, -1], s.V[:, 0])
    assert np.linalg.matrix_rank(shifted, tol=1e-6) == 1
    cost = eq1_by_hand(X, shifted, np.eye(len(X.T)), lam) - eq1_by_hand(X, f.A, f.B, lam)
    assert cost == pytest.approx(lam, rel=1e-10)

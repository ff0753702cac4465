"""The closed forms and the objectives against L-BFGS from random starts, finite differences and numbers known by hand.

What holds on all data, like ridge regression and zero gradients, stands in test_laws.py.
"""

import numpy as np
import pytest
import scipy.sparse as sp
from instances import INSTANCES, interactions
from oracles import eq1_by_hand, eq2_by_hand, minimize_by_lbfgs

from cossim_helpers import (
    Factors,
    Spectrum,
    _owned,
    factor_penalty_gradient,
    factor_penalty_objective,
    product_penalty_gradient,
    product_penalty_objective,
    rescale,
    shrinkage,
    solve_factor_penalty,
    solve_product_penalty,
    spectrum,
)


@pytest.mark.claim("closed-form-1")
@pytest.mark.parametrize(("n", "p", "k", "lam"), [(30, 8, 3, 2.0), (30, 8, 8, 2.0), (6, 9, 2, 0.5), (25, 6, 1, 10.0)])
def test_lbfgs_finds_the_same_optimum_of_eq1(n, p, k, lam):
    X = interactions(n + k, n, p)
    closed = solve_product_penalty(spectrum(X), lam, min(k, n))
    best = eq1_by_hand(X, closed.A, closed.B, lam)
    rng = np.random.default_rng(k)
    ends = [
        minimize_by_lbfgs(
            lambda f: product_penalty_objective(X, f, lam), lambda f: product_penalty_gradient(X, f, lam), (p, k), rng
        )
        for _ in range(4)
    ]
    values = [eq1_by_hand(X, f.A, f.B, lam) for f in ends]
    assert min(values) >= best * (1 - 1e-10)
    for f, value in zip(ends, values):
        assert value == pytest.approx(best, rel=1e-8)
        np.testing.assert_allclose(X @ f.A @ f.B.T, X @ closed.A @ closed.B.T, atol=1e-4)
    grams = [f.B @ f.B.T for f in ends]
    assert abs(grams[0] - grams[1]).max() > 1e-2  # same scores, another item Gram: D is free


@pytest.mark.claim("eq6")
@pytest.mark.claim("uniqueness")
@pytest.mark.parametrize(("n", "p", "k", "lam"), [(30, 8, 3, 0.8), (30, 8, 8, 2.0), (6, 9, 2, 0.5), (25, 6, 1, 1.0)])
def test_lbfgs_finds_the_same_optimum_and_item_gram_of_eq2(n, p, k, lam):
    X = interactions(n + k, n, p)
    closed = solve_factor_penalty(spectrum(X), lam, min(k, n))
    best = eq2_by_hand(X, closed.A, closed.B, lam)
    rng = np.random.default_rng(k)
    for _ in range(4):
        f = minimize_by_lbfgs(
            lambda f: factor_penalty_objective(X, f, lam), lambda f: factor_penalty_gradient(X, f, lam), (p, k), rng
        )
        assert eq2_by_hand(X, f.A, f.B, lam) == pytest.approx(best, rel=1e-8)
        np.testing.assert_allclose(X @ f.A @ f.B.T, X @ closed.A @ closed.B.T, atol=1e-4)
        np.testing.assert_allclose(f.B @ f.B.T, closed.B @ closed.B.T, atol=1e-4)


@pytest.mark.claim("eq5")
def test_eq5_is_one_choice_of_many():
    X = INSTANCES["tall"]
    f = solve_product_penalty(spectrum(X), 2.0, 4)
    s = spectrum(X, 4)
    np.testing.assert_allclose(f.A, f.B)
    assert not np.shares_memory(f.A, f.B)
    np.testing.assert_allclose(f.A.T @ f.A, np.diag(s.sigma**2 / (s.sigma**2 + 2.0)), atol=1e-12)
    other = rescale(f, [1.0, 7.0, 0.1, 3.0])
    assert eq1_by_hand(X, other.A, other.B, 2.0) == pytest.approx(eq1_by_hand(X, f.A, f.B, 2.0), rel=1e-12)


@pytest.mark.claim("eq6")
def test_eq6_users_and_items_share_one_diagonal():
    X, lam = INSTANCES["tall"], 1.5
    f, s = solve_factor_penalty(spectrum(X), lam), spectrum(X)
    diagonal = np.diag(np.maximum(s.sigma - lam, 0))  # σ (1 − λ/σ)_+
    users = X @ f.A
    np.testing.assert_allclose(users.T @ users, diagonal, atol=1e-10)
    np.testing.assert_allclose(f.B.T @ f.B, diagonal, atol=1e-10)


def test_limits_at_zero():
    np.testing.assert_array_equal(shrinkage([2.0, 0.0], 0.0), [1.0, 0.0])
    np.testing.assert_array_equal(shrinkage([0.0], 3.0), [0.0])
    np.testing.assert_allclose(shrinkage([1e-200, 1e200], 1.0), [0.0, 1.0])
    np.testing.assert_allclose(shrinkage([3.0, 0.5], 2.0), [9 / 11, 1 / 9], rtol=1e-15)
    s = Spectrum(np.array([3.0, 1.0, 0.0]), np.eye(3))
    for lam in (0.0, 1.0):
        f = solve_factor_penalty(s, lam)
        assert np.isfinite(f.A).all() and f.A[2, 2] == f.B[2, 2] == 0
    f = solve_factor_penalty(s, 1.0)  # σ_2 = λ
    np.testing.assert_allclose(np.diag(f.B), [np.sqrt(2), 0, 0])
    np.testing.assert_allclose(np.diag(f.A), [np.sqrt(2) / 3, 0, 0])


def test_rank_above_the_data_s():
    X = INSTANCES["rank 2 of 5"]
    for k in (2, 4, 5):
        f = solve_product_penalty(spectrum(X), 2.0, k)
        expected = np.linalg.solve(X.T @ X + 2 * np.eye(5), X.T @ X)
        np.testing.assert_allclose(f.A @ f.B.T, expected, atol=1e-10)
        assert np.count_nonzero(abs(f.A).max(axis=0) > 0) == 2


@pytest.mark.parametrize("form", [np.array, sp.csr_array, sp.csc_array, sp.coo_array, sp.csr_matrix])
@pytest.mark.parametrize("dtype", [bool, np.int8, np.int64, np.float32, np.float64])
def test_objectives_and_gradients_take_every_kind_of_X(form, dtype):
    dense = interactions(8, 25, 6)
    X = form(dense.astype(dtype))
    rng = np.random.default_rng(0)
    f = Factors(rng.standard_normal((6, 2)), rng.standard_normal((6, 2)))
    assert product_penalty_objective(X, f, 1.5) == pytest.approx(eq1_by_hand(dense, f.A, f.B, 1.5), rel=1e-12)
    assert factor_penalty_objective(X, f, 1.5) == pytest.approx(eq2_by_hand(dense, f.A, f.B, 1.5), rel=1e-12)
    for gradient in (product_penalty_gradient, factor_penalty_gradient):
        for of_X, of_dense in zip(gradient(X, f, 1.5), gradient(dense, f, 1.5)):
            np.testing.assert_allclose(of_X, of_dense, atol=1e-12)


def test_objective_over_several_blocks_of_rows():
    X = interactions(9, 2_345, 5)
    f = Factors(np.full((5, 2), 0.3), np.full((5, 2), -0.2))
    assert product_penalty_objective(sp.csr_array(X), f, 0.7) == pytest.approx(eq1_by_hand(X, f.A, f.B, 0.7), rel=1e-12)


@pytest.mark.parametrize(
    ("objective", "gradient"),
    [(product_penalty_objective, product_penalty_gradient), (factor_penalty_objective, factor_penalty_gradient)],
)
@pytest.mark.parametrize("lam", [0.0, 3.0])
def test_gradients_against_finite_differences(objective, gradient, lam):
    X = interactions(10, 12, 5)
    rng = np.random.default_rng(1)
    A, B = rng.standard_normal((2, 5, 2))
    dA, dB = gradient(X, Factors(A, B), lam)
    h = 1e-5
    for i in range(5):
        for j in range(2):
            step = np.zeros((5, 2))
            step[i, j] = h
            slope_A = (objective(X, Factors(A + step, B), lam) - objective(X, Factors(A - step, B), lam)) / (2 * h)
            slope_B = (objective(X, Factors(A, B + step), lam) - objective(X, Factors(A, B - step), lam)) / (2 * h)
            assert dA[i, j] == pytest.approx(slope_A, rel=1e-6, abs=1e-6)
            assert dB[i, j] == pytest.approx(slope_B, rel=1e-6, abs=1e-6)


S = spectrum(INSTANCES["tall"], 5)
F = solve_product_penalty(S, 1.0)


def test_what_the_solvers_made_is_not_copied(monkeypatch):
    monkeypatch.setattr(_owned, "_copied", None)
    for solve in (solve_product_penalty, solve_factor_penalty):
        assert solve(S, 1.0).B.shape == (8, 5)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: solve_product_penalty(S, -1.0), ValueError, "lam takes a finite number of at least 0, got -1.0"),
        (lambda: solve_factor_penalty(S, np.nan), ValueError, "lam takes a finite number"),
        (lambda: solve_factor_penalty(S, np.inf), ValueError, "lam takes a finite number"),
        (lambda: solve_product_penalty(S, "1"), TypeError, "lam takes a real number"),
        (lambda: solve_product_penalty(S, True), TypeError, "lam takes a real number"),
        (
            lambda: solve_product_penalty(S, 1.0, 0),
            ValueError,
            "k takes an integer from 1 to 5 .*spectrum holds.*got 0",
        ),
        (lambda: solve_factor_penalty(S, 1.0, 6), ValueError, "k takes an integer from 1 to 5"),
        (lambda: solve_product_penalty(S, 1.0, 2.0), TypeError, "k takes an integer, got 2.0"),
        (lambda: solve_product_penalty(np.eye(3), 1.0), TypeError, "spectrum takes Spectrum, got ndarray"),
        (lambda: Factors(np.eye(3), np.eye(3)[:, :2]), ValueError, "B, with the shape of A: got .3, 2., takes .3, 3."),
        (lambda: shrinkage([-1.0], 1.0), ValueError, "sigma takes numbers of at least 0"),
        (lambda: shrinkage([1.0], -2), ValueError, "lam takes"),
        (lambda: product_penalty_objective(INSTANCES["tall"], F, -1), ValueError, "lam takes"),
        (
            lambda: factor_penalty_objective(np.ones((3, 4)), F, 1),
            ValueError,
            "X, with as many columns .*got 4, takes 8",
        ),
        (lambda: factor_penalty_gradient(np.full((3, 8), np.nan), F, 1), ValueError, "X takes finite numbers"),
        (lambda: product_penalty_gradient(INSTANCES["tall"], None, 1), TypeError, "factors takes Factors"),
    ],
)
def test_bad_input_names_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()

"""Laws of both objectives, their closed forms, what leaves them as they are, and cosines, on what is drawn."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from oracles import cosine_by_loops, eq1_by_hand, eq2_by_hand
from strategies import (
    SEEDS,
    diagonals,
    drawn,
    forms,
    in_form,
    invertible,
    invertibles,
    matrices,
    models,
    problems,
    rotations,
)

from cossim_helpers import (
    cosine_similarity,
    factor_penalty_gradient,
    factor_penalty_objective,
    item_item_cosine,
    minimize_factor_penalty,
    minimize_product_penalty,
    product_penalty_gradient,
    product_penalty_objective,
    reparameterize,
    rescale,
    rotate,
    shrinkage,
    solve_factor_penalty,
    solve_product_penalty,
    spectrum,
    user_item_cosine,
    user_user_cosine,
)

some = settings(max_examples=max(settings.default.max_examples // 2, 1))
few = settings(max_examples=max(settings.default.max_examples // 4, 1))
SOLVERS = {
    "eq 1": (solve_product_penalty, eq1_by_hand, product_penalty_objective, product_penalty_gradient),
    "eq 2": (solve_factor_penalty, eq2_by_hand, factor_penalty_objective, factor_penalty_gradient),
}
both = pytest.mark.parametrize("objective", SOLVERS)
BOUND = 1
penalties = st.sampled_from([0.0, 1e-12, 0.3, 2.0, 50.0, 1e8])


def least(objective, sigma, lam, k):
    """The minimum, from the singular values alone: Σ σ² less what the top k directions gain."""
    top = sigma[:k]
    if objective == "eq 1":  # σ² − λσ²/(σ² + λ)
        gained = np.sum(top**4 / np.maximum(top**2 + lam, 1e-300))
    else:
        gained = np.sum(np.maximum(top - lam, 0) ** 2)
    return np.sum(sigma**2) - gained


# --- closed forms ---


@both
@given(problems())
def test_the_closed_form_attains_the_minimum_and_is_stationary(objective, problem):
    X, lam, k = problem
    solve, by_hand, of_factors, gradient = SOLVERS[objective]
    fit = solve(spectrum(X), lam, k)
    assert fit.A.shape == fit.B.shape == (X.shape[1], k)
    whole = np.linalg.norm(X) ** 2
    found = by_hand(X, fit.A, fit.B, lam)
    assert found == pytest.approx(least(objective, np.linalg.svd(X)[1], lam, k), rel=1e-9, abs=1e-12 * whole)
    assert of_factors(X, fit, lam) == pytest.approx(found, rel=1e-9, abs=1e-12 * whole)
    dA, dB = gradient(X, fit, lam)
    # each is a sum of products with X A or X, or with A or B and λ
    size = (
        (np.linalg.norm(X) + np.sqrt(lam)) ** 2
        if objective == "eq 1"
        else np.linalg.norm(X) * (np.linalg.norm(X) + lam)
    )
    assert np.linalg.norm(dA) <= 1e-8 * size * max(np.linalg.norm(fit.B), 1e-3 * np.linalg.norm(X) ** 0.5)
    assert np.linalg.norm(dB) <= 1e-8 * (whole + lam) * max(np.linalg.norm(fit.A), np.linalg.norm(fit.B))


@both
@given(problems(), SEEDS)
def test_no_factors_nearby_or_far_are_better(objective, problem, seed):
    X, lam, k = problem
    solve, by_hand, _, _ = SOLVERS[objective]
    fit, rng = solve(spectrum(X), lam, k), np.random.default_rng(seed)
    best = by_hand(X, fit.A, fit.B, lam)
    size_A, size_B = (np.linalg.norm(M) or 1.0 for M in (fit.A, fit.B))
    for size in (1e-3, 1e-1, 1.0):
        dA, dB = size * rng.standard_normal((2, *fit.A.shape)) / np.sqrt(fit.A.size)
        for A, B in (
            (fit.A + size_A * dA, fit.B),
            (fit.A, fit.B + size_B * dB),
            (fit.A + size_A * dA, fit.B + size_B * dB),
        ):
            assert by_hand(X, A, B, lam) >= best - 1e-12 * np.linalg.norm(X) ** 2


@both
@given(matrices(), st.lists(penalties, min_size=2, max_size=4))
def test_a_larger_penalty_or_a_smaller_rank_fits_less(objective, X, lams):
    solve, by_hand, _, _ = SOLVERS[objective]
    unit = np.linalg.norm(X) or 1.0
    lams = [lam * (unit**2 if objective == "eq 1" else unit) for lam in sorted(lams)]
    pairs = spectrum(X)
    fits = [[solve(pairs, lam, k) for k in range(1, pairs.sigma.size + 1)] for lam in lams]
    values = [[by_hand(X, f.A, f.B, lam) for f in of_lam] for of_lam, lam in zip(fits, lams)]
    sizes = [[np.linalg.norm(X @ f.A @ f.B.T) for f in of_lam] for of_lam in fits]
    assert (np.diff(values, axis=0) >= -1e-10 * unit**2).all() and (np.diff(values, axis=1) <= 1e-10 * unit**2).all()
    assert (np.diff(sizes, axis=0) <= 1e-10 * unit).all() and (np.diff(sizes, axis=1) >= -1e-10 * unit).all()
    assert (np.array(values) <= unit**2 * (1 + 1e-10)).all()  # never worse than no model


@both
@given(problems(), SEEDS, st.sampled_from([1e-3, 2.0, 1e4]))
def test_units_names_and_copies_of_users_change_a_model_as_they_must(objective, problem, seed, c):
    X, lam, _ = problem  # at full rank: no cut between ties
    solve, rng = SOLVERS[objective][0], np.random.default_rng(seed)

    def product(data, lam):
        f = solve(spectrum(data), lam)
        return f.A @ f.B.T

    sigma, expected = np.linalg.svd(X)[1], product(X, lam)
    slack = 1e-7
    if objective == "eq 2" and (abs(sigma - lam) < 1e-6 * sigma[0]).any():
        slack = 2e-3  # √ of what rounding leaves at σ = λ: the product moves by (σ − λ)/σ
    if (np.diff(sigma[sigma > 0]) > 0).any() or (sigma[-1] < 1e-5 * sigma[0]).any():
        slack = max(slack, 1e-4)
    order = rng.permutation(X.shape[1])
    renamed = product(X[rng.permutation(len(X))][:, order], lam)
    np.testing.assert_allclose(renamed, expected[order][:, order], atol=slack)
    other_unit = product(c * X, lam * (c**2 if objective == "eq 1" else c))
    np.testing.assert_allclose(other_unit, expected, atol=slack)
    twice = product(np.concatenate([X, X]), lam * (2 if objective == "eq 1" else np.sqrt(2)))
    np.testing.assert_allclose(twice, expected, atol=slack)


@given(st.lists(st.sampled_from([0.0, 1e-9, 0.5, 1.0, 3.0, 1e5]), min_size=1, max_size=5), penalties)
def test_shrinkage_is_the_fraction_it_says(sigma, lam):
    d = shrinkage(sigma, lam)
    exact = [float(Fraction(s) ** 2 / (Fraction(s) ** 2 + Fraction(lam))) if s else 0.0 for s in sigma]
    np.testing.assert_allclose(d, exact, rtol=1e-14, atol=0)
    assert (d >= 0).all() and (d <= 1).all()
    assert (np.diff(shrinkage(sorted(sigma), lam)) >= 0).all()
    assert (shrinkage(sigma, 2 * lam + 1e-6) <= d).all()


@few
@both
@given(matrices(5, exponents=st.just(0)), st.sampled_from([0.0, 0.1, 1.0, 5.0]), SEEDS)
@example(np.zeros((1, 2)), 0.3, 0)
@example(np.zeros((2, 2)), 0.3, 1)
@example(drawn("sparse", 4, 5, 1), 1.0, 278)  # where ⟨AᵀA, BᵀB⟩ loses digits, the search ends too early
@example(drawn("nonnegative", 2, 5, 615), 5.0, 615)
def test_a_general_optimizer_finds_nothing_better(objective, X, lam, seed):
    minimize = minimize_product_penalty if objective == "eq 1" else minimize_factor_penalty
    k = 1 + seed % min(X.shape)
    end = minimize(X, lam, k, rng=seed)
    expected = least(objective, np.linalg.svd(X)[1], lam, k)
    found = SOLVERS[objective][1](X, end.A, end.B, lam)
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-6 * np.linalg.norm(X) ** 2 + 1e-12)


# --- objectives and gradients, on whatever factors ---


@both
@given(models(), penalties, forms)
def test_objectives_by_definition_and_gradients_by_their_lines(objective, model, lam, form):
    """Along a line either objective is a polynomial of degree 4: five points give its slope without error."""
    X, f = model
    _, by_hand, of_factors, gradient = SOLVERS[objective]
    this = in_form(form, X)
    value = by_hand(X, f.A, f.B, lam)
    assert of_factors(this, f, lam) == pytest.approx(value, rel=1e-10)
    rng = np.random.default_rng(0)
    size_A, size_B = (np.linalg.norm(M) or 1.0 for M in (f.A, f.B))
    eA, eB = size_A * rng.standard_normal(f.A.shape), size_B * rng.standard_normal(f.B.shape)
    points = [by_hand(X, f.A + t * eA, f.B + t * eB, lam) for t in (-2, -1, 1, 2)]
    slope = (points[0] - 8 * points[1] + 8 * points[2] - points[3]) / 12
    dA, dB = gradient(this, f, lam)
    assert np.sum(dA * eA) + np.sum(dB * eB) == pytest.approx(slope, rel=1e-9, abs=1e-11 * max(points))


# --- what leaves the product as it is ---


@given(models(), st.data())
def test_D_and_G_leave_scores_and_can_be_undone(model, data):
    f = model[1]
    k = f.A.shape[1]
    d, e, G = data.draw(diagonals(k)), data.draw(diagonals(k)), data.draw(invertibles(k))
    slack = 1e-12 * np.linalg.norm(f.A) * np.linalg.norm(f.B)
    for g in (rescale(f, d), reparameterize(f, G)):
        np.testing.assert_allclose(g.A @ g.B.T, f.A @ f.B.T, rtol=0, atol=100 * slack)
    one, other = rescale(rescale(f, d), e), rescale(f, d * e)
    np.testing.assert_allclose(one.A, other.A, rtol=1e-14)
    np.testing.assert_allclose(one.B, other.B, rtol=1e-14)
    back = reparameterize(reparameterize(f, G), np.linalg.inv(G))
    np.testing.assert_allclose(back.A, f.A, rtol=0, atol=1e-10 * np.linalg.norm(f.A))
    np.testing.assert_allclose(back.B, f.B, rtol=0, atol=1e-10 * np.linalg.norm(f.B))
    special = reparameterize(f, np.diag(d)), rescale(f, d)
    np.testing.assert_allclose(special[0].A, special[1].A, rtol=1e-13)
    np.testing.assert_allclose(special[0].B, special[1].B, rtol=1e-13)


@given(models(), SEEDS, st.sampled_from([1, 4, 8]))
def test_objectives_keep_their_digits_where_much_cancels(model, seed, decades):
    """A G and B G⁻ᵀ are long and their product is not."""
    X, f = model
    g = reparameterize(f, invertible(f.A.shape[1], seed, decades))
    P = g.A @ g.B.T
    size = 1e-13 * (np.linalg.norm(g.A) * np.linalg.norm(g.B)) * np.linalg.norm(P)
    assert product_penalty_objective(np.zeros_like(X), g, 1.0) == pytest.approx(
        np.linalg.norm(P) ** 2, rel=1e-12, abs=size
    )


@given(models(), penalties, st.data())
def test_a_rotation_moves_neither_objectives_nor_cosines(model, lam, data):
    X, f = model
    R = data.draw(rotations(f.A.shape[1]))
    g = rotate(f, R)
    np.testing.assert_array_equal(rotate(f, np.eye(len(R))).B, f.B)
    for by_hand in (eq1_by_hand, eq2_by_hand):
        assert by_hand(X, g.A, g.B, lam) == pytest.approx(by_hand(X, f.A, f.B, lam), rel=1e-10)
    np.testing.assert_allclose(item_item_cosine(g), item_item_cosine(f), atol=1e-13)
    np.testing.assert_allclose(rotate(g, R.T).A, f.A, rtol=0, atol=1e-13 * np.linalg.norm(f.A))


# --- cosines ---


@given(matrices(), matrices(), forms, forms, SEEDS)
def test_cosines_by_definition_within_their_bounds(P, Q, form_P, form_Q, seed):
    width = min(P.shape[1], Q.shape[1])
    P, Q = P[:, :width], Q[:, :width]
    rng = np.random.default_rng(seed)
    C = cosine_similarity(in_form(form_P, P), in_form(form_Q, Q))
    assert isinstance(C, np.ndarray) and C.dtype == np.float64
    np.testing.assert_allclose(C, cosine_by_loops(P, Q), atol=1e-14)
    assert abs(C).max() <= BOUND
    np.testing.assert_allclose(cosine_similarity(Q, P), C.T, atol=1e-15)
    lengths = 10.0 ** rng.uniform(-9, 9, len(P)) * rng.choice([-1, 1], len(P))
    np.testing.assert_allclose(cosine_similarity(lengths[:, None] * P, Q), np.sign(lengths)[:, None] * C, atol=1e-14)


@given(matrices(), forms)
def test_cosines_of_a_matrix_with_itself(P, form):
    C = cosine_similarity(in_form(form, P))
    there = P.any(axis=1)
    np.testing.assert_array_equal(C, C.T)
    np.testing.assert_array_equal(np.diag(C), there)
    assert not C[~there].any() and abs(C).max() <= BOUND
    assert np.linalg.eigvalsh(C)[0] > -1e-14 * len(C)


@given(models(), forms)
def test_the_three_cosines_are_those_of_the_embeddings(model, form):
    X, f = model
    this, users = in_form(form, X), X @ f.A
    told = np.linalg.norm(users, axis=1) > 1e-10 * np.linalg.norm(X, axis=1) * np.linalg.norm(f.A)  # no cancellation
    np.testing.assert_allclose(item_item_cosine(f), cosine_by_loops(f.B, f.B), atol=1e-14)
    found, expected = user_user_cosine(this, f), cosine_by_loops(users, users)
    np.testing.assert_allclose(found[told][:, told], expected[told][:, told], atol=1e-4)
    np.testing.assert_allclose(user_item_cosine(this, f)[told], cosine_by_loops(users, f.B)[told], atol=1e-4)
    assert abs(found).max() <= BOUND and not found[~X.any(axis=1)].any()

"""Laws that hold for all data: each on every instance of instances.py, at every rank, for several penalties."""

import numpy as np
import pytest
import scipy.sparse as sp
from instances import INSTANCES
from oracles import eq1_by_hand, eq2_by_hand, random_orthogonal

from cossim_helpers import (
    Factors,
    cosine_similarity,
    factor_penalty_gradient,
    factor_penalty_objective,
    fractionally_whitened_cosine,
    item_gram,
    item_item_cosine,
    product_penalty_gradient,
    product_penalty_objective,
    reparameterize,
    rescale,
    rotate,
    score_column_cosine,
    score_row_cosine,
    solve_factor_penalty,
    solve_product_penalty,
    spectral_cosine,
    spectrum,
    spectrum_from_gram,
    user_item_cosine,
    user_user_cosine,
    whitened_cosine,
)

LAMBDAS = [0.0, 0.3, 2.0, 50.0]
SOLVERS = {
    "eq 1": (solve_product_penalty, eq1_by_hand, product_penalty_objective, product_penalty_gradient),
    "eq 2": (solve_factor_penalty, eq2_by_hand, factor_penalty_objective, factor_penalty_gradient),
}
OF_ITEMS = {  # of X and factors: square matrices of cosines between items
    "item-item": lambda X, f: item_item_cosine(f),
    "columns of scores": score_column_cosine,
    "whitened": lambda X, f: whitened_cosine(f),
    "half whitened": lambda X, f: fractionally_whitened_cosine(f, 0.5),
    "spectral": lambda X, f: spectral_cosine(f, 0.3),
    "columns of X": lambda X, f: cosine_similarity(X.T),
}
OF_USERS = {"user-user": user_user_cosine, "rows of scores": score_row_cosine}
INVARIANT = ["columns of scores", "whitened", "spectral"]  # no G moves them

both = pytest.mark.parametrize("objective", SOLVERS)
penalties = pytest.mark.parametrize("lam", LAMBDAS)


@pytest.fixture(params=INSTANCES)
def X(request):
    return INSTANCES[request.param]


def fits(X, objective, lam):
    """(k, factors) for every rank."""
    pairs = spectrum(X)
    return [(k, SOLVERS[objective][0](pairs, lam, k)) for k in range(1, pairs.sigma.size + 1)]


def cut_between_ties(sigma, k):
    """Whether σ_k = σ_{k+1} > 0: then the data do not say which direction comes last."""
    return k < sigma.size and sigma[k] > 0 and sigma[k - 1] - sigma[k] < 1e-6 * sigma[0]


def invertible(k, rng):
    return random_orthogonal(k, rng) * rng.uniform(0.3, 3.0, k) @ random_orthogonal(k, rng)


# --- the spectrum ---


def test_V_is_orthonormal_and_the_squares_of_sigma_are_eigenvalues(X):
    pairs = spectrum(X)
    k = pairs.sigma.size
    eigenvalues = np.linalg.eigvalsh(X.T @ X)[::-1]
    np.testing.assert_allclose(pairs.sigma**2, eigenvalues[:k], atol=1e-13 * max(eigenvalues[0], 1.0))
    np.testing.assert_allclose(pairs.V.T @ pairs.V, np.eye(k), atol=1e-12)
    np.testing.assert_allclose(X.T @ (X @ pairs.V), pairs.V * pairs.sigma**2, atol=1e-12 * max(eigenvalues[0], 1.0))


@pytest.mark.parametrize(
    "way",
    [
        lambda X, k: spectrum(sp.csr_array(X), k),
        lambda X, k: spectrum(sp.coo_array(X), k),
        lambda X, k: spectrum_from_gram(item_gram(X), k),
        lambda X, k: spectrum_from_gram(item_gram(sp.csr_array(X)), k),
    ],
    ids=["rows", "coordinates", "gram", "gram of rows"],
)
def test_every_way_to_the_spectrum_leads_to_the_same_models(X, way):
    sigma = spectrum(X).sigma
    for k in range(1, sigma.size + 1):
        if cut_between_ties(sigma, k):
            continue
        one, other = spectrum(X, k), way(X, k)
        np.testing.assert_allclose(other.sigma, one.sigma, atol=1e-7 * max(sigma[0], 1.0), err_msg=f"k = {k}")
        for solve in (solve_product_penalty, solve_factor_penalty):
            f, g = solve(one, 0.3), solve(other, 0.3)
            np.testing.assert_allclose(g.A @ g.B.T, f.A @ f.B.T, atol=1e-7, err_msg=f"k = {k}")
            np.testing.assert_allclose(item_item_cosine(g), item_item_cosine(f), atol=1e-6, err_msg=f"k = {k}")


# --- the closed forms ---


@pytest.mark.claim("closed-form-1")
@penalties
def test_the_full_product_is_ridge_regression(X, lam):
    p = X.shape[1]
    f = solve_product_penalty(spectrum_from_gram(X.T @ X), lam)
    if lam > 0:  # W = (XᵀX + λI)⁻¹ XᵀX
        expected = np.linalg.solve(X.T @ X + lam * np.eye(p), X.T @ X)
    else:  # the limit λ → 0: the projector onto the rows of X
        expected = np.linalg.pinv(X) @ X
    np.testing.assert_allclose(f.A @ f.B.T, expected, atol=1e-9)


@pytest.mark.claim("closed-form-1", "eq6")
@both
@penalties
def test_the_gradient_is_zero_at_every_rank(X, objective, lam):
    gradient = SOLVERS[objective][3]
    for k, f in fits(X, objective, lam):
        scale = np.linalg.norm(X) ** 2 + lam
        assert max(abs(g).max() for g in gradient(X, f, lam)) <= 1e-12 * scale, f"k = {k}"


@pytest.mark.claim("closed-form-1", "eq6")
@both
@penalties
def test_no_factors_nearby_or_far_are_better(X, objective, lam):
    rng = np.random.default_rng(0)
    value = SOLVERS[objective][1]
    for k, f in fits(X, objective, lam):
        best = value(X, f.A, f.B, lam)
        for size in (1e-4, 1e-2, 1.0):
            for _ in range(4):
                dA, dB = size * rng.standard_normal((2, *f.A.shape))
                assert value(X, f.A + dA, f.B + dB, lam) >= best * (1 - 1e-12), f"k = {k}, at distance {size}"


@both
@penalties
def test_objectives_by_definition(X, objective, lam):
    _, by_hand, of_factors, _ = SOLVERS[objective]
    rng = np.random.default_rng(1)
    p = X.shape[1]
    for k in (1, p, p + 2):
        f = Factors(*rng.standard_normal((2, p, k)))
        for form in (np.array, sp.csr_array, sp.coo_array):
            assert of_factors(form(X), f, lam) == pytest.approx(by_hand(X, f.A, f.B, lam), rel=1e-11)


@both
def test_a_larger_penalty_or_a_smaller_rank_fits_less(X, objective):
    """The optimal value rises with λ and falls with k, the scores shrink with λ and grow with k."""
    _, value, _, _ = SOLVERS[objective]
    models = [fits(X, objective, lam) for lam in LAMBDAS]
    values = [[value(X, f.A, f.B, lam) for _, f in of_lam] for of_lam, lam in zip(models, LAMBDAS)]
    sizes = [[np.linalg.norm(X @ f.A @ f.B.T) for _, f in of_lam] for of_lam in models]
    slack = 1e-12 * (1 + np.linalg.norm(X) ** 2)
    assert (np.diff(values, axis=0) >= -slack).all()
    assert (np.diff(values, axis=1) <= slack).all()
    assert (np.diff(sizes, axis=0) <= slack).all()
    assert (np.diff(sizes, axis=1) >= -slack).all()
    if X.any():
        assert sizes[0][0] > sizes[2][0]


@both
def test_other_units_need_another_penalty(X, objective):
    """Eq. 1 of c X with c² λ, and Eq. 2 of c X with c λ, have the scores of X times c."""
    c = 7.0
    for lam in LAMBDAS:
        for (k, f), (_, g) in zip(
            fits(X, objective, lam), fits(c * X, objective, lam * (c**2 if objective == "eq 1" else c))
        ):
            if not cut_between_ties(spectrum(X).sigma, k):
                np.testing.assert_allclose(g.A @ g.B.T, f.A @ f.B.T, atol=1e-9, err_msg=f"k = {k}")
                np.testing.assert_allclose(item_item_cosine(g), item_item_cosine(f), atol=1e-7, err_msg=f"k = {k}")


@both
@penalties
def test_names_of_users_and_items_do_not_matter(X, objective, lam):
    rng = np.random.default_rng(2)
    users, items = rng.permutation(X.shape[0]), rng.permutation(X.shape[1])
    for (k, f), (_, g) in zip(fits(X, objective, lam), fits(X[users][:, items], objective, lam)):
        if not cut_between_ties(spectrum(X).sigma, k):
            one, other = f.A @ f.B.T, g.A @ g.B.T
            np.testing.assert_allclose(other, one[items][:, items], atol=1e-9, err_msg=f"k = {k}")
            expected = item_item_cosine(f)[items][:, items]
            np.testing.assert_allclose(item_item_cosine(g), expected, atol=1e-7, err_msg=f"k = {k}")


@pytest.mark.claim("eq6")
def test_the_second_objective_drops_a_direction_where_lambda_passes_its_singular_value(X):
    pairs = spectrum(X)
    for sigma in pairs.sigma[pairs.sigma > 0]:
        for lam in (0.999 * sigma, 1.001 * sigma):
            f = solve_factor_penalty(pairs, lam)
            for M in (f.A, f.B):
                np.testing.assert_array_equal(M.any(axis=0), pairs.sigma > lam)


# --- what can be chosen ---


@pytest.mark.claim("eq3-rescaling")
@both
@penalties
def test_a_rescaling_keeps_scores_and_the_first_objective(X, objective, lam):
    rng = np.random.default_rng(3)
    for k, f in fits(X, objective, lam):
        g = rescale(f, rng.choice([-1, 1], k) * rng.uniform(0.3, 3.0, k))
        np.testing.assert_allclose(X @ g.A @ g.B.T, X @ f.A @ f.B.T, atol=1e-11, err_msg=f"k = {k}")
        assert eq1_by_hand(X, g.A, g.B, lam) == pytest.approx(eq1_by_hand(X, f.A, f.B, lam), rel=1e-11, abs=1e-11)


@pytest.mark.claim("rotation-invariance", "rotation-cosine")
@both
@penalties
def test_a_rotation_keeps_objectives_and_cosines(X, objective, lam):
    rng = np.random.default_rng(4)
    for k, f in fits(X, objective, lam):
        g = rotate(f, random_orthogonal(k, rng))
        for value in (eq1_by_hand, eq2_by_hand):
            assert value(X, g.A, g.B, lam) == pytest.approx(value(X, f.A, f.B, lam), rel=1e-11, abs=1e-11)
        for name, cosine in OF_ITEMS.items():
            np.testing.assert_allclose(cosine(X, g), cosine(X, f), atol=1e-6, err_msg=f"{name}, k = {k}")
        for cosine in (*OF_USERS.values(), user_item_cosine):
            np.testing.assert_allclose(cosine(X, g), cosine(X, f), atol=1e-6, err_msg=f"k = {k}")


@pytest.mark.claim("gl-invariance")
@both
@penalties
def test_no_invertible_map_moves_scores_and_what_is_made_of_them(X, objective, lam):
    rng = np.random.default_rng(5)
    for k, f in fits(X, objective, lam):
        g = reparameterize(f, invertible(k, rng))
        np.testing.assert_allclose(X @ g.A @ g.B.T, X @ f.A @ f.B.T, atol=1e-10, err_msg=f"k = {k}")
        for name in INVARIANT:
            one, other = OF_ITEMS[name](X, f), OF_ITEMS[name](X, g)
            np.testing.assert_allclose(other, one, atol=1e-6, err_msg=f"{name}, k = {k}")
        np.testing.assert_allclose(score_row_cosine(X, g), score_row_cosine(X, f), atol=1e-6, err_msg=f"k = {k}")


# --- cosines ---


@both
@penalties
def test_matrices_of_cosines_are_symmetric_with_1_or_0_on_the_diagonal(X, objective, lam):
    for k, f in fits(X, objective, lam):
        for name, cosine in (OF_ITEMS | OF_USERS).items():
            C = cosine(X, f)
            message = f"{name}, k = {k}"
            assert len(C) == X.shape[name in OF_ITEMS], message
            np.testing.assert_allclose(C, C.T, atol=1e-14, err_msg=message)
            assert abs(C).max() <= 1 + 1e-12, message
            diagonal = np.diag(C)
            directed = diagonal > 0.5
            np.testing.assert_allclose(diagonal, directed, atol=1e-12, err_msg=message)
            np.testing.assert_array_equal(C[~directed], 0.0, err_msg=message)
            assert np.linalg.eigvalsh(C)[0] > -1e-12 * len(C), message
        between = user_item_cosine(X, f)
        assert between.shape == X.shape and abs(between).max() <= 1 + 1e-12


@both
@penalties
def test_an_item_that_nobody_has_and_a_user_without_items_have_no_cosine(X, objective, lam):
    no_users, no_items = ~X.any(axis=0), ~X.any(axis=1)
    for k, f in fits(X, objective, lam):
        np.testing.assert_array_equal(f.A[no_users], 0.0)
        np.testing.assert_array_equal(f.B[no_users], 0.0)
        for name, cosine in OF_ITEMS.items():
            np.testing.assert_array_equal(cosine(X, f)[no_users], 0.0, err_msg=f"{name}, k = {k}")
        for cosine in (*OF_USERS.values(), user_item_cosine):
            np.testing.assert_array_equal(cosine(X, f)[no_items], 0.0, err_msg=f"k = {k}")
        np.testing.assert_array_equal(user_item_cosine(X, f)[:, no_users], 0.0, err_msg=f"k = {k}")


@pytest.mark.claim("cosine-magnitude-myth")
def test_positive_lengths_do_not_matter(X):
    rng = np.random.default_rng(6)
    lengths = 10 ** rng.uniform(-6, 6, (len(X), 1))
    np.testing.assert_allclose(cosine_similarity(lengths * X), cosine_similarity(X), atol=1e-12)
    np.testing.assert_allclose(cosine_similarity(sp.csr_array(X)), cosine_similarity(X), atol=1e-14)

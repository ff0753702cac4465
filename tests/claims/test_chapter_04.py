"""Chapter 04: the theorems on arbitrary cosines, attacked with random and degenerate instances."""

import itertools

import numpy as np
import pytest
import scipy.linalg
import scipy.optimize
from instances import communities
from oracles import cosine_by_loops, eq1_by_hand, minimize_by_lbfgs, random_orthogonal

from cossim_helpers import (
    Factors,
    comparison_is_determined,
    cosine_similarity,
    factors_with_neighbors,
    item_item_cosine,
    product_penalty_gradient,
    product_penalty_objective,
    reachable_dimension,
    reparameterize,
    rescale,
    shrinkage,
    solve_product_penalty,
    spectrum_from_gram,
    user_item_cosine,
    user_user_cosine,
)


def gaussian(rng):
    return rng.standard_normal((20, 6))


def counts(rng):
    return rng.integers(0, 3, (25, 5)).astype(float)


def fewer_users_than_items(rng):
    return rng.standard_normal((4, 7))


def equal_and_empty_items(rng):
    X = rng.integers(0, 2, (12, 6)).astype(float)
    X[:, 1], X[:, 4] = X[:, 0], 0
    return X


def tied_spectrum(rng):
    return 2.0 * random_orthogonal(5, rng)


def one_item(rng):
    return rng.standard_normal((7, 1))


FULL_RANK = [gaussian, counts, tied_spectrum, one_item]
DEFICIENT = [fewer_users_than_items, equal_and_empty_items]
EVERY_X = FULL_RANK + DEFICIENT


@pytest.fixture
def rng():
    return np.random.default_rng(44)


def whole_spectrum(X):
    """All p right singular vectors, also for n < p."""
    return spectrum_from_gram(X.T @ X)


def ridge(X, lam):
    """The optimal product at k = p, with no singular vectors."""
    return np.linalg.solve(X.T @ X + lam * np.eye(X.shape[1]), X.T @ X)


def smallest_value(X, lam, k):
    """The minimum of Eq. 1 from NumPy's own SVD."""
    sigma = np.linalg.svd(X, compute_uv=False)[:k]
    return np.sum(X**2) - np.sum(sigma**4 / (sigma**2 + lam))


def assert_minimizer(X, factors, lam):
    minimum = smallest_value(X, lam, factors.A.shape[1])
    assert eq1_by_hand(X, factors.A, factors.B, lam) == pytest.approx(minimum, rel=1e-9, abs=1e-9)
    for gradient, other in zip(product_penalty_gradient(X, factors, lam), (factors.B, factors.A), strict=True):
        assert np.linalg.norm(gradient) <= 1e-8 * np.linalg.norm(X.T @ X) * np.linalg.norm(other)


def normalized(K):
    """A Gram matrix turned into cosines; 0 for a row of zeros."""
    lengths = np.sqrt(np.diag(K))
    lengths = np.where(lengths > 1e-7 * lengths.max(), lengths, np.inf)
    return K / np.outer(lengths, lengths)


def random_correlation(p, rng):
    root = rng.standard_normal((p, p))
    return normalized(root @ root.T + 0.1 * np.eye(p))


def sqrt(C):
    values, vectors = np.linalg.eigh(C)
    return (vectors * np.sqrt(values)) @ vectors.T


# --- the three cosines and the paper's two cases ---


@pytest.mark.claim("three-cosines")
@pytest.mark.parametrize("make", EVERY_X)
def test_three_cosines_as_functions_of_d(make, rng):
    X = make(rng)
    p = X.shape[1]
    for k in {1, (p + 1) // 2, p}:
        fit = solve_product_penalty(whole_spectrum(X), 1.5, k)
        d = 10 ** rng.uniform(-1, 1, k) * rng.choice([-1, 1], k)
        moved = rescale(fit, d)
        items, users = fit.B @ np.diag(d**-2) @ fit.B.T, (X @ fit.A) @ np.diag(d**2) @ (X @ fit.A).T
        empty_items, empty_users = np.diag(items) < 1e-20, np.diag(users) < 1e-20
        Omega_B = np.where(empty_items, 0, 1 / np.sqrt(np.where(empty_items, 1, np.diag(items))))
        Omega_A = np.where(empty_users, 0, 1 / np.sqrt(np.where(empty_users, 1, np.diag(users))))
        np.testing.assert_allclose(Omega_B[:, None] * items * Omega_B, item_item_cosine(moved), atol=1e-9)
        np.testing.assert_allclose(Omega_A[:, None] * users * Omega_A, user_user_cosine(X, moved), atol=1e-9)
        scores = X @ fit.A @ fit.B.T  # without any D
        np.testing.assert_allclose(Omega_A[:, None] * scores * Omega_B, user_item_cosine(X, moved), atol=1e-9)
        np.testing.assert_allclose(item_item_cosine(moved), cosine_by_loops(moved.B, moved.B), atol=1e-12)
        # only D² up to a factor counts
        same = rescale(fit, -7 * abs(d))
        np.testing.assert_allclose(item_item_cosine(same), item_item_cosine(moved), atol=1e-12)
        np.testing.assert_allclose(user_user_cosine(X, same), user_user_cosine(X, moved), atol=1e-12)


@pytest.mark.claim("three-cosines")
def test_each_of_the_three_cosines_moves(rng):
    X = gaussian(rng)
    fit = solve_product_penalty(whole_spectrum(X), 1.5)
    moved = rescale(fit, np.geomspace(0.1, 10, 6))
    assert abs(item_item_cosine(moved) - item_item_cosine(fit)).max() > 0.3
    assert abs(user_user_cosine(X, moved) - user_user_cosine(X, fit)).max() > 0.3
    assert abs(user_item_cosine(X, moved) - user_item_cosine(X, fit)).max() > 0.3


@pytest.mark.claim("three-cosines")
def test_user_item_cosines_rank_by_score_over_any_lengths(rng):
    X, lam = counts(rng), 2.0
    W = ridge(X, lam)
    scores = X @ W
    for _ in range(10):
        C, lengths = random_correlation(5, rng), 10 ** rng.uniform(-2, 2, 5)
        B = lengths[:, None] * sqrt(C)
        factors = Factors(W @ np.linalg.inv(B).T, B)
        assert_minimizer(X, factors, lam)
        np.testing.assert_allclose(item_item_cosine(factors), C, atol=1e-9)
        np.testing.assert_allclose(np.linalg.norm(factors.B, axis=1), lengths, rtol=1e-9)
        busy = np.linalg.norm(X, axis=1) > 0
        np.testing.assert_array_equal(
            np.argsort(user_item_cosine(X, factors)[busy]), np.argsort((scores / lengths)[busy])
        )


@pytest.mark.claim("case-1")
@pytest.mark.parametrize("make", FULL_RANK)
@pytest.mark.parametrize("lam", [0.0, 0.3, 50.0])
def test_case_1(make, lam, rng):
    X = make(rng)
    top = whole_spectrum(X)
    case = rescale(solve_product_penalty(top, lam), shrinkage(top.sigma, lam) ** 0.5)
    assert_minimizer(X, case, lam)
    np.testing.assert_allclose(case.B, top.V, atol=1e-10)
    np.testing.assert_allclose(item_item_cosine(case), np.eye(X.shape[1]), atol=1e-10)
    scores, cosine = X @ ridge(X, lam), user_item_cosine(X, case)
    lengths = np.linalg.norm(X @ case.A, axis=1)
    np.testing.assert_allclose(cosine * lengths[:, None], scores, atol=1e-9)
    gaps = abs(scores[:, :, None] - scores[:, None, :]) > 1e-6  # pairs of items that a user does not tie
    order = np.sign(scores[:, :, None] - scores[:, None, :])
    assert (np.sign(cosine[:, :, None] - cosine[:, None, :]) == order)[gaps].all()


@pytest.mark.claim("case-1")
def test_case_1_needs_full_rank_k(rng):
    X = counts(rng)
    top = whole_spectrum(X)
    case = rescale(solve_product_penalty(top, 1.0, 2), shrinkage(top.sigma[:2], 1.0) ** 0.5)
    assert abs(item_item_cosine(case) - np.eye(5)).max() > 0.3
    scores = X @ case.A @ case.B.T
    assert (np.argmax(user_item_cosine(X, case), axis=1) != np.argmax(scores, axis=1)).any()


@pytest.mark.claim("case-2")
@pytest.mark.parametrize("make", FULL_RANK)
@pytest.mark.parametrize("lam", [0.0, 0.3, 50.0])
def test_case_2(make, lam, rng):
    X = make(rng)
    top = whole_spectrum(X)
    case = rescale(solve_product_penalty(top, lam), shrinkage(top.sigma, lam) ** -0.5)
    W = ridge(X, lam)
    assert_minimizer(X, case, lam)
    np.testing.assert_allclose(case.A, top.V, atol=1e-10)
    np.testing.assert_allclose(user_user_cosine(X, case), cosine_by_loops(X, X), atol=1e-9)
    np.testing.assert_allclose(item_item_cosine(case), cosine_by_loops(W, W), atol=1e-9)  # W Wᵀ = V d² Vᵀ
    lengths_A, lengths_B = np.linalg.norm(X, axis=1), np.linalg.norm(W, axis=1)
    np.testing.assert_allclose(user_item_cosine(X, case) * lengths_A[:, None] * lengths_B, X @ W, atol=1e-9)


@pytest.mark.claim("case-2")
def test_case_2_can_reorder_the_items():
    X = np.array([[1.0, 1, 0], [0, 1, 1], [0, 1, 0], [0, 0, 1], [0, 1, 0], [0, 1, 0], [0, 1, 1]])
    top = whole_spectrum(X)
    case = rescale(solve_product_penalty(top, 2.0), shrinkage(top.sigma, 2.0) ** -0.5)
    scores, cosine = X @ ridge(X, 2.0), user_item_cosine(X, case)
    assert (np.argmax(scores, axis=1) != np.argmax(cosine, axis=1)).any()


@pytest.mark.claim("cases-any-rank")
@pytest.mark.parametrize("make", EVERY_X)
@pytest.mark.parametrize("lam", [0.3, 50.0])
def test_both_pairs_are_minimizers_at_any_rank(make, lam, rng):
    X = make(rng)
    p = X.shape[1]
    top = whole_spectrum(X)
    for k in range(1, p + 1):
        V, d = top.V[:, :k], shrinkage(top.sigma[:k], lam)
        assert_minimizer(X, Factors(V * d, V), lam)
        assert_minimizer(X, Factors(V, V * d), lam)
        fit = solve_product_penalty(top, lam, k)
        # the rank of a factor is what an invertible G keeps
        assert (np.linalg.matrix_rank(fit.B) == k) == (top.sigma[k - 1] > 0)
        assert np.linalg.matrix_rank(V) == k
    W = ridge(X, lam)
    np.testing.assert_allclose(item_item_cosine(Factors(V * d, V)), np.eye(p), atol=1e-10)
    np.testing.assert_allclose(user_user_cosine(X, Factors(V, V * d)), normalized(X @ X.T), atol=1e-8)
    np.testing.assert_allclose(normalized(V * d @ (V * d).T), normalized(W @ W.T), atol=1e-8)


@pytest.mark.claim("cases-any-rank")
@pytest.mark.parametrize("make", DEFICIENT)
def test_no_invertible_d_leads_from_eq5_to_a_case_at_deficient_rank(make, rng):
    top = whole_spectrum(make(rng))
    d = shrinkage(top.sigma, 1.0)
    assert (d == 0).any()
    with pytest.raises(ValueError, match="D must be invertible"):
        rescale(solve_product_penalty(top, 1.0), d**0.5)


# --- any correlation matrix, and the reachable set ---


@pytest.mark.claim("any-correlation-matrix")
@pytest.mark.parametrize("make", EVERY_X)
@pytest.mark.parametrize("lam", [0.1, 20.0])
def test_any_correlation_matrix_at_any_rank_of_x(make, lam, rng):
    X = make(rng)
    W = ridge(X, lam)
    for _ in range(5):
        C = random_correlation(X.shape[1], rng)
        B = sqrt(C)
        factors = Factors(np.linalg.solve(B, W.T).T, B)
        assert_minimizer(X, factors, lam)
        np.testing.assert_allclose(item_item_cosine(factors), C, atol=1e-9)
        np.testing.assert_allclose(X @ factors.A @ factors.B.T, X @ W, atol=1e-8)


@pytest.mark.claim("any-correlation-matrix")
@pytest.mark.parametrize("make", FULL_RANK)
def test_converse_at_full_column_rank(make, rng):
    X = make(rng)
    p = X.shape[1]
    fit = solve_product_penalty(whole_spectrum(X), 1.0)
    for _ in range(10):
        cosine = item_item_cosine(reparameterize(fit, rng.standard_normal((p, p))))
        np.testing.assert_allclose(np.diag(cosine), 1, atol=1e-12)
        assert np.linalg.eigvalsh(cosine)[0] > 0


@pytest.mark.claim("any-correlation-matrix")
def test_an_optimizer_ends_at_different_positive_definite_cosines(rng):
    X, lam = gaussian(rng), 3.0
    W = ridge(X, lam)
    cosines = []
    for seed in range(3):
        end = minimize_by_lbfgs(
            lambda f: product_penalty_objective(X, f, lam),
            lambda f: product_penalty_gradient(X, f, lam),
            (6, 6),
            np.random.default_rng(seed),
        )
        np.testing.assert_allclose(end.A @ end.B.T, W, atol=1e-5)
        cosines.append(item_item_cosine(end))
        assert np.linalg.eigvalsh(cosines[-1])[0] > 0
    assert abs(cosines[0] - cosines[1]).max() > 0.2
    assert abs(cosines[1] - cosines[2]).max() > 0.2


@pytest.mark.claim("any-correlation-matrix")
@pytest.mark.parametrize("make", DEFICIENT)
def test_converse_fails_without_full_column_rank(make, rng):
    X = make(rng)
    top = whole_spectrum(X)
    pair = Factors(top.V, top.V * shrinkage(top.sigma, 1.0))
    assert_minimizer(X, pair, 1.0)
    assert abs(np.linalg.eigvalsh(item_item_cosine(pair))[0]) < 1e-9


@pytest.mark.claim("reachable-set")
@pytest.mark.parametrize("make", EVERY_X)
@pytest.mark.parametrize("lam", [0.1, 20.0])
def test_grams_of_minimizers_are_those_whose_range_holds_that_of_the_product(make, lam, rng):
    """Rank of the product r ≤ s = rank K ≤ k: the general theorem, with ranks below k and n < p."""
    X = make(rng)
    p = X.shape[1]
    top = whole_spectrum(X)
    rank = np.count_nonzero(top.sigma)
    for k in range(1, p + 1):
        following = top.sigma[k] if k < p else 0.0
        if top.sigma[k - 1] - following < 1e-6 and top.sigma[k - 1] > 0 and k < p:
            continue  # a tie: the product is not unique
        r = min(k, rank)
        W = (top.V[:, :k] * shrinkage(top.sigma[:k], lam)) @ top.V[:, :k].T
        for s in range(r, k + 1):
            extra = np.linalg.qr(np.hstack([top.V[:, :r], rng.standard_normal((p, s - r))]))[0]
            root = extra @ rng.standard_normal((s, s))
            B = np.hstack([root, np.zeros((p, k - s))])
            factors = Factors(W @ np.linalg.pinv(B).T, B)
            np.testing.assert_allclose(factors.A @ factors.B.T, W, atol=1e-7)
            assert_minimizer(X, factors, lam)


@pytest.mark.claim("reachable-set")
@pytest.mark.parametrize("k", [1, 2, 4, 6])
def test_every_positive_definite_m_is_reached_and_nothing_else(k, rng):
    X, lam = gaussian(rng), 2.0
    top = whole_spectrum(X)
    V, fit = top.V[:, :k], solve_product_penalty(top, lam, k)
    root = rng.standard_normal((k, k))
    M = root @ root.T
    G = np.sqrt(shrinkage(top.sigma[:k], lam))[:, None] * np.linalg.inv(sqrt(M)).T
    reached = reparameterize(fit, G)
    assert_minimizer(X, reached, lam)
    np.testing.assert_allclose(item_item_cosine(reached), normalized(V @ M @ V.T), atol=1e-8)

    end = minimize_by_lbfgs(
        lambda f: product_penalty_objective(X, f, lam), lambda f: product_penalty_gradient(X, f, lam), (6, k), rng
    )
    K = end.B @ end.B.T
    M = V.T @ K @ V
    assert eq1_by_hand(X, end.A, end.B, lam) == pytest.approx(smallest_value(X, lam, k), rel=1e-8)
    np.testing.assert_allclose(V @ M @ V.T, K, atol=1e-4 * abs(K).max())
    assert np.linalg.eigvalsh(M)[0] > 0


def steer(fit, V, d, items, C):
    """The construction of the theorem on k items."""
    V_S = V[items]
    H = np.hstack([np.linalg.pinv(V_S) @ sqrt(C), scipy.linalg.null_space(V_S)])
    return reparameterize(fit, np.sqrt(d)[:, None] * np.linalg.inv(H).T)


@pytest.mark.claim("reachable-set")
@pytest.mark.parametrize("make", [gaussian, counts, fewer_users_than_items, equal_and_empty_items, tied_spectrum])
def test_independent_items_take_any_cosines(make, rng):
    X, lam = make(rng), 1.0
    top = whole_spectrum(X)
    for k in range(1, np.count_nonzero(top.sigma) + 1):
        V, d = top.V[:, :k], shrinkage(top.sigma[:k], lam)
        fit = solve_product_penalty(top, lam, k)
        for m in range(1, k + 1):
            items = rng.permutation(X.shape[1])[:m]
            if np.linalg.svd(V[items], compute_uv=False)[-1] < 1e-3:
                continue
            C = random_correlation(m, rng)
            steered = steer(fit, V, d, items, C)
            assert_minimizer(X, steered, lam)
            np.testing.assert_allclose(item_item_cosine(steered)[np.ix_(items, items)], C, atol=1e-7)


@pytest.mark.claim("reachable-set")
@pytest.mark.parametrize("value", [-0.9999, -0.5, 0.0, 0.7, 0.9999])
def test_a_pair_takes_every_value_below_one(value, rng):
    X = gaussian(rng)
    top = whole_spectrum(X)
    V, d = top.V[:, :2], shrinkage(top.sigma[:2], 1.0)
    steered = steer(solve_product_penalty(top, 1.0, 2), V, d, [0, 3], np.array([[1, value], [value, 1]]))
    assert item_item_cosine(steered)[0, 3] == pytest.approx(value, abs=1e-9)


@pytest.mark.claim("reachable-set")
def test_parallel_and_zero_rows_never_move(rng):
    X = equal_and_empty_items(rng)
    X[:, 3] = -2 * X[:, 0]  # parallel, the other way around
    top = whole_spectrum(X)
    for k in (1, 2):
        fit = solve_product_penalty(top, 1.0, k)
        for _ in range(20):
            cosine = item_item_cosine(reparameterize(fit, rng.standard_normal((k, k))))
            assert cosine[0, 1] == pytest.approx(1, abs=1e-9)
            assert cosine[0, 3] == pytest.approx(-1, abs=1e-9)
            np.testing.assert_array_equal(cosine[4], 0)
            if k == 1:
                np.testing.assert_allclose(cosine, item_item_cosine(fit), atol=1e-12)


@pytest.mark.claim("reachable-set")
def test_with_a_tie_other_grams_are_reached():
    X = np.eye(3)
    plane = np.linalg.qr(np.array([[1.0, 0], [1, 1], [1, -1]]))[0]
    pair = Factors(0.5 * plane, plane)
    assert_minimizer(X, pair, 1.0)
    V = np.eye(3)[:, :2]  # another basis of two tied directions
    K = pair.B @ pair.B.T
    assert abs(V @ V.T @ K @ V @ V.T - K).max() > 0.3  # not of the form V M Vᵀ


# --- a diagonal D alone ---


def onto(dim, epsilon, k):
    """The diagonal of D whose inverse is 1 at `dim` and ε elsewhere."""
    return np.where(np.arange(k) == dim, 1.0, 1 / epsilon)


def pair_range(B, rng, draws=400):
    """Cosines of rows 0 and 1 under random diagonals, and with the weight on each single dimension."""
    k = B.shape[1]
    diagonals = [*10 ** rng.uniform(-4, 4, (draws, k)), *(onto(dim, 1e-7, k) for dim in range(k))]
    return np.array([cosine_similarity(B / d)[0, 1] for d in diagonals])


@pytest.mark.claim("diagonal-extremes")
@pytest.mark.parametrize("k", [1, 2, 3, 5])
@pytest.mark.parametrize("signs", ["both", "positive", "negative", "none", "zero row"])
def test_a_pair_comes_near_one_exactly_if_a_coordinate_has_the_sign(k, signs, rng):
    for _ in range(5):
        B = rng.uniform(0.5, 2, (2, k)) * np.where(rng.random((2, k)) < 0.3, 0, 1)
        if signs == "both":
            B[1] *= rng.choice([-1, 1], k)
        elif signs == "negative":
            B[1] *= -1
        elif signs == "none":
            B[1] = np.where(B[0] != 0, 0, B[1])
        elif signs == "zero row":
            B[1] = 0
        product = B[0] * B[1]
        cosines = pair_range(B, rng)
        assert (cosines.max() > 0.9999) == (product > 0).any()
        assert (cosines.min() < -0.9999) == (product < 0).any()
        if not (product > 0).any():
            assert cosines.max() <= 0
        if not (product < 0).any():
            assert cosines.min() >= 0
        if not product.any():
            np.testing.assert_array_equal(cosines, 0)


@pytest.mark.claim("diagonal-extremes")
def test_the_bound_of_one_dimension(rng):
    for _ in range(50):
        B = rng.standard_normal((2, 4))
        dim, epsilon = int(rng.integers(4)), 10 ** rng.uniform(-4, 1)
        x = epsilon * (np.linalg.norm(B, axis=1) / abs(B[:, dim])).max()
        sign = np.sign(B[0, dim] * B[1, dim])
        assert sign * cosine_similarity(B / onto(dim, epsilon, 4))[0, 1] >= (1 - x**2) / (1 + x**2) - 1e-12


@pytest.mark.claim("diagonal-extremes")
@pytest.mark.parametrize("target", [-0.99, -0.3, 0.0, 0.8, 0.99])
def test_at_full_rank_a_diagonal_alone_brings_a_pair_to_every_value(target, rng):
    X, lam = counts(rng), 1.0
    fit = solve_product_penalty(whole_spectrum(X), lam)
    for i, j in ((0, 1), (2, 4)):
        product = fit.B[i] * fit.B[j]
        assert product.min() < 0 < product.max()  # as the rows of V are orthogonal
        up, down = onto(np.argmax(product), 1e-6, 5), onto(np.argmin(product), 1e-6, 5)

        def excess(s, i=i, j=j, up=up, down=down):
            return item_item_cosine(rescale(fit, up ** (1 - s) * down**s))[i, j] - target

        s = scipy.optimize.brentq(excess, 0, 1, xtol=1e-14)
        moved = rescale(fit, up ** (1 - s) * down**s)
        assert_minimizer(X, moved, lam)
        assert item_item_cosine(moved)[i, j] == pytest.approx(target, abs=1e-9)


@pytest.mark.claim("diagonal-extremes")
def test_the_range_of_a_pair_with_positive_coordinates(rng):
    for k in (1, 2, 4):
        B = rng.uniform(0.3, 3, (2, k))
        m, M = (B[1] / B[0]).min(), (B[1] / B[0]).max()
        assert pair_range(B, rng, 2_000).min() >= 2 * np.sqrt(m * M) / (m + M) - 1e-12
        if k > 1:  # all weight on the extreme ratios, as the proof has it: M/(m+M) on m, m/(m+M) on M
            weight = np.full(k, 1e-14)
            low, high = np.argmin(B[1] / B[0]), np.argmax(B[1] / B[0])
            weight[low], weight[high] = M / (m + M), m / (m + M)
            reached = cosine_similarity(B * np.sqrt(weight) / B[0])[0, 1]
            assert reached == pytest.approx(2 * np.sqrt(m * M) / (m + M), abs=1e-9)


@pytest.mark.claim("all-cosines-near-one")
@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_all_cosines_come_near_one_exactly_if_a_column_has_one_sign(k, rng):
    for one_sign in (True, False):
        for _ in range(5):
            B = rng.standard_normal((12, k))
            if one_sign:
                dim = int(rng.integers(k))
                B[:, dim] = rng.choice([-1, 1]) * rng.uniform(0.1, 1, 12)
                tau = (np.linalg.norm(B, axis=1) / abs(B[:, dim])).max()
                for target in (0.5, 0.999):
                    epsilon = np.sqrt((1 - target) / (1 + target)) / tau
                    assert cosine_similarity(B / onto(dim, epsilon, k)).min() >= target - 1e-12
            else:
                B = rng.uniform(0.3, 1, (12, k)) * rng.choice([-1, 1], k)
                spoiled = 1 + rng.permutation(11)[:k], np.arange(k)  # one entry of each column
                B[spoiled] *= rng.choice([0, -1], k)
                for d in 10 ** rng.uniform(-5, 5, (300, k)):
                    assert cosine_similarity(B / d)[0].min() <= np.sqrt(1 - 1 / k) + 1e-12


@pytest.mark.claim("all-cosines-near-one")
@pytest.mark.parametrize("k", [1, 2, 3, 8])
def test_the_threshold_is_sharp(k):
    B = np.vstack([np.ones(k), 1 - np.eye(k)])  # every column has a zero
    np.testing.assert_allclose(cosine_similarity(B)[0, 1:], np.sqrt(1 - 1 / k), atol=1e-12)


@pytest.mark.claim("all-cosines-near-one")
def test_one_zero_in_each_column_is_enough_to_prevent_it(rng):
    B = rng.uniform(0.5, 1, (5, 3))
    B[0, 0] = B[1, 1] = B[2, 2] = 0
    for d in 10 ** rng.uniform(-5, 5, (1_000, 3)):
        assert cosine_similarity(B / d)[3].min() <= np.sqrt(2 / 3) + 1e-12


@pytest.mark.claim("all-cosines-near-one")
@pytest.mark.parametrize("k", [1, 3, 8])
def test_connected_interactions_have_such_a_column(k, rng):
    # n < p; a path of items, so X is connected with as few interactions as can be; and a user with nothing
    X = np.zeros((8, 8))
    X[np.arange(7), np.arange(7)] = X[np.arange(7), np.arange(1, 8)] = rng.uniform(0.1, 3, 7)
    fit = solve_product_penalty(whole_spectrum(X), 0.5, k)
    first = fit.B[:, 0]
    assert (first > 1e-6).all() or (first < -1e-6).all()
    tau = (np.linalg.norm(fit.B, axis=1) / abs(first)).max()
    alike = rescale(fit, onto(0, 0.001 / tau, k))
    assert_minimizer(X, alike, 0.5)
    assert item_item_cosine(alike).min() > 0.9999


@pytest.mark.claim("all-cosines-near-one")
def test_without_connection_or_with_an_empty_item_no_column_has_one_sign(rng):
    blocks = scipy.linalg.block_diag(rng.uniform(0.5, 1, (6, 3)), rng.uniform(0.5, 1, (5, 2)))
    empty = np.hstack([rng.uniform(0.5, 1, (6, 3)), np.zeros((6, 1))])
    for X in (blocks, empty):
        B = solve_product_penalty(whole_spectrum(X), 0.5).B
        assert not ((B > 1e-9).all(axis=0) | (B < -1e-9).all(axis=0)).any()


@pytest.mark.claim("all-cosines-near-one")
def test_a_general_map_needs_a_half_space(rng):
    """Some G brings all cosines near 1 exactly if some w has B w > 0 (exercise)."""
    for shift in (0.0, 2.0):
        for _ in range(10):
            B = rng.standard_normal((7, 3)) + shift * np.array([1.0, -1, 1])
            answer = scipy.optimize.linprog(np.zeros(3), A_ub=-B, b_ub=-np.ones(7), bounds=(None, None))
            if answer.status == 0:
                H = np.column_stack([answer.x, scipy.linalg.null_space(answer.x[None])])
                assert cosine_similarity(B @ H * [1, 1e-6, 1e-6]).min() > 0.999
            else:
                for _ in range(200):
                    H = rng.standard_normal((3, 3)) * 10 ** rng.uniform(-4, 4, 3)
                    assert cosine_similarity(B @ H)[0].min() <= np.sqrt(2 / 3) + 1e-12


# --- what stays, and the limits of Eq. 5 ---


@pytest.mark.claim("invariants")
@pytest.mark.parametrize("make", EVERY_X)
def test_invariants(make, rng):
    X, lam = make(rng), 1.0
    top = whole_spectrum(X)
    for k in range(1, np.count_nonzero(top.sigma) + 1):
        fit = solve_product_penalty(top, lam, k)
        G = random_orthogonal(k, rng) * rng.uniform(0.3, 3, k) @ random_orthogonal(k, rng)
        for other in (reparameterize(fit, G), rescale(fit, rng.choice([-1, 1], k) * rng.uniform(0.3, 3, k))):
            scores = X @ fit.A @ fit.B.T
            np.testing.assert_allclose(X @ other.A @ other.B.T, scores, atol=1e-9)
            np.testing.assert_allclose(
                normalized((X @ other.A) @ (other.B.T @ other.B) @ (X @ other.A).T),
                normalized(scores @ scores.T),
                atol=1e-6,
            )
            np.testing.assert_allclose(
                normalized(other.B @ ((X @ other.A).T @ (X @ other.A)) @ other.B.T),
                normalized(scores.T @ scores),
                atol=1e-6,
            )
            kernel = other.B @ np.linalg.inv(other.B.T @ other.B) @ other.B.T
            np.testing.assert_allclose(kernel, top.V[:, :k] @ top.V[:, :k].T, atol=1e-8)
            if k == X.shape[1]:
                np.testing.assert_allclose(kernel, np.eye(k), atol=1e-8)


@pytest.mark.claim("invariants")
def test_what_is_not_a_function_of_the_product_moves(rng):
    X = gaussian(rng)
    fit = solve_product_penalty(whole_spectrum(X), 1.0, 3)
    other = reparameterize(fit, rng.standard_normal((3, 3)))
    assert abs(fit.B @ fit.B.T - other.B @ other.B.T).max() > 0.1
    assert abs(item_item_cosine(fit) - item_item_cosine(other)).max() > 0.1
    assert abs(user_item_cosine(X, fit) - user_item_cosine(X, other)).max() > 0.1


@pytest.mark.claim("invariants")
@pytest.mark.parametrize("make", DEFICIENT)
def test_whitened_kernels_of_minimizers_differ_at_deficient_rank(make, rng):
    """The condition on B's rank: equal products, and no G between them."""
    X = make(rng)
    top = whole_spectrum(X)
    fit = solve_product_penalty(top, 1.0)
    case_1 = Factors(top.V * shrinkage(top.sigma, 1.0), top.V)
    np.testing.assert_allclose(fit.A @ fit.B.T, case_1.A @ case_1.B.T, atol=1e-10)
    assert abs(fit.B @ np.linalg.pinv(fit.B) - np.eye(X.shape[1])).max() > 0.3


@pytest.mark.claim("eq5-limits")
@pytest.mark.parametrize("make", EVERY_X)
def test_eq5_between_its_limits(make, rng):
    X = make(rng)
    p = X.shape[1]
    top = whole_spectrum(X)
    sigma_1, sigma_r = top.sigma[0], top.sigma[top.sigma > 0][-1]
    lowest, raw = normalized(np.linalg.pinv(X) @ X), normalized(X.T @ X)
    for lam in 10.0 ** np.arange(-8, 9):
        fit = solve_product_penalty(top, lam)
        cosine = normalized(fit.B @ fit.B.T)
        assert abs(cosine - lowest).max() <= 2 * lam / sigma_r**2 + 1e-7
        assert abs(cosine - raw).max() <= 2 * sigma_1**2 / lam + 1e-7
        if sigma_r == top.sigma[-1]:  # full column rank
            assert abs(cosine - np.eye(p)).max() <= lam / sigma_r**2 + 1e-7


@pytest.mark.claim("eq5-limits")
@pytest.mark.parametrize("make", FULL_RANK)
def test_eq5_starts_at_the_identity(make, rng):
    X = make(rng)
    np.testing.assert_allclose(
        item_item_cosine(solve_product_penalty(whole_spectrum(X), 1e-12)), np.eye(X.shape[1]), atol=1e-9
    )


@pytest.mark.claim("eq5-limits")
def test_eq5_at_deficient_rank_does_not_start_at_the_identity(rng):
    for make in DEFICIENT:
        X = make(rng)
        fit = solve_product_penalty(whole_spectrum(X), 1e-12)
        assert abs(normalized(fit.B @ fit.B.T) - np.eye(X.shape[1])).max() > 0.3


@pytest.mark.claim("eq5-limits")
@pytest.mark.parametrize("k", [1, 3])
def test_eq5_limits_below_full_rank(k, rng):
    X = gaussian(rng)
    top = whole_spectrum(X)
    V = np.linalg.svd(X)[2][:k].T
    np.testing.assert_allclose(item_item_cosine(solve_product_penalty(top, 1e-12, k)), normalized(V @ V.T), atol=1e-8)
    truncated = X @ V @ V.T
    np.testing.assert_allclose(
        item_item_cosine(solve_product_penalty(top, 1e14, k)), normalized(truncated.T @ truncated), atol=1e-8
    )


@pytest.mark.claim("eq5-limits")
def test_close_kernels_have_close_cosines(rng):
    for _ in range(200):
        root = rng.standard_normal((5, int(rng.integers(1, 6))))
        T, s = root @ root.T, rng.uniform(0, 0.9)
        twist = random_orthogonal(root.shape[1], rng)
        K = root @ (twist * rng.uniform(1 - s, 1, root.shape[1])) @ twist.T @ root.T  # (1 − s) T ⪯ K ⪯ T
        assert abs(normalized(K) - normalized(T)).max() <= 2 * s / (1 - s) + 1e-12


# --- what is reachable, exactly ---


def summed_items(rng):
    """Item 2 is the sum of items 0 and 1, item 4 a twin of 3, item 6 was never bought."""
    X = rng.integers(0, 3, (25, 7)).astype(float)
    X[:, 2], X[:, 4], X[:, 6] = X[:, 0] + X[:, 1], 2 * X[:, 3], 0.0
    return X


def two_communities(rng):
    return communities(rng, (12, 4), (9, 3), empty=1)[0]


REACHABLE = [(gaussian, 3), (gaussian, 6), (counts, 2), (fewer_users_than_items, 4), (equal_and_empty_items, 3)]
REACHABLE += [(summed_items, 4), (two_communities, 2), (two_communities, 3), (two_communities, 5), (one_item, 1)]
USERS_IN_TWO_GROUPS = [(gaussian, 6), (summed_items, 4)]  # the others have one group, or users who stay in theirs


def with_gap(make, k, rng):
    """Data, the top k pairs and the shrinkage; the product at k is unique."""
    X = make(rng)
    top = whole_spectrum(X)
    sigma = np.append(top.sigma, 0.0)
    assert sigma[k - 1] > sigma[k] + 1e-6
    return X, top.V[:, :k], shrinkage(top.sigma[:k], 1.5)


def minimizer(V, d, M):
    root = sqrt(M)
    return Factors(V * d @ np.linalg.inv(root), V @ root)


def stretched(k, rng, decades=3):
    R = random_orthogonal(k, rng)
    return (R * 10 ** rng.uniform(-decades, decades, k)) @ R.T


def count_groups(V):
    """The finest partition of the nonzero rows whose ranks add up to k: all subsets are tried."""
    items = np.flatnonzero(np.linalg.norm(V, axis=1) > 1e-9)
    groups = []

    def rank(part):
        return np.linalg.matrix_rank(V[list(part)], tol=1e-9) if len(part) else 0

    for size in range(1, len(items) + 1):
        for part in itertools.combinations(items, size):
            if not any(set(part) & group for group in groups):
                rest = [i for i in items if i not in part]
                if rank(part) + rank(rest) == V.shape[1]:
                    groups.append(set(part))
    return groups


@pytest.mark.claim("any-neighbors")
@pytest.mark.parametrize(("make", "k"), [(gaussian, 3), (gaussian, 5), (gaussian, 6), (fewer_users_than_items, 4)])
def test_any_list_is_the_list_of_neighbors_of_some_minimizer(make, k, rng):
    X, V, d = with_gap(make, k, rng)
    for size in range(1, k - 1):
        item, *named = rng.permutation(len(V))[: size + 1]
        rows = V[[item, *named]]
        wanted = np.append(1.0, np.sort(rng.uniform(0.05, 0.99, size))[::-1])
        C = np.outer(wanted, wanted)
        np.fill_diagonal(C, 1.0)
        inverse = np.linalg.pinv(rows)
        for t in 10.0 ** np.arange(0, 6):
            pair = minimizer(V, d, inverse @ C @ inverse.T + t**2 * (np.eye(k) - inverse @ rows))
            cosine = cosine_by_loops(pair.B[[item]], pair.B)[0]
            order = [i for i in np.argsort(-cosine) if i != item]
            if order[:size] == named:
                break
        assert order[:size] == named, (size, t)
        np.testing.assert_allclose(cosine[named], wanted[1:], atol=1e-8)
        assert_minimizer(X, pair, 1.5)
        same = factors_with_neighbors(solve_product_penalty(whole_spectrum(X), 1.5, k), item, named, cosines=wanted[1:])
        again = cosine_by_loops(same.B[[item]], same.B)[0]
        assert [i for i in np.argsort(-again) if i != item][:size] == named
        assert_minimizer(X, same, 1.5)


@pytest.mark.claim("any-neighbors")
@pytest.mark.parametrize(("make", "k"), [(tied_spectrum, 4), (fewer_users_than_items, 6)])
def test_neither_a_tie_nor_a_product_of_lower_rank_is_in_the_way(make, k, rng):
    X = make(rng)
    top = whole_spectrum(X)
    tied = make is tied_spectrum  # every basis is one of singular vectors: of the computed one rounding decides
    V, d = (random_orthogonal(5, rng) if tied else top.V)[:, :k], shrinkage(top.sigma[:k], 1.5)
    rows = V[[1, 0, 3]]
    C = np.array([[1, 0.9, 0.8], [0.9, 1, 0.72], [0.8, 0.72, 1]])
    inverse = np.linalg.pinv(rows)
    pair = minimizer(V, d, inverse @ C @ inverse.T + 1e4 * (np.eye(k) - inverse @ rows))
    cosine = cosine_by_loops(pair.B[[1]], pair.B)[0]
    assert np.argsort(-cosine)[:3].tolist() == [1, 0, 3]
    assert_minimizer(X, pair, 1.5)


@pytest.mark.claim("any-neighbors")
def test_a_row_in_the_span_can_block_a_list(rng):
    _, V, d = with_gap(summed_items, 4, rng)
    for _ in range(500):
        cosine = item_item_cosine(minimizer(V, d, stretched(4, rng)))
        assert cosine[0, 2] >= cosine[0, 1] - 1e-9  # item 1 is never the nearest neighbor of item 0
        assert cosine[3, 4] == pytest.approx(1)  # and nobody comes before a twin
    for item, named in ((0, [1]), (3, [5])):
        with pytest.raises(ValueError, match="in their span"):
            factors_with_neighbors(Factors(V * d, V), item, named)


def crowd(size, rng):
    """Rows of item 0, a list, one row in their positive cone, and 2k others in whose positive cone item 0 lies."""
    k = size + 1
    named = rng.standard_normal((k, k))  # item 0 first: independent
    others = rng.standard_normal((2 * k, k))
    others[-1] = k * named[0] - others[:-1].sum(axis=0)
    return np.vstack([named, rng.uniform(0.1, 1, k) @ named, others])


def first_of_list(V, M, size):
    """The largest cosine with item 0 outside the list, less the smallest within."""
    cosine = normalized(V @ M @ V.T)[0]
    return cosine[size + 1 :].max() - cosine[1 : size + 1].min()


@pytest.mark.claim("any-neighbors")
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_one_item_too_many_is_out_of_reach(size, rng):
    for _ in range(20):
        V = crowd(size, rng)
        assert min(first_of_list(V, stretched(size + 1, rng, 2), size) for _ in range(100)) > 0


@pytest.mark.claim("any-neighbors")
def test_a_list_that_is_not_too_long_is_out_of_reach_under_the_same_conditions(rng):
    """The theorem does not use k − 1: a latent dimension more, which the row in the cone does not have."""
    for _ in range(20):
        V = np.hstack([crowd(2, rng), np.zeros((10, 1))])
        V[4:-1, 3] = rng.standard_normal(5)
        V[-1, 3] = -V[4:-1, 3].sum()
        assert np.linalg.matrix_rank(V) == 4
        assert min(first_of_list(V, stretched(4, rng, 2), 2) for _ in range(100)) > 0


@pytest.mark.claim("any-neighbors")
def test_one_item_too_many_needs_independent_rows_and_no_tie():
    twins = np.array([[1.0, 0], [2, 0], [3, 0], [1, 1], [1, -1]])
    root = np.random.default_rng(4).standard_normal((2, 2))
    cosine = cosine_by_loops(twins @ root, twins @ root)[0]
    assert cosine[1] == pytest.approx(1) and cosine[1] >= cosine.max() - 1e-12  # the list [1] does come first

    around = [[1, -0.4, -0.3], [0.9, -0.3, 0.1], [1, 0.2, -0.4], [1, 0.5, 0.5]]
    crowded = np.vstack([np.eye(3), [1, 0.3, 0.2], around])
    V, X, d = np.linalg.qr(crowded)[0], np.eye(8), np.full(3, 1 / 2.5)
    assert min(first_of_list(V, stretched(3, np.random.default_rng(i), 2), 2) for i in range(200)) > 0
    other = np.eye(8)[:, :3]  # the rows of the first three items are independent, and all others zero
    gram = np.array([[1, 0.9, 0.8], [0.9, 1, 0.72], [0.8, 0.72, 1]])
    for basis, M in ((V, np.eye(3)), (other, gram)):  # σ = 1, 1, …: both are a V_3
        assert_minimizer(X, minimizer(basis, d, M), 1.5)
    cosine = item_item_cosine(minimizer(other, d, gram))[0]
    assert np.argsort(-cosine)[:3].tolist() == [0, 1, 2]


@pytest.mark.claim("exact-freedom")
@pytest.mark.parametrize(("make", "k"), REACHABLE)
def test_the_derivative_of_all_cosines_has_the_rank_of_the_count(make, k, rng):
    _, V, d = with_gap(make, k, rng)
    kept = np.linalg.norm(V, axis=1) > 1e-9
    groups = count_groups(V)
    assert sum(map(len, groups)) == kept.sum()
    G = rng.standard_normal((k, k)) + 2 * np.eye(k)
    start = Factors(V * d, V)
    slopes = []
    for entry in np.eye(k * k).reshape(-1, k, k):
        ahead, behind = (item_item_cosine(reparameterize(start, G + step * entry)) for step in (1e-5, -1e-5))
        slopes.append((ahead - behind)[np.ix_(kept, kept)].ravel() / 2e-5)
    size = np.linalg.svd(np.array(slopes), compute_uv=False)
    dimension = k * (k + 1) // 2 - len(groups)
    assert (size > 1e-4 * max(size[0], 1)).sum() == dimension == reachable_dimension(V)
    assert (size[dimension:] < 1e-7 * max(size[0], 1)).all()


@pytest.mark.claim("exact-freedom")
@pytest.mark.parametrize(("make", "k"), REACHABLE)
def test_equal_item_cosines_leave_a_factor_for_each_group_and_users_in_two_groups_move(make, k, rng):
    X, V, d = with_gap(make, k, rng)
    groups = count_groups(V)
    factors = np.ones(len(V))
    for group, factor in zip(groups, np.geomspace(1, 7, len(groups)), strict=True):
        factors[list(group)] = factor
    Y = V.T @ (factors[:, None] * V)
    M = stretched(k, rng, 1)
    one, two = minimizer(V, d, M), minimizer(V, d, Y @ M @ Y)
    assert_minimizer(X, two, 1.5)
    np.testing.assert_allclose(item_item_cosine(two), item_item_cosine(one), atol=1e-7)
    users = X[np.linalg.norm(X @ V, axis=1) > 1e-9]
    scores = abs(users @ one.A @ one.B.T)
    across = any(sum(row[list(group)].max() > 1e-9 for group in groups) > 1 for row in scores)
    moved = abs(user_user_cosine(users, two) - user_user_cosine(users, one)).max()
    assert (moved > 1e-3) if across else (moved < 1e-7)
    assert across == ((make, k) in USERS_IN_TWO_GROUPS)


@pytest.mark.claim("exact-freedom")
def test_one_customer_of_both_shops_joins_them(rng):
    X = two_communities(rng)
    V = whole_spectrum(X).V[:, :3]
    assert len(count_groups(V)) == 2
    X[0] = 1.0
    assert len(count_groups(whole_spectrum(X).V[:, :3])) == 1


@pytest.mark.claim("comparisons-determined")
@pytest.mark.parametrize("make", [summed_items, equal_and_empty_items, gaussian])
def test_a_comparison_holds_at_every_minimizer_or_is_turned_around(make, rng):
    k = 3
    _, V, d = with_gap(make, k, rng)
    seen = np.array([item_item_cosine(minimizer(V, d, stretched(k, rng))) for _ in range(600)])
    real = np.flatnonzero(np.linalg.norm(V, axis=1) > 1e-9)
    pairs = [pair for pair in itertools.combinations_with_replacement(range(len(V)), 2)]
    survivors = 0
    for pair, other in itertools.product(pairs, pairs):
        holds = comparison_is_determined(V, pair, other)
        if holds:
            assert (seen[:, *pair] >= seen[:, *other] - 1e-7).all(), (pair, other)
            survivors += pair != other and pair[0] != pair[1] and other[0] != other[1]
        elif set(pair) | set(other) <= set(real):
            found = turned_around(V, pair, other)
            cosine = item_item_cosine(minimizer(V, d, found))
            assert cosine[pair] < -0.9 and cosine[other] > 0.9, (pair, other)
    assert (survivors > 0) == (make is not gaussian)


def turned_around(V, pair, other):
    """w wᵀ + ε I with w·v of one sign for `other` and of two signs for `pair`."""
    for sign in (1, -1):
        rows = V[[*pair, *other]] * np.array([[sign], [-sign], [1], [1]])
        w = scipy.optimize.linprog(np.zeros(V.shape[1]), A_ub=-rows, b_ub=-np.ones(4), bounds=(None, None)).x
        if w is not None:
            return np.outer(w, w) + 1e-6 * np.eye(len(w))
    raise AssertionError((pair, other))

"""Chapter 05, the second objective: its theorems on random and on degenerate instances.

Nothing here uses the notebook. Independent ways to the same numbers: random search, the optimality conditions of convex
analysis, alternating ridge regressions, L-BFGS, and small instances that are solved by hand.
"""

import numpy as np
import pytest
import scipy.linalg
import scipy.optimize
import scipy.sparse as sp
from instances import INSTANCES, planted_svd
from oracles import (
    cosine_by_loops,
    eq1_by_hand,
    eq2_by_hand,
    minimize_by_lbfgs,
    orthonormal_columns,
    random_orthogonal,
)

from cossim_helpers import (
    Factors,
    Spectrum,
    factor_penalty_gradient,
    factor_penalty_objective,
    item_item_cosine,
    rescale,
    simulate_interactions,
    solve_factor_penalty,
    solve_product_penalty,
    spectrum,
    spectrum_from_gram,
    user_item_cosine,
    user_user_cosine,
)


def cost(P, Q):
    return 0.5 * (np.sum(P**2) + np.sum(Q**2))


def nuclear(Z):
    return float(np.linalg.svd(Z, compute_uv=False).sum())


def penalized(X, Z, lam):
    return float(np.sum((X - Z) ** 2)) + 2 * lam * nuclear(Z)


def svd_solution(X, lam, k):
    """Scores, user Gram and item Gram of the second objective, from a full SVD of X and the definition."""
    U, sigma, Vt = np.linalg.svd(X, full_matrices=False)
    s = np.array([max(value - lam, 0.0) for value in sigma[:k]])
    U, V = U[:, : len(s)], Vt[: len(s)].T
    return (U * s) @ V.T, (U * s) @ U.T, (V * s) @ V.T


def lbfgs(X, lam, k, rng):
    return minimize_by_lbfgs(
        lambda f: factor_penalty_objective(X, f, lam),
        lambda f: factor_penalty_gradient(X, f, lam),
        (X.shape[1], k),
        rng,
    )


def alternating_ridge(X, lam, Q, rounds=3_000):
    for _ in range(rounds):
        P = X @ Q @ np.linalg.inv(Q.T @ Q + lam * np.eye(Q.shape[1]))
        Q = X.T @ P @ np.linalg.inv(P.T @ P + lam * np.eye(P.shape[1]))
    return P, Q


def aligned(M, N):
    """Distance of M from the orbit {N R} of orthogonal matrices: the orthogonal Procrustes problem."""
    R, _ = scipy.linalg.orthogonal_procrustes(N, M)
    return abs(N @ R - M).max()


# --- the nuclear norm ---


SHAPES = [(7, 5, 3, 2), (5, 7, 3, 3), (6, 6, 6, 1), (1, 1, 1, 1), (4, 1, 3, 1), (9, 4, 6, 0)]  # n, p, k, rank


@pytest.mark.claim("nuclear-norm")
@pytest.mark.parametrize(("n", "p", "k", "rank"), SHAPES)
def test_no_pair_is_cheaper_than_the_nuclear_norm(n, p, k, rank):
    rng = np.random.default_rng(n * 100 + p)
    for _ in range(200):
        P, Q = rng.standard_normal((n, k)), rng.standard_normal((p, k)) * 10 ** rng.uniform(-2, 2, k)
        P[:, rank:] = 0  # a product of at most this rank, with junk in Q that costs and does nothing
        assert cost(P, Q) >= nuclear(P @ Q.T) * (1 - 1e-12)


@pytest.mark.claim("nuclear-norm")
@pytest.mark.parametrize(("n", "p", "k", "rank"), [shape for shape in SHAPES if shape[2] <= min(shape[:2])])
def test_balanced_pairs_attain_it_and_are_one_orbit(n, p, k, rank):
    rng = np.random.default_rng(n * 10 + p)
    S = rng.standard_normal((k, rank)) @ rng.standard_normal((rank, k))  # of this rank
    P, Q = orthonormal_columns(n, k, rng) @ S, orthonormal_columns(p, k, rng) @ S
    np.testing.assert_allclose(P.T @ P, Q.T @ Q, atol=1e-10)
    Z = P @ Q.T
    scale = 1 + nuclear(Z)
    assert cost(P, Q) == pytest.approx(nuclear(Z), abs=1e-10 * scale)
    U, z, Vt = np.linalg.svd(Z, full_matrices=False)
    U, z, V = U[:, :k], np.sqrt(z[:k]), Vt[:k].T
    both = np.vstack([U * z, V * z])  # one rotation has to serve both factors
    assert aligned(np.vstack([P, Q]), both) < 1e-6 * scale


@pytest.mark.claim("nuclear-norm")
def test_pairs_that_are_not_balanced_cost_more():
    rng = np.random.default_rng(0)
    for _ in range(100):
        P, Q = rng.standard_normal((6, 3)), rng.standard_normal((5, 3))
        imbalance = np.linalg.norm(P.T @ P - Q.T @ Q)
        assert imbalance > 0.1
        assert cost(P, Q) > nuclear(P @ Q.T) + 1e-6
    # a pair with equal total lengths, and yet not balanced: equality needs the whole Gram matrices
    P, Q = np.diag([2.0, 1.0]), np.diag([1.0, 2.0])
    assert np.sum(P**2) == np.sum(Q**2)
    assert cost(P, Q) == pytest.approx(5.0)
    assert nuclear(P @ Q.T) == pytest.approx(4.0)


@pytest.mark.claim("nuclear-norm")
def test_fewer_columns_than_the_rank_cannot_make_the_product():
    rng = np.random.default_rng(1)
    Z = rng.standard_normal((5, 4))
    for _ in range(50):
        P, Q = rng.standard_normal((5, 3)), rng.standard_normal((4, 3))
        assert np.linalg.norm(P @ Q.T - Z) >= np.linalg.svd(Z)[1][3] * (1 - 1e-12)


# --- von Neumann's inequality, and the theorem on soft-thresholding ---


@pytest.mark.claim("rank-k-factor-penalty")
@pytest.mark.parametrize(("n", "p"), [(6, 4), (4, 6), (1, 5), (5, 1), (3, 3)])
def test_trace_inequality(n, p):
    rng = np.random.default_rng(n + 10 * p)
    m = min(n, p)
    for _trial in range(100):
        sigma, z = (np.sort(rng.choice([0.0, 1.0, 1.0, 2.0, 3.0], m))[::-1] for _ in range(2))  # ties and zeros
        X, U, V = planted_svd(sigma, n, p, rng)
        Z = planted_svd(z, n, p, rng)[0]
        assert np.sum(X * Z) <= sigma @ z + 1e-10
        assert np.sum(X * ((U * z) @ V.T)) == pytest.approx(sigma @ z, abs=1e-10)


@pytest.mark.claim("rank-k-factor-penalty")
def test_equality_fixes_the_singular_spaces_where_both_drop():
    """sigma drops after 1 and 3, z after 2 and 3: equality leaves room in the second and third direction only."""
    rng = np.random.default_rng(2)
    sigma, z = np.array([3.0, 2.0, 2.0]), np.array([2.0, 2.0, 1.0])
    X, U, V = planted_svd(sigma, 5, 4, rng)
    turn = np.eye(3)
    turn[1:, 1:] = random_orthogonal(2, rng)
    U_Z, V_Z = U @ turn, V @ turn
    Z = (U_Z * z) @ V_Z.T
    assert np.sum(X * Z) == pytest.approx(sigma @ z)
    np.testing.assert_allclose(U_Z @ V_Z.T, U @ V.T, atol=1e-12)  # both drop at 3
    assert abs(Z - (U * z) @ V.T).max() > 0.1  # the drops of z at 2 are not fixed: sigma has none there
    turn = random_orthogonal(3, rng)  # mixing across a common drop loses
    assert np.sum(X * ((U @ turn * z) @ (V @ turn).T)) < sigma @ z - 1e-3


@pytest.fixture(params=INSTANCES)
def X(request):
    return INSTANCES[request.param]


@pytest.mark.claim("rank-k-factor-penalty")
@pytest.mark.parametrize("lam", [0.0, 0.5, 2.0, 10.0])
def test_nothing_of_rank_k_is_below_the_thresholded_svd(X, lam):
    rng = np.random.default_rng(4)
    n, p = X.shape
    sigma = np.linalg.svd(X, compute_uv=False)
    for k in range(1, p + 1):
        Z = svd_solution(X, lam, k)[0]
        best = np.sum(X**2) - sum(max(value - lam, 0.0) ** 2 for value in sigma[:k])
        assert np.linalg.matrix_rank(Z) <= k
        assert penalized(X, Z, lam) == pytest.approx(best, rel=1e-10, abs=1e-10)
        U, z, Vt = np.linalg.svd(Z)
        for size in (0.01, 0.3, 3.0):
            for _ in range(15):
                P, Q = U[:, : len(z)] * z + size * rng.standard_normal((n, len(z))), Vt[: len(z)].T
                P, Q = P[:, :k], (Q + size * rng.standard_normal((p, len(z))))[:, :k]
                assert penalized(X, P @ Q.T, lam) >= best - 1e-9 * (1 + best)


@pytest.mark.claim("rank-k-factor-penalty")
@pytest.mark.parametrize("lam", [0.5, 2.0])
def test_without_a_limit_on_the_rank_the_convex_optimality_conditions_hold(X, lam):
    """X − Z = λ (Ũ Ṽᵀ + N): N orthogonal to the singular spaces of Z, with spectral norm at most 1."""
    k = min(X.shape)
    Z = svd_solution(X, lam, k)[0]
    U, z, Vt = np.linalg.svd(Z, full_matrices=False)
    kept = z > 1e-9
    N = (X - Z) / lam - U[:, kept] @ Vt[kept]
    np.testing.assert_allclose(U[:, kept].T @ N, 0, atol=1e-9)
    np.testing.assert_allclose(N @ Vt[kept].T, 0, atol=1e-9)
    assert np.linalg.norm(N, 2) <= 1 + 1e-9


@pytest.mark.claim("rank-k-factor-penalty")
def test_other_directions_give_away_their_gain():
    rng = np.random.default_rng(5)
    sigma, lam = np.array([6.0, 4, 3, 1]), 1.5
    X, U, V = planted_svd(sigma, 8, 5, rng)
    s = np.array([4.5, 2.5, 1.5, 0.0])
    best = 62 - 4.5**2 - 2.5**2
    for chosen in ([0, 1], [0, 2], [1, 2], [0], [0, 3], [2, 3]):
        value = penalized(X, (U[:, chosen] * s[chosen]) @ V[:, chosen].T, lam)
        assert value == pytest.approx(62 - np.sum(s[chosen] ** 2))
        assert value > best - 1e-9
    assert penalized(X, svd_solution(X, lam, 2)[0], lam) == pytest.approx(best)


# --- Equation 6 ---


@pytest.mark.claim("eq6")
@pytest.mark.parametrize("lam", [0.0, 0.5, 2.0, 10.0])
def test_eq6_attains_the_minimum_and_is_balanced(X, lam):
    pairs = spectrum(X)
    for k in range(1, pairs.sigma.size + 1):
        f = solve_factor_penalty(pairs, lam, k)
        sigma = np.linalg.svd(X, compute_uv=False)[:k]
        s = np.maximum(sigma - lam, 0)
        scale = 1 + np.sum(X**2)
        assert eq2_by_hand(X, f.A, f.B, lam) == pytest.approx(np.sum(X**2) - np.sum(s**2), abs=1e-10 * scale)
        np.testing.assert_allclose((X @ f.A).T @ (X @ f.A), np.diag(s), atol=1e-10 * scale)
        np.testing.assert_allclose(f.B.T @ f.B, np.diag(s), atol=1e-10 * scale)
        with np.errstate(divide="ignore", invalid="ignore"):  # the paper's two diagonals, literally
            bracket = np.maximum(1 - lam / sigma, 0)
            a, b = bracket / sigma, sigma * bracket
        safe = sigma > 1e-9
        # squares: where σ = λ up to rounding, a root would turn 1e-16 into 1e-8
        np.testing.assert_allclose(np.sum(f.A**2, axis=0)[safe], a[safe], atol=1e-10)
        np.testing.assert_allclose(np.sum(f.B**2, axis=0)[safe], b[safe], atol=1e-10)
        assert not f.A[:, ~safe].any()
        assert not f.B[:, ~safe].any()


@pytest.mark.claim("eq6")
@pytest.mark.parametrize("name", ["tall", "n < p", "signed", "rank 2 of 5", "one item", "one user"])
@pytest.mark.parametrize("k", [1, 3])
def test_alternating_ridge_ends_at_eq6(name, k):
    X, lam = INSTANCES[name], 0.7
    k = min(k, *X.shape)
    f = solve_factor_penalty(spectrum(X), lam, k)
    scores, users, items = svd_solution(X, lam, k)
    np.testing.assert_allclose(X @ f.A @ f.B.T, scores, atol=1e-9)
    for seed in range(2):
        P, Q = alternating_ridge(X, lam, np.random.default_rng(seed).standard_normal((X.shape[1], k)))
        np.testing.assert_allclose(P @ Q.T, scores, atol=1e-5)
        np.testing.assert_allclose(P @ P.T, users, atol=1e-5)
        np.testing.assert_allclose(Q @ Q.T, items, atol=1e-5)
        np.testing.assert_allclose(f.B @ f.B.T, items, atol=1e-9)


@pytest.mark.claim("eq6")
def test_rank_above_the_number_of_users():
    """k = p > n: the surplus dimensions are empty, for the closed form and for L-BFGS."""
    X, lam = INSTANCES["n < p"], 0.4
    f = solve_factor_penalty(spectrum_from_gram(X.T @ X), lam)  # all p pairs
    assert f.B.shape == (7, 7)
    assert not f.B[:, 4:].any()
    end = lbfgs(X, lam, 7, np.random.default_rng(0))
    assert eq2_by_hand(X, end.A, end.B, lam) == pytest.approx(eq2_by_hand(X, f.A, f.B, lam), rel=1e-8)
    np.testing.assert_allclose(end.B @ end.B.T, f.B @ f.B.T, atol=1e-4)


@pytest.mark.claim("eq6")
def test_a_zero_gradient_is_not_enough():
    rng = np.random.default_rng(6)
    X, _U, V = planted_svd([5.0, 3, 2], 7, 4, rng)
    lam, s = 1.0, np.array([4.0, 2, 1])
    for chosen in ([0], [1], [2]):
        f = Factors(V[:, chosen] * np.sqrt(s[chosen]) / (s[chosen] + lam), V[:, chosen] * np.sqrt(s[chosen]))
        assert max(abs(g).max() for g in factor_penalty_gradient(X, f, lam)) < 1e-12 * np.sum(X**2)
        assert eq2_by_hand(X, f.A, f.B, lam) == pytest.approx(38 - s[chosen[0]] ** 2)


# --- uniqueness, and exactly when ---


@pytest.mark.claim("uniqueness")
@pytest.mark.parametrize(
    ("sigma", "k", "lam"),
    [
        ([5, 3, 2, 1], 2, 0.7),
        ([5, 5, 2, 1], 2, 0.7),  # a tie inside
        ([5, 3, 2, 2], 1, 4.0),
        ([5, 3, 3, 1], 4, 0.5),  # k = p
        ([5, 3, 0, 0], 4, 0.5),  # rank-deficient, k above the rank
    ],
)
def test_all_minimizers_are_one_orbit(sigma, k, lam):
    rng = np.random.default_rng(7)
    X = planted_svd(sigma, 9, 4, rng)[0]
    f = solve_factor_penalty(spectrum(X), lam, k)
    both = np.vstack([X @ f.A, f.B])
    for _ in range(3):
        end = lbfgs(X, lam, k, rng)
        assert aligned(np.vstack([X @ end.A, end.B]), both) < 1e-4  # one rotation for users and items
        np.testing.assert_allclose(item_item_cosine(end), cosine_by_loops(f.B, f.B), atol=1e-4)
        np.testing.assert_allclose(user_user_cosine(X, end), cosine_by_loops(X @ f.A, X @ f.A), atol=1e-4)
        np.testing.assert_allclose(user_item_cosine(X, end), cosine_by_loops(X @ f.A, f.B), atol=1e-4)


@pytest.mark.claim("uniqueness")
def test_the_price_of_a_rescaling():
    rng = np.random.default_rng(8)
    X = INSTANCES["tall"]
    for lam in (0.3, 1.5):
        f, s = solve_factor_penalty(spectrum(X), lam), np.maximum(np.linalg.svd(X, compute_uv=False) - lam, 0)
        least = eq2_by_hand(X, f.A, f.B, lam)
        for _ in range(20):
            d = rng.choice([-1, 1], 8) * 10 ** rng.uniform(-1, 1, 8)
            other = rescale(f, d)
            assert eq2_by_hand(X, other.A, other.B, lam) - least == pytest.approx(
                lam * np.sum(s * (d - 1 / d) ** 2), rel=1e-8
            )
        signs = rescale(f, rng.choice([-1, 1], 8))
        assert eq2_by_hand(X, signs.A, signs.B, lam) == pytest.approx(least, rel=1e-12)
        np.testing.assert_allclose(item_item_cosine(signs), item_item_cosine(f), atol=1e-12)


@pytest.mark.claim("uniqueness-conditions")
@pytest.mark.parametrize(("sigma", "k"), [([5, 3, 3, 1], 2), ([2, 2, 2, 2], 1), ([4, 4, 1, 0], 1), ([4, 2, 2, 2], 3)])
def test_a_tie_above_lambda_at_the_border_leaves_two_minimizers(sigma, k):
    rng, lam = np.random.default_rng(9), 0.9
    X, U, V = planted_svd(sigma, 8, 4, rng)
    order = list(range(4))
    order[k - 1], order[k] = k, k - 1
    s = np.maximum(np.array(sigma[:k]) - lam, 0)
    ends = []
    for columns in (list(range(k)), order[:k]):
        P, Q = U[:, columns] * np.sqrt(s), V[:, columns] * np.sqrt(s)
        A = V[:, columns] * np.sqrt(s) / np.array(sigma[:k])
        np.testing.assert_allclose(X @ A, P, atol=1e-12)
        assert eq2_by_hand(X, A, Q, lam) == pytest.approx(np.sum(X**2) - np.sum(s**2), rel=1e-12)
        ends.append((P @ Q.T, Q @ Q.T))
    for first, second in zip(*ends, strict=True):
        assert np.linalg.norm(first - second) == pytest.approx(np.sqrt(2) * s[-1])


@pytest.mark.claim("uniqueness-conditions")
def test_lbfgs_finds_many_minimizers_at_a_tie_above_lambda_and_one_at_or_below():
    rng = np.random.default_rng(10)
    X = planted_svd([5, 2, 2], 7, 3, rng)[0]
    spreads = {}
    for lam in (0.5, 2.0, 2.5):
        grams, values = [], []
        for _ in range(6):
            end = lbfgs(X, lam, 2, rng)
            values.append(eq2_by_hand(X, end.A, end.B, lam))
            grams.append(end.B @ end.B.T)
        np.testing.assert_allclose(values, 33 - (5 - lam) ** 2 - max(2 - lam, 0) ** 2, rtol=1e-8)
        spreads[lam] = np.ptp(grams, axis=0).max()
    assert spreads[0.5] > 0.1
    assert spreads[2.0] < 1e-3  # the minimum is flat of fourth order there, so optimizers are less exact
    assert spreads[2.5] < 1e-4


@pytest.mark.claim("uniqueness-conditions")
def test_a_tie_at_lambda_exactly_is_harmless():
    """σ_2 = σ_3 = λ: weight 0, so every choice of the second direction gives the same B."""
    rng = np.random.default_rng(11)
    for _ in range(5):
        turn = np.eye(3)
        turn[1:, 1:] = random_orthogonal(2, rng)
        f = solve_factor_penalty(Spectrum(np.array([3.0, 1.0, 1.0]), turn), 1.0, 2)
        np.testing.assert_allclose(f.B @ f.B.T, np.diag([2.0, 0, 0]), atol=1e-14)


@pytest.mark.claim("uniqueness-conditions")
@pytest.mark.parametrize("sigma", [[4, 3, 2, 1], [4, 3, 0, 0]])
def test_at_lambda_zero_the_whole_general_linear_group_is_back(sigma):
    rng = np.random.default_rng(12)
    X = planted_svd(sigma, 8, 4, rng)[0]
    for k in (1, 2, 3):
        f = solve_factor_penalty(spectrum(X), 0.0, k)
        best = float(np.sum(np.array(sigma[k:]) ** 2))
        moved = []
        for _ in range(5):
            G = rng.standard_normal((k, k))
            other = Factors(f.A @ G, f.B @ np.linalg.inv(G).T)
            assert eq2_by_hand(X, other.A, other.B, 0.0) == pytest.approx(best, abs=1e-8)
            assert abs(other.B @ other.B.T - f.B @ f.B.T).max() > 1e-3  # not on the orbit of the rotations
            moved.append(abs(item_item_cosine(other) - item_item_cosine(f)).max())
        assert max(moved) < 1e-7 if k == 1 else min(moved) > 1e-3  # one dimension: cosines are signs


@pytest.mark.claim("uniqueness-conditions")
def test_at_lambda_zero_and_rank_one_no_item_item_cosine_moves():
    """X of rank 1: all item embeddings lie on one line, before and after any G, at k = 2 as well."""
    rng = np.random.default_rng(17)
    X = planted_svd([4.0], 8, 4, rng)[0]
    f = solve_factor_penalty(spectrum(X), 0.0, 2)
    for _ in range(5):
        G = np.linalg.qr(rng.standard_normal((2, 2)))[0] * [3.0, 0.5] @ random_orthogonal(2, rng)
        other = Factors(f.A @ G, f.B @ np.linalg.inv(G).T)
        assert eq2_by_hand(X, other.A, other.B, 0.0) == pytest.approx(0, abs=1e-18)
        assert abs(other.B @ other.B.T - f.B @ f.B.T).max() > 1e-3
        np.testing.assert_allclose(item_item_cosine(other), cosine_by_loops(f.B, f.B), atol=1e-6)


@pytest.mark.claim("uniqueness-conditions")
def test_A_is_free_along_the_null_space_of_X_and_nowhere_else():
    rng = np.random.default_rng(13)
    X, lam, k = planted_svd([4.0, 2], 8, 5, rng)[0], 0.5, 3
    f = solve_factor_penalty(spectrum(X), lam, k)
    least = eq2_by_hand(X, f.A, f.B, lam)
    null = scipy.linalg.null_space(X)
    assert null.shape == (5, 3)
    for _ in range(10):
        N = null @ rng.standard_normal((3, k))
        assert eq2_by_hand(X, f.A + N, f.B, lam) == pytest.approx(least, rel=1e-10)
        np.testing.assert_allclose(user_user_cosine(X, Factors(f.A + N, f.B)), user_user_cosine(X, f), atol=1e-10)
        assert np.sum((f.A + N) ** 2) == pytest.approx(np.sum(f.A**2) + np.sum(N**2))  # Eq. 6 has the shortest A
        off = rng.standard_normal((5, k))
        assert eq2_by_hand(X, f.A + off, f.B, lam) > least + 1e-3
    np.testing.assert_allclose(np.linalg.pinv(X) @ (X @ f.A), f.A, atol=1e-10)


@pytest.mark.claim("uniqueness-conditions")
def test_surplus_dimensions_are_empty_for_every_positive_lambda():
    """k above the rank of X: the second objective empties them, without it Q may hold anything there."""
    rng = np.random.default_rng(14)
    X = planted_svd([4.0, 2], 8, 5, rng)[0]
    end = lbfgs(X, 0.5, 4, rng)
    assert np.linalg.svd(end.B, compute_uv=False)[2] < 1e-4
    f = solve_factor_penalty(spectrum(X), 0.0, 4)
    junk = Factors(f.A, f.B + np.outer(rng.standard_normal(5), [0, 0, 0, 1]))
    assert eq2_by_hand(X, junk.A, junk.B, 0.0) == pytest.approx(0, abs=1e-18)
    assert eq2_by_hand(X, junk.A, junk.B, 0.5) > eq2_by_hand(X, f.A, f.B, 0.5) + 0.01


# --- all cosines are 1 ---


def connected(X):
    graph = sp.block_array([[None, sp.csr_array(X)], [sp.csr_array(X.T), None]])
    return sp.csgraph.connected_components(graph)[0] == 1


@pytest.mark.claim("unique-all-ones")
def test_connected_data_have_all_cosines_one_between_the_first_two_singular_values():
    rng = np.random.default_rng(15)
    tried = 0
    while tried < 60:
        n, p = rng.integers(1, 7, 2)
        X = (rng.random((n, p)) < 0.5) * rng.choice([1.0, 0.01, 5.0], (n, p))
        if not connected(X):
            continue
        tried += 1
        pairs = spectrum(X)
        second = pairs.sigma[1] if pairs.sigma.size > 1 else 0.0
        assert pairs.sigma[0] > second
        assert pairs.V[:, 0].min() > 0
        for lam in (second, 0.5 * (second + pairs.sigma[0])):
            if lam == 0:
                continue
            for k in range(1, pairs.sigma.size + 1):
                f = solve_factor_penalty(pairs, lam, k)
                for cosine in (item_item_cosine(f), user_user_cosine(X, f), user_item_cosine(X, f)):
                    np.testing.assert_allclose(cosine, 1, atol=1e-9)


@pytest.mark.claim("unique-all-ones")
def test_an_optimizer_finds_all_ones_and_other_penalties_do_not_have_them():
    X = simulate_interactions(60, 12, 3, rng=3).X.toarray()
    X = X[:, X.sum(axis=0) > 0]
    assert connected(X)
    sigma = np.linalg.svd(X, compute_uv=False)
    P, Q = alternating_ridge(X, 0.5 * (sigma[0] + sigma[1]), np.random.default_rng(0).standard_normal((X.shape[1], 3)))
    np.testing.assert_allclose(cosine_by_loops(Q, Q), 1, atol=1e-6)
    np.testing.assert_allclose(cosine_by_loops(P, Q), 1, atol=1e-6)
    below = solve_factor_penalty(spectrum(X), 0.9 * sigma[1], 3)
    assert item_item_cosine(below).min() < 0.999  # a second direction is in
    above = solve_factor_penalty(spectrum(X), sigma[0], 3)
    np.testing.assert_array_equal(item_item_cosine(above), 0)  # nothing is left


@pytest.mark.claim("unique-all-ones")
@pytest.mark.parametrize(
    ("X", "lam", "expected"),
    [
        ([[1, 1, 0], [1, 1, 0], [0, 0, 1]], 1.5, [[1, 1, 0], [1, 1, 0], [0, 0, 0]]),  # not connected
        ([[1, 1, 0], [1, 1, 0]], 1.5, [[1, 1, 0], [1, 1, 0], [0, 0, 0]]),  # an empty item
        ([[1, -1], [1, -1]], 1.5, [[1, -1], [-1, 1]]),  # negative entries
    ],
)
def test_the_conditions_are_needed(X, lam, expected):
    f = solve_factor_penalty(spectrum(np.array(X, float)), lam)
    np.testing.assert_allclose(item_item_cosine(f), expected, atol=1e-12)


@pytest.mark.claim("unique-all-ones")
def test_two_equal_communities_are_not_even_unique():
    """σ_1 = σ_2: not connected, and for k = 1 the interval is empty and the tie is above λ."""
    pairs = spectrum(np.eye(2))
    assert pairs.sigma[0] == pairs.sigma[1] == 1
    ends = [
        solve_factor_penalty(Spectrum(np.array([1.0]), np.array([[np.cos(t)], [np.sin(t)]])), 0.5) for t in (-0.7, 0.7)
    ]
    values = [eq2_by_hand(np.eye(2), f.A, f.B, 0.5) for f in ends]
    np.testing.assert_allclose(values, 2 - 0.25)
    assert [round(item_item_cosine(f)[0, 1]) for f in ends] == [-1, 1]


# --- Equation 5 in the scaling of Equation 6 ---


@pytest.mark.claim("inverse-sqrt-scaling")
@pytest.mark.parametrize(("name", "k"), [("tall", 3), ("tall", 6), ("n < p", 2), ("signed", 5), ("one item", 1)])
@pytest.mark.parametrize("lam", [0.0, 0.5, 20.0])
def test_scaled_eq5_has_the_form_of_eq6(name, k, lam):
    X = INSTANCES[name]
    U, sigma, Vt = np.linalg.svd(X, full_matrices=False)
    U, sigma, V = U[:, :k], sigma[:k], Vt[:k].T
    five = solve_product_penalty(spectrum(X), lam, k)
    scaled = rescale(five, 1 / np.sqrt(sigma))
    kept = 1 / (1 + lam / sigma**2)  # in the place of (1 − λ/σ)_+
    np.testing.assert_allclose(scaled.A @ scaled.A.T, V @ np.diag(kept / sigma) @ V.T, atol=1e-9)
    np.testing.assert_allclose(scaled.B @ scaled.B.T, V @ np.diag(kept * sigma) @ V.T, atol=1e-9)
    np.testing.assert_allclose(X @ scaled.A @ (X @ scaled.A).T, U @ np.diag(kept * sigma) @ U.T, atol=1e-9)
    np.testing.assert_allclose((X @ scaled.A).T @ X @ scaled.A, scaled.B.T @ scaled.B, atol=1e-9)
    assert eq1_by_hand(X, scaled.A, scaled.B, lam) == pytest.approx(eq1_by_hand(X, five.A, five.B, lam), rel=1e-10)


@pytest.mark.claim("inverse-sqrt-scaling")
def test_no_other_minimizer_of_eq1_has_less_weight_decay():
    rng = np.random.default_rng(16)
    X = INSTANCES["tall"]
    f = solve_product_penalty(spectrum(X), 1.3, 4)
    scaled = rescale(f, 1 / np.sqrt(np.linalg.svd(X, compute_uv=False)[:4]))
    least = 2 * cost(X @ scaled.A, scaled.B)
    for size in (1e-3, 0.1, 1.0):
        for _ in range(50):
            G = np.eye(4) + size * rng.standard_normal((4, 4))
            other = 2 * cost(X @ scaled.A @ G, scaled.B @ np.linalg.inv(G).T)
            assert other >= least * (1 - 1e-12)
    R = random_orthogonal(4, rng)
    assert 2 * cost(X @ scaled.A @ R, scaled.B @ R) == pytest.approx(least, rel=1e-12)
    assert 2 * cost(X @ f.A, f.B) > least * 1.01  # Eq. 5 itself costs more


@pytest.mark.claim("inverse-sqrt-scaling")
def test_the_scaled_cosines_are_in_general_not_those_of_the_second_objective():
    X = INSTANCES["tall"]
    pairs = spectrum(X)
    for k, lam, differ in ((1, 1.0, False), (3, 1.0, True), (3, 1e-7, False), (6, 1.0, True)):
        first = rescale(solve_product_penalty(pairs, lam**2, k), pairs.sigma[:k] ** -0.5)
        gap = abs(cosine_by_loops(first.B, first.B) - item_item_cosine(solve_factor_penalty(pairs, lam, k))).max()
        assert gap > 0.05 if differ else gap < 1e-5


@pytest.mark.claim("inverse-sqrt-scaling")
def test_the_scaling_needs_positive_singular_values():
    X = INSTANCES["rank 2 of 5"]
    with np.errstate(divide="ignore"), pytest.raises(ValueError, match="d takes"):
        rescale(solve_product_penalty(spectrum(X), 1.0), 1 / np.sqrt(spectrum(X).sigma))

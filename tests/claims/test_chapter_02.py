"""Chapter 02: two objectives and their symmetries, on random and on degenerate instances of their own."""

import itertools

import numpy as np
import pytest
import scipy.optimize
import sympy
from oracles import cosine_by_loops, eq1_by_hand, eq2_by_hand, minimize_by_lbfgs, random_orthogonal

from cossim_helpers import (
    Factors,
    factor_penalty_gradient,
    factor_penalty_objective,
    item_item_cosine,
    product_penalty_gradient,
    product_penalty_objective,
    reparameterize,
    rescale,
    rotate,
    solve_factor_penalty,
    solve_product_penalty,
    spectrum,
)


def sum_of_squares(M):
    return float(np.sum(np.asarray(M) ** 2))


def instance(n, p, k, seed, rank=None):
    """X of shape (n, p), of the given rank and with σ_1 = 3; A and B of shape (p, k); the generator that drew them."""
    rng = np.random.default_rng(seed)
    rank = min(n, p) if rank is None else rank
    X = rng.standard_normal((n, rank)) @ rng.standard_normal((rank, p))
    X *= 3 / np.linalg.norm(X, 2)  # so that L-BFGS's absolute stopping rule means the same for every instance
    return X, rng.standard_normal((p, k)), rng.standard_normal((p, k)), rng


SHAPES = [(9, 5, 2, None), (4, 7, 3, None), (8, 4, 1, None), (8, 4, 4, None), (8, 5, 3, 2), (1, 1, 1, None)]
shapes = pytest.mark.parametrize(("n", "p", "k", "rank"), SHAPES)


# --- the first objective, and where its penalty comes from ---


@pytest.mark.claim("eq1-product-penalty")
@shapes
def test_eq1_depends_on_the_product_alone(n, p, k, rank):
    X, A, B, rng = instance(n, p, k, 1, rank)
    W = A @ B.T
    loop = sum((X[u, i] - sum(X[u, j] * W[j, i] for j in range(p))) ** 2 for u in range(n) for i in range(p))
    loop += 1.7 * sum(w**2 for w in W.ravel())
    assert product_penalty_objective(X, Factors(A, B), 1.7) == pytest.approx(loop, rel=1e-11)
    for other in (
        Factors(W, np.eye(p)),
        Factors(np.eye(p), W.T),
        Factors(np.hstack([A, np.zeros((p, 1))]), np.hstack([B, rng.standard_normal((p, 1))])),
    ):
        assert product_penalty_objective(X, other, 1.7) == pytest.approx(loop, rel=1e-11)


@pytest.mark.claim("eq1-product-penalty", "eq2-matrix-factorization")
@pytest.mark.parametrize(
    ("value", "gradient"), [(eq1_by_hand, product_penalty_gradient), (eq2_by_hand, factor_penalty_gradient)]
)
@shapes
def test_gradients_against_exact_central_differences(value, gradient, n, p, k, rank):
    X, A, B, rng = instance(n, p, k, 2, rank)
    dA, dB = gradient(X, Factors(A, B), 0.8)
    H = rng.standard_normal((p, k))  # quadratic in A and in B: the difference is exact at any step
    scale = value(X, A + H, B, 0.8) + value(X, A, B + H, 0.8)
    assert abs((value(X, A + H, B, 0.8) - value(X, A - H, B, 0.8)) / 2 - np.sum(dA * H)) < 1e-11 * scale
    assert abs((value(X, A, B + H, 0.8) - value(X, A, B - H, 0.8)) / 2 - np.sum(dB * H)) < 1e-11 * scale


def patterns(values, shape):
    return np.array(list(itertools.product(values, repeat=shape[0] * shape[1]))).reshape(-1, *shape)


@pytest.mark.claim("eq1-input-noise")
@pytest.mark.parametrize("shape", [(2, 4), (4, 2), (3, 3), (1, 1)])
def test_input_noise_averaged_over_every_pattern(shape):
    rng = np.random.default_rng(3)
    X, W, tau = rng.standard_normal(shape), rng.standard_normal((shape[1],) * 2), 1.3
    losses = [sum_of_squares(X - (X + tau * E) @ W) for E in patterns([-1.0, 1.0], shape)]
    assert np.mean(losses) == pytest.approx(eq1_by_hand(X, W, np.eye(shape[1]), shape[0] * tau**2), rel=1e-12)


@pytest.mark.claim("eq1-input-noise")
def test_input_noise_needs_uncorrelated_rows_and_nothing_between_rows():
    rng = np.random.default_rng(4)
    n, p, tau = 3, 2, 0.6
    W = rng.standard_normal((p, p))
    one_row_for_all = [sum_of_squares(tau * np.tile(E, (n, 1)) @ W) for E in patterns([-1.0, 1.0], (1, p))]
    assert np.mean(one_row_for_all) == pytest.approx(n * tau**2 * sum_of_squares(W), rel=1e-12)
    one_sign_a_row = [sum_of_squares(tau * np.tile(E, (1, p)) @ W) for E in patterns([-1.0, 1.0], (n, 1))]
    assert np.mean(one_sign_a_row) == pytest.approx(n * tau**2 * sum_of_squares(W.sum(axis=0)), rel=1e-12)
    assert abs(np.mean(one_sign_a_row) - n * tau**2 * sum_of_squares(W)) > 0.05 * np.mean(one_sign_a_row)


@pytest.mark.claim("eq1-input-noise")
def test_input_noise_of_a_skewed_law_by_monte_carlo():
    rng = np.random.default_rng(5)
    X, W, tau, draws = rng.standard_normal((20, 5)), rng.standard_normal((5, 5)), 0.4, 4_000
    E = tau * (rng.standard_exponential((draws, 20, 5)) - 1)  # mean 0, variance τ²
    excess = ((X - (X + E) @ W) ** 2).sum(axis=(1, 2)) - sum_of_squares(X - X @ W)
    error = excess.std(ddof=1) / np.sqrt(draws)
    assert abs(excess.mean() - 20 * tau**2 * sum_of_squares(W)) < 4 * error
    assert abs(excess.mean() - 5 * tau**2 * sum_of_squares(W)) > 40 * error  # p in the place of n


def dropout_loss(X, W, q):
    """The mean loss over every mask of the nonzero entries, weighted by its probability."""
    where = np.argwhere(X != 0)
    total = 0.0
    for mask in itertools.product([0, 1], repeat=len(where)):
        dropped = X.copy()
        for (u, i), kept in zip(where, mask, strict=True):
            dropped[u, i] *= kept / (1 - q)
        total += (1 - q) ** sum(mask) * q ** (len(mask) - sum(mask)) * sum_of_squares(X - dropped @ W)
    return total


@pytest.mark.claim("eq1-dropout")
@pytest.mark.parametrize("q", [0.0, 0.2, 0.75])
def test_dropout_averaged_over_every_mask(q):
    rng = np.random.default_rng(6)
    W = rng.standard_normal((3, 3))
    for X in (np.array([[1, 0, 1], [1, 1, 0], [1, 0, 0.0]]), rng.standard_normal((3, 3)), np.zeros((2, 3))):
        weights = q / (1 - q) * (X**2).sum(axis=0)
        expected = sum_of_squares(X - X @ W) + sum(w * sum_of_squares(row) for w, row in zip(weights, W, strict=True))
        assert dropout_loss(X, W, q) == pytest.approx(expected, rel=1e-12, abs=1e-12)


@pytest.mark.claim("eq1-dropout")
def test_dropout_is_eq1_for_equal_columns_and_for_no_others():
    q, rng = 0.4, np.random.default_rng(7)
    equal = np.array([[1, 1, 0], [1, 0, 1], [0, 1, 1.0]])
    for _ in range(3):
        W = rng.standard_normal((3, 3))
        assert dropout_loss(equal, W, q) == pytest.approx(eq1_by_hand(equal, W, np.eye(3), q / (1 - q) * 2), rel=1e-12)
    unequal = np.array([[1, 1, 0], [1, 0, 1], [1, 0, 0.0]])
    lams = [
        dropout_loss(unequal, W, q) - sum_of_squares(unequal - unequal @ W)
        for W in (np.outer(row, [1.0, 0, 0]) for row in np.eye(3))
    ]  # what each row pays: it would be λ
    np.testing.assert_allclose(lams, q / (1 - q) * np.array([3, 1, 1]), rtol=1e-12)


def dropout_solution(X, q):
    """By L-BFGS, from the definition of the loss."""
    p, weights = X.shape[1], q / (1 - q) * (X**2).sum(axis=0)

    def loss(z):
        W = z.reshape(p, p)
        residual = X - X @ W
        return sum_of_squares(residual) + weights @ (W**2).sum(axis=1), (
            -2 * X.T @ residual + 2 * weights[:, None] * W
        ).ravel()

    found = scipy.optimize.minimize(
        loss, np.zeros(p * p), jac=True, method="L-BFGS-B", options={"ftol": 0.0, "gtol": 1e-11, "maxiter": 10_000}
    )
    return found.x.reshape(p, p), weights


@pytest.mark.claim("eq1-dropout")
def test_dropout_keeps_the_basis_exactly_if_the_weights_commute_with_the_gram_matrix():
    rng = np.random.default_rng(8)
    first, second = (rng.random((m, 3)) < 0.5 for m in (30, 60))
    first, second = (np.vstack([block, ~block]).astype(float) for block in (first, second))  # 30 and 60 users an item
    apart = np.block([[first, np.zeros((60, 3))], [np.zeros((120, 3)), second]])
    mixed = (rng.random((80, 6)) < np.linspace(0.9, 0.1, 6)).astype(float)
    for X, keeps in ((apart, True), (mixed, False)):
        W, weights = dropout_solution(X, 0.3)
        gram, V = X.T @ X, spectrum(X).V
        np.testing.assert_allclose(W, np.linalg.solve(gram + np.diag(weights), gram), atol=1e-7)
        off = V.T @ W @ V - np.diag(np.diag(V.T @ W @ V))
        commutator = gram * (weights[:, None] - weights)
        assert np.ptp(weights) > 1  # unequal columns in both
        if keeps:
            assert abs(commutator).max() == 0
            assert max(abs(off).max(), abs(W - W.T).max()) < 1e-7
        else:
            assert abs(commutator).max() > 1
            assert min(abs(off).max(), abs(W - W.T).max()) > 0.02


# --- the second objective, and matrix factorization ---


def mf_by_hand(X, P, Q, lam):
    return sum_of_squares(X - P @ Q.T) + lam * (sum_of_squares(P) + sum_of_squares(Q))


def mf_by_alternation(X, Q, lam, rounds=4_000):
    """(P, Q) by alternating ridge regressions: each half-step is the best P for Q, then the best Q for P."""
    ridge = lam * np.eye(Q.shape[1])
    for _ in range(rounds):
        P = np.linalg.solve(Q.T @ Q + ridge, Q.T @ X.T).T
        Q = np.linalg.solve(P.T @ P + ridge, P.T @ X).T
    return P, Q


@pytest.mark.claim("eq2-matrix-factorization")
@shapes
def test_eq2_is_matrix_factorization(n, p, k, rank):
    X, A, B, rng = instance(n, p, k, 9, rank)
    lam = 0.35 * np.linalg.norm(X, 2)
    assert factor_penalty_objective(X, Factors(A, B), lam) == pytest.approx(mf_by_hand(X, X @ A, B, lam), rel=1e-12)

    P, Q = mf_by_alternation(X, rng.standard_normal((p, k)), lam)
    found = minimize_by_lbfgs(
        lambda f: factor_penalty_objective(X, f, lam), lambda f: factor_penalty_gradient(X, f, lam), (p, k), rng
    )
    scale = sum_of_squares(X)
    assert abs(mf_by_hand(X, P, Q, lam) - eq2_by_hand(X, found.A, found.B, lam)) < 1e-9 * scale  # equal minima
    np.testing.assert_allclose(Q @ Q.T, found.B @ found.B.T, atol=1e-5 * np.sqrt(scale))
    np.testing.assert_allclose(P @ Q.T, X @ found.A @ found.B.T, atol=1e-5 * np.sqrt(scale))
    reached = Factors(Q @ np.linalg.inv(Q.T @ Q + lam * np.eye(k)), Q)
    np.testing.assert_allclose(X @ reached.A, P, atol=1e-5 * np.sqrt(scale))  # P = XA, at any rank of X
    assert eq2_by_hand(X, reached.A, reached.B, lam) <= mf_by_hand(X, P, Q, lam) + 1e-9 * scale


@pytest.mark.claim("eq2-matrix-factorization")
def test_projecting_P_never_hurts():
    X, _, _, rng = instance(9, 4, 3, 10, rank=3)
    U = np.linalg.svd(X)[0][:, :3]
    for lam in (0.0, 1.5):
        P, Q = rng.standard_normal((9, 3)), rng.standard_normal((4, 3))
        inside, outside = U @ U.T @ P, P - U @ U.T @ P
        expected = mf_by_hand(X, inside, Q, lam) + sum_of_squares(outside @ Q.T) + lam * sum_of_squares(outside)
        assert mf_by_hand(X, P, Q, lam) == pytest.approx(expected, rel=1e-12)


@pytest.mark.claim("eq2-matrix-factorization")
def test_without_penalty_a_minimizer_can_be_out_of_reach():
    X = np.array([[1.0, 2.0], [2.0, 4.0], [0.0, 0.0]])
    P, Q = np.array([[1, 0], [2, 0], [0, 1.0]]), np.array([[1, 0], [2, 0.0]])
    assert mf_by_hand(X, P, Q, 0.0) == 0  # nothing is below 0
    A = np.linalg.lstsq(X, P, rcond=None)[0]
    assert np.linalg.norm(X @ A - P) == pytest.approx(1.0)
    assert mf_by_hand(X, X @ A, Q, 0.1) < mf_by_hand(X, P, Q, 0.1) - 0.05


@pytest.mark.claim("eq2-matrix-factorization")
def test_rank_conditions():
    rng = np.random.default_rng(11)
    wide, tall = rng.standard_normal((3, 5)), rng.standard_normal((5, 3))

    def misses(X, P):
        return np.linalg.norm(X @ np.linalg.lstsq(X, P, rcond=None)[0] - P)

    assert misses(wide, rng.standard_normal((3, 2))) < 1e-12  # full row rank: every P
    assert misses(tall, rng.standard_normal((5, 2))) > 0.1
    null = np.linalg.svd(wide)[2][3:].T  # full column rank fails: A is not unique
    A, B = rng.standard_normal((5, 2)), rng.standard_normal((5, 2))
    assert eq2_by_hand(wide, A + null, B, 2.0) == pytest.approx(eq2_by_hand(wide, A, B, 2.0), rel=1e-12)
    np.testing.assert_allclose(np.linalg.pinv(tall) @ (tall @ A[:3]), A[:3], atol=1e-12)  # full column rank: A unique


# --- decay on A and B ---


def eq3rd(X, factors, lam):
    A, B = factors.A, factors.B
    return sum_of_squares(X - X @ A @ B.T) + lam * (sum_of_squares(A) + sum_of_squares(B))


def eq3rd_gradient(X, factors, lam):
    A, B = factors.A, factors.B
    residual = X - X @ A @ B.T
    return -2 * X.T @ residual @ B + 2 * lam * A, -2 * residual.T @ X @ A + 2 * lam * B


def eq3rd_solution(X, lam, k):
    eigenvalues, vectors = np.linalg.eigh(X.T @ X)
    g, V = np.maximum(eigenvalues[::-1][:k], 0), vectors[:, ::-1][:, :k]
    keep = np.array([1 - lam / one if one > lam else 0.0 for one in g])
    return V * np.sqrt(keep), sum_of_squares(X) - sum((one - lam) ** 2 / one for one in g if one > lam)


@pytest.mark.claim("third-objective")
@pytest.mark.parametrize("share", [0.02, 0.2, 1.5])  # of σ_1²: all directions pass, some, none
@shapes
def test_decay_on_both_factors_against_lbfgs(n, p, k, rank, share):
    X, _, _, rng = instance(n, p, k, 12, rank)
    lam = share * np.linalg.norm(X, 2) ** 2
    B, minimum = eq3rd_solution(X, lam, k)
    scale = sum_of_squares(X)
    assert eq3rd(X, Factors(B.copy(), B), lam) == pytest.approx(minimum, rel=1e-12)
    assert max(abs(g).max() for g in eq3rd_gradient(X, Factors(B.copy(), B), lam)) < 1e-11 * scale
    found = minimize_by_lbfgs(lambda f: eq3rd(X, f, lam), lambda f: eq3rd_gradient(X, f, lam), (p, k), rng)
    assert eq3rd(X, found, lam) == pytest.approx(minimum, rel=1e-9)
    for one in (found.A @ found.A.T, found.B @ found.B.T, found.A @ found.B.T):
        np.testing.assert_allclose(one, B @ B.T, atol=2e-5)


@pytest.mark.claim("third-objective")
def test_no_pair_is_below_the_minimum():
    for seed in range(5):
        X, _, _, rng = instance(6, 4, 2, 20 + seed)
        lam = rng.uniform(0.05, 1) * np.linalg.norm(X, 2) ** 2
        B, minimum = eq3rd_solution(X, lam, 2)
        for size in (1e-3, 1e-1, 1.0):  # near the minimizer and far from it
            for _ in range(20):
                near = Factors(B + size * rng.standard_normal(B.shape), B + size * rng.standard_normal(B.shape))
                assert eq3rd(X, near, lam) >= minimum - 1e-12 * sum_of_squares(X)


@pytest.mark.claim("third-objective")
def test_its_filter_by_computer_algebra():
    beta, g, lam = sympy.symbols("beta g lambda", positive=True)
    h = beta * g**2 / (beta * g + lam) - lam * beta
    stationary = [root for root in sympy.solve(sympy.diff(h, beta), beta)]
    assert [sympy.simplify(root - (1 - lam / g)) for root in stationary].count(0) == 1
    assert sympy.simplify(h.subs(beta, 1 - lam / g) - (g - lam) ** 2 / g) == 0
    assert sympy.simplify(sympy.diff(h, beta, 2) + 2 * g**3 * lam / (beta * g + lam) ** 3) == 0  # strictly concave


@pytest.mark.claim("third-objective")
def test_it_is_unique_exactly_without_a_tie_above_the_threshold():
    tied = np.diag([3.0, 2.0, 2.0])
    first, second = np.eye(3)[:, [0, 1]], np.eye(3)[:, [0, 2]]
    for lam in (1.0, 3.9):  # σ_2 = σ_3 = 2 > √λ: two minimizers
        keep = np.sqrt([1 - lam / 9, 1 - lam / 4])
        values = [eq3rd(tied, Factors(M * keep, M * keep), lam) for M in (first, second)]
        assert values == pytest.approx([eq3rd_solution(tied, lam, 2)[1]] * 2, rel=1e-12)
        assert abs((first * keep) @ (first * keep).T - (second * keep) @ (second * keep).T).max() > 0.02
    lam, grams = 4.5, []  # σ_2 = σ_3 = 2 ≤ √λ: one
    for seed in range(3):
        found = minimize_by_lbfgs(
            lambda f: eq3rd(tied, f, lam), lambda f: eq3rd_gradient(tied, f, lam), (3, 2), np.random.default_rng(seed)
        )
        grams.append(found.B @ found.B.T)
    for gram in grams:
        np.testing.assert_allclose(gram, np.diag([0.5, 0, 0]), atol=1e-5)


@pytest.mark.claim("third-objective")
def test_its_cosines_are_its_own():
    X, _, _, _ = instance(30, 6, 3, 13)
    sigma = np.linalg.svd(X)[1]
    cut = (sigma[2] + sigma[3]) / 2
    B, _ = eq3rd_solution(X, cut**2, 3)
    third = cosine_by_loops(B, B)
    for other in (solve_product_penalty(spectrum(X), cut**2, 3), solve_factor_penalty(spectrum(X), cut, 3)):
        assert abs(third - item_item_cosine(other)).max() > 0.05


# --- symmetries ---


@pytest.mark.claim("rotation-invariance")
@shapes
def test_rotations_keep_values_and_minimizers(n, p, k, rank):
    X, A, B, rng = instance(n, p, k, 14, rank)
    R = random_orthogonal(k, rng)
    for objective in (eq1_by_hand, eq2_by_hand):
        assert objective(X, A @ R, B @ R, 0.9) == pytest.approx(objective(X, A, B, 0.9), rel=1e-12)
    lam = 0.3 * np.linalg.norm(X, 2)
    top = spectrum(X, min(n, p, k))
    for solve, gradient, strength in (
        (solve_product_penalty, product_penalty_gradient, lam**2),
        (solve_factor_penalty, factor_penalty_gradient, lam),
    ):
        fit = solve(top, strength)
        turned = rotate(fit, random_orthogonal(fit.A.shape[1], rng))
        assert max(abs(g).max() for g in gradient(X, turned, strength)) < 1e-10 * sum_of_squares(X)


@pytest.mark.claim("eq3-rescaling")
@shapes
def test_only_eq1_keeps_a_rescaling(n, p, k, rank):
    X, A, B, rng = instance(n, p, k, 15, rank)
    d = rng.choice([-1, 1], k) * np.exp(rng.uniform(0.3, 1.5, k))
    moved = rescale(Factors(A, B), d)
    assert eq1_by_hand(X, moved.A, moved.B, 0.9) == pytest.approx(eq1_by_hand(X, A, B, 0.9), rel=1e-11)
    nothing = np.zeros_like(A)  # at A = 0 every |d_l| > 1 makes the second objective smaller
    assert eq2_by_hand(X, nothing, moved.B, 0.9) < eq2_by_hand(X, nothing, B, 0.9) - 1e-3
    signs = rescale(Factors(A, B), np.sign(d))
    assert eq2_by_hand(X, signs.A, signs.B, 0.9) == pytest.approx(eq2_by_hand(X, A, B, 0.9), rel=1e-12)
    assert eq2_by_hand(X, moved.A, moved.B, 0.0) == pytest.approx(eq2_by_hand(X, A, B, 0.0), rel=1e-11)  # λ = 0


@pytest.mark.claim("eq3-rescaling")
def test_price_of_a_rescaling_at_a_minimizer_of_eq2():
    X, _, _, rng = instance(12, 5, 3, 16)
    lam = 0.3 * np.linalg.norm(X, 2)
    found = minimize_by_lbfgs(
        lambda f: factor_penalty_objective(X, f, lam), lambda f: factor_penalty_gradient(X, f, lam), (5, 3), rng
    )
    least = eq2_by_hand(X, found.A, found.B, lam)
    for d in ([1.1, 1, 1], [1, -2, 0.5], [3, 3, 3]):
        d = np.array(d)
        moved = rescale(found, d)
        price = lam * np.sum(np.sum(found.B**2, axis=0) * (d - 1 / d) ** 2)
        assert eq2_by_hand(X, moved.A, moved.B, lam) - least == pytest.approx(price, rel=1e-4)
        assert price > 1e-3
    cut = np.linalg.svd(X)[1][1:3].mean()
    idle = solve_factor_penalty(spectrum(X), cut, 3)  # B has rank 2: its third column and that of XA are zero
    moved = rescale(idle, [1, 1, 40])
    assert eq2_by_hand(X, moved.A, moved.B, cut) == pytest.approx(eq2_by_hand(X, idle.A, idle.B, cut), rel=1e-12)


@pytest.mark.claim("eq3-rescaling")
def test_off_the_minimizers_a_rescaling_can_be_free_or_pay():
    X, A, B, _ = instance(6, 4, 2, 17)
    A, B = A / np.linalg.norm(X @ A, axis=0), 2 * B / np.linalg.norm(B, axis=0)  # ‖Xa‖ = 1, ‖b‖ = 2
    value = eq2_by_hand(X, A, B, 1.0)
    assert eq2_by_hand(X, 2 * A, B / 2, 1.0) == pytest.approx(value, rel=1e-12)
    assert eq2_by_hand(X, np.sqrt(2) * A, B / np.sqrt(2), 1.0) == pytest.approx(value - 2, rel=1e-12)


@pytest.mark.claim("gl-invariance")
@shapes
def test_eq1_keeps_every_invertible_G(n, p, k, rank):
    X, A, B, rng = instance(n, p, k, 18, rank)
    G = random_orthogonal(k, rng) @ np.diag(np.exp(rng.uniform(-1, 1, k))) @ random_orthogonal(k, rng)
    moved = reparameterize(Factors(A, B), G)
    np.testing.assert_allclose(moved.B, B @ np.linalg.inv(G).T, atol=1e-11)
    assert eq1_by_hand(X, moved.A, moved.B, 0.9) == pytest.approx(eq1_by_hand(X, A, B, 0.9), rel=1e-10)


@pytest.mark.claim("gl-invariance")
def test_minimizers_of_eq1_are_one_orbit_where_the_product_is_unique_of_rank_k():
    X, _, _, _ = instance(10, 5, 2, 19)
    lam = 1.2
    one, two = (
        minimize_by_lbfgs(
            lambda f: product_penalty_objective(X, f, lam),
            lambda f: product_penalty_gradient(X, f, lam),
            (5, 2),
            np.random.default_rng(seed),
        )
        for seed in (0, 1)
    )
    G = np.linalg.lstsq(one.A, two.A, rcond=None)[0]
    np.testing.assert_allclose(one.A @ G, two.A, atol=1e-5)
    np.testing.assert_allclose(one.B @ np.linalg.inv(G).T, two.B, atol=1e-5)


@pytest.mark.claim("gl-invariance")
def test_minimizers_of_eq1_are_more_than_an_orbit_below_rank_k_and_at_a_tie():
    X, _, _, rng = instance(8, 5, 3, 20, rank=2)
    fit = solve_product_penalty(spectrum(X), 1.0, 3)
    B = fit.B.copy()
    B[:, 2] = rng.standard_normal(5)
    assert abs(fit.A[:, 2]).max() == 0
    assert eq1_by_hand(X, fit.A, B, 1.0) == pytest.approx(eq1_by_hand(X, fit.A, fit.B, 1.0), rel=1e-12)
    assert (np.linalg.matrix_rank(fit.B), np.linalg.matrix_rank(B)) == (2, 3)  # and G keeps ranks

    tied, lam = np.diag([3.0, 2.0, 2.0]), 1.0
    values = [
        eq1_by_hand(tied, M, M, lam)
        for M in (np.eye(3)[:, [0, 1]] * np.sqrt([0.9, 0.8]), np.eye(3)[:, [0, 2]] * np.sqrt([0.9, 0.8]))
    ]
    assert values == pytest.approx([eq1_by_hand(tied, *2 * [solve_product_penalty(spectrum(tied), lam, 2).B], lam)] * 2)


@pytest.mark.claim("gl-invariance")
def test_flat_directions_at_a_minimizer_are_those_of_the_group():
    X, _, _, rng = instance(9, 4, 2, 21)
    counts = []
    for value, gradient, lam in (
        (product_penalty_objective, product_penalty_gradient, 1.0),
        (factor_penalty_objective, factor_penalty_gradient, 0.5),
    ):

        def flat_gradient(z, gradient=gradient, lam=lam):
            return np.concatenate([g.ravel() for g in gradient(X, Factors(*z.reshape(2, 4, 2)), lam)])

        found = minimize_by_lbfgs(
            lambda f, value=value, lam=lam: value(X, f, lam),
            lambda f, gradient=gradient, lam=lam: gradient(X, f, lam),
            (4, 2),
            rng,
        )
        z = np.concatenate([found.A.ravel(), found.B.ravel()])
        hessian = np.array([flat_gradient(z + 1e-4 * e) - flat_gradient(z - 1e-4 * e) for e in np.eye(16)]) / 2e-4
        eigenvalues = np.linalg.eigvalsh((hessian + hessian.T) / 2)
        counts.append(np.count_nonzero(abs(eigenvalues) < 1e-6 * eigenvalues.max()))
    assert counts == [4, 1]  # GL(2) has 4 dimensions, O(2) has 1


@pytest.mark.claim("dot-products-move")
@shapes
def test_dot_products_between_items_and_between_users_move(n, p, k, rank):
    X, A, B, rng = instance(n, p, k, 22, rank)
    G = random_orthogonal(k, rng) @ np.diag(np.linspace(2, 3, k)) @ random_orthogonal(k, rng)
    moved = reparameterize(Factors(A, B), G)
    np.testing.assert_allclose(X @ moved.A @ moved.B.T, X @ A @ B.T, atol=1e-11)
    np.testing.assert_allclose(moved.B @ moved.B.T, B @ np.linalg.inv(G @ G.T) @ B.T, atol=1e-11)
    np.testing.assert_allclose(X @ moved.A @ (X @ moved.A).T, X @ A @ G @ G.T @ (X @ A).T, atol=1e-10)
    assert abs(moved.B @ moved.B.T - B @ B.T).max() > 0.1 * abs(B @ B.T).max()
    turned = rotate(Factors(A, B), random_orthogonal(k, rng))
    np.testing.assert_allclose(turned.B @ turned.B.T, B @ B.T, atol=1e-12)


@pytest.mark.claim("dot-products-move")
def test_it_is_G_G_transposed_and_not_the_other_way_round():
    rng = np.random.default_rng(23)
    B, G = rng.standard_normal((4, 2)), np.array([[1.0, 1.0], [0.0, 1.0]])  # not normal: GGᵀ is not GᵀG
    moved = reparameterize(Factors(B, B), G).B
    assert abs(moved @ moved.T - B @ np.linalg.inv(G.T @ G) @ B.T).max() > 0.1
    np.testing.assert_allclose(moved @ moved.T, B @ np.linalg.inv(G @ G.T) @ B.T, atol=1e-12)


@pytest.mark.claim("dot-products-move")
def test_for_B_of_rank_k_only_orthogonal_G_keep_the_items_dot_products():
    rng = np.random.default_rng(24)
    B, G = rng.standard_normal((6, 3)), rng.standard_normal((3, 3))
    moved = reparameterize(Factors(B, B), G).B
    difference = np.linalg.pinv(B) @ (moved @ moved.T - B @ B.T) @ np.linalg.pinv(B).T  # (GGᵀ)⁻¹ − I
    np.testing.assert_allclose(difference, np.linalg.inv(G @ G.T) - np.eye(3), atol=1e-10)
    B[:, 2] = 0  # rank 2: a D that is not orthogonal keeps them
    kept = rescale(Factors(B.copy(), B), [1, 1, 9]).B
    np.testing.assert_allclose(kept @ kept.T, B @ B.T, atol=1e-14)

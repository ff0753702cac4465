"""Chapter 09, who picks D: its theorems on random and on degenerate instances.

Nothing here uses the notebook. Independent ways to the same numbers: fourth-order integration of the flow, the
definition of each objective, finite differences, ridge regression by lstsq, and instances that are solved by hand.
"""

import itertools

import numpy as np
import optax
import pytest
import scipy.integrate
from instances import with_singular_values
from oracles import eq1_by_hand, minimize_by_lbfgs, orthonormal_columns, random_orthogonal

from cossim_helpers import (
    Factors,
    cosine_similarity,
    factor_penalty_objective,
    item_item_cosine,
    overlap_at_k,
    product_penalty_gradient,
    product_penalty_objective,
    rescale,
    shrinkage,
    simulate_interactions,
    solve_factor_penalty,
    solve_product_penalty,
    spectrum,
    spectrum_from_gram,
)


def imbalance(A, B):
    return A.T @ A - B.T @ B


def eq1_flow(X, lam, A, B, time, eps=0.0, rtol=1e-11):
    """Gradient flow of Eq. 1 + ε (‖A‖² + ‖B‖²), integrated with a Runge–Kutta method of order 8."""
    shape = (2, *A.shape)

    def velocity(_, z):
        pair = z.reshape(shape)
        return -np.ravel(product_penalty_gradient(X, Factors(*pair), lam)) - 2 * eps * z

    end = scipy.integrate.solve_ivp(velocity, (0, time), np.ravel([A, B]), method="DOP853", rtol=rtol, atol=1e-12)
    return end.y[:, -1].reshape(shape)


def descend(X, lam, A, B, eta, steps):
    H, S = X.T @ X + lam * np.eye(X.shape[1]), X.T @ X
    for _ in range(steps):
        K = 2 * (H @ A @ B.T - S)
        A, B = A - eta * K @ B, B - eta * K.T @ A
    return A, B


def filter_of_square(square, c):
    """√(M + c²/4) − c/2 as a function of the matrix M = WᵀW."""
    values, vectors = np.linalg.eigh(square)
    return (vectors * (np.sqrt(np.maximum(values, 0) + c**2 / 4) - c / 2)) @ vectors.T


SMALL = [(9, 5, 2), (9, 5, 1), (9, 5, 5), (3, 5, 4)]  # n, p, k: low rank, k = 1, k = p, k > rank X


# --- the flow and what it keeps ---


@pytest.mark.claim("flow-conserves-imbalance")
@pytest.mark.parametrize(("n", "p", "k"), SMALL)
def test_the_flow_of_equation_1_keeps_the_imbalance(n, p, k):
    rng = np.random.default_rng(n + p + k)
    X, (A, B) = rng.standard_normal((n, p)), rng.standard_normal((2, p, k))
    A_end, B_end = eq1_flow(X, 0.7, A, B, 1.0)
    np.testing.assert_allclose(imbalance(A_end, B_end), imbalance(A, B), atol=1e-8)
    assert np.linalg.norm(B_end.T @ B_end - B.T @ B) > 0.1


@pytest.mark.claim("flow-conserves-imbalance")
def test_the_flow_of_another_loss_of_the_product_keeps_it_and_one_of_the_factors_does_not():
    rng = np.random.default_rng(3)
    A, B = rng.standard_normal((2, 5, 3))
    target = rng.standard_normal((5, 5))

    def end_of(gradients):
        end = scipy.integrate.solve_ivp(
            lambda _, z: -np.ravel(gradients(*z.reshape(2, 5, 3))),
            (0, 1),
            np.ravel([A, B]),
            method="DOP853",
            rtol=1e-11,
            atol=1e-12,
        )
        return end.y[:, -1].reshape(2, 5, 3)

    def quartic(A, B):  # L = Σ (W − T)⁴
        K = 4 * (A @ B.T - target) ** 3
        return K @ B, K.T @ A

    def with_a_term_of_its_own(A, B):
        K = A @ B.T - target
        return K @ B + A, K.T @ A

    np.testing.assert_allclose(imbalance(*end_of(quartic)), imbalance(A, B), atol=1e-7)
    assert np.linalg.norm(imbalance(*end_of(with_a_term_of_its_own)) - imbalance(A, B)) > 0.1


# --- the filter ---


@pytest.mark.claim("imbalance-filter")
@pytest.mark.parametrize(("p", "k"), [(6, 3), (6, 1), (4, 4), (1, 1)])
@pytest.mark.parametrize("c", [-50.0, -0.3, 0.0, 0.3, 50.0])
def test_the_bound_on_random_pairs(p, k, c):
    rng = np.random.default_rng(p * 10 + k)
    for _ in range(50):
        A, B = rng.standard_normal((2, p, k)) * 10 ** rng.uniform(-1, 1, (2, 1, k))
        square = B @ A.T @ A @ B.T
        basis = np.linalg.qr(B)[0] if c < 0 else np.eye(p)  # for c < 0 on the row space of W, which B spans
        F = basis @ filter_of_square(basis.T @ square @ basis, c) @ basis.T
        bound = np.linalg.norm(imbalance(A, B) - c * np.eye(k), 2)
        assert np.linalg.norm(B @ B.T - F, 2) <= bound + 1e-6 * (1 + bound)


@pytest.mark.claim("imbalance-filter")
@pytest.mark.parametrize(
    "sigma", [[3.0, 2.0, 1.0, 0.5], [2.0, 2.0, 2.0, 1.0], [2.0, 1.0, 1.0, 1.0], [5.0, 0.1, 0.05, 0.01]]
)
@pytest.mark.parametrize("c", [-7.0, -1e-3, 0.0, 1e-3, 7.0])
def test_the_exact_filter_with_ties_and_tiny_values(sigma, c):
    """Solve a² − b² = c, ab = d by hand for each column, rotate, and compare with the filter."""
    rng = np.random.default_rng(7)
    d = shrinkage(np.array(sigma), 1.0)
    V, R = orthonormal_columns(6, 4, rng), random_orthogonal(4, rng)
    b2 = np.array([max(np.roots([1.0, c, -(one**2)]).real) for one in d])  # q² + cq − d² = 0
    A, B = V * (d / np.sqrt(b2)) @ R, V * np.sqrt(b2) @ R
    np.testing.assert_allclose(imbalance(A, B), c * np.eye(4), atol=1e-8)
    np.testing.assert_allclose(A @ B.T, (V * d) @ V.T, atol=1e-10)
    np.testing.assert_allclose(B @ B.T, (V * (np.sqrt(d**2 + c**2 / 4) - c / 2)) @ V.T, atol=1e-8)
    np.testing.assert_allclose(A @ A.T, (V * (np.sqrt(d**2 + c**2 / 4) + c / 2)) @ V.T, atol=1e-8)


@pytest.mark.claim("imbalance-filter")
def test_the_flow_slides_from_case_1_through_equation_5_to_case_2():
    """k = p: the end of the flow from A₀ᵀA₀ − B₀ᵀB₀ = cI, and the limits in c."""
    rng = np.random.default_rng(5)
    X, p = with_singular_values([2.0, 1.7, 1.5], 8, rng), 3
    top = spectrum(X)
    d = shrinkage(top.sigma, 1.0)
    for c in (-3.0, 0.0, 3.0):
        B = random_orthogonal(p, rng) * 0.8
        A = random_orthogonal(p, rng) * 0.8
        if np.linalg.det(A @ B.T) < 0:
            A[:, 0] *= -1
        A, B = (A * np.sqrt(1 + c / 0.64), B) if c > 0 else (A, B * np.sqrt(1 - c / 0.64))
        A_end, B_end = eq1_flow(X, 1.0, A, B, 30.0)
        np.testing.assert_allclose(A_end @ B_end.T, (top.V * d) @ top.V.T, atol=1e-6)
        np.testing.assert_allclose(B_end @ B_end.T, (top.V * (np.sqrt(d**2 + c**2 / 4) - c / 2)) @ top.V.T, atol=1e-5)
    far = {c: np.sqrt(d**2 + c**2 / 4) - c / 2 for c in (-1e4, 1e4)}
    np.testing.assert_allclose(cosine_similarity(top.V * np.sqrt(far[-1e4])), np.eye(p), atol=1e-3)
    np.testing.assert_allclose(cosine_similarity(top.V * np.sqrt(far[1e4])), cosine_similarity(top.V * d), atol=1e-3)


@pytest.mark.claim("imbalance-filter")
def test_negative_c_needs_rank_k_and_c_0_does_not():
    rng = np.random.default_rng(8)
    junk = orthonormal_columns(6, 2, rng)
    A, B = np.zeros((6, 2)), junk
    np.testing.assert_allclose(imbalance(A, B), -np.eye(2), atol=1e-12)
    assert np.linalg.norm(B @ B.T, 2) == pytest.approx(1.0)  # the filter of W = 0 is 0, and the bound would be 0
    # a balanced pair has no junk at any time, also for k above the rank of X: (BBᵀ)² = WᵀW
    X = rng.standard_normal((2, 5))
    A = rng.standard_normal((5, 4))
    for time in (1.0, 10.0):
        A_t, B_t = eq1_flow(X, 0.5, A, random_orthogonal(5, rng) @ A, time)
        np.testing.assert_allclose(B_t @ B_t.T @ B_t @ B_t.T, B_t @ A_t.T @ A_t @ B_t.T, atol=1e-6)
    top = spectrum(X)
    five = solve_product_penalty(top, 0.5)
    R = orthonormal_columns(4, 2, rng).T
    np.testing.assert_allclose(imbalance(five.A @ R, five.B @ R), 0, atol=1e-12)  # four columns, and no junk in them


@pytest.mark.claim("balanced-start-eq5")
@pytest.mark.parametrize(
    ("sigma", "k"), [([2.0, 1.7, 1.0, 0.5], 2), ([2.0, 1.5, 0.6, 0.5], 1), ([2.0, 2.0, 1.0, 0.5], 2)]
)
def test_small_starts_are_off_by_the_square_of_their_scale(sigma, k):
    """Also with k = 1 and with a repeated σ."""
    rng = np.random.default_rng(10 + k)
    X = with_singular_values(sigma, 9, rng)
    A, B = rng.standard_normal((2, 4, k))
    five = solve_product_penalty(spectrum(X), 1.0, k)
    error = []
    for s in (0.04, 0.02):
        A_end, B_end = eq1_flow(X, 1.0, s * A, s * B, 40.0)
        np.testing.assert_allclose(A_end @ B_end.T, five.A @ five.B.T, atol=1e-7)
        error.append(np.linalg.norm(B_end @ B_end.T - five.B @ five.B.T, 2))
        assert error[-1] <= s**2 * np.linalg.norm(imbalance(A, B), 2)
    assert np.log2(error[0] / error[1]) == pytest.approx(2.0, abs=0.1)


@pytest.mark.claim("balanced-start-eq5")
def test_a_large_balanced_start_ends_at_equation_5():
    rng = np.random.default_rng(20)
    X = with_singular_values([2.0, 1.6, 0.6, 0.4], 9, rng)
    A = rng.standard_normal((4, 2))
    _, B_end = eq1_flow(X, 1.0, A, random_orthogonal(4, rng) @ A, 40.0)
    five = solve_product_penalty(spectrum(X), 1.0, 2)
    np.testing.assert_allclose(B_end @ B_end.T, five.B @ five.B.T, atol=1e-6)


@pytest.mark.claim("imbalance-not-enough")
def test_one_imbalance_and_one_product_with_two_cosines():
    rng = np.random.default_rng(30)
    X = with_singular_values([2.0, 1.6, 0.5, 0.4], 9, rng)
    A, B = rng.standard_normal((2, 4, 2)) * np.array([[[0.6, 1.2]], [[0.5, 0.3]]])
    ends = []
    for turn in (np.eye(4), random_orthogonal(4, rng)):
        A_end, B_end = eq1_flow(X, 1.0, turn @ A, turn @ B, 100.0)
        np.testing.assert_allclose(imbalance(A_end, B_end), imbalance(A, B), atol=1e-6)
        ends.append((A_end, B_end))
    np.testing.assert_allclose(ends[0][0] @ ends[0][1].T, ends[1][0] @ ends[1][1].T, atol=1e-5)
    assert abs(cosine_similarity(ends[0][1]) - cosine_similarity(ends[1][1])).max() > 0.05


# --- the saddle ---


@pytest.mark.claim("saddle-stall")
@pytest.mark.parametrize("lam", [0.5, 0.0])
@pytest.mark.parametrize("sigma", [[1.5, 1.2, 1.0], [1.2, 1.2, 1.0], [1.3, 1.0, 1.0], [1.4]])
def test_balanced_with_a_negative_determinant_stays_above_the_minimum(sigma, lam):
    """Also with ties, for p = 1, and without a penalty."""
    rng = np.random.default_rng(40)
    X, p = with_singular_values(sigma, 6, rng), len(sigma)
    best = product_penalty_objective(X, solve_product_penalty(spectrum(X), lam), lam)
    gap = sigma[-1] ** 2 / (1 + lam / sigma[-1] ** 2)
    A = random_orthogonal(p, rng) * np.linspace(1.0, 0.6, p)
    turn = random_orthogonal(p, rng)
    turn *= -np.sign(np.linalg.det(turn))  # p is odd, so now its determinant is −1
    for time in (0.0, 0.5, 2.0, 4.0):
        A_t, B_t = eq1_flow(X, lam, A, turn @ A, time) if time else (A, turn @ A)
        assert np.linalg.det(A_t @ B_t.T) < 1e-9
        assert eq1_by_hand(X, A_t, B_t, lam) - best >= gap - 1e-8
    A_t, B_t = eq1_flow(X, lam, A, -turn @ A, 60.0)
    assert eq1_by_hand(X, A_t, B_t, lam) == pytest.approx(best, abs=1e-7)


@pytest.mark.claim("saddle-stall")
def test_no_product_with_a_determinant_of_at_most_0_is_below_the_gap():
    rng = np.random.default_rng(41)
    X = rng.standard_normal((9, 4))
    top = spectrum(X)
    best = product_penalty_objective(X, solve_product_penalty(top, 0.5), 0.5)
    gap = top.sigma[-1] ** 2 * shrinkage(top.sigma, 0.5)[-1]
    W_hat = (top.V * shrinkage(top.sigma, 0.5)) @ top.V.T
    tried = 0
    for _ in range(2_000):
        W = W_hat + rng.choice([0.1, 0.3, 1.0]) * rng.standard_normal((4, 4))
        if np.linalg.det(W) <= 0:
            tried += 1
            assert eq1_by_hand(X, W, np.eye(4), 0.5) >= best + gap - 1e-10
    assert tried > 100
    flipped = (top.V * (shrinkage(top.sigma, 0.5) * [1, 1, 1, 0])) @ top.V.T  # attained
    assert eq1_by_hand(X, flipped, np.eye(4), 0.5) == pytest.approx(best + gap)


@pytest.mark.claim("saddle-stall")
@pytest.mark.parametrize("lam", [0.5, 0.0])
def test_with_a_zero_singular_value_the_same_starts_get_through(lam):
    """σ_p = 0 is what the theorem cannot do without: then the minimum is at det W = 0."""
    rng = np.random.default_rng(42)
    X = with_singular_values([1.5, 1.2, 0.0], 6, rng)
    best = product_penalty_objective(X, solve_product_penalty(spectrum(X), lam), lam)
    A = random_orthogonal(3, rng) * np.linspace(1.0, 0.6, 3)
    turn = random_orthogonal(3, rng)
    turn *= -np.sign(np.linalg.det(turn))
    excess = [eq1_by_hand(X, *eq1_flow(X, lam, A, turn @ A, time), lam) - best for time in (20.0, 200.0)]
    assert excess[0] < 1e-2
    assert excess[1] < 1e-4


@pytest.mark.claim("saddle-stall")
def test_without_balance_a_negative_determinant_is_no_obstacle():
    X = np.array([[1.2]])
    A, B = eq1_flow(X, 0.5, np.array([[-1.0]]), np.array([[2.0]]), 20.0)
    assert (A @ B.T).item() == pytest.approx(1.44 / 1.94, abs=1e-8)
    assert (A**2 - B**2).item() == pytest.approx(-3.0, abs=1e-8)


# --- steps ---


@pytest.mark.claim("discrete-drift")
@pytest.mark.parametrize(("n", "p", "k"), SMALL)
def test_one_step_drifts_by_exactly_this(n, p, k):
    rng = np.random.default_rng(n * p * k)
    X, (A, B) = rng.standard_normal((n, p)), rng.standard_normal((2, p, k))
    grad_A, grad_B = product_penalty_gradient(X, Factors(A, B), 0.3)
    for eta in (1e-3, 0.1, 1.0):
        drift = imbalance(A - eta * grad_A, B - eta * grad_B) - imbalance(A, B)
        expected = eta**2 * (grad_A.T @ grad_A - grad_B.T @ grad_B)
        np.testing.assert_allclose(drift, expected, atol=1e-12 * (1 + eta**2 * np.sum(grad_A**2 + grad_B**2)))


@pytest.mark.claim("discrete-drift")
def test_a_training_drifts_by_at_most_this_and_half_as_much_with_half_the_step():
    rng = np.random.default_rng(50)
    X = with_singular_values([1.5, 1.2, 0.5, 0.4], 9, rng)
    start = rng.standard_normal((2, 4, 2))
    total = []
    for eta in (0.01, 0.005):
        A, B = start
        for _ in range(round(20 / eta)):
            grad_A, grad_B = product_penalty_gradient(X, Factors(A, B), 0.5)
            A_new, B_new = A - eta * grad_A, B - eta * grad_B
            fall = eq1_by_hand(X, A, B, 0.5) - eq1_by_hand(X, A_new, B_new, 0.5)
            assert fall >= eta / 2 * (np.sum(grad_A**2) + np.sum(grad_B**2)) - 1e-12
            A, B = A_new, B_new
        total.append(np.linalg.norm(imbalance(A, B) - imbalance(*start)))
        assert total[-1] <= 2 * eta * (eq1_by_hand(X, *start, 0.5) - eq1_by_hand(X, A, B, 0.5))
    assert total[0] / total[1] == pytest.approx(2.0, abs=0.15)


@pytest.mark.claim("same-minimum-other-cosines")
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_same_minimum_other_cosines_on_other_data(seed):
    rng = np.random.default_rng(seed)
    X = simulate_interactions(1_000, 30, 3, rng=seed).X.toarray() / np.sqrt(1_000)
    small, heavy = 0.01 * rng.standard_normal((30, 3)), 2 * orthonormal_columns(30, 3, rng)
    best = solve_product_penalty(spectrum(X), 1.0, 3)
    ends = []
    for A, B in ((small, 0.01 * rng.standard_normal((30, 3))), (small, heavy), (heavy, small)):
        A, B = descend(X, 1.0, A, B, 0.03, 30_000)
        assert eq1_by_hand(X, A, B, 1.0) == pytest.approx(product_penalty_objective(X, best, 1.0), rel=1e-8)
        np.testing.assert_allclose(X @ A @ B.T, X @ best.A @ best.B.T, atol=1e-4)
        ends.append(cosine_similarity(B))
    np.testing.assert_allclose(ends[0], item_item_cosine(best), atol=0.02)
    assert all(abs(one - other).max() > 0.1 for one, other in itertools.combinations(ends, 2))


# --- optimizers ---


def optax_end(X, lam, start, optimizer, steps):
    """Where an optax optimizer ends on Eq. 1, in 64 bits."""
    import jax

    jax.config.update("jax_enable_x64", True)
    S = X.T @ X
    H = S + lam * np.eye(X.shape[1])

    def step(carry, _):
        (A, B), state = carry
        gradient = (2 * (H @ A @ (B.T @ B) - S @ B), 2 * (B @ (A.T @ H @ A) - S @ A))
        updates, state = optimizer.update(gradient, state, (A, B))
        return (optax.apply_updates((A, B), updates), state), None

    pair = tuple(jax.numpy.asarray(one) for one in start)
    (pair, _), _ = jax.jit(lambda pair: jax.lax.scan(step, (pair, optimizer.init(pair)), length=steps))(pair)
    return tuple(np.asarray(one) for one in pair)


@pytest.fixture(scope="module")
def small_problem():
    rng = np.random.default_rng(60)
    return with_singular_values([1.8, 1.2, 0.9, 0.4, 0.3, 0.2], 12, rng), 0.5, rng.standard_normal((2, 6, 3)) * 0.4


def drift(problem, optimizer, steps):
    X, lam, start = problem
    end = optax_end(X, lam, start, optimizer, steps)
    best = product_penalty_objective(X, solve_product_penalty(spectrum(X), lam, 3), lam)
    assert eq1_by_hand(X, *end, lam) == pytest.approx(best, rel=1e-6)
    return np.linalg.norm(imbalance(*end) - imbalance(*start), 2)


@pytest.mark.claim("momentum-drift")
def test_momentum_drifts_more_and_in_proportion_to_its_step(small_problem):
    plain = drift(small_problem, optax.sgd(0.005), 20_000)
    drifts = [drift(small_problem, optax.sgd(eta, momentum=0.9), round(10 / eta)) for eta in (5e-4, 1.25e-4)]
    assert drifts[0] > 2 * plain
    assert drifts[0] / drifts[1] == pytest.approx(4.0, abs=0.6)


@pytest.mark.claim("adam-drift")
def test_the_first_step_of_adam_is_a_sign_step(small_problem):
    X, lam, (A, B) = small_problem
    signs = [np.sign(one) for one in product_penalty_gradient(X, Factors(A, B), lam)]
    slope = -(A.T @ signs[0] + signs[0].T @ A - B.T @ signs[1] - signs[1].T @ B)
    for eta in (1e-2, 1e-4):
        moved = imbalance(*optax_end(X, lam, (A, B), optax.adam(eta, eps=1e-14), 1)) - imbalance(A, B)
        second = eta**2 * (signs[0].T @ signs[0] - signs[1].T @ signs[1])
        np.testing.assert_allclose(moved, eta * slope + second, atol=1e-9)
    assert abs(slope).max() > 0.1


@pytest.mark.claim("adam-drift")
def test_the_drift_of_adam_does_not_vanish_and_depends_on_the_axes(small_problem):
    X, lam, start = small_problem

    def adam(eta):
        steps = round(40 / eta)
        return optax.adam(optax.cosine_decay_schedule(eta, steps)), steps

    drifts = [drift(small_problem, *adam(eta)) for eta in (4e-3, 1e-3)]
    assert min(drifts) > 0.1
    assert drifts[1] > drifts[0] / 2  # gradient descent: a quarter
    R = random_orthogonal(3, np.random.default_rng(2))
    cosines = [cosine_similarity(optax_end(X, lam, pair, *adam(4e-3))[1]) for pair in (start, start @ R)]
    assert abs(cosines[0] - cosines[1]).max() > 0.05
    cosines = [cosine_similarity(descend(X, lam, *pair, 0.01, 10_000)[1]) for pair in (start, start @ R)]
    np.testing.assert_allclose(cosines[0], cosines[1], atol=1e-8)


@pytest.mark.claim("adam-drift")
def test_in_one_dimension_the_sign_flow_keeps_the_difference():
    a, b = 0.9, 0.2
    for _ in range(20_000):
        slope = 2 * (1.25 * a * b - 1)
        a, b = a - 1e-4 * np.sign(slope * b), b - 1e-4 * np.sign(slope * a)
    assert a - b == pytest.approx(0.7, abs=1e-9)
    assert a * b == pytest.approx(0.8, abs=1e-3)
    assert abs((a**2 - b**2) - (0.9**2 - 0.2**2)) > 0.3


@pytest.mark.claim("lbfgs-forgets")
@pytest.mark.parametrize("seed", range(4))
def test_lbfgs_from_a_small_start_is_not_at_equation_5(seed):
    rng = np.random.default_rng(seed)
    X = simulate_interactions(1_000, 30, 3, rng=seed).X.toarray() / np.sqrt(1_000)
    end = minimize_by_lbfgs(
        lambda f: product_penalty_objective(X, f, 1.0),
        lambda f: product_penalty_gradient(X, f, 1.0),
        (30, 3),
        rng,
        scale=0.01,
    )
    five = solve_product_penalty(spectrum(X), 1.0, 3)
    assert product_penalty_objective(X, end, 1.0) == pytest.approx(product_penalty_objective(X, five, 1.0), rel=1e-9)
    assert np.linalg.norm(imbalance(end.A, end.B), 2) > 0.02  # that of the start is about 0.002
    assert abs(item_item_cosine(end) - item_item_cosine(five)).max() > 0.01


# --- alternating least squares ---


def als_by_lstsq(X, lam, B, rounds):
    """Each half step as a ridge regression, without any of the chapter's formulas."""
    p = X.shape[1]
    stacked_X = np.vstack([X, np.sqrt(lam) * np.eye(p)])
    target = np.vstack([X, np.zeros((p, p))])
    for _ in range(rounds):
        A = np.linalg.lstsq(stacked_X, target @ B @ np.linalg.inv(B.T @ B))[0]
        B = np.linalg.lstsq(stacked_X @ A, target)[0].T
    return A, B


@pytest.mark.claim("als-keeps-gauge")
@pytest.mark.parametrize(
    ("sigma", "k"),
    [([3.0, 2.0, 1.0, 0.5], 2), ([3.0, 2.0, 1.0, 0.5], 1), ([2.0, 2.0, 1.0, 0.0], 2), ([3.0, 2.0, 1.0, 0.0], 3)],
)
def test_als_carries_a_general_map_along(sigma, k):
    rng = np.random.default_rng(70 + k)
    X = with_singular_values(sigma, 8, rng)
    B, G = rng.standard_normal((4, k)), rng.standard_normal((k, k))
    for rounds in (1, 2, 60):
        A_t, B_t = als_by_lstsq(X, 0.7, B, rounds)
        A_g, B_g = als_by_lstsq(X, 0.7, B @ np.linalg.inv(G).T, rounds)
        np.testing.assert_allclose(A_g, A_t @ G, atol=1e-7)
        np.testing.assert_allclose(B_g, B_t @ np.linalg.inv(G).T, atol=1e-7)
    best = solve_product_penalty(spectrum(X), 0.7, k)
    np.testing.assert_allclose(A_t @ B_t.T, best.A @ best.B.T, atol=1e-6)
    S = X.T @ X
    K = S @ np.linalg.solve(S + 0.7 * np.eye(4), S)
    B_1 = als_by_lstsq(X, 0.7, B, 1)[1]
    np.testing.assert_allclose(B_1, K @ B @ np.linalg.inv(B.T @ K @ B) @ B.T @ B, atol=1e-9)
    np.testing.assert_allclose(B.T @ B_1, B.T @ B, atol=1e-9)
    assert np.linalg.eigvalsh(B_1.T @ B_1 - B.T @ B).min() > -1e-9


@pytest.mark.claim("als-keeps-gauge")
@pytest.mark.parametrize("p", [1, 2, 5])
def test_als_at_full_rank_returns_its_random_start(p):
    rng = np.random.default_rng(80 + p)
    X, B = rng.standard_normal((9, p)), rng.standard_normal((p, p))
    A_1, B_1 = als_by_lstsq(X, 0.7, B, 3)
    np.testing.assert_allclose(B_1, B, atol=1e-7)
    np.testing.assert_allclose(A_1 @ B_1.T, np.linalg.solve(X.T @ X + 0.7 * np.eye(p), X.T @ X), atol=1e-7)


@pytest.mark.claim("als-keeps-gauge")
def test_als_above_the_rank_is_singular():
    rng = np.random.default_rng(90)
    X, B = rng.standard_normal((2, 6)), rng.standard_normal((6, 3))
    S = X.T @ X
    A = np.linalg.solve(S + 0.7 * np.eye(6), S) @ B @ np.linalg.inv(B.T @ B)
    assert np.linalg.matrix_rank(A, tol=1e-10) == 2
    assert np.linalg.matrix_rank(A.T @ (S + 0.7 * np.eye(6)) @ A, tol=1e-10) == 2


# --- weight decay ---


def pinch(sigma, V, lam, eps, on_embeddings):
    """(A, B) of the theorem, one direction at a time."""
    A, B = np.zeros_like(V), np.zeros_like(V)
    for i, s in enumerate(sigma):
        if s == 0:
            continue
        beta = s**2 * max(s - eps, 0) / (s**2 + lam) if on_embeddings else max(s**2 - eps, 0) / (s**2 + lam)
        B[:, i] = V[:, i] * np.sqrt(beta)
        A[:, i] = B[:, i] / s if on_embeddings else B[:, i]
    return A, B


def pinched(X, A, B, lam, eps, on_embeddings):
    users = X @ A if on_embeddings else A
    return eq1_by_hand(X, A, B, lam) + eps * (np.sum(users**2) + np.sum(B**2))


PINCHES = [
    ([3.0, 2.0, 1.0, 0.5], 2, 0.7),
    ([3.0, 2.0, 1.0, 0.5], 4, 0.7),
    ([2.0, 2.0, 1.0, 0.5], 2, 0.7),
    ([3.0, 2.0, 1.0, 0.0], 4, 0.7),
    ([3.0, 2.0, 1.0, 0.5], 1, 0.7),
    ([3.0, 2.0, 1.0, 0.5], 3, 0.0),
]


@pytest.mark.claim("pinch-of-decay")
@pytest.mark.parametrize("on_embeddings", [True, False])
@pytest.mark.parametrize(("sigma", "k", "lam"), PINCHES)
@pytest.mark.parametrize("eps", [0.05, 1.5])
def test_the_minimizer_with_a_pinch_of_decay(sigma, k, lam, eps, on_embeddings):
    """Stationary, no worse than L-BFGS, with the same value and B Bᵀ; also ties, k = 1, k = p, σ = 0, λ = 0."""
    rng = np.random.default_rng(100 + k)
    X = with_singular_values(sigma, 8, rng)
    top = spectrum_from_gram(X.T @ X)
    A, B = pinch(top.sigma[:k], top.V[:, :k], lam, eps, on_embeddings)
    value = pinched(X, A, B, lam, eps, on_embeddings)
    P = X.T @ X if on_embeddings else np.eye(4)

    def gradient(f):
        dA, dB = product_penalty_gradient(X, f, lam)
        return dA + 2 * eps * P @ f.A, dB + 2 * eps * f.B

    assert np.abs(gradient(Factors(A, B))).max() < 1e-6
    gain = [
        (s**2 - eps * (s if on_embeddings else 1.0)) ** 2 / (s**2 + lam)
        for s in top.sigma[:k]
        if s > (eps if on_embeddings else np.sqrt(eps))
    ]
    smallest = np.sum(X**2) - np.sum(gain)
    assert value == pytest.approx(smallest, rel=1e-10)
    for _ in range(3):
        end = minimize_by_lbfgs(lambda f: pinched(X, f.A, f.B, lam, eps, on_embeddings), gradient, (4, k), rng)
        assert pinched(X, end.A, end.B, lam, eps, on_embeddings) == pytest.approx(value, rel=1e-8)
        np.testing.assert_allclose(end.B @ end.B.T, B @ B.T, atol=1e-4)
    for _ in range(200):
        step = 10.0 ** rng.uniform(-3, 0)
        near = Factors(A + step * rng.standard_normal(A.shape), B + step * rng.standard_normal(B.shape))
        assert pinched(X, near.A, near.B, lam, eps, on_embeddings) >= value - 1e-10


@pytest.mark.claim("pinch-of-decay")
def test_without_the_condition_the_minimizer_is_not_unique():
    """σ_k = σ_{k+1} above the cut: either direction will do. Below the cut the tie does no harm."""
    rng = np.random.default_rng(110)
    X = with_singular_values([3.0, 2.0, 2.0, 0.5], 8, rng)
    top = spectrum(X)
    for on_embeddings in (True, False):
        pairs = [pinch(top.sigma[i], top.V[:, i], 0.7, 0.1, on_embeddings) for i in ([0, 1], [0, 2])]
        values = [pinched(X, A, B, 0.7, 0.1, on_embeddings) for A, B in pairs]
        assert values[0] == pytest.approx(values[1], rel=1e-12)
        assert abs(pairs[0][1] @ pairs[0][1].T - pairs[1][1] @ pairs[1][1].T).max() > 0.1
        cut = [pinch(top.sigma[i], top.V[:, i], 0.7, 5.0, on_embeddings)[1] for i in ([0, 1], [0, 2])]
        np.testing.assert_allclose(cut[0] @ cut[0].T, cut[1] @ cut[1].T, atol=1e-12)


@pytest.mark.claim("pinch-of-decay")
def test_which_d_a_pinch_picks():
    rng = np.random.default_rng(120)
    X = with_singular_values([3.0, 2.0, 1.0, 0.5], 8, rng)
    top = spectrum(X, 3)
    five = solve_product_penalty(top, 0.7)
    for on_embeddings, other in ((True, rescale(five, top.sigma**-0.5)), (False, five)):
        A, B = pinch(top.sigma, top.V, 0.7, 1e-10, on_embeddings)
        np.testing.assert_allclose(B @ B.T, other.B @ other.B.T, atol=1e-8)
        np.testing.assert_allclose(A @ A.T, other.A @ other.A.T, atol=1e-8)
        for eps in (0.3, 1e-4):  # at every ε the split of the product A Bᵀ is by the same D
            A, B = pinch(top.sigma, top.V, 0.7, eps, on_embeddings)
            np.testing.assert_allclose(
                np.linalg.norm(A, axis=0) / np.linalg.norm(B, axis=0),
                1 / top.sigma if on_embeddings else np.ones(3),
                rtol=1e-10,
            )
    # λ = 0 gives the paper's second objective
    A, B = pinch(top.sigma, top.V, 0.0, 0.8, True)
    six = solve_factor_penalty(top, 0.8)
    np.testing.assert_allclose(B @ B.T, six.B @ six.B.T, atol=1e-10)
    assert pinched(X, A, B, 0.0, 0.8, True) == pytest.approx(factor_penalty_objective(X, six, 0.8))


@pytest.mark.claim("decay-time")
@pytest.mark.parametrize(("n", "p", "k"), SMALL)
def test_the_imbalance_decays_exponentially(n, p, k):
    rng = np.random.default_rng(130 + k)
    X, (A, B) = rng.standard_normal((n, p)), rng.standard_normal((2, p, k))
    for eps, time in ((0.2, 1.0), (0.05, 3.0)):
        end = eq1_flow(X, 0.7, A, B, time, eps)
        np.testing.assert_allclose(imbalance(*end), np.exp(-4 * eps * time) * imbalance(A, B), atol=1e-7)


@pytest.mark.claim("decay-time")
def test_a_step_with_decay_shrinks_the_imbalance_by_this():
    rng = np.random.default_rng(140)
    X, (A, B) = rng.standard_normal((9, 5)), rng.standard_normal((2, 5, 3))
    grad_A, grad_B = product_penalty_gradient(X, Factors(A, B), 0.7)
    for eta, eps in ((0.1, 0.5), (0.01, 0.01), (0.3, 2.0)):
        after = imbalance(A - eta * (grad_A + 2 * eps * A), B - eta * (grad_B + 2 * eps * B))
        expected = (1 - 2 * eta * eps) ** 2 * imbalance(A, B) + eta**2 * (grad_A.T @ grad_A - grad_B.T @ grad_B)
        np.testing.assert_allclose(after, expected, atol=1e-9)


@pytest.mark.claim("decay-time")
def test_decay_on_the_embeddings_obeys_another_law():
    """There dC/dt = −4ε (AᵀSA − BᵀB): not a multiple of C, and not zero where C = 0."""
    rng = np.random.default_rng(150)
    X, (A, B) = rng.standard_normal((9, 5)), rng.standard_normal((2, 5, 2))
    S, eps, h = X.T @ X, 0.3, 1e-6

    def velocity(A, B):
        grad_A, grad_B = product_penalty_gradient(X, Factors(A, B), 0.7)
        return -grad_A - 2 * eps * S @ A, -grad_B - 2 * eps * B

    for B_0 in (B, random_orthogonal(5, rng) @ A):
        dA, dB = velocity(A, B_0)
        slope = (imbalance(A + h * dA, B_0 + h * dB) - imbalance(A - h * dA, B_0 - h * dB)) / (2 * h)
        np.testing.assert_allclose(slope, -4 * eps * (A.T @ S @ A - B_0.T @ B_0), atol=1e-5)
        assert np.linalg.norm(slope + 4 * eps * imbalance(A, B_0)) > 1.0


# --- every night anew ---


@pytest.mark.claim("retraining-overlap")
@pytest.mark.parametrize("data_seed", [1, 2])
def test_neighbors_between_retrainings_on_other_data(data_seed):
    """Gradient descent from small and wide starts, with and without decay, and ALS, on other data sets and seeds."""
    X = simulate_interactions(2_000, 60, 5, rng=data_seed).X.toarray() / np.sqrt(2_000)
    X = np.linalg.cholesky(X.T @ X).T  # 60 × 60, with the same XᵀX: the same problem up to a constant, which is 0
    lam, k, eps = 1.0, 5, 0.01
    starts = [np.random.default_rng(seed).standard_normal((2, 60, k)) for seed in (11, 12)]
    plain = optax.sgd(0.02)
    decayed = optax.chain(optax.add_decayed_weights(2 * eps), plain)  # it adds 2ε θ to the gradient
    ends = {
        "small": [optax_end(X, lam, 0.01 * one, plain, 20_000) for one in starts],
        "wide": [optax_end(X, lam, 0.2 * one, plain, 20_000) for one in starts],
        "decay": [optax_end(X, lam, 0.2 * one, decayed, 20_000) for one in starts],
        "als": [als_by_lstsq(X, lam, one[1], 100) for one in starts],
    }
    best = product_penalty_objective(X, solve_product_penalty(spectrum(X), lam, k), lam)
    for name, pairs in ends.items():
        for A, B in pairs:
            assert eq1_by_hand(X, A, B, lam) == pytest.approx(best, rel=2e-3 if name == "decay" else 1e-6)
    overlap = {name: overlap_at_k(*(cosine_similarity(B) for A, B in pairs), 5) for name, pairs in ends.items()}
    assert min(overlap["small"], overlap["decay"]) > 0.95
    assert max(overlap["wide"], overlap["als"]) < 0.92

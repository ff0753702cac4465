"""Which D mini-batches pick: the drift, the gauge at which it stops, and training that ends there.

Nothing here uses the notebook. Independent ways: every batch of a small data set by enumeration, one gradient matrix a
user, a general optimizer over all G, and the table of the study recomputed in part.
"""

import csv
import itertools

import numpy as np
import pytest
import scipy.linalg
import scipy.optimize

from cossim_helpers import (
    Factors,
    cosine_similarity,
    item_item_cosine,
    product_penalty_gradient,
    product_penalty_objective,
    reparameterize,
    simulate_interactions,
    solve_product_penalty,
    spectrum,
)
from studies import minibatch as study


def imbalance(A, B):
    return A.T @ A - B.T @ B


def user_gradients(users, A, B, lam):
    """(∂/∂A, ∂/∂B) of each user's own loss ‖x − x A Bᵀ‖² + λ ‖A Bᵀ‖², from the package's gradient of one row."""
    return [product_penalty_gradient(x[None], Factors(A, B), lam) for x in users]


def covariances(users, A, B, lam):
    """E[∂_Aᵀ∂_A] and E[∂_Bᵀ∂_B] over single users."""
    gradients = user_gradients(users, A, B, lam)
    return [np.mean([g[side].T @ g[side] for g in gradients], axis=0) for side in (0, 1)]


def balancing(P, Q):
    """Γ with Γ Q Γ = P, by a route that the book does not take: an eigenvector basis of Q⁻¹P.

    With P = S Λ Sᵀ and Q⁻¹ = S Sᵀ (both at once, S from the pencil) the solution is S Λ^{1/2} Sᵀ.
    """
    values, vectors = scipy.linalg.eigh(P, np.linalg.inv(Q))  # P v = λ Q⁻¹ v, vᵀ Q⁻¹ v = 1
    S = np.linalg.inv(vectors).T
    return (S * np.sqrt(values)) @ S.T


def minimizer(users, lam, k):
    return solve_product_penalty(spectrum(users / np.sqrt(len(users))), lam, k)


def balanced_factors(users, lam, k):
    five = minimizer(users, lam, k)
    G = np.linalg.cholesky(balancing(*covariances(users, five.A, five.B, lam)))
    return reparameterize(five, G)


def random_users(n, p, rng):
    return (rng.random((n, p)) < rng.uniform(0.2, 0.7, p)).astype(float)


CASES = [(9, 4, 2, 0.4), (9, 4, 1, 0.4), (9, 4, 4, 0.4), (9, 4, 2, 0.0), (7, 5, 3, 2.0)]  # n, p, k, λ


# --- the drift ---


@pytest.mark.claim("noise-drift")
@pytest.mark.parametrize(("n", "p", "k", "lam"), CASES)
@pytest.mark.parametrize("at_minimum", [False, True])
def test_expected_drift_over_every_batch_of_two(n, p, k, lam, at_minimum):
    rng = np.random.default_rng(n + p + k)
    users, eta = random_users(n, p, rng), 0.1
    A, B = rng.standard_normal((2, p, k))
    if at_minimum:
        five = minimizer(users, lam, k)
        G = rng.standard_normal((k, k))
        A, B = five.A @ G, five.B @ np.linalg.inv(G).T
    per_user = user_gradients(users, A, B, lam)
    singles = covariances(users, A, B, lam)
    full = [np.mean([g[side] for g in per_user], axis=0) for side in (0, 1)]
    if at_minimum:
        np.testing.assert_allclose(full, 0, atol=1e-9)
    for draws, factor in (  # variance of a mean of two: with and without replacement
        (itertools.product(range(n), repeat=2), 1 / 2),
        (itertools.combinations(range(n), 2), (n - 2) / (2 * (n - 1))),
    ):
        drifts, seconds = [], []
        for pair in draws:
            grad_A, grad_B = (np.mean([per_user[i][side] for i in pair], axis=0) for side in (0, 1))
            drifts.append(imbalance(A - eta * grad_A, B - eta * grad_B) - imbalance(A, B))
            seconds.append([grad_A.T @ grad_A, grad_B.T @ grad_B])
        seconds = np.mean(seconds, axis=0)
        np.testing.assert_allclose(np.mean(drifts, axis=0), eta**2 * (seconds[0] - seconds[1]), atol=1e-9)
        if at_minimum:
            np.testing.assert_allclose(seconds, factor * np.array(singles), atol=1e-9)
    if at_minimum and k < p:
        assert abs(singles[0] - singles[1]).max() > 1e-3


@pytest.mark.claim("noise-drift")
def test_without_residuals_there_is_no_noise():
    """λ = 0 and a model that fits each user: every D is a fixed point."""
    rng = np.random.default_rng(1)
    users = random_users(9, 2, rng) @ random_users(2, 5, rng)
    five = minimizer(users, 0.0, 2)
    for G in (np.eye(2), rng.standard_normal((2, 2))):
        A, B = five.A @ G, five.B @ np.linalg.inv(G).T
        np.testing.assert_allclose(covariances(users, A, B, 0.0), 0, atol=1e-9)


@pytest.mark.claim("noise-gauge")
def test_without_a_penalty_no_gauge_is_balanced():
    """λ = 0: the residual is orthogonal to V_k, so grad_A has no noise. The drift −GᵀQG has one sign, wherever G is."""
    rng = np.random.default_rng(2)
    users = random_users(40, 6, rng)
    five = minimizer(users, 0.0, 3)
    P, Q = covariances(users, five.A, five.B, 0.0)
    np.testing.assert_allclose(P, 0, atol=1e-12)
    assert np.linalg.eigvalsh(Q).min() > 0.01


# --- the gauge ---


@pytest.mark.claim("noise-gauge")
@pytest.mark.parametrize(("n", "p", "k", "lam"), [(40, 6, 2, 0.4), (40, 6, 1, 0.4), (40, 4, 4, 0.4), (40, 6, 3, 2.0)])
def test_the_balanced_minimizer_is_unique_and_has_the_least_noise(n, p, k, lam):
    rng = np.random.default_rng(p + k)
    users = random_users(n, p, rng)
    five, best = minimizer(users, lam, k), balanced_factors(users, lam, k)
    P, Q = covariances(users, best.A, best.B, lam)
    np.testing.assert_allclose(P, Q, atol=1e-9)
    np.testing.assert_allclose(best.A @ best.B.T, five.A @ five.B.T, atol=1e-9)
    P, Q = covariances(users, five.A, five.B, lam)

    def total(g):
        G = g.reshape(k, k)
        inverse = np.linalg.inv(G)
        return np.sum((Q @ G) * G) + np.sum((inverse @ P) * inverse)

    root = np.linalg.cholesky(Q).T @ np.linalg.cholesky(P)  # its singular values are those of Q^{1/2} P^{1/2}
    least = 2 * np.linalg.svd(root, compute_uv=False).sum()
    for _ in range(5):  # an optimizer that knows only the noise, from random G
        found = scipy.optimize.minimize(total, np.ravel(np.eye(k) + 0.3 * rng.standard_normal((k, k))))
        inverse = np.linalg.inv(found.x.reshape(k, k))
        assert found.fun == pytest.approx(least, rel=1e-6)
        np.testing.assert_allclose(five.B @ inverse.T @ inverse @ five.B.T, best.B @ best.B.T, atol=1e-3)


@pytest.mark.claim("noise-gauge")
@pytest.mark.parametrize("lam", [0.01, 0.3, 1.0, 7.0])
def test_the_example_by_hand_is_balanced_at_one_half(lam):
    """The three users (1, 1), (1, 0) and (0, 1): at every penalty the weights of the directions are 3 to 1."""
    users = np.array([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    five = minimizer(users, lam / 3, 2)
    assert abs(item_item_cosine(balanced_factors(users, lam / 3, 2))[0, 1] - 1 / 2) < 1e-10
    assert item_item_cosine(five)[0, 1] < 0.45
    if lam == 1.0:
        P, Q = [np.linalg.eigvalsh(one) for one in covariances(users, five.A, five.B, lam / 3)]
        np.testing.assert_allclose([P, Q], [[1 / 9, 1 / 8], [7 / 144, 7 / 32]], atol=1e-12)


@pytest.mark.claim("noise-gauge")
def test_the_formula_of_the_theorem_on_random_and_commuting_pairs():
    rng = np.random.default_rng(4)
    for k in (1, 2, 5):
        P, Q = (M @ M.T + 0.1 * np.eye(k) for M in rng.standard_normal((2, k, k)))
        half = scipy.linalg.sqrtm(Q)
        inverse = np.linalg.inv(half)
        formula = inverse @ scipy.linalg.sqrtm(half @ P @ half) @ inverse
        np.testing.assert_allclose(formula @ Q @ formula, P, atol=1e-9)
        np.testing.assert_allclose(formula, balancing(P, Q), atol=1e-9)
        np.testing.assert_allclose(balancing(Q, P), np.linalg.inv(formula), atol=1e-8)  # users and items exchanged
        p, q = rng.uniform(0.1, 3, (2, k))
        np.testing.assert_allclose(balancing(np.diag(p), np.diag(q)), np.diag(np.sqrt(p / q)), atol=1e-9)


@pytest.mark.claim("noise-gauge")
def test_the_gauge_does_not_depend_on_the_representative_or_the_batch():
    rng = np.random.default_rng(5)
    users = random_users(40, 6, rng)
    five, best = minimizer(users, 0.4, 3), balanced_factors(users, 0.4, 3)
    G = rng.standard_normal((3, 3))
    other = reparameterize(five, G)
    for factor in (1.0, 1 / 50):
        P, Q = covariances(users, other.A, other.B, 0.4)
        again = reparameterize(other, np.linalg.cholesky(balancing(factor * P, factor * Q)))
        np.testing.assert_allclose(again.B @ again.B.T, best.B @ best.B.T, atol=1e-8)


# --- what the balance leaves out: noise that circulates turns the embedding space ---


def slow_motion(users, A, B, lam):
    """R of the slow motion (A Z, −B Zᵀ) along the minimizers, AᵀA Z + Z BᵀB = R, for η²/b = 1.

    With the Hessian H, the noise covariance N and H X + X H = N, R pairs with the generator Y to tr(X H T_Y), where
    T_Y (A, B) = (A Y, −B Yᵀ). The symmetric part of R is half the drift of the imbalance.
    """
    n, (p, k) = len(users), A.shape
    S = users.T @ users / n
    H, W = S + lam * np.eye(p), A @ B.T
    mixed = 2 * np.einsum("pl,qk->pkql", H @ A, B) + 2 * np.einsum("pq,kl->pkql", H @ W - S, np.eye(k))
    hessian = np.zeros((2, p, k, 2, p, k))
    hessian[0, :, :, 0] = 2 * np.einsum("pq,kl->pkql", H, B.T @ B)
    hessian[1, :, :, 1] = 2 * np.einsum("pq,kl->pkql", np.eye(p), A.T @ H @ A)
    hessian[0, :, :, 1], hessian[1, :, :, 0] = mixed, mixed.transpose(2, 3, 0, 1)
    residual = users - users @ W
    g_A = 2 * (lam * A @ (B.T @ B) - users[:, :, None] * (residual @ B)[:, None])
    g_B = 2 * (lam * B @ (A.T @ A) - residual[:, :, None] * (users @ A)[:, None])
    gradients = np.stack([g_A, g_B], axis=1).reshape(n, -1)
    values, vectors = np.linalg.eigh(hessian.reshape(2 * p * k, -1))
    stiff = values > 1e-6
    assert (~stiff).sum() == k * k  # the minimizers are one orbit of GL(k)
    noise = vectors.T @ (gradients.T @ gradients / n) @ vectors
    assert abs(noise[~stiff]).max() < 1e-9  # no batch ever pushes along the orbit
    both = stiff[:, None] & stiff
    X = np.where(both, noise / np.where(both, values[:, None] + values, 1), 0)
    HX = (vectors @ (values[:, None] * X) @ vectors.T).reshape(2, p, k, 2, p, k)
    return np.einsum("ajal->lj", HX[0, :, :, 0]) - np.einsum("ajal->jl", HX[1, :, :, 1])


def test_circulating_noise_moves_the_gauge_by_little():
    """On the data of chapter 09: the slow motion stops within 0.01 of the balanced cosines, 0.35 from Equation 5."""
    users = simulate_interactions(2_000, 60, 4, rng=0).X.toarray()
    five = minimizer(users, 1.0, 4)
    P, Q = covariances(users, five.A, five.B, 1.0)
    R = slow_motion(users, five.A, five.B, 1.0)
    np.testing.assert_allclose(R + R.T, P - Q, atol=1e-8)
    best = balanced_factors(users, 1.0, 4)
    A, B = best.A, best.B
    R = slow_motion(users, A, B, 1.0)
    np.testing.assert_allclose(R + R.T, 0, atol=1e-8)
    assert abs(R - R.T).max() > 0.1  # so the balance is not quite the end
    for _ in range(10):
        Z = scipy.linalg.solve_sylvester(A.T @ A, B.T @ B, slow_motion(users, A, B, 1.0))
        G = scipy.linalg.expm(0.03 * (Z + Z.T) / 2)
        A, B = A @ G, B @ np.linalg.inv(G).T
    assert abs(Z + Z.T).max() < 1e-3
    pairs = np.triu_indices(60, 1)
    moved = cosine_similarity(B)[pairs] - item_item_cosine(best)[pairs]
    assert np.sqrt(np.mean(moved**2)) < 0.01
    away = cosine_similarity(B)[pairs] - item_item_cosine(five)[pairs]
    assert np.sqrt(np.mean(away**2)) > 0.3


# --- training ---


@pytest.mark.claim("minibatch-forgets")
@pytest.mark.parametrize("seed", [1, 2])
def test_two_opposite_starts_end_at_the_balanced_cosines(seed):
    """Other data, a plain loop, batches without replacement: one start small, one items heavy."""
    rng = np.random.default_rng(seed)
    n, p, k, eta = 1_000, 20, 2, 0.03
    users = simulate_interactions(n, p, 2, rng=seed).X.toarray()
    five, best = minimizer(users, 0.3, k), item_item_cosine(balanced_factors(users, 0.3, k))
    X = users / np.sqrt(n)
    smallest = product_penalty_objective(X, five, 0.3)
    ends = []
    for heavy in (False, True):
        A, B = 0.01 * rng.standard_normal((2, p, k))
        if heavy:
            B = np.linalg.qr(rng.standard_normal((p, k)))[0] * 1.5
        for _ in range(30_000):
            x = users[rng.integers(n, size=5)]
            scores = x @ A
            residual = x - scores @ B.T
            grad_A = 2 * (0.3 * A @ (B.T @ B) - x.T @ (residual @ B) / 5)
            grad_B = 2 * (0.3 * B @ (A.T @ A) - residual.T @ scores / 5)
            A, B = A - eta * grad_A, B - eta * grad_B
        assert product_penalty_objective(X, Factors(A, B), 0.3) == pytest.approx(smallest, rel=0.05)
        ends.append(cosine_similarity(B))
    pairs = np.triu_indices(p, 1)

    def rms(one, other):
        return np.sqrt(np.mean((one[pairs] - other[pairs]) ** 2))

    assert rms(*ends) < 0.12
    assert max(rms(end, best) for end in ends) < 0.12
    assert min(rms(end, item_item_cosine(five)) for end in ends) > 0.2


# --- the study ---


def test_the_study_balances_the_noise():
    users = random_users(40, 6, np.random.default_rng(6))
    five = minimizer(users, study.LAM, 3)
    best = study.noise_balanced(users, five)
    np.testing.assert_allclose(best.A @ best.B.T, five.A @ five.B.T, atol=1e-9)
    np.testing.assert_allclose(*covariances(users, best.A, best.B, study.LAM), atol=1e-9)


def test_batches_of_the_study():
    rng = np.random.default_rng(7)
    drawn = study.batches(study.Recipe("sgd", 0.1, 1, batch=4), 20, 3, 50, rng)
    assert drawn.shape == (50, 3, 4)
    assert len(np.unique(drawn)) == 20
    assert abs(drawn[:, 0] - drawn[:, 1]).max() > 0  # each run has its own
    epochs = study.batches(study.Recipe("sgd", 0.1, 1, batch=4, epochs=True), 20, 3, 12, rng)
    assert epochs.shape == (12, 3, 4)
    for run in range(3):
        for epoch in (epochs[:5, run], epochs[5:10, run]):
            assert sorted(epoch.ravel()) == list(range(20))


@pytest.fixture(scope="module")
def table():
    with study.RESULTS.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_table_is_complete(table):
    assert list(table[0]) == study.COLUMNS
    keys = {(row["recipe"], row["seed"], row["start"], row["steps"]) for row in table}
    assert len(keys) == len(table) == len(study.RECIPES) * 10 * 4 * study.CHECKPOINTS
    assert {row["recipe"] for row in table} == set(study.RECIPES)


@pytest.mark.claim("minibatch-forgets")
@pytest.mark.parametrize("name", ["SGD, step 0.02", "momentum 0.9, step 0.002", "Adam, step 0.001"])
def test_the_first_rows_of_a_training_come_out_again(table, name):
    expected = [row for row in table if (row["recipe"], row["seed"]) == (name, "3")][:4]
    again = list(itertools.islice(study.measure(name, 3), 4))
    assert [row[:4] for row in again] == [[name, 3, row["start"], int(row["steps"])] for row in expected]
    numbers = [[float(row[column]) for column in study.COLUMNS[4:]] for row in expected]
    np.testing.assert_allclose([row[4:] for row in again], numbers, atol=0.005)

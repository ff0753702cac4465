"""The claims of chapter 8 on random and degenerate instances, each against a computation of another kind."""

import itertools

import numpy as np
import pytest
import scipy.linalg
import scipy.optimize
import scipy.stats
from instances import INSTANCES
from oracles import cosine_by_loops, eq2_by_hand, minimize_by_lbfgs, random_orthogonal

from cossim_helpers import (
    cluster_auc,
    cosine_similarity,
    factor_penalty_gradient,
    factor_penalty_objective,
    item_item_cosine,
    reparameterize,
    rescale,
    shrinkage,
    simulate_interactions,
    solve_factor_penalty,
    solve_product_penalty,
    spectrum,
    spectrum_from_gram,
)

FILTERS = {
    "B = V": lambda s, lam: np.ones_like(s),
    "eq 5": lambda s, lam: s**2 / (s**2 + lam),
    "case 2": lambda s, lam: (s**2 / (s**2 + lam)) ** 2,
    "inverse root": lambda s, lam: s**3 / (s**2 + lam),
    "scores 1": lambda s, lam: (s**3 / (s**2 + lam)) ** 2,
    "eq 2": lambda s, lam: np.maximum(s - lam, 0),
    "scores 2": lambda s, lam: np.maximum(s - lam, 0) ** 2,
}


def svd(X):
    _, sigma, Vt = scipy.linalg.svd(X)
    return np.pad(sigma, (0, X.shape[1] - sigma.size)), Vt.T


def normalized(K):
    length = np.sqrt(np.maximum(np.diag(K), 0))
    length = np.where(length > 1e-12, length, np.inf)
    return K / np.outer(length, length)


def by_definition(X, lam, k):
    """The named cosines, each from its own definition, for σ_k > 0."""
    top = spectrum(X, k)
    d = shrinkage(top.sigma, lam)
    five, six = solve_product_penalty(top, lam), solve_factor_penalty(top, lam)
    G = np.random.default_rng(k).standard_normal((k, k))
    B = reparameterize(five, G).B
    return {
        "B = V": cosine_similarity(B @ scipy.linalg.inv(scipy.linalg.sqrtm(B.T @ B).real)),
        "eq 5": item_item_cosine(five),
        "case 2": item_item_cosine(rescale(five, d**-0.5)),
        "inverse root": item_item_cosine(rescale(five, top.sigma**-0.5)),
        "scores 1": cosine_similarity((X @ five.A @ five.B.T).T),
        "eq 2": item_item_cosine(six),
        "scores 2": cosine_similarity((X @ six.A @ six.B.T).T),
    }


@pytest.mark.claim("spectral-family")
@pytest.mark.parametrize("lam", [0.3, 1.5])
@pytest.mark.parametrize("name", INSTANCES)
def test_named_cosines_are_normalized_filters(name, lam):
    X = INSTANCES[name]
    sigma, V = svd(X)
    for k in range(1, X.shape[1] + 1):
        if sigma[k - 1] < 1e-9 or (k < sigma.size and sigma[k - 1] - sigma[k] < 1e-9):  # σ_k = 0, or cut at a tie
            continue
        for label, cosine in by_definition(X, lam, k).items():
            K = (V[:, :k] * FILTERS[label](sigma[:k], lam)) @ V[:, :k].T
            np.testing.assert_allclose(cosine, normalized(K), atol=1e-7, err_msg=f"{label}, k={k}")
    np.testing.assert_allclose(cosine_similarity(X.T), normalized((V * sigma**2) @ V.T), atol=1e-9)


@pytest.mark.claim("spectral-family")
def test_decay_on_both_factors_is_in_the_family():
    X, lam, k = INSTANCES["tall"], 1.5, 4
    S, shape = X.T @ X, (2, 8, k)

    def value(z):
        A, B = z.reshape(shape)
        E = A @ B.T - np.eye(8)
        return np.sum((S @ E) * E) + lam * z @ z, 2 * np.stack([S @ E @ B + lam * A, E.T @ S @ A + lam * B]).ravel()

    start = np.random.default_rng(4).standard_normal(np.prod(shape))
    options = {"maxiter": 5_000, "maxfun": 9_000, "ftol": 0, "gtol": 1e-9}
    B = scipy.optimize.minimize(value, start, jac=True, method="L-BFGS-B", options=options).x.reshape(shape)[1]
    sigma, V = svd(X)
    f = np.maximum(1 - lam / sigma[:k] ** 2, 0)
    np.testing.assert_allclose(cosine_similarity(B), normalized((V[:, :k] * f) @ V[:, :k].T), atol=1e-5)


@pytest.mark.claim("spectral-family")
def test_a_function_of_sigma_is_a_polynomial_and_a_cut_at_a_tie_is_not():
    sigma, V = np.array([4.0, 2.0, 2.0, 2.0, 1.0]), random_orthogonal(5, np.random.default_rng(5))
    S = (V * sigma**2) @ V.T
    for f in FILTERS.values():
        distinct = np.array([1.0, 2.0, 4.0])
        a, b, c = np.linalg.solve(np.vander(distinct**2, 3), f(distinct, 0.7))
        np.testing.assert_allclose((V * f(sigma, 0.7)) @ V.T, a * S @ S + b * S + c * np.eye(5), atol=1e-9)
    other = V @ scipy.linalg.block_diag(1, random_orthogonal(3, np.random.default_rng(6)), 1)
    np.testing.assert_allclose((other * sigma**2) @ other.T, S, atol=1e-12)
    assert abs(V[:, :2] @ V[:, :2].T - other[:, :2] @ other[:, :2].T).max() > 0.05


@pytest.mark.claim("eq2-soft-threshold-root")
@pytest.mark.parametrize("lam", [0.0, 0.4, 2.0, 50.0])
@pytest.mark.parametrize("name", INSTANCES)
def test_gram_of_eq2_is_the_nearest_to_the_thresholded_root(name, lam):
    X, rng = INSTANCES[name], np.random.default_rng(7)
    p = X.shape[1]
    eigenvalues, vectors = np.linalg.eigh(X.T @ X)
    T = (vectors * np.sqrt(np.maximum(eigenvalues, 0))) @ vectors.T
    for k in range(1, p + 1):
        B = solve_factor_penalty(spectrum_from_gram(X.T @ X), lam, k).B
        K = B @ B.T

        def objective(K, T=T):
            return np.sum((K - T) ** 2) / 2 + lam * np.trace(K)

        mu = np.linalg.eigvalsh(T - lam * np.eye(p))
        best = np.sum(mu**2) / 2 - np.sum(np.maximum(mu[-k:], 0) ** 2) / 2 + lam * np.trace(T) - lam**2 * p / 2
        assert objective(K) == pytest.approx(best, abs=1e-8)
        for size in (1e-3, 0.1, 1):
            other = B + size * rng.standard_normal(B.shape)
            assert objective(other @ other.T) >= objective(K) - 1e-9


@pytest.mark.claim("eq2-soft-threshold-root")
def test_lbfgs_on_eq2_ends_at_the_root():
    X, lam, k = INSTANCES["signed"], 0.8, 3
    end = minimize_by_lbfgs(
        lambda f: factor_penalty_objective(X, f, lam),
        lambda f: factor_penalty_gradient(X, f, lam),
        (6, k),
        np.random.default_rng(8),
    )
    mu, Q = np.linalg.eigh(scipy.linalg.sqrtm(X.T @ X).real - lam * np.eye(6))
    expected = (Q[:, -k:] * np.maximum(mu[-k:], 0)) @ Q[:, -k:].T
    np.testing.assert_allclose(end.B @ end.B.T, expected, atol=1e-4)
    best = solve_factor_penalty(spectrum(X), lam, k)
    assert eq2_by_hand(X, end.A, end.B, lam) == pytest.approx(eq2_by_hand(X, best.A, best.B, lam), rel=1e-8)


@pytest.mark.claim("eq2-soft-threshold-root")
def test_a_tie_above_the_threshold_leaves_a_choice_and_one_below_does_not():
    V = random_orthogonal(4, np.random.default_rng(9))
    other = V @ scipy.linalg.block_diag(1, [[0.6, -0.8], [0.8, 0.6]], 1)
    sigma = np.array([3.0, 2.0, 2.0, 1.0])
    T = (V * sigma) @ V.T
    for lam, unique in ((1.0, False), (2.0, True)):
        one, two = ((basis[:, :2] * np.maximum(sigma[:2] - lam, 0)) @ basis[:, :2].T for basis in (V, other))
        values = [np.sum((K - T) ** 2) / 2 + lam * np.trace(K) for K in (one, two)]
        assert values[0] == pytest.approx(values[1], abs=1e-12)
        assert (abs(one - two).max() < 1e-12) == unique


def distance_to_the_family(Q, V, rng, starts=12):
    """Smallest max-error of normalize(V dMat(f) Vᵀ) to Q that a general optimizer finds over f > 0."""

    def loss(theta):
        return np.sum((normalized((V * np.exp(theta)) @ V.T) - Q) ** 2)

    runs = [
        scipy.optimize.minimize(
            loss,
            rng.uniform(-3, 3, V.shape[1]),
            method="Nelder-Mead",
            options={"maxiter": 4_000, "fatol": 1e-16, "xatol": 1e-9},
        )
        for _ in range(starts)
    ]
    return np.sqrt(min(run.fun for run in runs))


@pytest.mark.claim("outside-the-family")
def test_an_optimizer_finds_members_and_no_lengths_for_outsiders():
    rng = np.random.default_rng(10)
    X = np.array([[1, 1, 0], [1, 0, 1], [0, 1, 1], [1, 1, 1], [1, 0, 0], [1, 1, 0]], float)
    S = X.T @ X
    V = np.linalg.eigh(S)[1]
    W = np.linalg.solve(S + 2 * np.eye(3), S)
    W_dropout = np.linalg.solve(S + np.diag(np.diag(S)), S)
    M = np.array([[2.0, 1, 0], [1, 3, 1], [0, 1, 1]])
    for inside in (S, W, W @ W, W @ S @ W):
        assert distance_to_the_family(normalized(inside), V, rng) < 1e-5
    for outside in (W_dropout.T @ S @ W_dropout, M, np.array([[1, 0, 0], [0, 1, 0.9], [0, 0.9, 1]])):
        assert distance_to_the_family(normalized(outside), V, rng) > 1e-3


@pytest.mark.claim("outside-the-family")
def test_an_item_that_resembles_nobody_forces_the_identity():
    V = random_orthogonal(5, np.random.default_rng(11))
    constraint = np.array([V[0] * V[j] for j in range(1, 5)])  # K_0j = Σ_l f_l v_0l v_jl = 0
    f = scipy.linalg.null_space(constraint)
    assert f.shape == (5, 1) and np.ptp(f / f[0]) < 1e-10
    first = np.array([0.5, -0.5, 0.0, 0.5, 0.5])  # a basis with v_02 = 0: then f_2 is free
    V = scipy.linalg.null_space(first[None, :]).T
    assert scipy.linalg.null_space(V * first).shape[1] == 2


@pytest.mark.claim("outside-the-family")
@pytest.mark.parametrize("delta", [0.1, 1.0, 10.0])
def test_dropout_belongs_to_the_family_of_unit_columns(delta):
    X = (np.random.default_rng(12).random((40, 6)) < np.linspace(0.1, 0.8, 6)).astype(float)
    S = X.T @ X
    W = scipy.linalg.inv(S + delta * np.diag(np.diag(S))) @ S
    sigma, V = svd(X / np.linalg.norm(X, axis=0))
    f = (sigma**3 / (sigma**2 + delta)) ** 2
    np.testing.assert_allclose(cosine_by_loops((X @ W).T, (X @ W).T), normalized((V * f) @ V.T), atol=1e-9)


@pytest.mark.claim("outside-the-family")
@pytest.mark.parametrize("alpha", [0.25, 0.5, 1.0])
def test_fractional_whitening_is_a_power_of_the_kernel(alpha):
    B = np.random.default_rng(13).standard_normal((6, 3))
    white = B @ scipy.linalg.fractional_matrix_power(B.T @ B, -alpha / 2).real
    values, Q = np.linalg.eigh(B @ B.T)
    powered = (Q[:, -3:] * values[-3:] ** (1 - alpha)) @ Q[:, -3:].T
    np.testing.assert_allclose(white @ white.T, powered, atol=1e-9)


@pytest.mark.claim("popularity-share")
@pytest.mark.parametrize("k", [1, 2, 5, 9])
def test_popularity_cone(k):
    X = (np.random.default_rng(14).random((60, 9)) < 0.5).astype(float)
    sigma, V = svd(X)
    V = V * np.sign(V[0])
    assert (V[:, 0] > 0).all()
    filters = [np.r_[1.0, np.zeros(k - 1)], *(f(sigma[:k], 1.3) for f in FILTERS.values())]
    for f in filters:
        K = (V[:, :k] * f) @ V[:, :k].T
        s = f[0] * V[:, 0] ** 2 / np.diag(K)
        theta = np.arccos(np.sqrt(np.minimum(s, 1)))
        cosine, total = normalized(K), theta[:, None] + theta
        assert (cosine >= np.cos(total) - 1e-9).all() and (cosine <= np.cos(theta[:, None] - theta) + 1e-9).all()
        assert (cosine[s[:, None] + s > 1 + 1e-9] > 0).all()
        if s.min() >= 0.5:
            assert cosine.min() >= 2 * s.min() - 1 - 1e-9
    if k == 2:  # the cone is attained: the rest of two embeddings is parallel or opposite
        extreme = np.minimum(abs(cosine - np.cos(total)), abs(cosine - np.cos(theta[:, None] - theta)))
        assert extreme.max() < 1e-7


@pytest.mark.claim("popularity-share")
def test_steeper_filters_have_larger_shares():
    rng = np.random.default_rng(15)
    V = np.abs(random_orthogonal(8, rng)[:, :1]) + 0.1
    V = np.linalg.qr(np.hstack([V, rng.standard_normal((8, 4))]))[0]
    V = V * np.sign(V[0])
    for _ in range(50):
        g = rng.random(5)
        f = g * np.r_[1, rng.random(4)] * rng.uniform(0.1, 10)
        s_f, s_g = (h[0] * V[:, 0] ** 2 / (V**2 @ h) for h in (f, g))
        assert (s_f >= s_g - 1e-12).all()


def dirichlet_moments(alpha, masses, rng, n=600_000):
    """E[z zᵀ] from Gamma variables, which are not what the notebook draws from."""
    g = rng.gamma(alpha, size=(n, len(masses)))
    k = rng.pareto(4.0, (n, 1)) + 1
    z = k * g / (g @ masses)[:, None]
    return z.T @ z / n


@pytest.mark.claim("population-cosine")
@pytest.mark.parametrize(
    ("alpha", "masses"), [(1.0, [1, 1]), (1.0, [2, 2, 9, 0.1]), (0.3, [1, 1, 1]), (6.0, [1, 1, 30])]
)
def test_equal_masses_have_alpha_over_alpha_plus_one(alpha, masses):
    moment = dirichlet_moments(alpha, np.array(masses, float), np.random.default_rng(16))
    assert normalized(moment)[0, 1] == pytest.approx(alpha / (alpha + 1), abs=0.02)


@pytest.mark.claim("population-cosine")
@pytest.mark.parametrize("ratio", [3.0, 30.0])
def test_unequal_masses_have_less(ratio):
    """Two clusters, α = 1: the preference w is uniform on (0, 1), so the moments are integrals over it."""
    m = ratio
    elementary = ((m + 1) * np.log(m) - 2 * (m - 1)) / (m - 1) ** 3  # ∫ w(1 − w)/y² with y = w + (1 − w)m
    w = (np.arange(200_000) + 0.5) / 200_000
    y = w + (1 - w) * m
    direct = np.mean(w * (1 - w) / y**2) / np.sqrt(np.mean(w**2 / y**2) * np.mean((1 - w) ** 2 / y**2))
    assert np.mean(w * (1 - w) / y**2) == pytest.approx(elementary, rel=1e-6)
    assert direct < 0.5 - 0.005
    moment = dirichlet_moments(1.0, np.array([1.0, m]), np.random.default_rng(17))
    assert normalized(moment)[0, 1] == pytest.approx(direct, abs=0.02)


@pytest.mark.claim("population-cosine")
def test_columns_of_the_simulated_preferences():
    data = simulate_interactions(4_000, 60, 4, preference_concentration=2.0, max_activity=10, rng=5)
    masses = np.bincount(data.item_cluster, weights=data.item_popularity)
    k = np.diff(data.X.indptr)
    p_ui = data.user_preference[:, data.item_cluster] * data.item_popularity
    p_ui /= p_ui.sum(axis=1, keepdims=True)
    cosine = cosine_similarity((k[:, None] * p_ui).T)
    same = data.item_cluster[:, None] == data.item_cluster
    np.testing.assert_allclose(cosine[same], 1, atol=1e-9)
    assert masses.size == 4 and cosine[~same].max() < 2 / 3 + 0.03


@pytest.mark.claim("population-uniform")
@pytest.mark.parametrize(("C", "expected"), [(2, (np.log(2) - 0.5) / (1 - np.log(2))), (5, 0.6965), (20, 0.737)])
def test_uniform_preferences(C, expected):
    u = scipy.stats.qmc.Sobol(C, seed=18).random(2**18)
    assert normalized(u.T @ u)[0, 1] == pytest.approx(0.75, abs=0.001)
    z = u / u.sum(axis=1, keepdims=True)
    assert normalized(z.T @ z)[0, 1] == pytest.approx(expected, abs=0.002)


def symmetric_gram(C, rho, profile):
    H = np.kron(np.eye(C), np.asarray(profile)[:, None])
    return H @ ((1 - rho) * np.eye(C) + rho) @ H.T


@pytest.mark.claim("population-filter-cosine")
@pytest.mark.parametrize("C", [2, 3, 7])
@pytest.mark.parametrize("rho", [0.0, 0.2, 0.75, 0.99])
def test_filters_of_the_symmetric_population(C, rho):
    gram = symmetric_gram(C, rho, [1.0, 0.4, 0.1])
    sigma, V = np.sqrt(np.linalg.eigvalsh(gram)[::-1][:C]), np.linalg.eigh(gram)[1][:, ::-1][:, :C]
    assert (sigma[0] / sigma[-1]) ** 2 == pytest.approx((1 + (C - 1) * rho) / (1 - rho), rel=1e-9)
    for f in (lambda s: s**0, lambda s: s, lambda s: s**2, lambda s: np.log1p(s), lambda s: 1 / s):
        a, b = f(sigma[0]), f(sigma[-1])
        cosine = normalized((V * np.r_[a, np.full(C - 1, b)]) @ V.T)
        expected = np.kron(
            np.full((C, C), (a - b) / (a + (C - 1) * b)) + np.eye(C) * (1 - (a - b) / (a + (C - 1) * b)),
            np.ones((3, 3)),
        )
        np.testing.assert_allclose(cosine, expected, atol=1e-8)
    lam = 0.7 * sigma[-1]
    unique = item_item_cosine(solve_factor_penalty(spectrum_from_gram(gram, C), lam))[0, -1]
    assert unique == pytest.approx((sigma[0] - sigma[-1]) / (sigma[0] + (C - 1) * sigma[-1] - C * lam), abs=1e-8)
    assert unique >= (sigma[0] - sigma[-1]) / (sigma[0] + (C - 1) * sigma[-1]) - 1e-12


def population(sizes, users, seed):
    rng = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(len(sizes)), sizes)
    H = np.zeros((len(cluster), len(sizes)))
    H[np.arange(len(cluster)), cluster] = 10 ** rng.uniform(-1, 1, len(cluster))
    return rng.random((users, len(sizes))) ** 2, H, (cluster[:, None] == cluster).astype(float)


@pytest.mark.claim("population-truth")
@pytest.mark.parametrize("sizes", [(4,), (1, 1), (3, 8), (1, 2, 30), (6, 6, 6, 6)])
def test_b_equal_v_is_the_truth(sizes):
    C = len(sizes)
    for users, seed in itertools.product((C + 1, 40), range(3)):
        Z, H, truth = population(sizes, users, seed)
        V = scipy.linalg.svd(Z @ H.T, full_matrices=False)[2][:C].T
        np.testing.assert_allclose(cosine_by_loops(V, V), truth, atol=1e-6)
        G = np.random.default_rng(seed).random((C, C))
        whitened = reparameterize(solve_product_penalty(spectrum(Z @ H.T, C), 3.0), G)
        kernel = whitened.B @ np.linalg.solve(whitened.B.T @ whitened.B, whitened.B.T)
        np.testing.assert_allclose(normalized(kernel), truth, atol=1e-5)


@pytest.mark.claim("population-truth")
def test_only_a_constant_filter_is_true_and_rank_deficiency_forbids_it():
    Z, H, truth = population((3, 8, 2), 40, 1)
    top = spectrum(Z @ H.T, 3)
    rng = np.random.default_rng(19)
    for _ in range(100):
        f = rng.uniform(0.2, 1, 3)
        error = abs(cosine_similarity(top.V * np.sqrt(f)) - truth).max()
        assert error > 0.01 * np.ptp(f)
    np.testing.assert_allclose(cosine_similarity(top.V * 0.3), truth, atol=1e-9)
    poor = np.random.default_rng(20).random((40, 2)) @ np.random.default_rng(21).random((2, 3))  # rank 2, C = 3
    V = spectrum(poor @ H.T, 2).V
    for _ in range(100):
        assert abs(cosine_similarity(V @ rng.standard_normal((2, 2))) - truth).max() > 0.1


@pytest.mark.claim("population-truth")
def test_separate_clusters_allow_every_filter():
    Z = np.zeros((20, 2))
    Z[:9, 0], Z[9:, 1] = np.random.default_rng(22).random(9), np.random.default_rng(23).random(11)
    _, H, truth = population((3, 4), 1, 2)
    top = spectrum(Z @ H.T, 2)
    for f in ([1, 1], [1, 0.1], [1, 20]):
        np.testing.assert_allclose(cosine_similarity(top.V * np.sqrt(f)), truth, atol=1e-9)


@pytest.mark.claim("population-activity-centering")
@pytest.mark.parametrize("C", [2, 4, 8])
@pytest.mark.parametrize("alpha", [0.2, 1.0, 9.0])
@pytest.mark.parametrize("kappa", [1.0, 1.3, 4.0])
def test_centering_with_and_without_activity(C, alpha, kappa):
    """k takes two values with E k = 1 and E k² = κ, and the moments of a Dirichlet law come from SciPy."""
    law = scipy.stats.dirichlet(np.full(C, alpha))
    second = law.cov() + np.outer(law.mean(), law.mean())
    covariance = kappa * second - np.outer(law.mean(), law.mean())
    expected = (kappa * alpha * C - (C * alpha + 1)) / (kappa * (alpha + 1) * C - (C * alpha + 1))
    assert covariance[0, 1] / covariance[0, 0] == pytest.approx(expected, abs=1e-12)
    if kappa == 1:
        assert expected == pytest.approx(-1 / (C - 1))
    ones = np.ones(C) / np.sqrt(C)
    assert ones @ covariance @ ones == pytest.approx((kappa - 1) / C, abs=1e-12)  # Var(k)/C
    k = np.array([1 - np.sqrt(kappa - 1) / 2, 1 + 2 * np.sqrt(kappa - 1)])  # with probabilities 4/5 and 1/5
    assert np.array([0.8, 0.2]) @ k == pytest.approx(1) and np.array([0.8, 0.2]) @ k**2 == pytest.approx(kappa)
    rng = np.random.default_rng(24)
    z = rng.choice(k, (300_000, 1), p=[0.8, 0.2]) * rng.dirichlet(np.full(C, alpha), 300_000)
    assert np.corrcoef(z.T)[0, 1] == pytest.approx(expected, abs=0.02)


@pytest.mark.claim("population-activity-centering")
def test_after_dividing_rows_every_filter_agrees():
    C = 4
    covariance = np.kron(np.eye(C), [[1.0], [0.5]]) @ (np.eye(C) - 1 / C) @ np.kron(np.eye(C), [[1.0], [0.5]]).T
    values, V = np.linalg.eigh(covariance)
    for f in (lambda s: s, lambda s: s**2, lambda s: np.minimum(s, 0.5)):
        top = np.maximum(values, 0)
        cosine = normalized((V * np.where(top > 1e-9, f(top), 0)) @ V.T)
        assert cosine[0, -1] == pytest.approx(-1 / (C - 1), abs=1e-9)


def bernoulli_limit(seed, sizes=(5, 9, 4)):
    rng = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(len(sizes)), sizes)
    z = rng.random((50, len(sizes)))  # fifty kinds of users, equally frequent
    p = rng.uniform(0.1, 1, cluster.size)
    mu = z[:, cluster] * p
    signal = mu.T @ mu / 50
    return mu, signal, signal + np.diag(np.mean(mu * (1 - mu), axis=0)), cluster


@pytest.mark.claim("population-bernoulli-diagonal")
def test_raw_columns_converge_to_the_wrong_cosine():
    mu, signal, limit, _ = bernoulli_limit(25)
    rng = np.random.default_rng(26)
    X = np.concatenate([(rng.random(mu.shape) < mu) for _ in range(4_000)]).astype(float)
    np.testing.assert_allclose(X.T @ X / len(X), limit, atol=0.01)
    r = np.mean(mu**2, axis=0) / np.mean(mu, axis=0)
    off = ~np.eye(len(r), dtype=bool)
    expected = (normalized(signal) * np.sqrt(np.outer(r, r)))[off]
    np.testing.assert_allclose(cosine_similarity(X.T)[off], expected, atol=0.02)
    assert (normalized(signal)[off] - expected).min() > 0.05  # never the population's
    certain = (mu > 0.4).astype(float)  # unless every μ is 0 or 1
    np.testing.assert_allclose(np.mean(certain * (1 - certain), axis=0), 0)


@pytest.mark.claim("population-bernoulli-diagonal")
@pytest.mark.parametrize("seed", range(27, 33))
def test_low_rank_nearly_removes_the_diagonal(seed):
    _, signal, limit, cluster = bernoulli_limit(seed)
    same = cluster[:, None] == cluster
    exact = cosine_similarity(spectrum_from_gram(signal + 0.3 * np.eye(len(signal)), 3).V)
    np.testing.assert_allclose(exact, same, atol=1e-8)
    for shrink in (1.0, 0.1, 0.001):  # a smaller diagonal, a better bound
        delta = shrink * np.diag(limit - signal)
        top = spectrum_from_gram(signal + np.diag(delta), 3)
        if top.sigma[-1] ** 2 <= delta.max():
            continue
        cosine = cosine_similarity(top.V)
        for i, j in zip(*np.nonzero(same)):
            quotient = (1 - delta[j] / top.sigma**2) / (1 - delta[i] / top.sigma**2)
            kappa = quotient.max() / quotient.min()
            assert cosine[i, j] >= 2 * np.sqrt(kappa) / (1 + kappa) - 1e-9
    assert abs(cosine - same).max() < 0.02


@pytest.mark.claim("population-saturation")
@pytest.mark.parametrize("p", [(1.0, 0.5), (2.0, 0.01)])
def test_saturated_columns_are_parallel_only_for_one_t(p):
    t = np.array([0.0, 0.5, 2.0, 7.0])
    columns = 1 - np.exp(-np.outer(t, p))
    assert cosine_similarity(columns.T)[0, 1] < 1 - 1e-4
    assert cosine_similarity(columns[[0, 2, 2]].T)[0, 1] == pytest.approx(1, abs=1e-12)
    sparse = 1 - np.exp(-1e-4 * np.outer(t, p))
    assert cosine_similarity(sparse.T)[0, 1] == pytest.approx(1, abs=1e-6)


@pytest.mark.claim("population-saturation")
def test_inclusion_probabilities_against_numpy_draws():
    rng = np.random.default_rng(33)
    w = np.arange(1, 201) ** -0.9
    w /= w.sum()
    taken, k = np.zeros(200), 60
    for _ in range(3_000):
        taken[rng.choice(200, k, replace=False, p=w)] += 1 / 3_000
    tau = scipy.optimize.brentq(lambda tau: np.sum(1 - np.exp(-tau * w)) - k, 1, 1e5)
    np.testing.assert_allclose(taken, 1 - np.exp(-tau * w), atol=0.04)
    assert abs(taken - k * w).max() > 1  # expectations with replacement are far off


@pytest.mark.claim("oracle-filter")
def test_oracle_beats_every_named_filter_on_other_data():
    data = simulate_interactions(3_000, 120, 3, max_activity=20, rng=34)
    k, truth = 20, (data.item_cluster[:, None] == data.item_cluster).astype(float)
    top = spectrum(data.X, k)
    pairs = np.triu_indices(120, 1)

    def loss(log_f):
        return np.mean((normalized((top.V * np.exp(log_f)) @ top.V.T) - truth)[pairs] ** 2)

    rng = np.random.default_rng(35)
    runs = [
        scipy.optimize.minimize(
            loss,
            rng.normal(0, 1, k),
            method="L-BFGS-B",
            bounds=[(-25, 5)] * k,
            options={"maxiter": 300, "maxfun": 10_000},
        )
        for _ in range(2)
    ]
    assert runs[0].fun == pytest.approx(runs[1].fun, abs=1e-3)
    best = min(run.fun for run in runs)
    lam = top.sigma[3]
    for name, f in FILTERS.items():
        weights = f(top.sigma, lam if name in ("eq 2", "scores 2") else lam**2)
        assert loss(np.log(np.maximum(weights, 1e-11))) > best + 1e-3, name
    oracle = normalized((top.V * np.exp(min(runs, key=lambda run: run.fun).x)) @ top.V.T)
    assert cluster_auc(oracle, data.item_cluster) > 0.95

"""The claims of chapter 7 on other seeds and smaller instances, each against a computation of another kind."""

import numpy as np
import pytest
import scipy.optimize
import scipy.stats
from oracles import cosine_by_loops, eq1_by_hand, minimize_by_lbfgs, random_orthogonal

from cossim_helpers import (
    Factors,
    activity_normalized,
    cosine_similarity,
    factor_penalty_gradient,
    factor_penalty_objective,
    fractionally_whitened_cosine,
    inverse_propensity_scaled,
    item_item_cosine,
    layer_norm,
    product_penalty_gradient,
    product_penalty_objective,
    propensities,
    reparameterize,
    rescale,
    score_column_cosine,
    score_row_cosine,
    shifted_pmi,
    shrinkage,
    simulate_interactions,
    solve_factor_penalty,
    solve_product_penalty,
    spectral_cosine,
    spectrum,
    spectrum_from_gram,
    standardized_gram,
    train_cosine,
    whitened_cosine,
)

SEEDS = range(3)


def data(seed, n=200, p=20):
    return simulate_interactions(n, p, 3, min_activity=2, rng=seed).X.toarray()


def unit_rows(rng, m, k):
    E = rng.standard_normal((m, k))
    return E / np.linalg.norm(E, axis=1, keepdims=True)


# --- back to the original space ---


@pytest.mark.claim("remedy-original-space")
@pytest.mark.parametrize("seed", SEEDS)
def test_cosines_of_the_scores_are_the_same_for_every_minimizer(seed):
    X, lam, k = data(seed, 40, 8), 3.0, 3
    rng = np.random.default_rng(seed)
    factors = solve_product_penalty(spectrum(X), lam, k)
    scores = X @ factors.A @ factors.B.T
    for G in (rng.standard_normal((k, k)), np.diag(10 ** rng.uniform(-2, 2, k))):
        moved = reparameterize(factors, G)
        np.testing.assert_allclose(score_column_cosine(X, moved), cosine_by_loops(scores.T, scores.T), atol=1e-7)
        np.testing.assert_allclose(score_row_cosine(X, moved), cosine_by_loops(scores, scores), atol=1e-7)
    found = minimize_by_lbfgs(
        lambda f: product_penalty_objective(X, f, lam), lambda f: product_penalty_gradient(X, f, lam), (8, k), rng
    )
    np.testing.assert_allclose(score_column_cosine(X, found), cosine_by_loops(scores.T, scores.T), atol=1e-4)
    assert abs(item_item_cosine(found) - item_item_cosine(factors)).max() > 1e-2


@pytest.mark.claim("remedy-original-space")
def test_cosines_of_the_scores_are_not_unique_at_a_tie():
    X = np.diag([3.0, 2.0, 2.0, 1.0])
    one, other = (Factors(np.eye(4)[:, [0, j]] * [0.9, 0.8], np.eye(4)[:, [0, j]]) for j in (1, 2))
    assert eq1_by_hand(X, one.A, one.B, 1.0) == pytest.approx(eq1_by_hand(X, other.A, other.B, 1.0))
    assert abs(score_column_cosine(X, one) - score_column_cosine(X, other)).max() == 1


# --- normalizing after and during ---


@pytest.mark.claim("normalize-after")
@pytest.mark.parametrize("seed", SEEDS)
def test_normalizing_afterwards_keeps_the_freedom(seed):
    X, rng = data(seed), np.random.default_rng(seed)
    factors = solve_product_penalty(spectrum(X, 3), 5.0)
    d = 10 ** rng.uniform(-1, 1, 3)
    other = rescale(factors, d)
    assert eq1_by_hand(X, other.A, other.B, 5.0) == pytest.approx(eq1_by_hand(X, factors.A, factors.B, 5.0), rel=1e-9)
    normalized = other.B / np.linalg.norm(other.B, axis=1, keepdims=True)
    np.testing.assert_allclose(normalized @ normalized.T, cosine_by_loops(factors.B / d, factors.B / d), atol=1e-10)
    assert abs(normalized @ normalized.T - cosine_similarity(factors.B)).max() > 0.1


@pytest.mark.claim("remedy-train-cosine")
@pytest.mark.parametrize("by", ["users", "items"])
@pytest.mark.parametrize("seed", SEEDS)
def test_scores_that_are_cosines_determine_the_cosines(seed, by):
    """An independent solver looks for GGᵀ and s with unit rows, from far away, and finds I and 1 alone."""
    rng, k = np.random.default_rng(seed), 3
    users, items = unit_rows(rng, 9 if by == "users" else 3, k), unit_rows(rng, 3 if by == "users" else 9, k)
    for start in range(5):
        start_rng = np.random.default_rng(start)

        def lengths(z):
            G, ratio = z[:-1].reshape(k, k), z[-1]
            return np.concatenate(
                [np.sum((users @ G) ** 2, axis=1) - 1, np.sum((ratio * np.linalg.solve(G, items.T)) ** 2, axis=0) - 1]
            )

        z = np.append(np.eye(k).ravel() + 0.3 * start_rng.standard_normal(k * k), start_rng.uniform(0.5, 2))
        found = scipy.optimize.least_squares(lengths, z, xtol=1e-15, ftol=1e-15, gtol=1e-15)
        if found.cost < 1e-20:
            G = found.x[:-1].reshape(k, k)
            np.testing.assert_allclose(G @ G.T, np.eye(k), atol=1e-6)
            assert abs(found.x[-1]) == pytest.approx(1, abs=1e-6)
            break
    else:
        pytest.fail("no start converged")


@pytest.mark.claim("remedy-train-cosine")
@pytest.mark.parametrize("seed", SEEDS)
def test_with_too_few_users_and_items_cosines_stay_free(seed):
    rng, k = np.random.default_rng(seed), 5  # 15 freedoms, 10 equations
    users, items = unit_rows(rng, 5, k), unit_rows(rng, 5, k)

    def lengths(z):
        G = z.reshape(k, k)
        return np.concatenate([np.sum((users @ G) ** 2, axis=1), np.sum(np.linalg.solve(G, items.T) ** 2, axis=0)]) - 1

    found = scipy.optimize.least_squares(
        lengths, (np.eye(k) + 0.1 * rng.standard_normal((k, k))).ravel(), xtol=1e-15, ftol=1e-15, gtol=1e-15
    )
    G = found.x.reshape(k, k)
    other_users, other_items = users @ G, np.linalg.solve(G, items.T).T
    np.testing.assert_allclose(np.linalg.norm(np.vstack([other_users, other_items]), axis=1), 1, atol=1e-8)
    np.testing.assert_allclose(other_users @ other_items.T, users @ items.T, atol=1e-8)
    assert abs(other_items @ other_items.T - items @ items.T).max() > 1e-2


@pytest.mark.claim("remedy-train-cosine")
@pytest.mark.parametrize("loss", ["squared", "softmax"])
def test_the_loss_of_training_for_the_cosine_sees_d_and_no_lengths(loss):
    X, rng = data(1), np.random.default_rng(0)
    start = Factors(*rng.standard_normal((2, 20, 3)))

    def first_loss(factors):
        return train_cosine(X, 3, loss=loss, steps=1, learning_rate=1e-12, start=factors).loss

    longer = Factors(start.A, start.B * rng.uniform(0.1, 10, (20, 1)))
    assert first_loss(longer) == pytest.approx(first_loss(start), rel=1e-8)
    assert first_loss(rescale(start, [0.2, 1, 5])) != pytest.approx(first_loss(start), rel=1e-3)


# --- layer normalization ---


@pytest.mark.claim("layer-norm-unit")
@pytest.mark.parametrize("k", [2, 3, 8])
def test_layer_norm_is_a_cosine_in_one_dimension_fewer(k):
    rng = np.random.default_rng(k)
    P, B = rng.standard_normal((2, 7, k))
    basis = np.linalg.qr(np.column_stack([np.ones(k), rng.standard_normal((k, k - 1))]))[0][:, 1:]
    np.testing.assert_allclose(layer_norm(P) @ layer_norm(B).T, k * cosine_by_loops(P @ basis, B @ basis), atol=1e-10)


@pytest.mark.claim("layer-norm-gain")
@pytest.mark.parametrize("seed", SEEDS)
def test_two_gains_restore_d_and_a_shared_one_does_not(seed):
    rng = np.random.default_rng(seed)
    P, B, delta = rng.standard_normal((8, 4)), rng.standard_normal((6, 4)), rng.uniform(0.1, 10, 4)
    g, h, g2, h2 = rng.standard_normal((4, 4))
    moved_P, moved_B = layer_norm(P, g * delta, h * delta), layer_norm(B, g2 / delta, h2 / delta)
    items = layer_norm(B, g2, h2)
    np.testing.assert_allclose(moved_P @ moved_B.T, layer_norm(P, g, h) @ items.T, atol=1e-10)
    np.testing.assert_allclose(cosine_similarity(moved_B), cosine_by_loops(items / delta, items / delta), atol=1e-10)
    shared = layer_norm(P, g) @ layer_norm(B, g).T
    assert abs(layer_norm(P, g * delta) @ layer_norm(B, g * delta).T - shared).max() > 0.1


@pytest.mark.claim("layer-norm-shift")
@pytest.mark.parametrize("seed", SEEDS)
def test_a_common_shift_survives_without_a_gain(seed):
    rng = np.random.default_rng(seed)
    B, t = rng.standard_normal((6, 4)), 10 ** rng.uniform(0, 1, (6, 1))
    np.testing.assert_allclose(layer_norm(B + t), layer_norm(B), atol=1e-10)
    distance = [abs(cosine_by_loops(B + s * t, B + s * t) - 1).max() for s in (1e2, 1e4, 1e6)]
    assert distance[0] < 0.1 and distance[1] < distance[0] / 1e3 and distance[2] < 1e-9


# --- before the fit ---


@pytest.mark.claim("remedy-standardize")
@pytest.mark.parametrize("seed", SEEDS)
def test_standardizing_gives_equal_lengths_and_leaves_d_free(seed):
    X = data(seed)
    X = X[:, X.std(axis=0) > 0]
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    gram = standardized_gram(X)
    np.testing.assert_allclose(gram, Z.T @ Z, atol=1e-9)
    np.testing.assert_allclose(np.diag(gram), len(X), rtol=1e-10)
    factors = solve_product_penalty(spectrum_from_gram(gram, 3), 20.0)
    other = rescale(factors, [0.1, 1.0, 10.0])
    assert eq1_by_hand(Z, other.A, other.B, 20.0) == pytest.approx(eq1_by_hand(Z, factors.A, factors.B, 20.0))
    assert abs(item_item_cosine(other) - item_item_cosine(factors)).max() > 0.1
    found = minimize_by_lbfgs(
        lambda f: factor_penalty_objective(Z, f, 5.0),
        lambda f: factor_penalty_gradient(Z, f, 5.0),
        (X.shape[1], 2),
        np.random.default_rng(seed),
    )
    unique = solve_factor_penalty(spectrum_from_gram(gram, 2), 5.0)
    np.testing.assert_allclose(item_item_cosine(found), item_item_cosine(unique), atol=1e-4)


@pytest.mark.claim("centering-activity")
@pytest.mark.parametrize(("alpha", "C", "high"), [(1.0, 5, 1.0), (1.0, 5, 20.0), (0.2, 3, 4.0), (5.0, 2, 3.0)])
def test_centered_population_cosine(alpha, C, high):
    """Half of the users have activity 1 and half `high`; the moments by integration over the Beta law of p_c."""
    kappa = 2 * (1 + high**2) / (1 + high) ** 2
    claimed = (kappa * alpha * C - (C * alpha + 1)) / (kappa * (alpha + 1) * C - (C * alpha + 1))
    mean, square = (scipy.stats.beta(alpha, (C - 1) * alpha).moment(m) for m in (1, 2))
    product = (mean - square) / (C - 1)  # Σ_c' p_c' = 1, and all others are alike
    k, k2 = (1 + high) / 2, (1 + high**2) / 2
    assert claimed == pytest.approx((k2 * product - k**2 * mean**2) / (k2 * square - k**2 * mean**2))
    if high == 1.0:
        assert claimed == pytest.approx(-1 / (C - 1))
    rows = np.random.default_rng(0).dirichlet(np.full(C, alpha), 200_000) * np.tile([[1.0], [high]], (100_000, 1))
    assert np.corrcoef(rows.T)[0, 1] == pytest.approx(claimed, abs=0.02)
    assert np.corrcoef(activity_normalized(rows).T)[0, 1] == pytest.approx(-1 / (C - 1), abs=0.02)


@pytest.mark.claim("remedy-popularity")
@pytest.mark.parametrize("seed", SEEDS)
def test_propensities_and_pmi_move_the_product_and_not_its_symmetry(seed):
    X = data(seed)
    counts = X.sum(axis=0)
    X, counts = X[:, counts > 0], counts[counts > 0]
    scaled = inverse_propensity_scaled(X, propensities(counts, 0.5))
    np.testing.assert_allclose(np.linalg.norm(scaled, axis=0), np.sqrt(counts.max()))  # all of one length
    np.testing.assert_allclose(cosine_by_loops(scaled.T, scaled.T), cosine_by_loops(X.T, X.T), atol=1e-10)
    pairs = X.T @ X - np.diag(counts)
    kept = pairs.sum(axis=0) > 0
    for changed in (scaled, shifted_pmi(pairs[kept][:, kept])):
        factors = solve_product_penalty(spectrum(changed, 3), 2.0)
        other = rescale(factors, [0.1, 1.0, 10.0])
        assert eq1_by_hand(changed, other.A, other.B, 2.0) == pytest.approx(
            eq1_by_hand(changed, factors.A, factors.B, 2.0)
        )
        assert abs(item_item_cosine(other) - item_item_cosine(factors)).max() > 0.1


# --- skip-gram with negative sampling ---


def sgns_slope(Y, counts, a, m):
    negatives = m * counts.sum(axis=1, keepdims=True) * counts.sum(axis=0) ** a / np.sum(counts.sum(axis=0) ** a)
    return counts - (counts + negatives) / (1 + np.exp(-Y)), counts, negatives


def sgns_value(Y, counts, a, m):
    _, positives, negatives = sgns_slope(Y, counts, a, m)
    return -np.sum(positives * np.log1p(np.exp(-Y)) + negatives * np.log1p(np.exp(Y)))


@pytest.mark.claim("sgns-shifted-pmi")
@pytest.mark.parametrize(("a", "m"), [(1.0, 1.0), (0.75, 5.0), (0.0, 2.0)])
def test_sgns_is_maximal_at_the_shifted_pmi(a, m):
    rng = np.random.default_rng(0)
    counts = rng.integers(1, 30, (5, 7)).astype(float)
    M = shifted_pmi(counts, exponent=a, negatives=m, positive=False)
    P_wc = counts / counts.sum()
    P_w, P_c = P_wc.sum(axis=1, keepdims=True), P_wc.sum(axis=0)
    claimed = np.log(P_wc / (P_w * P_c)) + (1 - a) * np.log(P_c) + np.log(np.sum(P_c**a)) - np.log(m)
    np.testing.assert_allclose(M, claimed, atol=1e-12)
    np.testing.assert_allclose(sgns_slope(M, counts, a, m)[0], 0, atol=1e-10)
    for entry in np.ndindex(5, 7):  # and one entry at a time, by an optimizer that knows no formula

        def loss(y, entry=entry):
            Y = M.copy()
            Y[entry] = y
            return -sgns_value(Y, counts, a, m)

        assert scipy.optimize.minimize_scalar(loss).x == pytest.approx(M[entry], abs=1e-4)


@pytest.mark.claim("sgns-shifted-pmi")
def test_sgns_with_a_zero_count_or_too_low_a_rank_is_another_problem():
    counts = np.random.default_rng(1).integers(1, 30, (5, 5)).astype(float)
    M = shifted_pmi(counts, exponent=0.75, negatives=1.0, positive=False)
    u, s, vt = np.linalg.svd(M)
    truncated = s[0] * np.outer(u[:, 0], vt[0])

    def loss(z):
        Y = np.outer(z[:5], z[5:])
        slope = -sgns_slope(Y, counts, 0.75, 1.0)[0]
        return -sgns_value(Y, counts, 0.75, 1.0), np.concatenate([slope @ z[5:], slope.T @ z[:5]])

    found = scipy.optimize.minimize(loss, np.concatenate([s[0] * u[:, 0], vt[0]]), jac=True)
    assert found.fun < -sgns_value(truncated, counts, 0.75, 1.0) - 0.1
    counts[2, 2] = 0
    lower = [M - y * (counts == 0) for y in (0, 5, 10)]
    values = [sgns_value(Y, counts, 0.75, 1.0) for Y in lower]
    assert values[0] < values[1] < values[2]


@pytest.mark.claim("sgns-exponent")
@pytest.mark.parametrize("seed", SEEDS)
def test_the_exponent_of_the_singular_values_is_d(seed):
    M = shifted_pmi(np.random.default_rng(seed).integers(0, 9, (10, 8)) + np.eye(10, 8), exponent=0.75)
    u, s, vt = (part[..., :3] if part.ndim < 2 else part for part in np.linalg.svd(M))
    words = [u[:, :3] * s[:3] ** e for e in (0.0, 0.5, 1.0)]
    contexts = [vt[:3].T * s[:3] ** (1 - e) for e in (0.0, 0.5, 1.0)]
    for e, W, C in zip((0.0, 0.5, 1.0), words, contexts):
        np.testing.assert_allclose(W @ C.T, (u[:, :3] * s[:3]) @ vt[:3], atol=1e-10)
        moved = rescale(Factors(words[1], words[1]), s[:3] ** (e - 0.5))
        np.testing.assert_allclose(moved.A, W, atol=1e-10)
    assert abs(cosine_similarity(words[0]) - cosine_similarity(words[2])).max() > 0.05


# --- whitening ---


@pytest.mark.claim("whitening-invariant")
@pytest.mark.parametrize("seed", SEEDS)
def test_whitened_cosines_are_those_of_v_for_every_minimizer(seed):
    X, rng = data(seed), np.random.default_rng(seed)
    pairs = spectrum(X, 4)
    for _ in range(5):
        moved = reparameterize(solve_product_penalty(pairs, 3.0), rng.standard_normal((4, 4)))
        value, vectors = np.linalg.eigh(moved.B.T @ moved.B)
        by_hand = moved.B @ vectors @ np.diag(value**-0.5) @ vectors.T  # B (BᵀB)^{-1/2}
        np.testing.assert_allclose(whitened_cosine(moved), cosine_by_loops(by_hand, by_hand), atol=1e-7)
        np.testing.assert_allclose(whitened_cosine(moved), cosine_similarity(pairs.V), atol=1e-7)


@pytest.mark.claim("whitening-identity")
@pytest.mark.parametrize("p", [2, 5, 12])
def test_whitening_at_full_rank_says_nothing(p):
    B = np.random.default_rng(p).standard_normal((p, p))
    np.testing.assert_allclose(whitened_cosine(Factors(B, B)), np.eye(p), atol=1e-8)
    lower = B.copy()
    lower[:, 0] = B[:, 1]  # rank p − 1
    assert abs(whitened_cosine(Factors(lower, lower)) - np.eye(p)).max() > 1e-3


@pytest.mark.claim("fractional-whitening")
@pytest.mark.parametrize("alpha", [0.0, 0.25, 0.5, 0.9])
def test_fractional_whitening_and_the_spectral_variant(alpha):
    X, rng = data(3), np.random.default_rng(3)
    pairs = spectrum(X, 4)
    factors, d = solve_product_penalty(pairs, 30.0), shrinkage(pairs.sigma, 30.0)
    turned = reparameterize(factors, random_orthogonal(4, rng))
    moved = reparameterize(factors, np.diag([0.05, 1, 5, 40]) @ random_orthogonal(4, rng))
    np.testing.assert_allclose(
        fractionally_whitened_cosine(turned, alpha), fractionally_whitened_cosine(factors, alpha), atol=1e-9
    )
    changed = fractionally_whitened_cosine(moved, alpha) - fractionally_whitened_cosine(factors, alpha)
    assert abs(changed).max() > 0.01
    kernel = pairs.V @ np.diag(d ** (2 * (1 - alpha))) @ pairs.V.T
    length = np.sqrt(np.diag(kernel))
    np.testing.assert_allclose(spectral_cosine(moved, alpha), kernel / np.outer(length, length), atol=1e-8)


@pytest.mark.claim("whitening-rank")
@pytest.mark.parametrize("seed", SEEDS)
def test_in_the_population_rank_c_is_the_truth_and_noise_is_not(seed):
    rng = np.random.default_rng(seed)
    cluster = np.repeat([0, 1, 2, 3], [2, 5, 7, 1])
    population = rng.dirichlet(np.ones(4), 60)[:, cluster] * rng.uniform(0.01, 1, 15)
    population /= population.sum(axis=1, keepdims=True)
    truth = (cluster[:, None] == cluster).astype(float)
    unequal = population * 10 ** rng.uniform(0, 3, (60, 1))
    for X in (population, unequal):
        assert np.linalg.matrix_rank(X, tol=1e-10) == 4
        np.testing.assert_allclose(cosine_similarity(spectrum(X, 4).V), truth, atol=1e-7)
    noisy = population + 1e-6 * rng.standard_normal(population.shape)
    full = spectrum(noisy)
    assert abs(cosine_similarity(full.V[:, :4]) - truth).max() < 0.05
    assert abs(cosine_similarity(full.V[:, :12]) - truth).max() > 0.3

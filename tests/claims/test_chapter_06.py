"""The claims of chapter 6 on other seeds and smaller instances, each against a computation of another kind."""

import itertools

import numpy as np
import pytest
import scipy.linalg
import scipy.stats
from oracles import cosine_by_loops, eq1_by_hand, eq2_by_hand, minimize_by_lbfgs, random_orthogonal

from cossim_helpers import (
    all_tied,
    cluster_auc,
    cosine_similarity,
    factor_penalty_gradient,
    factor_penalty_objective,
    item_item_cosine,
    mean_cosine,
    overlap_at_k,
    rescale,
    rotate,
    shrinkage,
    simulate_interactions,
    solve_factor_penalty,
    solve_product_penalty,
    spectrum,
)

EXPONENTS = (0.5, 0.0, -0.5)  # of D = dMat(d)^e: B = V, V dMat(d)^½, V dMat(d)


def small(seed=1, **reading):
    return simulate_interactions(**({"n_users": 2_000, "n_items": 150, "n_clusters": 3, "rng": seed} | reading))


def full_svd(X):
    _, sigma, Vt = scipy.linalg.svd(X, full_matrices=False)
    return sigma, Vt.T


def three_scalings(X, lam, k):
    s = spectrum(X, k)
    d = shrinkage(s.sigma, lam)
    return [rescale(solve_product_penalty(s, lam), d**e) for e in EXPONENTS], d


def limit(kappa):
    return 2 * (kappa - 1) / (kappa + 1)


# --- the simulation ---


def inclusion_probabilities(w, k):
    """P(item is among k draws without replacement), by adding up all orders."""
    w, taken = np.asarray(w), np.zeros(len(w))
    for order in itertools.permutations(range(len(w)), k):
        probability, left = 1.0, w.sum()
        for i in order:
            probability *= w[i] / left
            left -= w[i]
        taken[list(order)] += probability
    return taken


@pytest.mark.claim("fig1-simulation")
@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_draws_against_the_sum_over_all_orders(k):
    """All users draw k of 6 items with the same preferences: one cluster, so p_ui is known."""
    n = 20_000
    data = simulate_interactions(n, 6, 1, min_activity=k, max_activity=k, popularity_exponents=(1.0, 1.0), rng=k)
    p = inclusion_probabilities(1 / np.arange(1, 7), k)
    share = data.X.toarray().mean(axis=0)
    assert (abs(share - p) <= 4.5 * np.sqrt(p * (1 - p) / n) + 1e-12).all()
    assert abs(p.sum() - k) < 1e-12


@pytest.mark.claim("fig1-simulation")
def test_draws_against_a_loop_over_users():
    data = small(seed=11, n_users=3_000)
    rng, k_u, looped = np.random.default_rng(0), np.diff(data.X.indptr), np.zeros(150)
    for preference, k in zip(data.user_preference, k_u, strict=True):
        p = preference[data.item_cluster] * data.item_popularity
        looped[rng.choice(150, k, replace=False, p=p / p.sum())] += 1
    ours = data.X.toarray().sum(axis=0)
    variance = ours * (1 - ours / 3_000) + looped * (1 - looped / 3_000)
    assert (abs(ours - looped) <= 4.5 * np.sqrt(variance)).all()
    assert set(np.unique(data.X.toarray())) == {0, 1}  # no item twice


@pytest.mark.claim("fig1-simulation")
def test_a_user_s_first_draw_follows_the_formula():
    data = simulate_interactions(20_000, 30, 3, min_activity=1, max_activity=1, rng=3)
    weights = data.user_preference[:, data.item_cluster] * data.item_popularity
    p = weights / weights.sum(axis=1, keepdims=True)
    z = (data.X.toarray() - p).sum(axis=0) / np.sqrt((p * (1 - p)).sum(axis=0))
    assert abs(z).max() < 4.5
    by_preference = np.argsort(data.user_preference[:, 0])[-5_000:]  # and it depends on the user
    favorite = data.item_cluster == 0
    assert abs(data.X.toarray()[by_preference][:, favorite].sum() / p[by_preference][:, favorite].sum() - 1) < 0.05
    assert p[by_preference][:, favorite].sum() > 1.5 * p[:, favorite].sum() * 5_000 / 20_000


@pytest.mark.claim("fig1-simulation")
@pytest.mark.parametrize("n_clusters", [2, 5])
def test_laws_of_activity_and_preferences(n_clusters):
    data = simulate_interactions(20_000, 60, n_clusters, rng=n_clusters)
    for preference in data.user_preference.T:  # one coordinate of a uniform mixture
        assert scipy.stats.kstest(preference, "beta", args=(1, n_clusters - 1)).pvalue > 1e-4
    k = np.arange(1, 31)
    expected = 20_000 * k**-0.5 / np.sum(k**-0.5)
    observed = np.bincount(np.diff(data.X.indptr), minlength=31)[1:]
    assert scipy.stats.chisquare(observed, expected).pvalue > 1e-4


# --- the two cuts ---


@pytest.mark.claim("fig1-lambda-cut")
@pytest.mark.parametrize("seed", [0, 1])
def test_equation_1_halves_where_equation_2_removes(seed):
    """From the fitted products alone: the weight of each singular direction, without the formulas."""
    rng = np.random.default_rng(seed)
    sigma = np.array([700.0, 250, 100, 99, 40, 3, 0])
    V = random_orthogonal(9, rng)[:, :7]
    X = random_orthogonal(12, rng)[:, :7] * sigma @ V.T
    s = spectrum(X)

    def kept(factors):
        return np.diag(V.T @ factors.A @ factors.B.T @ V)

    one, two = kept(solve_product_penalty(s, 10_000)), kept(solve_factor_penalty(s, 100))
    np.testing.assert_allclose(one[2], 0.5, rtol=1e-12)
    assert (one[:2] > 0.5).all() and (one[3:] < 0.5).all() and (one[:6] > 0).all() and abs(one[6]) < 1e-12
    np.testing.assert_allclose(two[2:], 0, atol=1e-12)
    np.testing.assert_allclose(two[:2], 1 - 100 / sigma[:2], rtol=1e-10)


@pytest.mark.claim("fig1-lambda-cut")
def test_six_singular_values_exceed_100_at_full_size():
    """Sylvester's law of inertia instead of an eigensolver: the signs of D in XᵀX − λI = L D Lᵀ."""
    X = simulate_interactions(rng=0).X
    blocks = (X[start : start + 2_000].toarray().astype(np.float32) for start in range(0, 20_000, 2_000))
    gram = sum(rows.T @ rows for rows in blocks).astype(float)  # counts below 2^24 are exact in float32
    _, D, _ = scipy.linalg.ldl(gram - 10_000 * np.eye(1_000))
    assert np.sum(np.linalg.eigvalsh(D) > 0) == 6  # D has blocks of 1 and 2
    assert np.sum(spectrum(X, 50).sigma > 100) == 6


# --- three scalings of one solution ---


@pytest.mark.claim("fig1-rescalings")
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_same_scores_other_cosines(seed):
    X = small(seed).X.toarray()
    sigma, V = full_svd(X)
    lam, k = sigma[3] ** 2, 20
    fits, d = three_scalings(X, lam, k)
    scores = X @ (V[:, :k] * sigma[:k] ** 2 / (sigma[:k] ** 2 + lam)) @ V[:, :k].T
    least = np.sum(sigma**2) - np.sum(sigma[:k] ** 4 / (sigma[:k] ** 2 + lam))
    for fit in fits:
        np.testing.assert_allclose(X @ fit.A @ fit.B.T, scores, atol=1e-11 * abs(scores).max())
        np.testing.assert_allclose(eq1_by_hand(X, fit.A, fit.B, lam), least, rtol=1e-11)
    by_loops = [cosine_by_loops(V[:, :k] * d**power, V[:, :k] * d**power) for power in (0, 0.5, 1)]
    for fit, expected in zip(fits, by_loops, strict=True):
        np.testing.assert_allclose(item_item_cosine(fit), expected, atol=1e-9)
    assert abs(by_loops[0] - by_loops[2]).max() > 0.4
    assert overlap_at_k(by_loops[0], by_loops[2], 10) < 0.9


@pytest.mark.claim("fig1-rescalings")
def test_without_a_penalty_the_three_coincide():
    """The condition under which the claim is empty: all d equal."""
    fits, _ = three_scalings(small().X, 0.0, 20)
    for fit in fits[1:]:
        np.testing.assert_allclose(item_item_cosine(fit), item_item_cosine(fits[0]), atol=1e-12)


@pytest.mark.claim("fig1-rescalings")
@pytest.mark.parametrize("k", [2, 3, 20])
def test_no_rescaling_moves_a_cosine_beyond_its_limit(k):
    rng = np.random.default_rng(k)
    for _ in range(300):
        D = np.exp(rng.uniform(-3, 3, k))
        pair = rng.standard_normal((2, k))
        if rng.random() < 0.5:  # nearly parallel pairs as well
            pair[1] = pair[0] + 1e-3 * pair[1]
        before, after = (np.clip(cosine_by_loops(p, p)[0, 1], -1, 1) for p in (pair, pair * D))
        kappa = D.max() / D.min()
        assert abs(after - before) <= limit(kappa) + 1e-12
        half_angles = [
            np.arctan2(np.linalg.norm(u - v), np.linalg.norm(u + v))
            for p in (pair, pair * D)
            for u, v in [p / np.linalg.norm(p, axis=1, keepdims=True)]
        ]
        assert 1 / kappa - 1e-9 <= np.tan(half_angles[1]) / np.tan(half_angles[0]) <= kappa + 1e-9
    t = kappa**-0.5
    pair, D = np.zeros((2, k)), np.ones(k)
    pair[:, 0], pair[:, 1], D[1] = 1, (t, -t), kappa
    change = cosine_by_loops(pair, pair)[0, 1] - cosine_by_loops(pair * D, pair * D)[0, 1]
    np.testing.assert_allclose(change, limit(kappa), rtol=1e-12)


# --- the unique solution ---


@pytest.mark.claim("fig1-unique")
def test_l_bfgs_ends_at_the_same_cosines_from_every_start():
    X = small(seed=2, n_users=300, n_items=24, max_activity=8).X.toarray()
    X = X[:, X.any(axis=0)]
    sigma, _ = full_svd(X)
    lam, k = (sigma[3] + sigma[4]) / 2, 4
    closed = solve_factor_penalty(spectrum(X, k), lam)
    value = eq2_by_hand(X, closed.A, closed.B, lam)
    for seed in range(3):
        found = minimize_by_lbfgs(
            lambda f: factor_penalty_objective(X, f, lam),
            lambda f: factor_penalty_gradient(X, f, lam),
            closed.B.shape,
            np.random.default_rng(seed),
        )
        np.testing.assert_allclose(eq2_by_hand(X, found.A, found.B, lam), value, rtol=1e-9)
        np.testing.assert_allclose(cosine_similarity(found.B), item_item_cosine(closed), atol=1e-4)
    R = random_orthogonal(k, np.random.default_rng(9))
    turned, stretched = rotate(closed, R), rescale(closed, np.array([2.0, 1, 1, 0.5]))
    np.testing.assert_allclose(eq2_by_hand(X, turned.A, turned.B, lam), value, rtol=1e-12)
    assert eq2_by_hand(X, stretched.A, stretched.B, lam) > 1.001 * value


@pytest.mark.claim("fig1-unique")
@pytest.mark.parametrize("seed", [1, 2])
def test_far_from_the_truth_in_values_and_near_in_order(seed):
    data = simulate_interactions(8_000, 300, 4, rng=seed)
    s = spectrum(data.X, 30)
    cut = s.sigma[5]
    cosine = item_item_cosine(solve_factor_penalty(s, cut))
    same = data.item_cluster[:, None] == data.item_cluster
    assert cosine[~same].mean() > 0.25 and cosine[~same].min() > 0  # values: no pair is orthogonal
    sharpest = three_scalings(data.X, cut**2, 30)[0][2]
    rms = [np.sqrt(np.mean((c - same) ** 2)) for c in (cosine, item_item_cosine(sharpest))]
    assert rms[0] > rms[1]
    assert cluster_auc(cosine, data.item_cluster) > 0.95  # order: nearly all pairs of one cluster come first
    assert cosine_similarity(solve_factor_penalty(s, cut).B[:, 1:])[~same].mean() < 0.05  # direction 1 makes the values


@pytest.mark.claim("fig1-unique")
def test_with_one_direction_left_all_cosines_are_one():
    X = small().X
    s = spectrum(X, 5)
    cosine = item_item_cosine(solve_factor_penalty(s, s.sigma[1]))
    np.testing.assert_allclose(cosine, 1, atol=1e-12)
    assert all_tied(cosine)
    np.testing.assert_array_equal(item_item_cosine(solve_factor_penalty(s, s.sigma[0])), 0)


# --- other readings ---

OTHER_READINGS = [
    {"cluster_probabilities": [0.6, 0.3, 0.1]},
    {"popularity_law": "random"},
    {"popularity_law": "random", "popularity_exponents": (1.25, 2.5)},
    {"popularity_exponents": (0.25, 0.25)},
    {"popularity_exponents": (1.5, 1.5)},
    {"preference_law": "uniform"},
    {"preference_concentration": 0.1},
    {"preference_concentration": 10.0},
    {"max_activity": 150},
    {"max_activity": 20},
    {"min_activity": 5, "max_activity": 30},
    {"activity_exponent": 0.0},
    {"activity_exponent": 1.5},
]


@pytest.mark.claim("fig1-robust")
@pytest.mark.parametrize("reading", OTHER_READINGS, ids=str)
@pytest.mark.parametrize("seed", [4, 5])
def test_the_cosines_move_in_every_reading(reading, seed):
    X = small(seed, **reading).X.toarray()
    sigma, V = full_svd(X)
    lam, k = sigma[4] ** 2, 20
    fits, d = three_scalings(X, lam, k)
    product = (V[:, :k] * sigma[:k] ** 2 / (sigma[:k] ** 2 + lam)) @ V[:, :k].T
    for fit in fits:
        np.testing.assert_allclose(fit.A @ fit.B.T, product, atol=1e-10 * abs(product).max())
    change = abs(cosine_similarity(V[:, :k]) - cosine_similarity(V[:, :k] * d)).max()
    assert 0.2 < change <= limit(d[0] / d[-1])


@pytest.mark.claim("fig1-robust")
def test_what_does_not_survive():
    """How far Equation 2 is from the truth depends on the law of the preferences."""
    between = {}
    for alpha in (0.1, 1.0, 10.0):
        data = simulate_interactions(4_000, 200, 4, preference_concentration=alpha, rng=6)
        s = spectrum(data.X, 10)
        between[alpha] = mean_cosine(item_item_cosine(solve_factor_penalty(s, s.sigma[5])), data.item_cluster)[1]
    assert between[0.1] < 0.2 < 0.3 < between[1.0] < 0.6 < 0.7 < between[10.0]


def test_the_oracle_of_the_draws():
    """inclusion_probabilities itself, on a case done by hand."""
    np.testing.assert_allclose(inclusion_probabilities([4.0, 2.0, 1.0], 2), np.array([94, 75, 41]) / 105)

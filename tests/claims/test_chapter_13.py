"""Claims of chapter 13, attacked on random and on degenerate instances, without the code of the notebook."""

import numpy as np
import pytest
import scipy.linalg
import scipy.optimize

import cossim_helpers as ch

SEEDS = range(10)


def cosines(M):
    unit = M / np.linalg.norm(M, axis=1, keepdims=True)
    return unit @ unit.T


def defect(P, Q):
    """By the definition, entry by entry."""
    M, Y = P.T @ P, Q.T @ Q
    M, Y = M / np.sqrt((M**2).sum()), Y / np.sqrt((Y**2).sum())
    return np.sqrt(((M - Y) ** 2).sum() / 2)


def minimum(X, k, lam, rng, weights=None):
    """min ½‖X − PQᵀ‖² + ½λ(Σ w_u ‖z_u‖² + ‖Q‖²) by L-BFGS, which balances nothing by itself."""
    weights = np.ones(len(X)) if weights is None else weights
    n, p = X.shape

    def objective(flat):
        P, Q = flat[: n * k].reshape(n, k), flat[n * k :].reshape(p, k)
        residual = P @ Q.T - X
        pull = lam * weights[:, None] * P
        gradient = np.concatenate([(residual @ Q + pull).ravel(), (residual.T @ P + lam * Q).ravel()])
        return ((residual**2).sum() + (pull * P).sum() + lam * (Q**2).sum()) / 2, gradient

    options = {"maxiter": 5_000, "maxfun": 20_000, "ftol": 0, "gtol": 1e-9}
    first = 0.5 * rng.normal(size=(n + p) * k)
    flat = scipy.optimize.minimize(objective, first, jac=True, method="L-BFGS-B", options=options).x
    return flat[: n * k].reshape(n, k), flat[n * k :].reshape(p, k)


@pytest.mark.claim("audit-hand")
def test_the_hand_example():
    X = np.array([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    V = np.array([[1.0, 1.0], [1.0, -1.0]]) / np.sqrt(2)
    W = np.linalg.inv(X.T @ X + np.eye(2)) @ X.T @ X  # Equation 1 at full rank is ridge regression
    for r in (0.2, 1.0, 1.5, 2.25, np.sqrt(27 / 4), 6.75, 40.0):
        B = V * np.sqrt([r, 1.0])
        A = W @ np.linalg.inv(B).T
        np.testing.assert_allclose(cosines(B)[0, 1], (r - 1) / (r + 1), atol=1e-12)
        found = ch.balance_defect(X @ A, B)
        np.testing.assert_allclose(found, defect(X @ A, B), atol=1e-7)
        assert (found < 1e-7) == (abs(r**2 - 27 / 4) < 1e-9)


@pytest.mark.claim("audit-alone")
def test_any_items_are_pinned_and_a_copy():
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        Q, G = rng.normal(size=(7, 2)), rng.normal(size=(2, 2))
        for items in (Q, Q @ G.T):
            projector = items @ np.linalg.pinv(items)
            X = items @ items.T + 0.5 * projector
            P, found = minimum(X, 2, 0.5, rng)
            np.testing.assert_allclose(cosines(found), cosines(items), atol=1e-5)
            assert defect(P, found) < 1e-5
        np.testing.assert_allclose((Q @ G.T @ G) @ Q.T, (Q @ G.T) @ (Q @ G.T).T, atol=1e-10)
        assert abs(cosines(Q) - cosines(Q @ G.T)).max() > 0.05


@pytest.mark.claim("audit-balance")
def test_what_moves_the_defect_and_what_does_not():
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        k = 1 + seed % 5
        P, Q = rng.normal(size=(9, k)), rng.normal(size=(6, k)) * np.geomspace(1, 50, k)
        value = ch.balance_defect(P, Q)
        M, Y = P.T @ P, Q.T @ Q
        size = np.sqrt((M**2).sum() * (Y**2).sum())
        np.testing.assert_allclose(1 - value**2, ((P @ Q.T) ** 2).sum() / size, atol=1e-10)
        np.testing.assert_allclose(value, defect(P, Q), atol=1e-10)
        R = scipy.linalg.expm(np.subtract(*(S := rng.normal(size=(k, k)), S.T)))
        np.testing.assert_allclose(ch.balance_defect(0.01 * P @ R, -30 * Q @ R), value, atol=1e-10)
        # one Γ only: Riccati's equation ΓMΓ = Y, solved in another way than by roots
        values, vectors = scipy.linalg.eig(np.block([[np.zeros((k, k)), -M], [-Y, np.zeros((k, k))]]))
        stable = vectors[:, values.real < 0]
        Gamma = (stable[k:] @ np.linalg.inv(stable[:k])).real
        np.testing.assert_allclose(Gamma @ M @ Gamma, Y, atol=1e-8 * abs(Y).max())
        G = np.linalg.cholesky(Gamma)
        best = P @ G, Q @ np.linalg.inv(G).T
        assert ch.balance_defect(*best) < 1e-6
        if k > 1:
            bent = np.diag(np.linspace(1, 1.2, k))
            assert ch.balance_defect(best[0] @ bent, best[1] @ np.linalg.inv(bent)) > 1e-3


@pytest.mark.claim("audit-balance")
def test_in_one_dimension_and_for_orthogonal_sides():
    assert ch.balance_defect([[1.0], [2.0]], [[5.0]]) < 1e-12
    np.testing.assert_allclose(ch.balance_defect([[1.0, 0.0]], [[0.0, 3.0]]), 1.0)


@pytest.mark.claim("audit-calibration")
def test_a_converged_penalty_is_below_and_all_else_above():
    for seed in SEEDS:
        X = ch.simulate_interactions(200, 40, rng=seed).X.toarray().astype(float)
        rng = np.random.default_rng(seed)
        assert ch.balance_defect(*minimum(X, 4, 2.0, rng)) < 0.02  # L-BFGS, which the chapter does not use
        pairs = ch.spectrum(X, 4)
        five = ch.solve_product_penalty(pairs, 50.0)
        root = np.sqrt(ch.shrinkage(pairs.sigma, 50.0))
        for one in (five, ch.rescale(five, root), ch.rescale(five, 1 / root)):
            assert ch.balance_defect(X @ one.A, one.B) > 0.1


@pytest.mark.claim("audit-misled")
def test_a_small_defect_without_a_penalty():
    X = ch.simulate_interactions(200, 40, rng=1).X.toarray().astype(float)
    top = np.linalg.norm(X, 2)
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        P, Q = (1e-3 * rng.normal(size=(m, 3)) for m in X.shape)
        for _ in range(600):
            residual = P @ Q.T - X
            P, Q = P - residual @ Q / (4 * top), Q - residual.T @ P / (4 * top)
        assert (residual**2).sum() < 0.9 * (X**2).sum()
        assert ch.balance_defect(P, Q) < 0.02
        flat = (rng.normal(size=(m, 2)) for m in (60_000, 60_000))
        assert ch.balance_defect(*flat) < 0.02


@pytest.mark.claim("audit-misled")
def test_pinned_vectors_above():
    X = ch.simulate_interactions(200, 40, rng=1).X.toarray().astype(float)
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        weights = np.exp(rng.normal(size=200))  # a penalty on each user in another strength
        P, Q = minimum(X, 3, 1.0, rng, weights=weights)
        weighted = ch.balance_defect(np.sqrt(weights)[:, None] * P, Q)
        assert weighted < 1e-3
        assert ch.balance_defect(P, Q) > 5 * weighted


@pytest.mark.claim("audit-null")
def test_noise_of_another_shape_agrees_with_its_null():
    gaps = []
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        noise = rng.normal(size=(800, 12)) @ rng.normal(size=(12, 12)) * 0.3 + rng.normal(size=12)
        found = ch.audit_embeddings(noise, n_queries=60, n_draws=4, rng=seed)
        view = {one.name: one for one in found.stability}["a G: D in a random basis"]
        gaps.append(view.overlap - view.null)
    assert abs(np.mean(gaps)) < 0.05


@pytest.mark.claim("audit-nightly")
def test_coordinates_and_the_model_are_told_apart():
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        E = rng.normal(size=(300, 6))
        G = rng.normal(size=(6, 6)) + np.eye(6)
        copy = ch.compare_embeddings(E, E @ G)
        assert copy.lost > 0.1 and copy.lost_to_the_model < 0.01
        changed = E.copy()
        changed[:60] = rng.normal(size=(60, 6))
        news = ch.compare_embeddings(E, changed @ G)
        assert 0.2 < news.lost_to_the_model < news.lost + 1e-12
        faint = ch.compare_embeddings(E, (E + 0.05 * rng.normal(size=E.shape)) @ G)
        assert copy.lost_to_the_model < faint.lost_to_the_model < news.lost_to_the_model


@pytest.mark.claim("audit-repair")
def test_copies_are_repaired_alike():
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        P, Q = rng.normal(size=(50, 5)), rng.normal(size=(30, 5))
        G = rng.normal(size=(5, 5))
        both = [ch.predicted_item_vectors(*pair) for pair in ((P, Q), (P @ G, Q @ np.linalg.inv(G).T))]
        np.testing.assert_allclose(both[0], both[1], atol=1e-9)
        np.testing.assert_allclose(cosines(both[0]), cosines((P @ Q.T).T), atol=1e-10)
        plain = Q @ scipy.linalg.sqrtm(P.T @ P).real
        np.testing.assert_allclose(both[0] @ both[0].T, plain @ plain.T, atol=1e-9)


@pytest.mark.claim("audit-repair")
def test_equal_singular_values_leave_a_rotation_and_no_cosine():
    P, Q = np.eye(4, 3), np.linalg.qr(np.random.default_rng(0).normal(size=(6, 3)))[0]
    G = np.random.default_rng(1).normal(size=(3, 3))
    both = [ch.predicted_item_vectors(*pair) for pair in ((P, Q), (P @ G, Q @ np.linalg.inv(G).T))]
    np.testing.assert_allclose(cosines(both[0]), cosines(both[1]), atol=1e-9)
    assert abs(both[0] - both[1]).max() > 1e-3

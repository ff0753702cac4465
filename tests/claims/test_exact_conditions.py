"""The exact conditions behind sentences of the book, each attacked where it holds and where it fails."""

import numpy as np
import pytest
import scipy.integrate
import scipy.linalg
import scipy.optimize
import scipy.special
from instances import with_singular_values
from oracles import minimize_by_lbfgs, random_orthogonal

from cossim_helpers import (
    Factors,
    cosine_similarity,
    factor_penalty_objective,
    item_item_cosine,
    product_penalty_gradient,
    product_penalty_objective,
    reparameterize,
    shrinkage,
    solve_factor_penalty,
    solve_product_penalty,
    spectrum,
    spectrum_from_gram,
    user_user_cosine,
)


@pytest.fixture
def rng():
    return np.random.default_rng(17)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


# --- Chapter 02 and 04: ties, and how many numbers are free ---


@pytest.mark.claim("gl-invariance")
def test_with_a_tie_two_minimizers_have_different_scores():
    X, axes, d = np.diag([3.0, 2.0, 2.0]), np.eye(3), np.array([0.9, 0.8])
    pairs = [Factors(axes[:, kept] * d, axes[:, kept]) for kept in ([0, 1], [0, 2])]
    smallest = 17 - 9 * 0.9 - 4 * 0.8
    assert np.allclose([product_penalty_objective(X, pair, 1.0) for pair in pairs], smallest, rtol=1e-12)
    assert np.abs(X @ pairs[0].A @ pairs[0].B.T - X @ pairs[1].A @ pairs[1].B.T).max() > 1.5


def cosine_directions(V, M):
    """The rank of the derivative of the normalized V M Vᵀ, in the symmetric matrix M."""
    K, k = V @ M @ V.T, len(M)
    inverse = np.diag(K) ** -0.5
    cosine, rows = inverse[:, None] * K * inverse, []
    for a, b in zip(*np.triu_indices(k), strict=True):
        E = np.zeros((k, k))
        E[a, b] = E[b, a] = 1.0
        step = inverse[:, None] * (V @ E @ V.T) * inverse
        slope = step - cosine * (np.diag(step)[:, None] + np.diag(step)) / 2
        rows.append(slope[np.triu_indices(len(V), 1)])
    singular = np.linalg.svd(rows, compute_uv=False)
    return np.count_nonzero(singular > 1e-9 * singular[0])


@pytest.mark.claim("reachable-set")
@pytest.mark.parametrize(("p", "k"), [(6, 2), (6, 3), (6, 5), (6, 6), (4, 4), (9, 4), (3, 3), (2, 2)])
def test_at_most_as_many_cosines_are_free_as_a_common_factor_and_the_number_of_pairs_leave(p, k, rng):
    V, root = random_orthogonal(p, rng)[:, :k], rng.standard_normal((k, k))
    free = cosine_directions(V, root @ root.T)
    assert free <= min(k * (k + 1) // 2 - 1, p * (p - 1) // 2)
    if k == p:
        assert free == p * (p - 1) // 2 < k * (k + 1) // 2 - 1 + (p == 1)


@pytest.mark.claim("three-cosines")
def test_a_diagonal_may_have_fewer_numbers_that_count_than_k_minus_1(rng):
    lonely = solve_product_penalty(spectrum(np.eye(4)), 1.0)
    moved = [Factors(lonely.A * d, lonely.B / d) for d in 10 ** rng.uniform(-2, 2, (20, 4))]
    assert all(np.allclose(item_item_cosine(pair), np.eye(4), atol=1e-12) for pair in moved)


# --- Chapter 03: stationary points and surplus dimensions ---


@pytest.mark.claim("eq1-stationary-points")
@pytest.mark.parametrize("sigma", [[3.0, 2.0, 1.5, 1.0], [3.0, 2.0, 2.0, 0.0]])
def test_a_search_for_zero_gradients_finds_chosen_directions_only(sigma, rng):
    X, lam, k, p = with_singular_values(sigma, 9, rng), 0.8, 2, 4
    gram, d = X.T @ X, shrinkage(np.array(sigma), lam)
    found = 0
    for _ in range(20):
        end = scipy.optimize.least_squares(
            lambda z: np.ravel(product_penalty_gradient(X, Factors(*z.reshape(2, p, k)), lam)),
            rng.standard_normal(2 * p * k),
            method="lm",
            xtol=1e-15,
            ftol=1e-15,
            gtol=1e-15,
        )
        if np.linalg.norm(end.fun) > 1e-9:
            continue
        found += 1
        A, B = end.x.reshape(2, p, k)
        W = A @ B.T
        assert np.allclose(W, W.T, atol=1e-5) and np.allclose(W @ gram, gram @ W, atol=1e-4)
        values = np.linalg.eigvalsh(W)
        assert all(min(abs(value - np.append(d, 0))) < 1e-5 for value in values)
        assert np.count_nonzero(abs(values) > 1e-4) <= k
        taken = np.sum(W * (gram @ np.linalg.pinv(W, rcond=1e-4) @ W))  # Σ σ_i² d_i over the chosen ones
        assert np.isclose(product_penalty_objective(X, Factors(A, B), lam), np.sum(X**2) - taken, atol=1e-5)
    assert found >= 5


@pytest.mark.claim("eq1-stationary-points")
@pytest.mark.parametrize("chosen", [(0, 2), (1, 2), (2, 3), (1,), ()])
def test_a_curve_leads_down_from_each_stationary_point_that_is_no_minimizer(chosen, rng):
    X, lam, k = with_singular_values([3.0, 2.0, 1.5, 1.0], 9, rng), 0.8, 2
    top = spectrum(X)
    d, missing = shrinkage(top.sigma, lam), [j for j in range(2) if j not in chosen]
    B = np.zeros((4, k))
    B[:, : len(chosen)] = top.V[:, list(chosen)]
    here = Factors(B * np.append(d[list(chosen)], np.zeros(k - len(chosen))), B)
    assert np.allclose(product_penalty_gradient(X, here, lam), 0, atol=1e-11)
    value = product_penalty_objective(X, here, lam)
    if len(chosen) == k:  # turn a chosen direction toward a better one
        i, j, t = max(chosen), missing[0], 0.05
        turned = B.copy()
        turned[:, chosen.index(i)] = np.cos(t) * top.V[:, i] + np.sin(t) * top.V[:, j]
        there = Factors(np.linalg.solve(X.T @ X + lam * np.eye(4), X.T @ X @ turned), turned)
    else:  # use an empty dimension
        e, t = np.eye(k)[-1], 0.05
        step = t * np.outer(top.V[:, missing[0]], e)
        there = Factors(here.A + step, here.B + step)
    assert product_penalty_objective(X, there, lam) < value - 1e-4


def surplus_basis(A, B, r):
    """G, by the proof: AG = [A_r, 0, 0, J_A] and BG⁻ᵀ = [B_r, J_B, 0, 0], and the sizes of the four blocks."""
    kernel, rows = scipy.linalg.null_space(A, rcond=1e-9), scipy.linalg.orth(B.T, rcond=1e-9)
    a, b, k = A.shape[1] - kernel.shape[1], rows.shape[1], A.shape[1]
    left, cosine, _ = np.linalg.svd(kernel.T @ rows)
    both = kernel @ left[:, : np.count_nonzero(cosine > 1 - 1e-9)]  # the directions that the two spaces share

    def complete(start, space, size):
        """`size` vectors of `space` that are independent of `start`."""
        off = space - start @ np.linalg.pinv(start) @ space
        return np.linalg.svd(off)[0][:, :size] if size else np.zeros((k, 0))

    first = complete(both, rows, r)
    zeros = complete(both, kernel, k + r - a - b)
    last = complete(np.hstack([first, both, zeros]), np.eye(k), a - r)
    return np.hstack([first, both, zeros, last]), (r, b - r, k + r - a - b, a - r)


@pytest.mark.claim("surplus-dimensions")
@pytest.mark.parametrize(
    ("r", "in_a", "in_b", "idle"), [(2, 1, 1, 0), (2, 0, 3, 0), (1, 2, 0, 1), (0, 1, 2, 1), (3, 0, 0, 2)]
)
def test_each_surplus_dimension_is_zero_on_one_side(r, in_a, in_b, idle, rng):
    p, k = 9, r + in_a + in_b + idle
    normal = rng.standard_normal
    A = np.hstack([normal((p, r)), np.zeros((p, in_b + idle)), normal((p, in_a))]) @ (mix := normal((k, k)))
    B = np.hstack([normal((p, r + in_b)), np.zeros((p, idle + in_a))]) @ np.linalg.inv(mix).T
    product = A @ B.T
    assert np.linalg.matrix_rank(product, tol=1e-9) == r
    assert np.linalg.matrix_rank(A) + np.linalg.matrix_rank(B) == r + k - idle
    G, sizes = surplus_basis(A, B, r)
    assert sizes == (r, in_b, idle, in_a)
    turned = reparameterize(Factors(A, B), G)
    assert np.allclose(turned.A[:, r : k - in_a], 0, atol=1e-9)
    assert np.allclose(turned.B[:, r + in_b :], 0, atol=1e-9)
    assert np.allclose(turned.A[:, :r] @ turned.B[:, :r].T, product)
    if idle == 0:  # the kernels are orthogonal
        assert np.allclose(scipy.linalg.null_space(A).T @ scipy.linalg.null_space(B), 0, atol=1e-9)


@pytest.mark.claim("surplus-dimensions")
def test_an_optimizer_leaves_junk_in_every_surplus_dimension(rng):
    X, k = rng.standard_normal((3, 6)), 5
    for _ in range(5):
        end = minimize_by_lbfgs(
            lambda f: product_penalty_objective(X, f, 1.0), lambda f: product_penalty_gradient(X, f, 1.0), (6, k), rng
        )
        kernels = [scipy.linalg.null_space(one, rcond=1e-3) for one in (end.A, end.B)]
        assert sum(kernel.shape[1] for kernel in kernels) == k - 3
        assert np.allclose(kernels[0].T @ kernels[1], 0, atol=1e-3)


# --- Chapter 04: users and items together, and when one D makes all items alike ---


@pytest.mark.claim("users-bound-to-items")
@pytest.mark.parametrize("k", [1, 3, 5])
def test_the_items_determine_the_users(k, rng):
    X, lam = rng.standard_normal((20, 5)), 2.0
    top = spectrum(X)
    U, S = X @ top.V[:, :k] / top.sigma[:k], np.diag(top.sigma[:k] * shrinkage(top.sigma[:k], lam))
    for _ in range(3):
        end = minimize_by_lbfgs(
            lambda f: product_penalty_objective(X, f, lam), lambda f: product_penalty_gradient(X, f, lam), (5, k), rng
        )
        M = top.V[:, :k].T @ end.B @ end.B.T @ top.V[:, :k]
        by_items = U @ S @ np.linalg.inv(M) @ S @ U.T
        assert np.allclose((X @ end.A) @ (X @ end.A).T, by_items, rtol=1e-3, atol=1e-3 * np.abs(by_items).max())


@pytest.mark.claim("users-bound-to-items")
@pytest.mark.parametrize("k", [1, 3, 5])
def test_every_positive_definite_matrix_is_that_of_the_users_of_some_minimizer(k, rng):
    X, lam = rng.standard_normal((20, 5)), 2.0
    top, best = spectrum(X), solve_product_penalty(spectrum(X), lam, k)
    d, root = shrinkage(top.sigma[:k], lam), rng.standard_normal((k, k))
    U, S, N = X @ top.V[:, :k] / top.sigma[:k], np.diag(top.sigma[:k] * d), root @ root.T
    B = top.V[:, :k] @ scipy.linalg.sqrtm(S @ np.linalg.inv(N) @ S).real
    pair = Factors(top.V[:, :k] * d @ top.V[:, :k].T @ np.linalg.pinv(B).T, B)
    assert np.isclose(product_penalty_objective(X, pair, lam), product_penalty_objective(X, best, lam), rtol=1e-10)
    K = U @ N @ U.T
    assert np.allclose(user_user_cosine(X, pair), K / np.sqrt(np.outer(np.diag(K), np.diag(K))), atol=1e-8)


@pytest.mark.claim("all-cosines-near-one")
@pytest.mark.parametrize("lam", [0.0, 1.0])
def test_the_first_column_has_one_sign_without_a_penalty_too(lam, rng):
    X = rng.integers(0, 2, (30, 5)).astype(float)
    X[0] = 1.0
    first = solve_product_penalty(spectrum(X), lam, 3).B[:, 0]
    assert abs(np.sign(first).sum()) == 5
    empty = solve_product_penalty(spectrum_from_gram(np.zeros((1, 1))), lam)
    assert empty.B[0, 0] == 0  # X = 0, one item: connected, and no such column


@pytest.mark.claim("reachable-set")
def test_a_penalty_on_the_gram_matrix_of_the_columns_picks_V(rng):
    X, lam, k, p = with_singular_values([4.0, 3.0, 2.0, 1.0, 0.5], 12, rng), 1.0, 2, 5
    V = spectrum(X).V[:, :k]

    def value_and_slope(z):
        A, B = z.reshape(2, p, k)
        off = B.T @ B - np.eye(k)
        dA, dB = product_penalty_gradient(X, Factors(A, B), lam)
        return product_penalty_objective(X, Factors(A, B), lam) + np.sum(off**2), np.ravel([dA, dB + 4 * B @ off])

    for _ in range(3):
        end = scipy.optimize.minimize(
            value_and_slope,
            rng.standard_normal(2 * p * k),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": 20_000, "maxfun": 40_000, "ftol": 0.0, "gtol": 1e-10},
        )
        B = end.x.reshape(2, p, k)[1]
        assert np.allclose(B @ B.T, V @ V.T, atol=1e-5)


# --- Chapter 05: no penalty ---


def with_cosine(X, k, target):
    """A minimizer of Eq. 2 at λ = 0 with some pair of items at this cosine, and the pair; by the proof."""
    pair = solve_factor_penalty(spectrum_from_gram(X.T @ X), 0.0, k)
    C = np.array([[1.0, target], [target, 1.0]])
    if np.linalg.matrix_rank(pair.B, tol=1e-6) >= 2:
        i, j = max(
            ((i, j) for i in range(len(pair.B)) for j in range(i)), key=lambda ij: np.linalg.svd(pair.B[list(ij)])[1][1]
        )
        rows = pair.B[[i, j]]
        H = np.hstack([np.linalg.pinv(rows) @ np.linalg.cholesky(C), scipy.linalg.null_space(rows)])
        return Factors(pair.A @ np.linalg.inv(H).T, pair.B @ H), (i, j)
    B, (i, j) = pair.B.copy(), np.argsort(-abs(pair.B[:, 0]))[:2]
    first = np.array([B[i, 0], B[j, 0]])
    if not first.any():  # X = 0
        B[i, 1], B[j, :2] = 1.0, [np.sqrt(1 - target**2), target]
        return Factors(0 * pair.A, B), (i, j)
    if first[1] == 0:  # the second item has no users
        B[i, 1], B[j, 1] = abs(first[0]) * target / np.sqrt(1 - target**2), 1.0
        return Factors(pair.A, B), (i, j)
    # rows (x, s) and (y, t) have this cosine for suitable s and t
    angle = np.arccos(target * np.sign(first.prod()))
    t = abs(first) * np.tan(angle / 2)
    B[i, 1], B[j, 1] = t[0], -np.sign(first.prod()) * t[1]
    return Factors(pair.A, B), (i, j)


@pytest.mark.claim("uniqueness-conditions")
@pytest.mark.parametrize("target", [-0.9, 0.0, 0.9])
@pytest.mark.parametrize(
    "X",
    [
        np.ones((2, 2)),
        np.outer([1.0, 2.0, 0.5], [1.0, -1.0, 3.0]),
        np.zeros((2, 3)),
        np.diag([3.0, 2.0, 2.0]),
        np.arange(12.0).reshape(3, 4),
        np.eye(2),
        np.array([[1.0, 0.0]]),
    ],
    ids=lambda X: f"{X.shape}",
)
def test_without_penalty_cosines_move_for_every_x_from_two_dimensions_on(X, target):
    sigma = np.linalg.svd(X, compute_uv=False)
    for k in range(2, X.shape[1] + 1):
        pair, (i, j) = with_cosine(X, k, target)
        assert np.isclose(factor_penalty_objective(X, pair, 0.0), np.sum(sigma[k:] ** 2), atol=1e-9)
        assert np.isclose(item_item_cosine(pair)[i, j], target, atol=1e-6)


@pytest.mark.claim("uniqueness-conditions")
def test_without_penalty_one_dimension_moves_exactly_with_a_tie(rng):
    X = with_singular_values([3.0, 2.0, 1.0], 8, rng)
    expected = np.outer(*[np.sign(spectrum(X).V[:, 0])] * 2)
    for _ in range(5):  # exact alternating least squares, λ = 0
        b = rng.standard_normal((3, 1))
        for _ in range(400):
            a = X @ b / np.sum(b**2)
            b = X.T @ a / np.sum(a**2)
        assert np.allclose(cosine_similarity(b), expected)
    tied, ways = np.eye(2), [np.array([[1.0], [1.0]]), np.array([[1.0], [-1.0]])]
    values = [factor_penalty_objective(tied, Factors(b / 2, b), 0.0) for b in ways]
    assert np.allclose(values, 1.0) and cosine_similarity(ways[0])[0, 1] == -cosine_similarity(ways[1])[0, 1]


# --- Chapter 07: trained cosines ---


def free_directions(users, items, scale, softmax):
    """Changes of users, items and scale, to first order, that keep all scores (up to a number for each user)."""
    shapes = users.shape, items.shape

    def scores(z):
        P, Q = z[: users.size].reshape(shapes[0]), z[users.size : -1].reshape(shapes[1])
        Y = np.exp(z[-1]) * unit(P) @ unit(Q).T
        return (Y - Y.mean(axis=1, keepdims=True) if softmax else Y).ravel()

    z = np.concatenate([users.ravel(), items.ravel(), [np.log(scale)]])
    jacobian = np.array([(scores(z + h) - scores(z - h)) / 2e-5 for h in 1e-5 * np.eye(z.size)])
    singular = np.linalg.svd(jacobian, compute_uv=False)
    return z.size - np.count_nonzero(singular > 1e-7 * singular[0])


@pytest.mark.claim("remedy-train-cosine")
def test_a_softmax_determines_the_cosines_unless_the_items_lie_on_a_cone(rng):
    n, p, k = 14, 9, 3
    users, items = unit(rng.standard_normal((n, k))), unit(rng.standard_normal((p, k)))
    lengths, rotations = n + p, k * (k - 1) // 2
    assert free_directions(users, items, 5.0, softmax=False) == lengths + rotations
    assert free_directions(users, items, 5.0, softmax=True) == lengths + rotations
    around = unit(rng.standard_normal((p, k - 1)))
    cone = np.column_stack([np.full(p, 0.3), np.sqrt(1 - 0.3**2) * around])
    assert free_directions(users, cone, 5.0, softmax=False) == lengths + rotations
    # The height of the cone is free, and by how much the users lean toward its axis: their first coordinate is unseen.
    assert free_directions(users, cone, 5.0, softmax=True) == lengths + rotations + 2


@pytest.mark.claim("remedy-train-cosine")
def test_items_on_a_cone_keep_all_probabilities_of_a_softmax_at_other_cosines(rng):
    users, around = unit(rng.standard_normal((200, 4))), unit(rng.standard_normal((30, 3)))
    pairs, means, first = ~np.eye(30, dtype=bool), [], None
    for height in (0.1, 0.5, 0.9):
        items = np.column_stack([np.full(30, height), np.sqrt(1 - height**2) * around])
        scale = 20 * np.sqrt((1 - 0.1**2) / (1 - height**2))
        probabilities = scipy.special.softmax(scale * users @ items.T, axis=1)
        first = probabilities if first is None else first
        assert np.allclose(np.linalg.norm(items, axis=1), 1) and np.allclose(probabilities, first, rtol=0, atol=1e-13)
        means.append((items @ items.T)[pairs].mean())
    assert means[0] < 0.1 and means[-1] > 0.7


@pytest.mark.claim("remedy-train-cosine")
def test_a_row_of_length_c_learns_at_the_rate_over_c_squared(rng):
    users, items, target = unit(rng.standard_normal((7, 3))), rng.standard_normal((5, 3)), rng.standard_normal((7, 5))

    def gradient(rows):
        length = np.linalg.norm(rows, axis=1, keepdims=True)
        slope = -2 * (target - users @ (rows / length).T).T @ users  # with respect to the unit rows
        return (slope - np.sum(slope * rows, axis=1, keepdims=True) * rows / length**2) / length

    c, rate = 0.4, 0.05
    short, long = c * items - rate * gradient(c * items), items - rate / c**2 * gradient(items)
    assert np.allclose(cosine_similarity(short), cosine_similarity(long))
    assert np.abs(cosine_similarity(short) - cosine_similarity(items - rate * gradient(items))).max() > 0.01


# --- Chapters 08 to 10: conditions that a sentence forgot ---


@pytest.mark.claim("spectral-family")
def test_a_cut_at_a_tie_of_zeros_moves_V_and_no_other_filter():
    X, first = np.array([[1.0, 1.0, 0.0]]), np.array([1.0, 1.0, 0.0]) / np.sqrt(2)
    bases = [np.column_stack([first, v]) for v in ([0.0, 0.0, 1.0], np.array([1.0, -1.0, 0.0]) / np.sqrt(2))]
    assert np.allclose([X @ V[:, 1] for V in bases], 0)
    assert np.allclose([cosine_similarity(V)[0, 1] for V in bases], [1, 0])
    for f in (np.array([2 / 3, 0]), np.array([2.0, 0])):  # d and σ²
        assert np.allclose((bases[0] * f) @ bases[0].T, (bases[1] * f) @ bases[1].T)


@pytest.mark.claim("population-activity-centering")
def test_centering_under_activity_that_depends_on_taste(rng):
    C, taste = 3, rng.dirichlet(np.ones(3), 400_000)
    table = (1 - (taste**2).sum(axis=1, keepdims=True)) ** 4 * taste
    activity = table.sum(axis=1)
    kappa, rho = np.mean(activity**2) / np.mean(activity) ** 2, cosine_similarity(table.T)[0, 1]
    centered = np.corrcoef(table.T)[0, 1]
    assert np.isclose(centered, (kappa * C * rho - (1 + 2 * rho)) / (kappa * C - (1 + 2 * rho)), atol=0.01)
    assert abs(centered - (kappa * C - (C + 1)) / (2 * kappa * C - (C + 1))) > 0.3  # as if it were independent


@pytest.mark.claim("population-uniform")
@pytest.mark.parametrize(("broad", "expected"), [(False, True), (True, False)])
def test_three_quarters_needs_activity_that_is_independent_of_taste(broad, expected, rng):
    taste = rng.random((400_000, 2))
    activity = taste.min(axis=1) ** 2 if broad else rng.pareto(6, len(taste)) + 1
    cosine = cosine_similarity((activity[:, None] * taste).T)[0, 1]
    assert (abs(cosine - 0.75) < 0.01) == expected


@pytest.mark.claim("saddle-stall")
@pytest.mark.parametrize("lam", [0.0, 0.5])
def test_the_flow_stalls_without_a_penalty_too(lam, rng):
    X, p = with_singular_values([2.0, 1.5, 1.0], 8, rng), 3
    sigma = np.array([2.0, 1.5, 1.0])
    lowest = np.sum(X**2) - np.sum(sigma**2 * shrinkage(sigma, lam))
    A, flip = rng.standard_normal((p, p)), random_orthogonal(p, rng)
    flip *= -np.sign(np.linalg.det(flip))
    flow = scipy.integrate.solve_ivp(
        lambda t, z: -np.ravel(product_penalty_gradient(X, Factors(*z.reshape(2, p, p)), lam)),
        (0, 3),
        np.ravel([A, flip @ A]),
        method="DOP853",
        rtol=1e-12,
        atol=1e-13,
        t_eval=[0.3, 1.0, 3.0],
    )
    excess = np.array([product_penalty_objective(X, Factors(*z.reshape(2, p, p)), lam) for z in flow.y.T]) - lowest
    bound = sigma[-1] ** 2 * shrinkage(sigma, lam)[-1]
    assert (excess >= bound - 1e-9).all() and excess[-1] < bound + 0.2


@pytest.mark.claim("softmax-shift")
def test_with_tied_weights_a_softmax_sees_the_shift(rng):
    X, B, v = rng.integers(0, 2, (12, 6)).astype(float), rng.standard_normal((6, 3)), np.array([2.0, -1.0, 1.0])
    untied = [scipy.special.softmax(X @ B @ items.T, axis=1) for items in (B, B + v)]
    tied = [scipy.special.softmax(X @ items @ items.T, axis=1) for items in (B, B + v)]
    assert np.allclose(*untied) and np.abs(tied[0] - tied[1]).max() > 0.1

"""Chapter 11: spare dimensions, the smallest scale, one encoder, the universal answer, and the other rows of the table.

No code of the chapter, nor of `cossim_helpers.losses`: derivatives are written out here, entry by entry.
"""

import itertools

import numpy as np
import pytest
import scipy.linalg
import scipy.optimize
from scipy.special import log_softmax

SEEDS = range(10)


def unit_rows(rng, m, k):
    E = rng.standard_normal((m, k))
    return E / np.linalg.norm(E, axis=1, keepdims=True)


def off_diagonal(M):
    return M[~np.eye(len(M), dtype=bool)]


def cosines(E):
    length = np.linalg.norm(E, axis=1)
    return E @ E.T / np.outer(length, length)


def kernel(equations):
    """How many independent directions the equations leave."""
    size = np.linalg.svd(np.asarray(equations), compute_uv=False)
    rank = np.count_nonzero(size > 1e-9 * size[0])
    if rank < len(size):  # a clear gap, or the count says nothing
        assert size[rank] < 1e-12 * size[0] < 1e-5 * size[rank - 1]
    return np.asarray(equations).shape[1] - rank


def score_rows(P, Q):
    """d⟨z_u, z_i⟩ for each user and item, as rows over all coordinates of P, then all of Q."""
    (n, k), p = P.shape, len(Q)
    rows = np.zeros((n, p, (n + p) * k))
    for u, i in itertools.product(range(n), range(p)):
        rows[u, i, u * k : (u + 1) * k] = Q[i]
        rows[u, i, (n + i) * k : (n + i + 1) * k] = P[u]
    return rows


def length_rows(P, Q):
    E = np.vstack([P, Q])
    m, k = E.shape
    rows = np.zeros((m, m * k))
    for row, z in enumerate(E):
        rows[row, row * k : (row + 1) * k] = z
    return rows


def turns(k):
    return k * (k - 1) // 2


def solve(off, start):
    return scipy.optimize.least_squares(off, start, xtol=1e-15, ftol=1e-15, gtol=1e-15, max_nfev=400)


def unit_search(residual, sizes, k, rng):
    """Unit vectors of two sides with a small residual(P, Q), from a random start."""

    def both(x):
        E = x.reshape(-1, k)
        E = E / np.linalg.norm(E, axis=1, keepdims=True)
        return E[: sizes[0]], E[sizes[0] :]

    found = solve(lambda x: residual(*both(x)), rng.standard_normal(sum(sizes) * k))
    return *both(found.x), np.sqrt(2 * found.cost)


# --- spare dimensions ---


@pytest.mark.claim("loss-spare")
@pytest.mark.parametrize("seed", SEEDS)
def test_what_a_solver_finds_in_spare_dimensions_has_the_form_of_the_theorem(seed):
    rng = np.random.default_rng(seed)
    Z = unit_rows(rng, 5, 2) @ unit_rows(rng, 4, 2).T
    P, Q, rest = unit_search(lambda P, Q: (1.5 * P @ Q.T - Z).ravel(), (5, 4), 5, rng)
    assert rest < 1e-9
    left = scipy.linalg.orth(P.T, rcond=1e-6)  # the users' space
    assert np.linalg.matrix_rank(Q @ left, tol=1e-6) == 2  # items enter it in r dimensions only
    right = scipy.linalg.orth(Q.T, rcond=1e-6)
    assert np.linalg.matrix_rank(P @ right, tol=1e-6) == 2
    for y in Z:
        assert np.linalg.eigvalsh(Q @ Q.T - np.outer(y, y) / 1.5**2)[0] > -1e-9


@pytest.mark.claim("loss-spare")
@pytest.mark.parametrize(("s", "c", "possible"), [(2, -0.45, True), (2, 0.85, True), (2, -0.55, False), (2, 0.9, False),
                                                  (1.3, 0.3, True), (1.3, 0.1, False), (1.1, 0.5, False)])  # fmt: skip
def test_the_wedge_of_the_hand_example_by_a_solver(s, c, possible):
    rng = np.random.default_rng(1)
    Z = np.array([[1.0, 1], [1, 0], [0, 1]])

    def residual(P, Q):
        return np.append((s * P @ Q.T - Z).ravel(), Q[0] @ Q[1] - c)

    rest = min(unit_search(residual, (3, 2), 4, rng)[2] for _ in range(8))
    assert (rest < 1e-9) == possible
    assert possible or rest > 1e-3


@pytest.mark.claim("loss-spare")
@pytest.mark.parametrize("seed", SEEDS)
def test_cosines_that_dominate_every_user_can_be_had_and_others_cannot(seed):
    rng = np.random.default_rng(seed)
    Z, items = unit_rows(rng, 6, 3) @ unit_rows(rng, 5, 3).T, unit_rows(rng, 5, 5)
    wanted = items @ items.T
    needed = np.sqrt(max(y @ np.linalg.solve(wanted, y) for y in Z))
    for s, possible in ((1.001 * needed, True), (0.999 * needed, False)):
        users = np.linalg.lstsq(items, Z.T / s, rcond=None)[0].T
        assert (np.linalg.norm(users, axis=1).max() <= 1) == possible  # the shortest vectors with these scores
        lowest = min(np.linalg.eigvalsh(wanted - np.outer(y, y) / s**2)[0] for y in Z)
        assert (lowest >= 0) == possible


@pytest.mark.claim("loss-spare")
@pytest.mark.parametrize("seed", SEEDS)
def test_signs_in_one_spare_dimension_make_twins_strangers(seed):
    rng = np.random.default_rng(seed)
    P, Q = unit_rows(rng, 9, 3), unit_rows(rng, 6, 3)
    Q[1] = Q[0]  # the same scores for every user
    ratio, signs = rng.uniform(0.2, 0.9), np.array([1, -1, 1, 1, -1, 1])
    moved = np.column_stack([ratio * Q, np.sqrt(1 - ratio**2) * signs])
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), 1)
    scores = np.column_stack([P, np.zeros(9)]) @ moved.T / ratio
    np.testing.assert_allclose(scores, P @ Q.T, atol=1e-12)
    assert moved[0] @ moved[1] == pytest.approx(2 * ratio**2 - 1)


@pytest.mark.claim("loss-spare")
@pytest.mark.parametrize(("a", "b"), [(1, 1), (2, 1), (1, 2), (1, 0), (0, 1), (2, 0), (0, 0)])
@pytest.mark.parametrize("r", [2, 3])
def test_the_count_in_spare_dimensions(r, a, b):
    rng = np.random.default_rng(10 * r + a + 3 * b)
    n, p, k = 12, 11, r + a + b

    def side(m, own):
        E = unit_rows(rng, m, r)
        if own:
            E = E * rng.uniform(0.4, 0.9, (m, 1))
        rest = np.sqrt(1 - (E**2).sum(axis=1, keepdims=True)) if own else np.zeros((m, 1))
        return E, rest * unit_rows(rng, m, own) if own else np.zeros((m, 0))

    (inner_P, spare_P), (inner_Q, spare_Q) = side(n, b), side(p, a)
    P = np.hstack([inner_P, np.zeros((n, a)), spare_P])
    Q = np.hstack([inner_Q, spare_Q, np.zeros((p, b))])
    scale = np.vstack([(P @ Q.T).reshape(-1, 1), np.zeros((n + p, 1))])  # s moves, lengths do not
    equations = np.vstack([score_rows(P, Q).reshape(n * p, -1), length_rows(P, Q)])
    found = kernel(np.hstack([equations, scale])) - turns(k)
    both = r * (r + 1) // 2 if a and b else 0
    expected = both + (a + b > 0) + (n * (b - 1) - turns(b) if b else 0) + (p * (a - 1) - turns(a) if a else 0)
    assert found == expected


# --- the smallest scale ---


def smallest_scale(Z):
    """By brute force, at rank 2: max |Gᵀ x| · max |G⁻¹ y|, smallest over Γ = GGᵀ of determinant 1."""
    left, size, right = np.linalg.svd(Z, full_matrices=False)
    X, Y = left[:, :2] * size[:2] ** 0.5, right[:2].T * size[:2] ** 0.5

    def cost(x):
        Gamma = scipy.linalg.expm(np.array([[x[0], x[1]], [x[1], -x[0]]]))
        users = np.einsum("ul,lm,um->u", X, Gamma, X).max()
        items = np.einsum("il,lm,im->i", Y, np.linalg.inv(Gamma), Y).max()
        return np.sqrt(users * items)

    tight = {"xatol": 1e-12, "fatol": 1e-14, "maxiter": 4000, "maxfev": 4000}
    starts = ([0, 0], [1, 0], [0, 1], [-1, 1])
    return min(scipy.optimize.minimize(cost, x, method="Nelder-Mead", options=tight).fun for x in starts)


def arcs_separate(users, items):
    """Whether a line through the disk separates the two sets of doubled angles, by trying all cuts of the circle."""
    angles = np.concatenate([2 * users, 2 * items]) % (2 * np.pi)
    side = (np.arange(len(angles)) < len(users))[np.argsort(angles)]
    return np.count_nonzero(side != np.roll(side, 1)) <= 2


@pytest.mark.claim("loss-smallest-scale")
def test_in_the_plane_the_scale_is_smallest_exactly_if_the_polygons_meet():
    rng, verdicts = np.random.default_rng(0), []
    for _ in range(40):
        m = rng.integers(2, 5, 2)
        users, items = rng.uniform(0, np.pi, m[0]), rng.uniform(0, np.pi, m[1])
        P, Q = (np.column_stack([np.cos(t), np.sin(t)]) for t in (users, items))
        found = smallest_scale(P @ Q.T)
        assert found < 1 + 1e-9
        verdicts.append(arcs_separate(users, items))
        assert (found < 1 - 1e-6) == verdicts[-1]
    assert 5 < sum(verdicts) < 35  # both happen


def frame(rng, m, sizes):
    """m unit vectors with mean zzᵀ = dMat(sizes), by plane rotations of rows until all lengths are 1."""
    E = scipy.linalg.qr(rng.standard_normal((m, len(sizes))), mode="economic")[0] * np.sqrt(m * np.array(sizes))
    for _ in range(m - 1):
        length = (E**2).sum(axis=1)
        low, high = np.argmin(length), np.argmax(length)
        a, b, c = length[low] - 1, E[low] @ E[high], length[high] - 1
        if c - a < 1e-13:
            break
        t = (-b + np.sqrt(b * b - a * c)) / c  # of the rotated row: a + 2 b t + c t² = 0
        cos, sin = 1 / np.hypot(1, t), t / np.hypot(1, t)
        E[[low, high]] = cos * E[low] + sin * E[high], -sin * E[low] + cos * E[high]
    np.testing.assert_allclose((E**2).sum(axis=1), 1, atol=1e-9)
    return E


@pytest.mark.claim("loss-smallest-scale")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("constants", ["none", "one", "rows"])
def test_vectors_with_a_common_matrix_are_unique_in_more_dimensions(seed, constants):
    rng = np.random.default_rng(seed)
    P, Q = frame(rng, 7, [0.6, 0.4]), frame(rng, 3, [0.6, 0.4])
    if constants != "none":
        Q = np.vstack([Q, -Q])  # mean 0, the same matrix
    center = {"none": lambda Y: Y, "one": lambda Y: Y - Y.mean(), "rows": lambda Y: Y - Y.mean(axis=1, keepdims=True)}
    seen = center[constants]

    def at(s, starts=1):
        def residual(new_P, new_Q):
            return seen(s * new_P @ new_Q.T - P @ Q.T).ravel()

        for _ in range(starts):
            found = unit_search(residual, (len(P), len(Q)), 4, rng)
            if found[2] < 1e-9:
                break
        return found

    new_P, new_Q, rest = at(1.0, starts=9)
    assert rest < 1e-9
    np.testing.assert_allclose(np.vstack([new_P, new_Q]) @ np.vstack([new_P, new_Q]).T,
                               np.vstack([P, Q]) @ np.vstack([P, Q]).T, atol=1e-4)  # fmt: skip
    assert at(0.95)[2] > 0.05 / np.sqrt(2 / (7 * len(Q))) - 1e-9  # the gap over the norm of the combination
    new_P, new_Q, rest = at(1.3, starts=9)
    assert rest < 1e-9
    assert max(abs(new_P @ new_P.T - P @ P.T).max(), abs(new_Q @ new_Q.T - Q @ Q.T).max()) > 0.05


@pytest.mark.claim("loss-smallest-scale")
def test_a_common_matrix_that_is_singular_leaves_others_free():
    e, found = np.eye(4), []
    users = np.array([e[0], (e[0] + e[1]) / np.sqrt(2)])
    for angle in (0.0, 1.0, 3.0):
        second = (e[0] + 0.3 * e[1] + e[2]) / np.sqrt(2.09)
        third = (e[0] - 0.4 * e[1] + np.cos(angle) * e[2] + np.sin(angle) * e[3]) / np.sqrt(2.16)
        items = np.array([e[0], second, third])
        np.testing.assert_allclose(np.linalg.norm(items, axis=1), 1)
        found.append((users @ items.T, items @ items.T))  # user 0 is item 0: the hulls meet
    for scores, _ in found[1:]:
        np.testing.assert_allclose(scores, found[0][0], atol=1e-15)
    assert abs(found[2][1] - found[0][1]).max() > 0.5


# --- one encoder ---


def on_a_cone(rng, m, k, height):
    axis = scipy.linalg.qr(rng.standard_normal((k, k)))[0]
    return np.column_stack([np.sqrt(1 - height**2) * unit_rows(rng, m, k - 1), np.full(m, height)]) @ axis.T


@pytest.mark.claim("loss-tied")
@pytest.mark.parametrize("seed", SEEDS)
def test_a_larger_scale_needs_a_spare_dimension_or_a_cone(seed):
    rng = np.random.default_rng(seed)
    general, cone = unit_rows(rng, 7, 3), on_a_cone(rng, 7, 3, 0.5)
    for Q, k, possible in ((general, 3, False), (general, 4, True), (cone, 3, True)):

        def residual(first, second, Q=Q):  # two blocks of one encoder's vectors
            E = np.vstack([first, second])
            off = off_diagonal(2.0 * E @ E.T - Q @ Q.T)
            return off - off.mean()

        for _ in range(20 if possible else 3):
            first, second, rest = unit_search(residual, (3, 4), k, rng)
            if rest < 1e-9:
                break
        assert (rest < 1e-9) == possible
        if possible:
            E = np.vstack([first, second])
            np.testing.assert_allclose(2 * (1 - E @ E.T), 1 - Q @ Q.T, atol=1e-6)


@pytest.mark.claim("loss-tied")
@pytest.mark.parametrize("height", [0.1, 0.5, 0.9])
def test_the_smallest_scale_on_a_cone(height):
    rng = np.random.default_rng(3)
    gram = on_a_cone(rng, 9, 4, height)
    gram = gram @ gram.T
    for ratio, possible in ((1 - height**2 + 1e-6, True), (1 - height**2 - 1e-3, False)):  # s′/s
        new = (gram - (1 - ratio)) / ratio
        np.testing.assert_allclose(np.diag(new), 1)
        assert (np.linalg.eigvalsh(new)[0] > -1e-10) == possible


@pytest.mark.claim("loss-tied")
@pytest.mark.parametrize("seed", SEEDS)
def test_a_softmax_over_others_in_both_directions_sees_one_constant(seed):
    rng = np.random.default_rng(seed)
    Q = unit_rows(rng, 8, 5)
    pushed = np.column_stack([np.sqrt(0.4) * Q, np.full(8, np.sqrt(0.6))])
    losses = []
    for E, s in ((Q, 4.0), (pushed, 10.0)):
        scores = s * E @ E.T
        np.fill_diagonal(scores, -np.inf)
        losses.append(np.concatenate([off_diagonal(log_softmax(scores, axis=axis)) for axis in (0, 1)]))
    np.testing.assert_allclose(losses[1], losses[0], atol=1e-12)
    np.testing.assert_allclose(10 * (1 - pushed @ pushed.T), 4 * (1 - Q @ Q.T), atol=1e-12)


@pytest.mark.claim("loss-cosent")
@pytest.mark.parametrize("k", [2, 3, 4])
def test_differences_of_cosines_with_one_vector_fewer(k):
    rng, others = np.random.default_rng(k), 0
    for _ in SEEDS:
        gram = unit_rows(rng, k + 1, k)
        gram = gram @ gram.T
        for ratio in scipy.linalg.eigvals(gram, np.eye(k + 1) - 1):  # det(gram + t(11ᵀ − I)) = 0
            t = ratio.real
            if np.isfinite(t) and abs(ratio.imag) < 1e-9 and abs(t) > 1e-6:
                size = np.linalg.eigvalsh(gram + t * (1 - np.eye(k + 1)))
                others += size[0] > -1e-9
    assert others >= 3  # vectors in the same dimension with equal differences, and other cosines
    simplex = cosines(np.eye(k + 1) - 1 / (k + 1))
    np.testing.assert_allclose(off_diagonal(simplex), -1 / k)


@pytest.mark.claim("loss-cosent")
@pytest.mark.parametrize("seed", SEEDS)
def test_differences_of_cosines_determine_them_from_two_more_vectors_on(seed):
    rng = np.random.default_rng(seed)
    k = 2 + seed % 3
    gram = unit_rows(rng, k + 2, k) if seed % 2 else on_a_cone(rng, k + 2, k, 0.6)
    gram = gram @ gram.T
    for t in np.concatenate([np.linspace(-1, 2, 301), [1e-4, -1e-4]]):
        if abs(t) < 1e-9:
            continue
        size = np.linalg.eigvalsh(gram + t * (1 - np.eye(k + 2)))
        fits = size[0] > -1e-9 and np.count_nonzero(abs(size) > 1e-7) <= k
        assert not fits


@pytest.mark.claim("loss-tied-dot")
@pytest.mark.parametrize("seed", SEEDS)
def test_a_constant_on_dot_products_is_free_in_a_hyperplane_only(seed):
    rng = np.random.default_rng(seed)
    k, p = 3, 8
    general = rng.standard_normal((p, k))
    flat = np.column_stack([rng.standard_normal((p, k - 1)), np.full(p, 0.7)])
    for E, hyperplane in ((general, False), (flat, True)):
        for t in (0.3, -0.3, -0.6):
            size = np.linalg.eigvalsh(E @ E.T + t)
            fits = size[0] > -1e-9 and np.count_nonzero(abs(size) > 1e-9) <= k
            assert fits == (hyperplane and t >= -(0.7**2))


# --- the universal answer ---


def cosines_in(E, M):
    """Cosines between the rows of E M^{1/2}, without the root."""
    kernel_of_rows = E @ M @ E.T
    length = np.sqrt(np.diag(kernel_of_rows))
    return kernel_of_rows / np.outer(length, length)


@pytest.mark.claim("loss-universal")
@pytest.mark.parametrize("seed", SEEDS)
def test_any_factors_of_scores_up_to_row_constants_give_one_answer(seed):
    rng = np.random.default_rng(seed)
    P, Q, rows = rng.standard_normal((9, 3)), rng.standard_normal((7, 3)), rng.standard_normal((9, 1))
    left, size, right = np.linalg.svd(P @ Q.T + rows, full_matrices=False)  # of rank 4: another dimension
    k = 4 + seed % 3
    power = rng.uniform(0, 1)
    new_P, new_Q = left[:, :k] * size[:k] ** power, right[:k].T * size[:k] ** (1 - power)
    answers = [cosines_in(B - B.mean(axis=0), A.T @ A) for A, B in ((P, Q), (new_P, new_Q))]
    np.testing.assert_allclose(answers[1], answers[0], atol=1e-7)
    centered = [[y - sum(row) / 7 for y in row] for row in P @ Q.T]
    np.testing.assert_allclose(answers[0], cosines(np.array(centered).T), atol=1e-9)
    assert abs(cosines(new_Q) - cosines(Q)).max() > 0.1


@pytest.mark.claim("loss-universal")
@pytest.mark.parametrize("seed", SEEDS)
def test_item_biases_need_centered_users(seed):
    rng = np.random.default_rng(seed)
    P, Q, bias = rng.standard_normal((9, 3)), rng.standard_normal((7, 3)), rng.standard_normal(7)
    users, weights = rng.uniform(0.2, 2, (9, 1)), rng.dirichlet(np.ones(7))
    answers, without = [], []
    for A, B in ((P, Q), (np.column_stack([P, np.ones(9)]), np.column_stack([Q, bias]))):
        mean = (users * A).sum(axis=0) / users.sum()
        answers.append(cosines_in(B - weights @ B, (A - mean).T @ (users * (A - mean))))
        without.append(cosines_in(B - weights @ B, A.T @ (users * A)))
    np.testing.assert_allclose(answers[1], answers[0], atol=1e-6)
    assert abs(without[1] - without[0]).max() > 0.01


# --- Matryoshka ---


@pytest.mark.claim("loss-matryoshka")
@pytest.mark.parametrize("blocks", [(1, 1, 1), (2, 1), (1, 2), (3,), (2, 2), (1, 1, 2), (1, 1, 1, 1)])
def test_the_count_of_what_prefixes_leave(blocks):
    rng, k = np.random.default_rng(len(blocks)), sum(blocks)
    P, Q = rng.standard_normal((9, k)), rng.standard_normal((8, k))
    exact, centered = [], []
    for end in np.cumsum(blocks):
        kept = np.arange(k) < end
        rows = score_rows(P * kept, Q * kept)
        rows[:, :, ~np.tile(kept, 17)] = 0
        exact.append(rows.reshape(72, -1))
        centered.append((rows - rows.mean(axis=1, keepdims=True)).reshape(72, -1))
    assert kernel(np.vstack(exact)) == sum(b**2 for b in blocks)
    assert kernel(np.vstack(centered)) == sum(b**2 + b for b in blocks)  # and a shift of each block


@pytest.mark.claim("loss-matryoshka")
@pytest.mark.parametrize("seed", SEEDS)
def test_normalized_prefixes_allow_rotations_within_blocks_only(seed):
    rng = np.random.default_rng(seed)
    E = rng.standard_normal((12, 5))
    within = scipy.linalg.block_diag(*(scipy.linalg.qr(rng.standard_normal((b, b)))[0] for b in (2, 3)))
    across = scipy.linalg.expm(0.1 * (lambda M: M - M.T)(rng.standard_normal((5, 5))))
    lengths = rng.uniform(0.5, 2, (12, 1))
    for end in (2, 5):
        np.testing.assert_allclose(cosines((lengths * E @ within)[:, :end]), cosines(E[:, :end]), atol=1e-12)
    assert abs(cosines((E @ across)[:, :2]) - cosines(E[:, :2])).max() > 1e-3
    np.testing.assert_array_equal(
        np.sign((E @ scipy.linalg.expm(1e-6 * (across - across.T)))[:, :1]), np.sign(E[:, :1])
    )


# --- triplets and distances ---


@pytest.mark.claim("loss-triplet")
@pytest.mark.parametrize("seed", SEEDS)
def test_satisfied_triplets_stay_satisfied_all_around(seed):
    rng = np.random.default_rng(seed)
    P, Q = unit_rows(rng, 5, 4), unit_rows(rng, 8, 4)
    cos = P @ Q.T
    triplets = [(u, i, j) for u in range(5) for i in range(8) for j in range(8) if cos[u, i] - cos[u, j] > 0.31]
    assert len(triplets) > 20
    for _ in range(20):
        new_P, new_Q = P + 0.02 * unit_rows(rng, 5, 4), Q + 0.02 * unit_rows(rng, 8, 4)
        new = (new_P / np.linalg.norm(new_P, axis=1)[:, None]) @ (new_Q / np.linalg.norm(new_Q, axis=1)[:, None]).T
        assert all(0.2 - new[u, i] + new[u, j] <= 0 for u, i, j in triplets)
        assert abs(cosines(new_Q) - cosines(Q)).max() > 0.002


@pytest.mark.claim("loss-triplet")
def test_the_margin_that_orders_items():
    rng, margin = np.random.default_rng(0), 8 / (3 * np.sqrt(3))
    near = unit_rows(rng, 400_000, 3) * 0.9 + np.eye(3)[0]
    near /= np.linalg.norm(near, axis=1, keepdims=True)
    i, m = near[:200_000], near[200_000:]
    far = -np.eye(3)[0] + 0.5 * unit_rows(rng, 200_000, 3)
    far /= np.linalg.norm(far, axis=1, keepdims=True)
    satisfied = np.minimum(i[:, 0], m[:, 0]) - far[:, 0] >= margin
    assert satisfied.sum() > 10_000
    assert ((i * m).sum(axis=1) >= (i * far).sum(axis=1) - 1e-12)[satisfied].all()
    theta = np.arccos(1 / np.sqrt(3))  # just below: a user at 0, items at ±θ, and one to reject beside the first
    rejected = np.arccos(np.cos(theta) - (margin - 1e-3))
    assert np.cos(theta) - np.cos(rejected) == pytest.approx(margin - 1e-3)
    assert np.cos(rejected - theta) > np.cos(2 * theta)


@pytest.mark.claim("loss-distance")
@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("shape", ["general", "fewer", "hyperboloid", "two hyperplanes"])
def test_differences_of_squared_distances_leave_as_many_directions_as_there_are_quadrics(k, shape):
    rng, enough = np.random.default_rng(k), (k + 1) * (k + 2) // 2
    P, Q = rng.standard_normal((k + 5, k)), rng.standard_normal((enough + 4, k))
    if shape == "fewer":
        Q = Q[: enough - 1]
    if shape == "hyperboloid":
        Q[:, 0] = np.sign(Q[:, 0]) * np.sqrt(1 + (Q[:, 1:] ** 2).sum(axis=1))
    if shape == "two hyperplanes":
        Q[:, 0] = np.where(np.arange(len(Q)) % 2, 1.0, -0.3)
    n, p = len(P), len(Q)
    rows = np.zeros((n, p, (n + p) * k))
    for u, i in itertools.product(range(n), range(p)):
        rows[u, i, u * k : (u + 1) * k] = 2 * (P[u] - Q[i])
        rows[u, i, (n + i) * k : (n + i + 1) * k] = 2 * (Q[i] - P[u])
    found = kernel((rows - rows.mean(axis=1, keepdims=True)).reshape(n * p, -1)) - k * (k + 1) // 2
    assert found == (0 if shape == "general" else 1)


# --- gains and the head ---


@pytest.mark.claim("loss-gain")
@pytest.mark.parametrize("k", [2, 3, 4])
def test_two_gains_leave_a_diagonal_and_one_leaves_nothing(k):
    rng = np.random.default_rng(k)
    n, p = k * (k + 1) // 2 + 2, k * (k + 1) // 2 + 3
    P, Q, gain = unit_rows(rng, n, k), unit_rows(rng, p, k), rng.uniform(0.5, 2, k)
    to_P, to_Q = np.tile(gain, n), np.tile(gain, p)
    rows = score_rows(P * gain, Q * gain).reshape(n * p, -1) * np.concatenate([to_P, to_Q])
    by_gain = np.einsum("ul,il->uil", P, Q * gain).reshape(n * p, k)
    lengths = np.hstack([length_rows(P, Q), np.zeros((n + p, 2 * k))])
    two = np.vstack([np.hstack([rows, by_gain, by_gain]), lengths])
    assert kernel(two) == k
    shared = np.vstack([np.hstack([rows, 2 * by_gain]), lengths[:, :-k]])
    assert kernel(shared) == 0


@pytest.mark.claim("loss-gain")
@pytest.mark.parametrize("seed", SEEDS)
def test_a_diagonal_moves_cosines_behind_the_gain(seed):
    rng = np.random.default_rng(seed)
    P, Q, (g, h, x) = unit_rows(rng, 9, 4), unit_rows(rng, 8, 4), rng.uniform(0.3, 3, (3, 4))
    np.testing.assert_allclose((P * g * x) @ (Q * h / x).T, (P * g) @ (Q * h).T, atol=1e-12)
    assert abs(cosines(Q * h / x) - cosines(Q * h)).max() > 0.05


@pytest.mark.claim("loss-lm-head")
@pytest.mark.parametrize("k", [2, 3, 4])
@pytest.mark.parametrize("layer", [False, True])
def test_what_a_head_leaves_free(k, layer):
    rng = np.random.default_rng(k)
    n, p = k * (k + 1) // 2 + 3, k + 6
    hidden = rng.standard_normal((n, k))
    hidden -= layer * hidden.mean(axis=1, keepdims=True)
    hidden *= np.sqrt(k) / np.linalg.norm(hidden, axis=1, keepdims=True)
    head, gain = rng.standard_normal((p, k)), rng.uniform(0.5, 2, k)
    rows = score_rows(hidden * gain, head)
    rows[:, :, : n * k] *= np.tile(gain, n)
    by_gain = np.einsum("ul,il->uil", hidden, head)
    seen = np.concatenate([rows, by_gain], axis=2)
    seen = (seen - seen.mean(axis=1, keepdims=True)).reshape(n * p, -1)
    lengths = length_rows(hidden, head)[:n]
    if layer:  # and each hidden state stays orthogonal to 1
        lengths = np.vstack([lengths, np.kron(np.eye(n), np.ones(k)) @ np.eye(n * k, (n + p) * k)])
    found = kernel(np.vstack([seen, np.hstack([lengths, np.zeros((len(lengths), k))])]))
    along_one = p - 1 if layer else 0
    assert found == 2 * k + along_one + turns(k - layer)  # gain, shift, component along 1, rotations


@pytest.mark.claim("loss-lm-head")
@pytest.mark.parametrize("seed", SEEDS)
def test_the_centered_head_with_its_gain_is_determined(seed):
    rng = np.random.default_rng(seed)
    hidden, head, (gain, x, shift) = unit_rows(rng, 15, 3), rng.standard_normal((9, 3)), rng.uniform(0.3, 3, (3, 3))
    turn = scipy.linalg.qr(rng.standard_normal((3, 3)))[0]
    other = ((head * gain) @ turn + 4 * shift) / x  # with the gain x and turned hidden states
    before, after = (log_softmax(z @ W.T, axis=1) for z, W in ((hidden * gain, head), (hidden @ turn * x, other)))
    np.testing.assert_allclose(after, before, atol=1e-12)
    kept = [cosines(W - W.mean(axis=0)) for W in (other * x, head * gain)]
    np.testing.assert_allclose(kept[0], kept[1], atol=1e-10)
    assert abs(cosines(other) - cosines(head)).max() > 0.3

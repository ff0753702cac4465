"""Chapter 11, what a loss sees and leaves free: its theorems on random and on degenerate instances.

Nothing here uses the notebook, and nothing assumes its change of coordinates. Losses are written out pair by pair;
Jacobians are complex steps of the log-probabilities by all entries of all vectors, normalized inside; other solutions
are sought among all unit vectors, not among the images of one matrix.
"""

import itertools

import numpy as np
import pytest
import scipy.optimize
import scipy.stats
from scipy.special import expit

import cossim_helpers

STEP = 1e-30


def units(rng, m, k):
    M = rng.standard_normal((m, k))
    return M / np.linalg.norm(M, axis=1, keepdims=True)


def on_cone(rng, m, k, angle):
    """Unit vectors at `angle` (radians) to the first axis."""
    return np.column_stack([np.full(m, np.cos(angle)), np.sin(angle) * units(rng, m, k - 1)])


def row_loss(Z, u, i):
    return np.log(sum(np.exp(Z[u, j] - Z[u, i]) for j in range(Z.shape[1])))


def column_loss(Z, u, i):
    return np.log(sum(np.exp(Z[v, i] - Z[u, i]) for v in range(Z.shape[0])))


def bpr_loss(Z, u, i):
    return sum(np.log(1 + np.exp(Z[u, j] - Z[u, i])) for j in range(Z.shape[1]) if j != i)


def both(Z, u, i):
    return row_loss(Z, u, i) + column_loss(Z, u, i)


def drawn_loss(Z, u, i):
    """Sampled softmax with two different negatives and a logQ correction, expected over an uneven draw."""
    p = Z.shape[1]
    total = 0
    for j, m in itertools.combinations([j for j in range(p) if j != i], 2):
        corrected = [Z[u, i] - np.log(0.1 + i)] + [Z[u, a] - np.log(0.1 + a) for a in (j, m)]
        total = total + (1 + j) * (1 + m) * (np.log(sum(np.exp(corrected))) - corrected[0])
    return total


def table_of(loss, Z):
    return np.array([[loss(Z, u, i) for i in range(Z.shape[1])] for u in range(Z.shape[0])])


def nullity(function, x):
    """Dimension of the null space of the derivative of `function` at x, by complex steps."""
    columns = []
    for place in np.ndindex(x.shape):
        step = x.astype(complex)
        step[place] += 1j * STEP
        columns.append(np.ravel(function(step)).imag / STEP)
    values = np.linalg.svd(np.array(columns), compute_uv=False)
    return x.size - int((values > 1e-9 * values[0]).sum())


TABLES = ["random", "large", "zero", "one row", "ties"]


def a_table(name, rng, n=3, p=4):
    Z = rng.standard_normal((n, p))
    return {"random": Z, "large": 6 * Z, "zero": 0 * Z, "one row": np.tile(Z[:1], (n, 1)), "ties": Z.round()}[name]


# --- what a loss sees ---


@pytest.mark.claim("loss-seen")
@pytest.mark.parametrize("loss", [row_loss, bpr_loss, drawn_loss, both])
@pytest.mark.parametrize("name", TABLES)
def test_no_direction_is_unseen_but_the_constants(loss, name):
    for seed in range(3):
        Z = a_table(name, np.random.default_rng(seed))
        assert nullity(lambda z: table_of(loss, z), Z) == (1 if loss is both else len(Z))


@pytest.mark.claim("loss-seen")
@pytest.mark.parametrize("loss", [row_loss, bpr_loss, drawn_loss, both])
def test_the_pair_that_rose_most_costs_less(loss):
    """Far from any linearization: the step on which the proof stands, and its case of equality."""
    rng = np.random.default_rng(5)
    for _ in range(60):
        Z, Delta = rng.standard_normal((3, 4)), rng.integers(-3, 4, (3, 4)) * 1.0
        u, i = np.unravel_index(np.argmax(Delta), Delta.shape)
        rivals = np.append(Delta[u], Delta[:, i] if loss is both else [])
        change = loss(Z + Delta, u, i) - loss(Z, u, i)
        assert change < -1e-4 if (rivals < Delta[u, i]).any() else abs(change) < 1e-12


@pytest.mark.claim("loss-seen")
def test_each_loss_is_blind_to_its_constants_and_to_no_more():
    rng = np.random.default_rng(6)
    Z = rng.standard_normal((3, 4))
    by_user, by_item, one = rng.standard_normal((3, 1)), rng.standard_normal(4), 1.7
    for loss in (row_loss, bpr_loss, drawn_loss, both):
        before = table_of(loss, Z)
        np.testing.assert_allclose(table_of(loss, Z + one), before, atol=1e-12)
        assert abs(table_of(loss, Z + by_item) - before).max() > 0.05
        moved = abs(table_of(loss, Z + by_user) - before).max()
        assert moved > 0.05 if loss is both else moved < 1e-12


@pytest.mark.claim("loss-seen")
@pytest.mark.parametrize("seed", range(5))
def test_the_sum_of_both_directions_is_enough_from_afar(seed):
    rng = np.random.default_rng(seed)
    Z = 2 * rng.standard_normal((3, 4))
    goal = table_of(both, Z)
    found = scipy.optimize.least_squares(
        lambda z: (table_of(both, z.reshape(3, 4)) - goal).ravel(), 4 * rng.standard_normal(12), xtol=1e-15, gtol=1e-15
    )
    assert abs(found.fun).max() < 1e-9
    assert np.ptp(found.x.reshape(3, 4) - Z) < 1e-6


@pytest.mark.claim("loss-seen")
def test_a_tied_table_has_one_constant_only():
    rng = np.random.default_rng(8)
    Gram = rng.standard_normal((4, 4))
    Gram = Gram + Gram.T
    places = np.triu_indices(4)

    def losses(z):
        Z = np.zeros((4, 4), dtype=z.dtype)
        Z[places] = z
        return table_of(row_loss, Z + np.triu(Z, 1).T)

    assert nullity(losses, Gram[places]) == 1


# --- negatives from the batch ---


def batch_total(Z, users, items, two_sided):
    total = 0
    for u, i in zip(users, items):
        total = total + np.log(sum(np.exp(Z[u, j] - Z[u, i]) for j in items))
        if two_sided:
            total = total + np.log(sum(np.exp(Z[v, i] - Z[u, i]) for v in users))
    return total


def batch_totals(Z, m, two_sided=False, repeats=False):
    n, p = Z.shape
    draw = itertools.product if repeats else itertools.permutations
    users_of = draw(range(n), repeat=m) if repeats else draw(range(n), m)
    items_of = list(itertools.product(range(p), repeat=m)) if repeats else list(itertools.permutations(range(p), m))
    return np.array([batch_total(Z, users, items, two_sided) for users in users_of for items in items_of])


@pytest.mark.claim("loss-in-batch")
@pytest.mark.parametrize("m", [2, 3])
@pytest.mark.parametrize("two_sided", [False, True])
def test_batches_see_all_but_the_constants(m, two_sided):
    for seed in range(3):
        Z = np.random.default_rng(seed).standard_normal((4, 4))
        assert nullity(lambda z: batch_totals(z, m, two_sided), Z) == (1 if two_sided else 4)
    assert nullity(lambda z: batch_totals(z, 2, True, repeats=True), Z[:3, :3]) == 1


@pytest.mark.claim("loss-in-batch")
def test_equal_users_may_turn_around_in_batches_of_two_only():
    rng = np.random.default_rng(2)
    Z = np.tile(rng.standard_normal(4), (4, 1))
    np.testing.assert_allclose(batch_totals(-Z, 2), batch_totals(Z, 2), atol=1e-12)
    assert abs(batch_totals(-Z, 3) - batch_totals(Z, 3)).max() > 0.01
    Z[0] += rng.standard_normal(4)
    assert abs(batch_totals(-Z, 2) - batch_totals(Z, 2)).max() > 0.1


@pytest.mark.claim("loss-in-batch")
def test_batches_determine_the_scores_from_afar():
    for seed in range(5):
        rng = np.random.default_rng(seed)
        Z, start = rng.standard_normal((3, 3)), 2 * rng.standard_normal((3, 3))
        goal = batch_totals(Z, 2)
        fit = scipy.optimize.least_squares(
            lambda z, goal: batch_totals(z.reshape(3, 3), 2) - goal, start.ravel(), args=(goal,), xtol=1e-15
        )
        if abs(fit.fun).max() < 1e-8:  # else a local minimum
            assert np.ptp(fit.x.reshape(3, 3) - Z, axis=1).max() < 1e-5


# --- decay ---


def root(M):
    values, vectors = np.linalg.eigh(M)
    return vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T


def loss_gradient(name, Z, X):
    """Gradient by the scores of three losses, written out."""
    if name == "squared":
        return 2 * (Z - X)
    if name == "logistic":
        return expit(Z) - X
    rows = np.exp(Z - Z.max(axis=1, keepdims=True))
    rows = rows / rows.sum(axis=1, keepdims=True) * X.sum(axis=1, keepdims=True) - X
    if name == "softmax":
        return rows
    columns = np.exp(Z - Z.max(axis=0))
    return rows + columns / columns.sum(axis=0) * X.sum(axis=0) - X


def stationary(name, X, k, strengths, rng, steps=30_000, eta=0.02):
    """Where plain gradient descent ends."""
    P, Q = rng.standard_normal((len(X), k)), rng.standard_normal((X.shape[1], k))
    for _ in range(steps):
        M = loss_gradient(name, P @ Q.T, X)
        step_P, step_Q = M @ Q + 2 * strengths[0] * P, M.T @ P + 2 * strengths[1] * Q
        P, Q = P - eta * step_P, Q - eta * step_Q
        if max(abs(step_P).max(), abs(step_Q).max()) < 1e-11:
            break
    assert max(abs(step_P).max(), abs(step_Q).max()) < 1e-9
    return P, Q


@pytest.mark.claim("loss-decay")
@pytest.mark.parametrize("name", ["squared", "logistic", "softmax", "symmetric"])
@pytest.mark.parametrize("strengths", [(0.3, 0.3), (0.1, 0.6)])
def test_at_stationary_points_the_scores_determine_both_sides(name, strengths):
    X = (np.random.default_rng(0).random((7, 5)) < 0.5) * 1.0
    for seed in range(2):
        P, Q = stationary(name, X, 2, strengths, np.random.default_rng(seed))
        Z, ratio = P @ Q.T, np.sqrt(strengths[0] / strengths[1])
        np.testing.assert_allclose(Q @ Q.T, ratio * root(Z.T @ Z), atol=1e-6)
        np.testing.assert_allclose(P @ P.T, root(Z @ Z.T) / ratio, atol=1e-6)
        if name == "softmax":
            np.testing.assert_allclose(Q.sum(axis=0), 0, atol=1e-7)
        G = np.diag([2.0, 0.7])  # the same scores, no balance: no stationary point
        assert abs((Q @ G) @ (Q @ G).T - ratio * root(Z.T @ Z)).max() > 0.01


@pytest.mark.claim("loss-decay")
@pytest.mark.parametrize("name", ["softmax", "symmetric"])
def test_what_the_loss_does_not_see_the_decay_determines(name):
    """At full rank all starts reach one prediction (it is convex in the scores), so one table of scores."""
    X = (np.random.default_rng(1).random((5, 4)) < 0.5) * 1.0
    X[0] = 1.0
    ends = [stationary(name, X, 4, (0.15, 0.15), np.random.default_rng(seed)) for seed in range(3)]
    for P, Q in ends[1:]:
        np.testing.assert_allclose(P @ Q.T, ends[0][0] @ ends[0][1].T, atol=1e-6)
        np.testing.assert_allclose(Q @ Q.T, ends[0][1] @ ends[0][1].T, atol=1e-6)
    assert abs(ends[0][1]).max() > 0.1  # not the empty model


# --- unit vectors: the count by Jacobians ---


def normalized(M):
    return M / np.sqrt((M * M).sum(axis=-1, keepdims=True))


def seen(x, n, p, k, sees, learned, scale=1.3):
    """What a loss sees of the vectors in x and, if learned, of the logarithm of the scale."""
    P, Q = normalized(x[: n * k].reshape(n, k)), normalized(x[n * k : (n + p) * k].reshape(p, k))
    Z = (np.exp(x[-1]) if learned else scale) * P @ Q.T
    if sees == "all":
        return Z
    centered = [Z - Z.real.max(axis=axis, keepdims=True) for axis in (1, 0)]  # against overflow
    chances = [C - np.log(np.exp(C).sum(axis=axis, keepdims=True)) for C, axis in zip(centered, (1, 0))]
    return chances[0] if sees == "row" else np.array(chances)


def freedom(P, Q, sees, learned):
    (n, k), p = P.shape, len(Q)
    x = np.concatenate([P.ravel(), Q.ravel(), [np.log(1.3)] * learned])
    lengths_and_rotations = n + p + k * (k - 1) // 2
    return nullity(lambda z: seen(z, n, p, k, sees, learned), x) - lengths_and_rotations


@pytest.mark.claim("loss-two-sided")
@pytest.mark.parametrize("k", [2, 3, 4])
@pytest.mark.parametrize("sees", ["all", "constant"])
def test_two_sided_count(k, sees):
    size, least = k * (k + 1) // 2, k + (sees == "constant")
    rng = np.random.default_rng(k)
    for n, p, learned in itertools.product(range(least, size + 2), range(least, size + 2), (0, 1)):
        if n + p <= size + 4:
            free = freedom(units(rng, n, k), units(rng, p, k), sees, learned)
            assert free == max(size + learned - n - p, 0), (n, p, learned)


@pytest.mark.claim("loss-two-sided")
@pytest.mark.parametrize("k", [3, 4])
def test_k_vectors_lie_on_a_cone_so_a_constant_takes_one_vector_more(k):
    rng = np.random.default_rng(k)
    size = k * (k + 1) // 2
    for p, learned in itertools.product(range(k + 1, size), (0, 1)):
        P, Q = units(rng, k, k), units(rng, p, k)
        assert freedom(P, Q, "constant", learned) == max(size + 1 + learned - k - p, 0)
        assert freedom(Q, P, "constant", learned) == max(size + 1 + learned - k - p, 0)


@pytest.mark.claim("loss-one-sided")
@pytest.mark.parametrize("k", [2, 3])
def test_one_sided_count(k):
    size = k * (k + 1) // 2
    rng = np.random.default_rng(k)
    for n, p, learned in itertools.product(range(k, size + 3), range(k + 1, size + k + 2), (0, 1)):
        free = freedom(units(rng, n, k), units(rng, p, k), "row", learned)
        assert free == max(size + k + learned - min(n, size) - p, 0), (n, p, learned)


SLUGS = {"all": "cosine-mse", "constant": "clip", "row": "infonce-one-sided"}


@pytest.mark.claim("loss-two-cones")
@pytest.mark.parametrize("sees", SLUGS)
@pytest.mark.parametrize("shape", ["few", "many", "one axis", "two axes", "items on a cone", "two rings"])
def test_the_package_counts_the_same(sees, shape):
    for seed, learned in itertools.product(range(2), (0, 1)):
        rng = np.random.default_rng(seed)
        P, Q = units(rng, 4, 3), units(rng, 4, 3)
        if shape != "few":
            P, Q = units(rng, 9, 3), units(rng, 10, 3)
        if "axis" in shape or "axes" in shape:
            P = on_cone(rng, 9, 3, 1.0)
        if "ring" in shape:
            P = np.vstack([on_cone(rng, 6, 3, 1.0), on_cone(rng, 6, 3, 1.8)])
        if shape not in ("few", "many"):
            Q = on_cone(rng, 10, 3, 1.3)
        if shape == "two axes":
            Q = Q @ np.linalg.qr(rng.standard_normal((3, 3)))[0]
        counted = cossim_helpers.freedom(P, Q, SLUGS[sees], scale=1.3, scale_is_learned=bool(learned))
        assert counted.directions == freedom(P, Q, sees, learned)


# --- unit vectors: all solutions, sought among all unit vectors ---


def solutions(P, Q, sees, learned, rng, starts):
    """Unit vectors (and a scale) that a loss cannot tell from P, Q, from random starts."""
    (n, k), p = P.shape, len(Q)
    goal = seen(np.concatenate([P.ravel(), Q.ravel(), [np.log(1.3)]]), n, p, k, sees, 1)
    for _ in range(starts):
        start = np.concatenate([units(rng, n + p, k).ravel(), [np.log(1.3) + 0.5 * rng.standard_normal()] * learned])
        fit = scipy.optimize.least_squares(
            lambda x: (seen(x, n, p, k, sees, learned) - goal).ravel(),
            start,
            method="trf",
            xtol=1e-15,
            ftol=1e-15,
            gtol=1e-14,
            max_nfev=150,
        )
        if abs(fit.fun).max() < 1e-10:
            vectors = normalized(fit.x[: (n + p) * k].reshape(n + p, k))
            yield vectors[:n], vectors[n:], np.exp(fit.x[-1]) if learned else 1.3


def off(items, Q):
    return abs(items @ items.T - Q @ Q.T).max()


def assert_the_search_finds_nothing_else(n, p, k, sees, learned, starts, tolerance):
    reached = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        P, Q = units(rng, n, k), units(rng, p, k)
        for users, items, scale in solutions(P, Q, sees, learned, rng, starts):
            reached += 1
            assert max(off(items, Q), off(users, P), abs(scale - 1.3)) < tolerance
    assert reached >= 5  # the search does find solutions


def assert_the_search_finds_another(n, p, k, sees):
    for seed in range(10):
        rng = np.random.default_rng(seed)
        P, Q = units(rng, n, k), units(rng, p, k)
        assert any(off(items, Q) > 1e-3 for _, items, _ in solutions(P, Q, sees, 0, rng, 80))


@pytest.mark.claim("loss-two-sided")
@pytest.mark.parametrize(("n", "p", "learned"), [(3, 4, 0), (4, 3, 0), (4, 4, 1)])
def test_two_sided_threshold_is_enough(n, p, learned):
    assert_the_search_finds_nothing_else(n, p, 3, "all", learned, 4, 1e-5)


@pytest.mark.claim("loss-two-sided")
def test_one_vector_fewer_is_always_too_few():
    assert_the_search_finds_another(3, 3, 3, "all")


@pytest.mark.claim("loss-one-sided")
@pytest.mark.parametrize(("n", "p", "learned"), [(3, 3, 0), (3, 4, 1)])
def test_one_sided_threshold_is_enough(n, p, learned):
    assert_the_search_finds_nothing_else(n, p, 2, "row", learned, 5, 1e-4)


@pytest.mark.claim("loss-one-sided")
def test_one_vector_fewer_is_always_too_few_one_sided():
    assert_the_search_finds_another(2, 3, 2, "row")  # five unknowns, five vectors


# --- cones ---


@pytest.mark.claim("loss-two-cones")
@pytest.mark.parametrize("k", [3, 4])
def test_cones_slide_on_one_axis_only(k):
    for seed in range(5):
        rng = np.random.default_rng(seed)
        size = k * (k - 1) // 2 + k
        P, Q = on_cone(rng, size, k, 1.0), on_cone(rng, size + 1, k, 1.3)
        assert [freedom(P, Q, "all", learned) for learned in (0, 1)] == [0, 1]
        assert [freedom(P, Q, "constant", learned) for learned in (0, 1)] == [1, 2]
        R = np.linalg.qr(rng.standard_normal((k, k)))[0]
        for sees, learned in itertools.product(("all", "constant"), (0, 1)):
            assert freedom(P, Q @ R, sees, learned) == 0


@pytest.mark.claim("loss-two-cones")
@pytest.mark.parametrize("k", [3, 4, 6])
def test_double_cones_exchange_their_angles_and_lose_the_order(k):
    for seed in range(10):
        rng = np.random.default_rng(seed)
        sides, heights = [], rng.uniform([0.1, 0.7], [0.3, 0.9])
        for height in (heights, heights[::-1]):
            draw = np.random.default_rng([seed, k])
            around = units(draw, 40, k - 1), units(draw, 40, k - 1)
            up = draw.choice([-1.0, 1.0], (2, 40, 1))
            sides.append(
                [np.hstack([h * u, np.sqrt(1 - h**2) * w]) for h, u, w in zip(height, up, around, strict=True)]
            )
        (P, Q), (new_P, new_Q) = sides
        np.testing.assert_allclose(new_P @ new_Q.T, P @ Q.T, atol=1e-12)
        for M in (P, Q):  # in no hyperplane, and of full rank
            assert np.linalg.matrix_rank(np.column_stack([M, np.ones(40)])) == k + 1
        pairs = np.triu_indices(40, 1)
        assert scipy.stats.spearmanr((Q @ Q.T)[pairs], (new_Q @ new_Q.T)[pairs])[0] < 0.9


@pytest.mark.claim("loss-cone")
@pytest.mark.parametrize("k", [3, 4, 6])
def test_users_on_an_ellipsoid_let_items_leave_their_cone(k):
    for seed in range(10):
        rng = np.random.default_rng(seed)
        theta, s = rng.uniform(0.5, 1.4), rng.uniform(2, 6)
        G = np.diag(rng.uniform(1.1, 2.0, k - 1)) @ np.linalg.qr(rng.standard_normal((k - 1, k - 1)))[0]
        w_u = units(rng, 40, k - 1) @ np.linalg.inv(G)
        P = np.column_stack([np.sqrt(1 - (w_u**2).sum(axis=1)), w_u])
        Q = on_cone(rng, 40, k, theta)
        new_s = 3 * s
        w_i = s / new_s * (Q[:, 1:] - 0.5 * units(rng, 1, k - 1)) @ np.linalg.inv(G).T
        lifted = rng.choice([-1.0, 1.0], 40) * np.sqrt(1 - (w_i**2).sum(axis=1))
        new_P, new_Q = np.column_stack([np.zeros(40), w_u @ G]), np.column_stack([lifted, w_i])
        for M in (P, Q, new_P, new_Q):
            np.testing.assert_allclose((M**2).sum(axis=1), 1)
        change = new_s * new_P @ new_Q.T - s * P @ Q.T
        assert np.ptp(change, axis=1).max() < 1e-12  # one number for each user
        pairs = np.triu_indices(40, 1)
        assert scipy.stats.spearmanr((Q @ Q.T)[pairs], (new_Q @ new_Q.T)[pairs])[0] < 0.8


def cone_of(M, W):
    """Sine and heights of the cone on which the unit vectors M have the directions W off the axis."""
    T = np.linalg.lstsq(M, W, rcond=1e-7)[0]  # W = M T, if M is such a cone
    np.testing.assert_allclose(M @ T, W, atol=1e-4)
    sine = 1 / np.linalg.norm(T, ord=2)
    np.testing.assert_allclose(sine**2 * T.T @ T, np.eye(T.shape[1]), atol=1e-4)
    return sine, M @ np.linalg.svd(T)[0][:, -1]


@pytest.mark.claim("loss-two-cones")
@pytest.mark.parametrize("sees", ["all", "constant"])
def test_all_solutions_on_two_cones_are_cones(sees):
    reached = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        P, Q = on_cone(rng, 7, 3, 1.0), on_cone(rng, 7, 3, 1.3)
        for users, items, scale in solutions(P, Q, sees, 1, rng, 8):
            sine_P, heights_P = cone_of(users, P[:, 1:] / np.sin(1.0))
            sine_Q, heights_Q = cone_of(items, Q[:, 1:] / np.sin(1.3))
            np.testing.assert_allclose(scale * sine_P * sine_Q, 1.3 * np.sin(1.0) * np.sin(1.3), atol=1e-4)
            for heights, other in ((heights_P, sine_Q), (heights_Q, sine_P)):
                if other < 1 - 1e-4:  # at 90° of the other side signs are free; here they are not
                    np.testing.assert_allclose(heights, heights[0], atol=1e-3)
            if sees == "all":
                tangents = sine_P * sine_Q / np.sqrt((1 - sine_P**2) * (1 - sine_Q**2))
                np.testing.assert_allclose(tangents, np.tan(1.0) * np.tan(1.3), rtol=1e-3)
            reached.append(sine_Q)
    assert len(reached) >= 3
    assert np.ptp(reached) > 0.02  # they do slide


@pytest.mark.claim("loss-two-cones")
def test_a_spanning_side_does_not_stop_clip_if_the_other_lies_on_a_cone():
    rng = np.random.default_rng(3)
    P = np.vstack([on_cone(rng, 8, 3, 1.0), on_cone(rng, 8, 3, 1.8)])
    Q = on_cone(rng, 9, 3, 1.3)
    assert np.linalg.matrix_rank(np.einsum("ui,uj->uij", P, P).reshape(16, -1)) == 6
    assert freedom(P, Q, "constant", 1) == 1
    assert freedom(P, Q, "all", 1) == 0
    assert freedom(np.vstack([P, units(rng, 2, 3)]), Q, "constant", 1) == 0


@pytest.mark.claim("loss-cone")
@pytest.mark.parametrize("k", [2, 3, 4])
def test_items_on_a_cone_leave_two_numbers(k):
    for seed in range(5):
        rng = np.random.default_rng(seed)
        P, Q = units(rng, 9, k), on_cone(rng, 10, k, 1.2)
        assert [freedom(P, Q, "row", learned) for learned in (0, 1)] == [1, 2]
        if k > 2:  # in the plane three items leave every cone
            assert freedom(np.vstack([P, units(rng, 1, k)]), np.vstack([Q, units(rng, 1, k)]), "row", 1) == 0


@pytest.mark.claim("loss-cone")
def test_all_solutions_on_one_cone_slide():
    reached = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        P, Q = units(rng, 6, 3), on_cone(rng, 6, 3, 1.2)
        parts = np.linalg.norm(P[:, 1:], axis=1)
        for users, items, scale in solutions(P, Q, "row", 1, rng, 8):
            sine, heights = cone_of(items, Q[:, 1:] / np.sin(1.2))
            np.testing.assert_allclose(heights, heights[0], atol=1e-3)
            assert scale >= 1.3 * np.sin(1.2) * parts.max() - 1e-4
            axis = np.linalg.svd(items - items.mean(axis=0))[2][-1]
            across = np.linalg.norm(users - np.outer(users @ axis, axis), axis=1)
            np.testing.assert_allclose(across, 1.3 * np.sin(1.2) / (scale * sine) * parts, atol=1e-3)
            reached.append(sine)
    assert len(reached) >= 3
    assert np.ptp(reached) > 0.02


@pytest.mark.claim("loss-cone")
def test_users_on_a_cone_of_the_same_axis_break_the_order():
    """The condition on the users: without it items shift and leave their cone, and order is lost."""
    rng = np.random.default_rng(1)
    P, Q = on_cone(rng, 12, 3, 0.9), on_cone(rng, 12, 3, 1.2)
    W, e, scale = Q[:, 1:] / np.sin(1.2), np.sin(0.9), 4.0
    shifted = 1.3 * e * np.sin(1.2) / scale * (W - [0.8, 0.5])
    items = np.column_stack([np.sqrt(1 - (shifted**2).sum(axis=1)) * rng.choice([-1, 1], 12), shifted])
    users = np.column_stack([np.zeros(12), P[:, 1:] / e])
    np.testing.assert_allclose((users**2).sum(axis=1), 1)
    change = scale * users @ items.T - 1.3 * P @ Q.T
    assert np.ptp(change, axis=1).max() < 1e-12
    upper = np.triu_indices(12, 1)
    assert np.corrcoef((items @ items.T)[upper], (Q @ Q.T)[upper])[0, 1] < 0.5

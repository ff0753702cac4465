"""Chapter 10, beyond linear: its theorems on random networks, and on those that break a condition.

Nothing here uses the notebook. Networks are evaluated one user and one unit at a time with plain loops, gradients are
written by hand or taken as finite differences, expectations by enumeration, optima by a general optimizer.
"""

import itertools
import math

import numpy as np
import pytest
import scipy.optimize
import scipy.special
import scipy.stats
from oracles import cosine_by_loops

from cossim_helpers import Factors, layer_norm, whitened_cosine

RELU, LEAKY = (1.0, 0.0), (1.0, 0.2)  # the slopes for t > 0 and t < 0
SIZES = [(3, 1), (5, 3), (4, 9), (12, 6)]  # p, k


def network(p, k, rng):
    """A (p, k), beta (k,), B (p, k), o (p,)."""
    return [rng.standard_normal(shape) for shape in ((p, k), k, (p, k), p)]


def bent(t, slopes=RELU):
    return slopes[0] * t if t > 0 else slopes[1] * t


def forward(net, x, phi=bent, mask=None):
    """f(x), unit by unit."""
    A, beta, B, o = net
    score = np.array(o, float)
    for unit in range(len(beta)):
        z = phi(sum(A[i, unit] * x[i] for i in range(len(x))) + beta[unit])
        score += (1.0 if mask is None else mask[unit]) * z * B[:, unit]
    return score


def rescaled(net, c):
    A, beta, B, o = net
    return [A * c, beta * c, B / c, o]


def in_and_out(net, biases=True):
    A, beta, B, _ = net
    return np.sqrt((A**2).sum(axis=0) + biases * beta**2), np.sqrt((B**2).sum(axis=0))


# --- rescaling, its converse, and what has it not ---


@pytest.mark.claim("relu-rescaling")
@pytest.mark.parametrize("slopes", [RELU, LEAKY, (1.0, -1.0), (0.3, 2.0)])
@pytest.mark.parametrize(("p", "k"), SIZES)
def test_rescaling_units_keeps_the_function(p, k, slopes):
    rng = np.random.default_rng(p + k)
    for _ in range(10):
        net, c = network(p, k, rng), 10 ** rng.uniform(-4, 4, k)
        for x in rng.standard_normal((5, p)) * 10 ** rng.uniform(-2, 2, (5, 1)):
            one, two = (forward(n, x, lambda t: bent(t, slopes)) for n in (net, rescaled(net, c)))
            np.testing.assert_allclose(two, one, rtol=0, atol=1e-12 * (1 + abs(x).max()) * 100)
        B = net[2]
        gram = sum(np.outer(B[:, unit], B[:, unit]) / c[unit] ** 2 for unit in range(k))
        length = np.sqrt(np.diag(gram))
        np.testing.assert_allclose(cosine_by_loops(B / c, B / c), gram / np.outer(length, length), atol=1e-9)
    if k > 1:
        assert abs(cosine_by_loops(B / c, B / c) - cosine_by_loops(B, B)).max() > 0.05
    negative = np.where(np.arange(k) == 0, -1.0, 1.0)  # a negative factor is not allowed, but for |t|
    x = rng.standard_normal(p)
    change = abs(
        forward([net[0] * negative, net[1] * negative, net[2], net[3]], x, lambda t: bent(t, slopes))
        - forward(net, x, lambda t: bent(t, slopes))
    ).max()
    assert (change < 1e-9) == (slopes == (1.0, -1.0))


@pytest.mark.claim("relu-rescaling")
@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_in_deep_networks_only_the_last_hidden_layer_reaches_the_items(depth):
    rng = np.random.default_rng(depth)
    widths = [6, *rng.integers(3, 12, depth), 6]
    weights = [rng.standard_normal((out, into)) for into, out in itertools.pairwise(widths)]
    biases = [rng.standard_normal(out) for out in widths[1:]]

    def deep(weights, biases, x):
        for W, bias in zip(weights[:-1], biases[:-1]):
            x = np.array([bent(t) for t in W @ x + bias])
        return weights[-1] @ x + biases[-1]

    scaled_weights, scaled_biases = [W.copy() for W in weights], [bias.copy() for bias in biases]
    for layer in range(depth):
        c = 10 ** rng.uniform(-2, 2, widths[layer + 1])
        scaled_weights[layer] *= c[:, None]
        scaled_biases[layer] *= c
        scaled_weights[layer + 1] /= c
        moved = abs(
            cosine_by_loops(scaled_weights[-1], scaled_weights[-1]) - cosine_by_loops(weights[-1], weights[-1])
        ).max()
        assert moved > 0.1 if layer == depth - 1 else moved < 1e-12
    for x in rng.standard_normal((10, 6)):
        expected = deep(weights, biases, x)
        np.testing.assert_allclose(deep(scaled_weights, scaled_biases, x), expected, atol=1e-11 * abs(expected).max())


@pytest.mark.claim("relu-rescaling-converse")
@pytest.mark.parametrize("slopes", [RELU, LEAKY, (0.3, 2.0)])
@pytest.mark.parametrize(("p", "k"), SIZES)
def test_the_bends_of_the_function_give_the_items_up_to_a_positive_diagonal(p, k, slopes):
    """On random lines through x: one bend for each unit that the line crosses, with a jump of slope along B_l."""
    rng = np.random.default_rng(10 * p + k)
    net = network(p, k, rng)
    A, beta, B, _ = net
    other = rescaled(net, 10 ** rng.uniform(-1, 1, k))
    x, v = rng.standard_normal((2, p))
    where = -(x @ A + beta) / (v @ A)  # the line x + s v crosses the hyperplane of each unit once
    step = 0.25 * min([abs(a - b) for a, b in itertools.combinations(where, 2)], default=1.0)
    half_difference = (slopes[0] - slopes[1]) / 2
    for unit in range(k):
        for candidate in (net, other):
            left, middle, right = (
                forward(candidate, x + s * v, lambda t: bent(t, slopes))
                for s in where[unit] + step * np.array([-1, 0, 1])
            )
            expected = 2 * half_difference * step * abs(v @ A[:, unit]) * B[:, unit]
            np.testing.assert_allclose(left + right - 2 * middle, expected, atol=1e-8 * (1 + abs(where).max() ** 2))


@pytest.mark.claim("relu-rescaling-converse")
def test_no_rotation_and_no_other_linear_map_of_the_hidden_layer():
    """φ(t) = H φ(Gᵀt) has no solution H for a G that is not a permutation times a positive diagonal."""
    rng = np.random.default_rng(3)
    T = rng.standard_normal((400, 3))

    def misfit(G):
        Z, Z_new = np.maximum(T, 0), np.maximum(T @ G, 0)
        return abs(Z_new @ np.linalg.lstsq(Z_new, Z)[0] - Z).max()

    permutation = np.eye(3)[[2, 0, 1]]
    assert misfit(permutation * [0.1, 3.0, 1.0]) < 1e-12
    shear = np.eye(3)
    shear[0, 1] = 0.3
    for G in (np.linalg.qr(rng.standard_normal((3, 3)))[0], shear, np.diag([1.0, -1.0, 1.0])):
        assert misfit(G) > 0.05


@pytest.mark.claim("relu-rescaling-converse")
def test_where_a_condition_fails_there_is_more():
    rng = np.random.default_rng(4)
    A, beta, B, o = net = network(5, 3, rng)
    w = 1e3 * np.ones(5)
    twins = [
        np.column_stack([A, A[:, :1], 2 * A[:, :1]]),
        np.append(beta, [beta[0], 2 * beta[0]]),
        np.column_stack([B, w, -w / 2]),
        o,
    ]
    idle = [np.column_stack([A, np.zeros(5)]), np.append(beta, 0.0), np.column_stack([B, w]), o]
    for x in rng.standard_normal((10, 5)):
        for more in (twins, idle):
            np.testing.assert_allclose(forward(more, x), forward(net, x), atol=1e-10)
    for more in (twins, idle):
        assert cosine_by_loops(more[2], more[2]).min() > 0.99
    off = [np.column_stack([A, -np.ones(5)]), np.append(beta, -0.5), np.column_stack([B, w]), o]
    for x in rng.integers(0, 2, (10, 5)):
        np.testing.assert_allclose(forward(off, x), forward(net, x), atol=1e-12)
    assert abs(forward(off, -np.ones(5)) - forward(net, -np.ones(5))).max() > 1.0
    on, G = [abs(A), abs(beta), B, o], np.eye(3) + rng.uniform(0, 1, (3, 3))
    mixed = [on[0] @ G, on[1] @ G, B @ np.linalg.inv(G).T, o]
    for x in rng.integers(0, 2, (10, 5)):
        np.testing.assert_allclose(forward(mixed, x), forward(on, x), atol=1e-11)
    assert abs(cosine_by_loops(mixed[2], mixed[2]) - cosine_by_loops(B, B)).max() > 0.05


@pytest.mark.claim("linear-head")
def test_a_linear_layer_before_the_items_frees_every_g():
    rng = np.random.default_rng(5)
    for k in (1, 2, 6):
        E, B, G = rng.standard_normal((k, 7)), rng.standard_normal((9, k)), rng.standard_normal((k, k))
        B_new = B @ np.linalg.inv(G).T
        for x in rng.standard_normal((5, 4)):
            z = np.array([bent(t) for t in rng.standard_normal((7, 4)) @ x])
            np.testing.assert_allclose(B_new @ (G.T @ E @ z), B @ (E @ z), atol=1e-9)
        if k > 1:
            assert abs(cosine_by_loops(B_new, B_new) - cosine_by_loops(B, B)).max() > 0.1
    # a ReLU in between leaves the positive diagonals
    bent_between = [
        max(abs(B @ np.linalg.inv(G).T @ np.maximum(G.T @ E @ z, 0) - B @ np.maximum(E @ z, 0)))
        for G in (np.diag(rng.uniform(0.1, 9, 6)), rng.standard_normal((6, 6)))
    ]
    assert bent_between[0] < 1e-9 and bent_between[1] > 0.1


@pytest.mark.claim("smooth-units")
@pytest.mark.parametrize(
    ("phi", "odd"),
    [
        (np.tanh, True),
        (np.arctan, True),
        (np.arcsinh, True),
        (scipy.special.expit, False),
        (lambda t: t * scipy.stats.norm.cdf(t), False),
        (lambda t: t * scipy.special.expit(t), False),
        (lambda t: np.logaddexp(0, t), False),
    ],
)
def test_smooth_units_have_no_rescaling(phi, odd):
    t = np.linspace(-6, 6, 241)
    for c in (-2.0, -1.0, -0.5, 0.5, 0.9, 1.0, 1.1, 3.0):
        best = phi(t) @ phi(c * t) / (phi(t) @ phi(t))  # the d of least squares
        misfit = abs(phi(c * t) - best * phi(t)).max()
        allowed = c == 1.0 or (odd and c == -1.0)
        assert (misfit < 1e-12) == allowed
        if allowed:
            assert best == pytest.approx(c)
        else:
            assert misfit > 0.01


@pytest.mark.claim("smooth-units")
def test_tanh_is_nearly_linear_for_small_inputs():
    for t in (1e-3, 0.02, 0.3, 1.0, 5.0):
        for c in (0.1, 1.0, 7.0, -3.0):
            assert abs(math.tanh(c * t) / c - math.tanh(t)) <= (1 + c**2) * t**3 / 3 + 1e-15
    rng = np.random.default_rng(6)
    A, beta, B, o = network(6, 4, rng)
    c = np.array([0.2, 3.0, 1.0, 5.0])
    quiet, moved = [1e-3 * A, 1e-3 * beta, B, 0 * o], [1e-3 * A * c, 1e-3 * beta * c, B / c, 0 * o]
    for x in rng.standard_normal((5, 6)):
        one, two = forward(quiet, x, math.tanh), forward(moved, x, math.tanh)
        assert abs(one - two).max() < 1e-3 * abs(one).max()
    assert abs(cosine_by_loops(B / c, B / c) - cosine_by_loops(B, B)).max() > 0.2


# --- regularizers ---


@pytest.mark.claim("decay-balances")
@pytest.mark.parametrize("biases", [True, False])
@pytest.mark.parametrize(("lam_A", "lam_B"), [(1.0, 1.0), (30.0, 0.1), (0.01, 5.0)])
def test_the_rescaling_that_decay_picks(lam_A, lam_B, biases):
    rng = np.random.default_rng(7)
    net = network(6, 4, rng)
    B = net[2]

    def decay(log_c):
        A_c, beta_c, B_c, _ = rescaled(net, np.exp(log_c))
        return lam_A * (np.sum(A_c**2) + biases * np.sum(beta_c**2)) + lam_B * np.sum(B_c**2)

    found = scipy.optimize.minimize(decay, np.zeros(4), method="BFGS", options={"gtol": 1e-9})
    alpha, gamma = in_and_out(net, biases)
    assert found.fun == pytest.approx(2 * math.sqrt(lam_A * lam_B) * sum(alpha * gamma), rel=1e-10)
    B_found = B / np.exp(found.x)
    np.testing.assert_allclose(B_found, (lam_A / lam_B) ** 0.25 * B * np.sqrt(alpha / gamma), rtol=1e-5)
    alpha_end, gamma_end = in_and_out(rescaled(net, np.exp(found.x)), biases)
    np.testing.assert_allclose(lam_A * alpha_end**2, lam_B * gamma_end**2, rtol=1e-5)
    even = B * np.sqrt(alpha / gamma)
    np.testing.assert_allclose(cosine_by_loops(B_found, B_found), cosine_by_loops(even, even), atol=1e-6)
    other = B * np.sqrt(in_and_out(net, not biases)[0] / gamma)
    assert abs(cosine_by_loops(other, other) - cosine_by_loops(even, even)).max() > 0.005


def training_problem(rng, n=40, p=5, k=3):
    """(value, gradient) of the mean squared error of a ReLU autoencoder, by hand."""
    X = rng.standard_normal((n, p)) * np.linspace(0.5, 2, p)
    shapes = ((p, k), (k,), (p, k), (p,))
    cuts = np.cumsum([math.prod(shape) for shape in shapes])[:-1]

    def split(v):
        return [part.reshape(shape) for part, shape in zip(np.split(v, cuts), shapes)]

    def value_and_gradient(v):
        A, beta, B, o = split(v)
        T = X @ A + beta
        Z = np.maximum(T, 0)
        R = 2 * (Z @ B.T + o - X) / n
        dT = (R @ B) * (T > 0)
        parts = [X.T @ dT, dT.sum(axis=0), R.T @ Z, R.sum(axis=0)]
        return n * np.sum(R**2) / 4, np.concatenate([part.ravel() for part in parts])

    return split, value_and_gradient


@pytest.mark.claim("decay-balances")
@pytest.mark.parametrize(("lam_A", "lam_B"), [(0.05, 0.05), (0.5, 0.005)])
def test_trained_networks_end_balanced(lam_A, lam_B):
    rng = np.random.default_rng(8)
    split, loss = training_problem(rng)

    def objective(v):
        value, slope = loss(v)
        weights = np.concatenate([lam_A * np.ones(18), lam_B * np.ones(15), np.zeros(5)])
        return value + weights @ v**2, slope + 2 * weights * v

    for _ in range(3):
        start = rng.standard_normal(38)
        end = scipy.optimize.minimize(
            objective, start, jac=True, method="L-BFGS-B", options={"maxiter": 5_000, "ftol": 0, "gtol": 1e-9}
        ).x
        alpha, gamma = in_and_out(split(end))
        before = in_and_out(split(start))
        assert abs(math.sqrt(lam_A) * before[0] - math.sqrt(lam_B) * before[1]).max() > 0.1
        np.testing.assert_allclose(math.sqrt(lam_A) * alpha, math.sqrt(lam_B) * gamma, atol=5e-3)
        assert max(math.sqrt(lam_A) * alpha) > 0.1


@pytest.mark.claim("unit-imbalance")
def test_the_gradient_obeys_the_identity_and_the_flow_keeps_the_imbalance():
    rng = np.random.default_rng(9)
    split, loss = training_problem(rng)
    v = rng.standard_normal(38)
    gradient = loss(v)[1]
    np.testing.assert_allclose(  # the gradient by hand is right
        gradient, scipy.optimize.approx_fprime(v, lambda w: loss(w)[0], 1e-7), atol=1e-4
    )
    (A, beta, B, _), (dA, dbeta, dB, _) = split(v), split(gradient)
    np.testing.assert_allclose((A * dA).sum(axis=0) + beta * dbeta, (B * dB).sum(axis=0), atol=1e-11)
    assert abs((B * dB).sum(axis=0)).max() > 0.1
    assert abs((A * dA).sum(axis=0) - (B * dB).sum(axis=0)).max() > 0.01  # the bias is needed

    def imbalance(v):
        alpha, gamma = in_and_out(split(v))
        return alpha**2 - gamma**2

    decayed = np.concatenate([np.ones(33), np.zeros(5)])
    for eps in (0.0, 0.3):
        errors = []
        for eta in (1e-3, 5e-4):
            w = v.copy()
            for _ in range(round(2 / eta)):
                w -= eta * (loss(w)[1] + 2 * eps * decayed * w)
            errors.append(abs(imbalance(w) - math.exp(-8 * eps) * imbalance(v)).max())
        assert errors[0] < 0.1 and errors[1] < 0.7 * errors[0]  # an error of the steps, of first order
        assert abs(in_and_out(split(w))[1] - in_and_out(split(v))[1]).max() > 0.1


@pytest.mark.claim("unit-imbalance")
def test_one_scale_has_a_given_imbalance():
    rng = np.random.default_rng(10)
    for _ in range(100):
        alpha, gamma, C = *10 ** rng.uniform(-1, 1, 2), rng.uniform(-20, 20)
        square = (C + math.sqrt(C**2 + 4 * alpha**2 * gamma**2)) / (2 * alpha**2)
        root = scipy.optimize.brentq(
            lambda s, a=alpha, g=gamma, C=C: math.exp(s) * a**2 - math.exp(-s) * g**2 - C, -20, 20, xtol=1e-13
        )
        assert square == pytest.approx(math.exp(root), rel=1e-7)


LOSSES = {
    "squared": lambda score, y: float(((score - y) ** 2).sum()),
    "softmax": lambda score, y: float(y.sum() * scipy.special.logsumexp(score) - score @ y),
    "logistic": lambda score, y: float(np.logaddexp(0, score).sum() - score @ y),
    "absolute": lambda score, y: float(abs(score - y).sum()),
}


@pytest.mark.claim("dropout-keeps-rescaling")
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("q", [0.1, 0.5, 0.8])
def test_no_dropout_sees_the_rescaling(name, q):
    rng = np.random.default_rng(11)
    net = network(5, 3, rng)
    net[1] = abs(net[1]) + 1
    other, x = rescaled(net, np.array([0.01, 1.0, 40.0])), rng.integers(0, 2, 5).astype(float)

    def expected(net, on_input):
        total = 0.0
        for keep in itertools.product([0, 1], repeat=5 if on_input else 3):
            mask = np.array(keep) / (1 - q)
            probability = math.prod(1 - q if one else q for one in keep)
            score = forward(net, mask * x) if on_input else forward(net, x, mask=mask)
            total += probability * LOSSES[name](score, x)
        return total

    for on_input in (True, False):
        assert expected(other, on_input) == pytest.approx(expected(net, on_input), rel=1e-11)
    if name == "squared":
        z = np.array([bent(t) for t in x @ net[0] + net[1]])
        penalty = q / (1 - q) * sum(z**2 * in_and_out(net)[1] ** 2)
        assert expected(net, False) == pytest.approx(LOSSES[name](forward(net, x), x) + penalty, rel=1e-11)
        assert penalty > 0.1


@pytest.mark.claim("dropout-keeps-rescaling")
def test_hidden_dropout_sees_a_rotation_of_linear_units():
    rng = np.random.default_rng(12)
    A, B = rng.standard_normal((2, 5, 3))
    X = rng.standard_normal((20, 5))

    def penalty(A, B):
        return sum(np.sum((X @ A[:, unit]) ** 2) * np.sum(B[:, unit] ** 2) for unit in range(3))

    R, d = np.linalg.qr(rng.standard_normal((3, 3)))[0], np.array([0.1, 2.0, 7.0])
    assert penalty(A * d, B / d) == pytest.approx(penalty(A, B), rel=1e-12)
    assert abs(penalty(A @ R, B @ R) / penalty(A, B) - 1) > 0.01
    np.testing.assert_allclose(cosine_by_loops(B @ R, B @ R), cosine_by_loops(B, B), atol=1e-12)


@pytest.mark.claim("path-norm-keeps-rescaling")
@pytest.mark.parametrize(("p", "k"), SIZES)
def test_the_path_norm(p, k):
    rng = np.random.default_rng(13)

    def path_norm(net):
        A, _, B, _ = net
        return math.fsum((A[i, unit] * B[j, unit]) ** 2 for i in range(p) for unit in range(k) for j in range(p))

    net = network(p, k, rng)
    c = 10 ** rng.uniform(-2, 2, k)
    assert path_norm(rescaled(net, c)) == pytest.approx(path_norm(net), rel=1e-12)
    assert path_norm([net[0] * 2, *net[1:]]) == pytest.approx(4 * path_norm(net))
    assert abs(np.sum(rescaled(net, c)[2] ** 2) / np.sum(net[2] ** 2) - 1) > 0.05


@pytest.mark.claim("one-sided-decay")
def test_decay_on_one_side_has_no_minimum_and_drives_the_scale():
    rng = np.random.default_rng(14)
    split, loss = training_problem(rng)
    v, lam = rng.standard_normal(38), 0.4
    net = split(v)
    values = []
    for c in (1.0, 10.0, 1e3):
        moved = np.concatenate([part.ravel() for part in rescaled(net, np.full(3, c))])
        assert loss(moved)[0] == pytest.approx(loss(v)[0], rel=1e-11)
        values.append(lam * np.sum(split(moved)[2] ** 2))
    assert values[0] == pytest.approx(100 * values[1]) and values[2] < 1e-5 * values[0]

    on_B = np.concatenate([np.zeros(18), np.ones(15), np.zeros(5)])
    velocity = -loss(v)[1] - 2 * lam * on_B * v

    def imbalance(v):
        alpha, gamma = in_and_out(split(v))
        return alpha**2 - gamma**2

    h = 1e-5
    rate = (imbalance(v + h * velocity) - imbalance(v - h * velocity)) / (2 * h)
    np.testing.assert_allclose(rate, 4 * lam * in_and_out(net)[1] ** 2, atol=1e-6)


@pytest.mark.claim("one-sided-decay")
def test_noise_of_a_fixed_size_is_a_one_sided_penalty():
    rng = np.random.default_rng(15)
    B, z, y = rng.standard_normal((5, 3)), rng.uniform(0, 2, 3), rng.standard_normal(5)
    tau = 0.4
    noisy = [np.sum((B @ (z + tau * np.array(sign)) - y) ** 2) for sign in itertools.product([-1, 1], repeat=3)]
    assert np.mean(noisy) == pytest.approx(np.sum((B @ z - y) ** 2) + tau**2 * np.sum(B**2), rel=1e-12)


# --- normalization of the hidden vector ---


def normalized(u, mean=True, epsilon=0.0):
    center = sum(u) / len(u) if mean else 0.0
    size = math.sqrt(sum((t - center) ** 2 for t in u) / len(u) + epsilon)
    return np.array([(t - center) / size for t in u])


@pytest.mark.claim("layer-norm-freedom")
@pytest.mark.parametrize("k", [3, 4, 8])
def test_layer_norm_leaves_a_common_scale_and_a_number_for_each_item(k):
    rng = np.random.default_rng(16)
    U, B = rng.uniform(0.5, 3, (60, k)), rng.standard_normal((7, k))
    L = np.array([normalized(u) for u in U])
    np.testing.assert_allclose(L, layer_norm(U), atol=1e-12)
    np.testing.assert_allclose([normalized(0.003 * u) for u in U], L, atol=1e-11)
    t = 1e5 * rng.choice([-1.0, 1.0], 7)
    slid = B + t[:, None]
    np.testing.assert_allclose(L @ slid.T, L @ B.T, atol=1e-9)
    np.testing.assert_allclose(cosine_by_loops(slid, slid), np.sign(np.outer(t, t)), atol=1e-6)
    # every (B, o) with these scores is of this kind: the unknowns outnumber the equations by one an item
    singular = np.linalg.svd(np.column_stack([L, np.ones(60)]))
    assert singular[1][-1] < 1e-10 < 0.01 < singular[1][-2]
    np.testing.assert_allclose(abs(singular[2][-1]), np.append(np.full(k, k**-0.5), 0.0), atol=1e-10)
    # decay on B picks the centered rows
    found = scipy.optimize.minimize(lambda t: np.sum((B + t[:, None]) ** 2), np.zeros(7)).x
    np.testing.assert_allclose(B + found[:, None], B - B.mean(axis=1, keepdims=True), atol=1e-5)
    # a D with unequal entries: no affine map of the new features gives the old ones
    D = np.where(np.arange(k) == 0, 2.0, 1.0)
    new = np.array([normalized(D * u) for u in U])
    features = np.column_stack([new, np.ones(60)])
    assert abs(features @ np.linalg.lstsq(features, L)[0] - L).max() > 0.01


@pytest.mark.claim("layer-norm-freedom")
def test_with_two_units_layer_norm_is_a_sign_and_every_d_with_the_same_sign_is_free():
    """k ≥ 3 is needed."""
    rng = np.random.default_rng(17)
    for u in rng.uniform(0, 1, (20, 2)):
        u[0] += 2
        np.testing.assert_allclose(normalized(u * [3.0, 1.0]), normalized(u), atol=1e-12)


@pytest.mark.claim("layer-norm-freedom")
def test_the_epsilon_of_libraries_makes_the_common_scale_inexact():
    u = np.array([0.1, 0.5, 0.2])
    np.testing.assert_allclose(normalized(7 * u, epsilon=1e-2), normalized(u, epsilon=1e-2 / 49), rtol=1e-12)
    assert abs(normalized(7 * u, epsilon=1e-2) - normalized(u, epsilon=1e-2)).max() > 0.05


@pytest.mark.claim("layer-norm-freedom")
@pytest.mark.parametrize("kind", ["rms", "batch"])
def test_rms_and_batch_normalization_leave_nothing_at_the_items(kind):
    rng = np.random.default_rng(18)
    U, B, o = rng.uniform(0, 3, (60, 4)), rng.standard_normal((7, 4)), rng.standard_normal(7)

    def norm(U):
        if kind == "rms":
            return np.array([normalized(u, mean=False) for u in U])
        return np.column_stack([normalized(column) for column in U.T])

    Z = norm(U)
    scale = 5.0 if kind == "rms" else np.array([5.0, 0.1, 1.0, 30.0])
    np.testing.assert_allclose(norm(U * scale), Z, atol=1e-12)
    features = np.column_stack([Z, np.ones(60)])
    assert np.linalg.svd(features)[1].min() > 0.1
    np.testing.assert_allclose(np.linalg.lstsq(features, Z @ B.T + o)[0], np.vstack([B.T, o]), atol=1e-10)


@pytest.mark.claim("hidden-gain")
@pytest.mark.parametrize("mean", [True, False])
def test_a_gain_brings_d_back(mean):
    rng = np.random.default_rng(19)
    U, B, g, h = rng.uniform(0, 3, (20, 4)), rng.standard_normal((7, 4)), *rng.standard_normal((2, 4))
    delta = np.array([-9.0, 0.1, 1.0, 3.0])
    for u in U:
        z = normalized(u, mean)
        np.testing.assert_allclose((B / delta) @ (delta * g * z + delta * h), B @ (g * z + h), atol=1e-10)
    assert abs(cosine_by_loops(B / delta, B / delta) - cosine_by_loops(B, B)).max() > 0.2
    gamma = np.sqrt((B**2).sum(axis=0))
    found = np.exp(
        scipy.optimize.minimize(
            lambda s: sum(np.exp(2 * s) * (g**2 + h**2) + np.exp(-2 * s) * gamma**2),
            np.zeros(4),
            options={"gtol": 1e-9},
        ).x
    )
    np.testing.assert_allclose((found * g) ** 2 + (found * h) ** 2, (gamma / found) ** 2, rtol=1e-5)


# --- the softmax ---


def probabilities(Z, B, o=0.0):
    exponentials = np.exp(Z @ B.T + o)
    return exponentials / exponentials.sum(axis=1, keepdims=True)


@pytest.mark.claim("softmax-shift")
@pytest.mark.parametrize("k", [1, 2, 5])
def test_a_softmax_does_not_see_one_vector_for_all_items(k):
    rng = np.random.default_rng(20 + k)
    Z, B, o, v = (rng.standard_normal(shape) for shape in ((30, k), (9, k), 9, k))
    np.testing.assert_allclose(probabilities(Z, B + v, o), probabilities(Z, B, o), atol=1e-12)
    log_q = np.log(rng.dirichlet(np.ones(9)))
    drawn = [0, 3, 4, 8]
    np.testing.assert_allclose(
        probabilities(Z, (B + v)[drawn], (o - log_q)[drawn]), probabilities(Z, B[drawn], (o - log_q)[drawn]), atol=1e-12
    )
    over_users = probabilities(B + v, Z), probabilities(B, Z)
    assert abs(over_users[0] - over_users[1]).max() > 0.01
    r = np.sqrt((B**2).sum(axis=1)).max()
    for factor in (1.01, 3.0, 50.0):
        shift = factor * r * v / np.linalg.norm(v)
        assert cosine_by_loops(B + shift, B + shift).min() >= 1 - 2 / factor**2 - 1e-12


@pytest.mark.claim("softmax-shift")
def test_trained_with_decay_the_items_are_centered():
    rng = np.random.default_rng(30)
    Z, lam = rng.standard_normal((50, 3)), 0.01
    choice = rng.integers(0, 6, 50)
    onehot = np.eye(6)[choice]

    def objective(v):
        B, o = v[:18].reshape(6, 3), v[18:]
        P = probabilities(Z, B, o)
        loss = -np.log(P[np.arange(50), choice]).mean() + lam * np.sum(B**2)
        R = (P - onehot) / 50
        return loss, np.concatenate([(R.T @ Z + 2 * lam * B).ravel(), R.sum(axis=0)])

    end = scipy.optimize.minimize(objective, rng.standard_normal(24), jac=True, options={"gtol": 1e-8}).x
    B = end[:18].reshape(6, 3)
    np.testing.assert_allclose(B.sum(axis=0), 0, atol=1e-5)
    assert abs(B).max() > 0.1


# --- identification ---


def diverse_pair(rng, k=3, n_items=8):
    """Two models (z, B, o) with the same probabilities, and the L between them."""
    W = rng.standard_normal((4, k))
    L, w, v = rng.standard_normal((k, k)) + 2 * np.eye(k), rng.standard_normal(k), rng.standard_normal(k)
    B, o = rng.standard_normal((n_items, k)), rng.standard_normal(n_items)
    moved = B @ np.linalg.inv(L)  # rows L⁻ᵀ b

    def z(X):
        return np.sin(X @ W)

    return (z, B, o), (lambda X: z(X) @ L.T + w, moved + v, o - moved @ w), L


@pytest.mark.claim("identified-up-to-linear")
@pytest.mark.parametrize("seed", range(5))
def test_the_map_is_recovered_from_k_plus_1_items_and_inputs(seed):
    """The steps of the proof as an algorithm: only k + 1 items and k + 1 inputs are used, and all others then agree."""
    rng = np.random.default_rng(40 + seed)
    (z, B, o), (z_2, B_2, o_2), L = diverse_pair(rng)
    X = rng.standard_normal((50, 4))
    np.testing.assert_allclose(probabilities(z_2(X), B_2, o_2), probabilities(z(X), B, o), atol=1e-12)
    M, M_2 = (items[1:4] - items[0] for items in (B, B_2))
    found = np.linalg.solve(M_2, M)
    np.testing.assert_allclose(found, L, atol=1e-8)
    constant = z_2(X[:1]) - z(X[:1]) @ found.T
    np.testing.assert_allclose(z_2(X), z(X) @ found.T + constant, atol=1e-8)
    np.testing.assert_allclose(B_2 - B_2[0], (B - B[0]) @ np.linalg.inv(found), atol=1e-8)

    def centered_whitened(B):
        centered = B - B.mean(axis=0)
        return whitened_cosine(Factors(centered, centered))

    np.testing.assert_allclose(centered_whitened(B_2), centered_whitened(B), atol=1e-8)
    assert abs(cosine_by_loops(B_2, B_2) - cosine_by_loops(B, B)).max() > 0.2
    assert abs(whitened_cosine(Factors(B_2, B_2)) - whitened_cosine(Factors(B, B))).max() > 0.02


@pytest.mark.claim("identified-up-to-linear")
def test_without_diversity_the_features_may_be_anything():
    rng = np.random.default_rng(50)
    X = rng.standard_normal((80, 4))
    Z = np.sin(X @ rng.standard_normal((4, 3)))

    def affine_misfit(source, target):
        design = np.column_stack([source, np.ones(len(source))])
        return abs(design @ np.linalg.lstsq(design, target)[0] - target).max()

    # k items only: their differences span k − 1 directions, and z may move along the one that is left
    B = rng.standard_normal((3, 3))
    unseen = np.linalg.svd(B - B[0])[2][-1]
    other = Z + np.outer(X[:, 0] ** 2, unseen)
    np.testing.assert_allclose(probabilities(other, B), probabilities(Z, B), atol=1e-12)
    assert affine_misfit(Z, other) > 0.3
    # inputs in a plane: items may move across it, with nothing linear about it
    flat = np.column_stack([Z[:, :2], np.zeros(80)])
    B = rng.standard_normal((9, 3))
    moved = np.column_stack([B[:, :2], B[:, 0] ** 2])
    np.testing.assert_allclose(probabilities(flat, moved), probabilities(flat, B), atol=1e-12)
    assert affine_misfit(B, moved) > 0.1


@pytest.mark.claim("identified-up-to-linear")
def test_two_fits_of_one_table_of_probabilities():
    """Features and items both free, by L-BFGS from two starts: affine images of each other, with other cosines."""
    rng = np.random.default_rng(60)
    n, m, k = 40, 10, 2
    target = probabilities(rng.standard_normal((n, k)), rng.standard_normal((m, k)))

    def objective(v):
        Z, B = v[: n * k].reshape(n, k), v[n * k :].reshape(m, k)
        P = probabilities(Z, B)
        return -np.sum(target * np.log(P)), np.concatenate([((P - target) @ B).ravel(), ((P - target).T @ Z).ravel()])

    fits = [
        scipy.optimize.minimize(
            objective,
            rng.standard_normal((n + m) * k),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": 20_000, "maxfun": 50_000, "ftol": 0, "gtol": 1e-10},
        ).x
        for _ in range(2)
    ]
    (Z_1, B_1), (Z_2, B_2) = ((v[: n * k].reshape(n, k), v[n * k :].reshape(m, k)) for v in fits)
    np.testing.assert_allclose(probabilities(Z_1, B_1), target, atol=1e-6)
    L = np.linalg.lstsq(Z_1, Z_2)[0]  # without biases there is no w
    np.testing.assert_allclose(Z_1 @ L, Z_2, atol=1e-3 * abs(Z_2).max())
    np.testing.assert_allclose(B_2 - B_2[0], (B_1 - B_1[0]) @ np.linalg.inv(L).T, atol=1e-3 * abs(B_2).max())
    assert abs(cosine_by_loops(B_1, B_1) - cosine_by_loops(B_2, B_2)).max() > 0.2

"""Training by contrast: its loss by loops, Adam by hand, minima that theory knows, and the smallest scale."""

import math

import numpy as np
import pytest
import scipy.optimize

from cossim_helpers import ContrastiveModel, _owned, cosine_similarity, max_norm, train_contrastive
from cossim_helpers.trained import contrastive

KINDS = [(loss, unit) for loss in ("symmetric", "one-sided") for unit in (True, False)]


def unit(M):
    return M / np.linalg.norm(M, axis=1, keepdims=True)


def instance(seed, n=7, p=5, k=3):
    """True scores of rank 2, and a start."""
    rng = np.random.default_rng(seed)
    Z = rng.standard_normal((n, 2)) @ rng.standard_normal((2, p))
    return Z, rng.standard_normal((n, k)), rng.standard_normal((p, k))


def divergence_by_loops(true, scores):
    """Mean over the rows of Σ_i q_i log(q_i / r_i), q and r the softmax of the rows."""
    total = 0.0
    for one, other in zip(true, scores):
        q, r = ([math.exp(x) / sum(map(math.exp, row)) for x in row] for row in (one, other))
        total += sum(a * math.log(a / b) for a, b in zip(q, r))
    return total / len(true)


def loss_by_hand(Z, P, Q, scale, loss, unit_rows):
    if unit_rows:
        P, Q = unit(P), unit(Q)
    scores = [[scale * sum(a * b for a, b in zip(x, y)) for y in Q] for x in P]
    rows = divergence_by_loops(Z, np.array(scores))
    return rows if loss == "one-sided" else (rows + divergence_by_loops(Z.T, np.array(scores).T)) / 2


def numerical_slope(function, x, step=1e-5):
    return np.array([(function(x + e) - function(x - e)) / (2 * step) for e in step * np.eye(len(x))])


# --- the loss, its slope, and both optimizers ---


@pytest.mark.parametrize(("loss", "rows"), KINDS)
def test_the_excess_is_the_loss_by_loops(loss, rows):
    Z, P, Q = instance(1)
    model = train_contrastive(Z, P, Q, loss=loss, unit=rows, scale=2.5, steps=3)
    assert model.excess == pytest.approx(loss_by_hand(Z, model.P, model.Q, 2.5, loss, False), rel=1e-10)
    np.testing.assert_allclose(model.scores, 2.5 * model.P @ model.Q.T, atol=1e-14)
    if rows:
        for M in (model.P, model.Q):
            np.testing.assert_allclose(np.linalg.norm(M, axis=1), 1, atol=1e-14)
    assert (model.steps, model.scale) == (3, 2.5)


@pytest.mark.parametrize("learn", [True, False])
@pytest.mark.parametrize(("loss", "rows"), KINDS)
def test_adam_by_hand_on_numerical_slopes(loss, rows, learn):
    Z, P, Q = instance(2)
    steps, rate, size = 4, 0.05, P.size

    def function(x):
        scale = math.exp(x[-1]) if learn else 2.0
        p, q = x[:size].reshape(P.shape), x[size : size + Q.size].reshape(Q.shape)
        return loss_by_hand(Z, p, q, scale, loss, rows)

    x = np.concatenate([P.ravel(), Q.ravel(), [math.log(2.0)] * learn])
    first, second = np.zeros_like(x), np.zeros_like(x)
    for t in range(1, steps + 1):  # Kingma and Ba (2015), Algorithm 1; the rate falls along a half cosine
        slope = numerical_slope(function, x)
        first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope**2
        now = rate * 0.5 * (1 + math.cos(math.pi * (t - 1) / steps))
        x = x - now * (first / (1 - 0.9**t)) / (np.sqrt(second / (1 - 0.999**t)) + 1e-8)
    model = train_contrastive(
        Z,
        P,
        Q,
        loss=loss,
        unit=rows,
        scale=2.0,
        learn_scale=learn,
        optimizer="adam",
        steps=steps,
        learning_rate=rate,
    )
    by_hand = x[:size].reshape(P.shape), x[size : size + Q.size].reshape(Q.shape)
    for got, expected in zip((model.P, model.Q), by_hand):
        np.testing.assert_allclose(got, unit(expected) if rows else expected, atol=1e-6)
    assert model.scale == pytest.approx(math.exp(x[-1]) if learn else 2.0, abs=1e-6)
    assert model.gradient == pytest.approx(np.linalg.norm(numerical_slope(function, x)), rel=1e-5)
    assert model.steps == steps


@pytest.mark.parametrize(("loss", "rows"), KINDS)
def test_training_by_lbfgs_ends_in_a_minimum(loss, rows):
    """Without room the minimum is above 0: what lies near it is higher."""
    Z, P, Q = instance(3, 5, 4, 2 if rows else 1)
    model = train_contrastive(Z, P, Q, loss=loss, unit=rows, scale=1.5)
    rng = np.random.default_rng(0)
    for size in (1e-4, 1e-3, 1e-2):
        for _ in range(50):
            near = (M + size * rng.standard_normal(M.shape) for M in (model.P, model.Q))
            assert loss_by_hand(Z, *near, 1.5, loss, rows) > model.excess > 1e-3
    assert model.gradient < 1e-6


# --- minima that theory knows ---


@pytest.mark.parametrize("seed", range(3))
def test_what_can_be_met_is_met(seed):
    """Rank 2 with two dimensions: the excess is 0, and the scores are the true ones, up to what each loss sees."""
    Z, P, Q = instance(seed, 12, 10, 2)
    for loss in ("symmetric", "one-sided"):
        model = train_contrastive(Z, P, Q, loss=loss, unit=False)
        assert 0 <= model.excess < 1e-15
        gap = model.scores - Z
        free = gap.mean() if loss == "symmetric" else gap.mean(axis=1, keepdims=True)
        np.testing.assert_allclose(gap - free, 0, atol=1e-5)


@pytest.mark.parametrize("learn", [True, False])
def test_without_a_spare_dimension_unit_vectors_are_found_again(learn):
    rng = np.random.default_rng(5)
    true_P, true_Q = unit(rng.standard_normal((30, 3))), unit(rng.standard_normal((25, 3)))
    P, Q = rng.standard_normal((30, 3)), rng.standard_normal((25, 3))
    model = train_contrastive(5 * true_P @ true_Q.T, P, Q, scale=2.0 if learn else 5.0, learn_scale=learn)
    assert model.excess < 1e-18
    assert model.scale == pytest.approx(5.0, abs=1e-6)
    np.testing.assert_allclose(cosine_similarity(model.Q), cosine_similarity(true_Q), atol=1e-6)


def test_a_solution_stays_whatever_its_scale():
    """Nothing pulls a learned scale down to the smallest one: from a solution at another, training does not move."""
    rng = np.random.default_rng(6)
    true_P, true_Q = unit(rng.standard_normal((20, 2))), unit(rng.standard_normal((20, 2)))
    Z, (P, Q) = 3 * true_P @ true_Q.T, rng.standard_normal((2, 20, 6))
    high = train_contrastive(Z, P, Q, scale=5.0)
    assert high.excess < 1e-15
    for optimizer in ("l-bfgs", "adam"):
        again = train_contrastive(
            Z, high.P, high.Q, scale=5.0, learn_scale=True, optimizer=optimizer, steps=50, learning_rate=1e-4
        )
        assert again.scale == pytest.approx(5.0, abs=1e-3)


def test_training_changes_no_argument_and_starts_from_the_directions():
    Z, P, Q = instance(7)
    before = [M.copy() for M in (Z, P, Q)]
    one = train_contrastive(Z, P, Q, steps=5)
    other = train_contrastive(Z, P, Q, steps=5)
    for M, kept in zip((Z, P, Q), before):
        np.testing.assert_array_equal(M, kept)
    np.testing.assert_array_equal(one.Q, other.Q)
    assert isinstance(one, ContrastiveModel)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"Z": np.ones((7, 4))}, ValueError, "Z, a row for each of P's"),
        ({"Z": np.full((7, 5), np.nan)}, ValueError, "Z takes finite"),
        ({"Q": np.ones((5, 2))}, ValueError, "Q, with as many columns as P"),
        ({"Q": np.eye(5)[:, :3]}, ValueError, "Q takes rows that are not zero"),
        ({"P": np.zeros((7, 3))}, ValueError, "P takes rows that are not zero"),
        ({"loss": "hinge"}, ValueError, "loss takes one of"),
        ({"optimizer": "sgd"}, ValueError, "optimizer takes one of"),
        ({"scale": 0.0}, ValueError, "scale takes a finite number above 0"),
        ({"steps": 0}, ValueError, "steps takes an integer"),
        ({"learning_rate": -1.0}, ValueError, "learning_rate takes a finite number above 0"),
        ({"P": "text"}, TypeError, "P takes real numbers"),
        ({"P": np.full((7, 3), 1e-170)}, ValueError, "P takes rows whose squared length a float holds"),
        ({"Q": np.full((5, 3), 1e-160)}, ValueError, "Q takes rows whose squared length a float holds"),
        ({"Q": np.full((5, 3), 1e200)}, ValueError, "Q takes rows whose squared length a float holds, got a length of"),
        ({"Z": np.outer([1, -1, 1, -1, 1, -1, 1], [1, -1, 1, 1, 1]) * 1e308}, ValueError, "Z, P, Q and scale take"),
        ({"P": np.full((7, 3), 1e200), "Q": np.eye(5)[:, :3] * 1e200, "unit": False}, ValueError, "Z, P, Q and scale"),
        ({"scale": 1e308}, ValueError, "Z, P, Q and scale take"),
        ({"learn_scale": "yes"}, TypeError, r"learn_scale takes True or False, got 'yes' \(str\)"),
        ({"learn_scale": None}, TypeError, "learn_scale takes True or False, got None"),
        ({"unit": 1}, TypeError, "unit takes True or False, got 1"),
    ],
)
def test_training_refuses_by_name(change, error, message):
    Z, P, Q = instance(0)
    with pytest.raises(error, match=message):
        train_contrastive(**{"Z": Z, "P": P, "Q": Q} | change)


@pytest.mark.parametrize("rate", [1e160, 1e308])
@pytest.mark.parametrize(("learn", "rows"), [(True, True), (True, False), (False, True), (False, False)])
def test_a_learning_rate_that_leaves_the_floats_is_named(rate, learn, rows):
    Z, P, Q = instance(0)
    options = {"learn_scale": learn, "unit": rows, "optimizer": "adam", "steps": 20}
    with pytest.raises(ValueError, match="learning_rate takes a smaller number here, got 1e"):
        train_contrastive(Z, P, Q, learning_rate=rate, **options)


def test_a_learning_rate_that_ends_at_a_scale_of_0_is_named():
    """Where nothing is to be told apart, the scale falls; its scores of 0 would have a finite loss."""
    _, P, Q = instance(0)
    with pytest.raises(ValueError, match=r"^learning_rate takes a smaller number here, got 10000"):
        train_contrastive(np.zeros((7, 5)), P, Q, learn_scale=True, optimizer="adam", steps=20, learning_rate=1e4)


def test_a_slope_that_no_float_holds_is_refused():
    Z, P, Q = instance(0)
    assert train_contrastive(Z, P * 1e100, Q * 1e-100, unit=False, optimizer="adam", steps=1).gradient < np.inf
    with pytest.raises(ValueError, match=r"^Z, P, Q and scale take numbers .* got a loss of 0"):
        train_contrastive(Z, P * 1e200, Q * 1e-200, unit=False, optimizer="adam", steps=1)


def test_a_rate_that_is_merely_bad_trains_badly():
    Z, P, Q = instance(0)
    model = train_contrastive(Z, P, Q, optimizer="adam", steps=20, learning_rate=1e5, unit=False)
    assert np.isfinite([model.excess, model.gradient, *model.P.ravel()]).all()


@pytest.mark.parametrize("size", [50.0, 300.0, 1e4, 1e100])
@pytest.mark.parametrize("loss", ["symmetric", "one-sided"])
def test_scores_far_apart_have_a_loss_and_a_slope(loss, size):
    """Where the truth is 0 in floats and the model is not, as where it is the other way round."""
    Z, P, Q = instance(4)
    Z = Z * size
    with np.errstate(all="raise", under="ignore"):
        model = train_contrastive(Z, P, Q, loss=loss, steps=3)

    def divergence(z, y):  # Σ q (log q − log r), by sums of exponentials less the largest
        logs = [x - x.max(axis=1, keepdims=True) for x in (z, y)]
        q, r = (x - np.log(np.exp(x).sum(axis=1, keepdims=True)) for x in logs)
        return (np.exp(q) * (q - r)).sum() / len(z)

    rows, columns = divergence(Z, model.scores), divergence(Z.T, model.scores.T)
    expected = rows if loss == "one-sided" else (rows + columns) / 2
    assert model.excess == pytest.approx(expected, rel=1e-9, abs=1e-12) and model.gradient < np.inf


def test_the_slope_is_that_of_the_loss_where_a_probability_is_far_too_large():
    Z, P, Q = instance(4)
    Z, kept = Z * 12, {"unit": False, "steps": 1, "optimizer": "adam", "learning_rate": 1e-300}
    model = train_contrastive(Z, P, Q, **kept)
    slope = numerical_slope(
        lambda x: loss_by_hand(Z, x[: P.size].reshape(P.shape), x[P.size :].reshape(Q.shape), 1.0, "symmetric", False),
        np.concatenate([P.ravel(), Q.ravel()]),
    )
    assert model.gradient == pytest.approx(np.linalg.norm(slope), rel=1e-6)


def test_numpy_bools_are_bools():
    Z, P, Q = instance(0)
    for learn in (True, False):
        one, other = (train_contrastive(Z, P, Q, learn_scale=kind(learn), steps=5) for kind in (bool, np.bool_))
        assert one.scale == other.scale and (one.scale != 1.0) == learn


def test_zero_rows_are_vectors_without_unit():
    Z, P, _ = instance(0)
    assert train_contrastive(Z, P, np.eye(5)[:, :3], unit=False, steps=2).excess > 0


@pytest.mark.parametrize(
    ("size", "taken"),
    [(0.99e-150, False), (1e-150, False), (1.01e-150, True), (0.99e150, True), (1 / 1e-150, False), (1.01e150, False)],
)
@pytest.mark.parametrize("side", ["P", "Q"])
def test_lengths_whose_squares_a_float_holds(size, taken, side):
    given = dict(zip("ZPQ", instance(0), strict=True))
    given[side] = given[side].copy()
    given[side][1] = [0.0, -size, 0.0]
    if taken:
        assert np.isfinite(train_contrastive(**given, steps=1).excess)
    else:
        with pytest.raises(
            ValueError, match=rf"^{side} takes rows whose squared length a float holds, got a length of"
        ):
            train_contrastive(**given, steps=1)


def test_the_settings_are_those_of_the_docstring(monkeypatch):
    asked, minimize = [], scipy.optimize.minimize
    monkeypatch.setattr(scipy.optimize, "minimize", lambda *a, **b: asked.append(b) or minimize(*a, **b))
    Z, P, Q = instance(0)
    by_default, by_hand = (
        train_contrastive(Z, P, Q, **settings)
        for settings in (
            {},
            {
                "loss": "symmetric",
                "unit": True,
                "scale": 1.0,
                "learn_scale": False,
                "optimizer": "l-bfgs",
                "steps": 5_000,
            },
        )
    )
    np.testing.assert_array_equal(by_default.P, by_hand.P)
    train_contrastive(Z, P, Q, steps=7)
    names = ("maxiter", "maxfun", "maxcor", "ftol", "gtol")
    limits = [(one["method"], *(one["options"][name] for name in names)) for one in asked]
    assert limits == [("L-BFGS-B", steps, 2 * steps, 20, 0.0, 1e-13) for steps in (5_000, 5_000, 7)]
    slow, same = (
        train_contrastive(Z, P, Q, optimizer="adam", steps=3, **rate) for rate in ({}, {"learning_rate": 0.02})
    )
    np.testing.assert_array_equal(slow.P, same.P)
    assert max_norm(P, Q) == max_norm(P, Q, tolerance=1e-4, steps=20_000)
    assert train_contrastive.__kwdefaults__["steps"] == 5_000 and max_norm.__kwdefaults__ == {
        "tolerance": 1e-4,
        "steps": 20_000,
    }


def test_what_training_made_is_not_copied(monkeypatch):
    monkeypatch.setattr(_owned, "_copied", None)
    assert train_contrastive(*instance(0), steps=1).P.shape == (7, 3)


def test_a_contrastive_model_holds_plain_numbers():
    parts = {
        "P": np.eye(3),
        "Q": np.ones((2, 3)),
        "scale": np.float32(2),
        "excess": 0,
        "gradient": 0,
        "steps": np.int8(0),
    }
    held = ContrastiveModel(**parts)
    assert [type(value) for value in list(vars(held).values())[2:]] == [float, float, float, int]
    assert held.scores.tolist() == [[2.0, 2.0]] * 3 and ContrastiveModel(**parts | {"excess": -1e-20}).excess == -1e-20
    for name, wrong, message in (
        ("P", np.ones(3), "P takes a .*2-dimensional"),
        ("Q", np.ones((2, 2)), "Q, with as many columns as P: got 2, takes 3"),
        ("P", [[np.nan] * 3], "P takes finite"), ("scale", 0.0, "scale takes"), ("scale", np.inf, "scale takes"),
        ("excess", np.nan, "excess takes"), ("gradient", -1e-300, "gradient takes"),
        ("gradient", np.nan, "gradient takes"),
        ("steps", -1, "steps takes an integer"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=f"^{message}"):
            ContrastiveModel(**parts | {name: wrong})
    for name in ("scale", "excess", "gradient", "steps"):
        with pytest.raises(TypeError, match=f"^{name} takes"):
            ContrastiveModel(**parts | {name: "1"})


def test_more_steps_than_there_are_are_refused():
    for call in (
        lambda: train_contrastive(*instance(0), steps=10**30),
        lambda: max_norm(np.eye(2), np.eye(2), steps=10**30),
    ):
        with pytest.raises(ValueError, match=r"^steps takes an integer from 1 to \d+, got 10{30}$"):
            call()


# --- the smallest scale ---


def hadamard(order):
    H = np.ones((1, 1))
    while len(H) < order:
        H = np.block([[H, H], [H, -H]])
    return H


@pytest.mark.parametrize(
    ("P", "Q", "expected"),
    [
        (np.eye(4), np.eye(4), 1.0),
        (hadamard(4), np.eye(4), 2.0),  # √n for a Hadamard matrix
        (hadamard(8), np.eye(8), math.sqrt(8)),
        (np.array([[1.0], [-3]]), np.array([[2.0], [0.5], [-1]]), 6.0),  # rank 1: the largest entry
    ],
)
def test_max_norms_that_are_known(P, Q, expected):
    below, above = max_norm(P, Q)
    assert below - 1e-12 <= expected <= above + 1e-12
    assert above <= 1.0002 * below


@pytest.mark.parametrize("seed", range(4))
def test_the_max_norm_against_a_general_optimizer(seed):
    """min over L = [[1, 0], [a, e^b]] of √(max ‖Lᵀx‖² · max ‖L⁻¹y‖²), by a grid and Nelder and Mead's search."""
    rng = np.random.default_rng(seed)
    P, Q = (rng.standard_normal((8, 2)) * rng.uniform(0.3, 1, (8, 1)) for _ in range(2))

    def larger(x):
        L = np.array([[1.0, 0.0], [x[0], math.exp(x[1])]])
        lengths = (np.linalg.norm(M, axis=1).max() for M in (P @ L, Q @ np.linalg.inv(L).T))
        return math.prod(lengths)

    grid = [(a, b) for a in np.linspace(-2, 2, 41) for b in np.linspace(-2, 2, 41)]
    found = scipy.optimize.minimize(larger, min(grid, key=larger), method="Nelder-Mead", options={"xatol": 1e-9})
    below, above = max_norm(P, Q)
    assert below - 1e-9 <= found.fun <= 1.001 * above  # the corner of two maxima stops such a search early
    assert above <= 1.0002 * below


def test_the_max_norm_depends_on_the_product_alone():
    rng = np.random.default_rng(8)
    P, Q, G = rng.standard_normal((9, 3)), rng.standard_normal((7, 3)), rng.standard_normal((3, 3))
    one, other = max_norm(P, Q, tolerance=1e-6), max_norm(P @ G, Q @ np.linalg.inv(G).T, tolerance=1e-6)
    assert one == pytest.approx(other, rel=1e-5)
    assert max_norm(2 * P, -3 * Q, tolerance=1e-6) == pytest.approx(6 * np.array(one), rel=1e-5)
    assert one[0] >= abs(P @ Q.T).max() - 1e-9


@pytest.mark.parametrize("sizes", [(1e-80, 1e-80), (1e80, 1e80), (1e-170, 1.0), (1e160, 1e-160), (1e-8, 1e150)])
def test_the_max_norm_in_any_unit(sizes):
    rng = np.random.default_rng(8)
    P, Q = rng.standard_normal((9, 3)), rng.standard_normal((7, 3))
    found = np.array(max_norm(P * sizes[0], Q * sizes[1])) / (sizes[0] * sizes[1])
    np.testing.assert_allclose(found, max_norm(P, Q), rtol=1e-9)


@pytest.mark.parametrize(
    ("size", "taken"), [(0.99e-300, False), (1e-300, False), (1.01e-300, True), (0.99e308, True), (1e308, True)]
)
def test_the_products_that_a_float_holds(size, taken):
    for one, other in ((size, 1.0), (-1.0, size), (size**0.5, -(size**0.5))):
        P, Q = np.diag([one, 0.5 * one]), np.diag([0.25 * other, other])
        if taken:
            below, above = max_norm(P, Q)
            assert below <= above <= 1.0002 * below
            np.testing.assert_allclose(
                [below / size, above / size], max_norm(np.diag([1, 0.5]), np.diag([0.25, 1])), rtol=1e-9
            )
        else:
            with pytest.raises(
                ValueError, match=r"^P and Q take vectors whose products a float holds, got (9\.9e-301|1e-300)$"
            ):
                max_norm(P, Q)


def test_a_norm_that_no_float_holds_is_refused():
    """Twice the largest product."""
    with pytest.raises(ValueError, match=r"^P and Q take vectors whose products a float holds, got some of 1e\+308$"):
        max_norm(1e154 * hadamard(4), 1e154 * np.eye(4))


@pytest.mark.parametrize("spread", [1e-4, 1e-8, 1e-10, 1e-12])
def test_the_max_norm_of_bad_conditions_has_bounds_in_order(spread):
    """The last columns hardly count: the bounds contain, up to that, the norm of the product without them."""
    rng = np.random.default_rng(0)
    P, Q = rng.standard_normal((30, 3)), rng.standard_normal((20, 3))
    below, above = max_norm(P * [1, spread**0.5, spread], Q)
    first = abs(P[:, :1] @ Q[:, :1].T).max()  # rank 1: the largest entry
    assert below <= above <= 1.0002 * below
    assert abs(below - first) < 30 * spread**0.5 + 1e-4 * first
    gauge = np.array([1.0, spread**0.5, spread])
    np.testing.assert_allclose(max_norm(P * gauge, Q / gauge), max_norm(P, Q), rtol=2e-4)


def test_the_bounds_of_the_max_norm_are_floats_in_order_where_they_meet():
    for seed in range(20):  # of rank 1, where both are the largest product, up to rounding
        rng = np.random.default_rng(seed)
        below, above = max_norm(rng.standard_normal((5, 1)), rng.standard_normal((4, 1)), tolerance=1e-12)
        assert type(below) is type(above) is float and below <= above <= below * (1 + 1e-9)


@pytest.mark.parametrize(("spoiled", "taken"), [(1 + 5e-7, True), (1 + 2e-6, False), (1.5, False), (np.nan, False)])
def test_a_bound_from_below_that_is_above_is_refused(monkeypatch, spoiled, taken):
    """Which rounding would have to be bad for: no product is known that does it."""
    powers = contrastive._powers
    monkeypatch.setattr(contrastive, "_powers", lambda M, *e: [powers(M, e[0])[0] * spoiled, *powers(M, *e[1:])])
    monkeypatch.setattr(contrastive, "_balanced", lambda P, Q: (P, Q))
    if taken:
        below, above = max_norm(np.eye(2), np.eye(2), steps=1)
        assert 1 < below <= above
    else:
        with pytest.raises(
            ValueError, match=r"^P and Q take (better conditioned vectors, got |vectors whose products)"
        ):
            max_norm(np.eye(2), np.eye(2), steps=1)


def test_few_steps_give_bounds_that_hold():
    P, Q = np.random.default_rng(9).standard_normal((2, 12, 3))
    wide, narrow = max_norm(P, Q, steps=1), max_norm(P, Q, tolerance=1e-6)
    assert wide[0] <= narrow[0] <= narrow[1] <= wide[1]
    assert wide[1] > 1.01 * wide[0]


def test_unit_vectors_exist_at_the_smallest_scale_and_not_below():
    """Trained with all the room there is: at γ₂ the excess falls to rounding, below it does not.

    The directions lie all around, so that a constant added to all scores does not make a smaller scale possible.
    """
    rng = np.random.default_rng(10)
    P, Q = (unit(rng.standard_normal((size, 2))) for size in (10, 9))
    below, above = max_norm(P, Q)
    start = rng.standard_normal((10, 19)), rng.standard_normal((9, 19))
    met, missed = (train_contrastive(P @ Q.T, *start, scale=s).excess for s in (1.1 * above, 0.9 * below))
    assert below == pytest.approx(1.0, rel=1e-6)
    assert met < 1e-18
    assert missed > 1e-4


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((np.eye(3)[:, :2], np.ones((4, 2))), ValueError, "Q takes independent columns"),
        ((np.zeros((3, 2)), np.eye(2)), ValueError, "P takes independent columns"),
        ((np.eye(3), np.eye(2)), ValueError, "Q, with as many columns as P"),
        (([["a"]], [[1.0]]), TypeError, "P takes real numbers"),
        (
            (np.eye(2) * 1e200, np.eye(2) * 1e200),
            ValueError,
            "P and Q take vectors whose .* holds, got inf$",
        ),
        ((np.eye(2) * 1e-200, np.eye(2) * 1e-200), ValueError, "P and Q take vectors whose products a float holds"),
    ],
)
def test_the_max_norm_refuses_by_name(arguments, error, message):
    with pytest.raises(error, match=message):
        max_norm(*arguments)
    for name in ("tolerance", "steps"):
        with pytest.raises(ValueError, match=name):
            max_norm(np.eye(2), np.eye(2), **{name: 0})


def test_adam_divides_by_the_size_of_a_slope_and_1e_8():
    """One step at the full rate: slope / (|slope| + 1e-8)."""
    slopes = np.array([1e-8, -3e-8, 1e-6, 5.0, 0.0])
    x, steps = contrastive._run(lambda x: (0.0, slopes), np.zeros(5), "adam", 1, 0.1)
    np.testing.assert_allclose(x, -0.1 * slopes / (abs(slopes) + 1e-8), rtol=1e-12)
    assert steps == 1

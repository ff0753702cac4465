"""The L-BFGS drivers against the closed forms, against minima known by hand, and against what they must refuse."""

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse as sp

from cossim_helpers import (
    Factors,
    _owned,
    factor_penalty_gradient,
    factor_penalty_objective,
    item_item_cosine,
    minimize_factor_penalty,
    minimize_factors,
    minimize_product_penalty,
    objectives,
    product_penalty_gradient,
    product_penalty_objective,
    solve_factor_penalty,
    solve_product_penalty,
    spectrum,
)

X = (np.random.default_rng(1).random((30, 8)) < 0.4).astype(float)
DRIVERS = [minimize_product_penalty, minimize_factor_penalty]
both_drivers = pytest.mark.parametrize("driver", DRIVERS)


@pytest.mark.parametrize(("lam", "k"), [(0.0, 3), (0.7, 8), (2.0, 3), (50.0, 2), (2.0, 10)])
def test_eq1_against_the_closed_form(lam, k):
    closed = solve_product_penalty(spectrum(X), lam, min(k, 8))  # a k above p changes nothing
    ends = [minimize_product_penalty(X, lam, k, rng=seed) for seed in range(3)]
    for end in ends:
        assert end.A.shape == end.B.shape == (8, k)
        assert product_penalty_objective(X, end, lam) == pytest.approx(
            product_penalty_objective(X, closed, lam), rel=1e-9
        )
        np.testing.assert_allclose(end.A @ end.B.T, closed.A @ closed.B.T, atol=1e-5)
    assert abs(item_item_cosine(ends[0]) - item_item_cosine(ends[1])).max() > 0.05  # the choice is the start's


@pytest.mark.parametrize(("lam", "k"), [(0.7, 8), (2.0, 3), (3.0, 10)])
def test_eq2_against_the_closed_form(lam, k):
    closed = solve_factor_penalty(spectrum(X), lam, min(k, 8))
    for seed in range(3):
        end = minimize_factor_penalty(X, lam, k, rng=seed)
        assert end.A.shape == end.B.shape == (8, k)
        assert factor_penalty_objective(X, end, lam) == pytest.approx(
            factor_penalty_objective(X, closed, lam), rel=1e-9
        )
        np.testing.assert_allclose(end.A @ end.B.T, closed.A @ closed.B.T, atol=1e-5)
        np.testing.assert_allclose(end.B @ end.B.T, closed.B @ closed.B.T, atol=1e-5)


@pytest.mark.parametrize("form", [sp.csr_array, sp.coo_matrix, lambda dense: dense.astype(bool), np.ndarray.tolist])
@both_drivers
def test_every_kind_of_X(driver, form):
    one, other = driver(form(X), 1.0, 3), driver(X, 1.0, 3)
    np.testing.assert_allclose(one.A @ one.B.T, other.A @ other.B.T, atol=1e-5)


@both_drivers
def test_the_seed_draws_the_start_and_a_start_replaces_it(driver):
    np.testing.assert_array_equal(driver(X, 1.0, 3, rng=4).A, driver(X, 1.0, 3, rng=np.random.default_rng(4)).A)
    assert abs(driver(X, 1.0, 3, rng=4).A - driver(X, 1.0, 3, rng=5).A).max() > 0.01
    start = Factors(*(0.5 * np.random.default_rng(4).standard_normal((2, 8, 3))))
    np.testing.assert_array_equal(driver(X, 1.0, 3, start=start).A, driver(X, 1.0, 3, rng=4).A)
    np.testing.assert_array_equal(start.A, 0.5 * np.random.default_rng(4).standard_normal((2, 8, 3))[0])


def test_the_drivers_minimize_what_the_objectives_say():
    for driver, objective, gradient in (
        (minimize_product_penalty, product_penalty_objective, product_penalty_gradient),
        (minimize_factor_penalty, factor_penalty_objective, factor_penalty_gradient),
    ):

        def both(A, B, objective=objective, gradient=gradient):
            return objective(X, Factors(A, B), 1.5), gradient(X, Factors(A, B), 1.5)

        start = 0.5 * np.random.default_rng(0).standard_normal((2, 8, 3))
        end = driver(X, 1.5, 3)
        np.testing.assert_allclose(minimize_factors(both, start), [end.A, end.B], atol=1e-6)


def test_arrays_of_several_shapes():
    target = [np.arange(6.0).reshape(2, 3), np.array([1.0, -1.0]), np.array(4.0)]
    calls = []

    def function(*arrays):
        calls.append([one.shape for one in arrays])
        return sum(((a - t) ** 2).sum() for a, t in zip(arrays, target)), [2 * (a - t) for a, t in zip(arrays, target)]

    end = minimize_factors(function, [np.zeros((2, 3)), [0, 0], 0])
    assert {tuple(one) for one in calls} == {((2, 3), (2,), ())}
    for found, t in zip(end, target, strict=True):
        assert found.shape == t.shape
        np.testing.assert_allclose(found, t, atol=1e-8)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("stretch", [1e-6, 1.0, 1e6])
def test_whether_an_end_is_stationary_does_not_depend_on_units(scale, stretch):
    def rosenbrock(z):
        x, y = z / stretch
        slope = np.array([-400 * x * (y - x * x) - 2 * (1 - x), 200 * (y - x * x)])
        return scale * (100 * (y - x * x) ** 2 + (1 - x) ** 2), [scale * slope / stretch]

    [end] = minimize_factors(rosenbrock, [stretch * np.array([-1.2, 1.0])])
    np.testing.assert_allclose(end / stretch, 1.0, atol=1e-2)
    with pytest.raises(RuntimeError, match="not stationary"):
        minimize_factors(rosenbrock, [stretch * np.array([-1.2, 1.0])], max_iterations=5)


@pytest.mark.parametrize(
    "function",
    [
        lambda z: ((z**2).sum(), [-2 * z]),  # a gradient of the wrong sign
        lambda z: (abs(z).sum() + abs(z - 1).sum() ** 2, [np.ones(3)]),  # a gradient of another function
        lambda z: (abs(z - 0.3).sum() + 1, [np.where(z > 0.3, 1.0, -1.0)]),  # a kink at the minimum
    ],
)
def test_an_end_that_is_not_stationary_is_an_error(function):
    with pytest.raises(RuntimeError, match="not stationary"):
        minimize_factors(function, [[1.0, 2.0, -1.5]])


def test_a_start_at_zero_needs_a_gradient_of_zero():
    [end] = minimize_factors(lambda z: (1 + (z**2).sum(), [2 * z]), [np.zeros(2)])
    assert not end.any()
    with pytest.raises(RuntimeError, match="not stationary"):
        minimize_factors(lambda z: (1 + (z**2).sum(), [2 * z + 1e-3]), [np.zeros(2)])  # the gradient is wrong


@both_drivers
@pytest.mark.parametrize("seed", range(5))
def test_an_end_above_what_zero_factors_cost_is_an_error(driver, seed):
    """Its gradient is small beside the value at the start, which is 1e40 times as large as that of the minimum."""
    far = Factors(*(1e10 * np.random.default_rng(seed).standard_normal((2, 8, 3))))
    with pytest.raises(RuntimeError, match=r"not stationary: the value is .* ‖X‖², and no stationary"):
        driver(X, 1e-3, 3, start=far)
    end = driver(np.zeros((4, 8)), 1.0, 3)  # the minimum is 0, and all else above it
    assert abs(end.A @ end.B.T).max() < 1e-6


@pytest.mark.parametrize(
    ("driver", "above"),
    [
        (minimize_product_penalty, lambda more: (1.0, -more / 2)),  # ¼ (1 − ab)² + ¼ (ab)² for X = ½, λ = ¼
        (minimize_factor_penalty, lambda more: (2 * np.sqrt(more), 0.0)),  # ¼ (1 − ab)² + ¼ (¼ a² + b²)
        (minimize_factor_penalty, lambda more: (0.0, np.sqrt(more))),
    ],
)
def test_how_far_above_is_an_error(driver, above, monkeypatch):
    for more in (1e-7, 1e-5):
        end = [np.array([[number]]) for number in above(more)]
        monkeypatch.setattr(objectives, "_lbfgs", lambda *ignored, end=end: end)
        if more == 1e-7:
            assert driver([[0.5]], 0.25, 1).A == end[0]
        else:
            with pytest.raises(RuntimeError, match=r"the value is 1\.00001 ‖X‖²"):
                driver([[0.5]], 0.25, 1)


def test_no_minimum_and_no_number():
    with pytest.raises(RuntimeError, match=r"not stationary|not finite"), np.errstate(all="ignore"):
        minimize_factors(lambda z: (-(z**4).sum(), [-4 * z**3]), [[1.0]])
    with pytest.raises(RuntimeError, match=r"objective is nan"):
        minimize_factors(lambda z: (np.nan, [z]), [[1.0]])
    with pytest.raises(RuntimeError, match=r"gradient is not finite"):
        minimize_factors(lambda z: (1.0, [np.inf * z]), [[1.0]])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"lam": -1}, ValueError, "^lam takes"),
        ({"lam": "1"}, TypeError, "^lam takes"),
        ({"k": 0}, ValueError, "^k takes an integer at least 1, got 0"),
        ({"k": 2**31}, ValueError, "^k takes an integer from 1 to 2147483647, got"),
        ({"k": 2.0}, TypeError, "^k takes an integer"),
        ({"X": X[0]}, ValueError, "^X takes a non-empty 2-dimensional array"),
        ({"X": np.where(X > 0, np.nan, X)}, ValueError, "^X takes finite numbers"),
        ({"start": (X, X)}, TypeError, "^start takes Factors, got tuple"),
        ({"start": Factors(X[:8, :2], X[:8, :2])}, ValueError, r"^start, with .*got \(8, 2\), takes \(8, 3\)"),
        ({"start": Factors(X[:7, :3], X[:7, :3])}, ValueError, r"^start, with .*got \(7, 3\), takes \(8, 3\)"),
    ],
)
@both_drivers
def test_bad_arguments_of_the_drivers(driver, change, error, message):
    with pytest.raises(error, match=message):
        driver(**({"X": X, "lam": 1.0, "k": 3} | change))


def parabola(z):
    return (z**2).sum(), [2 * z]


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((3, [[1.0]]), {}, TypeError, "^objective_and_gradients takes a function of arrays, got 3"),
        ((parabola, Factors(X, X)), {}, TypeError, "^start takes a sequence of arrays, got Factors"),
        ((parabola, []), {}, ValueError, "^start takes at least one array"),
        ((parabola, [[np.nan]]), {}, ValueError, r"start\[0\] takes finite numbers"),
        ((parabola, [["a"]]), {}, TypeError, r"start\[0\] takes real numbers"),
        ((lambda z: (0.0, [z[:1]]), [[1.0, 2.0]]), {}, ValueError, r"shapes of its gradients: got \[\(1,\)\]"),
        ((lambda z: (0.0, [z, z]), [[1.0, 2.0]]), {}, ValueError, "shapes of its gradients"),
        ((parabola, [[1.0]]), {"tol": 0.0}, ValueError, "^tol takes"),
        ((parabola, [[1.0]]), {"max_iterations": 0}, ValueError, "^max_iterations takes"),
    ],
)
def test_bad_arguments_of_the_generic_driver(arguments, options, error, message):
    with pytest.raises(error, match=message):
        minimize_factors(*arguments, **options)


# --- units ---

OF_LAM = {product_penalty_objective: 2, factor_penalty_objective: 1}  # λ of c X is c^… λ of X
GRADIENTS = {product_penalty_objective: product_penalty_gradient, factor_penalty_objective: factor_penalty_gradient}


@pytest.mark.parametrize("objective", OF_LAM)
@pytest.mark.parametrize("power", [-98, -60, 60, 98])
@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
def test_objectives_and_gradients_in_any_unit(objective, power, form):
    """c X has the objective of X times c², at A and B, or for Eq. 2 at A/√c and B √c; c is a power of two."""
    A, B = np.random.default_rng(0).standard_normal((2, 8, 3))
    half = 0 if OF_LAM[objective] == 2 else power // 2
    there = Factors(np.ldexp(A, -half), np.ldexp(B, half))
    scaled, lam = form(np.ldexp(X, power)), float(np.ldexp(0.7, OF_LAM[objective] * power))
    value = objective(X, Factors(A, B), 0.7)
    assert type(value) is float and type(objective(scaled, there, lam)) is float
    np.testing.assert_allclose(np.ldexp(objective(scaled, there, lam), -2 * power), value, rtol=1e-12)
    for found, one, sign in zip(
        GRADIENTS[objective](scaled, there, lam), GRADIENTS[objective](X, Factors(A, B), 0.7), (1, -1)
    ):
        np.testing.assert_allclose(np.ldexp(found, -2 * power - sign * half), one, rtol=0, atol=1e-12 * abs(one).max())


@both_drivers
@pytest.mark.parametrize("power", [-99, -61, -60, -15, 15, 60, 61, 99])
def test_the_drivers_in_any_unit(driver, power):
    of_lam = 2 if driver is minimize_product_penalty else 1
    half = 0 if of_lam == 2 else power / 2
    lam = float(np.ldexp(1.0, of_lam * power))
    end, scaled = driver(X, 1.0, 3, rng=0), driver(np.ldexp(X, power), lam, 3, rng=0)
    np.testing.assert_allclose(scaled.A @ scaled.B.T, end.A @ end.B.T, atol=1e-5)
    if of_lam == 1:
        np.testing.assert_allclose(scaled.B @ scaled.B.T * 2.0**-power, end.B @ end.B.T, atol=1e-5)
    start = Factors(end.A * 2.0**-half * 1.5, end.B * 2.0**half * 0.5)
    again = driver(np.ldexp(X, power), lam, 3, start=start)
    np.testing.assert_allclose(again.A @ again.B.T, end.A @ end.B.T, atol=1e-5)
    small, large = np.full((8, 3), 1e-100), np.full((8, 3), 1e100)
    for far in (Factors(large, end.B), Factors(end.A, large), Factors(small, large)):
        with pytest.raises(ValueError, match=r"^start takes 0 or a largest size from 1e-30 to 1e\+30, got"):
            driver(np.ldexp(X, power), lam, 3, start=far)


@both_drivers
def test_a_penalty_far_from_X(driver):
    for size, lam in ((1e-20, 1e308), (1e-20, 1e20), (1e20, 1e-20)):
        with pytest.raises(ValueError, match=r"^lam takes 0 or a largest size from 1e-30 to 1e\+30 in units of X, got"):
            driver(size * X, lam, 2)
    with pytest.raises(ValueError, match=r"^X takes 0 or a largest size from 1e-30 to 1e\+30, got 1.01e\+30"):
        driver(1.01e30 * X, 1.0, 2)


@pytest.mark.parametrize("call", [*GRADIENTS, *GRADIENTS.values()])
@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
def test_numbers_with_which_the_formulas_lose_digits_are_refused(call, form):
    A, B = np.random.default_rng(0).uniform(-1, 1, (2, 8, 3))
    A[0, 0] = B[0, 0] = -1.0  # the largest

    def at(size_X=1.0, size_A=1.0, size_B=1.0, lam=1.0):
        return call(form(size_X * X), Factors(size_A * A, size_B * B), lam)

    for name, argument, power in (("X", 0, 30), ("factors", 1, 30), ("factors", 2, 30), ("lam", 3, 60)):
        for end, beyond in ((float(f"1e{power}"), np.inf), (float(f"1e-{power}"), 0.0)):
            sizes = [1.0] * 4
            for sizes[argument] in (0.0, end):
                assert np.isfinite(at(*sizes)).all()
            sizes[argument] = np.nextafter(end, beyond)
            takes = rf"{name} takes 0 or a largest size from 1e-{power} to 1e\+{power}"
            with pytest.raises(ValueError, match=rf"^{takes}, got 1e[+-]{power}$"):
                at(*sizes)


@pytest.mark.parametrize("call", [*GRADIENTS, *GRADIENTS.values()])
@pytest.mark.parametrize(("lam", "error"), [(-1.0, ValueError), (np.nan, ValueError), ("1", TypeError)])
def test_a_penalty_that_is_none_is_refused(call, lam, error):
    with pytest.raises(error, match=r"^lam takes"):
        call(X, Factors(X[:8, :3], X[:8, :3]), lam)


@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("n", [999, 1_000, 1_001, 2_300])
def test_each_user_counts_once_however_many_there_are(form, n):
    rng = np.random.default_rng(n)
    A, B, many = rng.standard_normal((4, 2)), rng.standard_normal((4, 2)), rng.standard_normal((n, 4))
    error = np.linalg.norm(many - many @ A @ B.T) ** 2
    assert product_penalty_objective(form(many), Factors(A, B), 0.0) == pytest.approx(error, rel=1e-12)


@both_drivers
def test_an_end_of_the_drivers_has_to_be_stationary(driver, monkeypatch):
    search = scipy.optimize.minimize

    def too_short(*arguments, options, **others):
        return search(*arguments, options=options | {"maxiter": 2}, **others)

    monkeypatch.setattr(scipy.optimize, "minimize", too_short)
    with pytest.raises(RuntimeError, match="not stationary"):
        driver(X, 1.0, 3)


@both_drivers
def test_what_the_search_has_made_is_not_copied_once_more(driver, monkeypatch):
    copied = []
    monkeypatch.setattr(_owned, "_copied", lambda value: copied.append(value) or value)
    driver(X, 1.0, 1)
    assert not copied


@both_drivers
def test_a_minimum_of_zero_is_reached_without_underflow(driver):
    end = driver(np.zeros((1, 2)), 0.3, 1, start=Factors(-np.ones((2, 1)), -np.ones((2, 1))))
    assert abs(end.A @ end.B.T).max() < 1e-6


@pytest.mark.parametrize(("slope", "accepted"), [(0.999e-6, True), (1e-6, True), (1.001e-6, False)])
@pytest.mark.parametrize(
    ("first", "last", "z", "x"),  # values and points at both ends; the larger counts, in size
    [(8.0, 4.0, 4.0, 2.0), (4.0, -8.0, 2.0, 4.0), (-8.0, -9.0, 0.0, 0.5), (-8.0, 1.0, 0.0, 4.0), (8.0, 0.0, 0.0, 0.0)],
)
def test_stationary_means_what_the_docstring_says(slope, accepted, first, last, z, x, monkeypatch):
    scale, size = max(abs(first), abs(last)), max(z or 1.0, x)

    def ends(function, start, **others):
        jac = np.array([slope * scale / size, 0.0])
        return scipy.optimize.OptimizeResult(x=np.array([0.0, x]), fun=last, jac=jac, nit=3, message="")

    monkeypatch.setattr(scipy.optimize, "minimize", ends)
    search = lambda: minimize_factors(lambda z: (first, [np.ones(2)]), [[z, 0.0]], tol=1e-6 * (1 + 1e-12))  # noqa: E731
    if accepted:
        np.testing.assert_array_equal(search()[0], [0.0, x])
    else:
        with pytest.raises(RuntimeError, match="not stationary"):
            search()


def test_one_round_is_enough_at_a_minimum_and_gradients_may_be_of_any_type():
    [end] = minimize_factors(lambda z: (z @ z, [np.zeros(2, int)]), [[0.0, 0.0]], max_iterations=1)
    assert end.tolist() == [0.0, 0.0]
    with pytest.raises(RuntimeError, match="gradient is not finite"):
        minimize_factors(lambda z: (z @ z, [np.array([1.0, np.inf])]), [[1.0, 1.0]])

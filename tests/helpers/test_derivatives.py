"""The derivatives that count what moves, against complex steps of the quantities themselves."""

import numpy as np
import pytest
from oracles import STEP, nuisance, quantities

from cossim_helpers import _derivatives


def by_complex_step(P, Q, dP, dQ, squared_distances):
    """name -> derivative along (dP, dQ), less what means nothing."""
    before = quantities(P, Q, squared_distances)
    after = quantities(P + 1j * STEP * dP, Q + 1j * STEP * dQ, squared_distances)
    for name, value in before.items():
        change, dull = np.ravel(np.imag(after[name])) / STEP, nuisance(name, np.real(value))
        rest = change - dull @ np.linalg.lstsq(dull, change, rcond=None)[0]
        p = len(Q)
        if name == "item_item_order":
            whole = np.zeros((p, p))
            whole[~np.eye(p, dtype=bool)] = rest
            rest = whole.ravel()
        yield name, rest.reshape(p, p)[np.triu_indices(p, 1)] if name == "distance" else rest


@pytest.mark.parametrize("squared_distances", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_each_derivative_against_complex_steps(seed, squared_distances):
    rng = np.random.default_rng(seed)
    n, p, k = rng.integers(4, 7), rng.integers(5, 8), rng.integers(2, 5)
    P, Q, dP, dQ = (rng.standard_normal((rows, k)) * rng.uniform(0.2, 5, (rows, 1)) for rows in (n, p, n, p))
    found = dict(_derivatives.changes(P, Q, dP, dQ, squared_distances))
    expected = dict(by_complex_step(P, Q, dP, dQ, squared_distances))
    assert found.keys() == expected.keys()
    for name, change in expected.items():
        scale = abs(change).max()
        np.testing.assert_allclose(found[name], change, rtol=0, atol=1e-10 * scale, err_msg=name)
        if name not in ("whitened", "centered_whitened"):
            assert scale > 1e-3, name


def test_users_and_items_may_have_units_of_their_own():
    P, dP, Q, dQ = np.random.default_rng(0).standard_normal((4, 6, 3))
    for a, b in ((1.0, 0.25), (8.0, 1.0)):  # scores of the lengths, all else up to a factor
        found = dict(_derivatives.changes(P / a, Q / b, dP / a, dQ / b, True, (a, b)))
        for name, change in _derivatives.changes(P, Q, dP, dQ, True):
            factor = b**2 if name in ("distance", "cka") else 1.0
            np.testing.assert_allclose(found[name] * factor, change, atol=1e-12 * max(1, factor), err_msg=name)


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("k", [2, 3])
def test_the_projector_and_its_derivative_where_columns_depend(k, unit):
    """Rank below the columns, and columns of very different lengths; M moves with its column space's rank kept."""
    rng = np.random.default_rng(k)
    M = unit * rng.standard_normal((6, k)) * np.logspace(0, -8, k) @ rng.standard_normal((k, k + 1))
    R, S, h = rng.standard_normal((6, 6)), rng.standard_normal((k + 1, k + 1)), 1e-6

    def projector(t):
        left = np.linalg.svd((np.eye(6) + t * R) @ M @ (np.eye(k + 1) + t * S))[0][:, :k]
        return left @ left.T

    found, change = _derivatives._projector(M, R @ M + M @ S)
    np.testing.assert_allclose(found, projector(0), atol=1e-6)
    np.testing.assert_allclose(change, (projector(h) - projector(-h)) / (2 * h), atol=1e-2 * abs(change).max())


def test_rows_without_a_direction_have_no_cosine_to_move():
    """A squared length of 1e-24 of the largest is rounding, whatever the unit; a row of zeros has none at all."""
    for unit in (1e-30, 1.0, 1e30):
        for small, moves in ((0.9e-24, False), (1.1e-24, True)):
            K = unit * np.array([[1.0, 0.0, 0.0], [0.0, small, 0.0], [0.0, 0.0, 0.0]])
            dK = unit * np.array([[0.0, small**0.5, 1.0], [small**0.5, 0.0, 1.0], [1.0, 1.0, 1.0]])
            expected = [1.0 if moves else 0.0, 0.0, 0.0]
            np.testing.assert_allclose(_derivatives._cosines(K, dK), expected, rtol=1e-12)
    np.testing.assert_array_equal(_derivatives._cosines(np.zeros((3, 3)), np.ones((3, 3))), np.zeros(3))
    for part in _derivatives._projector(np.zeros((3, 2)), np.ones((3, 2))):
        np.testing.assert_array_equal(part, np.zeros((3, 3)))
    assert _derivatives._cosines(np.zeros((0, 0)), np.zeros((0, 0))).size == 0


def test_parts_that_mean_nothing_are_left_out():
    rng = np.random.default_rng(0)
    direction, change = rng.standard_normal((2, 5))
    rest = _derivatives._without(direction, change)
    assert abs(rest @ direction) < 1e-14 and np.linalg.matrix_rank(np.stack([change - rest, direction]), 1e-12) == 1
    np.testing.assert_array_equal(_derivatives._without(np.zeros(5), change), change)
    tiny = 1e-148 * direction  # its square is still a number
    np.testing.assert_allclose(_derivatives._without(tiny, change), rest, rtol=1e-12)
    np.testing.assert_array_equal(_derivatives._bend(np.ones((1, 1)), np.ones((1, 1)), skip_diagonal=True), [0.0])
    M = np.array([[3.0, 4.0], [0.0, 0.0]])
    unit, d_unit = _derivatives._unit(M, np.array([[4.0, -3.0], [1.0, 2.0]]))
    np.testing.assert_allclose(unit, [[0.6, 0.8], [0.0, 0.0]], rtol=1e-15)
    np.testing.assert_allclose(d_unit, [[0.8, -0.6], [1.0, 2.0]], rtol=1e-15)


def test_distances_keep_their_digits_far_from_the_origin():
    Q, dQ = np.random.default_rng(0).integers(-9, 9, (2, 8, 3)).astype(float)  # a mean of 8 is exact
    near = _derivatives._distances(Q, dQ)
    for far in (_derivatives._distances(Q + 2.0**49, dQ), _derivatives._distances(Q, dQ + 2.0**49)):
        for found, expected in zip(far, near, strict=True):
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11)

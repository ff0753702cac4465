"""Which singular values count, and the spaces that follow: against values by hand, and general solvers."""

import numpy as np
import pytest
import scipy.linalg

from cossim_helpers import _ranks


def test_what_counts_as_0_and_how_near_it_was():
    ranks = _ranks.Ranks()
    assert (ranks.kept, ranks.dropped) == (1.0, 0.0)
    assert type(ranks.rank(np.ones(1))) is int
    assert ranks.rank(np.array([4.0, 3.0])) == 2 and (ranks.kept, ranks.dropped) == (0.75, 0.0)
    assert ranks.rank(np.array([2.0, 1.0, 1e-3, 1e-12])) == 3
    assert (ranks.kept, ranks.dropped) == (5e-4, 5e-13)  # the closest so far
    assert ranks.rank(np.array([1.0, 1.0])) == 2 and (ranks.kept, ranks.dropped) == (5e-4, 5e-13)
    assert _ranks.Ranks().rank(np.array([1.0, 1e-9])) == 1 and _ranks.Ranks().rank(np.array([1.0, 1.1e-9])) == 2
    for size in (1e-10, 1e-300, 1e300):  # relative to the largest, unless there is a floor
        assert _ranks.Ranks().rank(np.array([size, size])) == 2
    assert _ranks.Ranks().rank(np.array([1e-10]), floor=1.0) == 0
    assert _ranks.Ranks().rank(np.array([1e-10, 5.0]), floor=1.0) == 1
    assert _ranks.Ranks().rank(np.zeros(3)) == _ranks.Ranks().rank(np.zeros(0)) == 0


def projector(columns):
    return columns @ columns.T


@pytest.mark.parametrize("shape", [(7, 4), (3, 5), (4, 4), (1, 3)])
@pytest.mark.parametrize("rank", [1, 2, 5])
def test_spaces_of_rows_by_the_singular_value_decomposition(shape, rank):
    rank = min(rank, *shape)
    rng = np.random.default_rng([*shape, rank])
    M = rng.standard_normal((shape[0], rank)) @ rng.standard_normal((rank, shape[1]))
    rows, empty = _ranks.row_space(M), _ranks.empty_space(M)
    assert rows.shape == (shape[1], rank) and empty.shape == (shape[1], shape[1] - rank)
    np.testing.assert_allclose(projector(rows), np.linalg.pinv(M) @ M, atol=1e-10)
    np.testing.assert_allclose(projector(rows) + projector(empty), np.eye(shape[1]), atol=1e-10)
    for size in (1e-6, 1.0, 1e6):  # rounding is no row, in any unit
        noisy = size * (M + 1e-11 * rng.standard_normal(shape))
        assert _ranks.row_space(noisy).shape[1] == rank and _ranks.empty_space(noisy).shape[1] == shape[1] - rank


def systems():
    """Equations, among them unknowns that stand in one only: null spaces of several sizes."""
    rng = np.random.default_rng(0)
    C = rng.standard_normal((4, 9))
    yield "dense", C
    yield "a zero in each column", np.where(np.arange(4)[:, None] == np.arange(9) % 4, 0.0, C)
    alone = C.copy()
    alone[1:, 0], alone[:1, 1], alone[2:, 1] = 0.0, 0.0, 0.0
    yield "unknowns of one equation", alone
    yield "an unknown of none", np.insert(alone, 3, 0.0, axis=1)
    yield "solved by them", np.hstack([np.diag([1.0, -2, 3, 1e-3]), C])
    yield "as many equations", rng.standard_normal((5, 5))
    yield "dependent", np.vstack([C, C[:1] + C[1:2]])
    yield "no equations", np.zeros((0, 3))
    yield "two each", np.array([[1.0, 1, 0, 0], [0, 1, 2, 0], [0, 0, 1, 1]])
    yield "one of zeros", np.array([[0.0, 0.0], [1.0, 1.0]])
    yield "a small one alone", np.array([[1e-10, 1.0, 2.0], [0.0, 1.0, 1.0]])  # too small to be divided by


@pytest.mark.parametrize(("name", "C"), list(systems()), ids=lambda value: value if isinstance(value, str) else "")
def test_null_spaces_by_a_general_solver(name, C):
    x = _ranks.null_space(C, _ranks.Ranks())
    expected = scipy.linalg.null_space(C, rcond=1e-9) if len(C) else np.eye(C.shape[1])
    assert x.shape == expected.T.shape
    assert abs(C @ x.T).max(initial=0.0) < 1e-9
    np.testing.assert_allclose(projector(scipy.linalg.orth(x.T)), projector(expected), atol=1e-8)


def test_a_floor_makes_small_equations_none():
    C = 1e-11 * np.random.default_rng(1).standard_normal((2, 4))
    assert len(_ranks.null_space(C, _ranks.Ranks())) == 2
    assert len(_ranks.null_space(C, _ranks.Ranks(), floor=1.0)) == 4
    assert len(_ranks.null_space(np.array([[1e-11, 0.0], [0.0, 1.0]]), _ranks.Ranks(), floor=1.0)) == 1


def test_an_unknown_is_small_beside_its_equation_not_beside_others():
    C = np.array([[1e-11, 2e-11, 0, 0, 0], [0, 0, 1, 1, 1], [0, 0, 1, 2, 3]])
    x = _ranks.null_space(C, _ranks.Ranks())
    assert len(x) == 2 and abs(C @ x.T).max() < 1e-14


def test_unknowns_of_one_equation_leave_the_system_first(monkeypatch):
    dense, shapes = _ranks._dense_null_space, []
    monkeypatch.setattr(_ranks, "_dense_null_space", lambda C, *rest: shapes.append(C.shape) or dense(C, *rest))
    C = np.random.default_rng(3).standard_normal((4, 9))
    _ranks.null_space(np.hstack([np.diag([1.0, -2, 3, 1e-3]), C]), _ranks.Ranks())
    _ranks.null_space(np.hstack([[[0.0], [-3.0], [0.0], [0.0]], C]), _ranks.Ranks())
    assert shapes == [(0, 9), (3, 9)]


def test_no_row_and_a_row_at_the_tolerance_span_nothing():
    assert _ranks.row_space(np.zeros((2, 3))).shape == (3, 0) and _ranks.empty_space(np.zeros((2, 3))).shape == (3, 3)
    assert _ranks.row_space(np.diag([1.0, 1e-9])).shape == (2, 1)


@pytest.mark.parametrize(("apart", "found"), [(1.5e-9, True), (2.5e-9, False)])
def test_a_hyperplane_holds_within_2e9_at_distance_1(apart, found):
    assert (_ranks.axis_of_hyperplane(np.array([[1.0], [1 + 2 * apart]])) is not None) == found


def test_one_row_in_a_hyperplane_is_not_all():
    assert _ranks.axis_of_hyperplane(np.array([[1.0], [2.0], *[[0.5]] * 8])) is None  # a = 1 fits the first


def test_rounding_is_no_dimension_of_a_hyperplane():
    rng = np.random.default_rng(4)
    M = np.hstack([np.ones((8, 1)), rng.standard_normal((8, 1)), 1e-11 * rng.standard_normal((8, 1))])
    np.testing.assert_allclose(_ranks.axis_of_hyperplane(M), [1, 0, 0], atol=1e-9)


def test_a_hyperplane_that_misses_0():
    rng = np.random.default_rng(2)
    a, M = np.array([0.5, -2.0, 1.0]), rng.standard_normal((8, 3))
    M /= (M @ a)[:, None]
    np.testing.assert_allclose(_ranks.axis_of_hyperplane(M), a, atol=1e-9)
    assert _ranks.axis_of_hyperplane(M + 1e-6 * rng.standard_normal(M.shape)) is None
    assert _ranks.axis_of_hyperplane(M - M.mean(axis=0)) is None  # through 0
    assert _ranks.axis_of_hyperplane(rng.standard_normal((8, 3))) is None
    np.testing.assert_allclose(_ranks.axis_of_hyperplane(M[:2]) @ M[:2].T, 1, atol=1e-12)  # few rows always lie in one


@pytest.mark.parametrize("size", [1.0, 1e-200, 1e200])
def test_rows_less_their_mean(size):
    M = size * np.array([[1.0, 2.0], [3.0, 2.0], [2.0, 5.0]])
    np.testing.assert_allclose(
        _ranks.less_the_mean(M), size * np.array([[-1.0, -1], [1, -1], [0, 2]]), atol=1e-14 * size
    )
    same = np.tile(size * np.array([[0.1, 0.7]]), (7, 1))
    assert not _ranks.less_the_mean(same).any()
    near = np.vstack([same, size * np.array([[0.1 + 1e-12, 0.7]])])  # 1e-12 is no rounding
    assert _ranks.less_the_mean(near).any(axis=1).all()
    assert not _ranks.less_the_mean(np.zeros((2, 3))).any()


def test_numbers_far_apart_have_a_mean():
    M = -np.array([[1e-200, 1.0], [1e-200, 2.0]])
    np.testing.assert_array_equal(_ranks.less_the_mean(M), [[0.0, 0.5], [0.0, -0.5]])


def test_a_row_is_at_the_mean_within_eight_units_of_the_longest():
    eps = np.finfo(np.float64).eps
    np.testing.assert_array_equal(_ranks.less_the_mean(np.array([[1.0], [1 - 17 * eps]])), [[8.5 * eps], [-8.5 * eps]])
    assert not _ranks.less_the_mean(np.array([[1.0], [1 - 16 * eps]])).any()
    around = _ranks.less_the_mean(np.array([[1.0], [-1.0], [1e-15]]))
    assert around[:2].all() and not around[2].any()
    assert _ranks.less_the_mean(np.array([[1.0], [-1.0]] * 50 + [[5e-15]]))[100] > 0  # however many rows there are

"""Counts of free directions: what stands at a bound, what an error says, and the parts by themselves."""

import dataclasses
import itertools
import re

import numpy as np
import pytest
from instances import for_model, two_sides
from oracles import free_directions, unit

from cossim_helpers import _moves, determined, fibers, freedom
from cossim_helpers._ranks import Ranks


def sides(n=6, p=7, k=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, k)), unit(rng.standard_normal((p, k)))


# --- what it takes ---


def test_rows_of_one_length_are_so_within_a_billionth():
    P, Q = sides()
    for name, loss, vectors in (("Q", "gain-after-norm", lambda M: (P, M)), ("P", "lm-head", lambda M: (M, P))):
        for size in (1.0, 1e-200, 1e200):
            longer = size * Q
            longer[0] *= 1 + 0.9e-9
            freedom(*vectors(longer), loss)
            longer[0] *= 1 + 0.2e-9
            with pytest.raises(
                ValueError, match=f"{name} / gain takes rows of one length, got a longest of 1.000000001"
            ):
                freedom(*vectors(longer), loss)
        for factor, words in ((2, "2 times the shortest"), (0, "inf times the shortest")):
            with pytest.raises(ValueError, match=f"got a longest of {words}"):
                freedom(*vectors(Q * np.where(np.arange(len(Q)) == 3, factor, 1)[:, None]), loss)


def test_gains_are_at_most_a_hundred_decades_apart():
    P, Q = sides()
    for gain in ([1e-100, 1.0, 1.0], [1e-150, 1e-50, 1e-50]):
        fibers._checked(P, Q * gain, determined("gain-after-norm"), gain)
    for gain in ([0.9e-100, 1.0, 1.0], [1.0, 1.0, 1.1e100]):
        with pytest.raises(ValueError, match=re.escape(f"far apart, got {min(gain):.6g} to {max(gain):.6g}")):
            fibers._checked(P, Q * gain, determined("gain-after-norm"), gain)


def test_numbers_that_are_no_vectors_are_refused_by_name():
    P, Q = sides()
    for name, vectors in (("P", lambda M: (M, Q)), ("Q", lambda M: (P, M))):
        for value, words in ((np.full((6, 3), np.nan), "finite"), (np.ones(3), "a non-empty 2-dim")):
            with pytest.raises(ValueError, match=f"^{name} takes {words}"):
                freedom(*vectors(value), "squared")
    with pytest.raises(ValueError, match=r"P takes vectors whose lengths a float holds, got numbers of up to 2\^1024"):
        freedom(np.full((6, 3), 1.7e308), Q, "squared")


def test_a_count_holds_what_it_was_given_and_stays():
    found = freedom(*sides(), "bpr")
    moved = dict(found.moved)
    other = dataclasses.replace(found, moved=moved)
    moved.clear()
    assert other.moved == found.moved and other != found  # an array has no one answer to ==
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.directions = 0
    assert all(array.base is None for array in (found.dP, found.dQ, found.dscale))  # nothing behind it stays in memory


def test_blocks_are_whole_numbers_from_1_on():
    for blocks, error, words in (([1.0, 2], TypeError, "1.0 "), ([0, 3], ValueError, "at least 1, got 0")):
        with pytest.raises(error, match=f"blocks takes an integer.*{words}"):
            freedom(*sides(), "matryoshka-dot", blocks=blocks)


# --- what it counts ---


def test_vectors_of_any_length_have_no_scale():
    for learned in (False, True):
        found = freedom(*sides(), "squared", scale_is_learned=learned, scale=7.0)
        assert found.directions == 6 and not found.dscale.any()
    found = freedom(*(unit(M) for M in sides(9, 9)), "cosine-mse")
    assert found.directions == 0 and found.dP.shape == (0, 9, 3) and set(found.moved.values()) == {0}


def test_moves_are_orthonormal_at_the_root_mean_square_length_1():
    P, Q = sides()
    for factors in ((1.0, 1.0), (3.0, 0.2), (1e-100, 7.0)):
        A, B = P * factors[0], Q * factors[1]
        found = freedom(A, B, "squared")
        parts = (dM / np.sqrt((M**2).sum() / len(M)) for M, dM in ((A, found.dP), (B, found.dQ)))
        flat = np.concatenate([part.reshape(6, -1) for part in parts], axis=1)
        np.testing.assert_allclose(flat @ flat.T, np.eye(6), atol=1e-9)


@pytest.mark.parametrize("power", [-390, 390])
@pytest.mark.parametrize("loss", ["gain-after-norm", "lm-head"])
def test_a_gain_has_no_unit(loss, power):
    P, Q = sides()
    P, Q, gain = (P, Q, np.array([1.0, 0.6, 2.0])) if loss == "gain-after-norm" else (Q, P, np.array([0.7, 0.6, 2.0]))
    P, Q = (P, Q * gain) if loss == "gain-after-norm" else (P * gain, Q)
    here, far = freedom(P, Q, loss, gain=gain), freedom(P, Q, loss, gain=gain * 2.0**power)
    assert (here.directions, here.moved) == (far.directions, far.moved)
    np.testing.assert_array_equal(far.dQ, here.dQ)


def test_what_counts_as_a_move_beside_the_vectors():
    """1e-9 of the root of the number of vectors, which is their size where their root mean square length is 1."""
    P, Q = (unit(M) for M in sides(8, 8))
    dP, dQ = -P @ np.diag([1.0, 2.0, 0.0]), Q @ np.diag([1.0, 2.0, 0.0])
    size = np.linalg.norm(np.append(dP, dQ))
    for length, counts in ((2e-9, 0), (8e-9, 1), (1.0, 1)):  # 4e-9 is the bound
        moves = dP[None] * length / size, dQ[None] * length / size, np.zeros(1)
        assert len(fibers._but_for_rotations(P, Q, np.eye(3), moves, Ranks())[2]) == counts


def test_what_counts_as_a_change_beside_1():
    dP, dQ = np.zeros((1, 1, 2)), np.zeros((1, 2, 2))
    for change, counts in ((0.9e-9, 0), (1.5e-9, 1), (3.0, 1)):
        dP[0, 0, 1] = change
        assert all_moved(np.eye(2)[:1], np.eye(2), dP, dQ)["user_item_value"] == counts


def all_moved(P, Q, dP, dQ):
    return fibers._moved(P, Q, dP, dQ, determined("squared").quantities, Ranks(), False, (1.0, 1.0))


def test_a_sample_has_the_rank_of_all(monkeypatch):
    P, Q = sides(12, 13)
    found = freedom(P, Q, "squared")
    alone = np.zeros((13, 1, 13, 3))
    alone[np.arange(13), 0, np.arange(13)] = 1.0
    each = [all_moved(P, Q, np.zeros((1, *P.shape)), dQ) for dQ in alone]
    assert all(moved["user_item_value"] == moved["item_item_value"] == 1 for moved in each)  # few entries, all seen
    monkeypatch.setattr(fibers, "_SAMPLE", 1)  # four entries for each direction, then
    assert all_moved(P, Q, found.dP, found.dQ) == found.moved and found.moved["item_item_value"] == 5


# --- how much fits ---


def test_moves_of_up_to_400_megabytes():
    x = np.zeros((2, 0))
    dP, dQ, dscale = _moves._sum_of_moves(np.broadcast_to(0.0, (10**7, 2)), np.broadcast_to(0.0, (10**6, 5)), [], x)
    assert (dP.shape, dQ.shape, dscale.shape) == ((2, 10**7, 2), (2, 10**6, 5), (2,))
    with pytest.raises(ValueError, match="P and Q take fewer rows: 3 moves of 16666667 numbers each"):
        _moves._sum_of_moves(
            np.broadcast_to(0.0, (10**7, 1)), np.broadcast_to(0.0, (6_666_667, 1)), [], np.zeros((3, 0))
        )


def test_prefixes_take_the_whole_jacobian(monkeypatch):
    P, Q = (unit(M) for M in sides(4, 5))
    found = freedom(P, Q, "matryoshka-unit", blocks=[1, 2])
    monkeypatch.setattr(_moves, "_ROOM", 9 * 3 * 4 * 5 * 2)  # unknowns, pairs, prefixes
    assert freedom(P, Q, "matryoshka-unit", blocks=[1, 2]).directions == found.directions
    monkeypatch.setattr(_moves, "_ROOM", 9 * 3 * 4 * 5 * 2 - 1)
    with pytest.raises(ValueError, match="P and Q take fewer rows or prefixes"):
        freedom(P, Q, "matryoshka-unit", blocks=[1, 2])


def test_a_prefix_has_a_direction_above_a_billionth():
    P, Q = (unit(M) for M in sides(4, 5))
    for name, vectors in (("P", lambda M: (M, Q)), ("Q", lambda M: (P, M))):
        for length in (0.0, 1e-9):
            M = Q.copy()
            M[1] = [length, 0.6, 0.8]
            words = f"{name} takes rows whose prefixes are not 0, got a length of {length:.6g} up to 1"
            with pytest.raises(ValueError, match=words):
                freedom(*vectors(M), "matryoshka-unit")
            freedom(*vectors(M), "matryoshka-unit", blocks=[2, 1])
        M[1, 0] = 1.1e-9
        freedom(*vectors(M), "matryoshka-unit")


# --- the parts of a move ---


def plane(M, axis):
    """Rows in the hyperplane ⟨axis, z⟩ = 1."""
    return M / (M @ axis)[:, None]


def parts(k=3):
    """name -> the part, P, Q, their normals, how many unknowns it has, and what of the scores' change is not seen."""
    (P, Q), (N, M) = sides(4, 5), sides(4, 5, seed=1)
    flat_P, flat_Q = P * [1, 1, 0], Q * [1, 0, 1]
    axis = np.array([0.5, -1.0, 2.0])
    P_in_plane, Q_in_plane = plane(P, axis), plane(Q, axis)

    def nothing(change):
        return change

    def of_row(change):
        return change - change[:, :1]

    def constant(change):
        return change - change[0, 0]

    def shifts(P, Q, free_rows):
        return _moves._shifts(P, Q, N, M, free_rows), P, Q

    linear, empty = _moves._linear, _moves._into_empty
    return {
        "symmetric": ([linear(P, Q, N, M, True)], P, Q, 6, nothing),
        "any map": ([linear(P, Q, N, M, False)], P, Q, 9, nothing),
        "users into what items leave": ([empty(P, flat_Q, N, M, False)], P, flat_Q, 4, nothing),
        "items into what users leave": ([empty(Q, flat_P, M, N, True)], flat_P, Q, 5, nothing),
        "nothing is left": ([empty(P, Q, N, M, False)], P, Q, 0, nothing),
        "items in a plane, rows": (*shifts(P, Q_in_plane, True), 4, of_row),
        "items in a plane, a constant": (*shifts(P, Q_in_plane, False), 1, constant),
        "items together": (*shifts(P, Q, True), 3, of_row),
        "items together, of what users span": (*shifts(flat_P, Q, True), 2, of_row),
        "users in a plane": (*shifts(P_in_plane, Q, False), 1, constant),
        "no constant": (*shifts(P, Q, False), 0, nothing),
    }


PARTS = (
    "symmetric", "any map", "users into what items leave", "items into what users leave", "nothing is left",
    "items in a plane, rows", "items in a plane, a constant", "items together",
    "items together, of what users span", "users in a plane", "no constant",
)  # fmt: skip


@pytest.mark.parametrize("name", PARTS)
def test_each_part_says_what_its_move_does_to_lengths_and_keeps_what_is_seen(name):
    of, (N, M) = parts(), sides(4, 5, seed=1)
    assert of.keys() == set(PARTS)
    (part,), P, Q, unknowns, unseen = of[name]
    assert part.users.shape == (4, unknowns) and part.items.shape == (5, unknowns)
    x = np.random.default_rng(2).standard_normal((2, unknowns))
    shapes = ((2, 4, 3), (2, 5, 3), (2,))
    dP, dQ, dscale = (np.broadcast_to(change, shape) for change, shape in zip(part.move(x), shapes))
    assert not dscale.any()
    for values, users, items in zip(x, dP, dQ):
        np.testing.assert_allclose((N * users).sum(axis=1), part.users @ values, atol=1e-12)
        np.testing.assert_allclose((M * items).sum(axis=1), part.items @ values, atol=1e-12)
        np.testing.assert_allclose(unseen(users @ Q.T + P @ items.T), np.zeros((4, 5)), atol=1e-12)
    if unknowns:
        flat = np.concatenate([M.reshape(2, -1) for M in (dP, dQ)], axis=1)
        assert np.linalg.matrix_rank(flat) == min(2, unknowns)  # another x is another move


def test_symmetric_matrices_have_an_orthonormal_basis():
    for k in (1, 2, 4):
        basis = _moves._symmetric_basis(k)
        flat = basis.reshape(-1, k * k)
        np.testing.assert_array_equal(basis, basis.transpose(0, 2, 1))
        np.testing.assert_allclose(flat @ flat.T, np.eye(k * (k + 1) // 2), atol=1e-15)


def test_what_a_map_does_to_the_balance_of_both_sides():
    P, Q = sides()
    found = _moves._balance(P, Q, [])
    for column, S in zip(found.T, _moves._symmetric_basis(3), strict=True):
        dP, dQ = P @ S, -Q @ S
        np.testing.assert_allclose(column.reshape(3, 3), dP.T @ P + P.T @ dP - dQ.T @ Q - Q.T @ dQ, atol=1e-12)


def test_moves_for_triplets_of_distances_keep_differences_of_squared_distances():
    P, Q = sides(7, 12)
    for items, directions in ((Q * np.linspace(1, 2, 12)[:, None], 3), (Q / np.sqrt([1, 2, 3]) + 0.3, 4)):  # a quadric
        found = freedom(P, items, "triplet-euclidean")
        assert found.directions == directions
        for dP, dQ in zip(found.dP, found.dQ):
            change = 2 * ((P[:, None] - items) * (dP[:, None] - dQ)).sum(axis=2)
            np.testing.assert_allclose(change, np.broadcast_to(change[:, :1], change.shape), atol=1e-12)


@pytest.mark.parametrize("name", ["two spare dimensions", "one spare dimension", "coaxial cones"])
def test_moves_keep_the_cosines_of_each_prefix_up_to_a_constant_and_a_scale(name):
    P, Q = two_sides(1, 2)[name]
    k = P.shape[1]
    for sizes, learned in itertools.product([[1, k - 1], [k], [2, k - 2]][: 2 + (k > 2)], (False, True)):
        found = freedom(P, Q, "matryoshka-unit", scale_is_learned=learned, blocks=sizes)
        expected = free_directions(P, Q, determined("matryoshka-unit"), learned, sizes)
        assert (found.directions, found.moved) == expected
        for dP, dQ, dscale in zip(found.dP, found.dQ, found.dscale):
            assert learned or not dscale
            for M, dM in ((P, dP), (Q, dQ)):
                assert abs((M * dM).sum(axis=1)).max() < 1e-12
            for end in np.cumsum(sizes) if sizes[0] != 2 else ():  # else a rotation is to be added
                A, B = (unit((M + 1e-30j * dM)[:, :end]) for M, dM in ((P, dP), (Q, dQ)))
                change = (A @ B.T).imag * 1e30 + dscale * (A @ B.T).real
                np.testing.assert_allclose(change, np.full(change.shape, change[0, 0]), atol=1e-9)


def test_moves_of_blocks_keep_the_scores_of_each_prefix_once_a_rotation_is_added():
    P, Q = sides(7, 8, 4)
    Q[:, 2] = 0
    turns = [np.outer(a, b) - np.outer(b, a) for a, b in itertools.combinations(np.eye(4), 2)]
    for sizes in ([1, 3], [2, 1, 1]):

        def change(dP, dQ, sizes=sizes):
            return np.concatenate([(dP[:, :e] @ Q[:, :e].T + P[:, :e] @ dQ[:, :e].T).ravel() for e in np.cumsum(sizes)])

        found = freedom(P, Q, "matryoshka-dot", blocks=sizes)
        assert found.directions
        turned = np.column_stack([change(P @ K, Q @ K) for K in turns])
        for dP, dQ in zip(found.dP, found.dQ):
            left = change(dP, dQ)
            assert abs(left - turned @ np.linalg.lstsq(turned, left, rcond=None)[0]).max() < 1e-12


@pytest.mark.parametrize("loss", ["gain-after-norm", "lm-head"])
def test_a_gain_frees_what_its_equal_entries_do_not_turn(loss):
    """Equal entries take up the length of no rotation among them: one direction less for each pair."""
    P, Q = sides(14, 13)
    shifts = 3 * (loss == "lm-head")
    for gain, directions in (([1, 1, 1], 3), ([1, 1, 0.6], 5), ([2, 1, 2], 5), ([0.5, 1, 2], 6)):
        sides_of = (P, Q * gain) if loss == "gain-after-norm" else (Q * gain, P)
        assert freedom(*sides_of, loss, gain=np.array(gain)).directions == directions + shifts


@pytest.mark.parametrize("loss", ["tied-cosine", "tied-dot", "cosent"])
def test_moves_of_one_encoder_keep_its_scores_and_are_those_of_both_sides(loss):
    spec = determined(loss)
    for name in ("generic", "items on a cone", "few items", "two spare dimensions"):
        Q = for_model(spec, *two_sides(0, 2)[name])[1]
        for learned in [False, True] if spec.unit_items else [False]:
            found = freedom(Q, Q, loss, scale_is_learned=learned)
            assert (found.directions, found.moved) == free_directions(Q, Q, spec, learned)
            for dP, dQ, dscale in zip(found.dP, found.dQ, found.dscale):
                np.testing.assert_allclose(dP, dQ, atol=1e-12)
                change = dQ @ Q.T + Q @ dQ.T + dscale * Q @ Q.T
                seen = change if spec.sees_diagonal else change[~np.eye(len(Q), dtype=bool)]
                assert abs(seen - seen.mean() * (spec.sees == "constant")).max() < 1e-12
                assert learned or dscale == 0
                assert not spec.unit_items or abs((Q * dQ).sum(axis=1)).max() < 1e-12


def test_one_encoder_without_freedom_has_no_moves():
    Q = unit(np.random.default_rng(0).standard_normal((6, 3)))
    spec = dataclasses.replace(determined("tied-cosine"), sees="scores", sees_diagonal=True)
    dP, dQ, dscale = _moves.tied(Q, Q, spec, False, Ranks())
    assert dP.shape == dQ.shape == (0, 6, 3) and dscale.shape == (0,)


def test_euclidean_moves_of_other_units_are_the_same_lengths():
    P, Q = sides(7, 12)
    P, Q, spec = P, Q * np.linspace(1, 2, 12)[:, None], determined("triplet-euclidean")
    here = _moves.euclidean(P, Q, spec, False, Ranks())
    for units in ((0.25, 1.0), (1.0, 0.125)):
        found = _moves.euclidean(P / units[0], Q / units[1], spec, False, Ranks(), units)
        spans = []
        for dP, dQ, dscale, (a, b) in ((*here, (1.0, 1.0)), (*found, units)):
            assert dP.shape == (3, 7, 3) and not dscale.any()
            spans.append(np.concatenate([dP * a, dQ * b], axis=1).reshape(3, -1))
        assert np.linalg.matrix_rank(np.vstack(spans), tol=1e-9) == 3


@pytest.mark.parametrize("case", ["items in a plane", "items leave a dimension", "users leave a dimension"])
def test_moves_beside_a_gain_keep_the_length_before_it(case):
    """Up to another gain and a rotation, for moves that the gain alone does not allow, too."""
    P, Q = sides(9, 10)
    gain, axis = np.array([0.5, 1.0, 2.0]), np.array([0.5, -1.0, 2.0])
    flat = P - np.outer(P @ axis, axis) / (axis @ axis)
    if case == "users leave a dimension":
        loss, A, B, Z = "gain-after-norm", flat, Q * gain, Q
    else:
        items = plane(P, axis) if "plane" in case else flat
        loss, A, B, Z = "lm-head", Q * gain, items, Q
    found = freedom(A, B, loss, gain=gain)
    turns = [np.outer(a, b) - np.outer(b, a) for a, b in itertools.combinations(np.eye(3), 2)]
    explained = np.column_stack([Z**2, *((Z * ((Z * gain) @ K / gain)).sum(axis=1) for K in turns)])
    assert found.directions > 6
    for dP, dQ in zip(found.dP, found.dQ):
        change = dP @ B.T + A @ dQ.T
        assert abs(change - change[:, :1] * (loss == "lm-head")).max() < 1e-12
        growth = (Z * (dP if loss == "lm-head" else dQ) / gain).sum(axis=1)
        assert abs(growth - explained @ np.linalg.lstsq(explained, growth, rcond=None)[0]).max() < 1e-12


def test_a_part_cannot_be_changed_and_is_itself_only():
    ((part,), *_) = parts()["symmetric"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        part.users = 0
    assert part != dataclasses.replace(part)


def test_counts_of_two_sides_with_a_scale_or_a_balance():
    for loss, name in (
        ("clip", "two spare dimensions"), ("clip", "coaxial cones"), ("cosine-mse", "one spare dimension"),
        ("cosine-mse", "coaxial cones"),
        ("infonce-one-sided", "items on a cone"), ("dot-decay", "generic"), ("bpr", "few users"),
        ("squared", "a dimension of the users alone"),
    ):  # fmt: skip
        spec = determined(loss)
        P, Q, _ = for_model(spec, *two_sides(0, 2)[name])
        for learned in [False, True] if spec.unit_items else [False]:
            found = freedom(P, Q, loss, scale_is_learned=learned)
            assert (found.directions, found.moved) == free_directions(P, Q, spec, learned), (loss, learned)
            for dP, dQ, dscale in zip(found.dP, found.dQ, found.dscale):
                change = dP @ Q.T + P @ dQ.T + dscale * P @ Q.T
                change -= change.mean(axis=1, keepdims=True) if spec.sees == "rows" else 0
                assert abs(change - change.mean() * (spec.sees == "constant")).max() < 1e-12
                for M, dM in ((P, dP), (Q, dQ)) if spec.unit_items else ():
                    assert abs((M * dM).sum(axis=1)).max() < 1e-12
    P, Q = sides()
    for users, items in ((P * [1, 1, 0], Q), (P, Q * [1, 1, 0])):
        with pytest.raises(ValueError, match="use the same dimensions where decay acts on both"):
            freedom(users, items, "dot-decay")


def test_triplets_of_distances_take_users_in_no_hyperplane_and_items_on_no_sphere():
    (P, Q), axis = sides(7, 12), np.array([0.5, -1.0, 2.0])
    items = Q * np.linspace(1, 2, 12)[:, None]
    for users, others in ((plane(P, axis), items), (P * [1, 1, 0], items), (P, plane(items, axis)), (P, Q + axis)):
        with pytest.raises(
            ValueError, match="users that lie in no hyperplane, Q items that lie in no hyperplane and on"
        ):
            freedom(users, others, "triplet-euclidean")
    freedom(P, Q / abs(Q).max(axis=1, keepdims=True), "triplet-euclidean")  # a cube is no sphere


def test_a_block_that_nothing_uses_has_no_moves():
    P, Q = sides()
    for used, blocks, directions in (([0, 1, 1], [1, 2], 3), ([1, 1, 0], [1, 2], 2), ([1, 0, 0], [1, 2], 1)):
        assert freedom(P * used, Q * used, "matryoshka-dot", blocks=blocks).directions == directions


def test_what_one_encoder_has_no_dimension_for():
    """The part of a constant outside of the columns of Q counts from a square of 1e-9 on."""
    for square, moves in ((0.8e-9, 1), (1.5e-9, 0)):
        angle = np.pi / 4 + np.sqrt(square / 2)
        Q = np.array([[np.cos(angle)], [np.sin(angle)]])
        assert len(_moves.tied(Q, Q, determined("tied-dot"), False, Ranks())[2]) == moves


def test_rows_at_length_1_and_how_they_turn():
    M, dM = 3 * sides()[0], np.random.default_rng(3).standard_normal((2, 6, 3))
    found, change = _moves._unit(M, dM)
    np.testing.assert_allclose(found, unit(M), rtol=1e-14)
    np.testing.assert_allclose(change, [unit(M + 1e-30j * one).imag * 1e30 for one in dM], atol=1e-14)


def test_units_far_from_each_other_stay_in_the_floats():
    P, Q = (np.random.default_rng(0).standard_normal((n, 3)) for n in (12, 14))
    for far in (1.0, 1e-200, 1e200, 1e300):
        found = freedom(P / far, Q * far, "triplet-euclidean")
        assert found.directions == 3 and found.moved["user_item_order"] == 0

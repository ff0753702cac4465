"""Laws of what a loss leaves free and of what is reachable: finite moves, counts, components, lists of neighbors."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from instances import cone, for_model
from oracles import cosine_by_loops, free_directions, random_orthogonal, unit
from strategies import SEEDS, invertible, models

from cossim_helpers import (
    LOSSES,
    Factors,
    canonical_item_vectors,
    comparison_is_determined,
    cosine_similarity,
    determined,
    factors_with_neighbors,
    freedom,
    lift_into_spare,
    matroid_components,
    reachable_dimension,
    reparameterize,
    slide_cone,
)

HEIGHTS = st.sampled_from([0.0, 0.05, 0.3, 0.6, 0.95, 0.999])
SCALES = st.sampled_from([1.0, 1e-3, 20.0, 1e6])


def cosines(M):
    return cosine_by_loops(M, M)


# --- finite moves ---


def on_a_cone(k, n, seed, height):
    """P (n, k) anywhere, Q (p, k) at one height over a random axis."""
    rng = np.random.default_rng([k, n, seed])
    R, around = random_orthogonal(k, rng), rng.standard_normal((k + 2, k - 1))
    around[1] = -around[0]  # in two dimensions a cone is two vectors: both
    return unit(rng.standard_normal((n, k))), cone(around, height) @ R, R[-1]


def by_user(change):
    """What of a change of the scores differs within a user's row."""
    return abs(change - change[:, :1]).max()


@given(st.integers(2, 5), st.integers(1, 5), SEEDS, st.sampled_from([0.05, 0.4, -0.4, 0.9]), HEIGHTS, HEIGHTS, SCALES)
def test_a_slide_keeps_what_a_softmax_sees_and_two_slides_are_one(k, n, seed, height, new, other, scale):
    P, Q, axis = on_a_cone(k, n, seed, height)
    moved = slide_cone(P, Q, new, scale=scale)
    np.testing.assert_array_equal(moved.P, P)
    np.testing.assert_allclose(np.linalg.norm(moved.Q, axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(moved.Q @ axis, np.sign(height) * new, atol=1e-10)
    assert by_user(moved.scale * P @ moved.Q.T - scale * P @ Q.T) < 1e-10 * (scale + moved.scale)
    shrunk = (1 - new**2) / (1 - height**2)
    np.testing.assert_allclose(1 - cosines(moved.Q), shrunk * (1 - cosines(Q)), atol=1e-10)
    assert moved.scale == pytest.approx(scale / np.sqrt(shrunk), rel=1e-10)
    if new > 0:
        further, direct = slide_cone(P, moved.Q, other, scale=moved.scale), slide_cone(P, Q, other, scale=scale)
        np.testing.assert_allclose(further.Q, direct.Q, atol=1e-9)
        assert further.scale == pytest.approx(direct.scale, rel=1e-9)
        back = slide_cone(P, moved.Q, abs(height), scale=moved.scale)
        np.testing.assert_allclose(back.Q, Q, atol=1e-9)
    R = random_orthogonal(k, np.random.default_rng(seed))
    np.testing.assert_allclose(slide_cone(P @ R, Q @ R, new).Q, moved.Q @ R, atol=1e-10)


@given(st.integers(2, 5), st.integers(1, 5), SEEDS, st.sampled_from([0.05, 0.4, -0.9]), HEIGHTS, SCALES,
       st.sampled_from([1.0, 1.5, 10.0]))  # fmt: skip
def test_a_slide_at_a_named_scale_moves_the_users_across_the_axis(k, n, seed, height, new, scale, more):
    P, Q, axis = on_a_cone(k, n, seed, height)
    across = np.sqrt((1 - height**2) / (1 - new**2))
    off = P - np.outer(P @ axis, axis)
    least = scale * across * np.linalg.norm(off, axis=1).max()  # s′ at which the first user lies across the axis
    named = least * more
    assume(named > 1e-6 * scale)
    moved = slide_cone(P, Q, new, scale=scale, new_scale=named)
    assert moved.scale == named
    for M in (moved.P, moved.Q):
        np.testing.assert_allclose(np.linalg.norm(M, axis=1), 1, atol=1e-7)
    assert by_user(named * moved.P @ moved.Q.T - scale * P @ Q.T) < 1e-9 * (scale + named)
    np.testing.assert_allclose(moved.P - np.outer(moved.P @ axis, axis), off * scale * across / named, atol=1e-10)
    clear = abs(moved.P @ axis) > 1e-6
    assert (np.sign(moved.P @ axis) == np.sign(P @ axis))[clear].all()  # nobody changes sides
    with pytest.raises(ValueError, match="new_scale takes at least"):
        slide_cone(P, Q, new, scale=scale, new_scale=least * (1 - 1e-6))


@pytest.mark.parametrize("seed", range(20))
def test_equal_items_are_no_cone_whatever_rounding_makes_of_their_height(seed):
    rng = np.random.default_rng(seed)
    P, Q = unit(rng.standard_normal((2, 3))), np.tile(unit(rng.standard_normal((1, 3))), (4, 1))
    with pytest.raises(ValueError, match="Q takes items that are not all equal"):
        slide_cone(P, Q, 0.5)


@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5), SEEDS, SCALES, st.sampled_from([None, 1.0, 1.7]))
def test_a_lift_keeps_every_score_in_two_dimensions_more(k, n, p, seed, scale, more):
    rng = np.random.default_rng([k, n, p, seed])
    P, Q, G = unit(rng.standard_normal((n, k))), unit(rng.standard_normal((p, k))), invertible(k, seed, 1)
    G = G / np.linalg.norm(P @ G, axis=1).max()
    least = scale * np.linalg.norm(Q @ np.linalg.inv(G).T, axis=1).max()
    signs = rng.choice([-1.0, 1.0], p)
    moved = lift_into_spare(P, Q, G, scale=scale, new_scale=more and least * more, signs=signs)
    assert moved.scale == pytest.approx(least * (more or 1), rel=1e-12)
    np.testing.assert_allclose(moved.scale * moved.P @ moved.Q.T, scale * P @ Q.T, atol=1e-9 * moved.scale)
    np.testing.assert_allclose(moved.P[:, :k], P @ G, atol=1e-12)
    assert moved.P.shape == (n, k + 2) and not moved.P[:, k].any() and (moved.P[:, k + 1] >= 0).all()
    assert moved.Q.shape == (p, k + 2) and not moved.Q[:, k + 1].any() and (signs * moved.Q[:, k] >= 0).all()
    for M in (moved.P, moved.Q):
        np.testing.assert_allclose(np.linalg.norm(M, axis=1), 1, atol=1e-6)  # a rest up to 1e-12 counts as 0
    with pytest.raises(ValueError, match="new_scale takes at least"):
        lift_into_spare(P, Q, G, scale=scale, new_scale=least * (1 - 1e-9))
    if np.linalg.norm(P @ G, axis=1).max() > 0.5:
        with pytest.raises(ValueError, match="makes no user longer than 1"):
            lift_into_spare(P, Q, 2.1 * G, scale=scale)


def test_a_move_takes_what_rounding_leaves_of_its_bounds():
    """A scale, or a user, that is beyond its bound by less than 1e-12 is at it."""
    P, Q, axis = on_a_cone(3, 4, 1, 0.4)
    off = np.linalg.norm(P - np.outer(P @ axis, axis), axis=1).max()
    at_least = np.sqrt(1 - 0.4**2) / np.sqrt(1 - 0.2**2) * off
    moved = slide_cone(P, Q, 0.2, new_scale=at_least * (1 - 3e-13))
    np.testing.assert_allclose(np.linalg.norm(moved.P, axis=1), 1, atol=1e-12)
    G = np.diag([0.5, 0.8, 0.9])
    G = G / np.linalg.norm(P @ G, axis=1).max()
    least = np.linalg.norm(Q / np.diag(G), axis=1).max()
    for factor, part in ((1 + 4e-13, 1.0), (1.0, 1 - 4e-13)):
        moved = lift_into_spare(P, Q, factor * G, new_scale=least * part)
        np.testing.assert_allclose(moved.scale * moved.P @ moved.Q.T, P @ Q.T, atol=1e-11)
    for factor, part, message in ((1 + 1e-11, 2.0, "no user longer than 1"), (1.0, 1 - 1e-11, "new_scale takes at")):
        with pytest.raises(ValueError, match=message):
            lift_into_spare(P, Q, factor * G, new_scale=least * part)


@given(st.sampled_from([1.2e-7, 1e-6, 1e-4, 1e-2]), st.integers(2, 4), SEEDS, HEIGHTS)
@example(1.2e-7, 3, 0, 0.3)
def test_a_thin_cone_opens_into_unit_vectors(sine, k, seed, height):
    P, Q, _ = on_a_cone(k, 3, seed, np.sqrt((1 - sine) * (1 + sine)))
    moved = slide_cone(P, Q, height, scale=1 / sine)
    np.testing.assert_allclose(np.linalg.norm(moved.Q, axis=1), 1, rtol=1e-12)
    assert by_user(moved.scale * P @ moved.Q.T - P @ Q.T / sine) < 1e-14 / sine**2


def test_items_are_no_cone_where_they_are_equal_or_at_two_distances_from_the_axis():
    P, Q, axis = on_a_cone(3, 2, 0, np.sqrt(1 - 0.8e-7**2))
    with pytest.raises(ValueError, match="Q takes items that are not all equal"):
        slide_cone(P, Q, 0.5)
    off = np.linalg.svd(axis[None])[2][1]
    two = unit(axis + np.outer([1e-5, -1e-5, 3e-5, -3e-5], off))  # heights within 1e-9
    with pytest.raises(ValueError, match="Q takes items on a cone"):
        slide_cone(P, two, 0.5)


@pytest.mark.parametrize(
    ("size", "message"), [(1e145, "no user longer than 1"), (1e155, "by whose inverse items have")]
)
def test_a_lift_by_a_large_map_is_refused_by_name(size, message):
    P, Q = unit(np.array([[1.0, 2], [-1, 0]])), np.array([[0.0, 1], [0, -1]])
    with pytest.raises(ValueError, match=message):
        lift_into_spare(P, Q, size * np.eye(2))


def test_scales_far_apart_leave_the_users_on_the_axis_or_are_refused():
    P, Q, axis = on_a_cone(3, 4, 2, 0.4)
    moved = slide_cone(P, Q, 0.2, scale=1e-100, new_scale=1e100)
    np.testing.assert_allclose(abs(moved.P @ axis), 1, atol=1e-12)
    for scales in ((1e-308, 1e308), (1e200, 1.0)):
        with pytest.raises(ValueError, match="less far apart"):
            slide_cone(P, Q, 0.2, scale=scales[0], new_scale=scales[1])


UNITS = unit(np.random.default_rng(0).standard_normal((4, 3)))
RING = cone(np.random.default_rng(1).standard_normal((5, 2)), 0.4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: slide_cone(UNITS, 2 * RING, 0.5), "Q takes rows of length 1"),
        (lambda: slide_cone(UNITS, RING, -1e-9), "height takes a finite number"),
        (lambda: slide_cone(UNITS, RING, 0.5, scale=0.0), "scale takes a finite number above 0"),
        (lambda: slide_cone(UNITS, RING, 0.5, scale=-1.0, new_scale=1.0), "scale takes a finite number above 0"),
        (lambda: lift_into_spare(2 * UNITS, RING, np.eye(3) / 4), "P takes rows of length 1"),
        (lambda: lift_into_spare(UNITS, 2 * RING, np.eye(3)), "Q takes rows of length 1"),
        (lambda: lift_into_spare(UNITS, unit(RING[:, :2]), np.eye(3)), "Q, with as many columns as P"),
        (lambda: lift_into_spare(UNITS, RING, np.full((3, 3), np.nan)), "G takes finite"),
        (lambda: lift_into_spare(UNITS, RING, np.eye(3), scale=0.0), "scale takes a finite number above 0"),
        (lambda: lift_into_spare(UNITS, RING, np.eye(3), scale=-1.0), "scale takes a finite number above 0"),
        (lambda: lift_into_spare(UNITS, RING, np.eye(3), new_scale=-1.0), "new_scale takes a finite number above 0"),
        (lambda: lift_into_spare(UNITS, RING, np.eye(3), new_scale=np.inf), "new_scale takes a finite number above 0"),
        (lambda: lift_into_spare(UNITS, RING, np.eye(3), signs=[1.0, 1, 1, 1, 0.5]), "signs takes 1 and −1 only"),
        (lambda: lift_into_spare(UNITS, RING, np.eye(3), signs=[[1.0] * 5]), "signs takes a non-empty 1-dimensional"),
        (lambda: matroid_components(np.eye(2), zero=1.0), "zero takes a finite number of at least 0 and below 1"),
        (lambda: matroid_components(np.eye(2), zero=1.5), "zero takes a finite number of at least 0 and below 1"),
        (lambda: comparison_is_determined(np.eye(2), [[[0, 1]]], (0, 1)), "pair takes a pair of items or pairs in"),
        (lambda: determined("clip").vectors_needed(0), "k takes an integer"),
    ],
)
def test_what_moves_refuse(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_refusal_names_the_least_scale():
    off = np.linalg.norm(UNITS[:, :2], axis=1).max()
    for new, factor in ((0.2, np.sqrt(1 - 0.4**2) / np.sqrt(1 - 0.2**2)), (0.9, np.sqrt(1 - 0.4**2) / np.sqrt(0.19))):
        with pytest.raises(ValueError, match=f"at least {7 * off * factor:.6g}"):
            slide_cone(UNITS, RING, new, scale=7.0, new_scale=0.1)


def test_vectors_needed_by_one_dimension_and_types():
    for loss in LOSSES:
        row = determined(loss)
        for learned in (False, True):
            needed = row.vectors_needed(1, scale_is_learned=learned)
            assert all(type(count) is int for count in needed.values())
            more = needed["together"] - row.vectors_needed(1, scale_is_learned=False)["together"]
            assert more == (learned and row.unit_items and not row.tied)
    with pytest.raises(TypeError, match="scale_is_learned takes True or False"):
        determined("clip").vectors_needed(3, scale_is_learned=1)
    assert type(reachable_dimension(np.eye(2))) is int


# --- counts ---

SHAPES = ("generic", "cone", "twice", "flat", "axes")


def side(shape, m, k, seed):
    """Unit vectors (m, k): anywhere, on a cone, each one twice, in a subspace, or along axes."""
    rng = np.random.default_rng([m, k, seed])
    M = rng.standard_normal((m, k))
    match shape:
        case "cone" if k > 1:
            return cone(M[:, 1:], 0.4) @ random_orthogonal(k, rng)
        case "twice":
            return unit(M[np.arange(m) // 2])
        case "flat" if k > 1:
            return unit(M[:, 1:]) @ random_orthogonal(k, rng)[1:]
        case "axes":
            return np.eye(k)[rng.integers(0, k, m)] * rng.choice([-1.0, 1.0], (m, 1))
    return unit(M)


def centered(M):
    return M - M.mean(axis=0)


@st.composite
def learned_vectors(draw):
    """(loss, learned scale, P, Q, gain), in which each item has a direction, seen from 0 and from the mean."""
    loss = draw(st.sampled_from([loss for loss in LOSSES if loss != "matryoshka-unit"]))
    k, n, p, seed = draw(st.integers(1, 3)), draw(st.integers(1, 6)), draw(st.integers(2, 6)), draw(SEEDS)
    users, items = (side(draw(st.sampled_from(SHAPES)), m, k, seed + m) for m in (n, p))
    P, Q, gain = for_model(determined(loss), users, items, seed)
    columns = (Q, centered(Q), Q @ P.T, centered(Q @ P.T))
    assume(min(np.linalg.norm(M, axis=1).min() for M in columns) > 1e-6)
    return loss, draw(st.booleans()) and determined(loss).unit_items, P, Q, gain


def refused(loss, P, Q):
    """Why the model has no count, or None."""
    seen = np.column_stack([Q, (Q**2).sum(axis=1), np.ones(len(Q))])
    k, rank = P.shape[1], np.linalg.matrix_rank
    if loss == "triplet-euclidean" and (rank(np.column_stack([P, np.ones(len(P))])) <= k or rank(seen) < k + 2):
        return "in no hyperplane"
    if loss == "dot-decay" and rank(P) != rank(Q):
        return "use the same dimensions"
    return None


@given(learned_vectors())
def test_a_count_of_directions_is_that_of_the_plain_jacobian(drawn):
    loss, learned, P, Q, gain = drawn
    if message := refused(loss, P, Q):
        with pytest.raises(ValueError, match=message):
            freedom(P, Q, loss, scale_is_learned=learned, gain=gain)
        return
    found = freedom(P, Q, loss, scale_is_learned=learned, gain=gain)
    assume(found.kept > 1e-6 and found.dropped < 1e-11)  # far apart: the count is safe
    assert (found.directions, found.moved) == free_directions(P, Q, determined(loss), learned, gain=gain)
    assert found.dP.shape == (found.directions, *P.shape) and found.dQ.shape == (found.directions, *Q.shape)


@given(models(), SEEDS, st.booleans(), st.booleans())
def test_canonical_vectors_are_those_of_the_centered_scores(model, seed, of_items, of_users):
    X, f = model
    P, Q = X @ f.A, f.B
    Z = (centered(P) if of_users else P) @ (centered(Q) if of_items else Q).T
    options = {"centered": of_items, "users_centered": of_users}
    vectors, size = canonical_item_vectors(P, Q, **options), max(abs(P).max() ** 2 * abs(Q).max() ** 2, 1e-280)
    np.testing.assert_allclose(vectors @ vectors.T, Z.T @ Z, atol=1e-9 * size * len(P))
    users = np.random.default_rng(seed).permutation(len(P))
    G = invertible(P.shape[1], seed, 1)
    mapped = canonical_item_vectors(P[users] @ G, Q @ np.linalg.inv(G).T, **options)
    np.testing.assert_allclose(mapped @ mapped.T, vectors @ vectors.T, atol=1e-9 * size * len(P))
    if of_items:
        shifted = canonical_item_vectors(P, Q + abs(Q).max() * np.arange(Q.shape[1]), **options)
        np.testing.assert_allclose(shifted @ shifted.T, vectors @ vectors.T, atol=1e-8 * size * len(P))


# --- what is reachable ---


def whole_rows(p, k, seed):
    """Rows of small whole numbers with independent columns, some of them zero, repeated or apart."""
    rng = np.random.default_rng([p, k, seed])
    V = rng.integers(-1, 2, (p, k)) * (rng.random((p, k)) < 0.6)
    V[rng.permutation(p)[:k]] = np.eye(k, dtype=int) * rng.choice([-2, -1, 1, 3], k)
    return V.astype(float)


rows = st.integers(1, 4).flatmap(lambda k: st.builds(whole_rows, st.integers(k, 9), st.just(k), SEEDS))


def components_by_elimination(V):
    """In exact fractions: the reduced matrix of a basis links it with each row that needs it."""
    M = [[Fraction(x) for x in column] for column in V.T]  # (k, p): items are columns
    basis = []
    for item in range(len(V)):
        row = next((r for r in range(len(basis), len(M)) if M[r][item]), None)
        if row is None:
            continue
        M[len(basis)], M[row] = M[row], M[len(basis)]
        pivot = M[len(basis)]
        pivot[:] = [x / pivot[item] for x in pivot]
        for other in M:
            if other is not pivot and other[item]:
                other[:] = [x - other[item] * y for x, y in zip(other, pivot, strict=True)]
        basis.append(item)
    label = [i if V[i].any() else -1 for i in range(len(V))]
    for row, owner in zip(M, basis, strict=False):
        for item in range(len(V)):
            if row[item]:
                old, new = label[item], label[owner]
                label = [new if x == old else x for x in label]
    names = {}
    return [-1 if x < 0 else names.setdefault(x, len(names)) for x in label]


@given(rows, SEEDS)
def test_components_by_elimination_in_fractions(V, seed):
    rng, (p, k) = np.random.default_rng(seed), V.shape
    labels = components_by_elimination(V)
    np.testing.assert_array_equal(matroid_components(V), labels)
    c = len(set(labels) - {-1})
    assert reachable_dimension(V) == k * (k + 1) // 2 - c
    mapped = (V @ invertible(k, seed, 1)) * rng.choice([-3.0, 0.5, 2.0], (p, 1))
    np.testing.assert_array_equal(matroid_components(mapped), labels)
    order = rng.permutation(p)
    moved = matroid_components(V[order])
    assert {frozenset(order[moved == x].tolist()) for x in set(moved)} == {
        frozenset(np.flatnonzero(np.equal(labels, x)).tolist()) for x in set(labels)
    }
    apart = np.block([[V, np.zeros((p, 2))], [np.zeros((3, k)), np.array([[1.0, 0], [1, 1], [0, 1]])]])
    np.testing.assert_array_equal(matroid_components(apart), [*labels, c, c, c])


@given(rows, SEEDS)
def test_comparisons_are_an_order_that_sampled_minimizers_keep(V, seed):
    rng, (p, k) = np.random.default_rng(seed), V.shape
    pairs = np.array(list(itertools.combinations_with_replacement(range(p), 2)))[:: max(1, p // 3)][:12]
    m = len(pairs)
    at_least = np.array([comparison_is_determined(V, pair, pairs) for pair in pairs]).reshape(m, m)
    assert at_least.diagonal().all()  # cos(i, j) ≥ cos(i, j)
    through = (at_least.astype(int) @ at_least) > 0
    assert not (through & ~at_least).any()  # and so is what follows from two of them
    signs = 1.0 * rng.choice([1, 2], (p, 1)) * rng.choice([-1.0, 1.0])
    mapped = (V @ invertible(k, seed, 1)) * signs  # lengths do not matter, nor does a common sign
    other = [comparison_is_determined(mapped, pair[::-1], pairs[:, ::-1]) for pair in pairs]
    np.testing.assert_array_equal(np.reshape(other, (m, m)), at_least)
    for _ in range(20):
        C = cosines(V @ invertible(k, int(rng.integers(1000)), 2))
        value = C[tuple(pairs.T)]
        assert (value[:, None] >= value - 1e-9)[at_least].all()


@given(st.integers(3, 6), st.integers(0, 6), SEEDS, st.booleans())
@example(3, 0, 0, True)
def test_a_list_of_neighbors_is_the_asked_one(k, more, seed, named):
    rng = np.random.default_rng([k, more, seed])
    p = k + 1 + more
    f = Factors(rng.standard_normal((p, k)), rng.standard_normal((p, k)) * 10 ** rng.uniform(-2, 2, k))
    count = int(rng.integers(1, k - 1))
    item, *wanted = rng.permutation(p)[: count + 1].tolist()
    asked = np.sort(rng.uniform(0.05, 0.99, count))[::-1] if named else None
    out = factors_with_neighbors(f, item, wanted, cosines=asked)
    C = cosine_similarity(out.B)[item]
    asked = np.linspace(0.9, 0.6, count) if asked is None else asked
    np.testing.assert_allclose(C[wanted], asked, atol=1e-8)
    rest = np.delete(C, [item, *wanted])
    assert rest.max() <= 0.9 * asked[-1] + 1e-8
    product = f.A @ f.B.T
    np.testing.assert_allclose(out.A @ out.B.T, product, atol=1e-8 * abs(product).max())
    again = factors_with_neighbors(reparameterize(f, invertible(k, seed, 1)), item, wanted, cosines=asked)
    np.testing.assert_allclose(cosine_similarity(again.B), cosine_similarity(out.B), atol=1e-6)

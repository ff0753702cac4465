"""Finite moves of unit vectors: the scores that a loss sees stay to rounding, and the cosines follow the formulas."""

import numpy as np
import pytest
from instances import cone
from oracles import random_orthogonal, unit
from scipy.special import log_softmax

from cossim_helpers import cosine_similarity, freedom, lift_into_spare, slide_cone

SEEDS = range(5)


def lengths(M):
    return np.sqrt((M**2).sum(axis=1))


def one_sided(seed, k=4, n=12, p=15, height=0.25):
    rng = np.random.default_rng(seed)
    R = random_orthogonal(k, rng)
    return rng, unit(rng.standard_normal((n, k))), cone(rng.standard_normal((p, k - 1)), height) @ R, R[-1]


@pytest.mark.parametrize("seed", SEEDS)
def test_items_slide_along_their_cone_and_every_probability_stays(seed):
    _, P, Q, axis = one_sided(seed)
    for height in (0.0, 0.1, 0.25, 0.6, 0.999):
        moved = slide_cone(P, Q, height, scale=20.0)
        before, after = log_softmax(20.0 * P @ Q.T, axis=1), log_softmax(moved.scale * moved.P @ moved.Q.T, axis=1)
        np.testing.assert_allclose(after, before, atol=1e-10)
        np.testing.assert_array_equal(moved.P, P)  # nobody else moves
        np.testing.assert_allclose(lengths(moved.Q), 1, atol=1e-12)
        np.testing.assert_allclose(moved.Q @ axis, height, atol=1e-12)
        a2 = (1 - height**2) / (1 - 0.25**2)  # 1 − cos shrinks by one factor
        np.testing.assert_allclose(1 - cosine_similarity(moved.Q), a2 * (1 - cosine_similarity(Q)), atol=1e-12)
        assert moved.scale == pytest.approx(20.0 / np.sqrt(a2))


@pytest.mark.parametrize("seed", SEEDS)
def test_at_a_fixed_scale_the_users_make_room(seed):
    _, P, Q, axis = one_sided(seed, height=0.6)
    for height in (0.5, 0.2, 0.0):
        moved = slide_cone(P, Q, height, scale=9.0, new_scale=9.0)
        assert moved.scale == 9.0
        np.testing.assert_allclose(lengths(moved.P), 1, atol=1e-12)
        assert (np.sign(moved.P @ axis) == np.sign(P @ axis)).all()
        change = 9.0 * (moved.P @ moved.Q.T - P @ Q.T)
        np.testing.assert_allclose(change, np.broadcast_to(change[:, :1], change.shape), atol=1e-12)
        assert abs(moved.P - P).max() > 0.01
    off = np.sqrt(1 - (P @ axis) ** 2).max()
    least = 9.0 * 0.8 * off / np.sqrt(1 - 0.9**2)  # s sinθ max |ξ_u| / sinθ′
    with pytest.raises(ValueError, match="new_scale takes at least"):
        slide_cone(P, Q, 0.9, scale=9.0, new_scale=least * (1 - 1e-9))
    assert lengths(slide_cone(P, Q, 0.9, scale=9.0, new_scale=least).P).max() <= 1 + 1e-9


@pytest.mark.parametrize("seed", SEEDS)
def test_cones_around_one_axis_slide_with_one_constant_for_all_scores(seed):
    rng, _, Q, axis = one_sided(seed)
    R = np.vstack([np.linalg.svd(axis[None])[2][1:], axis])
    P = cone(rng.standard_normal((12, 3)), 0.7) @ R
    moved = slide_cone(P, Q, 0.5, scale=9.0, new_scale=9.0)
    change = 9.0 * (moved.P @ moved.Q.T - P @ Q.T)
    np.testing.assert_allclose(change, change[0, 0], atol=1e-12)  # both directions of CLIP
    sines = [np.sqrt(1 - (M @ axis) ** 2)[0] for M in (P, Q, moved.P, moved.Q)]
    assert sines[0] * sines[1] == pytest.approx(sines[2] * sines[3])
    for M, other, sine, new_sine in ((P, moved.P, sines[0], sines[2]), (Q, moved.Q, sines[1], sines[3])):
        expected = (new_sine / sine) ** 2 * (1 - cosine_similarity(M))
        np.testing.assert_allclose(1 - cosine_similarity(other), expected, atol=1e-12)
    assert sines[3] < sines[1] and sines[2] > sines[0]  # items closer, users farther apart


def test_the_hand_example_of_chapter_07():
    """Two items at the height 0 would be opposite; at h they have the cosine 2 h² − 1."""
    Q = np.array([[0.8, 0.6], [-0.8, 0.6]])
    moved = slide_cone([[1.0, 0.0]], Q, 0.96)
    np.testing.assert_allclose(moved.Q, [[0.28, 0.96], [-0.28, 0.96]], atol=1e-12)
    assert moved.scale == pytest.approx(0.8 / 0.28)


@pytest.mark.parametrize("seed", SEEDS)
def test_spare_dimensions_hold_any_linear_map(seed):
    rng, P, Q, _ = one_sided(seed)
    Q = unit(rng.standard_normal(Q.shape))
    G = rng.standard_normal((4, 4))
    G /= lengths(P @ G).max()
    moved = lift_into_spare(P, Q, G, scale=7.0)
    np.testing.assert_allclose(moved.scale * moved.P @ moved.Q.T, 7.0 * P @ Q.T, atol=1e-11)
    np.testing.assert_allclose(lengths(moved.P), 1, atol=1e-12)
    np.testing.assert_allclose(lengths(moved.Q), 1, atol=1e-12)
    assert moved.P.shape[1] == moved.Q.shape[1] == 6 and moved.scale >= 7.0  # G = I needs s, no G less: Q·I is unit
    assert abs(cosine_similarity(moved.Q) - cosine_similarity(Q)).max() > 0.1
    with pytest.raises(ValueError, match="new_scale takes at least"):
        lift_into_spare(P, Q, G, scale=7.0, new_scale=moved.scale * (1 - 1e-9))


@pytest.mark.parametrize("seed", SEEDS)
def test_one_spare_dimension_and_its_signs(seed):
    rng, P, Q, _ = one_sided(seed)
    signs = np.where(rng.random(len(Q)) < 0.5, 1.0, -1.0)
    moved = lift_into_spare(P, Q, np.eye(4), scale=8.0, new_scale=10.0, signs=signs)
    assert not moved.P[:, 4:].any() and not moved.Q[:, 5].any()  # the users stay: one dimension is enough
    expected = 0.64 * Q @ Q.T + 0.36 * np.outer(signs, signs)
    np.testing.assert_allclose(moved.Q @ moved.Q.T, expected, atol=1e-12)
    here = freedom(moved.P[:, :5], moved.Q[:, :5], "clip")
    assert here.directions == 1 and here.moved["item_item_order"] == 1 and here.moved["user_item_order"] == 0


def test_the_moves_share_no_memory_with_what_they_were_given():
    _, P, Q, _ = one_sided(1)
    for moved in (slide_cone(P, Q, 0.5), slide_cone(P, Q, 0.1, new_scale=1.0), lift_into_spare(P, Q, 0.5 * np.eye(4))):
        assert not any(np.shares_memory(here, there) for here in (P, Q) for there in moved[:2])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"height": 0.5, "scale": 1e308, "new_scale": 1e-308}, "scale and new_scale take numbers less far apart"),
        ({"height": 0.5, "scale": 1e100, "new_scale": 1e-100}, "scale and new_scale take numbers less far apart"),
        ({"height": 1 - 1e-16, "scale": 1e308}, "scale takes a number from which"),
        ({"height": 0.0, "scale": 1e-300, "new_scale": 1e300}, "scale and new_scale take numbers less far apart"),
    ],
)
def test_a_slide_to_no_float_is_refused(options, message):
    _, P, Q, _ = one_sided(2)
    with pytest.raises(ValueError, match=message):
        slide_cone(P, Q, **options)


@pytest.mark.parametrize(
    ("size", "scale", "message"),
    [
        (0.5, 1e308, "scale takes a number for which"),
        (0.5, 1e-320, "scale takes a number for which"),
        (1e-310, 1.0, "G takes a matrix by whose inverse"),
        (1e-200, 1.0, "G takes a matrix by whose inverse"),
    ],
)
def test_a_lift_to_no_float_is_refused(size, scale, message):
    _, P, Q, _ = one_sided(3)
    with pytest.raises(ValueError, match=message):
        lift_into_spare(P, Q, size * np.eye(4), scale=scale)


def test_a_scale_that_becomes_0_is_refused():
    Q = [[0.96, 0.28], [0.96, -0.28]]
    with pytest.raises(ValueError, match="which makes 0"):
        slide_cone([[1.0, 0.0]], Q, 0.0, scale=5e-324)


def test_scales_at_the_bound_are_too_far_apart():
    Q = [[0.6, 0.8], [0.6, -0.8]]
    with pytest.raises(ValueError, match="take numbers less far apart"):
        slide_cone([[1.0, 0.0]], Q, 0.6, scale=1e150, new_scale=1.0)
    assert slide_cone([[1.0, 0.0]], Q, 0.6).scale == lift_into_spare([[1.0]], [[1.0]], [[1.0]]).scale == 1  # of 1


def test_what_is_at_a_bound_of_the_lift():
    tiny, one = np.finfo(np.float64).tiny, [[1.0]]
    for size in (1e-150, 1e150):  # the bounds of lengths
        with pytest.raises(ValueError, match="G takes a matrix by whose inverse"):
            lift_into_spare(one, one, [[size]])
    with pytest.raises(ValueError, match="G takes a matrix by whose inverse"):  # the longest item counts
        lift_into_spare(np.eye(2), np.eye(2), np.diag([1e-150, 1e-140]))
    moved = lift_into_spare(np.eye(2), np.eye(2), 2.0**-498 * np.eye(2))  # 0.8e150, and not what two have together
    assert moved.scale == 2.0**498
    with pytest.raises(ValueError, match="scale takes a number for which"):
        lift_into_spare(one, one, one, scale=tiny)
    assert lift_into_spare(one, one, one, scale=2 * tiny).scale == 2 * tiny
    assert lift_into_spare(one, one, one, new_scale=1 - 1e-12).scale == 1 - 1e-12  # rounding may make it smaller
    np.testing.assert_array_equal(lift_into_spare(one, one, [[1 + 1e-12]]).P, [[1 + 1e-12, 0, 0]])


def test_one_item_nearly_on_the_axis_is_enough_to_refuse():
    def around(*sines):
        x, y = (np.tile(sines, 2) * turn for turn in (np.array([1, 0, -1, 0]), np.array([0, 1, 0, -1])))
        return np.column_stack([np.sqrt(1 - x**2 - y**2), x, y])

    with pytest.raises(ValueError, match="not all equal"):
        slide_cone([[1.0, 0, 0]], around(0.95e-7, 1.02e-7), 0.5)
    slide_cone([[1.0, 0, 0]], around(1.02e-7, 1.09e-7), 0.5)


@pytest.mark.parametrize("sine", [1.2e-7, 1e-6, 1e-4])
def test_many_items_on_a_thin_cone_open_into_unit_vectors(sine):
    _, P, Q, axis = one_sided(6, height=np.sqrt((1 - sine) * (1 + sine)))
    moved = slide_cone(P, Q, 0.6, scale=1 / sine)
    np.testing.assert_allclose(lengths(moved.Q), 1, rtol=1e-14)
    assert np.ptp(moved.Q @ axis) < 1e-14 / sine  # the axis is known to the rounding of the items, over their distances


@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1e200, 1e300])
def test_scales_far_from_one_move_as_one_does(scale):
    _, P, Q, _ = one_sided(4)
    for here, there in (
        (slide_cone(P, Q, 0.1), slide_cone(P, Q, 0.1, scale=scale)),
        (lift_into_spare(P, Q, 0.5 * np.eye(4)), lift_into_spare(P, Q, 0.5 * np.eye(4), scale=scale)),
    ):
        np.testing.assert_allclose(there.Q, here.Q, atol=1e-12)
        assert there.scale == pytest.approx(scale * here.scale, rel=1e-12)


def test_what_the_moves_refuse():
    rng, P, Q, _ = one_sided(0)
    with pytest.raises(ValueError, match="Q takes items on a cone"):
        slide_cone(P, unit(rng.standard_normal((15, 4))), 0.5)
    with pytest.raises(ValueError, match="Q takes items on a cone"):
        slide_cone(P, cone(rng.standard_normal((15, 3)), 0.0), 0.5)
    with pytest.raises(ValueError, match="not all equal"):
        slide_cone(P, np.tile(Q[:1], (5, 1)), 0.5)
    with pytest.raises(ValueError, match="P takes rows of length 1"):
        slide_cone(2 * P, Q, 0.5)
    with pytest.raises(ValueError, match="height takes"):
        slide_cone(P, Q, 1.0)
    with pytest.raises(ValueError, match="new_scale takes"):
        slide_cone(P, Q, 0.5, new_scale=0.0)
    with pytest.raises(ValueError, match="as many columns as P"):
        slide_cone(P[:, :3] / lengths(P[:, :3])[:, None], Q, 0.5)
    with pytest.raises(ValueError, match="makes no user longer than 1"):
        lift_into_spare(P, Q, 2 * np.eye(4))
    with pytest.raises(ValueError, match="invertible"):
        lift_into_spare(P, Q, np.diag([1.0, 1, 1, 0]))
    with pytest.raises(ValueError, match="G, k × k"):
        lift_into_spare(P, Q, np.eye(3))
    with pytest.raises(ValueError, match="signs takes 1 and"):
        lift_into_spare(P, Q, np.eye(4), signs=np.zeros(15))
    with pytest.raises(ValueError, match="signs, one for each item"):
        lift_into_spare(P, Q, np.eye(4), signs=np.ones(14))

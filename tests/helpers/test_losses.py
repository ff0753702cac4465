"""The table of losses, each verdict against counted directions and finite moves; the vectors that all models share."""

import copy
import dataclasses
import inspect
import pickle
from pathlib import Path

import numpy as np
import pytest
from instances import FEW, cone, for_model, two_sides
from oracles import cosine_by_loops, quantities, unit
from scipy.optimize import brentq

import cossim_helpers
from cossim_helpers import (
    LOSSES,
    Factors,
    canonical_item_vectors,
    cosine_similarity,
    determined,
    freedom,
    lift_into_spare,
    score_column_cosine,
    slide_cone,
)
from cossim_helpers.losses import _table

BOTH_SCALES = ("infonce-one-sided", "clip", "siglip", "tied-cosine", "matryoshka-unit")


def models(loss, k, seed):
    """name -> P, Q, gain: vectors that the model can have, and enough of them."""
    spec, rng = determined(loss), np.random.default_rng([seed, k, 1])
    m = k * (k + 1) // 2 + 6
    found = two_sides(seed, k) | {
        "aligned cones": tuple(cone(rng.standard_normal((m, k - 1)), height) for height in (0.6, 0.2)),
        "spare cones": tuple(
            cone(rng.standard_normal((m, k)), height) for height in (0.6, 0.2)
        ),  # lifted at any height
    }
    if loss == "triplet-euclidean":
        found = {name: found[name] for name in ("generic", "coaxial cones", "users on a cone")}
    if loss == "dot-decay":
        found.pop("a dimension of the users alone")
    found = {name: for_model(spec, P, Q, seed) for name, (P, Q) in found.items() if name not in FEW}
    if loss == "triplet-euclidean":
        ellipsoid = unit(rng.standard_normal((m, k))) / np.sqrt(np.arange(1, k + 1))  # Σ l z_l² = 1
        found["quadric"] = rng.standard_normal((m, k)), ellipsoid + 0.3, None
    if loss == "tied-dot":
        plane = np.column_stack([rng.standard_normal((m, k - 1)), np.ones(m)])
        found["hyperplane"] = plane, plane, None
    return found


def counts(loss, k, seed):
    """(model, learned scale) -> how many directions move each quantity."""
    usual = determined(loss).learned_scale
    for name, (P, Q, gain) in models(loss, k, seed).items():
        for learned in [False, True] if loss in BOTH_SCALES else [usual]:
            yield (name, learned), freedom(P, Q, loss, scale_is_learned=learned, gain=gain).moved
            if loss == "matryoshka-unit" and name in ("two spare dimensions", "spare cones"):
                blocks = [1, P.shape[1] - 1]
                yield (name, learned, "blocks"), freedom(P, Q, loss, scale_is_learned=learned, blocks=blocks).moved


def spare(name):
    return "spare" in name or "alone" in name


FINITE = {  # cells whose "if" fails only by a finite move, or by triplets at zero loss: tested below
    ("triplet-cosine", "user_item_order"), ("triplet-cosine", "centered_score_columns"),
    ("triplet-euclidean", "user_item_order"), ("triplet-euclidean", "centered_whitened"),  # users in a hyperplane, too
    ("triplet-euclidean", "centered_score_columns"), ("tied-cosine", "whitened"), ("tied-dot", "whitened"),
}  # fmt: skip


# --- the table ---


@pytest.mark.parametrize("loss", LOSSES)
def test_every_verdict_is_what_the_counts_say(loss):
    """yes: nothing moves it, in no model. no: something does, in general position. if: in some models only."""
    spec, found = determined(loss), {}
    for seed, k in ((0, 3), (1, 2), (2, 3)):
        found |= {(seed, *key): moved for key, moved in counts(loss, k, seed)}
    for quantity, verdict in spec.verdicts.items():
        moved = {key: each[quantity] for key, each in found.items()}
        assert bool(verdict.condition) or verdict.answer != "if"
        if verdict.answer == "yes":
            assert not any(moved.values()), (quantity, moved)
        elif verdict.answer == "no":
            assert all(moved[seed, "generic", spec.learned_scale] for seed in range(3)), (quantity, moved)
        else:
            assert verdict.answer == "if" and 0 in moved.values(), quantity
            assert any(moved.values()) != ((loss, quantity) in FINITE), (quantity, moved)
            if (loss, quantity) in FINITE:
                continue
            for word in ("spare", "cone", "hyperplane"):  # each exception that the condition names is one, by itself
                finite = word == "spare" and (spec.tied or loss == "triplet-euclidean")  # tested below
                if word not in verdict.condition or finite:
                    continue
                alone = [key for key in moved if word in key[1] and (word == "spare") == spare(key[1])]
                assert any(moved[key] for key in alone), (quantity, word)


@pytest.mark.parametrize("loss", LOSSES)
def test_conditions_say_which_models_are_free(loss):
    """Where the condition speaks of spare dimensions or cones, nothing else frees the quantity."""
    spec = determined(loss)
    for (name, learned, *_), moved in counts(loss, 3, 5):
        for quantity, verdict in spec.verdicts.items():
            if moved[quantity] == 0 or verdict.answer != "if":
                continue
            words = verdict.condition
            special = spare(name) or "cone" in name or "hyperplane" in name or "axis" in name or "quadric" in name
            assert special, (name, quantity)
            if not any(word in words for word in ("general position", "cone", "hyperplane", "quadric")):
                assert spare(name), (name, quantity, words)
            if "s is fixed" in words:
                assert learned


def triplets(Z, margin):
    """(user, nearer item, farther item) with a gap above the margin."""
    return [
        (u, i, j)
        for u, row in enumerate(Z)
        for i in range(len(row))
        for j in range(len(row))
        if row[i] > row[j] + margin
    ]


@pytest.mark.parametrize("loss", ["triplet-cosine", "triplet-euclidean"])
def test_triplets_at_zero_loss_determine_nothing_but_what_they_compare(loss):
    rng, k, squared = np.random.default_rng(0), 3, loss == "triplet-euclidean"
    P, Q = unit(rng.standard_normal((9, k))), unit(rng.standard_normal((10, k)))
    moved = [M + 0.02 * rng.standard_normal(M.shape) for M in (P, Q)]
    moved = moved if squared else [unit(M) for M in moved]
    before, after = quantities(P, Q, squared), quantities(*moved, squared)
    compared = triplets(before["user_item_value"], margin=0.3)
    assert len(compared) > 100
    gaps = [after["user_item_value"][u, i] - after["user_item_value"][u, j] for u, i, j in compared]
    assert min(gaps) > 0.1  # with a margin of 0.1 the loss is 0 before and after
    for quantity, verdict in determined(loss).verdicts.items():
        assert verdict.answer == "no" or "every triplet is active" in verdict.condition
        assert abs(before[quantity] - after[quantity]).max() > 1e-3, quantity
    orders = [np.argsort(each["user_item_value"], axis=1) for each in (before, after)]
    assert (orders[0] != orders[1]).any()


def test_items_on_a_quadric_leave_whitening_about_the_mean():
    """Finite: an affine image of the items with the same distances to moved users, up to one number for each user."""
    rng, k = np.random.default_rng(1), 3
    Q = unit(rng.standard_normal((12, k))) / np.sqrt([1, 2, 3])  # ⟨z, diag(1, 2, 3) z⟩ = 1
    G = np.diag(np.sqrt(1 + 0.5 * np.arange(1, k + 1)))  # |z G|² = |z|² + ½
    P = rng.standard_normal((11, k))
    before, after = quantities(P, Q, True), quantities(P @ np.linalg.inv(G), Q @ G, True)
    change = after["user_item_value"] - before["user_item_value"]
    np.testing.assert_allclose(change, np.broadcast_to(change[:, :1], change.shape), atol=1e-12)
    np.testing.assert_allclose(after["centered_whitened"], before["centered_whitened"], atol=1e-12)
    for quantity in ("centered", "item_item_value", "user_item_value"):
        assert abs(after[quantity] - before[quantity]).max() > 0.01


# --- outside of general position: finite moves that the loss does not see ---


def across(M, new_height):
    """Vectors on a double cone around the last axis, at another angle and on their sides."""
    height = abs(M[0, -1])
    off = M[:, :-1] * np.sqrt((1 - new_height**2) / (1 - height**2))
    return np.column_stack([off, M[:, -1] * (new_height / height)])


def exchanged(rng, m, k, double):
    """Cones around one axis, or double cones, that exchange their angles: every score stays at one scale."""
    sides = [cone(rng.standard_normal((m, k - 1)), height) for height in (0.3, 0.8)]
    if double:
        for M in sides:
            M[:, -1] *= rng.choice([-1.0, 1.0], m)
    P, Q = sides
    return P, Q, 1.0, across(P, 0.8), across(Q, 0.3), 1.0


def crossed(rng, m, k):
    """Cones around one axis that slide until the users are at right angles to it: no score sees an item's side."""
    of_users, of_items = unit(rng.standard_normal((m, k - 1))), unit(rng.standard_normal((m, k - 1)))
    off = np.sqrt((1 - 0.6**2) * (1 - 0.3**2))  # what is seen
    new_Q = np.column_stack([off * of_items, rng.choice([-1.0, 1.0], m) * np.sqrt(1 - off**2)])
    return cone(of_users, 0.6), cone(of_items, 0.3), 1.0, np.column_stack([of_users, np.zeros(m)]), new_Q, 1.0


def stretched_rings(rng, m, k, one_sided):
    """Users on one cone, items on two around its axis: the axis and what is across it are stretched by two factors."""
    P = cone(rng.standard_normal((m, k - 1)), 0.3)
    low, high = -0.2, 0.5
    Q = np.vstack([cone(rng.standard_normal((m, k - 1)), height) for height in (low, high)])
    # The users' lengths stay equal, on one cone; the items' (x − h)² / a + (1 − x²) / b, at the heights x, by this h.
    a = 1.7
    b = (1 - a * 0.3**2) / (1 - 0.3**2) if one_sided else 1.2
    h = (low + high) / 2 * (1 - a / b)
    stretch = np.sqrt(np.r_[np.full(k - 1, b), a])
    new_P, new_Q = P * stretch, (Q - h * np.eye(k)[-1]) / stretch
    length_P, length_Q = np.linalg.norm(new_P[0]), np.linalg.norm(new_Q[0])
    return P, Q, 1.0, new_P / length_P, new_Q / length_Q, length_P * length_Q


def turned_users(rng, m, k):
    """Items on a cone; the users' parts off its axis on an ellipsoid around 0, which becomes the sphere. One scale."""
    G, height = np.diag(np.linspace(1.3, 2.2, k - 1)), 0.3
    inner = unit(rng.standard_normal((m, k - 1))) @ np.linalg.inv(G)
    P = np.column_stack([inner, rng.choice([-1.0, 1.0], m) * np.sqrt(1 - (inner**2).sum(axis=1))])
    Q = cone(rng.standard_normal((m, k - 1)), height)
    outer = Q[:, :-1] @ np.linalg.inv(G)
    new_Q = np.column_stack([outer, rng.choice([-1.0, 1.0], m) * np.sqrt(1 - (outer**2).sum(axis=1))])
    return P, Q, 1.0, np.column_stack([inner @ G, np.zeros(m)]), new_Q, 1.0


def inverted(Q, new_Q):
    """The share of pairs of pairs of items whose order turns round."""
    pairs = np.triu_indices(len(Q), 1)
    one, other = (M[pairs] for M in (kernel(Q), kernel(new_Q)))
    return np.mean((one[:, None] - one) * (other[:, None] - other) < -1e-9)


def seen(loss, change):
    """What of the change of the scores the loss sees."""
    less = {"scores": 0.0, "rows": change.mean(axis=1, keepdims=True), "constant": change.mean()}
    return change - less["constant" if loss == "matryoshka-unit" else determined(loss).sees]


def repaired(row, P, Q):
    """The cosines of the items that the row's repair gives."""
    if row.repair == "canonical_item_vectors":
        return cosine_similarity(canonical_item_vectors(P, Q, **row.repair_options))
    return getattr(cossim_helpers, row.repair)(Q)


LEARNED = ("clip", "siglip", "matryoshka-unit")
ONE_SIDED = ("infonce-one-sided", "triplet-cosine")
REGRESSION = ("cosine-mse", "siglip-fixed")
OUTSIDE = {  # name: the move, the losses that do not see it, whether the order of items changes
    "cones exchange": (lambda rng: exchanged(rng, 14, 4, False), (*REGRESSION, *LEARNED, *ONE_SIDED), False),
    "double cones exchange": (lambda rng: exchanged(rng, 14, 4, True), (*REGRESSION, *LEARNED, *ONE_SIDED), True),
    "items cross over": (lambda rng: crossed(rng, 14, 4), (*LEARNED, *ONE_SIDED), True),
    "rings": (lambda rng: stretched_rings(rng, 14, 4, False), LEARNED, True),
    "rings, one-sided": (lambda rng: stretched_rings(rng, 14, 4, True), ("infonce-one-sided",), True),
    "an ellipsoid of users": (lambda rng: turned_users(rng, 14, 4), ONE_SIDED, True),
}


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("seed", range(3))
def test_outside_of_general_position_a_loss_does_not_see_a_move(name, seed):
    move, losses, turns = OUTSIDE[name]
    P, Q, s, new_P, new_Q, new_s = move(np.random.default_rng(seed))
    for M in (P, Q, new_P, new_Q):
        np.testing.assert_allclose(np.linalg.norm(M, axis=1), 1, atol=1e-12)
    assert np.linalg.matrix_rank(P) == np.linalg.matrix_rank(Q) == 4  # no dimension is spare
    assert (inverted(Q, new_Q) > 1e-3) == turns and abs(kernel(Q) - kernel(new_Q)).max() > 0.05
    before, after = quantities(P, Q, False), quantities(new_P, new_Q, False)
    for loss in losses:
        row = determined(loss)
        assert abs(seen(loss, new_s * new_P @ new_Q.T - s * P @ Q.T)).max() < 1e-12
        for quantity, verdict in row.verdicts.items():
            if (verdict.answer == "yes" or "general" not in verdict.condition) and not quantity.endswith("order"):
                change = after[quantity] * (new_s / s if quantity == "user_item_value" else 1) - before[quantity]
                assert abs(change).max() < 1e-10, (loss, quantity)
        np.testing.assert_allclose(repaired(row, new_P, new_Q), repaired(row, P, Q), atol=1e-9)


@pytest.mark.parametrize("loss", [*REGRESSION, *LEARNED, *ONE_SIDED])
def test_each_quantity_that_takes_general_position_is_lost_outside_of_it(loss):
    row, lost = determined(loss), set()
    for move, losses, turns in OUTSIDE.values():
        if loss in losses:
            P, Q, _, new_P, new_Q, _ = move(np.random.default_rng(0))
            before, after = quantities(P, Q, False), quantities(new_P, new_Q, False)
            for each in (before, after):  # what counts up to a factor
                each |= {name: each[name] / np.linalg.norm(each[name]) for name in ("distance", "cka")}
            lost |= {name for name in before if abs(before[name] - after[name]).max() > 1e-3} - {"item_item_order"}
            lost |= {"item_item_order"} if turns else set()
    takes = {name for name, verdict in row.verdicts.items() if "general position" in verdict.condition}
    assert takes == lost - {"user_item_order"}  # the scores themselves, up to what the loss does not see


@pytest.mark.parametrize("shape", ["double cone", "two cones"])
@pytest.mark.parametrize("loss", ["cosine-mse", "clip", "infonce-one-sided"])
def test_a_spanning_side_is_enough_whatever_cones_the_other_lies_on(loss, shape):
    rng, k = np.random.default_rng(7), 4
    P, Q = unit(rng.standard_normal((k * (k + 1) // 2, k))), cone(rng.standard_normal((16, k - 1)), 0.4)
    Q[:8] = cone(rng.standard_normal((8, k - 1)), -0.4 if shape == "double cone" else 0.7)
    assert np.linalg.matrix_rank([np.outer(z, z).ravel() for z in P]) == k * (k + 1) // 2
    assert freedom(P, Q, loss, scale_is_learned=True).directions == 0
    users = cone(P[:, :-1], 0.3)  # around the items' axis
    users[::2, -1] *= -1 if shape == "double cone" else 1
    free = freedom(users, Q, loss, scale_is_learned=True).directions
    assert free > 0 or (loss, shape) == ("cosine-mse", "two cones")


def test_users_in_a_hyperplane_leave_each_item_its_mirror_image():
    rng, k = np.random.default_rng(4), 3
    P, Q = np.column_stack([rng.standard_normal((20, k - 1)), np.zeros(20)]), rng.standard_normal((30, k))
    new_Q = Q * np.column_stack([np.ones((30, k - 1)), rng.choice([-1.0, 1.0], 30)])
    before, after = quantities(P, Q, True), quantities(P, new_Q, True)
    np.testing.assert_allclose(after["user_item_value"], before["user_item_value"], atol=1e-12)
    for quantity, verdict in determined("triplet-euclidean").verdicts.items():
        if verdict.answer == "if" and quantity not in ("user_item_value", "score_columns"):
            assert ("spare" in verdict.condition) == (abs(after[quantity] - before[quantity]).max() > 0.01), quantity


def test_what_repairs_triplets_of_distances_does_not_move_with_them():
    rng, k = np.random.default_rng(5), 3
    P, Q, shift = rng.standard_normal((20, k)), rng.standard_normal((30, k)), np.array([3.0, 1.0, 2.0])
    row = determined("triplet-euclidean")
    repair = getattr(cossim_helpers, row.repair)
    flat = np.column_stack([P[:, :-1], np.zeros(20)])
    for users, others in ((P, (P + shift, Q + shift)), (flat, (flat, Q * np.array([1.0, 1.0, -1.0])))):
        here, there = (repair(*sides, **row.repair_options) for sides in ((users, Q), others))
        np.testing.assert_allclose(kernel(there), kernel(here), atol=1e-10)
    assert abs(kernel(repair(P + shift, Q + shift)) - kernel(repair(P, Q))).max() > 0.1  # users not centered


@pytest.mark.parametrize("loss", ["tied-cosine", "tied-dot"])
def test_one_encoder_loses_an_axis_at_the_end_of_its_slide(loss):
    rng, k, unit_length = np.random.default_rng(6), 3, loss == "tied-cosine"
    off = rng.standard_normal((9, k - 1))
    Q = cone(off, 0.6) if unit_length else np.column_stack([off, np.full(9, 0.6)])
    new_Q = np.column_stack([unit(off) if unit_length else off, np.zeros(9)])
    change = (1 - 0.6**2 if unit_length else 1.0) * kernel(new_Q) - kernel(Q)
    np.testing.assert_allclose(change, change[0, 0], atol=1e-12)
    before, after = quantities(Q, Q, False), quantities(new_Q, new_Q, False)
    for quantity, verdict in determined(loss).verdicts.items():
        if verdict.answer == "if" and not quantity.endswith("order"):
            assert "cone" in verdict.condition or "hyperplane" in verdict.condition
            assert abs(after[quantity] - before[quantity]).max() > 0.01, quantity


@pytest.mark.parametrize("unit_length", [True, False])
def test_one_encoder_with_a_spare_dimension_changes_what_is_whitened(unit_length):
    rng, k, a = np.random.default_rng(2), 3, 0.8
    Q = rng.standard_normal((9, k))
    Q = unit(Q) if unit_length else Q
    other = np.column_stack([a * Q, np.full(9, 0.6)]) if unit_length else np.column_stack([Q, np.full(9, 0.6)])
    scale = 1 / a**2 if unit_length else 1.0
    change = scale * other @ other.T - Q @ Q.T
    np.testing.assert_allclose(change, change[0, 0], atol=1e-12)  # one constant: equal loss
    before, after = quantities(Q, Q, False), quantities(other, other, False)
    loss = "tied-cosine" if unit_length else "tied-dot"
    same = {name for name in before if not name.endswith("order") and abs(before[name] - after[name]).max() < 1e-10}
    said = {name for name, verdict in determined(loss).verdicts.items() if verdict.answer == "yes"}
    distances = {"distance", "cka"} if unit_length else set()  # up to a factor, which `same` does not allow
    assert {name for name in said if not name.endswith("order")} - distances == same
    np.testing.assert_allclose(after["distance"], before["distance"] * (a**2 if unit_length else 1), atol=1e-12)


@pytest.mark.parametrize("k", [2, 3, 4])
def test_cosent_takes_two_vectors_more_than_dimensions(k):
    """The smallest eigenvalue of QQᵀ + c (11ᵀ − I) is concave in c: with k + 1 vectors it is 0 at 0 and once more."""
    needed = determined("cosent").vectors_needed(k)["items"]

    def eigenvalues(Q, c):
        return np.linalg.eigvalsh(kernel(Q) + c * (1 - np.eye(len(Q))))

    for seed in range(10):
        rng = np.random.default_rng([seed, k])
        Q = unit(rng.standard_normal((needed - 1, k)))
        side = 1.0 if eigenvalues(Q, 1e-6)[0] > eigenvalues(Q, -1e-6)[0] else -1.0
        other = side * brentq(lambda c, Q, side: eigenvalues(Q, side * c)[0], 1e-6, 4, args=(Q, side))
        size = eigenvalues(Q, other)
        assert abs(other) > 1e-4 and abs(size[0]) < 1e-9 and (size > 1e-9).sum() <= k  # other vectors, the same loss
        for Q in (unit(rng.standard_normal((p, k))) for p in (needed, needed + 1)):
            for c in np.concatenate([np.linspace(-1, -0.01, 60), np.linspace(0.01, 1, 60)]):
                size = eigenvalues(Q, c)
                assert size[0] < -1e-9 or (size > 1e-9).sum() > k


def test_the_rows_are_complete():
    quantities_of_all = {determined(loss).quantities for loss in LOSSES}
    assert len(quantities_of_all) == 1
    for loss in LOSSES:
        row = determined(loss)
        needed = row.vectors_needed(7, scale_is_learned=True)
        assert needed["together"] >= needed["users"] + needed["items"] if not row.unit_items else needed["together"] > 0
        assert not row.tied or needed["together"] == needed["items"]
        assert row.loss == loss and row.rule.endswith(".") and row.label[0].isupper()
        assert row.theorem.startswith("thm-")
        assert set(row.repair_options) <= set(inspect.signature(getattr(cossim_helpers, row.repair)).parameters)
        assert len(row.rule) <= 110 and row.rule.count(". ") == 0
        assert all(len(verdict.condition) <= 110 for verdict in row.verdicts.values())
        assert "\n" not in row.remark + row.freedom and (not row.remark or row.remark.endswith("."))
    with pytest.raises(ValueError, match="loss takes one of"):
        determined("mse")
    with pytest.raises(ValueError, match="k takes"):
        determined("clip").vectors_needed(0)
    with pytest.raises(TypeError, match="scale_is_learned takes True or False"):
        determined("clip").vectors_needed(3, scale_is_learned=1)
    assert determined("squared").vectors_needed(1) == {"users": 1, "items": 1, "together": 2}
    for learned in (False, True):  # vectors of any length have no scale of their own
        needed = determined("squared").vectors_needed(3, scale_is_learned=learned)
        assert needed == {"users": 3, "items": 3, "together": 6}


def test_nobody_can_change_a_row_for_all_others():
    for loss in LOSSES:
        row = determined(loss)
        for mapping in (row.verdicts, row.vectors, row.repair_options):
            with pytest.raises(TypeError, match="does not support item assignment"):
                mapping["item_item_value"] = None
        for frozen in (row, row.verdicts["cka"]):
            with pytest.raises(dataclasses.FrozenInstanceError):
                frozen.answer = "yes"
        for other in (copy.deepcopy(row), pickle.loads(pickle.dumps(row))):
            assert other == row and other is not row


def test_a_row_of_the_table_of_losses_owns_what_it_holds():
    for loss in LOSSES:
        row = determined(loss)
        assert all(type(counts) is tuple for counts in row.vectors.values())
        assert row.sees_diagonal == (loss not in ("tied-cosine", "cosent"))
        verdicts = dict(row.verdicts)
        copy = dataclasses.replace(row, verdicts=verdicts)
        verdicts.clear()
        assert copy == row


def test_the_table_is_read_as_utf_8_whatever_the_locale(monkeypatch):
    read, given = Path.read_text, []
    monkeypatch.setattr(Path, "read_text", lambda path, **options: given.append(options) or read(path, **options))
    assert _table.__wrapped__().keys() == set(LOSSES) and given == [{"encoding": "utf-8"}]


@pytest.mark.parametrize(("loss", "counts"), [("clip", (1276, 1277)), ("infonce-one-sided", (1326, 1327))])
def test_counts_at_fifty_dimensions(loss, counts):
    for learned, count in enumerate(counts):
        assert determined(loss).vectors_needed(50, scale_is_learned=bool(learned))["together"] == count


# --- the vectors that all models share ---


def kernel(vectors):
    return vectors @ vectors.T


@pytest.mark.parametrize("seed", range(6))
def test_canonical_vectors_are_the_row_centered_score_columns(seed):
    rng = np.random.default_rng(seed)
    n, p, k = [(9, 8, 3), (3, 8, 5), (9, 3, 5), (1, 4, 2), (7, 1, 2), (6, 6, 1)][seed]
    P, Q = rng.standard_normal((n, k)), rng.standard_normal((p, k))
    Z = P @ Q.T
    centered = np.array([[z - sum(row) / p for z in row] for row in Z])
    np.testing.assert_allclose(kernel(canonical_item_vectors(P, Q)), centered.T @ centered, atol=1e-12)
    np.testing.assert_allclose(kernel(canonical_item_vectors(P, Q, centered=False)), Z.T @ Z, atol=1e-12)
    if p > 1:
        expected = cosine_by_loops(centered.T, centered.T)
        np.testing.assert_allclose(cosine_similarity(canonical_item_vectors(P, Q)), expected, atol=1e-10)
    twice = centered - centered.mean(axis=0)
    np.testing.assert_allclose(kernel(canonical_item_vectors(P, Q, users_centered=True)), twice.T @ twice, atol=1e-12)
    assert canonical_item_vectors(P, Q).shape == (p, k)
    value, vectors = np.linalg.eigh(P.T @ P)
    root = vectors * np.sqrt(np.maximum(value, 0)) @ vectors.T  # the formula, where squaring does no harm
    np.testing.assert_allclose(canonical_item_vectors(P, Q), (Q - Q.mean(axis=0)) @ root, atol=1e-7)


def test_without_centering_they_are_the_score_columns_of_the_linear_model():
    rng = np.random.default_rng(0)
    X, factors = (rng.random((20, 7)) < 0.5).astype(float), Factors(*rng.standard_normal((2, 7, 3)))
    vectors = canonical_item_vectors(X @ factors.A, factors.B, centered=False)
    np.testing.assert_allclose(cosine_similarity(vectors), score_column_cosine(X, factors), atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_nothing_that_keeps_the_predictions_moves_canonical_cosines(seed):
    rng, k, n, p = np.random.default_rng(seed), 2 + seed, 25, 30
    P, Q = unit(rng.standard_normal((n, k))), cone(rng.standard_normal((p, k - 1)), 0.3) if k > 2 else None
    Q = unit(rng.standard_normal((p, k))) if Q is None else Q
    G, m = rng.standard_normal((k, k)) + 2 * np.eye(k), rng.standard_normal(k)
    spare = rng.standard_normal((n, 2))
    lifted = lift_into_spare(P, Q, 0.4 * np.eye(k) + 0.05 * rng.standard_normal((k, k)))
    others = {
        "GL(k)": (P @ G, Q @ np.linalg.inv(G).T),
        "a shift": (P, Q + m),
        "a scale": (3 * P, 2.0**-40 * Q),
        "junk columns": (np.hstack([P, spare]), np.hstack([Q, np.zeros((p, 2))])),
        "junk columns of the items": (
            np.hstack([P, np.zeros((n, 2))]),
            np.hstack([Q, 5 * rng.standard_normal((p, 2))]),
        ),
        "spare dimensions": lifted[:2],
        "all of it": (np.hstack([P @ G, spare]), np.hstack([(Q + m) @ np.linalg.inv(G).T, np.zeros((p, 2)) + 7.0])),
    }
    if k > 2:
        others["a cone that slides"] = slide_cone(P, Q, 0.7)[:2]
    here = cosine_similarity(canonical_item_vectors(P, Q))
    for name, (other_P, other_Q) in others.items():
        there = cosine_similarity(canonical_item_vectors(other_P, other_Q))
        np.testing.assert_allclose(there, here, atol=1e-10, err_msg=name)
        moves = name not in ("a scale", "junk columns")
        assert (abs(cosine_similarity(other_Q) - cosine_similarity(Q)).max() > 0.01) == moves, name


def test_item_biases_need_the_users_centered_too():
    rng, k = np.random.default_rng(4), 3
    P, Q, w = rng.standard_normal((20, k)), rng.standard_normal((9, k)), rng.standard_normal(k)
    bias = rng.standard_normal(9)
    same = (P + w) @ Q.T + (bias - Q @ w)  # users moved, and the biases take it up
    np.testing.assert_allclose(same, P @ Q.T + bias, atol=1e-12)
    here, there = (canonical_item_vectors(users, Q, users_centered=True) for users in (P, P + w))
    np.testing.assert_allclose(kernel(there), kernel(here), atol=1e-12)
    assert abs(kernel(canonical_item_vectors(P + w, Q)) - kernel(canonical_item_vectors(P, Q))).max() > 0.1


def test_canonical_vectors_at_the_ends_of_the_floats():
    rng = np.random.default_rng(5)
    P, Q = rng.standard_normal((8, 3)), rng.standard_normal((7, 3))
    here = canonical_item_vectors(P, Q)
    for power in (1000, -1000):
        np.testing.assert_allclose(canonical_item_vectors(P * 2.0**power, Q * 2.0**-power), here, rtol=1e-10)
    np.testing.assert_allclose(canonical_item_vectors(P * 2.0**500, Q) * 2.0**-500, here, rtol=1e-10)
    for power in (600, -600):
        with pytest.raises(ValueError, match="whose products a float holds"):
            canonical_item_vectors(P * 2.0**power, Q * 2.0**power)
    with pytest.raises(ValueError, match=r"got some of up to 2e\+200 and 3e\+200"):  # one product of two
        canonical_item_vectors([[-2e200], [1.0]], [[-3e200], [1.0]], centered=False)


@pytest.mark.parametrize("sizes", [(1e-160, 1e-160), (1e-300, 1e-10), (2e-323, 1.0)])
def test_products_that_lost_their_digits_are_refused(sizes):
    rng = np.random.default_rng(5)
    P, Q = rng.standard_normal((8, 3)), rng.standard_normal((7, 3))
    with pytest.raises(ValueError, match="whose products a float holds"):
        canonical_item_vectors(P * sizes[0], Q * sizes[1])


def test_products_keep_their_digits_down_to_the_bound_and_no_further():
    for size in (1e-290, 3e-287):
        for sign in (1, -1):
            assert canonical_item_vectors([[1.0]], [[sign * size]], centered=False).item() == sign * size
    with pytest.raises(ValueError, match="whose products a float holds"):
        canonical_item_vectors([[1.0]], [[0.9e-290]], centered=False)


def test_items_that_no_user_sees_are_zero():
    P, Q = np.outer([1.0, 2, 3], [1, 0]), np.outer([1.0, -1, 4], [0, 1])
    assert not canonical_item_vectors(P, Q).any() and not canonical_item_vectors(P, Q, centered=False).any()
    assert not canonical_item_vectors(0 * P, Q).any()


def test_items_at_the_mean_become_zero_and_bad_input_is_refused():
    Q = np.tile([0.1, 0.7], (7, 1))
    assert not canonical_item_vectors([[1.0, 2.0]], Q).any()
    assert not canonical_item_vectors([[1.0, 2.0]], np.vstack([Q, [[0.2, 0.5], [0.0, 0.9]]]))[:7].any()
    with pytest.raises(ValueError, match="as many columns as P"):
        canonical_item_vectors(np.ones((3, 2)), np.ones((3, 3)))
    with pytest.raises(ValueError, match="Q takes finite numbers"):
        canonical_item_vectors(np.ones((3, 2)), np.full((3, 2), np.nan))
    for name in ("centered", "users_centered"):
        with pytest.raises(TypeError, match=f"{name} takes True or False"):
            canonical_item_vectors([[1.0]], [[1.0]], **{name: 1})

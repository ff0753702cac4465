"""The counts of free directions against the plain Jacobian of everything a loss sees, taken by complex steps."""

import warnings

import numpy as np
import pytest
from instances import FEW, cone, for_model, two_sides
from oracles import free_directions, random_orthogonal, unit
from scipy.optimize import least_squares

from cossim_helpers import LOSSES, determined, freedom, slide_cone

MODELS = (  # one loss for each model; the others share one of these
    "squared", "dot-decay", "bpr", "infonce-one-sided", "clip", "cosine-mse", "triplet-euclidean",
    "cosent", "tied-dot", "matryoshka-dot", "matryoshka-unit", "gain-after-norm", "lm-head",
)  # fmt: skip


# --- counts ---


@pytest.mark.parametrize("name", two_sides(0, 2))
@pytest.mark.parametrize("k", [2, 3])
def test_counts_are_those_of_the_plain_jacobian(k, name):
    P, Q = two_sides(0, k)[name]
    for loss in MODELS:
        spec = determined(loss)
        here = for_model(spec, P, Q)
        if loss == "triplet-euclidean" and (name in FEW[:3] or "spare" in name or "alone" in name):
            with pytest.raises(ValueError, match="in no hyperplane"):
                freedom(*here[:2], loss)
            continue
        if loss == "dot-decay" and "alone" in name:
            continue  # scores of rank k: balanced, it is an instance of its own
        for learned in [False, True] if spec.unit_items else [False]:
            found = freedom(*here[:2], loss, scale_is_learned=learned, gain=here[2])
            assert (found.directions, found.moved) == free_directions(*here[:2], spec, learned, gain=here[2]), (
                loss,
                learned,
            )
            assert found.dropped < 1e-11 and found.kept > 1e-6, (loss, learned)
            assert found.unused == P.shape[1] - np.linalg.matrix_rank(np.vstack(here[:2]), tol=1e-9)


def test_all_losses_are_one_of_the_models():
    def model(loss):
        spec = determined(loss)
        return (spec.sees, spec.unit_users, spec.unit_items, spec.tied, spec.balanced, spec.gain_on, spec.sees_diagonal)

    assert {model(loss) for loss in LOSSES} == {model(loss) for loss in MODELS}
    assert len({model(loss) for loss in MODELS}) == len(MODELS)


@pytest.mark.parametrize("sizes", [[2, 2], [1, 3], [1, 1, 2]])
def test_matryoshka_blocks(sizes):
    rng = np.random.default_rng(len(sizes))
    P, Q = rng.standard_normal((9, 4)), rng.standard_normal((8, 4))
    spec = determined("matryoshka-dot")
    found = freedom(P, Q, "matryoshka-dot", blocks=sizes)
    assert (found.directions, found.moved) == free_directions(P, Q, spec, False, sizes)
    assert found.directions == sum(size * (size + 1) // 2 for size in sizes)  # ∏ GL(k_b)
    assert freedom(P, Q, "matryoshka-dot").directions == 4  # all prefixes: exactly D
    found = freedom(unit(P), unit(Q), "matryoshka-unit", blocks=sizes)
    assert (found.directions, found.moved) == free_directions(
        unit(P), unit(Q), determined("matryoshka-unit"), True, sizes
    )


def random_model(loss, n, p, k, rng):
    return for_model(determined(loss), unit(rng.standard_normal((n, k))), unit(rng.standard_normal((p, k))), k)


def split(total, least_users, least_items, rng):
    """users, items: as many as `total`, none of them too few."""
    n = int(rng.integers(least_users, total - least_items + 1))
    return n, total - n


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("loss", ["clip", "cosine-mse", "infonce-one-sided"])
def test_unit_vectors_on_two_sides_count_together(loss, learned):
    """One vector fewer than the table says leaves no direction, but maybe other solutions; two fewer leave one."""
    rng = np.random.default_rng(len(loss))
    for k in [3, 4, 5, 6]:
        needed = determined(loss).vectors_needed(k, scale_is_learned=learned)
        D, shift = k * (k + 1) // 2, k * (loss == "infonce-one-sided")
        assert needed["together"] == D + shift + 1 + learned
        for _ in range(6):
            for fewer in (0, 1, 2):
                if needed["together"] - fewer < needed["users"] + needed["items"]:
                    continue
                n, p = split(needed["together"] - fewer, needed["users"], needed["items"], rng)
                P, Q, _ = random_model(loss, n, p, k, rng)
                assert freedom(P, Q, loss, scale_is_learned=learned).directions == (fewer == 2), (k, n, p)


@pytest.mark.parametrize("k", [2, 3, 4])
def test_other_models_take_as_many_vectors_as_the_table_says(k):
    D = k * (k + 1) // 2
    cases = {  # loss: directions with enough vectors
        "squared": D, "dot-decay": 0, "bpr": D + k, "triplet-euclidean": k, "gain-after-norm": D, "lm-head": D + k,
        "tied-dot": 0, "tied-cosine": 0, "matryoshka-dot": k,
    }  # fmt: skip
    for seed, (loss, expected) in enumerate(cases.items()):
        rng = np.random.default_rng([seed, k])
        needed = determined(loss).vectors_needed(k, scale_is_learned=True)

        def count(n, p, loss=loss, rng=rng):
            P, Q, gain = random_model(loss, n, p, k, rng)
            return freedom(P, Q, loss, scale_is_learned=True, gain=gain).directions

        n, p = max(needed["users"], 1), max(needed["items"], 1)
        assert all(count(n + i, p + j) == expected for i in range(3) for j in range(3)), loss
        if loss in ("bpr", "triplet-euclidean", "tied-dot", "tied-cosine"):
            assert count(n + 2, p - 1) > expected, loss  # the items are the bottleneck


@pytest.mark.parametrize("k", [3, 4, 5])
@pytest.mark.parametrize("learned", [False, True])
def test_a_side_of_k_vectors_lies_in_a_hyperplane_and_takes_up_the_constant(k, learned):
    rng = np.random.default_rng(k)
    together = determined("clip").vectors_needed(k, scale_is_learned=learned)["together"]
    for n, p in [(k, together - k - 1), (together - k - 1, k)]:
        P, Q, _ = random_model("clip", n, p, k, rng)
        assert freedom(P, Q, "clip", scale_is_learned=learned).directions == 1
        assert freedom(P, Q, "cosine-mse", scale_is_learned=learned).directions == 0


@pytest.mark.parametrize("gain_on", ["P", "Q"])
def test_a_gain_leaves_the_cosines_before_it_to_as_many_vectors_as_the_table_says(gain_on):
    """Unit vectors with a free linear map after them: others fit iff some M ≠ I has ⟨z, M z⟩ = 1 for all."""
    rng, k = np.random.default_rng(3), 4
    loss, side = ("lm-head", "users") if gain_on == "P" else ("gain-after-norm", "items")
    D = determined(loss).vectors_needed(k)[side]
    assert D == 10
    for m, unique in [(D, True), (D - 1, False)]:
        Z = unit(rng.standard_normal((m, k)))
        outer = np.stack([np.outer(z, z).ravel() for z in Z])
        assert (np.linalg.matrix_rank(outer) == k * (k + 1) // 2) == unique
    _, _, right = np.linalg.svd(outer)
    M = next(N + N.T for N in right[m:].reshape(-1, k, k) if abs(N + N.T).max() > 1e-6)
    root = np.linalg.cholesky(np.eye(k) + 0.3 * M / np.linalg.norm(M, 2))
    other = Z @ root
    np.testing.assert_allclose((other**2).sum(axis=1), 1, atol=1e-12)
    assert abs(other @ other.T - Z @ Z.T).max() > 0.01


def test_distinct_gains_free_all_of_gl_and_one_gain_only_its_diagonal():
    rng, k = np.random.default_rng(5), 4
    P, Q = rng.standard_normal((12, k)), unit(rng.standard_normal((13, k)))
    assert freedom(P, Q, "gain-after-norm").directions == k
    gain = np.array([1.0, 1.3, 0.6, 2.0])
    assert freedom(P, Q * gain, "gain-after-norm", gain=gain).directions == k * (k + 1) // 2
    gain = np.array([1.0, 1.0, 0.6, 0.6])
    assert freedom(P, Q * gain, "gain-after-norm", gain=gain).directions == k * (k + 1) // 2 - 2


# --- finite solutions, where a direction says nothing ---


def test_one_vector_fewer_leaves_other_solutions_and_the_count_of_the_table_none():
    """k = 3, fixed scale: Γ with ⟨z_u, Γ z_u⟩ = 1 and ⟨z_i, Γ⁻¹ z_i⟩ = 1, from 12 starts."""
    k, others = 3, {6: 0, 7: 0}
    assert determined("cosine-mse").vectors_needed(k)["together"] == 7
    for seed in range(10):
        rng = np.random.default_rng(seed)
        for total in others:
            P, Q = unit(rng.standard_normal((3, k))), unit(rng.standard_normal((total - 3, k)))

            def off(x, P=P, Q=Q):
                L = np.zeros((k, k))
                L[np.tril_indices(k)] = x  # Γ = L Lᵀ
                return np.append(((P @ L) ** 2).sum(axis=1), (np.linalg.solve(L, Q.T) ** 2).sum(axis=0)) - 1

            found = False
            for _ in range(12):
                start = np.eye(k) + 0.8 * rng.standard_normal((k, k))
                if abs(np.linalg.det(np.tril(start))) < 1e-2:
                    continue
                end = least_squares(off, start[np.tril_indices(k)], xtol=1e-15, ftol=1e-15, gtol=1e-15, max_nfev=100)
                L = np.zeros((k, k))
                L[np.tril_indices(k)] = end.x
                found |= bool(end.cost < 1e-24 and abs(L @ L.T - np.eye(k)).max() > 1e-4)
            others[total] += found
    assert others[7] == 0 and others[6] >= 7, others


# --- the moves themselves ---


@pytest.mark.parametrize("name", ["generic", "coaxial cones", "two spare dimensions", "few"])
def test_moves_are_orthonormal_keep_the_equations_and_are_no_rotations(name):
    P, Q = two_sides(1, 3)[name]
    for loss in ("squared", "bpr", "clip", "infonce-one-sided", "cosent"):
        spec = determined(loss)
        A, B, _ = for_model(spec, P, Q)
        found = freedom(A, B, loss, scale_is_learned=True)
        flat = np.column_stack([found.dP.reshape(-1, A.size), found.dQ.reshape(-1, B.size), found.dscale])
        np.testing.assert_allclose(flat @ flat.T, np.eye(found.directions), atol=1e-9)
        for dP, dQ, ds in zip(found.dP, found.dQ, found.dscale):
            change = dP @ B.T + A @ dQ.T + ds * A @ B.T
            if not spec.sees_diagonal:
                change = change[~np.eye(len(A), dtype=bool)]
            change -= change.mean(axis=1, keepdims=True) if spec.sees == "rows" else 0
            change -= change.mean() if spec.sees == "constant" else 0
            assert abs(change).max() < 1e-12
            for M, dM in ((A, dP), (B, dQ)) if spec.unit_items else ():
                assert abs((M * dM).sum(axis=1)).max() < 1e-12
            W, dW = np.vstack([A, B]), np.vstack([dP, dQ])
            np.testing.assert_allclose(W.T @ dW, (W.T @ dW).T, atol=1e-12)  # orthogonal to W K for all Kᵀ = −K


@pytest.mark.parametrize("loss", ["gain-after-norm", "lm-head"])
def test_moves_with_a_gain_keep_the_length_before_it(loss):
    rng = np.random.default_rng(6)
    P, Q, gain = random_model(loss, 12, 13, 3, rng)
    found = freedom(P, Q, loss, gain=gain)
    for dP, dQ in zip(found.dP, found.dQ):
        change = dP @ Q.T + P @ dQ.T
        change -= change.mean(axis=1, keepdims=True) if loss == "lm-head" else 0
        assert abs(change).max() < 1e-12
        Z, dZ = (P / gain, dP / gain) if loss == "lm-head" else (Q / gain, dQ / gain)
        growth = (Z * dZ).sum(axis=1)  # Σ_l z_l² dγ_l/γ_l for one change dγ of the gain, and a rotation after it
        turns = [np.outer(a, b) - np.outer(b, a) for a, b in zip(np.eye(3), np.roll(np.eye(3), 1, axis=0))]
        explained = np.column_stack([Z**2, *((Z * ((Z * gain) @ K / gain)).sum(axis=1) for K in turns)])
        assert abs(growth - explained @ np.linalg.lstsq(explained, growth, rcond=None)[0]).max() < 1e-12


def test_a_finite_move_begins_in_a_direction_that_was_found():
    rng, k = np.random.default_rng(8), 4
    P, Q = cone(rng.standard_normal((14, k - 1)), 0.5), cone(rng.standard_normal((15, k - 1)), 0.3)
    found, step = freedom(P, Q, "clip"), 1e-6
    assert found.directions == 2
    moved = slide_cone(P, Q, 0.3 + step, scale=5.0, new_scale=5.0)
    W, made = np.vstack([P, Q]), np.vstack([moved.P - P, moved.Q - Q]) / step
    grams = np.stack([(W @ dW.T + dW @ W.T).ravel() for dW in [*np.concatenate([found.dP, found.dQ], axis=1), made]])
    size = np.linalg.svd(grams, compute_uv=False)  # which no rotation moves: the third depends on the two
    assert size[2] < 1e-4 * size[1]


@pytest.mark.parametrize("loss", ["squared", "bpr", "clip", "triplet-euclidean"])
def test_counts_do_not_depend_on_coordinates_or_units(loss):
    rng, k = np.random.default_rng(2), 3
    P, Q, _ = random_model(loss, 10, 11, k, rng)
    R = random_orthogonal(k, rng)
    here = freedom(P, Q, loss)
    assert freedom(P @ R, Q @ R, loss).moved == here.moved
    order = rng.permutation(11)
    assert freedom(P[::-1], Q[order], loss).moved == here.moved
    if loss in ("squared", "bpr"):
        far = freedom(P * 2.0**400, Q * 2.0**-400, loss)
        assert (far.directions, far.moved) == (here.directions, here.moved)
        G = np.diag([1.0, 100.0, 0.01])
        assert freedom(P @ G, Q @ np.linalg.inv(G), loss).directions == here.directions


@pytest.mark.parametrize("power", [-1000, -570, 540, 1000])
@pytest.mark.parametrize("loss", ["squared", "softmax", "triplet-euclidean", "gain-after-norm", "lm-head"])
def test_counts_at_the_ends_of_the_floats(loss, power):
    rng = np.random.default_rng(3)
    P, Q, gain = random_model(loss, 10, 11, 3, rng)
    size, here = 2.0**power, freedom(P, Q, loss, gain=gain)
    scaled = [(P * size, Q * size, gain)]
    if loss != "triplet-euclidean":  # there users and items have one unit
        scaled += [(P * size, Q, gain), (P, Q * size, gain)]
    if gain is not None:
        scaled.append((P * size, Q * size, gain * size))
    for far in (freedom(A, B, loss, gain=c) for A, B, c in scaled):
        assert (far.directions, far.moved) == (here.directions, here.moved)
    far = freedom(P * size, Q * size, loss, gain=gain)
    np.testing.assert_allclose(far.dP, here.dP * size, rtol=1e-6, atol=1e-9 * size)


@pytest.mark.parametrize(("n", "p"), [(1, 1), (6, 1), (1, 6)])
def test_one_item_has_no_order_and_no_warning(n, p):
    rng = np.random.default_rng(n)
    P, Q = rng.standard_normal((n, 3)), rng.standard_normal((p, 3))
    with warnings.catch_warnings(action="error"):
        for loss in ("softmax", "squared", "clip"):
            A, B = (unit(P), unit(Q)) if loss == "clip" else (P, Q)
            moved = freedom(A, B, loss).moved
            assert n > 1 or moved["user_user_value"] == 0
            of_items = moved.keys() - {"user_user_value", "user_item_value"}
            assert p > 1 or not any(moved[name] for name in of_items), moved


def test_many_vectors_take_the_reduced_form():
    rng, k = np.random.default_rng(0), 24
    P, Q = unit(rng.standard_normal((400, k))), cone(rng.standard_normal((420, k - 1)), 0.3)
    found = freedom(P, Q, "infonce-one-sided", scale_is_learned=True)
    assert found.directions == 2 and found.moved["item_item_value"] == 1 and found.moved["item_item_order"] == 0
    assert found.dropped < 1e-12 and found.kept > 1e-3


# --- what it refuses ---


def test_what_it_refuses():
    rng = np.random.default_rng(0)
    P, Q = rng.standard_normal((6, 3)), rng.standard_normal((7, 3))
    with pytest.raises(ValueError, match="loss takes one of"):
        freedom(P, Q, "nothing")
    with pytest.raises(ValueError, match="P takes rows of length 1"):
        freedom(P, unit(Q), "clip")
    with pytest.raises(ValueError, match="Q takes rows of length 1"):
        freedom(unit(P), Q, "clip")
    with pytest.raises(ValueError, match="P takes the same vectors as Q"):
        freedom(unit(P), unit(Q), "tied-cosine")
    with pytest.raises(ValueError, match="as many columns as P"):
        freedom(P, Q[:, :2], "squared")
    with pytest.raises(ValueError, match="Q takes vectors that are not all 0"):
        freedom(P, 0 * Q, "squared")
    with pytest.raises(ValueError, match="Q / gain takes rows of one length"):
        freedom(P, Q, "gain-after-norm")
    with pytest.raises(ValueError, match="gain takes positive"):
        freedom(P, unit(Q), "gain-after-norm", gain=[1.0, 0.0, 1.0])
    with pytest.raises(ValueError, match="gain, one entry"):
        freedom(P, unit(Q), "gain-after-norm", gain=[1.0, 1.0])
    with pytest.raises(ValueError, match="scale takes"):
        freedom(P, Q, "squared", scale=0.0)
    with pytest.raises(ValueError, match="blocks, which add up"):
        freedom(P, Q, "matryoshka-dot", blocks=[1, 1])
    for blocks in (3, 3.0, np.array(3)):
        with pytest.raises(TypeError, match="blocks takes a sequence of integers, got"):
            freedom(P, Q, "matryoshka-dot", blocks=blocks)
    with pytest.raises(TypeError, match="scale_is_learned takes True or False, got 'no'"):
        freedom(unit(P), unit(Q), "clip", scale_is_learned="no")
    with pytest.raises(ValueError, match="P takes rows whose prefixes are not 0, got a length of 0 up to 1"):
        freedom(np.eye(3), unit(Q), "matryoshka-unit")
    with pytest.raises(ValueError, match="Q takes rows whose prefixes are not 0, got a length of 1e-12 up to 1"):
        freedom(unit(P), np.array([[1e-12, 1.0, 0.0], [1.0, 0.0, 0.0]]), "matryoshka-unit")
    with pytest.raises(ValueError, match="gain takes numbers less far apart"):
        freedom(P, unit(Q), "gain-after-norm", gain=[1e-200, 1.0, 1.0])
    with pytest.raises(ValueError, match="P takes vectors whose lengths a float holds"):
        freedom(np.full((6, 3), 1.7e308), Q, "squared")
    with pytest.raises(ValueError, match="use the same dimensions"):
        freedom(P, Q * [1, 1, 0], "dot-decay")
    with pytest.raises(ValueError, match="take fewer rows"):
        freedom(rng.standard_normal((3000, 40)), rng.standard_normal((3000, 40)), "squared")
    with pytest.raises(ValueError, match="fewer rows or prefixes"):
        freedom(unit(rng.standard_normal((100, 8))), unit(rng.standard_normal((100, 8))), "matryoshka-unit")

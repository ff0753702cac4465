"""What is reachable, against searches that share no code with it: all subsets, Jacobians, linear programs, sorting."""

import itertools

import numpy as np
import pytest
import scipy.optimize
from instances import INSTANCES, communities
from oracles import cosine_by_loops

import cossim_helpers as ch
from cossim_helpers import (
    Factors,
    _item_lists,
    comparison_is_determined,
    factors_with_neighbors,
    matroid_components,
    reachable,
    reachable_dimension,
    spectrum,
)

STRUCTURED = {
    "generic": np.random.default_rng(1).standard_normal((9, 3)),
    "equal, antipodal and zero rows": np.array([[1, 2, 0], [2, 4, 0], [-1, -2, 0], [0, 0, 0], [0, 1, 1], [1, 0, 1.0]]),
    "k = p": np.random.default_rng(2).standard_normal((4, 4)),
    "one column": np.array([[1.0], [-2], [0], [3]]),
    "two planes": np.array([[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, -1], [0, 0, 0, 2.0]]),
    "a circuit and a line": np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 1.0]]),
    "a path": np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 1, 1], [0, 0, 1.0]]),
    "the cube": np.array(list(itertools.product((-1.0, 0, 1), repeat=3))),
}


def random_sparse(seed):
    """Few small whole numbers, so that rows coincide, vanish and fall apart; V of full rank, columns mixed."""
    rng = np.random.default_rng(seed)
    while True:
        k = int(rng.integers(1, 5))
        V = rng.integers(-1, 2, (int(rng.integers(k, 9)), k)) * (rng.random((1, k)) < 0.9)
        V = V * (rng.random(V.shape) < 0.7)
        if np.linalg.matrix_rank(V) == k:
            return V.astype(float)


def extreme(k, rng):
    """A positive-definite matrix with eigenvalues over many decades."""
    R = np.linalg.qr(rng.standard_normal((k, k)))[0]
    return (R * 10 ** rng.uniform(-4, 4, k)) @ R.T


def cosines(V, M):
    K = V @ M @ V.T
    lengths = np.sqrt(np.diag(K))
    return np.divide(K, np.outer(lengths, lengths), out=np.zeros_like(K), where=np.outer(lengths, lengths) > 0)


# --- components ---


def components_by_subsets(V):
    """The finest partition of the nonzero rows whose ranks add up: all subsets are tried."""
    items = [i for i in range(len(V)) if V[i].any()]
    rank = np.linalg.matrix_rank
    separators = [
        set(part)
        for size in range(1, len(items) + 1)
        for part in itertools.combinations(items, size)
        if size == len(items) or rank(V[list(part)]) + rank(V[[i for i in items if i not in part]]) == V.shape[1]
    ]
    smallest = {i: min(min((part for part in separators if i in part), key=len)) for i in items}
    firsts = sorted(set(smallest.values()))
    return np.array([firsts.index(smallest[i]) if i in smallest else -1 for i in range(len(V))])


def jacobian_rank(V, M):
    """Rank of the derivative of all cosines by M, and the gap in its singular values."""
    k, K = V.shape[1], V @ M @ V.T
    kept = np.flatnonzero(V.any(axis=1))
    lengths, columns = np.sqrt(np.diag(K)), []
    for a, b in itertools.combinations_with_replacement(range(k), 2):
        step = np.zeros((k, k))
        step[a, b] = step[b, a] = 1.0
        dK = V @ step @ V.T
        columns.append(
            [
                dK[i, j] / (lengths[i] * lengths[j])
                - K[i, j] / (lengths[i] * lengths[j]) / 2 * (dK[i, i] / K[i, i] + dK[j, j] / K[j, j])
                for i in kept
                for j in kept
            ]
        )
    size = np.linalg.svd(np.array(columns), compute_uv=False)
    rank = int((size > 1e-9 * max(size[0], 1)).sum())
    assert rank == len(size) or size[rank] < 1e-12 * max(size[0], 1), "no gap"
    return rank


@pytest.mark.parametrize("name", STRUCTURED)
def test_components_and_dimension_of_structured_rows(name):
    V = STRUCTURED[name]
    if len(V) < 12:
        np.testing.assert_array_equal(matroid_components(V), components_by_subsets(V))
    root = np.random.default_rng(3).standard_normal((V.shape[1],) * 2)
    assert reachable_dimension(V) == jacobian_rank(V, root @ root.T + np.eye(len(root)))


@pytest.mark.parametrize("seed", range(40))
def test_components_and_dimension_of_rows_that_coincide_and_fall_apart(seed):
    V, rng = random_sparse(seed), np.random.default_rng(seed)
    k = V.shape[1]
    Y = rng.standard_normal((k, k)) + 2 * np.eye(k)
    labels = components_by_subsets(V)
    np.testing.assert_array_equal(matroid_components(V), labels)
    np.testing.assert_array_equal(matroid_components(V @ Y), labels)  # the range alone counts
    root = rng.standard_normal((k, k))
    assert reachable_dimension(V @ Y) == jacobian_rank(V, root @ root.T + np.eye(k))


def test_many_components_of_many_sizes():
    X, owner = communities(np.random.default_rng(5), (30, 8), (20, 5), (40, 9), (6, 1), empty=2)
    labels = matroid_components(spectrum(X).V[:, :12])
    assert (labels[owner < 0] == -1).all()
    for label in range(labels.max() + 1):
        assert len(set(owner[labels == label])) == 1  # no component reaches into two communities
    full = spectrum(X[:, owner >= 0], 23).V
    assert matroid_components(full).max() == 22  # k = p: each item alone


def test_a_short_row_is_no_zero_row():
    np.testing.assert_array_equal(matroid_components([[1, 0], [0, 1], [1e-8, 1e-8], [0, 0]]), [0, 0, 0, -1])


def test_a_component_grows_from_each_of_its_items():
    """The last two rows are reached from rows behind 600 equal ones, which reach none of them."""
    V = np.vstack([np.tile([1.0, 0], (600, 1)), [[1, 1], [1, -1], [0, 1], [0, 2]]])
    np.testing.assert_array_equal(matroid_components(V), np.zeros(604))


def test_columns_of_very_different_size_are_no_dependent_columns():
    assert reachable_dimension(np.vstack([np.eye(3), np.ones(3)]) * [1, 1e-8, 1]) == 5


def near_tie(gap, rng):
    """Three communities; σ_4 and σ_5 = (1 − gap) σ_4 belong to the second and the third one. The data are rotated."""
    values = [[10, 9, 1, 0.9, 0.8, 0.7], [9.5, 8, 1, 0.9, 0.8, 0.7], [8 * (1 - gap), 1, 0.9, 0.8, 0.7, 0.6]]
    X = np.zeros((60, 18))
    for at, sigma in enumerate(values):
        U, V = (np.linalg.qr(rng.standard_normal(shape))[0] for shape in ((20, 6), (6, 6)))
        X[20 * at : 20 * at + 20, 6 * at : 6 * at + 6] = U * sigma @ V.T
    return np.linalg.qr(rng.standard_normal((60, 60)))[0] @ X


@pytest.mark.parametrize("gap", [0.1, 1e-5, 1e-6])
def test_zero_rows_are_told_from_rounding_by_zero_and_tolerance(gap):
    for seed in range(5):
        V = spectrum(near_tie(gap, np.random.default_rng(seed)), 4).V
        labels = matroid_components(V, tolerance=1e-6, zero=1e-6)
        np.testing.assert_array_equal(labels, np.repeat([0, 1, -1], 6))
        assert reachable_dimension(V, tolerance=1e-6, zero=1e-6) == 8
        with pytest.raises(ValueError, match="zero takes a"):
            reachable_dimension(V, zero=-1)


@pytest.mark.parametrize("rounding", [1e-11, 1e-9, 1e-7])
def test_rounding_links_everything_unless_zero_is_above_it(rounding):
    """Rounding of a known size: how large that of an SVD is, depends on the machine."""
    for seed in range(10):
        rng = np.random.default_rng(seed)
        V = np.zeros((18, 4))
        V[:6, :2], V[6:12, 2:] = (np.linalg.qr(rng.standard_normal((6, 2)))[0] for _ in range(2))
        V[12:] = rounding * rng.standard_normal((6, 4))
        assert reachable_dimension(V) == 9
        assert reachable_dimension(V, tolerance=1e-6, zero=10 * rounding) == 8


def test_a_count_that_moves_with_the_tolerance_at_an_ill_conditioned_start():
    rng = np.random.default_rng(7)
    blocks = np.zeros((30, 6))
    blocks[:15, :3], blocks[15:, 3:] = rng.standard_normal((2, 15, 3))
    left, right = (np.linalg.qr(rng.standard_normal((6, 6)))[0] for _ in range(2))
    assert reachable_dimension(blocks @ (left * np.geomspace(1, 1e-6, 6) @ right)) == 19
    far = blocks @ (left * np.geomspace(1, 1e-9, 6) @ right)
    assert [reachable_dimension(far, tolerance=tolerance) for tolerance in (1e-10, 1e-5)] == [20, 19]


def test_chunks_of_items_change_nothing():
    rng = np.random.default_rng(6)
    blocks = [rng.standard_normal((700, 2)), rng.standard_normal((900, 3))]
    V = np.zeros((1_600, 5))
    V[:700, :2], V[700:, 2:] = blocks
    labels = matroid_components(V[rng.permutation(1_600)])
    assert sorted(np.bincount(labels)) == [700, 900]


def test_the_tolerance_decides_where_a_whitened_cosine_is_small():
    V = np.array([[1, 0], [0, 1], [1, 1e-5], [1e-5, -1]])
    assert matroid_components(V).max() == 0
    assert matroid_components(V, tolerance=1e-3).max() == 1


# --- comparisons ---


def witness(V, quadruple):
    """w with w·v_l, w·v_m > 0 > (w·v_i)(w·v_j), or None: two linear programs."""
    v_i, v_j, v_l, v_m = V[list(quadruple)]
    for s in (1, -1):
        rows = np.array([v_l, v_m, s * v_i, -s * v_j])
        found = scipy.optimize.linprog(np.zeros(V.shape[1]), A_ub=-rows, b_ub=-np.ones(4), bounds=(None, None))
        if found.status == 0:
            return found.x
    return None


def assert_comparison(V, quadruple, determined, sampled):
    left, right = sampled[:, *quadruple[:2]], sampled[:, *quadruple[2:]]
    nonzero = V.any(axis=1)
    if determined:
        assert (left >= right - 1e-7).all(), quadruple
    if nonzero[list(quadruple)].all():
        w = witness(V, quadruple)
        assert determined == (w is None), quadruple
        if w is not None:
            found = cosines(V, np.outer(w, w) + 1e-9 * np.eye(len(w)))
            assert found[quadruple[:2]] < -0.999 and found[quadruple[2:]] > 0.999, quadruple
    elif not determined:
        assert (left < right - 1e-9).any(), quadruple


@pytest.mark.parametrize("seed", range(12))
def test_comparisons_against_linear_programs_and_sampled_minimizers(seed):
    rng = np.random.default_rng(seed)
    V = random_sparse(seed + 100) if seed % 3 else rng.integers(-2, 3, (7, 2 + seed % 2)).astype(float)
    k, p = V.shape[1], len(V)
    if np.linalg.matrix_rank(V) < k:
        pytest.skip("a draw of a lower rank")
    sampled = np.array([cosines(V, extreme(k, rng)) for _ in range(2_000)])
    quadruples = rng.integers(0, p, (120, 4))
    quadruples[:20, 2] = quadruples[:20, 0]  # a shared item
    quadruples[20:30, 1] = quadruples[20:30, 0]  # a pair of equal items
    quadruples[30:40, 2:] = quadruples[30:40, :2][:, ::-1]  # the same pair
    Y = rng.standard_normal((k, k)) + 3 * np.eye(k)
    found = comparison_is_determined(V @ Y, quadruples[:, :2], quadruples[:, 2:])
    for quadruple, determined in zip(quadruples, found, strict=True):
        assert_comparison(V, tuple(int(x) for x in quadruple), bool(determined), sampled)


def test_in_general_position_no_comparison_of_two_pairs_survives():
    rng = np.random.default_rng(8)
    V = rng.standard_normal((40, 3))
    pairs = np.array(list(itertools.combinations(range(40), 2)))
    left, right = pairs[rng.integers(len(pairs), size=(2, 20_000))]
    same = (left == right).all(axis=1)
    np.testing.assert_array_equal(comparison_is_determined(V, left, right), same)


def test_in_a_plane_a_pair_between_another_is_nearer():
    angles = np.radians([0, 20, 50, 80, 260])
    V = np.column_stack([np.cos(angles), np.sin(angles)])
    determined = comparison_is_determined(
        V, [(1, 2), (1, 2), (3, 4), (0, 0), (0, 3)], [(0, 3), (1, 3), (3, 4), (0, 1), (1, 2)]
    )
    np.testing.assert_array_equal(determined, [True, True, True, True, False])
    assert comparison_is_determined(V, (0, 1), (3, 4))  # 3 and 4 are antipodal: −1
    assert not comparison_is_determined(V, (1, 4), (0, 3))


@pytest.mark.parametrize(("pair", "other", "expected"), [
    ((0, 3), (1, 3), True),  # 0 ≥ 0
    ((0, 1), (1, 2), False),  # cosine 0 against a free one
    ((1, 2), (0, 3), False),
    ((0, 0), (0, 1), True),  # a zero row with itself: 0 by convention
    ((1, 4), (0, 1), True),  # 1 ≥ 0
    ((0, 1), (1, 5), True),  # 0 ≥ −1
    ((0, 1), (1, 4), False),  # 0 against 1
    ((1, 1), (1, 4), True),
])  # fmt: skip
def test_zero_rows_have_the_cosine_0(pair, other, expected):
    V = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0], [2, 0, 0], [-3, 0, 0], [0, 0, 1.0]])
    assert comparison_is_determined(V, pair, other) is expected


def test_pairs_broadcast_and_chunks_change_nothing():
    rng = np.random.default_rng(9)
    V = rng.integers(-1, 2, (30, 3)).astype(float)
    left, right = rng.integers(0, 30, (2, 10_000, 2))
    together = comparison_is_determined(V, left, right)
    one_by_one = [comparison_is_determined(V, a, b) for a, b in zip(left[4_000:4_200], right[4_000:4_200], strict=True)]
    np.testing.assert_array_equal(together[4_000:4_200], one_by_one)
    against_one = comparison_is_determined(V, left[0], right[:50])
    np.testing.assert_array_equal(against_one, [comparison_is_determined(V, left[0], b) for b in right[:50]])
    for one, many in ((left[:1], right[:50]), (left[0], right[:50]), (right[:50], left[:1]), (right[:50], left[0])):
        found = comparison_is_determined(V, one, many)
        expected = comparison_is_determined(V, *(np.broadcast_to(pairs, (50, 2)) for pairs in (one, many)))
        np.testing.assert_array_equal(found, expected)
    assert comparison_is_determined(V, left[:1], right[:1]).shape == (1,)
    assert 0 < together.sum() < 10_000


def test_nearly_equal_rows_are_equal_within_the_tolerance():
    V = np.vstack([np.eye(3), [1, 1e-6, 0], [1, 1e-10, 0]])
    assert not comparison_is_determined(V, (0, 3), (1, 2))
    assert comparison_is_determined(V, (0, 4), (1, 2))
    assert comparison_is_determined(V, (0, 3), (1, 2), tolerance=1e-5)


def test_a_short_row_has_a_direction():
    V = np.array([[1, 1, 0], [0, 1, 0], [0, 0, 1], [1e-8, 1e-8, 0], [1, 0, 0]])
    assert comparison_is_determined(V, (0, 3), (1, 2))  # always 1


@pytest.mark.parametrize(("off", "expected"), [(0.45e-8, True), (0.9e-8, False)])
def test_a_case_holds_for_rows_near_to_it_up_to_a_factor_of_2(off, expected):
    """Rows on either side of the ray of items 2 and 3: the angle between them is twice the one to the ray."""
    V = np.array([[1, off, 0], [1, -off, 0], [1, 0, 0], [2, 0, 0], [0, 7**0.5, 0], [0, 0, 1]])
    assert comparison_is_determined(V, (0, 1), (2, 3)) is expected
    assert comparison_is_determined(V, (0, 2), (2, 3))  # this angle alone is within the tolerance


# --- neighbors ---


def nearest(factors, item):
    """All other items by falling cosine with this one, and the cosines; by loops."""
    cosine = cosine_by_loops(factors.B[[item]], factors.B)[0]
    order = sorted((i for i in range(len(cosine)) if i != item), key=lambda i: -cosine[i])
    return order, cosine[order]


@pytest.mark.parametrize("seed", range(15))
def test_neighbors_are_the_nearest_in_this_order_and_the_product_stays(seed):
    rng = np.random.default_rng(seed)
    p, k = int(rng.integers(12, 40)), int(rng.integers(3, 9))
    factors = Factors(rng.standard_normal((p, k)), rng.standard_normal((p, k)) * 10 ** rng.uniform(-1, 1, k))
    item, *neighbors = rng.permutation(p)[: 1 + int(rng.integers(1, k - 1))]  # up to k − 2 neighbors
    out = factors_with_neighbors(factors, item, neighbors)
    order, cosine = nearest(out, item)
    assert order[: len(neighbors)] == list(neighbors)
    np.testing.assert_allclose(cosine[: len(neighbors)], np.linspace(0.9, 0.6, len(neighbors)), atol=1e-9)
    assert cosine[len(neighbors)] <= 0.9 * cosine[len(neighbors) - 1] + 1e-9
    product = factors.A @ factors.B.T
    np.testing.assert_allclose(out.A @ out.B.T, product, atol=1e-10 * abs(product).max())


def test_neighbors_by_the_formula_of_the_docstring():
    rng = np.random.default_rng(20)
    B = rng.standard_normal((14, 5))
    out = factors_with_neighbors(Factors(B, B), 3, [7, 0], cosines=[0.8, 0.7])
    Pi = B @ np.linalg.inv(B.T @ B) @ B.T
    J, c = [3, 7, 0], np.array([1, 0.8, 0.7])
    wanted = np.outer(c, c)
    np.fill_diagonal(wanted, 1)
    T, lengths = Pi[:, J] @ np.linalg.inv(Pi[np.ix_(J, J)]), np.sqrt(np.diag(Pi)[J])
    near = T @ (wanted * np.outer(lengths, lengths)) @ T.T
    rest = Pi - T @ Pi[J]
    others = [i for i in range(14) if i not in J and near[i, 3] > 0]
    needed = [((near[o, 3] / lengths[0] / (0.9 * 0.7)) ** 2 - near[o, o]) / rest[o, o] for o in others]
    np.testing.assert_allclose(out.B @ out.B.T, near + max(1, *needed) * rest, atol=1e-9)


def test_nothing_shrinks_where_the_formula_asks_for_less_than_1():
    V = np.vstack([np.eye(4), [-1, 1, 1, 1], [-1, -1, 1, -1]])
    out = factors_with_neighbors(Factors(V, V), 0, [1], cosines=[0.8])
    Pi = V @ np.linalg.inv(V.T @ V) @ V.T
    T, lengths = Pi[:, :2] @ np.linalg.inv(Pi[:2, :2]), np.sqrt(np.diag(Pi)[:2])
    near = T @ (np.array([[1, 0.8], [0.8, 1]]) * np.outer(lengths, lengths)) @ T.T
    rest = Pi - T @ Pi[:2]
    needed = [((a / 0.72) ** 2 - near[o, o]) / rest[o, o] for o in range(2, 6) if (a := near[o, 0] / lengths[0]) > 0]
    assert 0 < max(needed) < 1
    np.testing.assert_allclose(out.B @ out.B.T, near + rest, atol=1e-9)


@pytest.mark.parametrize("cosine", [1e-4, 1e-8, 1e-9, 1e-10])
@pytest.mark.parametrize("off", [1.0, 1e-7])
def test_a_large_stretch_does_not_carry_the_list_away(cosine, off):
    """With a tiny cosine, or another row that is nearly in the span, t is large; the list stays in its span."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        V = rng.standard_normal((40, 6))
        V[2] = off * V[2] + (off < 1) * (V[0] + V[1])
        factors = Factors(rng.standard_normal((40, 6)), V)
        out = factors_with_neighbors(factors, 0, [1], cosines=[cosine])
        order, found = nearest(out, 0)
        assert order[0] == 1 and found[1] <= 0.9 * cosine * (1 + 1e-6), seed
        assert found[0] == pytest.approx(cosine, rel=1e-4)
        product = factors.A @ factors.B.T
        np.testing.assert_allclose(out.A @ out.B.T, product, atol=1e-9 * abs(product).max())


@pytest.mark.parametrize("cosine", [1e-9, 1e-10])
@pytest.mark.parametrize("apart", [1e-5, 1e-6, 1e-7])
def test_a_list_that_rounding_would_reorder_is_refused(cosine, apart):
    """Nearly dependent rows: the list comes back in its order, or an error says why it does not."""
    refusals = []
    for seed in range(20):
        V = np.random.default_rng(seed).standard_normal((40, 6))
        V[1], V[3] = V[0] + apart * V[1], V[2] + apart * V[4]
        try:
            out = factors_with_neighbors(Factors(V, V), 0, [1, 2, 3], cosines=[3 * cosine, 2 * cosine, cosine])
        except ValueError as refusal:
            refusals.append(str(refusal))
        else:
            assert nearest(out, 0)[0][:3] == [1, 2, 3]
    assert all("rounding leaves in order" in each or "in their span" in each for each in refusals)
    assert refusals or apart > 1e-6


def test_another_item_that_rounding_puts_first_is_refused():
    V = np.vstack([np.eye(3), [1.0, 1, 1]])
    factors = Factors(V, V)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reachable, "_stretch", lambda *_: 1e-3)  # as if it had been computed wrongly
        with pytest.raises(ValueError, match="rounding leaves in order"):
            factors_with_neighbors(factors, 0, [1])


def test_spans_and_dependence_are_measured_at_the_length_of_the_row():
    short_other, short_named = np.vstack([np.eye(3), 1e-9 * np.ones(3)]), np.vstack([np.eye(3), np.ones(3)])
    short_named[1] *= 1e-9
    for V in (short_other, short_named, np.vstack([np.eye(3), [1, 1, 1e-5]])):
        assert nearest(factors_with_neighbors(Factors(V, V), 0, [1]), 0)[0][0] == 1


def test_neighbors_do_not_depend_on_the_minimizer_that_one_starts_from():
    rng = np.random.default_rng(21)
    factors = Factors(rng.standard_normal((12, 4)), rng.standard_normal((12, 4)))
    other = ch.reparameterize(factors, rng.standard_normal((4, 4)))
    one, two = (factors_with_neighbors(f, 2, [5, 1]) for f in (factors, other))
    np.testing.assert_allclose(ch.item_item_cosine(one), ch.item_item_cosine(two), atol=1e-9)


def test_neighbors_in_the_span_are_refused_only_where_they_would_come_first():
    V = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 1], [1, 2, 3], [0, 0, 0]])
    with pytest.raises(ValueError, match="got item 2 in their span"):
        factors_with_neighbors(Factors(V, V), 0, [1])  # item 2 lies between the two, always nearer
    V[2] = [0, -3, 0]  # in the span, and on the other side
    out = factors_with_neighbors(Factors(V, V), 0, [1])
    assert nearest(out, 0)[0][0] == 1
    assert not out.B[5].any()


def test_a_row_that_is_zero_to_rounding_is_in_no_way():
    V = np.vstack([np.eye(3), [1.0, 2, 3], [1e-15, 1e-15, 0]])
    out = factors_with_neighbors(Factors(V, V), 0, [1])
    assert nearest(Factors(out.A[:4], out.B[:4]), 0)[0][0] == 1


def test_a_row_is_as_long_as_all_of_its_entries():
    """1.2e-12 from four entries, which is no rounding yet: the row would have the cosine 2/3."""
    V = np.vstack([np.eye(4), 0.6e-12 * np.ones(4)])
    assert nearest(factors_with_neighbors(Factors(V, V), 0, [1], cosines=[0.5]), 0)[0][0] == 1


def test_where_there_are_no_others():
    out = factors_with_neighbors(Factors(np.eye(2), np.eye(2)), 0, [1])
    np.testing.assert_allclose(out.B @ out.B.T, [[1, 0.9], [0.9, 1]], rtol=1e-12)


@pytest.mark.parametrize("powers", [(500, 301), (-500, -301), (400, -100)])
def test_factors_far_from_1_keep_their_product(powers):
    rng = np.random.default_rng(4)
    A, B = rng.standard_normal((2, 7, 3))
    here = factors_with_neighbors(Factors(A, B), 0, [1])
    far = factors_with_neighbors(Factors(A * 2.0 ** powers[0], B * 2.0 ** powers[1]), 0, [1])
    exponents = [int(np.rint(np.log2(abs(there).max() / abs(near).max()))) for there, near in
                 ((far.A, here.A), (far.B, here.B))]  # fmt: skip
    assert sum(exponents) == sum(powers) and abs(exponents[0] - exponents[1]) <= 420
    for there, near, power in zip((far.A, far.B), (here.A, here.B), exponents):
        np.testing.assert_allclose(np.ldexp(there, -power), near, rtol=1e-9, atol=1e-12)


def test_what_is_in_the_way_is_above_the_bound_and_no_zero_row(monkeypatch):
    near, rest = np.array([[1.0, 0], [0.8, 0.6], [3, 4]]), np.array([[0.0], [0.0], [1.0]])
    for squares, most, t2 in ((1.1e-24, 0.5, 11), (1e-24, 0.5, 1), (1.0, 0.6, 1), (1.0, 0.5, 11)):  # 36 − 25
        found = reachable._stretch(near, rest, np.array([1.0, 1.0, squares]), [0, 1], most)
        assert found == pytest.approx(np.sqrt(t2), rel=1e-14)
    assert reachable._stretch(near, 0 * rest, np.ones(3), [0, 1], 0.6) == 1  # 3/5 is not above 0.6
    monkeypatch.setattr(reachable, "IN_SPAN", 2.0**-20)
    assert reachable._stretch(near, rest * 2.0**-19, np.ones(3), [0, 1], 0.5) == pytest.approx(np.sqrt(11) * 2**19)
    with pytest.raises(ValueError, match=r"got item 2 in their span with a cosine above 0.5"):
        reachable._stretch(near, rest * 2.0**-20, np.ones(3), [0, 1], 0.5)


def test_a_list_is_in_order_if_its_cosines_fall_and_no_zero_row_counts():
    B = np.array([[1.0, 0], [0.6, 0.8], [0.6, 0.8]])
    reachable._require_in_order(B, [0, 1], np.array([1, 1, 1e-24]), np.array([0.6]))
    for rows, chosen, square in ((B, [0, 1], 1.1e-24), (B, [0, 1, 2], 1.0), (B, [0, 1], 1.0)):
        with pytest.raises(ValueError, match="rounding leaves in order"):
            reachable._require_in_order(rows, chosen, np.array([1, 1, square]), np.array([0.6]))


def test_columns_depend_to_the_rounding_of_all_rows():
    Z = np.linalg.qr(np.random.default_rng(0).standard_normal((400, 2)))[0]
    eps = np.finfo(float).eps
    assert reachable_dimension(Z * [1, 1000 * eps]) == 2
    with pytest.raises(ValueError, match="numerical rank of 1 for shape"):
        reachable_dimension(Z * [1, 100 * eps])


def test_one_less_than_the_rank_may_be_impossible():
    """k − 1 neighbors: an item in their cone with the item, which others surround, is always nearer than the last."""
    V = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0.3, 0.2], [1, -0.4, -0.3], [0.9, -0.3, 0.1]])
    rng = np.random.default_rng(22)
    for _ in range(3_000):
        cosine = cosines(V, extreme(3, rng))[0]
        assert min(cosine[1:3]) <= max(cosine[3:]) + 1e-9
    with pytest.raises(ValueError, match="in their span"):
        factors_with_neighbors(Factors(V, V), 0, [1, 2])


# --- on all instances ---


@pytest.mark.parametrize("name", INSTANCES)
def test_every_instance_has_a_dimension_or_a_named_error(name):
    X = INSTANCES[name]
    top = spectrum(X)
    _, size, rows = np.linalg.svd(X)
    rows = rows.T
    for k in range(1, min(X.shape) + 1):
        V = top.V[:, :k]
        labels = matroid_components(V)
        assert reachable_dimension(V) == k * (k + 1) // 2 - (labels.max() + 1)
        following = size[k] if k < len(size) else 0.0
        if size[k - 1] > following + 1e-6 * size[0]:  # no tie, so that NumPy's rows have the same lengths
            np.testing.assert_array_equal(labels == -1, np.linalg.norm(rows[:, :k], axis=1) <= 1e-7)


BAD_V = [
    (np.ones((3, 2)), ValueError, "V takes independent columns, got a numerical rank of 1"),
    (np.ones((2, 3)), ValueError, r"V takes at least as many rows as columns, got shape \(2, 3\)"),
    ([[1, np.nan]], ValueError, "V takes finite numbers"),
    (np.ones(3), ValueError, "V takes a non-empty 2-dimensional array"),
    ([["a"]], TypeError, "V takes real numbers"),
    (np.zeros((3, 2)), ValueError, "V takes independent columns, got a numerical rank of 0"),
]


@pytest.mark.parametrize(("V", "error", "message"), BAD_V)
def test_a_bad_V_is_refused_by_name(V, error, message):
    for call in (matroid_components, reachable_dimension, lambda V: comparison_is_determined(V, (0, 1), (0, 1))):
        with pytest.raises(error, match=message):
            call(V)


@pytest.mark.parametrize(
    ("pair", "other", "error", "message"),
    [
        ((0, 6), (0, 1), ValueError, "pair takes items from 0 to 5, got 6"),
        ((0, 1), (-1, 1), ValueError, "other takes items from 0 to 5, got -1"),
        ((0, 1.0), (0, 1), TypeError, "pair takes integers, got dtype float64"),
        ((0, 1, 2), (0, 1), ValueError, r"pair takes a pair of items or pairs in rows, got shape \(3,\)"),
        ((0, 1), np.zeros((0, 2), int), ValueError, "other takes a pair of items or pairs in rows"),
        ([(0, 1)] * 2, [(0, 1)] * 3, ValueError, "other, as many pairs as pair: got 3, takes 2"),
    ],
)
def test_bad_pairs_are_refused_by_name(pair, other, error, message):
    V = np.random.default_rng(0).standard_normal((6, 3))
    with pytest.raises(error, match=message):
        comparison_is_determined(V, pair, other)


@pytest.mark.parametrize(("value", "error"), [(-1, ValueError), (1, ValueError), ("x", TypeError), (True, TypeError)])
def test_a_bad_tolerance_is_refused_by_name(value, error):
    for name in ("tolerance", "zero"):
        with pytest.raises(error, match=f"{name} takes a"):
            matroid_components(np.eye(2), **{name: value})
    with pytest.raises(error, match="tolerance takes a"):
        comparison_is_determined(np.eye(2), (0, 1), (0, 1), tolerance=value)


@pytest.mark.parametrize(
    ("item", "neighbors", "cosines", "error", "message"),
    [
        (6, [1], None, ValueError, r"item takes an integer from 0 to 5 \(the last item\), got 6"),
        (True, [1], None, TypeError, "item takes an integer, got True"),
        (0, [], None, ValueError, r"neighbors takes at least 1 and at most 2 .* got shape \(0,\)"),
        (0, [1, 2, 3], None, ValueError, "neighbors takes at least 1 and at most 2"),
        (0, 1, None, ValueError, "neighbors takes at least 1"),
        (0, [1.0], None, TypeError, "neighbors takes integers"),
        (0, [9], None, ValueError, "neighbors takes items from 0 to 5, got 9"),
        (0, [0, 1], None, ValueError, r"neighbors takes different items, none of them item 0, got \[0, 1\]"),
        (0, [2, 2], None, ValueError, "neighbors takes different items"),
        (0, [1], [1.0], ValueError, "cosines takes falling numbers below 1"),
        (0, [1, 2], [0.5, 0.5], ValueError, "cosines takes falling numbers"),
        (0, [1], [0.0], ValueError, "cosines takes positive numbers"),
        (0, [1], [1e-300], ValueError, "cosines takes falling numbers below 1, from 1e-10 on"),
        (0, [1], [0.9e-10], ValueError, "cosines takes falling numbers below 1, from 1e-10 on"),
        (0, [99999999999999999999], None, TypeError, "neighbors takes integers"),
        (0, [1], [0.5, 0.4], ValueError, "cosines, one for each of neighbors: got 2, takes 1"),
    ],
)
def test_bad_neighbors_are_refused_by_name(item, neighbors, cosines, error, message):
    V = np.random.default_rng(0).standard_normal((6, 3))
    with pytest.raises(error, match=message):
        factors_with_neighbors(Factors(V, V), item, neighbors, cosines=cosines)


@pytest.mark.parametrize(
    ("last_row", "columns", "message"),
    [
        (1.0, [1, 1, 0], "the B of factors takes independent columns, got a numerical rank of 2"),
        (1.0, [1, 1, 1], "item and neighbors take items with independent rows"),
        (0.0, [1, 1, 1], "item and neighbors take items with nonzero rows"),
    ],
)
def test_factors_without_the_rank_are_refused(last_row, columns, message):
    V = np.random.default_rng(0).standard_normal((6, 3))
    V[5] = last_row * V[0]
    with pytest.raises(ValueError, match=message):
        factors_with_neighbors(Factors(V, V * columns), 0, [5])
    with pytest.raises(ValueError, match="factors takes a rank of at least 2 for a list of neighbors, got 1"):
        factors_with_neighbors(Factors(V[:, :1], V[:, :1]), 0, [1])
    with pytest.raises(TypeError, match="factors takes Factors, got ndarray"):
        factors_with_neighbors(V, 0, [5])


def test_a_tolerance_of_0_is_exact():
    assert matroid_components(np.eye(3), tolerance=0.0).tolist() == [0, 1, 2]
    assert matroid_components([[1, 0], [0, 1], [0, 0]], zero=0.0).tolist() == [0, 1, -1]
    V = [[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    others = {((0, 1), (2, 3)): True, ((0, 2), (0, 2)): True, ((0, 2), (2, 0)): True, ((0, 2), (0, 1)): False}
    for (pair, other), expected in others.items():
        assert comparison_is_determined(V, pair, other, tolerance=0.0) is expected


def test_what_is_at_a_bound_of_the_lists():
    falling = _item_lists.falling([0.5, 1e-10], 2)
    assert falling.tolist() == [0.5, 1e-10]
    with pytest.raises(ValueError, match="got a zero row"):
        _item_lists.require_independent(np.diag([1, 1e-12]), np.array([1, 1e-12]))
    with pytest.raises(ValueError, match="items with independent rows"):
        _item_lists.require_independent(np.diag([1, 1e-8]), np.ones(2))
    with pytest.raises(ValueError, match="items with independent rows"):  # two of three are
        _item_lists.require_independent(np.array([[1.0, 0, 0], [0, 1, 0], [0.6, 0.8, 0]]), np.ones(3))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.uint64])
def test_neighbors_of_any_integers(dtype):
    V = np.random.default_rng(0).standard_normal((6, 3))
    same = factors_with_neighbors(Factors(V, V), 0, [1])
    np.testing.assert_array_equal(factors_with_neighbors(Factors(V, V), 0, np.array([1], dtype)).B, same.B)
    chosen = _item_lists.items_to_choose(0, np.array([1], dtype), 6, 3)
    assert chosen.dtype == np.int64 and chosen.tolist() == [0, 1]

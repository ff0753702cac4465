"""Laws of the yardsticks, of held-out quality and of shares of variance: on what Hypothesis draws, ties included."""

import itertools
import math
from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from strategies import SEEDS, whole_matrices

from cossim_helpers import (
    all_tied,
    cluster_auc,
    hold_out,
    mean_cosine,
    ndcg_at_k,
    neighbor_weights,
    overlap_at_k,
    popularity_correlation,
    precision_at_k,
    shares_with_intervals,
    variance_shares,
    yardsticks,
)

# --- what is drawn ---


def similarity(kind, p, seed):
    """Symmetric (p, p): "distinct" values, "grid" (many ties), "jitter" (ties but for 2e-10), or "equal"."""
    rng = np.random.default_rng([p, seed])
    M = rng.uniform(-1, 1, (p, p))
    M = np.triu(M) + np.triu(M, 1).T
    if kind != "distinct":
        M = M.round(0 if kind == "equal" else 1)
        M = M * (kind != "equal") + 0.3
    if kind == "jitter":
        noise = 1e-10 * rng.uniform(-1, 1, (p, p))
        M = M + noise + noise.T
    return M


def labels(p, n_clusters, seed):
    """Clusters of p items, with a pair in one and a pair in two of them."""
    return np.random.default_rng([p, seed]).permutation(np.append([0, 0, 1], np.arange(p - 3) % n_clusters))


KINDS = ("distinct", "grid", "jitter", "equal")
similarities = st.builds(similarity, st.sampled_from(KINDS), st.integers(3, 8), SEEDS)


@st.composite
def clustered(draw, least=3, most=9):
    """(cosines, clusters) of the same items."""
    p = draw(st.integers(least, most))
    C = draw(st.builds(similarity, st.sampled_from(KINDS), st.just(p), SEEDS))
    return C, draw(st.builds(labels, st.just(p), st.integers(1, 4), SEEDS))


def permuted(C, seed):
    order = np.random.default_rng(seed).permutation(len(C))
    return order, C[np.ix_(order, order)]


def with_diagonal(C, value):
    C = C.copy()
    np.fill_diagonal(C, value)
    return C


def increasing(C):
    """A steep increasing map: values that are equal within 1e-9 stay so where they are rounded first."""
    return np.expm1(3 * C.round(7)) * 5


# --- known clusters ---


@given(clustered())
def test_auc_counts_pairs_of_pairs(drawn):
    C, cluster = drawn
    pairs = list(itertools.combinations(range(len(C)), 2))
    same = [C[pair] for pair in pairs if cluster[pair[0]] == cluster[pair[1]]]
    different = [C[pair] for pair in pairs if cluster[pair[0]] != cluster[pair[1]]]
    wins = [0.5 if abs(s - t) <= 1e-9 else float(s > t) for s in same for t in different]
    assert cluster_auc(C, cluster) == pytest.approx(math.fsum(wins) / len(wins), abs=1e-12)
    assert mean_cosine(C, cluster) == pytest.approx((np.mean(same), np.mean(different)), abs=1e-12)
    assert cluster_auc(-C, cluster) == pytest.approx(1 - cluster_auc(C, cluster), abs=1e-12)
    judged = C.round(7)[np.triu_indices(len(C), 1)]
    truth = [cluster[i] == cluster[j] for i, j in pairs]
    assert cluster_auc(C, cluster) == pytest.approx(roc_auc_score(truth, judged), abs=1e-12)


@given(clustered(least=11, most=13), SEEDS)
def test_names_of_items_and_clusters_and_the_diagonal_are_no_matter_to_yardsticks(drawn, seed):
    C, cluster = drawn
    popularity = np.random.default_rng(seed).integers(1, 9, len(C)).astype(float)
    order, moved = permuted(C, seed)
    names = np.random.default_rng(seed).permutation(60)[:10] - 30
    one = astuple(yardsticks(C, cluster, popularity))
    other = astuple(yardsticks(with_diagonal(moved, 7.5), names[cluster][order].astype(np.int8), popularity[order]))
    np.testing.assert_allclose(other, one, rtol=0, atol=1e-12)
    assert all(0 <= value <= 1 for value in (one[0], one[4])) and -1 - 1e-12 <= one[5] <= 1 + 1e-12


@given(clustered(), st.integers(1, 8))
def test_an_increasing_map_moves_no_rank(drawn, k):
    C, cluster = drawn
    k = min(k, len(C) - 1)
    mapped = increasing(C)
    assert cluster_auc(mapped, cluster) == pytest.approx(cluster_auc(C, cluster), abs=1e-12)
    np.testing.assert_allclose(neighbor_weights(mapped, k), neighbor_weights(C, k), atol=1e-12)
    assert overlap_at_k(C, mapped, k) == pytest.approx(overlap_at_k(C, C, k), abs=1e-12)
    assert all_tied(mapped) == all_tied(C)


# --- neighbors ---


def weights_over_all_orders(C, k):
    """The definition: each order of the items breaks the ties, all orders alike."""
    p = len(C)
    orders = list(itertools.permutations(range(p - 1)))
    weights = np.zeros((p, p))
    for i in range(p):
        others = [j for j in range(p) if j != i]
        level = {j: round(C[i, j], 7) for j in others}
        for order in orders:
            ranked = sorted(zip(others, order, strict=True), key=lambda pair: (-level[pair[0]], pair[1]))
            for j, _ in ranked[:k]:
                weights[i, j] += 1 / len(orders)
    return weights


@given(st.sampled_from(KINDS), st.integers(2, 5), SEEDS, st.integers(1, 4))
def test_weights_are_the_average_over_all_ways_to_break_ties(kind, p, seed, k):
    C, other, k = similarity(kind, p, seed), similarity("grid", p, seed + 1), min(k, p - 1)
    expected, of_other = weights_over_all_orders(C, k), weights_over_all_orders(other, k)
    np.testing.assert_allclose(neighbor_weights(C, k), expected, atol=1e-12)
    shared = np.sum(expected * of_other) / (k * p)  # each breaks its own ties: the expectation of a product
    assert overlap_at_k(C, other, k) == pytest.approx(shared, abs=1e-12)
    cluster = np.random.default_rng(seed).integers(0, 2, p)
    hits = [expected[i, j] for i in range(p) for j in range(p) if cluster[i] == cluster[j]]
    assert precision_at_k(C, cluster, k) == pytest.approx(math.fsum(hits) / (k * p), abs=1e-12)


@given(similarities, SEEDS)
def test_an_item_is_nobody_s_own_neighbor_and_more_places_push_nobody_out(C, seed):
    before, p = np.zeros(C.shape), len(C)
    order, moved = permuted(C, seed)
    for k in range(1, p):
        weights = neighbor_weights(with_diagonal(C, 1e6), k)
        np.testing.assert_allclose(weights.sum(axis=1), k, atol=1e-12)
        assert not np.diag(weights).any() and weights.min() >= 0 and weights.max() <= 1 + 1e-12
        assert (weights >= before - 1e-12).all()
        np.testing.assert_allclose(neighbor_weights(moved, k), weights[np.ix_(order, order)], atol=1e-12)
        before = weights
    np.testing.assert_array_equal(weights, 1 - np.eye(p))  # p − 1 places: all others
    assert overlap_at_k(C, -C, p - 1) == pytest.approx(1, abs=1e-12)


@given(similarities)
def test_all_tied_says_that_every_weight_is_even(C):
    spread = max(np.ptp(np.delete(row, i)) for i, row in enumerate(C))
    assert all_tied(C) == (spread <= 1e-9) == all_tied(with_diagonal(C, -3.0))
    if all_tied(C):
        even = (1 - np.eye(len(C))) * 2 / (len(C) - 1)
        np.testing.assert_allclose(neighbor_weights(C, 2), even, atol=1e-12)


def test_what_is_exactly_1e9_apart_is_tied_and_one_step_more_is_not():
    cluster = [0, 0, 1]
    for gap, tied in ((1e-9, True), (np.nextafter(1e-9, 1), False)):
        for sign in (1.0, -1.0):
            C = np.zeros((3, 3))
            C[0, 1] = C[1, 0] = sign * gap
            assert cluster_auc(C, cluster) == (0.5 if tied else (1 + sign) / 2)
            assert all_tied(C) == tied
            expected = 0.5 if tied else (1 + sign) / 2
            np.testing.assert_array_equal(neighbor_weights(C, 1)[0], [0.0, expected, 1 - expected])
    assert all_tied(np.array([[1.0, 0.3], [-0.7, 1.0]]))  # two items: each has one neighbor


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda C: precision_at_k(C, [0.0, 1.0, 1.0], 1), TypeError, "item_cluster takes integers"),
        (lambda C: precision_at_k(C, [0, 1], 1), ValueError, "item_cluster, one for each item"),
        (lambda C: precision_at_k(C, [0, 1, 1], 3), ValueError, "k takes an integer from 1 to 2"),
        (lambda C: all_tied(C[:2]), ValueError, "cosine, square"),
        (lambda C: all_tied(C[:1, :1]), ValueError, "k takes an integer from 1 to 0"),
        (lambda C: popularity_correlation(C * np.nan, [1.0, 2.0, 3.0]), ValueError, "cosine takes finite"),
        (lambda C: popularity_correlation(C, [1.0, np.nan, 3.0]), ValueError, "popularity takes finite"),
        (lambda C: popularity_correlation(C, [1.0, 2.0]), ValueError, "popularity"),
    ],
)
def test_what_yardsticks_refuse(call, error, message):
    with pytest.raises(error, match=message):
        call(np.eye(3) + 0.1)


def test_a_place_is_shared_with_what_is_exactly_1e9_above_the_last():
    C = np.zeros((4, 4))
    C[0, 1] = C[1, 0] = 1e-9
    np.testing.assert_allclose(neighbor_weights(C, 2)[0], [0, 2 / 3, 2 / 3, 2 / 3], atol=1e-15)
    C[0, 1] = C[1, 0] = np.nextafter(1e-9, 1)
    np.testing.assert_allclose(neighbor_weights(C, 2)[0], [0, 1, 0.5, 0.5], atol=1e-15)
    with pytest.raises(ValueError, match=r"k takes an integer from 1 to 3 \(p − 1\), got 4"):
        neighbor_weights(C, 4)


def test_mean_cosines_are_rounded_as_means():
    """Means of 0, 0.4 and 0.6 billionths: 0, 0 and 1; sums, or sums over p + 1, would be rounded to other ranks."""
    a, b, c = -0.2e-9, 0.2e-9, 1.0e-9
    C = np.array([[1, a, b], [a, 1, c], [b, c, 1]])
    assert popularity_correlation(C, [2.0, 1.0, 3.0]) == pytest.approx(np.sqrt(0.75))


def test_one_number_is_a_float_and_parts_are_of_floats():
    C, cluster = similarity("distinct", 13, 0), labels(13, 3, 0)
    X = np.ones((4, 6))
    seen, held = hold_out(X)
    numbers = [
        cluster_auc(C, cluster), *mean_cosine(C, cluster), precision_at_k(C, cluster, 3), overlap_at_k(C, C, 3),
        popularity_correlation(C, np.arange(13.0)), ndcg_at_k(X, seen, held, 2),
        *astuple(yardsticks(C, cluster, np.arange(13.0))),
    ]  # fmt: skip
    assert {type(number) for number in numbers} == {float} and seen.dtype == held.dtype == np.float64


def test_a_user_s_factor_is_no_matter_to_ndcg():
    scores = np.array([[1.0, 0.5, 0.2, 0.1, 0.9]])
    seen, held = np.array([[0.0, 0, 0, 0, 1]]), np.array([[0.0, 1, 1, 0, 0]])
    one = ndcg_at_k(scores, seen, held, 3)
    assert 0 < one < 1
    for sizes in ([1.0, 1e-12], [1e12, 1.0], [1e-12, 1e-12]):
        two = [np.vstack([M, M]) for M in (scores, seen, held)]
        assert ndcg_at_k(two[0] * np.array(sizes)[:, None], *two[1:], 3) == pytest.approx(one)
    with pytest.raises(ValueError, match="held takes items that are not in seen"):
        ndcg_at_k(scores, np.array([[0.0, 1, 0, 0, 0]]), held, 3)
    with pytest.raises(ValueError, match="cosine_b takes finite"):
        overlap_at_k(np.eye(3), np.full((3, 3), np.nan), 1)


def test_defaults_of_held_out_quality():
    X = np.ones((9, 14))
    X[:4, 5:], X[4:6, 4:] = 0.0, 0.0  # users of 5 and of 4 items
    _, held = hold_out(X)
    np.testing.assert_array_equal(held, hold_out(X, 0.2, min_items=5, rng=0)[1])
    assert len(held) == 7 and held.sum(axis=1).tolist() == [1.0] * 4 + [3.0] * 3
    scores, held = -np.arange(14.0)[None], np.repeat([[0.0, 1.0]], 7, axis=1)
    values = [ndcg_at_k(scores, 0 * held, held, k) for k in (9, 10, 11)]
    assert ndcg_at_k(scores, 0 * held, held) == values[1] and len(set(values)) == 3


def test_defaults_are_ten_neighbors():
    C, cluster = similarity("distinct", 14, 0), labels(14, 3, 0)
    other = similarity("distinct", 14, 1)
    np.testing.assert_array_equal(neighbor_weights(C), neighbor_weights(C, 10))
    assert precision_at_k(C, cluster) == precision_at_k(C, cluster, 10) != precision_at_k(C, cluster, 9)
    assert overlap_at_k(C, other) == overlap_at_k(C, other, 10) != overlap_at_k(C, other, 9)


# --- popularity ---


def mean_ranks(values):
    """1, 2, … where ties share the mean of their places, by counting."""
    return [sum(w < v for w in values) + (1 + sum(w == v for w in values)) / 2 for v in values]


@given(similarities, SEEDS)
@example(similarity("distinct", 1, 0), 0)  # one item: no mean, no rank
@example(similarity("distinct", 2, 0), 0)
@example(similarity("jitter", 6, 0), 3)
def test_popularity_correlation_is_that_of_mean_ranks(C, seed):
    p = len(C)
    popularity = np.random.default_rng([p, seed]).integers(1, 5, p).astype(float)
    found = popularity_correlation(C, popularity)
    means = [round(math.fsum(C[i, j] for j in range(p) if j != i) / max(p - 1, 1) / 1e-9) for i in range(p)]
    ranks = np.array(mean_ranks(means)), np.array(mean_ranks(popularity.tolist()))
    flat = any(np.ptp(rank) == 0 for rank in ranks)
    assert found == pytest.approx(0.0 if flat else np.corrcoef(*ranks)[0, 1], abs=1e-12)
    assert popularity_correlation(with_diagonal(C, 1e3), popularity) == pytest.approx(found, abs=1e-12)
    assert popularity_correlation(C, -(popularity**3)) == pytest.approx(-found, abs=1e-12)


def test_the_diagonal_leaves_the_mean_before_it_is_rounded():
    """Means that differ only by what stands on the diagonal are tied; those of the other entries decide."""
    C = np.array([[9.0, 0.1, 0.3], [0.1, 0.0, 0.2], [0.3, 0.2, -5.0]])
    assert popularity_correlation(C, [2.0, 1.0, 3.0]) == pytest.approx(1)
    assert popularity_correlation(np.diag([1.0, 2.0, 3.0]), [1.0, 2.0, 3.0]) == 0
    assert popularity_correlation(C, [4.0, 4.0, 4.0]) == 0


# --- held-out interactions ---


@given(whole_matrices(), st.sampled_from([0.01, 0.2, 0.5, 0.99]), st.integers(2, 4), SEEDS)
def test_parts_of_held_out_items_for_each_kind_of_seed(X, share, min_items, seed):
    X = (X > 0).astype(float)
    if not (X.sum(axis=1) >= min_items).any():
        with pytest.raises(ValueError, match="X takes a user with at least"):
            hold_out(X, share, min_items=min_items, rng=seed)
        return
    seen, held = hold_out(X, share, min_items=min_items, rng=seed)
    kept = X[[row.sum() >= min_items for row in X]]
    np.testing.assert_array_equal(seen + held, kept)
    k_u = kept.sum(axis=1)
    np.testing.assert_array_equal(held.sum(axis=1), np.minimum(np.ceil(share * k_u), k_u - 1))
    for rng in (np.int64(seed), np.random.SeedSequence(seed), np.random.default_rng(seed), np.random.PCG64(seed)):
        np.testing.assert_array_equal(hold_out(X, share, min_items=min_items, rng=rng)[1], held)


@st.composite
def rankings(draw):
    """(scores without ties, seen, held) of some users."""
    n, p, seed = draw(st.integers(1, 5)), draw(st.integers(2, 7)), draw(SEEDS)
    rng = np.random.default_rng([n, p, seed])
    kind = rng.integers(0, 3, (n, p))  # neither, seen, held
    kind[np.arange(n), rng.integers(0, p, n)] = 2
    scores = rng.permuted(np.tile(np.linspace(-2, 2, p), (n, 1)), axis=1)
    return scores, (kind == 1).astype(float), (kind == 2).astype(float)


@given(rankings(), SEEDS)
def test_ndcg_lies_between_0_and_1_and_names_do_not_matter(drawn, seed):
    scores, seen, held = drawn
    rng = np.random.default_rng(seed)
    users, items = rng.permutation(len(scores)), rng.permutation(scores.shape[1])
    for k in range(1, scores.shape[1] + 1):
        value = ndcg_at_k(scores, seen, held, k)
        by_hand = []
        for y, s, h in zip(scores, seen, held, strict=True):
            ranked = sorted((j for j in range(len(y)) if not s[j]), key=lambda j: -y[j])[:k]
            gain = math.fsum(h[j] / math.log2(place + 2) for place, j in enumerate(ranked))
            by_hand.append(gain / math.fsum(1 / math.log2(place + 2) for place in range(min(k, int(h.sum())))))
        assert value == pytest.approx(np.mean(by_hand), abs=1e-12)
        shuffled = [M[users][:, items] for M in (scores, seen, held)]
        assert ndcg_at_k(*shuffled, k) == pytest.approx(value, abs=1e-12)
        assert ndcg_at_k(np.exp(scores) - 100 * seen, seen, held, k) == pytest.approx(value, abs=1e-12)
        assert ndcg_at_k(scores + 9 * held, seen, held, k) == pytest.approx(1, abs=1e-12)
        assert 0 <= value <= 1 + 1e-12


# --- shares of variance ---


def squared_distances(y):
    return (y[:, :, None, None] - y) ** 2


@given(st.integers(2, 5), st.integers(2, 5), SEEDS, st.sampled_from([1e-6, 1.0, 1e6]))
def test_shares_do_not_depend_on_names_or_units_and_levels_and_seeds_change_places(L, S, seed, unit):
    rng = np.random.default_rng([L, S, seed])
    y = rng.standard_normal((L, 1)) * rng.integers(0, 4) + rng.standard_normal((1, S)) + rng.standard_normal((L, S))
    one = np.array(astuple(variance_shares(squared_distances(y))))
    assert one.sum() == pytest.approx(1) and one.min() >= 0
    shuffled = y[rng.permutation(L)][:, rng.permutation(S)] * unit
    np.testing.assert_allclose(astuple(variance_shares(squared_distances(shuffled))), one, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(astuple(variance_shares(squared_distances(y.T))), one[[1, 0, 2]], atol=1e-12)
    if S > 2:
        whole = shares_with_intervals(squared_distances(y), 0.9)
        moved = shares_with_intervals(squared_distances(shuffled), 0.9)
        for name, (value, low, high) in whole.items():
            assert 0 <= low <= value <= high <= 1, name
            np.testing.assert_allclose(moved[name], (value, low, high), rtol=1e-7, atol=1e-7)

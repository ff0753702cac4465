"""Interactions that are held out, and how high they rank, against loops, scikit-learn and all orders of tied items."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.stats
from instances import small_interactions
from sklearn.metrics import ndcg_score

from cossim_helpers import hold_out, ndcg_at_k


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize(("share", "min_items"), [(0.2, 5), (0.5, 2), (0.34, 3), (0.99, 4)])
def test_hold_out_parts_the_items_of_each_user(share, min_items, sparse):
    X = small_interactions(np.random.default_rng(1), 60, 12)
    seen, held = hold_out(sp.csr_array(X) if sparse else X, share, min_items=min_items, rng=2)
    np.testing.assert_array_equal(seen + held, np.array([x for x in X if x.sum() >= min_items]))
    assert seen.dtype == held.dtype == np.float64
    assert set(np.unique(held)) == set(np.unique(seen)) == {0.0, 1.0}
    for seen_u, held_u in zip(seen, held):
        k_u = int(seen_u.sum() + held_u.sum())
        assert held_u.sum() == min(math.ceil(share * k_u), k_u - 1)
        assert seen_u.any() and held_u.any()


def test_hold_out_follows_rng():
    X = small_interactions(np.random.default_rng(1), 60, 12)
    np.testing.assert_array_equal(hold_out(X, rng=3)[1], hold_out(X, rng=np.random.default_rng(3))[1])
    assert (hold_out(X, rng=3)[1] != hold_out(X, rng=4)[1]).any()
    np.testing.assert_array_equal(hold_out(X), hold_out(X, 0.2, min_items=5, rng=0))


def test_hold_out_draws_every_set_of_items_equally_often():
    X = np.tile([1.0, 1, 0, 1, 1, 1, 0, 1], (6_000, 1))  # ⌈0.3 · 6⌉ = 2 of 6: 15 pairs
    _, held = hold_out(X, 0.3, rng=5)
    pairs = Counter(tuple(np.flatnonzero(row)) for row in held)
    assert len(pairs) == 15
    assert scipy.stats.chisquare(list(pairs.values())).pvalue > 1e-4


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"share": 0.0}, ValueError, "^share takes"),
        ({"share": 1.0}, ValueError, "^share takes"),
        ({"share": "half"}, TypeError, "^share takes"),
        ({"min_items": 1}, ValueError, "^min_items takes"),
        ({"min_items": 5.0}, TypeError, "^min_items takes"),
        ({"min_items": 10**30}, ValueError, "^min_items takes"),
        ({"X": np.eye(4)}, ValueError, "^X takes a user with at"),
        ({"X": 2 * np.ones((3, 8))}, ValueError, "^X takes 0 and 1"),
        ({"X": [["a"]]}, TypeError, "^X takes"),
    ],
)
def test_hold_out_refuses(arguments, error, match):
    with pytest.raises(error, match=match):
        hold_out(**{"X": np.ones((3, 8))} | arguments)


@pytest.mark.parametrize("k", [1, 3, 10, 20])
def test_ndcg_of_scikit_learn(k):
    rng = np.random.default_rng(k)
    seen, held = hold_out(small_interactions(rng, 40, 20), 0.4, rng=1)
    scores = rng.standard_normal(seen.shape)
    expected = ndcg_score(held, np.where(seen > 0, -1e3, scores), k=k)
    assert ndcg_at_k(scores, seen, held, k) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("scores", "seen", "held", "k", "expected"),
    [
        ([4, 3, 2, 1], [0, 0, 0, 0], [1, 0, 0, 0], 2, 1.0),
        ([4, 3, 2, 1], [0, 0, 0, 0], [0, 1, 0, 0], 2, 1 / math.log2(3)),
        ([4, 3, 2, 1], [0, 0, 0, 0], [0, 0, 1, 0], 2, 0.0),
        ([4, 3, 2, 1], [1, 0, 0, 0], [0, 1, 0, 0], 1, 1.0),  # the seen one does not count
        ([4, 3, 2, 1], [1, 1, 0, 0], [0, 0, 0, 1], 4, 1 / math.log2(3)),  # and comes last where k reaches it
        ([4, 3, 2, 1], [0, 0, 0, 0], [1, 0, 1, 1], 2, 1 / (1 + 1 / math.log2(3))),  # at most k on top
        ([4, 3, 2, 1], [0, 0, 0, 0], [1, 0, 1, 0], 3, 1.5 / (1 + 1 / math.log2(3))),
        ([1, 1, 1, 1], [0, 0, 0, 0], [0, 1, 0, 0], 4, (1.5 + 1 / math.log2(3) + 1 / math.log2(5)) / 4),  # all tied
        ([1, 1, 1, 1], [1, 0, 0, 0], [0, 0, 0, 1], 4, (1.5 + 1 / math.log2(3)) / 3),
        ([1, 1, 1, 1], [0, 0, 0, 0], [0, 1, 0, 0], 1, 1 / 4),  # one of four is shown
    ],
)
def test_ndcg_by_hand(scores, seen, held, k, expected):
    assert ndcg_at_k([scores], [seen], [held], k) == pytest.approx(expected)
    both = ndcg_at_k([scores, [9, 0, 0, 0]], [seen, [0] * 4], [held, [1, 0, 0, 0]], k)
    assert both == pytest.approx((expected + 1) / 2)


def ndcg_of_one_order(order, held, k):
    gain = sum(held[item] / math.log2(rank + 2) for rank, item in enumerate(order[:k]))
    return gain / sum(1 / math.log2(rank + 2) for rank in range(min(k, int(sum(held)))))


@pytest.mark.parametrize("k", [1, 2, 4, 6])
@pytest.mark.parametrize("size", [1.0, 1e-300, 1e300, 5e-324])
@pytest.mark.parametrize("levels", [[1, 1, 0, 1, -1, -1], [2, 2, 2, 2, 2, 2], [-1, -3, -3, -3, -2, -1], [0] * 6])
def test_ndcg_is_the_mean_over_all_orders_of_the_tied_items(levels, size, k):
    held = [0, 1, 0, 1, 1, 0]
    orders = [
        order
        for order in itertools.permutations(range(6))
        if all(levels[a] >= levels[b] for a, b in itertools.pairwise(order))
    ]
    expected = np.mean([ndcg_of_one_order(order, held, k) for order in orders])
    scores = [[size * level for level in levels]]
    assert ndcg_at_k(scores, [[0] * 6], [held], k) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize(("apart", "tied"), [(9e-10, True), (2e-9, False)])
def test_scores_tie_within_a_billionth(apart, tied):
    scores, none = [[1.0, 0.5 + apart, 0.5]], [[0, 0, 0]]
    assert ndcg_at_k(scores, none, [[0, 0, 1]], 2) == pytest.approx(0.5 / math.log2(3) if tied else 0.0)


def test_each_user_has_a_unit_of_their_own():
    scores, seen = [[9.0, 1e-12, 2e-12, 3e-12], [0.0, 3.0, 2.0, 1.0]], [[1, 0, 0, 0], [1, 0, 0, 0]]
    found = ndcg_at_k(scores, seen, [[0, 0, 0, 1], [0, 1, 0, 0]], 1)
    assert found == 1 and type(found) is float


def test_ten_items_count_unless_told_otherwise():
    scores, held = [np.arange(12.0)[::-1]], np.zeros((1, 12))
    held[0, [9, 10]] = 1
    expected = (1 / math.log2(11)) / (1 + 1 / math.log2(3))
    assert ndcg_at_k(scores, np.zeros((1, 12)), held) == pytest.approx(expected)


def test_scores_that_are_a_billionth_apart_tie():
    assert ndcg_at_k([[1.0, 1e-9, 0.0]], [[0, 0, 0]], [[0, 0, 1]], 2) == pytest.approx(0.5 / math.log2(3))


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"seen": np.zeros((2, 3))}, ValueError, "seen, with the shape of scores"),
        ({"held": np.ones((3, 4))}, ValueError, "held, with the shape of scores"),
        ({"held": np.eye(2, 4) * [[1], [0]]}, ValueError, "held takes at least one item"),
        ({"k": 5}, ValueError, r"^k takes an integer from 1 to 4 \(p\)"),
        ({"k": 0}, ValueError, "^k takes"),
        ({"k": 1.0}, TypeError, "^k takes"),
        ({"scores": np.full((2, 4), np.nan)}, ValueError, "^scores takes finite"),
        ({"scores": [["a"]]}, TypeError, "^scores takes"),
        ({"held": np.ones(4)}, ValueError, "^held takes"),
        ({"held": np.full((2, 4), 0.5)}, ValueError, "^held takes 0 and 1 only, got 0.5"),
        ({"seen": np.full((2, 4), 2.0)}, ValueError, "^seen takes 0 and 1 only, got 2"),
        ({"seen": np.ones((2, 4))}, ValueError, "^held takes items that are not in seen"),
        ({"seen": np.eye(2, 4)}, ValueError, "^held takes items that are not in seen"),
    ],
)
def test_ndcg_refuses(arguments, error, match):
    with pytest.raises(error, match=match):
        ndcg_at_k(**{"scores": np.ones((2, 4)), "seen": np.zeros((2, 4)), "held": np.ones((2, 4)), "k": 2} | arguments)

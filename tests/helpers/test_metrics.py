"""Numbers about a matrix of cosines, against loops and scikit-learn."""

import itertools
from dataclasses import astuple

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from cossim_helpers import (
    Yardsticks,
    all_tied,
    cluster_auc,
    mean_cosine,
    neighbor_weights,
    overlap_at_k,
    popularity_correlation,
    precision_at_k,
    yardsticks,
)


def symmetric(p, seed, decimals=None):
    rng = np.random.default_rng(seed)
    M = rng.uniform(-1, 1, (p, p))
    M = (M + M.T) / 2
    np.fill_diagonal(M, 1)
    return M if decimals is None else M.round(decimals)


CLUSTER = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2])


@pytest.mark.parametrize("decimals", [None, 1, 0])  # none, some and many ties
def test_auc_against_scikit_learn(decimals):
    C = symmetric(9, 3, decimals)
    i, j = np.triu_indices(9, 1)
    assert cluster_auc(C, CLUSTER) == pytest.approx(roc_auc_score(CLUSTER[i] == CLUSTER[j], C[i, j]), abs=1e-14)


def test_auc_of_truth_identity_and_reverse():
    same = (CLUSTER[:, None] == CLUSTER).astype(float)
    assert cluster_auc(same, CLUSTER) == 1
    assert cluster_auc(np.eye(9), CLUSTER) == 0.5
    assert cluster_auc(-same, CLUSTER) == 0


def test_cosines_within_1e9_are_tied():
    C = np.eye(4)
    C[0, 1] = C[1, 0] = 5e-10  # one same-cluster pair a hair above all others
    assert cluster_auc(C, np.array([0, 0, 1, 2])) == 0.5
    C[0, 1] = C[1, 0] = 5e-9
    assert cluster_auc(C, np.array([0, 0, 1, 2])) == 1
    assert all_tied(np.eye(4)) and all_tied(np.ones((4, 4))) and not all_tied(C)


def test_mean_cosine_by_loops():
    C = symmetric(9, 4)
    pairs = list(itertools.combinations(range(9), 2))
    within = [C[i, j] for i, j in pairs if CLUSTER[i] == CLUSTER[j]]
    between = [C[i, j] for i, j in pairs if CLUSTER[i] != CLUSTER[j]]
    np.testing.assert_allclose(mean_cosine(C, CLUSTER), (np.mean(within), np.mean(between)), atol=1e-14)


def weights_by_random_ties(C, k, rounds, rng):
    """Average neighbor sets when a tiny random number breaks each tie."""
    counts = np.zeros(C.shape)
    for _ in range(rounds):
        broken = C.round(6) + 1e-8 * rng.random(C.shape)
        np.fill_diagonal(broken, -np.inf)
        np.put_along_axis(counts, top := np.argsort(-broken, axis=1)[:, :k], np.take_along_axis(counts, top, 1) + 1, 1)
    return counts / rounds


@pytest.mark.parametrize("k", [1, 3, 8])
def test_neighbor_weights_are_expectations_over_random_ties(k):
    C = symmetric(9, 6, 1)
    weights = neighbor_weights(C, k)
    np.testing.assert_allclose(weights.sum(axis=1), k)
    assert (np.diag(weights) == 0).all()
    np.testing.assert_allclose(weights, weights_by_random_ties(C, k, 4000, np.random.default_rng(0)), atol=0.04)


def test_precision_and_overlap_without_ties_by_loops():
    a, b = symmetric(9, 7), symmetric(9, 8)

    def neighbors(C, i):
        return set(sorted(set(range(9)) - {i}, key=lambda j: -C[i, j])[:3])

    hits = [len([j for j in neighbors(a, i) if CLUSTER[j] == CLUSTER[i]]) / 3 for i in range(9)]
    shared = [len(neighbors(a, i) & neighbors(b, i)) / 3 for i in range(9)]
    assert precision_at_k(a, CLUSTER, 3) == pytest.approx(np.mean(hits))
    assert overlap_at_k(a, b, 3) == pytest.approx(np.mean(shared))
    assert overlap_at_k(a, a, 3) == pytest.approx(1)


def test_ten_neighbors_unless_told_otherwise():
    a, b, cluster = symmetric(14, 1), symmetric(14, 2), np.arange(14) % 3
    np.testing.assert_array_equal(neighbor_weights(a), neighbor_weights(a, 10))
    assert precision_at_k(a, cluster) == precision_at_k(a, cluster, 10) != precision_at_k(a, cluster, 11)
    assert overlap_at_k(a, b) == overlap_at_k(a, b, 10) != overlap_at_k(a, b, 11)


@pytest.mark.parametrize("k", [1, 10, 57])
def test_neighbors_among_many_are_those_of_a_sort(k):
    C = symmetric(300, 11)
    order = np.argsort(-C + 3 * np.eye(300), axis=1)[:, :k]
    expected = np.zeros(C.shape)
    np.put_along_axis(expected, order, 1, axis=1)
    np.testing.assert_array_equal(neighbor_weights(C, k), expected)


def test_similarities_of_up_to_1e100():
    assert neighbor_weights([[1.0, 1e100], [1e100, 1.0]], 1).tolist() == [[0, 1], [1, 0]]


def test_ties_at_the_identity_give_the_base_rate():
    base_rate = np.mean([(np.sum(CLUSTER == c) - 1) / 8 for c in CLUSTER])
    assert precision_at_k(np.eye(9), CLUSTER, 3) == pytest.approx(base_rate)
    assert overlap_at_k(np.eye(9), symmetric(9, 1), 4) == pytest.approx(4 / 8)


def test_popularity_correlation():
    popularity = np.array([5.0, 4.0, 2.0, 1.0])
    cosine = np.outer(popularity, popularity) / 25
    assert popularity_correlation(cosine, popularity) == pytest.approx(1)
    assert popularity_correlation(-cosine, popularity) == pytest.approx(-1)
    assert popularity_correlation(np.eye(4), popularity) == 0
    assert popularity_correlation(cosine.tolist(), popularity.tolist()) == pytest.approx(1)


def test_integers_beyond_floats_have_ranks():
    popularity = np.array([2**53, 2**53 + 1, 2**53 + 2])
    cosine = [[1.0, 0.1, 0.2], [0.1, 1.0, 0.3], [0.2, 0.3, 1.0]]
    assert popularity_correlation(cosine, popularity) == pytest.approx(1)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: cluster_auc(np.ones((3, 4)), [0, 1, 1]), ValueError, "cosine, square: got 4, takes 3"),
        (lambda: cluster_auc(np.eye(3), [0, 0, 0]), ValueError, "item_cluster takes clusters with at least one pair"),
        (lambda: cluster_auc(np.eye(3), [0, 1, 2]), ValueError, "item_cluster takes clusters with at least one pair"),
        (
            lambda: mean_cosine(np.eye(3), [0, 1]),
            ValueError,
            r"item_cluster, one for each item: got \(2,\), takes \(3,\)",
        ),
        (lambda: mean_cosine(np.eye(3), [0.0, 1.0, 1.0]), TypeError, "item_cluster takes integers"),
        (lambda: precision_at_k(np.eye(3), [0, 0, 1], 3), ValueError, "k takes an integer from 1 to 2"),
        (lambda: precision_at_k(np.full((3, 3), np.nan), [0, 0, 1], 1), ValueError, "cosine takes finite numbers"),
        (lambda: overlap_at_k(np.eye(3), np.eye(4), 1), ValueError, "cosine_b, with the shape of cosine_a"),
        (lambda: neighbor_weights(np.eye(3), 0), ValueError, "k takes an integer from 1 to 2"),
        (lambda: popularity_correlation(np.eye(3), [1.0, 2.0]), ValueError, "popularity and cosine"),
        (
            lambda: popularity_correlation([[1, -2e100], [-2e100, 1]], [1, 2]),
            ValueError,
            "cosine takes similarities of up",
        ),
    ],
)
def test_bad_input_names_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()


# --- one row of numbers ---

THREE = np.repeat([0, 1, 2], [3, 5, 6])


@pytest.mark.parametrize("seed", range(5))
def test_each_number_is_that_of_its_function(seed):
    cosine, popularity = symmetric(14, seed), np.random.default_rng(seed + 10).uniform(1, 9, 14)
    errors = [cosine[i, j] - (THREE[i] == THREE[j]) for i in range(14) for j in range(i)]
    within, between = mean_cosine(cosine, THREE)
    expected = Yardsticks(
        auc=cluster_auc(cosine, THREE),
        within=within,
        between=between,
        distance=np.sqrt(np.mean(np.square(errors))),
        precision=precision_at_k(cosine, THREE, 10),
        popularity=popularity_correlation(cosine, popularity),
    )
    found = yardsticks(cosine, THREE, popularity)
    np.testing.assert_allclose(astuple(found), astuple(expected), rtol=1e-13)
    assert len(set(astuple(found))) == 6  # no two of them could be confused
    assert yardsticks(cosine, THREE) == Yardsticks(*astuple(found)[:5], popularity=None)


def test_the_truth_is_at_distance_0_and_its_opposite_at_1():
    truth = (THREE[:, None] == THREE).astype(float)
    found = yardsticks(truth, THREE)
    assert (found.auc, found.within, found.between, found.distance) == (1, 1, 0, 0)
    assert yardsticks(1 - truth, THREE).distance == 1


def test_the_diagonal_does_not_count_for_yardsticks():
    cosine = symmetric(14, 1)
    other = cosine + np.diag(np.arange(14.0))
    popularity = np.arange(14.0)
    np.testing.assert_allclose(
        astuple(yardsticks(other, THREE, popularity)), astuple(yardsticks(cosine, THREE, popularity)), rtol=1e-9
    )


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: yardsticks(np.eye(14)[:5], THREE), ValueError, "cosine, square"),
        (lambda: yardsticks(np.eye(14), THREE[:5]), ValueError, "item_cluster, one for each item"),
        (lambda: yardsticks(np.eye(14), THREE / 2), TypeError, "item_cluster takes integers"),
        (lambda: yardsticks(np.eye(14), np.zeros(14, int)), ValueError, "item_cluster takes clusters"),
        (lambda: yardsticks(np.eye(10), THREE[:10]), ValueError, "k takes an integer from 1 to 9"),
        (lambda: yardsticks(np.eye(14), THREE, np.ones(3)), ValueError, "popularity and cosine"),
    ],
)
def test_bad_input_of_yardsticks(call, error, message):
    with pytest.raises(error, match=message):
        call()


# --- quality on held-out interactions ---

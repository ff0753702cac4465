"""`yardsticks`: one row of numbers, each as the function that it is named for, and the distance by a double loop."""

from dataclasses import astuple

import numpy as np
import pytest

from cossim_helpers import (
    Yardsticks,
    cluster_auc,
    mean_cosine,
    popularity_correlation,
    precision_at_k,
    yardsticks,
)

CLUSTER = np.repeat([0, 1, 2], [3, 5, 6])


def symmetric(seed):
    M = np.random.default_rng(seed).uniform(-1, 1, (14, 14))
    return (M + M.T) / 2


@pytest.mark.parametrize("seed", range(5))
def test_each_number_is_that_of_its_function(seed):
    cosine, popularity = symmetric(seed), np.random.default_rng(seed + 10).uniform(1, 9, 14)
    errors = [cosine[i, j] - (CLUSTER[i] == CLUSTER[j]) for i in range(14) for j in range(i)]
    within, between = mean_cosine(cosine, CLUSTER)
    expected = Yardsticks(
        auc=cluster_auc(cosine, CLUSTER),
        within=within,
        between=between,
        distance=np.sqrt(np.mean(np.square(errors))),
        precision=precision_at_k(cosine, CLUSTER, 10),
        popularity=popularity_correlation(cosine, popularity),
    )
    found = yardsticks(cosine, CLUSTER, popularity)
    np.testing.assert_allclose(astuple(found), astuple(expected), rtol=1e-13)
    assert len(set(astuple(found))) == 6  # no two of them could be confused
    assert yardsticks(cosine, CLUSTER) == Yardsticks(*astuple(found)[:5], popularity=None)


def test_the_truth_is_at_distance_0_and_its_opposite_at_1():
    truth = (CLUSTER[:, None] == CLUSTER).astype(float)
    found = yardsticks(truth, CLUSTER)
    assert (found.auc, found.within, found.between, found.distance) == (1, 1, 0, 0)
    assert yardsticks(1 - truth, CLUSTER).distance == 1


def test_the_diagonal_does_not_count():
    cosine = symmetric(1)
    other = cosine + np.diag(np.arange(14.0))
    popularity = np.arange(14.0)
    np.testing.assert_allclose(
        astuple(yardsticks(other, CLUSTER, popularity)), astuple(yardsticks(cosine, CLUSTER, popularity)), rtol=1e-9
    )


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: yardsticks(np.eye(14)[:5], CLUSTER), ValueError, "cosine, square"),
        (lambda: yardsticks(np.eye(14), CLUSTER[:5]), ValueError, "item_cluster, one for each item"),
        (lambda: yardsticks(np.eye(14), CLUSTER / 2), TypeError, "item_cluster takes integers"),
        (lambda: yardsticks(np.eye(14), np.zeros(14, int)), ValueError, "item_cluster takes clusters"),
        (lambda: yardsticks(np.eye(10), CLUSTER[:10]), ValueError, "k takes an integer from 1 to 9"),
        (lambda: yardsticks(np.eye(14), CLUSTER, np.ones(3)), ValueError, "popularity and cosine"),
    ],
)
def test_bad_input_names_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()

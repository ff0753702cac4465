"""The functions of cossim_helpers/data_remedies.py against their definitions, and what they refuse."""

import numpy as np
import pytest
import scipy.sparse as sp

from cossim_helpers import (
    activity_normalized,
    inverse_propensity_scaled,
    item_gram,
    propensities,
    shifted_pmi,
    standardized_gram,
)

SEEDS = range(4)


def interactions(rng, n=30, p=9):
    """0/1, with no empty row and no constant column."""
    X = (rng.random((n, p)) < 0.4).astype(float)
    X[0], X[1] = 1.0, 0.0
    X[X.sum(axis=1) == 0, 0] = 1.0
    return X


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_standardized_gram_is_n_times_the_correlation(seed, sparse):
    X = interactions(np.random.default_rng(seed))
    given = sp.csr_array(X) if sparse else X
    np.testing.assert_allclose(standardized_gram(given), len(X) * np.corrcoef(X.T), atol=1e-10)
    np.testing.assert_allclose(item_gram(given), X.T @ X, atol=1e-10)


@pytest.mark.parametrize("sparse", [False, True])
def test_scalings_of_rows_and_columns(sparse):
    X = interactions(np.random.default_rng(2))
    given = sp.csr_array(X) if sparse else X

    def dense(M):
        assert sp.issparse(M) == sparse
        return M.toarray() if sparse else M

    np.testing.assert_allclose(dense(activity_normalized(given, 0.7)), X / X.sum(axis=1, keepdims=True) ** 0.7)
    np.testing.assert_allclose(dense(activity_normalized(given, 0.0)), X)
    pi = propensities(X.sum(axis=0), 0.8, 0.5)
    np.testing.assert_allclose(dense(inverse_propensity_scaled(given, pi)), X / pi)


def test_propensities_are_clipped_at_the_floor_only():
    np.testing.assert_allclose(propensities([8.0, 4.0, 1.0], 1.0), [1, 0.5, 0.125])
    np.testing.assert_allclose(propensities([8.0, 4.0, 1.0], 1.0, 0.25), [1, 0.5, 0.25])
    np.testing.assert_allclose(propensities([8.0, 4.0, 1.0], 0.0), 1)
    np.testing.assert_allclose(propensities([8.0, 4.0, 1.0], 2.0, 1.0), 1)


def test_empty_rows_stay_empty():
    assert not activity_normalized(np.array([[0.0, 0.0], [1.0, 1.0]]))[0].any()


def test_shifted_pmi_says_how_many_rows_and_columns_are_empty():
    counts = [[1.0, 2.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0], [3.0, 0.0, 0.0, 0.0]]
    with pytest.raises(ValueError, match=r"^counts takes no empty row and no empty column, got 1 and 2$"):
        shifted_pmi(counts)


def test_shifted_pmi_one_entry_at_a_time():
    counts = np.array([[3.0, 0.0, 2.0], [1.0, 5.0, 4.0]])
    M = shifted_pmi(counts, exponent=0.6, negatives=2.0)
    total = sum(counts.sum(axis=0)[c] ** 0.6 for c in range(3))
    for w, c in np.ndindex(2, 3):
        ratio = counts[w, c] / (2 * counts[w].sum() * counts[:, c].sum() ** 0.6 / total)
        assert M[w, c] == pytest.approx(max(np.log(ratio), 0) if ratio > 0 else 0)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: standardized_gram([[1.0, 0.0], [1.0, 1.0]]), ValueError, "got 1 constant column"),
        (lambda: activity_normalized([[-1.0]]), ValueError, "X takes numbers of at least 0"),
        (lambda: propensities([0.0, 1.0], 1.0), ValueError, "counts takes positive"),
        (lambda: propensities([1.0], -1.0), ValueError, "exponent"),
        (lambda: propensities([1.0], 1.0, 1.5), ValueError, "floor takes a finite number from 0 to 1"),
        (lambda: inverse_propensity_scaled(np.eye(2), [1.0]), ValueError, "propensity, one for each column"),
        (lambda: inverse_propensity_scaled(np.eye(2), [1.0, 0.0]), ValueError, "propensity takes positive"),
        (lambda: shifted_pmi([[1.0, 0.0], [1.0, 0.0]]), ValueError, "no empty column"),
        (lambda: shifted_pmi(np.eye(2), positive=False), ValueError, "2 zero"),
        (lambda: shifted_pmi(np.ones((2, 2)), negatives=0), ValueError, "negatives"),
    ],
)
def test_bad_input_is_refused_by_name(call, error, message):
    with pytest.raises(error, match=message):
        call()

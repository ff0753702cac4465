"""The functions of cossim_helpers/remedies.py against their definitions, and what they refuse."""

import numpy as np
import pytest
import scipy.sparse as sp
from oracles import cosine_by_loops, random_orthogonal

from cossim_helpers import (
    Factors,
    cosine_similarity,
    fractionally_whitened_cosine,
    layer_norm,
    reparameterize,
    score_column_cosine,
    score_row_cosine,
    spectral_cosine,
    whitened_cosine,
)

SEEDS = range(4)


def instance(seed, n=30, p=9, k=4):
    rng = np.random.default_rng(seed)
    X = (rng.random((n, p)) < 0.4).astype(float)
    X[0], X[1] = 1.0, 0.0
    X[X.sum(axis=1) == 0, 0] = 1.0  # no empty row, no constant column
    return rng, X, Factors(*rng.standard_normal((2, p, k)))


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_score_cosines_are_those_of_the_scores(seed, sparse):
    _, X, factors = instance(seed)
    Y = X @ factors.A @ factors.B.T
    given = sp.csr_array(X) if sparse else X
    np.testing.assert_allclose(score_column_cosine(given, factors), cosine_by_loops(Y.T, Y.T), atol=1e-10)
    np.testing.assert_allclose(score_row_cosine(given, factors), cosine_by_loops(Y, Y), atol=1e-10)


def test_score_cosines_where_the_scores_lack_rank():
    _, X, factors = instance(5)
    low = Factors(factors.A @ np.diag([1, 1, 0, 0]), factors.B)
    Y = X @ low.A @ low.B.T
    np.testing.assert_allclose(score_column_cosine(X, low), cosine_by_loops(Y.T, Y.T), atol=1e-7)


@pytest.mark.parametrize("seed", SEEDS)
def test_whitened_cosine_is_the_normalized_projector(seed):
    _, _, factors = instance(seed)
    B = factors.B
    kernel = B @ np.linalg.inv(B.T @ B) @ B.T
    length = np.sqrt(np.diag(kernel))
    np.testing.assert_allclose(whitened_cosine(factors), kernel / np.outer(length, length), atol=1e-10)
    padded = Factors(np.hstack([factors.A, factors.A]), np.hstack([B, np.zeros_like(B)]))  # no full column rank
    np.testing.assert_allclose(whitened_cosine(padded), whitened_cosine(factors), atol=1e-10)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("seed", SEEDS)
def test_fractional_and_spectral_kernels(seed, alpha):
    _, _, factors = instance(seed)
    B, W = factors.B, factors.A @ factors.B.T

    def normalized_power(K, exponent, rank):
        value, vectors = np.linalg.eigh(K)
        top = vectors[:, -rank:]
        return cosine_similarity(top * value[-rank:] ** (exponent / 2))

    np.testing.assert_allclose(
        fractionally_whitened_cosine(factors, alpha), normalized_power(B @ B.T, 1 - alpha, 4), atol=1e-8
    )
    np.testing.assert_allclose(spectral_cosine(factors, alpha), normalized_power(W.T @ W, 1 - alpha, 4), atol=1e-8)
    np.testing.assert_allclose(fractionally_whitened_cosine(factors, 0.0), cosine_similarity(B), atol=1e-10)


def test_spectral_cosine_leaves_zero_directions_out():
    _, _, factors = instance(1)
    low = Factors(factors.A @ np.diag([1, 1, 1, 0]), factors.B)
    W = low.A @ low.B.T
    right = np.linalg.svd(W)[2][:3].T
    np.testing.assert_allclose(spectral_cosine(low, 1.0), cosine_similarity(right), atol=1e-8)


def test_layer_norm_by_loops():
    rng = np.random.default_rng(0)
    E, gain, bias = rng.standard_normal((5, 6)), rng.standard_normal(6), rng.standard_normal(6)
    by_loops = [[g * (x - np.mean(e)) / np.std(e) + h for x, g, h in zip(e, gain, bias)] for e in E]
    np.testing.assert_allclose(layer_norm(E, gain, bias), by_loops, atol=1e-12)
    np.testing.assert_allclose(layer_norm(E).mean(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(layer_norm(E).var(axis=1), 1, atol=1e-12)


def test_what_is_nearly_constant_keeps_its_direction():
    """Each row is judged by its own size, and by what differs most, up or down."""
    eps = np.finfo(float).eps
    np.testing.assert_array_equal(layer_norm([[0.99, 0.0], [0.5, 0.5 + 12 * eps]])[1], [-1, 1])
    with pytest.raises(ValueError, match="got 1 constant row"):  # 8 units of the largest are rounding
        layer_norm([[1.0, 1 - 16 * eps]])
    np.testing.assert_array_equal(layer_norm([[1.0, 1 - 17 * eps]]), [[1, -1]])
    one_below = layer_norm([[1.0] * 15 + [1 - 100 * eps]])[0]  # 15 times 1/√15, and −√15
    np.testing.assert_allclose(one_below, [1 / np.sqrt(15)] * 15 + [-np.sqrt(15)], rtol=0.2)
    np.testing.assert_allclose(layer_norm([[1e200, 0.0], [0.0, 1e-320]]), [[1, -1], [-1, 1]], rtol=1e-14)


@pytest.mark.parametrize(
    "cosine", [whitened_cosine, lambda f: spectral_cosine(f, 0.4), lambda f: score_column_cosine(instance(0)[1], f)]
)
@pytest.mark.parametrize("seed", SEEDS)
def test_invariant_under_badly_scaled_maps(cosine, seed):
    rng, _, factors = instance(seed)
    G = random_orthogonal(4, rng) @ np.diag([1e-3, 1, 10, 1e3]) @ random_orthogonal(4, rng)
    np.testing.assert_allclose(cosine(reparameterize(factors, G)), cosine(factors), atol=1e-7)


GOOD = Factors(np.eye(3)[:, :2], np.eye(3)[:, :2])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: score_column_cosine(np.ones((2, 4)), GOOD), ValueError, "X, with as many columns"),
        (lambda: score_row_cosine([[np.nan, 0, 0]], GOOD), ValueError, "X takes finite"),
        (lambda: whitened_cosine(np.eye(3)), TypeError, "factors takes Factors"),
        (lambda: spectral_cosine(GOOD, 1.1), ValueError, "exponent takes a finite number from 0 to 1, got 1.1"),
        (lambda: fractionally_whitened_cosine(GOOD, -0.1), ValueError, "exponent"),
        (lambda: fractionally_whitened_cosine(GOOD, "1"), TypeError, "exponent"),
        (lambda: score_row_cosine(np.ones((2, 3)), np.eye(3)), TypeError, "factors takes Factors"),
        (lambda: layer_norm([[1.0, 0.0]], [1.5e308, 1.0], [1.5e308, 0.0]), ValueError, "gain and bias take"),
        (lambda: layer_norm([[2.0, 2.0], [1.0, 0.0]]), ValueError, "got 1 constant row"),
        (lambda: layer_norm([[1.0, 0.0]], gain=[1.0]), ValueError, "gain, one entry"),
    ],
)
def test_bad_input_is_refused_by_name(call, error, message):
    with pytest.raises(error, match=message):
        call()

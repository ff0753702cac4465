"""Numbers from 1e-308 to 1e308: the right result or a ValueError that names the argument, and no NaN, warning or zero.

The oracles are mpmath, fractions, and the same computation at another scale.
"""

import functools
import math
import re
from fractions import Fraction

import mpmath
import numpy as np
import pytest
import scipy.sparse as sp
from instances import small_interactions
from oracles import unit

from cossim_helpers import (
    Factors,
    Recipe,
    Spectrum,
    activity_normalized,
    audit_embeddings,
    balance_defect,
    block_average,
    canonical_item_vectors,
    cluster_auc,
    compare_embeddings,
    comparison_is_determined,
    cone,
    cosine_similarity,
    dial,
    factor_penalty_gradient,
    factor_penalty_objective,
    factors_with_neighbors,
    fractionally_whitened_cosine,
    freedom,
    gram,
    inverse_propensity_scaled,
    item_gram,
    item_item_cosine,
    krylov_spectrum,
    layer_norm,
    lift_into_spare,
    matroid_components,
    max_norm,
    mean_cosine,
    minimize_factor_penalty,
    minimize_factors,
    minimize_product_penalty,
    neighbor_weights,
    popularity_correlation,
    precision_at_k,
    predicted_item_vectors,
    product_penalty_gradient,
    product_penalty_objective,
    propensities,
    reachable_dimension,
    repair_vectors,
    reparameterize,
    rescale,
    rotate,
    score_column_cosine,
    score_row_cosine,
    shares_with_intervals,
    shifted_pmi,
    shrinkage,
    simulate_interactions,
    slide_cone,
    solve_factor_penalty,
    solve_product_penalty,
    spectral_cosine,
    spectrum,
    spectrum_from_gram,
    standardized_gram,
    train_contrastive,
    train_cosine,
    train_model,
    user_embeddings,
    user_item_cosine,
    user_user_cosine,
    variance_shares,
    whitened_cosine,
    yardsticks,
)

RNG = np.random.default_rng(0)
X = (RNG.random((12, 6)) < 0.5) * RNG.uniform(1, 2, (12, 6))
X[0] = 1.5
A, B, Q = RNG.standard_normal((3, 6, 3))
P, G = RNG.standard_normal((8, 3)), RNG.standard_normal((3, 3))
TURN = np.linalg.qr(G)[0]
C = cosine_similarity(B)
Y = RNG.standard_normal((4, 3))
D2 = (Y[:, :, None, None] - Y[None, None]) ** 2
U = unit(P)
ON_CONE = 0.5 * np.eye(3)[2] + np.sqrt(0.75) * unit(Q * [1, 1, 0])
EXPONENTS = (-1020, -980, -600, -520, -300, -80, 80, 300, 500, 520, 600, 1000, 1018)  # 2^e: from 9e-308 to 3e306


def c_of(exponent):
    return np.ldexp(1.0, exponent)


class _NoFloat(Exception):
    pass


def power(c, degree):
    """c^degree, if it is a float: a caller can pass no other."""
    if abs(exponent := degree * math.log2(c)) >= 1020:
        raise _NoFloat
    return 2.0**exponent


NAMES = r"(X|A|B|P|Q|E1?|items|users|blocks|cosine|factors|lam|d|G|exponent|propensity|scale|gain|counts)"


def over(M, c):
    return M / c


def gauged(c):
    return Factors(A * [c, 1, 1 / c], B / [c, 1, 1 / c])


# name: (result at the scale c, its degree in c; a tuple of both for several results)
SCALED = {
    "cosine_similarity": (lambda c: cosine_similarity(c * B), 0),
    "cosine_similarity, sparse": (lambda c: cosine_similarity(sp.csr_array(c * B)), 0),
    "cosine_similarity of two": (lambda c: cosine_similarity(sp.csr_array(c * B), over(A, c)), 0),
    "item_item_cosine": (lambda c: item_item_cosine(Factors(A, c * B)), 0),
    "user_user_cosine": (lambda c: user_user_cosine(c * X, Factors(c * A, B)), 0),
    "user_user_cosine, sparse": (lambda c: user_user_cosine(sp.csr_array(c * X), Factors(c * A, B)), 0),
    "user_item_cosine": (lambda c: user_item_cosine(c * X, Factors(c * A, c * B)), 0),
    "user_embeddings": (lambda c: user_embeddings(c * X, Factors(A, B)), 1),
    "user_embeddings, both": (lambda c: user_embeddings(c * X, Factors(c * A, B)), 2),
    "score_column_cosine": (lambda c: score_column_cosine(c * X, Factors(A, c * B)), 0),
    "score_column_cosine, gauge": (lambda c: score_column_cosine(X, gauged(c)), 0),
    "score_row_cosine": (lambda c: score_row_cosine(c * X, Factors(c * A, c * B)), 0),
    "score_row_cosine, gauge": (lambda c: score_row_cosine(X, gauged(c)), 0),
    "whitened_cosine": (lambda c: whitened_cosine(Factors(A, c * B)), 0),
    "fractionally_whitened_cosine": (lambda c: fractionally_whitened_cosine(Factors(A, c * B), 0.3), 0),
    "spectral_cosine": (lambda c: spectral_cosine(Factors(c * A, c * B), 0.3), 0),
    "spectral_cosine, gauge": (lambda c: spectral_cosine(gauged(c), 0.3), 0),
    "layer_norm": (lambda c: layer_norm(c * A), 0),
    "layer_norm, gain": (lambda c: layer_norm(A, gain=np.full(3, c), bias=np.full(3, c)), 1),
    "standardized_gram": (lambda c: standardized_gram(c * X), 0),
    "standardized_gram, sparse": (lambda c: standardized_gram(sp.csr_array(X * [1, c, 1, 1 / c, 1, 1])), 0),
    "item_gram": (lambda c: item_gram(c * X), 2),
    "gram": (lambda c: gram([c * X[:5], c * X[5:]]), 2),
    "spectrum": (lambda c: (spectrum(c * X).sigma, spectrum(c * X).V), (1, 0)),
    "spectrum, sparse": (lambda c: spectrum(sp.csr_array(c * X)).sigma, 1),
    "spectrum_from_gram": (lambda c: spectrum_from_gram(c * (X.T @ X / 64)).sigma, 0.5),
    "krylov_spectrum": (lambda c: krylov_spectrum([c * X], 2).sigma, 1),
    "exceeds": (lambda c: spectrum(c * X).exceeds(1.5 * c).astype(float), 0),
    "activity_normalized": (lambda c: activity_normalized(c * X), 0),
    "activity_normalized, sparse": (lambda c: activity_normalized(sp.csr_array(c * X)).toarray(), 0),
    "activity_normalized, 0": (lambda c: activity_normalized(c * X, 0.0), 1),
    "activity_normalized, 1/2": (lambda c: activity_normalized(c * X, 0.5), 0.5),
    "activity_normalized, 2": (lambda c: activity_normalized(c * X, 2.0), -1),
    "activity_normalized, −1": (lambda c: activity_normalized(c * X, -1.0), 2),
    "propensities": (lambda c: propensities(c * np.arange(1.0, 7), 0.5), 0),
    "inverse_propensity_scaled": (lambda c: inverse_propensity_scaled(X, c * np.arange(1.0, 7)), -1),
    "inverse_propensity_scaled, sparse": (
        lambda c: inverse_propensity_scaled(sp.csr_array(c * X), c * np.arange(1.0, 7)).toarray(), 0,
    ),
    "shifted_pmi": (lambda c: shifted_pmi(c * X), 0),
    "shifted_pmi, cubes": (lambda c: shifted_pmi(c * (X + 0.1), exponent=3.0, positive=False), 0),
    "solve_product_penalty": (lambda c: solve_product_penalty(spectrum(c * X), power(c, 2) * 0.7).B, 0),
    "solve_factor_penalty": (
        lambda c: (solve_factor_penalty(spectrum(c * X), 0.7 * c).A, solve_factor_penalty(spectrum(c * X), 0.7 * c).B),
        (-0.5, 0.5),
    ),
    "product_penalty_objective": (lambda c: product_penalty_objective(c * X, Factors(A, B), power(c, 2) * 0.7), 2),
    "product_penalty_objective, gauge": (lambda c: product_penalty_objective(X, Factors(c * A, over(B, c)), 0.7), 0),
    "product_penalty_gradient": (lambda c: product_penalty_gradient(c * X, Factors(A, B), power(c, 2) * 0.7), (2, 2)),
    "product_penalty_gradient, gauge": (
        lambda c: product_penalty_gradient(X, Factors(c * A, over(B, c)), 0.7), (-1, 1),
    ),
    "factor_penalty_objective": (
        lambda c: factor_penalty_objective(c * X, Factors(A * power(c, -0.5), B * power(c, 0.5)), 0.7 * c), 2,
    ),
    "factor_penalty_gradient": (
        lambda c: factor_penalty_gradient(c * X, Factors(A * power(c, -0.5), B * power(c, 0.5)), 0.7 * c), (2.5, 1.5),
    ),
    "minimize_product_penalty": (lambda c: product_of(minimize_product_penalty(c * X, power(c, 2) * 0.7, 2)), 0),
    "minimize_factor_penalty": (lambda c: product_of(minimize_factor_penalty(c * X, 0.7 * c, 2)), 0),
    "rescale": (lambda c: parts_of(rescale(Factors(A, B), c * np.arange(1.0, 4))), (1, -1)),
    "rotate": (lambda c: rotate(Factors(c * A, c * B), TURN).B, 1),
    "reparameterize": (lambda c: parts_of(reparameterize(Factors(A, B), c * G)), (1, -1)),
    "factors_with_neighbors": (lambda c: item_item_cosine(factors_with_neighbors(Factors(c * A, c * B), 0, [1])), 0),
    "matroid_components": (lambda c: matroid_components(c * B), 0),
    "reachable_dimension": (lambda c: float(reachable_dimension(c * B)), 0),
    "comparison_is_determined": (lambda c: comparison_is_determined(c * B, (0, 1), [(1, 2), (0, 2)]), 0),
    "canonical_item_vectors": (lambda c: canonical_item_vectors(c * P, Q), 1),
    "canonical_item_vectors, both": (lambda c: canonical_item_vectors(c * P, c * Q), 2),
    "predicted_item_vectors": (lambda c: predicted_item_vectors(c * P, Q), 1),
    "repair_vectors": (lambda c: cosine_similarity(repair_vectors(c * Q, c * P)), 0),
    "balance_defect": (lambda c: balance_defect(c * P, Q), 0),
    "compare_embeddings": (lambda c: compare_embeddings(c * P, P @ G, k=2).overlap, 0),
    "audit_embeddings": (lambda c: [one.overlap for one in audit_embeddings(c * P, k=2, other=c * Q).stability], 0),
    "freedom": (lambda c: freedom(c * P, over(Q, c), "squared").dQ, -1),
    "freedom, bpr": (lambda c: list(freedom(c * P, Q, "bpr").moved.values()), 0),
    "freedom, triplets": (lambda c: list(freedom(c * P, c * Q, "triplet-euclidean").moved.values()), 0),
    "slide_cone": (lambda c: slide_cone(U, ON_CONE, 0.3, scale=c)[1:], (0, 1)),
    "lift_into_spare": (lambda c: lift_into_spare(U, ON_CONE, np.eye(3), scale=c)[1:], (0, 1)),
    "max_norm": (lambda c: np.array(max_norm(c * P, Q)), 1),
    "max_norm, both": (lambda c: np.array(max_norm(c * P, over(Q, c))), 0),
    "variance_shares": (lambda c: list(vars(variance_shares(c * D2 / 64)).values()), 0),
    "shares_with_intervals": (lambda c: list(shares_with_intervals(c * D2 / 64).values()), 0),
    "block_average": (lambda c: block_average(c * X, 3), 1),
    "mean_cosine": (lambda c: np.array(mean_cosine(c * C, [0, 0, 1, 1, 2, 2])), 1),
    "popularity_correlation": (lambda c: popularity_correlation(C, c * np.array([3.0, 1, 2, 5, 4, 6])), 0),
    "train_cosine": (lambda c: train_cosine(c * X, 2, steps=2, loss="softmax").loss, None),
    "train_contrastive": (lambda c: train_contrastive(P @ Q.T, c * P, c * Q, steps=1).excess, None),
}  # fmt: skip


def parts_of(factors):
    return factors.A, factors.B


def product_of(factors):
    return factors.A @ factors.B.T


@functools.cache
def at_1(name):
    return SCALED[name][0](1.0)


def relative_error(got, expected, exponent):
    """Of `got` against expected · 2^exponent, as a share of the largest entry; exact whatever the exponent."""
    got, expected = np.asarray(got, float).ravel(), np.asarray(expected, float).ravel()
    largest = max(abs(expected)) or 1.0
    whole = math.floor(exponent)
    back = np.ldexp(np.ldexp(got, -whole // 2), -whole - (-whole // 2))  # two steps: 2^−1020 and back is no loss
    return abs(back - expected * 2.0 ** (exponent - whole)).max() / largest


@pytest.mark.parametrize("exponent", EXPONENTS)
@pytest.mark.parametrize("name", SCALED)
def test_another_scale_is_another_unit(name, exponent):
    call, degrees = SCALED[name]
    try:
        found = call(c_of(exponent))
    except ValueError as error:
        found = str(error)
    except _NoFloat:
        return  # λ c² is none, so no caller can pass it
    if isinstance(found, str):
        assert re.match(NAMES + r"\b.* takes? ", found), found
        return
    if degrees is None:
        assert np.isfinite(found)
        return
    found, expected, degrees = (one if isinstance(degrees, tuple) else (one,) for one in (found, at_1(name), degrees))
    for got, wanted, degree in zip(found, expected, degrees, strict=True):
        assert relative_error(got, wanted, degree * exponent) < (1e-6 if "minimize" in name else 1e-9)


RIGHT_EVERYWHERE = [name for name, (_, degrees) in SCALED.items() if degrees == 0 and name not in {
    *("repair_vectors", "balance_defect", "compare_embeddings", "audit_embeddings"),  # float32, within 1e±15
    *("solve_product_penalty", "minimize_product_penalty", "minimize_factor_penalty"),
    *("cosine_similarity of two", "max_norm, both", "product_penalty_objective, gauge"),
}]  # fmt: skip


@pytest.mark.parametrize("name", RIGHT_EVERYWHERE)
def test_what_has_no_unit_is_never_refused(name):
    for exponent in (-980, -520, 520, 1000):
        SCALED[name][0](c_of(exponent))


# --- each number at a scale of its own, against mpmath ---


def high(M):
    return mpmath.matrix(np.asarray(M).tolist())


def cosines_in_high_precision(M, N=None):
    N = M if N is None else N
    lengths = [[mpmath.sqrt(sum(one[i, j] ** 2 for j in range(one.cols))) for i in range(one.rows)] for one in (M, N)]
    found = np.zeros((M.rows, N.rows))
    for i, j in np.ndindex(*found.shape):
        if lengths[0][i] and lengths[1][j]:
            found[i, j] = sum(M[i, h] * N[j, h] for h in range(M.cols)) / (lengths[0][i] * lengths[1][j])
    return found


SHAPES = {"each": lambda n, k: (n, k), "rows": lambda n, k: (n, 1), "columns": lambda n, k: (1, k)}
OF_PRODUCTS = {
    "cosine_similarity": (lambda X, F: cosine_similarity(F.B), lambda X, A, B: cosines_in_high_precision(B)),
    "user_user_cosine": (user_user_cosine, lambda X, A, B: cosines_in_high_precision(X * A)),
    "user_item_cosine": (user_item_cosine, lambda X, A, B: cosines_in_high_precision(X * A, B)),
    "score_column_cosine": (score_column_cosine, lambda X, A, B: cosines_in_high_precision(B * A.T * X.T)),
    "score_row_cosine": (score_row_cosine, lambda X, A, B: cosines_in_high_precision(X * A * B.T)),
}


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("spread", SHAPES)
@pytest.mark.parametrize("name", OF_PRODUCTS)
def test_cosines_of_numbers_with_scales_of_their_own(name, spread, sparse):
    call, oracle = OF_PRODUCTS[name]
    rng = np.random.default_rng(1)
    with mpmath.workprec(200):
        for _ in range(3):
            X, A, B = (
                np.ldexp(rng.standard_normal(shape), rng.integers(-1000, 1000, SHAPES[spread](*shape)))
                for shape in ((4, 5), (5, 3), (5, 3))
            )
            X[rng.random(X.shape) < 0.3] = 0.0
            found = call(sp.csr_array(X) if sparse else X, Factors(A, B))
            np.testing.assert_allclose(found, oracle(high(X), high(A), high(B)), atol=1e-12)


@pytest.mark.parametrize("name", ["product", "factor"])
def test_objectives_and_gradients_in_high_precision(name):
    objective = {"product": product_penalty_objective, "factor": factor_penalty_objective}[name]
    gradient = {"product": product_penalty_gradient, "factor": factor_penalty_gradient}[name]
    rng = np.random.default_rng(2)
    for trial in range(30):
        e, a, b, h = rng.integers([-96, -96, -96, -198], [100, 100, 100, 200])
        X, A, B = np.ldexp(rng.random((4, 3)), e), np.ldexp(rng.random((3, 2)), a), np.ldexp(rng.random((3, 2)), b)
        A[:, 1], lam = A[:, 1] * (trial % 3 > 0), float(np.ldexp(0.7, h))
        with mpmath.workprec(2_000):
            x, y, z = high(X), high(A), high(B)
            residual, squares = x - x * y * z.T, lambda M: sum(one**2 for one in M)
            if name == "product":
                penalty, dy, dz = squares(y * z.T), y * z.T * z, z * y.T * y
            else:
                penalty, dy, dz = squares(x * y) + squares(z), x.T * x * y, z
            value = squares(residual) + lam * penalty
            slopes = -2 * x.T * residual * z + 2 * lam * dy, -2 * residual.T * x * y + 2 * lam * dz
            for call, wanted in ((objective, [mpmath.matrix([[value]])]), (gradient, slopes)):
                largest = [max(abs(one) for one in M) for M in wanted]
                found = call(X, Factors(A, B), lam)
                for got, M, size in zip(found if call is gradient else [[[found]]], wanted, largest, strict=True):
                    assert max(abs(one) for one in high(got) - M) < 1e-12 * size


# --- what is seen ---


def test_a_cosine_is_one_with_itself_and_never_beyond():
    rng = np.random.default_rng(3)
    M = np.ldexp(rng.standard_normal((60, 5)), rng.integers(-1000, 1000, (60, 1)))
    M[7], M[20:40] = 0.0, M[19] * rng.uniform(0.1, 10, (20, 1)) * np.tile([[1], [-1]], (10, 1))
    for given in (M, sp.csr_array(M), sp.coo_array(M)):
        found = cosine_similarity(given)
        np.testing.assert_array_equal(np.diag(found), M.any(axis=1))
        assert abs(found).max() == 1.0
        assert abs(cosine_similarity(given, M)).max() <= 1.0


def test_layer_norm_by_fractions():
    M = [[1, 2, 4], [-3, 5, 7]]
    for size in (1e200, 1e-162, 1e-320, 1e307):
        found = layer_norm(size * np.array(M, float))
        for row, got in zip(M, found, strict=True):
            mean = Fraction(sum(row), 3)
            variance = sum((one - mean) ** 2 for one in row) / 3
            expected = [float(one - mean) / math.sqrt(variance) for one in row]
            np.testing.assert_allclose(got, expected, rtol=1e-3 if size == 1e-320 else 1e-14)


@pytest.mark.parametrize("size", [1e-160, 1e-300, 1e160, 1e300])
def test_standardized_gram_has_no_unit(size):
    np.testing.assert_allclose(standardized_gram(size * X), len(X) * np.corrcoef(X.T), atol=1e-12)


def test_shrinkage_by_fractions():
    sigma, lam = [1e200, 1e154, 1.0, 1e-100, 1e-200, 5e-324], 1e-308
    exact = [Fraction(s) ** 2 / (Fraction(s) ** 2 + Fraction(lam)) for s in sigma]
    np.testing.assert_allclose(shrinkage(sigma, lam), [float(d) for d in exact], rtol=1e-15, atol=5e-324)
    root = [float(mpmath.sqrt(mpmath.mpf(d.numerator) / d.denominator)) for d in exact]
    found = solve_product_penalty(Spectrum(sigma, np.eye(6)), lam).B
    np.testing.assert_allclose(np.diag(found), root, rtol=1e-14)  # 5e-170 for d = 2e-339, which is no float


def test_no_penalty_at_all_sizes():
    sigma = [1e308, 1.0, 1e-308, 5e-324, 0.0]
    pairs = Spectrum(sigma, np.eye(5))
    np.testing.assert_array_equal(pairs.exceeds(0.0), [1, 1, 1, 1, 0])
    np.testing.assert_array_equal(pairs.exceeds(1.7e308), False)
    np.testing.assert_allclose(np.diag(product_of(solve_factor_penalty(pairs, 0.0))), [1, 1, 1, 1, 0], rtol=1e-12)


REFUSED = {
    "item_gram, large": (lambda: item_gram([[1e155]]), "X takes"),
    "item_gram, small": (lambda: item_gram([[1e-170]]), "X takes"),
    "V of huge numbers": (lambda: Spectrum([1.0, 1.0], [[1e200, -1e200], [1e200, 1e200]]), "V takes orthonormal"),
    "R of huge numbers": (lambda: rotate(Factors(A, B), 1e200 * np.eye(3) - 1e200), "R takes an orthogonal"),
    "d": (lambda: rescale(Factors(A, B), [1e-310, 1, 1]), "d takes"),
    "d that loses digits": (lambda: rescale(Factors(1e-300 * A, B), [1e-20, 1, 1]), "d takes"),
    "G": (lambda: reparameterize(Factors(A, B), 1e-315 * np.eye(3)), "G takes"),
    "rows of no length": (lambda: slide_cone([[1e200, 0]], [[1.0, 0]], 0.3), "P takes rows of length 1"),
    "gain": (lambda: layer_norm([[1, 2, 4]], gain=[1e308] * 3, bias=[1.7e308] * 3), "gain and bias take"),
    "exponent of activity": (lambda: activity_normalized([[1.0, 2.0]], 1e5), "exponent takes"),
    "exponent of propensities": (lambda: propensities([1e-300, 1e300], 1.0), "exponent takes"),
    "a lost column": (lambda: inverse_propensity_scaled([[1e-300, 1.0]], [1e100, 1.0]), "X and propensity take"),
    "exponent of one context": (lambda: shifted_pmi([[1.0, 1e300]], exponent=1e306), "exponent takes"),
    "similarities": (lambda: yardsticks(np.full((11, 11), 1e200), np.arange(11) // 2), "cosine takes"),
    "neighbors": (lambda: neighbor_weights([[1e308, -1e308], [1e308, 1e308]], 1), "cosine takes"),
    "λ": (lambda: minimize_product_penalty(1e-20 * X, 1e308, 2), "lam takes"),
    "start": (lambda: minimize_product_penalty(X, 1.0, 3, start=Factors(1e200 * A, B)), "start takes"),
    "X of train_cosine": (lambda: train_cosine(1e200 * X, 1, steps=1), "X takes"),
    "start of train_cosine": (lambda: train_cosine(X, 3, steps=1, start=Factors(A, 1e200 * B)), "start takes"),
    "learning rate": (lambda: train_cosine(X, 2, steps=3, learning_rate=1e300), "learning_rate and start take"),
    "recipe": (
        lambda: train_model(X > 0, Recipe("linear", k=2, epochs=2, batch_size=4, learning_rate=1e200)), "recipe takes",
    ),
    "concentration": (lambda: simulate_interactions(9, 5, 2, preference_concentration=1e308), "preference_concentr"),
    "scale of a cone": (lambda: cone(scale=1e308), "scale takes"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "message"), REFUSED.values(), ids=REFUSED)
def test_what_no_float_holds_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        call()


def test_a_search_from_far_away_is_judged_by_its_gradient():
    """‖gradient‖ · ‖point‖ overflows: it must not pass for stationary."""
    with pytest.raises(RuntimeError, match="not stationary"):
        minimize_factors(lambda z: (1e300, [np.full(2, 1e300)]), [[1e300, 1e300]], max_iterations=2)


@pytest.mark.parametrize("size", [1e-19, 1e-30, 1e-60, 1e-310])
@pytest.mark.parametrize(
    "call",
    [
        lambda E: audit_embeddings(E, k=2),
        lambda E: compare_embeddings(E, P, k=2),
        lambda E: predicted_item_vectors(P, E),
        lambda E: repair_vectors(E, method="plain"),
    ],
)
def test_a_row_that_single_precision_takes_for_zero_is_refused(call, size):
    """The audit searches in float32: such a row had cosine 0 with all others, as if it were empty."""
    E = P.copy()
    E[3] *= size
    with pytest.raises(ValueError, match=r"^(E|E1|Q|items) takes rows .* in row 3"):
        call(E)
    E[3] = 0.0
    call(E)


@pytest.mark.parametrize("size", [1e-15, 1e14])
def test_neighbors_do_not_see_the_lengths_of_rows(size):
    E = np.random.default_rng(0).standard_normal((60, 4))
    assert compare_embeddings(E * np.where(np.arange(60) % 3, 1.0, size)[:, None], E, k=3).overlap == 1.0


@pytest.mark.parametrize(("exponent", "items"), [(-1e308, 2), (1e308, 1)])
def test_the_steepest_laws_of_activity_leave_one_number_of_items(exponent, items):
    found = simulate_interactions(9, 5, 2, activity_exponent=exponent)
    np.testing.assert_array_equal(found.X.sum(axis=1), items)


@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
def test_activity_has_no_unit_where_its_sum_is_no_float(form):
    found = activity_normalized(form([[1.7e308, 1.7e308, 0.0], [5e-324, 0.0, 5e-324], [0.0, 0.0, 0.0]]))
    found = found.toarray() if sp.issparse(found) else found
    np.testing.assert_array_equal(found, [[0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.0, 0.0, 0.0]])


def test_the_steepest_propensities_are_the_floor():
    np.testing.assert_array_equal(propensities([1.0, 1e-300], 1e308, 0.1), [1.0, 0.1])


def test_a_full_confidence_is_the_whole_interval():
    found = shares_with_intervals(D2, 1 - 1e-16)
    assert all(low <= value <= high for value, low, high in found.values())


# --- types ---


LONG = np.longdouble
BEYOND = np.finfo(LONG).max > np.finfo(float).max


@pytest.mark.skipif(not BEYOND, reason="long doubles of this platform are doubles")
@pytest.mark.parametrize("text", ["1e4000", "-1e4000", "1e-4000"])
@pytest.mark.parametrize(
    ("name", "call"),
    {
        "P": cosine_similarity,
        " P": lambda M: cosine_similarity(sp.csr_array(M)),
        "X": spectrum,
        "blocks": lambda M: gram([M]),
        " blocks": lambda M: gram([sp.csr_array(M)]),
        "sigma": lambda M: shrinkage(M[0], 1.0),
        "lam": lambda M: shrinkage([1.0], abs(M[0, 0])),
    }.items(),
)
def test_long_doubles_that_are_no_doubles_are_refused(name, call, text):
    with pytest.raises(ValueError, match=f"^{name.strip()} takes"):
        call(np.array([[LONG(text), 1]], LONG))


def test_long_doubles_that_are_doubles_are_taken():
    M = B.astype(LONG)
    np.testing.assert_array_equal(cosine_similarity(M), cosine_similarity(B))
    np.testing.assert_array_equal(gram([X.astype(LONG)]), gram([X]))


@pytest.mark.parametrize("value", [10**400, 10**5_000, -(10**400), Fraction(10**400), Fraction(1, 10**400)], ids=type)
def test_numbers_that_are_no_floats_are_refused(value):
    with pytest.raises(ValueError, match=r"^lam takes a finite number"):
        shrinkage([1.0], value)
    with pytest.raises((ValueError, TypeError), match=r"^P takes"):
        cosine_similarity([[value, 1.0]])


SMALL_TYPES = [
    "bool",
    "int8",
    "uint8",
    "int16",
    "uint16",
    "int32",
    "uint32",
    "int64",
    "uint64",
    "float32",
    "longdouble",
]
PLACES = [(0, 3), (0, 1), (0, 1), (0, 0), (1, 2), (1, 4), (2, 1), (2, 1), (3, 2), (3, 3), (4, 4), (4, 0)]


def with_duplicates(dtype):
    """A dense matrix, and its formats: unsorted, with stored zeros, and duplicates that overflow their own type."""
    row, column = np.array(PLACES).T
    if np.dtype(dtype).kind in "iu":
        top = np.iinfo(dtype).max
        entries = np.array([3, top, top, 1, 0, 7, top, top // 2 + 1, 3, 0, 9, 2], dtype)
    else:
        entries = np.array([1, 1, 1, 1, 0, 1, 1, 1, 1, 0, 1, 1], dtype)
    dense = np.zeros((5, 5))
    np.add.at(dense, (row, column), entries.astype(float))
    ends, tops = (np.searchsorted(of, np.arange(6)).astype(np.int64) for of in (row, np.sort(column)))
    by_column = np.argsort(column, kind="stable")
    return dense, {
        "coo": sp.coo_array((entries, (row, column)), shape=(5, 5)),
        "coo_matrix": sp.coo_matrix((entries, (row, column)), shape=(5, 5)),
        "csr": sp.csr_array((entries, column.astype(np.int64), ends), shape=(5, 5)),
        "csr_matrix": sp.csr_matrix((entries, column, ends), shape=(5, 5)),
        "csc": sp.csc_array((entries[by_column], row[by_column], tops), shape=(5, 5)),
        "bsr": sp.bsr_array((entries[:, None, None], column, ends), shape=(5, 5)),
    }


FIVE = Spectrum(np.arange(5.0, 0, -1), np.eye(5))
FIT = Factors(RNG.standard_normal((5, 2)), RNG.standard_normal((5, 2)))
TAKE_SPARSE = {
    "cosine_similarity": cosine_similarity,
    "cosine_similarity, Q": lambda M: cosine_similarity(np.eye(5), M),
    "user_embeddings": lambda M: user_embeddings(M, FIT),
    "user_user_cosine": lambda M: user_user_cosine(M, FIT),
    "user_item_cosine": lambda M: user_item_cosine(M, FIT),
    "score_column_cosine": lambda M: score_column_cosine(M, FIT),
    "score_row_cosine": lambda M: score_row_cosine(M, FIT),
    "spectrum": lambda M: spectrum(M).sigma,
    "item_gram": item_gram,
    "gram": lambda M: gram([M]),
    "krylov_spectrum": lambda M: krylov_spectrum([M], 2).sigma,
    "activity_normalized": lambda M: activity_normalized(M),
    "inverse_propensity_scaled": lambda M: inverse_propensity_scaled(M, np.arange(1.0, 6)),
    "standardized_gram": standardized_gram,
    "product_penalty_objective": lambda M: product_penalty_objective(M, FIT, 1.0),
    "factor_penalty_objective": lambda M: factor_penalty_objective(M, FIT, 1.0),
    "product_penalty_gradient": lambda M: product_penalty_gradient(M, FIT, 1.0)[0],
    "factor_penalty_gradient": lambda M: factor_penalty_gradient(M, FIT, 1.0)[1],
    "dial": lambda M: dial(FIVE, M, [0, 0, 1, 1, 2], np.arange(5), lam=1.0).user_coordinates,
}  # fmt: skip


@pytest.mark.parametrize("dtype", SMALL_TYPES)
@pytest.mark.parametrize("name", TAKE_SPARSE)
def test_duplicates_add_up_in_double_in_every_format(name, dtype):
    dense, formats = with_duplicates(dtype)
    expected = np.asarray(TAKE_SPARSE[name](dense))
    for form, given in formats.items():
        before = given.data.copy()
        found = TAKE_SPARSE[name](given)
        found = found.toarray() if sp.issparse(found) else found
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12 * abs(expected).max(), err_msg=form)
        np.testing.assert_array_equal(given.data, before)


def test_integers_beyond_2_53_keep_their_order():
    rising = [2**53, 2**53 + 1, 2**53 + 2, 2**53 + 3, 2**53 + 4, 2**53 + 5]
    order = [3, 1, 2, 5, 4, 0]
    assert popularity_correlation(C, np.array(rising)[order]) == popularity_correlation(C, order)
    most = np.array([2**64 - 1 - place for place in range(6)], np.uint64)
    assert popularity_correlation(C, most[order]) == pytest.approx(-popularity_correlation(C, order))
    shown = dial(spectrum(X), X, [0, 0, 0, 1, 1, 1], np.array(rising)[order], lam=1.0)
    np.testing.assert_array_equal(shown.popularity_rank, 6 - np.array(order))
    np.testing.assert_allclose(item_gram([[2**60 + 1, 2]]), [[2.0**120, 2.0**61], [2.0**61, 4]], rtol=1e-15)


def test_clusters_beyond_2_53_are_told_apart():
    labels = np.array([2**60, 2**60, 2**60 + 1, 2**60 + 1, 5, 5])
    assert cluster_auc(C, labels) == cluster_auc(C, [0, 0, 1, 1, 2, 2])
    assert precision_at_k(C, labels, 2) == precision_at_k(C, [0, 0, 1, 1, 2, 2], 2)


def test_near_ties_count_once():
    """An item above the k-th by 1e-9, up to rounding, is either above it or tied with it."""
    for seed in range(20):
        C = np.full((40, 40), 0.1 + 0.01 * seed)
        C += 1e-9 * np.random.default_rng(seed).integers(0, 3, C.shape)
        np.testing.assert_allclose(neighbor_weights(C, 5).sum(axis=1), 5, rtol=1e-12)


def test_the_arguments_stay_as_they_are():
    given = np.ldexp(small_interactions(np.random.default_rng(0), 8), 1000)
    before = given.copy()
    for call in (spectrum, item_gram_or_none, standardized_gram, activity_normalized, cosine_similarity):
        call(given)
    np.testing.assert_array_equal(given, before)


def item_gram_or_none(M):
    with pytest.raises(ValueError, match=r"^X takes"):
        item_gram(M)

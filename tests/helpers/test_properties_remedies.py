"""Laws of the remedies, before and after the fit: on what Hypothesis draws, and the thresholds at their last digit."""

import math

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from oracles import cosine_by_loops
from strategies import SEEDS, SPARSE, dtypes, factors_of, forms, in_form, invertible, models, rotation, whole_matrices

from cossim_helpers import (
    Factors,
    activity_normalized,
    fractionally_whitened_cosine,
    inverse_propensity_scaled,
    item_item_cosine,
    layer_norm,
    propensities,
    reparameterize,
    score_column_cosine,
    score_row_cosine,
    shifted_pmi,
    spectral_cosine,
    standardized_gram,
    whitened_cosine,
)

EPS = np.finfo(np.float64).eps
WEIGHTS = st.sampled_from([0.0, 0.25, 0.5, 0.9, 1.0])

# --- after the fit ---


@st.composite
def generic(draw):
    """Factors of full rank, with more items than dimensions or as many."""
    k = draw(st.integers(1, 4))
    return draw(st.builds(factors_of, st.just("generic"), st.integers(k, 8), st.just(k), SEEDS))


def embedded(C, M):
    """Cosines between rows of M: 1 on the diagonal, 0 where a row is zero, symmetric, at most 1."""
    np.testing.assert_allclose(C, C.T, atol=1e-14)
    np.testing.assert_allclose(np.diag(C), M.any(axis=1), atol=1e-12)
    assert abs(C).max() <= 1 + 1e-12 and not C[~M.any(axis=1)].any()


@given(models(), SEEDS, WEIGHTS)
def test_scores_decide_and_no_map_moves_what_is_made_of_them(model, seed, w):
    X, f = model
    k = f.B.shape[1]
    for g in (reparameterize(f, invertible(k, seed, 1)), reparameterize(f, 2.0 ** np.arange(-2, k - 2) * np.eye(k))):
        np.testing.assert_allclose(score_column_cosine(X, g), score_column_cosine(X, f), atol=1e-6)
        np.testing.assert_allclose(score_row_cosine(X, g), score_row_cosine(X, f), atol=1e-6)
        np.testing.assert_allclose(whitened_cosine(g), whitened_cosine(f), atol=1e-6)
        np.testing.assert_allclose(spectral_cosine(g, w), spectral_cosine(f, w), atol=1e-6)
    turned = reparameterize(f, rotation("any", k, seed))
    np.testing.assert_allclose(fractionally_whitened_cosine(turned, w), fractionally_whitened_cosine(f, w), atol=1e-6)


@given(models(longest=7), SEEDS)
def test_cosines_of_scores_by_their_definition(model, seed):
    X, f = model
    Y = X @ f.A @ f.B.T
    if abs(Y).max() < 1e-3 * abs(X).max() * abs(f.A).max() * abs(f.B).max():
        return  # rounding has its own direction
    users = np.random.default_rng(seed).permutation(len(X))
    for cosine, M in ((score_column_cosine, Y.T), (score_row_cosine, Y)):
        lengths = np.linalg.norm(M, axis=1)
        clear = lengths > 1e-6 * lengths.max()
        np.testing.assert_allclose(cosine(X, f)[clear][:, clear], cosine_by_loops(M, M)[clear][:, clear], atol=1e-6)
    np.testing.assert_allclose(score_column_cosine(np.vstack([X, X])[users], f), score_column_cosine(X, f), atol=1e-6)
    np.testing.assert_allclose(score_row_cosine(X[users], f), score_row_cosine(X, f)[users][:, users], atol=1e-6)


@given(generic(), WEIGHTS, WEIGHTS)
def test_two_partial_whitenings_make_one(f, w, v):
    """B (BᵀB)^{−w/2} again at v: the exponents 1 − w multiply. Whitening twice is whitening once."""
    value, vectors = np.linalg.eigh(f.B.T @ f.B)
    once = Factors(f.A, f.B @ (vectors * value ** (-w / 2)) @ vectors.T)
    np.testing.assert_allclose(item_item_cosine(once), fractionally_whitened_cosine(f, w), atol=1e-8)
    both = fractionally_whitened_cosine(f, 1 - (1 - w) * (1 - v))
    np.testing.assert_allclose(fractionally_whitened_cosine(once, v), both, atol=1e-7)
    np.testing.assert_allclose(whitened_cosine(once), whitened_cosine(f), atol=1e-8)


@given(generic(), WEIGHTS)
def test_where_whitenings_meet(f, w):
    """At 0 plain cosines, and those of the columns of A Bᵀ; at 1 both whiten; spectral is fractional where A = B."""
    everyone, B = np.eye(len(f.B)), f.B
    np.testing.assert_allclose(fractionally_whitened_cosine(f, 0.0), item_item_cosine(f), atol=1e-10)
    np.testing.assert_allclose(spectral_cosine(f, 0.0), score_column_cosine(everyone, f), atol=1e-8)
    np.testing.assert_allclose(spectral_cosine(f, 1.0), whitened_cosine(f), atol=1e-7)
    np.testing.assert_array_equal(whitened_cosine(f), fractionally_whitened_cosine(f, 1.0))
    same, half = Factors(B, B), fractionally_whitened_cosine(f, 2 * max(w, 0.5) - 1)
    np.testing.assert_allclose(spectral_cosine(same, max(w, 0.5)), half, atol=1e-7)
    if B.shape[0] == B.shape[1]:
        np.testing.assert_allclose(whitened_cosine(f), everyone, atol=1e-8)


@given(models(), SEEDS, WEIGHTS)
def test_names_units_twins_and_empty_dimensions_of_factors(model, seed, w):
    _, f = model
    rng, (p, k) = np.random.default_rng(seed), f.B.shape
    items, one = rng.permutation(p), rng.integers(p)
    alike = [  # the same cosines
        Factors(8.0 * f.A, 0.25 * f.B),
        Factors(np.insert(f.A, k, 0.0, axis=1), np.insert(f.B, k, 0.0, axis=1)),
        Factors(f.A[:, ::-1], f.B[:, ::-1]),
    ]
    renamed, twins = Factors(f.A[items], f.B[items]), Factors(f.A, np.insert(f.B, p, f.B[one], axis=0)[1:])
    for cosine in (lambda f: fractionally_whitened_cosine(f, w), lambda f: spectral_cosine(f, w)):
        C = cosine(f)
        embedded(C, f.B if f.A.any() else 0 * f.B) if cosine(f).any() else None
        for g in alike:
            np.testing.assert_allclose(cosine(g), C, atol=1e-6)
        np.testing.assert_allclose(cosine(renamed), C[items][:, items], atol=1e-6)
        if one > 0 and cosine(twins)[-1].any():
            assert cosine(twins)[one - 1, -1] == pytest.approx(1)  # equal rows stay equal


def diagonal_factors(a, b, size, p=2):
    """A and B of p rows with two diagonal entries, of which the second is so much smaller."""
    A, B = np.zeros((2, p, 2))
    A[[0, 1], [0, 1]], B[[0, 1], [0, 1]] = [size, size * a], [size, size * b]
    return Factors(A, B)


@pytest.mark.parametrize("size", [1.0, 2.0**-30, 2.0**40])
@pytest.mark.parametrize("p", [2, 4, 8])
def test_singular_values_up_to_p_units_of_rounding_count_as_0(p, size):
    for units, kept in ((p, False), (p + 1, True)):  # max(p, k) u of the largest, and one u more
        f = diagonal_factors(units * EPS, units * EPS, size, p)
        of_b, of_product = diagonal_factors(1.0, units * EPS, size, p), diagonal_factors(units * EPS, 1.0, size, p)
        expected = np.diag([1.0, kept] + [0.0] * (p - 2))
        np.testing.assert_array_equal(whitened_cosine(f), expected)
        np.testing.assert_array_equal(whitened_cosine(of_b), expected)
        np.testing.assert_array_equal(fractionally_whitened_cosine(f, 0.5), expected)
        for g in (of_b, of_product):
            np.testing.assert_array_equal(spectral_cosine(g, 1.0), expected)
            np.testing.assert_array_equal(spectral_cosine(g, 0.5), expected)
        assert not spectral_cosine(f, 1.0)[1, 1]  # a square of that is below, in any case


def test_dimensions_count_where_there_are_more_than_items():
    B = np.zeros((2, 6))
    for units, kept in ((6, False), (7, True)):
        B[[0, 1], [0, 1]] = [1.0, units * EPS]
        assert whitened_cosine(Factors(B, B))[1, 1] == kept


def test_a_decomposition_gives_no_direction_to_an_item_without_one():
    B = np.random.default_rng(0).standard_normal((6, 3))
    B[2] = 0.0
    for cosine in (whitened_cosine, lambda f: spectral_cosine(f, 0.5), lambda f: fractionally_whitened_cosine(f, 0.5)):
        C = cosine(Factors(np.random.default_rng(1).standard_normal((6, 3)), B))
        assert not C[2].any() and not C[:, 2].any()
        np.testing.assert_allclose(np.delete(np.diag(C), 2), 1, atol=1e-12)


@pytest.mark.parametrize("call", [spectral_cosine, fractionally_whitened_cosine])
def test_whitening_takes_an_exponent_from_0_to_1(call):
    f = factors_of("generic", 4, 2, 0)
    for bad in (-1e-12, 1 + 1e-12, np.nan):
        with pytest.raises(ValueError, match="exponent takes a finite number from 0 to 1"):
            call(f, bad)
    with pytest.raises(TypeError, match="factors takes Factors, got ndarray"):
        call(f.B, 0.5)


# --- layer normalization ---


@given(st.integers(1, 5), st.integers(2, 6), SEEDS, st.sampled_from([1e-6, 1.0, 1e6]))
def test_layer_norm_sees_no_shift_and_no_unit_and_repeats_nothing(m, k, seed, unit):
    rng = np.random.default_rng([m, k, seed])
    M, gain, bias = rng.standard_normal((m, k)), rng.standard_normal(k), rng.standard_normal(k)
    plain = layer_norm(M)
    np.testing.assert_allclose(plain, [(row - math.fsum(row) / k) / np.std(row) for row in M], atol=1e-10)
    np.testing.assert_allclose(np.linalg.norm(plain, axis=1), math.sqrt(k), rtol=1e-12)
    np.testing.assert_allclose(plain.sum(axis=1), 0, atol=1e-10)
    np.testing.assert_allclose(layer_norm(unit * (M + rng.standard_normal((m, 1)))), plain, atol=1e-10)
    np.testing.assert_allclose(layer_norm(-M), -plain, atol=1e-10)
    np.testing.assert_allclose(layer_norm(plain), plain, atol=1e-10)
    np.testing.assert_allclose(layer_norm(M, gain), gain * plain, atol=1e-10)
    np.testing.assert_allclose(layer_norm(M, bias=bias), plain + bias, atol=1e-10)
    np.testing.assert_allclose(layer_norm(M, gain, bias), gain * plain + bias, atol=1e-10)


@pytest.mark.parametrize("size", [1.0, 2.0**-60, 2.0**60, -1.0])
def test_a_row_is_constant_up_to_eight_units_of_rounding_about_its_mean(size):
    for units, constant in ((16, True), (18, False)):  # two entries: each half of it from the mean
        M = size * np.array([[1.0, 1 + units * EPS], [1.0, 2.0]])
        if constant:
            with pytest.raises(ValueError, match="M takes rows that are not constant, got 1 constant row"):
                layer_norm(M)
        else:
            np.testing.assert_allclose(layer_norm(M), np.sign(size) * np.array([[-1, 1], [-1, 1]]), atol=1e-12)
    np.testing.assert_allclose(layer_norm([[-1.0, 0.0, 1.0]]), np.sqrt(1.5) * np.array([[-1, 0, 1]]), rtol=1e-14)
    with pytest.raises(ValueError, match=r"got 2 constant row\(s\)"):
        layer_norm([[0.0, 0.0], [0.1, 0.1], [1.0, 0.0]])


@pytest.mark.parametrize("name", ["gain", "bias"])
def test_what_layer_norm_refuses(name):
    with pytest.raises(ValueError, match=f"{name}, one entry for each .*: got 3, takes 2"):
        layer_norm([[1.0, 0.0]], **{name: [1.0, 1.0, 1.0]})
    with pytest.raises(ValueError, match=f"{name} takes finite"):
        layer_norm([[1.0, 0.0]], **{name: [1.0, np.nan]})
    with pytest.raises(ValueError, match="M takes a non-empty 2-dimensional"):
        layer_norm([1.0, 0.0])


# --- before the fit ---


@st.composite
def counts(draw):
    """Whole numbers, in any type and form, and as a dense float64 array."""
    X, form, dtype = draw(whole_matrices()).clip(0, 9), draw(forms), draw(dtypes)
    if form in SPARSE and (dtype == "f2" or dtype.startswith(">")):
        dtype = "f4"  # SciPy has no sparse arrays of these
    X = X.astype(bool).astype(float) if dtype == "bool" else X
    return X, in_form(form, X.astype(dtype))


def dense(M):
    return M.toarray() if sp.issparse(M) else M


@given(counts(), st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0]))
def test_activity_by_loops(drawn, e):
    X, given_X = drawn
    found = activity_normalized(given_X, e)
    assert isinstance(found, sp.csr_array if sp.issparse(given_X) else np.ndarray)
    expected = [[x / sum(row) ** e if sum(row) > 0 else 0.0 for x in row] for row in X.tolist()]
    np.testing.assert_allclose(dense(found), expected, rtol=1e-12)
    voices = dense(activity_normalized(given_X))
    np.testing.assert_allclose(voices.sum(axis=1), X.any(axis=1), atol=1e-12)  # e = 1: equal voices
    np.testing.assert_allclose(dense(activity_normalized(voices, e)), voices, atol=1e-12)  # their sums are 1
    lengths = np.linalg.norm(dense(activity_normalized((X > 0).astype(float), 0.5)), axis=1)
    np.testing.assert_allclose(lengths, X.any(axis=1), atol=1e-12)  # ½ on 0/1 data: unit length


def test_a_user_of_less_than_one_speaks_by_the_same_rule():
    np.testing.assert_allclose(activity_normalized([[0.25, 0.25], [0.0, 0.0], [1.0, 3.0]]),
                               [[0.5, 0.5], [0.0, 0.0], [0.25, 0.75]])  # fmt: skip


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.sampled_from([0.0, 0.5, 1.0, 3.0]),
       st.sampled_from([0.0, 0.2, 1.0]))  # fmt: skip
def test_propensities_by_loops(values, e, floor):
    found = propensities(values, e, floor)
    np.testing.assert_allclose(found, [max((c / max(values)) ** e, floor) for c in values], rtol=1e-12)
    np.testing.assert_allclose(propensities(np.array(values) * 7.0, e, floor), found, rtol=1e-12)
    assert found.min() > 0 and found.max() == 1 and (found >= floor).all()
    np.testing.assert_array_equal(propensities(values, e), propensities(values, e, 0.0))


@given(counts(), SEEDS)
def test_scaled_columns_by_loops(drawn, seed):
    X, given_X = drawn
    pi = np.random.default_rng(seed).uniform(0.1, 1.0, X.shape[1])
    found = inverse_propensity_scaled(given_X, pi)
    assert isinstance(found, sp.csr_array if sp.issparse(given_X) else np.ndarray)
    np.testing.assert_allclose(dense(found), [[x / q for x, q in zip(row, pi)] for row in X], rtol=1e-12)
    gram = X.T @ X / np.outer(pi, pi)
    np.testing.assert_allclose(dense(found).T @ dense(found), gram, rtol=1e-12)
    np.testing.assert_allclose(dense(inverse_propensity_scaled(found, 1 / pi)), X, rtol=1e-12)  # and back


@given(counts(), SEEDS)
def test_a_standardized_gram_sees_no_unit_and_no_shift(drawn, seed):
    X, given_X = drawn
    varied = np.ptp(X, axis=0) > 0
    if not varied.all():
        with pytest.raises(ValueError, match=rf"got {np.sum(~varied)} constant column\(s\)"):
            standardized_gram(given_X)
        return
    Z = np.column_stack([(x - x.mean()) / x.std() for x in X.T])
    found, rng = standardized_gram(given_X), np.random.default_rng(seed)
    np.testing.assert_allclose(found, Z.T @ Z, atol=1e-9)
    np.testing.assert_allclose(np.diag(found), len(X), rtol=1e-9)
    np.testing.assert_array_equal(found, found.T)
    sign = rng.choice([-1.0, 1.0], X.shape[1])
    moved = X * sign * 10.0 ** rng.integers(-3, 4, X.shape[1])
    np.testing.assert_allclose(standardized_gram(moved), found * np.outer(sign, sign), atol=1e-9)
    np.testing.assert_allclose(standardized_gram(X + rng.integers(-3, 4, X.shape[1])), found, atol=1e-9)
    np.testing.assert_allclose(standardized_gram(X[rng.permutation(len(X))]), found, atol=1e-9)


@pytest.mark.parametrize(("step", "constant"), [(1.2e-7, True), (4e-7, False)])
def test_a_column_is_constant_where_rounding_hides_its_variance(step, constant):
    """n = 4: one entry off by the step has the variance 3/16 step², against 8 n u = 7.1e-15."""
    X = np.array([[1.0, 0], [1, 1], [1, 2], [1 + step, 5]])
    if constant:
        with pytest.raises(ValueError, match="got 1 constant column"):
            standardized_gram(X)
    else:
        np.testing.assert_allclose(standardized_gram(X), 4 * np.corrcoef(X.T), atol=0.4)


def test_the_variance_of_a_constant_column_is_at_most_eight_n_units_of_rounding():
    """n = 2 about the mean 1, in exact steps: a variance of 16 u is none, one of 17 u is there."""
    for units, constant in ((16, True), (17, False)):
        step = 2.0**-24 * (1 if units == 16 else 33 / 32)
        X = np.array([[1 + step], [1 - step]])
        if constant:
            with pytest.raises(ValueError, match="got 1 constant column"):
                standardized_gram(X)
        else:
            np.testing.assert_allclose(standardized_gram(X), 2.0)


@st.composite
def cooccurrences(draw):
    """Counts with no empty row or column, zeros among them or none."""
    rng = np.random.default_rng(draw(SEEDS))
    m, n = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    table = rng.integers(draw(st.integers(0, 1)), 6, (m, n)).astype(float)
    table[np.arange(m), np.arange(m) % n] += 1.0
    table[np.arange(n) % m, np.arange(n)] += 1.0
    return table


@given(cooccurrences(), st.sampled_from([0.0, 0.75, 1.0]), st.sampled_from([0.5, 1.0, 5.0]))
def test_shifted_pmi_by_loops_and_by_its_second_form(table, a, negatives):
    found = shifted_pmi(table, exponent=a, negatives=negatives)
    total, words, contexts = table.sum(), table.sum(axis=1), table.sum(axis=0)
    chance = contexts / total
    expected = np.zeros(table.shape)
    for w, c in np.ndindex(table.shape):
        if table[w, c] > 0:
            pmi = math.log(table[w, c] * total / (words[w] * contexts[c]))
            shift = (1 - a) * math.log(chance[c]) + math.log(math.fsum(chance**a)) - math.log(negatives)
            expected[w, c] = pmi + shift
    np.testing.assert_allclose(found, np.maximum(expected, 0), atol=1e-12)
    if (table > 0).all():
        np.testing.assert_allclose(
            shifted_pmi(table, exponent=a, negatives=negatives, positive=False), expected, atol=1e-12
        )
    else:
        with pytest.raises(ValueError, match=rf"got {np.sum(table == 0)} zero\(s\)"):
            shifted_pmi(table, positive=False)
    heavier = table * np.arange(1, len(table) + 1)[:, None]  # how often a word occurs is no matter, where contexts stay
    if table.shape[1] == 1:
        np.testing.assert_allclose(shifted_pmi(heavier), shifted_pmi(table), atol=1e-12)
    np.testing.assert_array_equal(shifted_pmi(table), shifted_pmi(table, exponent=0.75, negatives=1.0, positive=True))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: propensities([1.0], 1.0, -1e-9), "floor takes a finite number from 0 to 1, got -1e-09"),
        (lambda: propensities([1.0], 1.0, 1 + 1e-9), "floor takes a finite number from 0 to 1"),
        (lambda: propensities([[1.0]], 1.0), "counts takes a non-empty 1-dimensional"),
        (lambda: propensities([1.0], np.inf), "exponent takes a finite number"),
        (lambda: activity_normalized([[1.0]], np.nan), "exponent takes a finite number"),
        (lambda: inverse_propensity_scaled([[np.nan]], [1.0]), "X takes finite numbers"),
        (lambda: standardized_gram([[np.inf], [1.0]]), "X takes finite numbers"),
        (lambda: activity_normalized([[np.nan]]), "X takes finite numbers"),
        (lambda: inverse_propensity_scaled(np.eye(2), [1.0, -1e-9]), "propensity takes positive numbers"),
        (lambda: inverse_propensity_scaled(np.eye(2), [[1.0, 1.0]]), "propensity takes a non-empty 1-dimensional"),
        (lambda: shifted_pmi([[1.0, -1e-9]]), "counts takes numbers of at least 0"),
        (lambda: shifted_pmi([[0.0, 0.0], [1.0, 1.0]]), "no empty row"),
        (lambda: shifted_pmi([1.0]), "counts takes a non-empty 2-dimensional"),
        (lambda: shifted_pmi([[1.0]], exponent=np.nan), "exponent takes a finite number"),
    ],
)
def test_numbers_out_of_range_are_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()

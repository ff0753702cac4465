"""What every function refuses of its arguments in the same way: tests of the modules name what is their own."""

import re
from fractions import Fraction

import numpy as np
import pytest

from cossim_helpers import (
    Factors,
    Recipe,
    check,
    cluster_auc,
    cosine_similarity,
    hold_out,
    item_gram,
    minimize_factors,
    score_column_cosine,
    shrinkage,
    solve_factor_penalty,
    solve_product_penalty,
    spectrum,
    spectrum_from_gram,
    train_cosine,
    train_model,
)

X = np.array([[1.0, 1, 0], [1, 0, 1], [1, 1, 1]])
FIT = solve_product_penalty(spectrum(X), 1.0)
TAKE_ARRAYS = {
    "X": spectrum,
    " X": item_gram,
    "gram": spectrum_from_gram,
    "A": lambda value: Factors(value, X),
    "B": lambda value: Factors(X, value),
    "P": cosine_similarity,
    "sigma": lambda value: shrinkage(value, 1.0),
    "  X": lambda value: score_column_cosine(value, FIT),
    "item_cluster": lambda value: cluster_auc(X, value),
    "   X": hold_out,
    "start[0]": lambda value: minimize_factors(lambda z: (0.0, [z]), [value]),
    "actual": lambda value: check("eq6", value, 1.0),
    "expected": lambda value: check("eq6", X, value),
    "    X": lambda value: train_model(value, Recipe("linear", k=1, epochs=1, batch_size=1)),
    "     X": lambda value: train_cosine(value, 1, steps=1),
}


@pytest.mark.parametrize("name", TAKE_ARRAYS)
@pytest.mark.parametrize("mask", [False, True, [[1, 0, 0], [0, 0, 0], [0, 0, 0]]])
def test_no_mask_is_dropped_in_silence(name, mask):
    with pytest.raises(TypeError, match=rf"^{re.escape(name.strip())} takes an array without a mask"):
        TAKE_ARRAYS[name](np.ma.masked_array(X.astype(int), mask=mask))


@pytest.mark.parametrize("name", TAKE_ARRAYS)
def test_ragged_lists_are_no_arrays(name):
    with pytest.raises(ValueError, match=rf"^{re.escape(name.strip())} takes an array, got what is none"):
        TAKE_ARRAYS[name]([[1, 2], [3]])


@pytest.mark.parametrize("solve", [solve_product_penalty, solve_factor_penalty])
def test_numbers_that_no_float_holds(solve):
    for lam in (10**400, Fraction(10**400), np.longdouble("1e4000")):
        with pytest.raises(ValueError, match="lam takes a finite number of at least 0"):
            solve(spectrum(X), lam)
    with pytest.raises(ValueError, match="X takes finite numbers, got 1 NaN or infinite"):
        spectrum([[np.longdouble("1e4000"), 1.0]])


@pytest.mark.parametrize("solve", [solve_product_penalty, solve_factor_penalty])
def test_any_real_number_is_a_penalty(solve):
    expected = solve(spectrum(X), 0.25)
    for lam in (Fraction(1, 4), np.float16(0.25), np.longdouble(0.25)):
        found = solve(spectrum(X), lam)
        np.testing.assert_array_equal(found.A, expected.A)
        np.testing.assert_array_equal(found.B, expected.B)
        assert found.B.dtype == np.float64


@pytest.mark.parametrize("loss", [np.array(["squared", "softmax"]), np.array("squared"), ["squared"], None, 1])
def test_a_choice_is_one_word(loss):
    with pytest.raises(ValueError, match=r"^loss takes one of"):
        train_cosine(X, 1, loss=loss, steps=1)


@pytest.mark.parametrize("start", [np.array(1.0), "ab", 3.0, None])
def test_a_start_is_a_sequence(start):
    with pytest.raises(TypeError, match=r"^start takes a sequence of arrays"):
        minimize_factors(lambda z: (0.0, [z]), start)

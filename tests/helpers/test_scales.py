"""Powers of two that are taken out: from which size on, from what, and that no digit changes; against fractions."""

from fractions import Fraction

import numpy as np
import pytest
import scipy.sparse as sp

from cossim_helpers import _scales as scales

FORMS = [np.asarray, sp.csr_array]
M = np.array([[3.0, -1, 0, 0], [0, 2, -5, 0], [0, 0, 0, 0], [7, 0, 1, 0], [0, 0, 0, 0]])
TINY = 2.0**-1022


def dense(X):
    return X.toarray() if sp.issparse(X) else X


def exact(X):
    return np.array([[Fraction(one) for one in row] for row in np.asarray(X).tolist()], object)


def assert_rows_are(found, exact_rows, exponents=None):
    """Each row is the exact one, to some digits, times a power of two, which is known or lets the row be near 1."""
    for place, (row, wanted) in enumerate(zip(found.tolist(), exact_rows, strict=True)):
        largest = max(abs(wanted))
        if not largest:
            assert row == [0] * len(row)
            continue
        if exponents is None:
            share = Fraction(max(map(abs, row))) / largest
            power = round(share.numerator.bit_length() - share.denominator.bit_length())
            assert 2.0**-60 < max(map(abs, row)) < 2.0**60
            candidates = [Fraction(2) ** e for e in (power - 1, power, power + 1)]
            scale = min(candidates, key=lambda one: abs(share / one - 1))
        else:
            scale = Fraction(2) ** -int(exponents[place])
        assert max(abs(np.array([Fraction(one) for one in row]) - wanted * scale)) <= largest * scale / 2**48


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("far", [400, 250, 20])
def test_powers_are_taken_out_from_2_to_the_far_on(form, sign, far):
    settings = {} if far == 400 else {"far": far}
    for top, kept in ((2.0 ** (far - 1), False), (np.nextafter(2.0 ** (far - 1), 0), True), (2.0**-far, True),
                      (np.nextafter(2.0**-far, 0) / 2, False), (1.0, True)):  # fmt: skip
        X = form(sign * np.array([[0.0, top], [top / 4, 0.0], [0.0, 0.0]]))
        found, exponent = scales.near_one(X, **settings)
        assert type(exponent) is int and (found is X) == kept == (exponent == 0)
        np.testing.assert_array_equal(np.ldexp(dense(found), exponent), dense(X))
        if not kept:
            assert 0.5 <= abs(found).max() < 1.0 and found.shape == (3, 2)


@pytest.mark.parametrize("form", FORMS)
def test_zeros_and_no_entries_are_near_one(form):
    X = form(np.zeros((2, 3)))
    assert scales.near_one(X) == (X, 0) if form is sp.csr_array else scales.near_one(X)[0] is X
    np.testing.assert_array_equal(dense(scales.held("X takes", X)), np.zeros((2, 3)))


@pytest.mark.parametrize("form", FORMS)
def test_times_a_power_keeps_the_shape(form):
    found = scales.times_power(form(M), -3)
    assert sp.issparse(found) == (form is sp.csr_array) and found.shape == M.shape
    np.testing.assert_array_equal(dense(found), M / 8)
    if form is sp.csr_array:  # whoever writes into what comes back changes nothing of X
        again = scales.times_power(given := form(M), 0)
        for name in ("data", "indices", "indptr"):
            assert not np.shares_memory(getattr(again, name), getattr(given, name))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("sign", [1, -1])
def test_what_floats_hold(form, sign):
    """From 2^-1022 of the largest entry on to the largest float; and without an exponent, as it is."""
    X = form(sign * np.array([[1.0, 2.0**-30], [0.0, 0.5]]))
    for exponent, error in ((1023, None), (1024, "inf"), (-1022, None), (-1023, "1.11e-308"), (-1100, "0")):
        if error:
            with pytest.raises(ValueError, match=rf"^X takes less, got a result of up to {error}$"):
                scales.held("X takes less", X, exponent)
        else:
            np.testing.assert_array_equal(dense(scales.held("X takes less", X, exponent)), np.ldexp(dense(X), exponent))
    np.testing.assert_array_equal(dense(scales.held("X takes less", X)), dense(X))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("e", "f"), [(0, 0), (400, 400), (-500, 500), (300, 0), (0, -300), (-300, -200)])
def test_a_product_is_exact_whatever_the_powers(form, e, f):
    right = np.array([[2.0, 1], [3, -4], [0, 5], [1, 1]])
    found = scales.product("X takes", form(np.ldexp(M, e)), np.ldexp(right, f))
    np.testing.assert_array_equal(found, np.ldexp(M @ right, e + f))


def test_a_product_that_no_float_holds_is_refused_and_a_small_one_of_moderate_numbers_is_not():
    for e, f in ((900, 900), (-900, -900), (1020, 5), (-1020, -5)):
        with pytest.raises(ValueError, match=r"^X takes, got a result of up to (inf|0|2.78e-309)$"):
            scales.product("X takes", np.array([[2.0**e]]), np.array([[2.0**f]]))
    np.testing.assert_array_equal(scales.product("X takes", np.array([[1.0, 0]]), [[1e-310], [1.0]]), [[1e-310]])


@pytest.mark.parametrize(
    ("before", "after", "size"),
    [
        ([1.0, 1, 1], [1.0, 2, 3], None),
        ([1.0, 1, 1], [1.0, np.inf, 3], "inf"),
        ([1.0, 1, 1], [np.inf, np.inf, np.inf], "inf"),
        ([1.0, 1, 1], [TINY, 2, 3], None),
        ([1.0, 1, 1], [TINY / 2, 2, 3], "1.11e-308"),
        ([1.0, 1, 1], [TINY / 2, TINY / 4, 3], "5.56e-309"),
        ([TINY, 1, 1], [TINY / 2, 2, 3], "1.11e-308"),
        ([TINY / 2, 1, 1], [TINY / 4, 2, 3], None),  # it had not all of its digits before
        ([TINY / 2, 1, 1], [0.0, 2, 3], "0"),
        ([0.0, 1, 1], [0.0, 2, 3], None),
        ([0.0, 0, 0], [0.0, 0, 0], None),
    ],
)
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("form", FORMS)
def test_digits_that_rows_or_columns_lose(form, axis, before, after, size):
    shaped = [np.array([np.array(one) / 8, np.negative(one)]) for one in (before, after)]
    was, now = (form(one if axis == 0 else one.T) for one in shaped)
    if size:
        with pytest.raises(ValueError, match=rf"^d takes, got a result of {size}$"):
            scales.require_digits("d takes", was, now, axis=axis)
    else:
        scales.require_digits("d takes", was, now, axis=axis)


@pytest.mark.parametrize("form", FORMS)
def test_the_largest_entry_in_size(form):
    for axis, wanted in ((0, [7, 2, 5, 0]), (1, [3, 5, 0, 7, 0])):
        found = scales.sizes(form(M), axis)
        assert type(found) is np.ndarray
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("form", FORMS)
def test_rows_over_powers_of_their_own(form):
    far = M * 2.0 ** np.array([[900], [-900], [0], [3], [0]])
    np.testing.assert_array_equal(dense(scales.rows_near_one(form(far))), M / [[4], [8], [1], [8], [1]])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("sign", [1, -1])
def test_columns_are_left_unless_one_is_extreme(form, sign):
    for power, kept in (
        (246, True),
        (247, False),
        (700, False),
        (-252, True),
        (-253, False),
        (-700, False),
    ):  # of 5 · 2^power, frexp says power + 3
        X = form(sign * M * [1.0, 2.0**power * 2.5, 1, 1])
        found = scales.columns_near_one(X)
        assert (found is X) == kept
        if not kept:
            np.testing.assert_array_equal(dense(found), sign * M * [1 / 8, 2.5 / 8, 1 / 8, 1])


@pytest.mark.parametrize("form", FORMS)
def test_rows_over_lengths(form):
    lengths = np.array([1.0, 2, 4, 8, 16])
    found = scales.over_rows(form(M), lengths)
    assert sp.issparse(found) == (form is sp.csr_array) and found.shape == M.shape
    np.testing.assert_array_equal(dense(found), M / lengths[:, None])


@pytest.mark.parametrize("form", FORMS)
def test_what_is_moderate(form):
    for sign in (1, -1):
        for one, moderate in ((2.0**400, False), (np.nextafter(2.0**400, 0), True), (2.0**-400, False),
                              (np.nextafter(2.0**-400, 1), True), (0.0, True), (1.0, True), (1e300, False),
                              (1e-300, False)):  # fmt: skip
            for other in (0.0, 0.5, 3.0):
                found = scales._moderate(form(sign * np.array([[one, other], [0.0, other]])))
                assert found is moderate


# --- products whose rows or columns have scales of their own ---

LEFT = np.array([[3.0, -1, 0, 2], [0, 2, -5, 0], [0, 0, 0, 0], [7, 0, 1, 1], [0, 0, 4, 0], [1, 1, 0, 0]])
RIGHT = np.array([[1.0, 2, 3], [-4, 1, 0], [0, 0, 0], [5, 0, -2]])


def far(rng, shape):
    """Exponents from ±410 to ±690."""
    return rng.integers(410, 690, shape) * rng.choice([-1, 1], shape)


@pytest.mark.parametrize("form", FORMS)
def test_moderate_products_are_plain(form):
    right = np.random.default_rng(0).standard_normal((4, 3))
    np.testing.assert_array_equal(scales.rows_of_product(form(LEFT), right), form(LEFT) @ right)
    np.testing.assert_array_equal(scales.columns_of_product(form(LEFT), right)[0], form(LEFT) @ right)
    powers = scales.columns_of_product(form(LEFT), right)[1]
    assert powers.dtype.kind == "i" and powers.tolist() == [0, 0, 0]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", range(6))
def test_rows_of_far_products(form, seed):
    rng = np.random.default_rng(seed)
    left = np.ldexp(LEFT, far(rng, (6, 1)) * (seed != 1))
    right = np.ldexp(RIGHT, far(rng, (4, 1)) * (seed != 2))
    powers = rng.integers(-2_000, 2_000, 4) if seed > 3 else 0
    if seed == 3:
        left, right, powers = LEFT, RIGHT, np.array([0, 0, 0, 900])
    known = np.array([[Fraction(2) ** int(one)] for one in np.broadcast_to(powers, 4)])
    wanted = exact(left) @ (known * exact(right))
    assert_rows_are(scales.rows_of_product(form(left), right, powers), wanted)
    found, exponents = scales._far_product(form(left), right, powers)
    assert_rows_are(found, wanted, exponents)
    assert found.shape == (6, 3) and abs(found).max() < 2.0**5


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", range(6))
def test_columns_of_far_products(form, seed):
    rng = np.random.default_rng(seed)
    left = np.ldexp(LEFT, far(rng, LEFT.shape) * (seed != 1))
    right = np.ldexp(RIGHT, far(rng, RIGHT.shape) * (seed != 2))
    right[:, 1] *= seed != 4
    found, exponents = scales.columns_of_product(form(left), right)
    assert found.shape == (6, 3) and isinstance(exponents, np.ndarray) and exponents.shape == (3,)
    assert_rows_are(found.T, (exact(left) @ exact(right)).T, exponents)
    there = found.any(axis=0)
    assert there.tolist() == [True, seed != 4, True]
    sizes = abs(found).max(axis=0)[there]
    assert (sizes >= 0.5).all() and (sizes < 1).all()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("small", [1.0, 0.25])
def test_a_row_that_cancels_says_nothing_of_its_column(form, small):
    left = np.array([[2.0**600, 2.0**600], [small, 0.0]])
    found, exponents = scales.columns_of_product(form(left), np.array([[1.0], [-1.0]]))
    np.testing.assert_array_equal(found, [[0.0], [0.5]])
    assert np.ldexp(0.5, exponents[0]) == small


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("of", ["X", "M", "N", "none"])
def test_rows_of_products_keep_their_inner_products(form, of):
    """X M Nᵀ Q: up to a power of two for each row, the cosines of the rows of X M Nᵀ."""
    rng = np.random.default_rng(7)
    left = np.ldexp(LEFT, rng.integers(-600, 600, (6, 1)) * (of == "X"))
    middle = np.ldexp(rng.standard_normal((4, 3)), rng.integers(-600, 600, (4, 1)) * (of == "M"))
    last = np.ldexp(rng.standard_normal((9, 3)), np.array([-600, 500, 0]) * (of == "N"))
    found = scales.rows_of_products(form(left), middle, last)
    assert found.shape == (6, 3)
    rows = exact(left) @ exact(middle) @ exact(last).T
    for i in (0, 1, 3, 4, 5):
        for j in (0, 1, 3, 4, 5):
            square = (rows[i] @ rows[j]) ** 2 / (rows[i] @ rows[i]) / (rows[j] @ rows[j])
            cosine = found[i] @ found[j] / np.sqrt((found[i] @ found[i]) * (found[j] @ found[j]))
            assert cosine**2 == pytest.approx(float(square), abs=1e-12)
            assert np.sign(cosine) == np.sign(rows[i] @ rows[j]) or abs(cosine) < 1e-12
    assert not found[2].any()
    if of == "none":
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), np.linalg.norm(left @ middle @ last.T, axis=1))


@pytest.mark.parametrize("shape", [(7, 3), (3, 3), (2, 5)])
def test_a_triangle_is_at_most_square(shape):
    X = np.random.default_rng(0).standard_normal(shape)
    R = scales.triangle(X)
    assert R.shape == (min(shape), shape[1])
    np.testing.assert_array_equal(np.tril(R, -1), 0.0)
    np.testing.assert_allclose(R.T @ R, X.T @ X, atol=1e-14)


# --- two factors ---


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("swap", [False, True])
def test_factors_are_left_unless_a_column_is_extreme(sign, swap):
    for power, kept in ((98, True), (99, False), (-100, True), (-101, False)):
        A, B = np.array([[1.0, 0.5], [0.25, 0]]), sign * np.array([[0.5, 2.0**power], [0, 0.25 * 2.0**power]])
        pair = (B, A) if swap else (A, B)
        left, right, top, powers = scales.balanced(*pair)
        assert (left is pair[0] and right is pair[1]) == kept
        if kept:
            assert top == 0 and powers.dtype.kind == "i" and powers.tolist() == [0, 0]


@pytest.mark.parametrize("seed", range(8))
def test_balanced_factors_have_the_same_product(seed):
    rng = np.random.default_rng(seed)
    A, B = rng.standard_normal((5, 4)), rng.standard_normal((3, 4))
    A, B = np.ldexp(A, rng.integers(-900, 900, 4)), np.ldexp(B, rng.integers(-900, 900, 4))
    A[0], B[1] = 0.0, 0.0
    A[:, 2] *= seed != 1
    B[:, 1] *= seed not in (1, 2)
    if seed == 3:
        A[:] = 0.0
    left, right, top, powers = scales.balanced(A, B)
    assert type(top) is int
    there = A.any(axis=0) & B.any(axis=0)
    # nothing of A is lost, and nothing of B where A reaches it but what is far below the largest product
    np.testing.assert_array_equal(np.ldexp(left, powers), A)
    sizes = abs(left).max(axis=0)
    assert ((sizes == 0) | ((sizes >= 0.5) & (sizes < 1))).all()
    if not there.any():
        assert top == 0
    else:
        largest = max(abs(right[:, there]).max(axis=0))
        assert 0.5 <= largest < 1.0
        wanted = exact(A) @ exact(B).T
        found = exact(left) @ exact(right).T * Fraction(2) ** top
        assert abs(found - wanted).max() <= Fraction(2) ** (top - 1000)
    only_B = ~A.any(axis=0) & B.any(axis=0)
    if only_B.any():
        np.testing.assert_array_equal(abs(right[:, only_B]).max(axis=0) < 1.0, True)
        assert (abs(right[:, only_B]).max(axis=0) >= 0.5).all()

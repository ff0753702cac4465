"""Each check by itself: what it lets in, and the exact words with which it refuses the rest."""

import re
import warnings
from fractions import Fraction

import dask.array as da
import numpy as np
import pytest
import scipy.sparse as sp

from cossim_helpers import _validation as check

LONG = np.longdouble("1e-4000")
HUGE = np.longdouble("1e4000")
MANY = 2_147_483_647
NAN = float("nan")
FORMATS = ("csr", "csc", "coo", "dok", "lil", "bsr", "dia")


class Nameless:
    def __repr__(self):
        raise RuntimeError


class NoArray:
    def __array__(self, *arguments, **settings):
        raise RuntimeError("no")


def refused(kind, words, call):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(kind, match=f"^{re.escape(words)}$"):
            call()


# --- arrays ---


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint64, np.float16, np.float32, np.float64, ">f8", np.longdouble])
def test_a_real_array_becomes_float64_unless_it_may_keep_its_type(dtype):
    given = np.array([1, 0, 1]).astype(dtype)
    found = check.real_array("x", given, ndim=1)
    assert found.dtype == np.float64 and found.dtype.isnative and found.tolist() == [1, 0, 1]
    assert check.real_array("x", given, ndim=1, dtype=None).dtype == given.dtype
    assert check.real_matrix("x", given[:, None], dtype=None).dtype == given.dtype
    assert np.shares_memory(check.real_array("x", given, ndim=1, dtype=None), given)


def test_a_float64_array_is_not_copied():
    given = np.ones((2, 2))
    assert check.real_array("x", given, ndim=2) is given and check.real_matrix("x", given) is given


@pytest.mark.parametrize(
    ("value", "ndim", "kind", "words"),
    [
        ([1j], 1, TypeError, "x takes real numbers, got dtype complex128"),
        (["a"], 1, TypeError, "x takes real numbers, got dtype <U1"),
        ([[1.0]], 1, ValueError, "x takes a non-empty 1-dimensional array, got shape (1, 1)"),
        ([], 1, ValueError, "x takes a non-empty 1-dimensional array, got shape (0,)"),
        (np.ones((0, 2)), 2, ValueError, "x takes a non-empty 2-dimensional array, got shape (0, 2)"),
        ([NAN, 1.0, np.inf], 1, ValueError, "x takes finite numbers, got 2 NaN or infinite value(s)"),
        ([0.0, NAN, 2.0], 1, ValueError, "x takes finite numbers, got 1 NaN or infinite value(s)"),
        ([HUGE, 1.0], 1, ValueError, "x takes finite numbers, got 1 NaN or infinite value(s)"),
        ([1.0, LONG], 1, ValueError, f"x takes numbers that a float64 holds, got {LONG!r}"),
        (sp.eye_array(2), 2, TypeError, "x takes a dense array, got a sparse dia_array: pass x.toarray()"),
        (
            np.ma.masked_array([1.0], mask=[False]),
            1,
            TypeError,
            "x takes an array without a mask, got a masked one: fill what is missing",
        ),
        (
            da.ones(3),
            1,
            TypeError,
            "x takes an array in memory, got one of Dask: spectrum, gram and krylov_spectrum take it as it is; "
            "if it fits, pass x.compute()",
        ),
        (NoArray(), 1, TypeError, "x takes an array, got NoArray, which is none: no"),
    ],
)
def test_what_is_no_real_array(value, ndim, kind, words):
    refused(kind, words, lambda: check.real_array("x", value, ndim=ndim))


def test_a_ragged_list_is_no_array():
    with pytest.raises(ValueError, match=r"^x takes an array, got what is none: setting an array element"):
        check.plain_array("x", [[1], [1, 2]])
    assert check.plain_array("x", "a").dtype.kind == "U" and check.plain_array("x", 3).shape == ()


def test_zeros_and_ones_of_a_wider_type_are_not_lost():
    given = np.array([0.0, 1.0, -2.0], np.longdouble)
    np.testing.assert_array_equal(check.real_array("x", given, ndim=1), [0, 1, -2])
    np.testing.assert_array_equal(check.real_array("x", np.array([0, 1], np.float32), ndim=1), [0, 1])
    refused(
        ValueError,
        "x takes finite numbers, got 1 NaN or infinite value(s)",
        lambda: check.real_matrix("x", np.array([[np.inf, 0]], np.float32), dtype=None),
    )


def test_how_numpy_treats_overflow_changes_no_error():
    for number, words in ((LONG, "x takes numbers that a float64 holds"), (HUGE, "x takes finite numbers")):
        with np.errstate(all="raise"), pytest.raises(ValueError, match=f"^{words}, got "):
            check.real_array("x", [1.0, number], ndim=1)


def test_rows_of_length_1_to_1e_9():
    for size, taken in ((1.0, True), (1 + 0.9e-9, True), (1 - 0.9e-9, True), (1 + 1.1e-9, False), (1 - 1.1e-9, False)):
        rows = np.array([[0.6, 0.8], [0.0, size]])
        if taken:
            assert check.unit_rows("E", rows) is rows
        else:
            words = f"E takes rows of length 1, got a length of {size:.12g}"
            refused(ValueError, words, lambda rows=rows: check.unit_rows("E", rows))
    refused(ValueError, "E takes rows of length 1, got a length of inf", lambda: check.unit_rows("E", [[1e300, 0.0]]))
    for wrong in ([1.0], [[[1.0]]]):
        with pytest.raises(ValueError, match=r"^E takes a non-empty 2-dimensional"):
            check.unit_rows("E", wrong)


# --- sparse matrices ---


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.float32, np.float64, np.longdouble])
@pytest.mark.parametrize("own", [False, True])
def test_a_sparse_matrix_becomes_csr(form, dtype, own):
    dense = np.array([[0, 2, 0], [1, 0, 0], [0, 0, 5]]).astype(dtype)
    if dtype is np.longdouble and form == "lil":
        return  # SciPy has no lil array of long doubles
    given = sp.coo_array(dense).asformat(form)
    found = check.real_matrix("X", given, dtype=None if own else np.float64)
    assert isinstance(found, sp.csr_array) and found.has_canonical_format
    np.testing.assert_array_equal(found.toarray(), dense)
    keeps = own and form == "csr" and dtype is not np.longdouble
    assert found.dtype == (dtype if keeps else np.float64)
    np.testing.assert_array_equal(given.toarray(), dense)


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_csr_array_of_another_byte_order_or_half_floats_becomes_float64(order):
    for dtype in (f"{order}f8", f"{order}f4", f"{order}i4"):
        given = sp.csr_array(np.array([[0.0, 1.0], [2.0, 0.0]]))
        given.data = given.data.astype(dtype)
        found = check.real_matrix("X", given, dtype=None)
        assert found.dtype == (given.dtype if given.dtype.isnative else np.float64)
        assert found.data.tolist() == [1.0, 2.0]
    half = sp.csr_array(np.array([[0.0, 1.0], [2.0, 0.0]]))
    half.data = half.data.astype(np.float16)
    assert check.real_matrix("X", half, dtype=None).dtype == np.float64


def test_a_csr_array_of_doubles_is_taken_as_it_is():
    given = sp.csr_array(np.eye(3))
    found = check.real_matrix("X", given)
    assert np.shares_memory(found.data, given.data) and np.shares_memory(found.indices, given.indices)
    old = sp.csr_matrix(np.eye(3))
    assert isinstance(check.real_matrix("X", old), sp.csr_array)


@pytest.mark.parametrize("own", [np.float64, None])
def test_duplicates_add_up_in_a_copy(own):
    parts = np.array([200, 100, 7], np.uint8), np.array([1, 1, 0]), np.array([0, 2, 3])
    given = sp.csr_array(parts, shape=(2, 2))
    found = check.real_matrix("X", given, dtype=own)
    assert found.toarray().tolist() == [[0, 300], [7, 0]] and found.has_canonical_format
    assert given.nnz == 3 and given.data.tolist() == [200, 100, 7]
    doubles = sp.csr_array((parts[0].astype(float), parts[1].copy(), parts[2].copy()), shape=(2, 2))
    assert check.real_matrix("X", doubles, dtype=own).nnz == 2
    assert doubles.nnz == 3 and doubles.data.tolist() == [200, 100, 7]


@pytest.mark.parametrize("form", ["csr", "coo", "dia", "bsr"])
def test_long_doubles_in_a_sparse_matrix_have_to_fit(form):
    for number, words in (
        (HUGE, "X takes finite numbers, got 1 NaN or infinite value(s)"),
        (LONG, f"X takes numbers that a float64 holds, got {LONG!r}"),
    ):
        given = sp.coo_array(np.diag(np.array([number, 1.0, 2.0]))).asformat(form)
        for own in (np.float64, None):
            refused(ValueError, words, lambda own=own, given=given: check.real_matrix("X", given, dtype=own))


@pytest.mark.parametrize(
    ("value", "kind", "words"),
    [
        (sp.csr_array([[1j]]), TypeError, "X takes real numbers, got dtype complex128"),
        (sp.coo_array(np.ones(3)), ValueError, "X takes a non-empty 2-dimensional array, got shape (3,)"),
        (sp.csr_array((0, 3)), ValueError, "X takes a non-empty 2-dimensional array, got shape (0, 3)"),
        (sp.csr_array((3, 0)), ValueError, "X takes a non-empty 2-dimensional array, got shape (3, 0)"),
        (sp.csr_array([[NAN, 1.0]]), ValueError, "X takes finite numbers, got 1 NaN or infinite value(s)"),
        (np.ones((1, 1, 1)), ValueError, "X takes a non-empty 2-dimensional array, got shape (1, 1, 1)"),
        (np.ones(2), ValueError, "X takes a non-empty 2-dimensional array, got shape (2,)"),
    ],
)
def test_what_is_no_real_matrix(value, kind, words):
    refused(kind, words, lambda: check.real_matrix("X", value))
    assert check.real_matrix("X", sp.csr_array([[1.0]])).shape == (1, 1)


# --- what an error shows ---


def test_what_is_shown_is_short():
    for size, end in ((78, ""), (79, "…"), (200, "…")):
        text = "a" * size
        assert check.shown(text) == repr(text)[:80] + end
    assert check.shown(Nameless()) == "a value" and check.shown(10**5000) == "a value"
    assert check.shown(3) == "3" and check.of_type(3) == "3 (int)"


# --- numbers ---


@pytest.mark.parametrize("value", [2, 2.0, np.float32(2), np.int8(2), Fraction(4, 2), np.longdouble(2)])
def test_a_real_number_is_a_float(value):
    found = check.real_number("x", value)
    assert type(found) is float and found == 2.0
    assert type(check.penalty(value)) is float


@pytest.mark.parametrize(
    ("bounds", "value", "words"),
    [
        ({}, NAN, "x takes a finite number, got nan"),
        ({}, -np.inf, "x takes a finite number, got -inf"),
        ({}, 10**400, "x takes a finite number, got " + "1" + "0" * 79 + "…"),
        ({}, LONG, f"x takes a finite number, got {LONG!r}"),
        ({}, HUGE, f"x takes a finite number, got {HUGE!r}"),
        ({}, Fraction(1, 10**400), f"x takes a finite number, got {repr(Fraction(1, 10**400))[:80]}…"),
        ({"at_least": 1.0}, 0.99, "x takes a finite number of at least 1, got 0.99"),
        ({"at_most": 0.0}, 0.5, "x takes a finite number of at most 0, got 0.5"),
        ({"above": 0.0}, 0.0, "x takes a finite number above 0, got 0.0"),
        ({"below": 3.0}, 3.0, "x takes a finite number below 3, got 3.0"),
        ({"at_least": 0.0, "at_most": 3.0}, 4, "x takes a finite number from 0 to 3, got 4"),
        ({"at_least": 1.0, "below": 3.0}, 4, "x takes a finite number of at least 1 and below 3, got 4"),
        ({"above": 1.0, "at_most": 3.0}, 4, "x takes a finite number above 1 and of at most 3, got 4"),
    ],
)
def test_a_number_that_is_out_of_bounds(bounds, value, words):
    refused(ValueError, words, lambda: check.real_number("x", value, **bounds))


def test_bounds_belong_to_what_they_bound_or_not():
    assert check.real_number("x", 1.0, at_least=1.0) == 1.0 == check.real_number("x", 1.0, at_most=1.0)
    assert check.real_number("x", 5e-324, above=0.0) == 5e-324
    assert check.real_number("x", 0.0) == 0.0 == check.real_number("x", Fraction(0)) == check.penalty(0)
    assert check.real_number("x", np.nextafter(1.0, 0), below=1.0) < 1
    refused(ValueError, "lam takes a finite number of at least 0, got -1e-300", lambda: check.penalty(-1e-300))


@pytest.mark.parametrize("value", [True, np.True_, np.timedelta64(1, "s"), "1", None, 1j, [1.0], np.ones(1)])
def test_what_is_no_real_number(value):
    refused(
        TypeError,
        f"x takes a real number, got {check.shown(value)} ({type(value).__name__})",
        lambda: check.real_number("x", value),
    )


@pytest.mark.parametrize("value", [2, np.int8(2), np.uint64(2), np.array(2)])
def test_a_whole_number_is_an_int(value):
    found = check.whole_number("k", value, low=2, high=2)
    assert type(found) is int and found == 2
    assert check.whole_number("k", 10**30, low=2) == 10**30


@pytest.mark.parametrize("value", [True, np.False_, 2.0, "2", None, np.array([2.0])])
def test_what_is_no_whole_number(value):
    words = f"k takes an integer, got {check.shown(value)} ({type(value).__name__})"
    refused(TypeError, words, lambda: check.whole_number("k", value, low=-5))


@pytest.mark.parametrize(
    ("high", "value", "words"),
    [
        (None, 1, "at least 2, got 1"),
        (5, 1, "from 2 to 5 (n), got 1"),
        (5, 6, "from 2 to 5 (n), got 6"),
        (MANY, 1, "at least 2, got 1"),
        (MANY, MANY + 1, "from 2 to 2147483647 (n), got 2147483648"),
    ],
)
def test_a_whole_number_that_is_out_of_bounds(high, value, words):
    why = "" if high is None else " (n)"
    refused(
        ValueError,
        f"k takes an integer {words}",
        lambda: check.whole_number("k", value, low=2, high=high, why=why),
    )
    assert check.MANY == MANY


def test_truth():
    for value in (True, False, np.True_, np.False_):
        assert check.true_or_false("f", value) is bool(value)
    for value in (1, 0, None, "True"):
        refused(
            TypeError,
            f"f takes True or False, got {value!r} ({type(value).__name__})",
            lambda value=value: check.true_or_false("f", value),
        )


def test_signs():
    for form in (np.array, sp.csr_array):
        for row in ([0.0, 0.5], [0.5, 2.0]):
            array = form([row])
            assert check.non_negative("x", array) is array
        words = "x takes numbers of at least 0, got a smallest of -0.5"
        refused(ValueError, words, lambda form=form: check.non_negative("x", form([[-0.5, 2.0, -0.25]])))
    array = np.array([0.25, 2.0])
    assert check.positive("x", array) is array
    for smallest in (0.0, -0.5):
        words = f"x takes positive numbers, got a smallest of {smallest:g}"
        refused(ValueError, words, lambda smallest=smallest: check.positive("x", np.array([1.0, smallest])))


@pytest.mark.parametrize("form", [np.array, sp.csr_array])
def test_zeros_and_ones(form):
    for made in (check.zero_one_matrix, check.dense_matrix):
        found = made("X", form([[0, 1], [1, 1]]))
        assert type(found) is np.ndarray and found.dtype == np.float64 and found.tolist() == [[0, 1], [1, 1]]
    for other in (2.0, 0.5, -1.0):
        words = f"X takes 0 and 1 only, got {other:g}"
        refused(ValueError, words, lambda other=other: check.zero_one_matrix("X", form([[0, 1], [other, 3.0]])))


# --- integers ---


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64, np.uint64])
def test_integers_are_signed(dtype):
    found = check.integers("c", np.array([3, 0, 1], dtype))
    assert found.dtype == np.int64 and found.tolist() == [3, 0, 1]
    assert check.item_integers("c", np.array([3, 0, 1], dtype), 3).tolist() == [3, 0, 1]
    assert check.integers("c", np.array([], dtype)).shape == (0,)
    mine = np.array([1, 2])
    assert check.integers("c", mine) is mine


def test_integers_below_2_to_the_63():
    assert check.integers("c", np.array([2**63 - 1, 0], np.uint64)).max() == 2**63 - 1
    words = "c takes integers below 2^63, got 9223372036854775808"
    refused(ValueError, words, lambda: check.integers("c", np.array([0, 2**63], np.uint64)))
    for value, dtype in (([1.0], "float64"), ([True], "bool"), (["a"], "<U1")):
        words = f"c takes integers, got dtype {dtype}"
        refused(TypeError, words, lambda value=value: check.item_integers("c", value, 1))
    words = "c, one for each item: got (2,), takes (3,)"
    refused(ValueError, words, lambda: check.item_integers("c", [1, 2], 3))


# --- words, functions, lists, classes ---


def test_words_functions_and_classes():
    assert check.one_of("way", "a", ("a", "b")) == "a" == check.text("t", "a") and check.text("t", "") == ""
    assert check.function("f", len, "x") is len and check.instance_of("i", 3, int) == 3
    assert check.instance_of("i", 0, int) == 0
    refused(ValueError, "way takes one of ('a', 'b'), got 'c'", lambda: check.one_of("way", "c", ("a", "b")))
    refused(ValueError, "way takes one of ('a', 'b'), got ['a']", lambda: check.one_of("way", ["a"], {"a": 1, "b": 2}))
    refused(ValueError, "way takes one of (1, 2), got 1", lambda: check.one_of("way", 1, (1, 2)))
    refused(TypeError, "t takes text, got b'a' (bytes)", lambda: check.text("t", b"a"))
    refused(TypeError, "f takes a function of x, got 3 (int)", lambda: check.function("f", 3, "x"))
    refused(TypeError, "i takes int, got str", lambda: check.instance_of("i", "3", int))
    refused(ValueError, "shape: got 2, takes 3", lambda: check.require_same("shape", 2, 3))
    check.require_same("shape", (2, 3), (2, 3))


@pytest.mark.parametrize("value", [[1, 2], (1, 2), range(1, 3), np.array([1, 2]), iter([1, 2])])
def test_a_sequence_is_a_list(value):
    assert check.listed("s", value, "numbers") == [1, 2]
    assert type(check.listed("s", [], "numbers")) is list and check.listed("s", [], "numbers") == []


BUFFERS = [b"ab", bytearray(b"ab"), memoryview(b"ab")]


@pytest.mark.parametrize("value", ["ab", *BUFFERS, {"a": 1}, {1, 2}, 3, None, np.array(3), sp.eye_array(2)])
def test_what_is_no_sequence(value):
    words = f"s takes a sequence of numbers, got {check.shown(value)} ({type(value).__name__})"
    refused(TypeError, words, lambda: check.listed("s", value, "numbers"))


# --- seeds ---


def test_what_a_seed_stands_for():
    sequence = np.random.SeedSequence(5)
    assert check.seed_sequence(sequence) is sequence
    for seed, entropy in (
        (5, 5),
        (0, 0),
        ([5, 1], [5, 1]),
        ((0, 1), [0, 1]),
        (np.array([5, 1]), [5, 1]),
        (np.array(5), 5),
    ):
        assert check.seed_sequence(seed).entropy == entropy
        expected = np.random.default_rng(entropy).random()
        assert check.generator(seed).random() == expected
        assert check.generator(np.random.SeedSequence(entropy)).random() == expected
    assert check.seed_sequence(None).entropy != check.seed_sequence(None).entropy
    assert check.generator(None).random() != check.generator(None).random()


def test_a_generator_gives_128_bits_and_moves_on():
    rng, same = np.random.default_rng(3), np.random.default_rng(3)
    assert check.generator(rng) is rng
    words = same.integers(0, 2**32, size=4, dtype=np.uint32)
    for given in (rng, np.random.PCG64(3)):
        entropy = check.seed_sequence(given).entropy
        assert entropy == words.tolist() and all(type(word) is int for word in entropy)
    assert rng.bit_generator.state == same.bit_generator.state


@pytest.mark.parametrize(
    ("seed", "kind"),
    [(-1, ValueError), (1.0, TypeError), (True, TypeError), ("1", TypeError), ([], TypeError), ([1, -1], ValueError),
     ([[1, 2]], TypeError), (range(2), TypeError), ([1.0], TypeError), ({1}, TypeError), (b"1", TypeError),
     (np.array([[1]]), TypeError)],
)  # fmt: skip
def test_what_is_no_seed(seed, kind):
    takes = "rng takes an integer of at least 0, several of them, a SeedSequence, a Generator or None"
    for function in (check.seed_sequence, check.generator):
        refused(kind, f"{takes}, got {check.shown(seed)}", lambda function=function: function(seed))

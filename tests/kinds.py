"""Every kind of bad and of unusual input: what stands in the place of an argument, and what has to become of it.

REFUSED: a ValueError or TypeError that names the argument and what it got. SAME: what the plain array or number gives.
MAY: one of both. FINITE: refused, or a result without NaN and infinity.
"""

from __future__ import annotations

import datetime
import decimal
import fractions
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import scipy.sparse as sp
from calls import FINITE, MAY, REFUSED, SAME
from strategies import long_indices, stored_zeros

import cossim_helpers as ch

Kind = tuple[str, object, str, object]  # name, value, outcome, the plain value of the same numbers

FORMATS = ("csr", "csc", "coo", "bsr", "lil", "dok", "dia")
HUGE, MORE = 10**400, 10**5000  # no float holds them; Python prints no number of more than 4,300 digits


class Unprintable:
    def __repr__(self):
        raise RuntimeError("no repr")


class Holder:
    """Not an array, but what NumPy makes one of."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return np.array(self.array, dtype=dtype)


class Lazy:
    """What Dask, and others like it, have not computed."""

    shape, ndim, dtype = (2, 2), 2, np.dtype(float)

    def __dask_graph__(self):
        return {}


class Subclass(np.ndarray):
    pass


def junk() -> Iterator[tuple[str, object]]:
    """What no argument but a few takes."""
    yield "None", None
    yield "text", "text"
    yield "empty text", ""
    yield "bytes", b"1.0"
    yield "object", object()
    yield "class", np.ndarray
    yield "function", len
    yield "dict", {"a": 1.0}
    yield "set", {1.0, 2.0}
    yield "empty list", []
    yield "empty dict", {}
    yield "list of None", [None]
    yield "datetime", datetime.datetime(2026, 1, 1)
    yield "date of NumPy", np.datetime64("2026-01-01")
    yield "no time", np.timedelta64("NaT", "s")
    yield "complex", 1 + 2j
    yield "ellipsis", ...
    yield "not implemented", NotImplemented
    yield "unprintable", Unprintable()
    yield "structured", np.zeros(3, [("a", float)])
    yield "record", np.zeros(3, [("a", float)])[0]
    yield "masked", np.ma.masked
    yield "lazy array", Lazy()
    yield "text of NumPy, no dimension", np.array("text")
    yield "object of NumPy, no dimension", np.array(None)
    yield "generator", (one for one in (1.0, 2.0))
    yield "iterator", iter([1.0, 2.0])
    yield "random state", np.random.RandomState(0)


def bad_numbers() -> Iterator[tuple[str, object]]:
    yield "NaN", float("nan")
    yield "infinite", float("inf")
    yield "minus infinite", -np.inf
    yield "NaN of NumPy", np.float32("nan")
    yield "too large", HUGE
    yield "minus too large", -HUGE
    yield "far too large", MORE
    yield "too large a fraction", fractions.Fraction(HUGE)
    yield "too long a double", np.longdouble("1e4000")
    yield "true", True
    yield "true of NumPy", np.bool_(True)
    yield "number as text", "1"
    yield "number as text of NumPy", np.str_("1")
    yield "number in a list", [1]
    yield "number in an array", np.array([1.0])
    yield "decimal", decimal.Decimal("0.5")


# --- arrays ---


def of_another_shape(a: np.ndarray) -> Iterator[tuple[str, object]]:
    yield "0-d", np.array(1.0).astype(a.dtype)
    yield "scalar", a.dtype.type(1)
    yield "one dimension more", a[None].copy()
    if a.ndim > 1:
        yield "one dimension fewer", a[0].copy()
    yield "3-d", np.ones((2, 2, 2), a.dtype)
    yield "no rows", a[:0].copy()
    yield "no columns", a[..., :0].copy()
    yield "ragged", [[1, 2], [3]]
    yield "ragged below", [[[1], [2, 3]], [[4], [5]]]


def of_another_type(a: np.ndarray) -> Iterator[tuple[str, object]]:
    yield "array of text", a.astype(str)
    yield "array of bytes", a.astype("S8")
    yield "array of objects", a.astype(object)
    yield "array of None", np.full(a.shape, None)
    yield "array of complex numbers", a.astype(complex)
    yield "array of dates", np.zeros(a.shape, "M8[D]")
    yield "array of durations", np.zeros(a.shape, "m8[s]")
    yield "structured array", np.zeros(a.shape, [("a", float), ("b", int)])
    yield "array of bytes without a type", np.zeros(a.shape, "V8")
    yield "list with text", _with(a, "one")
    yield "list with None", _with(a, None)
    yield "list with an integer too large", _with(a, HUGE)
    yield "list with an integer beyond 64 bits", _with(a, 10**30)
    yield "masked array", np.ma.masked_array(a)
    mask = np.zeros(a.shape, bool)
    mask.flat[0] = True
    yield "masked array with a mask", np.ma.masked_array(a, mask)
    yield "array of long doubles too long", _placed(a.astype(np.longdouble), np.longdouble("1e4000"))


def _with(a, value):
    copy = a.astype(object)
    copy.flat[0] = value
    return copy.tolist()


def _placed(a, value, place=0):
    copy = np.array(a)
    copy.flat[place] = value
    return copy


def _signalling(a):
    """A NaN that any arithmetic, and a cast, reports as an invalid value."""
    copy = np.array(a, np.float64)
    copy.view(np.uint64).flat[0] = 0x7FF0000000000001
    return copy


def not_finite(a: np.ndarray) -> Iterator[tuple[str, object]]:
    yield "array with NaN", _placed(a, np.nan)
    yield "array with a signalling NaN", _signalling(a)
    yield "array with infinity", _placed(a, np.inf, -1)
    yield "array with minus infinity", _placed(a, -np.inf)
    yield "array of NaN", np.full(a.shape, np.nan, np.float32)


def another_container(a: np.ndarray) -> Iterator[Kind]:
    """The same numbers, held in another way."""
    frozen = a.copy()
    frozen.flags.writeable = False
    yield "read-only", frozen, SAME, a
    yield "Fortran", np.asfortranarray(a), SAME, a
    yield "big-endian", a.astype(a.dtype.newbyteorder(">")), SAME, a
    yield "negative strides", np.flip(np.flip(a).copy()), SAME, a
    yield "every other number", np.repeat(a, 2, axis=-1)[..., ::2], SAME, a
    yield "not aligned", _not_aligned(a), SAME, a
    yield "list", a.tolist(), SAME, a
    yield "tuple", tuple(a.tolist()), SAME, a
    yield "subclass", a.copy().view(Subclass), SAME, a
    yield "memoryview", memoryview(a.copy()), MAY, a
    yield "holder", Holder(a), MAY, a
    yield "generator of rows", (row for row in a), REFUSED, a
    if a.ndim == 2:
        with warnings.catch_warnings(action="ignore"):  # NumPy advises against it
            matrix = np.matrix(a)
        yield "matrix", matrix, SAME, a


def _not_aligned(a):
    bytes_ = np.zeros(a.nbytes + 1, np.uint8)
    view = bytes_[1:].view(a.dtype).reshape(a.shape) if a.size else a
    view[...] = a
    return view


def another_dtype(a: np.ndarray, bools: str) -> Iterator[Kind]:
    """Numbers of another type, and float64 ones that equal them."""
    for dtype in (np.float32, np.float16, np.longdouble, ">f4", np.int8, np.int64, np.uint8, np.uint64, ">i2"):
        b = abs(np.rint(a)) if np.dtype(dtype).kind == "u" else np.rint(a) if np.dtype(dtype).kind == "i" else a
        yield np.dtype(dtype).str, b.astype(dtype), SAME, b.astype(dtype).astype(np.float64)
    yield "bool", a > 0, bools, (a > 0).astype(np.float64)


def extreme(a: np.ndarray) -> Iterator[tuple[str, object]]:
    yield "all zero", np.zeros_like(a)
    yield "all one", np.ones_like(a)
    yield "negative", -a
    for size in (1e-320, 1e-200, 1e-160, 1e160, 1e200):
        yield f"times {size:g}", a * size
    yield "largest", np.where(a > 0, 1.7e308, -1.7e308)
    yield "one of 1e308", _placed(a, 1e308)
    yield "one of 5e-324", _placed(a, 5e-324)
    yield "1e308 and 5e-324", _placed(_placed(a, 1e308), 5e-324, -1)
    yield "one negative", _placed(a, -3.0)
    yield "2^63", _placed(np.zeros(a.shape, np.uint64), 2**63)
    yield "one row fewer", a[:-1].copy()
    yield "one row more", np.concatenate([a, a[:1]])
    yield "one row", a[:1].copy()
    if a.ndim > 1:
        yield "one column", a[:, :1].copy()
        yield "one column fewer", a[:, :-1].copy()
        yield "one column more", np.concatenate([a, a[:, :1]], axis=1)
        yield "equal rows", np.repeat(a[:1], len(a), axis=0)
        yield "turned", a.T.copy()


# --- sparse matrices ---


def sparse(a: np.ndarray) -> Iterator[Kind]:
    for name in FORMATS:
        yield f"sparse {name}", sp.coo_array(a).asformat(name), SAME, a
    for make in (sp.csr_matrix, sp.coo_matrix, sp.csc_matrix):
        yield f"sparse {make.__name__}", make(a), SAME, a
    yield "sparse bool", sp.csr_array(a > 0), SAME, (a > 0).astype(float)
    yield "sparse float32", sp.csr_array(a.astype(np.float32)), SAME, a.astype(np.float32).astype(float)
    yield "sparse long doubles", sp.csr_array(a.astype(np.longdouble)), SAME, a
    yield "sparse big-endian", _with_data(sp.csr_array(a), lambda data: data.astype(">f8")), SAME, a
    yield "sparse 64-bit indices", long_indices(a), SAME, a
    yield "sparse unsorted", _unsorted(a), SAME, a
    whole = np.rint(abs(a))
    for dtype, size in ((np.uint8, 100), (np.int8, 60), (bool, 1)):
        for form in ("coo", "csr", "csc"):
            value, plain = _twice(whole * (size if size > 1 else 1), dtype, form)
            yield f"sparse {form} with entries twice in {np.dtype(dtype).name}", value, SAME, plain
    yield "sparse with stored zeros", stored_zeros(a), SAME, a
    yield "sparse read-only", _read_only(sp.csr_array(a)), SAME, a
    yield "sparse read-only and unsorted", _read_only(_unsorted(a)), SAME, a
    yield "sparse without entries", sp.csr_array(a.shape), FINITE, None
    yield "sparse complex", sp.csr_array(a.astype(complex)), REFUSED, None
    yield (
        "sparse with NaN",
        _with_data(sp.csr_array(np.where(a, a, 1.0)), lambda data: _placed(data, np.nan)),
        REFUSED,
        None,
    )
    yield "sparse with infinity", sp.coo_array(_placed(a, np.inf)), REFUSED, None
    yield (
        "sparse with NaN from two entries",
        sp.coo_array(([np.inf, -np.inf], ([0, 0], [0, 0])), a.shape),
        REFUSED,
        None,
    )
    yield "sparse in one dimension", sp.coo_array(a[0]), REFUSED, None
    yield "sparse of no rows", sp.csr_array((0, a.shape[1])), REFUSED, None
    yield "sparse of 1e308 twice", sp.coo_array(([1e308, 1e308], ([0, 0], [0, 0])), a.shape), REFUSED, None


def _with_data(matrix, change):
    matrix.data = change(matrix.data)
    return matrix


def _unsorted(a):
    matrix = sp.csr_array(a)
    for start, stop in zip(matrix.indptr, matrix.indptr[1:]):
        matrix.indices[start:stop] = matrix.indices[start:stop][::-1].copy()
        matrix.data[start:stop] = matrix.data[start:stop][::-1].copy()
    matrix.has_sorted_indices = matrix.has_canonical_format = False
    return matrix


def _twice(a, dtype, form):
    """Each entry stands twice; the plain array holds their sum."""
    row, column = np.nonzero(a)
    data = np.minimum(a[row, column], 255 if dtype is np.uint8 else 127).astype(dtype)
    value = sp.coo_array((np.tile(data, 2), (np.tile(row, 2), np.tile(column, 2))), a.shape)
    plain = np.zeros(a.shape)
    np.add.at(plain, (np.tile(row, 2), np.tile(column, 2)), np.tile(data, 2).astype(float))
    if form == "coo":
        return value, plain
    if form == "csr":
        order = np.argsort(np.tile(row, 2), kind="stable")
        indptr = np.concatenate([[0], np.cumsum(np.bincount(np.tile(row, 2), minlength=a.shape[0]))])
        return sp.csr_array((np.tile(data, 2)[order], np.tile(column, 2)[order], indptr), a.shape), plain
    order = np.argsort(np.tile(column, 2), kind="stable")
    indptr = np.concatenate([[0], np.cumsum(np.bincount(np.tile(column, 2), minlength=a.shape[1]))])
    return sp.csc_array((np.tile(data, 2)[order], np.tile(row, 2)[order], indptr), a.shape), plain


def _read_only(matrix):
    for part in (matrix.data, matrix.indices, matrix.indptr):
        part.flags.writeable = False
    return matrix


# --- data frames ---


def frames(a: np.ndarray, outcome: str) -> Iterator[Kind]:
    try:
        import pandas as pd
    except ModuleNotFoundError:  # it comes with the extra `data`
        return
    make = pd.DataFrame if a.ndim == 2 else pd.Series
    if a.ndim > 2:
        return
    yield "data frame", make(a), outcome, a
    yield "data frame, nullable", make(a).astype("Float64"), MAY, a
    yield "data frame with an index", make(a, index=[f"row {i}" for i in range(len(a))]), outcome, a
    for name, dtype in (("data frame with NA", "Float64"), ("data frame with NaN", "float64")):
        frame = make(a).astype(dtype)
        place = (0, 0) if a.ndim == 2 else (0,)
        frame.iloc[place] = pd.NA if dtype == "Float64" else np.nan
        yield name, frame, REFUSED, None
    yield "NA", pd.NA, REFUSED, None
    yield "data frame of text", make(a.astype(str)), REFUSED, None
    yield "data frame of categories", make(a.astype(str)).astype("category"), REFUSED, None
    yield "data frame of dates", make(np.zeros(a.shape, "M8[s]")), REFUSED, None


def _series_of_integers(a):
    try:
        import pandas as pd
    except ModuleNotFoundError:
        return
    yield "series", pd.Series(a)
    yield "series with NA", pd.Series([pd.NA, *a[1:].tolist()], dtype="Int64")


# --- what stands for each role ---


def _refused(kinds) -> Iterator[Kind]:
    for name, value in kinds:
        yield name, value, REFUSED, None


def _finite(kinds) -> Iterator[Kind]:
    for name, value in kinds:
        yield name, value, FINITE, None


def real_arrays(value, *, is_sparse=False, any_shape=False, outcome_of_frames=MAY, bools=SAME) -> Iterator[Kind]:
    a = np.array(value.toarray() if sp.issparse(value) else value, dtype=float)
    yield from _refused(junk())
    for name, bad, _, _ in _refused(bad_numbers()):
        is_array = isinstance(bad, (list, np.ndarray)) and (a.ndim == 1 or any_shape)
        yield name, bad, FINITE if is_array else REFUSED, None
    for name, other, _, _ in _refused(of_another_shape(a)):
        yield name, other, FINITE if any_shape and not isinstance(other, list) and np.size(other) else REFUSED, None
    yield from _refused(of_another_type(a))
    yield from _refused(not_finite(a))
    yield from another_container(a)
    yield from another_dtype(a, bools)
    yield from _finite(extreme(a))
    if a.ndim == 2:
        for name, matrix, outcome, plain in sparse(a):
            yield name, matrix, outcome if is_sparse else REFUSED, plain
    yield from frames(a, outcome_of_frames)


def integer_arrays(value) -> Iterator[Kind]:
    a = np.array(value)
    yield from _refused(junk())
    yield from _refused(bad_numbers())
    yield from _refused(of_another_shape(a))
    yield from _refused(of_another_type(a))
    yield from _refused(not_finite(a.astype(float)))
    yield "floats", a.astype(float), REFUSED, None
    yield "bools", a > 0, REFUSED, None
    yield from another_container(a)
    for dtype in (np.int8, np.uint8, np.int16, np.int32, np.uint32, np.uint64, ">i2", ">u8"):
        yield np.dtype(dtype).str, a.astype(dtype), SAME, a
    for name, frame in _series_of_integers(a):
        yield name, frame, MAY if name == "series" else REFUSED, a
    yield "one of 2^64 - 1", _placed(a.astype(np.uint64), 2**64 - 1), FINITE, None
    yield "one of -2^63", _placed(a, -(2**63)), FINITE, None
    yield "one of 2^63 - 1", _placed(a, 2**63 - 1), FINITE, None
    yield "one negative", _placed(a, -1), FINITE, None
    yield "turned", a[::-1].astype(np.uint8), SAME, a[::-1].copy()
    yield "all equal", np.zeros_like(a), FINITE, None
    yield "one fewer", a[:-1].copy(), FINITE, None
    yield "one more", np.concatenate([a, a[:1]]), FINITE, None


def real_numbers(value) -> Iterator[Kind]:
    yield from _refused(junk())
    yield from _refused(bad_numbers())
    number = float(value)
    yield "fraction", fractions.Fraction(number), SAME, number
    yield "long double", np.longdouble(number), SAME, number
    yield "double of NumPy", np.float64(number), SAME, number
    yield "half", np.float16(number), SAME, float(np.float16(number))
    yield "array of no dimension", np.array(number), MAY, number
    for integer in (0, 1, -1, 2, 10**30):
        yield f"integer {integer}", integer, FINITE, None
    yield "8-bit integer", np.int8(1), SAME, 1.0
    for other in (0.0, -0.0, -0.5, 0.3, 1e308, -1e308, 5e-324, 1e-160, 1e160, 1 + 2**-52, 1 - 2**-53):
        yield f"number {other!r}", other, FINITE, None


def counts(value) -> Iterator[Kind]:
    yield from _refused(junk())
    yield from _refused(
        (name, v) for name, v in bad_numbers() if isinstance(v, (bool, str, list)) or not isinstance(v, int)
    )
    for kind in (float, np.float64, np.float16, complex):
        yield f"integer as {kind.__name__}", kind(value), REFUSED, None
    yield "halves", 1.5, REFUSED, None
    for kind in (np.int8, np.uint8, np.int64, np.uint64, np.array):
        yield f"integer of {kind.__name__}", kind(value), SAME, value
    for other in (0, 1, -1, -(10**30), 10**30, 10**12, 2**31, 2**63 - 1, 2**63, 2**64, HUGE, MORE):
        yield f"integer of {len(f'{other:x}') * 4} bits" if abs(other) > 2 else f"integer {other}", other, FINITE, None


def flags(value) -> Iterator[Kind]:
    yield from _refused(junk())
    yield from _refused((name, v) for name, v in bad_numbers() if not isinstance(v, (bool, np.bool_)))
    yield "integer 0", 0, REFUSED, None
    yield "integer 1", 1, REFUSED, None
    yield "array of no dimension", np.array(True), REFUSED, None
    yield "array of two", np.array([True, False]), REFUSED, None
    yield "bool of NumPy", np.bool_(value), SAME, value


def words(value) -> Iterator[Kind]:
    yield from _refused(junk())
    yield from _refused(bad_numbers())
    yield "another word", "no-such-word", REFUSED, None
    yield "in capitals", value.upper() + "X", REFUSED, None
    yield "with a space", value + " ", REFUSED, None
    yield "bytes of it", value.encode(), REFUSED, None
    yield "list of it", [value], REFUSED, None
    yield "array of it", np.array([value, value]), REFUSED, None
    yield "array of it, no dimension", np.array(value), REFUSED, None
    yield "text of NumPy", np.str_(value), SAME, value


def texts(value) -> Iterator[Kind]:
    yield from _refused((name, v) for name, v in junk() if not isinstance(v, str))
    yield from _refused((name, v) for name, v in bad_numbers() if not isinstance(v, str))
    yield "list of it", [value], REFUSED, None
    yield "bytes of it", value.encode(), REFUSED, None
    yield "empty text", "", FINITE, None
    yield "a null", value + "\0", FINITE, None
    yield "half a character", "\ud800", FINITE, None
    yield "text of NumPy", np.str_(value), SAME, value


def others(value) -> Iterator[Kind]:
    """Of an argument that takes objects of one class."""
    yield from _refused(junk())
    yield from _refused(bad_numbers())
    yield "its class", type(value), REFUSED, None
    yield "in a list", [value], REFUSED, None
    yield "in a tuple", (value,), REFUSED, None
    yield "array", np.ones((2, 2)), REFUSED, None


def factors(value) -> Iterator[Kind]:
    """Extreme ones, and what is none."""
    yield from others(value)
    A, B, sizes = value.A, value.B, ((1e-320, 1), (1, 1e-320), (1e-160, 1e-160), (1e-200, 1e200), (1e200, 1e200))
    for of_A, of_B in (*sizes, (1e160, 1e-160), (1e307, 1)):
        yield f"times {of_A:g} and {of_B:g}", ch.Factors(A * of_A, B * of_B), FINITE, None
    lower = (np.repeat(M[:, :1], M.shape[1], axis=1) for M in (A, B))
    for name, one, two in (
        ("zero", 0 * A, 0 * B),
        ("one without size", _placed_row(A), _placed_row(B)),
        ("of lower rank", *lower),
        ("of 1e308 and 5e-324", _placed(A, 1e308), _placed(B, 5e-324)),
        ("of one column fewer", A[:, :-1], B[:, :-1]),
        ("of one item fewer", A[:-1], B[:-1]),
        ("of one item", A[:1], B[:1]),
    ):
        if one.size:
            yield name, ch.Factors(one, two), FINITE, None


def _placed_row(M):
    copy = M.copy()
    copy[0] = 0.0
    return copy


def spectra(value) -> Iterator[Kind]:
    yield from others(value)
    for size in (1e-320, 1e-200, 1e-160, 1e160, 1e200, 1e307, 0.0):
        yield f"times {size:g}", ch.Spectrum(value.sigma * size, value.V), FINITE, None
    yield "falling to zero", ch.Spectrum(_placed(value.sigma, 0.0, -1), value.V), FINITE, None
    yield "falling far", ch.Spectrum(_placed(_placed(value.sigma, 1e300), 1e-300, -1), value.V), FINITE, None
    yield "of one pair", ch.Spectrum(value.sigma[:1], value.V[:, :1]), FINITE, None
    yield "all equal", ch.Spectrum(np.ones_like(value.sigma), value.V), FINITE, None


def functions(value) -> Iterator[Kind]:
    yield from _refused((name, v) for name, v in junk() if not callable(v))
    yield from _refused(bad_numbers())


def lists(value) -> Iterator[Kind]:
    """Of an argument that takes a list, a dict or the like: what is none, and what holds something else."""
    yield from _refused(junk())
    yield from _refused(bad_numbers())
    yield "array of no dimension", np.array(1.0), REFUSED, None
    yield "bytes to be changed", bytearray(b"1.0"), REFUSED, None
    yield "buffer", memoryview(b"1.0"), REFUSED, None
    yield "buffer of two dimensions", memoryview(np.eye(2)), REFUSED, None
    for kind in FORMATS:
        yield f"sparse {kind}", sp.eye_array(2, format=kind), REFUSED, None
    if isinstance(value, dict):
        for name, bad in junk():
            yield f"with {name}", dict.fromkeys(value, bad), REFUSED, None
        yield "keys that are no text", dict(enumerate(value.values())), REFUSED, None
        return
    for name, bad in junk():
        yield f"with {name}", [bad, *value[1:]], REFUSED, None
    yield "tuple", tuple(value), SAME, value


def seeds(value) -> Iterator[Kind]:
    for name, bad in (*junk(), *bad_numbers()):
        if name not in ("None", "too large", "far too large", "number in a list"):
            yield name, bad, REFUSED, None
    yield "integer -1", -1, REFUSED, None
    for name, same in (
        ("of NumPy", np.int8(value)),
        ("in a list", [value]),
        ("sequence", np.random.SeedSequence(value)),
    ):
        yield name, same, SAME, value
    yield "integer of 1,332 bits", HUGE, SAME, [HUGE >> shift & 0xFFFF_FFFF for shift in range(0, 1_332, 32)]


KINDS: dict[str, Callable[[object], Iterator[Kind]]] = {
    "data": lambda value: real_arrays(value, is_sparse=True),
    "0/1 data": lambda value: real_arrays(value, is_sparse=True),
    "matrix": real_arrays,
    "vector": real_arrays,
    "four dimensions": real_arrays,
    "numbers": lambda value: real_arrays(value, any_shape=True, bools=REFUSED),
    "table": lambda value: real_arrays(value, outcome_of_frames=SAME, bools=REFUSED),
    "labels": integer_arrays,
    "pairs": integer_arrays,
    "number": real_numbers,
    "count": counts,
    "flag": flags,
    "word": words,
    "text": texts,
    "factors": factors,
    "spectrum": spectra,
    "recipe": others,
    "model": others,
    "axes": others,
    "function": functions,
    "seed": seeds,
}  # fmt: skip

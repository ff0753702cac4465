"""Checks of what the caller passes: each error names the argument, what it got and what it takes."""

from __future__ import annotations

import numbers
import operator
from collections.abc import Callable, Collection, Iterable, Mapping, Set
from typing import TypeVar

import numpy as np
import scipy.sparse as sp

T = TypeVar("T")
MANY = 2**31 - 1  # of what a call has to make one by one: users, items, steps


def real_array(name: str, value, *, ndim: int, dtype: type | None = np.float64) -> np.ndarray:
    """`value` as a finite float64 array with `ndim` dimensions, none of them empty; dtype=None keeps its own dtype."""
    array = plain_array(name, value)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} takes real numbers, got dtype {array.dtype}")
    if array.ndim != ndim or array.size == 0:
        raise ValueError(f"{name} takes a non-empty {ndim}-dimensional array, got shape {array.shape}")
    return _converted(name, array, dtype)


def shown(value) -> str:
    """What an error says that it got: short, and there even for what cannot print itself."""
    try:
        text = repr(value)
    except Exception:  # an integer of more than 4,300 digits, or whatever a class of the caller's raises
        text = "a value"
    return text if len(text) <= 80 else text[:80] + "…"


def of_type(value) -> str:
    """`shown`, and the type."""
    return f"{shown(value)} ({type(value).__name__})"


def plain_array(name: str, value) -> np.ndarray:
    """`value` as an array of any type and shape.

    Refused are a masked one, since its mask would be lost, a sparse one, and what Dask has not computed, which may fit
    no memory.
    """
    if sp.issparse(value):
        raise TypeError(f"{name} takes a dense array, got a sparse {type(value).__name__}: pass {name}.toarray()")
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} takes an array without a mask, got a masked one: fill what is missing")
    if hasattr(value, "__dask_graph__"):
        raise TypeError(
            f"{name} takes an array in memory, got one of Dask: spectrum, gram and krylov_spectrum take it as it is; "
            f"if it fits, pass {name}.compute()"
        )
    try:
        return np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} takes an array, got what is none: {error}") from None
    except Exception as error:
        raise TypeError(f"{name} takes an array, got {type(value).__name__}, which is none: {error}") from None


def unit_rows(name: str, value) -> np.ndarray:
    """`value` as a finite float64 matrix whose rows have the length 1 within 1e-9."""
    array = real_array(name, value, ndim=2)
    with np.errstate(over="ignore"):
        length = np.linalg.norm(array, axis=1)
    if (far := abs(length - 1)).max() > 1e-9:
        raise ValueError(f"{name} takes rows of length 1, got a length of {length[far.argmax()]:.12g}")
    return array


def real_matrix(name: str, value, *, dtype: type | None = np.float64) -> np.ndarray | sp.csr_array:
    """`value` as a finite float64 matrix, an ndarray, or a CSR array where it is sparse; dtype=None keeps its own."""
    if not sp.issparse(value):
        return real_array(name, value, ndim=2, dtype=dtype)
    if value.dtype.kind not in "biuf":
        raise TypeError(f"{name} takes real numbers, got dtype {value.dtype}")
    if value.ndim != 2 or 0 in value.shape:
        raise ValueError(f"{name} takes a non-empty 2-dimensional array, got shape {value.shape}")
    works = value.dtype.isnative and value.dtype.char != "e" and value.dtype.itemsize <= 8  # SciPy may hold the others
    if dtype or value.format != "csr" or not works or not value.has_canonical_format:
        value = _to_double(name, value)  # first: duplicates of small integers add up in their own type
    matrix = sp.csr_array(value)  # a new object unless `value` is one already
    if not matrix.has_canonical_format:
        matrix = matrix.copy()  # the caller's own matrix stays as it was
        matrix.sum_duplicates()
    _require_finite(name, matrix.data)
    return matrix


def dense_matrix(name: str, value) -> np.ndarray:
    """`value` as a finite float64 matrix, held dense where it is sparse, too."""
    matrix = real_matrix(name, value)
    return matrix if isinstance(matrix, np.ndarray) else matrix.toarray()


def _to_double(name, value):
    """A sparse array as float64, its duplicates still apart."""
    value = value.tocoo() if value.format in ("dok", "lil") else value
    if value.dtype.itemsize > 8:
        _converted(name, value.data, np.float64)
    return value.astype(np.float64, copy=False)


def _converted(name: str, array: np.ndarray, dtype: type | None) -> np.ndarray:
    """`array` in this dtype, if it holds the numbers: long doubles may be beyond it, or between it and 0."""
    with np.errstate(over="ignore", under="ignore"):
        converted = array.astype(dtype or array.dtype, copy=False)
    _require_finite(name, converted)
    if array.dtype.itemsize > converted.dtype.itemsize and (lost := (converted == 0) & (array != 0)).any():
        raise ValueError(f"{name} takes numbers that a float64 holds, got {array[lost][0]!r}")
    return converted


def _require_finite(name: str, array: np.ndarray) -> None:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        bad = np.count_nonzero(~np.isfinite(array))
        raise ValueError(f"{name} takes finite numbers, got {bad} NaN or infinite value(s)")


def real_number(
    name: str,
    value,
    *,
    at_least: float = -np.inf,
    above: float = -np.inf,
    at_most: float = np.inf,
    below: float = np.inf,
) -> float:
    """`value` as a finite float that keeps the bounds: at_least ≤ value ≤ at_most, above < value < below."""
    if isinstance(value, (bool, np.bool_, np.timedelta64)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} takes a real number, got {of_type(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = np.inf
    if not ((number or not value) and at_least <= number <= at_most and above < number < below):  # nor NaN, nor ±∞
        bounds = {"of at least": at_least, "above": above, "of at most": at_most, "below": below}
        wanted = " and ".join(f"{words} {bound:g}" for words, bound in bounds.items() if np.isfinite(bound))
        wanted = f"from {at_least:g} to {at_most:g}" if np.isfinite([at_least, at_most]).all() else wanted
        raise ValueError(f"{name} takes a finite number{wanted and ' ' + wanted}, got {shown(value)}")
    return number


def penalty(lam) -> float:
    """λ, the strength of a penalty: a finite number of at least 0."""
    return real_number("lam", lam, at_least=0.0)


def whole_number(name: str, value, *, low: int, high: int | None = None, why: str = "") -> int:
    """`value` as an int in [low, high]; `why` says where the upper bound comes from."""
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} takes an integer, got {of_type(value)}")
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} takes an integer, got {of_type(value)}") from None
    if number < low or (high is not None and number > high):
        limit = f"at least {low}" if high is None or (high == MANY and number < low) else f"from {low} to {high}{why}"
        raise ValueError(f"{name} takes an integer {limit}, got {shown(number)}")
    return number


def true_or_false(name: str, value) -> bool:
    """`value` as a bool: nothing else is taken for one."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} takes True or False, got {of_type(value)}")
    return bool(value)


def non_negative(name: str, array):
    """`array`, dense or sparse, unless one of its numbers is negative."""
    if (smallest := array.min()) < 0:
        raise ValueError(f"{name} takes numbers of at least 0, got a smallest of {smallest:g}")
    return array


def positive(name: str, array: np.ndarray) -> np.ndarray:
    """`array`, unless one of its numbers is 0 or negative."""
    if (smallest := array.min()) <= 0:
        raise ValueError(f"{name} takes positive numbers, got a smallest of {smallest:g}")
    return array


def zero_one(name: str, array: np.ndarray) -> np.ndarray:
    """`array`, unless it holds another number than 0 and 1."""
    if other := array[(array != 0) & (array != 1)].tolist():
        raise ValueError(f"{name} takes 0 and 1 only, got {other[0]:g}")
    return array


def zero_one_matrix(name: str, value) -> np.ndarray:
    """`value` as a dense 0/1 matrix."""
    return zero_one(name, dense_matrix(name, value))


def item_integers(name: str, value, n_items: int) -> np.ndarray:
    """`value` as an array of integers, one for each item."""
    array = integers(name, value)
    require_same(f"{name}, one for each item", array.shape, (n_items,))
    return array


def integers(name: str, value) -> np.ndarray:
    """`value` as an array of signed integers, so that differences have a sign."""
    array = plain_array(name, value)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} takes integers, got dtype {array.dtype}")
    if array.dtype.kind == "u" and array.size and array.max() > np.iinfo(np.int64).max:
        raise ValueError(f"{name} takes integers below 2^63, got {array.max()}")
    return array.astype(np.int64, copy=False)


def one_of(name: str, value, choices: Collection[str]) -> str:
    """`value`, unless it is none of the choices."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} takes one of {tuple(choices)}, got {shown(value)}")
    return value


def text(name: str, value) -> str:
    """`value`, unless it is no text."""
    if not isinstance(value, str):
        raise TypeError(f"{name} takes text, got {of_type(value)}")
    return value


def function(name: str, value, of: str) -> Callable:
    """`value`, unless it cannot be called; `of` says with what it is."""
    if not callable(value):
        raise TypeError(f"{name} takes a function of {of}, got {of_type(value)}")
    return value


def listed(name: str, value, of: str) -> list:
    """What stands in a list, a tuple or the like, one by one, which `of` names.

    A text, bytes, a dict, a set and a sparse array are none.
    """
    if (
        isinstance(value, (str, bytes, bytearray, memoryview, Mapping, Set))
        or sp.issparse(value)
        or not isinstance(value, Iterable)
        or not getattr(value, "ndim", 1)
    ):
        raise TypeError(f"{name} takes a sequence of {of}, got {of_type(value)}")
    return list(value)


def instance_of(name: str, value, kind: type[T]) -> T:
    """`value`, unless it is of another class."""
    if not isinstance(value, kind):
        raise TypeError(f"{name} takes {kind.__name__}, got {type(value).__name__}")
    return value


def require_same(what: str, got: object, takes: object) -> None:
    """Raise unless two shapes or sizes agree; `what` says of which arguments they are."""
    if got != takes:
        raise ValueError(f"{what}: got {got}, takes {takes}")


def seed_sequence(rng) -> np.random.SeedSequence:
    """The SeedSequence that `rng` stands for, for draws that are keyed by number: never mutated.

    The state of a Generator gives it, and moves on.
    """
    if isinstance(rng, np.random.SeedSequence):
        return rng
    if isinstance(rng, (np.random.Generator, np.random.BitGenerator)):
        words = np.random.default_rng(rng).integers(2**32, size=4, dtype=np.uint32)  # 128 bits, as many as its pool has
        return np.random.SeedSequence(words.tolist())
    return np.random.SeedSequence(_entropy(rng))


def generator(rng) -> np.random.Generator:
    """The Generator that `rng` stands for, for draws one after another: `rng` itself if it is one."""
    kinds = (np.random.SeedSequence, np.random.Generator, np.random.BitGenerator)
    return np.random.default_rng(rng if isinstance(rng, kinds) else _entropy(rng))


def _entropy(rng):
    """An integer, a list of integers, or None: all else is refused."""
    if rng is None:
        return None
    try:
        if isinstance(rng, (list, tuple, np.ndarray)) and np.ndim(rng) == 1 and len(rng):
            return [whole_number("rng", part, low=0) for part in rng]
        return whole_number("rng", rng, low=0)
    except (TypeError, ValueError) as error:
        takes = "rng takes an integer of at least 0, several of them, a SeedSequence, a Generator or None"
        raise type(error)(f"{takes}, got {shown(rng)}") from None

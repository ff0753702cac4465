"""Checks that can fail: each claim of the paper and of this book is one of these calls."""

from __future__ import annotations

import functools
import importlib.resources
import re
from fractions import Fraction

import numpy as np
import yaml

from ._check_lines import say
from ._validation import of_type, plain_array, real_number, shown, text


@functools.cache
def _claim_ids() -> frozenset[str]:
    text = importlib.resources.files("cossim_helpers").joinpath("claims.yml").read_text(encoding="utf-8")
    return frozenset(claim["id"] for claim in yaml.safe_load(text)["claims"])


def check(claim_id: str, actual, expected, *, rtol: float = 0.0, atol: float = 1e-10, of: str | None = None) -> None:
    """Assert that two arrays, computed in two ways, are equal: |actual − expected| ≤ atol + rtol |expected|.

    Parameters
    ----------
    claim_id : str
        An id of claims.yml.
    actual : array_like
    expected : array_like
        Of the same shape, or a single number.
    rtol, atol : float
        Tolerances, at least 0 and finite.
    of : str, optional
        What the check verifies: the label of an equation, a theorem, an exercise or a section of the book.

    Prints one line, the same on every machine: id, label, rule and tolerances. In a notebook the lines of a cell stand
    below all else that it prints, and equal lines that follow each other are one, with their count.

    Raises
    ------
    AssertionError
        Where the arrays differ by more, or hold NaN or infinite values.
    ValueError
        For an unknown id, a text that is no label, shapes that do not match, an empty array, or one array given twice.
    TypeError
        For booleans and everything else that is not a real number.
    """
    name = _name(claim_id, of)
    rtol, atol = real_number("rtol", rtol, at_least=0.0), real_number("atol", atol, at_least=0.0)
    actual, expected = _two_arrays(claim_id, ("actual", actual), ("expected", expected))
    with np.errstate(over="ignore", invalid="ignore"):
        excess = np.asarray(abs(actual - expected) - (atol + rtol * abs(expected)))
    if not (fine := excess <= 0).all():
        worst = np.unravel_index(np.argmax(np.where(fine, -np.inf, excess)), excess.shape)
        raise AssertionError(
            f"{claim_id}: {np.count_nonzero(~fine)} of {excess.size} differ by more than rtol={rtol:g}, "
            f"atol={atol:g}; at {tuple(int(i) for i in worst)}: {actual[worst]!r} against "
            f"{np.broadcast_to(expected, actual.shape)[worst]!r}"
        )
    say(f"[ok] {name}: equal within rtol={rtol:g}, atol={atol:g}")


def check_differs(claim_id: str, a, b, *, at_least: float, of: str | None = None) -> None:
    """Assert that two arrays differ somewhere by at least `at_least`: max |a − b| ≥ at_least > 0.

    Arguments, errors and the printed line as in `check`.
    """
    name = _name(claim_id, of)
    at_least = real_number("at_least", at_least, above=0.0)
    a, b = _two_arrays(claim_id, ("a", a), ("b", b))
    with np.errstate(over="ignore"):
        difference = np.asarray(abs(a - b)).max()
    if difference < at_least:
        raise AssertionError(
            f"{claim_id}: the largest difference is {float(difference):.6g}, expected at least {at_least:g}"
        )
    say(f"[ok] {name}: differ by at least {at_least:g}")


def check_at_most(claim_id: str, value, bound, *, of: str | None = None) -> None:
    """Assert value ≤ bound, everywhere where they are arrays: for inequalities and residuals.

    Arguments, errors and the printed line as in `check`; the line names the bound only if it is a single number.
    """
    _check_bound(claim_id, value, bound, of, sign=1)


def check_at_least(claim_id: str, value, bound, *, of: str | None = None) -> None:
    """Assert value ≥ bound, everywhere where they are arrays: for inequalities the other way round.

    Arguments, errors and the printed line as in `check_at_most`.
    """
    _check_bound(claim_id, value, bound, of, sign=-1)


def _check_bound(claim_id, value, bound, of, sign):
    name = _name(claim_id, of)
    value, bound = _two_arrays(claim_id, ("value", value), ("bound", bound))
    with np.errstate(over="ignore"):
        excess = np.asarray(sign * (value - bound))
    if (excess > 0).any():
        verb = "exceed" if sign > 0 else "fall short of"
        raise AssertionError(
            f"{claim_id}: {np.count_nonzero(excess > 0)} of {excess.size} {verb} their bound, "
            f"by up to {float(excess.max()):.6g}"
        )
    say(
        f"[ok] {name}: at {'most' if sign > 0 else 'least'} "
        + (f"{float(bound):g}" if bound.ndim == 0 else "its bound, everywhere")
    )


def _name(claim_id, of):
    """Return how the check's line names the claim, and what of it is checked."""
    if text("claim_id", claim_id) not in _claim_ids():
        raise ValueError(f"claim_id takes an id of claims.yml, got {shown(claim_id)}")
    if of is None:
        return claim_id
    if not isinstance(of, str):
        raise TypeError(f"of takes a label of the book, as a str, got {of_type(of)}")
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", of):
        raise ValueError(f"of takes a label of the book, such as 'eq-1' or 'thm-orbit', got {shown(of)}")
    return f"{claim_id} ({of})"


def _two_arrays(claim_id, first, second):
    (name_1, value_1), (name_2, value_2) = first, second
    array_1, array_2 = _numbers(name_1, value_1), _numbers(name_2, value_2)
    if array_2.shape not in ((), array_1.shape):
        raise ValueError(
            f"{name_2} takes a single number or an array of shape {array_1.shape} like {name_1}, "
            f"got shape {array_2.shape}"
        )
    # Small integers are one object wherever they come from, so for those identity says nothing.
    if (value_1 is value_2 and not isinstance(value_1, int)) or _same_memory(array_1, array_2):
        raise ValueError(f"{name_1} and {name_2} are the same object, which checks nothing; compute one of them anew")
    _require_finite(claim_id, array_1, array_2)
    return _comparable(array_1, array_2)


def _comparable(*arrays):
    """Numbers that keep all digits: float64, long doubles beside such, fractions beside integers beyond 2^53."""
    if any(array.dtype.kind in "iu" and (array.max() > 2**53 or array.min() < -(2**53)) for array in arrays):
        return [np.asarray(np.frompyfunc(Fraction, 1, 1)(array)) for array in arrays]
    return [array.astype(np.result_type(np.float64, *arrays)) for array in arrays]


def _numbers(name, value):
    array = plain_array(name, value)
    if array.dtype.kind not in "iuf":
        raise TypeError(
            f"{name} takes real numbers, got {array.dtype}: compare the numbers behind it, not a verdict about them"
        )
    if array.size == 0:
        raise ValueError(f"{name} takes at least one number, got an empty array of shape {array.shape}")
    return array


def _same_memory(a, b):
    x, y = a.__array_interface__, b.__array_interface__
    return x["data"][0] == y["data"][0] and a.strides == b.strides


def _require_finite(claim_id, *arrays):
    if not all(np.isfinite(array).all() for array in arrays):
        raise AssertionError(f"{claim_id}: NaN or infinite values, which equal and bound nothing")

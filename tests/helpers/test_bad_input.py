"""Every kind of bad and of unusual input in every argument of every public callable.

Each call gives a right result, or a ValueError or TypeError that names the argument and what it got: never an error of
another kind, never a warning, never a changed input, and no result holds the caller's own array.
"""

from __future__ import annotations

import copy
import dataclasses
import inspect
import re
import sys
import types
import warnings
from collections.abc import Mapping

import matplotlib
import numpy as np
import pytest
import scipy.sparse as sp
from calls import ANY, CALLS, CONSTANTS, ERRORS, FINITE, MAY, RECORDS, REFUSED, SAME, Call
from inside import leaves, parts
from kinds import KINDS, lists

import cossim_helpers

PLACES = [(name, argument) for name, call in CALLS.items() for argument in call.takes]


# --- the table is complete ---


def public():
    """Name → callable of all that the package exports, public methods that take arguments included."""
    for name in cossim_helpers.__all__:
        value = getattr(cossim_helpers, name)
        yield name, value
        if inspect.isclass(value):
            for method, function in vars(value).items():
                if inspect.isfunction(function) and not method.startswith("_"):
                    yield f"{name}.{method}", function


def test_no_public_callable_is_missing():
    named = {name for name, _ in public()}
    covered = {name.partition(",")[0] for name in CALLS}
    listed = covered | RECORDS.keys() | set(ERRORS) | set(CONSTANTS)
    new, gone = sorted(named - listed), sorted(listed - named)
    assert not new, f"a small call of each belongs into CALLS of tests/calls.py, with what its arguments take: {new}"
    assert not gone, f"the package has them no more, and tests/calls.py still has: {gone}"
    assert not covered & (RECORDS.keys() | set(ERRORS) | set(CONSTANTS))


def test_no_argument_is_missing():
    for name, value in public():
        if any(name == entry.partition(",")[0] for entry in CALLS):
            asked = set().union(*(c.takes for entry, c in CALLS.items() if entry.partition(",")[0] == name))
            assert asked == set(inspect.signature(value).parameters) - {"self"}, f"{name}: tests/calls.py"


def test_what_is_left_out_is_what_the_table_says():
    for name in RECORDS:
        record = getattr(cossim_helpers, name)
        assert issubclass(record, tuple) or record.__dataclass_params__.frozen
    for name in ERRORS:
        assert issubclass(getattr(cossim_helpers, name), Exception)
    for name in CONSTANTS:
        assert not callable(getattr(cossim_helpers, name))


# --- what becomes of a call ---


@dataclasses.dataclass
class Outcome:
    """What a call gave: a result or an error; and what it did to its arguments."""

    result: object = None
    error: BaseException | None = None
    harm: str = ""


def state(value) -> object:
    """All that a call may not change of an argument."""
    if isinstance(value, np.ma.MaskedArray):
        return state(value.data), state(np.ma.getmaskarray(value))
    if isinstance(value, np.ndarray):
        flags = (value.flags.writeable, value.flags.c_contiguous, value.flags.f_contiguous, value.strides)
        content = value.tolist() if value.dtype.hasobject else value.tobytes()
        return type(value), value.dtype.str, value.shape, flags, content
    if sp.issparse(value):
        parts = {n: state(p) for n, p in vars(value).items() if isinstance(p, (np.ndarray, tuple))}
        return value.format, value.shape, parts, state(value.toarray() if value.format in ("lil", "dok") else None)
    if isinstance(value, Mapping):
        return [(key, state(one)) for key, one in value.items()]
    if isinstance(value, (list, tuple)):
        return type(value), [state(one) for one in value]
    if hasattr(value, "to_numpy"):
        return type(value), str(getattr(value, "dtypes", "")), repr(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(one.name, state(getattr(value, one.name))) for one in dataclasses.fields(value)]
    return type(value)


def flat(value):
    """(path, array) of all numbers, and (path, value) of all else in a result."""
    for path, one in leaves(value):
        if path.endswith(".dtype"):  # of the caller's table
            continue
        one = one.toarray() if sp.issparse(one) else one
        if isinstance(one, (np.ndarray, np.generic, float, int)) and not isinstance(one, bool):
            yield path, np.asarray(one)
        else:
            yield path, one if isinstance(one, (str, bool, type(None))) else type(one)


def difference(one, other, digits) -> str:
    """Where two results differ, or nothing."""
    one, other = dict(flat(one)), dict(flat(other))
    if one.keys() != other.keys():
        return f"holds {sorted(one)} in place of {sorted(other)}"
    for path, a in one.items():
        b = other[path]
        if not isinstance(a, np.ndarray) or not isinstance(b, np.ndarray):
            if a is not b and a != b:
                return f"{path} is {a!r}, not {b!r}"
        elif a.shape != b.shape or a.dtype.kind != b.dtype.kind:
            return f"{path} is {a.dtype}{a.shape}, not {b.dtype}{b.shape}"
        elif a.dtype.kind in "iub" or not a.size:
            if not np.array_equal(a, b):
                return f"{path} has other integers"
        elif (gap := abs(a - b).max()) > digits * max(abs(b).max(), 1e-300):
            return f"{path} is off by {gap:.3g}"
    return ""


def not_finite(result) -> str:
    return next(
        (
            path
            for path, a in flat(result)
            if isinstance(a, np.ndarray) and a.dtype.kind == "f" and not np.isfinite(a).all()
        ),
        "",
    )


def run(function, arguments) -> Outcome:
    before = {name: state(value) for name, value in arguments.items()}
    found = Outcome()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found.result = function(**arguments)
    except Exception as error:
        found.error = error
    if (pyplot := sys.modules.get("matplotlib.pyplot")) is not None:
        pyplot.close("all")
    changed = [name for name, value in arguments.items() if state(value) != before[name]]
    if changed:
        found.harm = f"changed {', '.join(changed)}"
    passed = [value for value in arguments.values() if not dataclasses.is_dataclass(value)]  # those are frozen
    own = [one for value in passed for _, one in parts(value) if one.size]
    if found.error is None and any(
        np.may_share_memory(a, b) and np.shares_memory(a, b) for _, a in parts(found.result) for b in own
    ):
        found.harm = "the result holds memory of the caller's"
    return found


def fault(outcome: Outcome, argument: str, expected: str, plain: Outcome | None, call: Call) -> str:
    """What is wrong with an outcome, or nothing."""
    error, allowed = outcome.error, call.raises
    if outcome.harm:
        return outcome.harm
    if isinstance(error, allowed) and expected != REFUSED:
        return ""
    if error is not None:
        if not isinstance(error, (ValueError, TypeError)) or isinstance(error, UnicodeError):
            return f"{type(error).__name__}: {error}"
        if expected == ANY:
            return ""
        if expected == SAME and plain.error is None:
            return f"is refused: {error}"
        if not re.search(rf"(?<![\w.]){re.escape(argument)}(?!\w)", str(error)):
            return f"error without the name: {error}"
        if not re.search(r"\bgot\b", str(error)):
            return f"error without what it got: {error}"
        return ""
    if expected == ANY:
        return ""
    if expected == REFUSED:
        return f"is accepted, and gives {type(outcome.result).__name__}"
    if where := not_finite(outcome.result):
        return f"{where} is not finite"
    if expected in (SAME, MAY):
        if plain.error is not None:
            return f"is accepted, but plain numbers are refused: {plain.error}"
        return difference(outcome.result, plain.result, call.digits)
    return ""


def fresh(call):
    return {name: copy.deepcopy(value) for name, value in call.arguments.items()}


def faults(call, argument) -> list[str]:
    """All that is wrong with one argument of a callable."""
    takes, found = call.takes[argument], []
    for name, value, expected, plain in kinds_of(takes.role, call.arguments[argument]):
        if value is None and takes.optional:
            expected = FINITE
        if name in takes.but:
            expected = takes.but[name][0]
        of_plain = None
        if expected in (SAME, MAY):
            of_plain = run(call.function, fresh(call) | {argument: plain})
        outcome = run(call.function, fresh(call) | {argument: value})
        if what := fault(outcome, argument, expected, of_plain, call):
            found.append(f"{name}: {what}")
    return found


def kinds_of(role, value):
    return KINDS.get(role, lists)(value)


def not_installed(package, name):
    raise cossim_helpers.DataNotInstalled(package)


@pytest.fixture(scope="module", autouse=True)
def without_compiling():
    """JAX in no call: what would be trained comes back as it started. Figures go nowhere."""
    stub = types.ModuleType("cossim_helpers.trained._jax")
    stub.train = lambda X, q, recipe, seed, keep: {one: dict.fromkeys("WB", X.T[:, :2] + seed % 7) for one in keep}
    stub.train_cosine = lambda X, A, B, loss, steps, rate: (np.array(A), np.array(B), 1.0, float(X.sum()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, stub.__name__, stub)
        patch.setattr(cossim_helpers.trained, "_jax", stub, raising=False)
        patch.setattr(cossim_helpers.datasets, "_file", not_installed)  # whatever is installed
        patch.setattr(cossim_helpers.datasets, "_module", not_installed)
        matplotlib.use("agg")
        yield


@pytest.mark.parametrize("name", CALLS)
def test_the_call_is_valid(name):
    outcome = run(CALLS[name].function, fresh(CALLS[name]))
    assert outcome.error is None or isinstance(outcome.error, CALLS[name].raises)
    assert not outcome.harm


@pytest.mark.parametrize(("name", "argument"), PLACES)
def test_every_kind_of_input(name, argument):
    found = faults(CALLS[name], argument)
    assert not found, f"{len(found)} of {argument}:\n" + "\n".join(found)


@pytest.mark.parametrize("name", CALLS)
def test_a_misspelled_argument(name):
    call = CALLS[name]
    with pytest.raises(TypeError, match="got an unexpected keyword argument 'no_such_argument'"):
        call.function(**fresh(call), no_such_argument=1)


def test_every_exception_is_a_kind_that_there_is():
    for name, argument in PLACES:
        takes = CALLS[name].takes[argument]
        kinds = {kind[0] for kind in kinds_of(takes.role, CALLS[name].arguments[argument])}
        for kind, (outcome, why) in takes.but.items():
            assert kind in kinds or kind.startswith("data frame"), (name, argument, kind)
            assert outcome in (REFUSED, SAME, MAY, FINITE, ANY)
            assert why


# --- the test fails where it should ---


def _another_error(M):
    raise KeyError("M")


def _nameless(M):
    raise ValueError("takes a matrix, got another thing")


def _without_what(M):
    raise ValueError("M takes a matrix")


def _misnamed(M):
    raise ValueError("M_2 takes a matrix, got another thing")


def _warns(M):
    warnings.warn("careful", UserWarning, stacklevel=1)


def _changes(M):
    M[0, 0] += 1
    return 1.0


def _freezes(M):
    M.flags.writeable = False
    return 1.0


def _shares(M):
    return np.asarray(M)[1:]


@dataclasses.dataclass(frozen=True)
class _Frozen:
    M: np.ndarray


def _infinite(M):
    return {"one": [np.full(2, np.inf)]}


PLAIN = np.array([[1.0, 2.0], [3.0, 5.0]])


@pytest.mark.parametrize(
    ("function", "value", "expected", "words"),
    [
        (_another_error, PLAIN, FINITE, "KeyError"),
        (_nameless, PLAIN, FINITE, "error without the name"),
        (_misnamed, PLAIN, FINITE, "error without the name"),
        (_without_what, PLAIN, FINITE, "error without what it got"),
        (_warns, PLAIN, FINITE, "UserWarning"),
        (_changes, PLAIN, FINITE, "changed M"),
        (_freezes, PLAIN, FINITE, "changed M"),
        (_shares, PLAIN, FINITE, "memory of the caller's"),
        (lambda M: _Frozen(M), PLAIN, FINITE, "memory of the caller's"),
        (lambda M: _Frozen(M.data), sp.csr_array(PLAIN), FINITE, "memory of the caller's"),
        (_infinite, PLAIN, FINITE, "is not finite"),
        (lambda M: 1.0, PLAIN, REFUSED, "is accepted"),
        (lambda M: float(M.dtype == float), PLAIN.astype(int), SAME, "is off"),
        (lambda M: str(M.dtype), PLAIN.astype(int), MAY, "is 'int64', not 'float64'"),
        (lambda M: _nameless(M) if M.dtype == int else 1.0, PLAIN.astype(int), SAME, "is refused"),
        (lambda M: 1.0 if M.dtype == int else _nameless(M), PLAIN.astype(int), MAY, "plain numbers are refused"),
        (lambda M: M.sum(), PLAIN.astype(int), SAME, "is int64(), not float64()"),
        (lambda M: np.zeros(M.strides[0] // 8), np.asfortranarray(PLAIN[:, :1]), SAME, "is float64(1,), not"),
    ],
)
def test_each_kind_of_fault_is_found(function, value, expected, words):
    of_plain = run(function, {"M": np.array(PLAIN)})
    found = fault(run(function, {"M": copy.deepcopy(value)}), "M", expected, of_plain, Call(function, {}, {}))
    assert words in found


def test_what_is_right_is_no_fault():
    for value in (PLAIN.astype(int), PLAIN.tolist(), np.asfortranarray(PLAIN)):
        right = Call(lambda M: np.asarray(M, dtype=float).sum(), {}, {})
        of_plain = run(right.function, {"M": PLAIN})
        assert not fault(run(right.function, {"M": value}), "M", SAME, of_plain, right)

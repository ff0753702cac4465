"""What frozen objects hold: arrays of their own, read-only, so that whatever others write later reaches none of them.

What a caller passes is copied. What this package has made for the object alone is not: its makers say `ours`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

import numpy as np
import scipy.sparse as sp

from ._validation import plain_array, real_array

T = TypeVar("T")


class _Ours:
    """What its maker hands over, and nobody else knows."""

    def __init__(self, value):
        self.value = value


def ours(value: T) -> T:
    """`value`, for a frozen object that need not copy it: no one else may hold it, nor what it is a view of."""
    return cast(T, _Ours(value))


def hold(owner, **checks: Callable[[str, Any], Any]) -> None:
    """Give each named field of a frozen object its own read-only copy of what was passed, once its check has let it in.

    A check takes the name and the value, and returns an array, a sparse array, or a dict of arrays.
    """
    for name, check in checks.items():
        given = getattr(owner, name)
        is_ours = isinstance(given, _Ours)
        value = check(name, given.value if is_ours else given)
        object.__setattr__(owner, name, _read_only(value if is_ours else _copied(value)))


def vector(name: str, value) -> np.ndarray:
    return real_array(name, value, ndim=1)


def matrix(name: str, value) -> np.ndarray:
    return real_array(name, value, ndim=2)


def as_it_is(name: str, value):
    """A sparse array or a dict as it is, all else as an array of its own type and shape."""
    return value if sp.issparse(value) or isinstance(value, Mapping) else plain_array(name, value)


def _copied(value):
    if isinstance(value, Mapping):
        return {key: _copied(np.asarray(one)) for key, one in value.items()}
    return value.copy() if sp.issparse(value) else value.copy(order="K")


def _read_only(value):
    if isinstance(value, Mapping):
        return {key: _read_only(np.asarray(one)) for key, one in value.items()}
    for part in (value.data, value.indices, value.indptr) if sp.issparse(value) else (value,):
        part.flags.writeable = False
    return value

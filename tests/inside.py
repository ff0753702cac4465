"""What a value holds: its arrays, wherever they are."""

import dataclasses
from collections.abc import Mapping

import numpy as np
import scipy.sparse as sp


def leaves(value, name="it"):
    """(where, part) of each part of a value that is no mapping, list, tuple or dataclass, at any depth."""
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield from leaves(one, f"{name}[{key!r}]")
    elif isinstance(value, (list, tuple)):
        for place, one in enumerate(value):
            yield from leaves(one, f"{name}[{place}]")
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from leaves(getattr(value, field.name), f"{name}.{field.name}")
    else:
        yield name, value


def parts(value, name="it"):
    """(where, array) of each array in a value, at any depth."""
    for where, one in leaves(value, name):
        if isinstance(one, (np.ndarray, memoryview)):
            yield where, np.asarray(one)
        elif sp.issparse(one):
            yield from parts(vars(one), where)
        elif hasattr(one, "to_numpy") and getattr(one, "ndim", 0):
            yield where, one.to_numpy()

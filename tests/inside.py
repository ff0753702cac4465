"""What a value holds: its arrays, wherever they are."""

import dataclasses
from collections.abc import Mapping

import numpy as np
import scipy.sparse as sp


def parts(value, name="it"):
    """(where, array) of each array in a value, at any depth."""
    if isinstance(value, np.ndarray):
        yield name, value
    elif sp.issparse(value):
        yield from parts(vars(value), name)
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from parts(one, f"{name}[{key!r}]")
    elif isinstance(value, (list, tuple)):
        for place, one in enumerate(value):
            yield from parts(one, f"{name}[{place}]")
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from parts(getattr(value, field.name), f"{name}.{field.name}")
    elif isinstance(value, memoryview):
        yield name, np.asarray(value)
    elif hasattr(value, "to_numpy") and getattr(value, "ndim", 0):
        yield name, value.to_numpy()

"""Tables of vectors as callers have them: arrays, memory maps, data frames. Nothing is copied that need not be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from .._validation import plain_array
from .neighbors import NUMBERS, row_blocks

SMALLEST, LARGEST = 1e-15, 1e15  # of the largest number of a table
SMALLEST_ROW = 1e-18  # of a row: its square keeps its digits in float32


def as_vectors(name: str, value, *, at_least: int = 2) -> np.ndarray:
    """`value` as a two-dimensional array of finite real numbers, one vector a row, with its own dtype.

    Data frames of numbers are taken as they are. Masked arrays, objects, text and complex numbers are refused, and so
    are numbers whose squares float32 does not hold: a factor moves no cosine, so the caller can take one.
    """
    table = plain_array(name, _dense(name, value))
    if table.ndim != 2 or 0 in table.shape:
        raise ValueError(f"{name} takes vectors, one a row, got shape {table.shape}")
    if table.dtype.kind not in "iuf":
        raise TypeError(f"{name} takes real numbers, got dtype {table.dtype}")
    if len(table) < at_least:
        raise ValueError(f"{name} takes at least {at_least} rows, got {len(table)}")
    largest, lost = 0.0, None  # of all numbers; the first row that float32 takes for zero though it is not
    for first, rows in row_blocks(table):
        sizes = np.maximum(rows.max(axis=1), -rows.min(axis=1))
        largest = max(largest, float(sizes.max()))  # NaN fails the next line
        if not np.isfinite(rows).all():
            row, column = np.argwhere(~np.isfinite(rows))[0]
            what = table[first + row, column]
            why = "beyond the range of float32" if np.isfinite(what) else "NaN or infinite"
            raise ValueError(
                f"{name} takes finite numbers, got {what} ({why}) in row {first + row}, column {column}, counted from 0"
            )
        if lost is None:
            tiny = first + np.flatnonzero(sizes < SMALLEST_ROW)
            lost = next(iter(tiny[np.any(table[tiny], axis=1)]), None)
    if not SMALLEST <= largest <= LARGEST and np.any(table[:]):
        raise ValueError(
            f"{name} takes numbers whose largest is from {SMALLEST:.0e} to {LARGEST:.0e}, got {largest:.0e}: multiply "
            "all by one factor, which moves no cosine"
        )
    if lost is not None:
        raise ValueError(
            f"{name} takes rows whose largest number is at least {SMALLEST_ROW:.0e}, or rows of zeros, got "
            f"{abs(table[lost]).max():.3g} in row {lost}, counted from 0: multiply it by a factor, which moves no "
            "cosine"
        )
    return table


def _dense(name: str, value):
    if hasattr(value, "toarray"):
        raise TypeError(f"{name} takes a dense table, got {type(value).__name__}: call its toarray()")
    return _of_frame(name, value) if hasattr(value, "to_numpy") else value


def _of_frame(name: str, value):
    """The numbers of a data frame; missing ones become NaN, which is refused by place."""
    if getattr(value, "ndim", 2) != 2:
        raise ValueError(f"{name} takes vectors, one a row, got a {type(value).__name__} of shape {value.shape}")
    dtypes = getattr(value, "dtypes", None)
    kinds = [kind for kind in (dtypes if isinstance(dtypes, Iterable) else ()) if hasattr(kind, "kind")]
    for kind in kinds:
        if kind.kind not in "iuf":
            raise TypeError(f"{name} takes columns of numbers, got a data frame with a column of {kind}")
    if all(isinstance(kind, np.dtype) for kind in kinds):
        return value.to_numpy()
    return value.to_numpy(dtype=np.float64, na_value=np.nan)


def exact_blocks(E: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """(first, rows) over all rows of E, as float64."""
    for first, rows in row_blocks(E, NUMBERS // 2):
        yield first, np.asarray(E[first : first + len(rows)], dtype=np.float64)


def chosen_rows(
    E: np.ndarray, n_queries: int, rng: np.random.Generator, *others: np.ndarray, names: str = "E takes"
) -> np.ndarray:
    """At most n_queries rows, sorted, drawn among those that have a length in every table."""
    usable = np.ones(len(E), dtype=bool)
    for table in (E, *others):
        for first, rows in row_blocks(table):
            usable[first : first + len(rows)] &= rows.any(axis=1)
    rows = np.flatnonzero(usable)
    if not len(rows):
        what = "a length in both, got none" if others else "a length, got rows of zeros only"
        raise ValueError(f"{names} vectors of which some have {what}")
    return np.sort(rng.choice(rows, min(n_queries, len(rows)), replace=False))


def require_different(name: str, E: np.ndarray) -> None:
    """Refuse a table that holds one vector only, in all its rows."""
    first = np.asarray(E[0], dtype=np.float32)
    if not any((rows != first).any() for _, rows in row_blocks(E)):
        raise ValueError(f"{name} takes vectors that differ, got one vector {len(E):,} times")


def interval(shares: np.ndarray) -> float:
    """Half a 95% interval of the mean over queries: 1.96 standard errors."""
    return float(1.96 * shares.std(ddof=1) / np.sqrt(len(shares))) if len(shares) > 1 else float("nan")

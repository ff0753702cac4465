"""Vectors from .parquet, by whichever reader is installed."""

from __future__ import annotations

import glob
import importlib
import importlib.util
from pathlib import Path

import numpy as np

from .fault import FileFault, is_name

READERS = ("pyarrow", "polars", "duckdb", "fastparquet")
CHUNK = 10_000  # rows that stand in memory as Python objects
_OF_DUCKDB = "select * from read_parquet(?, hive_partitioning = false)"  # no columns from the names of folders


def read_parquet(path: Path, key: str | None):
    """The column of lists `key` (or the only one), or all columns of numbers side by side but those of names."""
    installed = [name for name in READERS if importlib.util.find_spec(name)]
    if not installed:
        lightest = "fastparquet" if importlib.util.find_spec("pandas") else "duckdb"
        raise FileFault(path, f".parquet needs one of {', '.join(READERS)}; the lightest: pip install {lightest}")
    try:
        columns = _COLUMNS[installed[0]](path)
    except Exception as error:  # each reader has errors of its own
        raise FileFault(path, f"{installed[0]} cannot read it: {str(error)[:80]}") from None
    return _rows(path, columns, key), None


def _rows(path: Path, columns: dict, key: str | None) -> np.ndarray:
    lists = [
        name for name, values in columns.items() if len(values) and isinstance(values[0], (list, tuple, np.ndarray))
    ]
    if key is None and len(lists) > 1:
        raise FileFault(path, f"holds {len(lists)} columns of lists, {lists[:8]}; name one by --key")
    if key is not None and key not in columns:
        raise FileFault(path, f"holds no column {key!r}, but {list(columns)[:8]}")
    key = lists[0] if key is None and lists else key
    if key is None:
        kept = [_with_gaps(values) for name, values in columns.items() if not is_name(name)]
        numbers = [values for values in kept if values.dtype.kind in "iuf"]
        if not numbers:
            raise FileFault(path, f"holds no column of numbers, but {list(columns)[:8]}")
        return np.column_stack(numbers)
    widths = {len(value) if np.ndim(value) == 1 else 0 for value in columns[key]}
    if len(widths) != 1 or widths == {0}:
        raise FileFault(path, f"column {key!r}: takes lists of one length, got lengths {sorted(widths)[:5]}")
    return np.asarray(columns[key])


def _with_gaps(values) -> np.ndarray:
    """A column as an array; a missing number is NaN, which is refused by its place."""
    return np.asarray([np.nan if value is None else value for value in values] if isinstance(values, list) else values)


def _by_pyarrow(path: Path) -> dict:
    table = importlib.import_module("pyarrow.parquet").read_table(path)
    return {name: _arrow_column(table.column(name).combine_chunks()) for name in table.column_names}


def _arrow_column(column):
    """A column of lists of one length as a table, without a Python object for each number; others as they are."""
    if column.null_count:
        return column.to_pylist()
    if "list" not in str(column.type).partition("<")[0]:  # a struct may hold lists
        return column.to_numpy(zero_copy_only=False)
    lengths = importlib.import_module("pyarrow.compute").list_value_length(column)
    if len(lengths.unique()) != 1:
        return column.to_pylist()
    return column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1)


def _by_polars(path: Path) -> dict:
    with path.open("rb") as file:  # a name could be a pattern of names
        frame = importlib.import_module("polars").read_parquet(file)
    return {
        name: _joined([frame[name].slice(first, CHUNK).to_list() for first in range(0, len(frame), CHUNK)])
        for name in frame.columns
    }


def _by_duckdb(path: Path) -> dict:
    cursor = importlib.import_module("duckdb").connect().execute(_OF_DUCKDB, [glob.escape(str(path))])
    names = [column[0] for column in cursor.description]
    chunks: dict[str, list] = {name: [] for name in names}
    while rows := cursor.fetchmany(CHUNK):
        for name, values in zip(names, zip(*rows)):
            chunks[name].append(_compact(values))
    return {name: _joined(parts) for name, parts in chunks.items()}


def _joined(chunks):
    """The chunks of a column as one table if they are lists of one length, else as one list."""
    parts = [_compact(values) for values in chunks]
    tables = [part for part in parts if isinstance(part, np.ndarray)]
    if len(tables) == len(parts) and len({part.shape[1:] for part in parts}) == 1:
        return np.concatenate(tables)
    return [value for part in parts for value in part]


def _compact(values):
    """Lists of one length as an array; what else there is as it stands."""
    if not all(isinstance(value, (list, tuple)) for value in values):
        return values
    return np.array(values) if len(set(map(len, values))) == 1 else values


def _by_fastparquet(path: Path) -> dict:
    with path.open("rb") as file:
        frame = importlib.import_module("fastparquet").ParquetFile(file).to_pandas()
    columns = {name: frame[name] for name in frame.columns}
    return {name: column.astype(object).where(column.notna(), None).tolist() for name, column in columns.items()}


_COLUMNS = {"pyarrow": _by_pyarrow, "polars": _by_polars, "duckdb": _by_duckdb, "fastparquet": _by_fastparquet}

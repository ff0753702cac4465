"""Vectors from files: each format by its suffix, without loading what could run code.

An error is one line that names the file and the place: what stands there, and what is taken.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .binary import read_npy, read_npz, read_safetensors, read_word2vec_binary
from .fault import FileFault, is_name
from .parquet import read_parquet

PICKLES = (".pkl", ".pickle", ".pt", ".pth", ".joblib", ".dill")


@dataclass(frozen=True)
class Vectors:
    """Vectors as a file holds them: `rows` (n, dim), memory-mapped where the format allows, and their names if any."""

    rows: np.ndarray
    names: tuple[str, ...] | None = None


def read_vectors(path, *, key: str | None = None) -> Vectors:
    """The vectors of a file, by its suffix.

    | suffix | what is read |
    |:--|:--|
    | .npy | the array, memory-mapped; .npz: the array `key`, or the only one |
    | .safetensors | the tensor `key`, or the only one of two dimensions; memory-mapped but for bfloat16 |
    | .csv, .tsv | one vector a line; a first line and a first column of text are a header and names; so is a "…_id" |
    | .jsonl | one array a line, or one object whose field `key` (or only array) is the vector; its "id" names it |
    | .vec, .txt | word2vec's text, with or without its line of counts: a name and the numbers; .bin: its binary form |
    | .parquet | the column of lists `key` (or the only one), or all columns of numbers |

    Parameters
    ----------
    path : str or path
    key : str, optional
        Which array, tensor, field or column.

    Returns
    -------
    Vectors
        As stored: nothing is cast but numbers that were text (float64; float32 in word2vec's forms) and bfloat16
        (float32).

    Raises
    ------
    FileFault
        A ValueError of one line that names the file and the place. Pickles are refused, since loading one runs code.
    """
    path = Path(path)
    if not path.is_file():
        raise FileFault(path, "no such file" if not path.exists() else "this is a folder; a file is taken")
    if path.stat().st_size == 0:
        raise FileFault(path, "the file is empty")
    suffix = path.suffix.lower()
    if suffix in PICKLES:
        raise FileFault(path, "a pickle is not loaded, since loading one can run any code; save the vectors as .npy")
    if suffix not in _READERS:
        raise FileFault(path, f"takes one of {', '.join(sorted(_READERS))}, got {suffix or 'no suffix'}")
    rows, names = _READERS[suffix](path, key)
    if rows.ndim != 2 or 0 in rows.shape:
        raise FileFault(path, f"takes an array of vectors, one a row, got shape {rows.shape}")
    if rows.dtype.kind not in "iuf":
        raise FileFault(path, f"takes real numbers, got dtype {rows.dtype}")
    return Vectors(rows, names)


def write_vectors(path, rows: np.ndarray) -> None:
    """Write vectors to a .npy or a .npz file (there as `vectors`). Another suffix raises FileFault."""
    path = Path(path)
    if path.suffix.lower() not in (".npy", ".npz"):
        raise FileFault(path, f"is written as .npy or .npz, got {path.suffix or 'no suffix'}")
    if not path.parent.is_dir():
        raise FileFault(path, "its folder does not exist")
    with path.open("wb") as file:
        np.save(file, rows) if path.suffix.lower() == ".npy" else np.savez(file, vectors=rows)


# --- text ---


def _read_delimited(delimiter: str) -> Callable:
    def read(path: Path, key: str | None):
        _no_key(path, key)
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = (
                (number, line) for number, line in enumerate(_decoded(path, csv.reader(file, delimiter=delimiter)), 1)
            )
            return _table(path, ((number, line) for number, line in lines if any(map(str.strip, line))))

    return read


def _table(path: Path, lines: Iterator[tuple[int, list[str]]]):
    """Rows and names from lines of cells. A header is a first line without numbers, or one that counts the columns."""
    number, first = next(lines, (1, [""]))
    indexed = len(first) > 1 and is_name(first[0])  # the column below holds names, even if they are numbers
    if _is_header(first):
        number, first = next(lines, (number, []))
        if not first:
            raise FileFault(path, "holds a header and no vector")
    else:
        indexed = False
    named, width = indexed or not _is_number(first[0]), len(first)
    rows, names = [_numbers(path, number, first, named)], [first[0]]
    for number, line in lines:
        if len(line) != width:
            raise FileFault(path, f"line {number} has {len(line)} cells, the first vector has {width}")
        rows.append(_numbers(path, number, line, named))
        names.append(line[0])
    return np.array(rows), tuple(names) if named else None


def _is_header(line: list[str]) -> bool:
    cells = line if line[0].strip() else line[1:]
    counted = [str(at) for at in range(len(cells))]
    return bool(cells) and (
        cells == counted != ["0"] or not any(_is_number(cell) or not cell.strip() for cell in cells)
    )


def _numbers(path: Path, number: int, line: list[str], named: bool) -> np.ndarray:
    cells = line[1:] if named else line
    if not cells:
        raise FileFault(path, f"line {number} holds a name and no number")
    try:
        return np.array(cells, dtype=np.float64)
    except ValueError:
        at, cell = next((i, c) for i, c in enumerate(cells) if not _is_number(c))
        raise FileFault(
            path,
            f"line {number}, cell {at + 1 + named}: takes a number, got {cell[:30]!r}; only the first cell may be text",
        ) from None


def _read_jsonl(path: Path, key: str | None):
    rows: list[np.ndarray] = []
    names: list = []
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(_decoded(path, file), 1):
            if not line.strip():
                continue
            vector, name = _json_vector(path, number, line, key)
            if rows and len(vector) != len(rows[0]):
                raise FileFault(path, f"line {number} has {len(vector)} numbers, the first vector has {len(rows[0])}")
            rows.append(vector)
            names.append(name)
    return np.array(rows, ndmin=2), tuple(map(str, names)) if names and None not in names else None


def _json_vector(path: Path, number: int, line: str, key: str | None):
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise FileFault(path, f"line {number} is no JSON: {str(error)[:60]}") from None
    name = None
    if isinstance(value, dict):
        name, value = value.get("id"), _field(path, number, value, key)
    if not isinstance(value, list) or not value:
        raise FileFault(path, f"line {number}: takes an array of numbers, got {str(value)[:30]!r}")
    for at, item in enumerate(value, 1):
        if isinstance(item, bool) or not isinstance(item, (int, float)):
            raise FileFault(path, f"line {number}, number {at}: takes a number, got {str(item)[:30]!r}")
    try:
        return np.array(value, dtype=np.float64), name
    except OverflowError:
        raise FileFault(path, f"line {number} holds an integer beyond the range of a double") from None


def _field(path: Path, number: int, value: dict, key: str | None):
    arrays = [name for name, item in value.items() if isinstance(item, list)]
    if key is None and len(arrays) != 1:
        raise FileFault(path, f"line {number} has {len(arrays)} arrays, {arrays[:5]}; name one by --key")
    key = arrays[0] if key is None else key
    if key not in value:
        raise FileFault(path, f"line {number} has no field {key!r}, but {list(value)[:5]}")
    return value[key]


def _read_word2vec(path: Path, key: str | None):
    """Word2vec's text form: "n dim", then a name and dim numbers a line. GloVe's has no line of counts."""
    _no_key(path, key)
    with path.open(encoding="utf-8-sig", newline="\n") as file:
        lines = enumerate(_decoded(path, file), 1)
        number, first = next(lines)
        counts = first.split()
        if len(counts) == 2 and all(c.isdecimal() for c in counts):
            n, dim = map(int, counts)
            number, first = next(lines, (1, ""))
        else:  # a name may hold spaces, and be a number
            words = [at for at, cell in enumerate(counts) if not _is_number(cell)]
            n, dim = -1, len(counts) - 1 - max(words, default=0)
        if dim < 1:
            raise FileFault(path, f"line {number}: takes a name and its numbers, got {first[:30]!r}")
        rows, names = [], []
        while first.strip():
            name, *cells = first.rstrip().rsplit(" ", dim)
            if len(cells) != dim:
                raise FileFault(path, f"line {number} has {len(cells)} numbers, {dim} are announced")
            rows.append(_numbers(path, number, [name, *cells], named=True).astype(np.float32))
            names.append(name)
            number, first = next(lines, (number + 1, ""))
    if n >= 0 and len(rows) != n:
        raise FileFault(path, f"announces {n} vectors and holds {len(rows)}")
    return np.array(rows, ndmin=2), tuple(names)


def _decoded(path: Path, lines: Iterable) -> Iterator:
    """The lines of a text, with one kind of error for bytes that are none and for cells without an end."""
    try:
        yield from lines
    except (UnicodeDecodeError, csv.Error) as error:
        raise FileFault(path, f"is no text in UTF-8: {error}") from None


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _no_key(path: Path, key: str | None) -> None:
    if key is not None:
        raise FileFault(path, f"{path.suffix} holds one array; --key {key} names none")


_READERS: dict[str, Callable] = {
    ".npy": read_npy,
    ".npz": read_npz,
    ".safetensors": read_safetensors,
    ".csv": _read_delimited(","),
    ".tsv": _read_delimited("\t"),
    ".jsonl": _read_jsonl,
    ".vec": _read_word2vec,
    ".txt": _read_word2vec,
    ".bin": read_word2vec_binary,
    ".parquet": read_parquet,
}

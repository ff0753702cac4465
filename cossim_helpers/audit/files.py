"""Vectors from files: each format by its suffix, without loading what could run code.

An error is one line that names the file and the place: what stands there, and what is taken.
"""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .binary import read_npy, read_npz, read_safetensors, read_word2vec_binary
from .fault import FileFault, is_name
from .parquet import read_parquet

PICKLES = (".pkl", ".pickle", ".pt", ".pth", ".joblib", ".dill")
LONGEST_COUNT = 18  # digits


@dataclass(frozen=True, eq=False)
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
    | .csv, .tsv | one vector a line; a first line and a first column of text are a header and names; so is a "…_id", |
    | | and a title before columns that are counted from 0 or 1, as a data frame with a named index has them |
    | .jsonl | one array a line, or one object whose field `key` (or only array) is the vector; its "id" names it |
    | .vec, .txt | word2vec's text, with or without its line of counts: a name and the numbers; .bin: its binary form |
    | | blank lines are skipped; a first line of numbers alone is refused, unless an integer can be its name |
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
        kind = "this is a folder" if path.is_dir() else "no regular file"
        raise FileFault(path, f"{kind}; a file is taken" if path.exists() else "no such file")
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
    require_writable(path)
    path = Path(path)
    with path.open("wb") as file:
        np.save(file, rows) if path.suffix.lower() == ".npy" else np.savez(file, vectors=rows)


def require_writable(path) -> None:
    """Refuse a suffix that is not written, and a folder that is not there."""
    path = Path(path)
    if path.suffix.lower() not in (".npy", ".npz"):
        raise FileFault(path, f"is written as .npy or .npz, got {path.suffix or 'no suffix'}")
    if not path.parent.is_dir():
        raise FileFault(path, "its folder does not exist")


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
    # whether the column below holds names, even if they are numbers
    indexed = len(first) > 1 and (is_name(first[0]) or _is_titled_count(first))
    if _is_header(first):
        number, first = next(lines, (number, []))
        if not first:
            raise FileFault(path, "holds a header and no vector")
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
        _is_titled_count(line)
        or cells == counted != ["0"]
        or not any(_is_number(cell) or not cell.strip() for cell in cells)
    )


def _is_titled_count(line: list[str]) -> bool:
    """Whether a first line is a data frame's with a named index: a title, then the columns counted from 0 or 1."""
    title, cells = line[0], [cell.strip() for cell in line[1:]]
    counts = (list(map(str, range(first, first + len(cells)))) for first in (0, 1))
    enough = len(cells) >= (1 if is_name(title) else 3)  # a short vector may be 0, 1
    return bool(title.strip()) and not _is_number(title) and enough and cells in counts


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
    fields: list = []
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(_decoded(path, file), 1):
            if not line.strip():
                continue
            vector, name, field = _json_vector(path, number, line, key)
            if rows and len(vector) != len(rows[0]):
                raise FileFault(path, f"line {number} has {len(vector)} numbers, the first vector has {len(rows[0])}")
            if rows and field != fields[0]:
                got, takes = (f"field {it!r}" if it is not None else "no field" for it in (field, fields[0]))
                raise FileFault(path, f"line {number} has its vector in {got}, the first one in {takes}; see --key")
            rows.append(vector)
            names.append(name)
            fields.append(field)
    return np.array(rows), tuple(map(str, names)) if None not in names else None


def _json_vector(path: Path, number: int, line: str, key: str | None):
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise FileFault(path, f"line {number} is no JSON: {str(error)[:60]}") from None
    name = field = None
    if isinstance(value, dict):
        field = _field(path, number, value, key)
        name, value = value.get("id"), value[field]
    if not isinstance(value, list) or not value:
        raise FileFault(path, f"line {number}: takes an array of numbers, got {str(value)[:30]!r}")
    for at, item in enumerate(value, 1):
        if isinstance(item, bool) or not isinstance(item, (int, float)):
            raise FileFault(path, f"line {number}, number {at}: takes a number, got {str(item)[:30]!r}")
    try:
        return np.array(value, dtype=np.float64), name, field
    except OverflowError:
        raise FileFault(path, f"line {number} holds an integer beyond the range of a double") from None


def _field(path: Path, number: int, value: dict, key: str | None) -> str:
    arrays = [name for name, item in value.items() if isinstance(item, list)]
    if key is None and len(arrays) != 1:
        raise FileFault(path, f"line {number} has {len(arrays)} arrays, {arrays[:5]}; name one by --key")
    key = arrays[0] if key is None else key
    if key not in value:
        raise FileFault(path, f"line {number} has no field {key!r}, but {list(value)[:5]}")
    return key


def _read_word2vec(path: Path, key: str | None):
    """Word2vec's text form: "n dim", then a name and dim numbers a line. GloVe's has no line of counts."""
    _no_key(path, key)
    with path.open(encoding="utf-8-sig", newline="\n") as file:
        lines = ((number, line) for number, line in enumerate(_decoded(path, file), 1) if line.strip())
        number, first = next(lines, (1, ""))
        n, dim = _announced(path, number, first.split())
        number, first = next(lines, (number, "")) if n >= 0 else (number, first)
        if dim < 1:
            raise FileFault(path, f"line {number}: takes a name and its numbers, got {first[:30]!r}")
        rows, names = [], []
        for at, line in itertools.chain([(number, first)] if first else [], lines):
            name, *cells = line.rstrip().rsplit(" ", dim)
            if len(cells) != dim:
                raise FileFault(path, f"line {at} has {len(cells)} numbers, {dim} are announced")
            with np.errstate(over="ignore"):  # what float32 does not hold is infinite, and refused by its place
                rows.append(_numbers(path, at, [name, *cells], named=True).astype(np.float32))
            names.append(name)
    if n >= 0 and len(rows) != n:
        raise FileFault(path, f"announces {n} vectors and holds {len(rows)}")
    return np.array(rows), tuple(names)


def _announced(path: Path, number: int, cells: list[str]) -> tuple[int, int]:
    """How many vectors of how many numbers the first line announces; −1 vectors if it is a vector itself."""
    if len(cells) == 2 and all(cell.isdecimal() for cell in cells):
        if max(map(len, cells)) > LONGEST_COUNT:
            raise FileFault(path, f"line {number} announces counts of more than {LONGEST_COUNT} digits")
        return int(cells[0]), int(cells[1])
    words = [at for at, cell in enumerate(cells) if not _is_number(cell)]  # a name may hold spaces, and be a number
    if len(cells) > 1 and not words and not (cells[0].removeprefix("-").isdecimal() or cells[0].isalpha()):
        raise FileFault(
            path,
            f"line {number} holds numbers only, a name and its numbers are taken, got {cells[0][:30]!r} for the name; "
            "rows without names, as np.savetxt writes them, are taken from .npy or .csv",
        )
    return -1, len(cells) - 1 - max(words, default=0)


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

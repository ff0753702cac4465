"""Vectors from binary files: NumPy's, safetensors, word2vec's. Pickled objects are never loaded."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np

from .fault import FileFault

LONGEST_HEADER = 100_000_000  # bytes of JSON in a safetensors file, the format's own limit
_TENSORS = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2",
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1", "U16": "<u2", "U32": "<u4", "U64": "<u8",
}  # fmt: skip


def read_npy(path: Path, key: str | None):
    """The array of a .npy file, memory-mapped."""
    if key is not None:
        raise FileFault(path, f".npy holds one array; --key {key} names none")
    try:
        with np.errstate(over="ignore"):  # of a shape that no file holds
            return _array(path, np.load(path, mmap_mode="r", allow_pickle=False)), None
    except FileFault:
        raise
    except Exception as error:  # a damaged header is Python that NumPy evaluates, and fails in many ways
        raise FileFault(path, _npy_words(error)) from None


def read_npz(path: Path, key: str | None):
    """The array `key` of a .npz file, or its only one."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            key = _chosen(path, key, archive.files)
            return _array(path, archive[key]), None
    except FileFault:
        raise
    except Exception as error:  # of zip, of its compression, of NumPy's header
        raise FileFault(path, _npy_words(error)) from None


def _array(path: Path, value) -> np.ndarray:
    """What NumPy loaded, if it is an array: an archive, or bytes in one, are none."""
    if isinstance(value, np.ndarray):
        return value
    if hasattr(value, "close"):
        value.close()
        raise FileFault(path, "is an archive of arrays; name it .npz")
    raise FileFault(path, f"takes an array, got {type(value).__name__}")


def _npy_words(error: Exception) -> str:
    if "pickle" in str(error) or "Python objects" in str(error):
        return "is no array of numbers: text, or Python objects (a pickle), which are not loaded"
    if "mmap length" in str(error) or isinstance(error, EOFError):
        return "is cut off: fewer bytes than its header announces"
    return f"is no NumPy file: {str(error)[:80] or type(error).__name__}"


def read_safetensors(path: Path, key: str | None):
    """One tensor of a .safetensors file: 8 bytes of length, a header in JSON, the numbers."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > min(size - 8, LONGEST_HEADER):  # of fewer than 8 bytes, too
            raise FileFault(path, f"announces a header of {length:,} bytes, but holds {max(size - 8, 0):,}")
        try:
            header = json.loads(file.read(length))
            tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
            shapes = {name: tuple(_integers(entry["shape"])) for name, entry in tensors.items()}
        except (ValueError, AttributeError, KeyError, TypeError, RecursionError):
            raise FileFault(path, "its header is no safetensors header") from None
    tables = [name for name, shape in shapes.items() if len(shape) == 2]
    key = _chosen(path, key, tables if key is None else list(shapes))
    kind, start, stop = _extent(path, key, tensors[key])
    shape, dtype = shapes[key], np.dtype(_TENSORS[kind])
    needed = dtype.itemsize * math.prod(shape)
    if not shape or min(shape) < 1:
        raise FileFault(path, f"tensor {key!r}: takes vectors, one a row, got shape {shape}")
    there = min(stop, size - 8 - length) - start
    if start < 0 or stop - start != needed or there != needed:
        raise FileFault(
            path, f"tensor {key!r}: shape {shape} of {kind} takes {needed:,} bytes, {max(there, 0):,} stand there"
        )
    rows = np.memmap(path, dtype=dtype, mode="r", offset=8 + length + start, shape=shape)
    return (_from_bfloat16(rows) if kind == "BF16" else rows), None


def _extent(path: Path, key: str, entry: dict) -> tuple[str, int, int]:
    try:
        kind, (start, stop) = str(entry["dtype"]), _integers(entry["data_offsets"])
    except (KeyError, TypeError, ValueError):
        raise FileFault(path, f"tensor {key!r} has no dtype or no data_offsets") from None
    if kind not in _TENSORS:
        raise FileFault(path, f"tensor {key!r}: takes one of {', '.join(_TENSORS)}, got {kind}")
    return kind, start, stop


def _integers(value) -> list[int]:
    """A list of integers of JSON; a ValueError for anything else."""
    if not isinstance(value, list) or any(type(number) is not int for number in value):
        raise ValueError(f"takes a list of integers, got {value!r}")
    return value


def _from_bfloat16(bits: np.ndarray) -> np.ndarray:
    """bfloat16 is the upper half of a float32."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def read_word2vec_binary(path: Path, key: str | None):
    """word2vec's binary form: "n dim", then for each vector its name, a space, dim float32."""
    if key is not None:
        raise FileFault(path, f".bin holds one table; --key {key} names none")
    data = path.read_bytes()
    head, newline, _ = data[:100].partition(b"\n")
    counts = head.split()
    if not newline or len(counts) != 2 or not all(c.isdigit() for c in counts):
        raise FileFault(path, f'its first line takes two counts, as in "1000 300", got {head[:30]!r}')
    n, dim = map(int, counts)
    at, wide, rows, names = len(head) + 1, 4 * dim, [], []
    if n * wide > len(data):
        raise FileFault(
            path, f"is cut off: {n:,} vectors of {dim} numbers are announced, {len(data):,} bytes stand there"
        )
    for number in range(1, n + 1):
        end = data.find(b" ", at)
        if end < 0 or end + 1 + wide > len(data):
            raise FileFault(path, f"is cut off in vector {number} of {n}")
        names.append(data[at:end].lstrip(b"\n").decode("utf-8", errors="replace"))
        rows.append(np.frombuffer(data, dtype="<f4", count=dim, offset=end + 1))
        at = end + 1 + wide
    if rest := len(data[at:].strip()):
        raise FileFault(path, f"announces {n} vectors of {dim} numbers, {rest:,} bytes follow them")
    return np.array(rows), tuple(names)


def _chosen(path: Path, key: str | None, names: list[str]) -> str:
    """The array that is asked for, or the only one."""
    if key is None and len(names) == 1:
        return names[0]
    if key is None:
        raise FileFault(path, f"holds {len(names)} tables, {names[:8]}; name one by --key")
    if key not in names:
        raise FileFault(path, f"holds no {key!r}, but {names[:8]}")
    return key

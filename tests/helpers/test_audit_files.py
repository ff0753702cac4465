"""Files of vectors: each format read back, and each kind of damage answered by one line that says where."""

import importlib
import importlib.util
import io
import json
import struct
import warnings
import zipfile

import numpy as np
import pytest

from cossim_helpers.audit import parquet
from cossim_helpers.audit.fault import FileFault
from cossim_helpers.audit.files import read_vectors, write_vectors

E = np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32)
TEXT = [" ".join(repr(float(number)) for number in row) for row in E]
NAMED = [f"w{at} {row}" for at, row in enumerate(TEXT)]


def safetensors(header, numbers=b""):
    words = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(words)) + words + numbers


def tensor(kind="F32", shape=(7, 4), stop=112):
    return {"t": {"dtype": kind, "shape": list(shape), "data_offsets": [0, stop]}, "__metadata__": {"format": "pt"}}


def dumped(**options):
    return json.dumps(tensor(**options)).encode()


def numpy_bytes(tmp_path, array, save=np.save, **options):
    with (tmp_path / "saved").open("wb") as file:
        save(file, array, **options)
    return (tmp_path / "saved").read_bytes()


def rows(separator):
    return "\n".join(row.replace(" ", separator) for row in TEXT)


GOOD = {
    "plain.csv": rows(","),
    "header.csv": "a,b,c,d\n" + rows(","),
    "named.csv": "id,a,b,c,d\n" + "\n".join(row.replace(" ", ",") for row in NAMED) + "\n\n",
    "frame.csv": ",0,1,2,3\n" + "\n".join(f"{at},{row.replace(' ', ',')}" for at, row in enumerate(TEXT)),
    "counted.csv": "0,1,2,3\n" + rows(","),
    "ids.csv": "item_id,a,b,c,d\n" + "\n".join(f"{at},{row.replace(' ', ',')}" for at, row in enumerate(TEXT)),
    "count.csv": "item_id,0,1,2,3\n" + "\n".join(f"{at},{row.replace(' ', ',')}" for at, row in enumerate(TEXT)),
    "count1.csv": "id,1,2,3,4\n" + "\n".join(f"{at},{row.replace(' ', ',')}" for at, row in enumerate(TEXT)),
    "word.csv": "word,0,1,2,3\n" + "\n".join(f"{at},{row.replace(' ', ',')}" for at, row in enumerate(TEXT)),
    "mark.csv": b"\xef\xbb\xbf" + rows(",").encode(),
    "mark.jsonl": b"\xef\xbb\xbf" + "\n".join(json.dumps(row.tolist()) for row in E).encode(),
    "tabs.tsv": rows("\t"),
    "arrays.jsonl": "\n".join(json.dumps(row.tolist()) for row in E) + "\n",
    "objects.jsonl": "\n".join(json.dumps({"id": at, "vector": row.tolist()}) for at, row in enumerate(E)),
    "counts.vec": "7 4\n" + "\n".join(NAMED) + "\n",
    "glove.txt": "\n".join(NAMED),
    "spaces.txt": "\n".join(f"new york {row}" for row in TEXT),
    "gaps.txt": "\n" + "\n\n".join(NAMED) + "\n \n",
    "gaps.vec": "7 4\n" + "\n\n".join(NAMED),
    "numbers.txt": "\n".join(f"{at} {row}" for at, row in enumerate(TEXT)),
    "newlines.bin": b"7 4\n" + b"".join(b"w%d " % at + row.tobytes() + b"\n" for at, row in enumerate(E)),
    "tight.bin": b"7 4\n" + b"".join(b"w%d " % at + row.tobytes() for at, row in enumerate(E)),
    "one.safetensors": safetensors(tensor(), E.tobytes()),
}


@pytest.mark.parametrize("name", GOOD)
def test_text_and_word2vec_and_safetensors_are_read_back(tmp_path, name):
    content = GOOD[name]
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    read = read_vectors(tmp_path / name)
    np.testing.assert_array_equal(np.asarray(read.rows, dtype=np.float32), E)
    if name in ("named.csv", "counts.vec", "glove.txt", "gaps.txt", "gaps.vec", "newlines.bin", "tight.bin"):
        assert read.names == tuple(f"w{at}" for at in range(7))
    if name in ("frame.csv", "ids.csv", "count.csv", "count1.csv", "word.csv", "objects.jsonl", "numbers.txt"):
        assert read.names == tuple(map(str, range(7)))
    if name in ("plain.csv", "header.csv", "counted.csv", "mark.csv", "tabs.tsv", "arrays.jsonl"):
        assert read.names is None


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_numpy_files_are_read_back_as_written(tmp_path, suffix):
    write_vectors(tmp_path / f"a{suffix}", E)
    read = read_vectors(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(read.rows, E)
    assert read.rows.dtype == np.float32
    assert isinstance(read_vectors(tmp_path / "a.npy").rows, np.memmap) if suffix == ".npy" else True


def test_bfloat16_is_the_upper_half_of_float32(tmp_path):
    upper = (E.view(np.uint32) >> 16).astype(np.uint16)
    (tmp_path / "a.safetensors").write_bytes(safetensors(tensor("BF16", stop=56), upper.tobytes()))
    np.testing.assert_allclose(read_vectors(tmp_path / "a.safetensors").rows, E, rtol=2**-7, atol=0)


def test_a_key_chooses(tmp_path):
    np.savez(tmp_path / "two.npz", a=E, b=2 * E)
    np.testing.assert_array_equal(read_vectors(tmp_path / "two.npz", key="b").rows, 2 * E)
    (tmp_path / "a.jsonl").write_text(json.dumps({"a": [1, 2], "b": [3, 4]}), encoding="utf-8")
    np.testing.assert_array_equal(read_vectors(tmp_path / "a.jsonl", key="b").rows, [[3, 4]])


BROKEN = {
    "ragged.csv": ("1,2\n3\n", "line 2 has 1 cells"),
    "text.csv": ("a,b,c\nx,1,2\ny,z,3\n", "line 3, cell 2"),
    "typo.csv": ("1,2,x\n1,2,3\n", "line 1, cell 3"),
    "gap.csv": ("1,\n2,3", "line 1, cell 2"),
    "header.csv": ("a,b\n", "a header and no vector"),
    "bytes.csv": (b"\xff\xfe\x00\x01,", "UTF-8"),
    "empty.csv": ("", "empty"),
    "ragged.jsonl": ("[1,2]\n[1]\n", "line 2 has 1 numbers"),
    "text.jsonl": ('[1,"a"]', "line 1, number 2"),
    "bool.jsonl": ("[1, true]", "line 1, number 2"),
    "two.jsonl": ('{"a":[1],"b":[2]}', "--key"),
    "none.jsonl": ('{"a":1}', "--key"),
    "cut.jsonl": ("[1,2\n", "line 1 is no JSON"),
    "deep.jsonl": ("[" * 100_000, "line 1 is no JSON"),
    "large.jsonl": ("[1" + "0" * 400 + "]", "beyond the range"),
    "short.vec": ("9 4\n" + "\n".join(NAMED), "announces 9 vectors and holds 7"),
    "width.vec": ("7 5\n" + "\n".join(NAMED), "line 2 has 4 numbers"),
    "digits.vec": ("9" * 5000 + " 4\n" + "\n".join(NAMED), "line 1 announces counts of more than 18 digits"),
    "savetxt.txt": ("\n".join(TEXT), "line 1 holds numbers only, a name and its numbers are taken"),
    "column.txt": ("1.5\n2.5\n", "line 1: takes a name and its numbers"),
    "fields.jsonl": ('{"v": [1, 2]}\n{"w": [1, 2]}', "line 2 has its vector in field 'w', the first one in field 'v'"),
    "mixed.jsonl": ('{"v": [1, 2]}\n[1, 2]', "line 2 has its vector in no field"),
    "more.bin": (GOOD["newlines.bin"].replace(b"7 4", b"6 4"), "announces 6 vectors of 4 numbers, 19 bytes follow"),
    "narrow.bin": (GOOD["tight.bin"].replace(b"7 4", b"7 2"), "bytes follow"),
    "offset.safetensors": (safetensors(dumped(stop=1).replace(b"1]", b"1e999]")), "no data_offsets"),
    "size.safetensors": (safetensors(dumped().replace(b"[7, 4]", b"[7, 1e999]")), "no safetensors header"),
    "float.safetensors": (safetensors(dumped(shape=(7.9, 4)), E.tobytes()), "no safetensors header"),
    "string.safetensors": (safetensors(dumped().replace(b"[7, 4]", b'"74"'), E.tobytes()), "no safetensors header"),
    "kinds.safetensors": (safetensors(dumped(kind=["F32"]), E.tobytes()), "got ['F32']"),
    "word.txt": ("hello\n", "line 1"),
    "cut.bin": (GOOD["newlines.bin"][:-20], "cut off in vector 7"),
    "counts.bin": ("x y\n", "two counts"),
    "huge.bin": ("99999999999 300\n", "cut off"),
    "zero.bin": ("0 0\n", "got shape"),
    "header.safetensors": (struct.pack("<Q", 20 * 10**9) + b"{}", "a header of 20,000,000,000 bytes"),
    "cut.safetensors": (GOOD["one.safetensors"][:-4], "108 stand there"),
    "kind.safetensors": (safetensors(tensor("F8"), E.tobytes()), "got F8"),
    "negative.safetensors": (safetensors(tensor(shape=(-7, -4)), E.tobytes()), "got shape (-7, -4)"),
    "overflow.safetensors": (safetensors(tensor(shape=(2**40, 2**40)), E.tobytes()), "112 stand there"),
    "list.safetensors": (safetensors([1]), "no safetensors header"),
    "short.safetensors": (b"123", "announces a header"),
    "array.npy": ("hello", "no array of numbers"),
    "archive.npz": ("hello", "no array of numbers"),
    "vectors.pkl": ("x", "a pickle is not loaded"),
    "weights.pt": ("x", "a pickle is not loaded"),
    "vectors.foo": ("x", "takes one of"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_damage_is_named_with_its_place(tmp_path, name):
    content, words = BROKEN[name]
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(FileFault) as error:
        read_vectors(tmp_path / name)
    assert words in str(error.value)
    assert str(error.value).startswith(str(tmp_path / name)) and "\n" not in str(error.value)


ARRAYS = {
    "objects": (np.array([1, "a", None], dtype=object), "Python objects"),
    "complex": (E + 1j, "dtype complex64"),
    "one": (E[0], "got shape (4,)"),
    "text": (np.array([["a"]]), "dtype <U1"),
    "empty": (E[:0], "got shape (0, 4)"),
    "fields": (np.zeros(3, dtype=[("a", "f4")]), "got shape (3,)"),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_that_are_no_vectors_are_refused(tmp_path, name):
    array, words = ARRAYS[name]
    (tmp_path / "a.npy").write_bytes(numpy_bytes(tmp_path, array))
    with pytest.raises(FileFault, match=words.replace("(", r"\(").replace(")", r"\)")):
        read_vectors(tmp_path / "a.npy")


def test_cut_numpy_files_are_refused(tmp_path):
    whole = numpy_bytes(tmp_path, E)
    for stop in (3, 20, len(whole) - 9):
        (tmp_path / "a.npy").write_bytes(whole[:stop])
        with pytest.raises(FileFault):
            read_vectors(tmp_path / "a.npy")
    whole = numpy_bytes(tmp_path, E, np.savez)
    (tmp_path / "a.npz").write_bytes(whole[:-30])
    with pytest.raises(FileFault):
        read_vectors(tmp_path / "a.npz")


HEADERS = {
    "open": "{'descr': '<f4', 'fortran_order': False, 'shape': (7, 4)",
    "huge": f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({2**70}, 4), }}",
    "large": f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({2**63 - 1}, 4), }}",
    "negative": "{'descr': '<f4', 'fortran_order': False, 'shape': (-7, 4), }",
    "truth": "{'descr': '<f4', 'fortran_order': False, 'shape': (True, 4), }",
    "parentheses": "(" * 9000,
    "minus": "-" * 9000 + "1",
    "quotes": "{'descr': '''",
}


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
@pytest.mark.parametrize("name", HEADERS)
def test_damaged_headers_of_numpy_are_named(tmp_path, name, suffix):
    header = HEADERS[name].encode() + b"\n"
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + E.tobytes()
    path = tmp_path / f"a{suffix}"
    if suffix == ".npy":
        path.write_bytes(content)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.npy", content)
    with pytest.raises(FileFault, match=r"is no NumPy file: ."):
        read_vectors(path)


def damaged_archives():
    """(name, bytes, words) of archives that hold no array, or cannot be unpacked."""
    whole, text = io.BytesIO(), io.BytesIO()
    np.savez_compressed(whole, a=np.random.default_rng(0).normal(size=(500, 20)))
    raw = whole.getvalue()
    with zipfile.ZipFile(text, "w") as archive:
        archive.writestr("a.txt", "hello")
    yield "text.npz", text.getvalue(), "takes an array, got bytes"
    yield "archive.npy", raw, "is an archive of arrays; name it .npz"
    for at in (60, 200, 1000, 30000):
        yield f"flipped{at}.npz", raw[:at] + bytes(255 - byte for byte in raw[at : at + 2]) + raw[at + 2 :], "no NumPy"
    listed = raw.find(b"PK\x01\x02")
    for name, where, value in (("locked", (6, listed + 8), 1), ("method", (8, listed + 10), 99)):
        changed = bytearray(raw)
        for at in where:
            changed[at] = value
        yield f"{name}.npz", bytes(changed), "no NumPy"


@pytest.mark.parametrize(("name", "content", "words"), list(damaged_archives()))
def test_damaged_archives_are_named(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FileFault, match=words):
        read_vectors(tmp_path / name)


def test_no_regular_file_is_named():
    with pytest.raises(FileFault, match="no regular file"):
        read_vectors("/dev/null")


def test_numbers_beyond_float32_in_text_do_not_warn(tmp_path):
    (tmp_path / "a.vec").write_text("2 2\na 1e39 2\nb 3 4\n", encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isinf(read_vectors(tmp_path / "a.vec").rows[0, 0])  # refused by its place, see `as_vectors`


@pytest.mark.parametrize("name", ["two.npz", "a.npy"])
def test_a_key_that_is_missing_or_means_nothing(tmp_path, name):
    np.savez(tmp_path / "two.npz", a=E, b=E)
    np.save(tmp_path / "a.npy", E)
    with pytest.raises(FileFault, match=r"key|holds no"):
        read_vectors(tmp_path / name, key="c")
    with pytest.raises(FileFault, match="--key"):
        read_vectors(tmp_path / "two.npz")


def test_what_is_no_file_is_named(tmp_path):
    for path in (tmp_path / "gone.npy", tmp_path):
        with pytest.raises(FileFault):
            read_vectors(path)
    with pytest.raises(FileFault, match=r"npy or \.npz"):
        write_vectors(tmp_path / "a.csv", E)
    with pytest.raises(FileFault, match="folder"):
        write_vectors(tmp_path / "no" / "a.npy", E)


def test_parquet_without_a_reader_names_the_lightest(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet.importlib.util, "find_spec", lambda name: None)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(FileFault, match="pip install duckdb"):
        read_vectors(tmp_path / "a.parquet")
    monkeypatch.setattr(parquet.importlib.util, "find_spec", lambda name: name == "pandas" or None)
    with pytest.raises(FileFault, match="pip install fastparquet"):
        read_vectors(tmp_path / "a.parquet")


def test_chunks_of_a_column_are_joined():
    lists = [[[1.0, 2.0]], [[3.0, 4.0], [5.0, 6.0]]]
    np.testing.assert_array_equal(parquet._joined(lists), [[1, 2], [3, 4], [5, 6]])
    assert [list(value) for value in parquet._joined([[[1.0]], [[2.0, 3.0]]])] == [[1.0], [2.0, 3.0]]
    assert parquet._joined([[1.0, None], ["a"]]) == [1.0, None, "a"]


@pytest.mark.parametrize(
    ("columns", "key", "expected"),
    [
        ({"id": ["a", "b"], "e": [[1.0, 2.0], [3.0, 4.0]]}, None, [[1, 2], [3, 4]]),
        ({"e": [[1.0]], "g": [[2.0]]}, "g", [[2]]),
        ({"x": [1.0, 3.0], "y": [2.0, 4.0], "id": ["a", "b"]}, None, [[1, 2], [3, 4]]),
        ({"user_id": [7, 8], "x": [1.0, 3.0], "y": [2.0, 4.0]}, None, [[1, 2], [3, 4]]),
        ({"x": [1.0, None], "y": [2.0, 4.0]}, None, [[1, 2], [np.nan, 4]]),
        ({"e": np.array([[1.0, 2.0]])}, None, [[1, 2]]),
        ({"e": [[1.0], [1.0, 2.0]]}, None, "lists of one length"),
        ({"e": [[1.0], None]}, None, "lists of one length"),
        ({"e": ["a"]}, None, "no column of numbers"),
        ({"e": [[1.0]], "g": [[2.0]]}, None, "--key"),
        ({"e": [[1.0]]}, "h", "holds no column 'h'"),
    ],
)
def test_columns_of_parquet(tmp_path, monkeypatch, columns, key, expected):
    monkeypatch.setattr(parquet.importlib.util, "find_spec", lambda name: name == "polars")
    monkeypatch.setitem(parquet._COLUMNS, "polars", lambda path: columns)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    if isinstance(expected, str):
        with pytest.raises(FileFault, match=expected):
            read_vectors(tmp_path / "a.parquet", key=key)
    else:
        np.testing.assert_array_equal(read_vectors(tmp_path / "a.parquet", key=key).rows, expected)


@pytest.mark.parametrize("reader", [name for name in parquet.READERS if importlib.util.find_spec(name)])
def test_parquet_with_each_reader_that_is_installed(tmp_path, monkeypatch, reader):
    monkeypatch.setattr(parquet, "READERS", (reader,))
    frame = importlib.import_module("pandas").DataFrame(E, columns=list("abcd"))
    frame.to_parquet(tmp_path / "a.parquet")
    np.testing.assert_array_equal(read_vectors(tmp_path / "a.parquet").rows, E)

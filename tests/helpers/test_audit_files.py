"""Files of vectors: each format read back, and each kind of damage answered by one line that says where."""

import io
import json
import os
import pickle
import re
import struct
import warnings
import zipfile

import numpy as np
import pytest

from cossim_helpers.audit import binary, parquet
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
    "trailing.safetensors": safetensors(tensor(), E.tobytes() + b"more"),
    "words.csv": "word,1,2,3,4\n" + "\n".join(row.replace(" ", ",") for row in NAMED),
    "spaced.csv": "word, 0, 1, 2, 3\n" + "\n".join(row.replace(" ", ",") for row in NAMED),
    "upper.CSV": rows(","),
    "gaps.jsonl": "\n".join(json.dumps(row.tolist()) + "\n \n" for row in E),
    "mark.vec": b"\xef\xbb\xbf7 4\n" + "\n".join(NAMED).encode(),
    "trail.vec": "7 4\n" + " \n".join(NAMED) + " \n",
}
WORDS = "named.csv words.csv spaced.csv counts.vec mark.vec trail.vec glove.txt gaps.txt gaps.vec".split()


@pytest.mark.parametrize("name", GOOD)
def test_text_and_word2vec_and_safetensors_are_read_back(tmp_path, name):
    content = GOOD[name]
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    read = read_vectors(tmp_path / name)
    np.testing.assert_array_equal(np.asarray(read.rows, dtype=np.float32), E)
    assert read.rows.dtype == (np.float64 if name.lower().endswith(("csv", "tsv", "jsonl")) else np.float32)
    if name in (*WORDS, "newlines.bin", "tight.bin"):
        assert read.names == tuple(f"w{at}" for at in range(7))
    if name in ("frame.csv", "ids.csv", "count.csv", "count1.csv", "word.csv", "objects.jsonl", "numbers.txt"):
        assert read.names == tuple(map(str, range(7)))
    if name in ("plain.csv", "header.csv", "counted.csv", "mark.csv", "upper.CSV", "tabs.tsv", "arrays.jsonl"):
        assert read.names is None


SMALL = {  # what stands in a file: its names, its vectors
    "id.csv": ("id\n1\n2\n", None, [[1], [2]]),
    "one.csv": ("id,x\n7,1\n8,2\n", ("7", "8"), [[1], [2]]),
    "untitled.csv": (" ,x\n7,1\n8,2\n", ("7", "8"), [[1], [2]]),
    "padded.csv": ("id ,x\n7,1\n8,2\n", ("7", "8"), [[1], [2]]),
    "count.csv": ("id,0\n7,1\n8,2\n", ("7", "8"), [[1], [2]]),
    "zero.csv": ("0\n5\n6\n", None, [[0], [5], [6]]),
    "two.csv": ("0,1\n5,6\n", None, [[5, 6]]),
    "word.csv": ("word,0,1\nother,5,6\n", ("word", "other"), [[0, 1], [5, 6]]),
    "title.csv": ("word,0,1,2\nother,5,6,7\n", ("other",), [[5, 6, 7]]),
    "blank.csv": (",1,2,3\nb,4,5,6\n", ("", "b"), [[1, 2, 3], [4, 5, 6]]),
    "space.csv": (" ,1,2,3\nb,4,5,6\n", (" ", "b"), [[1, 2, 3], [4, 5, 6]]),
    "number.csv": ("5,0,1,2\n6,7,8,9\n", None, [[5, 0, 1, 2], [6, 7, 8, 9]]),
    "quoted.csv": ('"a\r\nb",1,2\r\n"c,d",3,4\r\n', ("a\r\nb", "c,d"), [[1, 2], [3, 4]]),
    "some.jsonl": ('{"id": 1, "v": [1, 2]}\n{"v": [3, 4]}\n', None, [[1, 2], [3, 4]]),
    "null.jsonl": ('{"id": null, "v": [1, 2]}\n{"id": 1, "v": [3, 4]}\n', None, [[1, 2], [3, 4]]),
    "one.txt": ("w 1\nv 2.5\n", ("w", "v"), [[1], [2.5]]),
    "alpha.txt": ("nan 1 2\ninf 3 4\n", ("nan", "inf"), [[1, 2], [3, 4]]),
    "minus.txt": ("-3 1 2.5\nb 3 4\n", ("-3", "b"), [[1, 2.5], [3, 4]]),
    "return.txt": ("1 2\na\rb 1 2\n", ("a\rb",), [[1, 2]]),
    "bytes.bin": (b"1 1\n\xff " + np.float32(5).tobytes(), ("\ufffd",), [[5]]),
}


@pytest.mark.parametrize("name", SMALL)
def test_small_files_with_headers_and_names(tmp_path, name):
    content, names, vectors = SMALL[name]
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    read = read_vectors(tmp_path / name)
    assert read.names == names
    np.testing.assert_array_equal(read.rows, vectors)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_numpy_files_are_read_back_as_written(tmp_path, suffix):
    for path in (tmp_path / f"a{suffix}", tmp_path / f"B{suffix.upper()}"):
        write_vectors(path, E)
        read = read_vectors(path)
        np.testing.assert_array_equal(read.rows, E)
        assert read.rows.dtype == np.float32 and read.names is None
        if suffix == ".npy":
            assert isinstance(read.rows, np.memmap) and not read.rows.flags.writeable
        else:
            with np.load(path) as archive:
                assert archive.files == ["vectors"]


def test_bfloat16_is_the_upper_half_of_float32(tmp_path):
    upper = (E.view(np.uint32) >> 16).astype(np.uint16)
    (tmp_path / "a.safetensors").write_bytes(safetensors(tensor("BF16", stop=56), upper.tobytes()))
    expected = (E.view(np.uint32) & 0xFFFF0000).view(np.float32)
    np.testing.assert_array_equal(read_vectors(tmp_path / "a.safetensors").rows, expected)


def test_tensors_that_stand_one_behind_the_other(tmp_path):
    header = {
        "line": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]},
        "all": {"dtype": "F32", "shape": [7, 4], "data_offsets": [16, 128]},
        "last": {"dtype": "F32", "shape": [1, 4], "data_offsets": [112, 128]},
        "number": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]},
    }
    path = tmp_path / "a.safetensors"
    path.write_bytes(safetensors(header, E[3].tobytes() + E.tobytes()))
    for key, expected in (("all", E), ("last", E[-1:])):
        rows = read_vectors(path, key=key).rows
        np.testing.assert_array_equal(rows, expected)
        assert isinstance(rows, np.memmap) and not rows.flags.writeable
    refused = {None: "holds 2 tables", "line": "got shape (4,)", "number": "got shape ()", "x": "holds no 'x', but ['l"}
    for key, words in refused.items():
        with pytest.raises(FileFault, match=re.escape(words)):
            read_vectors(path, key=key)


def test_a_header_of_safetensors_may_be_as_long_as_its_format_says(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 100_000_001))
        file.truncate(100_000_020)  # a hole: it takes no room
    with pytest.raises(FileFault, match="announces a header of 100,000,001 bytes"):
        read_vectors(path)
    path.write_bytes(safetensors(tensor(), E.tobytes()))
    monkeypatch.setattr(binary, "LONGEST_HEADER", len(dumped()))
    np.testing.assert_array_equal(read_vectors(path).rows, E)


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
    "empty.csv": ("", "the file is empty"),
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
    "huge.bin": ("99999999999 300\n", "cut off: 99,999,999,999 vectors of 300 numbers"),
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
    "blank.csv": ("\n \n", "line 1 holds a name and no number"),
    "hole.csv": ("a,,c\n1,2,3\n", "line 1, cell 2"),
    "spaces.csv": ("a, ,c\n1,2,3\n", "line 1, cell 2"),
    "quote.csv": ('a,"' + "x" * 200_000, "no text in UTF-8: field larger"),
    "blank.jsonl": ("\n \n", "got shape"),
    "nothing.jsonl": ("[]", "line 1: takes an array of numbers, got '[]'"),
    "number.jsonl": ("5", "line 1: takes an array of numbers, got '5'"),
    "nested.jsonl": ("[[1]]", "line 1, number 1"),
    "blank.vec": ("\n", "line 1: takes a name and its numbers, got ''"),
    "none.vec": ("0 4\n", "got shape"),
    "zero.vec": ("7 0\n" + "\n".join(NAMED), "takes a name and its numbers"),
    "fewer.vec": ("0 4\n" + "\n".join(NAMED), "announces 0 vectors and holds 7"),
    "longest.vec": ("9" * 18 + " 4\n" + "\n".join(NAMED), "announces " + "9" * 18 + " vectors and holds 7"),
    "longer.vec": ("9" * 19 + " 4\n" + "\n".join(NAMED), "line 1 announces counts of more than 18 digits"),
    "pair.txt": ("1.5 2.5\n3.5 4.5\n", "line 1 holds numbers only"),
    "one.bin": ("7\n", "two counts"),
    "words.bin": ("7 x\n", "two counts"),
    "wide.bin": (b"7 4" + b" " * 97 + GOOD["newlines.bin"][3:], "two counts"),
    "space.bin": (b"2 1\na 1234bcdefghijkl", "cut off in vector 2 of 2"),
    "last.bin": (GOOD["tight.bin"][:-1], "cut off in vector 7 of 7"),
    "byte.bin": (GOOD["tight.bin"] + b"x", "announces 7 vectors of 4 numbers, 1 bytes follow them"),
    "claims.safetensors": (safetensors(tensor(stop=200), E.tobytes()), "takes 112 bytes"),
    "shape.safetensors": (safetensors(dumped().replace(b"[7, 4]", b"{}"), E.tobytes()), "no safetensors header"),
    "past.safetensors": (struct.pack("<Q", 3) + b"{}", "announces a header of 3 bytes, but holds 2"),
    "before.safetensors": (safetensors(dumped().replace(b"[0, 112]", b"[-8, 104]"), E.tobytes()), "bytes, 112 stand"),
    "longer.safetensors": (safetensors(tensor(stop=113), E.tobytes() + b"12"), "takes 112 bytes, 113 stand there"),
    "shorter.safetensors": (safetensors(tensor(stop=111), E.tobytes()), "takes 112 bytes, 111 stand there"),
    "zero.safetensors": (safetensors(tensor(shape=(0, 4), stop=0)), "takes vectors, one a row, got shape (0, 4)"),
    "truth.safetensors": (safetensors(dumped().replace(b"[7, 4]", b"[true, 4]"), E.tobytes()), "no safetensors header"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_damage_is_named_with_its_place(tmp_path, name):
    content, words = BROKEN[name]
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(FileFault) as error:
        read_vectors(tmp_path / name)
    place, said = str(error.value)[: len(str(tmp_path / name))], str(error.value)[len(str(tmp_path / name)) :]
    assert place == str(tmp_path / name) and words in said and "\n" not in said


ARRAYS = {
    "objects": (np.array([1, "a", None], dtype=object), "is no array of numbers: text, or Python objects"),
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
    for stop, words in ((3, "no array of numbers"), (20, "no NumPy file"), (len(whole) - 9, "is cut off: fewer bytes")):
        (tmp_path / "a.npy").write_bytes(whole[:stop])
        with pytest.raises(FileFault, match=words):
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
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with pytest.raises(FileFault, match=r"is no NumPy file: ."):
            read_vectors(path)
    assert seen == []


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


def test_an_archive_that_ends_early_is_cut_off(tmp_path):
    """Newer Pythons see before they read that the entry would reach into what follows it."""
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (700, 4), }\n"
    content, whole = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + E.tobytes(), io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        archive.writestr("a.npy", content)
    raw = bytearray(whole.getvalue())
    struct.pack_into("<II", raw, raw.find(b"PK\x01\x02") + 20, 20_000, 20_000)  # its sizes
    (tmp_path / "a.npz").write_bytes(raw)
    with pytest.raises(FileFault, match=r"a\.npz: (is cut off: fewer bytes|is no NumPy file: Overlapped entries)"):
        read_vectors(tmp_path / "a.npz")


class Runs:
    """What makes a folder if it is unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def test_nothing_in_a_file_is_run(tmp_path):
    made = str(tmp_path / "made")
    (tmp_path / "raw.npy").write_bytes(pickle.dumps(Runs(made)))
    (tmp_path / "raw.npz").write_bytes(pickle.dumps(Runs(made)))
    np.savez(tmp_path / "object.npz", a=np.array([[Runs(made)]]))
    np.save(tmp_path / "object.npy", np.array([[Runs(made)]]))
    for name in ("raw.npy", "raw.npz", "object.npz", "object.npy"):
        with pytest.raises(FileFault, match="is no array of numbers: text, or Python objects"):
            read_vectors(tmp_path / name)
        assert not os.path.exists(made), name
    closed = []
    archive = type("Archive", (), {"close": lambda self: closed.append(1)})()
    with pytest.raises(FileFault, match="is an archive of arrays"):
        binary._array(tmp_path / "a.npy", archive)
    assert closed


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
    for name in ("plain.csv", "glove.txt", "tight.bin", "objects.jsonl", "one.safetensors"):
        content = GOOD[name]
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(FileFault, match=r"--key c names none|holds no 'c'|line 1 has no field 'c'"):
            read_vectors(tmp_path / name, key="c")
    (tmp_path / "a.jsonl").write_text('{"id": "x", "a": [1, 2]}', encoding="utf-8")
    with pytest.raises(FileFault, match="line 1: takes an array of numbers, got 'x'"):
        read_vectors(tmp_path / "a.jsonl", key="id")


def test_what_is_no_file_is_named(tmp_path):
    for path, words in ((tmp_path / "gone.npy", "no such file"), (tmp_path, "this is a folder; a file is taken")):
        with pytest.raises(FileFault, match=words):
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
        ({"e": [None, [1.0]]}, "e", "lists of one length"),
        ({"e": [[1.0], [2.0]], "id": ["a", "b"]}, "id", "lists of one length"),
        ({"e": [[[1.0, 2.0]], [[3.0, 4.0]]]}, None, "lists of one length"),
        ({"e": [[], []]}, None, "lists of one length"),
        ({"e": []}, "e", "lists of one length"),
        ({"e": []}, None, r"got shape \(0, 1\)"),
        ({"x": [True, False], "y": np.array([2.0, 4.0]), "z": ["a", None]}, None, [[2], [4]]),
        ({"e": [[1.0, 2.0]], "f": [3.0]}, None, [[1, 2]]),
        ({"e": [(1.0, 2.0)], "f": [3.0]}, None, [[1, 2]]),
        ({"e": [np.array([1.0, 2.0])], "f": [3.0]}, None, [[1, 2]]),
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

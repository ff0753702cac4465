"""Parquet: each reader that is installed with a file, and each of the four with a stand-in of the calls it answers."""

import glob
import importlib
import importlib.util
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from cossim_helpers.audit import parquet
from cossim_helpers.audit.fault import FileFault
from cossim_helpers.audit.files import read_vectors

# --- as installed ---


@pytest.fixture(params=[name for name in parquet.READERS if importlib.util.find_spec(name)])
def reader(request, monkeypatch):
    monkeypatch.setattr(parquet, "READERS", (request.param,))


@pytest.mark.usefixtures("reader")
def test_parquet_with_each_reader_that_is_installed(tmp_path):
    pandas = importlib.import_module("pandas")
    E = np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32)
    pandas.DataFrame(E, columns=list("abcd")).to_parquet(tmp_path / "a.parquet")
    np.testing.assert_array_equal(read_vectors(tmp_path / "a.parquet").rows, E)
    gaps = pandas.DataFrame({"x": pandas.array([1, None, 3], dtype="Int64"), "y": [4.0, 5.0, np.nan]})
    gaps.to_parquet(tmp_path / "gaps.parquet")
    np.testing.assert_array_equal(read_vectors(tmp_path / "gaps.parquet").rows, [[1, 4], [np.nan, 5], [3, np.nan]])
    (tmp_path / "x=1").mkdir()
    for factor, name in enumerate(("a.parquet", "x=1/b.parquet", "x=1/[ab].parquet", "x=1/*.parquet"), 1):
        pandas.DataFrame(factor * E).rename(columns=str).to_parquet(tmp_path / name)
    for factor, name in enumerate(("a.parquet", "x=1/b.parquet", "x=1/[ab].parquet", "x=1/*.parquet"), 1):
        np.testing.assert_array_equal(read_vectors(tmp_path / name).rows, factor * E)


@pytest.mark.usefixtures("reader")
def test_what_is_no_parquet_is_named(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1, and no more")
    with pytest.raises(FileFault, match=r"a\.parquet: \w+ cannot read it: "):
        read_vectors(tmp_path / "a.parquet")


# --- stand-ins ---


class Kind:
    """A type of pyarrow: what it is, its words say."""

    def __init__(self, words):
        self.words = words

    def __str__(self):
        return self.words


class Arrow:
    """An array of pyarrow. To make objects of a whole column is refused where there is no need."""

    def __init__(self, values, kind):
        self.values, self.type = values, Kind(kind)
        self.null_count = sum(value is None for value in values)

    def __len__(self):
        return len(self.values)

    def unique(self):
        return Arrow(sorted(set(self.values)), str(self.type))

    def flatten(self):
        return Arrow([item for value in self.values for item in value], "double")

    def to_numpy(self, *, zero_copy_only=True):
        assert not zero_copy_only, "some arrays need a copy"
        if "list" not in str(self.type):
            return np.array(self.values)
        found = np.empty(len(self), object)
        found[:] = self.values
        return found

    def to_pylist(self):
        assert self.null_count or ("list" in str(self.type) and len(set(map(len, self.values))) != 1)
        return list(self.values)


def kind_of(values):
    values = [value for value in values if value is not None] or [0.0]
    first = values[0]
    return {list: "fixed_size_list<item: float>[2]", dict: "struct<a: list<item: double>>"}.get(type(first), "double")


def pyarrow(columns, path):
    chunked = {name: SimpleNamespace(combine_chunks=lambda v=v: Arrow(v, kind_of(v))) for name, v in columns.items()}
    table = SimpleNamespace(column_names=list(columns), column=chunked.__getitem__)
    return {
        "pyarrow": SimpleNamespace(),
        "pyarrow.parquet": SimpleNamespace(read_table=lambda asked: {path: table}[asked]),
        "pyarrow.compute": SimpleNamespace(
            list_value_length=lambda column: Arrow([len(value) for value in column.values], "int32")
        ),
    }


class Series:
    """A column of polars."""

    def __init__(self, values):
        self.values = values

    def slice(self, first, length):
        return Series(self.values[first : first + length])

    def to_list(self):
        assert len(self.values) <= parquet.CHUNK
        return list(self.values)


class Frame(dict):
    """A frame of polars."""

    columns = property(list)

    def __len__(self):
        return len(next(iter(self.values())).values)


def polars(columns, path):
    def read_parquet(file):
        assert file.read() == path.read_bytes()
        return Frame({name: Series(values) for name, values in columns.items()})

    return {"polars": SimpleNamespace(read_parquet=read_parquet)}


def duckdb(columns, path):
    rows = list(zip(*columns.values()))

    def fetchmany(count):
        assert count == parquet.CHUNK
        taken, rows[:count] = rows[:count], []
        return taken

    def execute(words, given):
        assert words.count("?") == 1 and "hive_partitioning = false" in words
        assert [glob.glob(name) for name in given] == [[str(path)]]  # it takes patterns
        return SimpleNamespace(description=[(name, "DOUBLE", None) for name in columns], fetchmany=fetchmany)

    return {"duckdb": SimpleNamespace(connect=lambda: SimpleNamespace(execute=execute))}


COLUMNS = {
    "lists": ({"id": ["a", "b", "c"], "e": [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]}, [[1, 2], [3, 4], [5, 6]]),
    "numbers": ({"x": [1.0, 3.0, 5.0], "y": [2.0, 4.0, 6.0]}, [[1, 2], [3, 4], [5, 6]]),
    "a gap": ({"x": [1.0, None, 3.0], "y": [4.0, 5.0, 6.0]}, [[1, 4], [np.nan, 5], [3, 6]]),
    "structs": ({"s": [{"a": [1.0]}, {"a": [2.0]}], "e": [[1.0, 2.0], [3.0, 4.0]]}, [[1, 2], [3, 4]]),
    "ragged": ({"e": [[1.0, 2.0], [3.0, 4.0], [5.0]]}, r"lists of one length, got lengths \[1, 2\]"),
    "ragged inside": ({"e": [[1.0], [2.0, 3.0], [4.0]]}, r"lists of one length, got lengths \[1, 2\]"),
    "no list": ({"e": [[1.0, 2.0], None, [5.0, 6.0]]}, r"lists of one length, got lengths \[0, 2\]"),
    "empty lists": ({"e": [[], [], []]}, r"lists of one length, got lengths \[0\]"),
    "nothing": ({"e": []}, "takes an array of vectors, one a row"),
}


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("stand_in", [pyarrow, polars, duckdb])
def test_columns_by_each_reader(tmp_path, monkeypatch, stand_in, name):
    columns, expected = COLUMNS[name]
    path = tmp_path / "[a]*.parquet"
    for other in (path, tmp_path / "ab.parquet"):
        other.write_bytes(b"PAR1")
    monkeypatch.setattr(parquet, "CHUNK", 2)
    monkeypatch.setattr(parquet.importlib.util, "find_spec", lambda asked: asked == stand_in.__name__)
    for module, fake in stand_in(columns, path).items():
        monkeypatch.setitem(sys.modules, module, fake)
    if isinstance(expected, str):
        with pytest.raises(FileFault, match=expected):
            read_vectors(path)
    else:
        read = read_vectors(path)
        np.testing.assert_array_equal(read.rows, expected)
        assert read.names is None


def test_chunks_of_a_column_are_joined():
    lists = [[[1.0, 2.0]], [[3.0, 4.0], [5.0, 6.0]]]
    joined = parquet._joined(lists)
    assert isinstance(joined, np.ndarray)
    np.testing.assert_array_equal(joined, [[1, 2], [3, 4], [5, 6]])
    np.testing.assert_array_equal(parquet._joined([np.array(part) for part in lists]), joined)
    assert [list(value) for value in parquet._joined([[[1.0]], [[2.0, 3.0]]])] == [[1.0], [2.0, 3.0]]
    assert [list(value) for value in parquet._joined([[[1.0], [2.0]], [[3.0], [4.0, 5.0]]])][2:] == [[3.0], [4.0, 5.0]]
    assert parquet._joined([[1.0, None], ["a"]]) == [1.0, None, "a"]
    assert parquet._joined([[[1.0], None], [2.0]]) == [[1.0], None, 2.0]
    assert parquet._joined([]) == []


def test_chunks_are_tables_while_others_are_read():  # and no Python objects
    assert isinstance(parquet._compact([[1.0, 2.0], (3.0, 4.0)]), np.ndarray)
    assert parquet._compact([[1.0], [2.0, 3.0]]) == [[1.0], [2.0, 3.0]]

"""Stored tables: found from whichever folder Python runs in, and where they are not, words without a traceback."""

from pathlib import Path

import pytest
from names import UMLAUT

from cossim_helpers import TableNotFound, results, stored_table

ROOT = Path(__file__).parents[2]
TABLES = sorted((ROOT / "studies" / "results").iterdir())


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.name)
def test_each_table_is_found_from_elsewhere(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert stored_table(path.name) == path


def test_a_package_without_its_book_finds_that_in_which_it_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "BOOK", tmp_path / "site-packages")
    (tmp_path / UMLAUT / "benchmarks" / "results").mkdir(parents=True)
    table = tmp_path / UMLAUT / "benchmarks" / "results" / "times.csv"
    table.write_text("a\n1\n", encoding="utf-8")
    (tmp_path / UMLAUT / "book").mkdir()
    for folder in ("", "book"):
        monkeypatch.chdir(tmp_path / UMLAUT / folder)
        assert stored_table("times.csv").read_text(encoding="utf-8") == "a\n1\n"


def test_a_notebook_without_the_book_is_told_what_it_lacks(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "BOOK", tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TableNotFound, match=r"seeds\.csv is not here.*\n.*whole repository.*make lab") as caught:
        stored_table("seeds.csv")
    assert isinstance(caught.value, FileNotFoundError)
    assert caught.value._render_traceback_() == str(caught.value).splitlines()


@pytest.mark.parametrize("name", ["", "../claims.yml", "studies/results/seeds.csv", "/etc/passwd", "..", "x" * 1000])
def test_a_name_leads_to_no_other_folder(name):
    with pytest.raises((ValueError, TableNotFound)):
        stored_table(name)
    with pytest.raises(TypeError, match="name takes text, got 3"):
        stored_table(3)

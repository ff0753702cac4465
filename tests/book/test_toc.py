"""The book is what _toc.yml lists: a reader's copies and drafts beside it disturb no test, no tool and no page."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import ledger
import pytest
import yaml

import conftest
from tools import toc
from tools.texts import Book

ROOT = Path(__file__).parents[2]
COPIES = ["book/01_one-Copy1.ipynb", "book/Untitled.ipynb", "book/.ipynb_checkpoints/01_one-checkpoint.ipynb"]
NOTEBOOK = (
    '{"cells": [{"cell_type": "code", "execution_count": 1, "id": "a", "metadata": {}, "outputs": [], "source": "1;"}],'
    ' "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'
)
GLOB = re.compile(r"""(?:BOOK|ROOT|root|"book"\))\.r?glob\([^\n]*(?:ipynb|\.md)""")


@pytest.fixture
def folder(tmp_path):
    """A book of one chapter and one page, with what JupyterLab leaves beside it; the copies cannot run."""
    (tmp_path / "book" / ".ipynb_checkpoints").mkdir(parents=True)
    (tmp_path / "book" / "01_one.ipynb").write_text(NOTEBOOK, encoding="utf-8")
    for name in COPIES:
        (tmp_path / name).write_text(NOTEBOOK.replace("1;", "1 / 0"), encoding="utf-8")
    for name in ("index", "draft", "404"):
        (tmp_path / "book" / f"{name}.md").write_text("# Text", encoding="utf-8")
    contents = {"format": "jb-book", "root": "book/index", "chapters": [{"file": "book/01_one"}]}
    (tmp_path / "_toc.yml").write_text(yaml.safe_dump(contents), encoding="utf-8")
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def test_the_table_of_contents_says_what_the_book_is(folder):
    names = [path.relative_to(folder / "book").as_posix() for path in toc.pages(folder)]
    assert names == ["01_one.ipynb", "404.md", "index.md"]
    assert [path.name for path in toc.notebooks(folder)] == ["01_one.ipynb"]
    assert [path.name for path in toc.texts(folder)] == ["404.md", "index.md"]
    (folder / "_toc.yml").unlink()
    assert len(toc.pages(folder)) == 6


def test_numbers_are_read_from_the_book_alone(folder):
    (folder / "cossim_helpers").mkdir()
    (folder / "cossim_helpers" / "claims.yml").write_text("claims: []", encoding="utf-8")
    assert set(Book(folder).notebooks) == {"01_one.ipynb"}


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        (["book"], {"01_one"}),
        (["."], {"01_one"}),
        (["book/Untitled.ipynb"], {"01_one", "Untitled"}),
        (["book/Untitled.ipynb::Cell 0"], {"01_one", "Untitled"}),
        (COPIES[:2], {"01_one", "01_one-Copy1", "Untitled"}),
    ],
)
def test_a_copy_is_collected_only_where_it_is_named(folder, names, taken):
    config = SimpleNamespace(args=names, rootpath=folder, invocation_params=SimpleNamespace(dir=folder))
    found = [path for path in folder.rglob("*.ipynb") if not conftest.pytest_ignore_collect(path, config)]
    assert {path.stem for path in found} == taken


def test_pytest_asks_which_notebooks_are_the_book(folder):
    command = [sys.executable, "-m", "pytest", "--nbval", "--collect-only", "-q", "book"]
    done = subprocess.run(
        command, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert "\n1 test" in done.stdout, done.stdout + done.stderr
    assert "01_one.ipynb::" in done.stdout


def test_the_page_of_claims_reads_the_book_alone(folder):
    found = [path.relative_to(folder).with_suffix("").as_posix() for path in toc.pages(folder)]
    paths = {name: str(path) for name, path in zip(found, toc.pages(folder))}
    env = type("Env", (), {"found_docs": found, "srcdir": folder, "doc2path": lambda self, doc: paths[doc]})()
    assert ledger._sources(env) == [ledger.LEDGER, "book/01_one.ipynb"]


def test_nobody_else_looks_through_the_folder():
    folders = ("tools", "tests", "site_tests", "studies", "book/_ext", "cossim_helpers")
    files = [ROOT / "conftest.py", *(path for folder in folders for path in sorted((ROOT / folder).rglob("*.py")))]
    assert GLOB.search('ROOT.rglob("*.ipynb")')
    found = [path.name for path in files if GLOB.search(path.read_text(encoding="utf-8"))]
    assert found == ["test_toc.py"]  # the line above


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a clone")
def test_git_leaves_them_out():
    """So a footer does not say "with local changes", and no linter reads them."""
    for name in [*COPIES, ".virtual_documents/book/01_one.ipynb"]:
        done = subprocess.run(["git", "-C", ROOT, "check-ignore", "--quiet", name])
        assert done.returncode == 0, name

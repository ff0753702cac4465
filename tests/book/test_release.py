"""A release: the files agree on what it is, its notes are the changelog's, its sums are those of its files."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tools import release

ROOT = Path(__file__).parents[2]
FILES = ["pyproject.toml", "CITATION.cff", ".zenodo.json", "CHANGELOG.md"]
CHANGES = """# Changelog

## [Unreleased]

## [0.1.0] - 2026-11-26

### Added

- The book.

## 0.0.1 - 2026-01-02

- A beginning.

[0.1.0]: https://example.org/0.1.0
"""


@pytest.fixture
def ready(tmp_path):
    """The files of this book, with a changelog and a date, ready to be released as 0.1.0."""
    for name in FILES:
        shutil.copyfile(ROOT / name, tmp_path / name)
    (tmp_path / "CHANGELOG.md").write_text(CHANGES, encoding="utf-8")
    edit(tmp_path / "pyproject.toml", r'^version = ".*"$', 'version = "0.1.0"')
    edit(tmp_path / "CITATION.cff", r"^version: .*$", 'version: "0.1.0"\ndate-released: 2026-11-26')
    edit(tmp_path / ".zenodo.json", r'"version": ".*"', '"version": "0.1.0"')
    return tmp_path


def edit(path, pattern, text):
    changed, count = re.subn(pattern, lambda found: text, path.read_text("utf-8"), count=1, flags=re.MULTILINE)
    assert count == 1, pattern
    path.write_text(changed, encoding="utf-8")


def test_the_files_of_this_book_agree():
    assert release.disagreements(ROOT) == []


def test_every_section_of_this_changelog_has_a_name_and_a_date():
    said = release.sections((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    assert next(iter(said)) == "Unreleased"
    assert all(release.VERSION.fullmatch(name) and release.is_date(day) for name, (day, _) in [*said.items()][1:])


def test_a_version_that_is_ready_passes(ready):
    release.check("v0.1.0", ready)
    assert release.notes("0.1.0", ready) == "### Added\n\n- The book."
    assert release.notes("0.0.1", ready) == "- A beginning."  # without the addresses at the end of the file


@pytest.mark.parametrize(
    ("tag", "file", "pattern", "text", "why"),
    [
        ("v0.2.0", "CITATION.cff", "x", "x", r"the tag names 0\.2\.0, pyproject\.toml 0\.1\.0"),
        ("0.1.0", "CITATION.cff", "x", "x", r"the tag is '0\.1\.0'; it must be v and a version"),
        ("v0.1", "CITATION.cff", "x", "x", r"the tag is 'v0\.1'"),
        ("v0.1.0\n", "CITATION.cff", "x", "x", r"the tag is"),
        ("v0.1.0", "pyproject.toml", "^version = .*$", 'version = "0.1.1"', r"pyproject\.toml 0\.1\.1"),
        ("v0.1.0", "CITATION.cff", "^version: .*$", "version: 0.1.2", r"CITATION\.cff says '0\.1\.2'"),
        ("v0.1.0", "CITATION.cff", "^date-released: .*\n", "", r"date-released is None in CITATION\.cff"),
        ("v0.1.0", "CITATION.cff", "26$", "25", r"date-released is '2026-11-25' in CITATION\.cff, '2026-11-26'"),
        ("v0.1.0", "CITATION.cff", r"\[BSD-3-Clause, CC-BY-4.0\]", "[MIT]", r"license: pyproject\.toml says 'BSD-3"),
        ("v0.1.0", "CITATION.cff", "doi: .*$", "doi: 10.1/2", r"papers: CITATION\.cff says \['10\.1/2', 'arXiv"),
        ("v0.1.0", ".zenodo.json", '"version": ".*"', '"version": "0.0.9"', r"\.zenodo\.json says '0\.0\.9'"),
        ("v0.1.0", ".zenodo.json", '"title": "Is', '"title": "Was', r"title: CITATION\.cff says 'Is cosine"),
        ("v0.1.0", ".zenodo.json", '"upload_type": "software"', '"upload_type": "dataset"', "type: CITATION"),
        ("v0.1.0", ".zenodo.json", "The contributors", "Some contributors", "authors: CITATION"),
        ("v0.1.0", ".zenodo.json", '"embeddings", ', "", "keywords: CITATION"),
        ("v0.1.0", ".zenodo.json", "CC-BY-4.0", "all rights reserved", r"does not name CC-BY-4\.0"),
        ("v0.1.0", "CHANGELOG.md", r"## \[0.1.0\]", "## [0.1.3]", r"no section for 0\.1\.0, only Unreleased, 0\.1\.3"),
        ("v0.1.0", "CHANGELOG.md", "^### Added\n\n- The book.$", "### Added", r"says nothing of 0\.1\.0"),
        ("v0.1.0", "CHANGELOG.md", "2026-11-26", "26 November", r"no section for 0\.1\.0"),
        ("v0.1.0", "CHANGELOG.md", "2026-11-26", "2026-11-31", "the date '2026-11-31'; it must be such as"),
        ("v0.1.0", "CHANGELOG.md", r"\[Unreleased\]", "[Unreleased]\n\n- More.", "still has entries under Unreleased"),
    ],
)
def test_a_version_that_is_not_ready_is_refused_with_the_reason(ready, tag, file, pattern, text, why):
    if text != pattern:
        edit(ready / file, pattern, text)
    with pytest.raises(release.Refused, match=why):
        release.check(tag, ready)


def test_a_commit_that_is_not_on_main_is_refused(ready):
    def git(*arguments):
        identity = ["-c", "user.name=reader", "-c", "user.email=reader@example.org"]
        subprocess.run(["git", "-C", ready, *identity, *arguments], check=True, capture_output=True)

    git("init", "--quiet")
    git("commit", "--quiet", "--allow-empty", "--message", "first")
    release.check("v0.1.0", ready)  # nobody says what main is
    git("update-ref", "refs/remotes/origin/main", "HEAD")
    release.check("v0.1.0", ready)
    git("commit", "--quiet", "--allow-empty", "--message", "second")
    with pytest.raises(release.Refused, match="this commit is not on origin/main"):
        release.check("v0.1.0", ready)


def test_authors_are_written_as_zenodo_writes_them():
    assert release.named({"family-names": "Lovelace", "given-names": "Ada"}) == "Lovelace, Ada"
    assert release.named({"name": "The contributors"}) == "The contributors"


def test_the_files_of_a_release_carry_its_version_and_their_sums(ready, tmp_path):
    site = ready / "_build" / "html" / "_static"
    site.mkdir(parents=True)
    out = ready / "_build" / "release"
    out.mkdir()
    (out / "old.zip").write_bytes(b"of another release")
    with pytest.raises(release.Refused, match=r"cosine-similarity-book.zip is missing; type: make pdf zip"):
        release.collect("v0.1.0", ready, out)
    for kind in ("zip", "pdf"):
        (site / f"cosine-similarity-book.{kind}").write_bytes(kind.encode())

    def build(root, folder):
        (folder / "cossim_helpers-0.1.0.tar.gz").write_bytes(b"sdist")

    names = release.collect("v0.1.0", ready, out, build)
    stored = [f"cosine-similarity-book-0.1.0.{kind}" for kind in ("pdf", "zip")] + ["cossim_helpers-0.1.0.tar.gz"]
    assert names == [*stored, "SHA256SUMS", "notes.md"]
    assert sorted(path.name for path in out.iterdir()) == sorted(names)
    sums = dict(line.split("  ")[::-1] for line in (out / "SHA256SUMS").read_text(encoding="utf-8").splitlines())
    assert sums == {name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in stored}
    assert subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=out).returncode == 0
    (out / stored[0]).write_bytes(b"another")
    assert subprocess.run(["sha256sum", "--check", "--status", "SHA256SUMS"], cwd=out).returncode == 1
    assert (out / "notes.md").read_text(encoding="utf-8") == "### Added\n\n- The book.\n"
    with pytest.raises(release.Refused, match="the tag names"):
        release.collect("v0.1.1", ready, out, build)


def test_the_sdist_holds_the_package_with_its_data(tmp_path):
    folder = tmp_path / "source"  # a copy: setuptools writes beside the sources
    shutil.copytree(ROOT / "cossim_helpers", folder / "cossim_helpers", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copyfile(ROOT / name, folder / name)
    release.sdist(folder, tmp_path)
    (made,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(made) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    package = [path for path in (folder / "cossim_helpers").rglob("*") if path.is_file()]
    assert {path.relative_to(folder).as_posix() for path in package} | {"LICENSE", "README.md"} <= names


def test_the_command_says_why_and_fails(ready, monkeypatch, capsys):
    monkeypatch.setattr(release.check, "__defaults__", ("", ready))
    assert release.main(["check", "v0.1.0"]) == 0
    assert capsys.readouterr().out.startswith("v0.1.0: pyproject.toml")
    assert release.main(["check", "v0.3.0"]) == 1
    assert "the tag names 0.3.0" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        release.main(["collect"])


def test_the_files_are_found_from_any_folder(tmp_path):
    done = subprocess.run([sys.executable, ROOT / "tools" / "release.py", "check"], cwd=tmp_path, capture_output=True)
    assert done.returncode == 0


def test_the_metadata_for_zenodo_name_their_fields():
    """Of the fields that Zenodo reads; a misspelled one it would leave out in silence."""
    fields = {
        *("title", "upload_type", "version", "description", "creators", "access_right", "license", "language"),
        *("keywords", "related_identifiers"),
    }
    assert set(json.loads((ROOT / ".zenodo.json").read_text(encoding="utf-8"))) == fields

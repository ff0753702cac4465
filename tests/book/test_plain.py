"""The comparison of two sites notices what differs, and no build leaves its settings behind."""

import subprocess
import sys

import pytest

from tools import plain


def test_a_difference_between_two_sites_is_noticed(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        (folder / "book").mkdir(parents=True)
        for name in ("book/a.html", "index.html", ".buildinfo"):
            (folder / name).write_text("the same", encoding="utf-8")
    (one / ".buildinfo").write_text("settings", encoding="utf-8")
    assert plain.differences(one, two) == []
    (one / "book" / "a.html").write_text("the sane", encoding="utf-8")  # of the same length
    (two / "index.html").unlink()
    (two / "more").write_text("", encoding="utf-8")
    assert plain.differences(one, two) == ["book/a.html", "index.html", "more"]


def test_a_build_that_fails_leaves_no_settings_behind(tmp_path, monkeypatch):
    """With a conf.py at its root, jupyter-book would take these for the book's."""

    def run(*command, **options):
        (tmp_path / "conf.py").write_text("", encoding="utf-8")
        raise subprocess.CalledProcessError(2, command)

    monkeypatch.setattr(plain, "ROOT", tmp_path)
    monkeypatch.setattr(plain, "run", run)
    with pytest.raises(subprocess.CalledProcessError):
        plain.build(sys.executable, tmp_path / "site")
    assert not (tmp_path / "conf.py").exists()

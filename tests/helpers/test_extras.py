"""What a reader may not have installed stops in words."""

import importlib

import pytest

from cossim_helpers import DaskNotInstalled, require_dask


@pytest.mark.parametrize("missing", ["dask", "distributed"])
def test_without_dask_there_are_words_and_no_traceback(monkeypatch, missing):
    def imported(name):
        if name == missing:
            raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(importlib, "import_module", imported)
    with pytest.raises(DaskNotInstalled, match=rf"the package {missing}, which is not installed here") as caught:
        require_dask()
    assert "pip install -r requirements-dask.txt" in str(caught.value)
    assert "make dask" in str(caught.value)
    assert caught.value._render_traceback_() == str(caught.value).splitlines()
    assert caught.value.__suppress_context__
    assert caught.value.name == missing  # what a page says in place of these words


def test_with_dask_nothing_happens(monkeypatch):
    asked = []
    monkeypatch.setattr(importlib, "import_module", asked.append)
    assert require_dask() is None
    assert asked == ["dask", "distributed"]

"""The public surface: what is exported, documented and shown in examples that run."""

import doctest
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import cossim_helpers

API_PAGE = (Path(__file__).parents[2] / "book" / "api.md").read_text(encoding="utf-8")
MODULES = [module.name for module in pkgutil.walk_packages(cossim_helpers.__path__, "cossim_helpers.")]


@pytest.mark.parametrize("name", cossim_helpers.__all__)
def test_public_names_have_docstrings_and_type_hints(name):
    thing = getattr(cossim_helpers, name)
    assert len(inspect.getdoc(thing).splitlines()[0]) > 20
    if inspect.isfunction(thing):
        assert "return" in thing.__annotations__


def kind_of(thing):
    return "class" if inspect.isclass(thing) else "function" if callable(thing) else "data"


def test_the_api_page_documents_each_public_name_once():
    documented = re.findall(r"^\.\. auto(class|function|data):: cossim_helpers\.(\w+)$", API_PAGE, re.MULTILINE)
    kinds = {name: kind_of(getattr(cossim_helpers, name)) for name in cossim_helpers.__all__}
    public = {(kind, name) for name, kind in kinds.items()}
    new, gone = sorted(public - set(documented)), sorted(set(documented) - public)
    assert not new, f"each needs a line in book/api.md, such as `.. autofunction:: cossim_helpers.{new[0][1]}`: {new}"
    assert not gone, f"book/api.md has them, and __all__ of the package has not: {gone}"
    assert len(documented) == len(public), "a name stands in book/api.md twice"
    assert API_PAGE.count(".. auto") == len(documented)


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_the_package_loads_without_what_only_some_functions_use():
    heavy = {"ipywidgets", "jax", "matplotlib", "optax", "sympy"}
    program = f"import sys, cossim_helpers; print(*sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "\n"


def dataclasses_of_the_package():
    for name in MODULES:
        if not name.endswith("__main__"):
            for thing in vars(importlib.import_module(name)).values():
                if inspect.isclass(thing) and thing.__module__ == name and hasattr(thing, "__dataclass_params__"):
                    yield thing


def test_what_is_returned_cannot_be_changed_and_arrays_are_not_compared_as_one():
    for thing in dataclasses_of_the_package():
        parameters, hints = thing.__dataclass_params__, " ".join(map(str, thing.__annotations__.values()))
        assert parameters.frozen, thing
        holds_arrays = "ndarray" in hints or "csr_array" in hints
        shared = thing.__name__ in (*cossim_helpers.__all__, "World")
        assert not (parameters.eq and holds_arrays and shared), thing


def test_who_imports_it_in_a_notebook_sees_sharp_figures(monkeypatch):
    settings = SimpleNamespace(figure_formats={"png"})
    backend = SimpleNamespace(instance=lambda parent: settings)
    shell = SimpleNamespace(kernel=1)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "matplotlib_inline.config", SimpleNamespace(InlineBackend=backend))
    importlib.reload(cossim_helpers)
    assert settings.figure_formats == {"retina"}

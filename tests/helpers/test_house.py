"""The house: data flow in one direction, JAX behind one door, and no file hides a public name."""

import ast
import dataclasses
import importlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import cossim_helpers

PACKAGE = Path(cossim_helpers.__file__).parent
MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))
STAGES = ("simulation", "spectra", "closed_forms", "gauge", "similarity", "metrics", "plots")  # the flow
LOADED = {"cossim_helpers", "numpy", "scipy", "yaml", "charset_normalizer", "cython_runtime"}  # the last two by these
OF_SCIPY = {"linalg", "sparse", "special"}
HEAVY = ("matplotlib", "sympy", "jax", "optax", "ipywidgets", "scipy.optimize", "scipy.stats", "sklearn")
LONGEST_MODULE = 350  # lines
LONGEST_FUNCTION = 50  # lines, its docstring apart: a screen


def imports(module):
    """(name as it stands, the module of this package that it means or "") for each import of a module."""
    for node in ast.walk(ast.parse((PACKAGE / module).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level == 0:
                yield node.module, ""
                continue
            folder = module.parent
            for _ in range(node.level - 1):
                folder = folder.parent
            inside = [*folder.parts, *(node.module.split(".") if node.module else [])]
            names = [alias.name for alias in node.names]
            for name in [None] if node.module and not (PACKAGE.joinpath(*inside)).is_dir() else names:
                yield node.module or "", ".".join([*inside, *([name] if name else [])])


def test_a_stage_imports_earlier_stages_only():
    for place, stage in enumerate(STAGES):
        inside = {target for _, target in imports(Path(f"{stage}.py")) if target}
        assert inside <= {
            "_validation",
            "_draws",
            "_gram",
            "_lanczos",
            "_routes",
            "_krylov",
            "_scales",
            "_components",
            "_owned",
            "_dask",
            *STAGES[:place],
        }, stage


def test_the_imports_have_no_circle():
    graph = {".".join(module.with_suffix("").parts): {t for _, t in imports(module) if t} for module in MODULES}
    while graph:
        free = [name for name, targets in graph.items() if not targets & graph.keys()]
        assert free, f"a circle among {sorted(graph)}"
        for name in free:
            del graph[name]


def test_jax_has_one_door():
    doors = {
        str(module)
        for module in MODULES
        for name, _ in imports(module)
        if name.split(".")[0] in ("jax", "jaxlib", "optax")
    }
    assert doors == {str(Path("trained", "_jax.py"))}


def test_no_file_bears_the_name_of_a_public_function():
    names = {path.stem for folder in ("cossim_helpers", "benchmarks", "studies", "book/_ext", "tools")
             for path in (PACKAGE.parent / folder).rglob("*.py")}  # fmt: skip
    functions = {name for name in cossim_helpers.__all__ if callable(getattr(cossim_helpers, name))}
    assert not names & functions


def test_private_names_stay_in_their_module():
    for module in MODULES:
        for node in ast.walk(ast.parse((PACKAGE / module).read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level:
                private = [alias.name for alias in node.names if alias.name.startswith("_") and node.module]
                assert not private, (module, private)


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_small_means_small(module):
    text = (PACKAGE / module).read_text(encoding="utf-8")
    length = len(text.splitlines())
    assert length <= LONGEST_MODULE, f"{module} has {length} lines: split it, see CONTRIBUTING.md"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            has_docstring = ast.get_docstring(node) is not None
            body = node.body[1:] if has_docstring else node.body
            lines = node.end_lineno - body[0].lineno + 1 if body else 0
            assert lines <= LONGEST_FUNCTION, f"{node.name} has {lines} lines without its docstring"


def test_dataclasses_are_frozen_and_compared_by_identity_where_they_hold_arrays():
    """Their == would compare arrays, and raise; of what holds such objects, it would compare these by identity."""
    kinds = {}
    for file in sorted(PACKAGE.rglob("[!_]*.py")) + sorted(PACKAGE.glob("_[a-z]*.py")):
        name = ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts)
        own = [kind for kind in vars(importlib.import_module(name)).values() if dataclasses.is_dataclass(kind)]
        kinds |= {f"{name}.{kind.__name__}": kind for kind in own if getattr(kind, "__module__", "") == name}
    assert [name for name, kind in kinds.items() if not kind.__dataclass_params__.frozen] == []
    types = {name: " ".join(str(field.type) for field in dataclasses.fields(kind)) for name, kind in kinds.items()}
    holders, arrays = [], {"ndarray", "csr_array"}
    while more := [name for name in types.keys() - set(holders) if set(re.findall(r"\w+", types[name])) & arrays]:
        holders += more
        arrays |= {kinds[name].__name__ for name in more}
    expected = ("audit.files.Vectors", "audit.compare._Moments", "trained.models.CosineModel")
    assert {f"cossim_helpers.{name}" for name in expected} <= set(holders)
    assert [name for name in holders if kinds[name].__dataclass_params__.eq] == []


def test_the_package_loads_nothing_that_waits_for_its_use():
    code = f"import sys, cossim_helpers; print([name for name in {HEAVY} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_the_package_loads_numpy_yaml_and_three_parts_of_scipy():
    """0.35 s of CPU, of which these take 0.27; scipy.stats, scipy.optimize or pyplot would each take as much again."""
    code = "import sys; before = set(sys.modules); import cossim_helpers; print(*set(sys.modules) - before)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    tops = {name.partition(".")[0] for name in found} - set(sys.stdlib_module_names)
    assert {name for name in tops if not name.startswith("_")} <= LOADED
    parts = {name.split(".")[1] for name in found if name.startswith("scipy.")}
    assert {part for part in parts if not part.startswith("_")} - {"version"} == OF_SCIPY


def test_the_readme_says_where_each_module_is():
    text = (PACKAGE.parent / "README.md").read_text(encoding="utf-8")
    told = set(re.findall(r"`([a-z_]+)/?`", text.partition("## What is where")[2]))
    named = {module.parts[0].removesuffix(".py") for module in MODULES} - {"__init__", "__main__"}
    assert not named - told - {"trained", "widget"}, "README.md, What is where"  # these two have a row of their own


def test_tests_stand_where_one_looks_for_them():
    tests = Path(__file__).parents[1]
    others = {"calls.py", "inside.py", "instances.py", "kinds.py", "names.py", "oracles.py", "strategies.py"}
    assert {path.name for path in tests.glob("*.py")} == others
    public = {path.stem for path in PACKAGE.glob("*.py") if not path.stem.startswith("_")}
    assert public <= {path.stem.removeprefix("test_") for path in (tests / "helpers").glob("test_*.py")}


def reads_and_writes_text(node):
    """Whether a call opens a file as text: open(…), path.open(…), path.read_text(…), path.write_text(…)."""
    name = getattr(node.func, "id", None) or getattr(node.func, "attr", None)
    if name in ("read_text", "write_text"):
        return True
    modes = node.args[1:2] if isinstance(node.func, ast.Name) else node.args[:1]
    modes += [keyword.value for keyword in node.keywords if keyword.arg == "mode"]
    of_path = isinstance(node.func, ast.Name) or not node.args or isinstance(getattr(modes[0], "value", None), str)
    return name == "open" and of_path and not any("b" in str(getattr(mode, "value", "")) for mode in modes)


def has_encoding(node):
    place = {"read_text": 0, "write_text": 1}.get(getattr(node.func, "attr", None), 99)
    return len(node.args) > place or any(keyword.arg == "encoding" for keyword in node.keywords)


def without_encoding(source):
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [call.lineno for call in calls if reads_and_writes_text(call) and not has_encoding(call)]


def test_text_is_read_and_written_as_utf_8_whatever_the_locale():
    root = PACKAGE.parent
    folders = ("cossim_helpers", "tools", "studies", "tests", "site_tests", "benchmarks", "book/_ext")
    paths = [root / "conftest.py", *(path for folder in folders for path in (root / folder).rglob("*.py"))]
    missing = {path.relative_to(root).as_posix(): without_encoding(path.read_text(encoding="utf-8")) for path in paths}
    found = [f"{name}, line {line}" for name, lines in sorted(missing.items()) for line in sorted(set(lines))]
    assert not found, "\n".join(['encoding="utf-8" is missing:', *found])


@pytest.mark.parametrize(
    ("call", "found"),
    [
        ("path.read_text()", True),
        ("path.read_text('utf-8')", False),
        ("path.write_text(text, encoding='utf-8')", False),
        ("path.write_text(text)", True),
        ("open(path)", True),
        ("open(path, 'w')", True),
        ("open(path, mode='rb')", False),
        ("open(path, 'a', encoding='utf-8')", False),
        ("path.open()", True),
        ("path.open('rb')", False),
        ("Image.open(path)", False),
        ("path.open(encoding='utf-8')", False),
    ],
)
def test_a_text_without_encoding_is_found(call, found):
    assert bool(without_encoding(call)) is found


def test_an_absolute_tolerance_has_no_relative_one_besides():
    np.testing.assert_allclose(1e5 + 1e-9, 1e5, atol=1e-12)
    np.testing.assert_allclose(1 + 1e-8, 1)
    with pytest.raises(AssertionError, match="atol=1e-12"):
        np.testing.assert_allclose(1 + 1e-9, 1, atol=1e-12)


def test_an_absolute_tolerance_of_a_test_is_absolute():
    """NumPy's own adds 1e-7 of the number. See the root's conftest.py."""
    np.testing.assert_allclose(1 + 0.9e-12, 1.0, atol=1e-300)  # rounding
    np.testing.assert_allclose(1 + 1e-8, 1.0)
    for options in ({"atol": 1e-9}, {"atol": 1e-9, "rtol": 0}, {"rtol": 1e-9}):
        with pytest.raises(AssertionError):
            np.testing.assert_allclose(1 + 1e-8, 1.0, **options)

"""The tool behind `make mutants`: what it changes, what it leaves alone, and that it tells killed from surviving."""

import ast
import functools
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from tools.mutants import __main__ as command
from tools.mutants import operators

ROOT = Path(__file__).parents[2]
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "cossim_helpers").rglob("*.py"))
}
LISTED = sorted((ROOT / "tests" / "survivors").glob("*.yml"))


@functools.cache
def mutants_of(module):
    return operators.mutants(module, MODULES[module])


def after(source):
    return {mutant.now for mutant in operators.mutants("m", source)}


@pytest.mark.parametrize(
    ("source", "faults"),
    [
        ("y = a < b", {"y = a <= b", "y = a >= b"}),
        ("y = a == b", {"y = a != b"}),
        ("y = a + b", {"y = (a - b)"}),
        ("y = a @ b.T", {"y = a @ (b)"}),
        ("y = 3", {"y = 4"}),
        ("y = 1e-9", {"y = 0.1", "y = 0.0"}),
        ("y = 1e15", {"y = 1000000000000001.0"}),
        ("y = 1e150", set()),  # and 1 more is the same number
        ("y = True", {"y = False"}),
        ("y = a and b", {"y = (a)", "y = (b)"}),
        ("y = not a", {"y = (a)"}),
        ("y = -a", {"y = (a)"}),
        ("y = x[1]", {"y = x[0]"}),
        ("y = x[:k]", {"y = x[:]", "y = x[:k + 1]", "y = x[:k - 1]"}),
        ("y = x.sum(axis=1)", {"y = x.sum()", "y = (x)", "y = x.max(axis=1)", "y = x.sum(axis=2)"}),
        ("y = x.copy()", {"y = (x)"}),
        ("import numpy as np\ny = np.abs(x)", {"y = (x)"}),
        ("y = min(a, b)", {"y = (a)", "y = max(a, b)"}),
        ("require(x)", {"pass"}),
        ("x[0] = y", {"pass", "x[1] = y"}),
        ("if a > b:\n    raise E('…')", {"if False:", "if True:", "if a >= b:", "pass"}),
        ("for a in b:\n    f(a)", {"for a in ():", "pass"}),
        ("def f(a=2):\n    return a", {"def f(a=3):", "return None"}),
        ("y = [a for a in b if a]", {"y = [a for a in b]"}),
        ("σ = 'σ', 1", {"σ = 'σ', 2"}),  # places are counted in bytes
    ],
)
def test_what_is_changed(source, faults):
    assert after(source) == faults


@pytest.mark.parametrize(
    "source",
    [
        '"""A text of 3 words."""',
        "import a",
        "from a import b",
        "__all__ = ['a', 'b']",
        "x: tuple[int, 3]",
        "def f(x: 3) -> 4: ...",
        "y = f'{a + 1}'",
        "y = 'a text'",
        "y = 'a' + b",
        "if TYPE_CHECKING:\n    from a import b",
    ],
)
def test_what_no_test_can_notice_is_left_alone(source):
    assert after(source) == set()


@pytest.mark.parametrize("module", MODULES)
def test_each_mutant_of_the_package_is_another_program(module):
    """All are another text; some of them, of each module others, are held against the program as it is."""
    found = mutants_of(module)
    assert len({mutant.source for mutant in found} - {MODULES[module]}) == len(found)
    same = ast.dump(ast.parse(MODULES[module]))
    for mutant in found[len(module) :: 150]:
        assert ast.dump(ast.parse(mutant.source)) != same, mutant.now


@pytest.mark.parametrize("file", LISTED, ids=lambda file: file.stem)
def test_the_list_holds_mutants_that_exist_and_says_why(file):
    module = f"cossim_helpers.{file.stem}"
    mutants = mutants_of(module)
    listed = {key[1:] for key in command.Known(file.parent).entries if key[0] == file.stem}
    assert listed <= {mutant.key for mutant in mutants}
    assert len(listed) <= 0.15 * len(mutants), "too many survivors"


def test_of_all_mutants_few_are_on_the_list():
    listed = {key for file in LISTED for key in command.Known(file.parent).entries}
    assert len(listed) <= (1 - command.LEAST / 100) * sum(len(mutants_of(module)) for module in MODULES)


def test_a_survivor_without_a_reason_is_refused(tmp_path):
    entry = {"function": "f", "was": "a", "now": "b", "why": " "}
    (tmp_path / "m.yml").write_text(yaml.safe_dump([entry]), encoding="utf-8")
    with pytest.raises(AssertionError, match="no reason"):
        command.Known(tmp_path)


def test_each_module_but_an_empty_one_has_tests_of_its_own():
    files = [f"tests/helpers/{path.name}" for path in sorted((ROOT / "tests" / "helpers").glob("test_*.py"))]
    session = command.Session(SimpleNamespace(package="cossim_helpers", files=files), known=None)
    for module in MODULES:
        if mutants_of(module):
            assert session.own_files(module), module
    assert session.own_files("cossim_helpers._gram") == [
        "tests/helpers/test_gram.py",
        "tests/helpers/test_spectra.py",
        "tests/helpers/test_spectra_large.py",
        "tests/helpers/test_spectra_parts.py",
    ]


def test_what_is_tested_elsewhere_is_a_module_and_has_such_files():
    names = {path.name for path in (ROOT / "tests" / "helpers").glob("test_*.py")}
    for module, words in command.ELSEWHERE.items():
        assert f"cossim_helpers.{module}" in MODULES, module
        for word in words.split():
            assert any(name.startswith(f"test_{word}") for name in names), (module, word)


def test_a_sample_repeats_itself():
    project = SimpleNamespace(modules=lambda: {"cossim_helpers.gauge": ROOT / "cossim_helpers" / "gauge.py"})

    def sample(seed, part=""):
        return command.chosen_mutants(project, ["cossim_helpers.gauge"], 6, seed, part)["cossim_helpers.gauge"]

    assert sample(7) == sample(7) != sample(8)
    assert len(sample(7)) == 6
    parts = [sample(7, f"{number}/4") for number in (1, 2, 3, 4)]
    assert [len(part) for part in parts] == [2, 2, 1, 1]
    assert sorted(mutant.now for part in parts for mutant in part) == sorted(mutant.now for mutant in sample(7))


HALF = '''"""Half of a number."""


def half(x):
    if x < 0:
        raise ValueError("x")
    return x / 2
'''
TESTS = """import subprocess
import sys

import pytest

from toy.half import half


def test_refusal():
    with pytest.raises(ValueError, match="x"):
        half(-1)


def test_in_another_process():
    code = "import sitecustomize; from toy.half import half; print(half(3))"
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True)
    assert done.stdout == "1.5\\n"
"""
OTHERS = """from toy.half import half


def test_zero():
    assert half(0) == 0
"""


@pytest.fixture
def toy(tmp_path):
    """Return a function that runs the tool on a small package."""
    for name, text in {
        "toy/__init__.py": "",
        "toy/half.py": HALF,
        "tests/helpers/test_half.py": TESTS,
        "tests/helpers/test_others.py": OTHERS,
        "pyproject.toml": "",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "tests" / "survivors").mkdir()

    def run(*options):
        # It needs no plugins, which load slowly; it writes arrows, whatever the locale.
        environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONIOENCODING": "utf-8"}
        program = [sys.executable, "-m", "tools.mutants", f"--root={tmp_path}", "--package=toy", *options]
        done = subprocess.run(program, cwd=ROOT, env=environment, capture_output=True, encoding="utf-8")
        return done.returncode, done.stderr + done.stdout

    return run


def test_survivors_are_named_explained_and_forgotten(toy, tmp_path):
    code, said = toy("half", "--own")
    assert code == 1
    survivors = yaml.safe_load(said.partition("half.yml\n")[2])
    # its own tests do not ask at 0; and if 0 becomes 1, none asks between. What another process computes is noticed.
    assert [(entry["function"], entry["now"]) for entry in survivors] == [("half", ["if x <= 0:", "if x < 1:"])]
    file = tmp_path / "tests" / "survivors" / "half.yml"
    listed = [{"function": "half", "was": "if x < 0:", "now": now, "why": "so"} for now in ("if x < 1:", "if x < 7:")]
    file.write_text(yaml.safe_dump(listed), encoding="utf-8")
    code, said = toy("half")  # the other tests ask at 0
    assert code == 1 and "not explained" not in said
    assert "killed, or gone: half: if x < 0: → if x < 7:" in said
    file.write_text(yaml.safe_dump(listed[:1]), encoding="utf-8")
    assert toy("half")[0] == 0
    code, said = toy()
    assert code == 1 and "too few are killed" in said


def test_tests_that_fail_anyway_stop_the_tool(toy, tmp_path):
    (tmp_path / "tests" / "helpers" / "test_half.py").write_text(
        TESTS.partition("def test_in")[0].replace("-1", "1"), encoding="utf-8"
    )
    code, said = toy("half")
    assert code == 1 and "its tests fail as it is" in said


def test_the_lines_of_a_package_itself_are_changed_too(toy, tmp_path):
    (tmp_path / "toy" / "__init__.py").write_text("SIDES = 2\n", encoding="utf-8")
    test = "import toy\n\n\ndef test_sides():\n    assert toy.SIDES == 2\n"
    (tmp_path / "tests" / "helpers" / "test_package.py").write_text(test, encoding="utf-8")
    code, said = toy("__init__", "--own")
    assert code == 0, said
    assert "1 mutants, 1 killed" in said

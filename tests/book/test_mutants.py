"""The tool behind `make mutants`: what it changes, what it leaves alone, and that it tells killed from surviving."""

import ast
import os
import subprocess
import sys
from pathlib import Path

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
    ],
)
def test_what_no_test_can_notice_is_left_alone(source):
    assert after(source) == set()


@pytest.mark.parametrize("module", MODULES)
def test_each_mutant_of_the_package_is_another_program(module):
    """One in 40 of them, held against the program as it is."""
    same = ast.dump(ast.parse(MODULES[module]))
    for mutant in operators.mutants(module, MODULES[module])[::40]:
        assert ast.dump(ast.parse(mutant.source)) != same, mutant.now


@pytest.mark.parametrize("file", LISTED, ids=lambda file: file.stem)
def test_the_list_holds_mutants_that_exist_and_says_why(file):
    module = f"cossim_helpers.{file.stem}"
    mutants = operators.mutants(module, MODULES[module])
    listed = {key[1:] for key in command.Known(file.parent).entries if key[0] == file.stem}
    assert listed <= {mutant.key for mutant in mutants}
    assert len(listed) <= 0.1 * len(mutants), "too many survivors"


def test_a_survivor_without_a_reason_is_refused(tmp_path):
    entry = {"function": "f", "was": "a", "now": "b", "why": " "}
    (tmp_path / "m.yml").write_text(yaml.safe_dump([entry]))
    with pytest.raises(AssertionError, match="no reason"):
        command.Known(tmp_path)


HALF = '''"""Half of a number."""


def half(x):
    if x < 0:
        raise ValueError("x")
    return x / 2


def name():
    return half(4.0) + 1.0
'''
TESTS = """import subprocess
import sys

import pytest

from toy.half import half


def test_half():
    assert half(3) == 1.5


def test_refusal():
    with pytest.raises(ValueError, match="x"):
        half(-1)


def test_in_another_process():
    code = "from toy.half import name; print(name())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "3.0\\n"
"""


@pytest.fixture
def toy(tmp_path):
    """Return a function that runs the tool on a small package."""
    for name, text in {
        "toy/__init__.py": "",
        "toy/half.py": HALF,
        "tests/helpers/test_half.py": TESTS,
        "pyproject.toml": "",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "tests" / "survivors").mkdir()

    def run(*options):
        environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # it needs none, and they load slowly
        program = [sys.executable, "-m", "tools.mutants", "half", f"--root={tmp_path}", "--package=toy", *options]
        done = subprocess.run(program, cwd=ROOT, env=environment, capture_output=True, text=True)
        return done.returncode, done.stderr + done.stdout

    return run


def test_survivors_are_named_explained_and_forgotten(toy, tmp_path):
    code, said = toy()
    assert code == 1
    survivors = yaml.safe_load(said.partition("half.yml\n")[2])
    # nobody asks at 0; and if 0 becomes 1, nobody asks between. What another process computes is noticed.
    assert [(entry["function"], entry["now"]) for entry in survivors] == [("half", ["if x <= 0:", "if x < 1:"])]
    file = tmp_path / "tests" / "survivors" / "half.yml"
    file.write_text(yaml.safe_dump([entry | {"why": "the half of 0 is not asked for"} for entry in survivors]))
    assert toy()[0] == 0
    tests = tmp_path / "tests" / "helpers" / "test_half.py"
    tests.write_text(TESTS + "\n\ndef test_zero():\n    assert half(0) == 0\n")
    code, said = toy()
    assert code == 1
    assert "killed, or gone: half: if x < 0: → if x <= 0:" in said
    (tmp_path / "toy" / "half.py").write_text(HALF.replace("x < 0", "x < 0.0"))
    code, said = toy()
    assert code == 1 and "killed, or gone: half: if x < 0: → if x < 1:" in said


def test_tests_that_fail_anyway_stop_the_tool(toy, tmp_path):
    tests = tmp_path / "tests" / "helpers" / "test_half.py"
    tests.write_text(TESTS.replace("== 1.5", "== 1.6"))
    code, said = toy()
    assert code == 1 and "its tests fail as it is" in said


def test_a_sample_repeats_itself(toy):
    first, again = toy("--sample=3", "--seed=7", "--list"), toy("--sample=3", "--seed=7", "--list")
    assert first == again
    assert "SEED=7" in first[1] and first[1].count("\n  + ") == 3

"""In a page an int of NumPy has 32 bits (WebAssembly): what would overflow or be refused there, in package and cells.

Two faults that no test on 64 bits can see. A product of counts: the number of true entries, or what `arange`,
`bincount` and `astype(int)` give, is an int of NumPy, and so is its product with another or with a plain int; in a
page it wraps around above 2·10⁹. And numbers of 64 bits everywhere, from `rng.choice` and `rng.integers` or the
`indices` of a sparse array, where NumPy takes only what is as wide as an address: `bincount`.
"""

import ast
import json
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
BOOLEAN = {"isfinite", "isnan", "isclose", "logical_and", "logical_or", "logical_not"}
COUNTS = {"arange", "bincount", "argsort", "searchsorted"}


def called(node):
    """The last name of what is called: sum of x.sum(), arange of np.arange()."""
    if not isinstance(node, ast.Call):
        return None
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)


class Scope(ast.NodeVisitor):
    """Follows what names stand for, line by line, and keeps what may break on 32 bits."""

    def __init__(self):
        self.boolean, self.count, self.drawn, self.found = set(), set(), set(), []

    def is_boolean(self, node):
        if isinstance(node, ast.Name):
            return node.id in self.boolean
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Invert, ast.Not)):
            return self.is_boolean(node.operand)
        if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.BitAnd, ast.BitOr)):
            return self.is_boolean(node.left) or self.is_boolean(node.right)
        return isinstance(node, ast.Compare) or called(node) in BOOLEAN

    def is_count(self, node):
        """Whether this is an int of NumPy, as wide as the machine."""
        if isinstance(node, ast.Name):
            return node.id in self.count
        if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub, ast.Mult)):
            return (self.is_count(node.left) or self.is_count(node.right)) and not self.is_float(node)
        name = called(node)
        if name == "sum":
            of = node.func.value if isinstance(node.func, ast.Attribute) else node.args[0]
            of = node.args[0] if isinstance(of, ast.Name) and of.id == "np" and node.args else of
            return self.is_boolean(of) or self.is_count(of)
        if name == "astype":
            return getattr(node.args[0], "id", "") == "int"
        if name == "arange":
            return not any(self.is_float(each) for each in node.args)
        return name in COUNTS

    def is_float(self, node):
        floats = [each for each in ast.walk(node) if isinstance(each, ast.Constant) and isinstance(each.value, float)]
        return bool(floats) or any(isinstance(each, ast.Div) for each in ast.walk(node))

    def is_int(self, node):
        if isinstance(node, ast.Constant):
            return isinstance(node.value, int)
        return called(node) in ("len", "int") or (isinstance(node, ast.Attribute) and node.attr in ("size", "nnz"))

    def visit_Assign(self, node):
        self.visit(node.value)
        for target in node.targets:
            pairs = [(target, node.value)]
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs = list(zip(target.elts, node.value.elts))
            for name, value in pairs:
                if isinstance(name, ast.Name):
                    self.learn(name.id, value)

    def learn(self, name, value):
        inner = value
        while called(inner) in ("sort", "reshape", "ravel") and (inner.args or isinstance(inner.func, ast.Attribute)):
            of = inner.func.value
            inner = inner.args[0] if isinstance(of, ast.Name) and of.id == "np" else of
        kinds = {
            "boolean": self.is_boolean(value),
            "count": self.is_count(value),
            "drawn": called(inner) == "integers" or (called(inner) == "choice" and not self.is_sequence(inner)),
        }
        for kind, holds in kinds.items():
            (getattr(self, kind).add if holds else getattr(self, kind).discard)(name)

    def is_wide(self, node):
        """Whether this is the `indices` of a sparse array, as wide as SciPy likes."""
        return isinstance(node, ast.Attribute) and node.attr == "indices"

    def is_sequence(self, choice):
        return bool(choice.args) and isinstance(choice.args[0], (ast.List, ast.Tuple))

    def visit_BinOp(self, node):
        if isinstance(node.op, ast.Mult):
            for one, other in ((node.left, node.right), (node.right, node.left)):
                if self.is_count(one) and (self.is_count(other) or self.is_int_product(other)):
                    self.found.append((node.lineno, ast.unparse(node)))
                    break
        self.generic_visit(node)

    def is_int_product(self, node):
        """A plain int that may be large: not a small constant."""
        return self.is_int(node) and not (isinstance(node, ast.Constant) and abs(node.value) < 1_000)

    def visit_Call(self, node):
        if called(node) == "bincount" and node.args:
            of = node.args[0]
            if (isinstance(of, ast.Name) and of.id in self.drawn) or called(of) == "integers" or self.is_wide(of):
                self.found.append((node.lineno, ast.unparse(node)))
        self.generic_visit(node)


def narrow(source):
    """Return what may break on 32 bits in a source: line and expression."""
    scope = Scope()
    scope.visit(ast.parse(source))
    return scope.found


@pytest.mark.parametrize(
    "source",
    [
        "same = a == b\nn = same.sum() * (~same).sum()",
        "same = truth[pairs] == 1\nn_same, n_other = same.sum(), (~same).sum()\nx = n_same * (n_same + 1) / 2",
        "n = np.sum(a > 0) * x.size",
        "def f(a):\n    hit = (a > 1) & (a < 2)\n    return hit.sum() * len(a)",
        "n = np.arange(100_000) * np.arange(100_000)",
        "n = x.astype(int) * 1_000_000",
        "c = np.sort(rng.choice(5, 100))\nnp.bincount(c)",
        "np.bincount(rng.integers(3, size=9))",
        "there = np.bincount(X.indices, minlength=5) > 0",
    ],
)
def test_it_sees_what_breaks(source):
    assert narrow(source)


@pytest.mark.parametrize(
    "source",
    [
        "same = a == b\nn = int(same.sum()) * int((~same).sum())",
        "n_same = a.sum()\nx = n_same * n_same",
        "w = np.arange(1, 9) ** -0.5",
        "w = 2 * np.arange(9)",
        "w = np.arange(9) * 0.5 * n.size",
        "c = np.sort(rng.choice(5, 100)).astype(np.intp)\nnp.bincount(c)",
        "items = X.indices.astype(np.intp, copy=False)\nthere = np.bincount(items, minlength=5) > 0",
        "signs = rng.choice([-1.0, 1.0], 30)",
        "share = np.mean(a > 0) * 100_000",
    ],
)
def test_it_lets_pass_what_does_not(source):
    assert narrow(source) == []


def test_the_package_is_safe():
    files = sorted(path for path in (ROOT / "cossim_helpers").rglob("*.py") if "trained" not in path.parts)
    assert len(files) > 20
    found = {path.name: narrow(path.read_text(encoding="utf-8")) for path in files}
    assert {name: faults for name, faults in found.items() if faults} == {}


def test_cells_that_run_in_a_page_are_safe():
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["sphinx"]["config"]
    for page in config["run_in_page"]:
        notebook = json.loads((ROOT / f"{page}.ipynb").read_text(encoding="utf-8"))
        cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
        assert narrow("\n".join(cells)) == [], page

"""The mutants of a module: its source with one small fault in each.

Left alone are what no test can notice (docstrings, annotations, imports, `__all__`) and what says something to people:
strings, and all that a `raise` says. Whether it is raised at all is another matter: it is dropped.
"""

import ast
import copy
import re
from dataclasses import dataclass

TINY = 1e-3  # a smaller number is a tolerance
COMPARED = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
COMPUTED = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitOr,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
PAIRS = [
    ("min", "max"),
    ("minimum", "maximum"),
    ("argmin", "argmax"),
    ("any", "all"),
    ("floor", "ceil"),
    ("zeros", "ones"),
    ("zeros_like", "ones_like"),
    ("triu", "tril"),
    ("cos", "sin"),
    ("append", "extend"),
    ("startswith", "endswith"),
    ("searchsorted", "digitize"),
]
SWAPPED = {name: other for pair in PAIRS for name, other in (pair, pair[::-1])} | {
    "fmax": "fmin",
    "sum": "max",
    "mean": "sum",
    "median": "mean",
    "std": "var",
    "cumsum": "asarray",
    "log1p": "log",
    "expm1": "exp",
    "hypot": "maximum",
    "nansum": "nanmax",
}


@dataclass(frozen=True)
class Mutant:
    """One fault: `was` and `now` are the lines that it changes, without their layout and comments."""

    module: str  # cossim_helpers.spectra
    function: str  # Spectrum.exceeds, or "" outside of functions
    was: str
    now: str
    source: str
    lines: frozenset | None  # a test that runs none of these cannot notice; None: whatever runs the module can

    @property
    def key(self):
        return self.function, self.was, self.now


def text(node):
    return ast.unparse(node)


def changed(node, **fields):
    """The text of a copy of a node with other fields."""
    other = copy.copy(node)
    for name, value in fields.items():
        setattr(other, name, value)
    return text(other)


def constants(node):
    value = node.value
    if isinstance(value, bool):
        yield str(not value)
    elif isinstance(value, int):
        yield str(value + 1)
    elif isinstance(value, float):
        others = (value * 1e8, 0.0) if 0 < value < TINY else (value + 1,)
        yield from (repr(other) for other in others if other != value)  # 1e150 + 1 is 1e150


def comparisons(node, branch):
    """The boundary and the negation; this one not where the branch is taken always and never, too."""
    for place, operator in enumerate(node.ops):
        for other in COMPARED[type(operator)][: -1 if branch else None]:
            yield changed(node, ops=[*node.ops[:place], other(), *node.ops[place + 1 :]])


def calls(node, modules, branch):
    """Without one keyword, without the call, and another function."""
    for place, keyword in enumerate(node.keywords):
        if keyword.arg and not isinstance(getattr(keyword.value, "value", None), bool):  # True becomes False, below
            yield changed(node, keywords=node.keywords[:place] + node.keywords[place + 1 :])
    function, name = node.func, getattr(node.func, "attr", getattr(node.func, "id", ""))
    if branch:
        pass
    elif isinstance(function, ast.Attribute) and getattr(function.value, "id", "") not in modules:
        yield f"({text(function.value)})"  # x.copy() → x
    elif name.strip("_")[:1].islower() and name not in ("range", "slice", "len", "super"):
        values = [argument for argument in node.args if not isinstance(argument, (ast.Starred, ast.JoinedStr))]
        values = [value for value in values if not (isinstance(value, ast.Constant) and isinstance(value.value, str))]
        if 1 <= len(values) <= 2:
            yield f"({text(values[0])})"  # np.asarray(x) → x, non_negative("lam", x) → x
    if name in SWAPPED:
        field = "attr" if isinstance(function, ast.Attribute) else "id"
        other = copy.copy(function)
        setattr(other, field, SWAPPED[name])
        yield changed(node, func=other)


def slices(node):
    for field in ("lower", "upper", "step"):
        bound = getattr(node, field)
        if bound is not None:
            yield changed(node, **{field: None})
            if not isinstance(bound, (ast.Constant, ast.UnaryOp)) and field != "step":
                yield from (
                    changed(node, **{field: ast.BinOp(bound, op(), ast.Constant(1))}) for op in (ast.Add, ast.Sub)
                )


def indices(node):
    """Another axis, another place."""
    if isinstance(node.slice, ast.Constant) and type(node.slice.value) is int:
        yield changed(node, slice=ast.Constant(node.slice.value - 1 if node.slice.value > 0 else 1))


def expressions(node, modules, branch):
    """What may stand in the place of an expression; `branch`: of one that is taken as both anyway."""
    match node:
        case ast.Constant():
            yield from constants(node)
        case ast.Compare():
            yield from comparisons(node, branch)
        case ast.BinOp() if type(node.op) in COMPUTED:
            if not any(isinstance(s, (ast.JoinedStr, ast.Constant)) and isinstance(getattr(s, "value", ""), str)
                       for s in (node.left, node.right)):  # fmt: skip
                yield f"({changed(node, op=COMPUTED[type(node.op)]())})"
        case ast.BoolOp():
            for place in range(len(node.values)):
                rest = node.values[:place] + node.values[place + 1 :]
                yield f"({changed(node, values=rest) if len(rest) > 1 else text(rest[0])})"
        case ast.UnaryOp() if not branch:
            yield f"({text(node.operand)})"
        case ast.Call():
            yield from calls(node, modules, branch)
        case ast.Subscript():
            yield from indices(node)
        case ast.Slice():
            yield from slices(node)
        case ast.Attribute(attr="T"):
            yield f"({text(node.value)})"
        case ast.comprehension(ifs=[_, *_]):
            yield changed(node, ifs=[]).strip()
        case ast.IfExp():
            yield from (f"({text(node.body)})", f"({text(node.orelse)})")


def statements(node, assigned):
    """What may stand in the place of a statement, or of a part of it: (part, text)."""
    match node:
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            pass
        case ast.Raise() | ast.AugAssign() | ast.Delete():
            yield node, "pass"
        case ast.Break() | ast.Continue():
            yield node, "continue" if isinstance(node, ast.Break) else "break"
        case ast.Expr(value=ast.Call() | ast.Yield() | ast.YieldFrom()):
            yield node, "pass"
        case ast.Assign(targets=[ast.Subscript() | ast.Attribute()]):
            yield node, "pass"
        case ast.Assign(targets=[ast.Name(id=name)]) if name in assigned and not isinstance(node.value, ast.Call):
            yield node, "pass"  # it has a value before; x = f(x) becomes x = (x), below
        case ast.Return(
            value=ast.Name() | ast.Attribute() | ast.Tuple() | ast.List() | ast.Dict() | ast.Constant() as value
        ):
            yield value, "0" if isinstance(value, ast.Constant) and value.value is None else "None"
        case ast.If(test=test) | ast.While(test=test):
            yield test, "False"
            if isinstance(node, ast.If):
                yield test, "True"
        case ast.For(iter=values):
            yield values, "()"
    if isinstance(node, ast.AugAssign) and type(node.op) in COMPUTED:
        yield node, changed(node, op=COMPUTED[type(node.op)]())


def kept(node):
    """The parts of a node that are mutated in their turn, in the order of the source."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "type_params", "ctx", "type_comment"):
            continue
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, ast.AST):
                yield part


def names_of_modules(tree):
    return {
        (alias.asname or alias.name).partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
        if isinstance(node, ast.Import) or (alias.asname or alias.name).islower()
    }


def passed_over(node):
    match node:
        case ast.Import() | ast.ImportFrom() | ast.JoinedStr() | ast.Raise() | ast.Global() | ast.Nonlocal():
            return True
        case ast.Expr(value=ast.Constant()):
            return True  # a docstring
        case ast.Assign(targets=[ast.Name(id="__all__")]) | ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
    return False


class Source:
    """A module's text, addressed by nodes."""

    def __init__(self, module, source):
        self.module, self.bytes, self.tree = module, source.encode(), ast.parse(source)
        self.starts = [0]
        for line in self.bytes.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))
        self.modules = names_of_modules(self.tree)
        self.branches, self.done = set(), set()
        for node in ast.walk(self.tree):
            if isinstance(node, (ast.If, ast.IfExp, ast.While)):
                self.branches.add(node.test)
            elif isinstance(node, ast.BoolOp):
                self.branches.update(node.values)
            elif isinstance(node, ast.Expr):
                self.done.add(node.value)  # a call that is a statement is dropped as a whole...
            elif isinstance(node, ast.Subscript) and any(indices(node)):
                self.done.add(node.slice)

    def span(self, node):
        if isinstance(node, ast.comprehension):  # it has no place of its own
            first, last = self.span(node.target)[0], self.span(node.ifs[-1])[1]
            return self.bytes.rindex(b"for", 0, first), last
        return (
            self.starts[node.lineno - 1] + node.col_offset,
            self.starts[node.end_lineno - 1] + node.end_col_offset,
        )

    def mutant(self, node, now, function, lines):
        start, end = self.span(node)
        first = self.bytes.rfind(b"\n", 0, start) + 1
        last = self.bytes.find(b"\n", end) % (len(self.bytes) + 1)
        other = self.bytes[:start] + now.encode() + self.bytes[end:]
        was, then = self.bytes[first:last], self.bytes[first:start] + now.encode() + self.bytes[end:last]
        return Mutant(self.module, function, plain(was), plain(then), other.decode(), lines)

    def walk(self, node, function, lines, assigned):
        """Yield the mutants of a node and of all in it."""
        if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)):
            function = f"{function}.{node.name}".lstrip(".")
        if isinstance(node, ast.FunctionDef):
            lines = frozenset(range(node.body[0].lineno, node.end_lineno + 1))  # of defaults and decorators
            arguments = node.args
            assigned = {a.arg for a in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]}
        elif isinstance(node, ast.stmt) and lines is not None and not isinstance(node, ast.ClassDef):
            body = getattr(node, "body", None)
            lines = frozenset(range(node.lineno, max(body[0].lineno, node.lineno + 1) if body else node.end_lineno + 1))
        if isinstance(node, ast.stmt):
            yield from (self.mutant(part, now, function, lines) for part, now in statements(node, assigned))
        if passed_over(node):
            return
        branch = node in self.branches
        if node not in self.done:
            yield from (self.mutant(node, now, function, lines) for now in expressions(node, self.modules, branch))
        for part in kept(node):
            yield from self.walk(part, function, lines, assigned)
        if isinstance(node, ast.Assign):
            assigned |= {target.id for target in node.targets if isinstance(target, ast.Name)}


def plain(code):
    """Lines of code as one, without comments and layout."""
    lines = [re.sub(r"\s\s#\s.*$", "", line) for line in code.decode().splitlines()]
    return " ".join(" ".join(lines).split())


def mutants(module, source):
    """Return the mutants of a module, each once, in the order of its source."""
    found, seen = [], {source}
    whole = Source(module, source)
    for mutant in whole.walk(whole.tree, "", None, set()):
        if mutant.source in seen or mutant.was == mutant.now:
            continue
        seen.add(mutant.source)
        found.append(mutant)
    return found

"""The claims ledger: where the book checks each entry of cossim_helpers/claims.yml, and the page that lists it all.

Reading    `read_ledger`, `notebook_checks` and `marked_tests` find the claims, the checks in notebooks and the marks on
           unit tests. tests/book/test_ledger.py holds the ledger to what they find.
Showing    The directive `claims` lists every claim with its verdict, the notebook cells that check it, and its tests.
           Each notebook cell that checks a claim gets an anchor, so that these links lead to the very cell.
           A chapter refers to an entry by the role claim, {claim}`eq3-rescaling`, or by [text](#claim-eq3-rescaling).
"""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import yaml
from data_text import parsed
from docutils import nodes
from IPython.core.inputtransformer2 import TransformerManager
from sphinx import addnodes
from sphinx.roles import XRefRole
from sphinx.transforms import SphinxTransform
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode

LEDGER = "cossim_helpers/claims.yml"
TESTS = "tests/**/test_*.py"
CHECKS = {"check", "check_differs", "check_at_most", "check_at_least"}


# --- reading ---


@dataclass(frozen=True)
class Check:
    """A claim that a code cell of a notebook checks."""

    claim: str
    cell: int  # index among all cells of the notebook
    heading: str  # the last heading before the cell, or the title of its exercise
    executed: bool  # the cell's stored output holds the check's line
    anchor: str


@dataclass(frozen=True)
class Mark:
    """A @pytest.mark.claim("id")."""

    claim: str
    test: str | None  # "test_module.py::test_name"; None for a mark on something that is no test
    runs: bool  # not marked skip, skipif or xfail


def read_ledger(path: Path) -> list[dict]:
    """The claims, in order."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))["claims"]


def notebook_checks(path: Path) -> list[Check]:
    """The checks in the code cells of a notebook, in order; one for each claim and cell.

    Raises ValueError for a cell that is not Python, or that checks a claim whose id is not written as a string.
    """
    prefix = path.stem.split("_")[0]
    checks, heading, count = [], "", Counter()
    for index, cell in enumerate(_cells(path)):
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            heading = [heading, *_headings(source)][-1]
        elif cell["cell_type"] == "code":
            try:
                claims = claims_checked_by(source)
            except (SyntaxError, ValueError) as error:
                raise ValueError(f"{path.name}, cell {index}: {error}") from error
            for claim in claims:
                count[claim] += 1
                line = rf"^\[ok\] {re.escape(claim)}(?: \([a-z0-9-]+\))?: "
                executed = bool(re.search(line, _stdout(cell), re.MULTILINE))
                checks.append(Check(claim, index, heading, executed, f"check-{prefix}-{claim}-{count[claim]}"))
    return checks


def check_calls(source: str) -> list[ast.Call]:
    """The check calls of a code cell, in order."""
    tree = ast.parse(TransformerManager().transform_cell(source))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _name(node.func) in CHECKS]
    return sorted(calls, key=lambda call: (call.lineno, call.col_offset))


def claims_checked_by(source: str) -> list[str]:
    """The ids in the check calls of a code cell, each once, in order."""
    ids = {}
    for call in check_calls(source):
        given = [*call.args[:1], *(keyword.value for keyword in call.keywords if keyword.arg == "claim_id")]
        if not (given and isinstance(given[0], ast.Constant) and isinstance(given[0].value, str)):
            raise ValueError(f"{ast.unparse(call)}: write the claim's id as a string, so that the ledger can find it")
        ids[given[0].value] = None
    return list(ids)


def marked_tests(path: Path) -> list[Mark]:
    """The claim marks in a test module: on functions, on classes, and in pytestmark."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    marks, on_tests = [], set()

    def visit(body, around, where):
        around = [
            *around,
            *(
                node.value
                for node in body
                if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark"
            ),
        ]
        for node in body:
            decorators = [*around, *getattr(node, "decorator_list", [])]
            if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
                visit(node.body, decorators, f"{where}::{node.name}")
            elif isinstance(node, ast.FunctionDef) and node.name.startswith("test"):
                calls = _mark_calls(decorators)
                on_tests.update(calls)
                runs = not any(re.search(r"\bmark\.(skip|skipif|xfail)\b", ast.unparse(each)) for each in decorators)
                marks.extend(Mark(claim, f"{where}::{node.name}", runs) for claim in _arguments(calls))

    visit(tree.body, [], path.name)
    stray = [call for call in _mark_calls([tree]) if call not in on_tests]
    return marks + [Mark(claim, None, False) for claim in _arguments(stray)]


def _mark_calls(trees):
    return [
        node
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and re.search(r"\bmark\.claim$", ast.unparse(node.func))
    ]


def _arguments(calls):
    return list(dict.fromkeys(ast.literal_eval(argument) for call in calls for argument in call.args))


def _name(function):
    return function.id if isinstance(function, ast.Name) else getattr(function, "attr", None)


def _cells(notebook):
    return json.loads(notebook.read_text(encoding="utf-8"))["cells"]


def _headings(markdown):
    exercises_as_headings = re.sub(
        r"^(`{3,}|:{3,})\{exercise(-start)?\} +(.+)$", r"# Exercise: \3\n\g<0>", markdown, flags=re.MULTILINE
    )
    without_fences = re.sub(r"^(`{3,}|~{3,}).*?^\1", "", exercises_as_headings, flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"^#{1,6} +(.+?)\s*$", without_fences, re.MULTILINE)


def _stdout(cell):
    return "".join(
        "".join(output["text"])
        for output in cell["outputs"]
        if output["output_type"] == "stream" and output["name"] == "stdout"
    )


# --- showing ---


class Claims(SphinxDirective):
    """{claims}: the whole ledger, a section for each chapter."""

    def run(self):
        root = Path(self.env.srcdir)
        for file in _sources(self.env):
            self.env.note_dependency(file)
        claims = read_ledger(root / LEDGER)
        notebooks = {self.env.path2doc(str(path)): path for path in _notebooks(self.env)}
        checks = {doc: notebook_checks(path) for doc, path in notebooks.items()}
        marks = [mark for path in sorted(root.glob(TESTS)) for mark in marked_tests(path)]

        content = self._parse(f"The ledger holds {len(claims)} claims.")
        for chapter in sorted({claim["chapter"] for claim in claims}):
            doc = next((doc for doc in notebooks if Path(doc).name.startswith(f"{chapter:02d}_")), None)
            title = f"Chapter {chapter}"
            if doc:
                title += ": " + _headings("".join(_cells(notebooks[doc])[0]["source"]))[0]
            section = nodes.section("", nodes.title("", "", *self._inline(title)), ids=[f"claims-{chapter:02d}"])
            self.state.document.note_implicit_target(section, section)
            section += self._parse(f"Checked in {{doc}}`/{doc}`." if doc else "This chapter is not in the book yet.")
            section += nodes.definition_list(
                "",
                *(self._claim(claim, checks, marks) for claim in claims if claim["chapter"] == chapter),
                classes=["claims"],
            )
            content.append(section)
        return content

    def _claim(self, claim, checks, marks):
        anchor = f"claim-{claim['id']}"
        state = claim["verdict"].split()[0]
        badge = "holds if …" if claim["verdict"].startswith("holds if") else state
        term = nodes.term(
            "",
            "",
            nodes.reference("", "", nodes.literal(text=claim["id"]), refid=anchor),
            nodes.Text(" "),
            nodes.inline(text=badge, classes=["claim-state", f"claim-{state}"]),
            ids=[anchor],
            names=[anchor],
        )
        self.state.document.note_explicit_target(term, term)

        definition = nodes.definition("", *self._parse(claim["statement"]))
        definition += self._fact("Verdict", claim["verdict"])
        if "note" in claim:
            definition += self._fact("Instead", claim["note"])
        definition += self._fact("Source", claim["source"])
        definition += self._fact("In the book", *self._links(claim["id"], checks))
        tests = [f"`{mark.test}`" for mark in marks if mark.claim == claim["id"] and mark.runs]
        definition += self._fact("Unit tests", ", ".join(tests) or "none yet")
        return nodes.definition_list_item("", term, definition)

    def _links(self, claim, checks):
        links, seen = [], Counter()
        for doc, found in checks.items():
            for check in found:
                if check.claim == claim and check.executed:
                    seen[doc, check.heading] += 1
                    words = self._inline(check.heading or check.anchor)
                    if (times := seen[doc, check.heading]) > 1:
                        words.append(nodes.Text(f" ({times})"))
                    links += [
                        nodes.Text(", ") if links else nodes.Text(""),
                        addnodes.pending_xref(
                            "",
                            nodes.inline("", "", *words),
                            refdomain="",
                            refwarn=True,
                            reftype="claim-check",
                            reftarget=check.anchor,
                            refdoc=self.env.docname,
                        ),
                    ]
        return links or ["no check yet"]

    def _fact(self, label, *content):
        """A paragraph "label: content"; content is words and formulas, or nodes."""
        paragraph = nodes.paragraph("", "", nodes.strong(text=f"{label}:"), nodes.Text(" "), classes=["claim-fact"])
        for part in content:
            paragraph += part if isinstance(part, nodes.Node) else self._inline(part)
        return paragraph

    def _inline(self, markdown):
        return self._parse(markdown)[0].children

    def _parse(self, markdown):
        return parsed(self, markdown)


class AnchorChecks(SphinxTransform):
    """Put an anchor before each notebook cell that checks a claim."""

    default_priority = 500  # after exercises and their solutions are put together, before labels are collected (850)

    def apply(self, **kwargs):
        path = Path(self.env.doc2path(self.env.docname))
        if path.suffix != ".ipynb":
            return
        cells = {
            cell["cell_index"]: cell
            for cell in self.document.findall(nodes.container)
            if cell.get("nb_element") == "cell_code"
        }
        for check in notebook_checks(path):
            if check.cell in cells:
                cell = cells[check.cell]
                target = nodes.target("", "", ids=[check.anchor], names=[check.anchor])
                self.document.note_explicit_target(target, target)
                cell.parent.insert(cell.parent.index(cell), target)


class ClaimRole(XRefRole):
    """{claim}`id`: a link to the entry of the ledger."""

    def process_link(self, env, refnode, has_explicit_title, title, target):
        return title, f"claim-{target}"


def resolve(app, env, node, content):
    """Resolve a link to an entry, or to a check: to the page on which its anchor stands."""
    if node["reftype"] not in ("claim", "claim-check"):
        return None
    doc, anchor = env.get_domain("std").anonlabels.get(node["reftarget"], (None, None))[:2]
    return doc and make_refnode(app.builder, node["refdoc"], doc, anchor, content)


def read_again(app, env, added, changed, removed):
    """Read the ledger's page again where a notebook or a test module is new; the others are its dependencies."""
    sources = set(_sources(env))
    return [doc for doc, files in env.dependencies.items() if LEDGER in files and sources - set(files)]


def _notebooks(env):
    """The notebooks that the table of contents lists: copies may lie beside them."""
    paths = (Path(env.doc2path(doc)) for doc in sorted(env.found_docs))
    return [path for path in paths if path.suffix == ".ipynb"]


def _sources(env):
    root = Path(env.srcdir)
    paths = [*_notebooks(env), *sorted(root.glob(TESTS))]
    return [LEDGER, *(str(path.relative_to(root)) for path in paths)]


def setup(app):
    app.setup_extension("equations")
    app.add_directive("claims", Claims)
    app.add_role("claim", ClaimRole(innernodeclass=nodes.literal, warn_dangling=True))
    app.add_transform(AnchorChecks)
    app.connect("missing-reference", resolve)
    app.connect("env-get-outdated", read_again)
    app.add_css_file("ledger.css")
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

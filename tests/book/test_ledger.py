"""The claims ledger against the notebooks and the tests: what it calls checked is checked, and nothing else is."""

import json
import re
from collections import Counter
from pathlib import Path

import ledger
import pytest

from tools import toc

ROOT = Path(__file__).parents[2]
CLAIMS = ledger.read_ledger(ROOT / ledger.LEDGER)
IDS = [claim["id"] for claim in CLAIMS]
NOTEBOOKS = {path: ledger.notebook_checks(path) for path in toc.notebooks()}
MARKS = [mark for path in sorted(ROOT.glob(ledger.TESTS)) for mark in ledger.marked_tests(path)]
EXECUTED = {(check.claim, path) for path, checks in NOTEBOOKS.items() for check in checks if check.executed}
TESTED = {mark.claim for mark in MARKS if mark.runs}


def labels_of(path):
    """The labels of a page's equations, theorems, exercises and sections, and of what else has one."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        text = "\n\n".join("".join(c["source"]) for c in json.loads(text)["cells"] if c["cell_type"] == "markdown")
    return set(re.findall(r"^ *(?::label: *([\w-]+)|\(([\w-]+)\)=) *$", text, re.MULTILINE))


LABELS = {a or b for path in toc.pages() for a, b in labels_of(path)}


def gaps(claims, executed, tested):
    """What is wrong with the ledger, in words, given the executed checks (id, notebook) and the tested ids."""
    found = []
    for claim in claims:
        name, chapter = claim["id"], f"{claim['chapter']:02d}_"
        if name not in tested:
            found.append(f"{name}: no unit test that runs is marked with it")
        if not any(where.name.startswith(chapter) for checked, where in executed if checked == name):
            found.append(f"{name}: no executed check in chapter {claim['chapter']}")
    return found


def malformed(claim):
    """What is wrong with one entry, in words."""
    required, optional = {"id", "source", "statement", "verdict", "chapter"}, {"note"}
    if not required <= claim.keys() <= required | optional:
        return [f"keys {sorted(claim)}"]
    found = [
        f"{key} is not a text"
        for key in claim.keys() - {"chapter"}
        if not (isinstance(claim[key], str) and claim[key].strip())
    ]
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", str(claim["id"])):
        found.append("id is not kebab-case")
    if not re.match(r"(holds|holds if \S.*|refuted)\Z", str(claim["verdict"])):
        found.append(f"verdict {claim['verdict']!r}")
    if (claim["verdict"] == "refuted") != ("note" in claim):
        found.append("a note on what is true instead belongs to each refuted claim, and to no other")
    if not (isinstance(claim["chapter"], int) and 1 <= claim["chapter"] <= 14):
        found.append(f"chapter {claim['chapter']!r}")
    if any(str(claim[key]).count("$") % 2 for key in claim):
        found.append("an odd number of $")
    return found


@pytest.mark.parametrize("claim", CLAIMS, ids=IDS)
def test_each_claim_is_well_formed(claim):
    assert malformed(claim) == []


def test_ids_are_unique():
    assert [name for name, times in Counter(IDS).items() if times > 1] == []


@pytest.mark.parametrize("path", [path for path in NOTEBOOKS if path.name[0].isdigit()], ids=lambda path: path.name)
def test_the_box_of_a_chapter_lists_its_claims(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    first_code = next(i for i, cell in enumerate(cells) if cell["cell_type"] == "code")
    boxes = "\n\n".join("".join(cell["source"]) for cell in cells[:first_code])
    listed = re.findall(r"\{claim\}`([\w-]+)`", boxes)
    assert {claim["id"] for claim in CLAIMS if path.name.startswith(f"{claim['chapter']:02d}_")} - set(listed) == set()


def test_each_claim_is_checked_twice():
    assert gaps(CLAIMS, EXECUTED, TESTED) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_each_check_in_a_notebook_names_a_claim(path):
    assert {check.claim for check in NOTEBOOKS[path]} <= set(IDS)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_what_a_check_verifies_has_a_label(path):
    """What `of=` names in the lines of the checks is the label of something in the book."""
    cells = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    lines = "\n".join("".join(output.get("text", "")) for cell in cells for output in cell["outputs"])
    assert set(re.findall(r"^\[ok\] \S+ \((\S+)\): ", lines, re.MULTILINE)) - LABELS == set()


def test_a_published_label_stays():
    """Others link to these anchors. What moves takes its label along; a new label is added to the list."""
    published = (Path(__file__).parent / "labels.txt").read_text(encoding="utf-8").split()
    assert published == sorted(set(published))
    assert set(published) - LABELS == set(), "labels that are gone"
    new = sorted(LABELS - set(published))
    assert not new, f"new labels, not yet in tests/book/labels.txt: {new}"


def test_each_mark_names_a_claim_and_sits_on_a_test():
    assert {mark.claim for mark in MARKS} <= set(IDS)
    assert [mark.claim for mark in MARKS if mark.test is None] == []


def test_no_mark_that_pytest_sees_escapes_the_ledger(request):
    """pytest's own collection as the oracle, for the tests that are part of this run."""
    seen = {
        (item.path.name, claim)
        for item in request.session.items
        if ROOT / "tests" in item.path.parents
        for mark in item.iter_markers("claim")
        for claim in mark.args
    }
    assert seen <= {(mark.test.split("::")[0], mark.claim) for mark in MARKS if mark.test}


# --- the collectors and the rules themselves, on small examples ---

GOOD = {"id": "a-claim", "source": "ours", "statement": "$1 = 1$.", "verdict": "holds", "chapter": 3}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({}, None),
        ({"verdict": "holds if $k = p$"}, None),
        ({"verdict": "refuted", "note": "The opposite."}, None),
        ({"verdict": "refuted"}, "note"),
        ({"note": "More."}, "note"),
        ({"verdict": "holds if "}, "verdict"),
        ({"verdict": "true"}, "verdict"),
        ({"id": "A_Claim"}, "kebab"),
        ({"id": "a--claim"}, "kebab"),
        ({"statement": " "}, "statement"),
        ({"statement": "$1 = 1."}, "odd"),
        ({"chapter": "03"}, "chapter"),
        ({"chapter": 15}, "chapter"),
        ({"sauce": "§2"}, "keys"),
    ],
)
def test_malformed_entries_are_found(change, complaint):
    found = malformed(GOOD | change)
    assert len(found) == (complaint is not None)
    assert complaint is None or complaint in found[0]


@pytest.mark.parametrize(
    ("executed", "tested", "complaints"),
    [
        ({("a-claim", Path("03_x.ipynb"))}, {"a-claim"}, []),
        ({("a-claim", Path("03_x.ipynb"))}, set(), ["no unit test"]),
        (set(), {"a-claim"}, ["no executed check"]),
        ({("a-claim", Path("04_x.ipynb"))}, {"a-claim"}, ["no executed check in chapter 3"]),
        (set(), set(), ["no unit test", "no executed check"]),
    ],
)
def test_gaps_are_found(executed, tested, complaints):
    found = gaps([GOOD], executed, tested)
    assert len(found) == len(complaints)
    assert all(complaint in message for complaint, message in zip(complaints, found, strict=True))


@pytest.mark.parametrize(
    ("source", "ids"),
    [
        ('check("one", a, b)', ["one"]),
        ('check_differs("two", a, b, at_least=1)\ncheck_at_most("one", a, 3)', ["two", "one"]),
        ('check_at_least("one", a, 3)', ["one"]),
        ('cossim_helpers.check("one", a, b)', ["one"]),
        ('check(claim_id="one", actual=a, expected=b)', ["one"]),
        ('%matplotlib inline\nfor i in range(3):\n    check("one", a[i], b[i])', ["one"]),
        ('check("one", a, b)\ncheck("one", c, d)', ["one"]),
        ('# check("one", a, b)', []),
        ("text = 'check(\"one\", a, b)'", []),
        ('recheck("one", a, b)\nprint("one")', []),
    ],
)
def test_checks_are_found_in_code(source, ids):
    assert ledger.claims_checked_by(source) == ids


@pytest.mark.parametrize("source", ["check(name, a, b)", 'check(f"{one}", a, b)', "check()", "check(*arguments)"])
def test_a_check_that_hides_its_claim_is_refused(source):
    with pytest.raises(ValueError, match="write the claim's id as a string"):
        ledger.claims_checked_by(source)


def code_cell(source, *outputs):
    return {"cell_type": "code", "source": source.splitlines(keepends=True), "outputs": list(outputs)}


def stream(text, name="stdout"):
    return {"output_type": "stream", "name": name, "text": text}


@pytest.mark.parametrize(
    ("outputs", "executed"),
    [
        ([stream("[ok] one: equal within rtol=0, atol=1e-10\n")], True),
        ([stream(["3.0\n", "[ok] one: equal within rtol=0, atol=1e-10\n"])], True),
        ([stream("[ok] two: equal within rtol=0, atol=1e-10\n")], False),
        ([stream("[ok] one-more: equal within rtol=0, atol=1e-10\n")], False),
        ([stream("see [ok] one: equal\n")], False),
        ([stream("[ok] one: equal within rtol=0, atol=1e-10\n", name="stderr")], False),
        ([{"output_type": "error", "ename": "AssertionError", "evalue": "one", "traceback": []}], False),
        ([], False),
    ],
)
def test_a_check_counts_only_with_its_line(tmp_path, outputs, executed):
    path = tmp_path / "03_x.ipynb"
    path.write_text(json.dumps({"cells": [code_cell('check("one", a, b)', *outputs)]}), encoding="utf-8")
    assert [check.executed for check in ledger.notebook_checks(path)] == [executed]


def test_checks_know_their_place(tmp_path):
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "\n", "```\n", "# no heading\n", "```\n"]},
        code_cell('check("one", a, b)'),
        {"cell_type": "markdown", "source": "## First\n\n### Second $D$\ntext"},
        {"cell_type": "markdown", "source": "text"},
        code_cell('check("two", a, b); check("one", c, d)'),
        {"cell_type": "raw", "source": 'check("three", a, b)'},
        {"cell_type": "markdown", "source": "```{exercise} Two and two\n:label: x\n# no heading\n```\n"},
        code_cell('check("one", a, b)'),
        {"cell_type": "markdown", "source": "```{exercise-start} Three\n```\n"},
        code_cell('check("one", a, b)'),
    ]
    path = tmp_path / "03_a_chapter.ipynb"
    path.write_text(json.dumps({"cells": cells}), encoding="utf-8")
    assert [(check.claim, check.cell, check.heading, check.anchor) for check in ledger.notebook_checks(path)] == [
        ("one", 1, "Title", "check-03-one-1"),
        ("two", 4, "Second $D$", "check-03-two-1"),
        ("one", 4, "Second $D$", "check-03-one-2"),
        ("one", 7, "Exercise: Two and two", "check-03-one-3"),
        ("one", 9, "Exercise: Three", "check-03-one-4"),
    ]


def test_a_cell_that_hides_its_claim_is_named(tmp_path):
    path = tmp_path / "03_x.ipynb"
    path.write_text(json.dumps({"cells": [code_cell("check(name, a, b)")]}), encoding="utf-8")
    with pytest.raises(ValueError, match=r"03_x\.ipynb, cell 0"):
        ledger.notebook_checks(path)


def test_marks_are_found_wherever_pytest_finds_them(tmp_path):
    path = tmp_path / "test_x.py"
    path.write_text(
        """
import pytest
pytestmark = [pytest.mark.claim("module")]

@pytest.mark.claim("function", "second")
@pytest.mark.claim("stacked")
def test_function(): ...

@pytest.mark.parametrize("x", [pytest.param(1, marks=pytest.mark.claim("parameter"))])
def test_parameter(x): ...

@pytest.mark.claim("class")
class TestClass:
    pytestmark = pytest.mark.claim("inside")
    @pytest.mark.claim("method")
    def test_method(self): ...

@pytest.mark.skip
@pytest.mark.claim("skipped")
def test_skipped(): ...

@pytest.mark.xfail(strict=True)
@pytest.mark.claim("failing")
def test_failing(): ...

@pytest.mark.claim("helper")
def helper(): ...

# @pytest.mark.claim("comment")
TEXT = '@pytest.mark.claim("text")'
""",
        encoding="utf-8",
    )
    marks = ledger.marked_tests(path)
    assert {(mark.claim, mark.test) for mark in marks if mark.runs} == {
        *((claim, "test_x.py::test_function") for claim in ("module", "function", "second", "stacked")),
        *((claim, "test_x.py::test_parameter") for claim in ("module", "parameter")),
        *((claim, "test_x.py::TestClass::test_method") for claim in ("module", "class", "inside", "method")),
    }
    assert {mark.claim for mark in marks if mark.test and not mark.runs} == {"module", "skipped", "failing"}
    assert [mark.claim for mark in marks if mark.test is None] == ["helper"]

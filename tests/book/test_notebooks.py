"""What must hold for every notebook of the book, beyond the outputs that `pytest --nbval book` compares."""

import ast
import html
import re
import symtable
from pathlib import Path

import pytest
import yaml

from tools import toc
from tools.notebooks import ALONE, dumps, loads, normalize

ROOT = Path(__file__).parents[2]
NOTEBOOKS = toc.notebooks()
CHECKS = {"check", "check_differs", "check_at_most", "check_at_least"}
WIDGETS = {"interact", "interactive_output"}
MACHINE_PATH = re.compile(
    r"(?<![\w:/.<])/(?:root|home|Users|tmp|private|var|opt|usr|mnt|srv|work)/\w|[A-Z]:\\\w|site-packages|ipykernel_\d"
)


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.name)
def path(request):
    return request.param


@pytest.fixture
def notebook(path):
    return loads(path.read_text(encoding="utf-8"))


@pytest.fixture
def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tags(cell):
    return set(cell.metadata.get("tags", []))


def calls(cell):
    """Return (name of the called function, its positional arguments) for each call in a cell, in no set order."""
    nodes = [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Call)]
    return [(getattr(node.func, "id", getattr(node.func, "attr", None)), node.args) for node in nodes]


def texts(cell):
    """Return all that a cell's outputs say in words."""
    for output in cell.outputs:
        yield from [output.get("text", ""), output.get("evalue", "")]
        yield from (value for kind, value in output.get("data", {}).items() if kind.startswith("text/"))


def draws_figure(cell):
    return any(kind.startswith("image/") for output in cell.outputs for kind in output.get("data", {}))


def test_there_are_notebooks():
    assert NOTEBOOKS


def test_it_is_in_the_table_of_contents(path):
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    listed = {chapter["file"] for part in toc["parts"] for chapter in part["chapters"]}
    assert path.relative_to(ROOT).with_suffix("").as_posix() in listed


def test_it_is_stored_as_make_notebooks_stores_it(path, notebook):
    assert path.read_text(encoding="utf-8") == dumps(normalize(notebook)), "run: make notebooks"


def test_every_cell_was_executed_once_and_in_order(code_cells):
    counts = [cell.execution_count for cell in code_cells if cell.source.strip()]
    assert counts == list(range(1, len(counts) + 1))


def test_each_cell_has_an_id_of_its_chapter(path, notebook):
    """JupyterLab draws one at random. Addresses of numbers name cells, and tell chapters apart."""
    chapter = path.stem.partition("_")[0]
    foreign = [cell.id for cell in notebook.cells if not cell.id.startswith(f"{chapter}-")]
    assert not foreign, f"give them the next free id of the chapter, such as that of {notebook.cells[0].id}"


def test_no_time_and_no_widget_state_is_stored(notebook, code_cells):
    assert "widgets" not in notebook.metadata
    assert not [cell.id for cell in notebook.cells if "execution" in cell.metadata]
    kinds = {kind for cell in code_cells for output in cell.outputs for kind in output.get("data", {})}
    assert not {kind for kind in kinds if "jupyter.widget" in kind}


def test_nothing_is_written_to_stderr(code_cells):
    assert not [cell.id for cell in code_cells for output in cell.outputs if output.get("name") == "stderr"]


def test_an_error_is_stored_where_it_is_meant_and_nowhere_else(code_cells):
    errors = {cell.id for cell in code_cells for output in cell.outputs if output.output_type == "error"}
    assert errors == {cell.id for cell in code_cells if "raises-exception" in tags(cell)}


def test_no_output_names_a_place_on_the_machine(code_cells):
    assert not [text for cell in code_cells for text in texts(cell) if MACHINE_PATH.search(text)]


def test_a_table_says_the_same_as_text(code_cells):
    """The page shows the HTML; readers in a terminal, and test_numbers.py, see the text."""
    for cell in code_cells:
        for output in cell.outputs:
            data = output.get("data", {})
            if 'class="cossim-table"' in data.get("text/html", ""):
                shown = html.unescape(re.sub(r"<[^>]*>", " ", data["text/html"]))
                assert shown.split() == data["text/plain"].split(), f"{cell.id}: a table, and another text"
                assert "<caption>" in data["text/html"] and 'scope="col"' in data["text/html"], cell.id


def test_no_printed_line_is_wider_than_a_column_of_the_page(path, code_cells):
    """The lines of checks apart: they become badges."""
    said = [
        (cell.id, line)
        for cell in code_cells
        for output in cell.outputs
        for text in (output.get("text", ""), output.get("data", {}).get("text/plain", ""))
        for line in text.splitlines()
    ]
    wide = [(cell, line) for cell, line in said if len(line) > 79 and not line.startswith("[ok]")]
    assert wide == []


def test_every_figure_is_a_png(code_cells):
    """conftest.py compares PNGs, and nothing compares other pictures."""
    kinds = {kind for cell in code_cells for output in cell.outputs for kind in output.get("data", {})}
    assert {kind for kind in kinds if kind.startswith("image/")} <= {"image/png"}


def test_every_figure_has_an_alt_text_that_says_what_it_shows(code_cells):
    """A sentence with numbers. That they are true is the matter of test_numbers.py."""
    for cell in code_cells:
        if not draws_figure(cell):
            continue
        alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
        assert len(alt) >= 40, f"{cell.id}: the alt text is too short: {alt!r}"
        assert re.fullmatch(r"[A-Z0-9][^\n]* [^\n]*\.", alt), f"{cell.id}: the alt text is not a sentence: {alt!r}"
        assert not re.search(r"\.(png|svg|jpe?g)\b|\w/\w+/|_build", alt), f"{cell.id}: the alt text is a path: {alt!r}"
        assert re.search(r"\d", alt), f"{cell.id}: the alt text holds no number: {alt!r}"


def test_every_check_can_fail(code_cells):
    checks = [(cell, arguments) for cell in code_cells for name, arguments in calls(cell) if name in CHECKS]
    assert checks, "a chapter proves something"
    for cell, (_, *values) in checks:
        dumped = [ast.dump(value) for value in values[:2]]
        assert dumped[0] != dumped[-1] or len(dumped) == 1, f"{cell.id} compares {ast.unparse(values[0])} with itself"
        constants = [value.value for value in values if isinstance(value, ast.Constant)]
        assert not [value for value in constants if isinstance(value, bool)], f"{cell.id} checks a truth value"


def test_only_sliders_escape_the_comparison(code_cells):
    """A widget cell is preceded by a compared cell that calls the same function."""
    compared_calls = set()
    for cell in code_cells:
        assert "NBVAL_" not in cell.source, cell.id
        assert not {tag for tag in tags(cell) if tag.startswith("nbval-")} - {"nbval-ignore-output"}, cell.id
        widgets = [arguments[0].id for name, arguments in calls(cell) if name in WIDGETS]
        if "nbval-ignore-output" in tags(cell) or widgets:
            assert widgets, f"{cell.id} is not compared, and moves no slider"
            assert tags(cell) >= {"nbval-ignore-output", "remove-output", "skip-execution"}, cell.id
            assert set(widgets) <= compared_calls, f"no compared cell before {cell.id} calls {widgets}"
            assert not CHECKS & {name for name, _ in calls(cell)}, f"{cell.id} checks something where nobody compares"
        else:
            assert "remove-output" not in tags(cell), f"{cell.id}: an output that is removed is not compared"
            compared_calls |= {name for name, _ in calls(cell)}


# Wherever it is run


def test_each_slider_is_skipped_by_runners_that_hang_on_it(code_cells):
    """nbclient, and so `jupyter execute`, nbconvert and papermill; see "Known faults" in CONTRIBUTING.md."""
    for cell in code_cells:
        sliders = WIDGETS & {name for name, _ in calls(cell)}
        assert bool(sliders) == ("skip-execution" in tags(cell)), cell.id


def test_nothing_needs_what_a_skipped_cell_defines(code_cells):
    skipped = {cell.id: names(cell)[0] for cell in code_cells if "skip-execution" in tags(cell)}
    rest = [names(cell) for cell in code_cells if cell.id not in skipped]
    for cell, given in skipped.items():
        assert not given & set().union(*(sets[0] | sets[1] for sets in rest)), cell


class Generators(ast.NodeTransformer):
    """Comprehensions as generators, whose names are their own: Python 3.12 and 3.13 count a list's among the cell's."""

    def visit_ListComp(self, node):
        self.generic_visit(node)
        return ast.GeneratorExp(node.elt, node.generators)

    def visit_DictComp(self, node):
        self.generic_visit(node)
        return ast.GeneratorExp(ast.Tuple([node.key, node.value], ast.Load()), node.generators)

    visit_SetComp = visit_ListComp


def names(cell):
    """Return (the names that a cell gives to what is not a function's own, those of them that it uses)."""
    source = ast.unparse(Generators().visit(ast.parse(cell.source)))
    tables, given, used = [symtable.symtable(source, cell.id, "exec")], set(), set()
    while tables:
        table = tables.pop()
        tables += table.get_children()
        top = table.get_type() == "module"
        shared = [symbol for symbol in table.get_symbols() if top or symbol.is_global()]
        given |= {symbol.get_name() for symbol in shared if symbol.is_assigned() or symbol.is_imported()}
        used |= {symbol.get_name() for symbol in shared if symbol.is_referenced()}
    return given, used


def test_names_of_a_cell_are_those_that_other_cells_share():
    source = "import a\nb = c\ndef d(e):\n    f = g\n    global h\n    h = 1\n[i for j in k], {l: m for l in n}"
    given, used = names(type("Cell", (), {"source": source, "id": "x"}))
    assert given == {"a", "b", "d", "h"}
    assert used >= {"c", "g", "i", "k", "m", "n"}
    assert not used & {"e", "f", "j", "l"}


def test_no_path_depends_on_the_folder_in_which_it_runs(code_cells):
    """`stored_table` finds what the book keeps."""
    texts = [
        (cell.id, node.value)
        for cell in code_cells
        for node in ast.walk(ast.parse(cell.source))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    assert [found for found in texts if re.match(r"\.{1,2}/|(?:studies|benchmarks|book|results)/", found[1])] == []


def test_a_notebook_says_what_it_needs_where_it_fails_without_it(code_cells):
    """In its first code cell, in the words of tools/notebooks.py; test_it_is_stored_as_make_notebooks_stores_it too."""
    assert "cossim_helpers" in code_cells[0].source
    assert code_cells[0].source.startswith(ALONE)
    assert ALONE not in "".join(cell.source for cell in code_cells[1:])


def test_jax_looks_for_no_device(code_cells):
    """Else it writes a notice to stderr on a machine with a device that it has no driver for."""
    for cell in code_cells:
        if re.search(r"^import jax$", cell.source, re.MULTILINE):
            assert 'jax.config.update("jax_platforms", "cpu")' in cell.source, cell.id

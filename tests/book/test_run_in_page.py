"""What lets cells run in a page, without a browser: the shell that runs them, the files it needs, what is compared."""

import base64
import hashlib
import importlib.util
import io
import json
import sys
import zipfile

import pyodide_files
import pytest
import run_in_page
import yaml

SHELL = run_in_page.PARTS / "shell.py"


@pytest.fixture
def shell(monkeypatch):
    """The module shell.py, in the place of IPython and ipywidgets until the test ends."""
    spec = importlib.util.spec_from_file_location("shell_of_a_page", SHELL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, stand_in in module.modules().items():
        monkeypatch.setitem(sys.modules, name, stand_in)
    return module


def texts(outputs):
    return [output.get("text", output.get("data", {}).get("text/plain")) for output in outputs]


# The shell


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("print(1)\nprint(2)", ["1\n2\n"]),
        ("x = 3\nx", ["3"]),
        ("x = 3\nx;", []),
        ("x = 3\nx;  # a comment", []),
        ("print(1)\n'a'", ["1\n", "'a'"]),
        ("None", []),
        ("", []),
        ("for n in range(2):\n    display(n)", ["0", "1"]),
        ("import sys; print('w', file=sys.stderr); print('o')", ["w\n", "o\n"]),
    ],
)
def test_a_cell_shows_what_it_shows_in_a_notebook(shell, source, expected):
    assert texts(shell.shell.run(source)) == expected


def test_cells_share_a_scope_and_checks_come_last_with_their_counts(shell):
    run = shell.shell.run
    assert run("from cossim_helpers import check\nx = 1.5") == []
    (output,) = run("for n in range(3):\n    check('closed-form-1', x, 1.5)\nprint('first')")
    first, line = output["text"].splitlines()
    assert first == "first"
    assert line.startswith("[ok] closed-form-1: ")
    assert line.endswith(", 3 times")


def test_a_table_shows_html_and_text(shell):
    outputs = shell.shell.run("from cossim_helpers import Table\nTable('caption', ('', 'a'), [('b', 1)])")
    assert [output["output_type"] for output in outputs] == ["execute_result"]
    assert outputs[0]["data"]["text/html"].startswith("<table")
    assert outputs[0]["data"]["text/plain"].startswith("caption")


def test_an_error_names_its_lines_and_keeps_what_came_before(shell):
    outputs = shell.shell.run("def f(x):\n    return 1 / x\nprint('before')\nf(0)")
    assert texts(outputs[:1]) == ["before\n"]
    assert outputs[-1]["ename"] == "ZeroDivisionError"
    assert outputs[-1]["lines"] == ["line 4", "line 2"]
    assert shell.shell.run("x = (")[-1]["lines"] == ["line 1"]
    assert shell.shell.run("raise SystemExit(2)")[-1]["ename"] == "SystemExit"
    assert texts(shell.shell.run("print('after')")) == ["after\n"]


def test_what_a_page_lacks_is_named_and_so_is_all_that_needs_it(shell):
    run = shell.shell.run
    why = "It needs jax_of_a_page, which does not run in a page."
    assert run("import jax_of_a_page\nslow = 1")[-1]["why"] == why
    assert run("print(slow)\nlater = 2")[-1]["why"] == f"It needs slow, of a cell above that did not run. {why}"
    assert run("later")[-1]["why"].startswith("It needs later, of a cell above that did not run. It needs slow")
    shell.skip_cell("a, (b, *c) = 1, 2\nwith open('x') as d:\n    e: int = 5\ndef f(g=1):\n    h = 2", "It is long.")
    for name in "abcdef":
        assert run(name)[-1]["why"] == f"It needs {name}, of a cell above that did not run. It is long."
    assert "why" not in run("h")[-1]  # a name that no cell ever gave a value
    asks = "from cossim_helpers import DaskNotInstalled\nraise DaskNotInstalled('dask')"  # as require_dask does
    assert run(asks)[-1]["why"] == "It needs dask, which does not run in a page."
    assert run("slow = 4\nprint(slow)") == [{"output_type": "stream", "name": "stdout", "text": "4\n"}]


def test_a_figure_has_two_pixels_for_one_and_says_where_its_axes_stand(shell, monkeypatch):
    from matplotlib import pyplot as plt
    from PIL import Image

    monkeypatch.setattr(plt, "show", shell.show_figures)
    source = "from matplotlib import pyplot as plt\nfigure, ax = plt.subplots(figsize=(3, 2), dpi=100)"
    source += "\nax.axvspan(0, 1, color='red')\nax.set(xlim=(0, 1), xlabel='x')"
    outputs = shell.shell.run(f"print('first')\n{source}\nplt.show()\nprint('last')")
    assert [output["output_type"] for output in outputs] == ["stream", "display_data", "stream"]
    picture = Image.open(io.BytesIO(base64.b64decode(outputs[1]["data"]["image/png"]))).convert("RGB")
    assert 450 < picture.width < 650
    ((left, top, right, bottom),) = outputs[1]["axes"]
    red = [
        place
        for place in range(picture.width)
        if picture.getpixel((place, picture.height * (top + bottom) / 2))[1:] == (0, 0)
    ]
    assert red[0] == pytest.approx(left * picture.width, abs=3)
    assert red[-1] == pytest.approx(right * picture.width, abs=3)
    (at_the_end,) = shell.shell.run(f"{source};")[-1:]
    assert at_the_end["output_type"] == "display_data"
    assert plt.get_fignums() == []


def test_sliders_are_said_and_turned(shell):
    source = """
import ipywidgets
def draw(a, b, c, d, e, f):
    print(a, b, round(c, 3), d, e, f)
ipywidgets.interact(
    draw, a=ipywidgets.FloatSlider(value=0.5, min=-1, max=2, step=0.1), b=ipywidgets.IntSlider(25, 20, 90),
    c=ipywidgets.FloatLogSlider(value=100, min=0, max=3), d=ipywidgets.Dropdown(options={"one": 1, "two": 2}),
    e=ipywidgets.Checkbox(True), f=ipywidgets.Text("w"),
);
"""
    (output,) = shell.shell.run(source)
    assert texts(output["outputs"]) == ["0.5 25 100.0 1 True w\n"]
    said = {one["name"]: one for one in output["controls"]}
    assert [one["kind"] for one in said.values()] == ["float", "int", "log", "choice", "truth", "text"]
    assert (said["b"]["min"], said["b"]["max"], said["d"]["options"]) == (20, 90, ["one", "two"])
    values = {"a": 1, "b": 30.0, "c": 10.5, "d": "1", "e": False, "f": "z"}
    turned = json.loads(shell.turn(output["number"], json.dumps(values)))
    assert texts(turned["outputs"]) == ["1.0 30 10.5 2 False z\n"]
    assert json.loads(shell.turn(0, json.dumps(values | {"d": "7"})))["outputs"][-1]["ename"] == "IndexError"


@pytest.mark.parametrize(
    ("value", "kind", "start"),
    [(True, "truth", True), (3, "int", 3), ((0, 1.0), "float", 0.5), (["a", "b"], "choice", 0)],
)
def test_interact_makes_controls_of_plain_values(shell, value, kind, start):
    shell.shell.main.value = value
    (output,) = shell.shell.run("import ipywidgets\nipywidgets.interact(lambda x: None, x=value);")
    assert (output["controls"][0]["kind"], output["controls"][0]["value"]) == (kind, start)


def test_a_widget_that_no_page_has_is_named(shell):
    error = shell.shell.run("import ipywidgets\nipywidgets.Play()")[-1]
    assert error["ename"] == "AttributeError"
    assert "ipywidgets.Play has no counterpart in a page; FloatSlider" in error["evalue"]


def test_every_widget_of_the_listed_chapters_has_its_counterpart(shell):
    for page in listed():
        for cell in notebook(page)["cells"]:
            used = set("".join(cell["source"]).split("ipywidgets.")[1:])
            for name in {each.split("(")[0].split(")")[0].split("\n")[0].split(" ")[0] for each in used}:
                assert name in {"interact", *shell.MAKERS}, f"{page}: {name}"


def test_a_cell_that_runs_again_finds_the_names_as_before_and_leaves_later_ones_alone(shell):
    run = shell.shell.run
    cells = [
        "import numpy as np\nx, rows, rng = 1, [], np.random.default_rng(0)",
        "print(x, rows)",
        "x = 2",
        "print(x)",
    ]
    cells += ["rows.append(x)\nprint(round(rng.random(), 4))"]
    first = [run(source, number) for number, source in enumerate(cells)]
    assert [run(cells[number], number) for number in (1, 4, 3, 4, 0)] == [first[number] for number in (1, 4, 3, 4, 0)]
    assert texts(run("print(x, rows)")) == ["2 [2]\n"]  # a cell without a number: what all have left
    assert texts(run("print(x + 5)", 1)) == ["6\n"]
    assert texts(run("print(x)", 2)) == ["1\n"]  # what followed is to run anew


def test_a_slider_finds_the_names_that_its_cell_has_left(shell):
    run = shell.shell.run
    (output,) = run("import ipywidgets\ny = 1\ndef f(x):\n    print(x, y)\nipywidgets.interact(f, x=(0, 4));", 0)
    run("y = 'another'", 1)
    assert texts(json.loads(shell.turn(output["number"], json.dumps({"x": 3})))["outputs"]) == ["3 1\n"]
    assert texts(run("print(y)", 2)) == ["another\n"]


# What is stored


def listed():
    config = yaml.safe_load((run_in_page.ROOT / "_config.yml").read_text(encoding="utf-8"))
    return config["sphinx"]["config"]["run_in_page"]


def notebook(page):
    return json.loads((run_in_page.ROOT / f"{page}.ipynb").read_text(encoding="utf-8"))


def test_no_listed_chapter_imports_jax_or_real_data_at_its_start():
    for page in listed():
        first = next(cell for cell in notebook(page)["cells"] if cell["cell_type"] == "code")
        words = "".join(first["source"])
        assert "import jax" not in words
        assert "needs-data" not in str(first["metadata"])


def test_stored_outputs_are_said_by_kind():
    cell = {
        "outputs": [
            {"output_type": "stream", "name": "stdout", "text": ["a\n", "b\n"]},
            {"output_type": "display_data", "data": {"image/png": "x", "text/plain": "<Figure>"}},
            {"output_type": "execute_result", "data": {"image/png": "x", "text/html": ["<p>"], "text/plain": "p"}},
            {"output_type": "stream", "name": "stdout", "text": "c\n"},
            {"output_type": "error", "ename": "E", "evalue": "v", "traceback": []},
        ]
    }
    said = {"stdout": ["a\nb\nc\n"], "text/plain": ["<Figure>", "p"], "text/html": ["<p>"], "error": ["E: v"]}
    assert run_in_page.stored(cell) == {"texts": said, "figures": 1}


def test_cells_without_stored_outputs_and_cells_that_take_too_long_have_nothing_to_compare():
    def cell(tags):
        return {"cell_type": "code", "source": "x", "metadata": {"tags": tags}, "outputs": []}

    said = run_in_page.cells({"cells": [cell([]), cell(["remove-output"]), cell([run_in_page.TOO_LONG])]})
    assert ["texts" in one for one in said] == [True, False, False]
    assert said[2]["why"] == run_in_page.WORDS_OF_TOO_LONG


def test_the_archive_is_the_same_each_time_and_holds_the_package_and_its_tables():
    files = run_in_page.contents(["book/01_cosine_and_dot_product"])
    assert run_in_page.digest(files) == run_in_page.digest(run_in_page.contents(["book/01_cosine_and_dot_product"]))
    names = zipfile.ZipFile(io.BytesIO(files["book.zip"])).namelist()
    for name in ("__init__.py", "claims.yml", "losses.yml", "cossim.mplstyle", "widget/dial.css", "audit/files.py"):
        assert f"cossim_helpers/{name}" in names
    assert {"studies/results/seeds.csv", "studies/results/readings.csv", "yaml/__init__.py"} <= set(names)
    assert not [name for name in names if name.endswith((".pyc", ".so"))]
    assert run_in_page.digest(files | {"shell.py": b""}) != run_in_page.digest(files)
    for name in ("Pyodide", "openblas", "sympy", "PyYAML"):
        assert name in files["licenses.txt"].decode()


# The supply


@pytest.fixture
def pinned(monkeypatch):
    """Two files in the place of Pyodide's: a function that writes them."""
    contents = {"a.js": b"one", "b.whl": b"two two"}
    core, package = (
        {"file": name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in contents.items()
    )
    monkeypatch.setattr(pyodide_files, "pin", lambda: {"version": "0", "core": [core], "packages": [package]})

    def source(folder, wanted):
        for file in wanted:
            pyodide_files.keep(folder, file, contents[file["file"]])

    return source


def out_of_reach(folder, wanted):
    raise OSError("no such host")


def other_bytes(folder, wanted):
    for file in wanted:
        pyodide_files.keep(folder, file, b"<html>")


def test_what_one_source_lacks_comes_from_the_next_and_once(pinned, tmp_path):
    folder = tmp_path / "pyodide"
    assert pyodide_files.fetch(folder, (out_of_reach, other_bytes, pinned)) == []
    assert pyodide_files.supply(folder, {}) == folder
    assert pyodide_files.fetch(folder, (out_of_reach,)) == []  # nothing is asked for again
    assert sorted(path.name for path in folder.iterdir()) == ["a.js", "b.whl"]


def test_other_bytes_are_no_supply(pinned, tmp_path):
    reasons = pyodide_files.fetch(tmp_path, (out_of_reach, other_bytes))
    assert reasons == ["no such host", "a.js: other bytes than pyodide.yml names"]
    assert pyodide_files.supply(tmp_path, {}) is None
    assert pyodide_files.fetch(tmp_path, (pinned,)) == []
    (tmp_path / "b.whl").write_bytes(b"two twO")
    assert pyodide_files.supply(tmp_path, {}) is None


def test_a_site_may_be_built_without_and_says_so(pinned, tmp_path, monkeypatch, capsys):
    assert pyodide_files.fetch(tmp_path, (pinned,)) == []
    assert pyodide_files.supply(tmp_path, {"RUN_IN_PAGE": "no"}) is None
    monkeypatch.setattr(pyodide_files, "fetch", lambda folder: ["no such host"])
    for value, code in (("", 0), ("no", 0), ("required", 1)):
        assert pyodide_files.main({"RUN_IN_PAGE": value}, tmp_path) == code
        assert "No Run buttons: " in capsys.readouterr().out
    with pytest.raises(SystemExit, match="RUN_IN_PAGE takes required, no, or nothing, got 'yes'"):
        pyodide_files.setting({"RUN_IN_PAGE": "yes"})


def test_the_pin_names_each_file_once_with_its_digest():
    files = pyodide_files.files()
    names = [file["file"] for file in files]
    assert len(set(names)) == len(names)
    assert all(len(file["sha256"]) == 64 and file["bytes"] > 0 and file["license"] for file in files)
    packages = json.loads(pyodide_files.lock())["packages"]
    for name, package in packages.items():
        assert set(package["depends"]) <= set(packages), name
    assert {"numpy", "scipy", "matplotlib"} <= set(packages)

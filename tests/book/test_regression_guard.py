"""`pytest --nbval` must notice each way in which a notebook can stop showing what it stores."""

import base64
import io
import json
import os
import shutil
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import matplotlib.image
import numpy as np
import pytest

from conftest import figure_differences, pytest_xdist_make_scheduler, tile_rms

ROOT = Path(__file__).parents[2]
CURVE = "fig, ax = plt.subplots(figsize=(4, 3), layout='constrained')\nax.plot([0, 1, {}])\nplt.show()"


def code(source, *tags):
    metadata = {"tags": list(tags)} if tags else {}
    return {"cell_type": "code", "execution_count": None, "metadata": metadata, "outputs": [], "source": source}


def notebook(*cells):
    return {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


def run(*command, folder):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True)


def make_notebooks(path):
    return run(ROOT / "tools" / "notebooks.py", path.name, folder=path.parent)


def nbval(folder, *options):
    """Run what people type, in a folder that holds the project's conftest.py and settings."""
    return run("-m", "pytest", "--nbval", "book", "-q", *options, folder=folder)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A folder with one executed notebook: a number, a figure, and a slider."""
    folder = tmp_path_factory.mktemp("original")
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    path = folder / "book" / "page.ipynb"
    path.parent.mkdir()
    page = notebook(
        code("import matplotlib.pyplot as plt\nprint(f'{1 / 3:.6f}')"),
        code(CURVE.format("4")),
        code("import ipywidgets\nipywidgets.interact(lambda k: k, k=3);", "nbval-ignore-output", "remove-output"),
    )
    path.write_text(json.dumps(page), encoding="utf-8")
    done = make_notebooks(path)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def folder(original, tmp_path):
    return shutil.copytree(original, tmp_path / "copy")


def edit(folder, change, name="page"):
    path = folder / "book" / f"{name}.ipynb"
    stored = json.loads(path.read_text(encoding="utf-8"))
    change(stored["cells"])
    path.write_text(json.dumps(stored), encoding="utf-8")


def png_of(cell):
    (output,) = [output for output in cell["outputs"] if "image/png" in output.get("data", {})]
    return output["data"]


def replace_pixels(change):
    def replace(cell):
        data = png_of(cell)
        pixels = matplotlib.image.imread(io.BytesIO(base64.b64decode(data["image/png"])))
        buffer = io.BytesIO()
        matplotlib.image.imsave(buffer, change(pixels.copy()), format="png")
        data["image/png"] = base64.b64encode(buffer.getvalue()).decode()

    return replace


def spot(pixels):
    pixels[100:104, 200:204, :3] = 0.5
    return pixels


def change_number(cell):
    cell["outputs"][0]["text"] = ["0.333334\n"]


def move_curve(cell):
    cell["source"] = CURVE.format("4.02")


def draw_twice(cell):
    cell["source"] += "\nplt.plot([2, 1])\nplt.show()"


def write_to_stderr(cell):
    cell["source"] += "\nimport sys\nprint('careful', file=sys.stderr)"


NUMBER, FIGURE, PAGE = 0, 1, 3  # cells of the page, and how many they are
CHANGES = {  # what it is called: which cell, what it does to it, what must be said of it
    "number": (NUMBER, change_number, "0.333333"),
    "curve": (FIGURE, move_curve, "PNG 1 of this cell: RMS"),
    "extra": (FIGURE, draw_twice, "1 PNGs are stored, 2 are drawn"),
    "no-png": (FIGURE, lambda cell: png_of(cell).pop("image/png"), "0 PNGs are stored, 1 are drawn"),
    "no-output": (FIGURE, lambda cell: cell.update(outputs=[]), "Unexpected output fields"),
    "size": (FIGURE, replace_pixels(lambda pixels: pixels[:-1]), "drawn"),
    "color": (FIGURE, replace_pixels(lambda pixels: pixels[..., [2, 1, 0, 3]]), "RMS"),
    "blank": (FIGURE, replace_pixels(lambda pixels: np.ones_like(pixels)), "RMS"),
    "spot": (FIGURE, replace_pixels(spot), "x = 192, y = 96"),
    "stderr": (NUMBER, write_to_stderr, "stderr"),
    "not-executed": (NUMBER, lambda cell: cell.update(execution_count=None), "never executed"),
}


@pytest.fixture(scope="module")
def said(original, tmp_path_factory):
    """What one run, in one kernel, says of the page and of its changed cells behind it: of each "", or its failure."""
    folder = shutil.copytree(original, tmp_path_factory.mktemp("changed") / "copy")

    def add_changed(cells):
        for name, (number, change, _) in CHANGES.items():
            cell = deepcopy(cells[number]) | {"id": name}
            change(cell)
            cells.append(cell)

    edit(folder, add_changed)
    done = nbval(folder, "--junitxml=report.xml")
    assert done.returncode == 1, done.stdout + done.stderr
    cases = ElementTree.parse(folder / "report.xml").iter("testcase")
    return ["".join(found.text for found in case if found.tag in ("failure", "error")) for case in cases]


def test_an_unchanged_notebook_passes(said):
    assert said[:PAGE] == [""] * PAGE
    assert len(said) == PAGE + len(CHANGES)


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_fails(said, name):
    assert CHANGES[name][2] in said[PAGE + [*CHANGES].index(name)]


def test_a_plugin_that_shuffles_leaves_the_cells_of_a_notebook_in_their_order(folder):
    (folder / "mixer.py").write_text(
        "import pytest\n\n\n@pytest.hookimpl(tryfirst=True)\ndef pytest_collection_modifyitems(items):\n"
        "    items[:] = items[1::2] + items[::-2]\n",  # cells of two notebooks, and mixed
        encoding="utf-8",
    )
    shutil.copy(folder / "book" / "page.ipynb", folder / "book" / "again.ipynb")
    (folder / "book" / "test_one.py").write_text("def test_one():\n    pass\n", encoding="utf-8")
    done = nbval(folder, "-p", "mixer", "--collect-only")
    found = [line.partition("/")[2] for line in done.stdout.splitlines() if "::" in line]
    cells = [[f"{name}.ipynb::Cell {number}" for number in range(3)] for name in ("page", "again")]
    assert sorted(found) == sorted([*cells[0], *cells[1], "test_one.py::test_one"])
    places = [[found.index(cell) for cell in of_one] for of_one in cells]
    assert all(of_one == list(range(of_one[0], of_one[0] + 3)) for of_one in places), found


@pytest.mark.parametrize(("dist", "by"), [("load", "file"), ("worksteal", "file"), ("loadscope", None), ("no", None)])
def test_processes_that_share_tests_share_no_notebook(monkeypatch, dist, by):
    monkeypatch.setattr("xdist.scheduler.LoadFileScheduling", lambda config, log: "file")
    config = SimpleNamespace(getoption={"dist": dist}.get)
    assert pytest_xdist_make_scheduler(config, None) == by


def test_noise_below_the_tolerance_passes_and_tiles_are_compared_one_by_one():
    picture = np.full((50, 70, 4), 200.0)
    assert not list(figure_differences([picture], [picture + 0.4]))
    tile = picture.copy()
    tile[16:32, 64:] += 4.1  # small over the picture, large in a tile that is cut off by the edge
    assert [*figure_differences([picture], [tile])] == [
        "PNG 1 of this cell: RMS 0.68 over the picture (at most 0.5); "
        "most in the tile at x = 64, y = 16: 4.10 (at most 4.0)"
    ]
    assert tile_rms(tile - picture).shape == (4, 5)


def test_make_notebooks_twice_changes_nothing(folder):
    path = folder / "book" / "page.ipynb"
    before = path.read_bytes()
    assert make_notebooks(path).returncode == 0
    assert path.read_bytes() == before
    assert b"widget" not in before.replace(b"ipywidgets", b"")


def raise_an_error(cell):
    cell["source"] = "1 / 0"


@pytest.mark.parametrize(("change", "message"), [(raise_an_error, "ZeroDivisionError"), (write_to_stderr, "careful")])
def test_make_notebooks_leaves_a_failing_notebook_untouched(folder, change, message):
    edit(folder, lambda cells: change(cells[NUMBER]))
    path = folder / "book" / "page.ipynb"
    before = path.read_bytes()
    done = make_notebooks(path)
    assert done.returncode == 1
    assert message in done.stderr
    assert path.read_bytes() == before

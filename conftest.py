"""What plain `pytest --nbval book` adds to nbval: every cell was executed, and every figure is compared.

It takes the notebooks that _toc.yml lists. Copies that a reader has made beside them are run where they are named. The
cells of a notebook run in their order, in one process, whatever plugins are installed.

nbval skips pictures. Here the PNGs that a cell draws are compared with those that it stores, in the same
execution: their number, their size in pixels, their difference over the whole picture, and in each small tile
of it, so that one line that moves counts however large the picture is. The stored ones have 256 colors
(tools/notebooks.py); what that changes uses up a part of the same tolerances.

In unit tests an absolute tolerance is absolute. `np.testing.assert_allclose(…, atol=1e-12)` alone adds a relative
tolerance of 1e-7: an error of 1e-8 in a vector of length 1 passes. Here a test that names an absolute tolerance and no
relative one gets rounding besides, and no more. (Not in a conftest.py in tests: of two modules with one name, a test
imports the one that pytest has loaded last.)
"""

import base64
import io
from collections import defaultdict

import numpy as np
import pytest
from nbval.plugin import IPyNbCell
from PIL import Image

from tools import toc

TILE = 16  # pixels
PICTURE_TOLERANCE = 0.5  # RMS of the difference, in levels of 0 to 255
TILE_TOLERANCE = 4.0
ROUNDING = 1e-12  # relative: some thousand operations


def pngs(outputs):
    """Return the pictures among a cell's outputs, decoded: (height, width, red green blue alpha), 0 to 255."""
    encoded = [output["data"]["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    pictures = [Image.open(io.BytesIO(base64.b64decode(png)), formats=["PNG"]) for png in encoded]
    return [np.asarray(picture.convert("RGBA"), dtype=float) for picture in pictures]


def tile_rms(difference):
    """Return the RMS of a difference (height, width, channels) in each tile; the last ones may be smaller."""
    squares = np.square(difference).mean(axis=2)

    def tile_sums(values):
        rows = np.add.reduceat(values, np.arange(0, values.shape[0], TILE), axis=0)
        return np.add.reduceat(rows, np.arange(0, values.shape[1], TILE), axis=1)

    return np.sqrt(tile_sums(squares) / tile_sums(np.ones_like(squares)))


def picture_difference(stored, drawn):
    """Say in what way two pictures differ, or return None."""
    if stored.shape != drawn.shape:
        size = "{1}×{0} pixels"
        return f"stored {size.format(*stored.shape)}; drawn {size.format(*drawn.shape)}"
    difference = drawn - stored
    whole, tiles = np.sqrt(np.square(difference).mean()), tile_rms(difference)
    if whole > PICTURE_TOLERANCE or tiles.max() > TILE_TOLERANCE:
        row, column = np.unravel_index(tiles.argmax(), tiles.shape)
        return (
            f"RMS {whole:.2f} over the picture (at most {PICTURE_TOLERANCE}); most in the tile at "
            f"x = {column * TILE}, y = {row * TILE}: {tiles.max():.2f} (at most {TILE_TOLERANCE})"
        )
    return None


def figure_differences(stored, drawn):
    """Yield one line for each way in which the figures of a cell differ."""
    if len(stored) != len(drawn):
        yield f"{len(stored)} PNGs are stored, {len(drawn)} are drawn"
    for number, pair in enumerate(zip(stored, drawn, strict=False), start=1):
        if problem := picture_difference(*pair):
            yield f"PNG {number} of this cell: {problem}"


compare_text = IPyNbCell.compare_outputs


def compare_text_and_figures(cell, test, ref, skip_compare=None):
    same_text = compare_text(cell, test, ref, skip_compare)
    problems = list(figure_differences(pngs(ref), pngs(test)))
    cell.comparison_traceback += problems
    if problems or not same_text:
        cell.comparison_traceback.append(
            f'What now: "A stored output differs" in CONTRIBUTING.md. This is {cell.cell["id"]}'
        )
    return same_text and not problems


IPyNbCell.compare_outputs = compare_text_and_figures


def pytest_ignore_collect(collection_path, config):
    """Leave out notebooks that are not in the book: what JupyterLab keeps, copies, drafts."""
    named = {(config.invocation_params.dir / name.split("::")[0]).resolve() for name in config.args}
    if collection_path.suffix == ".ipynb" and collection_path not in named:
        return collection_path not in toc.notebooks(config.rootpath) or None
    return None


numpys_assert_allclose = np.testing.assert_allclose


def assert_allclose(actual, desired, rtol=None, atol=0, **options):
    """NumPy's, whose default for rtol is 1e-7 whatever atol is."""
    if rtol is None:
        rtol = ROUNDING if atol else 1e-7
    numpys_assert_allclose(actual, desired, rtol=rtol, atol=atol, **options)


np.testing.assert_allclose = assert_allclose


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """A notebook's cells stay together and in their order, also where a plugin shuffles the tests."""
    cells = defaultdict(list)
    for item in items:
        if isinstance(item, IPyNbCell):
            cells[item.parent].append(item)
    for of_one in cells.values():
        of_one.sort(key=lambda item: item.cell_num)
    items[:] = [
        one for item in items for one in (cells.pop(item.parent, []) if isinstance(item, IPyNbCell) else [item])
    ]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """A notebook's cells go to one process, also where nobody says so: `-n 2` alone would spread them."""
    if config.getoption("dist") in ("load", "worksteal"):
        from xdist.scheduler import LoadFileScheduling

        return LoadFileScheduling(config, log)
    return None


def pytest_runtest_setup(item):
    """Refuse a cell that was never executed: nbval would compare nothing there."""
    if isinstance(item, IPyNbCell) and item.cell.source.strip() and item.cell.execution_count is None:
        pytest.fail("never executed: make notebooks", pytrace=False)

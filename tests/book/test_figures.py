"""Figures: stored sharp and small, large enough to read on a phone, placed on the page before they are loaded."""

import ast
import base64
import io
import subprocess
import sys
from pathlib import Path

import figures
import matplotlib.font_manager
import numpy as np
import pytest
from PIL import Image

from tools import toc
from tools.notebooks import COLORS, loads, palette, stored_png

ROOT = Path(__file__).parents[2]
NOTEBOOKS = toc.notebooks()
PHONE = 390 - 2  # pixels that a figure has on a phone (book/_static/figures.css)
READABLE = 9  # pixels, the least height of a letter's box
POINTS = 72  # in an inch
DRAWN = 110  # pixels of an inch, as shown in a notebook


def encoded(picture, **options):
    target = io.BytesIO()
    picture.save(target, format="PNG", **options)
    return base64.b64encode(target.getvalue()).decode()


def decoded(png):
    return Image.open(io.BytesIO(base64.b64decode(png)))


def figure_cells(path):
    """Yield (cell, the output that holds its figure). (The dial is HTML; its picture is for where none is shown.)"""
    for cell in loads(path.read_text(encoding="utf-8")).cells:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}) and "text/html" not in output.data:
                yield cell, output


# What is stored


def test_a_picture_of_few_colors_is_stored_as_it_is():
    pixels = np.random.default_rng(0).integers(0, 6, (40, 50, 3), dtype=np.uint8) * 51  # 216 colors
    drawn = Image.fromarray(pixels).convert("RGBA")
    stored = decoded(stored_png(encoded(drawn)))
    assert stored.mode == "P"
    np.testing.assert_array_equal(np.asarray(stored.convert("RGB")), pixels)


def test_a_picture_of_many_colors_keeps_those_that_would_be_missed_most():
    ramp = np.arange(1_000)
    colors = np.stack([ramp * 255 // 999, 255 - ramp * 255 // 999, ramp % 7], axis=1)
    counts = np.ones(1_000, dtype=int)
    kept, nearest = palette(colors, counts, COLORS)
    assert len(set(kept)) == COLORS
    by_loop = [np.square(colors[kept] - color).sum(axis=1).min() for color in colors]
    np.testing.assert_array_equal(np.square(colors[kept][nearest] - colors).sum(axis=1), by_loop)
    assert max(by_loop) <= 6**2 + 2 * 2**2
    rare = np.append(colors, [[255, 255, 255]], axis=0)  # one pixel far from all
    assert 1_000 in palette(rare, np.append(100 * counts, 1), COLORS)[0]


def test_what_is_stored_stays_byte_by_byte():
    png = stored_png(encoded(Image.effect_noise((30, 20), 50).convert("RGBA")))
    assert stored_png(png) == png
    other = encoded(decoded(png), compress_level=1)  # as another library would compress it
    assert other != png
    assert stored_png(other) == other


def test_a_transparent_figure_is_refused():
    with pytest.raises(ValueError, match="transparent"):
        stored_png(encoded(Image.new("RGBA", (4, 4), (255, 255, 255, 254))))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_every_figure_has_two_pixels_for_each_that_a_notebook_shows(path):
    for cell, output in figure_cells(path):
        shown = output.metadata.get("image/png", {})
        picture = decoded(output.data["image/png"])
        assert (shown.get("width"), shown.get("height")) == (picture.width // 2, picture.height // 2), cell.id


@pytest.mark.parametrize(
    ("before", "formats"),
    [("", "{'retina'}"), ("%config InlineBackend.figure_format = 'svg'", "{'svg'}")],
    ids=["as it comes", "the reader's choice"],
)
def test_a_notebook_draws_sharp_unless_the_reader_has_chosen(before, formats, tmp_path):
    from jupyter_client.manager import start_new_kernel

    from tools.notebooks import run

    manager, client = start_new_kernel(kernel_name="python3", cwd=str(ROOT))
    try:
        source = (
            f"{before}\nimport matplotlib.pyplot as plt\nimport cossim_helpers\n"
            "from matplotlib_inline.config import InlineBackend\nprint(InlineBackend.instance().figure_formats)"
        )
        assert run(source, client)[0].text.strip() == formats
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def test_outside_of_a_notebook_nothing_is_set():
    program = "import sys, cossim_helpers; print('matplotlib_inline' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# What can be read on a phone


def style():
    lines = (ROOT / "cossim_helpers" / "cossim.mplstyle").read_text(encoding="utf-8").splitlines()
    return dict(line.split(": ", 1) for line in lines if ": " in line and not line.startswith("#"))


def text_sizes(source):
    """Return the sizes of text that a cell asks for, in points."""
    base = float(style()["font.size"])
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.keyword) and node.arg in {"fontsize", "labelsize", "title_fontsize"}:
            if isinstance(node.value, ast.Constant):
                scalings = matplotlib.font_manager.font_scalings
                value = node.value.value
                yield base * scalings[value] if isinstance(value, str) else value


def smallest_text_on_a_phone(cell, output):
    """Return the size in pixels of the smallest text of a figure (indices and exponents apart)."""
    sizes = [float(style()[name]) for name in ("font.size", "axes.titlesize", "axes.labelsize", "legend.fontsize")]
    points = min([*sizes, *text_sizes(cell.source)])
    return points * DRAWN / POINTS * min(1, PHONE / output.metadata["image/png"]["width"])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_text_in_figures_can_be_read_on_a_phone(path):
    sizes = {cell.id: round(smallest_text_on_a_phone(cell, output), 1) for cell, output in figure_cells(path)}
    assert {name: size for name, size in sizes.items() if size < READABLE} == {}


def test_small_text_would_be_noticed():
    assert [*text_sizes("ax.legend(fontsize='small')\nax.set_yticks([1], ['a'], fontsize=9)")] == [
        pytest.approx(12 * 0.833),
        9,
    ]
    assert float(style()["figure.dpi"]) == DRAWN


# On the page


def test_pictures_keep_their_place_and_all_but_the_first_are_lazy(tmp_path):
    Image.new("RGB", (30, 20)).save(tmp_path / "own.png")
    files = {name: tmp_path / "own.png" for name in ("a.png", "b.png")} | {"c.svg": tmp_path / "c.svg"}
    body = (
        '<p><img alt="A" src="../_images/a.png" style="width: 737px; height: 364px;" />'
        '<img alt="B" src="../_images/b.png" /><img alt="C" src="../_images/c.svg" />'
        '<img alt="D" src="data:image/png;base64,AAAA" /><img alt="E" loading="lazy" src="../_images/b.png" /></p>'
    )
    assert figures.placed(body, files) == (
        '<p><img width="737" height="364" alt="A" src="../_images/a.png" />'
        '<img width="30" height="20" loading="lazy" alt="B" src="../_images/b.png" />'
        '<img alt="C" src="../_images/c.svg" />'
        '<img alt="D" src="data:image/png;base64,AAAA" /><img alt="E" loading="lazy" src="../_images/b.png" /></p>'
    )

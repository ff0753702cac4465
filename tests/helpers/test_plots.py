"""The figures: what stands in them, where, and in which colors."""

import re
import sys
from types import SimpleNamespace

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from cossim_helpers import block_average, plot_cosine_matrix, plot_cosine_panels
from cossim_helpers._notebook import sharpen_figures


@pytest.fixture(autouse=True)
def book_style():
    with plt.style.context("cossim_helpers.cossim"):
        yield
    plt.close("all")


def test_block_average_by_loops():
    M = np.random.default_rng(0).standard_normal((7, 10))
    out = block_average(M.tolist(), 3)
    rows, columns = [0, 2, 4, 7], [0, 3, 6, 10]
    for i in range(3):
        for j in range(3):
            assert out[i, j] == pytest.approx(M[rows[i] : rows[i + 1], columns[j] : columns[j + 1]].mean())
    np.testing.assert_array_equal(block_average(M, 50), M)
    np.testing.assert_array_equal(block_average(np.full((4, 4), 1.5e308), 2), np.full((2, 2), 1.5e308))


def test_panels_share_limits_and_colors():
    cosines = {"one": np.eye(6), "two": -np.ones((6, 6)), "three": np.zeros((6, 6)), "four": np.eye(6)}
    figure = plot_cosine_panels(cosines, np.array([0, 0, 1, 1, 2, 2]))
    images = [ax.images[0] for ax in figure.axes if ax.images]
    assert len(images) == 4 and {image.get_clim() for image in images} == {(-1.0, 1.0)}
    assert {image.get_cmap().name for image in images} == {"RdBu_r"}
    np.testing.assert_array_equal(images[1].get_array(), -1)
    assert figure.axes[0].get_title() == "one"
    assert all(len(ax.lines) == 4 for ax in figure.axes[:4])
    narrow = plot_cosine_panels(cosines, limits=(0.25, 0.5))
    assert {ax.images[0].get_clim() for ax in narrow.axes[:4]} == {(0.25, 0.5)}


def test_panels_stand_in_rows_with_one_color_bar():
    figure = plot_cosine_panels({name: np.eye(4) for name in "abc"})
    maps, bar = figure.axes[:4], figure.axes[4]
    assert [ax.get_subplotspec().get_geometry() for ax in maps] == [(2, 2, place, place) for place in range(4)]
    assert [ax.axison for ax in maps] == [True, True, True, False], "the place that is left stays empty"
    assert [ax.get_ylabel() for ax in maps[:3]] == ["item", "", "item"]
    assert [ax.get_xlabel() for ax in maps[:3]] == ["", "", "item"]
    assert bar.get_ylabel() == "cosine" and len(figure.axes) == 5
    figure.draw_without_rendering()
    below, above = bar.get_position().intervaly
    assert 0 < below < 0.2 and 0.8 < above < 1, "it is as high as the maps together, or nearly"
    np.testing.assert_allclose(figure.get_size_inches(), [6.6, 6.2], err_msg="as wide as other figures")
    side_by_side = plot_cosine_panels({name: np.eye(4) for name in "abc"}, columns=3)
    np.testing.assert_allclose(side_by_side.get_size_inches(), [9.55, 3.1], err_msg="a map more is 2.95 inches more")
    for columns in (1, 2, 5):
        [alone, _] = plot_cosine_panels({"alone": np.eye(4)}, columns=columns).axes
        assert alone.get_subplotspec().get_geometry() == (1, 1, 0, 0), "no place for what is not there"
    above, below, _ = plot_cosine_panels({"a": np.eye(4), "b": np.eye(4)}, columns=1).axes
    assert above.get_subplotspec().get_geometry()[:2] == below.get_subplotspec().get_geometry()[:2] == (2, 1)


def test_heat_map_shows_the_numbers_given():
    _, ax = plt.subplots()
    cosine = np.random.default_rng(1).random((300, 300))
    image = plot_cosine_matrix(ax, cosine, limits=(0, 1), title="t")
    np.testing.assert_allclose(image.get_array(), block_average(cosine, 250))
    assert image.get_cmap().name == "viridis" and image.get_extent() == [0, 300, 300, 0]
    assert image.get_interpolation() == "nearest", "no color between two numbers"
    assert (ax.get_title(), ax.get_xlabel(), ax.get_ylabel()) == ("t", "item", "item") and not ax.lines
    assert plot_cosine_matrix(ax, np.eye(2)).get_clim() == (-1, 1) and not ax.get_title()


@pytest.mark.parametrize(("limits", "color"), [((-1, 1), "0.35"), ((0, 1), "white"), ((0.5, 1), "white")])
def test_thin_lines_part_the_clusters(limits, color):
    """White on dark colors, gray where the middle of the colors is white."""
    _, ax = plt.subplots()
    image = plot_cosine_matrix(ax, np.eye(6), [4, 4, 1, 1, 1, 7], limits=limits)
    assert image.get_cmap().name == ("RdBu_r" if limits[0] < 0 else "viridis")
    ends = {(tuple(map(float, line.get_xdata())), tuple(map(float, line.get_ydata()))) for line in ax.lines}
    assert ends == {((0, 1), (2, 2)), ((0, 1), (5, 5)), ((2, 2), (0, 1)), ((5, 5), (0, 1))}
    assert {to_rgb(line.get_color()) for line in ax.lines} == {to_rgb(color)}
    assert all(0 < line.get_linewidth() < 1 for line in ax.lines)


@pytest.mark.parametrize(
    ("more", "error", "says"),
    [
        ({"ax": "axes"}, TypeError, "ax takes axes"),
        ({"ax": plt.Axes}, TypeError, "ax takes axes"),
        ({"cosine": [[np.nan]]}, ValueError, "cosine takes finite numbers"),
        ({"item_cluster": [0.0, 1.0]}, TypeError, "item_cluster takes integers"),
        (
            {"item_cluster": [0, 1, 2]},
            ValueError,
            "item_cluster, one for each row and column of cosine: got (3, 3), takes (2, 2)",
        ),
        ({"limits": (0, 0)}, ValueError, "limits takes two numbers"),
        ({"limits": (1, 0)}, ValueError, "limits takes two numbers"),
        ({"limits": (0, 1, 2)}, ValueError, "limits takes two numbers"),
        ({"limits": (0, 1.1e300)}, ValueError, "limits takes two numbers"),
        ({"limits": (-1.1e300, 0)}, ValueError, "limits takes two numbers"),
        ({"limits": (np.nan, 1)}, ValueError, "limits takes finite numbers"),
        ({"title": 3}, TypeError, "title takes text"),
    ],
)
def test_bad_input_of_a_heat_map_names_the_argument(more, error, says):
    with pytest.raises(error, match="^" + re.escape(says)):
        plot_cosine_matrix(**{"ax": plt.gca(), "cosine": np.eye(2)} | more)


@pytest.mark.parametrize(
    ("more", "error", "says"),
    [
        ({"cosines": ["one"]}, TypeError, "cosines takes a dict"),
        ({"cosines": {"one": np.eye(2), 2: np.eye(2)}}, TypeError, "cosines takes a dict"),
        ({"cosines": {}}, ValueError, "cosines takes at least one matrix"),
        ({"cosines": {"one": np.eye(2), "two": [[np.nan]]}}, ValueError, "cosines['two'] takes finite numbers"),
        ({"item_cluster": [0, 1, 2]}, ValueError, "item_cluster, one for each row and column of cosines['one']"),
        ({"limits": (1, 0)}, ValueError, "limits takes two numbers"),
        ({"columns": 0}, ValueError, "columns takes an integer at least 1"),
        ({"columns": 1.0}, TypeError, "columns takes an integer"),
    ],
)
def test_bad_input_of_panels_names_the_argument_before_a_figure_is_there(more, error, says):
    with pytest.raises(error, match="^" + re.escape(says)):
        plot_cosine_panels(**{"cosines": {"one": np.eye(2)}} | more)
    assert not plt.get_fignums()


def test_ends_of_limits_and_of_sizes():
    assert plot_cosine_matrix(plt.gca(), np.eye(2), limits=[-1e300, 1e300]).get_clim() == (-1e300, 1e300)
    with pytest.raises(ValueError, match=r"^size takes an integer at least 1"):
        block_average(np.eye(2), 0)
    with pytest.raises(ValueError, match=r"^matrix takes a non-empty 2-dimensional"):
        block_average([1.0, 2.0])


@pytest.mark.parametrize(
    ("shell", "chosen", "drawn"),
    [
        (None, {"png"}, {"png"}),  # IPython is loaded, and nothing runs in it
        (SimpleNamespace(), {"png"}, {"png"}),  # a terminal
        (SimpleNamespace(kernel=1), {"png"}, {"retina"}),
        (SimpleNamespace(kernel=1), {"svg"}, {"svg"}),
        (SimpleNamespace(kernel=1), {"png", "svg"}, {"png", "svg"}),
    ],
)
def test_a_notebook_draws_sharp_figures_unless_the_reader_has_chosen(monkeypatch, shell, chosen, drawn):
    settings = {id(shell): SimpleNamespace(figure_formats=chosen)}
    backend = SimpleNamespace(instance=lambda parent: settings[id(parent)])
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "matplotlib_inline.config", SimpleNamespace(InlineBackend=backend))
    sharpen_figures()
    assert settings[id(shell)].figure_formats == drawn


def test_without_a_notebook_nothing_is_loaded(monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    sharpen_figures()
    assert "IPython" not in sys.modules

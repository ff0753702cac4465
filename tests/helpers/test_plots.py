import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest

from cossim_helpers import block_average, plot_cosine_matrix, plot_cosine_panels


@pytest.fixture(autouse=True)
def book_style():
    with plt.style.context("cossim_helpers.cossim"):
        yield
    plt.close("all")


def test_block_average_by_loops():
    M = np.random.default_rng(0).standard_normal((7, 10))
    out = block_average(M, 3)
    rows, columns = [0, 2, 4, 7], [0, 3, 6, 10]
    for i in range(3):
        for j in range(3):
            assert out[i, j] == pytest.approx(M[rows[i] : rows[i + 1], columns[j] : columns[j + 1]].mean())
    np.testing.assert_array_equal(block_average(M, 50), M)


def test_panels_share_limits_and_colors():
    cosines = {"one": np.eye(6), "two": -np.ones((6, 6)), "three": np.zeros((6, 6)), "four": np.eye(6)}
    figure = plot_cosine_panels(cosines, np.array([0, 0, 1, 1, 2, 2]))
    images = [ax.images[0] for ax in figure.axes if ax.images]
    assert len(images) == 4 and {image.get_clim() for image in images} == {(-1.0, 1.0)}
    assert {image.get_cmap().name for image in images} == {"RdBu_r"}
    np.testing.assert_array_equal(images[1].get_array(), -1)
    assert figure.axes[0].get_title() == "one"


def test_heat_map_shows_the_numbers_given():
    _, ax = plt.subplots()
    cosine = np.random.default_rng(1).random((300, 300))
    image = plot_cosine_matrix(ax, cosine, limits=(0, 1), title="t")
    np.testing.assert_allclose(image.get_array(), block_average(cosine))
    assert image.get_cmap().name == "viridis" and image.get_extent() == [0, 300, 300, 0]


def test_bad_input_names_the_argument():
    with pytest.raises(ValueError, match="size takes an integer at least 1"):
        block_average(np.eye(2), 0)
    with pytest.raises(ValueError, match="cosine takes finite numbers"):
        plot_cosine_matrix(plt.gca(), [[np.nan]])

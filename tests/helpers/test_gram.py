"""XᵀX over blocks of rows: which rows are multiplied together, in which type, and that nothing rounds that need not."""

import numpy as np
import pytest
import scipy.sparse as sp

from cossim_helpers import _gram


@pytest.fixture
def products(monkeypatch):
    """(rows, type) of each product that is made."""
    made, multiply = [], _gram._plus_product

    def spy(lower, rows, dtype, buffers):
        made.append((rows.shape[0], dtype))
        return multiply(lower, rows, dtype, buffers)

    monkeypatch.setattr(_gram, "_plus_product", spy)
    return made


@pytest.mark.parametrize("form", [np.asarray, sp.csr_array, sp.csc_array])
@pytest.mark.parametrize(("numbers", "at_least", "height"), [(12, 1, 3), (15, 1, 3), (12, 5, 5), (1, 1, 1), (1, 2, 2)])
def test_rows_are_cut_into_blocks(form, numbers, at_least, height, monkeypatch):
    monkeypatch.setattr(_gram, "BLOCK_NUMBERS", numbers)
    X = np.arange(40.0).reshape(10, 4) % 7
    blocks = list(_gram.row_blocks(form(X), at_least))
    assert [len(_gram.dense(block)) for block in blocks] == [min(height, 10 - first) for first in range(0, 10, height)]
    np.testing.assert_array_equal(np.concatenate([_gram.dense(block) for block in blocks]), X)
    if at_least == 1:
        assert [block.shape for block in _gram.row_blocks(form(X))] == [block.shape for block in blocks]


@pytest.mark.parametrize(("p", "height"), [(2, 2), (3, 3), (5, 3)])
def test_a_block_has_as_many_rows_as_columns_or_enough(p, height, products, monkeypatch):
    monkeypatch.setattr(_gram, "BLOCK_NUMBERS", 1)
    monkeypatch.setattr(_gram, "BLOCK_ROWS", 3)
    X = np.arange(9.0 * p).reshape(9, p) % 5
    np.testing.assert_array_equal(_gram.accumulate_gram([X], p), X.T @ X)
    assert {rows for rows, _ in products[:-1]} == {height}


@pytest.mark.parametrize("dtype", [np.int8, bool, np.float32, np.float64])
@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
def test_whole_numbers_are_multiplied_in_float32_and_others_are_not(dtype, form, products):
    whole = (np.random.default_rng(0).random((20, 4)) < 0.5).astype(dtype)
    _gram.accumulate_gram([form(whole), form(whole)], 4)
    assert {kind for _, kind in products} == {np.float32}
    del products[:]
    _gram.accumulate_gram([form(whole * np.float64(0.5))], 4)
    _gram.accumulate_gram([form(np.full((1, 1), 5_000.0))], 1)  # 25e6 is beyond 2^24
    assert {kind for _, kind in products} == {np.float64}


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
def test_no_odd_sum_rounds_where_float32_ends(form, order):
    """Sums of 2^22 to 2^28 in steps of any size, against Python's integers; and what is given stays."""
    rng = np.random.default_rng(1)
    for most in (30, 700, 3_000, 5_000):
        blocks = [np.asarray(rng.integers(-most, most, (rng.integers(1, 6), 3)), float, order) for _ in range(9)]
        before = [block.copy() for block in blocks]
        exact = sum(block.astype(int).astype(object).T @ block.astype(int).astype(object) for block in blocks)
        np.testing.assert_array_equal(_gram.accumulate_gram(map(form, blocks), 3), exact.astype(float))
        np.testing.assert_array_equal(blocks[0], before[0])
    halves = [np.asarray(rng.integers(-9, 9, (4, 3)) / 2, order=order) for _ in range(5)]
    mixed = [*halves, np.full((2, 3), 3_001.0), *halves]
    np.testing.assert_array_equal(_gram.accumulate_gram(map(form, mixed), 3), sum(one.T @ one for one in mixed))

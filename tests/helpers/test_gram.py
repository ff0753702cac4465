"""XᵀX over blocks of rows: which rows are multiplied together, in which type, and that nothing rounds that need not."""

import weakref

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
        found = multiply(lower, rows, dtype, buffers)
        assert found.dtype == dtype and not np.triu(found, 1).any()
        assert lower is None or np.shares_memory(found, lower)
        return found

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
    assert {sp.issparse(block) for block in blocks} == {form is not np.asarray}
    if form is not sp.csc_array:  # nothing is copied
        given = form(X)
        held = given.data if sp.issparse(given) else given
        for block in _gram.row_blocks(given, at_least):
            assert np.shares_memory(block.data if sp.issparse(block) else block, held)
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


@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
def test_sums_move_to_float64_where_the_next_block_might_not_fit(form, products, monkeypatch):
    """Four rows of ±2^11 add up to 2^24; one row of 4,095 and 8,190 of 1 to one less, which float32 holds."""
    moved, add = [], _gram._added
    monkeypatch.setattr(_gram, "_added", lambda sums, small: moved.append(small[0, 0]) or add(sums, small))
    blocks = [form(np.full((1, 1), 2.0**11 * sign)) for sign in (1, -1, 1, 1, -1, 1, 1, 1)]
    assert _gram.accumulate_gram(blocks, 1) == 2**25
    assert moved == [3 * 2**22, 3 * 2**22, 2 * 2**22]
    assert _gram.accumulate_gram([form(np.full((n, 1), size)) for n, size in [(1, 4_095.0), (8_190, 1.0)] * 2], 1)
    assert moved[3:] == [2**24 - 1, 2**24 - 1]
    assert [kind for _, kind in products] == [np.float32] * 12
    _gram.accumulate_gram([form(np.full((1, 1), 4_096.0))], 1)
    assert products[-1] == (1, np.float64)
    assert _gram._largest_sum(form(np.zeros((2, 1)))) == 0 and _gram._largest_sum(form(np.full((3, 1), -2))) == 12


def test_a_block_has_the_height_that_the_docstring_says(products, monkeypatch):
    tall = np.zeros((4_000_001, 1), np.int8)
    assert [len(block) for block in _gram.row_blocks(tall)] == [4_000_000, 1]
    monkeypatch.setattr(_gram, "BLOCK_NUMBERS", 1)
    _gram.accumulate_gram([np.zeros((501, 501), np.int8)], 501)
    assert [height for height, _ in products] == [500, 1]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_buffer_of_a_type_holds_all_blocks_that_are_not_dense_already(dtype):
    buffers, X = {}, np.arange(6.0).reshape(3, 2)
    rows = X.astype(dtype)
    assert _gram._filled(rows, dtype, buffers) is rows and not buffers
    wider = np.float32 if dtype is np.float64 else np.float64
    others = [np.asfortranarray(rows), rows.astype(wider), rows.astype(np.int8), sp.csr_array(rows)]
    _gram._filled(others[0][:2], dtype, buffers)
    for given, there in zip([*others, others[0][:2], sp.csr_array(rows[:1])], [3, 3, 3, 3, 2, 1], strict=True):
        before = buffers[dtype]
        found = _gram._filled(given, dtype, buffers)
        np.testing.assert_array_equal(found, X[:there])
        assert found.dtype == dtype and found.flags.c_contiguous and np.shares_memory(found, buffers[dtype])
        assert (buffers[dtype] is before) == (given is not others[0])  # the first is longer than what was there


def test_sums_in_float64_are_added_to_in_place():
    sums, small = np.ones((2, 2)), np.full((2, 2), 3, np.float32)
    assert _gram._added(sums, small) is sums and sums.tolist() == [[4, 4], [4, 4]]
    first = _gram._added(None, small)
    assert first.dtype == np.float64 and first.tolist() == [[3, 3], [3, 3]]


@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
def test_a_block_is_gone_before_the_next_is_made(form):
    alive, there = [], []

    def made():
        for number in range(4):
            there.append(sum(block() is not None for block in alive))
            block = form(np.full((3, 2), number / 2))
            alive.append(weakref.ref(block))
            yield block
            del block

    np.testing.assert_array_equal(_gram.accumulate_gram(made(), 2), np.full((2, 2), 3 * 14 / 4))
    assert there == [0] * 4


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

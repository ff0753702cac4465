"""XᵀX added up over blocks of rows, each of them dense while its turn lasts, in one buffer that all of them share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import scipy.linalg
import scipy.sparse as sp

BLOCK_NUMBERS = 4_000_000  # numbers in a dense block of rows: 32 MB in float64
BLOCK_ROWS = 500  # with fewer rows a product of wide blocks costs more for its sums than for its products
WHOLE_IN_FLOAT32 = 2**24  # below it, float32 holds each whole number


def accumulate_gram(blocks: Iterable, p: int) -> np.ndarray:
    """Σ DᵀD over the blocks D of rows: XᵀX of the matrix X that they are cut from, float64, shape (p, p).

    Parameters
    ----------
    blocks : iterable of ndarray or sparse array, each of shape (rows, p)
        Finite real numbers of any real dtype, a sparse block without duplicate entries. One is in memory at a time,
        and none is written to.
    p : int
        Number of columns.

    Notes
    -----
    n p²/2 multiplications (one triangle, BLAS syrk). Whole numbers are multiplied in float32 as long as the sums stay
    below 2^24, where nothing rounds, and added up in float64 from there on: counts are exact up to 2^53, whatever the
    blocks and their order. All else is multiplied in float64. Memory beyond one block: 2 p² numbers in float64, p² in
    float32, and a buffer of 4,000,000 numbers, or of 500 p where that is more.
    """
    sums, small, bound = None, None, 0.0  # lower triangles: float64, float32, and what no entry of `small` exceeds
    buffers: dict[type, np.ndarray] = {}
    for rows in _parts(blocks, min(p, BLOCK_ROWS)):
        largest = _largest_sum(rows)
        if small is not None and bound + largest >= WHOLE_IN_FLOAT32:
            sums, small, bound = _added(sums, small), None, 0.0
        if largest < WHOLE_IN_FLOAT32:
            small, bound = _plus_product(small, rows, np.float32, buffers), bound + largest
        else:
            sums = _plus_product(sums, rows, np.float64, buffers)
        del rows  # before the next one is made
    if small is not None:
        sums = _added(sums, small)
    if sums is None:
        return np.zeros((p, p))
    whole = sums + sums.T  # above the diagonal there are zeros
    np.fill_diagonal(whole, sums.diagonal())
    return whole


def _parts(blocks, at_least):
    for block in blocks:
        yield from row_blocks(block, at_least)
        del block  # before the next one is made


def row_blocks(X, at_least: int = 1) -> Iterator:
    """X in blocks of BLOCK_NUMBERS numbers, or of `at_least` rows where that is more."""
    step = max(BLOCK_NUMBERS // X.shape[1], at_least)
    X = sp.csr_array(X) if sp.issparse(X) else X
    for start in range(0, X.shape[0], step):
        yield _csr_rows(X, start, start + step) if sp.issparse(X) else X[start : start + step]


def dense(rows) -> np.ndarray:
    return rows.toarray() if sp.issparse(rows) else rows


def _csr_rows(X, start, stop):
    """X[start:stop], which shares its entries."""
    indptr = X.indptr[start : stop + 1]
    part = slice(indptr[0], indptr[-1])
    return unchecked_csr(X.data[part], X.indices[part], indptr - indptr[0], X.shape[1])


def unchecked_csr(data, indices, indptr, p):
    """The CSR array of these parts, which are right; the constructor would read and perhaps copy them."""
    rows = sp.csr_array((indptr.size - 1, p))
    rows.data, rows.indices, rows.indptr = data, indices, indptr
    return rows


def _largest_sum(rows) -> float:
    """What no sum of products of two columns exceeds, if all numbers are whole; else infinity."""
    values = rows.data if sp.issparse(rows) else rows
    largest = max(float(values.max()), -float(values.min())) if values.size else 0.0  # of int8, abs(−128) is −128
    return rows.shape[0] * largest * largest if (values == np.rint(values)).all() else np.inf


def _plus_product(lower, rows, dtype, buffers):
    """`lower`, or zeros if it is None, + the lower triangle of rowsᵀ rows, in place."""
    syrk = scipy.linalg.get_blas_funcs("syrk", dtype=dtype)  # the lower triangle is the one that OpenBLAS fills faster
    return syrk(1.0, _filled(rows, dtype, buffers).T, beta=1.0, c=lower, overwrite_c=True, lower=True)


def _filled(rows, dtype, buffers):
    """The rows, dense and in C order: themselves if they are so already, else in the buffer of this dtype."""
    if not sp.issparse(rows) and rows.dtype == dtype and rows.flags.c_contiguous:
        return rows
    if len(buffers.get(dtype, ())) < rows.shape[0]:
        buffers[dtype] = np.empty(rows.shape, dtype)
    buffer = buffers[dtype][: rows.shape[0]]
    if sp.issparse(rows):
        rows.data = rows.data.astype(dtype)  # of a matrix of our own; its `astype` would copy the indices too
        return rows.toarray(out=buffer)
    buffer[...] = rows
    return buffer


def _added(sums, small):
    return small.astype(np.float64) if sums is None else np.add(sums, small, out=sums)

"""What one block of rows gives, and how that adds up: XᵀX, Q ↦ Xᵀ(X Q), and the triangle of X = Q R.

A part is the number of rows, and an array. Parts of blocks add up to the part of all rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import scipy.sparse as sp

from ._gram import accumulate_gram
from ._routes import triangle
from ._validation import plain_array, real_matrix, require_same

HUGE, TINY = 2.0**400, 2.0**-400  # beyond, squares of entries would overflow or vanish

Part = tuple[int, Any]


def row_block(name: str, block, p: int | None = None):
    """One block of rows with p columns, finite, ndarray or CSR array of its own dtype; it may have no rows."""
    block = block if sp.issparse(block) else plain_array(name, block)
    if block.ndim == 2 and block.shape[0] == 0 < block.shape[1]:
        block = np.zeros(block.shape)
    else:
        own = None if block.dtype.itemsize <= 8 else np.float64  # long doubles are for nobody here
        block = real_matrix(name, block, dtype=own)
    if p is not None:
        require_same(f"{name}, number of columns in each block", block.shape[1], p)
    if block.dtype.kind == "f" and block.size:
        size = max(float(block.max()), -float(block.min()))
        if size and not TINY < size < HUGE:
            wanted = f"{name} takes blocks whose largest entry is from {TINY:.0e} to {HUGE:.0e} in size"
            raise ValueError(f"{wanted}, got {size:.3g}: scale all of them")
    return block


def _iterator(name: str, blocks) -> Iterator:
    if isinstance(blocks, (np.ndarray, memoryview)) or sp.issparse(blocks):
        raise TypeError(f"{name} takes an iterable of blocks of rows, got one matrix: put it into a list")
    try:
        return iter(blocks)
    except TypeError:
        raise TypeError(f"{name} takes an iterable of blocks of rows, got {type(blocks).__name__}") from None


def checked_blocks(name: str, blocks) -> tuple[int, Iterator]:
    """The number of columns of the first block, and all of them, checked. Never are two in memory at once."""
    iterator = _iterator(name, blocks)
    for first in iterator:
        first = row_block(name, first)
        p = first.shape[1]
        return p, _all(name, first, iterator, p)
    raise ValueError(f"{name} takes at least one block of rows, got none")


def _all(name, block, others, p):
    yield block
    del block
    for raw in others:
        block = row_block(name, raw, p)
        del raw
        yield block
        del block


# --- what one block gives, and how parts add up ---


def gram_part(block, *, name: str, p: int) -> Part:
    block = row_block(name, block, p)
    return block.shape[0], accumulate_gram([block], p)


def product_part(block, Q, *, name: str, p: int) -> Part:
    """Always by rows, aligned: what comes over a network may be neither, and NumPy turns copies of it round.

    Some kernels of BLAS round a product of columns otherwise.
    """
    block, Q = row_block(name, block, p), np.require(Q, requirements=["C", "A"])
    block = block if sp.issparse(block) else np.require(block, requirements=["C", "A"])
    return block.shape[0], block.T @ (block @ Q)


def triangle_part(block, *, name: str, p: int) -> Part:
    block = row_block(name, block, p)
    return block.shape[0], triangle(block.astype(np.float64))


def added(parts: list[Part]) -> Part:
    total = sum(array for _, array in parts[1:2]) + parts[0][1]  # a new array: a task never writes to what it got
    for _, array in parts[2:]:
        total += array
    return sum(n for n, _ in parts), total


def stacked(parts: list[Part]) -> Part:
    return sum(n for n, _ in parts), triangle(np.concatenate([R for _, R in parts]))


# --- a loop over blocks ---


def loop_gram(name: str, blocks) -> np.ndarray:
    p, checked = checked_blocks(name, blocks)
    return accumulate_gram(checked, p)


def loop_product(name: str, blocks: Iterable, Q: np.ndarray) -> Part:
    p, checked = checked_blocks(name, blocks)
    require_same(f"{name}, number of columns in each pass", p, len(Q))
    rows, total = 0, np.zeros_like(Q)
    for block in checked:
        total += block.T @ (block @ Q)
        rows += block.shape[0]
        del block
    return rows, total

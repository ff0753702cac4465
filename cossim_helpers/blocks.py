"""Stage 2 in blocks of rows: XᵀX, or the spectrum itself, of data that no memory holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from ._blocks import checked_blocks, loop_gram, loop_product
from ._dask import dask_gram, dask_product, dask_shape, is_dask_array
from ._krylov import OVERSAMPLE, PASSES, SETTLED, krylov_pairs
from ._validation import real_number, whole_number
from .spectra import KrylovSpectrum, settled_or_raise


def gram(blocks) -> np.ndarray:
    """XᵀX of X = [X_1; X_2; …], given as blocks of its rows, one at a time.

        XᵀX = Σ_b X_bᵀ X_b

    Parameters
    ----------
    blocks : iterable of array_like or sparse arrays, each of shape (n_b, p); or a Dask array
        A list, a generator, whatever a loop takes; blocks without rows are fine. A Dask array of shape (n, p) is summed
        where its scheduler computes, in a tree.

    Returns
    -------
    ndarray, shape (p, p)
        For `spectrum_from_gram`. Exact whatever the blocks if the entries are whole numbers and no sum of squares
        reaches 2^53. Other numbers round: by at most about n u ‖x_i‖ ‖x_j‖, in another way for other blocks, in the
        same way for the same blocks.

    Raises
    ------
    ValueError, TypeError
        For NaN or infinite values, a masked block, blocks that differ in their number of columns, no block at all,
        or numbers whose squares leave the range of float64.

    Notes
    -----
    The memory is that of one block and of XᵀX, whatever n is.

    Examples
    --------
    >>> gram([[[1.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]]])
    array([[2., 1.],
           [1., 2.]])
    """
    return dask_gram("blocks", blocks)[1] if is_dask_array(blocks) else loop_gram("blocks", blocks)


def krylov_spectrum(
    blocks,
    k: int,
    *,
    oversample: int = OVERSAMPLE,
    passes: int = PASSES,
    tolerance: float = SETTLED,
    rng=0,
) -> KrylovSpectrum:
    """Top k singular values and right singular vectors of X, from passes over blocks of its rows.

    Q ↦ Xᵀ(X Q) = Σ_b X_bᵀ(X_b Q)
    """
    k = whole_number("k", k, low=1)
    oversample = whole_number("oversample", oversample, low=0)
    passes = whole_number("passes", passes, low=2)
    tolerance = real_number("tolerance", tolerance, at_least=0.0)
    if is_dask_array(blocks):
        product, (_, p) = (lambda Q: dask_product("blocks", blocks, Q)), dask_shape("blocks", blocks)
    else:
        read = _reader(blocks)
        product, p = (lambda Q: loop_product("blocks", read(), Q)), checked_blocks("blocks", read())[0]
    settings = {"oversample": oversample, "passes": passes, "tolerance": tolerance, "rng": rng}
    return settled_or_raise(krylov_pairs(product, p, k, **settings))


def _reader(blocks) -> Callable[[], Iterable]:
    """What starts a pass: `blocks` itself if it is a function, or a loop over it if it can be read again."""
    if callable(blocks):
        return blocks
    if isinstance(blocks, Iterator):
        raise TypeError(
            "blocks takes what can be read again, a sequence or a function that returns an iterator: "
            f"got {type(blocks).__name__}, which ends after one pass"
        )
    return lambda: blocks

"""What one block of rows gives, and how parts add up."""

import dask
import dask.array as da
import numpy as np
import pytest
import scipy.sparse as sp

from cossim_helpers import KrylovSpectrum, NotSettled, _blocks, gram, krylov_spectrum

X = np.random.default_rng(0).integers(-3, 9, (7, 4)).astype(float)
FORMS = [np.asarray, sp.csr_array]


@pytest.mark.parametrize("form", FORMS)
def test_parts_of_blocks_add_up_to_the_part_of_all_rows(form):
    cuts = [form(X[:2]), form(X[2:3]), form(X[3:5]), X[5:5], form(X[5:])]
    Q = np.random.default_rng(1).standard_normal((4, 2))
    for part, settings in ((_blocks.gram_part, {}), (_blocks.product_part, {"Q": Q})):
        parts = [part(block, name="X", p=4, **settings) for block in cuts]
        before = [array.copy() for _, array in parts]
        for some in (parts[:1], parts[:2], parts[:3], parts):
            rows, total = _blocks.added(some)
            assert rows == sum(n for n, _ in some)
            np.testing.assert_allclose(total, sum(array for _, array in some), rtol=1e-14)
        assert [part(block, name="X", p=4, **settings)[0] for block in cuts] == [2, 1, 2, 0, 2]
        expected = X.T @ X if part is _blocks.gram_part else X.T @ (X @ Q)
        np.testing.assert_allclose(total, expected, rtol=1e-12)
        for (_, array), was in zip(parts, before, strict=True):
            np.testing.assert_array_equal(array, was)  # a task never writes to what it got
    rows, R = _blocks.stacked([_blocks.triangle_part(block, name="X", p=4) for block in cuts])
    assert rows == 7 and R.shape == (4, 4)
    np.testing.assert_allclose(R.T @ R, X.T @ X, rtol=1e-12)
    np.testing.assert_array_equal(np.tril(R, -1), 0.0)
    assert _blocks.triangle_part(form(X), name="X", p=4)[1].shape == (4, 4)
    for dtype in (np.int8, np.float32):  # of few rows, too, which are their own triangle
        assert _blocks.triangle_part(form(X[:, :2].astype(dtype)), name="X", p=2)[1].dtype == np.float64
        assert _blocks.triangle_part(form(X[:2].astype(dtype)), name="X", p=4)[1].dtype == np.float64


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("part", [_blocks.gram_part, _blocks.product_part, _blocks.triangle_part])
def test_each_block_has_the_columns_of_the_first(part, form):
    settings = {"Q": np.ones((3, 1))} if part is _blocks.product_part else {}
    with pytest.raises(ValueError, match=r"^X, number of columns in each block: got 3, takes 4"):
        part(form(X[:, :3]), name="X", p=4, **settings)


@pytest.mark.parametrize("shape", [(0,), (0, 0), (3, 0), (0, 2, 3)])
def test_a_block_without_columns_is_none(shape):
    with pytest.raises(ValueError, match=r"^X takes a non-empty 2-dimensional"):
        _blocks.row_block("X", np.zeros(shape))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [np.int8, np.uint64, np.float32, np.float64, np.longdouble])
def test_a_block_keeps_its_own_type_unless_it_is_wider_than_float64(form, dtype):
    read = _blocks.row_block("X", form(abs(X).astype(dtype)))
    assert read.dtype == (np.float64 if dtype is np.longdouble else dtype)
    np.testing.assert_array_equal(gram([form(abs(X).astype(dtype))]), abs(X).T @ abs(X))
    if dtype is not np.uint64:
        assert _blocks.row_block("X", form(-abs(X).astype(dtype))).dtype == read.dtype


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_squares_of_the_largest_entry_stay_in_range(form, sign):
    """From 2^-400 to 2^400, both excluded; a block of zeros is none too small."""
    for size, taken in ((2.0**400, False), (np.nextafter(2.0**400, 0), True), (2.0**-400, False), (0.0, True),
                        (np.nextafter(2.0**-400, 1), True), (1e300, False), (1e-300, False)):  # fmt: skip
        block = form(sign * np.array([[size, size / 2], [size / 4, 0.0]]))
        if taken:
            np.testing.assert_array_equal(abs(_blocks.row_block("X", block)).max(), size)
        else:
            with pytest.raises(ValueError, match=r"^X takes blocks whose largest entry"):
                _blocks.row_block("X", block)


def test_each_pass_has_the_columns_of_the_first():
    passes = [[X], [X], [X[:, :3]]]
    with pytest.raises(ValueError, match=r"^blocks, number of columns in each pass: got 3, takes 4"):
        krylov_spectrum(lambda: passes.pop(0), 2)


def test_a_dask_array_is_summed_where_it_lies():
    lazy, Y = da.from_array(X, chunks=(3, -1)), np.random.default_rng(2).standard_normal((60, 50))
    with dask.config.set(scheduler="synchronous"):
        np.testing.assert_array_equal(gram(lazy), X.T @ X)
        found = krylov_spectrum(da.from_array(Y, chunks=(20, -1)), 2, oversample=5, passes=3, tolerance=10.0, rng=3)
    assert isinstance(found, KrylovSpectrum)
    same = krylov_spectrum([Y[:20], Y[20:40], Y[40:]], 2, oversample=5, passes=3, tolerance=10.0, rng=3)
    np.testing.assert_allclose(found.V, same.V, atol=1e-12)


def test_the_least_of_each_and_what_is_no_number_at_all():
    d = sp.diags_array([3.0, 2.0, 1.0], format="csr")
    found = krylov_spectrum([d], 1, oversample=0, passes=2, tolerance=1.0)
    assert found.sigma.shape == (1,) and found.error.size == 2
    with pytest.raises(NotSettled):
        krylov_spectrum([d], 1, oversample=0, passes=2, tolerance=0.0)
    for name in ("k", "oversample", "passes", "tolerance"):
        with pytest.raises(TypeError, match=f"^{name} takes"):
            krylov_spectrum([d], **{"k": 1} | {name: "1"})
        with pytest.raises(ValueError, match=f"^{name} takes"):
            krylov_spectrum([d], **{"k": 1} | {name: -1})
    for blocks in (iter([d]), (block for block in [d])):
        with pytest.raises(TypeError, match=r"^blocks takes what can be read again, .* got (list_iterator|generator)"):
            krylov_spectrum(blocks, 1)


def test_the_start_is_the_seed_0_unless_another_is_asked_for():
    wide = np.random.default_rng(2).standard_normal((60, 50))
    found = krylov_spectrum([wide], 2, oversample=5, passes=3, tolerance=10.0)
    same, other = (krylov_spectrum([wide], 2, oversample=5, passes=3, tolerance=10.0, rng=seed) for seed in (0, 1))
    np.testing.assert_array_equal(found.V, same.V)
    assert abs(found.V - other.V).max() > 1e-6


class Watched(np.ndarray):
    """An array that notes how the arrays of its products lie in memory."""

    by_rows = ()

    def __array_ufunc__(self, ufunc, method, *inputs, **settings):
        if ufunc is np.matmul:
            Watched.by_rows += tuple(one.flags.c_contiguous and one.flags.aligned for one in inputs)
        return getattr(ufunc, method)(*map(np.asarray, inputs), **settings)


def unaligned(array):
    shifted = np.empty(array.nbytes + 4, np.uint8)[4:].view(np.float64).reshape(array.shape)
    shifted[...] = array
    assert not shifted.flags.aligned
    return shifted


def test_a_product_has_the_same_bits_however_its_block_lies_in_memory():
    """Kernels of BLAS for AVX-512 round by the order in memory; others may not, so the order itself is looked at."""
    rng = np.random.default_rng(4)
    block, Q = rng.random((30, 20)), rng.standard_normal((20, 20))
    expected = _blocks.product_part(block, Q, name="X", p=20)[1]
    for form in (unaligned, np.asfortranarray):
        for left, right in ((form(block), Q), (block, form(Q)), (form(block), form(Q))):
            Watched.by_rows = ()
            found = _blocks.product_part(left, right.view(Watched), name="X", p=20)[1]
            np.testing.assert_array_equal(found, expected)
            assert Watched.by_rows == (True, True)

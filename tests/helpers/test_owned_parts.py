"""What a check lets in as it is, and how each kind of value is copied and closed."""

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp

from cossim_helpers._owned import as_it_is, hold, matrix, ours, vector


def test_what_is_taken_as_it_is():
    sparse, arrays = sp.csr_array(np.eye(2)), {"W": [1, 2]}
    assert as_it_is("x", sparse) is sparse and as_it_is("x", arrays) is arrays
    found = as_it_is("x", [[1, 2]])
    assert type(found) is np.ndarray and found.tolist() == [[1, 2]]
    with pytest.raises(TypeError, match=r"^x takes an array without a mask"):
        as_it_is("x", np.ma.masked_array([1.0], mask=[True]))
    for check, shape in ((vector, (2,)), (matrix, (1, 2))):
        assert check("x", np.ones(shape)).shape == shape
        for other in {(), (2,), (1, 2), (1, 1, 2)} - {shape}:
            with pytest.raises(ValueError, match=r"^x takes a non-empty [12]-dimensional"):
                check("x", np.ones(other))


def held(value):
    owner = SimpleNamespace(x=value)
    hold(owner, x=as_it_is)
    return owner.x


@pytest.mark.parametrize("mine", [False, True])
def test_each_value_is_read_only_and_copied_unless_it_is_ours(mine):
    array, sparse = np.asfortranarray(np.ones((2, 3))), sp.csr_array(np.eye(2))
    inside, listed = np.zeros(2), [1.0, 2.0]
    given = array, sparse, {"a": inside, "b": listed}
    found = [held(ours(value) if mine else value) for value in given]
    assert np.shares_memory(found[0], array) == mine and found[0].flags.f_contiguous
    assert np.shares_memory(found[1].data, sparse.data) == mine and isinstance(found[1], sp.csr_array)
    assert np.shares_memory(found[2]["a"], inside) == mine and type(found[2]["b"]) is np.ndarray
    parts = found[0], found[1].data, found[1].indices, found[1].indptr, *found[2].values()
    for part in parts:
        with pytest.raises(ValueError, match="read-only"):
            part[...] = 7
    if not mine:
        for before in (array, sparse.data, sparse.indices, sparse.indptr, inside):
            before[...] = 7  # what was passed stays as open as it was
    assert found[2]["b"].tolist() == [1.0, 2.0]

"""An absolute tolerance means what it says.

`np.testing.assert_allclose(…, atol=1e-12)` alone adds a relative tolerance of 1e-7: an error of 1e-8 in a vector of
length 1 passes. Here a test that names an absolute tolerance and no relative one gets rounding besides, and no more.
"""

import numpy as np

ROUNDING = 1e-12  # relative: some thousand operations
_assert_allclose = np.testing.assert_allclose


def assert_allclose(actual, desired, rtol=None, atol=0, **options):
    """NumPy's, whose default for rtol is 1e-7 whatever atol is."""
    if rtol is None:
        rtol = ROUNDING if atol else 1e-7
    _assert_allclose(actual, desired, rtol=rtol, atol=atol, **options)


np.testing.assert_allclose = assert_allclose

"""Block Krylov against Rayleigh–Ritz spelled out: a basis of all powers at once, on matrices small enough for that."""

from itertools import pairwise

import numpy as np
import pytest
import scipy.linalg
from instances import planted_svd

from cossim_helpers import _krylov, krylov_spectrum

SIGMA = np.linspace(3.0, 0.5, 24)


def spelled_out(X, k, oversample, passes):
    """σ, V, residual and the turns of V, from an SVD of [G Ω, G² Ω, …] after each pass."""
    G = X.T @ X
    power, blocks, spans = np.random.default_rng(0).standard_normal((len(G), min(k + oversample, len(G)))), [], []
    for _ in range(passes - 1):
        power = np.linalg.qr(G @ power)[0]
        blocks.append(power)
        Q = np.linalg.svd(np.column_stack(blocks), full_matrices=False)[0]
        theta, S = np.linalg.eigh(Q.T @ G @ Q)
        theta, V = theta[::-1][:k], Q @ S[:, ::-1][:, :k]
        spans.append(V)
    turns = [np.sin(scipy.linalg.subspace_angles(one, two)).max() for one, two in pairwise(spans)]
    return np.sqrt(theta), V, np.linalg.norm(G @ V - V * theta, axis=0) / theta[0], turns


def left_over(before, last):
    """The sum of all turns to come, if each is the same share of the one before."""
    return min(1.0, max(last, sum(last * (last / before) ** n for n in range(1, 2_000)) if last < before else 1.0))


@pytest.mark.parametrize("empty", [(), (0, 7, 29)])
@pytest.mark.parametrize(("k", "oversample"), [(1, 2), (3, 2), (4, 0)])
@pytest.mark.parametrize("passes", [2, 3, 4, 5])
def test_each_pass_by_its_formula(k, oversample, passes, empty):
    X = planted_svd(SIGMA, 40, 30, np.random.default_rng(1))[0]
    X[:, list(empty)] = 0.0
    found = _krylov.krylov_pairs(
        lambda Q: (40, X.T @ (X @ Q)), 30, k, oversample=oversample, passes=passes, tolerance=0.0
    )
    sigma, V, residual, turns = spelled_out(X, k, oversample, passes)
    assert found.settled is False and found.error.shape == (passes,) and isinstance(found.error, np.ndarray)
    np.testing.assert_allclose(found.sigma, sigma, rtol=1e-12)
    np.testing.assert_allclose(found.V @ found.V.T, V @ V.T, atol=1e-9)
    np.testing.assert_allclose(found.residual, residual, rtol=1e-6)
    assert (found.V[np.argmax(abs(found.V), axis=0), range(k)] > 0).all()
    errors = [1.0, 1.0, *(left_over(*pair) for pair in pairwise([1.0, *turns]))][:passes]
    np.testing.assert_allclose(found.error, errors, rtol=1e-6)
    for power in (-420, 300):  # squares of XᵀX would leave the range of floats
        there = _krylov.krylov_pairs(
            lambda Q, e=power: (40, np.ldexp(X.T @ (X @ Q), e)),
            30,
            k,
            oversample=oversample,
            passes=passes,
            tolerance=0.0,
        )
        np.testing.assert_allclose(there.sigma, sigma * 2.0 ** (power / 2), rtol=1e-12)
        np.testing.assert_allclose(there.residual, residual, rtol=1e-6)
        np.testing.assert_allclose(there.error, errors, rtol=1e-6)


def test_a_tolerance_ends_the_passes_and_the_estimate_may_equal_it():
    X = planted_svd(3 * 0.8 ** np.arange(24), 40, 30, np.random.default_rng(1))[0]
    settings = {"oversample": 2, "passes": 5}
    rough = _krylov.krylov_pairs(lambda Q: (40, X.T @ (X @ Q)), 30, 3, tolerance=0.0, **settings)
    for tolerance, passes in ((rough.error[3], 4), (np.nextafter(rough.error[3], 0), 5)):
        found = _krylov.krylov_pairs(lambda Q: (40, X.T @ (X @ Q)), 30, 3, tolerance=tolerance, **settings)
        assert found.error.size == passes and found.settled is bool(found.error[-1] <= tolerance)


def test_a_basis_of_all_items_has_settled():
    X = planted_svd(SIGMA[:9], 40, 9, np.random.default_rng(1))[0]
    found = _krylov.krylov_pairs(lambda Q: (40, X.T @ (X @ Q)), 9, 3, oversample=2, passes=9, tolerance=0.0)
    assert found.settled is True and found.error.size == 3 and found.error[-1] < 1e-13
    np.testing.assert_allclose(found.sigma, SIGMA[:3], rtol=1e-13)
    nothing = _krylov.krylov_pairs(lambda Q: (4, 0 * Q), 5, 2)
    assert (
        nothing.settled
        and nothing.sigma.tolist() == nothing.residual.tolist() == [0, 0]
        and nothing.error.tolist() == [0]
    )
    assert nothing.error.dtype == nothing.residual.dtype == np.float64
    np.testing.assert_allclose(nothing.V.T @ nothing.V, np.eye(2), atol=1e-15)
    one = _krylov.krylov_pairs(lambda Q: (4, np.diag([0, 4.0, 0]) @ Q), 3, 1)
    assert one.sigma.tolist() == [2.0] and one.V.T.tolist() == [[0.0, 1.0, 0.0]] and one.error[0] == 1.0


def test_the_defaults_are_those_of_the_docstring():
    X = planted_svd(np.linspace(3.0, 2.0, 200), 260, 300, np.random.default_rng(1))[0]
    by_default, by_hand = (
        _krylov.krylov_pairs(lambda Q: (260, X.T @ (X @ Q)), 300, 2, **settings)
        for settings in ({}, {"oversample": 20, "passes": 12, "tolerance": 1e-7, "rng": 0})
    )
    np.testing.assert_array_equal(by_default.V, by_hand.V)
    np.testing.assert_array_equal(by_default.error, by_hand.error)
    assert _krylov.SETTLED == 1e-7 and krylov_spectrum.__kwdefaults__ == {
        "oversample": 20, "passes": 12, "tolerance": 1e-7, "rng": 0,
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_what_a_block_adds_to_a_basis(seed):
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.standard_normal((12, 4)))[0]
    W = rng.standard_normal((12, 3)) * [1.0, 1e-6, 1e3] @ rng.standard_normal((3, 4))  # rank 3
    W -= basis @ (basis.T @ W)
    new, coupling = _krylov._orthonormal(W, basis, 1e-9)
    assert new.shape == (12, 3) and coupling.shape == (4, 4)
    np.testing.assert_allclose(new.T @ new, np.eye(3), atol=1e-14)
    np.testing.assert_allclose(basis.T @ new, 0, atol=1e-14)
    np.testing.assert_allclose(new @ coupling[:3], W, atol=1e-8)
    fewer = _krylov._orthonormal(W, np.linalg.qr(rng.standard_normal((12, 10)))[0], 0.0)[0]
    assert fewer.shape == (12, 2)  # as many as there is room for
    none, coupling = _krylov._orthonormal(np.zeros((0, 5)), np.zeros((0, 0)), 0.0)
    assert none.shape == (0, 5) and coupling.shape == (0, 5)
    assert _krylov._orthonormal(np.zeros((12, 2)), basis, 0.0)[0].shape == (12, 0)


@pytest.mark.parametrize("sign", [1, -1])
def test_other_rows_are_told_from_rounding(sign):
    """1e-6 of σ_1² apart, in either direction."""
    coupling = np.array([[2.0, 0.5], [0.25, 1.0], [0.0, 3.0]])
    for largest in (1e-20, 4.0, 1e20):
        for gap, same in ((0.99e-6, True), (1.01e-6, False)):
            found = np.concatenate([np.full((3, 3), 7.0), largest * coupling.T])
            found[4, 1] += sign * gap * largest
            if same:
                _krylov._require_same_rows(found, largest * coupling, largest)
            else:
                with pytest.raises(
                    ValueError, match=r"^blocks takes the same rows in each pass, got others: .* 1e-06 σ"
                ):
                    _krylov._require_same_rows(found, largest * coupling, largest)

"""Block Krylov against Rayleigh–Ritz spelled out: a basis of all powers at once, on matrices small enough for that."""

import tracemalloc
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
    asked = []
    found = _krylov.krylov_pairs(
        lambda Q: asked.append(Q) or (40, X.T @ (X @ Q)), 30, k, oversample=oversample, passes=passes, tolerance=0.0
    )
    sigma, V, residual, turns = spelled_out(X, k, oversample, passes)
    assert [Q.shape for Q in asked] == [(30, k + oversample)] * passes
    assert not any(Q[list(empty)].any() for Q in asked[1:])  # nothing is asked about items that are not there
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


@pytest.mark.parametrize("scale", [2.0**-25, 1.0, 2.0**25])
@pytest.mark.parametrize("rank", [1, 2])
def test_nothing_new_is_left_of_a_low_rank(rank, scale, monkeypatch):
    monkeypatch.setattr(_krylov, "_over_power", None)  # for numbers that are far from 1 alone
    sigma = scale * SIGMA[:rank]
    X, _, V = planted_svd(sigma, 40, 30, np.random.default_rng(1))
    if rank == 1:
        X, V = abs(X), abs(V)  # then a column of the sketch has one sign, and some sketches have it throughout
    for seed in range(10):
        for k in (rank, 3):
            widths = []

            def product(Q, widths=widths):
                widths.append(Q.shape[1])
                return 40, X.T @ (X @ Q)

            found = _krylov.krylov_pairs(product, 30, k, oversample=1, passes=9, tolerance=0.0, rng=seed)
            assert widths == [k + 1, rank]
            np.testing.assert_allclose(found.sigma, np.append(sigma, np.zeros(3))[:k], rtol=1e-14)
            np.testing.assert_allclose(found.V[:, :rank] @ found.V[:, :rank].T, V @ V.T, atol=1e-14)
            assert found.settled is True and found.error.tolist() == [1.0, found.residual.max()]
            assert found.residual.shape == (k,) and found.residual.max() < 1e-14


@pytest.mark.parametrize("scale", [2.0**-25, 1.0, 2.0**25])
def test_what_is_within_rounding_of_the_largest_is_zero(scale):
    """σ² up to 4 max(p, 8) u of σ_1²."""
    X = scale * np.diag([1.0, (0.9 * 32 * np.finfo(float).eps) ** 0.5])
    for seed in range(20):
        assert _krylov.krylov_pairs(lambda Q: (2, X @ X @ Q), 2, 2, rng=seed).sigma.tolist() == [scale, 0.0]


def test_the_basis_takes_the_memory_that_the_passes_need():
    d = np.linspace(2, 1, 3_000)[:, None]
    tracemalloc.start()
    _krylov.krylov_pairs(lambda Q: (3_000, d * Q), 3_000, 1, oversample=1, passes=3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2e6  # all items' would be 72 MB


def test_the_last_of_the_residuals_decides():
    """The first pair arrives long before the second, and neither needs a tolerance to say so."""
    X = planted_svd(np.r_[10.0, np.linspace(3, 2.5, 40)], 60, 50, np.random.default_rng(1))[0]
    settings = {"oversample": 1, "tolerance": 0.0}
    early = _krylov.krylov_pairs(lambda Q: (60, X.T @ (X @ Q)), 50, 2, passes=14, **settings)
    assert early.residual[0] < 1e-16 < 1e-8 < early.residual[1] and early.error.size == 14 and not early.settled
    alone = _krylov.krylov_pairs(lambda Q: (60, X.T @ (X @ Q)), 50, 1, passes=30, **settings)
    assert alone.settled and alone.error.size < 14 and alone.residual[0] < 2.3e-16


@pytest.mark.parametrize(
    ("change", "rows", "message"),
    [(1e-3, 0, "the same rows in each pass"), (0.0, 1, ", number of rows in each pass: got 41, takes 40")],
)
def test_passes_over_other_rows_are_refused(change, rows, message):
    X, asked = planted_svd(SIGMA, 40, 30, np.random.default_rng(1))[0], []

    def product(Q):
        asked.append(Q)
        return 40 + rows * (len(asked) == 2), X.T @ (X @ Q) * (1 + change * (len(asked) == 3))

    with pytest.raises(ValueError, match=rf"^blocks.*{message}"):
        _krylov.krylov_pairs(product, 30, 2, oversample=1)
    assert len(asked) == (2 if rows else 3)


@pytest.mark.parametrize(("n", "p"), [(2, 3), (3, 2)])
def test_k_is_at_most_the_smaller_side_and_no_block_is_wider_than_the_items(n, p):
    X, widths = np.arange(1.0, 7.0).reshape(n, p), []
    found = _krylov.krylov_pairs(lambda Q: widths.append(Q.shape[1]) or (n, X.T @ (X @ Q)), p, 2)
    np.testing.assert_allclose(found.sigma, np.linalg.svd(X)[1][:2], rtol=1e-12)
    assert max(widths) == p
    for k in (0, 3):
        with pytest.raises(ValueError, match=rf"^k takes an integer from 1 to 2 \(min\(n, p\)\), got {k}$"):
            _krylov.krylov_pairs(lambda Q: (n, X.T @ (X @ Q)), p, k)


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
    leaning = 1e-9 * (new[:, :1] + 0.5 * basis[:, :1])  # not orthogonal: its length is made 1 afterwards
    np.testing.assert_allclose(abs(_krylov._orthonormal(leaning, basis, 1e-12)[0].T @ new[:, 0]), 1.0, rtol=1e-14)
    one = np.array([[2.0], [0.0], [0.0]])  # a reflection would turn its sign, but for the second QR's own
    turned, coupling = _krylov._orthonormal(one, np.array([[1e-17], [1.0], [0.0]]), 1e-9)
    np.testing.assert_allclose(turned @ coupling, one, atol=1e-15)


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

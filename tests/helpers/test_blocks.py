"""Sums over blocks of rows, and block Krylov, against what the whole matrix gives."""

import math
import tracemalloc
import weakref

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse as sp
from instances import INSTANCES, planted_svd

from cossim_helpers import (
    KrylovSpectrum,
    NotSettled,
    _krylov,
    gram,
    krylov_spectrum,
    simulate_interactions,
    spectrum_from_gram,
)

FORMS = [np.asarray, sp.csr_array, sp.csr_matrix, sp.csc_array, sp.coo_array]
DTYPES = [bool, np.int8, np.uint16, np.int64, np.float32, np.float64]


def cuts(n):
    """name -> the ends of blocks of n rows."""
    return {
        "single rows": list(range(1, n)),
        "one block": [],
        "uneven": [1, 2, n // 2, n - 1],
        "with empty blocks": [0, 0, n // 3, n // 3, n, n],
    }


CUTS = list(cuts(9))


def blocks_of(X, cut, form=np.asarray):
    return [form(X[first:last]) for first, last in zip([0, *cuts(len(X))[cut]], [*cuts(len(X))[cut], len(X)])]


@pytest.fixture(params=INSTANCES)
def X(request):
    return INSTANCES[request.param]


# --- XᵀX ---


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_whole_numbers_add_up_exactly(cut, form, dtype):
    counts = np.random.default_rng(1).integers(0, 2 if dtype is bool else 100, (37, 8)).astype(dtype)
    exact = counts.astype(object).T @ counts.astype(object)  # Python's integers
    np.testing.assert_array_equal(gram(blocks_of(counts, cut, form)), exact.astype(float))


def test_counts_stay_exact_beyond_the_whole_numbers_of_float32():
    rng = np.random.default_rng(2)
    blocks = [rng.integers(-3_000, 3_000, (500, 6)) for _ in range(4)]  # some sums are near 2^33
    exact = sum(block.astype(object).T @ block.astype(object) for block in blocks)
    assert max(exact.ravel()) > 2**32
    for order in (blocks, blocks[::-1], [np.concatenate(blocks)]):
        np.testing.assert_array_equal(gram(iter(order)), exact.astype(float))


@pytest.mark.parametrize("cut", CUTS)
def test_fractions_round_within_the_bound(X, cut):
    if len(X) < 9:
        cut = "single rows"
    exact = np.array([[math.fsum(a * b) for b in X.T] for a in X.T])
    lengths = np.linalg.norm(X, axis=0)
    found = gram(blocks_of(X, cut))
    assert (abs(found - exact) <= len(X) * 2.3e-16 * np.outer(lengths, lengths)).all()
    np.testing.assert_array_equal(found, gram(blocks_of(X, cut)))
    np.testing.assert_array_equal(found, found.T)


def test_the_gram_matrix_is_all_that_the_spectrum_needs():
    data = simulate_interactions(900, 40, 3, rng=5).X
    s = spectrum_from_gram(gram(data[first : first + 100] for first in range(0, 900, 100)), 6)
    sigma, Vt = scipy.linalg.svd(data.toarray(), full_matrices=False)[1:]
    np.testing.assert_allclose(s.sigma, sigma[:6], rtol=1e-12)
    np.testing.assert_allclose(s.V @ s.V.T, Vt[:6].T @ Vt[:6], atol=1e-11)


class OneAtATime:
    """Blocks, each made when its turn comes; the one before must be gone by then."""

    def __init__(self, make, count):
        self.make, self.count, self.most = make, count, 0

    def __iter__(self):
        made = []
        for number in range(self.count):
            self.most = max(self.most, sum(one() is not None for one in made))
            made.append(weakref.ref(block := self.make(number)))
            yield block
            del block


@pytest.mark.parametrize("form", FORMS[:2])
def test_one_block_is_in_memory_at_a_time(form):
    blocks = OneAtATime(lambda number: form(np.random.default_rng(number).random((30, 5)).round(1)), 6)
    gram(blocks)
    krylov_spectrum(blocks, 2)
    assert blocks.most == 0


def test_the_memory_is_below_that_of_the_data():
    def make(number):
        return np.random.default_rng(number).random((5_000, 250))  # 10 MB

    tracemalloc.start()
    try:
        gram(make(number) for number in range(30))  # 300 MB in all
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        krylov_spectrum(lambda: (make(number) for number in range(30)), 2, passes=3, tolerance=1.0)
        peak_of_passes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 60e6 and peak_of_passes < 60e6


# --- block Krylov ---


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("form", FORMS)
def test_krylov_finds_what_a_full_svd_finds(X, cut, form):
    if len(X) < 9:
        cut = "one block"
    full, Vt = scipy.linalg.svd(X, full_matrices=False)[1:]
    full[full < 1e-14 * full[0]] = 0
    for k in {1, min(X.shape)}:
        s = krylov_spectrum(blocks_of(X, cut, form), k)
        np.testing.assert_allclose(s.sigma, full[:k], rtol=1e-9, atol=0)
        np.testing.assert_allclose(s.V.T @ s.V, np.eye(k), atol=1e-14)
        gap = full[k - 1] ** 2 - (full[k] ** 2 if k < full.size else 0)
        if gap > 1e-6 * full[0] ** 2:
            np.testing.assert_allclose(s.V @ s.V.T, Vt[:k].T @ Vt[:k], atol=1e-9)
        positive = s.sigma > 0
        np.testing.assert_array_equal(s.V[~X.any(axis=0)][:, positive], 0.0)  # empty items


def large(sigma, n=900, p=700, seed=0):
    """Too large for the basis to hold all of it in a few passes."""
    return planted_svd(sigma, n, p, np.random.default_rng(seed))


@pytest.mark.parametrize("seed", range(10))
def test_the_estimate_covers_the_error(seed):
    sigma = np.r_[np.linspace(3, 2, 6), np.linspace(1.2, 0.01, 600)]
    X, _, V = large(sigma, seed=seed)
    for passes in (5, 7, 9):
        try:
            s = krylov_spectrum([X], 6, passes=passes, tolerance=1e-12, rng=seed)
        except NotSettled as error:
            s = error.spectrum
        wrong = np.linalg.norm(s.V @ s.V.T - V[:, :6] @ V[:, :6].T, 2)
        assert s.error.size == passes and wrong <= s.error[-1] <= 100 * wrong
        residual = np.linalg.norm(X.T @ (X @ s.V) - s.V * s.sigma**2, axis=0) / 9
        np.testing.assert_allclose(s.residual, residual, rtol=1e-8, atol=1e-14)
        off = abs(s.sigma**2 - sigma[:6] ** 2) / 9
        assert (off <= s.residual + 1e-15).all()
    settled = krylov_spectrum([X], 6, rng=seed)
    assert settled.error[-1] <= 1e-7 < settled.error[:-1].min()  # no pass more than it takes
    np.testing.assert_allclose(settled.V @ settled.V.T, V[:, :6] @ V[:, :6].T, atol=1e-7)
    np.testing.assert_allclose(settled.sigma, sigma[:6], rtol=1e-13)


@pytest.mark.parametrize("seed", range(5))
def test_the_turn_is_the_sine_of_the_largest_angle(seed):
    rng = np.random.default_rng(seed)
    before, y = (np.linalg.qr(rng.standard_normal((m, 4)))[0] for m in (9, 15))
    wider = np.concatenate([before, np.zeros((6, 4))])
    sine = np.sin(scipy.linalg.subspace_angles(wider, y).max())
    assert _krylov._turn(before, y) == pytest.approx(sine, rel=1e-12)
    assert _krylov._turn(before, wider) == pytest.approx(0, abs=1e-14)
    assert _krylov._turn(before[:, :3], y) == 1.0  # a V that was narrower has told nothing yet


@pytest.mark.parametrize(
    ("before", "last"), [(1e-2, 9e-3), (1e-2, 6e-3), (1e-2, 5e-3), (1e-2, 1e-3), (1e-2, 1e-9), (0.9, 0.8)]
)
def test_what_is_left_over_is_the_sum_of_all_further_turns(before, last):
    """Added up one by one; never less than the last turn, nor more than a projector can turn."""
    share = last / before
    further = math.fsum(last * share**n for n in range(1, 4_000))
    assert _krylov._left_over(before, last) == pytest.approx(min(1.0, max(last, further)), rel=1e-12)


def test_turns_that_grow_leave_all_open_and_none_leaves_nothing():
    assert [_krylov._left_over(0.1, last) for last in (0.0, 0.1, 0.2)] == [0.0, 1.0, 1.0]
    assert _krylov._left_over(0.0, 0.0) == 0.0


@pytest.mark.parametrize(("k", "oversample"), [(30, 20), (5, 20), (20, 0), (20, 10)])
def test_each_pass_gains_what_the_rule_says(k, oversample):
    """arccosh(1 + 2γ) nats a pass, γ = σ_k²/σ_{k+l+1}² − 1."""
    squares = np.r_[np.linspace(9, 4, k), np.linspace(3.2, 0.01, 3_000)]
    X = sp.diags_array(np.sqrt(squares), format="csr")
    wrong = []
    for passes in (5, 9):
        with pytest.raises(NotSettled) as caught:
            krylov_spectrum([X], k, oversample=oversample, passes=passes, tolerance=1e-15)
        wrong.append(np.linalg.norm(caught.value.spectrum.V[k:], 2))
    gained = np.log(wrong[0] / wrong[1]) / 4
    assert gained == pytest.approx(np.arccosh(2 * squares[k - 1] / squares[k + oversample] - 1), rel=0.1)


@pytest.mark.parametrize("seed", range(5))
def test_the_estimate_covers_what_slow_passes_leave_over(seed):
    """Where a pass gains little, the last turn is a small part of all that V has yet to turn."""
    squares = np.r_[np.linspace(9, 4, 3), np.linspace(3.6, 0.01, 3_000)]
    X = sp.diags_array(np.sqrt(squares), format="csr")
    for passes in (12, 14, 16, 18):
        with pytest.raises(NotSettled) as caught:
            krylov_spectrum([X], 3, oversample=2, passes=passes, tolerance=1e-15, rng=seed)
        s = caught.value.spectrum
        wrong = np.linalg.norm(s.V[3:], 2)
        assert wrong <= s.error[-1] <= 100 * wrong


def test_a_low_rank_is_known_when_nothing_new_is_left():
    for rank in (1, 3, 10):
        X = large(np.linspace(4, 2, rank), 90, 60)[0]
        assert krylov_spectrum([X], rank).error.size == 2


def test_too_few_passes_are_said():
    X = large(np.linspace(1, 0.9, 700))[0]
    with pytest.raises(
        NotSettled, match=r"passes takes enough of them for V to settle, got 4, .* error of [0-9.]+ in V"
    ) as caught:
        krylov_spectrum([X], 5, passes=4)
    rough = caught.value.spectrum
    assert isinstance(rough, KrylovSpectrum) and rough.residual.max() > 1e-3
    np.testing.assert_allclose(rough.V.T @ rough.V, np.eye(5), atol=1e-14)


def test_copies_of_a_singular_value_are_all_found():
    """The block is wider than k, so each copy that is wanted has its own start."""
    sigma = np.r_[np.full(8, 5.0), np.full(6, 4.0), np.linspace(1, 0.1, 300)]
    X, _, V = large(sigma)
    for k in (8, 14):
        s = krylov_spectrum([X], k)
        np.testing.assert_allclose(s.sigma, sigma[:k], rtol=1e-13)
        np.testing.assert_allclose(s.V @ s.V.T, V[:, :k] @ V[:, :k].T, atol=1e-9)
    s = krylov_spectrum([X], 5, oversample=0)  # five of the eight copies
    np.testing.assert_allclose(s.sigma, 5.0, rtol=1e-13)
    np.testing.assert_allclose(V[:, :8] @ (V[:, :8].T @ s.V), s.V, atol=1e-9)


def test_k_above_the_rank():
    X = large([4.0, 3.0, 2.0], 60, 400)[0]
    X[:, 7] = 0.0
    s = krylov_spectrum([X[:20], X[20:]], 10)
    np.testing.assert_allclose(s.sigma, scipy.linalg.svdvals(X)[:3].tolist() + [0] * 7, rtol=1e-13)
    np.testing.assert_allclose(s.V.T @ s.V, np.eye(10), atol=1e-14)
    np.testing.assert_array_equal(s.V[7, :3], 0.0)


def test_a_function_starts_each_pass():
    data = simulate_interactions(600, 50, 3, rng=1).X
    whole = krylov_spectrum([data], 4)
    for blocks in (lambda: (data[first : first + 50] for first in range(0, 600, 50)), (data[:100], data[100:])):
        s = krylov_spectrum(blocks, 4)
        np.testing.assert_allclose(s.sigma, whole.sigma, rtol=1e-13)
        np.testing.assert_allclose(s.V, whole.V, atol=1e-9)
    again, other = krylov_spectrum([data], 4), krylov_spectrum([data], 4, rng=np.random.default_rng(7))
    np.testing.assert_array_equal(again.V, whole.V)
    np.testing.assert_allclose(other.V, whole.V, atol=1e-9)


def another_each_time(count=[0]):  # noqa: B006  it counts its calls
    count[0] += 1
    return iter([np.random.default_rng(count[0]).random((800, 500))])


def shorter_each_time(left=[5]):  # noqa: B006
    left[0] -= 1
    return iter([np.ones((left[0], 3))])


ONES = np.ones((4, 3))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: gram([]), ValueError, "blocks takes at least one block of rows, got none"),
        (
            lambda: gram(ONES),
            TypeError,
            "blocks takes an iterable of blocks of rows, got one matrix: put it into a list",
        ),
        (lambda: gram(sp.csr_array(ONES)), TypeError, "got one matrix"),
        (lambda: gram(3), TypeError, "blocks takes an iterable of blocks of rows, got int"),
        (lambda: gram([ONES, ONES[:, :2]]), ValueError, "blocks, number of columns in each block: got 2, takes 3"),
        (lambda: gram([ONES, [[1, np.nan, 1]]]), ValueError, "blocks takes finite numbers, got 1 NaN or infinite"),
        (lambda: gram([sp.csr_array([[np.inf, 1.0]])]), ValueError, "blocks takes finite numbers"),
        (lambda: gram([np.ma.masked_array(ONES, ONES > 0)]), TypeError, "blocks takes an array without a mask"),
        (lambda: gram([np.ma.masked_array(ONES[:0])]), TypeError, "blocks takes an array without a mask"),
        (lambda: gram([ONES * 1j]), TypeError, "blocks takes real numbers, got dtype complex128"),
        (lambda: gram([ONES[0]]), ValueError, r"blocks takes a non-empty 2-dimensional array, got shape \(3,\)"),
        (lambda: gram([ONES[:, :0]]), ValueError, r"blocks takes a non-empty 2-dimensional array, got shape \(4, 0\)"),
        (lambda: gram([ONES, ONES * 1e200]), ValueError, r"blocks takes blocks whose largest entry .* got 1e\+200"),
        (lambda: gram([ONES * 1e-200]), ValueError, "blocks takes blocks whose largest entry .* got 1e-200"),
        (lambda: krylov_spectrum(ONES, 1), TypeError, "got one matrix"),
        (
            lambda: krylov_spectrum(iter([ONES]), 1),
            TypeError,
            "blocks takes what can be read again, .* got list_iterator",
        ),
        (lambda: krylov_spectrum((one for one in [ONES]), 1), TypeError, "blocks takes what can be read again"),
        (lambda: krylov_spectrum(another_each_time, 3, passes=5), ValueError, "the same rows in each pass, got others"),
        (lambda: krylov_spectrum(shorter_each_time, 1), ValueError, "blocks, number of rows in each pass: got"),
        (lambda: krylov_spectrum([ONES], 0), ValueError, "k takes an integer at least 1, got 0"),
        (lambda: krylov_spectrum([ONES], 4), ValueError, r"k takes an integer from 1 to 3 \(min\(n, p\)\), got 4"),
        (lambda: krylov_spectrum([ONES[:2]], 3), ValueError, r"k takes an integer from 1 to 2 \(min\(n, p\)\), got 3"),
        (lambda: krylov_spectrum([ONES[:0]], 1), ValueError, "k takes an integer from 1 to 0"),
        (lambda: krylov_spectrum([ONES], 1, oversample=-1), ValueError, "oversample takes an integer at least 0"),
        (lambda: krylov_spectrum([ONES], 1, passes=1), ValueError, "passes takes an integer at least 2"),
        (
            lambda: krylov_spectrum([ONES], 1, tolerance=-1.0),
            ValueError,
            "tolerance takes a finite number of at least 0",
        ),
    ],
)
def test_bad_input_names_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()

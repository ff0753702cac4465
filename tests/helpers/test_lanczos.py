"""Block Lanczos, part by part: what it returns, how much it asks for, and when it looks."""

import numpy as np
import pytest
import scipy.linalg

from cossim_helpers import _lanczos

ENOUGH = 1e-5


def symmetric(values, seed=0):
    Q = np.linalg.qr(np.random.default_rng(seed).standard_normal((len(values), len(values))))[0]
    return (Q * values) @ Q.T


class Asked:
    """d ↦ diag(d) V, and how many vectors that was asked for; never for none, and never for endless many."""

    def __init__(self, d, most=5_000):
        self.d, self.most, self.widths = np.asarray(d), most, []

    def __call__(self, V):
        assert V.shape[1] > 0
        self.widths.append(V.shape[1])
        assert sum(self.widths) <= self.most
        return self.d[:, None] * V


def solve(d, k, enough=ENOUGH, most=5_000):
    """The pairs of diag(d), each arrived as `spectrum` says: ‖A v − θ v‖ ≤ 3e-9 θ, or 1e-13 of the largest."""
    asked = Asked(d, most)
    values, V = _lanczos.top_eigenpairs_of(asked, len(d), k, enough)
    assert values.shape == (k,) and V.shape == (len(d), k)
    np.testing.assert_allclose(V.T @ V, np.eye(k), atol=1e-11)
    np.testing.assert_allclose(values, np.sort(d)[::-1][:k], rtol=1e-11, atol=1e-13 * max(d))
    residual = np.linalg.norm(asked.d[:, None] * V - V * values, axis=0)
    assert (residual <= np.maximum(3e-9 * values, 1e-13 * max(d)) + 2e-14 * max(d)).all()
    return sum(asked.widths)


# --- dense eigenproblems, and orthonormal columns ---


@pytest.mark.parametrize("k", [1, 2, 5])
def test_the_top_pairs_of_a_dense_array(k):
    A = symmetric([5.0, -7.0, 2.0, 3.0, 0.0])
    values, vectors = _lanczos.top_eigenpairs(A, k)
    np.testing.assert_allclose(values, [5, 3, 2, 0, -7][:k], atol=1e-13)
    assert vectors.shape == (5, k)
    np.testing.assert_allclose(A @ vectors, vectors * values, atol=1e-13)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(k), atol=1e-13)


@pytest.mark.parametrize("k", [1, 2, 4])
def test_a_search_that_finds_fewer_is_made_up_for(k, monkeypatch):
    search = scipy.linalg.eigh

    def fewer(A, subset_by_index=None, **others):
        values, vectors = search(A, **others)
        return (values[-k:][1:], vectors[:, -k:][:, 1:]) if subset_by_index else (values, vectors)

    monkeypatch.setattr(scipy.linalg, "eigh", fewer)
    values, vectors = _lanczos.top_eigenpairs(np.diag([1.0, 4, 3, 2, 0]), k)
    np.testing.assert_allclose(values, [4, 3, 2, 1][:k])
    np.testing.assert_allclose(abs(vectors), np.eye(5)[:, [1, 2, 3, 0]][:, :k], atol=1e-15)


def test_a_block_of_independent_columns_keeps_them_all():
    block = np.random.default_rng(0).standard_normal((30, 5))
    Q, R = _lanczos._orthonormal(block, 1e-9)
    assert Q.shape == (30, 5) and R.shape == (5, 5)
    np.testing.assert_allclose(Q.T @ Q, np.eye(5), atol=1e-14)
    np.testing.assert_allclose(Q @ R, block, atol=1e-13)


@pytest.mark.parametrize(("lost", "kept"), [(0.0, 2), (0.5, 2), (1.0, 1), (2.0, 0)])
def test_a_column_of_at_most_that_length_is_lost(lost, kept):
    block = np.eye(4)[:, :3] * [0.0, 2.0, 1.0]
    Q, R = _lanczos._orthonormal(block, lost)
    assert Q.shape == (4, kept) and R.shape == (kept, 3)
    np.testing.assert_allclose(Q @ R, block * ([0, 1, 1] if kept == 2 else [0, kept, 0]), atol=1e-15)
    assert _lanczos._orthonormal(np.empty((4, 0)), lost)[0].shape == (4, 0)


def test_lengths_of_columns():
    np.testing.assert_allclose(_lanczos._lengths(np.array([[3.0, 0.0], [4.0, -2.0]])), [5, 2])


# --- copies ---


@pytest.mark.parametrize(
    ("values", "many", "enough", "found"),
    [
        ([3.0, 3, 3, 2], 3, 0.1, True),
        ([3.0, 3, 3, 2], 2, 0.1, True),
        ([3.0, 3, 3, 2], 4, 0.1, False),
        ([3.0, 3, 3], 3, 0.1, True),
        ([3.0, 3, 3], 4, 0.1, False),
        ([5.0, 4, 3, 3], 2, 0.1, True),
        ([5.0, 4, 4, 3], 2, 0.1, True),
        ([5.0, 4, 3, 2], 2, 0.1, False),
        ([8.0, 1, 1, 1], 3, 0.1, True),
        ([8.0, 1, 1, 1], 3, 0.125, False),  # above: 1 is an eighth of 8
        ([8.0, 1, 1, 1], 3, 0.2, False),
        ([1.0, 1 - 0.9e-8], 2, 0.1, True),
        ([1.0, 1 - 1.1e-8], 2, 0.1, False),
        ([1e6, 1e6 * (1 - 0.9e-8)], 2, 0.1, True),
        ([1e-6, 1e-6 * (1 - 1.1e-8)], 2, 0.1, False),
        ([1e6, 1e6 * (1 - 1.1e-8)], 2, 0.1, False),
        ([1e-6, 1e-6 * (1 - 0.9e-8)], 2, 0.1, True),
        ([1e3, 200.0, 200.0], 2, 0.1, True),
        ([1e3, 50.0, 50.0], 2, 0.1, False),
        ([1e-3, 5e-5, 5e-5], 2, 0.1, False),
        ([0.0, 0.0, 0.0], 2, 0.1, False),
    ],
)
def test_copies_are_values_that_agree_above_a_share_of_the_first(values, many, enough, found):
    assert _lanczos._copies(np.array(values), many, enough) is found


# --- when to look ---


def test_a_look_is_due_after_so_many_vectors():
    looks = _lanczos._Looks(30)
    assert looks.not_before == 0 == looks.vectors
    for looks.vectors, due in ((29, False), (30, True), (31, True)):
        assert looks.due() == due


@pytest.mark.parametrize(
    ("notes", "following"),
    [
        ([(100, np.e**2)], 112),  # the first: 12% later
        ([(100, 1.0)], 112),
        ([(4, np.e**2)], 4.6),  # at most 15% later
        ([(100, np.e**2), (110, np.e)], 120),  # a factor of e in 10 vectors: as much again
        ([(100, np.e**4), (120, np.e)], 120 + 20 / 3),
        ([(100, np.e**4), (120, np.e**2)], 120 * 1.15),  # 20 more are above 15%
        ([(100, np.e), (110, 1.0)], 111),  # there: at least one more
        ([(100, np.e), (110, 0.1)], 111),
        ([(100, 20.0), (110, 20.0)], 110 * 1.12),  # no decay
        ([(100, 20.0), (110, 30.0)], 110 * 1.12),
        ([(100, np.e**3), (100, np.e)], 112),  # nothing grew
        ([(100, np.e**3), (60, np.e)], 60 * 1.12),
        ([(5, np.e**3), (6, np.e**9), (8, np.e**8.5)], 8 * 1.15),
        ([(2, np.e**5), (4, np.e**3), (40, np.e)], 46),
        ([(2, np.e**5), (40, np.e**0.1)], 41),  # 0.1 · 38 / 4.9 are less than one
    ],
)
def test_the_next_look_is_where_the_decay_leads(notes, following):
    looks = _lanczos._Looks(1)
    for looks.vectors, far in notes:
        looks.note(far)
    assert looks.next == pytest.approx(following, rel=1e-12)


def test_looks_are_few():
    made, pairs = [], _lanczos._Krylov.pairs
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_lanczos._Krylov, "pairs", lambda self, k: made.append(self.size) or pairs(self, k))
        solve(1.0 / np.arange(1, 301), 10)
    assert 2 <= len(made) <= 8 and made[0] >= 30 and made == sorted(made)


# --- the basis ---


@pytest.mark.parametrize(
    ("m", "k", "capacity", "width"),
    [
        (1_000, 3, 123, 6),
        (1_000, 17, 137, 6),
        (1_000, 18, 144, 6),
        (1_000, 50, 400, 6),
        (100, 50, 100, 6),
        (4, 2, 4, 4),
    ],
)
def test_the_basis_has_8_k_vectors_or_120_more_than_k_and_never_more_than_there_are(m, k, capacity, width, monkeypatch):
    made, look = [], []

    class Seen(Exception):
        pass

    def krylov(product, *sizes):
        made.append(sizes)

    def looks(first):
        look.append(first)
        raise Seen

    monkeypatch.setattr(_lanczos, "_Krylov", krylov)
    monkeypatch.setattr(_lanczos, "_Looks", looks)
    with pytest.raises(Seen):
        _lanczos.top_eigenpairs_of(None, m, k, ENOUGH)
    assert made == [(m, capacity, width)] and look == [3 * k]


def test_a_full_basis_keeps_the_pairs_and_a_third_of_the_rest(monkeypatch):
    kept, shrink = [], _lanczos._Krylov.shrink
    monkeypatch.setattr(_lanczos._Krylov, "shrink", lambda self, keep: kept.append(keep) or shrink(self, keep))
    solve(np.linspace(2, 1, 400), 3)
    assert set(kept) == {43} and len(kept) >= 2


def test_six_vectors_start_at_once():
    asked = Asked(np.linspace(2, 1, 50))
    _lanczos.top_eigenpairs_of(asked, 50, 2, ENOUGH)
    assert asked.widths[0] == 6 and set(asked.widths[:-1]) == {6}


@pytest.mark.parametrize("m", [1, 2, 5, 6, 7, 8, 11, 12, 13, 20])
@pytest.mark.parametrize("values", ["equal", "apart", "some zeros", "zeros"])
def test_all_pairs_of_a_small_array(m, values):
    some = np.r_[1.0, np.zeros(m - 1)]
    d = {"equal": np.ones(m), "apart": np.arange(m, 0, -1.0), "some zeros": some, "zeros": np.zeros(m)}[values]
    for k in {1, (m + 1) // 2, m}:
        assert solve(d, k) <= m


@pytest.mark.parametrize("scale", [1e-60, 1e-20, 1e20, 1e60])
def test_the_scale_of_an_array_changes_nothing(scale):
    """The same vectors are asked for: what counts as lost, as arrived, as a copy is a share."""
    for d in (0.9 ** np.arange(200), np.append(np.linspace(2, 1, 8), 1e-9 * np.linspace(2, 1, 192)), np.ones(30)):
        one, k = Asked(d), 5
        expected, _ = _lanczos.top_eigenpairs_of(one, d.size, k, ENOUGH)
        other = Asked(2.0 ** round(np.log2(scale)) * d)
        found, V = _lanczos.top_eigenpairs_of(other, d.size, k, ENOUGH)
        np.testing.assert_allclose(found, 2.0 ** round(np.log2(scale)) * expected, rtol=1e-12)
        np.testing.assert_allclose(V.T @ V, np.eye(k), atol=1e-11)
        assert other.widths == one.widths


@pytest.mark.parametrize("seed", range(20))
def test_pairs_arrive_and_no_sooner_than_they_are_told(seed):
    rng = np.random.default_rng(seed)
    d = np.sort(rng.gamma(0.5, size=300))[::-1] + 0.01
    solve(d, int(rng.integers(1, 12)))


@pytest.mark.parametrize(
    ("d", "k", "most"),
    [
        (0.5 ** np.arange(600.0), 5, 36),
        (1.0 / np.arange(1, 601), 5, 78),
        (np.append([2.0, 1.0], 1e-9 * np.linspace(2, 1, 598)), 4, 250),
        (np.append(np.full(7, 2.0), 0.5 ** np.arange(593.0)), 8, 90),
    ],
)
def test_no_more_is_asked_for_than_it_takes(d, k, most):
    assert solve(d, k) <= most

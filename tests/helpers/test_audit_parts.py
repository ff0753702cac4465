"""What the audit computes, number by number, by definitions that share no code with it."""

import itertools
import warnings
from dataclasses import FrozenInstanceError, fields, is_dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.linalg

import cossim_helpers as ch
from cossim_helpers.audit import compare, embeddings
from cossim_helpers.audit.anatomy import anatomy, hubness
from cossim_helpers.audit.report import as_json


def cosines(E):
    unit = E / np.linalg.norm(E, axis=1, keepdims=True)
    return unit @ unit.T


def neighbors(E, k):
    """The k nearest of each row by cosine, by sorting all."""
    return np.argsort(-(cosines(np.asarray(E, float)) - 3 * np.eye(len(E))), axis=1)[:, :k]


def shares(one, other):
    return np.array([len(set(a) & set(b)) / len(a) for a, b in zip(one.tolist(), other.tolist(), strict=True)])


def kinds(value):
    """The types of all that is no array in a result."""
    if is_dataclass(value):
        return set().union(*(kinds(getattr(value, field.name)) for field in fields(value)))
    return set().union(*map(kinds, value)) if isinstance(value, tuple) else {type(value)}


# --- one pass ---


def test_sums_of_many_rows_keep_their_digits():
    n = 100_001
    E = np.column_stack([np.arange(n) % 700 / 7 + 0.1, np.full(n, 30.3)]).astype(np.float32)
    exact, found = E.astype(float), anatomy(E)
    lengths = np.hypot(*exact.T)
    assert (found.duplicate_rows, found.constant_dimensions, found.dead_dimensions) == (n - 700, 1, 0)
    np.testing.assert_allclose(found.mean, exact.mean(axis=0), rtol=1e-12)
    measured = (found.shortest, found.longest, found.length_spread)
    np.testing.assert_allclose(measured, (lengths.min(), lengths.max(), lengths.std() / lengths.mean()), rtol=1e-12)
    sums = np.cumsum(exact / lengths[:, None], axis=0)
    marks = (1_000, 10_000, 100_000, n)
    expected = [((sums[rows - 1] ** 2).sum() - rows) / (rows * (rows - 1)) for rows in marks]
    assert tuple(rows for rows, _ in found.mean_cosine) == marks
    np.testing.assert_allclose([mean for _, mean in found.mean_cosine], expected, rtol=1e-7)


@pytest.mark.parametrize(("n", "size"), [(6, 1.0), (60, 0.01)])
def test_directions_of_tables_of_any_rank(n, size):
    rng = np.random.default_rng(0)
    E = (rng.normal(size=(n, 20)) * np.linspace(1, 3, 20) * size).astype(np.float32)
    E[:, 3:9] = rng.uniform(-0.1, 0.1, 6) * size  # constant
    found, exact = anatomy(E), E.astype(float)
    assert (found.constant_dimensions, found.dead_dimensions) == (6, 0)
    covariance = np.cov(exact.T, bias=True)
    w = np.maximum(np.linalg.eigvalsh(covariance)[::-1], 0)
    assert (found.spectrum >= 0).all() and (found.variances >= 0).all()
    np.testing.assert_allclose(found.spectrum, w, atol=1e-5 * w[0])
    np.testing.assert_allclose(found.axes.T @ found.axes, np.eye(20), atol=1e-12)
    np.testing.assert_allclose(found.axes * found.spectrum @ found.axes.T, covariance, atol=1e-5 * w[0])
    np.testing.assert_allclose(found.mean, exact.mean(axis=0), atol=1e-12)
    p = w[w > 1e-9 * w[0]] / w.sum()
    np.testing.assert_allclose(found.entropy_rank, np.exp(-(p * np.log(p)).sum()), rtol=1e-4)
    np.testing.assert_allclose(found.effective_rank, 1 / (p**2).sum(), rtol=1e-5)


def test_copies_are_counted_wherever_they_stand(monkeypatch):
    grid = 1e-12 * np.array(list(itertools.product((0.0, 1.0, 2.0, -1.0), repeat=7)))
    assert anatomy(np.vstack([grid, grid * (1 + 1e-12)])).duplicate_rows == len(grid)  # in float32
    monkeypatch.setattr("cossim_helpers.audit.anatomy._keys", lambda rows, weights: np.zeros(len(rows), np.uint64))
    found = anatomy([[1.0, 2.0], [1.0, 2.0], [1.0, 3.0]] * np.ones(1))  # keys that collide are no copies
    assert found.duplicate_rows == 1


def test_few_rows_with_a_length():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one, two = anatomy(np.array([[0.3, -0.4], [0.0, 0.0]])), anatomy(np.array([[2.0, 0.0], [0.0, 0.0], [1.0, 1.0]]))
        zeros = anatomy(np.zeros((5, 3)))
    np.testing.assert_allclose([one.dimension_share, one.direction_share], [0.64, 1.0], rtol=1e-6)
    assert one.dimension == 1 and np.isnan(one.mean_cosine[0][1])
    np.testing.assert_allclose(two.mean_cosine, [(3, np.sqrt(0.5))], rtol=1e-6)
    assert (zeros.zero_rows, zeros.duplicate_rows, zeros.dead_dimensions) == (5, 4, 3)
    assert (zeros.length_spread, zeros.dimension_share, zeros.direction_share) == (0.0, 0.0, 0.0)
    np.testing.assert_allclose([zeros.effective_rank, zeros.entropy_rank], 3.0)


@pytest.mark.parametrize(
    ("shortest", "longest", "expected"),
    [(1, 1, True), (0.9991, 1.0009, True), (0.9989, 1, False), (1, 1.0011, False), (0.5, 1, False), (1.2, 1.3, False)],
)
def test_unit_length_is_that_of_each_row(shortest, longest, expected):
    assert anatomy(np.diag([shortest, longest])).unit_length == expected


def test_hubness_is_that_of_the_chosen_rows():
    E = np.random.default_rng(1).normal(size=(120, 3))
    rows = np.arange(0, 120, 2)
    found, counts = hubness(E, rows, 5), np.bincount(neighbors(E[rows], 5).ravel(), minlength=60)
    assert (found.n_rows, found.largest, found.orphans) == (60, counts.max(), (counts == 0).mean())
    np.testing.assert_allclose(found.skewness, ((counts - 5) ** 3).mean() / counts.std() ** 3)
    assert hubness(E, rows[:2], 5) == ch.Hubness(2, 0.0, 1, 0.0)  # of few rows all others
    fan = np.column_stack([np.cos([0.0, 0.1, 0.3]), np.sin([0.0, 0.1, 0.3])])
    assert hubness(fan, np.arange(3), 1) == ch.Hubness(3, 0.0, 2, 1 / 3)
    found, counts = hubness(E[:, :2], rows, 2), np.bincount(neighbors(E[rows, :2], 2).ravel(), minlength=60)
    assert 0 < counts.std() < 1 and found.largest == counts.max()
    np.testing.assert_allclose(found.skewness, ((counts - 2) ** 3).mean() / counts.std() ** 3, rtol=1e-12)


# --- two trainings ---

GRID = (0.0, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0, np.inf)  # penalties, over the mean eigenvalue of the fitted half


def ridge(x, y, strength):
    """(M, m) by least squares with rows that pull M to the best rotation with one scale, by SciPy."""
    middle = x.mean(axis=0), y.mean(axis=0)
    x, y = x - middle[0], y - middle[1]
    (_, d), (_, e) = x.shape, y.shape
    padded = (np.pad(M, ((0, 0), (0, max(d, e) - M.shape[1]))) for M in (x, y))
    R, size = scipy.linalg.orthogonal_procrustes(*padded)
    M = R[:d, :e] * size / (x**2).sum()
    if np.isfinite(strength):
        pull = np.sqrt(strength * (x**2).sum() / d) * np.eye(d)
        rest = np.vstack([y - x @ M, np.zeros((d, e))])
        M = M + np.linalg.lstsq(np.vstack([x, pull]), rest, rcond=1e-10)[0]
    return M, middle[1] - middle[0] @ M


def mapped_by_hand(E1, E2, fold):
    """(table, fit of the rotation, fit of the map, strength): each half by the map that is fitted to the other."""
    found = []
    for strength in GRID:
        table = np.empty(E2.shape)
        for half in (0, 1):
            M, m = ridge(E1[fold != half], E2[fold != half], strength)
            table[fold == half] = E1[fold == half] @ M + m
        found.append((1 - ((table - E2) ** 2).sum() / ((E2 - E2.mean(axis=0)) ** 2).sum(), strength, table))
    fit, strength, table = max(found, key=lambda one: one[0])
    return table, found[-1][0], fit, strength


def round_cloud(n, dim, rng):
    """Vectors of mean 0 whose variance is the same in all directions."""
    M = rng.normal(size=(n, dim))
    return np.sqrt(n) * np.linalg.qr(M - M.mean(axis=0))[0]


def trainings():
    """(E1, E2, fold): the halves deviate from a rotation by S and by cS, so that the best penalty is (1 − c)² / 2c."""
    for seed, strength in itertools.product(range(3), GRID):
        rng = np.random.default_rng(seed)
        d, e = ((4, 4), (4, 6), (6, 4))[seed]
        fold = rng.permutation(61) % 2
        c = 0.0 if np.isinf(strength) else 1 + strength - np.sqrt(strength**2 + 2 * strength)
        E1, S = np.empty((61, d)), np.diag(0.3 * (-1.0) ** np.arange(d))
        for half in (0, 1):
            E1[fold == half] = round_cloud((fold == half).sum(), d, rng)
        moved = E1 + np.where(fold[:, None] == 0, E1 @ S, c * E1 @ S)
        turned = moved @ np.linalg.qr(rng.normal(size=(6, 6)))[0][:d, :e] - 1.0
        yield 100.0 ** (seed - 1) * (E1 + 0.5), turned * (1.0, 0.01, 10.0)[seed], fold


def test_the_map_is_the_ridge_about_a_rotation_that_predicts_best(monkeypatch):
    monkeypatch.setattr("cossim_helpers.audit.tables.NUMBERS", 140)  # many blocks
    best = set()
    for E1, E2, fold in trainings():
        table, rotation_fit, map_fit, strength = mapped_by_hand(E1, E2, fold)
        found = compare._mapped(E1, E2, fold)
        np.testing.assert_allclose(found[1:], (rotation_fit, map_fit), rtol=1e-9)
        np.testing.assert_allclose(found[0], table, atol=2e-6 * abs(table).max())
        best.add(strength)
    assert best == set(GRID)


def test_what_one_half_does_not_show_is_mapped_to_nothing():
    rng = np.random.default_rng(3)
    fold = np.arange(64) % 2
    for scale in (1e-4, 1.0, 1e4):
        wide = rng.normal(size=(64, 3)) * [1e3, 1, 1]
        shown = np.linalg.qr(rng.normal(size=(5, 5)))[0][:3]  # the directions that the first half has
        E1 = scale * (wide @ shown + fold[:, None] * rng.normal(size=(64, 5)))
        E2 = E1 @ shown.T @ rng.normal(size=(3, 3)) / scale
        table, rotation_fit, map_fit = compare._mapped(E1, E2, fold)
        np.testing.assert_allclose(map_fit, 1.0, rtol=1e-12)
        np.testing.assert_allclose(table, E2, atol=1e-6 * abs(E2).max())
        assert rotation_fit < 1 - 1e-7
    assert compare._mapped(E1, np.ones((64, 2)), fold)[1:] == (0.0, 0.0)  # of nothing nothing is predicted
    E1[fold == 0] = 1.0
    table, *_ = compare._mapped(E1, E2, fold)
    np.testing.assert_allclose(table[fold == 1], [E2[fold == 0].mean(axis=0)] * 32, rtol=1e-6)


def test_the_map_of_small_integers_is_that_of_the_same_numbers():
    rng = np.random.default_rng(12)
    E1, fold = rng.integers(-100, 100, (50, 4)), rng.permutation(50) % 2
    E2 = (E1 @ rng.normal(size=(4, 3)) / 4).astype(np.int8)
    table, rotation_fit, map_fit, _ = mapped_by_hand(E1, E2.astype(float), fold)
    found = compare._mapped(E1.astype(np.int8), E2, fold)
    np.testing.assert_allclose(found[1:], (rotation_fit, map_fit), rtol=1e-9)
    np.testing.assert_allclose(found[0], table, atol=2e-6 * abs(table).max())


def error(shares):
    return 1.96 * np.sqrt(((shares - shares.mean()) ** 2).sum() / (len(shares) - 1) / len(shares))


def test_the_better_of_both_overlaps_counts(monkeypatch):
    rng, folds = np.random.default_rng(4), []
    E1, E2 = rng.normal(size=(30, 4)), rng.normal(size=(30, 3))
    base = neighbors(E2, 4)
    before = shares(neighbors(E1, 4), base)
    drawn = (rng.normal(size=(30, 3)) for _ in range(1000))
    tie = next(M for M in drawn if (after := shares(neighbors(M, 4), base)).mean() == before.mean()
               and after.std() != before.std())  # fmt: skip
    for table in (E2 + 0.1 * rng.normal(size=E2.shape), np.roll(E2, 1, axis=0), tie):
        monkeypatch.setattr(compare, "_mapped", lambda one, two, fold: (folds.append(fold) or table, 0.25, 0.5))  # noqa: B023
        found = ch.compare_embeddings(E1, E2, k=4, rng=5)
        after = shares(neighbors(table, 4), base)
        better = after if after.mean() > before.mean() else before  # of equal ones the vectors as they are
        expected = (before.mean(), error(before), better.mean(), error(better), 0.25, 0.5, 4 / 29)
        np.testing.assert_allclose(
            (found.overlap, found.overlap_error, found.overlap_mapped, found.overlap_mapped_error, found.rotation_fit,
             found.map_fit, found.expected_by_chance), expected, rtol=1e-12
        )  # fmt: skip
        assert (found.n, found.dims, found.k, found.n_queries) == (30, (4, 3), 4, 30)
    ch.compare_embeddings(E1, E2, k=4, rng=6)
    assert all(sorted(fold) == [0] * 15 + [1] * 15 for fold in folds)  # halves, drawn by rng
    np.testing.assert_array_equal(folds[0], folds[1])
    assert (folds[0] != folds[-1]).any() and len(set(np.diff(folds[0]))) == 3


def test_a_comparison_takes_what_it_says():
    rng = np.random.default_rng(6)
    E1, E2 = rng.normal(size=(510, 2)), rng.normal(size=(510, 3))
    found = ch.compare_embeddings(E1, E2)
    assert (found.n, found.dims, found.k, found.n_queries) == (510, (2, 3), 10, 500)
    assert found == ch.compare_embeddings(E1, E2, k=10, n_queries=500, rng=0)
    one = ch.compare_embeddings(E1[:4], E2[:4], k=3, n_queries=1)  # of 4 rows all are neighbors
    assert (one.overlap, one.overlap_mapped, one.expected_by_chance, one.n_queries) == (1.0, 1.0, 1.0, 1)
    assert np.isnan(one.overlap_error)
    assert ch.compare_embeddings(E1[:9], E2[:9] * (np.arange(9) != 4)[:, None], k=1).n_queries == 8
    for tables in ((E1[:3], E2), (E1, E2[:3])):
        with pytest.raises(ValueError, match=rf"^E{1 + (len(tables[1]) == 3)} takes at least 4 rows, got 3"):
            ch.compare_embeddings(*tables)
    with pytest.raises(ValueError, match=r"^E2, with as many rows as E1: got 510, takes 509"):
        ch.compare_embeddings(E1[1:], E2)
    with pytest.raises(ValueError, match=r"^k takes an integer from 1 to 3, one less than there are rows, got 4"):
        ch.compare_embeddings(E1[:4], E2[:4], k=4)
    with pytest.raises(ValueError, match=r"^n_queries takes an integer at least 1, got 0"):
        ch.compare_embeddings(E1, E2, n_queries=0)


# --- the audit ---


def test_the_audit_takes_what_it_says(monkeypatch):
    E, asked = np.random.default_rng(7).normal(size=(5001, 2)), []
    assert ch.audit_embeddings(E[:3], k=2, n_draws=1, n_queries=1, spread=1e6).n_queries == 1
    again = ch.audit_embeddings(E[:4], again=E[:4], k=3, n_draws=1)
    assert again.comparison.overlap == 1.0
    assert ch.audit_embeddings(E[:4], other=E[5:6], k=3, n_draws=1).n == 4  # one vector is another side
    with pytest.raises(ValueError, match=r"^E takes at least 3 rows, got 2"):
        ch.audit_embeddings(E[:2], k=1)
    with pytest.raises(ValueError, match=r"^k takes an integer from 1 to 3, one less than there are rows, got 4"):
        ch.audit_embeddings(E[:4], k=4)

    def searched(E, queries, k, facts, *, rng, done, **options):
        asked.append(("stabilities", queries.tolist(), k, str(rng.bit_generator.state), done(0.5), options))
        return again.stability

    def hubness(E, rows, k):
        asked.append(("hubs", rows.tolist(), k))
        return again.hubs

    monkeypatch.setattr(embeddings, "stabilities", searched)
    monkeypatch.setattr(embeddings, "hubness", hubness)
    found = ch.audit_embeddings(E)
    options = {"trained": "unknown", "k": 10, "n_queries": 500, "n_draws": 10, "spread": 2.0, "rng": 0}
    assert as_json(found) == as_json(ch.audit_embeddings(E, **options))
    assert asked[:2] == asked[2:] and len(asked[0][1]) == 5000
    assert asked[1][4:] == (None, {"n_draws": 10, "spread": 2.0})
    got = (found.n, found.dim, found.dtype, found.k, found.n_queries, found.n_draws)
    assert got == (5001, 2, "float64", 10, 500, 10)
    assert (found.balance_defect, found.balance_of_noise, found.free_directions, found.comparison) == (None,) * 4
    monkeypatch.setattr(embeddings, "compare_embeddings", lambda E, again, **options: asked.append(options))
    ch.audit_embeddings(E, again=E, k=3, n_queries=7, n_draws=6, spread=1.5, done=lambda share: 2 * share)
    assert asked[4][2] == asked[5][2] == 3 and asked[5][4:] == (1.0, {"n_draws": 6, "spread": 1.5})
    assert (asked[-1]["k"], asked[-1]["n_queries"], type(asked[-1]["rng"])) == (3, 7, np.random.Generator)


def test_the_balance_is_held_against_random_turns(monkeypatch):
    rng, turns = np.random.default_rng(8), []
    P, Q = rng.normal(size=(30, 4)) * [3, 1, 1, 1], rng.normal(size=(20, 4)) * [1, 1, 1, 2] + [0, 1, 0, 0]

    def turn(dim, rng):
        turns.append(np.linalg.qr(rng.normal(size=(dim, dim)))[0])
        return turns[-1]

    def defect(M, N):
        M, N = (np.einsum("ri,rj->ij", one, one) for one in (M, N))
        return np.sqrt(((M / np.sqrt((M**2).sum()) - N / np.sqrt((N**2).sum())) ** 2).sum() / 2)

    monkeypatch.setattr(embeddings, "rotation", turn)
    monkeypatch.setattr("cossim_helpers.audit.tables.NUMBERS", 48)  # many blocks
    found = ch.audit_embeddings(Q, other=P, k=3, n_draws=1)
    assert len(turns) == 5
    np.testing.assert_allclose(found.balance_defect, defect(P, Q), rtol=1e-12)
    np.testing.assert_allclose(found.balance_of_noise, np.mean([defect(P @ R, Q) for R in turns]), rtol=1e-12)
    np.testing.assert_allclose(ch.balance_defect(P, Q), defect(P, Q), rtol=1e-12)
    with pytest.raises(ValueError, match=r"^Q, with as many columns as P: got 4, takes 3"):
        ch.balance_defect(P[:, :3], Q)
    np.testing.assert_allclose(found.mean_share, (Q.mean(axis=0) ** 2).sum() / (Q**2).sum(axis=1).mean(), rtol=1e-5)


def test_what_is_counted_is_a_sample_of_unit_vectors(monkeypatch):
    asked, rng = [], np.random.default_rng(9)

    def freedom(P, Q, loss):
        asked.append((P, Q, loss))
        return SimpleNamespace(unused=spare, moved={"item_item_value": 7})

    def counted(P, Q, loss="clip"):
        return ch.audit_embeddings(Q, other=P, trained=loss, k=1, n_queries=1, n_draws=1).free_directions

    monkeypatch.setattr(embeddings, "freedom", freedom)
    monkeypatch.setattr(embeddings, "stabilities", lambda *_, **__: ())
    P, Q, spare = 3 * rng.normal(size=(1001, 3)), rng.normal(size=(1002, 3)).astype(np.float32), 0
    assert counted(P, Q) == 7 and asked[0][2] == "clip"
    for found, all_rows in zip(asked[0][:2], (P, Q), strict=True):
        assert found.shape == (1000, 3) and found.dtype == np.float64
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, rtol=1e-12)
        unit = all_rows / np.linalg.norm(all_rows, axis=1, keepdims=True)
        assert len({tuple(row) for row in found.round(5)} & {tuple(row) for row in unit.astype(float).round(5)}) > 900
    spare = 1
    assert counted(P[:9], Q[:9]) is None
    spare, P, Q = 0, rng.normal(size=(40, 33)), rng.normal(size=(41, 33))
    assert (counted(P, Q), counted(P[:, :32], Q[:, :32])) == (None, 7)
    P, Q = P[:, :3], Q[:, :3]
    for small, expected in ((3e-6, 7), (1e-7, None)):  # below the rounding of float32 is no direction
        thin = np.column_stack([1 + abs(P[:, 0]), small * P[:, 1]])
        assert counted(thin, Q[:, :2]) == counted(Q[:, :2], thin) == expected
    asked.clear()
    for loss in ch.LOSSES:
        counted(P, Q, loss)
    of_unit_vectors = ["infonce-one-sided", "clip", "siglip", "cosine-mse", "siglip-fixed", "triplet-cosine"]
    assert [loss for *_, loss in asked] == of_unit_vectors


def test_what_stays_is_the_least_that_may_be_open():
    E = np.random.default_rng(10).normal(size=(20, 3))
    found = ch.audit_embeddings(E, k=3, n_draws=1)
    part = replace(found.stability[0], overlap=0.1)
    kinds = (("measure", "dot product", 0.1), ("data", "centered", 0.3), ("data", "whitened", 0.2), ("gauge", "a", 0.6))
    parts = [replace(part, kind=kind, name=name, overlap=overlap) for kind, name, overlap in kinds]
    parts.append(replace(part, kind="gauge", name="b", overlap=0.5))
    for trained, expected in (("unknown", 0.5), ("squared", 0.5), ("softmax", 0.3), ("triplet-cosine", 0.3)):
        assert replace(found, stability=tuple(parts), trained=trained, verdict="open").stays == expected
        assert replace(found, stability=tuple(parts), trained=trained, verdict="pinned").stays == 1.0


def test_results_hold_numbers_of_python():
    rng = np.random.default_rng(11)
    E, P = rng.normal(size=(20, 3)), rng.normal(size=(30, 3))
    found = ch.audit_embeddings(E, other=P, again=E[::-1], trained="clip", k=3, n_draws=1)
    assert kinds(found) == {int, float, str, np.ndarray} and type(found.stays) is float
    for result in (found, found.facts, found.hubs, found.comparison):
        with pytest.raises(FrozenInstanceError):
            setattr(result, fields(result)[0].name, 0)
    for result in (found, found.facts):  # compared by identity, as the arrays in them
        assert replace(result) != result
    assert kinds(anatomy(np.eye(3)[[0, 0, 1]])) == {int, float, np.ndarray}

"""What the audit looks at: blocks of rows, nearest neighbors by sorting all, and the views of gauges and of noise."""

import dataclasses
import warnings
from types import SimpleNamespace

import numpy as np
import pytest

from cossim_helpers.audit import gauges, neighbors
from cossim_helpers.audit.neighbors import DISTANCE, DOT, View, nearest, row_blocks, shared


def by_sorting(E, k, measure="cosine"):
    """The k nearest of each row to each row, by sorting all, in float64."""
    scores = E @ E.T
    if measure == "cosine":
        scores = scores / np.linalg.norm(E, axis=1)
    if measure == "distance":
        scores = -((E[:, None] - E[None]) ** 2).sum(axis=2)
    np.fill_diagonal(scores, -np.inf)
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


# --- blocks ---


@pytest.mark.parametrize(("numbers", "sizes"), [(6, [2, 2, 2, 1]), (7, [2, 2, 2, 1]), (2, [1] * 7), (100, [7])])
@pytest.mark.parametrize("dtype", [np.float64, np.int8])
def test_blocks_hold_all_rows_once_in_float32(numbers, sizes, dtype):
    E = np.asfortranarray(np.arange(21).reshape(7, 3).astype(dtype))
    found = list(row_blocks(E, numbers))
    assert [len(rows) for _, rows in found] == sizes
    assert [first for first, _ in found] == np.cumsum([0, *sizes[:-1]]).tolist()
    assert all(rows.dtype == np.float32 and rows.flags.c_contiguous for _, rows in found)
    np.testing.assert_array_equal(np.vstack([rows for _, rows in found]), E)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isinf(next(row_blocks(np.array([[1e300]])))[1]).all()


def test_a_block_takes_32_megabytes():
    E = np.broadcast_to(np.float32(1), (5_000_000, 2))
    assert next(row_blocks(E))[1].nbytes == 2**25


def test_a_part_of_the_queries_is_every_mth():
    queries = np.arange(8)
    assert View(1).of(queries).tolist() == queries.tolist()
    assert View(1, part=(2, 3)).of(queries).tolist() == [2, 5]
    assert View(1, part=(0, 3)).of(queries).tolist() == [0, 3, 6]


def test_a_view_stays_as_it_is_and_is_equal_to_itself_alone():
    view = View(1, weights=np.ones(2))
    with pytest.raises(dataclasses.FrozenInstanceError):
        view.k = 2
    assert view != View(1, weights=view.weights) and len({view, view}) == 1


# --- neighbors ---


@pytest.mark.parametrize(
    ("dim", "n_queries", "shares"), [(2, 4, [0.3, 0.6, 0.9, 1.0]), (6, 4, [0.256, 0.512, 0.768, 1.0])]
)
def test_the_share_that_is_done_is_said_after_each_block(dim, n_queries, shares, monkeypatch):
    monkeypatch.setattr(neighbors, "NUMBERS", 1200)
    E, said = np.random.default_rng(0).normal(size=(1000, dim)), []
    assert len(nearest(E, np.arange(n_queries), [View(2)], done=said.append)[0]) == n_queries
    np.testing.assert_allclose(said, shares)


def test_each_query_has_its_own_neighbors_in_every_part_and_measure(monkeypatch):
    monkeypatch.setattr(neighbors, "NUMBERS", 1)  # blocks of 256 rows
    E = 0.1 * np.random.default_rng(1).normal(size=(600, 4))  # shorter than 1
    queries = np.array([3, 255, 256, 257, 511, 512, 599])
    for measures in (("dot", "cosine", "distance"), ("cosine", "dot"), ("distance", "cosine")):  # of one family
        for k in (1, 5):
            for part in ((0, 1), (1, 3)):
                views = [View(k, measure, part=part) for measure in measures]
                for view, ids in zip(views, nearest(E, queries, views)):
                    expected = by_sorting(E, k, view.measure)[queries[part[0] :: part[1]]]
                    np.testing.assert_array_equal(ids, expected)


def test_of_many_equal_rows_the_earlier_ones_are_nearer():
    values = np.random.default_rng(0).integers(1, 4, size=90)
    E = np.column_stack([values, np.ones(90)])
    np.testing.assert_array_equal(nearest(E, np.arange(90), [View(50, DOT)])[0], by_sorting(E, 50, "dot"))


def test_many_neighbors_at_once():
    E = np.random.default_rng(2).normal(size=(1200, 3))
    np.testing.assert_array_equal(nearest(E, np.arange(10), [View(500)])[0], by_sorting(E, 500)[:10])


@pytest.mark.parametrize(
    "options", [{}, {"shift": np.zeros(2)}, {"basis": np.eye(2)}, {"weights": np.ones(2)}], ids=str
)
def test_rows_that_float32_finds_equally_near_are_in_their_order(options):
    E = np.array([[1.0, 2.0**-20], [1.0, 0.0], [1.0, 2.0**-10]])  # 1 and 1 + 2^-30
    np.testing.assert_array_equal(nearest(E, np.array([0]), [View(2, DOT, **options)])[0], [[1, 2]])
    E = np.array([[0.0, 1.0], [2.0**-31, 1.0 + 2.0**-22], [0.0, 1.0 + 2.0**-22], [5.0, -1.0]])
    np.testing.assert_array_equal(nearest(E, np.array([0]), [View(2, DOT, **options)])[0], [[1, 2]])


def test_a_row_of_length_0_has_cosine_0_with_everything():
    E = np.array([[0.0, 0.0], [0.2, 0.0], [0.1, 0.1], [-0.3, 0.1], [0.0, 0.4]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for views in ([View(4, DOT), View(4), View(4, DISTANCE)], [View(4), View(4, DISTANCE), View(4, DOT)]):
            found = dict(zip([view.measure for view in views], nearest(E, np.arange(5), views)))
    np.testing.assert_array_equal(found["cosine"][0], [1, 2, 3, 4])
    np.testing.assert_array_equal(found["cosine"][1], [2, 0, 4, 3])
    for measure in (DOT, DISTANCE):
        np.testing.assert_array_equal(found[measure], by_sorting(E, 4, measure))


def test_a_share_is_said_for_each_query():
    np.testing.assert_array_equal(shared(np.array([[1, 2], [3, 4]]), np.array([[2, 1], [8, 9]])), [1.0, 0.0])


# --- gauges ---


def facts(spectrum, variances):
    return SimpleNamespace(
        mean=np.arange(1.0, len(variances) + 1),
        variances=np.array(variances, dtype=float),
        spectrum=np.array(spectrum, dtype=float),
        axes=np.eye(len(variances))[::-1],
    )


@pytest.fixture
def searches(monkeypatch):
    """What is searched for: (rows, queries, views, done) of each call. What is found is the first rows."""
    calls = []

    def nearest(E, queries, views, *, done="nothing"):
        calls.append((E, queries, views, done))
        return [np.tile(np.arange(view.k), (len(view.of(queries)), 1)) for view in views]

    monkeypatch.setattr(gauges, "nearest", nearest)
    return calls


def search(E, k, about, queries=None, **options):
    options = {"n_draws": 1, "spread": 2.0, "rng": np.random.default_rng(0)} | options
    queries = np.arange(0, len(E), max(len(E) // 20, 1)) if queries is None else queries
    return gauges.stabilities(E, queries, k, about, **options)


def test_what_is_searched_for(searches):
    E = np.broadcast_to(np.float32(1), (200_001, 2))
    search(E, 3, facts([2.0, 1.0], [1.0, 2.0]), n_draws=7, done="told")
    (_, _, first, told), (noise, queries, second, nothing) = searches
    assert (told, nothing) == ("told", "nothing")
    assert first[0].k == 30 and {view.k for view in [*first[1:], *second]} == {3}  # the old 10 k
    assert noise.shape == (200_000, 2) and noise.dtype == np.float32
    assert len(set(queries)) == 100 and sorted(queries) == list(queries)
    for views, draws in ((first, 7), (second, 3)):
        assert len(views) == 10 + 2 * draws
        for turned in (views[10 : 10 + draws], views[10 + draws :]):
            assert [view.part for view in turned] == [(draw % 5, 5) for draw in range(draws)]
    np.testing.assert_allclose(noise.mean(axis=0), [1, 2], atol=0.02)


def test_neighbors_and_queries_are_as_many_as_there_are_rows(searches, monkeypatch):
    E = np.ones((12, 2))
    search(E, 7, facts([2.0, 1.0], [1.0, 2.0]), np.arange(3), n_draws=4)
    (_, _, first, _), (noise, queries, second, _) = searches
    assert first[0].k == 11 and len(noise) == 12 and second[0].k == 7
    assert {view.part[1] for view in first[10:]} == {3} and {view.part[1] for view in second[10:]} == {5}
    np.testing.assert_array_equal(queries, np.arange(12))
    monkeypatch.setattr(gauges, "NOISE_ROWS", 4)
    found = search(E, 7, facts([2.0, 1.0], [1.0, 2.0]))
    noise, queries, views, _ = searches[-1]
    assert len(noise) == len(queries) == 4 and {view.k for view in views} == {3}
    assert {view.part[1] for view in views[10:]} == {4} and {entry.null for entry in found} == {1.0}


def test_the_views_by_their_definitions(searches):
    about = facts([2.0, 1.0, 2e-5, 2e-10, 0.0], [1.0, 4e-12, 4.0, 0.5, 1.1e-11])
    E = np.ones((30, 5))
    search(E, 2, about, spread=3.0, n_draws=40)
    (_, _, views, _), _ = searches
    _, dot, distance, centered, standard, fourth, half, white, first, three = views[:10]
    assert (dot.measure, distance.measure) == ("dot", "distance")
    assert all(view.weights is view.shift is view.basis is None for view in (dot, distance))
    assert all(view.measure == "cosine" for view in views[3:])
    for view in (centered, standard, fourth, half, white, first, three):
        np.testing.assert_array_equal(view.shift, about.mean)
    assert centered.weights is centered.basis is standard.basis is None
    np.testing.assert_allclose(standard.weights, [1.0, 0.0, 0.25, 2.0, 1 / 1.1e-11])
    kept = about.spectrum[:3]
    for view, power in ((fourth, 0.25), (half, 0.5), (white, 1.0)):
        np.testing.assert_allclose(view.weights, np.exp(-power * np.log(kept)))
        np.testing.assert_array_equal(view.basis, about.axes[:, :3])
    assert first.weights.tolist() == [0, 1, 1] and three.weights.tolist() == [0, 0, 1]  # the last one always stays
    d = np.sqrt([view.weights for view in views[10:]])
    assert d.shape == (80, 5) and 1 / 3 <= d.min() < 0.36 and 2.8 < d.max() <= 3
    assert abs(np.log(d).mean()) < 0.1 and len(np.unique(d)) == d.size
    assert all(view.basis is None and view.shift is None for view in views[10:50])
    for view in views[50:]:
        np.testing.assert_allclose(view.basis @ view.basis.T, np.eye(5), atol=1e-12)


def test_the_noise_has_the_mean_and_the_spectrum_of_the_vectors_in_a_random_basis(searches):
    about = facts([9.0, 1.0, 0.04, 0.0], [1.0, 2.0, 3.0, 4.0])
    search(np.ones((4000, 4)), 2, about)
    noise, _, views, _ = searches[1]
    np.testing.assert_allclose(noise.mean(axis=0), about.mean, atol=0.3)
    found, axes = np.linalg.eigh(np.cov(noise.T))
    np.testing.assert_allclose(found[::-1], about.spectrum, rtol=0.1, atol=1e-5)
    assert abs(axes).max() < 0.999  # turned
    np.testing.assert_allclose(1 / views[4].weights, noise.var(axis=0), rtol=0.1)
    white = (noise - about.mean) @ views[7].basis * np.sqrt(views[7].weights)
    np.testing.assert_allclose(np.cov(white.T), np.eye(3), atol=0.1)


def test_stabilities_of_all_views_by_sorting_all():
    rng = np.random.default_rng(3)
    E = rng.normal(size=(70, 6)) @ rng.normal(size=(6, 6)) + 0.5
    mean = E.mean(axis=0)
    w, axes = np.linalg.eigh(np.cov(E.T, bias=True))
    w, axes = w[::-1], axes[:, ::-1]
    about = SimpleNamespace(mean=mean, variances=E.var(axis=0), spectrum=w, axes=axes)
    entries = search(E, 4, about, np.arange(70), n_draws=5)
    with pytest.raises(dataclasses.FrozenInstanceError):
        entries[0].overlap = 1.0
    found = {entry.name: entry for entry in entries}
    assert type(entries) is tuple and len(found) == len(entries)
    moved, base = (E - mean) @ axes, by_sorting(E, 40)
    views = {
        "dot product": by_sorting(E, 4, "dot"),
        "distance": by_sorting(E, 4, "distance"),
        "centered": by_sorting(E - mean, 4),
        "standardized": by_sorting((E - mean) / E.std(axis=0), 4),
        "whitened by 1/4": by_sorting(moved * w**-0.125, 4),
        "whitened by 1/2": by_sorting(moved * w**-0.25, 4),
        "whitened": by_sorting(moved * w**-0.5, 4),
        "without the first direction": by_sorting(moved[:, 1:], 4),
        "without the first three": by_sorting(moved[:, 3:], 4),
    }
    for name, ids in views.items():
        entry = found.pop(name)
        stays = [len(set(new) & set(old)) / 4 for new, old in zip(ids, base[:, :4])]
        within = [len(set(new) & set(old)) / 4 for new, old in zip(ids, base)]
        assert entry.kind == ("measure" if name in ("dot product", "distance") else "data")
        np.testing.assert_allclose([entry.overlap, entry.lowest, entry.highest], np.mean(stays))
        np.testing.assert_allclose(entry.error, 1.96 * np.sqrt(np.var(stays) / 69))
        np.testing.assert_allclose(entry.within_wide, np.mean(within))
    assert list(found) == ["a D in the coordinates", "a G: D in a random basis"]
    for entry in found.values():
        assert entry.kind == "gauge" and entry.lowest < entry.overlap < entry.highest <= entry.within_wide <= 1
        assert all(type(value) is float for value in dataclasses.astuple(entry)[2:])


def test_rotations_are_orthogonal_and_have_no_side():
    turns = np.array([gauges.rotation(3, np.random.default_rng(seed)) for seed in range(200)])
    np.testing.assert_allclose(turns @ turns.transpose(0, 2, 1), np.tile(np.eye(3), (200, 1, 1)), atol=1e-12)
    assert abs(turns.mean(axis=0)).max() < 4 / np.sqrt(3 * 200)

"""Whose variation is it? Shares of variance against the textbook's analysis, and their intervals."""

from collections import Counter

import numpy as np
import pytest
import scipy.stats

from cossim_helpers import shares_with_intervals, variance_shares


def squared_distances(y):
    """(L, S, …) to (L, S, L, S), a pair at a time."""
    L, S = y.shape[:2]
    D2 = np.empty((L, S, L, S))
    for a in np.ndindex(L, S):
        for b in np.ndindex(L, S):
            D2[a + b] = np.sum((y[a] - y[b]) ** 2)
    return D2


def shares_by_anova(y):
    """Textbook: mean squares from the means of rows and columns, one coordinate of y at a time, summed."""
    L, S = y.shape[:2]
    ms = np.zeros(3)
    for y_c in y.reshape(L, S, -1).transpose(2, 0, 1):
        mean, levels, seeds = y_c.mean(), y_c.mean(axis=1), y_c.mean(axis=0)
        ms[0] += sum(S * (levels[a] - mean) ** 2 for a in range(L)) / (L - 1)
        ms[1] += sum(L * (seeds[s] - mean) ** 2 for s in range(S)) / (S - 1)
        ms[2] += sum((y_c[a, s] - levels[a] - seeds[s] + mean) ** 2 for a in range(L) for s in range(S)) / (
            (L - 1) * (S - 1)
        )
    components = np.array([max((ms[0] - ms[2]) / S, 0), max((ms[1] - ms[2]) / L, 0), ms[2]])
    return components / components.sum(), ms


def design(rng, L, S, sizes=(1.0, 1.0, 1.0), coordinates=()):
    level, seed, rest = np.sqrt(sizes)
    return (
        level * rng.standard_normal((L, 1, *coordinates))
        + seed * rng.standard_normal((1, S, *coordinates))
        + rest * rng.standard_normal((L, S, *coordinates))
    )


def as_array(shares):
    return np.array([shares.level, shares.seed, shares.rest])


@pytest.mark.parametrize("coordinates", [(), (5,)])
@pytest.mark.parametrize(("L", "S"), [(2, 2), (3, 5), (6, 4)])
@pytest.mark.parametrize("seed", range(3))
def test_shares_by_textbook_anova(seed, L, S, coordinates):
    y = design(np.random.default_rng(seed), L, S, (3.0, 2.0, 1.0), coordinates)
    shares = variance_shares(squared_distances(y))
    np.testing.assert_allclose(as_array(shares), shares_by_anova(y)[0], atol=1e-10)
    np.testing.assert_allclose(as_array(variance_shares(7 * squared_distances(y + 3))), as_array(shares), atol=1e-10)


@pytest.mark.parametrize("sizes", [(6.0, 3.0, 1.0), (0.5, 5.0, 4.5), (2.0, 0.0, 8.0), (0.0, 0.0, 1.0)])
def test_shares_recover_planted_components(sizes):
    y = design(np.random.default_rng(1), 6, 8, sizes, (4_000,))  # so many coordinates that estimates hardly vary
    flat = y.reshape(48, -1)
    gram = flat @ flat.T
    D2 = np.maximum(np.diag(gram)[:, None] + np.diag(gram) - 2 * gram, 0).reshape(6, 8, 6, 8)
    np.testing.assert_allclose(as_array(variance_shares(D2)), np.array(sizes) / sum(sizes), atol=0.03)


def test_shares_of_neighbor_lists_are_those_of_their_indicators():
    """1 − overlap is the squared distance of 0/1 vectors up to a factor."""
    rng = np.random.default_rng(2)
    lists = np.argsort(rng.random((3, 4, 7, 12)), axis=-1) < 5  # of 7 items, 5 of 12 neighbors
    y = lists.reshape(3, 4, -1).astype(float)
    overlap = np.einsum("lsc,mtc->lsmt", y, y) / (5 * 7)
    np.testing.assert_allclose(as_array(variance_shares(1 - overlap)), shares_by_anova(y)[0], atol=1e-10)


def test_negative_estimates_count_as_nothing():
    negative = set()
    for seed in range(40):
        y = design(np.random.default_rng(seed), 3, 3, (0.0, 0.0, 1.0))
        expected, ms = shares_by_anova(y)
        shares = as_array(variance_shares(squared_distances(y)))
        np.testing.assert_allclose(shares, expected, atol=1e-10)
        assert shares.min() >= 0
        assert shares.sum() == pytest.approx(1)
        for index in (0, 1):
            if ms[index] < ms[2]:
                negative.add(index)
                assert shares[index] == 0
    assert negative == {0, 1}


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (np.zeros((2, 3, 3, 2)), ValueError),
        (np.ones((1, 3, 1, 3)), ValueError),
        (np.ones((3, 1, 3, 1)), ValueError),
        (np.ones((3, 3)), ValueError),
        (np.full((2, 2, 2, 2), np.nan), ValueError),
        (np.full((2, 2, 2, 2), "a"), TypeError),
        (np.zeros((3, 3, 3, 3)), ValueError),
    ],
)
def test_shares_refuse(value, error):
    with pytest.raises(error, match=r"^squared_distance takes"):
        variance_shares(value)
    with pytest.raises(error, match=r"^squared_distance takes"):
        shares_with_intervals(value)


def test_intervals_need_three_seeds():
    with pytest.raises(ValueError, match=r"^squared_distance takes at least 3 seeds, got 2"):
        shares_with_intervals(squared_distances(design(np.random.default_rng(0), 4, 2)))


@pytest.mark.parametrize("confidence", [0.8, 0.95])
@pytest.mark.parametrize("seed", range(3))
def test_intervals_are_those_of_the_jackknife(seed, confidence):
    y = design(np.random.default_rng(seed), 4, 6, coordinates=(3,))
    got = shares_with_intervals(squared_distances(y), confidence)
    whole = shares_by_anova(y)[0]
    without = np.array([shares_by_anova(np.delete(y, s, axis=1))[0] for s in range(6)])
    # the textbook's form: SE² = (S − 1)/S Σ (θ_(−s) − mean)²
    error = np.sqrt(5 / 6 * np.sum((without - without.mean(axis=0)) ** 2, axis=0))
    half = scipy.stats.t.ppf(0.5 + confidence / 2, 5) * error
    assert list(got) == ["level", "seed", "rest"]
    for i, (estimate, low, high) in enumerate(got.values()):
        assert estimate == pytest.approx(whole[i])
        assert low == pytest.approx(max(whole[i] - half[i], 0))
        assert high == pytest.approx(min(whole[i] + half[i], 1))


@pytest.mark.parametrize("coordinates", [1, 10])
def test_intervals_cover_about_as_often_as_they_say(coordinates):
    """200 studies of 6 fixed levels and 8 seeds; true shares known. Nominal 95 %; the jackknife may lose some."""
    rng = np.random.default_rng(9)
    levels = rng.standard_normal((6, 1, coordinates))
    levels *= np.sqrt(2 * coordinates * 5 / np.sum((levels - levels.mean(axis=0)) ** 2))  # a component of 2
    truth = dict(zip(("level", "seed", "rest"), np.array([2, 1, 1]) / 4))
    hits = Counter()
    for _ in range(200):
        y = levels + design(rng, 6, 8, (0.0, 1.0, 1.0), (coordinates,))
        gaps = y[:, :, None, None] - y
        for name, (_, low, high) in shares_with_intervals(np.sum(gaps**2, axis=-1)).items():
            hits[name] += low <= truth[name] <= high
    assert all(0.85 * 200 <= hits[name] <= 199 for name in truth), hits


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95, np.nan])
def test_intervals_refuse_a_confidence_that_is_no_probability(confidence):
    with pytest.raises(ValueError, match=r"^confidence takes"):
        shares_with_intervals(squared_distances(design(np.random.default_rng(0), 4, 5)), confidence)


def test_three_seeds_are_enough():
    y = design(np.random.default_rng(3), 4, 3)
    estimates = [estimate for estimate, _, _ in shares_with_intervals(squared_distances(y)).values()]
    np.testing.assert_allclose(estimates, shares_by_anova(y)[0], atol=1e-10)


def test_shares_are_frozen():
    shares = variance_shares(squared_distances(design(np.random.default_rng(3), 3, 3)))
    with pytest.raises(AttributeError):
        shares.level = 0.0


@pytest.mark.parametrize("confidence", [0.95, 1 - 2**-53])  # 1 plus this one is 2: Student's t is infinite
@pytest.mark.parametrize("size", [1.0, 2.0**1000, 2.0**-1000])
def test_runs_that_differ_by_level_alone_leave_no_doubt(size, confidence):
    level = np.arange(3.0)[:, None] * np.ones(4)
    found = shares_with_intervals(size * squared_distances(level), confidence)
    assert found == {"level": (1.0, 1.0, 1.0), "seed": (0.0, 0.0, 0.0), "rest": (0.0, 0.0, 0.0)}


def test_the_shares_of_distances_at_the_ends_of_the_floats():
    D2 = squared_distances(design(np.random.default_rng(0), 3, 4))
    D2 /= D2.max()
    for size in (1.5e308, 2.0**-1000):
        np.testing.assert_allclose(
            list(vars(variance_shares(size * D2)).values()), list(vars(variance_shares(D2)).values()), rtol=1e-12
        )

import numpy as np
import pytest
from scipy.stats import chisquare, kstest

from cossim_helpers import simulate_interactions


def test_shapes_and_order():
    data = simulate_interactions(700, 60, 4, rng=3)
    assert data.X.shape == (700, 60) and data.user_preference.shape == (700, 4)
    assert data.X.has_canonical_format and (data.X.data == 1).all()
    assert (np.diff(data.item_cluster) >= 0).all()
    for c in range(4):
        assert (np.diff(data.item_popularity[data.item_cluster == c]) < 0).all()
    activity = np.diff(data.X.indptr)
    assert activity.min() >= 1 and activity.max() <= 30
    np.testing.assert_allclose(data.user_preference.sum(axis=1), 1)


@pytest.mark.claim("fig1-simulation")
def test_default_size_is_the_paper_s():
    data = simulate_interactions(rng=0)
    assert data.X.shape == (20_000, 1_000) and np.unique(data.item_cluster).tolist() == [0, 1, 2, 3, 4]


def test_the_seed_decides():
    one, same, other = (simulate_interactions(600, 30, 3, rng=seed) for seed in (1, 1, 2))
    assert (one.X != same.X).nnz == 0 and (one.X != other.X).nnz > 0
    np.testing.assert_array_equal(one.user_preference, same.user_preference)
    of_generator = simulate_interactions(600, 30, 3, rng=np.random.default_rng(1))
    assert (one.X != of_generator.X).nnz == 0


def test_the_stream_of_seed_0_is_the_book_s():
    """Not a property but a promise: these draws are what every stored output was computed from."""
    data = simulate_interactions(1_200, 40, 3, rng=0)
    assert data.X.nnz == 10291
    assert data.X[[0, 700, 1199]].indices[:12].tolist() == [0, 2, 4, 10, 11, 12, 15, 16, 18, 23, 27, 28]


def test_a_longer_simulation_begins_with_the_shorter_one():
    short, long = simulate_interactions(730, 30, 3, rng=4), simulate_interactions(2_100, 30, 3, rng=4)
    assert (long.X[:730] != short.X).nnz == 0
    np.testing.assert_array_equal(long.user_preference[:730], short.user_preference)


@pytest.mark.claim("fig1-simulation")
def test_draws_have_the_law_of_drawing_without_replacement():
    """Inclusion frequencies against rng.choice(..., replace=False, p=...), user by user."""
    from cossim_helpers.simulation import _draw_without_replacement

    rng, rounds = np.random.default_rng(0), 20_000
    weights = np.array([8.0, 4.0, 2.0, 1.0, 1.0, 0.5])
    for k in (1, 3, 5):
        drawn = _draw_without_replacement(rng, np.tile(weights, (rounds, 1)), np.full(rounds, k))
        looped = [rng.choice(6, k, replace=False, p=weights / weights.sum()) for _ in range(rounds)]
        ours, theirs = np.bincount(drawn, minlength=6) / rounds, np.bincount(np.ravel(looped), minlength=6) / rounds
        error = np.sqrt((ours * (1 - ours) + theirs * (1 - theirs)) / rounds)
        assert (abs(ours - theirs) < 4.5 * error + 1e-12).all()
    first = _draw_without_replacement(rng, np.tile(weights, (rounds, 1)), np.ones(rounds, int))
    assert chisquare(np.bincount(first, minlength=6), rounds * weights / weights.sum()).pvalue > 1e-4


def test_a_user_draws_each_item_once_and_never_an_impossible_one():
    from cossim_helpers.simulation import _draw_without_replacement

    weights = np.array([[1.0, 0.0, 2.0, 0.0, 1e-290]])
    assert sorted(_draw_without_replacement(np.random.default_rng(1), weights, np.array([3]))) == [0, 2, 4]


@pytest.mark.claim("fig1-simulation")
def test_laws_of_preferences_activity_clusters_and_popularity():
    data = simulate_interactions(20_000, 200, 4, preference_concentration=0.5, rng=5)
    alpha, rest = 0.5, 1.5
    assert kstest(data.user_preference[:, 0], "beta", args=(alpha, rest)).pvalue > 1e-4
    k = np.arange(1, 101)
    law = k**-0.5 / np.sum(k**-0.5)
    assert chisquare(np.bincount(np.diff(data.X.indptr), minlength=101)[1:], 20_000 * law).pvalue > 1e-4
    ranks = np.concatenate([np.arange(1, n + 1) for n in np.bincount(data.item_cluster)])
    with np.errstate(divide="ignore", invalid="ignore"):
        beta = -np.log(data.item_popularity) / np.log(ranks)  # p_i = r^-β
    for c in range(4):
        of_cluster = beta[(data.item_cluster == c) & (ranks > 1)]
        np.testing.assert_allclose(of_cluster, of_cluster[0], rtol=1e-9)
        assert 0.25 <= of_cluster[0] <= 1.5
    uniform = simulate_interactions(20_000, 50, 4, preference_law="uniform", rng=5)
    assert kstest(uniform.user_preference.ravel(), "uniform").pvalue > 1e-4
    uneven = simulate_interactions(10, 40_000, 3, cluster_probabilities=[0.7, 0.3, 0.0], max_activity=2, rng=5)
    np.testing.assert_allclose(np.bincount(uneven.item_cluster) / 40_000, [0.7, 0.3], atol=0.012)


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0, 1.5])
def test_random_popularity_has_its_density(beta):
    data = simulate_interactions(
        10, 20_000, 1, popularity_law="random", popularity_exponents=(beta, beta), max_activity=1, rng=6
    )
    low = 1 / 20_000

    def cdf(x):
        if beta == 1:
            return np.log(x / low) / np.log(1 / low)
        return (x ** (1 - beta) - low ** (1 - beta)) / (1 - low ** (1 - beta))

    assert kstest(data.item_popularity, cdf).pvalue > 1e-4
    assert (np.diff(data.item_popularity) <= 0).all()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n_users": 0}, ValueError, "n_users takes an integer at least 1, got 0"),
        ({"n_items": 2.5}, TypeError, "n_items takes an integer, got 2.5"),
        ({"n_clusters": -1}, ValueError, "n_clusters takes"),
        (
            {"cluster_probabilities": [0.5, 0.4, 0.2]},
            ValueError,
            "cluster_probabilities .* sum to 1, got .* sum of 1.1",
        ),
        ({"cluster_probabilities": [1.5, -0.5, 0]}, ValueError, "cluster_probabilities .* at least 0"),
        (
            {"cluster_probabilities": [0.5, 0.5]},
            ValueError,
            "cluster_probabilities takes n_clusters = 3 numbers, got 2",
        ),
        ({"cluster_probabilities": [np.nan, 0.5, 0.5]}, ValueError, "cluster_probabilities takes finite"),
        ({"popularity_law": "zipf"}, ValueError, "popularity_law takes one of .* got 'zipf'"),
        ({"popularity_exponents": (1.5, 0.25)}, ValueError, "popularity_exponents takes"),
        ({"popularity_exponents": (-1, 0.25)}, ValueError, "popularity_exponents takes"),
        ({"preference_law": "normal"}, ValueError, "preference_law takes one of"),
        ({"preference_concentration": 0}, ValueError, "preference_concentration takes a finite number above 0"),
        ({"activity_exponent": np.inf}, ValueError, "activity_exponent takes a finite number"),
        ({"max_activity": 21}, ValueError, r"max_activity takes an integer from 1 to 20 \(n_items\), got 21"),
        ({"min_activity": 11}, ValueError, r"min_activity takes an integer from 1 to 10 \(max_activity\), got 11"),
        ({"min_activity": 0}, ValueError, "min_activity takes"),
    ],
)
def test_bad_input_names_the_argument(arguments, error, message):
    with pytest.raises(error, match=message):
        simulate_interactions(**({"n_users": 30, "n_items": 20, "n_clusters": 3} | arguments))


def test_exact_ties_are_broken_and_tiny_weights_are_not_taken_for_zero():
    from cossim_helpers.simulation import _draw_without_replacement

    class AllAtOnce:
        def standard_exponential(self, shape):
            return np.ones(shape)

    drawn = _draw_without_replacement(AllAtOnce(), np.ones((2, 5)), np.array([2, 4]))
    assert len(set(drawn[:2])) == 2
    assert len(set(drawn[2:])) == 4
    weights = np.array([[1.0, 0.0, 0.0, 0.0, 1e-310]])  # its ringing time is infinite, like that of an impossible item
    with pytest.raises(ValueError, match="only 1 have a positive probability"):
        _draw_without_replacement(AllAtOnce(), weights, np.array([2]))


def test_more_items_than_a_user_can_like():
    from cossim_helpers.simulation import _draw_without_replacement

    with pytest.raises(ValueError, match="max_activity: a user draws 3 items, but only 2 have a positive probability"):
        _draw_without_replacement(np.random.default_rng(0), np.array([[1.0, 0.0, 2.0]]), np.array([3]))

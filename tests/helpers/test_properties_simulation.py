"""Laws of the simulation: on the settings that Hypothesis draws, and at their extremes."""

import copy

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cossim_helpers import simulate_interactions, simulate_users, simulation

SEEDS = st.integers(0, 2**70)


@st.composite
def settings(draw):
    """Keyword arguments of both functions; each user has enough items to draw from."""
    p = draw(st.integers(1, 12))
    least, most = sorted((draw(st.integers(1, p)), draw(st.integers(1, p))))
    low, high = sorted(draw(st.sampled_from([(0.0, 0.0), (0.25, 1.5), (1.0, 1.0), (0.0, 3.0), (2.5, 2.5)])))
    return {
        "n_items": p,
        "n_clusters": draw(st.integers(1, 6)),
        "popularity_law": draw(st.sampled_from(["rank", "random"])),
        "popularity_exponents": (low, high),
        "preference_law": draw(st.sampled_from(["dirichlet", "uniform"])),
        "preference_concentration": draw(st.sampled_from([0.5, 1.0, 30.0])),
        "activity_exponent": draw(st.sampled_from([-2.0, 0.0, 0.5, 4.0])),
        "min_activity": least,
        "max_activity": most,
        "rng": draw(SEEDS),
    }


def parts(X):
    return X.indptr, X.indices, X.data


def assert_same(one, other):
    assert one.shape == other.shape
    for a, b in zip(parts(one), parts(other), strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == b.dtype


@given(settings(), st.integers(1, 1_100), st.integers(0, 1_099), st.integers(1, 600))
@example({"n_items": 1, "n_clusters": 1, "rng": 0}, 1, 0, 1)
@example({"n_items": 5, "n_clusters": 2, "rng": 0}, 501, 499, 2)
def test_users_are_keyed_by_number(arguments, n_users, first, count):
    """Any range of users is that of the whole, which begins like every shorter one."""
    first = first % n_users
    count = min(count, n_users - first)
    whole = simulate_interactions(n_users, **arguments)
    assert_same(simulate_users(first, count, **arguments), whole.X[first : first + count])
    longer = simulate_interactions(n_users + 37, **arguments)
    assert_same(longer.X[:n_users], whole.X)
    np.testing.assert_array_equal(longer.user_preference[:n_users], whole.user_preference)
    np.testing.assert_array_equal(longer.item_popularity, whole.item_popularity)
    np.testing.assert_array_equal(longer.item_cluster, whole.item_cluster)


@given(settings(), st.integers(1, 60))
def test_what_interactions_look_like(arguments, n_users):
    data = simulate_interactions(n_users, **arguments)
    p, n_clusters = arguments["n_items"], arguments["n_clusters"]
    assert data.X.shape == (n_users, p) and data.X.has_canonical_format and set(data.X.data) == {1.0}
    activity = np.diff(data.X.indptr)
    assert activity.min() >= arguments["min_activity"] and activity.max() <= arguments["max_activity"]
    assert data.item_cluster.shape == data.item_popularity.shape == (p,)
    assert (np.diff(data.item_cluster) >= 0).all() and set(data.item_cluster) <= set(range(n_clusters))
    assert 0 < data.item_popularity.min() and data.item_popularity.max() <= 1
    for c in set(data.item_cluster):
        of_cluster = data.item_popularity[data.item_cluster == c]
        assert (np.diff(of_cluster) <= 0).all()
        assert arguments["popularity_law"] == "random" or of_cluster[0] == 1
        assert of_cluster[-1] >= (1 / p if arguments["popularity_law"] == "random" else p**-3.0) * (1 - 1e-12)
    assert data.user_preference.shape == (n_users, n_clusters)
    assert data.user_preference.min() >= 0 and data.user_preference.max() <= 1
    if arguments["preference_law"] == "dirichlet":
        np.testing.assert_allclose(data.user_preference.sum(axis=1), 1, atol=1e-12)


@given(settings(), st.sampled_from(["integer", "list", "sequence", "generator", "bits"]))
def test_each_kind_of_seed_gives_the_same_data_again(arguments, kind):
    seed = arguments.pop("rng") % 2**31
    arguments["n_clusters"] += 1  # one cluster has one preference
    make = {
        "integer": lambda: np.int64(seed),
        "list": lambda: (seed, 3),
        "sequence": lambda: np.random.SeedSequence(seed, spawn_key=(1,)),
        "generator": lambda: np.random.default_rng(seed),
        "bits": lambda: np.random.MT19937(seed),
    }[kind]
    rng = make()
    before = copy.deepcopy(rng)
    one, other = simulate_interactions(40, **arguments, rng=rng), simulate_interactions(40, **arguments, rng=make())
    assert_same(one.X, other.X)
    np.testing.assert_array_equal(one.user_preference, other.user_preference)
    again = simulate_interactions(40, **arguments, rng=rng)
    keyed = kind not in ("generator", "bits")  # a seed stays as it is, a stream moves on
    assert np.array_equal(again.user_preference, one.user_preference) == keyed
    assert_same(simulate_interactions(40, **arguments, rng=before).X, one.X)
    if kind == "integer":
        assert_same(simulate_interactions(40, **arguments, rng=np.random.SeedSequence(seed)).X, one.X)
    if kind == "sequence":
        assert rng.n_children_spawned == 0
        rng.spawn(3)
        assert_same(simulate_interactions(40, **arguments, rng=rng).X, one.X)


def test_no_seed_is_another_one_each_time():
    one, other = (simulate_interactions(40, 10, 3, rng=None) for _ in range(2))
    assert (one.user_preference != other.user_preference).any()


@pytest.mark.parametrize("exponent", [-1000.0, -400.0, 1000.0, 1e308, -1e308])
def test_an_activity_that_is_all_but_certain(exponent):
    """P(k) ∝ k^{−exponent} at the ends of the floats: the fewest items, or the most."""
    X = simulate_users(0, 300, 20, 3, activity_exponent=exponent, rng=1)
    expected = 10 if exponent < 0 else 1
    np.testing.assert_array_equal(np.diff(X.indptr), expected)


def test_a_steep_activity_law_is_the_ratio_of_its_powers():
    """At −400 the powers themselves are no floats; of 9 and 10 items one user in e^{42} has fewer than 10."""
    for exponent in (-400.0, -2.0, 0.5, 3.0):
        law = simulation._activity_law(np.arange(1, 11), exponent)
        logarithms = -exponent * np.log(np.arange(1, 11) / 10)
        expected = np.exp(logarithms - logarithms.max())
        np.testing.assert_allclose(law, expected / expected.sum(), rtol=1e-11)
    for exponent in (670.0, 700.0):  # 3^−670 has lost its digits, 3^−700 is no float
        law = simulation._activity_law(np.arange(3, 6), exponent)
        np.testing.assert_allclose(law, [1.0, 0.75**exponent, 0.6**exponent], rtol=1e-11)


@pytest.mark.parametrize("beta", [50.0, 100.0, 1e4, 1e308])
def test_popularities_of_a_steep_random_law_stay_above_their_smallest(beta):
    data = simulate_interactions(
        5, 20, 2, popularity_law="random", popularity_exponents=(beta, beta), max_activity=2, rng=3
    )
    assert data.item_popularity.min() >= (1 - 1e-12) / 20
    assert data.item_popularity.max() <= (1 + 40 / beta) / 20  # low · (1 − u)^{−1/(β − 1)}, 1 − u above e^{−30}


def popularities(beta, p=400):
    law = {"popularity_law": "random", "popularity_exponents": (beta, beta), "max_activity": 1, "rng": 5}
    return simulate_interactions(1, p, 1, **law).item_popularity


@pytest.mark.parametrize("offset", [0.0, 1e-10, -1e-10, 3e-6, -3e-6, 1e-3])
def test_popularities_near_the_logarithmic_law_keep_their_digits(offset):
    """x^a is uniform between low^a and 1, a = 1 − β: in logarithms, where nothing cancels."""
    low, a = 1 / 400, -offset
    v = np.log(popularities(1.0)) / np.log(low)  # 1 − u, as x = low^(1 − u) at β = 1
    expected = np.exp(np.log1p(v * np.expm1(a * np.log(low))) / a) if a else low**v
    np.testing.assert_allclose(popularities(1.0 + offset), expected, rtol=3e-9)


@pytest.mark.parametrize("beta", [300.0, 2_000.0])
def test_a_steep_random_law_is_exponential_in_the_logarithm(beta):
    excess = np.sort((beta - 1) * np.log(400 * popularities(beta)))
    v = np.log(popularities(1.0)) / np.log(1 / 400)
    np.testing.assert_allclose(excess, np.sort(-np.log(v)), rtol=1e-6, atol=1e-10)


def test_each_user_draws_all_items_or_one():
    everything = simulate_users(0, 50, 7, 2, min_activity=7, max_activity=7, rng=0)
    np.testing.assert_array_equal(everything.toarray(), 1.0)
    one = simulate_users(0, 50, 1, 3, rng=0)
    np.testing.assert_array_equal(one.toarray(), 1.0)
    assert np.diff(simulate_users(0, 400, 7, 2, rng=0).indptr).max() == 3  # half of the items, by default


def test_defaults_are_those_of_the_paper_s_reading():
    law = {"popularity_law": "rank", "popularity_exponents": (0.25, 1.5), "preference_law": "dirichlet",
           "preference_concentration": 1.0, "activity_exponent": 0.5, "min_activity": 1}  # fmt: skip
    said = simulate_interactions(60, 31, 4, **law, max_activity=15, cluster_probabilities=[0.25] * 4, rng=0)
    plain = simulate_interactions(60, 31, 4)
    assert_same(plain.X, said.X)
    np.testing.assert_array_equal(plain.item_popularity, said.item_popularity)
    assert_same(simulate_users(0, 60, 31), simulate_interactions(60, 31, 5, rng=0).X)
    assert simulate_users(0, 1).shape == (1, 1_000)
    assert plain.item_cluster.dtype == np.intp


@pytest.mark.parametrize("name", ["n_users", "n_items", "n_clusters"])
def test_numbers_beyond_32_bits_are_refused_before_anything_is_drawn(name):
    with pytest.raises(ValueError, match=f"{name} takes an integer from 1 to 2147483647"):
        simulate_interactions(**({"n_users": 3, "n_items": 4} | {name: 2**31}))
    with pytest.raises(ValueError, match="count takes an integer from 1 to 2147483647"):
        simulate_users(0, 2**31, 4)


@pytest.mark.parametrize("chances", [[0.5, 0.3, 0.2 - 2e-9], [0.5, 0.3, 0.2 + 2e-9], [0.5, 0.5 + 1e-12, -1e-12]])
def test_chances_of_clusters_sum_to_1(chances):
    with pytest.raises(ValueError, match="cluster_probabilities takes numbers of at least 0 that sum to 1"):
        simulate_interactions(3, 10, 3, cluster_probabilities=chances)
    near = simulate_interactions(3, 10, 3, cluster_probabilities=[0.5, 0.3, 0.2 - 5e-10])  # to 1e-9, then exactly
    exact = simulate_interactions(3, 10, 3, cluster_probabilities=[0.5, 0.3, 0.2])
    np.testing.assert_array_equal(near.item_cluster, exact.item_cluster)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_clusters": 0}, "n_clusters takes an integer .*got 0$"),
        ({"popularity_exponents": (0.5, 0.4)}, "popularity_exponents takes"),
        ({"popularity_exponents": (-1e-9, 0.4)}, "popularity_exponents takes"),
        ({"popularity_exponents": (0.1, 0.2, 0.3)}, "popularity_exponents takes"),
        ({"popularity_exponents": (0.1,)}, "popularity_exponents takes"),
        ({"preference_concentration": -1e-9}, "preference_concentration takes a finite number above 0"),
        ({"activity_exponent": np.nan}, "activity_exponent takes a finite number"),
        ({"max_activity": 0}, r"max_activity takes an integer from 1 to 9 \(n_items\), got 0"),
        ({"max_activity": 10}, r"max_activity takes an integer from 1 to 9 \(n_items\), got 10"),
        ({"max_activity": 3, "min_activity": 4}, r"min_activity takes an integer from 1 to 3 \(max_activity\)"),
        ({"preference_law": None}, "preference_law takes one of"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(arguments, message):
    for call in (lambda **law: simulate_interactions(5, **law), lambda **law: simulate_users(0, 5, **law)):
        with pytest.raises(ValueError, match=message):
            call(**({"n_items": 9, "n_clusters": 2} | arguments))

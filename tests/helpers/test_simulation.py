import ast
import decimal
import inspect
import tracemalloc

import numpy as np
import pytest
from oracles import interactions_by_sorting
from scipy.stats import chisquare, kstest

from cossim_helpers import _draws, _owned, simulate_interactions, simulate_users, simulation


def draw(rng, weights, k_u):
    return _draws._first_to_ring(rng.standard_exponential(weights.shape), weights, k_u)


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


def test_the_stream_of_seed_0_is_the_book_s():
    """Not a property but a promise: these draws are what every stored output was computed from."""
    data = simulate_interactions(1_200, 40, 3, rng=0)
    assert data.X.nnz == 10291
    assert data.X[[0, 700, 1199]].indices[:12].tolist() == [0, 2, 4, 10, 11, 12, 15, 16, 18, 23, 27, 28]


def test_the_defaults_are_those_of_the_docstring():
    five = simulate_interactions(5)
    assert five.user_preference.shape == (5, 5) and np.diff(five.X.indptr).max() <= 500
    for same in (
        simulate_users(0, 5),
        simulate_users(0, 5, 1_000, 5, rng=0),
        simulate_interactions(
            5, 1_000, 5, cluster_probabilities=[0.2] * 5, popularity_law="rank", popularity_exponents=(0.25, 1.5),
            preference_law="dirichlet", preference_concentration=1.0, activity_exponent=0.5, min_activity=1,
            max_activity=500, rng=0,
        ).X,
    ):  # fmt: skip
        assert same.shape == (5, 1_000) and (same != five.X).nnz == 0


def test_the_least_of_each():
    one = simulate_interactions(1, 1, 1)
    assert one.X.toarray().tolist() == [[1.0]] and one.item_popularity.tolist() == [1.0]
    assert simulate_interactions(2, 3, 2, rng=1).X.sum(axis=1).tolist() == [1.0, 1.0]  # half of three, or one
    assert simulate_users(0, 1, 1, 1).toarray().tolist() == [[1.0]]


@pytest.mark.parametrize("exponent", [-1e5, -2e3, -2.5, -1.0, 0.0, 0.5, 1.0, 3.0, 2e3, 1e5])
def test_the_law_of_activity_in_exact_numbers(exponent):
    """Powers of decimals of 50 digits; from 1 on, for a falling law, to the last bit of the plain formula."""
    values = np.arange(3, 40)
    with decimal.localcontext(prec=50):
        exact = [decimal.Decimal(k) ** -decimal.Decimal(exponent) for k in values.tolist()]
        expected = [float(power / sum(exact)) for power in exact]
    steep = 1e-10 if abs(exponent) > 10 else 1e-14  # powers of rounded ratios
    np.testing.assert_allclose(simulation._activity_law(values, exponent), expected, rtol=steep, atol=1e-300)
    if 0 < exponent < 10:
        k = np.arange(1, 500)
        np.testing.assert_array_equal(simulation._activity_law(k, exponent), k**-exponent / np.sum(k**-exponent))


def test_what_the_simulation_made_is_not_copied(monkeypatch):
    monkeypatch.setattr(_owned, "_copied", None)
    assert simulate_interactions(3, 4, 2).X.shape == (3, 4)


def test_a_longer_simulation_begins_with_the_shorter_one():
    short, long = simulate_interactions(730, 30, 3, rng=4), simulate_interactions(2_100, 30, 3, rng=4)
    assert (long.X[:730] != short.X).nnz == 0
    np.testing.assert_array_equal(long.user_preference[:730], short.user_preference)


@pytest.mark.claim("fig1-simulation")
def test_draws_have_the_law_of_drawing_without_replacement():
    """Inclusion frequencies against rng.choice(..., replace=False, p=...), user by user."""
    rng, rounds = np.random.default_rng(0), 20_000
    weights = np.array([8.0, 4.0, 2.0, 1.0, 1.0, 0.5])
    for k in (1, 3, 5):
        drawn = draw(rng, np.tile(weights, (rounds, 1)), np.full(rounds, k))
        looped = [rng.choice(6, k, replace=False, p=weights / weights.sum()) for _ in range(rounds)]
        ours, theirs = np.bincount(drawn, minlength=6) / rounds, np.bincount(np.ravel(looped), minlength=6) / rounds
        error = np.sqrt((ours * (1 - ours) + theirs * (1 - theirs)) / rounds)
        assert (abs(ours - theirs) < 4.5 * error + 1e-12).all()
    first = draw(rng, np.tile(weights, (rounds, 1)), np.ones(rounds, int))
    assert chisquare(np.bincount(first, minlength=6), rounds * weights / weights.sum()).pvalue > 1e-4


def test_a_user_draws_each_item_once_and_never_an_impossible_one():
    weights = np.array([[1.0, 0.0, 2.0, 0.0, 1e-290]])
    assert draw(np.random.default_rng(1), weights, np.array([3])).tolist() == [0, 2, 4]


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


def test_probabilities_are_brought_to_a_sum_of_1():
    found = simulation._cluster_probabilities([0.5, 0.5 + 9e-10], 2)
    assert found.sum() == pytest.approx(1, abs=1e-15) and found[1] / found[0] == pytest.approx(1 + 1.8e-9, abs=1e-15)


@pytest.mark.parametrize(
    ("beta", "low", "rtol"),
    [(0.0, 0.02, 1e-14), (0.5, 1e-3, 1e-14), (1.5, 1e-3, 1e-14), (60.0, 0.02, 1e-8), (500.0, 1e-3, 1e-14),
     (1_000.0, 0.02, 1e-14), (1.0, 1e-3, 1e-14), (1 + 1e-12, 1e-3, 1e-10), (1 + 5e-9, 1e-30, 2e-7),
     (1 - 5e-9, 1e-30, 2e-7)],
)  # fmt: skip
def test_quantiles_of_popularity_in_exact_numbers(beta, low, rtol):
    """(low^a + u (1 − low^a))^(1/a) with a = 1 − β, in decimals of 50 digits."""
    u, one = np.array([0.0, 0.1, 0.5, 0.9, 1 - 1e-9]), decimal.Decimal(1)
    with decimal.localcontext(prec=50):
        a = one - decimal.Decimal(beta)
        least = decimal.Decimal(low) ** a
        expected = [decimal.Decimal(low) ** (one - decimal.Decimal(x)) if a == 0 else
                    (least + decimal.Decimal(x) * (1 - least)) ** (one / a) for x in u.tolist()]  # fmt: skip
    np.testing.assert_allclose(_draws._bounded_power_law(u, beta, low), [float(x) for x in expected], rtol=rtol)


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.95, 1.0, 1.05, 1.5])
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
        ({"n_users": 0}, ValueError, "n_users takes an integer .*got 0$"),
        ({"n_items": 2.5}, TypeError, "n_items takes an integer, got 2.5"),
        ({"n_users": 10**30}, ValueError, "n_users takes an integer from 1 to .*got 10{30}$"),
        ({"n_items": 10**30}, ValueError, "n_items takes an integer from 1 to .*got 10{30}$"),
        ({"n_clusters": 10**30}, ValueError, "n_clusters takes an integer from 1 to .*got 10{30}$"),
        ({"preference_concentration": 1.1e100}, ValueError, "preference_concentration takes .* 1e.?100"),
        ({"n_clusters": -1}, ValueError, "n_clusters takes"),
        (
            {"cluster_probabilities": [0.5, 0.4, 0.2]},
            ValueError,
            "cluster_probabilities .* sum to 1, got .* sum of 1.1",
        ),
        ({"cluster_probabilities": [0.5, 0.4, 0.0]}, ValueError, "cluster_probabilities .* sum of 0.9$"),
        ({"cluster_probabilities": [0.5, 0.5, 1.1e-9]}, ValueError, "cluster_probabilities .* sum of 1.000000001"),
        ({"cluster_probabilities": [1.7e308, 1.7e308, 0]}, ValueError, "cluster_probabilities .* sum of inf$"),
        ({"cluster_probabilities": [1.5, -0.5, 0]}, ValueError, "cluster_probabilities .* at least 0"),
        (
            {"cluster_probabilities": [0.5, 0.5]},
            ValueError,
            "cluster_probabilities takes n_clusters = 3 numbers, got 2",
        ),
        ({"cluster_probabilities": [np.nan, 0.5, 0.5]}, ValueError, "cluster_probabilities takes finite"),
        ({"popularity_law": "zipf"}, ValueError, "popularity_law takes one of .* got 'zipf'"),
        ({"popularity_exponents": (1.5, 0.25)}, ValueError, "popularity_exponents takes"),
        ({"popularity_exponents": (0.1, 0.2, 0.3)}, ValueError, "popularity_exponents takes"),
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


def test_exact_ties_go_to_the_first_and_tiny_weights_are_not_taken_for_zero():
    times = np.tile([2.0, 1.0, 3.0, 2.0], (2, 50))  # a sort that is not stable takes others, and not on each processor
    drawn = _draws._first_to_ring(times, np.ones_like(times), np.array([20, 60]))
    assert drawn.tolist() == [*range(1, 80, 4), *sorted([*range(1, 200, 4), 0, 3, 4, 7, 8, 11, 12, 15, 16, 19])]
    weights = np.array([[1.0, 0.0, 0.0, 0.0, 1e-310]])  # its ringing time is infinite, like that of an impossible item
    with pytest.raises(ValueError, match="the 1 items that have a positive probability for a user, got 2"):
        _draws._first_to_ring(np.ones((1, 5)), weights, np.array([2]))


def test_times_that_float32_cannot_tell_apart_are_told_apart():
    rng = np.random.default_rng(0)
    times = rng.choice([1.0, 2.0, 3.0], (400, 60)) + rng.random((400, 60)) * 1e-9
    k_u = rng.integers(1, 61, 400)
    assert np.median([np.unique(row).size for row in times.astype(np.float32)]) == 3
    expected = np.concatenate([np.sort(np.argsort(row)[:k]) for row, k in zip(times, k_u, strict=True)])
    np.testing.assert_array_equal(_draws._first_to_ring(times.copy(), np.ones_like(times), k_u), expected)


@pytest.mark.parametrize("scale", [1e-300, 1e-45, 1e-38, 1e38, 1e39, 1e300])
def test_times_beyond_float32_are_told_apart(scale):
    """Subnormal, zero or infinite there; one weight in three is 0 besides."""
    rng = np.random.default_rng(1)
    times, weights = rng.exponential(size=(200, 30)), rng.random((200, 30)) / scale
    weights[:, ::3] = 0
    k_u = rng.integers(1, 21, 200)
    with np.errstate(divide="ignore"):
        order = np.argsort(times / weights, axis=1)
    expected = np.concatenate([np.sort(row[:k]) for row, k in zip(order, k_u, strict=True)])
    np.testing.assert_array_equal(_draws._first_to_ring(times, weights, k_u), expected)


def test_more_items_than_a_user_can_like():
    with pytest.raises(ValueError, match=r"max_activity takes at most the 2 items that have a positive prob.* got 3"):
        draw(np.random.default_rng(0), np.array([[1.0, 0.0, 2.0]]), np.array([3]))


@pytest.mark.parametrize("seed", range(12))
def test_every_user_is_who_sorts_first_in_float64(seed):
    """Against blocks drawn as a whole and sorted in float64, with children that NumPy spawns."""
    pick = np.random.default_rng(seed)
    n_users, p, n_clusters = (int(pick.integers(*ends)) for ends in ((1, 1_300), (1, 260), (1, 7)))
    least, most = sorted(int(k) for k in pick.integers(1, p + 1, 2))
    alpha, exponent = pick.choice([None, 0.2, 1.0]), float(pick.uniform(-1, 2))
    data = simulate_interactions(
        n_users,
        p,
        n_clusters,
        popularity_law=pick.choice(["rank", "random"]).item(),
        popularity_exponents=(0.0, 1.5),
        preference_law="uniform" if alpha is None else "dirichlet",
        preference_concentration=alpha or 1.0,
        activity_exponent=exponent,
        min_activity=least,
        max_activity=most,
        rng=seed,
    )
    expected = interactions_by_sorting(
        data, n_clusters, exponent=exponent, least=least, most=most, alpha=alpha, seed=np.random.SeedSequence(seed)
    )
    np.testing.assert_array_equal(data.X.toarray(), expected)


def test_a_seed_sequence_is_all_that_it_holds():
    held = {"entropy": 7, "spawn_key": (2,), "pool_size": 8}
    data = simulate_interactions(600, 40, 3, rng=np.random.SeedSequence(**held))
    law = {"exponent": 0.5, "least": 1, "most": 20, "alpha": 1.0}
    expected = interactions_by_sorting(data, 3, **law, seed=np.random.SeedSequence(**held))
    np.testing.assert_array_equal(data.X.toarray(), expected)


# --- users by number ---


@pytest.mark.parametrize(("first", "count"), [(0, 1), (0, 1_700), (499, 2), (500, 500), (999, 1), (1_234, 321)])
def test_users_are_rows_of_the_whole(first, count):
    law = {"n_items": 90, "n_clusters": 4, "preference_law": "uniform", "activity_exponent": 0.1, "rng": 8}
    part, whole = simulate_users(first, count, **law), simulate_interactions(1_700, **law).X[first : first + count]
    assert part.shape == (count, 90)
    for name in ("indices", "indptr", "data"):
        np.testing.assert_array_equal(getattr(part, name), getattr(whole, name))
        assert getattr(part, name).dtype == getattr(whole, name).dtype


def test_how_many_are_drawn_at_once_changes_nothing(monkeypatch):
    whole = simulate_interactions(700, 64, 3, rng=5).X
    for at_once in (1, 64, 65, 64 * 7, 10**9):
        monkeypatch.setattr(_draws, "TIMES_AT_ONCE", at_once)
        assert (simulate_interactions(700, 64, 3, rng=5).X != whole).nnz == 0
        assert (simulate_users(333, 300, 64, 3, rng=5) != whole[333:633]).nnz == 0


def test_the_users_have_no_end():
    far = 500 * (2**32 + 1) - 1  # two blocks, whose keys take more than a word of 32 bits
    pair = simulate_users(far, 2, 50, rng=2)
    for shift in (0, 1):
        assert (simulate_users(far + shift, 1, 50, rng=2) != pair[[shift]]).nnz == 0
    near = simulate_users(499, 2, 50, rng=2)  # as the lower words alone would have it
    assert (pair != near).nnz > 0


def test_users_far_apart_draw_by_the_law():
    """Pairs of items, of 12,000 users in ranges all over the data, against the probability of each pair."""
    p, ranges = 6, [first for block in range(48) for first in (500 * 3**block + 7,)]
    law = {"n_clusters": 1, "popularity_exponents": (1.0, 1.0), "min_activity": 2, "max_activity": 2, "rng": 11}
    pairs = np.concatenate([simulate_users(first, 250, p, **law).indices.reshape(-1, 2) for first in ranges])
    weights = 1 / np.arange(1.0, p + 1)
    weights /= weights.sum()
    chance = {(i, j): weights[i] * weights[j] * (1 / (1 - weights[i]) + 1 / (1 - weights[j]))
              for i in range(p) for j in range(i + 1, p)}  # fmt: skip
    counts = [np.count_nonzero((pairs == pair).all(axis=1)) for pair in chance]
    assert sum(counts) == len(pairs) == 12_000
    assert chisquare(counts, 12_000 * np.array(list(chance.values()))).pvalue > 1e-4


def test_memory_is_the_result_and_little_more():
    law = {"n_items": 20_000, "max_activity": 200, "rng": 0}
    simulate_users(0, 3, **law)
    tracemalloc.start()
    X = simulate_users(250, 500, **law)
    beyond = tracemalloc.get_traced_memory()[1] - sum(a.nbytes for a in (X.data, X.indices, X.indptr))
    tracemalloc.stop()
    assert beyond < 12e6  # 500 users' times alone are 80 MB


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"first": -1}, ValueError, "first takes an integer at least 0, got -1"),
        ({"first": 0.5}, TypeError, "first takes an integer, got 0.5"),
        ({"count": 0}, ValueError, "count takes an integer .*got 0$"),
        ({"count": 10**30}, ValueError, "count takes an integer from 1 to .*got 10{30}$"),
        ({"n_items": 0}, ValueError, "n_items takes"),
        ({"popularity_law": "zipf"}, ValueError, "popularity_law takes one of"),
        ({"max_activity": 21}, ValueError, r"max_activity takes an integer from 1 to 20 \(n_items\), got 21"),
        ({"rng": -1}, ValueError, "^rng takes .* got -1$"),
    ],
)
def test_bad_input_to_users_names_the_argument(arguments, error, message):
    with pytest.raises(error, match=message):
        simulate_users(**({"first": 0, "count": 3, "n_items": 20} | arguments))


def test_both_functions_take_the_same_laws():
    both = [inspect.signature(function).parameters for function in (simulate_interactions, simulate_users)]
    assert list(both[0])[1:] == list(both[1])[2:]
    assert all(both[0][name].default == both[1][name].default for name in list(both[0])[1:])


def test_no_integer_has_the_width_of_the_platform():
    """Where an int has 32 bits, as in a browser, sums of integers wrap silently: each says its width."""
    for node in ast.walk(ast.parse(inspect.getsource(_draws) + inspect.getsource(simulation))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("np.arange", "np.cumsum", "np.zeros", "np.empty"):
            real = node.args and isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, float)
            assert real or "dtype" in {keyword.arg for keyword in node.keywords}, ast.unparse(node)

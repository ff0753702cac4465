"""Claims of chapter 14, attacked on random and on degenerate instances, without the code of the notebook."""

import itertools
import tracemalloc

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse as sp
from scale_sampler import AliasTables, alias_table, draw_by_alias

import cossim_helpers as ch

SEEDS = range(10)


def cut(X, rng, blocks):
    """X in blocks of rows of random sizes, some of them empty, in random order."""
    places = np.sort(rng.integers(len(X) + 1, size=blocks - 1))
    parts = np.split(X, places)
    return [parts[i] for i in rng.permutation(blocks)]


def by_python(X):
    """XᵀX in Python's integers, which never round."""
    exact = X.astype(object)
    return (exact.T @ exact).astype(np.int64)


# --- scale-blocks ---


@pytest.mark.claim("scale-blocks")
@pytest.mark.parametrize("seed", SEEDS)
def test_whole_numbers_add_up_to_the_bit(seed):
    rng = np.random.default_rng(seed)
    for largest in (1, 50, 30_000, 9_000_000):  # the last: sums of squares just below 2^53
        X = rng.integers(-largest, largest + 1, size=(90, 7))
        X[:, 3] = 0
        expected = by_python(X)
        assert np.diag(expected).max() <= 2**53
        for blocks in (1, 2, 13, 90):
            some = cut(X, rng, blocks)
            assert (ch.gram(some) == expected).all()
            assert (ch.gram([sp.csr_array(part) for part in some if len(part)]) == expected).all()


@pytest.mark.claim("scale-blocks")
def test_the_bound_is_the_last():
    """A sum of squares of 2^53 is exact. The next whole number is one that no float64 holds."""
    up_to = np.array([[94_906_265], [10_884], [171], [8], [2], [1], [1]])
    assert sum(int(x) ** 2 for x in up_to[:, 0]) == 2**53
    for blocks in ([up_to], list(up_to[:, None]), list(up_to[::-1, None])):
        assert int(ch.gram(blocks)[0, 0]) == 2**53
        assert int(ch.gram([*blocks, np.ones((1, 1))])[0, 0]) != 2**53 + 1


@pytest.mark.claim("scale-blocks")
@pytest.mark.parametrize("seed", SEEDS)
def test_simulated_users_in_any_blocks(seed):
    law = {"n_items": 30, "n_clusters": 3, "max_activity": 12, "rng": seed}
    whole = ch.simulate_interactions(1_300, **law).X
    expected = by_python(whole.toarray().astype(int))
    for rows in (1_300, 499, 500, 77):
        starts = range(0, 1_300, rows)
        found = ch.gram(ch.simulate_users(first, min(rows, 1_300 - first), **law) for first in starts)
        assert (found == expected).all()


# --- scale-after ---


@pytest.mark.claim("scale-after")
@pytest.mark.parametrize("seed", SEEDS)
def test_the_gram_matrix_is_enough(seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(60, 9)) @ np.diag(np.geomspace(3, 1, 9))
    _, sigma, Vt = np.linalg.svd(X, full_matrices=False)
    top = ch.spectrum_from_gram(ch.gram(cut(X, rng, 7)), 5)
    lam = float(rng.uniform(0.1, 0.6) * sigma[4])
    S = X.T @ X
    weights = {"Eq. 1": 1 / (1 + lam / sigma[:5] ** 2), "Eq. 2": sigma[:5] - lam}
    fits = {"Eq. 1": ch.solve_product_penalty(top, lam), "Eq. 2": ch.solve_factor_penalty(top, lam)}
    for name, fit in fits.items():
        kernel = Vt[:5].T @ np.diag(weights[name]) @ Vt[:5]
        length = np.sqrt(np.diag(kernel))
        assert ch.item_item_cosine(fit) == pytest.approx(kernel / np.outer(length, length), abs=1e-9)
        W = fit.A @ fit.B.T
        rest = np.trace((np.eye(9) - W).T @ S @ (np.eye(9) - W))
        by_users = sum(np.sum((x_u - x_u @ W) ** 2) for x_u in X)
        assert rest == pytest.approx(by_users, rel=1e-12)


# --- scale-memory ---


@pytest.mark.claim("scale-memory")
def test_memory_does_not_grow_with_the_users():
    """What a loop allocates, NumPy's arrays included, is the same for 5 and for 40 blocks."""

    def peak(blocks):
        tracemalloc.start()
        ch.gram(ch.simulate_users(500 * block, 500, 100) for block in range(blocks))
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(1)
    assert peak(40) < 1.2 * peak(5)


# --- scale-lost-worker ---


@pytest.mark.claim("scale-lost-worker")
@pytest.mark.parametrize("seed", SEEDS)
def test_lost_blocks_are_drawn_again(seed):
    """Workers add up blocks; one is lost in the middle, and others do its blocks, in another order and other pieces."""
    rng = np.random.default_rng(seed)
    law = {"n_items": 40, "max_activity": 15, "rng": seed}
    starts = rng.permutation(np.arange(0, 3_000, 250))
    expected = ch.gram([ch.simulate_interactions(3_000, **law).X])
    kept, lost = starts[:7], starts[7:]
    total = ch.gram(ch.simulate_users(int(first), 250, **law) for first in kept)
    again = ch.gram(ch.simulate_users(int(first) + part, 125, **law) for first in lost for part in (125, 0))
    assert (total + again == expected).all()
    assert (total != expected).any()


# --- scale-alias ---


@pytest.mark.claim("scale-alias")
@pytest.mark.parametrize("seed", SEEDS)
def test_a_table_gives_back_its_weights(seed):
    rng = np.random.default_rng(seed)
    cases = [rng.random(7), rng.random(50) ** 8, np.ones(6), np.array([3.0]), np.arange(1.0, 400) ** -1.5]
    for weights in [*cases, np.array([1e-12, 1.0, 0.0])]:
        threshold, alias = alias_table(weights)
        assert threshold.min() >= 0 and threshold.max() <= 1
        total = threshold + np.bincount(alias, 1 - threshold, minlength=len(weights))
        assert total / len(weights) == pytest.approx(weights / weights.sum(), abs=1e-12)


def without_replacement(w, k):
    """The probability of each set of k items, by enumeration of all orders."""
    found = {}
    for order in itertools.permutations(range(len(w)), k):
        chance, left = 1.0, 1.0
        for i in order:
            chance, left = chance * w[i] / left, left - w[i]
        found[frozenset(order)] = found.get(frozenset(order), 0) + chance
    return found


@pytest.mark.claim("scale-alias")
def test_the_first_different_draws_have_the_law_of_draws_without_replacement():
    w = np.array([0.45, 0.3, 0.12, 0.08, 0.05])
    rng = np.random.default_rng(0)
    n, k = 60_000, 3
    stream = rng.choice(5, size=(n, 60), p=w)
    sets, draws = {}, 0
    for row in stream:
        taken = []
        for i in row:
            draws += 1
            if i not in taken:
                taken.append(int(i))
            if len(taken) == k:
                break
        assert len(taken) == k
        key = frozenset(taken)
        sets[key] = sets.get(key, 0) + 1
    law = without_replacement(w, k)
    assert sum(law.values()) == pytest.approx(1)
    for key, chance in law.items():
        assert abs(sets.get(key, 0) - n * chance) < 5 * np.sqrt(n * chance)
    orders = itertools.permutations(range(5), k)
    expected = 0.0
    for order in orders:
        chance, left, needed = 1.0, 1.0, 0.0
        for i in order:
            needed += 1 / left
            chance, left = chance * w[i] / left, left - w[i]
        expected += chance * needed
    assert draws / n == pytest.approx(expected, rel=0.01)


@pytest.mark.claim("scale-alias")
@pytest.mark.parametrize("seed", [0, 1])
def test_the_sampler_of_the_study_has_that_law(seed):
    """One cluster, so that all users have the same weights: sets of the users who take two items."""
    popularity = np.array([1.0, 0.6, 0.3, 0.1])
    tables = AliasTables(np.zeros(4, dtype=int), popularity)
    X, draws = draw_by_alias(tables, 60_000, 3, seed)
    k_u = np.diff(X.indptr)
    assert (X.data == 1).all() and draws >= X.nnz
    assert abs(np.bincount(k_u)[1:] / len(k_u) - np.arange(1, 4) ** -0.5 / np.sum(np.arange(1, 4) ** -0.5)).max() < 0.01
    for k in (1, 2, 3):
        rows = X[np.flatnonzero(k_u == k)].toarray() > 0
        for key, chance in without_replacement(popularity / popularity.sum(), k).items():
            count = (rows[:, sorted(key)].all(axis=1)).sum()
            assert abs(count - len(rows) * chance) < 5 * np.sqrt(len(rows) * chance)


@pytest.mark.claim("scale-alias")
def test_it_agrees_with_the_simulation():
    """Several clusters and preferences: how often items, and neighbors together, are taken in both samplers."""
    data = ch.simulate_interactions(20_000, 40, 4, max_activity=12, rng=3)
    ours, _ = draw_by_alias(AliasTables(data.item_cluster, data.item_popularity), 20_000, 12, 4)
    both = []
    for X in (data.X, ours):
        dense = X.toarray()
        both.append(np.r_[dense.sum(axis=0), (dense[:, 1:] * dense[:, :-1]).sum(axis=0)])
    variance = sum(count * (1 - count / 20_000) for count in both)
    z = (both[0] - both[1]) / np.sqrt(variance)
    assert abs(z).max() < 4.5
    assert np.sqrt(np.mean(z**2)) < 1.3


# --- scale-unrelated ---


@pytest.mark.claim("scale-unrelated")
@pytest.mark.parametrize("alpha", [0.2, 1.0, 5.0])
def test_the_cosine_of_unrelated_clusters(alpha):
    """Without the simulation: users draw two items, one after the other, from Gamma likings for two equal clusters."""
    rng = np.random.default_rng(14)
    n = 400_000
    likings = rng.gamma(alpha, size=(n, 2))
    pi = likings[:, 0] / likings.sum(axis=1)
    first, second = rng.random((2, n)) < pi
    same = np.mean(first & second) + np.mean(~first & ~second)
    apart = np.mean(first ^ second)
    assert apart / same == pytest.approx(alpha / (alpha + 1), abs=0.01)


# --- scale-cost: tests/studies/test_scale_study.py ---


@pytest.mark.claim("scale-cost")
def test_a_fit_of_relative_errors_finds_prices_that_are_there():
    """Work with known prices and errors of five percent: the fit gives prices that predict a size it has not seen."""
    rng = np.random.default_rng(1)
    p = np.array([250.0, 500, 1_000, 2_000, 3_000])
    amounts = np.stack([p**2, p**3], axis=1)
    true = np.array([2e-8, 1e-10])
    for _ in range(10):
        seconds = amounts @ true * rng.uniform(0.95, 1.05, size=len(p))
        prices = scipy.optimize.nnls(amounts / seconds[:, None], np.ones(len(p)))[0]
        unseen = np.array([5_000.0**2, 5_000.0**3])
        assert unseen @ prices == pytest.approx(unseen @ true, rel=0.12)

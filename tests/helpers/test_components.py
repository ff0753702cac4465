"""The connected components of the data: what belongs to each, in which order, and what is left out."""

import numpy as np
import pytest
import scipy.sparse as sp
from instances import communities

from cossim_helpers import _components, item_gram, spectrum

FORMS = [np.asarray, sp.csr_array]


def dense(X):
    return X.toarray() if sp.issparse(X) else np.asarray(X)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", range(4))
def test_each_component_is_a_piece_the_largest_first(form, seed):
    rng = np.random.default_rng(seed)
    X, owner = communities(rng, (5, 3), (9, 6), (2, 4), (1, 1), empty=2)
    for number in range(4):
        X[np.argmax(X[:, owner == number].any(axis=1)), owner == number] = 1.0  # one user has all of its items
    X *= rng.uniform(1, 3, (len(X), 1))
    X = np.insert(X, [0, 4], 0.0, axis=0)
    found = list(_components.pieces(form(X)))
    assert len(found) == 4
    sizes = [size for _, _, size in found]
    assert sizes == sorted(sizes, reverse=True)
    seen = []
    for part, items, size in found:
        [number] = set(owner[items])
        np.testing.assert_array_equal(np.sort(items), np.flatnonzero(owner == number))
        own = X[X[:, owner == number].any(axis=1)][:, items]
        rows = dense(part)
        assert sorted(map(tuple, rows[rows.any(axis=1)])) == sorted(map(tuple, own))
        assert size == pytest.approx(np.linalg.norm(own), rel=1e-14)
        seen.append(number)
    assert sorted(seen) == [0, 1, 2, 3]


@pytest.mark.parametrize("form", FORMS)
def test_users_and_items_of_a_piece_keep_their_order(form):
    """Else sums would round in another order on another machine, whose sort leaves ties as it likes."""
    X, owner = communities(np.random.default_rng(0), (90, 40), (120, 60), (30, 20))
    for number in range(3):
        X[np.argmax(X[:, owner == number].any(axis=1)), owner == number] = 1.0
    for part, items, _ in _components.pieces(form(X)):
        np.testing.assert_array_equal(items, np.flatnonzero(owner == owner[items[0]]))
        rows = dense(part)
        np.testing.assert_array_equal(rows[rows.any(axis=1)], X[X[:, items].any(axis=1)][:, items])


@pytest.mark.parametrize("form", FORMS)
def test_one_piece_is_not_cut_and_loses_its_empty_items(form):
    X = np.array([[0.0, 1, 2, 0], [0, 0, 3, 0], [0, 0, 0, 0]])
    [(part, items, size)] = _components.pieces(form(X))
    assert items.tolist() == [1, 2] and size == np.inf
    np.testing.assert_array_equal(dense(part), X[:, 1:3])
    assert list(_components.pieces(form(np.zeros((2, 3))))) == []
    whole = form(X[:2, 1:3])
    [(part, items, _)] = _components.pieces(whole)
    assert items.tolist() == [0, 1] and (part is whole or sp.issparse(part))


@pytest.mark.parametrize("form", FORMS)
def test_links_are_followed_so_many_steps(form, monkeypatch):
    chain = (np.eye(6) + np.eye(6, k=1)) != 0  # user u has items u and u + 1: five steps from the first to the last
    pattern, there = form(chain.astype(np.float32) if form is sp.csr_array else chain), np.ones(6, bool)
    first = np.arange(6) == 0
    np.testing.assert_array_equal(_components._linked(pattern, first), np.arange(6) < 2)
    np.testing.assert_array_equal(_components._linked(pattern, np.arange(6) == 3), [0, 0, 1, 1, 1, 0])
    np.testing.assert_array_equal(_components._linked(pattern, ~there), ~there)
    for steps, told in ((5, False), (6, True)):  # the last look comes before the step
        monkeypatch.setattr(_components, "_STEPS", steps)
        assert _components._in_one_piece(pattern, there) is told
    apart = np.eye(3) != 0
    pattern = form(apart.astype(np.float32) if form is sp.csr_array else apart)
    assert _components._in_one_piece(pattern, np.ones(3, bool)) is False
    assert _components._in_one_piece(pattern, np.array([False, True, False])) is True


@pytest.mark.parametrize("users", [True, False])
@pytest.mark.parametrize("shape", [(8, 5), (5, 8)])
def test_empty_users_are_left_out_where_the_smaller_side_is_large(users, shape, monkeypatch):
    X = np.random.default_rng(0).integers(1, 4, shape).astype(float)
    X[[0, 3]] = 0.0
    X[1, 1:] = 0.0  # a user of one item
    X[:, 2] = 0.0
    monkeypatch.setattr(_components, "LANCZOS_FROM", 4 if users else 5)
    found = _components._without_empty(sp.csr_array(X), X.any(axis=0))
    expected = X[:, X.any(axis=0)]
    np.testing.assert_array_equal(found.toarray(), expected[X.any(axis=1)] if users else expected)
    assert found.indices.dtype == found.indptr.dtype == np.int32
    filled = np.where(X.any(axis=1)[:, None], 1.0, 0.0) * np.arange(1.0, 1 + shape[1])  # no item is empty
    found = _components._without_empty(sp.csr_array(filled), np.ones(shape[1], bool))
    np.testing.assert_array_equal(found.toarray(), filled[X.any(axis=1)] if users else filled)
    full = sp.csr_array(np.ones(shape))
    assert _components._without_empty(full, np.ones(shape[1], bool)) is full


def test_stored_zeros_are_no_entries_and_stay_with_the_caller():
    X = sp.csr_array((np.array([1.0, 0.0, 2.0]), np.array([0, 1, 2]), np.array([0, 2, 3])), shape=(2, 3))
    for _ in range(2):
        found, pattern, there = _components._stored(X)
        assert found.nnz == 2 and there.tolist() == [True, False, True]
        np.testing.assert_array_equal(pattern.toarray(), [[1, 0, 0], [0, 0, 1]])
    assert X.nnz == 3 and pattern.dtype == np.float32
    clean = sp.csr_array(np.eye(3))
    assert _components._stored(clean)[0] is clean


def test_wide_indices_are_taken():
    X = sp.csr_array(np.kron(np.eye(2), np.ones((3, 2))))
    X.indices, X.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    np.testing.assert_allclose(spectrum(X, 2).sigma, [6**0.5] * 2)
    np.testing.assert_array_equal(item_gram(X), 3 * np.kron(np.eye(2), np.ones((2, 2))))

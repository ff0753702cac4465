"""Laws of all matrices, on what Hypothesis draws from strategies.py: data in every form, and the spectrum."""

import os
from unittest.mock import patch

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from hypothesis.internal.conjecture import providers
from strategies import (
    DTYPES,
    SEEDS,
    SPARSE,
    decorated,
    drawn,
    forms,
    in_form,
    matrices,
    orthonormal,
    planted,
    whole_matrices,
)

from cossim_helpers import (
    _routes,
    _validation,
    cosine_similarity,
    gram,
    item_gram,
    krylov_spectrum,
    spectra,
    spectrum,
    spectrum_from_gram,
)

some = settings(max_examples=max(settings.default.max_examples // 2, 1))


def test_examples_are_the_same_in_each_run():
    """No database, and no number from modules that happen to be loaded."""
    assert settings.default.database is None
    assert settings.default.derandomize == ("LAW_EXAMPLES" not in os.environ)
    assert not providers._get_local_constants()


def svd(X):
    """The oracle: σ, and V as columns."""
    _, sigma, Vt = np.linalg.svd(X, full_matrices=False)
    return sigma, Vt.T


def assert_spectrum_of(X, found, k=None):
    """σ as the docstring of `spectrum` promises, V orthonormal, and V Vᵀ wherever a gap leaves it no choice."""
    sigma, V = svd(X)
    k = sigma.size if k is None else k
    assert found.sigma.shape == (k,) and found.V.shape == (X.shape[1], k)
    assert (abs(found.sigma - sigma[:k]) <= 1e-8 * sigma[:k] + 1e-14 * sigma[0]).all()
    np.testing.assert_allclose(found.V.T @ found.V, np.eye(k), atol=1e-12)
    assert_same_projectors(found.V, V, sigma, k)
    assert not found.V[~X.any(axis=0)][:, found.sigma > 0].any()


def assert_same_projectors(one, other, sigma, k):
    squares = np.append(sigma, 0.0) ** 2
    for j in np.flatnonzero(squares[:k] - squares[1 : k + 1] > 1e-5 * squares[0]) + 1:
        np.testing.assert_allclose(one[:, :j] @ one[:, :j].T, other[:, :j] @ other[:, :j].T, atol=1e-9)


# --- data in every form ---


def parts(X):
    """What holds the numbers of an array, dense or sparse."""
    names = ("data", "indices", "indptr", "row", "col", "offsets")
    return [getattr(X, name) for name in names if hasattr(X, name)] if sp.issparse(X) else [np.asarray(X)]


@given(matrices(), forms)
def test_every_form_is_read_as_the_same_numbers_and_stays_as_it_was(X, form):
    this = in_form(form, X)
    before = [part.copy() for part in parts(this)]
    read = _validation.real_matrix("X", this)
    assert read.dtype == np.float64 and sp.issparse(read) == (form in SPARSE)
    if form in SPARSE:
        assert isinstance(read, sp.csr_array) and read.has_canonical_format
        fresh = sp.csr_array((read.data, read.indices, read.indptr), shape=read.shape)  # its flags are not known yet
        assert fresh.has_canonical_format
    np.testing.assert_array_equal(read.toarray() if form in SPARSE else read, X)
    assert_spectrum_of(X, spectrum(this))
    np.testing.assert_allclose(item_gram(this), X.T @ X, rtol=0, atol=1e-14 * np.linalg.norm(X) ** 2)
    np.testing.assert_allclose(cosine_similarity(this), cosine_similarity(X), atol=1e-14)
    for part, was in zip(parts(this), before, strict=True):
        np.testing.assert_array_equal(part, was)


@given(whole_matrices(), st.sampled_from(DTYPES), forms)
@example(np.array([[1.0, 2.0], [0.0, 3.0]]), "f2", "stored zeros")
@example(np.array([[1.0, 2.0], [0.0, 3.0]]), ">i2", "stored zeros")
def test_whole_numbers_of_every_type_add_up_exactly(X, dtype, form):
    typed = np.minimum(X, 1).astype(dtype) if dtype == "bool" else X.astype(dtype)
    X = typed.astype(float)
    try:
        this = in_form(form, typed)
    except ValueError as error:
        assume("scipy.sparse does not support dtype" not in str(error))
        raise
    exact = X.T @ X  # small whole numbers
    np.testing.assert_array_equal(item_gram(this), exact)
    np.testing.assert_array_equal(gram([this, typed]), 2 * exact)
    assert_spectrum_of(X, spectrum(this))
    np.testing.assert_allclose(cosine_similarity(this), cosine_similarity(X), atol=1e-14)


# --- the spectrum: all ways lead to it ---


@given(matrices(), st.sampled_from(list(_routes.ROUTES)), SEEDS)
def test_each_route_keeps_its_promise(X, name, number):
    k = 1 + number % min(X.shape)
    sigma, V = svd(X)
    found, found_V = _routes.ROUTES[name](sp.csr_array(X), k)
    error = 1e-14 * sigma[0] if name == "triangular" else 1e-14 * sigma[0] ** 2
    power = 1 if name == "triangular" else 2
    np.testing.assert_allclose(found**power, sigma[:k] ** power, rtol=0, atol=error)
    clear = int(np.count_nonzero(sigma[:k] > 3e-3 * sigma[0]))
    assert_same_projectors(found_V, V, sigma, clear)


@some
@given(matrices(), st.sampled_from(list(_routes.ROUTES)), SEEDS)
def test_the_spectrum_is_the_same_whatever_route_the_cost_chooses(X, name, number):
    k = 1 + number % min(X.shape)
    with patch.object(spectra, "cheapest_route", lambda X, k: name):
        assert_spectrum_of(X, spectrum(sp.csr_array(X), k), k)


@given(matrices(), SEEDS, forms)
@example(drawn("counts", 5, 4, 0), 3, "csr array")
def test_blocks_of_rows_give_what_the_whole_gives(X, number, form):
    rng = np.random.default_rng(number)
    ends = np.sort(rng.integers(0, len(X) + 1, rng.integers(0, 4)))
    blocks = [in_form(form, block) if len(block) else block for block in np.split(X, ends)]
    total = gram(iter(blocks))
    np.testing.assert_allclose(total, X.T @ X, rtol=0, atol=1e-14 * np.linalg.norm(X) ** 2)
    np.testing.assert_array_equal(total, total.T)
    k, sigma = 1 + number % min(X.shape), svd(X)[0]
    found = krylov_spectrum(blocks, k)
    np.testing.assert_allclose(found.sigma**2, sigma[:k] ** 2, rtol=0, atol=1e-14 * sigma[0] ** 2)
    assert_same_projectors(found.V, svd(X)[1], sigma, int(np.count_nonzero(sigma[:k] > 3e-3 * sigma[0])))
    assert found.residual.shape == (k,) and 0 <= found.residual.min() and found.residual.max() <= 1e-12


@given(matrices())
def test_the_gram_matrix_gives_the_same_as_the_data(X):
    sigma, V = svd(X)
    found = spectrum_from_gram(sp.csr_array(X.T @ X))
    assert found.sigma.shape == (X.shape[1],)
    full = np.append(sigma, np.zeros(X.shape[1] - sigma.size))
    np.testing.assert_allclose(found.sigma**2, full**2, rtol=0, atol=1e-13 * sigma[0] ** 2)
    assert_same_projectors(found.V, V, sigma, int(np.count_nonzero(sigma > 3e-3 * sigma[0])))
    for k in range(1, X.shape[1] + 1):
        np.testing.assert_array_equal(spectrum_from_gram(X.T @ X, k).sigma, spectrum_from_gram(X.T @ X).sigma[:k])


# --- the spectrum: what moves it, and how ---


@given(matrices(), SEEDS)
def test_names_and_mixtures_of_users_leave_the_spectrum(X, seed):
    rng = np.random.default_rng(seed)
    found = spectrum(X)
    k = found.sigma.size
    slack = {"rtol": 1e-8, "atol": 1e-13 * found.sigma[0]}
    users, items = rng.permutation(len(X)), rng.permutation(X.shape[1])
    renamed = spectrum(X[users][:, items])
    np.testing.assert_allclose(renamed.sigma, found.sigma, **slack)
    assert_same_projectors(renamed.V, found.V[items], found.sigma, k)
    mixed = spectrum(orthonormal(len(X) + 2, len(X), seed) @ X)  # Q X, and two users more
    np.testing.assert_allclose(mixed.sigma[:k], found.sigma, **slack)
    assert_same_projectors(mixed.V, found.V, found.sigma, k)
    twice = spectrum(np.concatenate([X, np.zeros_like(X), X]))
    np.testing.assert_allclose(twice.sigma[:k], np.sqrt(2) * found.sigma, **slack)
    assert_same_projectors(twice.V, found.V, found.sigma, k)
    transposed = spectrum(X.T)
    np.testing.assert_allclose(transposed.sigma, found.sigma, **slack)


@given(matrices(), st.sampled_from([2.0**-600, 2.0**-30, 2.0**20, 2.0**500, -1.0]))
def test_the_unit_of_X_is_that_of_sigma(X, unit):
    found, scaled = spectrum(X), spectrum(unit * X)
    np.testing.assert_allclose(
        scaled.sigma, abs(unit) * found.sigma, rtol=1e-8, atol=1e-14 * abs(unit) * found.sigma[0]
    )
    assert_same_projectors(scaled.V, found.V, found.sigma, found.sigma.size)


@given(matrices(), SEEDS)
def test_no_other_directions_hold_more_of_X(X, seed):
    """Ky Fan and Eckart–Young; and the squares of all σ are those of all entries."""
    found, rng = spectrum(X), np.random.default_rng(seed)
    whole = np.linalg.norm(X) ** 2
    np.testing.assert_allclose(np.sum(found.sigma**2), whole, rtol=1e-12)
    for k in range(1, found.sigma.size + 1):
        V, held = found.V[:, :k], np.sum(found.sigma[:k] ** 2)
        np.testing.assert_allclose(np.linalg.norm(X @ V) ** 2, held, rtol=1e-12)
        np.testing.assert_allclose(np.linalg.norm(X - X @ V @ V.T) ** 2, whole - held, rtol=0, atol=1e-12 * whole)
        near = np.linalg.qr(V + 1e-3 * rng.standard_normal(V.shape))[0]
        for W in (near, orthonormal(X.shape[1], k, seed)):
            assert np.linalg.norm(X @ W) ** 2 <= held + 1e-13 * whole


@given(matrices())
def test_a_user_or_an_item_less_interlaces_the_singular_values(X):
    sigma = spectrum(X).sigma
    slack = 1e-7 * sigma[0]
    for smaller in (X[1:], X[:, 1:]):
        if smaller.size:
            fewer = spectrum(smaller).sigma
            assert (fewer <= sigma[: fewer.size] + slack).all()
            assert (fewer[: sigma.size - 1] >= sigma[1:][: fewer.size] - slack).all()


@given(matrices(), SEEDS)
@example(planted([3.0, 1.0, 1.0, 1e-5], 7, 5, 0), 0)
@example(decorated(drawn("binary", 6, 5, 0), (1, 3), (5,), 6), 1)
def test_a_level_is_exceeded_or_not_whichever_way_sigma_was_rounded(X, number):
    found = spectrum(X)
    levels = svd(X)[0]
    levels = levels[levels > 1e-3 * levels[0]]
    for level in levels:
        above = found.exceeds(level)
        np.testing.assert_array_equal(above, found.sigma > level * (1 + 1e-7))
        assert above.tolist() == sorted(above.tolist(), reverse=True)
        assert (found.exceeds(level * (1 - 1e-6))[: levels.size] == (levels > level * (1 - 1e-7))).all()
    np.testing.assert_array_equal(found.exceeds(0.0), found.sigma > 0)


@pytest.mark.parametrize("many", [1, 5])
def test_zeros_are_told_from_small_values(many):
    """Planted σ from 1 to 1e-7 and zeros, all ways: none of them is off by more than its docstring says."""
    for seed in range(many):
        sigma = np.r_[np.logspace(0, -7, 6), 0.0, 0.0]
        X = planted(sigma, 11, 8, seed)
        for form in (np.asarray, sp.csr_array):
            np.testing.assert_allclose(spectrum(form(X)).sigma, sigma, rtol=1e-8, atol=0)

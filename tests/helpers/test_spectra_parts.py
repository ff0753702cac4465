"""What `spectrum` solves and what it leaves: pieces, low ranks, zeros; and the bounds of `spectrum_from_gram`."""

import dataclasses
import re

import numpy as np
import pytest
import scipy.sparse as sp
from instances import planted_svd

from cossim_helpers import (
    KrylovSpectrum,
    NotSettled,
    Spectrum,
    _owned,
    item_gram,
    krylov_spectrum,
    spectra,
    spectrum,
    spectrum_from_gram,
)
from cossim_helpers._krylov import Ritz

EPS = np.finfo(float).eps
FORMS = [np.asarray, sp.csr_array]
LEANING = np.array([[0.6, 0.8], [-0.8, 0.6]]) @ np.diag([5.0, 1.0]) @ np.array([[0.8, 0.6], [-0.6, 0.8]])


@pytest.fixture
def solved(monkeypatch):
    """The shape of each piece that is solved."""
    made, solve = [], spectra._top_pairs
    monkeypatch.setattr(spectra, "_top_pairs", lambda X, k: made.append(X.shape) or solve(X, k))
    return made


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("diagonal", "k", "pieces"),
    [
        ([2.0, 4, 1, 3], 1, 1),
        ([2.0, 4, 1, 3], 2, 2),
        ([2.0, 4, 1, 3], 4, 4),
        ([3.0, 1, 3], 1, 1),
        ([3.0, 3, 1, 3], 2, 2),
    ],
)
def test_pieces_whose_norm_is_below_the_k_th_value_are_left(form, diagonal, k, pieces, solved):
    found = spectrum(form(np.diag(diagonal)), k)
    np.testing.assert_array_equal(found.sigma, np.sort(diagonal)[::-1][:k])
    assert solved == [(1, 1)] * pieces


@pytest.mark.parametrize("form", FORMS)
def test_a_piece_that_lies_between_two_values_of_another_is_solved(form, solved):
    X = np.zeros((4, 4))
    X[:2, 1:3], X[2, 0], X[3, 3] = LEANING, 2.0, 0.5
    for k, sigma, pieces in ((1, [5.0], 1), (2, [5, 2], 2), (3, [5, 2, 1], 2), (4, [5, 2, 1, 0.5], 3)):
        del solved[:]
        found = spectrum(form(X), k)
        np.testing.assert_allclose(found.sigma, sigma, rtol=1e-14)
        np.testing.assert_allclose(X.T @ (X @ found.V), found.V * found.sigma**2, atol=1e-13)
        assert len(solved) == pieces


def test_a_piece_that_is_solved_late_may_leave_others_unsolved(solved):
    X = np.zeros((4, 4))
    X[:2, :2], X[2, 2], X[3, 3] = LEANING, 2.0, 1.5
    np.testing.assert_allclose(spectrum(X, 2).sigma, [5.0, 2.0], rtol=1e-14)
    assert len(solved) == 2
    np.testing.assert_allclose(spectrum(X, 3).sigma, [5.0, 2.0, 1.5], rtol=1e-14)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("shape", "longest"), [((50, 3), 50), ((3, 50), 50)])
@pytest.mark.parametrize("scale", [1.0, 2.0**-20, 2.0**20])
def test_values_within_rounding_of_the_largest_are_zero(form, shape, longest, scale):
    for share, there in ((longest + 1, True), (longest, False), (longest - 1, False)):
        X = np.zeros(shape)
        X[0, 0], X[1, 1], X[2, 2] = scale, scale * share * EPS, scale / 2
        np.testing.assert_array_equal(spectrum(form(X), 3).sigma, scale * np.array([1.0, 0.5, share * EPS * there]))


@pytest.mark.parametrize(
    ("shape", "name", "asked"),
    [((6, 9), "dense gram", 0), ((9, 6), "dense gram", 0), ((7, 9), "dense gram", 1), ((9, 7), "sparse gram", 1),
     ((9, 7), "lanczos", 0)],
)  # fmt: skip
def test_a_low_rank_is_looked_for_where_an_eigenproblem_would_be_large(shape, name, asked, monkeypatch):
    looks = []
    monkeypatch.setattr(spectra, "LANCZOS_FROM", 6)
    monkeypatch.setattr(spectra, "cheapest_route", lambda X, k: name)
    monkeypatch.setattr(spectra, "low_rank", lambda X: looks.append(X.shape))
    X = np.random.default_rng(0).standard_normal(shape)
    np.testing.assert_allclose(spectrum(sp.csr_array(X), 2).sigma, np.linalg.svd(X)[1][:2], rtol=1e-9)
    assert looks == [shape] * asked


def test_a_low_rank_saves_the_factorization(monkeypatch):
    sigma = np.linspace(2, 1, 9)
    X = planted_svd(sigma, 300, 256, np.random.default_rng(0))[0]
    monkeypatch.setattr(spectra, "triangular", None)
    for k in (9, 10, 20):
        found = spectrum(X, k)
        np.testing.assert_allclose(found.sigma, np.append(sigma, np.zeros(k))[:k], rtol=1e-10, atol=0)
        np.testing.assert_allclose(found.V.T @ found.V, np.eye(k), atol=1e-12)


def test_a_low_rank_gives_as_many_pairs_as_are_asked_for(monkeypatch):
    sigma = [1.0, 1e-3, 1e-4, 1e-5]
    X, _, V = planted_svd(sigma, 300, 256, np.random.default_rng(0))
    monkeypatch.setattr(spectra, "triangular", None)
    for k in (2, 3, 4):
        found = spectra._top_pairs(X, k)
        np.testing.assert_allclose(found[0], sigma[:k], rtol=1e-9)
        np.testing.assert_allclose(abs(found[1].T @ V[:, :k]), np.eye(k), atol=1e-9)


def test_the_triangular_route_is_taken_at_its_word(monkeypatch):
    monkeypatch.setattr(spectra, "cheapest_route", lambda X, k: "triangular")
    monkeypatch.setattr(spectra, "triangular", None)
    monkeypatch.setattr(spectra, "low_rank", None)
    X = np.kron([[1.0, 1], [1, 1 + 1e-6]], np.eye(2)) @ np.diag([1.0, 2, 3, 4])
    np.testing.assert_allclose(spectrum(X).sigma, np.linalg.svd(X)[1], rtol=1e-8)


# --- a Gram matrix ---


@pytest.mark.parametrize("form", FORMS)
def test_a_gram_matrix_of_zeros(form):
    found = spectrum_from_gram(form(np.zeros((3, 3))), 2)
    np.testing.assert_array_equal(found.sigma, [0, 0])
    np.testing.assert_array_equal(found.V, np.eye(3)[:, :2])


def test_asymmetry_is_a_share_of_the_largest_entry_in_size():
    with pytest.raises(ValueError, match=r"^gram takes a positive semidefinite matrix, got an eigenvalue of -1$"):
        spectrum_from_gram([[0.0, -1.0], [-1.0 - 1e-11, 0.0]])
    for largest in ("1e+200", "1e-200", "1"):  # in the unit of the caller
        with pytest.raises(ValueError, match=f"^gram takes a positive .* got an eigenvalue of -{re.escape(largest)}$"):
            spectrum_from_gram(np.diag([-float(largest), float(largest)]))
    with pytest.raises(ValueError, match=r"^k takes an integer from 1 to 2 \(p\), got 0$"):
        spectrum_from_gram(np.eye(2), 0)
    assert spectrum_from_gram(np.eye(2), 1).V.shape == (2, 1)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("power", [450, -450, 3, 0])
def test_powers_of_two_come_back_squared(form, power):
    X = np.array([[3.0, 1.0], [0.0, 2.0]])
    np.testing.assert_array_equal(item_gram(form(2.0**power * X)), 4.0**power * np.array([[9.0, 3.0], [3.0, 5.0]]))
    assert item_gram([[1, 2, 3]]).shape == (3, 3)


# --- what is held ---


def test_what_spectrum_made_is_not_copied(monkeypatch):
    monkeypatch.setattr(_owned, "_copied", None)
    X = np.diag([3.0, 2.0, 1.0])
    for found in (spectrum(X), spectrum_from_gram(X), krylov_spectrum([X], 3)):
        assert found.V.shape == (3, 3)


@pytest.mark.parametrize("p", [2, 8, 9, 20])
@pytest.mark.parametrize(("largest", "error"), [(1.0, 1), (2.0, 4), (300.0, 9e4), (1e3, 1e5), (1e8, 1e8)])
@pytest.mark.parametrize("level", [1.0, 2.0**-30, 2.0**30])
def test_exceeding_is_beyond_the_error_of_the_routes(p, largest, error, level):
    """4 max(p, 8) u times σ_1²/σ_i², up to 1e5, or times σ_1/σ_i where that is more."""
    bound = 4 * max(p, 8) * EPS * error
    for share, beyond in ((0.95, False), (1.1, True)):
        sigma = level * np.array([max(largest, 1 + share * bound), 1 + share * bound])
        assert Spectrum(sigma, np.eye(p)[:, :2]).exceeds(level).tolist() == [beyond or largest > 1, beyond]


def test_exceeds_nothing_where_all_is_zero():
    assert Spectrum([0.0, 0.0], np.eye(2)).exceeds(0.0).tolist() == [False, False]
    assert Spectrum([2.0, 0.0], np.eye(2)).exceeds(0.0).tolist() == [True, False]
    assert Spectrum([1e300, 1e-300, 0.0], np.eye(3)).exceeds(1e-320).tolist() == [True, False, False]
    assert Spectrum([1e300, 1e-300, 0.0], np.eye(3)).exceeds(0.0).tolist() == [True, True, False]
    for wrong in (-1e-300, np.nan, np.inf):
        with pytest.raises(ValueError, match=r"^level takes a finite number of at least 0"):
            Spectrum([1.0], [[1.0]]).exceeds(wrong)
    with pytest.raises(ValueError, match=r"^V takes orthonormal columns, got max\|VᵀV − I\| = (inf|nan)$"):
        Spectrum([1.0, 1.0], [[1e200, 1e200], [1e200, -1e200]])
    assert spectra.GRAM_ITEMS == 5_000  # as the docstring of spectrum says
    with pytest.raises(TypeError, match=r"^level takes a real number"):
        Spectrum([1.0], [[1.0]]).exceeds("1")


def test_passes_that_did_not_suffice_hand_over_what_they_found():
    found = Ritz(np.array([2.0, 1.0]), np.eye(2), np.array([1e-3, 1e-2]), np.array([1.0, 0.25, 0.125]), False)
    with pytest.raises(
        NotSettled, match=r"^passes takes enough .*, got 3, which leave an estimated error of 0\.1 in V V"
    ) as caught:
        spectra.settled_or_raise(found)
    held = caught.value.spectrum
    assert type(held) is KrylovSpectrum and isinstance(caught.value, ValueError)
    for name in ("sigma", "V", "residual", "error"):
        np.testing.assert_array_equal(getattr(held, name), getattr(found, name))
        assert (
            getattr(spectra.settled_or_raise(found._replace(settled=True)), name).tolist()
            == getattr(found, name).tolist()
        )


def test_a_krylov_spectrum_is_a_spectrum_with_a_residual_for_each_pair():
    parts = {"sigma": [2.0, 1.0], "V": np.eye(2), "residual": [0, 1e-9], "error": [1.0, 1e-3, 1e-8]}
    found = KrylovSpectrum(**parts)
    assert found.residual.dtype == np.float64 and found.error.shape == (3,)
    other = KrylovSpectrum(**parts)
    assert found == found and found != other and len({found, other}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.sigma = None
    with pytest.raises(ValueError, match=r"^residual, one for each of sigma: got 1, takes 2$"):
        KrylovSpectrum(**parts | {"residual": [0.0]})
    with pytest.raises(ValueError, match=r"^V takes orthonormal columns"):
        KrylovSpectrum(**parts | {"V": np.ones((2, 2))})

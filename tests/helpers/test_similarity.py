import numpy as np
import pytest
import scipy.sparse as sp
from oracles import cosine_by_loops, random_orthogonal

from cossim_helpers import (
    Factors,
    cosine_similarity,
    item_item_cosine,
    reparameterize,
    rescale,
    rotate,
    user_embeddings,
    user_item_cosine,
    user_user_cosine,
)


@pytest.fixture
def rng():
    return np.random.default_rng(11)


@pytest.fixture
def fit(rng):
    X = (rng.random((12, 7)) < 0.4).astype(float)
    X[:, 2] = 0  # an item nobody consumed
    X[3] = 0  # a user who consumed nothing
    B = rng.standard_normal((7, 3))
    B[5] = 0
    return X, Factors(rng.standard_normal((7, 3)), B)


def test_cosine_against_the_double_loop(rng):
    P, Q = rng.standard_normal((6, 4)), rng.standard_normal((5, 4))
    P[2] = 0
    np.testing.assert_allclose(cosine_similarity(P, Q), cosine_by_loops(P, Q), atol=1e-14)
    np.testing.assert_allclose(cosine_similarity(P), cosine_by_loops(P, P), atol=1e-14)


def test_rounding_never_leads_beyond_one(rng):
    """Of 2,000 rows and what lies opposite to them, hundreds have a product beyond ±1 in the last digit."""
    P = rng.standard_normal((2_000, 5))
    unit = P / np.linalg.norm(P, axis=1)[:, None]
    assert (np.einsum("ij,ij->i", unit, unit) > 1).sum() > 100
    for sign in (1, -1):
        found = cosine_similarity(P, sign * 3 * P)
        assert abs(found).max() == 1.0
        np.testing.assert_allclose(np.diag(found), sign, rtol=1e-15)
    P[7] = 0.0
    np.testing.assert_array_equal(np.diag(cosine_similarity(P)), P.any(axis=1))  # to the last digit


def test_zero_rows_have_cosine_zero_even_with_themselves():
    cosine = cosine_similarity([[0.0, 0.0], [1.0, 2.0]])
    np.testing.assert_allclose(cosine, [[0, 0], [0, 1]], atol=1e-15)


@pytest.mark.parametrize("size", [1e-200, 1e-300, 1e200])
def test_lengths_that_overflow_when_squared(size):
    np.testing.assert_allclose(cosine_similarity([[3 * size, 4 * size]], [[1.0, 0.0]]), [[0.6]], atol=1e-15)


@pytest.mark.parametrize("form", [sp.csr_array, sp.csc_array, sp.coo_array, sp.csr_matrix])
def test_sparse_rows(rng, form):
    P = (rng.random((9, 6)) < 0.4).astype(int)
    P[4] = 0
    np.testing.assert_allclose(cosine_similarity(form(P)), cosine_by_loops(P, P), atol=1e-14)
    np.testing.assert_allclose(cosine_similarity(form(P), P), cosine_by_loops(P, P), atol=1e-14)


@pytest.mark.claim("three-cosines")
def test_the_three_cosines_are_those_of_rows_of_XA_and_B(fit):
    X, f = fit
    users = X @ f.A
    np.testing.assert_allclose(item_item_cosine(f), cosine_by_loops(f.B, f.B), atol=1e-14)
    np.testing.assert_allclose(user_user_cosine(X, f), cosine_by_loops(users, users), atol=1e-14)
    np.testing.assert_allclose(user_item_cosine(X, f), cosine_by_loops(users, f.B), atol=1e-14)
    np.testing.assert_allclose(user_item_cosine(sp.csr_array(X)[2:5], f), cosine_by_loops(users[2:5], f.B), atol=1e-14)


def test_user_embeddings_are_the_rows_of_XA(fit):
    X, f = fit
    for form in (np.asarray, sp.csr_array, sp.coo_matrix):
        np.testing.assert_allclose(user_embeddings(form(X), f), X @ f.A, rtol=1e-14)
    for function in (user_embeddings, user_user_cosine, user_item_cosine):
        with pytest.raises(TypeError, match=r"^factors takes Factors, got tuple"):
            function(X, (f.A, f.B))


@pytest.mark.claim("cosine-magnitude-myth")
def test_positive_row_lengths_do_not_matter_and_column_scales_do(rng):
    P = rng.standard_normal((8, 5))
    lengths = 10 ** rng.uniform(-6, 6, 8)
    np.testing.assert_allclose(cosine_similarity(lengths[:, None] * P), cosine_by_loops(P, P), atol=1e-13)
    assert abs(cosine_similarity(P * [1, 1, 1, 1, 30.0]) - cosine_by_loops(P, P)).max() > 0.3


@pytest.mark.claim("rotation-cosine")
def test_a_rotation_moves_neither_dot_products_nor_cosines(fit, rng):
    X, f = fit
    turned = rotate(f, random_orthogonal(3, rng))
    assert abs(turned.B - f.B).max() > 0.1
    np.testing.assert_allclose(turned.B @ turned.B.T, f.B @ f.B.T, atol=1e-13)
    np.testing.assert_allclose(X @ turned.A @ turned.B.T, X @ f.A @ f.B.T, atol=1e-13)
    np.testing.assert_allclose(item_item_cosine(turned), cosine_by_loops(f.B, f.B), atol=1e-13)


@pytest.mark.claim("general-map-cosine")
def test_only_multiples_of_rotations_keep_every_cosine(fit, rng):
    _, f = fit
    R = random_orthogonal(3, rng)
    kept = reparameterize(f, -2.5 * R)
    np.testing.assert_allclose(item_item_cosine(kept), cosine_by_loops(f.B, f.B), atol=1e-13)
    for G in (np.diag([1.0, 2.0, 3.0]), rng.standard_normal((3, 3)), R @ np.diag([1.0, 1.0, 1.05])):
        # e_i and e_j stay orthogonal only if G Gᵀ is diagonal, e_i + e_j and e_i − e_j only if its diagonal is constant
        probes = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, -1, 0], [0, 1, 1], [0, 1, -1.0]])
        assert abs(cosine_similarity(probes @ G) - cosine_by_loops(probes, probes)).max() > 1e-3


@pytest.mark.claim("eq4-normalization")
def test_normalizing_cannot_undo_D(rng):
    B, d = rng.standard_normal((6, 3)), np.array([1.0, 0.2, 5.0])
    omega = lambda M: np.diag(1 / np.sqrt((M**2).sum(axis=1)))  # noqa: E731
    D = np.diag(d)
    np.testing.assert_allclose(omega(B @ D) @ (B @ D), (omega(B @ D) @ B) @ D, atol=1e-14)  # products associate
    assert abs(omega(B @ D) - omega(B)).max() > 0.1  # but Ω is another one
    assert abs(omega(B @ D) @ B @ D - omega(B) @ B @ D).max() > 0.1
    rescaled = rescale(Factors(B, B), 1 / d)  # B (1/d)⁻¹ = B D
    expected = omega(B @ D) @ B @ D @ D @ B.T @ omega(B @ D)
    np.testing.assert_allclose(item_item_cosine(rescaled), expected, atol=1e-13)
    assert abs(item_item_cosine(rescaled) - item_item_cosine(Factors(B, B))).max() > 0.1


def test_bad_input_names_the_argument(fit):
    X, f = fit
    with pytest.raises(ValueError, match=r"^Q takes finite numbers, got 1 NaN"):
        cosine_similarity([[1.0, 1.0]], [[np.nan, 1.0]])
    with pytest.raises(ValueError, match=r"^X and factors take numbers whose products a float holds"):
        user_embeddings(1e200 * X, Factors(1e200 * f.A, f.B))
    with pytest.raises(ValueError, match=r"^P takes finite numbers, got 1 NaN"):
        cosine_similarity([[np.nan, 1.0]])
    with pytest.raises(ValueError, match=r"^Q, with as many columns as P: got 3, takes 2"):
        cosine_similarity(np.ones((2, 2)), np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"^P takes a non-empty 2-dimensional array"):
        cosine_similarity([1.0, 2.0])
    with pytest.raises(TypeError, match=r"^P takes real numbers"):
        cosine_similarity([["a", "b"]])
    with pytest.raises(TypeError, match=r"^P takes real numbers"):
        cosine_similarity([[1j, 0]])
    with pytest.raises(ValueError, match=r"^X, with as many columns as the A of factors has rows: got 6, takes 7"):
        user_user_cosine(X[:, :6], f)
    with pytest.raises(ValueError, match=r"^X takes finite numbers"):
        user_item_cosine(np.where(X > 0, np.inf, 0), f)
    with pytest.raises(TypeError, match=r"^factors takes Factors, got tuple"):
        item_item_cosine((f.A, f.B))

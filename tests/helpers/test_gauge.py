import numpy as np
import pytest
from oracles import eq1_by_hand, eq2_by_hand, random_orthogonal

from cossim_helpers import Factors, _owned, reparameterize, rescale, rotate


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.fixture
def factors(rng):
    return Factors(rng.standard_normal((6, 3)), rng.standard_normal((6, 3)))


@pytest.mark.claim("eq3-rescaling")
def test_rescale_is_A_D_and_B_over_D(factors, rng):
    d = np.array([2.0, -0.5, 10.0])
    out = rescale(factors, d)
    np.testing.assert_allclose(out.A, factors.A @ np.diag(d), rtol=1e-15)
    np.testing.assert_allclose(out.B, factors.B @ np.linalg.inv(np.diag(d)), rtol=1e-14)
    np.testing.assert_allclose(out.A @ out.B.T, factors.A @ factors.B.T, rtol=1e-12)
    X = rng.standard_normal((9, 6))
    assert eq1_by_hand(X, out.A, out.B, 2.0) == pytest.approx(eq1_by_hand(X, factors.A, factors.B, 2.0), rel=1e-12)
    assert abs(eq2_by_hand(X, out.A, out.B, 2.0) - eq2_by_hand(X, factors.A, factors.B, 2.0)) > 1


@pytest.mark.claim("rotation-invariance")
def test_rotate_keeps_both_objectives(factors, rng):
    out = rotate(factors, random_orthogonal(3, rng))
    X = rng.standard_normal((9, 6))
    for objective in (eq1_by_hand, eq2_by_hand):
        assert objective(X, out.A, out.B, 2.0) == pytest.approx(objective(X, factors.A, factors.B, 2.0), rel=1e-12)


@pytest.mark.claim("gl-invariance")
def test_reparameterize_is_A_G_and_B_G_inverse_transpose(factors, rng):
    G = rng.standard_normal((3, 3))
    out = reparameterize(factors, G)
    np.testing.assert_allclose(out.A, factors.A @ G, rtol=1e-14)
    np.testing.assert_allclose(out.B, factors.B @ np.linalg.inv(G).T, rtol=1e-10)
    np.testing.assert_allclose(out.A @ out.B.T, factors.A @ factors.B.T, atol=1e-11)
    X = rng.standard_normal((9, 6))
    assert eq1_by_hand(X, out.A, out.B, 2.0) == pytest.approx(eq1_by_hand(X, factors.A, factors.B, 2.0), rel=1e-10)


@pytest.mark.claim("gl-invariance")
def test_equal_products_of_full_rank_are_related_by_some_G(factors, rng):
    other = reparameterize(factors, rng.standard_normal((3, 3)))
    G = np.linalg.lstsq(factors.A, other.A, rcond=None)[0]  # A G = A'
    np.testing.assert_allclose(reparameterize(factors, G).B, other.B, atol=1e-10)


def test_special_cases_agree(factors, rng):
    d, R = np.array([1.0, 3.0, 0.25]), random_orthogonal(3, rng)
    for one, two in (
        (rescale(factors, d), reparameterize(factors, np.diag(d))),
        (rotate(factors, R), reparameterize(factors, R)),
    ):
        np.testing.assert_allclose(one.A, two.A, atol=1e-13)
        np.testing.assert_allclose(one.B, two.B, atol=1e-13)


def test_orthogonal_means_to_1e_10(factors):
    """RᵀR = I + E with a largest |E| of 1.6e-10 is refused, of 0.8e-10 taken: one column longer, or leaning."""
    for size, taken in ((0.4e-10, True), (0.8e-10, False)):
        stretched, leaning = np.eye(3), np.eye(3)
        stretched[1, 1] += size  # (RᵀR)_22 = 1 + 2 size
        leaning[0, 2] += 2 * size  # (RᵀR)_13 = 2 size
        for R in (stretched, 2 * np.eye(3) - stretched, leaning, 2 * np.eye(3) - leaning):
            if taken:
                np.testing.assert_array_equal(rotate(factors, R).A, factors.A @ R)
            else:
                with pytest.raises(ValueError, match=r"^R takes an orthogonal matrix, got max\|RᵀR − I\| = 1\.6e-10$"):
                    rotate(factors, R)


def test_within_1e_10_includes_1e_10(factors):
    R = np.eye(3)
    R[0, 2] = 1e-10  # RᵀR − I holds this very number, and nothing larger
    np.testing.assert_array_equal(rotate(factors, R).A, factors.A @ R)


@pytest.mark.parametrize("power", [-300, 300, -249])
def test_powers_of_two_in_G_come_back_in_B(factors, rng, power):
    """Of G and of B alike: (A 2^e G, B 2^−e G⁻ᵀ), whether or not squares of 2^e are floats, to the last digit."""
    G = rng.standard_normal((3, 3))
    moderate, far = reparameterize(factors, G), reparameterize(factors, np.ldexp(G, power))
    np.testing.assert_array_equal(far.A, np.ldexp(moderate.A, power))
    np.testing.assert_array_equal(far.B, np.ldexp(moderate.B, -power))
    large = reparameterize(Factors(factors.A, np.ldexp(factors.B, power)), G)
    np.testing.assert_array_equal(large.B, np.ldexp(moderate.B, power))


def test_columns_that_no_float_holds_are_refused(factors):
    """Too large, or short of digits in one column, though each row keeps other numbers that have all of theirs."""
    small = Factors(factors.A * [1e-300, 1.0, 1.0], factors.B)
    for given, d in ((factors, [1e-310, 1, 1]), (factors, [1, 1e308, 1e308]), (small, [1e-20, 1, 1])):
        given = Factors(1e3 * given.A, given.B)
        with pytest.raises(ValueError, match=r"^d takes numbers by which floats hold the A D and B D⁻¹ of factors"):
            rescale(given, d)


def test_results_that_no_float_holds_are_refused_by_what_made_them(factors):
    turn = np.array([[1.0, 1, 0], [-1, 1, 0], [0, 0, np.sqrt(2)]]) / np.sqrt(2)
    with pytest.raises(ValueError, match=r"^factors takes numbers that floats hold turned, got a result of up to inf"):
        rotate(Factors(np.full((6, 3), 1.5e308) * [1, -1, 1], factors.B), turn)
    for G, far in ((1e300, factors), (1e-300, Factors(factors.A, 1e10 * factors.B))):
        with pytest.raises(ValueError, match=r"^G takes a matrix for which floats hold the A G and B G⁻ᵀ of factors"):
            reparameterize(Factors(1e10 * far.A, far.B), G * np.eye(3))


@pytest.mark.parametrize("R", [1e200 * np.eye(3), [[1e200, 1e200, 0], [1e200, -1e200, 0], [0, 0, 1]]])
def test_an_R_whose_squares_overflow_is_refused_without_a_warning(factors, R):
    with pytest.raises(ValueError, match=r"^R takes an orthogonal matrix, got max\|RᵀR − I\| = (inf|nan)$"):
        rotate(factors, R)


def test_what_a_change_has_made_is_not_copied_once_more(factors, rng, monkeypatch):
    copied = []
    monkeypatch.setattr(_owned, "_copied", lambda value: copied.append(value) or value)
    rescale(factors, [1.0, 2.0, 3.0])
    rotate(factors, random_orthogonal(3, rng))
    reparameterize(factors, 2 * np.eye(3))
    assert not copied
    Factors(factors.A, factors.B)
    assert len(copied) == 2


def test_factors_are_compared_and_hashed_as_objects(factors):
    other = Factors(factors.A, factors.B)
    assert factors == factors and factors != other and len({factors, other, factors}) == 2


@pytest.mark.parametrize("name", ["A", "B"])
def test_factors_hold_finite_floats_of_one_shape(name):
    parts = {"A": np.ones((3, 2), int), "B": np.ones((3, 2), int)}
    f = Factors(**parts)
    assert type(getattr(f, name)) is np.ndarray and getattr(f, name).dtype == np.float64
    assert getattr(Factors(**(parts | {name: [[1, 2], [3, 4], [5, 6]]})), name).tolist() == [[1, 2], [3, 4], [5, 6]]
    wrong = (
        ("a", TypeError),
        (np.full((3, 2), np.inf), ValueError),
        (np.ones(3), ValueError),
        (1j * np.ones((3, 2)), TypeError),
    )
    for value, error in wrong:
        with pytest.raises(error, match=rf"^{name} takes"):
            Factors(**(parts | {name: value}))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda f: rescale(f, [1, 0, 2]), ValueError, r"^d takes nonzero numbers .* got 0 at position 1"),
        (lambda f: rescale(f, [1, np.nan, 2]), ValueError, "^d takes finite numbers"),
        (
            lambda f: rescale(f, [1, 2]),
            ValueError,
            "^d, one entry for each latent dimension of factors: got 2, takes 3",
        ),
        (lambda f: rescale(f, np.eye(3)), ValueError, "^d takes a non-empty 1-dimensional array"),
        (lambda f: rescale((1, 2), [1]), TypeError, "^factors takes Factors, got tuple"),
        (lambda f: rotate(f, 2 * np.eye(3)), ValueError, "^R takes an orthogonal matrix"),
        (lambda f: rotate(f, np.eye(2)), ValueError, r"^R, square .*: got \(2, 2\), takes \(3, 3\)"),
        (lambda f: reparameterize(f, np.ones((3, 3))), ValueError, "^G takes an invertible matrix, got .* rank 1"),
        (lambda f: reparameterize(f, np.full((3, 3), np.inf)), ValueError, "^G takes finite numbers"),
        (lambda f: reparameterize(f, np.ones((3, 2))), ValueError, "^G, square"),
        (lambda f: Factors(f.A, f.B[:, :2]), ValueError, r"^B, with the shape of A: got \(6, 2\), takes \(6, 3\)"),
        (lambda f: Factors(f.A * np.nan, f.B), ValueError, "^A takes finite numbers"),
    ],
)
def test_bad_input_names_the_argument(factors, call, error, message):
    with pytest.raises(error, match=message):
        call(factors)

"""Chapter 7: what items alone determine, what a softmax determines, and what weight decay does to a direction."""

import numpy as np
import pytest
import scipy.optimize
from scipy.special import log_softmax, softmax

from cossim_helpers import Factors, cosine_similarity, reparameterize, whitened_cosine

SEEDS = range(3)


def unit_rows(rng, m, k):
    E = rng.standard_normal((m, k))
    return E / np.linalg.norm(E, axis=1, keepdims=True)


def projector(B):
    left = np.linalg.svd(B, full_matrices=False)[0]
    return left @ left.T


# --- items alone ---


@pytest.mark.claim("whitening-invariant")
@pytest.mark.parametrize("seed", SEEDS)
def test_equal_projectors_are_one_orbit_and_different_ones_are_two(seed):
    rng = np.random.default_rng(seed)
    B, G = rng.standard_normal((12, 4)), rng.standard_normal((4, 4))
    moved = reparameterize(Factors(B, B), G).B
    np.testing.assert_allclose(projector(moved), projector(B), atol=1e-9)
    same_space = projector(B) @ rng.standard_normal((12, 4))  # made without any G
    found = np.linalg.lstsq(B, same_space, rcond=None)[0]
    np.testing.assert_allclose(B @ found, same_space, atol=1e-9)
    assert np.linalg.matrix_rank(found) == 4
    other = B + np.outer(np.eye(12)[0], np.eye(4)[0])  # one entry moved: another space, and out of reach
    assert abs(projector(other) - projector(B)).max() > 0.01
    assert np.linalg.norm(B @ np.linalg.lstsq(B, other, rcond=None)[0] - other) > 0.01


@pytest.mark.claim("whitening-invariant")
@pytest.mark.parametrize("seed", SEEDS)
def test_centered_whitening_is_another_invariant(seed):
    rng = np.random.default_rng(seed)
    B = rng.standard_normal((12, 4)) + 1.0

    def about_the_mean(B):  # by the covariance, as for sentences
        value, vectors = np.linalg.eigh(np.cov(B.T))
        return cosine_similarity((B - B.mean(axis=0)) @ vectors @ np.diag(value**-0.5) @ vectors.T)

    for _ in range(3):
        moved = reparameterize(Factors(B, B), rng.standard_normal((4, 4))).B
        np.testing.assert_allclose(about_the_mean(moved), about_the_mean(B), atol=1e-8)
    by_projector = np.eye(12) - np.ones((12, 12)) / 12
    by_projector = projector(by_projector @ projector(B) @ rng.standard_normal((12, 4)))  # a function of Π alone
    length = np.sqrt(np.diag(by_projector))
    np.testing.assert_allclose(about_the_mean(B), by_projector / np.outer(length, length), atol=1e-8)
    assert abs(about_the_mean(B) - whitened_cosine(Factors(B, B))).max() > 0.1


# --- a softmax ---


def search(users, items, scale, start):
    """Unit vectors and a scale with the same softmax, by least squares from a start; None if it finds none."""
    wanted = log_softmax(scale * users @ items.T, axis=1)
    (n, k), p = users.shape, len(items)

    def unpack(z):
        P, B = z[: n * k].reshape(n, k), z[n * k : -1].reshape(p, k)
        return [E / np.linalg.norm(E, axis=1, keepdims=True) for E in (P, B)] + [z[-1]]

    def off(z):
        P, B, s = unpack(z)
        return (log_softmax(s * P @ B.T, axis=1) - wanted).ravel()

    found = scipy.optimize.least_squares(off, start, xtol=1e-15, ftol=1e-15, gtol=1e-15)
    return unpack(found.x) if found.cost < 1e-18 else None


@pytest.mark.claim("remedy-train-cosine")
@pytest.mark.parametrize("seed", SEEDS)
def test_a_softmax_determines_the_cosines_where_differences_of_items_span(seed):
    rng = np.random.default_rng(seed)
    users, items = unit_rows(rng, 8, 2), unit_rows(rng, 4, 2)  # users: 3 freedoms; differences: 2
    for _ in range(20):
        start = np.concatenate([users.ravel(), items.ravel(), [2.0]])
        found = search(users, items, 2.0, start + 0.3 * rng.standard_normal(start.size))
        if found and found[2] > 0:
            np.testing.assert_allclose(found[1] @ found[1].T, items @ items.T, atol=1e-5)
            assert found[2] == pytest.approx(2.0, abs=1e-5)
            return
    pytest.fail("no start converged")


@pytest.mark.claim("remedy-train-cosine")
@pytest.mark.parametrize("k", [2, 3, 5])
def test_on_a_cone_a_softmax_leaves_the_cosines_free(k):
    rng = np.random.default_rng(k)
    axis = unit_rows(rng, 1, k)[0]
    around = rng.standard_normal((9, k))
    around -= np.outer(around @ axis, axis)
    around /= np.linalg.norm(around, axis=1, keepdims=True)
    users, found = unit_rows(rng, 50, k), []
    for height in (-0.5, 0.0, 0.3, 0.95):
        items = height * axis + np.sqrt(1 - height**2) * around
        np.testing.assert_allclose(np.linalg.norm(items, axis=1), 1)
        found.append((softmax(7 / np.sqrt(1 - height**2) * users @ items.T, axis=1), items @ items.T))
    for probabilities, _ in found[1:]:
        np.testing.assert_allclose(probabilities, found[0][0], atol=1e-13)
    assert abs(found[1][1] - found[3][1]).max() > 0.5
    tilted = items + 0.2 * np.eye(9, k)  # off the cone the same change is seen
    tilted /= np.linalg.norm(tilted, axis=1, keepdims=True)
    lower = tilted + 0.3 * axis
    lower /= np.linalg.norm(lower, axis=1, keepdims=True)
    ratio = np.median(np.linalg.norm(tilted - tilted[0], axis=1)[1:] / np.linalg.norm(lower - lower[0], axis=1)[1:])
    assert abs(softmax(7 * users @ tilted.T, axis=1) - softmax(7 * ratio * users @ lower.T, axis=1)).max() > 1e-4


# --- weight decay ---


@pytest.mark.claim("remedy-train-cosine")
@pytest.mark.parametrize("shrink", [0.3, 0.9, 2.0])
def test_shorter_rows_turn_as_with_a_larger_step(shrink):
    rng = np.random.default_rng(1)
    target, b, eta = rng.standard_normal(4), rng.standard_normal(4), 1e-2

    def loss(b):
        return float((b / np.linalg.norm(b) @ target - 2) ** 2)

    def slope(b):  # by differences: no formula of a gradient
        return np.array([(loss(b + h) - loss(b - h)) / 2e-6 for h in 1e-6 * np.eye(4)])

    def direction(b):
        return b / np.linalg.norm(b)

    turned = direction(shrink * b - eta * slope(shrink * b))
    np.testing.assert_allclose(turned, direction(b - eta / shrink**2 * slope(b)), atol=1e-7)
    assert abs(turned - direction(b - eta * slope(b))).max() > 1e-3
    assert slope(b) @ b == pytest.approx(0, abs=1e-7)

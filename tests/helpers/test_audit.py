"""The audit of vectors: neighbors, one pass, gauges, comparison, repair, by definitions that share no code with it."""

import ast
import importlib
import json
import os
import runpy
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import scipy.optimize
import scipy.special
from instances import with_singular_values

import cossim_helpers as ch
from cossim_helpers.audit.anatomy import anatomy, hubness
from cossim_helpers.audit.command import main
from cossim_helpers.audit.neighbors import DISTANCE, DOT, View, nearest, row_blocks, shared
from cossim_helpers.audit.repair import REPAIRS, default_repair
from cossim_helpers.audit.report import audit_lines, audit_page, comparison_lines

RNG = np.random.default_rng(7)
DATA = ch.simulate_interactions(1500, 200, rng=0)
SPECTRUM = ch.spectrum(DATA.X, 20)
EQ5 = ch.solve_product_penalty(SPECTRUM, 300.0)
EQ2 = ch.solve_factor_penalty(SPECTRUM, 5.0)


def users(factors):
    return ch.user_embeddings(DATA.X, factors)


def brute_force(E, queries, k, transform=lambda x: x, measure="cosine"):
    """The k nearest by sorting all, in float64."""
    moved = transform(np.asarray(E, float))
    score = moved[queries] @ moved.T
    if measure == "cosine":
        score = score / np.linalg.norm(moved, axis=1)
    if measure == "distance":
        score = -((moved[queries, None] - moved[None]) ** 2).sum(axis=2)
    score[np.arange(len(queries)), queries] = -np.inf
    return np.argsort(-score, axis=1)[:, :k]


# --- neighbors ---


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.int8])
def test_neighbors_are_those_of_sorting_all(dtype, monkeypatch):
    monkeypatch.setattr("cossim_helpers.audit.neighbors.NUMBERS", 1000)  # many blocks
    E = (RNG.normal(size=(700, 6)) * 40).astype(dtype)
    queries = np.array([0, 5, 333, 699])
    shift, d2 = np.asarray(E, float).mean(axis=0), np.exp(RNG.uniform(-1, 1, 6))
    basis = RNG.normal(size=(6, 4))
    views = {
        "plain": (View(9), lambda x: x, "cosine"),
        "dot": (View(9, DOT), lambda x: x, "dot"),
        "distance": (View(3, DISTANCE), lambda x: x, "distance"),
        "moved": (
            View(9, weights=d2[:4], shift=shift, basis=basis),
            lambda x: (x - shift) @ basis * np.sqrt(d2[:4]),
            "cosine",
        ),
        "weights": (View(9, DISTANCE, weights=d2), lambda x: x * np.sqrt(d2), "distance"),
        "part": (View(9, weights=d2, part=(1, 2)), lambda x: x * np.sqrt(d2), "cosine"),
    }
    found = nearest(E, queries, [view for view, _, _ in views.values()])
    for ids, (view, transform, measure) in zip(found, views.values()):
        expected = brute_force(E, view.of(queries), view.k, transform, measure)
        if dtype is np.int8:  # whole numbers tie
            assert shared(ids, expected).min() >= 1 - 2 / view.k
        else:
            np.testing.assert_array_equal(ids, expected)


def test_of_equal_rows_the_earlier_one_is_nearer():
    E = np.repeat(np.eye(3), 4, axis=0)
    np.testing.assert_array_equal(nearest(E, np.array([5]), [View(3)])[0], [[4, 6, 7]])


def test_shared_counts_neighbors_whatever_their_order():
    np.testing.assert_allclose(shared(np.array([[1, 2], [3, 4]]), np.array([[2, 9, 1], [8, 9, 3]])), [1.0, 0.5])


# --- one pass ---


def test_anatomy_by_the_definitions(monkeypatch):
    monkeypatch.setattr("cossim_helpers.audit.anatomy.FIRST", (100, 140, 250))
    monkeypatch.setattr("cossim_helpers.audit.anatomy.row_blocks", lambda E: row_blocks(E, 700))  # of 140 rows
    E = RNG.normal(size=(400, 5)) * [3, 1, 1, 0, 0] + [0, 0, 1, 0, 2]
    E[7], E[50], E[399] = E[3], E[3], 0.0
    E[0, 3], E[7, 3] = 0.0, -0.0
    found = anatomy(E)
    lengths = np.linalg.norm(E, axis=1)
    assert (found.zero_rows, found.duplicate_rows) == (1, 2)
    assert (found.dead_dimensions, found.constant_dimensions) == (1, 1)  # dimension 4 is 0 in the last row
    np.testing.assert_allclose([found.shortest, found.longest], [0, lengths.max()])
    np.testing.assert_allclose(found.length_spread, lengths.std() / lengths.mean())
    unit = E[:399] / lengths[:399, None]
    for rows, mean in found.mean_cosine:
        pairs = (unit[:rows] @ unit[:rows].T)[np.triu_indices(min(rows, 399), 1)]
        np.testing.assert_allclose(mean, pairs.mean(), atol=1e-6)
    assert [rows for rows, _ in found.mean_cosine] == [100, 140, 250, 400]
    squares = (unit**2).mean(axis=0)
    assert found.dimension == squares.argmax()
    np.testing.assert_allclose(found.dimension_share, squares.max(), rtol=1e-5)
    np.testing.assert_allclose(found.direction_share, np.linalg.eigvalsh(unit.T @ unit / 399)[-1], rtol=1e-5)
    w = np.linalg.eigvalsh(np.cov(E.T, bias=True))[::-1]
    np.testing.assert_allclose(found.spectrum, w, atol=1e-5)
    np.testing.assert_allclose(found.effective_rank, w.sum() ** 2 / (w**2).sum(), rtol=1e-5)
    np.testing.assert_allclose(found.variances, E.var(axis=0), atol=1e-5)
    assert not found.unit_length and anatomy(unit).unit_length


def test_hubness_by_counting():
    E = RNG.normal(size=(300, 3))
    found = hubness(E, np.arange(300), 5)
    counts = np.bincount(brute_force(E, np.arange(300), 5).ravel(), minlength=300)
    assert (found.largest, found.n_rows) == (counts.max(), 300)
    np.testing.assert_allclose(found.orphans, (counts == 0).mean())
    np.testing.assert_allclose(found.skewness, ((counts - 5) ** 3).mean() / counts.std() ** 3)


# --- the balance of two sides ---


def test_balance_tells_a_penalty_on_both_sides_from_any_gauge_copy():
    assert ch.balance_defect(users(EQ2), EQ2.B) < 1e-10
    assert ch.balance_defect(3 * users(EQ2), EQ2.B) < 1e-10
    for seed in range(10):
        G = np.random.default_rng(seed).normal(size=(20, 20))
        assert ch.balance_defect(users(ch.reparameterize(EQ2, G)), ch.reparameterize(EQ2, G).B) > 0.1
    R = np.linalg.qr(RNG.normal(size=(20, 20)))[0]
    assert ch.balance_defect(users(ch.rotate(EQ2, R)), ch.rotate(EQ2, R).B) < 1e-10
    np.testing.assert_allclose(ch.balance_defect([[1.0, 0.0]], [[0.0, 1.0]]), 1.0)


# --- the audit ---


@pytest.mark.parametrize("trained", ["clip", "cosine-mse"])
def test_sides_of_lower_rank_are_not_counted(trained):
    rng = np.random.default_rng(0)
    P, Q = rng.normal(size=(150, 6)), rng.normal(size=(100, 6))
    dead, narrow = P * (np.arange(6) > 1), rng.normal(size=(150, 4)) @ rng.normal(size=(4, 6))
    for one, two in ((dead, Q), (narrow, Q), (narrow.astype(np.float32), Q), (P, narrow)):
        found = ch.audit_embeddings(two, other=one, trained=trained, k=3, n_queries=10, n_draws=1)
        assert (found.free_directions, found.verdict) == (None, "unclear")


def test_vectors_that_cannot_be_counted_are_unclear(monkeypatch):
    def freedom(*_):
        raise ValueError("P takes vectors in general position")

    monkeypatch.setattr("cossim_helpers.audit.embeddings.freedom", freedom)
    P, Q = RNG.normal(size=(60, 4)), RNG.normal(size=(50, 4))
    found = ch.audit_embeddings(Q, other=P, trained="clip", k=3, n_queries=10, n_draws=1)
    assert (found.free_directions, found.verdict) == (None, "unclear")


@pytest.mark.parametrize("n_queries", [1, 2, 3, 4])
def test_few_queries_are_shared_among_fewer_draws(n_queries):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = ch.audit_embeddings(EQ5.B[:50], n_queries=n_queries)
    assert all(np.isfinite([e.overlap, e.lowest, e.highest, e.within_wide, e.null]).all() for e in found.stability)
    assert "each of 10 draws on 1 queries" in " ".join(audit_lines(found))


def audit(factors, **options):
    return ch.audit_embeddings(factors.B, other=users(factors), n_queries=60, n_draws=2, **options)


@pytest.mark.parametrize("trained", ["unknown", "squared", "dot-decay"])
def test_the_verdict_follows_the_balance(trained):
    assert audit(EQ2, trained=trained).verdict == "pinned"
    assert audit(EQ2, trained=trained).stays == 1.0
    for seed in range(5):
        copy = ch.reparameterize(EQ2, np.random.default_rng(seed).normal(size=(20, 20)))
        assert audit(copy, trained=trained).verdict == "open"
    assert audit(EQ5, trained=trained).verdict == "open"


def with_decay(loss_gradient, decay, rng):
    """A stationary point of a loss of dot products with a penalty on both sides, by a general optimizer."""
    n, p, k = 40, 25, 3

    def objective(flat):
        P, Q = flat[: n * k].reshape(n, k), flat[n * k :].reshape(p, k)
        loss, M = loss_gradient(P @ Q.T)
        gradient = np.concatenate([(M @ Q + 2 * decay * P).ravel(), (M.T @ P + 2 * decay * Q).ravel()])
        return loss + decay * (flat @ flat), gradient

    end = scipy.optimize.minimize(
        objective, rng.normal(size=(n + p) * k), jac=True, method="L-BFGS-B",
        options={"maxiter": 20_000, "maxfun": 50_000, "ftol": 0, "gtol": 1e-9},
    ).x  # fmt: skip
    return end[: n * k].reshape(n, k), end[n * k :].reshape(p, k)


def test_a_softmax_with_decay_is_pinned_and_a_shift_that_it_does_not_see_is_found():
    rng = np.random.default_rng(0)
    taste, items = rng.normal(size=(40, 3)) * [3.0, 1.5, 0.7], rng.normal(size=(25, 3))
    chosen = np.array([rng.choice(25, p=scipy.special.softmax(items @ one)) for one in taste])

    def softmax(Z):
        probability = np.exp(Z - scipy.special.logsumexp(Z, axis=1, keepdims=True))
        loss = -np.log(probability[np.arange(40), chosen]).sum()
        probability[np.arange(40), chosen] -= 1
        return loss, probability

    P, Q = with_decay(softmax, 0.1, rng)
    quick = {"n_queries": 20, "n_draws": 1, "k": 3}
    found = ch.audit_embeddings(Q, other=P, trained="softmax", **quick)
    assert (found.verdict, found.stays) == ("pinned", 1.0) and found.mean_share < 1e-6 and found.balance_defect < 1e-4
    direction = np.linalg.eigh(Q.T @ Q)[1][:, -1]
    shifted = Q + 0.3 * np.linalg.norm(Q, axis=1).mean() * direction
    moved = ch.audit_embeddings(shifted, other=P, trained="softmax", **quick)
    np.testing.assert_allclose(moved.mean_share, 25 * (shifted.mean(axis=0) ** 2).sum() / (shifted**2).sum(), atol=1e-5)
    assert moved.verdict == "open" and moved.stays < 1.0


def test_balance_of_flat_sides_is_no_evidence():
    rng = np.random.default_rng(0)
    P, Q = rng.normal(size=(50_000, 3)), rng.normal(size=(50_000, 3))  # a start that nobody trained
    for trained in ("unknown", "squared", "dot-decay"):
        found = ch.audit_embeddings(Q, other=P, trained=trained, n_queries=20, n_draws=1)
        assert found.balance_defect < 0.02 and found.balance_of_noise < 0.02 and found.verdict == "unclear"
    turned = [ch.balance_defect(P @ np.linalg.qr(rng.normal(size=(3, 3)))[0], Q) for _ in range(20)]
    np.testing.assert_allclose(found.balance_of_noise, np.mean(turned), rtol=0.3)


def test_balance_counts_for_dot_products_only():
    verdicts = {loss: audit(EQ2, trained=loss).verdict for loss in ch.LOSSES}
    of_dot_products = {
        "squared",
        "weighted-als",
        "logistic",
        "skip-gram",
        "dot-decay",
    }  # the blocks of a prefix balance apart
    of_this_cosine = {"cosent"}  # determined, whatever the two sides are
    counted = {"clip", "siglip", "cosine-mse", "siglip-fixed", "infonce-one-sided"}
    assert {
        loss for loss, verdict in verdicts.items() if verdict == "pinned"
    } - counted == of_dot_products | of_this_cosine
    assert verdicts["triplet-cosine"] == "unclear"  # no vector tells which triplets are active
    assert {verdicts[loss] for loss in ("gain-after-norm", "lm-head", "matryoshka-dot", "bpr", "softmax")} == {"open"}


def test_of_unit_rows_balance_says_nothing_if_the_loss_is_unknown():
    unit = EQ2.B / np.linalg.norm(EQ2.B, axis=1, keepdims=True)
    assert ch.balance_defect(unit, unit) < 1e-10
    other = unit[::-1]  # the same rows in another order: the same Gram matrix
    assert ch.audit_embeddings(unit, other=other, n_queries=20, n_draws=1).verdict == "unknown"


def test_decay_that_did_not_converge_is_not_believed():
    assert audit(EQ5, trained="dot-decay").verdict == "open"
    assert "balanced" in audit(EQ5, trained="dot-decay").advice
    assert ch.audit_embeddings(EQ2.B, trained="dot-decay", n_queries=20, n_draws=1).verdict == "unclear"


def test_a_loss_that_determines_the_cosine_is_believed():
    E = RNG.normal(size=(100, 5))
    assert ch.audit_embeddings(E, trained="cosent").verdict == "pinned"
    assert ch.audit_embeddings(E, trained="squared").verdict == "open"
    assert ch.audit_embeddings(E, trained="clip").verdict == "unclear"
    assert ch.audit_embeddings(E).verdict == "unknown"


@pytest.mark.parametrize("trained", ch.LOSSES)
def test_a_condition_reads_as_a_sentence(trained):
    answer = ch.determined(trained).verdicts["item_item_value"]
    if answer.answer == "if":
        found = ch.audit_embeddings(RNG.normal(size=(20, 3)), trained=trained, k=3, n_draws=1)
        assert found.verdict == "unclear"
        assert found.advice.startswith(f"The loss determines this cosine if {answer.condition}. ")
        assert not answer.condition.startswith("if")


def test_free_directions_are_counted_where_both_sides_are_there():
    rng = np.random.default_rng(0)
    P, Q = (M / np.linalg.norm(M, axis=1, keepdims=True) for M in (rng.normal(size=(60, 4)), rng.normal(size=(50, 4))))
    found = ch.audit_embeddings(Q, other=P, trained="clip")
    assert (found.verdict, found.free_directions) == ("pinned", 0)
    P, Q = (
        np.column_stack([0.6 * M[:, :3] / np.linalg.norm(M[:, :3], axis=1, keepdims=True), np.full(len(M), 0.8)])
        for M in (P, Q)
    )
    found = ch.audit_embeddings(Q, other=P, trained="clip")
    assert found.verdict == "open" and found.free_directions > 0


def test_stability_of_a_gauge_by_the_definition():
    found = ch.audit_embeddings(EQ5.B, n_queries=200, n_draws=3, k=5, rng=3)
    shown = {entry.name: entry for entry in found.stability}
    centered = EQ5.B - EQ5.B.mean(axis=0)
    everyone = np.arange(200)
    base = brute_force(EQ5.B, everyone, 5)
    for name, E in (
        ("centered", centered),
        ("standardized", centered / centered.std(axis=0)),
        ("whitened", centered @ np.linalg.inv(np.linalg.cholesky(centered.T @ centered)).T),
    ):
        np.testing.assert_allclose(shown[name].overlap, shared(base, brute_force(E, everyone, 5)).mean(), atol=2e-3)
    np.testing.assert_allclose(
        shown["dot product"].overlap, shared(base, brute_force(EQ5.B, everyone, 5, measure="dot")).mean(), atol=2e-3
    )
    assert all(0 <= e.lowest <= e.overlap <= e.highest <= 1 and e.overlap <= e.within_wide for e in found.stability)


def test_no_gauge_moves_what_spread_1_leaves():
    shown = {e.name: e for e in ch.audit_embeddings(EQ5.B, n_queries=50, n_draws=2, spread=1.0).stability}
    assert shown["a D in the coordinates"].overlap == shown["a G: D in a random basis"].overlap == 1.0


def test_the_draws_of_a_gauge_are_as_wide_as_is_said():
    rng = np.random.default_rng(2)
    E = rng.normal(size=(200, 8))
    shown = {e.name: e for e in ch.audit_embeddings(E, n_draws=40, spread=3.0, k=5).stability}
    everyone, base = np.arange(200), brute_force(E, np.arange(200), 5)
    for name, basis in (("a D in the coordinates", np.eye(8)), ("a G: D in a random basis", None)):
        found = []
        for _ in range(40):
            turned = np.linalg.qr(rng.normal(size=(8, 8)))[0] if basis is None else basis
            d = np.exp(rng.uniform(-np.log(3), np.log(3), 8))
            found.append(shared(base, brute_force(E @ turned * d, everyone, 5)).mean())
        np.testing.assert_allclose(shown[name].overlap, np.mean(found), atol=0.05)
        assert shown[name].lowest <= np.mean(found) <= shown[name].highest


def test_noise_is_as_stable_as_its_own_null():
    E = np.random.default_rng(5).normal(size=(3000, 20)) * np.linspace(1, 0.2, 20) + 0.3
    for entry in ch.audit_embeddings(E).stability:
        if entry.name not in (
            "standardized",
            "a D in the coordinates",
        ):  # its axes are those of the data; the null's are not
            assert abs(entry.overlap - entry.null) < 0.12, entry


def test_the_same_seed_gives_the_same_audit_and_nothing_is_changed():
    E = EQ5.B.copy()
    first, second = (audit_lines(ch.audit_embeddings(E, n_queries=40, n_draws=2, rng=4)) for _ in range(2))
    assert first == second
    np.testing.assert_array_equal(E, EQ5.B)
    E.flags.writeable = False
    ch.audit_embeddings(E, n_queries=40, n_draws=1)


# --- comparison ---


def test_gauge_copies_are_lost_to_coordinates_alone():
    for seed in range(10):
        rng = np.random.default_rng(seed)
        copy = EQ5.B @ rng.normal(size=(20, 20)) + rng.normal(size=20) * 0.1
        found = ch.compare_embeddings(EQ5.B, copy)
        assert found.overlap < 0.95
        np.testing.assert_allclose(found.lost_to_coordinates, found.lost, atol=5e-3)
        np.testing.assert_allclose(found.lost_to_the_model, 0.0, atol=5e-3)
        assert found.map_fit > 0.999


def test_badly_conditioned_copies_are_lost_to_coordinates():
    rng = np.random.default_rng(0)
    E = rng.normal(size=(500, 16)) * np.linspace(3, 0.3, 16)
    left, right = (np.linalg.qr(rng.normal(size=(16, 16)))[0] for _ in range(2))
    copy = E @ (left * np.logspace(0, 6, 16) @ right)
    assert ch.compare_embeddings(copy, E).overlap_mapped > 0.9995


def test_tables_that_are_constant_in_one_half_do_not_warn():
    odd = np.array([[1.0, 0.0]] * 9 + [[0.0, 1.0]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ch.compare_embeddings(odd, odd, k=2).overlap == 1.0
        ch.compare_embeddings(odd, RNG.normal(size=(10, 3)), k=2)


def test_tables_without_a_common_row_that_has_a_length():
    E = np.zeros((6, 2))
    E[:3] = RNG.normal(size=(3, 2))
    with pytest.raises(ValueError, match=r"^E1 and E2 take vectors of which some have a length in both"):
        ch.compare_embeddings(E, E[::-1], k=2)


def test_noise_is_lost_to_the_model_and_a_rotation_loses_nothing():
    rng = np.random.default_rng(0)
    other = ch.compare_embeddings(EQ5.B, rng.normal(size=EQ5.B.shape))
    assert other.lost_to_coordinates < 0.05 and other.overlap < 0.15
    turned = ch.compare_embeddings(EQ5.B, 7 * EQ5.B @ np.linalg.qr(rng.normal(size=(20, 20)))[0])
    assert turned.overlap == 1.0 and turned.rotation_fit > 0.999
    rounded = np.round(EQ5.B / abs(EQ5.B).max(axis=1, keepdims=True) * 127).astype(np.int8)
    assert ch.compare_embeddings(EQ5.B, rounded).overlap > 0.95


def test_a_map_cannot_flatter_itself():
    for seed in range(10):
        rng = np.random.default_rng(seed)
        found = ch.compare_embeddings(rng.normal(size=(60, 25)), rng.normal(size=(60, 25)), k=5)
        assert found.map_fit < 0.0 and found.overlap_mapped < 0.2  # fitted on their own rows maps predict 0.9


def test_the_identity_is_one_of_the_maps():
    for seed in range(8):
        E = np.random.default_rng(seed).normal(size=(30, 12))
        copy = np.round(4 * E).astype(np.int8)
        found = ch.compare_embeddings(E, copy, k=5)
        everyone = np.arange(30)
        expected = shared(brute_force(E, everyone, 5), nearest(copy, everyone, [View(5)])[0]).mean()
        np.testing.assert_allclose(found.overlap, expected)
        assert found.overlap_mapped >= found.overlap  # the fitted map is worse here in 8 of 8 seeds


def test_the_overlaps_by_the_definition():
    rng = np.random.default_rng(1)
    E1, E2 = rng.normal(size=(80, 6)), rng.normal(size=(80, 9))
    found = ch.compare_embeddings(E1, E2, k=4)
    everyone = np.arange(80)
    np.testing.assert_allclose(found.overlap, shared(brute_force(E1, everyone, 4), brute_force(E2, everyone, 4)).mean())
    np.testing.assert_allclose(found.expected_by_chance, 4 / 79)
    np.testing.assert_allclose(found.lost, found.lost_to_coordinates + found.lost_to_the_model)


# --- repair ---


def test_gauge_copies_get_the_same_vectors():
    expected = ch.predicted_item_vectors(users(EQ5), EQ5.B)
    scores = users(EQ5) @ EQ5.B.T
    np.testing.assert_allclose(ch.cosine_similarity(expected), ch.cosine_similarity(scores.T), atol=1e-12)
    np.testing.assert_allclose(expected @ expected.T, scores.T @ scores, atol=1e-9 * (scores**2).sum())
    for seed in range(10):
        copy = ch.reparameterize(EQ5, with_singular_values(np.geomspace(100, 1, 20), 20, seed))
        np.testing.assert_allclose(
            ch.predicted_item_vectors(users(copy), copy.B), expected, atol=1e-11 * abs(expected).max()
        )


def test_other_exponents_by_the_singular_values():
    _, s, Zt = np.linalg.svd(users(EQ5) @ EQ5.B.T, full_matrices=False)
    for exponent in (0.0, 0.3, 0.5, 1.0):
        vectors = ch.predicted_item_vectors(users(EQ5), EQ5.B, exponent=exponent)
        kernel = Zt[:20].T * s[:20] ** (2 - 2 * exponent) @ Zt[:20]
        np.testing.assert_allclose(vectors @ vectors.T, kernel, atol=1e-9 * abs(kernel).max())


def test_balanced_is_what_a_penalty_on_both_sides_chooses():
    vectors = ch.repair_vectors(EQ2.B, users(EQ2), method="balanced")
    np.testing.assert_allclose(ch.cosine_similarity(vectors), ch.item_item_cosine(EQ2), atol=1e-9)


def test_canonical_agrees_with_chapter_11_and_forgets_a_shift():
    P, Q = users(EQ5), EQ5.B
    expected = ch.cosine_similarity(ch.canonical_item_vectors(P, Q))
    for seed in range(5):
        rng = np.random.default_rng(seed)
        G = rng.normal(size=(20, 20))
        moved = ch.repair_vectors(Q @ np.linalg.inv(G).T + rng.normal(size=20), P @ G, method="canonical")
        np.testing.assert_allclose(ch.cosine_similarity(moved), expected, atol=1e-7)


def test_an_item_at_the_mean_has_no_direction():
    rng = np.random.default_rng(0)
    P, Q = rng.normal(size=(20, 3)), rng.normal(size=(5, 3))
    Q = np.vstack([Q, Q.mean(axis=0)])
    for method in ("canonical", "centered"):
        vectors = ch.repair_vectors(Q, P, method=method)
        assert not vectors[5].any() and vectors[:5].any(axis=1).all()
    expected = ch.cosine_similarity(ch.canonical_item_vectors(P, Q))
    np.testing.assert_allclose(ch.cosine_similarity(ch.repair_vectors(Q, P, method="canonical")), expected, atol=1e-12)


def test_directions_of_rounding_are_zero():
    rng = np.random.default_rng(1)
    P, Q = rng.normal(size=(30, 3)) @ rng.normal(size=(3, 4)), rng.normal(size=(20, 4))
    for exponent in (0.0, 0.5, 1.0):
        vectors = ch.predicted_item_vectors(P, Q, exponent=exponent)
        assert not vectors[:, 3].any() and vectors[:, :3].any(axis=0).all()


def test_triplets_of_distances_forget_a_common_translation():
    P, Q, step = users(EQ5), EQ5.B, RNG.normal(size=20)
    before, after = (ch.repair_vectors(Q + h, P + h, trained="triplet-euclidean") for h in (0 * step, step))
    np.testing.assert_allclose(ch.cosine_similarity(after), ch.cosine_similarity(before), atol=1e-9)
    plain = ch.repair_vectors(Q + step, P + step, method="canonical")
    assert abs(ch.cosine_similarity(plain) - ch.cosine_similarity(before)).max() > 0.01


def test_a_table_is_no_other_side_of_itself():
    for trained in ("unknown", "squared", "clip"):
        with pytest.raises(ValueError, match=r"^other takes the vectors of the other side"):
            ch.audit_embeddings(EQ5.B, other=EQ5.B.copy(), trained=trained)
    unit = EQ5.B / np.linalg.norm(EQ5.B, axis=1, keepdims=True)
    assert ch.audit_embeddings(unit, other=unit, trained="tied-cosine", n_queries=20, n_draws=1).verdict == "unclear"


def test_a_dead_direction_stays_zero():
    P, Q = RNG.normal(size=(30, 4)), RNG.normal(size=(20, 4))
    P[:, 3] = 0.0
    for exponent in (0.0, 1.0):
        vectors = ch.predicted_item_vectors(P, Q, exponent=exponent)
        assert vectors.shape == (20, 4) and not vectors[:, 3].any() and vectors[:, :3].any(axis=0).all()


@pytest.mark.parametrize("trained", [*ch.LOSSES, "unknown"])
@pytest.mark.parametrize("has_users", [True, False])
def test_each_loss_has_a_repair_that_can_be_done(trained, has_users):
    method = default_repair(trained, has_users)
    assert has_users or not REPAIRS[method].needs_users
    vectors = ch.repair_vectors(EQ5.B, users(EQ5) if has_users else None, trained=trained)
    assert vectors.shape[0] == 200
    assert (method == "plain") == (trained in ("dot-decay", "cosent", "tied-cosine"))  # their values, or their order


def test_one_side_of_a_softmax_is_not_said_to_be_repaired_by_centering():
    one = ch.audit_embeddings(EQ5.B, trained="bpr", n_queries=20, n_draws=1)
    assert one.verdict == "open" and "give --other" in one.advice and "centered" not in one.advice
    both = audit(EQ5, trained="bpr")
    assert "`repair --method canonical`" in both.advice


def test_what_is_lost_to_the_model_is_held_against_other_trainings():
    lines = comparison_lines(ch.compare_embeddings(EQ5.B, RNG.normal(size=EQ5.B.shape)))
    assert "seed alone" in lines[-1] and "-" not in lines[1].split("rotation predicts")[1]


@pytest.mark.parametrize("method", REPAIRS)
def test_a_repair_leaves_the_callers_vectors(method):
    Q, P = EQ5.B.copy(), users(EQ5)
    ch.repair_vectors(Q, P, method=method)[:] = 0
    np.testing.assert_array_equal(Q, EQ5.B)
    if REPAIRS[method].needs_users:
        with pytest.raises(ValueError, match="users"):
            ch.repair_vectors(Q, method=method)


# --- what is refused ---

GOOD = RNG.normal(size=(12, 3))
BAD = {
    "nan": (np.where(np.arange(36).reshape(12, 3) == 10, np.nan, GOOD), ValueError, "row 3, column 1"),
    "infinite": (np.where(np.arange(36).reshape(12, 3) == 35, np.inf, GOOD), ValueError, "row 11, column 2"),
    "too large": (GOOD * 1e300, ValueError, "float32"),
    "masked": (np.ma.masked_array(GOOD), TypeError, "mask"),
    "objects": (GOOD.astype(object), TypeError, "dtype object"),
    "text": (GOOD.astype(str), TypeError, "dtype"),
    "complex": (GOOD + 1j, TypeError, "dtype complex"),
    "bool": (GOOD > 0, TypeError, "dtype bool"),
    "flat": (GOOD[0], ValueError, "shape"),
    "empty": (GOOD[:0], ValueError, "shape"),
    "short": (GOOD[:1], ValueError, "rows"),
    "none": (7.0, ValueError, "shape"),
    "ragged": ([[1.0], [1.0, 2.0]], ValueError, "takes an array"),
    "zeros": (0 * GOOD, ValueError, "zeros only"),
    "large": (GOOD * 1e25, ValueError, "largest is from"),
    "small": (GOOD * 1e-300, ValueError, "largest is from"),
    "one vector": (0 * GOOD + 1, ValueError, "one vector 12 times"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_vectors_are_refused_by_name(name):
    value, kind, words = BAD[name]
    with pytest.raises(kind, match=words) as error:
        ch.audit_embeddings(value, k=2)
    assert str(error.value).startswith("E ")
    for argument in ("E1", "E2"):
        if name == "zeros":
            continue  # rows of zeros are one vector, too
        tables = {"E1": GOOD, "E2": GOOD} | {argument: value}
        with pytest.raises(kind) as error:
            ch.compare_embeddings(tables["E1"], tables["E2"], k=2)
        assert str(error.value).startswith(argument)
    if name not in ("short", "zeros", "one vector"):
        with pytest.raises(kind, match=r"^other|^P"):
            ch.audit_embeddings(GOOD, other=value, k=2)
        with pytest.raises(kind, match=r"^Q"):
            ch.predicted_item_vectors(GOOD, value)
        with pytest.raises(kind, match=r"^items"):
            ch.repair_vectors(value)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"k": 0}, "k"), ({"k": 12}, "k"), ({"k": 2.5}, "k"), ({"k": True}, "k"),
        ({"k": 2, "n_queries": 0}, "n_queries"), ({"k": 2, "n_draws": 0}, "n_draws"),
        ({"k": 2, "spread": 1e6 + 0.5}, "spread"), ({"k": 2, "n_draws": 2**31}, "n_draws"),
        ({"k": 2, "done": None}, "done"), ({"k": 2, "other": 0 * GOOD}, "other"),
        ({"k": 2, "again": 0 * GOOD + 1}, "again"),
        ({"k": 2, "spread": 0.5}, "spread"), ({"k": 2, "spread": np.nan}, "spread"),
        ({"k": 2, "trained": "bert"}, "trained"), ({"k": 2, "trained": None}, "trained"),
        ({"k": 2, "other": GOOD[:, :2]}, "other"), ({"k": 2, "again": GOOD[:5]}, "again"),
    ],
)  # fmt: skip
def test_bad_settings_are_refused_by_name(options, name, monkeypatch):
    monkeypatch.setattr("cossim_helpers.audit.embeddings.stabilities", None)  # before the search
    with pytest.raises((ValueError, TypeError), match=rf"^{name}\b"):
        ch.audit_embeddings(GOOD, **options)


class Frame:
    """A data frame as far as the audit looks at one."""

    def __init__(self, values, dtypes, ndim=2):
        self.values, self.dtypes, self.ndim, self.shape = values, dtypes, ndim, values.shape

    def to_numpy(self, **options):
        return self.values.astype(options.get("dtype", self.values.dtype))


class Kind:
    """A dtype that is not NumPy's."""

    def __init__(self, kind, name):
        self.kind, self.name = kind, name

    def __repr__(self):
        return self.name


FRAMES = {
    "column": (Frame(GOOD[:, 0], np.dtype(float), ndim=1), ValueError, "E takes vectors, one a row, got a Frame"),
    "text": (Frame(GOOD, [np.dtype(float), np.dtype(object)]), TypeError, "E takes columns of numbers, .* of object"),
    "category": (Frame(GOOD, [Kind("O", "category")]), TypeError, "E takes columns of numbers, .* of category"),
    "truth": (Frame(GOOD, [Kind("b", "boolean")]), TypeError, "E takes columns of numbers, .* of boolean"),
    "date": (
        Frame(GOOD, [Kind("M", "datetime64[us, UTC]")]),
        TypeError,
        "E takes columns of numbers, .* of datetime64",
    ),
}


@pytest.mark.parametrize("name", FRAMES)
def test_frames_that_are_no_table_of_numbers_are_refused_by_name(name):
    frame, kind, words = FRAMES[name]
    with pytest.raises(kind, match=f"^{words}"):
        ch.audit_embeddings(frame, k=2)


@pytest.mark.parametrize("dtypes", [[np.dtype(float)], [Kind("f", "Float64")], [object()], None])
def test_frames_of_numbers_are_taken(dtypes):
    assert ch.audit_embeddings(Frame(GOOD, dtypes), k=2, n_draws=1).n == 12


def test_frames_of_pandas():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(GOOD, columns=list("abc"))
    for good in (frame, frame.astype("Float64"), frame.astype("float32")):
        assert ch.audit_embeddings(good, k=2, n_draws=1).dim == 3
    columns = {"text": "x", "truth": True, "date": pandas.Timestamp("2020", tz="UTC"), "complex": 1j}
    for bad in (frame.a, frame.index, *[frame.assign(**{name: value}) for name, value in columns.items()]):
        with pytest.raises((ValueError, TypeError), match=r"^E takes (vectors|columns)"):
            ch.audit_embeddings(bad, k=2)
    with pytest.raises(ValueError, match=r"row 1, column 3"):
        ch.audit_embeddings(frame.assign(gaps=pandas.array([1, None] * 6, dtype="Int64")), k=2)


def test_again_takes_as_many_rows_as_a_comparison():
    with pytest.raises(ValueError, match=r"^again takes at least 4 rows, got 3"):
        ch.audit_embeddings(GOOD[:3], again=GOOD[:3], k=2)


USERS = RNG.normal(size=(9, 3))
BAD_REPAIRS = {
    "nan": ({"users": np.where(USERS > 1, np.nan, USERS), "method": "predicted"}, "users takes finite"),
    "columns": ({"users": USERS[:, :2], "method": "canonical"}, "users, with as many columns as items"),
    "not needed": ({"users": "text", "method": "centered"}, "users takes vectors"),
    "zero": ({"users": 0 * USERS, "method": "balanced"}, "users and items take vectors with scores"),
    "loss": ({"users": USERS, "method": "predicted", "trained": "bert"}, "trained takes one of"),
    "loss first": ({"users": "text", "method": "nothing", "trained": "bert"}, "trained takes one of"),
    "no user left": ({"users": USERS[:1], "trained": "triplet-euclidean"}, "users and items take vectors with scores"),
}


@pytest.mark.parametrize("name", BAD_REPAIRS)
def test_bad_repairs_are_refused_by_name(name):
    options, words = BAD_REPAIRS[name]
    with pytest.raises((ValueError, TypeError), match=f"^{words}"):
        ch.repair_vectors(GOOD, **options)


def test_items_that_cannot_be_repaired_are_named():
    with pytest.raises(ValueError, match=r"^items takes vectors with scores"):
        ch.repair_vectors(0 * GOOD, method="whitened")
    for vector in ([0.1, 0.3, 1 / 3], [0, 0, 0]):
        for method in ("canonical", "centered"):
            with pytest.raises(ValueError, match=r"^items takes vectors that differ, got one vector 12 times"):
                ch.repair_vectors(0 * GOOD + vector, USERS, method=method)


def test_one_user_is_enough():
    assert ch.repair_vectors(GOOD, USERS[:1], method="canonical").shape == (12, 1)


# --- the report and the command ---


def test_the_audit_imports_numpy_and_nothing_else():
    for path in Path(ch.__file__).parent.glob("audit/*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
            assert {name.split(".")[0] for name in names} <= {*sys.stdlib_module_names, "numpy"}, path.name


@pytest.fixture
def files(tmp_path):
    np.save(tmp_path / "items.npy", EQ5.B)
    np.save(tmp_path / "users.npy", users(EQ5))
    np.save(tmp_path / "again.npy", EQ2.B)
    return {name: str(tmp_path / f"{name}.npy") for name in ("items", "users", "again")} | {
        "out": str(tmp_path / "out.npy")
    }


def test_the_report_has_15_lines_and_ends_in_the_advice(files, capsys):
    options = ["--trained", "squared", "--again", files["again"], "--queries", "50", "--draws", "2"]
    assert main(["audit", files["items"], "--other", files["users"], *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 15 and lines[-1].startswith("OPEN: ") and "chapter" in lines[-1]
    assert main(["audit", files["items"], "--json", "--queries", "50", "--draws", "2"]) == 0
    assert json.loads(capsys.readouterr().out)["n"] == 200
    assert main(["audit", files["items"], "--json", "--queries", "1", "--draws", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["stability"][0]["error"] is None  # one query has no interval


def test_the_page_carries_no_markup_from_a_file_and_loads_nothing():
    page = audit_page(ch.audit_embeddings(EQ5.B, n_queries=30, n_draws=1), '<script>alert("x")</script>')
    assert "<script" not in page and "&lt;script" in page
    assert "http" not in page and "src=" not in page and "url(" not in page


def test_compare_and_repair_from_files(files, capsys):
    assert main(["compare", files["items"], files["items"]]) == 0
    assert "shared: 1.000" in capsys.readouterr().out
    assert main(["repair", files["items"], "--other", files["users"], "--trained", "squared", "-o", files["out"]]) == 0
    np.testing.assert_allclose(np.load(files["out"]), ch.predicted_item_vectors(users(EQ5), EQ5.B))


def test_exit_codes(files, tmp_path, capsys):
    quick = ["--queries", "20", "--draws", "1"]
    assert main(["audit", files["items"], "--fail-under", "0.99", *quick]) == 1
    assert main(["audit", files["items"], "--fail-under", "0", *quick]) == 0
    np.save(tmp_path / "noise.npy", RNG.normal(size=EQ5.B.shape))
    assert main(["compare", files["items"], str(tmp_path / "noise.npy"), "--fail-under", "0.9"]) == 1
    (tmp_path / "bad.csv").write_text("1,2\n3,nan\n5,6\n", encoding="utf-8")
    np.save(tmp_path / "users2.npy", users(EQ2))
    pinned = [files["again"], "--other", str(tmp_path / "users2.npy"), "--trained", "squared"]
    assert main(["audit", *pinned, "--fail-under", "1", *quick]) == 0  # pinned is 1, which is not below 1
    capsys.readouterr()
    assert main(["repair", files["items"], "-o", files["items"]]) == 2
    for output in (files["items"], files["users"], str(tmp_path / "link.npy")):
        if not Path(output).exists():
            os.link(files["items"], output)
        asked = [files["items"], "--other", files["users"], "--again", files["again"], *quick]
        assert main(["audit", *asked, "--report", output]) == 2
        assert main(["repair", files["items"], "--other", files["users"], "-o", output]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("would be written over what is read") == 7
    np.testing.assert_array_equal(np.load(files["items"]), EQ5.B)


WRONG = {
    "a NaN": ("audit bad.csv -k 1", "bad.csv takes finite numbers, got nan (NaN or infinite) in row 1, column 1"),
    "more neighbors than rows": ("audit items.npy -k 9999", "items.npy: k takes an integer from 1 to 199"),
    "two rows": ("audit two.npy", "two.npy takes at least 3 rows, got 2"),
    "zeros": ("audit zero.npy", "zero.npy: E takes vectors of which some have a length"),
    "one vector": ("audit one.npy", "one.npy: E takes vectors that differ"),
    "one other": ("audit items.npy --other zero20.npy", "zero20.npy: other takes vectors"),
    "one vector again": ("audit items.npy --again one.npy", "one.npy: again takes vectors that differ"),
    "repair with zeros": ("repair items.npy --other zero20.npy -o out.npy", "zero20.npy: users"),
    "repair of one": ("repair one.npy -o out.npy", "one.npy: items takes vectors that differ"),
    "other columns": ("audit items.npy --other bad.csv", "bad.csv takes finite"),
    "other dimension": ("audit items.npy --other two.npy", "two.npy: has 3 columns"),
    "other rows": ("audit items.npy --again users.npy", "users.npy: has 1,500 rows"),
    "no such loss": ("audit items.npy --trained bert", "invalid choice: 'bert'"),
    "seed": ("audit items.npy --seed -1", "takes an integer of at least 0, got -1"),
    "share": ("audit items.npy --fail-under nan", "takes a number from 0 to 1, got nan"),
    "no folder": ("audit items.npy --report no/x.html", "x.html: its folder does not exist"),
    "report over items": ("audit items.npy --report items.npy", "items.npy: would be written over"),
    "report over again": ("audit items.npy --again again.npy --report again.npy", "again.npy: would be written over"),
    "report is a folder": ("audit gone.npy --report .", ".: this is a folder"),
    "repair into a folder": ("repair gone.npy -o .", ".: this is a folder"),
    "gone": ("audit gone.npy", "gone.npy: no such file"),
    "pickle": ("audit x.pkl", "a pickle is not loaded"),
    "compare few": ("compare two.npy two.npy", "two.npy takes at least 4 rows"),
    "compare one vector": ("compare items.npy one.npy", "one.npy: E2 takes vectors that differ"),
    "repair without users": ("repair items.npy --method predicted -o out.npy", "users takes the vectors"),
    "repair into text": ("repair gone.npy -o out.csv", "is written as .npy or .npz"),
    "repair over users": ("repair items.npy --other users.npy -o users.npy", "would be written over"),
    "nothing": ("audit", "the following arguments are required: FILE"),
    "no command": ("", "the following arguments are required: command"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_one_line_and_exit_code_2(name, files, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.csv").write_text("1,2\n3,nan\n5,6\n", encoding="utf-8")
    (tmp_path / "x.pkl").write_bytes(b"cos\nsystem\n(S'echo run'\ntR.")
    (
        np.save("two.npy", GOOD[:2]),
        np.save("zero.npy", 0 * EQ5.B),
        np.save("one.npy", 0 * EQ5.B + 1),
        np.save("zero20.npy", 0 * EQ5.B[:5]),
    )
    arguments, words = WRONG[name]
    try:
        code = main(arguments.split())
    except SystemExit as stop:
        code = stop.code
    said = capsys.readouterr()
    assert code == 2 and said.out == "" and said.err.count("\n") == 1 and words in said.err


def test_the_page_of_a_file_whose_name_is_no_text_is_written_after_the_audit(tmp_path, capsys, monkeypatch):
    name = os.fsdecode(bytes(tmp_path) + b"/odd\xff.npy")
    np.save(tmp_path / "plain.npy", EQ5.B)
    os.rename(tmp_path / "plain.npy", name)
    quick = ["--queries", "20", "--draws", "1", "--report", str(tmp_path / "page.html")]
    assert main(["audit", name, *quick]) == 0
    assert "Audit of odd\\udcff.npy" in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert main(["repair", name, "-o", name.replace("odd", "out")]) == 0
    capsys.readouterr()
    monkeypatch.setattr(Path, "write_text", lambda *_, **__: (_ for _ in ()).throw(OSError("disk full")))
    assert main(["audit", name, *quick]) == 2
    said = capsys.readouterr()
    assert "neighbors" in said.out and "disk full" in said.err


@pytest.mark.parametrize(("encoding", "sign"), [("utf-8", "±"), ("ascii", r"\xb1")])
def test_the_command_runs_and_is_silent_in_a_pipe(files, encoding, sign):
    done = subprocess.run(
        [sys.executable, "-m", "cossim_helpers", "audit", files["items"], "--queries", "20", "--draws", "1"],
        capture_output=True, encoding=encoding, check=True, env={**os.environ, "PYTHONIOENCODING": encoding},
    )  # fmt: skip
    assert done.stderr == "" and 5 < done.stdout.count("\n") <= 15 and sign in done.stdout


def test_the_command_ends_with_its_exit_code_and_an_import_runs_nothing(tmp_path, monkeypatch, capsys):
    importlib.import_module("cossim_helpers.__main__")
    monkeypatch.delitem(sys.modules, "cossim_helpers.__main__")
    monkeypatch.setattr(sys, "argv", ["cossim_helpers", "audit", str(tmp_path / "missing.npy")])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("cossim_helpers.__main__", run_name="__main__")
    assert ended.value.code == 2 and "missing.npy" in capsys.readouterr().err


def test_a_comparison_of_few_rows_warns():
    E = RNG.normal(size=(40, 20))
    assert "few rows" in " ".join(comparison_lines(ch.compare_embeddings(E, E)))

"""What every function refuses of its arguments in the same way: tests of the modules name what is their own."""

import inspect
import re
from fractions import Fraction

import numpy as np
import pytest

import cossim_helpers
from cossim_helpers import (
    Factors,
    Recipe,
    audit_embeddings,
    check,
    cluster_auc,
    compare_embeddings,
    cosine_similarity,
    hold_out,
    item_gram,
    krylov_spectrum,
    minimize_factor_penalty,
    minimize_factors,
    minimize_product_penalty,
    score_column_cosine,
    shrinkage,
    simulate_interactions,
    simulate_users,
    solve_factor_penalty,
    solve_product_penalty,
    spectrum,
    spectrum_from_gram,
    train_checkpoints,
    train_cosine,
    train_model,
)

X = np.array([[1.0, 1, 0], [1, 0, 1], [1, 1, 1]])
FIT = solve_product_penalty(spectrum(X), 1.0)
TAKE_ARRAYS = {
    "X": spectrum,
    " X": item_gram,
    "gram": spectrum_from_gram,
    "A": lambda value: Factors(value, X),
    "B": lambda value: Factors(X, value),
    "P": cosine_similarity,
    "sigma": lambda value: shrinkage(value, 1.0),
    "  X": lambda value: score_column_cosine(value, FIT),
    "item_cluster": lambda value: cluster_auc(X, value),
    "   X": hold_out,
    "start[0]": lambda value: minimize_factors(lambda z: (0.0, [z]), [value]),
    "actual": lambda value: check("eq6", value, 1.0),
    "expected": lambda value: check("eq6", X, value),
    "    X": lambda value: train_model(value, Recipe("linear", k=1, epochs=1, batch_size=1)),
    "     X": lambda value: train_cosine(value, 1, steps=1),
}


@pytest.mark.parametrize("name", TAKE_ARRAYS)
@pytest.mark.parametrize("mask", [False, True, [[1, 0, 0], [0, 0, 0], [0, 0, 0]]])
def test_no_mask_is_dropped_in_silence(name, mask):
    with pytest.raises(TypeError, match=rf"^{re.escape(name.strip())} takes an array without a mask"):
        TAKE_ARRAYS[name](np.ma.masked_array(X.astype(int), mask=mask))


@pytest.mark.parametrize("name", TAKE_ARRAYS)
def test_ragged_lists_are_no_arrays(name):
    with pytest.raises(ValueError, match=rf"^{re.escape(name.strip())} takes an array, got what is none"):
        TAKE_ARRAYS[name]([[1, 2], [3]])


@pytest.mark.parametrize("solve", [solve_product_penalty, solve_factor_penalty])
def test_numbers_that_no_float_holds(solve):
    for lam in (10**400, Fraction(10**400), np.longdouble("1e4000")):
        with pytest.raises(ValueError, match=r"^lam takes a finite number of at least 0"):
            solve(spectrum(X), lam)
    with pytest.raises(ValueError, match=r"^X takes finite numbers, got 1 NaN or infinite"):
        spectrum([[np.longdouble("1e4000"), 1.0]])


@pytest.mark.parametrize("solve", [solve_product_penalty, solve_factor_penalty])
def test_any_real_number_is_a_penalty(solve):
    expected = solve(spectrum(X), 0.25)
    for lam in (Fraction(1, 4), np.float16(0.25), np.longdouble(0.25)):
        found = solve(spectrum(X), lam)
        np.testing.assert_array_equal(found.A, expected.A)
        np.testing.assert_array_equal(found.B, expected.B)
        assert found.B.dtype == np.float64


@pytest.mark.parametrize("loss", [np.array(["squared", "softmax"]), np.array("squared"), ["squared"], None, 1])
def test_a_choice_is_one_word(loss):
    with pytest.raises(ValueError, match=r"^loss takes one of"):
        train_cosine(X, 1, loss=loss, steps=1)


@pytest.mark.parametrize("start", [np.array(1.0), "ab", 3.0, None])
def test_a_start_is_a_sequence(start):
    with pytest.raises(TypeError, match=r"^start takes a sequence of arrays"):
        minimize_factors(lambda z: (0.0, [z]), start)


# --- rng ---

MANY = np.random.default_rng(0).integers(0, 2, (12, 8)).astype(float)
MANY[:, :5] = 1
VECTORS = np.random.default_rng(1).standard_normal((12, 8))
ONCE = Recipe("linear", k=2, epochs=1, batch_size=4)
TAKE_RNG = {  # each gives an array that the draws decide
    "audit_embeddings": lambda rng: [
        one.overlap for one in audit_embeddings(VECTORS, k=2, n_draws=5, rng=rng).stability
    ],
    "compare_embeddings": lambda rng: compare_embeddings(VECTORS, MANY, k=2, n_queries=5, rng=rng).overlap,
    "hold_out": lambda rng: hold_out(MANY, 0.4, rng=rng)[1],
    "krylov_spectrum": lambda rng: krylov_spectrum([VECTORS], 2, rng=rng).V,
    "minimize_factor_penalty": lambda rng: minimize_factor_penalty(MANY, 0.5, 2, rng=rng).A,
    "minimize_product_penalty": lambda rng: minimize_product_penalty(MANY, 0.5, 2, rng=rng).A,
    "simulate_interactions": lambda rng: simulate_interactions(30, 40, 2, rng=rng).X.toarray(),
    "simulate_users": lambda rng: simulate_users(20, 30, 40, 2, rng=rng).toarray(),
    "train_checkpoints": lambda rng: train_checkpoints(MANY, ONCE, [1], rng=rng)[1].parameters["W"],
    "train_cosine": lambda rng: train_cosine(MANY, 2, steps=1, rng=rng).factors.A,
    "train_model": lambda rng: train_model(MANY, ONCE, rng=rng).parameters["W"],
}
SEEDS = {"3": (3, np.int64(3), np.array(3), [3], (3,), np.array([3])), "3 and 1": ([3, 1], (3, np.int64(1)))}
NO_SEEDS = (-1, 1.0, 2.5, np.float64(1), True, np.bool_(False), "1", b"1", [], [1, -1], [True], [1.0], [[1, 2]], {1},
            np.array([[1]]), np.random.RandomState(0), np.random, object())  # fmt: skip


@pytest.fixture
def untrained(monkeypatch):
    """Models as they are before JAX trains them, which would compile for seconds at each call: the draws come first."""
    from cossim_helpers.trained import _jax

    monkeypatch.setattr(_jax, "train", lambda X, q, recipe, seed, keep: {1: dict.fromkeys("WB", np.array([[seed]]))})
    monkeypatch.setattr(_jax, "train_cosine", lambda X, A, B, loss, steps, rate: (A, B, 1.0, 0.0))


def test_every_function_with_rng_is_on_the_list():
    public = {name: getattr(cossim_helpers, name) for name in cossim_helpers.__all__}
    takes = {name for name, f in public.items() if inspect.isfunction(f) and "rng" in inspect.signature(f).parameters}
    odd = sorted(takes ^ TAKE_RNG.keys())
    assert not odd, f"in TAKE_RNG, or with an argument rng, but not both: {odd}"


@pytest.mark.usefixtures("untrained")
@pytest.mark.parametrize("name", TAKE_RNG)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_seed_gives_the_same_whatever_holds_it_and_as_often_as_one_asks(name, seed):
    function, (entropy, *others) = TAKE_RNG[name], SEEDS[seed]
    sequence = np.random.SeedSequence(entropy)
    first = function(sequence)
    for same in (sequence, entropy, *others):
        np.testing.assert_array_equal(function(same), first)
    assert sequence.n_children_spawned == 0
    sequence.spawn(3)
    np.testing.assert_array_equal(function(sequence), first)


@pytest.mark.usefixtures("untrained")
@pytest.mark.parametrize("name", TAKE_RNG)
def test_the_state_of_a_generator_decides_and_moves_on(name):
    function = TAKE_RNG[name]
    one, two = np.random.default_rng(3), np.random.Generator(np.random.PCG64(4))
    drawn = [function(one) for _ in range(8)]
    assert one.bit_generator.state != np.random.default_rng(3).bit_generator.state
    assert any(np.any(other != drawn[0]) for other in drawn[1:])
    two.bit_generator.state = np.random.default_rng(3).bit_generator.state  # from another seed, but in the same state
    np.testing.assert_array_equal(function(two), drawn[0])
    bits = np.random.PCG64(3)
    assert all(np.all(function(bits) == of_generator) for of_generator in drawn[:2])


@pytest.mark.usefixtures("untrained")
@pytest.mark.parametrize("name", TAKE_RNG)
def test_no_seed_is_another_one_each_time(name):
    drawn = [TAKE_RNG[name](None) for _ in range(8)]
    assert any(np.any(other != drawn[0]) for other in drawn[1:])


@pytest.mark.parametrize("name", TAKE_RNG)
@pytest.mark.parametrize("rng", NO_SEEDS, ids=lambda rng: type(rng).__name__)
def test_what_is_no_seed_is_refused(name, rng):
    with pytest.raises((TypeError, ValueError), match=r"^rng takes an integer of at least 0, several of them, a Seed"):
        TAKE_RNG[name](rng)


def test_a_start_needs_no_draws_but_a_seed_that_is_one():
    start = Factors(X[:, :1], X[:, :1])
    with pytest.raises(TypeError, match=r"^rng takes"):
        train_cosine(X, 1, start=start, rng=0.5)
    with pytest.raises(TypeError, match=r"^rng takes"):
        minimize_product_penalty(X, 1.0, 1, start=start, rng=True)
    rng = np.random.default_rng(0)
    minimize_product_penalty(X, 1.0, 1, start=start, rng=rng)
    assert rng.bit_generator.state == np.random.default_rng(0).bit_generator.state

"""What frozen objects hold is theirs: no caller's array, nothing that can be written to, whoever made them."""

import copy
import dataclasses
import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from inside import parts

import cossim_helpers
from cossim_helpers import (
    Anatomy,
    Cone,
    ContrastiveModel,
    CosineModel,
    Dial,
    EmbeddingAudit,
    Factors,
    Films,
    Freedom,
    Interactions,
    KrylovSpectrum,
    Moved,
    Recipe,
    Spectrum,
    Table,
    TrainedModel,
    WordVectors,
    audit_embeddings,
    canonical_item_vectors,
    cone,
    determined,
    dial,
    factors_with_neighbors,
    freedom,
    krylov_spectrum,
    lift_into_spare,
    minimize_factor_penalty,
    minimize_product_penalty,
    repair_vectors,
    reparameterize,
    rescale,
    rotate,
    simulate_interactions,
    slide_cone,
    solve_factor_penalty,
    solve_product_penalty,
    spectrum,
    spectrum_from_gram,
    train_contrastive,
    train_cosine,
    train_model,
)

DATACLASSES = {
    name: kind for name in cossim_helpers.__all__ if dataclasses.is_dataclass(kind := getattr(cossim_helpers, name))
}
OF_ANATOMY = ("mean", "variances", "spectrum", "axes")
X = np.array([[1.0, 1, 0, 1], [1, 0, 1, 0], [0, 1, 1, 0], [0, 0, 0, 1], [1, 1, 0, 0]])
E3 = np.random.default_rng(0).standard_normal((12, 3))
UNIT = E3 / np.linalg.norm(E3, axis=1, keepdims=True)
ON_CONE = np.column_stack([np.cos(np.arange(5)), np.sin(np.arange(5)), np.ones(5)]) / np.sqrt(2)
EYE = np.eye(3)


def spectrum_of(*names):
    return {"sigma": np.array([2.0, 1.0, 0.0]), "V": EYE.copy()} | dict.fromkeys(names, np.zeros(3))


# class: arguments that are arrays (each a new one), and the others
MADE = {
    Spectrum: lambda: (spectrum_of(), {}),
    KrylovSpectrum: lambda: (spectrum_of() | {"residual": np.zeros(3), "error": np.ones(2)}, {}),
    Factors: lambda: ({"A": E3.copy(), "B": E3.copy(order="F")}, {}),
    Interactions: lambda: (
        {
            "X": sp.csr_array(X),
            "item_cluster": np.arange(4),
            "item_popularity": np.ones(4),
            "user_preference": np.ones((5, 2)),
        },
        {},
    ),
    Films: lambda: ({"X": X.copy(), "genres": X[0] > 0}, {"titles": ("a",), "genre_names": ("b",)}),
    WordVectors: lambda: ({"vectors": E3.copy()}, {"words": ("a",)}),
    Freedom: lambda: (
        {"dP": np.ones((1, 2, 3)), "dQ": np.ones((1, 2, 3)), "dscale": np.ones(1), "moved": {"cka": 1}},
        {"loss": "clip", "directions": 1, "unused": 0, "kept": 1.0, "dropped": 0.0},
    ),
    ContrastiveModel: lambda: (
        {"P": E3.copy(), "Q": E3.copy()},
        {"scale": 1.0, "excess": 0.0, "gradient": 0.0, "steps": 1},
    ),
    TrainedModel: lambda: ({"parameters": {"W": E3.copy(), "B": E3.copy()}}, {"recipe": Recipe("linear", k=3)}),
    Anatomy: lambda: (
        {"mean": np.ones(3), "variances": np.ones(3), "spectrum": np.ones(3), "axes": EYE.copy()},
        {field.name: 1 for field in dataclasses.fields(Anatomy) if field.name not in OF_ANATOMY},
    ),
    Dial: lambda: (
        {"user_coordinates": np.ones((2, 3)), "item_cluster": np.array([0, 0, 1]), "popularity_rank": np.arange(1, 4)},
        {"spectrum": Spectrum([3.0, 2.0, 1.0], EYE), "lam": 1.0, "k": 2, "exponent": 0.0},
    ),
    Cone: lambda: (
        {"item_angles": np.arange(4.0), "user_angles": np.arange(3.0), "user_lengths": np.full(3, 0.5)},
        {"scale": 1.0, "theta": 60.0},
    ),
    Table: lambda: ({"over": {"a": 1, "b": 1}}, {"caption": "c", "columns": ["", "x"], "rows": [["r", 1.0]]}),
}  # fmt: skip
WITHOUT_ARRAYS = {
    *("Comparison", "CosineModel", "Determined", "EmbeddingAudit", "Hubness"),
    *("Recipe", "Stability", "VarianceShares", "Verdict", "Yardsticks"),
}


def test_each_public_dataclass_is_frozen_and_in_one_of_the_tables():
    assert all(kind.__dataclass_params__.frozen for kind in DATACLASSES.values())
    assert {kind.__name__ for kind in MADE} | WITHOUT_ARRAYS == DATACLASSES.keys()
    arrays = [
        (name, field.name)
        for name in WITHOUT_ARRAYS
        for field in dataclasses.fields(DATACLASSES[name])
        if "ndarray" in str(field.type) or "dict[" in str(field.type)
    ]
    assert arrays == []


@pytest.mark.parametrize("kind", MADE, ids=lambda kind: kind.__name__)
def test_it_holds_what_was_passed_and_shares_none_of_it(kind):
    given, rest = MADE[kind]()
    made = kind(**given, **rest)
    before = copy.deepcopy(made)
    for name, value in given.items():
        for _, array in parts(value):
            assert array.flags.writeable, name
            array[...] = 7 if array.dtype.kind in "iub" else np.nan
        if isinstance(value, dict):
            value.clear()
    held, were = list(parts(made)), list(parts(before))
    assert [where for where, _ in held] == [where for where, _ in were]
    for (where, array), (_, was) in zip(held, were, strict=True):
        np.testing.assert_array_equal(array, was, err_msg=where)
        assert not array.flags.writeable, where
    for name in given:
        if isinstance(getattr(made, name), dict):
            assert getattr(made, name).keys() == getattr(before, name).keys() != set()


@pytest.mark.parametrize("kind", MADE, ids=lambda kind: kind.__name__)
def test_a_view_that_others_can_write_through_is_copied_too(kind):
    given, rest = MADE[kind]()
    views = {name: value[...] if isinstance(value, np.ndarray) else value for name, value in given.items()}
    for view in views.values():
        if isinstance(view, np.ndarray):
            view.flags.writeable = False
    made = kind(**views, **rest)
    for name, value in given.items():
        if isinstance(value, np.ndarray):
            assert not np.shares_memory(getattr(made, name), value), name


@pytest.mark.parametrize("kind", MADE, ids=lambda kind: kind.__name__)
def test_copies_pickles_and_replacements_are_the_same(kind):
    given, rest = MADE[kind]()
    made = kind(**given, **rest)
    for other in (copy.deepcopy(made), pickle.loads(pickle.dumps(made)), dataclasses.replace(made)):
        for (where, array), (_, was) in zip(parts(other), parts(made), strict=True):
            np.testing.assert_array_equal(array, was, err_msg=where)


FIT = solve_product_penalty(spectrum(X), 1.0, 3)
RECIPE = Recipe("linear", k=2, epochs=1, batch_size=2)
RETURNED = {
    "spectrum": lambda: spectrum(X),
    "spectrum, sparse": lambda: spectrum(sp.csr_array(X)),
    "spectrum_from_gram": lambda: spectrum_from_gram(X.T @ X),
    "krylov_spectrum": lambda: krylov_spectrum([X], 2),
    "solve_product_penalty": lambda: FIT,
    "solve_factor_penalty": lambda: solve_factor_penalty(spectrum(X), 0.1),
    "rescale": lambda: rescale(FIT, [1.0, 2.0, 3.0]),
    "rotate": lambda: rotate(FIT, EYE),
    "reparameterize": lambda: reparameterize(FIT, EYE),
    "minimize_product_penalty": lambda: minimize_product_penalty(X, 1.0, 2),
    "minimize_factor_penalty": lambda: minimize_factor_penalty(X, 0.1, 2),
    "factors_with_neighbors": lambda: factors_with_neighbors(FIT, 0, [1]),
    "simulate_interactions": lambda: simulate_interactions(20, 10, 2),
    "freedom": lambda: freedom(E3, E3[:5], "squared"),
    "train_contrastive": lambda: train_contrastive(E3 @ E3.T, E3, E3, steps=2),
    "train_cosine": lambda: train_cosine(X, 2, steps=1),
    "train_model": lambda: train_model(X, RECIPE),
    "audit_embeddings": lambda: audit_embeddings(E3, other=E3[::-1].copy(), trained="clip", k=2),
    "dial": lambda: dial(Spectrum([3.0, 2.0, 1.0], EYE), EYE, [0, 0, 1], [1.0, 2.0, 3.0], lam=1.0),
    "cone": cone,
    "determined": lambda: determined("clip"),
}  # fmt: skip


@pytest.mark.parametrize("made", RETURNED.values(), ids=RETURNED)
def test_what_functions_return_cannot_be_written_to(made):
    found = made()
    assert dataclasses.is_dataclass(found)
    held = list(parts(found))
    assert held or found is determined("clip")
    assert [where for where, array in held if array.flags.writeable] == []


CALLERS = (E3, UNIT, ON_CONE, EYE, X)
FRESH = {
    "slide_cone": lambda: slide_cone(UNIT, ON_CONE, 0.5),
    "lift_into_spare": lambda: lift_into_spare(UNIT, ON_CONE, EYE),
    "canonical_item_vectors": lambda: canonical_item_vectors(E3, E3, centered=False),
    "repair_vectors": lambda: repair_vectors(E3, method="plain"),
}


@pytest.mark.parametrize("made", FRESH.values(), ids=FRESH)
def test_what_functions_return_shares_nothing_with_the_arguments(made):
    found = made()
    arrays = list(found[:2]) if isinstance(found, Moved) else [found]
    assert not any(np.shares_memory(array, given) for array in arrays for given in CALLERS)


def test_nested_objects_hold_their_own_too():
    A = E3.copy()
    model = CosineModel(Factors(A, A), 1.0, 0.0)
    A[0] = np.nan
    assert np.isfinite(model.factors.A).all()
    audit = audit_embeddings(E3, k=2)
    assert isinstance(audit, EmbeddingAudit)
    assert {where for where, _ in parts(audit)} == {
        f"it.facts.{name}" for name in ("mean", "variances", "spectrum", "axes")
    }


def test_what_the_package_made_is_not_copied():
    """Half of the memory of a large V: `ours` hands it over."""
    from cossim_helpers._owned import ours

    V = EYE.copy()
    assert np.shares_memory(Spectrum(ours(np.ones(3)), ours(V)).V, V)
    assert not np.shares_memory(Spectrum(np.ones(3), V).V, V)
    sparse = sp.csr_array(X)
    made = Interactions(ours(sparse), *(ours(np.ones(4)) for _ in range(3)))
    assert np.shares_memory(made.X.data, sparse.data)


def test_memory_layout_stays():
    assert Factors(E3, np.asfortranarray(E3)).B.flags.f_contiguous

"""Tables of vectors as the audit takes them, their repair by its definition, and what is said of what was seen."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse

import cossim_helpers as ch
from cossim_helpers.audit import neighbors, tables, verdict
from cossim_helpers.audit.repair import REPAIRS, default_repair
from cossim_helpers.audit.tables import as_vectors, chosen_rows, exact_blocks, interval, require_different
from cossim_helpers.audit.verdict import Evidence, judge

RNG = np.random.default_rng(11)


@pytest.fixture
def small_blocks(monkeypatch):
    for module in (neighbors, tables):
        monkeypatch.setattr(module, "NUMBERS", 12)
    monkeypatch.setattr(neighbors.row_blocks, "__defaults__", (12,))


# --- tables ---


def test_vectors_are_taken_as_they_are():
    for table in ([[1, 2], [3, 4]], np.array([[1.0], [2.0]]), np.eye(3, dtype=np.uint8), np.eye(2, dtype=np.float16)):
        taken = as_vectors("E", table)
        np.testing.assert_array_equal(taken, table)
        assert taken.dtype == np.asarray(table).dtype
    table = np.eye(3)
    assert as_vectors("E", table) is table
    assert as_vectors("E", [[1.0, 0.0]], at_least=1).shape == (1, 2)
    assert as_vectors("E", np.zeros((3, 2))).shape == (3, 2)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ([[1.0, 2.0]], "E takes at least 2 rows, got 1"),
        (np.zeros((0, 3)), r"E takes vectors, one a row, got shape \(0, 3\)"),
        (np.zeros((3, 0)), r"E takes vectors, one a row, got shape \(3, 0\)"),
        (np.zeros((2, 2, 2)), r"E takes vectors, one a row, got shape \(2, 2, 2\)"),
        ([[1, 2], [3, np.nan]], r"E takes finite numbers, got nan \(NaN or infinite\) in row 1, column 1"),
        ([[1, 2], [-np.inf, 3]], r"got -inf \(NaN or infinite\) in row 1, column 0"),
        ([[1, 2], [3, -4e38]], r"got -4e\+38 \(beyond the range of float32\) in row 1, column 1"),
        ([[1, np.nan], [np.inf, 4e38]], r"got nan \(NaN or infinite\) in row 0, column 1"),
    ],
)
def test_what_is_no_table_of_vectors_is_named(table, words):
    with pytest.raises(ValueError, match=words):
        as_vectors("E", table)


def test_sparse_tables_are_refused_by_name():
    with pytest.raises(TypeError, match=r"^E takes a dense table, got csr_array: call its toarray\(\)"):
        as_vectors("E", scipy.sparse.csr_array(np.eye(3)))


NUMPY, NULLABLE = np.dtype(np.float32), SimpleNamespace(kind="f", name="Float32")
AS_DOUBLES = {"dtype": np.float64, "na_value": np.nan}


@pytest.mark.parametrize(
    ("about", "asked"),
    [
        ({}, {}),
        ({"dtypes": None}, {}),
        ({"dtypes": [NUMPY, NUMPY], "ndim": 2}, {}),
        ({"dtypes": ["Float32"], "ndim": 2}, {}),  # of another library
        ({"dtypes": [NUMPY, NULLABLE]}, AS_DOUBLES),
        ({"dtypes": [NULLABLE, NUMPY]}, AS_DOUBLES),
        ({"dtypes": [NULLABLE]}, AS_DOUBLES),
    ],
)
def test_frames_are_asked_for_their_numbers_as_they_are_or_with_gaps_as_nan(about, asked):
    calls, table = [], np.eye(2, dtype=np.float32)
    frame = SimpleNamespace(to_numpy=lambda **options: calls.append(options) or table, shape=(2, 2), **about)
    assert as_vectors("E", frame) is table
    assert str(calls) == str([asked])


@pytest.mark.usefixtures("small_blocks")
def test_places_are_counted_over_all_blocks():  # six rows of two numbers each
    E = np.ones((20, 2))
    E[13, 1] = np.nan
    with pytest.raises(ValueError, match=r"got nan \(NaN or infinite\) in row 13, column 1,"):
        as_vectors("E", E)
    E[13] = 1e-20, -2e-20
    with pytest.raises(ValueError, match="got 2e-20 in row 13,"):
        as_vectors("E", E)
    E[8] = 0.0, -1e-30
    E[0] = 0.0  # rows of zeros are none of them
    with pytest.raises(ValueError, match="got 1e-30 in row 8,"):
        as_vectors("E", E)
    E[[8, 13]] = 0.0
    assert as_vectors("E", E) is E


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_largest_number_is_held_between_bounds(sign):
    for factor in (1e-15, 0.3, 1e15):
        E = sign * np.array([[0.0, 0.5], [1.0, 0.25]]) * np.float64(np.float32(factor))
        if factor == 1e-15:
            E = E * (1 + 1e-6)  # float32 may round it down
        elif factor == 1e15:
            E = E * (1 - 1e-6)
        assert as_vectors("E", E) is E
    for factor in (0.9e-15, 1.1e15, 1e-300):
        with pytest.raises(ValueError, match=r"whose largest is from 1e-15 to 1e\+15, got"):
            as_vectors("E", sign * factor * np.array([[0.0, 0.5], [1.0, 0.25]]))
    E = sign * np.array([[1.0, 0.0], [0.0, np.float32(1e-18)]])
    assert as_vectors("E", E) is E
    with pytest.raises(ValueError, match=r"at least 1e-18, or rows of zeros, got 9.9e-19 in row 1"):
        as_vectors("E", sign * np.array([[1.0, 0.0], [0.0, 0.99e-18]]))
    with pytest.raises(ValueError, match="largest is from 1e-15"):
        as_vectors("E", np.array([[0.0, 0.0], [0.0, sign * 1e-300]]))


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("dtype", [np.int64, np.float64, np.float16])
def test_exact_blocks_are_half_as_long_and_keep_all_digits(dtype):
    E = (RNG.normal(size=(7, 2)) * 1000).astype(dtype)
    E[3] = 2047 if dtype is np.float16 else 2**53 - 1
    found = list(exact_blocks(E))
    assert [(first, len(rows), rows.dtype) for first, rows in found] == [
        (0, 3, np.float64),
        (3, 3, np.float64),
        (6, 1, np.float64),
    ]
    np.testing.assert_array_equal(np.vstack([rows for _, rows in found]), E.astype(np.float64))


@pytest.mark.usefixtures("small_blocks")
def test_rows_are_chosen_among_those_that_have_a_length_everywhere():
    E, other = np.zeros((20, 2)), np.ones((20, 3))
    E[::2, 1], other[[2, 7, 18]] = -1.0, 0.0
    usable = [0, 4, 6, 8, 10, 12, 14, 16]
    rng = np.random.default_rng(0)
    assert chosen_rows(E, 20, rng, other).tolist() == usable
    assert chosen_rows(E, 8, rng, other).tolist() == usable
    assert chosen_rows(E, 20, rng).tolist() == list(range(0, 20, 2))
    seen = set()
    for _ in range(40):
        rows = chosen_rows(E, 5, rng, other).tolist()
        assert len(set(rows)) == 5 and sorted(rows) == rows and set(rows) <= set(usable)
        seen |= set(rows)
    assert seen == set(usable)
    with pytest.raises(ValueError, match=r"^E takes vectors of which some have a length, got rows of zeros only"):
        chosen_rows(0 * E, 5, rng)
    with pytest.raises(ValueError, match=r"^E takes vectors of which some have a length in both, got none"):
        chosen_rows(E, 5, rng, np.roll(E, 1, axis=0))


@pytest.mark.usefixtures("small_blocks")
def test_one_different_number_anywhere_makes_vectors_different():
    for E in (np.full((20, 2), 0.1), np.full((20, 2), 2**24 + 1), np.full((1, 3), 7.0)):
        with pytest.raises(ValueError, match=f"^E takes vectors that differ, got one vector {len(E)} times"):
            require_different("E", E)
        for row in (0, 1, 19):
            if len(E) > 1:
                other = E.copy()
                other[row, 1] = 3
                require_different("E", other)


def test_half_an_interval_is_1_96_standard_errors():
    np.testing.assert_allclose(interval(np.array([0.0, 1.0])), 1.96 * 0.5)
    np.testing.assert_allclose(interval(np.array([0.0, 0.5, 1.0])), 1.96 * 0.5 / 3**0.5)
    assert np.isnan(interval(np.array([1.0]))) and type(interval(np.array([0.0, 1.0]))) is float


# --- repair ---


def scores_of(vectors):
    return vectors @ vectors.T


@pytest.mark.usefixtures("small_blocks")
def test_each_method_by_its_definition():
    P, Q = RNG.normal(size=(9, 3)) + 0.5, RNG.normal(size=(8, 3)) - 0.3
    scores = P @ Q.T
    _, s, Zt = np.linalg.svd(scores, full_matrices=False)
    s, Z = s[:3], Zt[:3].T
    less = scores - scores.mean(axis=1, keepdims=True)
    kernels = {
        "predicted": scores.T @ scores,
        "canonical": less.T @ less,
        "balanced": Z * s @ Z.T,
        "whitened": Q @ np.linalg.inv(Q.T @ Q) @ Q.T,
        "centered": scores_of(Q - Q.mean(axis=0)),
        "plain": scores_of(Q),
    }
    assert list(kernels) == list(REPAIRS)
    for method, kernel in kernels.items():
        needed = REPAIRS[method].needs_users
        assert needed == (method in ("predicted", "canonical", "balanced"))
        for users in [P] if needed else [P, None]:
            vectors = ch.repair_vectors(Q, users, method=method)
            assert vectors.dtype == np.float64 and vectors.shape == (8, 3)
            np.testing.assert_allclose(scores_of(vectors), kernel, atol=1e-12)
    for trained, kernel in (("squared", kernels["predicted"]), ("softmax", kernels["canonical"])):
        np.testing.assert_allclose(scores_of(ch.repair_vectors(Q, P, trained=trained)), kernel, atol=1e-12)
    moved = less - less.mean(axis=0)
    vectors = ch.repair_vectors(Q, P, trained="triplet-euclidean", method="canonical")
    np.testing.assert_allclose(scores_of(vectors), moved.T @ moved, atol=1e-12)
    vectors = ch.repair_vectors(Q, P, trained="triplet-euclidean", method="predicted")
    np.testing.assert_allclose(scores_of(vectors), kernels["predicted"], atol=1e-12)


def test_whole_numbers_are_repaired_as_numbers():
    items, users = np.array([[1, 2], [3, 4], [0, 1]]), np.array([[2, 1]])
    assert ch.repair_vectors(items, method="plain").dtype == np.float64
    np.testing.assert_allclose(ch.repair_vectors(items, method="centered").sum(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(ch.repair_vectors(items, users, method="predicted"), [[4], [10], [1]])


def test_columns_fall_and_their_largest_entry_is_positive():
    for seed in range(10):
        rng = np.random.default_rng(seed)
        P, Q = rng.normal(size=(20, 4)), rng.normal(size=(12, 4))
        for exponent in (0.0, 0.4, 1.0):
            vectors = ch.predicted_item_vectors(P, Q, exponent=exponent)
            sizes = np.linalg.norm(vectors, axis=0)
            s = np.linalg.svd(P @ Q.T, compute_uv=False)[:4]
            np.testing.assert_allclose(sizes, s ** (1 - exponent))
            assert (vectors.max(axis=0) >= -vectors.min(axis=0)).all()
    np.testing.assert_allclose(ch.predicted_item_vectors([[1e-3]], [[2e-3], [-1e-3]]), [[2e-6], [-1e-6]])
    np.testing.assert_allclose(ch.predicted_item_vectors([[1e-3]], [[1e-3], [-2e-3]]), [[-1e-6], [2e-6]])


def test_scores_and_sides_of_one_row():
    np.testing.assert_allclose(ch.predicted_item_vectors([[3.0, 4.0]], [[1.0, 0.0]]), [[3.0]])
    np.testing.assert_allclose(ch.predicted_item_vectors(np.eye(3), [[0.0, -3.0, 4.0]]), [[5.0]])
    vectors = ch.predicted_item_vectors(np.eye(2), [[1.0, 0.0], [2.0, 0.0]])  # the second direction is 0
    np.testing.assert_allclose(vectors, [[1, 0], [2, 0]])
    for exponent in (-0.1, 1.1):
        with pytest.raises(ValueError, match=r"^exponent"):
            ch.predicted_item_vectors(np.eye(2), np.eye(2), exponent=exponent)
    with pytest.raises(ValueError, match=r"^P and Q take vectors with scores, got scores that are all 0"):
        ch.predicted_item_vectors([[1.0, 0.0]], [[0.0, 1.0]])
    with pytest.raises(ValueError, match=r"^Q, with as many columns as P"):
        ch.predicted_item_vectors(np.ones((2, 3)), np.ones((3, 2)))
    with pytest.raises(ValueError, match=r"^users, with as many columns as items"):
        ch.repair_vectors(np.eye(3)[:, :2], np.ones((2, 3)), method="centered")
    with pytest.raises(ValueError, match=r"^P takes"):
        ch.predicted_item_vectors(np.zeros((0, 2)), np.eye(2))


def test_rounding_is_what_numpy_takes_for_it():
    eps = np.finfo(float).eps
    for size, rank in ((3 * eps, 1), (6 * eps, 2)):
        P = np.diag([1.0, size]) @ np.eye(2, 5)
        assert np.linalg.matrix_rank(P) == rank
        assert ch.predicted_item_vectors(P, np.eye(5)).any(axis=0).sum() == rank
    rows = np.zeros((4000, 2))  # blocks of rows keep the digits of a direction that 4000 of them would hide
    rows[::2, 0], rows[1::2, 1] = 1.0, 1e-13
    for vectors in (ch.predicted_item_vectors(rows, np.eye(2)), ch.repair_vectors(np.eye(2), rows, method="predicted")):
        np.testing.assert_allclose(vectors, np.diag([1.0, 1e-13]) * 2000**0.5, rtol=1e-12)
    np.testing.assert_allclose(ch.predicted_item_vectors(np.eye(2), rows), rows, rtol=1e-12)
    rows[1::2, 1] = 1e-7
    white = ch.repair_vectors(rows, method="whitened")
    np.testing.assert_allclose(white, (rows > 0) / 2000**0.5, rtol=1e-12)


def test_centering_keeps_the_digits_of_a_double():
    items, users = (RNG.normal(size=(30, 3)).astype(np.float32) + np.float32(100) for _ in range(2))
    exact = items.astype(float) - items.astype(float).mean(axis=0)
    np.testing.assert_allclose(ch.repair_vectors(items, method="centered"), exact, rtol=1e-9)
    options = {"method": "canonical", "trained": "triplet-euclidean"}
    found, expected = (ch.repair_vectors(items, moved, **options) for moved in (users, users.astype(float)))
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("factors", [(1.0, 1.0), (1e6, 1e-6), (1e-6, 1e6), (1e6, 1e6)])
def test_directions_of_rounding_are_told_whatever_the_scales(factors):
    for seed in range(10):
        rng = np.random.default_rng(seed)
        left, right = (np.linalg.qr(rng.normal(size=(5, 5)))[0] for _ in range(2))
        P = factors[0] * rng.normal(size=(40, 5)) @ left
        sizes = np.array([1.0, 1e-3, 1e-6, 1e-9, 1e-12])
        Q = factors[1] * np.linalg.qr(rng.normal(size=(30, 5)))[0] * sizes @ left
        assert np.linalg.matrix_rank(ch.predicted_item_vectors(P, Q, exponent=1.0), tol=0.5) == 5
        narrow = factors[0] * rng.normal(size=(40, 3)) @ rng.normal(size=(3, 5))
        for exponent in (0.0, 1.0):
            vectors = ch.predicted_item_vectors(narrow, right, exponent=exponent)
            assert not vectors[:, 3:].any() and vectors[:, :3].any(axis=0).all()


def test_a_repair_stays_as_it_is():
    with pytest.raises(dataclasses.FrozenInstanceError):
        REPAIRS["plain"].needs_users = True
    with pytest.raises(TypeError, match=r"^has_users"):
        default_repair("squared", "yes")
    with pytest.raises(ValueError, match=r"^trained"):
        default_repair("bert", True)
    with pytest.raises(ValueError, match=r"^trained"):
        ch.repair_vectors(np.eye(3), method="plain", trained="bert")
    with pytest.raises(ValueError, match=r"^items takes vectors that differ, got one vector 2 times"):
        ch.repair_vectors(np.ones((2, 3)), method="centered")
    with pytest.raises(ValueError, match=r"^items takes vectors with scores"):
        ch.repair_vectors(np.zeros((2, 3)), method="whitened")
    np.testing.assert_allclose(ch.repair_vectors([[1, 2], [3, 2]], method="centered"), [[-1, 0], [1, 0]], atol=1e-12)
    with pytest.raises(ValueError, match=r"^method"):
        ch.repair_vectors(np.eye(3), method="nothing")
    with pytest.raises(
        ValueError, match=r"^users takes the vectors of the other side for method 'predicted', got None"
    ):
        ch.repair_vectors(np.eye(3), method="predicted")
    with pytest.raises(ValueError, match=r"^users and items take vectors with scores"):
        ch.repair_vectors([[0.0, 1.0], [0.0, 2.0]], [[1.0, 0.0]], method="predicted")


DEFAULTS = {  # with users, and without
    "unknown": ("canonical", "centered"),
    "squared": ("predicted", "whitened"),
    "softmax": ("canonical", "centered"),
    "cosent": ("plain", "plain"),
    "dot-decay": ("plain", "plain"),
}


def test_what_a_loss_calls_for_follows_from_its_table():
    for loss, expected in DEFAULTS.items():
        assert (default_repair(loss, True), default_repair(loss, False)) == expected
    for loss in ch.LOSSES:
        answers = {about: verdict.answer for about, verdict in ch.determined(loss).verdicts.items()}
        both, one = default_repair(loss, True), default_repair(loss, False)
        plain = "yes" in (answers["item_item_value"], answers["item_item_order"])
        assert (both == "plain") == (one == "plain") == plain
        if not plain:
            assert (both == "predicted") == (answers["score_columns"] == "yes")
            assert (one == "whitened") == (answers["score_columns"] == "yes" and answers["item_item_order"] == "no")


# --- verdicts ---


def seen(balance=None, mean_share=0.0, free=None, unit_length=False):
    return Evidence(balance, mean_share, free, unit_length)


CHAPTER = "chapter 11"
VERDICTS = {
    ("unknown", seen()): ("unknown", "vectors alone", CHAPTER),
    ("unknown", seen(unit_length=True)): ("unknown", "vectors alone", CHAPTER),
    ("unknown", seen((0.5, 0.5), unit_length=True)): ("unknown", "length 1", CHAPTER),
    ("unknown", seen((0.11, 0.5))): ("open", "The sides share no metric: if the loss", "chapter 13"),
    ("unknown", seen((0.1, 0.5))): ("unclear", "nearly share a metric: a penalty", "chapter 13"),
    ("unknown", seen((0.021, 0.01))): ("unclear", "nearly share a metric: a penalty", "chapter 13"),
    ("unknown", seen((0.02, 0.099))): ("unclear", "Both sides share one metric, but", "chapter 13"),
    ("unknown", seen((0.02, 0.1))): ("pinned", "if the loss saw every score", "chapters 11 and 8"),
    ("cosent", seen()): ("pinned", "The loss determines this cosine, given its predictions. ", CHAPTER),
    ("cosent", seen((0.5, 0.5))): ("pinned", "The loss determines this cosine, given its predictions. ", CHAPTER),
    ("clip", seen()): ("unclear", "The loss determines this cosine if ", CHAPTER),
    ("clip", seen((0.5, 0.5), free=0)): ("pinned", "no spare dimension", CHAPTER),
    ("clip", seen((0.5, 0.5), free=1)): ("open", "1 free directions move this cosine at no loss: repair", CHAPTER),
    ("clip", seen((0.5, 0.5), free=3)): ("open", "3 free directions move this cosine at no loss: repair", CHAPTER),
    ("triplet-cosine", seen(free=0)): ("unclear", "The loss determines this cosine if ", CHAPTER),
    ("dot-decay", seen()): ("unclear", "--other shows it", CHAPTER),
    ("dot-decay", seen((0.11, 0.5))): ("open", "train on, or repair it (`repair --method balanced`)", CHAPTER),
    ("dot-decay", seen((0.02, 0.1), 0.5)): ("pinned", "Both sides share one metric, as", "chapters 11 and 8"),
    ("squared", seen()): ("open", "leaves this cosine open: repair it (`repair --method whitened`)", CHAPTER),
    ("squared", seen((0.11, 0.5))): ("open", "metric, so no penalty on both has pinned this cosine: repair", CHAPTER),
    ("squared", seen((0.1, 0.5), 0.5)): ("unclear", "train longer, or repair it (`repair --method pred", "chapter 13"),
    ("squared", seen((0.021, 0.01))): ("unclear", "train longer, or repair it (`repair --method pred", "chapter 13"),
    ("squared", seen((0.02, 0.099))): ("unclear", "weigh alike. Look at how it was trained, or repair", "chapter 13"),
    ("squared", seen((0.02, 0.1))): ("pinned", "Both sides share one metric, as", "chapters 11 and 8"),
    ("softmax", seen()): ("open", "one side alone cannot repair it", CHAPTER),
    ("softmax", seen((0.11, 0.5))): (
        "open",
        "has pinned this cosine: repair it (`repair --method canonical`)",
        CHAPTER,
    ),
    ("softmax", seen((0.02, 0.5), 0.25)): ("open", "The mean item, 25% of the squares, is what this", CHAPTER),
    ("softmax", seen((0.02, 0.5), 0.02)): ("pinned", "Both sides share one metric, as", "chapters 11 and 8"),
    ("lm-head", seen((0.01, 0.5))): ("open", "The loss leaves this cosine open: repair it (`repair", CHAPTER),
    ("gain-after-norm", seen((0.01, 0.5))): ("open", "The loss leaves this cosine open: repair it", CHAPTER),
}


@pytest.mark.parametrize(("trained", "evidence"), VERDICTS, ids=str)
def test_what_is_said_of_what_was_seen(trained, evidence):
    answer, words, chapter = VERDICTS[trained, evidence]
    said = judge(trained, evidence)
    assert said[0] == answer and words in said[1] and said[2] == chapter
    if trained in ("cosent", "clip") and answer != "pinned" and not evidence.free:
        assert ch.determined(trained).rule in said[1]
    with pytest.raises(dataclasses.FrozenInstanceError):
        seen().free = 1


def test_balance_is_evidence_for_scores_of_plain_dot_products_alone(monkeypatch):
    by_balance = {loss for loss in ch.LOSSES if judge(loss, seen((0.01, 0.5)))[2] == "chapters 11 and 8"}
    penalized = {"squared", "weighted-als", "logistic", "skip-gram", "dot-decay"}
    assert by_balance == penalized | {"softmax", "bpr", "two-tower-dot"}
    row = ch.determined("squared")
    for change in ({"unit_users": True}, {"unit_items": True}, {"tied": True}, {"gain_on": "Q"}, {"sees": "blocks"}):
        monkeypatch.setattr(verdict, "determined", lambda loss, change=change: dataclasses.replace(row, **change))
        assert judge("squared", seen((0.01, 0.5)))[1].startswith("The loss leaves this cosine open")

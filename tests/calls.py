"""One small, fast and valid call of each public callable, and what each of its arguments takes.

`test_bad_input.py` puts every kind of bad and of unusual input in the place of each argument. A callable that is new
needs a line here: the test says so. What an argument takes is a role, such as DATA; where it takes more than others of
its role, or less, the line says which kind, what becomes of it, and why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

import cossim_helpers as ch

REFUSED, SAME, MAY, FINITE, ANY = "refused", "same", "may", "finite", "any"


@dataclass(frozen=True)
class Takes:
    """A role; whether None is the default; and kinds that are an exception to the role: {kind: (outcome, reason)}."""

    role: str
    optional: bool = False
    but: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def or_none(self) -> Takes:
        return replace(self, optional=True)

    def except_for(self, *kinds: str, outcome: str = FINITE, why: str) -> Takes:
        return replace(self, but={**self.but, **dict.fromkeys(kinds, (outcome, why))})


@dataclass(frozen=True)
class Call:
    """A callable, the arguments of one valid call, what each takes, and which errors of its own it documents."""

    function: Callable
    arguments: Mapping[str, object]
    takes: Mapping[str, Takes]
    raises: tuple[type[Exception], ...] = ()
    digits: float = 1e-9  # what a container may change of a result, relative to its largest number


def call(function, raises=(), digits=1e-9, **rest) -> Call:
    """A `Call` from (value, Takes) pairs by name."""
    return Call(function, {n: v for n, (v, _) in rest.items()}, {n: t for n, (_, t) in rest.items()}, raises, digits)


DATA = Takes("data")  # a real matrix, dense or sparse
MATRIX = Takes("matrix")  # a dense real matrix
VECTOR = Takes("vector")
RANKED = VECTOR.except_for("array of long doubles too long", why="only the order counts")
FOUR = Takes("four dimensions")
NUMBERS = Takes("numbers").except_for(  # `check`: of any shape, a single number, too
    *("array with NaN", "array with a signalling NaN", "array of NaN", "data frame with NaN"),
    *("array with infinity", "array with minus infinity"),
    *("NaN", "infinite", "minus infinite", "NaN of NumPy"),
    outcome=ANY,
    why="a check of NaN fails, by AssertionError",
)
NUMBERS = NUMBERS.except_for("too long a double", outcome=ANY, why="compared as long doubles")
NUMBERS = NUMBERS.except_for("array of long doubles too long", outcome=ANY, why="compared as long doubles")
BINARY = Takes("0/1 data")  # a 0/1 matrix, dense or sparse
TABLE = Takes("table")  # of the audit: a data frame, too
LABELS = Takes("labels")  # integers in a row
PAIRS = Takes("pairs")
NUMBER = Takes("number")
COUNT = Takes("count")  # an integer
FLAG = Takes("flag")
WORD = Takes("word")  # one of several
TEXT = Takes("text")
SEED = Takes("seed")
BLOCKS = Takes("blocks")
FUNCTION = Takes("function")
FACTORS, SPECTRUM, RECIPE, MODEL = (Takes(name) for name in ("factors", "spectrum", "recipe", "model"))
LIST = Takes("list")  # of what each line says


RNG = np.random.default_rng(0)
X = np.array([[1.0, 1, 0, 2], [1, 0, 1, 0], [0, 3, 1, 1], [1, 1, 1, 0], [2, 0, 0, 1], [0, 1, 0, 1]])
ONES = (X > 0).astype(float)
UNIT_P = np.array([[0.6, 0.8, 0.0], [0.0, 0.6, 0.8], [0.8, 0.0, 0.6], [1.0, 0.0, 0.0]])
UNIT_Q = np.array([[0.8, 0.6, 0.0], [0.0, 0.8, 0.6], [0.6, 0.0, 0.8], [0.0, 1.0, 0.0]])
A, B = RNG.standard_normal((2, 4, 2)).round(2)
FIT = ch.Factors(A.copy(), B.copy())
OF_X = ch.spectrum(X, 3)
VECTORS = RNG.standard_normal((12, 3)).round(2)
OTHERS = RNG.standard_normal((6, 3)).round(2)
COSINE = ch.cosine_similarity(RNG.standard_normal((12, 3)))
CLUSTER = np.repeat([0, 1, 2], 4)
FEW = ch.Recipe("linear", k=2, epochs=2, batch_size=3)
WEIGHTS = {"W": RNG.standard_normal((4, 2)).round(2), "B": RNG.standard_normal((4, 2)).round(2)}
TRAINED = ch.TrainedModel(FEW, WEIGHTS)
Z, R = UNIT_P @ UNIT_Q.T, np.array([[0.6, -0.8], [0.8, 0.6]])
D2 = np.square(np.subtract.outer(np.arange(6.0).reshape(2, 3) ** 2, np.arange(6.0).reshape(2, 3) ** 2))
SPAN = np.linalg.qr(RNG.standard_normal((5, 3)))[0]
CONE = np.array([[0.6, 0.0, 0.8], [0.0, 0.6, 0.8], [-0.6, 0.0, 0.8]])
SCORES = RNG.standard_normal((3, 5)).round(2)
SEEN, HELD = np.eye(3, 5), np.eye(3, 5, 1)


class Axes:
    """What `plot_cosine_matrix` draws into, without Matplotlib."""

    def __deepcopy__(self, memo):
        return Axes()

    def imshow(self, values, **rest):
        return values

    def set(self, **rest):
        pass

    axhline = axvline = set_axis_off = lambda self, *place, **rest: None


def quadratic(z):
    return float(((z - 3) ** 2).sum()), [2 * (z - 3)]


SIMULATED = dict(
    n_items=(6, COUNT), n_clusters=(2, COUNT), cluster_probabilities=([0.5, 0.5], VECTOR.or_none),
    popularity_law=("rank", WORD), popularity_exponents=([0.25, 1.5], VECTOR), preference_law=("dirichlet", WORD),
    preference_concentration=(1.0, NUMBER), activity_exponent=(0.5, NUMBER), min_activity=(1, COUNT),
    max_activity=(3, COUNT.or_none), rng=(0, SEED),
)  # fmt: skip
OPTIMUM = dict(
    X=(X[:3, :2], DATA),
    lam=(0.5, NUMBER),
    k=(1, COUNT),
    start=(ch.Factors(A[:2, :1], B[:2, :1]), FACTORS.or_none),
    rng=(0, SEED),
)
PENALIZED = dict(X=(X, DATA), factors=(FIT, FACTORS), lam=(0.5, NUMBER))
CLAIM = dict(claim_id=("eq6", WORD), of=("eq-1", TEXT.or_none))
OF_CONE = dict(
    item_angles=([0.0, 90.0], VECTOR),
    user_angles=([20.0, 70.0], VECTOR),
    user_lengths=([0.5, 0.25], VECTOR),
    scale=(4.0, NUMBER),
    theta=(60.0, NUMBER),
)
CLUSTERED = dict(cosine=(COSINE, MATRIX), item_cluster=(CLUSTER, LABELS))

CALLS: dict[str, Call] = {
    # audit
    "audit_embeddings": call(
        ch.audit_embeddings,
        E=(VECTORS, TABLE),
        other=(OTHERS, TABLE.or_none),
        again=(VECTORS[::-1].copy(), TABLE.or_none),
        trained=("bpr", WORD),
        k=(2, COUNT),
        n_queries=(10, COUNT.except_for("integer 1", outcome=ANY, why="one row has no interval")),
        n_draws=(1, COUNT),
        spread=(2.0, NUMBER),
        rng=(0, SEED),
        done=(lambda share: None, FUNCTION),
    ),
    "balance_defect": call(ch.balance_defect, P=(OTHERS, TABLE), Q=(VECTORS, TABLE)),
    "compare_embeddings": call(
        ch.compare_embeddings,
        E1=(VECTORS, TABLE),
        E2=(VECTORS[::-1].copy(), TABLE),
        k=(2, COUNT),
        n_queries=(3, COUNT.except_for("integer 1", outcome=ANY, why="one row has no interval")),
        rng=(0, SEED),
    ),
    "default_repair": call(ch.default_repair, trained=("bpr", WORD), has_users=(True, FLAG)),
    "predicted_item_vectors": call(
        ch.predicted_item_vectors, P=(OTHERS, TABLE), Q=(VECTORS, TABLE), exponent=(0.5, NUMBER)
    ),
    "repair_vectors": call(
        ch.repair_vectors,
        items=(VECTORS, TABLE),
        users=(OTHERS, TABLE.or_none),
        method=("canonical", WORD.or_none),
        trained=("bpr", WORD),
    ),
    # blocks
    "gram": call(ch.gram, blocks=([X[:2], X[2:]], BLOCKS)),
    "krylov_spectrum": call(
        ch.krylov_spectrum,
        blocks=(
            [X[:2], X[2:]],
            BLOCKS.except_for("class", "function", outcome=ANY, why="a function reads them, and its own errors pass"),
        ),
        k=(2, COUNT),
        oversample=(2, COUNT),
        passes=(3, COUNT),
        tolerance=(1e-7, NUMBER),
        rng=(0, SEED),
    ),
    # checks
    "check": call(
        ch.check,
        **CLAIM,
        actual=(X, NUMBERS),
        expected=(X.copy(), NUMBERS),
        rtol=(0.1, NUMBER),
        atol=(0.1, NUMBER),
        raises=(AssertionError,),
    ),
    "check_at_least": call(
        ch.check_at_least, **CLAIM, value=(X, NUMBERS), bound=(X - 1, NUMBERS), raises=(AssertionError,)
    ),
    "check_at_most": call(
        ch.check_at_most, **CLAIM, value=(X, NUMBERS), bound=(X + 1, NUMBERS), raises=(AssertionError,)
    ),
    "check_differs": call(
        ch.check_differs, **CLAIM, a=(X, NUMBERS), b=(X + 1, NUMBERS), at_least=(0.5, NUMBER), raises=(AssertionError,)
    ),
    # closed forms
    "Factors": call(ch.Factors, A=(A, MATRIX), B=(B, MATRIX)),
    "shrinkage": call(ch.shrinkage, sigma=(np.array([3.0, 1.0, 0.0]), VECTOR), lam=(1.0, NUMBER)),
    "solve_factor_penalty": call(
        ch.solve_factor_penalty, spectrum=(OF_X, SPECTRUM), lam=(0.5, NUMBER), k=(2, COUNT.or_none)
    ),
    "solve_product_penalty": call(
        ch.solve_product_penalty, spectrum=(OF_X, SPECTRUM), lam=(0.5, NUMBER), k=(2, COUNT.or_none)
    ),
    # remedies of the data
    "activity_normalized": call(ch.activity_normalized, X=(X, DATA), exponent=(1.0, NUMBER)),
    "inverse_propensity_scaled": call(
        ch.inverse_propensity_scaled, X=(X, DATA), propensity=([0.5, 1.0, 0.25, 0.5], VECTOR)
    ),
    "propensities": call(
        ch.propensities, counts=(np.array([4.0, 2.0, 1.0]), VECTOR), exponent=(0.5, NUMBER), floor=(0.1, NUMBER)
    ),
    "shifted_pmi": call(
        ch.shifted_pmi, counts=(X + 1, MATRIX), exponent=(0.75, NUMBER), negatives=(1.0, NUMBER), positive=(True, FLAG)
    ),
    "standardized_gram": call(ch.standardized_gram, X=(X, DATA)),
    # data
    "embed_sentences": call(
        ch.embed_sentences,
        sentences=(["one", "two"], LIST.except_for("with text", "with empty text", why="texts")),
        raises=(ch.DataNotInstalled,),
    ),
    "load_glove": call(ch.load_glove, n_words=(3, COUNT), raises=(ch.DataNotInstalled,)),
    "load_movielens": call(
        ch.load_movielens, min_ratings=(50, COUNT), min_stars=(0.5, NUMBER), raises=(ch.DataNotInstalled,)
    ),
    "load_word_pairs": call(ch.load_word_pairs, name=("wordsim353", WORD), raises=(ch.DataNotInstalled,)),
    "require_dask": call(ch.require_dask, raises=(ch.DaskNotInstalled,)),
    # what losses determine
    "canonical_item_vectors": call(
        ch.canonical_item_vectors,
        P=(UNIT_P, MATRIX),
        Q=(UNIT_Q, MATRIX),
        centered=(True, FLAG),
        users_centered=(False, FLAG),
    ),
    "determined": call(ch.determined, loss=("bpr", WORD)),
    "Determined.vectors_needed": call(
        ch.determined("clip").vectors_needed, k=(3, COUNT), scale_is_learned=(True, FLAG.or_none)
    ),
    "freedom": call(
        ch.freedom,
        P=(UNIT_P, MATRIX),
        Q=(UNIT_Q, MATRIX),
        loss=("clip", WORD),
        scale=(2.0, NUMBER),
        scale_is_learned=(True, FLAG.or_none),
    ),
    "freedom, gain": call(
        ch.freedom,
        P=(A, MATRIX),
        Q=(UNIT_Q[:, :2] / np.linalg.norm(UNIT_Q[:, :2], axis=1, keepdims=True), MATRIX),
        loss=("gain-after-norm", WORD),
        gain=([1.0, 1.0], VECTOR.or_none),
    ),
    "freedom, blocks": call(
        ch.freedom,
        P=(UNIT_P, MATRIX),
        Q=(UNIT_Q, MATRIX),
        loss=("matryoshka-dot", WORD),
        blocks=([1, 2], Takes("list").or_none),
    ),
    "lift_into_spare": call(
        ch.lift_into_spare,
        P=(UNIT_P, MATRIX),
        Q=(UNIT_Q, MATRIX),
        G=(0.9 * np.eye(3), MATRIX),
        scale=(1.0, NUMBER),
        new_scale=(3.0, NUMBER.or_none),
        signs=([1.0, -1.0, 1.0, 1.0], VECTOR.or_none),
    ),
    "slide_cone": call(
        ch.slide_cone,
        P=(UNIT_P, MATRIX),
        Q=(CONE, MATRIX),
        height=(0.5, NUMBER),
        scale=(1.0, NUMBER),
        new_scale=(3.0, NUMBER.or_none),
    ),
    # gauge
    "reparameterize": call(ch.reparameterize, factors=(FIT, FACTORS), G=(np.array([[1.0, 2.0], [0.0, 1.0]]), MATRIX)),
    "rescale": call(ch.rescale, factors=(FIT, FACTORS), d=([2.0, 0.5], VECTOR)),
    "rotate": call(ch.rotate, factors=(FIT, FACTORS), R=(R, MATRIX)),
    # metrics
    "all_tied": call(ch.all_tied, cosine=(COSINE, MATRIX)),
    "cluster_auc": call(ch.cluster_auc, **CLUSTERED),
    "hold_out": call(ch.hold_out, X=(ONES, BINARY), share=(0.4, NUMBER), min_items=(2, COUNT), rng=(0, SEED)),
    "mean_cosine": call(ch.mean_cosine, **CLUSTERED),
    "ndcg_at_k": call(ch.ndcg_at_k, scores=(SCORES, MATRIX), seen=(SEEN, MATRIX), held=(HELD, MATRIX), k=(2, COUNT)),
    "neighbor_weights": call(ch.neighbor_weights, cosine=(COSINE, MATRIX), k=(3, COUNT)),
    "overlap_at_k": call(
        ch.overlap_at_k, cosine_a=(COSINE, MATRIX), cosine_b=(COSINE.T[::-1, ::-1].copy(), MATRIX), k=(3, COUNT)
    ),
    "popularity_correlation": call(
        ch.popularity_correlation, cosine=(COSINE, MATRIX), popularity=(np.arange(12.0), RANKED)
    ),
    "precision_at_k": call(ch.precision_at_k, **CLUSTERED, k=(3, COUNT)),
    "yardsticks": call(ch.yardsticks, **CLUSTERED, popularity=(np.arange(12.0), RANKED.or_none)),
    # objectives
    "factor_penalty_gradient": call(ch.factor_penalty_gradient, **PENALIZED),
    "factor_penalty_objective": call(ch.factor_penalty_objective, **PENALIZED),
    "product_penalty_gradient": call(ch.product_penalty_gradient, **PENALIZED),
    "product_penalty_objective": call(ch.product_penalty_objective, **PENALIZED),
    "minimize_factor_penalty": call(ch.minimize_factor_penalty, **OPTIMUM, raises=(RuntimeError,), digits=1e-6),
    "minimize_product_penalty": call(ch.minimize_product_penalty, **OPTIMUM, raises=(RuntimeError,), digits=1e-6),
    "minimize_factors": call(
        ch.minimize_factors,
        objective_and_gradients=(quadratic, FUNCTION),
        start=(
            [np.array([0.0, 1.0])],
            LIST.except_for("number in a list", "number in an array", why="arrays of no dimension").except_for(
                "generator", "iterator", outcome=ANY, why="the function gets all of them"
            ),
        ),
        tol=(1e-6, NUMBER),
        max_iterations=(50, COUNT),
        raises=(RuntimeError,),
    ),
    # figures
    "block_average": call(ch.block_average, matrix=(COSINE, MATRIX), size=(5, COUNT)),
    "plot_cosine_matrix": call(
        ch.plot_cosine_matrix,
        ax=(Axes(), Takes("axes")),
        cosine=(COSINE, MATRIX),
        item_cluster=(CLUSTER, LABELS.or_none),
        limits=((-1.0, 1.0), VECTOR),
        title=("a title", TEXT),
    ),
    "plot_cosine_panels": call(
        ch.plot_cosine_panels,
        cosines=({"one": COSINE}, LIST),
        item_cluster=(CLUSTER, LABELS.or_none),
        limits=((-1.0, 1.0), VECTOR),
        columns=(1, COUNT),
    ),
    # reachable
    "comparison_is_determined": call(
        ch.comparison_is_determined,
        V=(SPAN, MATRIX),
        pair=((0, 1), PAIRS.except_for("one dimension more", why="pairs in rows")),
        other=((0, 2), PAIRS.except_for("one dimension more", why="pairs in rows")),
        tolerance=(1e-8, NUMBER),
    ),
    "factors_with_neighbors": call(
        ch.factors_with_neighbors,
        factors=(ch.Factors(SPAN, SPAN), FACTORS),
        item=(0, COUNT),
        neighbors=([1, 2], LABELS),
        cosines=([0.9, 0.6], VECTOR.or_none),
    ),
    "matroid_components": call(ch.matroid_components, V=(SPAN, MATRIX), tolerance=(1e-8, NUMBER), zero=(1e-12, NUMBER)),
    "reachable_dimension": call(
        ch.reachable_dimension, V=(SPAN, MATRIX), tolerance=(1e-8, NUMBER), zero=(1e-12, NUMBER)
    ),
    # remedies of the fit
    "fractionally_whitened_cosine": call(
        ch.fractionally_whitened_cosine, factors=(FIT, FACTORS), exponent=(0.5, NUMBER)
    ),
    "layer_norm": call(
        ch.layer_norm,
        M=(VECTORS, MATRIX),
        gain=([1.0, 2.0, 1.0], VECTOR.or_none),
        bias=([0.0, 1.0, 0.0], VECTOR.or_none),
    ),
    "score_column_cosine": call(ch.score_column_cosine, X=(X, DATA), factors=(FIT, FACTORS)),
    "score_row_cosine": call(ch.score_row_cosine, X=(X, DATA), factors=(FIT, FACTORS)),
    "spectral_cosine": call(ch.spectral_cosine, factors=(FIT, FACTORS), exponent=(0.5, NUMBER)),
    "whitened_cosine": call(ch.whitened_cosine, factors=(FIT, FACTORS)),
    # results
    "stored_table": call(ch.stored_table, name=("remedies.csv", TEXT), raises=(ch.TableNotFound,)),
    # similarity
    "cosine_similarity": call(ch.cosine_similarity, P=(X, DATA), Q=(X[::-1].copy(), DATA.or_none)),
    "item_item_cosine": call(ch.item_item_cosine, factors=(FIT, FACTORS)),
    "user_embeddings": call(ch.user_embeddings, X=(X, DATA), factors=(FIT, FACTORS)),
    "user_item_cosine": call(ch.user_item_cosine, X=(X, DATA), factors=(FIT, FACTORS)),
    "user_user_cosine": call(ch.user_user_cosine, X=(X, DATA), factors=(FIT, FACTORS)),
    # simulation
    "simulate_interactions": call(ch.simulate_interactions, n_users=(5, COUNT), **SIMULATED),
    "simulate_users": call(ch.simulate_users, first=(2, COUNT), count=(5, COUNT), **SIMULATED),
    # spectra
    "item_gram": call(ch.item_gram, X=(X, DATA)),
    "spectrum": call(ch.spectrum, X=(X, DATA), k=(2, COUNT.or_none)),
    "spectrum_from_gram": call(ch.spectrum_from_gram, gram=(X.T @ X, DATA), k=(2, COUNT.or_none)),
    "Spectrum": call(ch.Spectrum, sigma=(OF_X.sigma, VECTOR), V=(OF_X.V, MATRIX)),
    "Spectrum.exceeds": call(OF_X.exceeds, level=(1.0, NUMBER)),
    "KrylovSpectrum": call(
        ch.KrylovSpectrum,
        sigma=(OF_X.sigma, VECTOR),
        V=(OF_X.V, MATRIX),
        residual=(np.zeros(3), VECTOR),
        error=(np.array([0.1, 1e-8]), VECTOR),
    ),
    # tables
    "Table": call(
        ch.Table,
        caption=("a caption", TEXT),
        columns=(["", "one"], LIST.except_for("with text", "with empty text", why="a header")),
        rows=(
            [["a", 1.5], ["b", 2.5]],
            LIST.except_for("with text", "with empty text", why="a heading").except_for(
                "with generator", "with iterator", why="a row is read once"
            ),
        ),
        form=(".2f", TEXT.except_for("list of it", why="one for each column")),
        join=(" to ", TEXT),
        over=({"all": 2}, LIST.or_none),
    ),
    # trained
    "CosineModel": call(ch.CosineModel, factors=(FIT, FACTORS), scale=(1.0, NUMBER), loss=(0.5, NUMBER)),
    "ContrastiveModel": call(
        ch.ContrastiveModel,
        P=(UNIT_P, MATRIX),
        Q=(UNIT_Q, MATRIX),
        scale=(1.0, NUMBER),
        excess=(0.5, NUMBER),
        gradient=(0.5, NUMBER),
        steps=(3, COUNT),
    ),
    "Recipe": call(
        ch.Recipe,
        model=("linear", WORD),
        normalization=("layer", WORD),
        dropout=(0.5, NUMBER),
        decay=(0.5, NUMBER),
        learning_rate=(0.5, NUMBER),
        epochs=(2, COUNT),
        k=(2, COUNT),
        batch_size=(2, COUNT),
    ),
    "TrainedModel": call(ch.TrainedModel, recipe=(FEW, RECIPE), parameters=(WEIGHTS, LIST)),
    "TrainedModel.user_vectors": call(TRAINED.user_vectors, X=(ONES, BINARY)),
    "TrainedModel.scores": call(TRAINED.scores, X=(ONES, BINARY)),
    "TrainedModel.predictions": call(TRAINED.predictions, X=(ONES, BINARY)),
    "item_similarities": call(ch.item_similarities, model=(TRAINED, MODEL), X=(ONES, BINARY)),
    "max_norm": call(ch.max_norm, P=(UNIT_P, MATRIX), Q=(UNIT_Q, MATRIX), tolerance=(0.1, NUMBER), steps=(3, COUNT)),
    "train_checkpoints": call(
        ch.train_checkpoints,
        X=(ONES, BINARY),
        recipe=(FEW, RECIPE),
        epochs=([1, 2], LIST.except_for("number in a list", why="an epoch")),
        rng=(0, SEED),
    ),
    "train_contrastive": call(
        ch.train_contrastive,
        Z=(Z, MATRIX),
        P=(UNIT_P, MATRIX),
        Q=(UNIT_Q, MATRIX),
        loss=("symmetric", WORD),
        unit=(True, FLAG),
        scale=(1.0, NUMBER),
        learn_scale=(False, FLAG),
        optimizer=("adam", WORD),
        steps=(2, COUNT),
        learning_rate=(0.02, NUMBER),
    ),
    "train_cosine": call(
        ch.train_cosine,
        X=(X, DATA),
        k=(2, COUNT),
        loss=("squared", WORD),
        steps=(2, COUNT),
        learning_rate=(0.1, NUMBER),
        start=(FIT, FACTORS.or_none),
        rng=(0, SEED),
    ),
    "train_model": call(ch.train_model, X=(ONES, BINARY), recipe=(FEW, RECIPE), rng=(0, SEED)),
    # variance
    "shares_with_intervals": call(ch.shares_with_intervals, squared_distance=(D2, FOUR), confidence=(0.9, NUMBER)),
    "variance_shares": call(ch.variance_shares, squared_distance=(D2, FOUR)),
    # widgets
    "Cone": call(ch.Cone, **OF_CONE),
    "cone": call(ch.cone, **OF_CONE),
    "Dial": call(
        ch.Dial,
        spectrum=(OF_X, SPECTRUM),
        user_coordinates=((X @ OF_X.V)[:2], MATRIX),
        item_cluster=(np.array([0, 0, 1, 1]), LABELS),
        popularity_rank=(np.array([1, 2, 4, 3]), LABELS),
        lam=(2.0, NUMBER),
        k=(2, COUNT),
        exponent=(0.5, NUMBER),
    ),
    "dial": call(
        ch.dial,
        spectrum=(OF_X, SPECTRUM),
        users=(X[:2], DATA),
        item_cluster=(np.array([0, 0, 1, 1]), LABELS),
        item_popularity=([4.0, 3.0, 1.0, 2.0], RANKED),
        lam=(2.0, NUMBER),
        k=(2, COUNT.or_none),
        exponent=(0.5, NUMBER),
    ),
}

RECORDS = {  # what functions return and callers read: numbers and texts as they are, arrays as `hold` takes them
    "Anatomy": "from audit_embeddings",
    "Comparison": "from compare_embeddings",
    "Determined": "a row of losses.yml, from determined",
    "EmbeddingAudit": "from audit_embeddings",
    "Films": "from load_movielens",
    "Freedom": "from freedom",
    "Hubness": "from audit_embeddings",
    "Interactions": "from simulate_interactions",
    "Moved": "a tuple, from slide_cone and lift_into_spare",
    "Stability": "from audit_embeddings",
    "VarianceShares": "three numbers, from variance_shares",
    "Verdict": "two texts, from determined",
    "WordVectors": "from load_glove",
    "Yardsticks": "numbers, from yardsticks",
}
ERRORS = ("DaskNotInstalled", "DataNotInstalled", "NotSettled", "TableNotFound")
CONSTANTS = ("LOSSES",)

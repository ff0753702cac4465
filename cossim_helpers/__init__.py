"""Small helpers behind the book: one module a stage, from the data to the figures.

simulation → spectra → closed_forms → gauge → similarity → metrics → plots.
Objectives, checks, what is reachable, what losses determine, remedies (of the data, and after the fit), shares of
variance, tables and real data stand beside. `trained` holds the models without a closed form, `widget` the dial and the
cone, `audit` what answers for vectors from anywhere. Matplotlib, JAX and SymPy load where they are used.
"""

from ._extras import DaskNotInstalled, require_dask
from ._notebook import sharpen_figures
from .audit.anatomy import Anatomy, Hubness
from .audit.compare import Comparison, compare_embeddings
from .audit.embeddings import EmbeddingAudit, audit_embeddings, balance_defect
from .audit.gauges import Stability
from .audit.repair import default_repair, predicted_item_vectors, repair_vectors
from .blocks import gram, krylov_spectrum
from .checks import check, check_at_least, check_at_most, check_differs
from .closed_forms import Factors, shrinkage, solve_factor_penalty, solve_product_penalty
from .data_remedies import (
    activity_normalized,
    inverse_propensity_scaled,
    propensities,
    shifted_pmi,
    standardized_gram,
)
from .datasets import (
    DataNotInstalled,
    Films,
    WordVectors,
    embed_sentences,
    load_glove,
    load_movielens,
    load_word_pairs,
)
from .fibers import Freedom, freedom
from .gauge import reparameterize, rescale, rotate
from .held_out import hold_out, ndcg_at_k
from .losses import LOSSES, Determined, Verdict, canonical_item_vectors, determined
from .metrics import (
    Yardsticks,
    all_tied,
    cluster_auc,
    mean_cosine,
    neighbor_weights,
    overlap_at_k,
    popularity_correlation,
    precision_at_k,
    yardsticks,
)
from .moves import Moved, lift_into_spare, slide_cone
from .objectives import (
    factor_penalty_gradient,
    factor_penalty_objective,
    minimize_factor_penalty,
    minimize_factors,
    minimize_product_penalty,
    product_penalty_gradient,
    product_penalty_objective,
)
from .plots import block_average, plot_cosine_matrix, plot_cosine_panels
from .reachable import comparison_is_determined, factors_with_neighbors, matroid_components, reachable_dimension
from .remedies import (
    fractionally_whitened_cosine,
    layer_norm,
    score_column_cosine,
    score_row_cosine,
    spectral_cosine,
    whitened_cosine,
)
from .results import TableNotFound, stored_table
from .similarity import (
    cosine_similarity,
    item_item_cosine,
    user_embeddings,
    user_item_cosine,
    user_user_cosine,
)
from .simulation import Interactions, simulate_interactions, simulate_users
from .spectra import KrylovSpectrum, NotSettled, Spectrum, item_gram, spectrum, spectrum_from_gram
from .tables import Table
from .trained.contrastive import ContrastiveModel, max_norm, train_contrastive
from .trained.models import CosineModel, Recipe, TrainedModel, item_similarities
from .trained.training import train_checkpoints, train_cosine, train_model
from .variance import VarianceShares, shares_with_intervals, variance_shares
from .widget import Cone, Dial, cone, dial

__all__ = [
    "LOSSES",
    "Anatomy",
    "Comparison",
    "Cone",
    "ContrastiveModel",
    "CosineModel",
    "DaskNotInstalled",
    "DataNotInstalled",
    "Determined",
    "Dial",
    "EmbeddingAudit",
    "Factors",
    "Films",
    "Freedom",
    "Hubness",
    "Interactions",
    "KrylovSpectrum",
    "Moved",
    "NotSettled",
    "Recipe",
    "Spectrum",
    "Stability",
    "Table",
    "TableNotFound",
    "TrainedModel",
    "VarianceShares",
    "Verdict",
    "WordVectors",
    "Yardsticks",
    "activity_normalized",
    "all_tied",
    "audit_embeddings",
    "balance_defect",
    "block_average",
    "canonical_item_vectors",
    "check",
    "check_at_least",
    "check_at_most",
    "check_differs",
    "cluster_auc",
    "compare_embeddings",
    "comparison_is_determined",
    "cone",
    "cosine_similarity",
    "default_repair",
    "determined",
    "dial",
    "embed_sentences",
    "factor_penalty_gradient",
    "factor_penalty_objective",
    "factors_with_neighbors",
    "fractionally_whitened_cosine",
    "freedom",
    "gram",
    "hold_out",
    "inverse_propensity_scaled",
    "item_gram",
    "item_item_cosine",
    "item_similarities",
    "krylov_spectrum",
    "layer_norm",
    "lift_into_spare",
    "load_glove",
    "load_movielens",
    "load_word_pairs",
    "matroid_components",
    "max_norm",
    "mean_cosine",
    "minimize_factor_penalty",
    "minimize_factors",
    "minimize_product_penalty",
    "ndcg_at_k",
    "neighbor_weights",
    "overlap_at_k",
    "plot_cosine_matrix",
    "plot_cosine_panels",
    "popularity_correlation",
    "precision_at_k",
    "predicted_item_vectors",
    "product_penalty_gradient",
    "product_penalty_objective",
    "propensities",
    "reachable_dimension",
    "repair_vectors",
    "reparameterize",
    "require_dask",
    "rescale",
    "rotate",
    "score_column_cosine",
    "score_row_cosine",
    "shares_with_intervals",
    "shifted_pmi",
    "shrinkage",
    "simulate_interactions",
    "simulate_users",
    "slide_cone",
    "solve_factor_penalty",
    "solve_product_penalty",
    "spectral_cosine",
    "spectrum",
    "spectrum_from_gram",
    "standardized_gram",
    "stored_table",
    "train_checkpoints",
    "train_contrastive",
    "train_cosine",
    "train_model",
    "user_embeddings",
    "user_item_cosine",
    "user_user_cosine",
    "variance_shares",
    "whitened_cosine",
    "yardsticks",
]

sharpen_figures()

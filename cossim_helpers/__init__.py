"""Small helpers behind the book: one module a stage, from the data to the figures.

simulation → spectra → closed_forms → gauge → similarity → metrics → plots.
Objectives, checks, what is reachable, remedies (of the data, and after the fit), shares of variance and tables stand
beside. `trained` holds the models without a closed form, `widget` the dial. Matplotlib, JAX and SymPy load where they
are used.
Objectives, checks, remedies (of the data, and after the fit), shares of variance and tables stand beside. `trained`
holds the models without a closed form, `widget` the dial and the cone. Matplotlib, JAX and SymPy load where they are
used.
"""

from ._notebook import sharpen_figures
from .checks import check, check_at_least, check_at_most, check_differs
from .closed_forms import Factors, shrinkage, solve_factor_penalty, solve_product_penalty
from .data_remedies import (
    activity_normalized,
    inverse_propensity_scaled,
    propensities,
    shifted_pmi,
    standardized_gram,
)
from .gauge import reparameterize, rescale, rotate
from .metrics import (
    Yardsticks,
    all_tied,
    cluster_auc,
    hold_out,
    mean_cosine,
    ndcg_at_k,
    neighbor_weights,
    overlap_at_k,
    popularity_correlation,
    precision_at_k,
    yardsticks,
)
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
from .similarity import (
    cosine_similarity,
    item_item_cosine,
    user_embeddings,
    user_item_cosine,
    user_user_cosine,
)
from .simulation import Interactions, simulate_interactions
from .spectra import Spectrum, item_gram, spectrum, spectrum_from_gram
from .tables import Table
from .trained.models import CosineModel, Recipe, TrainedModel, item_similarities
from .trained.training import train_checkpoints, train_cosine, train_model
from .variance import VarianceShares, shares_with_intervals, variance_shares
from .widget import Cone, Dial, cone, dial

__all__ = [
    "Cone",
    "CosineModel",
    "Dial",
    "Factors",
    "Interactions",
    "Recipe",
    "Spectrum",
    "Table",
    "TrainedModel",
    "VarianceShares",
    "Yardsticks",
    "activity_normalized",
    "all_tied",
    "block_average",
    "check",
    "check_at_least",
    "check_at_most",
    "check_differs",
    "cluster_auc",
    "comparison_is_determined",
    "cone",
    "cosine_similarity",
    "dial",
    "factor_penalty_gradient",
    "factor_penalty_objective",
    "factors_with_neighbors",
    "fractionally_whitened_cosine",
    "hold_out",
    "inverse_propensity_scaled",
    "item_gram",
    "item_item_cosine",
    "item_similarities",
    "layer_norm",
    "matroid_components",
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
    "product_penalty_gradient",
    "product_penalty_objective",
    "propensities",
    "reachable_dimension",
    "reparameterize",
    "rescale",
    "rotate",
    "score_column_cosine",
    "score_row_cosine",
    "shares_with_intervals",
    "shifted_pmi",
    "shrinkage",
    "simulate_interactions",
    "solve_factor_penalty",
    "solve_product_penalty",
    "spectral_cosine",
    "spectrum",
    "spectrum_from_gram",
    "standardized_gram",
    "train_checkpoints",
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

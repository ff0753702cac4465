"""Chapter 01's first look, on other data than the chapter's."""

import numpy as np
import pytest

from cossim_helpers import (
    item_item_cosine,
    mean_cosine,
    rescale,
    shrinkage,
    simulate_interactions,
    solve_product_penalty,
    spectrum,
)


@pytest.mark.claim("fig1-first-look")
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_same_scores_and_other_cosines(seed):
    data = simulate_interactions(4_000, 300, 5, rng=seed)
    lam, k = 500.0, 20
    top = spectrum(data.X, k)
    fit, d = solve_product_penalty(top, lam), shrinkage(top.sigma, lam)
    narrow, wide = rescale(fit, np.sqrt(d)), rescale(fit, 1 / np.sqrt(d))
    X = data.X.toarray()
    scores = X @ top.V * (top.sigma**2 / (top.sigma**2 + lam)) @ top.V.T
    for solution in (narrow, wide):
        np.testing.assert_allclose(X @ solution.A @ solution.B.T, scores, atol=1e-11)
    cosines = [item_item_cosine(solution) for solution in (narrow, wide)]
    assert abs(cosines[0] - cosines[1]).max() > 0.3
    (within_narrow, _), (within_wide, _) = (mean_cosine(c, data.item_cluster) for c in cosines)
    assert within_wide > within_narrow + 0.05

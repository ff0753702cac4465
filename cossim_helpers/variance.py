"""Whose variation is it? Shares of the variance in a design of levels × seeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from ._scales import near_one
from ._validation import real_array, real_number


@dataclass(frozen=True)
class VarianceShares:
    """Shares of the variance in a design of levels × seeds; they sum to 1."""

    level: float
    seed: float
    rest: float


def variance_shares(squared_distance) -> VarianceShares:
    """Two-way analysis of variance, with one run for each level and seed, from the distances between the runs.

        y_ls = μ + level_l + seed_s + rest_ls

    The sums of squares need nothing but squared distances, so y may be a number, or a whole list of neighbors:

        SS_total = Σ_{a<b} D²_ab / (LS),   SS_within levels = Σ_l Σ_{s<t} D²_{ls,lt} / S,   and the same for seeds

    The components are estimated from the mean squares, σ²_rest = MS_rest, σ²_level = (MS_level − MS_rest)/S,
    σ²_seed = (MS_seed − MS_rest)/L; negative estimates count as 0.

    Parameters
    ----------
    squared_distance : array_like, shape (L, S, L, S)
        Between run (l, s) and run (m, t); L, S ≥ 2. For numbers y: (y_ls − y_mt)². For lists of neighbors:
        1 − overlap, which is their squared distance as 0/1 vectors over twice the length of all lists.

    References
    ----------
    Anderson (2001).
    """
    D2 = real_array("squared_distance", squared_distance, ndim=4)
    L, S = D2.shape[:2]
    if D2.shape != (L, S, L, S) or min(L, S) < 2:
        raise ValueError(f"squared_distance takes the shape (L, S, L, S) with L, S >= 2, got {D2.shape}")
    D2 = near_one(D2)[0]
    total = D2.sum() / (2 * L * S)
    within_levels = np.einsum("lslt->", D2) / (2 * S)
    within_seeds = np.einsum("lsms->", D2) / (2 * L)
    ss_level, ss_seed = total - within_levels, total - within_seeds
    rest = (total - ss_level - ss_seed) / ((L - 1) * (S - 1))
    level = max((ss_level / (L - 1) - rest) / S, 0.0)
    seed = max((ss_seed / (S - 1) - rest) / L, 0.0)
    size = level + seed + rest
    if size <= 0:
        raise ValueError("squared_distance takes runs that differ, got none that do")
    return VarianceShares(level / size, seed / size, rest / size)


def shares_with_intervals(squared_distance, confidence: float = 0.95) -> dict[str, tuple[float, float, float]]:
    """(estimate, low, high) of each share of `variance_shares`, by the jackknife over seeds.

    Leave out one seed at a time; the S pseudo-values S θ − (S−1) θ_(−s) have the standard error of θ, and Student's t
    with S − 1 degrees of freedom gives the interval, cut to [0, 1]. S ≥ 3. The confidence, above 0 and below 1, is
    met roughly: with 8 seeds, simulated 95% intervals held the true share in 87% to 96% of the cases.
    """
    D2 = real_array("squared_distance", squared_distance, ndim=4)
    confidence = real_number("confidence", confidence, above=0.0, below=1.0)
    S = D2.shape[1]
    if S < 3:
        raise ValueError(f"squared_distance takes at least 3 seeds, got {S}")
    whole = variance_shares(D2)
    without = [variance_shares(np.delete(np.delete(D2, s, axis=1), s, axis=3)) for s in range(S)]
    result = {}
    for name in ("level", "seed", "rest"):
        estimate = getattr(whole, name)
        left = np.array([getattr(one, name) for one in without])
        error = (S - 1) * left.std(ddof=1) / np.sqrt(S)  # the pseudo-values differ by S − 1 times as much
        half = -stdtrit(S - 1, (1 - confidence) / 2) * error  # the lower tail: 1 + confidence may round to 2
        result[name] = (estimate, max(estimate - half, 0.0), min(estimate + half, 1.0))
    return result

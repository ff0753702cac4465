"""Which neighbors stay when vectors are looked at in another way that their training may have left equally good.

Each overlap stands beside the same number for noise: Gaussian vectors of the same mean and spectrum, in a random basis.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .anatomy import Anatomy
from .neighbors import DISTANCE, DOT, View, nearest, shared
from .tables import interval

PARTS = 5  # a draw looks at every fifth query; of fewer queries at one
WIDE = 10  # neighbors are also sought among the first 10 k
NOISE_ROWS = 200_000
NOISE_QUERIES = 100
NOISE_DRAWS = 3


@dataclass(frozen=True)
class Stability:
    """How many of the k nearest by cosine stay under another view.

    Attributes
    ----------
    name
        Of the view.
    kind
        "measure", "data" (a change that follows from the vectors) or "gauge" (a draw of what a loss may leave
        open).
    overlap, error
        Mean share that stays, and half a 95% interval over queries.
    lowest, highest
        The same over single draws.
    within_wide
        Share of the new k nearest that were among the old 10 k nearest.
    null
        The overlap for noise of the same mean and spectrum.
    """

    name: str
    kind: str
    overlap: float
    error: float
    lowest: float
    highest: float
    within_wide: float
    null: float


def stabilities(
    E: np.ndarray,
    queries: np.ndarray,
    k: int,
    facts: Anatomy,
    *,
    n_draws: int,
    spread: float,
    rng: np.random.Generator,
    done: Callable[[float], None] = lambda share: None,
) -> tuple[Stability, ...]:
    """The stability of the neighbors of `queries` under each view, beside the null."""
    n, dim = E.shape
    basis = rotation(dim, rng)
    kept = facts.spectrum > 1e-10 * facts.spectrum[0]
    axes, spectrum = facts.axes[:, kept], facts.spectrum[kept]
    views = _views(
        k, facts.mean, facts.variances, axes, spectrum, basis, n_draws, spread, rng, min(PARTS, len(queries))
    )
    found = nearest(E, queries, [View(min(WIDE * k, n - 1)), *[view for _, _, view in views]], done=done)

    m = min(n, NOISE_ROWS)  # noise in its own axes; the random basis of each view hides them
    few = min(k, m - 1)
    noise = rng.standard_normal((m, dim), dtype=np.float32) * np.sqrt(facts.spectrum).astype(np.float32)
    turn = rotation(dim, rng)
    noise = noise @ turn.astype(np.float32) + facts.mean.astype(np.float32)
    noise_queries = np.sort(rng.choice(m, min(m, NOISE_QUERIES), replace=False))
    variances = np.einsum("ij,i,ij->j", turn, facts.spectrum, turn)
    noise_views = _views(
        few,
        facts.mean,
        variances,
        turn.T[:, kept],
        spectrum,
        basis,
        min(n_draws, NOISE_DRAWS),
        spread,
        rng,
        min(PARTS, len(noise_queries)),
    )
    null = nearest(noise, noise_queries, [View(few), *[view for _, _, view in noise_views]])
    return _summaries(views, found, k, _overlaps(noise_views, null, few))


def _views(k, mean, variances, axes, spectrum, basis, n_draws, spread, rng, parts) -> list[tuple[str, str, View]]:
    """(name, kind, view) of each way to look at the vectors."""
    sizes = np.where(variances > 1e-12 * variances.max(), variances, np.inf)  # a constant coordinate counts nothing
    centered = {"shift": mean, "basis": axes}

    def without(first: int) -> np.ndarray:
        return np.arange(len(spectrum)) >= min(first, len(spectrum) - 1)

    views = [
        ("dot product", "measure", View(k, DOT)),
        ("distance", "measure", View(k, DISTANCE)),
        ("centered", "data", View(k, shift=mean)),
        ("standardized", "data", View(k, weights=1 / sizes, shift=mean)),
        ("whitened by 1/4", "data", View(k, weights=spectrum**-0.25, **centered)),
        ("whitened by 1/2", "data", View(k, weights=spectrum**-0.5, **centered)),
        ("whitened", "data", View(k, weights=1 / spectrum, **centered)),
        ("without the first direction", "data", View(k, weights=without(1), **centered)),
        ("without the first three", "data", View(k, weights=without(3), **centered)),
    ]
    for name, turned in (("a D in the coordinates", None), ("a G: D in a random basis", basis)):
        for draw in range(n_draws):
            d = np.exp(rng.uniform(-np.log(spread), np.log(spread), len(mean)))
            views.append((name, "gauge", View(k, weights=d**2, basis=turned, part=(draw % parts, parts))))
    return views


def _overlaps(views, found, k: int) -> dict[str, list[np.ndarray]]:
    """For each name and draw the shares of the neighbors that stay."""
    base = found[0][:, :k]
    overlaps: dict[str, list[np.ndarray]] = {}
    for (name, _, view), ids in zip(views, found[1:]):
        overlaps.setdefault(name, []).append(shared(view.of(base), ids))
    return overlaps


def _summaries(views, found, k: int, null: dict) -> tuple[Stability, ...]:
    overlaps = _overlaps(views, found, k)
    wide: dict = {}
    for (name, _, view), ids in zip(views, found[1:]):
        wide.setdefault(name, []).append(shared(ids, view.of(found[0])).mean())
    kinds = {name: kind for name, kind, _ in views}
    return tuple(
        Stability(
            name=name,
            kind=kinds[name],
            overlap=float(np.concatenate(shares).mean()),
            error=interval(np.concatenate(shares)),
            lowest=float(min(map(np.mean, shares))),
            highest=float(max(map(np.mean, shares))),
            within_wide=float(np.mean(wide[name])),
            null=float(np.concatenate(null[name]).mean()),
        )
        for name, shares in overlaps.items()
    )


def rotation(dim: int, rng: np.random.Generator) -> np.ndarray:
    """Uniform among the orthogonal matrices."""
    Q, R = np.linalg.qr(rng.standard_normal((dim, dim)))
    return Q * np.sign(np.diag(R))

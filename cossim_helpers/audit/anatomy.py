"""What one pass over vectors shows: faults, lengths, mean cosine, and how their directions share the variance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .._owned import hold, matrix, ours, vector
from .neighbors import View, nearest, row_blocks

FIRST = (1_000, 10_000, 100_000)  # rows on which the mean cosine is said besides all
HUB_ROWS = 5_000


@dataclass(frozen=True, eq=False)
class Anatomy:
    """Numbers of a table of vectors, of all its rows.

    Attributes
    ----------
    zero_rows, duplicate_rows
        Rows of length 0; rows that repeat an earlier one (in float32).
    dead_dimensions, constant_dimensions
        Coordinates that are 0, and that are the same number, in every row.
    shortest, longest, length_spread
        Lengths of the rows, and their standard deviation over their mean.
    mean_cosine
        (rows, mean cosine of all pairs of different rows among the first so many rows), the last one of all.
    dimension, dimension_share
        The coordinate that holds most of Σ cos², and its share: mean square of the unit vectors.
    direction_share
        The same of the best direction.
    effective_rank, entropy_rank
        (Σw)²/Σw² and exp(−Σ p log p) of the variances w of the principal directions, p = w/Σw.
    mean, variances, spectrum, axes
        The mean row; the variances of the coordinates; w, falling; its directions (columns). Read-only, and copies of
        what was passed.
    """

    zero_rows: int
    duplicate_rows: int
    dead_dimensions: int
    constant_dimensions: int
    shortest: float
    longest: float
    length_spread: float
    mean_cosine: tuple[tuple[int, float], ...]
    dimension: int
    dimension_share: float
    direction_share: float
    effective_rank: float
    entropy_rank: float
    mean: np.ndarray
    variances: np.ndarray
    spectrum: np.ndarray
    axes: np.ndarray

    def __post_init__(self):
        hold(self, mean=vector, variances=vector, spectrum=vector, axes=matrix)

    @property
    def unit_length(self) -> bool:
        """Whether each row has length 1 to three digits, as a table does that was normalized before it was stored."""
        return max(1 - self.shortest, self.longest - 1) < 1e-3


def anatomy(E: np.ndarray) -> Anatomy:
    """One pass over E (n, dim), finite, of any dtype; sums in float64 of blocks in float32."""
    n, dim = E.shape
    lengths, keys = np.empty(n), np.empty(n, np.uint64)
    weights = np.random.default_rng(0).integers(0, 2**64, dim, dtype=np.uint64) | 1  # odd: no bit is lost
    total, unit_total = np.zeros(dim), np.zeros(dim)
    gram, unit_gram = np.zeros((dim, dim)), np.zeros((dim, dim))
    lowest, highest = np.full(dim, np.inf), np.full(dim, -np.inf)
    marks, so_far = {}, 0
    for first, block in row_blocks(E):
        for start, stop in _cut(first, len(block)):
            rows = block[start - first : stop - first]
            lengths[start:stop] = np.linalg.norm(rows.astype(np.float64), axis=1)
            keys[start:stop] = _keys(rows, weights)
            total += rows.sum(axis=0, dtype=np.float64)
            gram += rows.T @ rows
            lowest, highest = np.minimum(lowest, rows.min(axis=0)), np.maximum(highest, rows.max(axis=0))
            here = lengths[start:stop, None]
            unit = np.divide(rows, here, out=np.zeros_like(rows), where=here > 0)
            unit_total += unit.sum(axis=0, dtype=np.float64)
            unit_gram += unit.T @ unit
            so_far += int(np.count_nonzero(here))
            marks[stop] = _mean_of_pairs(unit_total, so_far)
    spectrum, axes = np.linalg.eigh(gram / n - np.outer(total, total) / n**2)
    spectrum, axes = np.maximum(spectrum[::-1], 0.0), axes[:, ::-1]
    share = spectrum / spectrum.sum() if spectrum.sum() > 0 else np.full(dim, 1 / dim)
    squares = np.diag(unit_gram) / max(so_far, 1)
    return Anatomy(
        zero_rows=int(np.count_nonzero(lengths == 0)),
        duplicate_rows=_duplicates(E, keys),
        dead_dimensions=int(np.count_nonzero((lowest == 0) & (highest == 0))),
        constant_dimensions=int(np.count_nonzero(lowest == highest)),
        shortest=float(lengths.min()),
        longest=float(lengths.max()),
        length_spread=float(lengths.std() / lengths.mean()) if lengths.any() else 0.0,
        mean_cosine=tuple((rows, marks[rows]) for rows in sorted({*FIRST, n}) if rows in marks),
        dimension=int(squares.argmax()),
        dimension_share=float(squares.max()),
        direction_share=float(np.linalg.eigvalsh(unit_gram)[-1] / max(so_far, 1)),
        effective_rank=float(1 / np.square(share).sum()),
        entropy_rank=float(np.exp(-(share[share > 0] * np.log(share[share > 0])).sum())),
        mean=ours(total / n),
        variances=ours(np.maximum(np.diag(gram) / n - (total / n) ** 2, 0.0)),
        spectrum=ours(spectrum),
        axes=ours(axes),
    )


def _cut(first: int, count: int) -> Iterator[tuple[int, int]]:
    """The block from `first` on, cut where one of FIRST ends."""
    stops = sorted({stop for stop in FIRST if first < stop < first + count} | {first + count})
    return zip([first, *stops], stops)


def _mean_of_pairs(total: np.ndarray, m: int) -> float:
    """Mean cosine of the pairs of m different unit vectors that sum to `total`: (‖total‖² − m) / (m (m − 1))."""
    return float((total @ total - m) / (m * (m - 1))) if m > 1 else float("nan")


def _keys(rows, weights) -> np.ndarray:
    """A number that equal rows share: integer sums, exact whatever the order."""
    bits = (rows + 0).view(np.uint32)  # −0.0 becomes 0.0
    return (bits * weights).sum(axis=1)


def _duplicates(E: np.ndarray, keys: np.ndarray) -> int:
    """Rows that repeat an earlier one: rows of equal keys, compared number by number."""
    order = np.argsort(keys)
    same = np.flatnonzero(keys[order][1:] == keys[order][:-1])
    found = 0
    for at in range(0, len(same), 1024):
        left, right = (np.asarray(E[order[same[at : at + 1024] + step]], dtype=np.float32) for step in (0, 1))
        found += int((left == right).all(axis=1).sum())
    return found


@dataclass(frozen=True)
class Hubness:
    """How unevenly rows occur among the k nearest of others, on a subsample that is a corpus of its own.

    Attributes
    ----------
    n_rows
        Rows in the subsample.
    skewness
        Of the number of occurrences.
    largest
        The largest number of occurrences.
    orphans
        Share of the rows that are nobody's neighbor.
    """

    n_rows: int
    skewness: float
    largest: int
    orphans: float


def hubness(E: np.ndarray, rows: np.ndarray, k: int) -> Hubness:
    """Of the cosine among the given rows."""
    sample = E[rows]
    k = min(k, len(sample) - 1)
    ids = nearest(sample, np.arange(len(sample)), [View(k)])[0]
    counts = np.bincount(ids.ravel(), minlength=len(sample))
    spread = counts.std()
    skewness = float(((counts - counts.mean()) ** 3).mean() / spread**3) if spread > 0 else 0.0
    return Hubness(len(sample), skewness, int(counts.max()), float((counts == 0).mean()))

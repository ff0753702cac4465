"""The audit: did training pin down the cosine of these vectors, and how much do neighbors move if it did not?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .._validation import MANY, function, generator, one_of, real_number, require_same, whole_number
from ..fibers import freedom
from ..losses import LOSSES, Determined, determined
from .anatomy import HUB_ROWS, Anatomy, Hubness, anatomy, hubness
from .compare import Comparison, compare_embeddings
from .gauges import Stability, rotation, stabilities
from .repair import UNKNOWN
from .tables import as_vectors, chosen_rows, exact_blocks, require_different
from .verdict import Evidence, judge

COUNTED_DIM, COUNTED_ROWS = 32, 1_000  # sizes up to which free directions are counted
TURNS = 5
WIDEST = 1e6  # spread whose squares float32 tells apart from 0 and infinity


@dataclass(frozen=True, eq=False)
class EmbeddingAudit:
    """What `audit_embeddings` found.

    Attributes
    ----------
    n, dim, dtype, k, n_queries, n_draws
        The table and the search.
    facts, hubs
        One pass over all rows (`Anatomy`), and occurrences as neighbors in a subsample (`Hubness`).
    stability
        One `Stability` for each other view of the vectors.
    trained
        The loss, or "unknown".
    balance_defect
        Of the two sides, 0 where they are balanced up to a factor, at most 1; None without `other`.
    balance_of_noise
        The mean of the same with one side turned at random, its null: where it is small as well, the defect
        says nothing.
    mean_share
        Share of the mean row in the squared lengths of the rows.
    free_directions
        Directions that the loss leaves and that move item cosines, counted at these vectors; None where it was
        not counted.
    comparison
        With `again`, else None.
    verdict
        "pinned", "open", "unclear" or "unknown".
    advice, chapter
        One sentence, and the chapter that proves it.
    """

    n: int
    dim: int
    dtype: str
    k: int
    n_queries: int
    n_draws: int
    facts: Anatomy
    hubs: Hubness
    stability: tuple[Stability, ...]
    trained: str
    balance_defect: float | None
    balance_of_noise: float | None
    mean_share: float
    free_directions: int | None
    comparison: Comparison | None
    verdict: str
    advice: str
    chapter: str

    @property
    def stays(self) -> float:
        """Share of the neighbors that training pinned down: 1 if pinned, else the least over what may be open.

        The gauges, and centering where the loss sees the scores of a user only up to one number.
        """
        if self.verdict == "pinned":
            return 1.0
        shift = self.trained != UNKNOWN and determined(self.trained).sees == "rows"
        return min(e.overlap for e in self.stability if e.kind == "gauge" or (shift and e.name == "centered"))


def audit_embeddings(
    E,
    *,
    other=None,
    again=None,
    trained: str = UNKNOWN,
    k: int = 10,
    n_queries: int = 500,
    n_draws: int = 10,
    spread: float = 2.0,
    rng=0,
    done: Callable[[float], None] = lambda share: None,
) -> EmbeddingAudit:
    """Audit vectors that are compared by cosine.

    Parameters
    ----------
    E : array_like or data frame, shape (n, dim)
        The vectors whose neighbors are served. A memory map is read in blocks.
    other : array_like or data frame, shape (m, dim), optional
        The other side: users, queries, contexts.
    again : array_like or data frame, shape (n, any), optional
        The same items from another training: row i is the same item.
    trained : str
        The loss, one of `LOSSES`, or "unknown".
    k : int
        Neighbors, from 1 to n − 1.
    n_queries : int
        At most so many rows are looked up, drawn by rng, each among all rows.
    n_draws : int
        Draws of each gauge, each looked at on a fifth of the queries.
    spread : float
        From 1 to 1e6: a gauge D has entries log-uniform in [1/spread, spread].
    rng : int, sequence of int, SeedSequence, Generator or None
    done : callable, optional
        Is told the share of the search that is done.

    Returns
    -------
    EmbeddingAudit

    Raises
    ------
    ValueError, TypeError
        For NaN or infinite values (the error says where), masked arrays, fewer than 3 rows (4 with `again`), other
        shapes than needed.
    """
    trained = one_of("trained", trained, (*LOSSES, UNKNOWN))
    E = as_vectors("E", E, at_least=3)
    other = None if other is None else as_vectors("other", other, at_least=1)
    if other is not None:
        require_same("other, with as many columns as E", other.shape[1], E.shape[1])
        _require_another_side(other, E, trained)
    if again is not None:
        again = as_vectors("again", again, at_least=4)
        require_same("again, with as many rows as E", len(again), len(E))
        require_different("again", again)
    k = whole_number("k", k, low=1, high=len(E) - 1, why=", one less than there are rows")
    n_queries = whole_number("n_queries", n_queries, low=1)
    n_draws = whole_number("n_draws", n_draws, low=1, high=MANY)
    spread = real_number("spread", spread, at_least=1.0, at_most=WIDEST)
    function("done", done, "one number")
    rng = generator(rng)
    queries = chosen_rows(E, n_queries, rng)
    require_different("E", E)
    sides = None if other is None else (_gram("other", other), _gram("E", E))
    facts = anatomy(E)
    hubs = hubness(E, chosen_rows(E, HUB_ROWS, rng), k)
    stability = stabilities(E, queries, k, facts, n_draws=n_draws, spread=spread, rng=rng, done=done)
    balance = sides and _balance(*sides, rng)
    free = None if other is None or trained == UNKNOWN else _counted(other, E, determined(trained), rng)
    comparison = None if again is None else compare_embeddings(E, again, k=k, n_queries=n_queries, rng=rng)
    squares = facts.mean @ facts.mean
    mean_share = float(squares / (squares + facts.spectrum.sum()))
    seen = Evidence(balance, mean_share, free, facts.unit_length)
    verdict, advice, chapter = judge(trained, seen)
    return EmbeddingAudit(
        n=len(E),
        dim=E.shape[1],
        dtype=str(E.dtype),
        k=k,
        n_queries=len(queries),
        n_draws=n_draws,
        facts=facts,
        hubs=hubs,
        stability=stability,
        trained=trained,
        balance_defect=balance and balance[0],
        balance_of_noise=balance and balance[1],
        mean_share=mean_share,
        free_directions=free,
        comparison=comparison,
        verdict=verdict,
        advice=advice,
        chapter=chapter,
    )


def balance_defect(P, Q) -> float:
    """How far two sides are from sharing one metric: ‖ PᵀP/‖PᵀP‖ − QᵀQ/‖QᵀQ‖ ‖ / √2, from 0 to 1.

    A penalty on both sides balances them, PᵀP = c QᵀQ, which leaves rotations only; a penalty on the product, or none,
    leaves (P G, Q G⁻ᵀ) open. Shapes (n, dim) and (p, dim); raises ValueError or TypeError as `audit_embeddings`.

    References
    ----------
    Chapter 11 of the book, thm-11-decay.
    """
    P, Q = as_vectors("P", P, at_least=1), as_vectors("Q", Q, at_least=1)
    require_same("Q, with as many columns as P", Q.shape[1], P.shape[1])
    return _apart(_gram("P", P), _gram("Q", Q))


def _gram(name: str, table: np.ndarray) -> np.ndarray:
    """MᵀM over its norm."""
    gram = sum(rows.T @ rows for _, rows in exact_blocks(table))
    if not (size := np.linalg.norm(gram)) > 0:
        raise ValueError(f"{name} takes vectors of which some have a length, got rows of zeros only")
    return gram / size


def _require_another_side(other: np.ndarray, E: np.ndarray, trained: str) -> None:
    """A table is balanced with itself, whatever trained it: only one encoder for both sides may give it twice."""
    tied = trained in LOSSES and determined(trained).tied
    if not tied and np.array_equal(other, E):
        raise ValueError("other takes the vectors of the other side, got those of E: name another file, or another key")


def _apart(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.linalg.norm(one - other) / np.sqrt(2))


def _balance(one: np.ndarray, two: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """The balance defect of two sides, from what `_gram` says of them, and its mean over random rotations of one."""
    turns = [rotation(len(one), rng) for _ in range(TURNS)]
    return _apart(one, two), float(np.mean([_apart(R.T @ one @ R, two) for R in turns]))


def _counted(P, Q, row: Determined, rng: np.random.Generator) -> int | None:
    """Free directions that move item cosines, of a sample of the vectors, where the model can be counted."""
    asked = row.verdicts["item_item_value"].answer == "if" and not row.tied and row.sees not in ("blocks", "prefixes")
    if not asked or Q.shape[1] > COUNTED_DIM:
        return None
    P, Q = (np.asarray(M[chosen_rows(M, COUNTED_ROWS, rng)], dtype=np.float64) for M in (P, Q))
    for M, unit in ((P, row.unit_users), (Q, row.unit_items)):
        if unit:
            M /= np.linalg.norm(M, axis=1, keepdims=True)
    if min(map(_rank, (P, Q))) < Q.shape[1]:
        return None  # moves into unused dimensions are not counted
    try:
        found = freedom(P, Q, row.loss)
    except ValueError:  # vectors at which the model has no tangent space
        return None
    return None if found.unused else found.moved["item_item_value"]


def _rank(M: np.ndarray) -> int:
    """Directions of M, those apart that are below the rounding of float32."""
    size = np.linalg.svd(M, compute_uv=False)
    return int(np.count_nonzero(size > 1e-6 * size[0]))

"""What the losses that people train with determine, and what they leave free: the table behind page and audit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

import numpy as np
import scipy.linalg
import yaml

from ._ranks import less_the_mean, triangle
from ._scales import near_one
from ._validation import one_of, real_array, require_same, true_or_false, whole_number

_TABLE = Path(__file__).with_name("losses.yml")
_EPS = np.finfo(np.float64).eps
_SMALLEST = 1e-290  # a number that keeps its digits, and what the sums of a product lose

LOSSES = (
    "squared",
    "weighted-als",
    "logistic",
    "skip-gram",
    "dot-decay",
    "bpr",
    "softmax",
    "two-tower-dot",
    "infonce-one-sided",
    "clip",
    "siglip",
    "cosine-mse",
    "siglip-fixed",
    "triplet-cosine",
    "triplet-euclidean",
    "tied-cosine",
    "cosent",
    "tied-dot",
    "matryoshka-dot",
    "matryoshka-unit",
    "gain-after-norm",
    "lm-head",
)


@dataclass(frozen=True)
class Verdict:
    """Whether all models with the same predictions share a quantity: answer is "yes", "no" or "if"; condition: when."""

    answer: str
    condition: str = ""


@dataclass(frozen=True)
class Determined:
    """A row of the table of losses. Nothing in it can be changed: all who ask share it.

    Attributes
    ----------
    loss, label : str
        The slug, and the words for it.
    sees, sees_words : str
        What equal losses keep of the scores s P Qᵀ: "scores", "constant" (up to one number), "rows" (up to one number
        for each user), "squared distances" (these, up to one number for each user), "blocks" or "prefixes" (of each
        prefix); and the words for it.
    freedom : str
        What is left beyond rotations, in words.
    verdicts : mapping of str to Verdict
        For each quantity.
    theorem : str
        The label of what proves it.
    rule, repair : str
        What to do, in one sentence, and the name of the function that does it.
    unit_users, unit_items, tied, balanced : bool
        The model: rows of length 1, one encoder for both sides, a penalty on the squared lengths of both sides.
    gain_on : str
        "P" or "Q" where a gain follows the normalization, or "".
    learned_scale, sees_diagonal : bool
        Whether the scale is usually learned, and whether the score of a vector with itself enters the loss.
    vectors : mapping of str to tuple
        What `vectors_needed` is computed from.
    repair_options : mapping of str to bool
        Keyword arguments of `repair`.
    remark : str
        What a cell of the table is too short for: exceptions, and what is taken for granted. May be empty.
    """

    loss: str
    label: str
    sees: str
    sees_words: str
    freedom: str
    verdicts: Mapping[str, Verdict]
    theorem: str
    rule: str
    repair: str
    unit_users: bool
    unit_items: bool
    tied: bool
    balanced: bool
    gain_on: str
    learned_scale: bool
    sees_diagonal: bool
    vectors: Mapping[str, tuple[int, int, int]]
    repair_options: Mapping[str, bool]
    remark: str

    def __post_init__(self):
        for name in ("verdicts", "vectors", "repair_options"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def __reduce__(self):  # a view has no copy: copies and pickles are made anew
        own = vars(self).values()
        return Determined, tuple(dict(value) if isinstance(value, Mapping) else value for value in own)

    @property
    def quantities(self) -> tuple[str, ...]:
        """What the verdicts are about."""
        return tuple(self.verdicts)

    def vectors_needed(self, k: int, *, scale_is_learned: bool | None = None) -> dict[str, int]:
        """How many vectors in general position leave no more than `freedom`: users, items, and both together.

        With unit vectors on two sides one vector fewer leaves no direction, but in general other solutions.
        """
        k = whole_number("k", k, low=1)
        learned = self.learned_scale
        if scale_is_learned is not None:
            learned = true_or_false("scale_is_learned", scale_is_learned)
        needed = {side: a * k * (k + 1) // 2 + b * k + c for side, (a, b, c) in self.vectors.items()}
        return needed | {"together": needed["together"] + (learned and self.unit_items and not self.tied)}


def determined(loss: str) -> Determined:
    """What a loss determines: the row of the table that the page, the audit and the tests read.

    A verdict compares models with equal predictions and the same dimension k, of 2 at least: "yes" if a quantity is the
    same in all of them, "no" if it differs between some in general position, "if" where it is the same under the
    condition.

    ``user_item_value``, ``user_item_order``
        The score that is served, ⟨z_u, z_i⟩ (a cosine for unit vectors; −|z_u − z_i|² for triplets of distances), and
        the order of one user's items by it.
    ``item_item_value``, ``item_item_order``, ``user_user_value``
        The cosine of two items, the order of an item's neighbors by it, the cosine of two users.
    ``distance``, ``cka``
        Ratios of distances between items; whether linear CKA between the items of two such models is 1. Their verdicts
        agree.
    ``centered``
        The cosine of z_i − z̄ and z_j − z̄, with z̄ the mean of the items.
    ``whitened``, ``centered_whitened``
        The cosine after (QᵀQ)^{-1/2}; the same with z̄ subtracted first.
    ``score_columns``, ``centered_score_columns``
        The cosine of two columns of the scores; the same less each user's mean, as `canonical_item_vectors` gives it.

    Parameters
    ----------
    loss : str
        One of `LOSSES`.

    Returns
    -------
    Determined

    Raises
    ------
    ValueError
        For another name.

    Examples
    --------
    >>> determined("bpr").verdicts["item_item_value"].answer
    'no'
    >>> determined("clip").vectors_needed(50)["together"]
    1277
    """
    return _table()[one_of("loss", loss, LOSSES)]


@cache
def _table() -> dict[str, Determined]:
    rows = yaml.safe_load(_TABLE.read_text(encoding="utf-8"))["losses"]
    return {name: _row(name, rows[name]) for name in LOSSES}


def _row(name, row) -> Determined:
    model = row["model"]
    return Determined(
        loss=name,
        **{key: row[key] for key in ("label", "sees", "sees_words", "freedom", "theorem", "rule", "repair")},
        verdicts={quantity: _verdict(text) for quantity, text in row["verdicts"].items()},
        unit_users=model["users"] == "unit",
        unit_items=model["items"] == "unit",
        tied=model.get("tied", False),
        balanced=model.get("balanced", False),
        gain_on=model.get("gain_on", ""),
        learned_scale=model.get("learned_scale", False),
        sees_diagonal=model.get("sees_diagonal", True),
        vectors={side: tuple(count) for side, count in row["vectors"].items()},
        repair_options=row.get("repair_options", {}),
        remark=row.get("remark", ""),
    )


def _verdict(text) -> Verdict:
    answer, _, condition = text.partition(" ")
    return Verdict(answer.rstrip(":"), condition)


def canonical_item_vectors(P, Q, *, centered: bool = True, users_centered: bool = False) -> np.ndarray:
    """Item vectors that every model with the same scores shares, up to one rotation and one factor.

        rows (PᵀP)^{1/2} (z_i − z̄),   z̄ = (1/p) Σ_i z_i

    Their inner products are those of the columns of the scores P Qᵀ less each user's mean over
    the items. So they are the same for (P G, Q G⁻ᵀ), another scale, a shift Q + 1mᵀ, and more dimensions than needed.

    Parameters
    ----------
    P : array_like, shape (n, k)
        Users, one a row.
    Q : array_like, shape (p, k)
        Items.
    centered : bool
        Whether to subtract z̄. Without, the inner products are those of the columns of P Qᵀ: only for losses that see
        every score.
    users_centered : bool
        Whether to subtract the mean user from P as well: for models that learn a bias for each item, which can take up
        a number for each item from the scores.

    Returns
    -------
    ndarray, shape (p, k)
        An item that does not differ from z̄ by more than rounding becomes 0. Which users and items are given matters:
        compare two models on the same ones.

    Raises
    ------
    ValueError, TypeError
        For NaN or infinite values, numbers of columns that differ, or products beyond what a float holds.
    """
    P, Q = real_array("P", P, ndim=2), real_array("Q", Q, ndim=2)
    centered, users_centered = true_or_false("centered", centered), true_or_false("users_centered", users_centered)
    require_same("Q, with as many columns as P", Q.shape[1], P.shape[1])
    sizes = [abs(M).max() for M in (P, Q)]
    (P, of_P), (Q, of_Q) = near_one(P, 250), near_one(Q, 250)
    P = less_the_mean(P) if users_centered else P
    Q = less_the_mean(Q) if centered else Q
    _, size, right = scipy.linalg.svd(triangle(P), full_matrices=False)
    along = Q @ right.T
    with np.errstate(over="ignore"):
        vectors = np.ldexp((along * size) @ right, of_P + of_Q)  # (PᵀP)^{1/2} = right ᵀ dMat(size) right
    seen = along[:, size > len(size) * _EPS * size[0]].any()
    if not np.isfinite(vectors).all() or (seen and abs(vectors).max() < _SMALLEST):
        raise ValueError(
            "P and Q take vectors whose products a float holds: scale them by a power of two, "
            f"got some of up to {sizes[0]:.3g} and {sizes[1]:.3g}"
        )
    return vectors

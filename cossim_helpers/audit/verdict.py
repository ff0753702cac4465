"""What to say of audited vectors: a verdict, one sentence of advice, and the chapter that proves it."""

from __future__ import annotations

from dataclasses import dataclass

from ..losses import Determined, determined
from .repair import UNKNOWN, default_repair

PINNED, OPEN = 0.02, 0.1  # balance defects below the first, above the second: chapter 13 calibrates them


@dataclass(frozen=True)
class Evidence:
    """What two sides show.

    balance : the balance defect as they are, and on average with one side turned at random; None without the other side
    mean_share : share of the mean item in the squared lengths of the items, 0 for centered ones
    free : directions that the loss leaves and that move item cosines, or None where they were not counted
    unit_length : whether each item has length 1
    """

    balance: tuple[float, float] | None
    mean_share: float
    free: int | None
    unit_length: bool


def judge(trained: str, seen: Evidence) -> tuple[str, str, str]:
    """(verdict, advice, chapter): from the table of losses where it decides, else from what the two sides show."""
    if trained == UNKNOWN:
        return _without_a_loss(seen)
    row = determined(trained)
    answer = row.verdicts["item_item_value"]
    if answer.answer == "if":
        return _with_a_condition(row, seen)
    if answer.answer == "yes" and not row.balanced:
        return "pinned", f"The loss determines this cosine, given its predictions. {row.rule}", "chapter 11"
    dot = row.sees in ("scores", "rows") and not (row.unit_users or row.unit_items or row.tied or row.gain_on)
    if dot and seen.balance is not None:
        return _by_balance(row, seen, *seen.balance)
    if row.balanced:
        return "unclear", "Decay on both sides pins this cosine once it has converged: --other shows it.", "chapter 11"
    if default_repair(trained, seen.balance is not None) == "centered":  # a G still moves it
        words = (
            "The loss leaves this cosine open, and one side alone cannot repair it: give --other, or serve the scores."
        )
    else:
        words = f"The loss leaves this cosine open: {_repair(row, seen)}, or serve the scores."
    return "open", words, "chapter 11"


def _repair(row: Determined, seen: Evidence) -> str:
    method = "balanced" if row.balanced else default_repair(row.loss, seen.balance is not None)
    return f"repair it (`repair --method {method}`)"


def _with_a_condition(row: Determined, seen: Evidence) -> tuple[str, str, str]:
    condition = row.verdicts["item_item_value"].condition
    if seen.free is None or "active" in condition:  # which triplets are active no vector tells
        return "unclear", f"The loss determines this cosine if {condition}. {row.rule}", "chapter 11"
    if seen.free == 0:  # a second model to which nothing leads is not excluded, see chapter 11
        words = (
            "No direction is free at these vectors: no spare dimension, no cone, and nothing slides. Carry no threshold"
        )
        return "pinned", f"{words} to another model.", "chapter 11"
    words = f"{seen.free} free directions move this cosine at no loss: {_repair(row, seen)}. {row.rule}"
    return "open", words, "chapter 11"


def _by_balance(row: Determined, seen: Evidence, defect: float, noise: float) -> tuple[str, str, str]:
    """For losses of dot products, which only a penalty on both sides can pin."""
    repair = _repair(row, seen)
    if defect > OPEN:
        if row.balanced:
            words = "The sides share no metric: the decay has not converged, or was not part of the loss (AdamW)"
            return "open", f"{words}: train on, or {repair}.", "chapter 11"
        words = "The sides share no metric, so no penalty on both has pinned this cosine"
        return "open", f"{words}: {repair}, or serve the scores.", "chapter 11"
    if row.sees == "rows" and seen.mean_share > PINNED:
        words = f"The mean item, {seen.mean_share:.0%} of the squares, is what this loss does not see: {repair}."
        return "open", words, "chapter 11"
    if defect > PINNED:
        return "unclear", f"The sides nearly share a metric: train longer, or {repair}.", "chapter 13"
    if noise < OPEN:
        return "unclear", f"{_FLAT} Look at how it was trained, or {repair}.", "chapter 13"
    return "pinned", f"{_BALANCED}. Pinned is not true.", "chapters 11 and 8"


_BALANCED = "Both sides share one metric, as a penalty on both leaves them: only rotations are open"
_FLAT = "Both sides share one metric, but so would any two whose directions weigh alike."


def _without_a_loss(seen: Evidence) -> tuple[str, str, str]:
    if seen.balance is None:
        words = "The vectors alone cannot tell what training pinned down: name the loss (--trained), or give --other."
        return "unknown", words, "chapter 11"
    if seen.unit_length:
        return "unknown", "Of rows of length 1 balance says nothing: name the loss (--trained).", "chapter 11"
    defect, noise = seen.balance
    if defect > OPEN:
        words = (
            "The sides share no metric: if the loss saw dot products, no penalty on both pinned this cosine. "
            "Name the loss (--trained), or repair it (`repair --method canonical`)."
        )
        return "open", words, "chapter 13"
    if defect > PINNED:
        words = "The sides nearly share a metric: a penalty that has not converged, or none. Name the loss (--trained)."
        return "unclear", words, "chapter 13"
    if noise < OPEN:
        return "unclear", f"{_FLAT} Name the loss (--trained).", "chapter 13"
    return "pinned", f"{_BALANCED}, if the loss saw every score. Pinned is not true.", "chapters 11 and 8"

"""The cone: vectors that a softmax was trained on close up like an umbrella; no probability moves, every cosine does.

Python writes the angles into the page, and cone.js computes all numbers from the vectors in the reader's browser, as
numbers.js does for the dial.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from html import escape

import numpy as np

from .._owned import hold, vector
from .._validation import real_array, real_number, require_same
from .payload import as_json, read, script, style

ITEMS = (0.0, 34.0, 59.0, 122.0, 176.0, 207.0, 250.0, 288.0)  # degrees around the axis; no two pairs are equally far
USERS = (20.0, 75.0, 140.0, 200.0, 255.0, 330.0)
LENGTHS = (0.6, 0.45, 0.55, 0.5, 0.35, 0.58)  # of the users' parts off the axis
CLOSED = 20.0  # degrees: the angle that the static picture compares with the one at the start
MOST_SCALE = 1e6  # of s: all probability is on one item long before
MOST = 12  # items, and users: more than a phone shows


@dataclass(frozen=True, eq=False)
class Cone:
    """Unit vectors in three dimensions: items on a cone around an axis, and users.

    Notebooks show it as the interactive object where HTML is shown, as a bar chart elsewhere.

    Attributes
    ----------
    item_angles : ndarray, shape (p,)
        Where the items stand around the axis, in degrees.
    user_angles : ndarray, shape (n,)
        The same for the users.
    user_lengths : ndarray, shape (n,)
        Lengths of the users' parts off the axis, below 1. Under the symmetric loss the users stand on a cone, too.
    scale : float
        s at the start: scores are s ⟨z_u, z_i⟩.
    theta : float
        Angle between the axis and each item at the start, in degrees.

    The arrays are read-only, and copies of what was passed.
    """

    item_angles: np.ndarray
    user_angles: np.ndarray
    user_lengths: np.ndarray
    scale: float
    theta: float

    def __post_init__(self):
        hold(self, item_angles=_few, user_angles=_few, user_lengths=vector)
        lengths = self.user_lengths
        if (lengths <= 0).any() or (lengths >= 1).any():
            raise ValueError(
                "user_lengths takes numbers between 0 and 1, as the users are unit vectors, "
                f"got {lengths.min():g} to {lengths.max():g}"
            )
        for name, value in {
            "scale": real_number("scale", self.scale, above=0.0, at_most=MOST_SCALE),
            "theta": real_number("theta", self.theta, at_least=5.0, at_most=90.0),  # the ends of its knob
        }.items():
            object.__setattr__(self, name, value)
        require_same("user_lengths, one for each of user_angles", lengths.size, self.user_angles.size)

    def __repr__(self) -> str:
        p, n = self.item_angles.size, self.user_angles.size
        return f"Cone({p} items, {n} users; s={self.scale:g}, θ={self.theta:g}°)"

    @property
    def html(self) -> str:
        """The interactive object, self-contained: style, data and script. Several may stand on one page."""
        return f"""<div class="cossim-cone" role="group" aria-label="The cone">
<style>{style("cone")}</style>
<div class="co-static">{_static(self)}</div>
<div class="co-live"></div>
<script type="application/json">{as_json(_page_data(self))}</script>
<script>(() => {{
{script("cone.js")}
}})();</script>
</div>"""

    @property
    def png(self) -> bytes:
        """The static picture: user 0's probabilities, and item 0's cosines at two angles."""
        import matplotlib.pyplot as plt

        chances, *cosines = _shown(self).values()
        with plt.style.context("cossim_helpers.cossim"):
            figure, (left, right) = plt.subplots(1, 2, figsize=(6.7, 2.6))
            places = np.arange(self.item_angles.size)
            left.bar(places, chances)
            left.set(xlabel="item", ylabel="probability for user 0", ylim=(0, 1), xticks=places)
            for shift, cosine, theta in zip((-0.2, 0.2), cosines, (self.theta, CLOSED), strict=True):
                right.bar(places + shift, cosine, width=0.4, label=f"θ = {theta:g}°")
            right.set(xlabel="item", ylabel="cosine to item 0", ylim=(-1, 1), xticks=places)
            right.legend(loc="lower left")
            target = io.BytesIO()
            figure.savefig(target, format="png", metadata={"Software": None})
            plt.close(figure)
        return target.getvalue()

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        return {"text/html": self.html, "image/png": base64.b64encode(self.png).decode(), "text/plain": repr(self)}


def cone(
    item_angles=ITEMS, user_angles=USERS, user_lengths=LENGTHS, *, scale: float = 4.0, theta: float = 60.0
) -> Cone:
    """The cone: what a softmax over unit vectors leaves open when one side stands on a cone.

        z_i = (sin θ · y_i, cos θ),   z_u = (ξ_u, √(1 − |ξ_u|²)),   s ⟨z_u, z_i⟩ = s sin θ ⟨ξ_u, y_i⟩ + a constant of u
        one-sided: the same probabilities for all θ′, s′, ξ′ with s′ sin θ′ ξ′_u = s sin θ ξ_u, so as |ξ′_u| ≤ 1,
                   for all θ′ and s′ with s′ sin θ′ ≥ s sin θ max |ξ_u|
        symmetric, ξ_u = sin θ_u · x_u: the same for all θ′, θ′_u, s′ with s′ sin θ′ sin θ′_u = s sin θ sin θ_u
        cosines of the items: cos²θ′ + sin²θ′ ⟨y_i, y_j⟩

    The reader moves θ′ (and θ′_u), and chooses the loss and whether s is learned or fixed. The bars of one user's
    probabilities stand still, those of one item's cosines slide.

    Parameters
    ----------
    item_angles : array_like, shape (p,)
        From 2 to 12 items: where y_i stands around the axis, in degrees.
    user_angles, user_lengths : array_like, shape (n,)
        From 2 to 12 users: where ξ_u points, and |ξ_u|, between 0 and 1. The symmetric loss starts at θ_u = θ.
    scale : float
        s > 0 at the start, up to 1e6.
    theta : float
        θ at the start, from 5 to 90 degrees.

    Returns
    -------
    Cone

    Raises
    ------
    ValueError, TypeError
        For fewer than 2 or more than 12 items or users, lengths that do not match or are not between 0 and 1, s ≤ 0,
        θ out of range.

    Examples
    --------
    >>> cone()
    Cone(8 items, 6 users; s=4, θ=60°)
    """
    return Cone(item_angles, user_angles, user_lengths, scale, theta)


def _few(name, value) -> np.ndarray:
    angles = real_array(name, value, ndim=1)
    if not 2 <= angles.size <= MOST:
        raise ValueError(f"{name} takes from 2 to {MOST} numbers, got {angles.size}")
    return angles


def _vectors(around, off) -> np.ndarray:
    """Unit vectors with parts of length `off` off the third axis."""
    turn = np.radians(around)
    return np.column_stack(np.broadcast_arrays(off * np.cos(turn), off * np.sin(turn), np.sqrt(1 - off**2)))


def _shown(cone) -> dict[str, np.ndarray]:
    """Columns of the static picture: user 0's probabilities, item 0's cosines at the two angles."""
    P = _vectors(cone.user_angles, cone.user_lengths)
    Q, closed = (_vectors(cone.item_angles, np.sin(np.radians(theta))) for theta in (cone.theta, CLOSED))
    powers = np.exp(cone.scale * (Q @ P[0] - (Q @ P[0]).max()))
    return {
        "Probability for user 0": powers / powers.sum(),
        f"Cosine to item 0 at {cone.theta:g}°": Q @ Q[0],
        f"The same at {CLOSED:g}°": closed @ closed[0],
    }


def _static(cone) -> str:
    """The picture as HTML: a table whose first column of numbers holds at both angles."""
    columns = _shown(cone)
    grown = cone.scale * np.sin(np.radians(cone.theta)) / np.sin(np.radians(CLOSED))
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in ("Item", *columns))
    rows = "".join(
        f'<tr><th scope="row">{i}</th>' + "".join(f"<td>{_number(value)}</td>" for value in values) + "</tr>"
        for i, values in enumerate(zip(*columns.values(), strict=True))
    )
    return (
        f"<p>Items on a cone, {cone.theta:g}° from its axis, at the scale s = {cone.scale:g}. At {CLOSED:g}° and "
        f"s = {grown:.1f} each probability is the same, and each cosine between two items is another.</p>"
        f"<table>{head}{rows}</table>"
    )


def _number(value) -> str:
    return f"{value:.2f}".replace("-", "−").replace("−0.00", "0.00")


def _page_data(cone) -> dict[str, object]:
    """All that cone.js knows, its controls included: where scripts are off, no dead control may stand."""
    markup = read("cone.html")
    bar = '<tr><th scope="row">{}</th><td class="co-bar"></td><td></td></tr>'
    for name, template, count in (
        ("rows", bar, cone.item_angles.size),
        ("items", "<option>{}</option>", cone.item_angles.size),
        ("users", "<option>{}</option>", cone.user_angles.size),
    ):
        markup = markup.replace("{{" + name + "}}", "".join(template.format(i) for i in range(count)))
    return {
        "markup": markup,
        "items": cone.item_angles.tolist(),
        "users": cone.user_angles.tolist(),
        "lengths": cone.user_lengths.tolist(),
        "scale": cone.scale,
        "theta": cone.theta,
    }

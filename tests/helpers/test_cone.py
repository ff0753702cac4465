"""The cone, as far as Python writes it. What the browser computes from it is tested in site_tests/test_objects.py."""

import base64
import gzip
import html.parser
import io
import json
import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

from cossim_helpers import Cone, cone

WIDGET = Path(__file__).parents[2] / "cossim_helpers" / "widget"
SHOWN = cone()


class Texts(html.parser.HTMLParser):
    """The texts and the attributes of all elements, by their tags."""

    def __init__(self, text):
        super().__init__()
        self.texts, self.attributes, self.tag = {}, [], None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tag = tag
        self.attributes.append(dict(attributes))
        self.texts.setdefault(tag, []).append("")

    def handle_data(self, text):
        if self.tag:
            self.texts[self.tag][-1] += text


def payload(text):
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', text, re.DOTALL)[1])


def on_a_cone(around, off):
    return np.array([[off * np.cos(a), off * np.sin(a), (1 - off * off) ** 0.5] for a in np.radians(around)])


def test_the_page_carries_the_angles():
    given = cone([0, 90.5, 180], [10, 200], [0.25, 0.75], scale=3, theta=45)
    data = payload(given.html)
    assert data["items"] == [0, 90.5, 180] and data["users"] == [10, 200] and data["lengths"] == [0.25, 0.75]
    assert data["scale"] == 3 and data["theta"] == 45
    assert data["markup"].count("<option>") == 5 and data["markup"].count('<th scope="row">') == 6


def test_the_cone_stays_what_it_was_when_its_arguments_change():
    items, users, lengths = np.array([0.0, 50, 100]), np.array([0.0, 90]), np.array([0.3, 0.5])
    shown = cone(items, users, lengths)
    before = shown.html
    for given in (items, users, lengths):
        given[:] = np.nan
    assert shown.html == before


def probabilities_and_cosines(theta):
    """What the page's angles give: user 0's probabilities, item 0's cosines at θ, the scale that belongs to θ."""
    data = payload(SHOWN.html)
    user = on_a_cone(data["users"][:1], data["lengths"][0])[0]
    sine = np.sin(np.radians(theta))
    items = on_a_cone(data["items"], sine)
    scale = data["scale"] * np.sin(np.radians(data["theta"])) / sine  # as the sentence says
    powers = np.exp(scale * items @ user)
    return powers / powers.sum(), items @ items[0], scale


def static_cells(shown):
    """The texts of the table that is there without scripts, a row an item."""
    static = Texts(shown.html.split('<div class="co-live">')[0])
    return np.array(static.texts["td"]).reshape(-1, 3), static.texts["th"]


def test_the_static_picture_shows_the_probabilities_once_and_the_cosines_twice():
    cells, heads = static_cells(SHOWN)
    assert heads[:4] == ["Item", "Probability for user 0", "Cosine to item 0 at 60°", "The same at 20°"]
    assert heads[4:] == [str(item) for item in range(8)]
    shown = np.array([[float(text.replace("−", "-")) for text in row] for row in cells])
    for column, theta in ((1, 60), (2, 20)):
        chances, cosines, scale = probabilities_and_cosines(theta)
        np.testing.assert_allclose(shown[:, column], cosines, atol=0.0051)
        np.testing.assert_allclose(shown[:, 0], chances, atol=0.0051)
    assert f"s = {scale:.1f} each probability is the same" in SHOWN.html
    assert "-" not in "".join(cells.ravel()), "a minus, no hyphen"


def test_a_number_that_is_rounded_to_zero_has_no_sign_and_a_large_scale_no_overflow():
    cells, _ = static_cells(cone([0, 90.1, 200], theta=90, scale=1e6))
    assert cells[1, 1] == "0.00", "the cosine is -0.0017"
    assert sorted(cells[:, 0]) == ["0.00", "0.00", "1.00"], "all is on one item"


def test_the_chapter_shows_this_cone():
    """Whoever changes the example looks at its page again: what is said there is said of these angles."""
    path = WIDGET.parents[1] / "book" / "11_what_your_loss_determines.ipynb"
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    outputs = [output.get("data", {}) for cell in cells for output in cell.get("outputs", [])]
    [stored] = [text for data in outputs if "cossim-cone" in (text := "".join(data.get("text/html", "")))]
    assert stored == SHOWN.html


def test_the_picture_draws_the_same_numbers(monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(plt, "close", lambda figure: None)
        pixels = plt.imread(io.BytesIO(SHOWN.png)).shape
    left, right = plt.gcf().axes
    plt.close()
    assert pixels[:2] == (286, 737), "2.6 × 6.7 inches: not wider, or its letters are too small on a phone"
    at_start, at_closed = probabilities_and_cosines(60), probabilities_and_cosines(20)
    for axes, bars, width, heights in (
        (left, left.containers[0], 0.8, at_start[0]),
        (right, right.containers[0], 0.4, at_start[1]),
        (right, right.containers[1], 0.4, at_closed[1]),
    ):
        np.testing.assert_allclose([bar.get_height() for bar in bars], heights, atol=1e-12)
        np.testing.assert_allclose([bar.get_width() for bar in bars], width)
        np.testing.assert_array_equal(axes.get_xticks(), range(8))
    edges = [[bar.get_x() for bar in bars] for axes in (left, right) for bars in axes.containers]
    beside = np.arange(8) + np.array([[-0.4], [-0.4], [0.0]])
    np.testing.assert_allclose(edges, beside, atol=1e-12, err_msg="side by side, their tick between them")
    assert [axes.get_subplotspec().get_geometry() for axes in (left, right)] == [(1, 2, 0, 0), (1, 2, 1, 1)]
    assert (left.get_xlabel(), left.get_ylabel(), left.get_ylim()) == ("item", "probability for user 0", (0, 1))
    assert (right.get_xlabel(), right.get_ylabel(), right.get_ylim()) == ("item", "cosine to item 0", (-1, 1))
    assert [text.get_text() for text in right.get_legend().get_texts()] == ["θ = 60°", "θ = 20°"]


def test_from_2_to_12_of_each_may_stand_there_and_a_scale_up_to_a_million():
    for count in (2, 12):
        given = cone(range(count), range(count), [0.5] * count, scale=1e6)
        assert len(payload(given.html)["items"]) == len(payload(given.html)["users"]) == count


def test_no_two_pairs_of_its_items_are_equally_far():
    """So their order is one, and the page can say whether it has moved."""
    around = np.array(payload(SHOWN.html)["items"])
    apart = abs(around[:, None] - around)[np.triu_indices(len(around), 1)]
    assert np.diff(np.sort(np.minimum(apart, 360 - apart))).min() >= 1


def test_the_html_stands_for_itself():
    text = SHOWN.html
    assert text == cone().html
    assert not re.search(r"\{\{|https?:|//\w+\.|@import|url\(", text), "it asks for nothing"
    found = Texts(text)
    assert not {"button", "input", "select", "svg"} & set(found.texts), "scripts bring the controls"
    live = Texts(payload(text)["markup"])
    assert not [each for each in found.attributes + live.attributes if "id" in each], "so that two fit on a page"
    assert len(found.texts["script"]) == 2
    visible = [*found.texts.items(), *live.texts.items()]
    words = " ".join(text for tag, texts in visible if tag not in ("script", "style") for text in texts)
    assert "$" not in words and "\\(" not in words, "no typesetter may take it for mathematics"
    assert not re.search(r"[A-Za-z]_[A-Za-z]|\^", words), "no reader sees the formulas of a source file"


def test_what_travels_can_end_no_element():
    assert "</" not in re.search(r'<script type="application/json">(.*?)</script>', SHOWN.html, re.DOTALL)[1]


def test_the_script_runs_in_one_function_and_its_numbers_touch_no_page():
    [code] = re.findall(r"<script>\(\(\) => \{\n(.*)\n\}\)\(\);</script>", SHOWN.html, re.DOTALL)
    source = (WIDGET / "cone.js").read_text(encoding="utf-8")
    assert code.split() == re.sub(r"^\s*(//|/\*\*).*", "", source, flags=re.MULTILINE).split()
    numbers, page = source.split("// --- the page ---")
    assert not re.search(r"\b(document|window|location|history|setTimeout|innerHTML)\b", numbers) and "document" in page


def test_it_is_light():
    text = SHOWN.html.encode()
    assert len(text) <= 20_000 and len(gzip.compress(text, mtime=0)) <= 7_000


def test_it_shows_itself_in_every_format():
    bundle = SHOWN._repr_mimebundle_()
    assert set(bundle) == {"text/html", "image/png", "text/plain"}
    assert all(isinstance(text, str) for text in bundle.values())
    assert b"Software" not in SHOWN.png, "the same bytes from each version of Matplotlib"
    assert plt.imread(io.BytesIO(base64.b64decode(bundle["image/png"]))).shape[1] > 600
    assert bundle["text/html"] == SHOWN.html and "8 items" in bundle["text/plain"]
    assert not plt.get_fignums()


def test_a_cone_from_lists_is_the_same_cone():
    listed = [getattr(SHOWN, name).tolist() for name in ("item_angles", "user_angles", "user_lengths")]
    made = Cone(*listed, 4, 60)
    assert made.html == SHOWN.html == cone(*listed, scale=4, theta=60).html
    assert type(made.scale) is type(made.theta) is float


@pytest.mark.parametrize(
    ("argument", "value", "error", "says"),
    [
        ("item_angles", [0], ValueError, "item_angles takes from 2 to 12 numbers, got 1"),
        ("item_angles", range(13), ValueError, "item_angles takes from 2 to 12 numbers, got 13"),
        ("item_angles", [0, np.nan], ValueError, "item_angles takes finite"),
        ("item_angles", [[0, 1]], ValueError, "item_angles takes a non-empty 1-dimensional"),
        ("user_angles", range(13), ValueError, "user_angles takes from 2 to 12 numbers, got 13"),
        ("user_angles", [0, 1], ValueError, "user_lengths, one for each of user_angles: got 6, takes 2"),
        *(
            ("user_lengths", [0.5] * 5 + [length], ValueError, "user_lengths takes numbers between 0 and 1")
            for length in (-0.5, 0, 1, 1.5)
        ),
        ("user_lengths", ["a"] * 6, TypeError, "user_lengths takes real numbers"),
        ("scale", 0, ValueError, "scale takes a finite number above 0"),
        ("scale", 1_000_000.5, ValueError, "scale takes a finite number above 0 and of at most 1e+06"),
        ("theta", 91, ValueError, "theta takes a finite number from 5 to 90"),
        ("theta", 4, ValueError, "theta takes a finite number from 5 to 90"),
    ],
)
def test_bad_arguments_are_named(argument, value, error, says):
    with pytest.raises(error, match="^" + re.escape(says)):
        cone(**{argument: value})


def test_jupyterlab_leaves_the_keys_to_the_controls():
    controls = re.findall(r"<(?:input|select|button)\b[^>]*>", payload(SHOWN.html)["markup"])
    assert len(controls) == 7
    assert all("data-lm-suppress-shortcuts" in control for control in controls)

"""The D dial, as far as Python writes it. What the browser computes from it is tested in site_tests/test_dial.py."""

import ast
import base64
import gzip
import html
import html.parser
import io
import json
import re
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from landing import landing_dial
from matplotlib.colors import to_hex

from cossim_helpers import (
    Dial,
    Spectrum,
    block_average,
    cluster_auc,
    dial,
    item_item_cosine,
    rescale,
    shrinkage,
    simulate_interactions,
    solve_product_penalty,
    spectrum,
)
from cossim_helpers.widget import payload as payload_module
from cossim_helpers.widget.payload import FRONT, as_json, quantize, style
from cossim_helpers.widget.picture import png_of

ROOT = Path(__file__).parents[2]
WIDGET = ROOT / "cossim_helpers" / "widget"
DATA = simulate_interactions(500, 40, 4, rng=1)
TOP = spectrum(DATA.X)
ARGUMENTS = {
    "spectrum": TOP,
    "users": DATA.X[:8],
    "item_cluster": DATA.item_cluster,
    "item_popularity": DATA.item_popularity,
    "lam": 400.0,
}
SHOWN = dial(**ARGUMENTS)


def dequantize(coded):
    """The matrix that `quantize` coded, to its rounding, as the browser decodes it."""
    integers = np.frombuffer(base64.b64decode(coded["base64"]), "<i2").reshape(len(coded["scale"]), -1)
    return integers * np.array(coded["scale"])[:, None]


class Elements(html.parser.HTMLParser):
    """The elements of a page: (tag, attributes, text directly inside)."""

    def __init__(self, text):
        super().__init__()
        self.found, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append([tag, dict(attributes), ""])
        if tag not in ("input", "img"):
            self.open.append(self.found[-1])

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, text):
        if self.open:
            self.open[-1][2] += text


def payload(text):
    [data] = [
        text
        for tag, attributes, text in Elements(text).found
        if tag == "script" and attributes.get("type") == "application/json"
    ]
    return json.loads(data)


def test_the_page_carries_the_spectrum_to_16_bits():
    data = payload(SHOWN.html)["sets"]["own"]
    V, users = dequantize(data["V"]), dequantize(data["users"])
    half_step = abs(TOP.V).max(axis=1, keepdims=True) / 65_000
    assert V.shape == TOP.V.shape and (abs(V - TOP.V) <= half_step).all()
    coordinates = DATA.X[:8].toarray() @ TOP.V
    assert (abs(users - coordinates) <= abs(coordinates).max(axis=1, keepdims=True) / 65_000).all()
    np.testing.assert_allclose(data["sigma"], TOP.sigma, rtol=1e-7)
    np.testing.assert_array_equal(data["cluster"], DATA.item_cluster)
    by_popularity = np.argsort(data["popularityRank"])
    assert sorted(data["popularityRank"]) == list(range(1, 41))
    assert (np.diff(DATA.item_popularity[by_popularity]) <= 0).all()


def test_the_chapter_shows_this_dial():
    """Whoever changes what a dial says, sets or looks like looks at its page again. Of its numbers there are others."""
    cells = json.loads((ROOT / "book" / "04_arbitrary_cosines.ipynb").read_text(encoding="utf-8"))["cells"]
    outputs = [output.get("data", {}) for cell in cells for output in cell.get("outputs", [])]
    [stored] = [text for data in outputs if "cossim-dial" in (text := "".join(data.get("text/html", "")))]
    then = payload(stored)
    own, p = then["sets"]["own"], len(then["sets"]["own"]["cluster"])
    sigma, clusters, popularity = (np.array(own[name]) for name in ("sigma", "cluster", "popularityRank"))
    made = dial(Spectrum(sigma, np.eye(p)), np.eye(p)[:24], clusters, -popularity, lam=1000).html
    now = payload(made)
    for data in (then, now):
        assert [data["sets"]["own"].pop(name)["base64"] for name in ("V", "users")]
    assert now == then
    numbers = re.compile(r'<figure>.*?</figure>|(?<=<script type="application/json">).*?(?=</script>)', re.DOTALL)
    assert numbers.sub("", made) == numbers.sub("", stored)


def test_the_page_carries_clusters_whatever_their_numbers():
    clusters = np.repeat([7, 9, 30], [3, 20, 17])
    made = payload(dial(**ARGUMENTS | {"item_cluster": clusters}).html)
    data = made["sets"]["own"]
    assert data["clusterSizes"] == [3, 20, 17] and data["clusterNames"] == ["A", "B", "C"]
    assert data["cluster"] == [0] * 3 + [1] * 20 + [2] * 17
    for name, colors in (("RdBu_r", made["diverging"]), ("viridis", made["sequential"])):
        assert colors == [to_hex(plt.get_cmap(name)(place / 16)) for place in range(17)]


def test_the_page_carries_the_example_by_hand():
    data = payload(SHOWN.html)["sets"]["hand"]
    V, users, sigma = dequantize(data["V"]), dequantize(data["users"]), np.array(data["sigma"])
    X = np.array([[1, 1], [1, 0], [0, 1]])
    np.testing.assert_allclose(users @ V.T, X, atol=1e-4)
    np.testing.assert_allclose(V * sigma**2 @ V.T, X.T @ X, atol=1e-4)
    assert data["cluster"] == [0, 0] and data["clusterSizes"] == [2] and data["popularityRank"] == [1, 2]


def test_a_matrix_survives_quantization_row_by_row():
    matrix = np.random.default_rng(0).standard_normal((5, 7)) * np.array([[1e-6], [1], [1e3], [0], [1e9]])
    coded = quantize(matrix)
    assert (abs(dequantize(coded) - matrix) <= abs(matrix).max(axis=1, keepdims=True) / 65_000).all()
    assert quantize(np.asfortranarray(matrix)) == coded
    assert base64.b64decode(coded["base64"])[:2] == np.rint(matrix[0, 0] / coded["scale"][0]).astype("<i2").tobytes()


def test_the_html_is_the_same_at_every_run_and_under_rounding_noise():
    assert dial(**ARGUMENTS).html == SHOWN.html
    noise = 1 + 1e-13 * np.random.default_rng(0).standard_normal(TOP.V.shape)
    noisy = dial(**ARGUMENTS | {"spectrum": Spectrum(TOP.sigma * (1 + 1e-14), TOP.V * noise)})
    assert noisy.html == SHOWN.html
    assert dial(**ARGUMENTS | {"lam": 401.0}).html != SHOWN.html


def test_the_html_stands_for_itself():
    text = SHOWN.html
    assert not re.search(r"\{\{|https?:|//\w+\.|@import|url\(", text), "it asks for nothing"
    elements = Elements(text).found
    assert not {tag for tag, _, _ in elements} & {"button", "input", "select", "canvas"}, "scripts bring the controls"
    elements += Elements(payload(text)["markup"]).found
    assert not [attributes for _, attributes, _ in elements if "id" in attributes], "so that two fit on a page"
    assert [tag for tag, _, _ in elements].count("script") == 2
    words = " ".join(text for tag, _, text in elements if tag not in ("script", "style"))
    assert "$" not in words and "\\(" not in words, "no typesetter may take it for mathematics"


def without_comments(source):
    """Lines that are no comment: nor the second and further ones of a comment over several lines."""
    kept, inside = [], False
    for line in source.split("\n"):
        words = line.strip()
        inside = inside or words.startswith("/**")
        if not (inside or words.startswith("//")):
            kept.append(line)
        inside = inside and not words.endswith("*/")
    return "\n".join(kept)


def test_both_scripts_run_in_one_function_and_leave_no_name_behind():
    [script] = [text for tag, attributes, text in Elements(SHOWN.html).found if tag == "script" and not attributes]
    sources = [(WIDGET / name).read_text(encoding="utf-8").strip() for name in ("numbers.js", "view.js")]
    numbers, view = (without_comments(source) for source in sources)
    assert script == f"(() => {{\n{numbers}\n\n{view}\n}})();"
    assert "\n/**" not in script and numbers.startswith('"use strict";') and "// four products" in numbers
    assert not re.search(r"\b(document|window|canvas|dataset|performance|requestAnimationFrame|setTimeout)\b", numbers)


@pytest.mark.parametrize("name", ["dial", "cone"])
def test_the_style_of_an_object_touches_nothing_else_on_the_page(name):
    selectors = [
        part
        for rule in re.findall(r"([^{}]+)\{", style(name))
        if not rule.strip().startswith("@")
        for part in re.sub(r"\([^()]*\)", "", rule).split(",")
    ]
    assert selectors and all(f".cossim-{name}" in selector for selector in selectors)
    assert not re.search(r"/\*|\*/", style(name)), "a page need not carry comments"


def test_a_comment_of_two_lines_leaves_the_style_too(monkeypatch):
    monkeypatch.setattr(payload_module, "read", lambda name: "a {}\n/* one,\n   two */\nb {}\n")
    assert style("dial") == "a {}\nb {}\n\na {}\nb {}\n"


def test_data_are_short_and_end_no_element():
    assert as_json({"é": ["</script>", 1]}) == '{"é":["\\u003c/script>",1]}'


def test_the_landing_page_carries_at_most_150_kb():
    shown = landing_dial()
    text = shown.html.encode()
    assert len(text) <= 150_000 and len(gzip.compress(text, mtime=0)) <= 90_000
    assert shown.spectrum.V.shape == (160, 160)
    images = [attributes["src"].partition(",")[2] for tag, attributes, _ in Elements(shown.html).found if tag == "img"]
    assert [plt.imread(io.BytesIO(base64.b64decode(image))).shape[:2] for image in images] == [(40, 40)] * 3


def test_the_browser_looks_at_each_preset():
    """site_tests/test_dial.py names them; it needs a browser, this does not."""
    tree = ast.parse((Path(__file__).parents[2] / "site_tests" / "test_dial.py").read_text(encoding="utf-8"))
    assigned = {part.targets[0].id: part.value for part in tree.body if isinstance(part, ast.Assign)}
    named = [name for word in ("FRONT", "MORE") for name in ast.literal_eval(assigned[word])]
    shown = [preset["name"] for preset in payload(SHOWN.html)["presets"]]
    assert [name if name in named else "All items" for name in shown] == named


@pytest.mark.parametrize("k", [40, 10])
def test_presets_name_what_they_set(k):
    data = payload(dial(**ARGUMENTS | {"spectrum": spectrum(DATA.X, k)}).html)
    presets = {preset["name"]: preset["set"]["own"] for preset in data["presets"]}
    by_hand = {preset["name"]: preset["set"]["hand"] for preset in data["presets"]}
    assert ("All strangers" in presets) == (k == 40), "it needs all directions"
    start = data["starts"]["own"]
    assert start == {
        "data": "own",
        "objective": "product",
        "compare": "items",
        "base": "d",
        "exponent": 0.0,
        "cut": 20.0,
        "k": k,
        "item": 0,
        "want": "",
    }
    assert data["starts"]["hand"] == start | {"data": "hand", "cut": 1.0, "k": 2}
    for own, hand in zip(presets.values(), by_hand.values(), strict=True):
        assert {"objective", "cut", "k", "want"} <= set(own) == set(hand) <= set(start), (
            "each says and sets λ and the rank, and ends a list"
        )
    assert TOP.sigma[1] < presets["Eq. 2, λ > σ₂"]["cut"] < TOP.sigma[0]
    assert presets["Whitened"]["k"] == 4 and by_hand["Whitened"]["k"] == 1, "the number of clusters"
    assert (presets["D = 1/√σ"]["base"], presets["D = 1/√σ"]["exponent"]) == ("sigma", -0.5)
    first, *_ = notes = {preset["name"]: preset["note"] for preset in data["presets"]}
    assert first == ("B = V" if k == 10 else "All strangers")
    assert notes[first] == (
        "The item embeddings are the rows of V. At full rank every item would be similar to itself only."
        if k == 10
        else "The rows of V: case 1 of the paper. At full rank every item is similar to itself only."
    )
    assert notes["Data"] == ("(Here only their 10 leading directions.)" if k == 10 else "")
    assert presets["40 items"] == by_hand["40 items"] == start
    assert presets["By hand"] == by_hand["By hand"] == data["starts"]["hand"]
    assert all(setting.get("k", 1) <= 2 for name, setting in by_hand.items() if name != "40 items")
    assert 1 < by_hand["Eq. 2, λ > σ₂"]["cut"] < 3**0.5
    front, by_hand_front = (list(each.values())[:FRONT] for each in (presets, by_hand))
    for settings, lam, rank in ((front, 20.0, k), (by_hand_front, 1.0, 2)):
        assert [(each["exponent"], each["cut"], each["k"]) for each in settings] == [
            (0.5, lam, rank),
            (0.0, lam, rank),
            (-0.5, lam, rank),
        ], "one model, three choices of D"


def test_there_is_no_preset_for_what_the_spectrum_has_not():
    """One direction left takes a σ₁ above σ₂, whitening as many directions as there are clusters."""
    some = {"Whitened", "Eq. 2, λ > σ₂"}
    for sigma, expected in (
        ([3.0, 2, 2, 1], some),
        ([3.0, 3, 2, 1], {"Whitened"}),
        ([3.0, 2, 0.5], {"Eq. 2, λ > σ₂"}),
        ([3.0], set()),
    ):
        made = payload(dial(**ARGUMENTS | {"spectrum": Spectrum(sigma, np.eye(40, len(sigma)))}).html)
        presets = {preset["name"]: preset["set"]["own"] for preset in made["presets"]}
        assert presets.keys() & some == expected
        assert len(presets) == 13 - 2 + len(expected)
        assert presets.get("Whitened", {"k": 4})["k"] == 4


def test_three_buttons_stand_in_front_and_the_others_behind_a_fold():
    data = payload(SHOWN.html)
    front, more = data["markup"].split("<details")
    shown = [re.findall("data-preset><b>(.*?)</b>", part) for part in (front, more)]
    assert shown[0] == ["All strangers", "As trained", "All clusters"]
    assert [html.unescape(name) for name in shown[0] + shown[1]] == [preset["name"] for preset in data["presets"]]


def test_no_reader_sees_the_formulas_of_a_source_file():
    few = dial(**ARGUMENTS | {"spectrum": spectrum(DATA.X, 10)})
    strings = re.findall(r'"[^"\n]*"|`[^`]*`', (WIDGET / "view.js").read_text(encoding="utf-8"))
    notes = [preset["name"] + preset["note"] for shown in (SHOWN, few) for preset in payload(shown.html)["presets"]]
    markup = [text for _, _, text in Elements(payload(SHOWN.html)["markup"]).found]
    for words in [*strings, *notes, *markup]:
        assert not re.search(r"dMat|[A-Za-z]_[A-Za-z]|\^", words), words


@pytest.mark.parametrize("k", [40, 3])
def test_the_static_maps_show_the_cosines(k):
    fit, d = solve_product_penalty(TOP, 400.0, k), shrinkage(TOP.sigma[:k], 400.0)
    elements = Elements(dial(**ARGUMENTS, k=k).html).found
    images = [attributes for tag, attributes, _ in elements if tag == "img"]
    for image, exponent in zip(images, (0.5, 0.0, -0.5), strict=True):
        cosine = item_item_cosine(rescale(fit, d**exponent))
        assert image["alt"].endswith(f"cluster AUC {cluster_auc(cosine, DATA.item_cluster):.2f}")
        drawn = plt.imread(io.BytesIO(base64.b64decode(image["src"].removeprefix("data:image/png;base64,"))))
        level = np.rint((block_average(cosine, 40) + 1) * 32)  # 65 colors from −1 to 1
        np.testing.assert_allclose(drawn[..., :3], plt.get_cmap("RdBu_r")(level / 64)[..., :3], atol=0.02)


def chunks(data):
    """(kind, content) of the chunks of a PNG, each with the checksum that the standard wants."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    while (data := data[8:] if data[:1] == b"\x89" else data) != b"":
        (length,) = struct.unpack(">I", data[:4])
        content, checksum = data[8 : 8 + length], data[8 + length : 12 + length]
        assert struct.unpack(">I", checksum) == (zlib.crc32(data[4 : 8 + length]),)
        yield data[4:8], content
        data = data[12 + length :]


def test_a_heat_map_is_a_png_as_the_standard_has_it():
    """Decoders let much pass; what other ones would not is looked at byte by byte."""
    levels = np.array([[0, 1, 31], [32, 33, 64]])
    parts = dict(chunks(png_of(levels / 32 - 1)))
    assert list(parts) == [b"IHDR", b"PLTE", b"IDAT", b"IEND"] and parts[b"IEND"] == b""
    width, height, bits, palette, *methods = struct.unpack(">IIBBBBB", parts[b"IHDR"])
    assert (width, height, bits, palette, methods) == (3, 2, 8, 3, [0, 0, 0])
    assert zlib.decompress(parts[b"IDAT"]) == bytes([0, 0, 1, 31, 0, 32, 33, 64]), "a row begins with its filter, none"
    colors = [plt.get_cmap("RdBu_r")(level / 64)[:3] for level in range(65)]
    assert list(parts[b"PLTE"]) == [int(255 * part + 0.5) for color in colors for part in color]


def test_the_picture_shows_three_maps_side_by_side(monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(plt, "close", lambda figure: None)
        assert b"Software" not in SHOWN.png, "the same bytes from each version of Matplotlib"
    maps = [ax for ax in plt.gcf().axes if ax.images]
    plt.close()
    assert [ax.get_subplotspec().get_geometry() for ax in maps] == [(1, 3, place, place) for place in range(3)]
    assert [ax.get_title() for ax in maps] == ["B = V, exponent ½", "Eq. 5, exponent 0", "Case 2, exponent −½"]
    assert [len(ax.lines) for ax in maps] == [6, 6, 6], "two lines between two of the four clusters"


def test_it_shows_itself_in_every_format():
    bundle = SHOWN._repr_mimebundle_()
    assert set(bundle) == {"text/html", "image/png", "text/plain"} and all(isinstance(v, str) for v in bundle.values())
    assert plt.imread(io.BytesIO(base64.b64decode(bundle["image/png"]))).shape[1] > 600
    assert bundle["text/html"] == SHOWN.html and "40 items" in bundle["text/plain"]
    assert not plt.get_fignums()


def test_more_than_26_clusters_are_numbered():
    many = dial(**ARGUMENTS | {"item_cluster": np.arange(40) // 2 * 2 + (np.arange(40) > 37)})
    assert payload(many.html)["sets"]["own"]["clusterNames"][0] == "A"
    for count, names in ((26, list("ABCDEFGHIJKLMNOPQRSTUVWXYZ")), (27, [str(number) for number in range(1, 28)])):
        single = np.minimum(np.arange(40), count - 1)
        numbered = payload(dial(**ARGUMENTS | {"item_cluster": single}).html)
        assert numbered["sets"]["own"]["clusterNames"] == names


@pytest.mark.parametrize(
    ("argument", "value", "error", "says"),
    [
        ("spectrum", DATA.X, TypeError, "spectrum takes Spectrum"),
        ("spectrum", Spectrum([2.0], np.full((401, 1), 401**-0.5)), ValueError, "spectrum takes from 3 to 400 items"),
        ("spectrum", Spectrum([2.0], [[0.6], [0.8]]), ValueError, "spectrum takes from 3 to 400 items"),
        ("users", DATA.X[:8, :39], ValueError, "users, with one column for each item of spectrum: got 39, takes 40"),
        ("users", DATA.X[:41], ValueError, "users takes at most 40 rows, got 41"),
        ("spectrum", Spectrum([3.0, 2.0, 0.0], np.eye(40, 3)), ValueError, "spectrum takes positive singular values"),
        ("users", np.full((2, 40), np.nan), ValueError, "users takes finite"),
        ("item_cluster", np.zeros(40), TypeError, "item_cluster takes integers"),
        ("item_cluster", DATA.item_cluster[:39], ValueError, "item_cluster, one for each item: got (39,), takes (40,)"),
        ("item_cluster", DATA.item_cluster[::-1], ValueError, "item_cluster takes items sorted"),
        ("item_cluster", np.zeros(40, dtype=int), ValueError, "item_cluster takes at least two clusters"),
        ("item_cluster", np.arange(40), ValueError, "item_cluster takes at least two clusters"),
        ("item_popularity", np.ones(39), ValueError, "item_popularity, one for each item: got 39, takes 40"),
        ("item_popularity", np.full(40, np.nan), ValueError, "item_popularity takes finite"),
        ("lam", 0.0, ValueError, "lam takes a finite number above 0"),
        ("lam", -1.0, ValueError, "lam takes"),
        ("k", 41, ValueError, "k takes an integer from 1 to 40 (what the spectrum holds)"),
        ("exponent", 2.5, ValueError, "exponent takes a finite number from -2 to 2"),
    ],
)
def test_bad_arguments_are_named(argument, value, error, says):
    with pytest.raises(error, match="^" + re.escape(says)):
        dial(**ARGUMENTS | {argument: value})


@pytest.mark.parametrize(
    ("field", "value", "error", "says"),
    [
        ("spectrum", DATA.X, TypeError, "spectrum takes Spectrum"),
        (
            "user_coordinates",
            SHOWN.user_coordinates[:, :39],
            ValueError,
            "user_coordinates, with one column for each dir",
        ),
        ("user_coordinates", np.zeros((41, 40)), ValueError, "user_coordinates takes at most 40 rows, got 41"),
        ("item_cluster", DATA.item_cluster[::-1], ValueError, "item_cluster takes items sorted"),
        (
            "popularity_rank",
            np.arange(40),
            ValueError,
            "popularity_rank takes each number from 1 to 40 once, got no 40",
        ),
        (
            "popularity_rank",
            np.arange(2, 42),
            ValueError,
            "popularity_rank takes each number from 1 to 40 once, got no 1",
        ),
        ("popularity_rank", np.ones(40), TypeError, "popularity_rank takes integers"),
        ("popularity_rank", np.arange(39), ValueError, "popularity_rank, one for each item: got (39,), takes (40,)"),
        ("lam", 0.0, ValueError, "lam takes a finite number above 0"),
        ("k", 41, ValueError, "k takes an integer from 1 to 40"),
        ("exponent", -2.5, ValueError, "exponent takes a finite number from -2 to 2"),
    ],
)
def test_a_dial_checks_its_fields_whoever_makes_it(field, value, error, says):
    with pytest.raises(error, match="^" + re.escape(says)):
        replace(SHOWN, **{field: value})


def test_popular_items_come_first_and_of_equal_ones_the_first():
    large = 2**53 + np.arange(40) // 2 * 3 % 7  # float64 would take neighbors for equal
    made = dial(**ARGUMENTS | {"item_popularity": large})
    order = sorted(range(40), key=lambda item: (-int(large[item]), item))
    assert [int(rank) for rank in made.popularity_rank[order]] == list(range(1, 41))


def test_the_smallest_and_the_largest_that_it_takes():
    small = dial(Spectrum([0.5], [[1.0], [0.0], [0.0]]), [[1, 0, 0]], [1, 1, 2], [3, 2, 1], lam=1)
    assert payload(small.html)["markup"].count("<td class=cd-five>") == 2, "as many neighbors as there are other items"
    assert payload(SHOWN.html)["markup"].count("<td class=cd-five>") == 10
    large = Spectrum([2.0], np.full((400, 1), 0.05))
    assert "400 items" in repr(dial(large, np.ones((40, 400)), np.arange(400) // 2, np.ones(400), lam=1))


def test_a_dial_from_lists_is_the_same_dial():
    fields = ("user_coordinates", "item_cluster", "popularity_rank")
    listed = {field: getattr(SHOWN, field).tolist() for field in fields}
    made = Dial(TOP, **listed, lam=400, k=np.int64(40), exponent=0)
    assert made.html == SHOWN.html
    assert [type(number) for number in (made.lam, made.k, made.exponent)] == [float, int, float]


def test_jupyterlab_leaves_the_keys_to_the_controls():
    """Else an arrow would leave the cell, and 0 0 restart the kernel."""
    data = simulate_interactions(200, 20, 4, rng=0)
    made = dial(spectrum(data.X), data.X[:3], data.item_cluster, data.item_popularity, lam=10)
    payload = json.loads(re.search(r'<script type="application/json">(.*?)</script>', made.html, re.S)[1])
    controls = re.findall(r"<(?:input|select|button|summary)\b[^>]*>", payload["markup"])
    assert len(controls) > 15
    assert all("data-lm-suppress-shortcuts" in control for control in controls)

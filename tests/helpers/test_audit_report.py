"""The report, word for word and stroke for stroke, of an audit whose numbers are made up."""

import dataclasses
import html.parser
import json
import re

import numpy as np
import pytest

from cossim_helpers.audit.anatomy import Anatomy, Hubness
from cossim_helpers.audit.compare import Comparison
from cossim_helpers.audit.embeddings import EmbeddingAudit
from cossim_helpers.audit.gauges import Stability
from cossim_helpers.audit.report import as_json, audit_lines, audit_page, comparison_lines

NAN = float("nan")
FACTS = {
    "zero_rows": 1200,
    "duplicate_rows": 3,
    "dead_dimensions": 1,
    "constant_dimensions": 3,
    "shortest": 0.5,
    "longest": 12.345,
    "length_spread": 0.25,
    "mean_cosine": ((1000, -0.001), (10_000, 0.126), (1_234_567, 0.25)),
    "dimension": 2,
    "dimension_share": 0.4,
    "direction_share": 0.61,
    "effective_rank": 2.4,
    "entropy_rank": 2.6,
    "mean": np.array([1.0, 2.0]),
    "variances": np.array([1.0, 2.0]),
    "spectrum": np.array([0.3, 0.1]),
    "axes": np.eye(2),
}
SHARES = {  # overlap, error, lowest, highest, within_wide, null
    "dot product": ("measure", 0.5, 0.1, 0.5, 0.5, 0.75, 0.25),
    "distance": ("measure", 0.05, 0.1, 0.05, 0.05, 0.9, 1.0),
    "centered": ("data", 0.95, 0.1, 0.95, 0.95, 1.0, 0.0),
    "standardized": ("data", 0.0, NAN, 0.0, 0.0, 0.0, 0.5),
    "whitened": ("data", 0.125, 0.0625, 0.125, 0.125, 0.25, 0.5),
    "without the first direction": ("data", 1.0, 0.0, 1.0, 1.0, 1.0, 1.0),
    "a D in the coordinates": ("gauge", 0.625, 0.015, 0.5, 0.75, 0.875, 0.375),
    "a G: D in a random basis": ("gauge", 0.75, 0.015, 0.7, 0.8, 0.875, 0.375),
}
COMPARISON = {
    "n": 2000,
    "dims": (20, 250),
    "k": 10,
    "n_queries": 1500,
    "overlap": 0.25,
    "overlap_error": 0.0125,
    "overlap_mapped": 0.75,
    "overlap_mapped_error": NAN,
    "rotation_fit": -0.5,
    "map_fit": 0.875,
    "expected_by_chance": 0.005,
}
ALIKE = ["2,000 rows of 20 and 250 numbers; 10 neighbors of 1,500 of them; by chance 0.005 would be shared",
         "shared: 0.250 ± 0.013 as they are, 0.750 ± ? after the best map; a rotation predicts 0.0% of the variance, "
         "the map 87.5%",
         "of the neighbors 75.0% are lost: 50.0% to coordinates, 25.0% to the model"]  # fmt: skip


def compared(**changes):
    return Comparison(**COMPARISON | changes)


def audited(facts=None, **changes):
    given = {
        "n": 1_234_567, "dim": 3, "dtype": "float32", "k": 5, "n_queries": 1001, "n_draws": 4,
        "facts": Anatomy(**FACTS | (facts or {})), "hubs": Hubness(5000, 1.5, 77, 0.12),
        "stability": tuple(Stability(name, *numbers) for name, numbers in SHARES.items()), "trained": "unknown",
        "balance_defect": 0.05, "balance_of_noise": 0.2, "mean_share": 0.5, "free_directions": 2,
        "comparison": compared(), "verdict": "open", "advice": "Train on.", "chapter": "chapter 11",
    }  # fmt: skip
    return EmbeddingAudit(**given | changes)


LINES = f"""\
1,234,567 vectors of 3 numbers (float32); 5 neighbors of 1,001 of them
faults: 1,200 zero rows, 3 copies, 1 dead and 2 other constant dimensions
lengths: 0.5 to 12.3, spread 0.25
mean cosine: 0.25 of all, 0.00 of the first 1,000, 0.13 of the first 10,000
shares: dimension 2 40%, best direction 61%; effective rank 2, by entropy 3
hubs, among 5,000: skewness 1.5, most frequent 77, 12% nobody's
of 5 neighbors stay (± 95%; noise of the same spectrum; among the first 50), each of 4 draws on 201 queries:
  dot product 0.50 ± 0.10 (0.25; 0.75); distance 0.05 ± 0.10 (1.00; 0.90)
  centered 0.95 ± 0.10 (0.00; 1.00); standardized 0.00 ± ? (0.50; 0.00)
  whitened 0.12 ± 0.06 (0.50; 0.25); without the first direction 1.00 ± 0.00 (1.00; 1.00)
  a D in the coordinates 0.62 ± 0.01 (0.38; 0.88); a G: D in a random basis 0.75 ± 0.01 (0.38; 0.88)
balance defect of the two sides: 0.050 (turned at random 0.200); 2 free directions move the cosine
{ALIKE[1]}
OPEN: Train on. (chapter 11)"""


def test_the_lines_of_an_audit():
    assert audit_lines(audited()) == LINES.split("\n")
    lines = audit_lines(audited({"mean_cosine": ((7, 0.5),)}, n_queries=3, balance_defect=None, comparison=None))
    assert lines[3] == "mean cosine: 0.50 of all" and "each of 4 draws on 1 queries" in lines[6] and len(lines) == 12
    assert audit_lines(audited(free_directions=None))[11].endswith("(turned at random 0.200)")
    assert "on 2 queries" in audit_lines(audited(n_queries=6))[6]
    unit = audit_lines(audited({"shortest": 1.0, "longest": 1.0, "length_spread": 0.0}))
    assert unit[2] == "lengths: all 1"


def test_the_lines_of_a_comparison():
    assert comparison_lines(compared())[:3] == ALIKE
    few = " (few rows for 250 dimensions: the map may miss coordinates)"
    assert comparison_lines(compared(n=1999))[1] == ALIKE[1] + few
    assert comparison_lines(compared(n=1600, dims=(200, 20)))[1] == ALIKE[1]


def test_the_numbers_as_json():
    text = as_json(audited())
    assert text.startswith('{\n  "n": 1234567,\n  "dim": 3,')
    values = json.loads(text)
    names = {field.name for field in dataclasses.fields(EmbeddingAudit)}
    assert set(values) == names | {"stays"} and values["stays"] == 0.625
    assert set(values["facts"]) == set(FACTS) - {"mean", "variances", "spectrum", "axes"}
    assert values["facts"]["mean_cosine"] == [[1000, -0.001], [10_000, 0.126], [1_234_567, 0.25]]
    assert [entry["error"] for entry in values["stability"]] == [0.1, 0.1, 0.1, None, 0.0625, 0.0, 0.015, 0.015]
    assert values["comparison"]["overlap_mapped_error"] is None and values["comparison"]["map_fit"] == 0.875
    values = json.loads(as_json(compared(rotation_fit=-np.inf, overlap=np.float32(0.25))))
    expected = COMPARISON | {"lost": 0.75, "lost_to_coordinates": 0.5, "lost_to_the_model": 0.25, "dims": [20, 250]}
    assert values == expected | {"rotation_fit": None, "overlap_mapped_error": None}


# --- the page ---


class Reader(html.parser.HTMLParser):
    """Elements as (tag, attributes, text)."""

    def __init__(self, page):
        super().__init__()
        self.found, self.open = [], []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.found.append([tag, dict(attributes), ""])
        if tag != "meta":
            self.open.append(self.found[-1])

    def handle_startendtag(self, tag, attributes):
        self.found.append([tag, dict(attributes), ""])

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        for element in self.open:
            element[2] += data

    def all(self, tag, **wanted):
        given = {name.rstrip("_"): value for name, value in wanted.items()}
        return [(a, text) for name, a, text in self.found if name == tag and given.items() <= a.items()]


def numbers(attributes, *names):
    return [float(attributes[name]) for name in names]


def test_the_page_says_the_same_and_its_bars_are_as_long_as_the_shares():
    page = Reader(audit_page(audited(), "a < b"))
    assert page.all("title")[0][1] == page.all("h1")[0][1] == "Audit of a < b"
    assert page.all("p", class_="verdict")[0][1] == "open Train on. chapter 11"
    assert page.all("pre")[0][1] == LINES.rpartition("\n")[0]
    rows = [text for _, text in page.all("tr")]
    assert rows[0] == "viewstayover drawsnoiseamong the first 50"
    assert rows[1] == "dot product0.500 ± 0.1000.500 to 0.5000.2500.750"
    assert rows[7] == "a D in the coordinates0.625 ± 0.0150.500 to 0.7500.3750.875" and len(rows) == 9
    bars, curve = page.all("svg")
    assert bars[0]["viewbox"] == "0 0 640 212"
    assert bars[0]["aria-label"].startswith("dot product 0.50, noise 0.25; distance 0.05, noise 1.00; centered")
    parts = [page.all("rect"), page.all("line", class_="error"), page.all("line", class_="noise")]
    for at, (name, (kind, share, error, *_, noise)) in enumerate(SHARES.items()):
        (bar, _), (line, _), (mark, _) = (part[at] for part in parts)
        error = 0.0 if np.isnan(error) else error
        assert bar["class"] == kind and numbers(bar, "x", "y", "height") == [210, 26 * at + 4, 16]
        ends = [210 + 380 * min(max(end, 0), 1) for end in (share - error, share + error)]
        np.testing.assert_allclose(numbers(bar, "width"), [380 * share], atol=0.051)
        np.testing.assert_allclose(numbers(line, "x1", "x2"), ends, atol=0.051)
        np.testing.assert_allclose(numbers(mark, "x1", "x2"), [210 + 380 * noise] * 2, atol=0.051)
        assert numbers(line, "y1", "y2") == [26 * at + 12] * 2
        assert numbers(mark, "y1", "y2") == [26 * at + 1, 26 * at + 23]
        names = page.all("text", y=str(26 * at + 16))
        assert [text for _, text in names[:2]] == [name, f"{share:.2f}"]
        assert [attributes["x"] for attributes, _ in names[:2]] == ["200", "600"]
    assert curve[0]["aria-label"] == "1 of 2 directions hold half of the variance"


@pytest.mark.parametrize(
    ("spectrum", "points", "half"),
    [
        ([3.0, 1.0], [(320, 60), (600, 20)], 1),
        ([0.1, 0.1], [(320, 100), (600, 20)], 1),
        ([0.25, 0.25, 0.25, 0.25], [(180, 140), (320, 100), (460, 60), (600, 20)], 2),
        ([3.0, 3.0, 3.0, 0.0, 0.0], [(152, 380 / 3), (264, 220 / 3), (376, 20), (488, 20), (600, 20)], 2),
        ([0.0, 0.0], [(320, 20), (600, 20)], 1),
    ],
)
def test_the_curve_of_the_variance(spectrum, points, half):
    page = audit_page(audited({"spectrum": np.array(spectrum)}), "x")
    (attributes, _), = Reader(page).all("polyline")  # fmt: skip
    found = [tuple(map(float, point.split(","))) for point in attributes["points"].split()]
    np.testing.assert_allclose(found, [(40, 180), *points], atol=0.051)
    assert f"<p>{half} of {len(spectrum)} directions hold half of the variance.</p>" in page


def test_a_long_curve_has_200_points():
    page = audit_page(audited({"spectrum": np.arange(500.0, 0, -1)}), "x")
    found = re.search(r'points="([^"]+)"', page)[1].split()
    assert len(found) == 201 and found[0] == "40,180" and found[1].startswith("41.1,") and found[-1] == "600.0,20.0"

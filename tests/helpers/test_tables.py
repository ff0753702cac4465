import dataclasses
import html.parser
import re

import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell

from cossim_helpers import Table

GROUPED = Table(
    "Means < 1, of 10 seeds",
    ("reading", "AUC", "share", "items", "said"),
    [
        "ours",
        ("B = V", 0.8091, 0.25, 3000, "near"),
        ("Eq. 2", -0.998, 1, np.int64(4), "far"),
        "other",
        ("x & y", -1e-9, 0.0, 4, "-"),
    ],
    (".2f", ".0%", "", ""),
    over={"": 1, "by rank": 2, "by hand": 2},
)
TEXT = """\
Means < 1, of 10 seeds
         by rank       by hand
reading    AUC  share  items  said
ours
  B = V   0.81    25%  3,000  near
  Eq. 2  −1.00      1      4  far
other
  x & y   0.00     0%      4  -"""


class Reader(html.parser.HTMLParser):
    """The rows of a table as (tag, attributes, text) of their cells, the caption as a row of one."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.open = [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        if tag in ("tr", "caption"):
            self.rows.append([])
        if tag in ("th", "td", "caption"):
            self.rows[-1].append((tag, dict(attributes), ""))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] and self.open[-1] in ("th", "td", "caption"):
            tag, attributes, text = self.rows[-1][-1]
            self.rows[-1][-1] = tag, attributes, text + data


def test_the_text_is_aligned():
    assert repr(GROUPED) == str(GROUPED) == TEXT


def test_the_html_says_the_same_with_a_caption_and_headers():
    caption, over, head, *body = Reader(GROUPED.html).rows
    assert caption == [("caption", {}, "Means < 1, of 10 seeds")]
    assert [attributes.get("scope") for _, attributes, _ in over] == [None, "colgroup", "colgroup"]
    assert sum(int(attributes["colspan"]) for _, attributes, _ in over) == 5
    assert [(tag, attributes["scope"], text) for tag, attributes, text in head] == [
        ("th", "col", name) for name in GROUPED.columns
    ]
    for row in body:
        assert row[0][0] == "th" and row[0][1]["scope"] == ("rowgroup" if len(row) == 1 else "row")
        assert {tag for tag, *_ in row[1:]} <= {"td"}
    assert GROUPED.html.count("<tbody>") == GROUPED.html.count("</tbody>") == 2  # one for each heading
    assert Table("One", ("", "a"), [("b", 1), ("c", 2)]).html.count("<tbody>") == 1
    for row in (head, *body):
        style = ["text-align: left" if left else None for left in GROUPED.left][: len(row)]
        assert [attributes.get("style") for _, attributes, _ in row] == style
        assert len(row) in (1, 5) and row[0][1].get("colspan") == ("5" if len(row) == 1 else None)
    words = [text for row in (caption, over, head, *body) for _, _, text in row]
    assert " ".join(words).split() == TEXT.split()


def test_numbers_may_share_a_cell():
    assert Table("One", ("", "a"), [("b", (-0.5, 0.123))]).rows == (("b", "−0.50±0.12"),)
    assert Table("One", ("", "a"), [("b", (-0.5, 2))], join=" to ").rows == (("b", "−0.50 to 2"),)
    assert Table("One", ("", "a"), [["b", (-2e-5, 2e-5)]], ".0e", " ").rows == (("b", "−2e-05 2e-05"),)


def test_an_empty_header_is_no_header():
    head = Reader(Table("One", ("", "a"), [("b", 1)]).html).rows[1]
    assert [tag for tag, *_ in head] == ["td", "th"]


def test_words_stand_left_and_numbers_right():
    assert GROUPED.left == (True, False, False, False, True)
    assert Table("One", ("", "a"), [("b", "0.8±0.1"), ("c", "*")]).left == (True, True)
    assert Table("One", ("", "a"), [("1", 2), ("2", 3)]).left == (True, False)


def test_a_table_stays_as_it_is():
    over, rows = {"": 1, "x": 1}, [["b", 1.0]]
    table = Table("One", ["", "a"], rows, over=over)
    before = repr(table)
    over["x"] = 5
    rows[0][1] = 2.0
    assert repr(table) == before and table.columns == ("", "a") and table.over == {"": 1, "x": 1}
    with pytest.raises(dataclasses.FrozenInstanceError):
        table.caption = "Two"


def test_headers_above_stand_after_each_other_where_they_are_wider_than_their_columns():
    table = Table("One", ("", "a", "b"), [("b", 1, 2)], over={"a long one": 1, "": 1, "x": 1})
    assert repr(table).splitlines()[1] == "a long one x"


@pytest.mark.parametrize(("name", "gap"), [(70, 2), (71, 1)])
def test_the_gap_is_two_columns_while_the_text_fits(name, gap):
    table = Table("One", ("", "a"), [("b" * name, "1" * 7)], over={"x": 2})
    assert repr(table).splitlines() == ["One", "x", " " * (name + gap + 6) + "a", "b" * name + " " * gap + "1" * 7]


def test_a_cell_shows_both():
    shown, _ = InteractiveShell().display_formatter.format(GROUPED)
    assert shown == {"text/html": GROUPED.html, "text/plain": TEXT}


def test_columns_stand_closer_before_the_text_gets_too_wide():
    rows = [("a" * 20, *["1.00±0.00"] * 5, "b" * 8)]
    lines = repr(Table("c " * 60, ("", *"123456"), rows)).splitlines()
    assert len(lines[-1]) == 79 and max(map(len, lines)) == 79


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"caption": " "}, ValueError, "caption takes what the table shows"),
        ({"caption": 3}, TypeError, "caption takes text, got 3 (int)"),
        ({"columns": ("", 7)}, TypeError, "columns takes text, got 7 (int)"),
        ({"columns": ("",)}, ValueError, "of which there are at least two: got 0 for 1"),
        ({"form": (".1f", ".2f")}, ValueError, "form takes one text for each of columns but the first"),
        ({"form": 3}, TypeError, "form takes a sequence of texts, got 3 (int)"),
        ({"form": (3,)}, TypeError, "form takes text, got 3 (int)"),
        ({"form": "two"}, ValueError, "form takes how a float is written, such as '.2f', got 'two'"),
        ({"columns": "ab"}, TypeError, "columns takes a sequence of texts, got 'ab' (str)"),
        ({"join": 3}, TypeError, "join takes text, got 3 (int)"),
        ({"caption": ""}, ValueError, "caption takes what the table shows"),
        ({"over": {"": 1, "x": 2}}, ValueError, "over takes spans that add up to 2, got 3"),
        ({"over": {"": 0, "x": 2}}, ValueError, "over takes an integer at least 1, got 0"),
        ({"over": {"": 1.0, "x": 1}}, TypeError, "over takes an integer"),
        ({"over": {3: 2}}, TypeError, "over takes text, got 3 (int)"),
        ({"over": ["x", 2]}, TypeError, "over takes a dict of numbers of columns by headers, got ['x', 2] (list)"),
        ({"over": {}}, ValueError, "over takes spans that add up to 2, got 0"),
        ({"rows": 3}, TypeError, "rows takes a sequence of rows, got 3 (int)"),
        ({"rows": [3]}, TypeError, "rows takes a sequence of rows, each of them a text or a sequence, got 3 (int)"),
        ({"rows": []}, ValueError, "rows takes at least one row"),
        ({"rows": ["only a heading"]}, ValueError, "rows takes at least one row"),
        ({"rows": [("a", 1, 2)]}, ValueError, "rows takes rows of 2 entries, got one of 3"),
        ({"rows": [("a", np.nan)]}, ValueError, "rows takes a finite number"),
        ({"rows": [("a", True)]}, TypeError, "rows takes a real number, got True (bool)"),
        ({"rows": [("a", None)]}, TypeError, "rows takes a real number, got None"),
        ({"rows": [("a" * 70, "1" * 9)]}, ValueError, "fits into 79 columns of text, got 80"),
    ],
)
def test_refusals(changes, error, message):
    arguments = {"caption": "One", "columns": ("", "a"), "rows": [("b", 1.0)]}
    with pytest.raises(error, match=re.escape(message)):
        Table(**arguments | changes)

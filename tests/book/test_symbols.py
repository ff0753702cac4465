"""One symbol, one meaning: the notation page, the boxes of the chapters, their formulas and their code agree."""

import nbformat
import pytest

from tools import symbols
from tools.toc import notebooks

PAGE = symbols.rows(symbols.PAGE.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def uses():
    return {path: symbols.use(path) for path in notebooks()}


def test_the_book_keeps_to_its_notation(uses):
    assert list(symbols.complaints(PAGE, uses)) == []


@pytest.mark.parametrize(
    ("formula", "letters"),
    [
        (r"\hat{A}\hat B^\top = V_k", ["A", "B", "V", "k"]),
        (r"\sum_i x_i y_i", []),
        (r"\text{R of } X \operatorname{tr}(M) \label{L}", ["X", "M"]),
        (r"\kappa = \mathbb{E}[k_u^2] / k", [r"\kappa", r"\mathbbE", "k_u", "k"]),
        (r"\mathcal{J} \pi_{uc} \pi", [r"\mathcalJ", r"\pi_", r"\pi"]),
        (r"\varepsilon \epsilon \beta_c \eta", [r"\varepsilon", r"\epsilon", r"\beta", r"\eta"]),
        (r"\lVert M \rVert_F, \operatorname{dMat}(\sigma), (y)_+", ["dMat", "norm_F", "( )_+", "M", "F", r"\sigma"]),
        (r"\begin{aligned} D \end{aligned}", ["D"]),
    ],
)
def test_letters_are_found_in_formulas(formula, letters):
    assert sorted(symbols.letters(formula)) == sorted(letters)


def test_formulas_are_found_in_text():
    text = "Let $a$ and `$not`.\n\n```{math}\n:label: eq-Q\nR = 1\n```\n\n$$\nS\n$$\n"
    found = [letter for formula in symbols.formulas(text) for letter in symbols.letters(formula)]
    assert found == ["R", "S"]


def test_names_that_code_gives_are_found():
    source = "R, (N, a) = f(x)\nfor i in range(3):\n    L = i\ndef g(Q):\n    return Q + W\n"
    assert {"R", "N", "L", "Q"} <= symbols.assigned(source)
    assert "W" not in symbols.assigned(source)


# What it guards, broken


TABLE = """| $X$, $x_u$ | `X` $(n, p)$ | data | {first} |
| $n$ | `n_users` | users | {first} |
| $p$ | `n_items` | items | {first} |"""


@pytest.fixture
def chapter(tmp_path):
    """Return a function that makes a book of one chapter, and returns the complaints about it."""

    def make(formula="$X$ $n$ $p$", code="X = 1", table=TABLE, box=None):
        path = tmp_path / "01_one.ipynb"
        page = symbols.rows(table.format(first="{doc}`ch. 1 <01_one>`"))
        new = nbformat.v4
        cells = [
            new.new_markdown_cell(formula, id="01-one-00"),
            new.new_code_cell(code, id="01-one-01"),
            new.new_markdown_cell(symbols.box(page, {"X", "n", "p"}) if box is None else box, id="01-one-symbols"),
        ]
        path.write_text(new.writes(new.new_notebook(cells=cells)), encoding="utf-8")
        return list(symbols.complaints(page, {path: symbols.use(path)}))

    return make


def test_a_book_that_keeps_to_its_notation_passes(chapter):
    assert chapter() == []


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"formula": "$X$ $n$ $p$ $Q$"}, "01_one.ipynb: Q is not on the notation page"),
        ({"code": "n, m = X.shape"}, "01_one.ipynb: the code's n is not on the notation page"),
        ({"code": "kappa = 1"}, "01_one.ipynb: the code's kappa is not on the notation page"),
        ({"box": ""}, "01_one.ipynb: its box of symbols is not what the page says; run: make symbols"),
        ({"table": TABLE + "\n| $X_k$ |  | other data | {first} |"}, "notation.md: X has more than one row"),
        (
            {"table": TABLE.replace("users | {first}", "users | here")},
            "notation.md: $n$ is first used in {doc}`ch. 1 <01_one>`, not in here",
        ),
    ],
)
def test_what_breaks_the_rule_is_named(chapter, change, complaint):
    assert complaint in chapter(**change)


def test_writing_mends_what_can_be_mended(chapter, tmp_path, monkeypatch):
    chapter(box="")
    monkeypatch.setattr(symbols, "PAGE", tmp_path / "notation.md")
    symbols.PAGE.write_text(TABLE.format(first="here"), encoding="utf-8")
    uses = {path: symbols.use(path) for path in tmp_path.glob("*.ipynb")}
    symbols.write(symbols.rows(TABLE.format(first="here")), uses)
    page = symbols.rows(symbols.PAGE.read_text(encoding="utf-8"))
    assert list(symbols.complaints(page, uses)) == []

"""Every number of the book's text is what a cell computes, and no digit of it changes by accident."""

import base64
import io
import re

import nbformat
import pytest
import yaml
from PIL import Image

from cossim_helpers import Table
from tools.bindings import bind, keep, mutate, read_choices
from tools.measured import constants, measured, scan
from tools.notebooks import dumps, loads, normalize
from tools.signed import calls, links, statements
from tools.texts import OPEN, Book, agrees, literals, sections

BOOK = Book()
SAID = [text for text in BOOK.texts if text.record or text.measured or text.signature or text.read]


@pytest.mark.parametrize("text", SAID, ids=lambda text: text.key)
def test_its_numbers_are_what_the_cells_compute(text):
    problems = list(BOOK.problems(text))
    assert not problems, "\n".join(["make numbers says what to do, CONTRIBUTING.md how:", *problems])


def test_no_binding_is_left_of_a_text_that_is_gone():
    assert set(BOOK.sidecar) <= {text.key for text in BOOK.texts}
    for name, notebook in BOOK.notebooks.items():
        for cell in notebook.cells:
            names = {"text"} if cell.cell_type == "markdown" else {"caption", "alt"}
            assert set(cell.metadata.get("numbers", {})) <= names, f"{name}, {cell.id}"


@pytest.mark.parametrize("seed", range(3))
def test_a_changed_digit_is_noticed(seed):
    noticed, unnoticed = mutate(BOOK, BOOK.texts, 60, seed)
    assert not unnoticed
    assert noticed.total() == 60


# The rule


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The mean is 0.36 within clusters, and −0.10 between.", ["0.36", "−0.10"]),
        ("It rises from 0.36 to 0.70, that is 0.36–0.70.", ["0.36", "0.70", "0.36", "0.70"]),
        ("Cosines of 0.36 ± 0.02, or $0.36 \\pm 0.02$.", ["0.36", "0.02", "0.36", "0.02"]),
        ("It falls from 99 to 22 percent, then to 7% and $4\\%$.", ["99", "22", "7", "4"]),
        ("With 20,000 users, 3,422,857 interactions, $n = 20{,}000$.", ["20,000", "3,422,857", "20{,}000"]),
        ("About 3.4 million interactions, all 20 million scores.", ["3.4 million", "20 million"]),
        (
            "In 9 of 10 seeds, in 8 in 10 data sets, on 3 seeds, for 2 of the 5 devices.",
            ["9", "10", "8", "10", "3", "2", "5"],
        ),
        ("There are 44 such directions, 10 neighbors, 5 clusters.", ["44"]),
        ("| B = V | 0.809 | 12 | 1.00 |", ["0.809", "12", "1.00"]),
        ("In Equation 2, 64 directions; in these directions 64 percent; after steps 50,000.", ["64", "64", "50,000"]),
        ("Equations 1 and 2, 64 of them; direction 1, 0.36; steps 12.5.", ["64", "0.36", "12.5"]),
        ("σ_1 … σ_7: 1287.1, 390.4", ["1287.1", "390.4"]),
        ("1/5 of them, ½ of those, 94/105 of all.", ["94", "105"]),
        ("Below $10^{-3}$, $1.3 \\cdot 10^{-3}$, 3·10⁻⁴, 1e-10.", ["10^{-3}", "1.3 \\cdot 10^{-3}", "3·10⁻⁴", "1e-10"]),
        ("With $\\kappa = 4.4$, $x \\approx 1.27$, $0.91$, $0.2 \\le e < 0.5$.", ["4.4", "1.27", "0.91", "0.2", "0.5"]),
        ("$\\sqrt{1000 \\cdot 0.2 \\cdot 0.8} = 12.6$", ["12.6"]),
        ("$d = (0.2, 1, 5)$ and $k = 50$", ["0.2", "50"]),
        ("$$\n\\frac{1.99}{0.01} = 0.99 \\quad\\Longleftrightarrow\\quad s^2 = 199 .\n$$", ["0.99", "199"]),
        ("```{math}\n:label: eq-12\nx_{12} + 3.5 y = 0.25 .\n```", ["0.25"]),
        ("On the simulation {eq}`eq-2` gives 0.40 ({doc}`06_figure_1`).", ["0.40"]),
        ("クラスター内の平均は0.36、99%です。第12章。", ["0.36", "99"]),
    ],
)
def test_measured_numbers(text, expected):
    assert [number.written for number in measured(text)] == expected


@pytest.mark.parametrize(
    "text",
    [
        "Equation 1, Equations 1 and 12, Eq. 15, chapter 16, Section 2.1, Sections 1 and 2.1, §7.8, Figure 12.",
        "Python 3.11, CC BY 4.0, arXiv:2403.05440, in 2024, https://example.org/12.5",
        "{eq}`eq-12`, {prf:ref}`thm-08-12`, [ledger](claims.md#12.5), `rng=0.5`, `` 0.25 ``",
        "(sec-fig-12)=\n## Title\n\n1. first\n2. second\n12. twelfth",
        "```{list-table}\n:widths: 45 38 17\n```\n\n```\nmake 0.5\n```",
        "$V_{50}$, $x^{0.5}$, $\\tfrac12 (0.5 + x)$, $\\operatorname{Unif}(0.25, 1.5)$, $0.01 \\, \\sigma_k^2$",
        "The 5 clusters, 0/1 data, V_50, fig12, 2nd, 3D, precision@50, 64-bit.",
        "Directions 7 to 50, Eqs. 12 and 13, seeds 101, 202 and 303, seed 101, by steps 2, 3, 2, Figure 12–13.",
        "**Time:** 20 minutes to read, 90 with the exercises.",
        "```{solution-start} ex-12-half\n:class: dropdown\n```",
    ],
)
def test_constants(text):
    assert not [number.written for number in measured(text)]
    assert constants(text, [])


def test_values_signs_and_digits():
    values = {number.written: (number.value, number.step) for number in scan("−0.10, 20{,}000, $1.30 \\cdot 10^{-3}$")}
    assert values["−0.10"] == (-0.1, 0.01)
    assert values["20{,}000"] == (20000, 1)
    assert values["1.30 \\cdot 10^{-3}"] == pytest.approx((1.3e-3, 1e-5))
    assert [number.value for number in scan("3.4 million")] == [3.4e6]
    assert [number.percent for number in scan("9%, 9 %, 9 percent, $9\\%$, 9")] == [True, True, True, True, False]


def test_any_digit_outside_of_the_measured_numbers_is_signed():
    text = "Equation 1, V₅, x⁻², ½, $\\sigma_2$, 0.36, nine of ten"
    found = constants(text, measured(text))
    assert found == ["1", "₅", "⁻²", "½", "2", "nine", "ten"]


@pytest.mark.parametrize(
    ("written", "value", "words", "expected"),
    [
        ("0.36", 0.3649, [], True),
        ("0.36", 0.366, [], False),
        ("0.360", 0.3649, [], False),
        ("−0.10", -0.1, [], True),
        ("0.10", -0.1, [], False),
        ("0.10", -0.1, ["size"], True),
        ("36%", 0.36, [], False),
        ("36%", 0.36, ["percent"], True),
        ("0.98", 0.9899, ["above"], True),
        ("0.98", 0.99, ["above"], False),
        ("0.98", 0.9799, ["above"], False),
        ("0.4", 0.36, ["below"], True),
        ("0.4", 0.41, ["below"], False),
        ("90%", 0.93, ["percent", "above"], False),
        ("0.64", 0.36, ["complement"], True),
        ("1000", 3.0, ["power"], True),
        ("1000", 3000.0, ["power"], False),
        ("$10^{-3}$", 0.96e-3, ["below"], True),
        ("$10^{-3}$", 1e-7, ["below"], False),
        ("3.4 million", 3422857, [], True),
        ("3.5 million", 3422857, [], False),
    ],
)
def test_a_number_agrees_with_what_rounds_to_it(written, value, words, expected):
    assert agrees(scan(written)[0], value, words) == expected


def test_numbers_in_code_are_those_outside_of_strings_and_comments():
    found = literals('x = f(20_000, -0.5, "12")  # 99\ny[-1:] = a - 3 + 1e-3')
    assert [number.value for number in found] == [20000, -0.5, -1, 3, 1e-3]


def test_numbers_inside_of_fstrings_are_no_numbers_of_the_code_in_any_python():
    """From Python 3.12 on the tokenizer takes them apart."""
    found = literals("print(f'above 0.5: {np.mean(x > 0.5):.0%}', f\"{f'{7}' + '8'}\", 3)\ny = f'{1}' - 2")
    assert [number.value for number in found] == [3, 2]


def test_a_page_is_cut_at_its_headings_not_at_comments_in_listings():
    page = "Top.\n\n(lab)=\n## One\n\n```\n# no heading\n```\n\n## Two, three\n\nEnd.\n"
    assert [(anchor, text.split()[-1]) for anchor, text in sections(page)] == [
        ("top", "Top."),
        ("lab", "```"),
        ("two-three", "End."),
    ]
    assert "".join(text for _, text in sections(page)) == page


# A small book


TEXT = "Section 2. The mean is 0.36 within, 0.70 elsewhere, in 9 of 10 seeds, for 20,000 users, AUC above 0.8."
PRINTED = "[ok] a-claim: equal within rtol=0, atol=1e-10\nwithin 0.36, elsewhere 0.70\n9 of 10 seeds, AUC 0.89\n"
CODE = "users = 20_000\nprint('12')\ncheck('a-claim', f(x), y)\nassert_allclose(x, y, rtol=0)"
CHOICES = {
    **{f"m:{n}": address for n, address in enumerate(("c#1", "c#2", "c#3", "c#4", "c@1", "above c#5"), start=1)},
    **{"c:caption:1": "c#2", "c:alt:1": "c#5", "c:alt:2": "c#5", "claims.yml#a-claim:1": "c#1"},
    **{"index.md#title:1": "c#1", "index.md#title:2": "cossim_helpers/defaults.py@n_items.1"},
}


@pytest.fixture
def folder(tmp_path):
    """A book whose numbers are all bound."""
    figure = {"figure": {"caption": "All 0.70."}, "image": {"alt": "A curve up to 0.89, and a dot at 0.89."}}
    stream = nbformat.v4.new_output("stream", name="stdout", text=PRINTED)
    cells = [
        nbformat.v4.new_markdown_cell(TEXT, id="m"),
        nbformat.v4.new_code_cell(CODE, id="c", outputs=[stream], metadata={"mystnb": figure}),
        nbformat.v4.new_code_cell(
            "slide(77)", id="slider", metadata={"tags": ["remove-output", "nbval-ignore-output"]}
        ),
    ]
    notebook = normalize(nbformat.v4.new_notebook(cells=cells, metadata={"description": "One."}))
    claim = {"id": "a-claim", "source": "§2.1", "statement": "It is 0.36.", "verdict": "holds", "chapter": 1}
    (tmp_path / "book").mkdir()
    (tmp_path / "cossim_helpers").mkdir()
    (tmp_path / "book" / "01_one.ipynb").write_text(dumps(notebook), encoding="utf-8")
    (tmp_path / "book" / "index.md").write_text(
        "# Title\n\nIn {doc}`01_one` it is 0.36, of 300 items, twice.\n", encoding="utf-8"
    )
    (tmp_path / "cossim_helpers" / "claims.yml").write_text(yaml.safe_dump({"claims": [claim]}), encoding="utf-8")
    (tmp_path / "cossim_helpers" / "defaults.py").write_text(
        "def f(n_items=300):\n    return n_items\n", encoding="utf-8"
    )
    assert bind(Book(tmp_path), Book(tmp_path).texts, CHOICES, {"01_one.ipynb", "index.md", "claims.yml"}) == 0
    return tmp_path


def bind_all(folder, choices=None):
    book = Book(folder)
    return bind(book, list(book.texts), choices or {}, {text.file for text in book.texts})


def problems(folder):
    book = Book(folder)
    return [problem for text in book.texts for problem in book.problems(text)]


def change(folder, old, new, name="book/01_one.ipynb"):
    before = (folder / name).read_text(encoding="utf-8")
    assert before.count(old) == 1
    (folder / name).write_text(before.replace(old, new), encoding="utf-8")


def test_a_bound_book_has_no_problems_and_its_notebook_is_in_normal_form(folder):
    assert problems(folder) == []
    text = (folder / "book" / "01_one.ipynb").read_text(encoding="utf-8")
    assert dumps(normalize(loads(text))) == text


@pytest.mark.parametrize(
    ("name", "old", "new", "expected"),
    [
        (
            "book/01_one.ipynb",
            "is 0.36 within, 0.70",
            "is 0.35 within, 0.70",
            "'0.35' .* c#1, which is 0.36 in the line 'within",
        ),
        ("book/01_one.ipynb", "in 9 of 10", "in 8 of 10", "'8' .* c#3, which is 9"),
        ("book/01_one.ipynb", "for 20,000", "for 20,001", "'20,001' .* c@1, which is 20_000"),
        ("book/01_one.ipynb", "users = 20_000", "users = 30_000", "'20,000' .* c@1, which is 30_000"),
        ("book/01_one.ipynb", "Section 2.", "Section 3.", "a constant has changed"),
        ("book/01_one.ipynb", "above 0.8.", "above 0.8 and 0.9.", "7 measured numbers .*, 6 bindings"),
        ("book/01_one.ipynb", "within 0.36, e", "within 0.37, e", "'0.36' .* c#1, which is 0.37"),
        ("book/01_one.ipynb", "elsewhere 0.70\\n", "and 0.70\\n", "prints other words"),
        ("book/01_one.ipynb", "All 0.70", "All 0.71", "c:caption, number 1: '0.71'"),
        ("book/01_one.ipynb", "dot at 0.89", "dot at 0.88", "c:alt, number 2: '0.88'"),
        ("book/01_one.ipynb", '"id": "c"', '"id": "d"', "no compared cell and no module"),
        ("book/index.md", "0.36", "0.37", "index.md#title, number 1: '0.37'"),
        ("book/index.md", "twice", "thrice", "a constant has changed"),
        ("cossim_helpers/claims.yml", "0.36", "0.37", "claims.yml#a-claim, number 1: '0.37'"),
        ("cossim_helpers/claims.yml", "2.1", "2.2", "claims.yml#a-claim: a constant"),
        ("cossim_helpers/defaults.py", "300", "301", "'300' .* which is 301"),
    ],
)
def test_a_problem_names_the_place(folder, name, old, new, expected):
    change(folder, old, new, name)
    assert any(re.search(expected, problem) for problem in problems(folder)), problems(folder)


def test_a_check_line_more_moves_no_number(folder):
    change(folder, '"[ok] a-claim', '"[ok] b-claim: at most 3\\n",\n      "[ok] a-claim')
    assert problems(folder) == []


def with_table(folder, *rows):
    """Let the cell show the same numbers, but those of the first line in a table."""
    path = folder / "book" / "01_one.ipynb"
    notebook = loads(path.read_text(encoding="utf-8"))
    cell = next(cell for cell in notebook.cells if cell.id == "c")
    table = Table("Mean cosine", ("", "within", "elsewhere"), rows)
    ok, _, rest = PRINTED.splitlines(keepends=True)
    cell.outputs = [
        nbformat.v4.new_output("execute_result", data=table._repr_mimebundle_(), execution_count=1),
        nbformat.v4.new_output("stream", name="stdout", text=rest + ok),
    ]
    path.write_text(dumps(normalize(notebook)), encoding="utf-8")


def test_numbers_of_a_table_count_in_its_order_and_where_it_stands(folder):
    with_table(folder, ("all", 0.3649, 0.7))
    sources = Book(folder).cells["c"].sources
    assert [sources[f"c#{n}"][0].value for n in range(1, 6)] == [0.36, 0.7, 9, 10, 0.89]
    assert sources["c#2"][1] == "all    0.36       [0.70]"
    assert all("prints other words" in problem for problem in problems(folder))  # the numbers hold
    bind_all(folder)
    assert problems(folder) == []


@pytest.mark.parametrize("row", [("all", 0.35, 0.70), ("all", 0.70, 0.36)])
def test_another_number_in_a_table_is_noticed(folder, row):
    with_table(folder, ("all", 0.36, 0.70))
    bind_all(folder)
    with_table(folder, row)
    assert any(re.search("'0.36' .* c#1, which is 0.[37]", problem) for problem in problems(folder))


def test_bindings_that_hold_are_kept_when_a_sentence_changes(folder):
    change(folder, "The mean is 0.36 within, 0.70", "With 44 more, the mean is 0.36 within, 0.71, 0.70")
    text = next(text for text in Book(folder).texts if text.key == "m")
    assert keep(Book(folder), text) == [OPEN, "c#1", OPEN, *[CHOICES[f"m:{n}"] for n in range(2, 7)]]


def test_what_is_certain_is_bound_and_what_is_not_is_printed(folder, capsys):
    path = folder / "book" / "01_one.ipynb"
    notebook = loads(path.read_text(encoding="utf-8"))
    for cell in notebook.cells:
        cell.metadata.pop("numbers", None)
    path.write_text(dumps(notebook), encoding="utf-8")
    assert bind_all(folder) == 6  # of nine, 0.36 and twice 0.89 are certain
    printed = capsys.readouterr().out
    assert "m:3 = c#3   | [9] of 10 seeds" in printed  # one digit is not distinctive
    assert "m:5 = c@1   | users = [20_000]" in printed  # a setting is never certain
    (folder / "choices").write_text(printed.replace("m:6 = c#5", "m:6 = above c#5"), encoding="utf-8")
    assert bind_all(folder, read_choices(folder / "choices")) == 0
    assert problems(folder) == []


def test_a_number_without_a_source_is_a_fault(folder, capsys):
    change(folder, "0.70 elsewhere", "0.70 elsewhere, 0.1234 nowhere, 77 in a slider")
    assert bind_all(folder) == 2
    assert capsys.readouterr().out.count("NO CELL gives") == 2
    assert len(problems(folder)) == 2


def test_a_choice_that_does_not_hold_is_refused(folder):
    with pytest.raises(ValueError, match=r"m:1: 0.36 is not 0.70"):
        bind_all(folder, {"m:1": "c#2"})
    with pytest.raises(ValueError, match=r"no number m:7"):
        bind_all(folder, {"m:7": "c#2"})


def test_new_words_of_a_cell_are_shown_for_review(folder, capsys):
    change(folder, '"within 0.36', '"new 5\\n",\n      "within 0.36')
    assert any("prints other words" in problem for problem in problems(folder))
    bind_all(folder)
    assert "REVIEW" in capsys.readouterr().out


def test_every_changed_digit_of_the_small_book_is_noticed(folder):
    book = Book(folder)
    noticed, unnoticed = mutate(book, book.texts, 1_000, 0)
    assert not unnoticed
    assert noticed["measured"] == 12
    assert noticed["constant"] == 3


# What is signed as a whole

THEOREM = "Why.\n\n```{prf:theorem} Always\n:label: thm-a\nFor every $x \\le y$.\n```\n\n{doc}`01_one` has [more](https://a.org/b)."
CLAIM = {
    "id": "b-claim",
    "source": "ours",
    "statement": "Every one.",
    "verdict": "refuted",
    "note": "None.",
    "chapter": 1,
}


def png(color=(0, 0, 255), **options):
    target = io.BytesIO()
    picture = Image.new("RGB", (30, 20), "white")
    picture.putpixel((3, 4), color)
    picture.save(target, format="PNG", **options)
    return nbformat.v4.new_output("display_data", data={"image/png": base64.b64encode(target.getvalue()).decode()})


@pytest.fixture
def signed(folder):
    """The small book with a theorem, a picture, another claim and all other that is signed."""
    path = folder / "book" / "01_one.ipynb"
    notebook = loads(path.read_text(encoding="utf-8"))
    notebook.cells.append(nbformat.v4.new_markdown_cell(THEOREM, id="theorem"))
    notebook.cells[1].outputs.append(png())
    path.write_text(dumps(notebook), encoding="utf-8")
    ledger = folder / "cossim_helpers" / "claims.yml"
    ledger.write_text(f"{ledger.read_text(encoding='utf-8')}- {CLAIM}\n", encoding="utf-8")
    for name, text in {
        "cossim_helpers/losses.yml": "losses: {bpr: {rule: Yes and no.}}",
        "book/search.yml": "- words: [ALS]\n  label: sec-a\n  say: Here.\n",
        "book/references.bib": "@misc{a, title = {One}, doi = {x/y}}\n",
        "book/_static/a.svg": "<svg><text>left</text></svg>",
        "README.md": "[Site](https://c.org)",
    }.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    assert bind_all(folder) == 0
    assert problems(folder) == []
    return folder


@pytest.mark.parametrize(
    ("name", "old", "new", "key"),
    [
        ("book/01_one.ipynb", "A curve up to", "A curve down to", "c:alt"),
        ("book/01_one.ipynb", "All 0.70", "Some 0.70", "c:caption"),
        ("book/01_one.ipynb", "For every $x", "For some $x", "theorem"),
        ("book/01_one.ipynb", "le y$", "lt y$", "theorem"),
        ("book/01_one.ipynb", "{doc}`01_one`", "{doc}`index`", r"01_one\.ipynb#\(links\)"),
        ("book/01_one.ipynb", "a.org/b", "a.org/c", r"01_one\.ipynb#\(links\)"),
        ("book/index.md", "{doc}`01_one`", "{doc}`index`", r"index\.md#\(links\)"),
        ("cossim_helpers/claims.yml", "It is 0.36", "It was 0.36", "claims.yml#a-claim"),
        ("cossim_helpers/claims.yml", "verdict: holds", "verdict: holds if ever", "claims.yml#a-claim"),
        ("cossim_helpers/claims.yml", "Every one", "Some one", "claims.yml#b-claim"),
        ("cossim_helpers/claims.yml", "None.", "All.", "claims.yml#b-claim"),
        ("cossim_helpers/claims.yml", "'source': 'ours'", "'source': 'theirs'", "claims.yml#b-claim"),
        ("cossim_helpers/claims.yml", "'chapter': 1", "'chapter': 2", "claims.yml#b-claim"),
        ("book/01_one.ipynb", "atol=1e-10", "atol=1e-02", "claims.yml#a-claim"),
        ("book/01_one.ipynb", "check('a-claim', f(x), y)", "", "claims.yml#a-claim"),
        ("book/01_one.ipynb", "f(x), y)", "y, y)", "claims.yml#a-claim"),
        ("book/01_one.ipynb", "y, rtol=0", "y, rtol=1", r"01_one\.ipynb#\(assertions\)"),
        ("cossim_helpers/losses.yml", "Yes and no", "Yes", "losses.yml#bpr"),
        ("book/search.yml", "sec-a", "sec-b", "search.yml#ALS"),
        ("book/references.bib", "x/y", "x/z", "references.bib#a"),
        ("book/_static/a.svg", "left", "right", "a.svg#drawing"),
        ("README.md", "c.org", "d.org", r"README\.md#\(links\)"),
    ],
)
def test_other_words_are_noticed_until_they_are_signed(signed, name, old, new, key):
    change(signed, old, new, name)
    assert any(re.search(f"{key}: its words have changed", problem) for problem in problems(signed)), problems(signed)
    bind_all(signed)
    assert problems(signed) == []


def test_words_around_a_statement_are_free(signed):
    change(signed, "Why.", "Why not.")
    assert problems(signed) == []


def test_an_alt_text_is_signed_with_the_pixels_of_its_picture_not_with_their_compression(signed):
    path = signed / "book" / "01_one.ipynb"
    notebook = loads(path.read_text(encoding="utf-8"))

    def with_picture(output):
        notebook.cells[1].outputs[-1] = output
        path.write_text(dumps(notebook), encoding="utf-8")
        return problems(signed)

    assert png(compress_level=0) != png()
    assert with_picture(png(compress_level=0)) == []
    assert ["c:alt: its words have changed" in problem for problem in with_picture(png((255, 0, 0)))] == [True]


def test_a_proof_is_no_statement():
    proof = THEOREM.replace("theorem", "proof")
    assert statements(proof) == ""
    assert statements(f"{proof}\n\n{THEOREM}") == THEOREM[6:].rsplit("\n\n", 1)[0]


def test_links_are_targets_in_their_order_and_what_can_be_linked_to():
    text = "(sec-a)=\n{ref}`its name <sec-b>`, [x](claims.md#y_(z)), <https://a.org>, "
    text += '<a href="b.html#c">, {cite:t}`d`\n:label: e'
    assert links(text).split("\n") == [
        *("{ref}`its name <sec-b>`", "(claims.md#y_(z))", "https://a.org", 'href="b.html#c', "{cite:t}`d`"),
        *("(sec-a)=", ":label: e"),
    ]


def test_calls_are_those_that_check_or_assert_whatever_their_spaces():
    source = "%matplotlib inline\nfor x in y:\n    check('a',  x,\n          1)\n"
    source += "np.testing.assert_allclose(x, 1)\nassert x\nprint(1)"
    assert [*calls(source)] == [
        ("check", "check('a',x,1)"),
        ("assert_allclose", "np.testing.assert_allclose(x,1)"),
        ("assert", "assertx"),
    ]

"""The first page and its doors: the picture, the decision guide, the questions, and what a shared link shows."""

import re
import struct
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import landing
import matplotlib as mpl
import numpy as np
import pytest
import sharing
import yaml
from PIL import Image

import cossim_helpers
from tools import toc

ROOT = Path(__file__).parents[2]
BOOK = ROOT / "book"
INDEX, DECIDE, QUESTIONS = (
    (BOOK / f"{name}.md").read_text(encoding="utf-8") for name in ("index", "decide", "questions")
)
LABELS = set((Path(__file__).parent / "labels.txt").read_text(encoding="utf-8").split())
LINK = re.compile(r"\{(?:ref|prf:ref|eq|doc)\}`(?:[^`<]*<)?([\w-]+)>?`")
ROWS = [re.findall(r"^\* - (.+)\n  - (.+)\n  - (.+)$", table, re.MULTILINE)[1:] for table in QUESTIONS.split("## ")[1:]]
TABLES = re.findall(r"^```\{list-table\}\n(?::[^\n]*\n)*\n(.*?)^```", DECIDE, re.MULTILINE | re.DOTALL)
PICTURE = ElementTree.fromstring((BOOK / "_static" / "decide.svg").read_text(encoding="utf-8"))
SVG = "{http://www.w3.org/2000/svg}"
CASES = {"A", "B", "C", "D", "S"}
CODE = re.search(r"^```python\n(.*?)^```", DECIDE, re.MULTILINE | re.DOTALL)[1]


# The first page


def test_the_picture_shows_one_model_with_two_sets_of_neighbors():
    (_, first, *lists), (_, second, *other_lists) = landing.two_halves()
    (nearest, recommended), (other_nearest, other_recommended) = lists, other_lists
    cluster = landing.landing_data().item_cluster
    assert recommended.tolist() == other_recommended.tolist()
    assert set(nearest) & set(other_nearest) == set()
    assert landing.ITEM not in {*nearest, *other_nearest}
    own = [int(np.sum(cluster[each] == cluster[landing.ITEM])) for each in (nearest, other_nearest)]
    assert own == [0, landing.LISTED]
    assert cossim_helpers.cluster_auc(first, cluster) < 0.5 < 0.9 < cossim_helpers.cluster_auc(second, cluster)


def test_both_halves_predict_the_same():
    data, top = landing.landing_data(), landing.landing_spectrum()
    fit = cossim_helpers.solve_product_penalty(top, landing.LAM, len(top.sigma))
    d = cossim_helpers.shrinkage(top.sigma, landing.LAM)
    scores = [
        cossim_helpers.user_embeddings(data.X[:50], scaled) @ scaled.B.T
        for scaled in (cossim_helpers.rescale(fit, d**exponent) for exponent in landing.EXPONENTS.values())
    ]
    np.testing.assert_allclose(scores[0], scores[1], rtol=0, atol=1e-9)


def test_the_picture_says_in_words_what_it_shows():
    html = landing.picture()
    assert len(re.findall(r'<img alt="[^"]*\d[^"]*"', html)) == 2
    assert "no cluster can be seen" in html
    assert "five clusters stand out" in html


def test_three_doors_stand_before_the_first_section():
    first_screen = INDEX.split("\n## ")[0]
    assert first_screen.index("{one-model}") < first_screen.index("{container} doors")
    doors = re.findall(r"^- \[\*\*(.+?)\*\* \*(.+?)\*\]\((\S+)\)$", first_screen, re.MULTILINE)
    assert [(said, leads_to) for said, _, leads_to in doors] == [
        ("I ship embeddings", "decide.md"),
        ("I study", "01_cosine_and_dot_product.ipynb"),
        ("I doubt", "claims.md"),
    ]
    assert all((BOOK / leads_to).exists() for *_, leads_to in doors)
    assert len(re.sub(r"\{.*?\}`.*?`", "", first_screen.split("```")[0].split("---")[-1]).split(". ")) == 1


def test_the_dial_and_the_contents_stand_below():
    below = INDEX.split("\n## ", 1)[1]
    assert "```{dial}" in below
    assert "{tableofcontents}" in below
    assert "list-table" not in INDEX


# Questions


@pytest.mark.parametrize("row", [row for table in ROWS for row in table], ids=lambda row: row[0][:40])
def test_a_question_has_one_sentence_and_a_link_to_the_place(row):
    question, answer, where = row
    assert question.endswith("?")
    assert re.fullmatch(r"[^.?!]+(?:\.\d[^.?!]*)*\.", answer), "one sentence"
    assert LINK.findall(where)
    pages = {"notation", "glossary", "api", "benchmarks", "myths", "claims"}
    assert set(LINK.findall(where)) <= LABELS | pages
    assert re.sub(r"(?:Equation )?\{[\w:]+\}`[^`]+`", "", where).strip(" ,") == ""


@pytest.mark.parametrize("page", [DECIDE, QUESTIONS], ids=["decide", "questions"])
def test_a_link_into_a_fold_has_words_of_its_own(page):
    """Else it would read "Details: …"."""
    plain = set(re.findall(r"\{ref\}`([\w-]+)`", page))
    notebooks = "".join(path.read_text(encoding="utf-8") for path in toc.notebooks())
    folds = set(re.findall(r"\(([\w-]+)\)=(?:\\n|\",|\s|\")*#+ Details: ", notebooks))
    assert folds
    assert plain & folds == set()


def test_each_table_of_questions_is_read():
    assert sum(map(len, ROWS)) == QUESTIONS.count("* - ") - len(ROWS) >= 30


# The decision guide


@pytest.mark.parametrize("page", [INDEX, DECIDE, QUESTIONS], ids=["index", "decide", "questions"])
def test_each_label_exists(page):
    pages = {path.stem for path in BOOK.iterdir()}
    assert set(LINK.findall(page)) - LABELS - pages == set()


def test_picture_path_and_tables_have_the_same_cases():
    big = {word for span in PICTURE.iter(f"{SVG}tspan") for word in (span.text or "").split(", ")}
    assert {word for word in big if word.isalpha() and word.isupper()} == CASES
    assert set(re.findall(r"^You are \*\*case (\w)\*\*\.$", DECIDE, re.MULTILINE)) == CASES
    assert set(re.findall(r"^\* - \*\*(\w)\.\*\*", TABLES[0], re.MULTILINE)) == CASES
    models = re.findall(
        r"^\* - \*\*.*\n(?:    .*\n)*  - .*\n(?:    .*\n)*  - .*\n(?:    .*\n)*  - (.*)$", TABLES[1], re.MULTILINE
    )
    assert len(models) == TABLES[1].count("* - **") >= 9
    assert {word for case in models for word in re.findall(r"\b[A-Z]\b", case)} == CASES


@pytest.mark.parametrize("name", ["ALS", "BPR", "Two towers", "word2vec", "Sentence encoder", "CLIP"])
def test_each_model_has_its_row(name):
    assert f"* - **{name}**" in TABLES[1]


@pytest.mark.parametrize("row", [row for table in TABLES for row in re.split(r"^\* - ", table, flags=re.MULTILINE)[2:]])
def test_each_row_links_to_its_proof(row):
    assert set(LINK.findall(row)) & LABELS


def test_each_leaf_of_the_path_says_what_to_use_to_set_and_not_to_conclude():
    leaves = [leaf.split("</details>")[0] for leaf in re.split(r"</summary>\n\n(?=You are|- )", DECIDE)[1:]]
    assert len(leaves) == len(CASES) + 1  # and: I do not know
    for leaf in leaves:
        kinds = re.findall(r"^- \*(.+?)\*", leaf, re.MULTILINE)
        assert {"Vector database", "Do not conclude", "Code"} <= set(kinds)
        assert {"Item against item", "Query against item"} & set(kinds)
        assert set(LINK.findall(leaf)) & LABELS
    assert DECIDE.count('<details class="path"><summary>') == DECIDE.count("</details>") == 9


@pytest.mark.parametrize(
    ("heading", "words"),
    [
        ("Unit vectors: all metrics rank alike", ["Euclidean distance", "ex-01-distance"]),
        ("What value counts as similar?", ["None, across models", "sec-fig1-panels"]),
        ("What to set in a vector database", ["faiss", "pgvector", "myth-default"]),
        ("If you retrain every night", ["noise floor", "other data, with another seed", "sec-09-retrain"]),
    ],
)
def test_what_engineers_look_for_stands_under_its_name(heading, words):
    section = DECIDE.split(f"## {heading}\n")[1].split("\n## ")[0]
    assert all(word in section for word in words)


def test_nothing_is_promised():
    for text in (DECIDE, QUESTIONS, INDEX):
        assert not re.search(
            r"\b(coming|upcoming|soon|next chapters?|later chapters?|will (?:be|add|show|follow))\b", text
        )


@pytest.fixture(scope="module")
def model():
    """The names of the code of the guide: a linear model with users P, items Q, and the same as A and B."""
    rng = np.random.default_rng(0)
    data = cossim_helpers.simulate_interactions(n_users=300, n_items=24, n_clusters=3, rng=rng)
    fit = cossim_helpers.solve_factor_penalty(cossim_helpers.spectrum(data.X), 3.0, 3)
    P = cossim_helpers.user_embeddings(data.X, fit)
    names = {name: getattr(cossim_helpers, name) for name in cossim_helpers.__all__}
    return names | {
        **{"np": np, "P": P, "Q": fit.B, "Q_2": fit.B, "A": fit.A, "B": fit.B, "E": fit.B, "N": fit.B, "X": data.X},
        **{"blocks": np.array_split(P, 4)},
        **{"popularity": data.X.sum(axis=0), "label": data.item_cluster, "n_clusters": 3},
    }


def test_each_line_of_code_runs_and_imports_what_it_uses(model):
    given = {name: model[name] for name in ("P", "Q", "A", "B", "popularity", "label")}
    exec(CODE, given)
    lines = [line for line in CODE.splitlines() if "  # " in line]
    assert {case for line in lines for case in re.findall(r"\b[A-Z]\b", line.split("  # ")[1].split(":")[0])} == CASES
    assert max(map(len, CODE.splitlines())) <= 79


def test_what_the_code_says_of_itself_is_so(model):
    P, Q = model["P"], model["Q"]
    G = np.random.default_rng(1).standard_normal((3, 3))
    moved = {"P": P @ G, "Q": Q @ np.linalg.inv(G).T, "A": model["A"] @ G, "B": model["B"] @ np.linalg.inv(G).T}
    lines = dict(re.findall(r"^(\S.*?)  # (A: .*)$", CODE, re.MULTILINE))
    assert len(lines) == 3
    for line in lines:
        at = [eval(line, model | names | {"R": np.linalg.qr(names["P"], mode="r")}) for names in (model, moved)]
        np.testing.assert_allclose(at[1], at[0], rtol=0, atol=1e-8)
    scores = cossim_helpers.cosine_similarity((P @ Q.T).T)
    by_triangle = eval("cosine_similarity(Q @ R.T)", model | {"R": np.linalg.qr(P, mode="r")})
    np.testing.assert_allclose(by_triangle, scores, rtol=0, atol=1e-10)
    by_blocks = {"R": eval("np.linalg.cholesky(gram(blocks)).T", model)}
    np.testing.assert_allclose(eval("cosine_similarity(Q @ R.T)", model | by_blocks), scores, rtol=0, atol=1e-9)
    assert eval("np.abs(P.T @ P - Q.T @ Q).max()", model) < 1e-9 * np.abs(Q.T @ Q).max()


def test_a_vector_for_all_items_moves_no_centered_column(model):
    line = re.search(r"^(\S.*?)  # S:", CODE, re.MULTILINE)[1]
    R, v = np.linalg.qr(model["P"], mode="r"), np.array([3.0, -1.0, 2.0])
    at = [eval(line, model | {"R": R, "Q": model["Q"] + shift}) for shift in (0, v)]
    np.testing.assert_allclose(at[1], at[0], rtol=0, atol=1e-10)


def test_code_within_the_text_runs(model):
    calls = {
        code for code in re.findall(r"`([^`\n]+)`", DECIDE.replace("`" * 3, "")) if re.match(r"(np\.|[a-z_]+\()", code)
    }
    assert len(calls) >= 8
    for code in calls:
        eval(code, dict(model))


# The picture of the guide


def test_the_picture_is_read_on_a_phone():
    """On a screen of 390 pixels 358 are left for a picture; a letter has at least 9."""
    css = (BOOK / "_static" / "doors.css").read_text(encoding="utf-8")
    size = float(re.search(r"\.decide-picture \{[^}]*font-size: ([\d.]+)px", css)[1])
    width = float(PICTURE.get("viewBox").split()[2])
    assert size * 358 / width >= 9
    assert not list(PICTURE.iter(f"{SVG}style"))
    assert PICTURE.find(f"{SVG}title").text.endswith(".")


# A shared link


@pytest.mark.parametrize(
    ("environ", "baseurl", "url"),
    [
        ({}, "", None),
        ({"GITHUB_REPOSITORY": "Ada/book"}, "", "https://ada.github.io/book/"),
        ({"GITHUB_REPOSITORY": "ada/ada.github.io"}, "", "https://ada.github.io/"),
        ({"GITHUB_REPOSITORY": "ada/book", "GITHUB_SERVER_URL": "https://git.example.org"}, "", None),
        ({"GITHUB_REPOSITORY": "ada/book"}, "https://example.org/sub", "https://example.org/sub/"),
    ],
)
def test_the_site_knows_its_address_only_where_it_was_told(environ, baseurl, url):
    assert sharing.base_url(environ, baseurl) == url


def tags(baseurl):
    app = SimpleNamespace(
        config=SimpleNamespace(html_baseurl=baseurl, html_title="Book"),
        env=SimpleNamespace(metadata={"book/one": {"description": 'A "small" page.'}}),
        builder=SimpleNamespace(get_target_uri=lambda name: f"{name}.html"),
    )
    context = {"title": "One <em>page</em>", "metatags": "", "pathto": lambda name, resource: f"../{name}"}
    sharing.share(app, "book/one", "page.html", context, None)
    return dict(re.findall(r'<meta (?:property|name)="([\w:]+)" content="([^"]*)" />', context["metatags"]))


def test_a_page_says_what_a_shared_link_shows(monkeypatch):
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    known, unknown = tags("https://example.org/b/"), tags("")
    assert known["og:title"] == "One page"
    assert known["og:description"] == "A &#34;small&#34; page."
    assert known["og:image"] == "https://example.org/b/_static/card.png"
    assert known["og:url"] == "https://example.org/b/book/one.html"
    assert known["twitter:card"] == "summary_large_image"
    assert unknown["og:image"] == "../_static/card.png"
    assert "og:url" not in unknown


def test_the_card_shows_the_data_of_figure_1():
    content = sharing.CARD.read_bytes()
    assert struct.unpack(">II", content[16:24]) == sharing.SIZE
    assert len(content) < 150_000
    card = np.asarray(Image.open(sharing.CARD).convert("RGB"), dtype=float)
    for left, cosine in zip((60, 474), sharing.panels(), strict=True):
        shown = card[186:580, left : left + 394]
        wanted = 255 * mpl.colormaps["RdBu_r"]((cosine + 1) / 2)[:, :, :3]
        rows, columns = (np.minimum(np.arange(size) * 200 // size, 199) for size in shown.shape[:2])
        assert np.abs(shown - wanted[np.ix_(rows, columns)]).mean() < 6


def test_the_extensions_are_switched_on():
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["sphinx"]
    assert {"landing", "sharing"} <= set(config["local_extensions"]) & set(config["config"]["extensions"])

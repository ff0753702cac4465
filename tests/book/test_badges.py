"""The lines of checks as the page shows them."""

from types import SimpleNamespace

import badges
import pytest
from docutils import nodes
from sphinx.util.docutils import new_document

TEXT = """before
[ok] eq5 (eq-5): equal within rtol=0, atol=1e-10, 3 times
[ok] eq5 (thm-balanced): at most 1e-12
between
[ok] eq6: differ by at least 0.25, 2 rounds of 1
see [ok] eq6: equal
"""
EQUATIONS = {"eq-5": ("book/03", 5), "eq-05-inner": ("book/05", 2)}
NUMBERS = {
    "book/03": {
        "displaymath": {"equation-eq-5": (5,)},
        "theorem": {"thm-balanced": (3, 4)},
        "exercise": {"ex-a": (3, 1)},
    },
    "book/05": {"displaymath": {"equation-eq-05-inner": (5, 2)}},
}


@pytest.fixture
def env():
    domains = {
        "math": SimpleNamespace(equations=EQUATIONS),
        "std": SimpleNamespace(labels={"sec-a": ("book/05", "sec-a", "A section")}),
    }
    return SimpleNamespace(
        get_domain=domains.get,
        docname="book/03",
        toc_fignumbers=NUMBERS,
        proof_list={"thm-balanced": {"docname": "book/03", "realtype": "lemma", "countertype": "theorem"}},
        sphinx_exercise_registry={"ex-a": {"docname": "book/03"}},
        app=SimpleNamespace(builder=SimpleNamespace(get_relative_uri=lambda here, there: f"{there}.html")),
    )


@pytest.fixture
def shown(env):
    """Return a function that shows an output; it returns what stands in its place, as (kind, text)."""

    def show(text, classes=("output", "stream")):
        document = new_document("output")
        document.settings.env = env
        document += nodes.container("", nodes.literal_block(text, text, classes=list(classes)))
        transform = badges.Badges(document)
        transform.run()
        return [(type(node).__name__, node.astext()) for node in document[0].children]

    return show


def test_runs_of_checks_become_badges_and_the_rest_stays(shown):
    kinds, texts = zip(*shown(TEXT), strict=True)
    assert kinds == ("literal_block", "raw", "literal_block", "raw", "literal_block")
    assert texts[::2] == ("before", "between", "see [ok] eq6: equal")
    assert "✓ 4 checks</span> (5), Lemma 3.4 · <code>eq5</code></summary>" in texts[1]
    assert "✓ 2 checks</span> <code>eq6</code></summary>" in texts[3]


def test_a_badge_opens_to_each_line_with_its_links(shown):
    assert shown(TEXT)[1][1].partition("</summary>")[2] == (
        '<ul><li><a href="book/claims.html#claim-eq5"><code>eq5</code></a> <a href="#equation-eq-5">(5)</a>: '
        "equal within rtol=0, atol=1e-10 × 3</li>"
        '<li><a href="book/claims.html#claim-eq5"><code>eq5</code></a> <a href="#thm-balanced">Lemma 3.4</a>: '
        "at most 1e-12</li></ul></details>"
    )


def test_a_badge_names_a_few_things_and_counts_the_others(env, shown):
    labels = ["eq-5", "eq-05-inner", "thm-balanced", "ex-a", "sec-a", "no-such-label"]
    text = "\n".join(f"[ok] eq5 ({label}): at most 1" for label in [*labels, "eq-5"])
    assert "✓ 7 checks</span> (5), (5.2), Lemma 3.4, Exercise 3.1 and 2 more · " in shown(text)[0][1]
    assert badges.number(env, "sec-a") == ("“A section”", "book/05", "sec-a")
    assert badges.number(env, "no-such-label") == ("no-such-label", None, None)


@pytest.mark.parametrize(
    ("text", "classes"), [("1\n2", ("output", "stream")), ("[ok] eq5: at most 1", ("output", "text_plain"))]
)
def test_what_no_check_has_printed_is_left_alone(shown, text, classes):
    assert shown(text, classes) == [("literal_block", text)]

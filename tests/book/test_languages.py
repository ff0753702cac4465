"""Pages that are not in English say so, to browsers, to readers of screens and to machines."""

import re
import subprocess
import sys
from pathlib import Path

import languages
import pytest

BOOK = Path(__file__).parents[2] / "book"
JAPANESE_PAGE = BOOK / "ja.md"


@pytest.mark.parametrize(
    ("link", "marked"),
    [
        ('<a href="../book/ja.html">日本語</a>', '<a href="../book/ja.html" hreflang="ja" lang="ja">日本語</a>'),
        ('<a href="ja.html#x">Japanese</a>', '<a href="ja.html#x" hreflang="ja">Japanese</a>'),
        ('<a href="#x"><span>図1</span></a>', '<a href="#x" lang="ja"><span>図1</span></a>'),
        ('<a href="ninja.html">x</a>', '<a href="ninja.html">x</a>'),
        ('<a lang="ja" href="#x">図</a>', '<a lang="ja" href="#x">図</a>'),
        ("<a>x</a>", "<a>x</a>"),
        ('<span class="caption-text">日本語</span>', '<span class="caption-text" lang="ja">日本語</span>'),
        ('<span class="caption-text">Tools</span>', '<span class="caption-text">Tools</span>'),
    ],
)
def test_links_say_their_language_and_that_of_their_target(link, marked):
    assert languages.with_languages(link, {"ja.html": "ja"}) == marked


def test_the_title_and_the_content_carry_the_language():
    html = '<html lang="en"><title>x</title><article class="bd-article">y</article><article>z</article>'
    marked = html.replace("<title>", '<title lang="ja">').replace("<article class", '<article lang="ja" class')
    assert languages.with_language(html, "ja") == marked


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("あ" * 1500, 3),
        ("---\ndescription: " + "あ" * 9000 + "\n---\n" + "漢" * 500, 1),
        ("あ" * 1000 + " $x$" * 10, 3),
        ("short", 1),
    ],
)
def test_the_time_is_counted_by_characters(text, minutes):
    assert languages.minutes(text) == minutes


def test_a_paragraph_of_japanese_stands_on_one_line():
    """A line break within it would become a space."""
    text = re.sub(r"\A---\n.*?\n---\n", "", JAPANESE_PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    broken = re.findall(rf"{languages.JAPANESE}.*\n{languages.JAPANESE}.*", text)
    assert broken == []


def test_no_mark_of_emphasis_is_left_in_the_text(site):
    """Next to Japanese brackets Markdown may take ** for stars."""
    page = (site / "other.html").read_text(encoding="utf-8")
    assert "**" not in re.sub("<[^>]*>", "", page)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    source = tmp_path_factory.mktemp("source")
    (source / "conf.py").write_text(
        f"""
import sys
sys.path.insert(0, {str(BOOK / "_ext")!r})
extensions = ["myst_parser", "tracks", "wayfinding", "languages"]
suppress_warnings = ["myst.xref_missing"]
html_static_path = [{str(BOOK / "_static")!r}]
""",
        encoding="utf-8",
    )
    (source / "index.md").write_text("# Book\n\n```{toctree}\nother\n```\n\n{doc}`other`\n", encoding="utf-8")
    body = re.sub(r"\{[\w:]+\}`[^`]*`|\$+[^$]*\$+", "x", JAPANESE_PAGE.read_text(encoding="utf-8"))
    (source / "other.md").write_text(body.replace("book/index", "index"), encoding="utf-8")
    out = source / "out"
    done = subprocess.run([sys.executable, "-m", "sphinx", "-q", "-W", source, out], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out


def test_a_page_says_which_is_its_counterpart(site):
    index, other = ((site / f"{name}.html").read_text(encoding="utf-8") for name in ("index", "other"))
    assert '<link rel="alternate" hreflang="ja" href="other.html" />' in index
    assert '<link rel="alternate" hreflang="en" href="index.html" />' in other
    assert 'hreflang="ja" lang="ja"' in index
    assert '<title lang="ja">' in other
    assert "<title>" in index
    assert re.search(r'class="reading-time">読むのにかかる時間の目安：約 \d+ 分</p>', other)

"""Pages that are not in English: their front matter says `lang: ja`, and of which page they are the counterpart.

Their content and their title carry the language, as does each link that is written in it, on whatever page. Links to
them say the language of their target. The time that they take to read is counted by characters.
"""

import re
from pathlib import Path
from urllib.parse import urljoin

import tracks
from docutils import nodes
from sphinx.errors import ExtensionError

JAPANESE = r"[\u3040-\u30ff\u3400-\u9fff]"
CHARACTERS = 500  # of Japanese that are read in a minute
LINK = re.compile(r"<a\b([^>]*)>(.*?)</a>", re.DOTALL)
CAPTION = re.compile(rf'<span class="caption-text">(?=[^<]*{JAPANESE})')


def foreign(env):
    """Return {page: its metadata} of the pages that are not in English."""
    found = {page: metadata for page, metadata in env.metadata.items() if metadata.get("lang")}
    for page, metadata in found.items():
        if not re.fullmatch(r"[A-Za-z]{2,3}(-[A-Za-z0-9]+)*", str(metadata["lang"])):
            raise ExtensionError(f"{page}: lang is {metadata['lang']!r}; it must be such as ja or pt-BR")
    return found


# --- the time that it takes ---


def minutes(markdown):
    """Return how many minutes a Japanese text takes, formulas at the pace of all pages."""
    prose = tracks.of_prose(markdown)
    text = re.sub(r"\A---\n.*?\n---\n", "", markdown, flags=re.DOTALL)
    formulas = tracks.Length(formulas=prose.formulas, equations=prose.equations).seconds() / 60
    return max(1, round(len(re.findall(JAPANESE, text)) / CHARACTERS + formulas))


def say_the_time(app, doctree):
    """Say the reading time in the language of the page, where tracks.py has put its own sentence."""
    if app.env.docname in foreign(app.env):
        text = Path(app.env.doc2path(app.env.docname)).read_text(encoding="utf-8")
        for line in doctree.findall(lambda node: "reading-time" in getattr(node, "attributes", {}).get("classes", [])):
            line.children = []
            line += nodes.Text(f"読むのにかかる時間の目安：約 {minutes(text)} 分")


# --- what the page says of its language ---


def name_counterparts(app, pagename, templatename, context, doctree):
    """Tell machines which page is the counterpart of which."""
    pairs = {page: metadata.get("counterpart") for page, metadata in foreign(app.env).items()}
    others = [(pagename, pairs[pagename], "en")] if pairs.get(pagename) else []
    others += [(other, page, app.env.metadata[page]["lang"]) for page, other in pairs.items() if other == pagename]
    for _, page, language in others:
        address = app.builder.get_relative_uri(pagename, page)
        if app.config.html_baseurl:
            address = urljoin(app.config.html_baseurl, app.builder.get_target_uri(page))
        link = f'\n<link rel="alternate" hreflang="{language}" href="{address}" />'
        context["metatags"] = context.get("metatags", "") + link


def with_languages(html, targets):
    """Return a page whose links say their language, and that of their target: {the end of an address: language}."""

    def link(match):
        attributes, text = match.groups()
        address = re.search(r'\bhref="([^"#?]*)', attributes)
        language = next((targets[end] for end in targets if address and address[1].rpartition("/")[2] == end), None)
        if language and "hreflang=" not in attributes:
            attributes += f' hreflang="{language}"'
        if re.search(JAPANESE, re.sub("<[^>]*>", "", text)) and not re.search(r"\blang=", attributes):
            attributes += ' lang="ja"'
        return f"<a{attributes}>{text}</a>"

    return CAPTION.sub('<span class="caption-text" lang="ja">', LINK.sub(link, html))


def with_language(html, language):
    """Return a page whose title and whose article carry a language."""
    html = re.sub("<title>", f'<title lang="{language}">', html, count=1)
    return re.sub(r"<article\b(?=[^>]*\bbd-article\b)", f'<article lang="{language}"', html, count=1)


def mark(app, exception):
    if exception or app.builder.name != "html" or not (pages := foreign(app.env)):
        return
    targets = {Path(app.builder.get_target_uri(page)).name: metadata["lang"] for page, metadata in pages.items()}
    languages = {
        Path(app.outdir, app.builder.get_target_uri(page)): metadata["lang"] for page, metadata in pages.items()
    }
    for path in sorted(Path(app.outdir).rglob("*.html")):
        if "_static" in path.parts:
            continue
        before = path.read_text(encoding="utf-8")
        after = with_languages(before, targets)
        if path in languages:
            after = with_language(after, languages[path])
        if after != before:
            path.write_text(after, encoding="utf-8")


def setup(app):
    app.connect("doctree-read", say_the_time, priority=900)  # after tracks.py
    app.connect("html-page-context", name_counterparts)
    app.connect("build-finished", mark, priority=800)  # before 404.html moves
    app.add_css_file("languages.css")
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

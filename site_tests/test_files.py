"""The files of the site, read without a browser: links, titles, alternative texts, nothing from elsewhere."""

import re
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise
from urllib.parse import unquote, urljoin, urlsplit

import pytest

from site_tests.conftest import HTML, LANDING, base_path, built_pages

HOST = "https://book.invalid"  # stands for wherever the site is put
CHAPTER = re.compile(r"book/\d\d_\w+\.html")
LOADED = {
    ("script", "src"),
    ("img", "src"),
    ("img", "srcset"),
    ("iframe", "src"),
    ("source", "src"),
    ("video", "src"),
    ("audio", "src"),
    ("object", "data"),
    ("embed", "src"),
    ("image", "href"),
    ("use", "href"),
    ("track", "src"),
}


class Page(HTMLParser):
    """What a page holds: `tags` [(name, attributes)], `ids`, and its title."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.title, self.within = [], set(), "", []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = {name: value or "" for name, value in attributes}
        self.tags.append((tag, attributes))
        self.ids |= {attributes[name] for name in ("id", "name") if name in attributes}
        if tag in ("title", "svg"):
            self.within.append(tag)

    def handle_endtag(self, tag):
        if self.within[-1:] == [tag]:
            self.within.pop()

    def handle_data(self, data):
        if self.within == ["title"]:
            self.title += data

    def all(self, tag, attribute):
        return [attributes[attribute] for name, attributes in self.tags if name == tag and attribute in attributes]


@cache
def read(path: str) -> Page:
    return Page((HTML / path).read_text(encoding="utf-8"))


def loaded_by(path: str) -> list[str]:
    """Return the addresses of all that a page loads by itself."""
    addresses = []
    for tag, attributes in read(path).tags:
        addresses += [value for name, value in attributes.items() if (tag, name) in LOADED]
        if tag == "link" and set(attributes.get("rel", "").split()) & {"stylesheet", "preload", "icon", "prefetch"}:
            addresses.append(attributes["href"])
        addresses += re.findall(r"url\(\s*[\"']?([^\"')]+)", attributes.get("style", ""))
    return [address for address in addresses if not address.startswith("data:")]


def dead(path: str, address: str) -> str | None:
    """Say what is wrong with an address on a page, if it points into the site."""
    target = urlsplit(urljoin(HOST + base_path() + path, address))
    if f"{target.scheme}://{target.netloc}" != HOST:
        return None
    if not target.path.startswith(base_path()):
        return f"{address}: not in the site"
    name = unquote(target.path.removeprefix(base_path()))
    if not name or name.endswith("/"):
        name += "index.html"
    if not (HTML / name).is_file():
        return f"{address}: no such file"
    fragment = unquote(target.fragment)
    if fragment and name.endswith(".html") and fragment not in read(name).ids:
        return f"{address}: no such anchor"
    return None


def test_every_link_leads_somewhere(path):
    page = read(path)
    addresses = page.all("a", "href") + page.all("link", "href") + page.all("form", "action") + loaded_by(path)
    assert list(filter(None, (dead(path, address) for address in addresses))) == []


def test_links_to_other_sites_are_encrypted(path):
    schemes = {urlsplit(address).scheme for address in read(path).all("a", "href")}
    assert schemes <= {"", "https", "mailto"}


def test_all_that_it_loads_comes_with_the_site(path):
    assert [address for address in loaded_by(path) if urlsplit(address).netloc] == []


@pytest.mark.parametrize("style", sorted(HTML.rglob("*.css")), ids=lambda style: style.name)
def test_no_style_sheet_loads_from_elsewhere(style):
    addresses = re.findall(r"(?:url\(\s*|@import\s+(?!url))[\"']?([^\"')\s]+)", style.read_text(encoding="utf-8"))
    assert [address for address in addresses if re.match(r"(?!data:)[a-z]+:|//", address)] == []


def test_it_says_what_it_is(path):
    page = read(path)
    descriptions = [
        attributes["content"]
        for tag, attributes in page.tags
        if tag == "meta" and attributes.get("name") == "description"
    ]
    assert page.all("html", "lang") == ["en"]
    assert page.title.strip()
    assert len(descriptions) == 1
    assert 40 <= len(descriptions[0]) <= 160


def test_no_two_pages_have_the_same_title_or_description(pages):
    titles = [read(path).title for path in pages]
    assert len(set(titles)) == len(titles)


def test_each_id_stands_once(path):
    ids = [attributes["id"] for _, attributes in read(path).tags if "id" in attributes]
    assert {name for name in ids if ids.count(name) > 1} == set()


def test_pictures_have_alternative_texts_with_numbers_in_chapters(path):
    images = [attributes for tag, attributes in read(path).tags if tag == "img"]
    assert [image for image in images if "alt" not in image] == []
    if CHAPTER.fullmatch(path):
        figures = [image["alt"] for image in images if "_images/" in image["src"]]
        assert [alt for alt in figures if not re.search(r"\d", alt)] == []


def test_the_figures_of_the_chapters_are_found():
    chapters = [path for path in built_pages() if CHAPTER.fullmatch(path)]
    assert sum("_images/" in source for path in chapters for source in read(path).all("img", "src")) > len(chapters)


def test_there_is_no_widget(path):
    text = (HTML / path).read_text(encoding="utf-8")
    traces = re.findall(r"application/vnd\.jupyter\.widget|class=.[^>]*jupyter-widget|html-manager|require\.min", text)
    assert traces == []


def test_the_root_leads_to_the_landing_page():
    refresh = next(attributes for tag, attributes in read("index.html").tags if attributes.get("http-equiv"))
    assert refresh["http-equiv"].lower() == "refresh"
    assert refresh["content"].partition("=")[2] == LANDING


def test_each_chapter_leads_to_the_next():
    chapters = [path for path in built_pages() if CHAPTER.fullmatch(path)]
    assert chapters
    for before, after in pairwise(chapters):
        assert after.removeprefix("book/") in read(before).all("a", "href")
        links = [a for tag, a in read(after).tags if tag == "a" and a.get("class", "").startswith("left-prev")]
        assert [link["href"] for link in links] == [before.removeprefix("book/")]

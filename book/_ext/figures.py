"""Figures on the page: a place of the right shape is kept for each, and it is loaded when the reader comes near.

A notebook stores two pixels for each that it shows (cossim_helpers/_notebook.py), and says how large it shows them.
MyST-NB makes a fixed size of it, which would be cut off or squeezed on a phone.
"""

import re
from pathlib import Path

from PIL import Image

TAG = re.compile(r"<img\b[^>]*>")
SOURCE = re.compile(r'\bsrc="(?:[^":]*/)?_images/([^"/]+)"')
FIXED = re.compile(r' style="width: (\d+)px; height: (\d+)px;"')
GIVEN = re.compile(r"\b(?:width|height|loading)=")


def shown_size(tag, path):
    """Return width and height of a picture in pixels of the page: as its notebook says, else its own."""
    if fixed := FIXED.search(tag):
        return fixed.groups()
    with Image.open(path) as picture:
        return picture.size


def placed(body, files):
    """Return the text of a page with the size of each picture of `files` (name → path), and all but the first lazy.

    What is lazy comes late where it is seen at once. The first picture may be seen at once.
    """
    first = True

    def place(match):
        nonlocal first
        tag, source = match[0], SOURCE.search(match[0])
        path = files.get(source[1]) if source else None
        if path is None or path.suffix == ".svg" or GIVEN.search(tag):
            return tag
        width, height = shown_size(tag, path)
        lazy, first = ("" if first else ' loading="lazy"'), False
        return f'<img width="{width}" height="{height}"{lazy}{FIXED.sub("", tag).removeprefix("<img")}'

    return TAG.sub(place, body)


def place_pictures(app, pagename, templatename, context, doctree):
    if "body" in context:
        files = {name: Path(app.srcdir, source) for source, name in app.builder.images.items()}
        context["body"] = placed(context["body"], files)


def setup(app):
    app.connect("html-page-context", place_pictures)
    app.add_css_file("figures.css")
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

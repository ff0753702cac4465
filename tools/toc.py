"""Which files are the book: those that _toc.yml lists, and the page for lost readers.

JupyterLab leaves copies beside them, such as 01-Copy1.ipynb and .ipynb_checkpoints/. They are a reader's own: no test
reads them, no tool writes them, no page shows them.
"""

from pathlib import Path

from sphinx_external_toc.parsing import parse_toc_yaml

ROOT = Path(__file__).parents[1]
UNLISTED = ["book/404"]  # wayfinding.py lets it in


def pages(root=ROOT):
    """Return the paths of all pages, sorted. A folder without a table of contents, as tests write it, has them all."""
    if not (root / "_toc.yml").exists():
        return sorted(path for ending in ("md", "ipynb") for path in root.glob(f"book/*.{ending}"))
    names = [*parse_toc_yaml(root / "_toc.yml"), *UNLISTED]
    return sorted(path for name in names for ending in ("md", "ipynb") if (path := root / f"{name}.{ending}").is_file())


def texts(root=ROOT):
    """Return the pages that are written in Markdown."""
    return [path for path in pages(root) if path.suffix == ".md"]


def notebooks(root=ROOT):
    """Return the notebooks, in the order in which one reads them."""
    return [path for path in pages(root) if path.suffix == ".ipynb"]

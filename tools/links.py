"""Whether the links that lead out of the book still lead anywhere: `make links`, by Sphinx's own link checker.

It takes the pages of the book, the bibliography with its DOIs among them, and the texts at the root. An address that
answers 404, no longer exists or does not answer in time is an error. Where a publisher keeps programs out (401, 403,
429, 999), a line says so and no more: only a reader can look.
"""

import json
import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
OUT = ROOT / "_build" / "links"
TEXTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "CITATION.cff")
REFUSES = re.compile(r"\b(?:401|403|429|999) Client Error|unauthorized|rate.?limit", re.IGNORECASE)
SETTINGS = {
    "linkcheck_timeout": 30,
    "linkcheck_retries": 3,
    "linkcheck_report_timeouts_as_broken": False,
    "linkcheck_anchors_ignore_for_url": [r"https://github\.com/.*"],  # their anchors are made by scripts
    "linkcheck_exclude_documents": [],
}


def check(source, settings, out):
    """Run the link checker on a folder of pages, and return its lines: dicts with filename, uri, status, info."""
    from sphinx.application import Sphinx
    from sphinx.util.docutils import docutils_namespace, patch_docutils

    with patch_docutils(), docutils_namespace():
        app = Sphinx(
            source, None, out, f"{out}-doctrees", "linkcheck", settings | SETTINGS,
            status=None, warning=None, freshenv=True,
        )  # fmt: skip
        app.build()
    lines = (Path(out) / "output.json").read_text(encoding="utf-8").splitlines()
    return [line for line in map(json.loads, lines) if re.match("https?:", line["uri"])]


def of_the_book(root=ROOT, out=OUT):
    from jupyter_book.config import get_final_config

    config, _ = get_final_config(
        user_yaml=root / "_config.yml", sourcedir=root, cli_config={"latex_individualpages": False}
    )
    return check(root, config, out / "book")


def of_the_texts(root=ROOT, out=OUT):
    """Return the lines on the texts that are no page. What is not Markdown becomes a list of its addresses."""
    pages = out / "texts"
    shutil.rmtree(pages, ignore_errors=True)
    pages.mkdir(parents=True)
    names = [name for name in TEXTS if (root / name).exists()]
    for name in names:
        text = (root / name).read_text(encoding="utf-8")
        if not name.endswith(".md"):
            text = f"# {name}\n\n" + "\n".join(f"- <{address}>" for address in re.findall(r"https?://[^\s\"'>]+", text))
        (pages / f"{Path(name).stem}.md").write_text(text, encoding="utf-8")
    settings = {"extensions": ["myst_parser"], "source_suffix": {".md": "markdown"}, "root_doc": Path(names[0]).stem}
    return check(pages, settings, out / "checked-texts")


def sorted_out(lines):
    """Return (lines of text on what is broken, on what only a reader can see); each address once."""
    broken, unseen = {}, {}
    for line in lines:
        if line["status"] in ("broken", "timeout"):
            found = unseen if REFUSES.search(line["info"]) else broken
            found.setdefault(line["uri"], f"{line['filename']}:{line['lineno']}: {line['uri']}: {line['info']}")
    return list(broken.values()), list(unseen.values())


def report(lines):
    """Print what was found, and return the exit code."""
    broken, unseen = sorted_out(lines)
    for text in unseen:
        print(f"look at it by hand: {text}")
    for text in broken:
        print(f"broken: {text}")
    addresses = {line["uri"] for line in lines}
    print(f"{len(addresses)} addresses, {len(broken)} broken, {len(unseen)} that let no program in")
    return 1 if broken or not addresses else 0  # without any the checker has not looked


def main():
    sys.path.insert(0, str(ROOT / "book" / "_ext"))
    return report([*of_the_book(), *of_the_texts()])


if __name__ == "__main__":
    sys.exit(main())

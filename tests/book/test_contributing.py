"""CONTRIBUTING.md names what exists: its links, its files, its targets."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
MADE = ("_build/", "_static/", "run/", "studies/results/", ".venv")  # by a command, or a part of the site


def anchor(heading):
    """Return what GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def test_each_link_within_leads_to_a_heading():
    outside_of_code = re.sub(r"^```.*?^```", "", TEXT, flags=re.MULTILINE | re.DOTALL)
    headings = {anchor(heading) for heading in re.findall(r"^#+ (.*)$", outside_of_code, re.MULTILINE)}
    links = re.findall(r"\]\(#([^)]+)\)", TEXT)
    assert len(links) > 15 and set(links) <= headings


def test_the_table_at_the_top_leads_to_every_section():
    sections = {anchor(name) for name in re.findall(r"^##+ (.*)$", TEXT, re.MULTILINE)}
    assert sections == set(re.findall(r"\]\(#([^)]+)\)", TEXT.split("\n## ")[0]))


@pytest.mark.parametrize("target", sorted(set(re.findall(r"`make ([a-z][a-z -]*)", TEXT))))
def test_each_target_exists(target):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):.*##", makefile, re.MULTILINE))
    assert set(target.split()) <= targets


def test_each_file_exists():
    named = set(re.findall(r"`([\w./-]+/[\w.-]+\.(?:py|md|yml|ipynb|txt|js|css|html|tex|svg|bib))`", TEXT))
    gone = {name for name in named if not re.search(r"NN|15_|_15|MODULE", name) and not name.startswith(MADE)}
    assert len(gone) > 30
    assert not {name for name in gone if not any(ROOT.glob(name)) and not any(ROOT.rglob(name))}

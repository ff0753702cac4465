"""What a release takes: `make release`, and the steps of .github/workflows/release.yml.

check TAG     pyproject.toml, CITATION.cff, .zenodo.json and CHANGELOG.md agree on the version that the tag names.
              Without a tag: they agree with each other, as they must at any time.
notes TAG     prints the section of the changelog, for the page of the release
collect TAG   the site as a zip, the PDF, the sdist, their SHA-256 sums and the notes, in _build/release
"""

import argparse
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tomllib
from datetime import date
from pathlib import Path

ROOT = Path(__file__).parents[1]
OUT = ROOT / "_build" / "release"
BOOK = "cosine-similarity-book"
SUMS, NOTES = "SHA256SUMS", "notes.md"
MAIN = "origin/main"
VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)", re.ASCII)
SECTION = re.compile(r"^## \[?(?P<name>[^\]\s]+)\]?(?: - (?P<date>\S+))?[ \t]*$", re.MULTILINE)
RELATION = "isDocumentedBy"  # what Zenodo calls the relation of this software to the paper


class Refused(Exception):
    """This is no release; the message says why, a line for each reason."""


# --- what the files say ---


def sections(changelog):
    """Return {name: (date or None, text)} of a changelog, the newest first."""
    heads = list(SECTION.finditer(changelog))
    ends = [head.start() for head in heads[1:]] + [len(changelog)]
    return {
        head["name"]: (head["date"], changelog[head.end() : end].strip()) for head, end in zip(heads, ends, strict=True)
    }


def notes(version, root=ROOT):
    """Return the section of a version, without its heading."""
    found = sections(read(root, "CHANGELOG.md"))
    if version not in found:
        raise Refused(f"CHANGELOG.md has no section for {version}, only {', '.join(found) or 'none'}")
    text = re.sub(r"^\[[^\]]+\]: \S+$", "", found[version][1], flags=re.MULTILINE).strip()
    if not re.sub(r"^#.*$", "", text, flags=re.MULTILINE).strip():
        raise Refused(f"CHANGELOG.md says nothing of {version}")
    return text


def read(root, name):
    return Path(root, name).read_text(encoding="utf-8")


def citation(root):
    """Return what CITATION.cff says, with its dates as text."""
    import yaml

    said = yaml.safe_load(read(root, "CITATION.cff"))
    return {key: value.isoformat() if isinstance(value, date) else value for key, value in said.items()}


# --- what must agree ---


def disagreements(root=ROOT):
    """Return a line for each place where the files say different things of the same."""
    cff, zenodo = citation(root), json.loads(read(root, ".zenodo.json"))
    project = tomllib.loads(read(root, "pyproject.toml"))["project"]
    papers = [name for one in cff["references"] for name in identifiers(one)]
    related = [one["identifier"] for one in zenodo["related_identifiers"] if one["relation"] == RELATION]
    compared = [
        ("version", "pyproject.toml", project["version"], "CITATION.cff", cff["version"]),
        ("license", "pyproject.toml", project["license"], "CITATION.cff", cff["license"][0]),
        ("version", "CITATION.cff", cff["version"], ".zenodo.json", zenodo["version"]),
        ("title", "CITATION.cff", cff["title"], ".zenodo.json", zenodo["title"]),
        ("type", "CITATION.cff", cff["type"], ".zenodo.json", zenodo["upload_type"]),
        ("license", "CITATION.cff", cff["license"][0], ".zenodo.json", zenodo["license"]),
        ("keywords", "CITATION.cff", cff["keywords"], ".zenodo.json", zenodo["keywords"]),
        ("authors", "CITATION.cff", [*map(named, cff["authors"])], ".zenodo.json", creators(zenodo)),
        ("papers", "CITATION.cff", papers, ".zenodo.json", related),
    ]
    found = [f"{what}: {one} says {a!r}, {other} says {b!r}" for what, one, a, other, b in compared if a != b]
    return found + [f"license: .zenodo.json does not name {one}" for one in cff["license"] if one not in str(zenodo)]


def identifiers(reference):
    """Return all names of a publication: its DOI first, then others."""
    return [*filter(None, [reference.get("doi")]), *(one["value"] for one in reference.get("identifiers", []))]


def named(author):
    """Return an author as Zenodo writes one: "Family, Given", or the name of a group."""
    return author["name"] if "name" in author else f"{author['family-names']}, {author['given-names']}"


def creators(zenodo):
    return [creator["name"] for creator in zenodo["creators"]]


def check(tag="", root=ROOT):
    """Refuse a tag that is not the version of the files, or files that disagree."""
    found = disagreements(root)
    if tag:
        version = tag.removeprefix("v")
        if not tag.startswith("v") or not VERSION.fullmatch(version):
            found.append(f"the tag is {tag!r}; it must be v and a version, such as v0.2.0")
        else:
            found += not_ready(version, root) + off_main(root)
    if found:
        raise Refused("\n".join(found))


def not_ready(version, root):
    """Return a line for each thing that the release of a version lacks."""
    cff, said = citation(root), sections(read(root, "CHANGELOG.md"))
    project = tomllib.loads(read(root, "pyproject.toml"))["project"]["version"]
    found = [] if project == version else [f"the tag names {version}, pyproject.toml {project}"]
    try:
        notes(version, root)
    except Refused as why:
        return [*found, str(why)]
    day = said[version][0]
    if not is_date(day):
        found.append(f"CHANGELOG.md gives {version} the date {day!r}; it must be such as 2026-11-26")
    if cff.get("date-released") != day:
        found.append(f"date-released is {cff.get('date-released')!r} in CITATION.cff, {day!r} in CHANGELOG.md")
    if said.get("Unreleased", (None, ""))[1]:
        found.append("CHANGELOG.md still has entries under Unreleased")
    return found


def off_main(root):
    """Return a line if this commit is not on main. A folder that knows no origin/main has nothing to say."""
    git = ["git", "-C", str(root)]
    if subprocess.run([*git, "rev-parse", "--quiet", "--verify", MAIN], capture_output=True).returncode:
        return []
    stays = subprocess.run([*git, "merge-base", "--is-ancestor", "HEAD", MAIN], capture_output=True).returncode == 0
    return [] if stays else [f"this commit is not on {MAIN}"]


def is_date(text):
    try:
        return bool(text) and date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


# --- the files of a release ---


def collect(tag, root=ROOT, out=OUT, build=None):
    """Put what a release holds into a folder of its own, and return the names of its files."""
    check(tag, root)
    version = tag.removeprefix("v")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    site = Path(root, "_build", "html", "_static")
    for kind in ("zip", "pdf"):
        made = site / f"{BOOK}.{kind}"
        if not made.is_file():
            raise Refused(f"{made.relative_to(root)} is missing; type: make pdf zip")
        shutil.copyfile(made, out / f"{BOOK}-{version}.{kind}")
    (build or sdist)(root, out)
    names = sorted(path.name for path in out.iterdir() if path.suffix in (".zip", ".pdf", ".gz"))
    lines = [f"{hashlib.sha256((out / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (out / SUMS).write_text("".join(lines), encoding="utf-8")
    (out / NOTES).write_text(notes(version, root) + "\n", encoding="utf-8")
    return [*names, SUMS, NOTES]


def sdist(root, out):
    """Build the package's source distribution with the setuptools of this environment: nothing is downloaded."""
    command = [sys.executable, "-m", "uv", "build", "--sdist", "--quiet", "--no-build-isolation"]
    subprocess.run([*command, "--python", sys.executable, "--out-dir", str(out), str(root)], check=True)
    (out / ".gitignore").unlink(missing_ok=True)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("step", choices=["check", "notes", "collect"])
    parser.add_argument("tag", nargs="?", default="")
    asked = parser.parse_args(arguments)
    if asked.step != "check" and not asked.tag:
        parser.error(f"{asked.step} takes a tag, such as v0.2.0")
    try:
        if asked.step == "check":
            check(asked.tag)
            print(f"{asked.tag or 'The files'}: pyproject.toml, CITATION.cff, .zenodo.json and CHANGELOG.md agree")
        elif asked.step == "notes":
            print(notes(asked.tag.removeprefix("v")))
        else:
            print(*collect(asked.tag), sep="\n")
    except Refused as why:
        print(why, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

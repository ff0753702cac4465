"""The book as a PDF: `make pdf`.

Sphinx writes one LaTeX file (book/_ext/in_print.py), XeLaTeX sets it until its references stand still, and the result
is _build/pdf/cosine-similarity-book.pdf, which the next build of the site offers. What LaTeX only warns of ends in an
error: a reference to nothing, a sign that no font has, a line that runs out of its measure.

Two runs on the same files write the same bytes: times are those of the commit, no path and nothing random gets in.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[1]
OUT = ROOT / "_build" / "pdf"
NAME = "cosine-similarity-book.pdf"
# Debian's and Ubuntu's names, and a file of each that shows that it is there: a program, a style or a font
PACKAGES = {
    "texlive-xetex": ("xelatex", "makeindex", "xdvipdfmx", "framed.sty", "unicode-math.sty", "tikz.sty"),
    "fonts-stix": ("STIX-Regular.otf", "STIXMath-Regular.otf"),
    "fonts-ipaexfont-mincho": ("ipaexm.ttf",),
}
TOO_WIDE = 10  # points by which a line may run out of its measure
XELATEX = ("xelatex", "-no-pdf", "-no-shell-escape", "-interaction=nonstopmode", "-halt-on-error")
RUNS = 5


class Failed(Exception):
    """The book cannot be set; the message says why, and what to do."""


# --- what must be there ---


def is_there(file):
    """Whether a program can be called, or a file can be found by TeX."""
    if "." not in file:
        return shutil.which(file) is not None
    if shutil.which("kpsewhich") is None:
        return False
    found = subprocess.run(["kpsewhich", file], capture_output=True, text=True)
    return bool(found.stdout.strip()) or any(Path("/usr/share/fonts").rglob(file))


def missing(find=is_there):
    """Return the packages of which a file is not there."""
    return [package for package, files in PACKAGES.items() if not all(map(find, files))]


def line_to_type(packages, root=None):
    """Return the command that installs packages."""
    root = os.geteuid() == 0 if root is None else root
    return f"{'' if root else 'sudo '}apt-get install --no-install-recommends {' '.join(packages)}"


# --- when the book was written ---


def written(root=ROOT, environ=os.environ):
    """Return the time of this edition in seconds: SOURCE_DATE_EPOCH, else that of the last commit, else None."""
    if epoch := environ.get("SOURCE_DATE_EPOCH"):
        return int(epoch)
    try:
        command = ["git", "-C", str(root), "log", "-1", "--format=%ct"]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    except (OSError, ValueError, subprocess.CalledProcessError):
        return None  # an archive without its history


def edition(when, root=ROOT):
    """Return what the title page says: version 0.1.0 of 26 November 2026."""
    version = re.search(r"^version: (.*)$", (root / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)[1]
    day = datetime.fromtimestamp(when, UTC) if when else None
    return f"version {version}" + (f", {day.day} {day:%B %Y}" if day else "")


# --- the steps ---


def write_latex(when, folder):
    """Have Sphinx write book.tex into folder; every warning is an error."""
    from jupyter_book.config import get_final_config
    from sphinx.application import Sphinx
    from sphinx.util.docutils import docutils_namespace, patch_docutils

    config, _ = get_final_config(
        user_yaml=ROOT / "_config.yml", sourcedir=ROOT, cli_config={"latex_individualpages": False}
    )
    config["extensions"] = [*(one for one in config["extensions"] if one != "sphinx_jupyterbook_latex"), "in_print"]
    config["print_edition"] = edition(when)
    config["nitpicky"] = True
    with patch_docutils(), docutils_namespace():
        app = Sphinx(
            ROOT, None, folder / "tex", folder / "doctrees", "print", config,
            status=None, warning=sys.stderr, freshenv=True, warningiserror=True, keep_going=True,
        )  # fmt: skip
        app.build()
        if app.statuscode:
            raise Failed("Sphinx warns; see above.")


def environment(when):
    """Return what TeX needs to know: where the fonts are, and which time it is."""
    from typeset import FOLDERS  # the system's fonts, and those that Matplotlib brings

    return os.environ | {
        "OSFONTDIR": os.pathsep.join(f"{folder}//" for folder in FOLDERS),
        "SOURCE_DATE_EPOCH": str(when or 0),
        "FORCE_SOURCE_DATE": "1",
        "max_print_line": "1000",  # else the log breaks its lines
        "TZ": "UTC",
    }


def set_in_type(when, folder):
    """Run XeLaTeX until the page numbers stand still, and return its last log."""
    seen = None
    for _ in range(RUNS):
        run([*XELATEX, "book.tex"], when, folder)
        run(["makeindex", "-q", "-s", "python.ist", "book.idx"], when, folder)
        now = [(folder / f"book.{kind}").read_bytes() for kind in ("aux", "toc", "out", "ind")]
        if now == seen:
            run(["xdvipdfmx", "-q", "-o", "book.pdf", "book.xdv"], when, folder)
            return (folder / "book.log").read_text(encoding="utf-8", errors="replace")
        seen = now
    raise Failed(f"The references still move after {RUNS} runs of XeLaTeX.")


def run(command, when, folder):
    done = subprocess.run(command, cwd=folder, capture_output=True, env=environment(when))
    if done.returncode:
        said = done.stdout.decode("utf-8", "replace")[-3000:] + done.stderr.decode("utf-8", "replace")[-1000:]
        raise Failed(f"{said}\n{command[0]} fails, see above; the file is {folder / 'book.tex'}.")


def complaints(log):
    """Return what the log of a run tells that a reader would notice, each once."""
    found = re.findall(r"^Missing character: .*", log, re.MULTILINE)
    found += re.findall(r"^LaTeX Warning: .*(?:undefined|multiply.defined).*", log, re.MULTILINE)
    wide = re.compile(r"^Overfull \\hbox \((\d+\.\d+)pt too wide\).*", re.MULTILINE)
    found += [match[0] for match in wide.finditer(log) if float(match[1]) > TOO_WIDE]
    return list(dict.fromkeys(found))


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--missing", action="store_true", help="only list the system's packages that are missing")
    if parser.parse_args(arguments).missing:
        print(*missing())
        return 0
    sys.path.insert(0, str(ROOT / "book" / "_ext"))
    try:
        if absent := missing():
            raise Failed(f"The PDF needs LaTeX and two fonts from the system. Type: {line_to_type(absent)}")
        when = written()
        shutil.rmtree(OUT, ignore_errors=True)
        OUT.mkdir(parents=True)
        write_latex(when, OUT)
        found = complaints(set_in_type(when, OUT / "tex"))
        if found:
            raise Failed("\n".join([*found, f"LaTeX complains {len(found)} times, see above."]))
    except Failed as why:
        print(why, file=sys.stderr)
        return 1
    shutil.move(OUT / "tex" / "book.pdf", OUT / NAME)
    print(f"Open {(OUT / NAME).relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Build the site with plain Sphinx, as it must be built when Jupyter Book 1.x has come to its end: `make plain`.

`jupyter-book config sphinx` writes what `_config.yml` says as Sphinx's conf.py. Built from it with the locked versions,
every file must be byte by byte what `make book` has built. Built with the newest Sphinx, parser and theme, in an
environment of their own, it must build without a warning.
"""

import filecmp
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "_build"
NEWEST = ["sphinx", "myst-parser", "pydata-sphinx-theme"]  # beyond what Jupyter Book and the theme on top allow
MORE = ["brotli"]  # reads the fonts of newer themes
OWN = {".buildinfo"}  # a digest of the settings


def run(*command, **options):
    subprocess.run(list(map(str, command)), check=True, cwd=ROOT, **options)


def build(python, target):
    """Build the site with the Sphinx of this Python. conf.py stands at the root for as long as it takes."""
    conf = ROOT / "conf.py"
    extensions = ROOT / "book" / "_ext"  # a path that conf.py leaves to whoever calls Sphinx
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, extensions)))}
    try:
        run(Path(python).with_name("jupyter-book"), "config", "sphinx", ".", env=environment)
        command = [python, "-m", "sphinx", "-E", "-a", "-q", "-W", "--keep-going", "-n", "-d", f"{target}-doctrees"]
        run(*command, ".", target, env=environment)
    finally:
        conf.unlink(missing_ok=True)


def install_newest(folder):
    """Return the Python of a new environment with the newest versions of what pyproject.toml names."""
    run(sys.executable, "-m", "venv", "--clear", folder)
    python = folder / "bin" / "python"
    command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", python, "--override", "/dev/stdin"]
    run(*command, "--requirement", "pyproject.toml", *MORE, input="\n".join(NEWEST), text=True)
    run(python, "-m", "pip", "list", "--disable-pip-version-check")
    return python


def differences(one, two):
    """Return the names of the files that two folders do not share byte by byte."""
    names = [
        {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} for folder in (one, two)
    ]
    shared = names[0] & names[1]
    changed = {name for name in shared if not filecmp.cmp(one / name, two / name, shallow=False)}
    return sorted(((names[0] ^ names[1]) | changed) - OWN)


def main():
    build(sys.executable, BUILD / "plain")
    if differing := differences(BUILD / "html", BUILD / "plain"):
        sys.exit("plain Sphinx builds another site than jupyter-book:\n" + "\n".join(differing))
    print("plain Sphinx builds the same site")
    build(install_newest(BUILD / "newest"), BUILD / "newest-html")
    print("the newest Sphinx builds it without a warning")


if __name__ == "__main__":
    main()

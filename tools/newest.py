"""The tests and the notebooks with the newest versions that pyproject.toml allows: `make newest`.

A weekly run says what will break before anybody resolves the lock anew. Stored outputs and figures are those of the
locked versions, so a difference here may be another version's right.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "_build" / "newest-dependencies"
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def run(*command, **options):
    return subprocess.run(list(map(str, command)), cwd=ROOT, **options).returncode


def install(folder=FOLDER):
    """Return the Python of a new environment with the newest versions of all that a developer has."""
    python = folder / "bin" / "python"
    uv = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", python]
    wanted = ["--group=dev", "--editable", ".[data,dask]"]
    for command in ([sys.executable, "-m", "venv", "--clear", folder], [*uv, *wanted], [*uv, "pip"]):
        if run(*command):
            sys.exit(f"{' '.join(map(str, command))} fails")
    run(python, "-m", "pip", "list", "--disable-pip-version-check")  # which versions these are
    return python


def main():
    tests = ["--nbval", "--numprocesses=2", "--dist=loadscope", "--no-loadscope-reorder", "book", "tests"]
    return run(install(), "-m", "pytest", *tests, env=os.environ | ONE_THREAD)


if __name__ == "__main__":
    sys.exit(main())

"""Resolve the requirements files anew from pyproject.toml: `make lock`.

One version of each package serves Python 3.11 to 3.13, because the notebooks store what these versions print.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
READER_HEADER = """\
# What a reader needs, in exact versions for Python 3.11 to 3.13. Resolved from pyproject.toml by `make lock`.
"""
DEVELOPER_HEADER = """\
# What a developer adds, in exact versions. Resolved from pyproject.toml by `make lock`.
-r requirements.txt
"""
DATA_HEADER = """\
# What chapter 12 adds, real data, in exact versions. Resolved from pyproject.toml by `make lock`.
-r requirements.txt
"""
DASK_HEADER = """\
# What spectra of Dask arrays add, for chapter 14, in exact versions. Resolved from pyproject.toml by `make lock`.
-r requirements.txt
"""
BENCH_HEADER = """\
# What `make bench` compares with, in exact versions. Resolved from pyproject.toml by `make lock`.
-r requirements.txt
"""


def resolve(*options, constraints=()):
    """Return the lines `name==version ; marker` that satisfy pyproject.toml."""
    command = [
        *(sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal", "--python-version=3.11"),
        *("--fork-strategy=fewest", "--no-annotate", "--no-header", "--constraint=/dev/stdin", *options),
    ]
    done = subprocess.run(
        [*command, "pyproject.toml"],
        cwd=ROOT,
        input="\n".join(constraints),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def write(name, header, lines):
    (ROOT / name).write_text(header + "\n".join(lines) + "\n", encoding="utf-8")


def main():
    reader = resolve()
    named = {line.split("==")[0] for line in reader}
    everything = resolve("--group=dev", "--all-extras", constraints=reader)  # one version for whoever installs all
    for name, header, options in (
        ("requirements-dev.txt", DEVELOPER_HEADER, ["--group=dev"]),
        ("requirements-data.txt", DATA_HEADER, ["--extra=data"]),
        ("requirements-dask.txt", DASK_HEADER, ["--extra=dask"]),
        ("requirements-bench.txt", BENCH_HEADER, ["--extra=bench"]),
    ):
        more = resolve(*options, constraints=everything)
        write(name, header, [line for line in more if line.split("==")[0] not in named])
    write(".binder/requirements.txt", READER_HEADER, reader)  # requirements.txt adds the package


if __name__ == "__main__":
    main()

"""The same outputs everywhere: strict nbval, and the unit tests where they say more, in each environment of a table.

    python -m tools.matrix [--list] [--tests PATH ...] [ENVIRONMENT ...]

`make matrix` runs them all, one after the other, some hours; `make matrix ONLY="oldest kernel-Zen"` those, where
kernel-NAME is any kernel of OpenBLAS, in the table or not; `TESTS=book/03_first_objective.ipynb` these tests alone.
Each Python with its packages is a virtual environment in .venv/matrix; copies of the checkout and pytest's reports
are in _build/matrix. What cannot run here, since there is no such Python, say, counts as not run, and the table says
why.
"""

import argparse
import contextlib
import ctypes
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from xml.etree import ElementTree

from tools import binder, pythons

ROOT = Path(__file__).parents[1]
ENVIRONMENTS = ROOT / ".venv" / "matrix"
BUILD = ROOT / "_build" / "matrix"
LOCKS = (".binder/requirements.txt", "requirements-dev.txt", "requirements-data.txt", "requirements-dask.txt")
EXTRAS = ("--extra=data", "--extra=dask")
NOTEBOOKS = ("book",)
ALL = ("book", "tests")
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
LOCKED = ("3.11", "3.12", "3.13")  # what the lock is resolved for
OVERRIDES = (1, 2)  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH: by these root writes whatever the mode of a file says
CORE = """
import numpy, scipy.linalg, threadpoolctl
assert (numpy.ones((300, 300)) @ numpy.ones((300, 300)) == 300).all()
print(*sorted({one["architecture"] for one in threadpoolctl.threadpool_info() if one["internal_api"] == "openblas"}))
"""


class NotRun(Exception):
    """Why an environment cannot run here, in words."""


class NotInstalled(Exception):
    """Why its packages cannot be installed, in words of uv."""


@dataclass(frozen=True)
class Environment:
    """What differs from `make test`: everything else is the checkout, Python 3.11, the lock and one BLAS thread."""

    words: str
    python: str = "3.11"  # the lock is resolved for it
    packages: str = "lock"  # or newest, oldest: what pyproject.toml allows
    also: tuple[str, ...] = ()  # packages that come in addition
    variables: Mapping[str, str] = field(default_factory=dict)
    folder: str = ""  # the name of a copy of the checkout, without Git, to run in
    inside: bool = False  # whether its packages are installed inside of the copy
    writable: bool = True
    tests: tuple[str, ...] = NOTEBOOKS
    options: tuple[str, ...] = ()  # of pytest

    @property
    def core(self):
        """The kernel of OpenBLAS that is asked for, or None."""
        return self.variables.get("OPENBLAS_CORETYPE")


def kernel(core):
    """The row of a kernel: its blocks are cut by the level-2 cache, in KB, which is the same on each machine."""
    return Environment(f"OpenBLAS's kernel {core}", variables={"OPENBLAS_CORETYPE": core, "OPENBLAS_L2_SIZE": "512"})


TABLE = {
    "lock": Environment("as `make test`", tests=ALL),
    "py312": Environment("Python 3.12", python="3.12"),
    "py313": Environment("Python 3.13", python="3.13", tests=ALL),
    "py314": Environment("Python 3.14", python="3.14", tests=ALL),
    "newest": Environment("the newest allowed packages", python="3.13", packages="newest", tests=ALL),
    # OpenBLAS 0.3.34 ends the process there, whatever it does otherwise: see "Known faults" in CONTRIBUTING.md.
    "newest-1MB": Environment(
        "the newest allowed packages, kernel Haswell, a level-2 cache of 1 MB",
        python="3.13",
        packages="newest",
        variables={"OPENBLAS_CORETYPE": "Haswell", "OPENBLAS_L2_SIZE": "1024"},
    ),
    "oldest": Environment("the oldest allowed packages", packages="oldest", tests=ALL),
    "threads": Environment("two BLAS threads", variables=dict.fromkeys(ONE_THREAD, "2")),
    # OpenBLAS names more kernels, but as NumPy and SciPy carry it each other name stands for one of these.
    **{f"kernel-{core}": kernel(core) for core in ("Prescott", "Nehalem", "Sandybridge", "Haswell", "SkylakeX")},
    "locale": Environment(
        "LC_ALL=C, and no UTF-8 mode of Python",
        variables={"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        tests=ALL,
    ),
    "path": Environment("a path with a space and an umlaut", folder="a bück", inside=True, tests=ALL),
    "no-git": Environment("a folder that is no clone", folder="book", tests=ALL),
    "read-only": Environment("a folder without the right to write", folder="book", writable=False, tests=ALL),
    "random": Environment("tests in random order", also=("pytest-randomly",), options=("-p", "randomly"), tests=ALL),
    "processes": Environment("two processes", options=("--numprocesses=2", "--dist=load"), tests=ALL),
}


def environment_of(name):
    """Return the row of a name; kernel-NAME is a row for any NAME."""
    if name in TABLE:
        return TABLE[name]
    if name.startswith("kernel-"):
        return kernel(name.removeprefix("kernel-"))
    sys.exit(f"no environment {name}; there are {', '.join(TABLE)}, and kernel-NAME")


# Packages


def uv(*command, **options):
    """Return what uv prints; where it fails, raise NotInstalled with its last words."""
    done = subprocess.run(
        [sys.executable, "-m", "uv", *command], cwd=ROOT, capture_output=True, text=True, encoding="utf-8", **options
    )
    if done.returncode:
        raise NotInstalled(" ".join(done.stderr.split())[-300:])
    return done.stdout


def compiled(python, *options, constraints=()):
    """Return the lines `name==version` that satisfy pyproject.toml."""
    command = (
        "pip",
        "compile",
        "--quiet",
        f"--python={python}",
        "--no-annotate",
        "--no-header",
        "--constraint=/dev/stdin",
    )
    return uv(*command, *EXTRAS, *options, "pyproject.toml", input="\n".join(constraints)).splitlines()


def requirements(packages, python):
    """Return the lines to install: of the locks, or the newest or the oldest that pyproject.toml allows.

    What a developer adds has no lower bounds: it is the newest that goes with the oldest of the others.
    """
    if packages == "lock":
        lines = [line for name in LOCKS for line in (ROOT / name).read_text(encoding="utf-8").splitlines()]
        return [line for line in lines if not line.startswith(("#", "-"))]
    oldest = compiled(python, "--resolution=lowest-direct") if packages == "oldest" else []
    return compiled(python, "--group=dev", constraints=oldest)


def interpreter(environment, folder):
    """Return the Python of the environment's own virtual environment, which is made where it is not as it must be."""
    name = "-".join([environment.python, environment.packages, *environment.also])
    home = folder / ".venv" if environment.inside else ENVIRONMENTS / name
    base = pythons.find(environment.python)
    if base is None:
        raise NotRun(f"no Python {environment.python} is installed here")
    lines = [*requirements(environment.packages, base), *environment.also]
    python, stamp = home / "bin" / "python", home / "stamp"
    wanted = "\n".join([base, *lines])
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        uv("venv", "--quiet", "--clear", f"--python={base}", str(home))
        uv("pip", "install", "--quiet", f"--python={python}", "--requirement=/dev/stdin", input="\n".join(lines))
        stamp.write_text(wanted, encoding="utf-8")
    return python


# Folders and processes


def copy_of_checkout(environment, place):
    """Return the folder to run in: the checkout, or a copy of it below `place`."""
    if not environment.folder:
        return ROOT
    folder = place / environment.folder
    remove(folder)
    binder.copy_tracked_files(folder)
    if not environment.writable:
        for path in (folder, *folder.rglob("*")):
            path.chmod(path.stat().st_mode & ~0o222)
        refuse_writing(folder)
    return folder


def remove(folder):
    if folder.exists():
        for path in (folder, *(path for path in folder.rglob("*") if path.is_dir() and not path.is_symlink())):
            path.chmod(path.stat().st_mode | 0o700)
        shutil.rmtree(folder)


def obedient(command):
    """The command, run by a process that has given up that root may write everywhere."""
    ours = f"import os, sys; sys.path.insert(0, {str(ROOT)!r}); from tools import matrix; matrix.obey_modes()"
    return [sys.executable, "-c", f"{ours}; os.execv(sys.argv[1], sys.argv[1:])", *map(str, command)]


def obey_modes():
    """What a process does before it runs a program. No preexec_fn: it forks, and JAX warns of forks."""
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in OVERRIDES if os.geteuid() == 0 else ():
        if libc.prctl(24, capability, 0, 0, 0):  # PR_CAPBSET_DROP
            raise OSError(ctypes.get_errno(), "root keeps its right to write everywhere")


def refuse_writing(folder):
    """Raise NotRun if a process could write in a folder that is read-only."""
    with contextlib.suppress(subprocess.SubprocessError):  # raised where obey_modes() raises
        command = obedient([sys.executable, "-c", "import os; print(os.access('.', os.W_OK))"])
        if subprocess.check_output(command, cwd=folder, text=True).strip() == "False":
            return
    raise NotRun("this user writes whatever the mode of a folder says")


def variables_of(environment, folder, home):
    """Return the variables of a run: nothing of the user's own settings of Python, BLAS and locale."""
    foreign = ("PYTHON", "PYTEST_", "OPENBLAS", "OMP_", "VIRTUAL_ENV", "MPL", "JAX_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    ceiling = {"GIT_CEILING_DIRECTORIES": str(home)} if environment.folder else {}
    own = {"PYTHONPATH": str(folder)}  # the package of this folder, whatever is installed
    return kept | ONE_THREAD | own | ceiling | dict(environment.variables)


def found_core(environment, python, variables):
    """Return which kernel of OpenBLAS runs, as it calls itself; raise NotRun where it has none of that name."""
    loud = variables | {"OPENBLAS_VERBOSE": "2"}
    done = subprocess.run([python, "-c", CORE], env=loud, capture_output=True, text=True, encoding="utf-8")
    if done.returncode:
        raise NotRun(f"this processor cannot run OpenBLAS's kernel {environment.core}")
    if "Core not found" in done.stdout + done.stderr:
        raise NotRun(f"OpenBLAS has no kernel {environment.core}")
    return f"runs {done.stdout.splitlines()[-1]}"


# A run


@dataclass(frozen=True)
class Outcome:
    """Counts of one environment, and what to say of it: which kernel ran, which tests failed, why it did not run."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0  # of CPU
    remark: str = ""
    ran: bool = True

    @property
    def good(self):
        return self.ran and self.failed == 0 and self.passed > 0


def counts(report):
    """Return (passed, failed, skipped, the names of the failed) of pytest's report."""
    cases = list(ElementTree.parse(report).iter("testcase"))
    bad = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    skipped = sum(case.find("skipped") is not None for case in cases)
    names = list(dict.fromkeys(f"{case.get('classname')}::{case.get('name')}" for case in bad))
    return len(cases) - len(bad) - skipped, len(bad), skipped, names


def run(name, tests=()):
    """Return what comes of the tests in the environment of this name."""
    environment, place = environment_of(name), BUILD / name
    place.mkdir(parents=True, exist_ok=True)
    try:
        folder = copy_of_checkout(environment, place)
        python = interpreter(environment, folder)
        variables = variables_of(environment, folder, place)
        core = found_core(environment, python, variables) if environment.core else ""
    except NotRun as why:
        return Outcome(remark=str(why), ran=False)
    except NotInstalled as why:
        beyond = environment.python not in LOCKED
        return Outcome(failed=int(not beyond), ran=not beyond, remark=f"its packages do not install: {why}")
    outcome = tested(environment, python, folder, variables, place, tests)
    if environment.folder:
        remove(folder)
    return replace(outcome, remark="; ".join(filter(None, [core, outcome.remark])))


def tested(environment, python, folder, variables, place, tests):
    """Run pytest, and read its report."""
    report, log = place / "report.xml", place / "log.txt"
    report.unlink(missing_ok=True)
    command = [python, "-m", "pytest", "--nbval", f"--junitxml={report}", *environment.options]
    command += tests or environment.tests
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with log.open("w", encoding="utf-8") as out:
        done = subprocess.run(
            command if environment.writable else obedient(command),
            cwd=folder,
            env=variables,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if not report.exists():
        return Outcome(failed=1, seconds=seconds, remark=f"pytest ends before its report: {log}")
    passed, failed, skipped, names = counts(report)
    if done.returncode and not failed:  # such as: no tests found
        return Outcome(passed, 1, skipped, seconds, f"pytest ends with {done.returncode}: {log}")
    return Outcome(passed, failed, skipped, seconds, ", ".join(names))


def line(name, outcome):
    """Return the row of an outcome, as the table prints it."""
    if not outcome.ran:
        return f"{name:20} not run: {outcome.remark}"
    numbers = f"{outcome.passed:6} {outcome.failed:6} {outcome.skipped:7} {outcome.seconds:7.0f}"
    return f"{name:20} {numbers}  {outcome.remark}".rstrip()


def parsed(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--list", action="store_true", help="say which environments there are, and run none")
    parser.add_argument("--tests", nargs="+", default=[], help="run these in place of what the table says")
    parser.add_argument("environments", nargs="*", help="names of the table, or kernel-NAME; none means all")
    options = parser.parse_args(arguments)
    return options, options.environments or list(TABLE)


def main(arguments=None):
    options, names = parsed(arguments)
    rows = [f"{name:20} {environment_of(name).words}" for name in names]
    if options.list:
        print("\n".join(rows))
        return
    head = f"{'environment':20} passed failed skipped CPU (s)"
    outcomes = {}
    for name in names:
        print(f"{name} …", flush=True)
        outcomes[name] = run(name, options.tests)
        print(line(name, outcomes[name]), flush=True)
    print("\n".join(["", head, *(line(name, outcome) for name, outcome in outcomes.items())]))
    ran = [outcome for outcome in outcomes.values() if outcome.ran]
    good = sum(outcome.good for outcome in ran)
    print(f"{good} environments passed, {len(ran) - good} failed, {len(outcomes) - len(ran)} not run")
    sys.exit(int(len(ran) > good or not ran))


if __name__ == "__main__":
    main()

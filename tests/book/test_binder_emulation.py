"""The emulation of Binder must notice each way in which a reader there would fail to run a notebook."""

import json
import os
import re
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from urllib.error import HTTPError

import provenance
import pytest
import yaml
from names import UMLAUT

from tools import binder

ROOT = Path(__file__).parents[2]
HOME = "https://mybinder.org/v2/gh/reader/book/main"
DRAW = """\
import ipywidgets
def draw(k):
    {}
ipywidgets.interact(draw, k=ipywidgets.IntSlider(value=1, min=0, max=4));
"""
STOP = """\
class DataNotInstalled(ImportError):
    def _render_traceback_(self):
        return str(self).splitlines()
raise DataNotInstalled("Stopped.\\nType: pip install -r {}")
"""
OF_DASK = STOP.format("requirements-dask.txt").replace("DataNot", "DaskNot")
LOUD = STOP.format("requirements-data.txt").replace("_render_traceback_", "shown")
NOTEBOOKS = {  # name: (tags, source) of its cells, and what the check says of it
    "good": (
        [
            ([], "import sys\nprint('no outputs are stored, these are new')"),
            (["raises-exception"], "1 / 0"),
            (["remove-output"], DRAW.format("print(k)")),
        ],
        None,
    ),
    "no_package": ([([], "import not_in_the_lock")], "cell 0 raises ModuleNotFoundError: No module named"),
    "stderr": ([([], "print(1)"), ([], "import sys\nprint('look', file=sys.stderr)")], "cell 1 writes to stderr: look"),
    "dies": ([([], "import os\nos._exit(1)")], "cell 0 the kernel died"),
    "no_view": ([(["remove-output"], "import ipywidgets\nipywidgets.IntSlider(max=4);")], "cell 0 shows no widget"),
    "no_control": ([(["remove-output"], "import ipywidgets\nipywidgets.HTML('k')")], "a widget without a control"),
    "no_redraw": ([(["remove-output"], DRAW.format("pass"))], "moving k to .* redraws nothing"),
    "data_needed": (
        [(["needs-data"], STOP.format("requirements-data.txt")), ([], "1 / 0  # is not reached")],
        None,
    ),
    "data_there": ([(["needs-data"], "1")], "cell 0 has the tag needs-data, and does not stop"),
    "data_stderr": (
        [(["needs-data"], "import sys\nprint('look', file=sys.stderr)\n" + STOP.format("requirements-data.txt"))],
        "cell 0 writes to stderr: look",
    ),
    "data_unsaid": ([(["needs-data"], STOP.format("something"))], "cell 0 stops without saying what to install"),
    "data_traceback": ([(["needs-data"], LOUD)], "cell 0 stops with a traceback"),
    "data_else": ([(["needs-data"], "1 / 0")], "cell 0 raises ZeroDivisionError"),
    "data_untagged": ([([], STOP.format("requirements-data.txt"))], "cell 0 raises DataNotInstalled"),
    "dask_needed": ([(["needs-dask"], OF_DASK), ([], "1"), (["remove-output"], DRAW.format("print(k)"))], None),
    "dask_there": ([(["needs-dask"], "1")], "cell 0 has the tag needs-dask, and does not stop"),
    "dask_other_file": ([(["needs-dask"], OF_DASK.replace("-dask.", "-data."))], "without saying what to install"),
    "dask_other_error": ([(["needs-dask"], STOP.format("requirements-dask.txt"))], "cell 0 raises DataNotInstalled"),
    "dask_before": ([(["needs-dask"], OF_DASK), ([], "1 / 0  # is reached")], "cell 1 raises ZeroDivisionError"),
    "dask_untagged": ([([], OF_DASK)], "cell 0 raises DaskNotInstalled"),
    "raises_later": ([(["remove-output"], DRAW.format("print(1 / (4 - k))"))], "moving k to .* raises ZeroDivision"),
}


def notebook(cells):
    cells = [
        {"cell_type": "code", "execution_count": None, "id": f"c{i}", "metadata": {"tags": tags}, "outputs": []}
        | {"source": source}
        for i, (tags, source) in enumerate(cells)
    ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return json.dumps({"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5})


def write_book(folder):
    """Write the notebooks, and what else the check reads."""
    pages = folder / "book"
    pages.mkdir()
    for name, (cells, _) in NOTEBOOKS.items():
        (pages / f"{name}.ipynb").write_text(notebook(cells), encoding="utf-8")
    (pages / "text.md").write_text("# Text", encoding="utf-8")
    chapters = [{"file": f"book/{name}"} for name in ("no_package", "stderr", "text")]
    (folder / "_toc.yml").write_text(
        yaml.safe_dump({"format": "jb-book", "root": "book/good", "chapters": chapters}), encoding="utf-8"
    )
    (folder / ".binder").mkdir()
    (folder / ".binder" / "runtime.txt").write_text("python-3.11\n", encoding="utf-8")
    workflow = folder / ".github" / "workflows" / "publish.yml"
    workflow.parent.mkdir(parents=True)
    workflow.write_text("on: {push: {branches: [main]}}\n", encoding="utf-8")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkout")
    write_book(folder)
    with binder.serve(Path(sys.executable), folder, tmp_path_factory.mktemp("home")) as server:
        yield server


# What runs


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs_as_its_reader_expects(server, name):
    cells, problem = NOTEBOOKS[name]
    if problem:
        with pytest.raises(RuntimeError, match=problem):
            binder.run(server, f"book/{name}.ipynb")
    elif name == "data_needed":
        assert binder.run(server, f"book/{name}.ipynb") == (1, 0)
    else:
        assert binder.run(server, f"book/{name}.ipynb") == (len(cells), 1)
    left = {session["name"] for session in json.loads(server.ask("api/sessions"))}
    assert left <= {"dies.ipynb"}  # closed, also after a failure


@pytest.mark.parametrize("meanwhile", ["pass", "print(1, flush=True)"])
def test_a_cell_that_never_ends_is_given_up(server, meanwhile):
    with binder.opened(server, "book/good.ipynb") as (_, channels):
        code = {"code": f"import time\nwhile True:\n    {meanwhile}\n    time.sleep(0.1)"}
        with pytest.raises(binder.FAILURES, match=r"timed out|is not finished after 1 s"):
            binder.request(channels, "execute_request", code, seconds=1)


def test_strangers_are_turned_away(server):
    with pytest.raises(HTTPError, match="Forbidden"):
        binder.Server(server.url, "wrong").ask("api/sessions")


@pytest.mark.parametrize(
    ("state", "change"),
    [
        ({"_model_name": "FloatLogSliderModel", "base": 10, "min": 0, "max": 3, "value": 10.0}, {"value": 1000}),
        ({"_model_name": "BoundedIntTextModel", "min": 0, "max": 9, "value": 0}, {"value": 1}),
        ({"_model_name": "BoundedIntTextModel", "min": 0, "max": 9, "value": 9}, {"value": 8}),
        ({"_model_name": "TextModel", "value": "7, 8, 9"}, {"value": "7"}),
        ({"_model_name": "FloatLogSliderModel", "base": 10, "min": 0, "max": 3, "value": 1000.0}, {"value": 1}),
        ({"_model_name": "IntSliderModel", "min": 0, "max": 4, "value": 4, "readout": True}, {"value": 0}),
        ({"_model_name": "DropdownModel", "_options_labels": ["a", "b"], "index": 0}, {"index": 1}),
        ({"_model_name": "DropdownModel", "_options_labels": ["a"], "index": 0}, None),
        ({"_model_name": "CheckboxModel", "value": False, "disabled": False}, {"value": True}),
        ({"_model_name": "OutputModel", "outputs": []}, None),
    ],
)
def test_a_move_changes_the_value(state, change):
    assert binder.moved(state) == change


# Where the launch buttons lead


def test_the_launch_button_opens_its_notebook(server):
    binder.follow(server, [f"{HOME}?urlpath=lab/tree/book/good.ipynb"], "book/good.ipynb", ["main"])


@pytest.mark.parametrize(
    "links",
    [
        [],
        [f"{HOME}?urlpath=lab/tree/book/good.ipynb", "https://colab.research.google.com/github/reader/book"],
        [f"{HOME}?urlpath=lab/tree/good.ipynb"],
        [f"{HOME}?urlpath=tree/book/good.ipynb"],
        [f"{HOME}"],
        ["https://mybinder.org/v2/gh/reader/book/master?urlpath=lab/tree/book/good.ipynb"],
        ["https://mybinder.org/v2/gh/someone/book/main?urlpath=lab/tree/book/good.ipynb"],
        ["https://example.org/v2/gh/reader/book/main?urlpath=lab/tree/book/good.ipynb"],
    ],
)
def test_a_launch_button_that_leads_elsewhere_is_noticed(server, links):
    with pytest.raises(RuntimeError, match="launch button"):
        binder.follow(server, links, "book/good.ipynb", ["main"])


def test_a_launch_button_to_a_missing_file_is_noticed(server):
    with pytest.raises(HTTPError, match="Not Found"):
        binder.follow(server, [f"{HOME}?urlpath=lab/tree/book/gone.ipynb"], "book/gone.ipynb", ["main"])


def test_binder_is_the_only_launch_button(monkeypatch):
    config = type("Config", (), {"html_theme_options": {}})
    monkeypatch.setattr(provenance, "repository_url", lambda: "https://github.com/ada/book")
    provenance.configure_theme(None, config)
    assert set(config.html_theme_options["launch_buttons"]) == {"binderhub_url", "notebook_interface"}
    assert config.html_theme_options["repository_branch"] in binder.published_branches(ROOT)
    written = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    assert "launch_buttons" not in written
    assert "sphinx_thebe" not in written["sphinx"]["config"]["extensions"]


def test_launch_links_are_found_in_a_page():
    html = '<a href="x">x</a><div class="dropdown-launch-buttons"><a href="https://mybinder.org/v2">Binder</a></div>'
    assert binder.launch_links(html) == ["https://mybinder.org/v2"]


# The environment, and all of it together


def test_only_what_git_knows_is_copied(tmp_path):
    root, folder = tmp_path / "root", tmp_path / "folder"
    (root / "book").mkdir(parents=True)
    for name in (f"book/{UMLAUT}.ipynb", "gone", "new"):
        (root / name).write_text("as committed", encoding="utf-8")
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
    subprocess.run(["git", "add", "book", "gone"], cwd=root, check=True)
    (root / "gone").unlink()
    (root / "book" / f"{UMLAUT}.ipynb").write_text("changed", encoding="utf-8")
    binder.copy_tracked_files(folder, root)
    assert [path.name for path in folder.rglob("*") if path.is_file()] == [f"{UMLAUT}.ipynb"]
    assert (folder / "book" / f"{UMLAUT}.ipynb").read_text(encoding="utf-8") == "changed"


@pytest.mark.parametrize("git", [True, False], ids=["unknown to git", "no git"])
def test_without_a_clone_all_files_are_taken_but_what_is_made(tmp_path, monkeypatch, capsys, git):
    root, folder = tmp_path / "a b", tmp_path / "folder"
    for name in ("book/a.ipynb", ".binder/requirements.txt", ".venv/b", "_build/c", "tools/__pycache__/d.pyc"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name, encoding="utf-8")
    if not git:
        monkeypatch.setenv("PATH", "")
    binder.copy_tracked_files(folder, root)
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names == {"book/a.ipynb", ".binder/requirements.txt"}
    assert "a b is no clone" in capsys.readouterr().out


def test_an_edit_that_no_notebook_would_see_is_noticed(tmp_path):
    for name in ("folder", "elsewhere"):
        (tmp_path / name / "cossim_helpers").mkdir(parents=True)
        for module in ("__init__.py", binder.EDITED):
            (tmp_path / name / "cossim_helpers" / module).write_text("A = 1\n", encoding="utf-8")
    folder = tmp_path / "folder"
    (folder / "book").mkdir()

    def edit(path):
        binder.refuse_deaf_edits(sys.executable, folder, os.environ | {"PYTHONPATH": str(path)})

    edit(folder)
    with pytest.raises(RuntimeError, match=r"has no effect: notebooks import .*elsewhere"):
        edit(tmp_path / "elsewhere")
    assert (folder / "cossim_helpers" / binder.EDITED).read_text(encoding="utf-8") == "A = 1\n"


def test_binder_finds_nothing_at_the_root_to_install_anew_for_each_commit():
    """repo2docker reads .binder/ alone; a line that names a file would make it install everything after each commit."""
    lock = (ROOT / ".binder" / "requirements.txt").read_text(encoding="utf-8")
    assert re.fullmatch(r"(?:#.*\n|[\w.-]+==[\w.!+-]+(?: ; .*)?\n)+", lock)
    assert os.access(ROOT / ".binder" / "postBuild", os.X_OK)
    assert not (ROOT / "runtime.txt").exists()
    assert not (ROOT / "binder").exists()  # a second folder would be an error


def test_the_python_of_runtime_txt_or_this_one_said_aloud():
    version = "{}.{}".format(*sys.version_info)
    python, remark = binder.find_python(f"python-{version}\n")
    asked = subprocess.run([python, "--version"], capture_output=True, text=True, check=True)
    assert asked.stdout.startswith(f"Python {version}.")
    assert remark == f"Python {version}, as runtime.txt asks"
    python, remark = binder.find_python("python-2.99\n")
    assert python == sys.executable
    assert f"Python {version}: no Python 2.99" in remark


def test_the_environment_is_nobody_elses(monkeypatch, tmp_path):
    for name in ("PYTHONPATH", "JUPYTER_TOKEN", "GITHUB_REPOSITORY"):
        monkeypatch.setenv(name, "mine")
    variables = binder.environment_of(tmp_path / "bin" / "python", tmp_path, GITHUB_REPOSITORY="reader/book")
    assert "PYTHONPATH" not in variables
    assert "JUPYTER_TOKEN" not in variables
    assert variables["GITHUB_REPOSITORY"] == "reader/book"
    assert variables["PATH"].split(os.pathsep)[0] == str(tmp_path / "bin")


@pytest.mark.parametrize("extensions", ["jupyterlab-myst enabled OK", '"jupyterlab-myst" is not compatible with'])
def test_an_extension_that_does_not_fit_is_noticed(monkeypatch, tmp_path, extensions):
    monkeypatch.setattr(binder, "call", lambda *command, **options: extensions)
    monkeypatch.setattr(binder, "refuse_deaf_edits", lambda *_: None)
    (tmp_path / ".binder").mkdir()
    (tmp_path / ".binder" / "requirements.txt").write_text("", encoding="utf-8")
    if "not compatible" in extensions:
        with pytest.raises(RuntimeError, match="not compatible"):
            binder.install(sys.executable, tmp_path, tmp_path)
    else:
        assert binder.install(sys.executable, tmp_path, tmp_path) == tmp_path / "venv" / "bin" / "python"


def test_the_check_counts_what_fails(server, monkeypatch, tmp_path, capsys):
    folder, home = tmp_path / "folder", tmp_path / "home"
    folder.mkdir()
    home.mkdir()
    links = {f"book/{name}": [f"{HOME}?urlpath=lab/tree/book/{name}.ipynb"] for name in ("good", "no_package", "text")}
    monkeypatch.setattr(binder, "copy_tracked_files", write_book)
    monkeypatch.setattr(binder, "install", lambda base, folder, home: Path(sys.executable))
    monkeypatch.setattr(binder, "build_site", lambda python, folder, home: links)
    monkeypatch.setattr(binder, "serve", lambda python, folder, home: nullcontext(server))  # of the same notebooks
    assert binder.check(folder, home, []) == 3
    good, no_package, no_button, text, summary = capsys.readouterr().out.splitlines()[1:]
    assert good == "book/good.ipynb: its launch button opens it; cells run: 3; controls moved: 1"
    assert no_package.startswith("book/no_package.ipynb FAILS: cell 0 raises ModuleNotFoundError")
    assert no_button.startswith("book/stderr.ipynb FAILS: its page must show one launch button")
    assert text.startswith("book/text FAILS: a launch button without a notebook")
    assert summary == "1 passed, 3 failed"

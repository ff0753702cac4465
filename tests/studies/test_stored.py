"""studies/stored.py: what is computed once, for how long, and in which order it comes back."""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import deep_jobs
import pytest
import stored

from cossim_helpers import Recipe

ROOT = Path(__file__).parents[2]
calls = []


def task(recipe, *seeds):
    calls.append((recipe, seeds))
    return {"dropout": recipe.dropout, "seeds": list(seeds)}


def other_task(recipe, *seeds):
    return {"other": len(seeds)}


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setattr(stored, "ROOT", tmp_path)
    monkeypatch.setattr(stored, "code_of", lambda module: "the code")
    return tmp_path


def test_results_are_stored_until_something_changes(folder, monkeypatch):
    calls.clear()
    recipe = Recipe("linear", dropout=0.2)
    for _ in range(3):
        assert stored.stored(task, recipe, 1, 2) == {"dropout": 0.2, "seeds": [1, 2]}
    assert calls == [(recipe, (1, 2))]
    changed = replace(recipe, dropout=0.5)
    assert stored.stored(task, changed, 1, 2) == {"dropout": 0.5, "seeds": [1, 2]}
    assert stored.stored(task, recipe, 1, 3) == {"dropout": 0.2, "seeds": [1, 3]}
    assert stored.stored(task, recipe) == {"dropout": 0.2, "seeds": []}
    assert calls == [(recipe, (1, 2)), (changed, (1, 2)), (recipe, (1, 3)), (recipe, ())]
    assert stored.stored(other_task, recipe, 1, 2) == {"other": 2}
    for name, value in {
        "model": "squared",
        "normalization": "unit",
        "decay": 0.1,
        "learning_rate": 0.1,
        "epochs": 3,
        "k": 5,
        "batch_size": 7,
    }.items():
        stored.stored(task, replace(recipe, **{name: value}), 1, 2)
    assert len(calls) == 4 + 7
    assert {path.suffix for path in (folder / "_build" / "studies").iterdir()} == {".json"}
    monkeypatch.setattr(stored, "code_of", lambda module: "other code")
    stored.stored(task, recipe, 1, 2)
    assert len(calls) == 4 + 7 + 1


class Threads(ThreadPoolExecutor):
    def __init__(self, workers, mp_context=None, initializer=None, initargs=()):
        super().__init__(workers)


def test_results_come_in_the_order_of_the_jobs(folder, monkeypatch):
    monkeypatch.setattr(stored, "ProcessPoolExecutor", Threads)
    jobs = [(task, Recipe("linear", dropout=q), seed) for q in (0.5, 0.1, 0.3) for seed in (2, 0, 1)]
    monkeypatch.setattr(stored, "as_completed", lambda waiting: reversed(list(waiting)))
    expected = [{"dropout": recipe.dropout, "seeds": [seed]} for _, recipe, seed in jobs]
    assert stored.all_results(jobs, 2) == expected
    calls.clear()
    assert stored.all_results(jobs, 2) == expected
    assert calls == []  # they are stored
    assert stored.all_results(jobs, 2, anew=True) == expected
    assert len(calls) == len(jobs)


# --- the code that a result depends on ---


def append(path, text):
    path.write_text(path.read_text(encoding="utf-8") + f"\n\n{text}\n", encoding="utf-8")


@pytest.fixture
def tree(tmp_path):
    """A copy of the studies and of the package, with a subpackage as well."""
    for name in ("studies", "cossim_helpers"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "results"))
    package = tmp_path / "cossim_helpers"
    (package / "inner").mkdir()
    (package / "inner" / "__init__.py").write_text("from .far import reached\n", encoding="utf-8")
    (package / "inner" / "far.py").write_text(
        "from .. import gauge\n\n\ndef reached():\n    return 1\n", encoding="utf-8"
    )
    (package / "inner" / "stranger.py").write_text("def unused():\n    return 1\n", encoding="utf-8")
    append(package / "metrics.py", "def late():\n    from .inner import reached\n    return reached()")
    return tmp_path


def code(root):
    return "\n".join(stored.ast.dump(stored._tree(path)) for path in stored.dependencies("deep_jobs", root))


def definitions(root):
    """The file of each public name that the study trains and measures with."""
    import cossim_helpers

    names = ("train_model", "Recipe", "simulate_interactions", "cluster_auc", "cosine_similarity", "hold_out")
    return {root.joinpath(*getattr(cossim_helpers, name).__module__.split(".")).with_suffix(".py") for name in names}


def test_a_touched_dependency_changes_the_key(tree):
    before = code(tree)
    touched = {
        *definitions(tree),
        tree / "cossim_helpers" / "_validation.py",
        tree / "studies" / "deep_jobs.py",
        tree / "cossim_helpers" / "inner" / "far.py",
        tree / "cossim_helpers" / "gauge.py",
    }
    assert len(touched) >= 7
    for path in touched:
        text = path.read_text(encoding="utf-8")
        append(path, "def touched():\n    return 2")
        assert code(tree) != before, path
        path.write_text(text + "\n\n# a comment and empty lines\n", encoding="utf-8")
        assert code(tree) == before, path
        path.write_text(text, encoding="utf-8")


def test_a_touched_stranger_leaves_the_key(tree):
    before = code(tree)
    package = tree / "cossim_helpers"
    strangers = [package / name for name in ("__init__.py", "plots.py", "checks.py", "objectives.py")]
    strangers += [package / "inner" / name for name in ("stranger.py", "__init__.py")]
    strangers += [tree / "studies" / "deep.py", tree / "studies" / "stored.py"]
    dials = list((package / "widget").rglob("*.py"))
    assert dials
    for path in [*strangers, *dials]:
        append(path, "def touched():\n    return 2")
    assert code(tree) == before


def test_the_code_of_a_module_is_that_of_its_dependencies():
    assert stored.code_of("deep_jobs") == code(ROOT)
    assert deep_jobs.measure.__module__ == "deep_jobs"


def test_importing_a_study_changes_nothing_in_the_process():
    program = "import os; before = dict(os.environ); import deep, deep_jobs, stored; assert dict(os.environ) == before"
    own = {name: value for name, value in os.environ.items() if name not in stored.ONE_CORE}
    path = os.pathsep.join([str(ROOT / "studies"), str(ROOT)])
    subprocess.run([sys.executable, "-c", program], check=True, env=own | {"PYTHONPATH": path})


def environment_of_a_worker():
    return {name: os.environ.get(name) for name in stored.ONE_CORE}


def test_a_worker_has_one_core():
    before = dict(os.environ)
    assert stored.all_results([(environment_of_a_worker,)], 1, anew=True) == [stored.ONE_CORE]
    assert dict(os.environ) == before

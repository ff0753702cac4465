"""What make types, without doing it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TARGETS = ["setup", "test", "notebooks", "lint", "zip", "plain", "test-binder", "matrix", "links", "audit", "hook"]


def typed(tmp_path, target, user=1000):
    """Return the commands of a target for a user of this number."""
    (tmp_path / "id").write_text(f"#!/bin/sh\necho {user}\n", encoding="utf-8")
    (tmp_path / "id").chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    command = ["make", "--dry-run", "--always-make", f"PYTHON={sys.executable}", target]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout


def test_jupyterlab_runs_as_root_where_a_reader_is_root(tmp_path):
    assert ".venv/bin/jupyter lab --allow-root" in typed(tmp_path, "lab", user=0)
    assert "--allow-root" not in typed(tmp_path, "lab")


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_sets_up_what_it_needs(tmp_path, target):
    assert ".venv/bin/" in typed(tmp_path, target)


def test_an_environment_is_set_up_anew_when_a_version_changes():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "$(reader): requirements.txt .binder/requirements.txt\n" in makefile


def test_a_release_without_a_tag_stops_before_anything_is_built(tmp_path):
    first = next(line for line in typed(tmp_path, "release").splitlines() if "tools.release" in line)
    command = ["sh", "-c", first.replace(".venv/bin/python", "true")]
    done = subprocess.run(command, capture_output=True, text=True, env={})
    assert done.returncode != 0 and "TAG: is missing" in done.stderr

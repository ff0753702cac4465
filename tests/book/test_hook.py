"""What runs before a commit is `make lint`: the same list of checks, by the same versions."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / ".pre-commit-config.yaml"
MAKEFILE = "lint:\n\t@echo checked\n\t@test ! -e fault\n"


def test_the_hook_lists_no_checks_of_its_own():
    (repository,) = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["repos"]
    (hook,) = repository["hooks"]
    assert repository["repo"] == "local"
    assert hook["entry"].split() == ["make", "--no-print-directory", "lint"]
    assert hook["always_run"] and not hook["pass_filenames"]
    assert not {"files", "types", "types_or", "exclude", "stages", "args"} & hook.keys()


def test_a_commit_that_lint_refuses_is_not_made(tmp_path):
    """In a repository with a Makefile of its own, by the hook that `make hook` installs."""

    def git(*arguments):
        identity = ["-c", "user.name=reader", "-c", "user.email=reader@example.org"]
        command = ["git", "-C", tmp_path, *identity, *arguments]
        settings = os.environ | {"PRE_COMMIT_HOME": str(tmp_path.with_name("cache")), "GIT_CONFIG_GLOBAL": os.devnull}
        return subprocess.run(command, capture_output=True, text=True, env=settings)

    git("init", "--quiet")
    (tmp_path / "Makefile").write_text(MAKEFILE, encoding="utf-8")
    (tmp_path / CONFIG.name).write_text(CONFIG.read_text(encoding="utf-8"), encoding="utf-8")
    subprocess.run([sys.executable, "-m", "pre_commit", "install"], cwd=tmp_path, check=True, capture_output=True)
    git("add", ".")
    done = git("commit", "--message", "first")
    assert done.returncode == 0, done.stderr
    assert "make lint" in done.stderr and "Passed" in done.stderr
    (tmp_path / "fault").write_text("", encoding="utf-8")
    git("add", ".")
    done = git("commit", "--message", "second")
    assert done.returncode != 0 and "checked" in done.stderr
    assert git("rev-list", "--count", "HEAD").stdout.strip() == "1"


@pytest.mark.parametrize("tool", ["ruff check", "ruff format --check", "mypy"])
def test_lint_is_more_than_a_name(tool):
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8").split("\nlint:")[1].split("\n\n")[0]
    assert f"$(bin)/{tool}" in recipe

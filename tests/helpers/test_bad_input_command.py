"""The command line with every bad option and file: one line that says what is wrong, exit code 2, no traceback."""

import re

import numpy as np
import pytest
from names import UMLAUT

from cossim_helpers.audit.command import main

VALUES = (
    "", "abc", "-1", "0", "1", "2", "1.5", "1e3", "nan", "inf", "-inf", "1e400", "True", "None", "9" * 30, str(2**31),
    "9" * 5000, "0x10", "\0", "\ud800", "--json", "-", "./", "/", "/nonexistent/x", "here.npy", "a" * 5000, UMLAUT,
    "*", "here.npy\n", "no-such-loss",
)  # fmt: skip
CALLS = {"audit": ["here.npy"], "compare": ["here.npy", "again.npy"], "repair": ["here.npy", "-o", "written.npy"]}
MANY = {"1", "2", str(2**31), "9" * 30}
SEARCH = {"-k": {"1", "2"}, "--queries": MANY, "--fail-under": {"0", "1"}, "--seed": MANY | {"0"}}
OTHER = {"--other": set(), "--other-key": set(), "--trained": set(), "--key": set()}
OPTIONS = {  # the values above that each option takes
    "audit": SEARCH | OTHER | {"--again": {"here.npy"}, "--draws": {"1", "2"}, "--spread": {"1", "2", "1.5", "1e3"}},
    "compare": SEARCH | {"--key": set()},
    "repair": OTHER | {"--method": set(), "--other": {"here.npy"}},  # as of one encoder for both sides
}
OPTIONS["audit"]["--report"] = {*"abc -1 1 0 2 1.5 1e3 nan inf 1e400 True None 0x10 - * no-such-loss".split()}
OPTIONS["audit"]["--report"] |= {str(2**31), "9" * 30, "here.npy\n", UMLAUT}  # all of these are names of files


@pytest.fixture
def folder(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "here.npy", rng.standard_normal((12, 3)))
    np.save(tmp_path / "again.npy", rng.standard_normal((12, 4)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(arguments, capfd):
    """(exit code, stdout, stderr)."""
    try:
        code = main(arguments)
    except SystemExit as end:
        code = end.code
    return code, *capfd.readouterr()


@pytest.mark.parametrize(("command", "option"), [(c, option) for c, options in OPTIONS.items() for option in options])
def test_an_option_takes_what_it_says_and_refuses_the_rest_in_one_line(command, option, folder, capfd):
    for value in VALUES:
        code, out, err = run([command, *CALLS[command], option, value], capfd)
        if value in OPTIONS[command][option]:
            assert code in (0, 1), (value[:50], err)
            assert out
            assert not err
        else:
            assert code == 2, value[:50]
            assert not out
            assert len(err.splitlines()) == 1
            seen = value.encode(errors="replace").decode().strip().strip("/")[:50]  # a pipe shows half a character as ?
            assert re.search(rf"{option.strip('-')}\b|{re.escape(seen)}", err), err


@pytest.mark.parametrize("command", CALLS)
@pytest.mark.parametrize("place", [0, -1])
def test_a_file_that_cannot_be_read_or_written(command, place, folder, capfd):
    arguments = list(CALLS[command])
    taken = "here.npy" if place == 0 or command != "repair" else None
    for value in VALUES:
        arguments[place] = value
        code, out, err = run([command, *arguments], capfd)
        if value == taken:
            assert code == 0
            continue
        assert code == 2, value[:50]
        assert not out
        assert len(err.splitlines()) == 1
    assert {path.name for path in folder.iterdir()} <= {"here.npy", "again.npy", "written.npy"}


NO_COMMANDS = """
no-such-command
audit
compare here.npy
repair here.npy
repair -o written.npy
audit here.npy more
audit here.npy --no-such-option
audit here.npy -k
"""


@pytest.mark.parametrize("arguments", NO_COMMANDS.split("\n"))
def test_no_such_command(arguments, folder, capfd):
    code, out, err = run(arguments.split(), capfd)
    assert code == 2
    assert not out
    assert len(err.splitlines()) == 1

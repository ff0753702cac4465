"""The command: what its options become, what it says, what it returns, and what it refuses before it computes."""

import io
import json
import os
import sys

import numpy as np
import pytest

import cossim_helpers as ch
from cossim_helpers.audit import command
from cossim_helpers.audit.command import main
from cossim_helpers.audit.report import as_json, audit_lines, comparison_lines

RNG = np.random.default_rng(3)
ITEMS, USERS, AGAIN = RNG.normal(size=(12, 3)), RNG.normal(size=(9, 3)), RNG.normal(size=(12, 4))
SEARCH = {"key": None, "k": 10, "queries": 500, "seed": 0, "json": False, "fail_under": None}
SIDE = {"key": None, "other": None, "other_key": None, "trained": "unknown"}
AUDIT = SIDE | SEARCH | {"again": None, "draws": 10, "spread": 2.0, "report": None}
DEFAULTS = {
    "audit f": {"command": "audit", "file": "f"} | AUDIT,
    "compare f g": {"command": "compare", "file": "f", "other": "g"} | SEARCH,
    "repair f -o g": {"command": "repair", "file": "f", "output": "g", "method": None} | SIDE,
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("two.npz", items=ITEMS, users=USERS)
    for name, rows in (("items", ITEMS), ("users", USERS), ("again", AGAIN)):
        np.save(f"{name}.npy", rows)
    return tmp_path


class Terminal(io.StringIO):
    """A stream that counts when it is told to show what it has."""

    flushed = 0

    def isatty(self):
        return True

    def flush(self):
        self.flushed += 1


def said(arguments, capsys):
    """(exit code, stdout, stderr)."""
    try:
        code = main(arguments.split() if isinstance(arguments, str) else arguments)
    except SystemExit as end:
        code = end.code
    return code, *capsys.readouterr()


def test_output_goes_to_any_stream(folder, monkeypatch):
    """Also one that has no encoding to set, such as a cell's of some notebooks."""
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert main(["compare", "items.npy", "again.npy", "-k", "3"]) == 0
    assert "12 rows of 3 and 4 numbers" in sys.stdout.getvalue()


# --- options ---


@pytest.mark.parametrize("arguments", DEFAULTS)
def test_the_defaults_are_those_that_the_help_says(arguments, capsys):
    assert vars(command._parser().parse_args(arguments.split())) == DEFAULTS[arguments]
    code, out, _ = said(f"{arguments.split()[0]} --help", capsys)
    out = " ".join(out.split())
    sentences = {
        "audit": "What training pinned down of one table of vectors.",
        "compare": "Two trainings of the same rows.",
        "repair": "Vectors whose cosines the training did determine.",
    }
    command_name = arguments.split()[0]
    assert code == 0 and sentences[command_name] in out and "exit codes: 0 done; 1 below --fail-under; 2 bad" in out
    if command_name != "repair":
        assert "neighbors (10)" in out and "at most (500)" in out and "draws rows and gauges (0)" in out
    if command_name == "audit":
        assert "each gauge (10)" in out and "1/spread to spread (2)" in out
    if command_name != "compare":
        labels = ",".join(f"{loss}({ch.determined(loss).label})" for loss in ch.LOSSES)
        assert "".join(labels.split()) in "".join(out.split())  # lines break at hyphens, too


def test_the_help_of_all_commands(capsys):
    code, out, _ = said("--help", capsys)
    out = " ".join(out.split())
    assert code == 0 and out.startswith("usage: python -m cossim_helpers [-h]")
    for words in (
        "Can I trust my cosine?", "exit codes: 0 done", "audit what training pinned down",
        "compare two trainings of the same rows", "repair vectors whose cosines",
    ):  # fmt: skip
        assert words in out


def test_what_the_audit_is_asked_for(folder, capsys, monkeypatch):
    asked = []

    def audit(rows, **options):
        asked.append((rows, options))
        raise ValueError("two\n lines")

    monkeypatch.setattr(command, "audit_embeddings", audit)
    options = "-k 3 --queries 7 --draws 2 --spread 1.5 --seed 4 --trained clip"
    arguments = f"audit two.npz --key items --other two.npz --other-key users --again again.npy {options}"
    (folder / "again.npy").rename("again.npz")
    np.savez("again.npz", items=AGAIN, other=USERS)
    code, out, err = said(arguments.replace("again.npy", "again.npz"), capsys)
    assert (code, out, err) == (2, "", "cossim_helpers audit: two.npz: two lines\n")
    rows, found = asked[0]
    for array, expected in ((rows, ITEMS), (found.pop("other"), USERS), (found.pop("again"), AGAIN)):
        np.testing.assert_array_equal(array, expected)
    assert found.pop("done")(0.5) is None and capsys.readouterr().err == ""  # no terminal: no bar
    assert found == {"trained": "clip", "k": 3, "n_queries": 7, "n_draws": 2, "spread": 1.5, "rng": 4}
    np.savez("pair.npz", items=USERS, users=ITEMS)
    said("audit two.npz --key items --other pair.npz", capsys)  # the key is that of both files
    np.testing.assert_array_equal(asked[1][1]["other"], USERS)
    monkeypatch.setattr(sys, "stderr", Terminal())
    main(["audit", "items.npy"])
    assert asked[2][1]["done"] is command._bar


@pytest.mark.parametrize(("error", "words"), [(MemoryError(), "MemoryError"), (OSError("disk full"), "disk full")])
def test_an_error_without_words_has_its_name(error, words, folder, capsys, monkeypatch):
    def read(*_, **__):
        raise error

    monkeypatch.setattr(command, "read_vectors", read)
    place = "items.npy: " if isinstance(error, MemoryError) else ""
    assert said("audit items.npy", capsys) == (2, "", f"cossim_helpers audit: {place}{words}\n")


REFUSED = {
    "audit items.npy --other-key users": "argument --other-key: takes a table of --other, which is not given",
    "repair items.npy -o out.npy --other-key users": "argument --other-key: takes a table of --other",
    "audit items.npy --fail-under 1.1": "argument --fail-under: takes a number from 0 to 1, got 1.1",
    "audit items.npy --fail-under -0.1": "argument --fail-under: takes a number from 0 to 1, got -0.1",
    "audit items.npy --seed -1": "argument --seed: takes an integer of at least 0, got -1",
    "audit items.npy --other=": "argument --other: takes the name of a file, got ''",
    "audit items.npy --again=a\0": "argument --again: takes the name of a file, got 'a\\x00'",
    "audit items.npy --report=": "argument --report: takes the name of a file, got ''",
    "repair items.npy -o a\0.npy": "a\0.npy: is no name that a file can have",
    "repair items.npy": "the following arguments are required: -o/--output",
    "repair items.npy -o no/out.npy": "no/out.npy: its folder does not exist",
    "repair gone.npy -o items.npy": "gone.npy: no such file",
    "audit items.npy --other again.npy": "again.npy: has 4 columns, items.npy has 3",
    "audit items.npy --again users.npy": "users.npy: has 9 rows, items.npy has 12",
    "compare items.npy users.npy": "users.npy: has 9 rows, items.npy has 12",
    "repair items.npy --other again.npy -o out.npy": "again.npy: has 4 columns, items.npy has 3",
    "audit items.npy --other nan.npy": "nan.npy takes finite numbers, got nan",
    "audit items.npy --again nan.npy": "nan.npy takes finite numbers, got nan",
    "compare items.npy nan.npy": "nan.npy takes finite numbers, got nan",
    "audit nan.npy": "nan.npy takes finite numbers, got nan",
    "compare items.npy few.npy": "few.npy takes at least 4 rows, got 3",
    "compare few.npy items.npy": "few.npy takes at least 4 rows, got 3",
    "audit one.npy": "one.npy takes at least 3 rows, got 1",
    "repair one.npy -o out.npy": "one.npy takes at least 2 rows, got 1",
    "audit few.npy --again one.npy": "one.npy takes at least 2 rows, got 1",
    "compare items.npy zeros.npy": "zeros.npy: E2 takes vectors that differ",
    "compare zeros.npy items.npy": "zeros.npy: E1 takes vectors that differ",
    "audit items.npy --other zeros.npy": "zeros.npy: other takes vectors of which some have a length",
    "audit items.npy --again zeros.npy": "zeros.npy: again takes vectors that differ",
    "repair items.npy --other zeros.npy -o out.npy": "zeros.npy: users and items take vectors with scores",
    "audit zeros.npy --other items.npy": "zeros.npy: E takes vectors",
    "audit items.npy --other items.npy": "items.npy: other takes the vectors of the other side",
}


@pytest.mark.parametrize("arguments", REFUSED)
def test_what_is_refused_is_said_in_one_line(arguments, folder, capsys):
    for name, rows in (("few", ITEMS[:3]), ("one", ITEMS[:1]), ("zeros", 0 * ITEMS), ("nan", ITEMS * np.nan)):
        np.save(f"{name}.npy", rows)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    code, out, err = said(arguments, capsys)
    assert code == 2 and out == "" and err.count("\n") == 1
    where, _, words = err.partition(": ")
    assert where.startswith(("cossim_helpers ", "python -m cossim_helpers")) and words.startswith(REFUSED[arguments])
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


# --- what it says and returns ---


def test_the_bar_fills_up_and_ends_its_line(monkeypatch):
    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    for share in (0.0, 0.26, 0.99, 1.0):
        command._bar(share)
    widths = (0, 10, 40, 40)
    assert shown.getvalue() == "".join(f"\r[{'=' * width}{' ' * (40 - width)}]" for width in widths) + "\n"
    assert shown.flushed == 4


def test_the_audit_prints_what_it_found(folder, capsys):
    quick = "-k 3 --draws 1"
    found = ch.audit_embeddings(ITEMS, other=USERS, k=3, n_draws=1)
    asked = f"audit items.npy --other users.npy {quick} --seed 0"
    assert said(asked, capsys) == (0, "\n".join(audit_lines(found)) + "\n", "")
    code, out, err = said(f"{asked} --json --report page.html", capsys)
    assert (code, err) == (0, "") and json.loads(out) == json.loads(as_json(found))
    assert "Audit of items.npy" in (folder / "page.html").read_text(encoding="utf-8")
    assert 0 < found.stays < 1
    for share, expected in ((0, 0), (found.stays, 0), (np.nextafter(found.stays, 1), 1), (1, 1)):
        assert said(f"{asked} --fail-under {share!s}", capsys)[0] == expected
    np.save("few.npy", ITEMS[:3])
    np.save("user.npy", USERS[:1])
    assert said("audit few.npy --other user.npy -k 2 --draws 1", capsys)[0] == 0


def test_the_comparison_prints_what_it_found(folder, capsys):
    found = ch.compare_embeddings(ITEMS, AGAIN, k=2, n_queries=11, rng=5)
    asked = "compare items.npy again.npy -k 2 --queries 11 --seed 5"
    assert said(asked, capsys) == (0, "\n".join(comparison_lines(found)) + "\n", "")
    assert json.loads(said(f"{asked} --json", capsys)[1]) == json.loads(as_json(found))
    assert 0 < found.overlap_mapped < 1
    for share, expected in ((found.overlap_mapped, 0), (np.nextafter(found.overlap_mapped, 1), 1)):
        assert said(f"{asked} --fail-under {share!s}", capsys)[0] == expected
    np.savez("again.npz", items=AGAIN, users=USERS)
    assert said(f"{asked.replace('items.npy again.npy', 'two.npz again.npz')} --key items", capsys)[0] == 0
    np.save("four.npy", ITEMS[:4])
    assert said("compare four.npy four.npy -k 3", capsys)[0] == 0


def test_the_repair_writes_what_it_says(folder, capsys):
    keeps = "keeps the cosines between predicted score columns; no invertible G moves them\n"
    both = ch.predicted_item_vectors(USERS, ITEMS)
    asked = "repair two.npz --key items --other two.npz --other-key users --trained squared -o out.npy"
    assert said(asked, capsys) == (0, f"out.npy: 12 vectors of 3 numbers, predicted\n{keeps}", "")
    np.testing.assert_allclose(np.load("out.npy"), both)
    np.savez("users.npz", items=USERS, users=ITEMS)
    for method in ("whitened", "balanced"):
        said(f"repair two.npz --key items --other users.npz --method {method} -o out.npz", capsys)
        with np.load("out.npz") as archive:
            np.testing.assert_allclose(archive["vectors"], ch.repair_vectors(ITEMS, USERS, method=method))
    np.save("few.npy", ITEMS[:2])
    code, out, _ = said("repair few.npy -o out.npy", capsys)  # over what stood there
    assert code == 0 and out.startswith("out.npy: 2 vectors of 3 numbers, centered\nkeeps all but the mean item")
    code, out, _ = said("repair items.npy --other users.npy -o out.npy", capsys)
    assert code == 0 and out.startswith("out.npy: 12 vectors of 3 numbers, canonical\n")
    np.save("user.npy", USERS[:1])
    assert said("repair items.npy --other user.npy --trained squared -o out.npy", capsys)[0] == 0
    moved = ch.repair_vectors(ITEMS, USERS, trained="triplet-euclidean")
    said("repair items.npy --other users.npy --trained triplet-euclidean -o out.npy", capsys)
    np.testing.assert_allclose(np.load("out.npy"), moved)


def test_what_may_not_be_written_is_refused_first(folder, capsys, monkeypatch):
    asked = []
    monkeypatch.setattr(os, "access", lambda path, mode: asked.append((str(path), mode)) or mode != os.W_OK)
    for output in ("new.npy", "again.npy"):
        assert said(f"repair gone.npy -o {output}", capsys)[2].endswith(f"{output}: may not be written here\n")
    assert asked == [(".", os.W_OK), ("again.npy", os.W_OK)]


def test_arguments_are_those_of_the_process_if_none_are_passed(folder, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["cossim_helpers", "compare", "items.npy", "again.npy", "-k", "2"])
    assert main() == 0 and "shared" in capsys.readouterr().out

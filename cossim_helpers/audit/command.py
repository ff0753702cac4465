"""The command: python -m cossim_helpers audit | compare | repair."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from ..losses import LOSSES, determined
from .compare import compare_embeddings
from .embeddings import audit_embeddings
from .fault import FileFault
from .files import read_vectors, require_writable, write_vectors
from .repair import REPAIRS, UNKNOWN, default_repair, repair_vectors
from .report import as_json, audit_lines, audit_page, comparison_lines
from .tables import as_vectors

DONE, BELOW, BAD_INPUT = 0, 1, 2
_EXITS = "exit codes: 0 done; 1 below --fail-under; 2 bad input, with one line that names the file and the place"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 0, 1 below --fail-under, 2 for bad input."""
    if hasattr(sys.stdout, "reconfigure"):  # a sign that the terminal or the pipe does not have ends no audit
        sys.stdout.reconfigure(errors="backslashreplace")
    parser = _parser()
    asked = parser.parse_args(arguments)
    if getattr(asked, "other_key", None) is not None and asked.other is None:
        parser.error("argument --other-key: takes a table of --other, which is not given")
    try:
        return {"audit": _audit, "compare": _compare, "repair": _repair}[asked.command](asked)
    except (ValueError, TypeError, OSError, MemoryError) as error:
        words = " ".join(str(error).split()) or type(error).__name__
        print(f"cossim_helpers {asked.command}: {_place(asked, error)}{words}", file=sys.stderr)
        return BAD_INPUT


def _place(asked, error: Exception) -> str:
    """The file whose vectors an error is about, unless its words begin with a file."""
    given = (asked.file, getattr(asked, "other", None), getattr(asked, "again", None))
    if isinstance(error, (FileFault, OSError)) or str(error).startswith(tuple(f"{name} " for name in given)):
        return ""
    argument = re.split(r"\W", str(error))[0]
    role = {"E2": "other", "P": "other", "other": "other", "users": "other", "again": "again"}.get(argument, "file")
    return f"{getattr(asked, role, None) or asked.file}: "


def _audit(asked) -> int:
    if asked.report:
        _output(asked.report, asked.file, asked.other, asked.again)
    rows = _rows(asked.file, asked.key, at_least=3)
    other = _rows(asked.other, asked.other_key or asked.key, at_least=1) if asked.other else None
    again = _rows(asked.again, asked.key) if asked.again else None
    _same(asked.other, other, asked.file, rows, axis=1)
    _same(asked.again, again, asked.file, rows, axis=0)
    audit = audit_embeddings(
        rows,
        other=other,
        again=again,
        trained=asked.trained,
        k=asked.k,
        n_queries=asked.queries,
        n_draws=asked.draws,
        spread=asked.spread,
        rng=asked.seed,
        done=_bar if sys.stderr.isatty() else lambda share: None,
    )
    print(as_json(audit) if asked.json else "\n".join(audit_lines(audit)))
    if asked.report:
        page = audit_page(audit, Path(asked.file).name)
        Path(asked.report).write_text(page, encoding="utf-8", errors="backslashreplace")
    return BELOW if asked.fail_under is not None and audit.stays < asked.fail_under else DONE


def _compare(asked) -> int:
    one, two = (_rows(name, asked.key, at_least=4) for name in (asked.file, asked.other))
    _same(asked.other, two, asked.file, one, axis=0)
    comparison = compare_embeddings(one, two, k=asked.k, n_queries=asked.queries, rng=asked.seed)
    print(as_json(comparison) if asked.json else "\n".join(comparison_lines(comparison)))
    return BELOW if asked.fail_under is not None and comparison.overlap_mapped < asked.fail_under else DONE


def _repair(asked) -> int:
    _output(asked.output, asked.file, asked.other)
    require_writable(asked.output)
    items = _rows(asked.file, asked.key)
    users = _rows(asked.other, asked.other_key or asked.key, at_least=1) if asked.other else None
    _same(asked.other, users, asked.file, items, axis=1)
    method = asked.method or default_repair(asked.trained, users is not None)
    vectors = repair_vectors(items, users, method=method, trained=asked.trained)
    write_vectors(asked.output, vectors)
    output = asked.output.encode("utf-8", "backslashreplace").decode()  # a name may hold what is no text
    print(f"{output}: {len(vectors):,} vectors of {vectors.shape[1]} numbers, {method}")
    print(f"keeps {REPAIRS[method].keeps}")
    return DONE


def _rows(path, key, at_least: int = 2):
    """The vectors of a file; what is wrong with one of them names the file and the place."""
    return as_vectors(path, read_vectors(path, key=key).rows, at_least=at_least)


def _same(path, rows, with_path, with_rows, axis: int) -> None:
    """Refuse a file whose vectors do not fit those of another, before anything is computed."""
    if rows is not None and rows.shape[axis] != with_rows.shape[axis]:
        what = ("rows", "columns")[axis]
        raise FileFault(Path(path), f"has {rows.shape[axis]:,} {what}, {with_path} has {with_rows.shape[axis]:,}")


def _output(path, *inputs) -> None:
    """Refuse, before anything is computed, a file to write that cannot be written, or that is one of those read."""
    path = Path(path)
    try:
        os.lstat(path)  # an OSError says itself what is wrong with a name
    except FileNotFoundError:
        pass
    except ValueError:
        raise FileFault(path, "is no name that a file can have") from None
    if path.is_dir():
        raise FileFault(path, "this is a folder; a file to write is taken")
    if not path.parent.is_dir():
        raise FileFault(path, "its folder does not exist")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise FileFault(path, "may not be written here")
    for name in inputs:
        if name and path.exists() and Path(name).exists() and os.path.samefile(path, name):
            raise FileFault(path, "would be written over what is read; name another file")


def _bar(share: float) -> None:
    width = round(40 * share)
    print(f"\r[{'=' * width}{' ' * (40 - width)}]", end="\n" if share >= 1 else "", file=sys.stderr, flush=True)


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with the arguments."""

    def error(self, message):
        self.exit(BAD_INPUT, f"{self.prog}: {message}\n")


def _share(text: str) -> float:
    """A number from 0 to 1."""
    if not 0 <= float(text) <= 1:
        raise argparse.ArgumentTypeError(f"takes a number from 0 to 1, got {text}")
    return float(text)


def _file(text: str) -> str:
    """The name of a file: an empty one is no option left out."""
    if not text or "\0" in text:
        raise argparse.ArgumentTypeError(f"takes the name of a file, got {text!r}")
    return text


def _seed(text: str) -> int:
    """An integer of at least 0."""
    if int(text) < 0:
        raise argparse.ArgumentTypeError(f"takes an integer of at least 0, got {text}")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m cossim_helpers",
        description="Can I trust my cosine? What training pinned down, and how to repair it.",
        epilog=_EXITS,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    audit = _command(
        commands, "audit", "what training pinned down of one table of vectors", "the vectors that are served"
    )
    audit.add_argument("--other", type=_file, metavar="F", help="the other side: users, queries, contexts")
    audit.add_argument("--other-key", metavar="KEY", help="which table of that file; default: --key")
    audit.add_argument("--again", type=_file, metavar="F", help="the same rows from another training")
    _trained(audit)
    _search(audit)
    audit.add_argument("--draws", type=int, default=10, help="draws of each gauge (10)")
    audit.add_argument("--spread", type=float, default=2.0, help="gauges scale by 1/spread to spread (2)")
    audit.add_argument("--report", type=_file, metavar="OUT.HTML", help="write a page with pictures, too")
    audit.add_argument(
        "--fail-under", type=_share, metavar="SHARE", help="exit 1 if fewer neighbors are safe from gauges"
    )

    compare = _command(commands, "compare", "two trainings of the same rows", "the first training")
    compare.add_argument("other", metavar="FILE2", help="the second training: row i is the same item")
    _search(compare)
    compare.add_argument(
        "--fail-under", type=_share, metavar="SHARE", help="exit 1 if fewer neighbors are shared after the map"
    )

    repair = _command(commands, "repair", "vectors whose cosines the training did determine", "the items")
    repair.add_argument("--other", type=_file, metavar="F", help="the other side: users, queries, contexts")
    repair.add_argument("--other-key", metavar="KEY", help="which table of that file; default: --key")
    _trained(repair)
    repair.add_argument("--method", choices=REPAIRS, help="default: what --trained calls for")
    repair.add_argument("-o", "--output", required=True, metavar="OUT", help=".npy or .npz")
    return parser


def _command(commands, name: str, words: str, what: str) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=words, description=words[0].upper() + words[1:] + ".", epilog=_EXITS)
    command.add_argument("file", metavar="FILE", help=what)
    command.add_argument("--key", help="which array, tensor, field or column of a file that holds several")
    return command


def _trained(command: argparse.ArgumentParser) -> None:
    labels = ", ".join(f"{loss} ({determined(loss).label})" for loss in LOSSES)
    command.add_argument(
        "--trained", default=UNKNOWN, choices=(*LOSSES, UNKNOWN), metavar="LOSS", help=f"one of: {labels}"
    )


def _search(command: argparse.ArgumentParser) -> None:
    command.add_argument("-k", type=int, default=10, help="neighbors (10)")
    command.add_argument("--queries", type=int, default=500, help="rows that are looked up, at most (500)")
    command.add_argument("--seed", type=_seed, default=0, help="draws rows and gauges (0)")
    command.add_argument("--json", action="store_true", help="print all numbers as JSON")

"""The tables of benchmarks/results on the page "Benchmarks": the directive `timings`, one table for each data set.

    {timings} spectra.csv paper 1      the rows of this data set with this number of threads

tests/book/test_benchmarks.py holds what the page says of them to the same rows.
"""

import csv
import math
from pathlib import Path

from data_text import literal
from sphinx.util.docutils import SphinxDirective

RESULTS = "benchmarks/results"
OURS = "×\N{NO-BREAK SPACE}ours"
HEADS = ("Method", "CPU seconds", f"CPU, {OURS}", f"wall, {OURS}", "Memory", "Projector", "Missed")
ERRORS = ("projector_error", "objective_gap")


def read(root, table):
    """Return the rows of a table, as text."""
    with (Path(root) / RESULTS / table).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def chosen(rows, data, threads):
    """Return the rows of a data set with a number of threads, by kernel in the order of the table."""
    found = {}
    for row in rows:
        if (row["data"], row["threads"]) == (data, threads):
            found.setdefault(row["kernel"], []).append(row)
    return found


def seconds(text):
    """Return a time with the digits that a reader needs, in one piece."""
    value = float(text)
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


def power(text):
    """Return an error as a power of ten, "0" below rounding, or as a share."""
    value = float(text)
    if value <= 0:
        return "0"
    return f"{value:.2f}" if value >= 0.01 else f"$10^{{{round(math.log10(value))}}}$"


def spread(row):
    """Return the median of the CPU times and their range, each with what belongs to it in one piece."""
    if row["runs"] == "1":
        return f"{seconds(row['cpu'])} (once)"
    least, most = (seconds(row[f"cpu_{end}"]) for end in ("least", "most"))
    return f"{seconds(row['cpu'])} ({least}\N{EN DASH}{most})"


def cells(row):
    """Return the cells of a row that was measured."""
    ratios = [f"{float(row[f'{clock}_ratio']):.1f}" for clock in ("cpu", "wall")]
    errors = [power(row[key]) for key in ERRORS if row[key]]
    cells = (row["method"], spread(row), *ratios, f"{float(row['peak_mb']):.0f} MB", *errors)
    return tuple(cell.replace(" ", "\N{NO-BREAK SPACE}") if n else cell for n, cell in enumerate(cells))


def not_run(rows):
    """Return a line that names what was not run, those with one reason together; none if all was run."""
    reasons = {}
    for row in rows:
        if row["note"]:
            reasons.setdefault(row["note"].removeprefix("not run: "), []).append(row["method"])
    said = "; ".join(f"{', '.join(names)} ({why})" for why, names in reasons.items())
    return [f"Not run: {literal(said)}.", ""] if said else []


def listed(root, table, data, threads):
    """Return the tables of a data set in MyST, one for each kernel, and what was not run below it."""
    text = []
    for kernel, rows in chosen(read(root, table), data, threads).items():
        about = rows[0]
        size = f"{int(about['n']):,} × {int(about['p']):,}"
        more = f", {int(about['nonzeros']):,} numbers, k = {int(about['k'])}" if "nonzeros" in about else ""
        measured = [row for row in rows if not row["note"]]
        judged = any(row[key] for row in measured for key in ERRORS)
        lines = [HEADS if judged else HEADS[:5], *((literal(name), *rest) for name, *rest in map(cells, measured))]
        text += [
            f"~~~{{list-table}} {size}{more}. Threads: {threads}. OpenBLAS kernel: {literal(kernel)}.",
            ":header-rows: 1",
            ":class: timings",
            "",
        ]
        text += ["\n  ".join(("* - " if n == 0 else "- ") + cell for n, cell in enumerate(line)) for line in lines]
        text += ["~~~", "", *not_run(rows)]
    return "\n".join(text)


class Timings(SphinxDirective):
    """{timings}: a file of benchmarks/results, a data set, a number of threads."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self):
        table, *data, threads = self.arguments[0].split()
        self.env.note_dependency(f"{RESULTS}/{table}")
        text = listed(self.env.srcdir, table, " ".join(data), threads)
        if not text:
            raise self.error(f"timings: no such rows: {self.arguments[0]}")
        return self.parse_text_to_nodes(text)


def setup(app):
    app.add_directive("timings", Timings)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

"""Tables that a cell shows: HTML with a caption and headers on a page, the same as aligned text in a terminal."""

from __future__ import annotations

import html
import numbers
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ._validation import listed, of_type, real_number, shown, text, whole_number

WIDEST = 79  # columns of the text
LEFT = ' style="text-align: left"'


@dataclass(frozen=True)
class Table:
    """A table of words and numbers. It shows itself where it is the last value of a cell, or by `display`.

    Parameters
    ----------
    caption : str
        What the table shows, in a line.
    columns : sequence of str
        The headers. The first one heads the names of the rows and may be empty.
    rows : sequence
        Each is a sequence with a name and then a cell for each other column: a str, an int, a float, or a tuple of
        numbers that share the cell. A row that is a str is the heading of the rows below it.
    form : str or sequence of str, optional
        How floats are written, such as ".2f" or ".0%", everywhere or in each column but the first. What rounds to zero
        has no sign. Whole numbers have their thousands separated.
    join : str, optional
        What stands between numbers that share a cell, such as "±" or " to ".
    over : dict of str to int, optional
        Headers above the headers, each with the number of columns that it spans, from the first column on.

    After construction all entries of `rows` are the texts that the table shows. Its `repr` is the aligned text, at most
    79 columns wide; the HTML says the same, word for word.

    Raises
    ------
    ValueError
        For an empty caption, no rows, a row of another length than `columns`, spans that do not add up to it, a number
        that is not finite, or a text that is wider than 79 columns.
    TypeError
        For an entry that is neither text nor a real number.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence
    form: str | Sequence[str] = ".2f"
    join: str = "±"
    over: Mapping[str, int] | None = None

    def __post_init__(self):
        columns = tuple(text("columns", one) for one in listed("columns", self.columns, "texts"))
        forms = [self.form] * (len(columns) - 1) if isinstance(self.form, str) else listed("form", self.form, "texts")
        forms = [_form(form) for form in forms]
        if not text("caption", self.caption).strip():
            raise ValueError(f"caption takes what the table shows, got {shown(self.caption)}")
        text("join", self.join)
        if len(columns) < 2 or len(forms) != len(columns) - 1:
            raise ValueError(
                "form takes one text for each of columns but the first, of which there are at least two: "
                f"got {len(forms)} for {len(columns)}"
            )
        if self.over is not None and (spans := _spans(self.over)) != len(columns):
            raise ValueError(f"over takes spans that add up to {len(columns)}, got {spans}")
        given = listed("rows", self.rows, "rows")
        rows = tuple(row if isinstance(row, str) else _written(row, ("", *forms), self.join) for row in given)
        if not any(isinstance(row, tuple) for row in rows):
            raise ValueError("rows takes at least one row, got none")
        over = None if self.over is None else dict(self.over)
        for name, value in {"columns": columns, "rows": rows, "over": over}.items():
            object.__setattr__(self, name, value)
        if (width := max(map(len, repr(self).splitlines()))) > WIDEST:
            raise ValueError(f"rows takes what fits into {WIDEST} columns of text, got {width}")

    @property
    def left(self) -> tuple[bool, ...]:
        """Whether each column stands at its left edge: the names of the rows, and words."""
        cells = zip(*(row for row in self.rows if not isinstance(row, str)))
        return tuple(not n or not all(any(map(str.isdigit, cell)) for cell in column) for n, column in enumerate(cells))

    def __repr__(self) -> str:
        indent = "  " if any(isinstance(row, str) for row in self.rows) else ""
        rows = [row if isinstance(row, str) else (indent + row[0], *row[1:]) for row in self.rows]
        cells = [self.columns, *(row for row in rows if not isinstance(row, str))]
        widths = [max(map(len, column)) for column in zip(*cells)]
        gap = 2 if sum(widths) + 2 * len(widths) - 2 <= WIDEST else 1
        lines = textwrap.wrap(self.caption, WIDEST)
        if self.over:
            starts = [sum(widths[:place]) + gap * place for place in range(len(widths))]
            line, place = "", 0
            for name, span in self.over.items():
                line = f"{line:{starts[place]}}{name} " if name else line
                place += span
            lines.append(line)
        for row in (self.columns, *rows):
            if not isinstance(row, str):
                shown = [f"{cell:{'<' if left else '>'}{width}}" for cell, left, width in zip(row, self.left, widths)]
                row = (gap * " ").join(shown)
            lines.append(row)
        return "\n".join(line.rstrip() for line in lines)

    @property
    def html(self) -> str:
        """The table as HTML: a caption, a header for each column and for each row."""
        parts = ['<table class="cossim-table">', f"<caption>{html.escape(self.caption)}</caption>", "<thead>"]
        if self.over:
            heads = [_head(name, "colgroup", f' colspan="{span}"') for name, span in self.over.items()]
            parts.append(f"<tr>{''.join(heads)}</tr>")
        heads = [_head(name, "col", LEFT * left) for name, left in zip(self.columns, self.left)]
        parts += [f"<tr>{''.join(heads)}</tr>", "</thead>", "<tbody>"]
        across = f' colspan="{len(self.columns)}"{LEFT}'
        for n, row in enumerate(self.rows):
            if isinstance(row, str):
                parts += ["</tbody>", "<tbody>"] if n else []
                parts.append(f"<tr>{_head(row, 'rowgroup', across)}</tr>")
                continue
            cells = [f"<td{LEFT * left}>{html.escape(cell)}</td>" for cell, left in zip(row[1:], self.left[1:])]
            parts.append(f"<tr>{_head(row[0], 'row', LEFT)}{''.join(cells)}</tr>")
        return "\n".join([*parts, "</tbody>", "</table>"])

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        return {"text/html": self.html, "text/plain": repr(self)}


def _head(name: str, scope: str, more: str) -> str:
    return f'<th scope="{scope}"{more}>{html.escape(name)}</th>' if name else f"<td{more}></td>"


def _written(row, forms, join) -> tuple[str, ...]:
    row = listed("rows", row, "rows, each of them a text or a sequence")
    if len(row) != len(forms):
        raise ValueError(f"rows takes rows of {len(forms)} entries, got one of {len(row)}: {shown(row)}")
    cells = [cell if isinstance(cell, (str, tuple)) else (cell,) for cell in row]
    return tuple(
        cell if isinstance(cell, str) else join.join(_number(one, form) for one in cell)
        for cell, form in zip(cells, forms)
    )


def _form(form) -> str:
    try:
        format(1.5, text("form", form))
    except ValueError as error:
        raise ValueError(f"form takes how a float is written, such as '.2f', got {shown(form)}: {error}") from None
    return form


def _spans(over) -> int:
    if not isinstance(over, Mapping):
        raise TypeError(f"over takes a dict of numbers of columns by headers, got {of_type(over)}")
    return sum(whole_number("over", span, low=1) for name, span in over.items() if text("over", name) is name)


def _number(value, form: str) -> str:
    number = real_number("rows", value)
    text = format(value, ",") if isinstance(value, numbers.Integral) else format(number, form)
    if not any(digit in text for digit in "123456789"):
        text = text.lstrip("+-")
    return text.replace("-", "−", 1) if text.startswith("-") else text

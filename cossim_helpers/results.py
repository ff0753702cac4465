"""The tables of long studies, which the book keeps beside the package and the notebooks read.

Beside the stages. A notebook finds them from whichever folder it is run in: the package knows where the book is.
"""

from __future__ import annotations

import os
from pathlib import Path

from ._validation import shown, text

FOLDERS = ("studies/results", "benchmarks/results")
BOOK = Path(__file__).parents[1]  # where the package is installed from the book itself, as `make lab` and Binder do


class TableNotFound(FileNotFoundError):
    """A stored table is not there. In a notebook its words alone appear, no traceback."""

    def __init__(self, name: str):
        super().__init__(
            f"Stopped: the table {name} is not here. It belongs to the book, not to the package alone.\n"
            "Get the whole repository of the book, and type in its folder: make lab\n"
            "The page of this chapter shows all outputs without it."
        )

    def _render_traceback_(self) -> list[str]:
        return str(self).splitlines()


def stored_table(name: str) -> Path:
    """Where the book keeps a table that one of its long studies computed.

    It is sought beside the package, then in the folder where Python runs and in those around it.

    Parameters
    ----------
    name : str
        Such as "remedies.csv", a file of `studies/results` or of `benchmarks/results`.

    Returns
    -------
    Path
        Of an existing file.

    Raises
    ------
    TableNotFound
        Where there is no such file, as beside a notebook that was downloaded alone.
    TypeError, ValueError
        For a name that is no text, or that leads to another folder.

    Notes
    -----
    `make study` and `make bench` compute these tables anew.
    """
    if not text("name", name) or Path(name).name != name:
        raise ValueError(f"name takes the name of a file, without a folder, got {shown(name)}")
    here = Path.cwd()
    for root in (BOOK, here, *here.parents):
        for folder in FOLDERS:
            if os.path.isfile(path := root / folder / name):  # of a name too long, too, Path.is_file raises
                return path
    raise TableNotFound(name)

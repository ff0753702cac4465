"""What only some chapters need, and a reader may not have: it stops a cell in words."""

from __future__ import annotations

import importlib


class ExtraNotInstalled(ModuleNotFoundError):
    """A package of an extra is not installed. In a notebook its words alone appear, no traceback."""

    def __init__(self, package: str, extra: str, size: str):
        super().__init__(
            f"Stopped: these cells need the package {package}, which is not installed here.\n"
            f"To run them, install what this chapter adds to the book ({size}, once):\n"
            f"    pip install -r requirements-{extra}.txt        in the folder of the book, or: make {extra}\n"
            "Then restart the kernel. The page of this chapter shows all outputs without it.",
            name=package,
        )

    def _render_traceback_(self) -> list[str]:
        return str(self).splitlines()


class DaskNotInstalled(ExtraNotInstalled):
    """Dask, of `requirements-dask.txt`, is not installed. In a notebook its words alone appear, no traceback."""

    def __init__(self, package: str):
        super().__init__(package, "dask", "about 30 megabytes")


def require_dask() -> None:
    """Raise `DaskNotInstalled` unless Dask and its scheduler can be imported.

    Raises
    ------
    DaskNotInstalled
        It says what to type.
    """
    for package in ("dask", "distributed"):
        try:
            importlib.import_module(package)
        except ModuleNotFoundError:
            raise DaskNotInstalled(package) from None

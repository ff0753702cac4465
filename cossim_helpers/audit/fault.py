"""What is wrong with a file, in one line, and which of its columns hold names."""

from __future__ import annotations

import re
from pathlib import Path


class FileFault(ValueError):
    """A file that cannot be read as vectors: its name, the place, what it got and what it takes."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(f"{path}: {' '.join(what.split())}")


def is_name(title: str) -> bool:
    """Whether the title of a column says that it holds names: none, as over an index, or id, item_id, name, …"""
    return not title.strip() or re.search(r"(^|[ _])(id|index|key|name)$", title.strip(), re.IGNORECASE) is not None

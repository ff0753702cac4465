"""Where the lines of checks go: at once to a terminal; in a notebook below all else that the cell prints.

A notebook's cell may make the same check of many numbers. Its lines wait until the cell has run. Then a line that
follows itself is printed once, with its count, and so is a round of lines.
"""

from __future__ import annotations

import sys
import weakref

_waiting: list[str] = []
_shells: weakref.WeakSet = weakref.WeakSet()


def say(line: str) -> None:
    """Print a line, or let it wait for the end of the cell that is running."""
    shell = _notebook()
    if shell is None:
        print(line)
        return
    if shell not in _shells:
        _shells.add(shell)
        shell.events.register("post_run_cell", lambda result: release())
    _waiting.append(line)


def release() -> None:
    """Print the lines that wait, in the order of their checks."""
    lines, _waiting[:] = _waiting[:], []
    for line in counted(lines):
        print(line)


def counted(lines: list[str]) -> list[str]:
    """Return the lines, a round that follows itself once: for a a a b "a, 3 times" and b, for a b a b "2 rounds of 2".

    No two orders of lines are said alike.
    """
    said, place = [], 0
    while rest := lines[place:]:
        size, times = max(
            ((size, _times(rest, size)) for size in range(1, len(rest) + 1)),
            key=lambda found: ((found[1] > 1) * found[0] * found[1], -found[0]),
        )
        count = "" if times == 1 else f", {times} times" if size == 1 else f", {times} rounds of {size}"
        said += [line + count for line in rest[:size]]
        place += size * times
    return said


def _times(lines: list[str], size: int) -> int:
    """Return how often the first `size` lines follow each other."""
    times = 1
    while lines[times * size : (times + 1) * size] == lines[:size]:
        times += 1
    return times


def _notebook():
    """Return IPython's shell, or None outside of it."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython else None

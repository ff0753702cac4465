"""Timing and memory, with the standard library alone."""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path


def interleaved(competitors: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each competitor in each round.

    One round calls all of them, one after the other, and every other round in reverse: what the machine does
    meanwhile meets all alike. A first call of each, not counted, loads libraries and wakes threads.
    """
    seconds = {name: [] for name in competitors}
    for call in competitors.values():
        call()
    for number in range(rounds):
        for name in list(competitors)[:: -1 if number % 2 else 1]:
            start = time.perf_counter()
            competitors[name]()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def report(seconds: Mapping[str, list[float]], ours: str, required: Mapping[str, float]) -> list[str]:
    """Print median and range of each competitor, and of its ratio to ours round by round.

    Returns, in words, where the median ratio is below what `required` asks for (name → ratio).
    """
    missed = []
    print(f"{'':28}{'median':>9} {'fastest':>9} {'slowest':>9}   ratio to ours (range)")
    for name, times in seconds.items():
        line = f"{name:28}{statistics.median(times):8.3f}s {min(times):8.3f}s {max(times):8.3f}s"
        if name != ours:
            ratios = [theirs / own for theirs, own in zip(times, seconds[ours], strict=True)]
            ratio = statistics.median(ratios)
            line += f"   {ratio:.1f} ({min(ratios):.1f} to {max(ratios):.1f})"
            if name in required:
                line += f", at least {required[name]:g} wanted"
                if ratio < required[name]:
                    missed.append(f"{name}: {ratio:.2f} times our time, at least {required[name]:g} wanted")
        print(line)
    return missed


def peak_memory() -> float:
    """The most memory that this process has held so far, in MB.

    On Linux from its own address space: getrusage would count what the parent held when it started this process.
    """
    status = Path("/proc/self/status")
    if status.exists():
        of_line = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(of_line["VmHWM"].split()[0]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10

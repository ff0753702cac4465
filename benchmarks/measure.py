"""Timing and memory, with the standard library alone."""

from __future__ import annotations

import csv
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
LONG, VERY_LONG = 3.0, 10.0  # CPU seconds of a call, above which it is called less often


def peak_memory() -> float:
    """The most memory that this process has held so far, in MB.

    On Linux from its own address space: getrusage would count what the parent held when it started this process.
    """
    status = Path("/proc/self/status")
    if status.exists():
        of_line = dict(line.split(":", 1) for line in status.read_text(encoding="utf-8").splitlines())
        return int(of_line["VmHWM"].split()[0]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def serve(call: Callable[[], object], judge: Callable[[object], dict]) -> None:
    """In a process of its own: one timed call for each line of stdin, and at its end what the last call found."""
    found, before = None, peak_memory()
    for _ in sys.stdin:
        found = None
        wall, cpu = time.perf_counter(), time.process_time()
        found = call()
        timed = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
        print(
            json.dumps(timed | {"peak": peak_memory() - before, "kernel": kernel_of_blas()} | judge(found)), flush=True
        )


def interleaved(commands: Mapping[str, list[str]], rounds: int, threads: int, kernel: str) -> dict[str, list[dict]]:
    """What each competitor reports, call by call. Each waits in a process of its own, and only one computes at a time.

    One round calls all, one after the other, and every other round in reverse: what the machine does meanwhile meets
    all alike. A call above LONG takes part in three rounds, one above VERY_LONG in one.
    """
    environment = os.environ | {name: str(threads) for name in THREADS} | {"PYTHONPATH": str(ROOT)}
    environment.pop("OPENBLAS_CORETYPE", None)  # what OpenBLAS takes where nobody chooses
    environment |= {"OPENBLAS_CORETYPE": kernel} if kernel else {}
    waiting = {
        name: subprocess.Popen(
            [sys.executable, *command], env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for name, command in commands.items()
    }
    reports = {name: [] for name in commands}
    try:
        for number in range(rounds):
            for name in list(commands)[:: -1 if number % 2 else 1]:
                cpu = max((report["cpu"] for report in reports[name]), default=0.0)
                if len(reports[name]) < (1 if cpu > VERY_LONG else 3 if cpu > LONG else rounds):
                    waiting[name].stdin.write("\n")
                    waiting[name].stdin.flush()
                    if not (line := waiting[name].stdout.readline()):
                        raise RuntimeError(f"{name} ended without a word: see above")
                    reports[name].append(json.loads(line) | {"round": number})
    finally:
        for process in waiting.values():
            process.stdin.close()
            process.wait()
            process.stdout.close()
    return reports


def row(reports: list[dict], ours: list[dict]) -> dict:
    """Medians and spread of the times, ratios to ours round by round, and what else the calls reported."""
    values = {"runs": len(reports)}
    of_round = {report["round"]: report for report in ours}
    for clock in ("cpu", "wall"):
        times = [report[clock] for report in reports]
        ratios = [report[clock] / of_round[report["round"]][clock] for report in reports]
        values |= {clock: statistics.median(times), f"{clock}_least": min(times), f"{clock}_most": max(times)}
        values |= {f"{clock}_ratio": statistics.median(ratios)}
        values |= {f"{clock}_ratio_least": min(ratios), f"{clock}_ratio_most": max(ratios)}
    values["peak_mb"] = reports[0]["peak"]
    values["kernel"] = reports[0]["kernel"]
    return values | {key: reports[-1].get(key, "") for key in ("projector_error", "objective_gap")}


def store(name: str, rows: Iterable[dict]) -> None:
    """Write a table of benchmarks/results, times to three digits."""
    rows = list(rows)
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / name).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        for one in rows:
            writer.writerow({key: f"{value:.3g}" if isinstance(value, float) else value for key, value in one.items()})


def show(rows: Iterable[dict]) -> None:
    """Print what a reader compares."""
    for one in rows:
        if one["note"]:
            print(f"  {one['method']:32} {one['note']}")
            continue
        line = f"  {one['method']:32} CPU {one['cpu']:8.3f} s ({one['cpu_least']:.3f} to {one['cpu_most']:.3f})"
        line += f"   wall {one['wall']:8.3f} s   to ours: CPU {one['cpu_ratio']:6.2f}, wall {one['wall_ratio']:6.2f}"
        line += f"   {one['peak_mb']:6.0f} MB"
        accuracy = [f"{one[key]:.0e}" for key in ("projector_error", "objective_gap") if one.get(key, "") != ""]
        print(line + "   " + "  ".join(accuracy), flush=True)


def kernel_of_blas() -> str:
    """The kernel that NumPy's BLAS has chosen, or "unknown"."""
    import numpy  # noqa: F401  its BLAS must be loaded
    from threadpoolctl import threadpool_info

    return next(
        (one.get("architecture", "unknown") for one in threadpool_info() if one["user_api"] == "blas"), "unknown"
    )

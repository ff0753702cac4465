"""What each test file and each notebook costs, in seconds of CPU: `make test COSTS=1`.

Wall time says little beside other work, and nothing about two processes. Counted is what this process uses, what its
children have used that have ended, and, for the cells of a notebook, the kernel that still runs. What a file pays once,
such as the start of its kernel, belongs to its first test; what comes before the first test is "collecting".
"""

import os
from collections import defaultdict

import psutil
import pytest
from nbval.plugin import IPyNbCell

COLLECTING = "(collecting the tests, in each process)"
spent = defaultdict(lambda: defaultdict(float))  # of each file, each test
measured = {"at": 0.0}


def used_by_kernels():
    """Return the seconds of the children that run, and of theirs."""
    total = 0.0
    for child in psutil.Process().children(recursive=True):
        try:
            total += sum(child.cpu_times()[:4])
        except psutil.NoSuchProcess:
            continue  # it has just ended, and counts among those that have
    return total


def used(item):
    """Return the seconds of CPU that the process has used so far; what is still open of a kernel is in them."""
    return sum(os.times()[:4]) + (used_by_kernels() if isinstance(item, IPyNbCell) else 0.0)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item):
    now = used(item)
    before, measured["at"] = (now if measured["at"] == 0.0 else 0.0), now
    if before:
        item.user_properties.append(("collecting", before))
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if call.when == "teardown":
        report.user_properties.append(("cpu", used(item) - measured["at"]))
    return report


def pytest_runtest_logreport(report):
    if report.when == "teardown":
        file, _, test = report.nodeid.partition("::")
        for name, seconds in report.user_properties:
            if name == "cpu":
                spent[file][test] += seconds
            elif name == "collecting":
                spent[COLLECTING][""] += seconds


def table(spent, tests=3, least=0.5):
    """Yield a line for each file, the costliest first, with its costliest tests."""
    totals = {file: sum(of.values()) for file, of in spent.items()}
    yield f"{sum(totals.values()):8.1f}  all"
    for file in sorted(totals, key=totals.get, reverse=True):
        first = sorted(spent[file], key=spent[file].get, reverse=True)[:tests]
        named = ", ".join(f"{spent[file][test]:.1f} {test}" for test in first if test and spent[file][test] >= least)
        yield f"{totals[file]:8.1f}  {file}" + (f"  ({named})" if named else "")


def pytest_terminal_summary(terminalreporter):
    terminalreporter.section("seconds of CPU")
    for line in table(spent):
        terminalreporter.write_line(line)

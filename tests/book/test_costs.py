"""tools/costs.py: the seconds of CPU of a test are its own and its children's, and each file's are added up."""

import re
import subprocess
import sys
from pathlib import Path

from tools import costs

ROOT = Path(__file__).parents[2]
WORK = """
import subprocess, sys, time

BURN = "import time\\nwhile time.process_time() < {}: pass"

def test_in_a_child():
    subprocess.run([sys.executable, "-c", BURN.format(0.8)], check=True)

def test_here():
    end = time.process_time() + 0.6
    while time.process_time() < end: pass

def test_that_waits():
    time.sleep(0.6)
"""


def test_what_a_test_uses_is_counted_and_not_what_it_waits_for(tmp_path):
    (tmp_path / "test_work.py").write_text(WORK, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "tools.costs", "-q", f"--rootdir={tmp_path}", "test_work.py"]
    environment = {"PYTHONPATH": str(ROOT), "PATH": ""}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    line = re.search(r"^ *([\d.]+)  test_work\.py  \((.*)\)$", done.stdout, re.MULTILINE)
    assert line, done.stdout + done.stderr
    found = {name: float(seconds) for seconds, name in re.findall(r"([\d.]+) (\w+)", line[2])}
    assert [*found] == ["test_in_a_child", "test_here"]
    assert found["test_in_a_child"] >= 0.8 and found["test_here"] >= 0.6
    assert "collecting" in done.stdout


def test_the_table_adds_up_and_begins_with_the_costliest():
    spent = {"a.py": {"one": 0.2, "two": 0.4}, "b.py": {"x": 3.0, "y": 0.1}, costs.COLLECTING: {"": 1.0}}
    assert [*costs.table(spent)] == [
        "     4.7  all",
        "     3.1  b.py  (3.0 x)",
        f"     1.0  {costs.COLLECTING}",
        "     0.6  a.py",
    ]

"""Known advisories on the locked versions: `make audit`.

pip-audit asks PyPI about each line of each lock. What it cannot ask about it skips and calls the audit clean, and what
another platform installs it leaves out. Here each line is asked about, and one without an answer is an error.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCKS = (".binder/requirements.txt", *(f"requirements-{name}.txt" for name in ("dev", "data", "dask", "bench")))
PIP_AUDIT = (sys.executable, "-m", "uv", "tool", "run", "pip-audit")  # the newest one, in an environment of its own
OPTIONS = ("--no-deps", "--disable-pip", "--progress-spinner=off", "--format=json", "--requirement=/dev/stdin")


class Failed(Exception):
    """The audit has not been done; the message says why."""


def locked(root=ROOT):
    """Return {name: version} of all locks, whatever the platform; two versions of one name are an error."""
    found = {}
    for lock in LOCKS:
        for line in Path(root, lock).read_text(encoding="utf-8").splitlines():
            if match := re.match(r"([A-Za-z0-9._-]+)==([^\s;]+)", line):
                name, version = normal(match[1]), match[2]
                if found.setdefault(name, version) != version:
                    raise Failed(f"{lock} has {name} {version}, another lock {found[name]}")
    return found


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def asked(versions, command=PIP_AUDIT):
    """Return what pip-audit reports of {name: version}."""
    lines = "".join(f"{name}=={version}\n" for name, version in versions.items())
    done = subprocess.run([*command, *OPTIONS], input=lines, capture_output=True, text=True)
    try:
        return json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        raise Failed(f"pip-audit fails:\n{done.stderr.strip()[-2000:]}") from None


def problems(versions, report):
    """Return (lines on advisories, lines on what has no answer)."""
    answered = {normal(one["name"]): one for one in report if "skip_reason" not in one}
    skipped = {normal(one["name"]): one["skip_reason"] for one in report if "skip_reason" in one}
    known = [
        f"{name} {one['version']}: {', '.join([advisory['id'], *advisory['aliases']])}, "
        f"fixed in {', '.join(advisory['fix_versions']) or 'no version yet'}"
        for name, one in answered.items()
        for advisory in one["vulns"]
    ]
    silent = [
        f"{name} {version}: no answer ({skipped.get(name, 'not in the report')})"
        for name, version in versions.items()
        if answered.get(name, {}).get("version") != version
    ]
    return known, silent


def main(command=PIP_AUDIT, root=ROOT):
    try:
        versions = locked(root)
        known, silent = problems(versions, asked(versions, command))
    except Failed as why:
        print(why, file=sys.stderr)
        return 1
    counts = f"{len(versions)} packages, {len(known)} advisories, {len(silent)} without an answer"
    print(*known, *silent, counts, sep="\n")
    return 1 if known or silent else 0


if __name__ == "__main__":
    sys.exit(main())

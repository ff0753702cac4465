"""Each page says where it comes from: its repository, its commit, and the Python that it was verified with.

As a Sphinx extension it sets the theme's buttons and footer. As a script it writes the stamp that the footer
reads: `make test` calls it when everything has passed.
"""

import json
import os
import platform
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

from markupsafe import escape
from sphinx.errors import ConfigError

ROOT = Path(__file__).parents[2]
STAMP = ROOT / "_build" / "verified.json"


class Revision(NamedTuple):
    commit: str  # the full hash; empty where it is unknown
    clean: bool  # whether the files are that commit's, none changed and none added


def revision(root=ROOT):
    """Return the commit that is checked out at root."""

    def git(*arguments):
        command = ["git", "-C", str(root), *arguments]
        return os.fsdecode(subprocess.run(command, check=True, capture_output=True).stdout).strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")) != Path(root).resolve():
            return Revision("", clean=False)  # an unpacked archive inside of some other repository
        return Revision(git("rev-parse", "HEAD"), clean=not git("status", "--porcelain"))
    except (OSError, subprocess.CalledProcessError):  # no git, no repository, no commit yet
        return Revision("", clean=False)


def write_stamp(path=STAMP, root=ROOT):
    """Record that this commit has passed its tests with this Python."""
    text = json.dumps(revision(root)._asdict() | {"python": platform.python_version()})
    try:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as problem:  # a folder that is read-only: the tests have passed all the same
        print(f"pages will not say with which Python they were verified, since there is no {path.name}: {problem}")


def verified_with(now, path=STAMP):
    """Return the Python version that verified exactly these files, or None."""
    try:
        stamp = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return stamp["python"] if now.commit == stamp["commit"] and now.clean and stamp["clean"] else None


def repository_url(environ=os.environ):
    """Return the address of the repository that this build runs in, or None where it is unknown."""
    name, server = environ.get("GITHUB_REPOSITORY"), environ.get("GITHUB_SERVER_URL", "https://github.com")
    if not name:
        return None
    if not re.fullmatch(r"[A-Za-z0-9-]+/[\w.-]+", name, re.ASCII):
        raise ConfigError(f"GITHUB_REPOSITORY is {name!r}; it must be owner/name")
    if not re.fullmatch(r"https://[A-Za-z0-9.-]+(:\d+)?", server):
        raise ConfigError(f"GITHUB_SERVER_URL is {server!r}; it must be https://host")
    return f"{server}/{name}"


def footer(now, python, url=None):
    """Return the line that closes each page, as HTML."""
    commit = f"<code>{now.commit[:10]}</code>" if now.commit else "unknown"
    if url and now.commit:
        commit = f'<a href="{url}/commit/{now.commit}">{commit}</a>'
    changes = " with local changes" if now.commit and not now.clean else ""
    unverified = "not verified in this checkout; run <code>make test</code>"
    verified = f"verified with Python {escape(python)}" if python else unverified
    return f"<p>Commit {commit}{changes}, {verified}.</p>"


def configure_theme(app, config):
    now, url = revision(), repository_url()
    config.html_theme_options["extra_footer"] = footer(now, verified_with(now), url)
    if url:
        config.html_theme_options |= {
            "repository_url": url,
            "repository_branch": "main",
            "repository_provider": "github",
            "use_repository_button": True,
            "use_edit_page_button": True,
            "use_issues_button": True,
            "launch_buttons": {"binderhub_url": "https://mybinder.org", "notebook_interface": "jupyterlab"},
        }


def setup(app):
    app.connect("config-inited", configure_theme)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


if __name__ == "__main__":
    write_stamp()

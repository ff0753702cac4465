"""The tools of the weekly workflow, without the network: links to outside, advisories on the locks."""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tools import advisories, links

ROOT = Path(__file__).parents[2]

# Links


class Site(BaseHTTPRequestHandler):
    def do_GET(self):
        code = {"/gone": 404, "/closed": 403, "/moved": 301}.get(self.path, 200)
        self.send_response(code)
        if code == 301:
            self.send_header("Location", "/there")
        body = b'<p id="part">here</p>'
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *words):
        pass


@pytest.fixture
def site():
    with HTTPServer(("127.0.0.1", 0), Site) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.filterwarnings("ignore")  # of the parser, about docutils
def test_a_link_that_leads_nowhere_is_found(site, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(links.SETTINGS, "linkcheck_retries", 1)
    (tmp_path / "README.md").write_text(
        f"# A\n\n[a]({site}/there) [b]({site}/moved) [c]({site}/gone) [d]({site}/closed) [e]({site}/there#part)\n"
        f"[f]({site}/there#lost) [g](#a) [h](LICENSE)\n",
        encoding="utf-8",
    )
    (tmp_path / "CITATION.cff").write_text(f'url: "{site}/elsewhere"\nother: {site}/gone\n', encoding="utf-8")
    lines = links.of_the_texts(tmp_path, tmp_path / "out")
    broken, unseen = links.sorted_out(lines)
    assert sorted(text.split(": ")[1].removeprefix(site) for text in broken) == ["/gone", "/there#lost"]
    assert [text.split(": ")[1].removeprefix(site) for text in unseen] == ["/closed"]
    assert len({line["uri"] for line in lines}) == 7  # of both files, and nothing that is not an address
    assert links.report(lines) == 1
    assert "7 addresses, 2 broken, 1 that let no program in" in capsys.readouterr().out


def test_whoever_has_looked_at_nothing_has_failed(capsys):
    good = {"filename": "a.md", "lineno": 1, "uri": "https://example.org", "status": "working", "info": ""}
    assert links.report([good]) == 0
    assert links.report([good, good | {"status": "timeout", "info": "timed out"}]) == 1
    assert links.report([]) == 1


@pytest.mark.parametrize(
    ("info", "refuses"),
    [
        ("403 Client Error: Forbidden for url: https://example.org/404", True),
        ("429 Client Error: Too Many Requests for url: https://example.org", True),
        ("404 Client Error: Not Found for url: https://example.org/403", False),
        ("HTTPSConnectionPool(host='example.org', port=443): Max retries exceeded: Failed to resolve", False),
        ("Anchor 'part' not found", False),
    ],
)
def test_who_keeps_programs_out_is_told_from_who_is_gone(info, refuses):
    line = {"filename": "a.md", "lineno": 1, "uri": "https://example.org", "status": "broken", "info": info}
    broken, unseen = links.sorted_out([line, line])
    assert (len(broken), len(unseen)) == ((0, 1) if refuses else (1, 0))


# Advisories


@pytest.fixture
def locks(tmp_path):
    (tmp_path / ".binder").mkdir()
    for name in advisories.LOCKS:
        (tmp_path / name).write_text("# What it is.\n-r requirements.txt\n", encoding="utf-8")
    (tmp_path / ".binder" / "requirements.txt").write_text(
        "jinja2==3.1.2\nruamel_yaml==0.19 ; os_name == 'nt'\n-e .\n", encoding="utf-8"
    )
    return tmp_path


def pip_audit(folder, report, words=""):
    """A program that keeps what it is asked and answers with a report, as pip-audit does."""
    path = folder / "pip_audit.py"
    path.write_text(
        "import pathlib, sys\n"
        f"pathlib.Path({str(folder / 'asked')!r}).write_text(sys.stdin.read())\n"
        f"sys.stdout.write({report!r}); sys.stderr.write({words!r})\n",
        encoding="utf-8",
    )
    return sys.executable, str(path)


def answer(name, version, *vulns):
    return {"name": name, "version": version, "vulns": list(vulns)}


ADVISORY = {"id": "PYSEC-2024-1", "fix_versions": ["3.1.3"], "aliases": ["CVE-2024-22195"], "description": "x"}


@pytest.mark.parametrize(
    ("report", "code", "said"),
    [
        ([answer("jinja2", "3.1.2"), answer("ruamel-yaml", "0.19")], 0, "2 packages, 0 advisories, 0 "),
        (
            [answer("jinja2", "3.1.2", ADVISORY), answer("ruamel-yaml", "0.19")],
            1,
            "jinja2 3.1.2: PYSEC-2024-1, CVE-2024-22195, fixed in 3.1.3",
        ),
        (  # what pip-audit calls clean, with exit code 0, where it cannot reach what it asks
            [{"name": "jinja2", "skip_reason": "Dependency not found"}, answer("ruamel-yaml", "0.19")],
            1,
            "jinja2 3.1.2: no answer (Dependency not found)",
        ),
        ([answer("jinja2", "3.1.2")], 1, "ruamel-yaml 0.19: no answer (not in the report)"),
        ([answer("jinja2", "3.1.1"), answer("ruamel-yaml", "0.19")], 1, "jinja2 3.1.2: no answer"),
    ],
)
def test_an_advisory_and_a_missing_answer_fail(locks, capsys, report, code, said):
    command = pip_audit(locks, json.dumps({"dependencies": report, "fixes": []}))
    assert advisories.main(command, locks) == code
    assert said in capsys.readouterr().out
    assert (locks / "asked").read_text(
        encoding="utf-8"
    ) == "jinja2==3.1.2\nruamel-yaml==0.19\n"  # on other platforms, too


def test_an_audit_that_stops_says_why(locks, capsys):
    assert advisories.main(pip_audit(locks, "", "no network"), locks) == 1
    assert "pip-audit fails:\nno network" in capsys.readouterr().err
    (locks / "requirements-dev.txt").write_text("jinja2==3.1.4\n", encoding="utf-8")
    assert advisories.main(pip_audit(locks, "{}"), locks) == 1
    assert "requirements-dev.txt has jinja2 3.1.4, another lock 3.1.2" in capsys.readouterr().err


def test_every_lock_is_asked_about():
    there = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("requirements-*.txt")}
    assert set(advisories.LOCKS) == there | {".binder/requirements.txt"}
    count = sum("==" in line for lock in advisories.LOCKS for line in (ROOT / lock).read_text("utf-8").splitlines())
    assert 150 < len(advisories.locked()) <= count

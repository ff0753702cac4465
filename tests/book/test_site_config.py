"""The site's configuration: what a page says of its origin, that it needs no other host, that its macros exist."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import api
import markup
import offline
import provenance
import pytest
import yaml
from sphinx.errors import ConfigError, ExtensionError

from tools import toc

ROOT = Path(__file__).parents[2]
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["sphinx"]["config"]
PAGES = toc.pages()


@pytest.fixture
def repository(tmp_path):
    """An empty repository, and a function that runs git in it."""

    def git(*arguments):
        identity = ["-c", "user.name=reader", "-c", "user.email=reader@example.org"]
        subprocess.run(["git", "-C", tmp_path, *identity, *arguments], check=True, capture_output=True)

    git("init", "--quiet")
    return tmp_path, git


# Where a page comes from


@pytest.mark.parametrize("environ", [{}, {"GITHUB_REPOSITORY": ""}, {"GITHUB_SERVER_URL": "https://github.com"}])
def test_an_unknown_repository_gets_no_buttons(environ):
    assert provenance.repository_url(environ) is None


def test_the_repository_is_the_one_that_the_build_runs_in():
    assert provenance.repository_url({"GITHUB_REPOSITORY": "ada/cos.sim_2"}) == "https://github.com/ada/cos.sim_2"
    server = {"GITHUB_REPOSITORY": "ada/book", "GITHUB_SERVER_URL": "https://github.example.org"}
    assert provenance.repository_url(server) == "https://github.example.org/ada/book"


@pytest.mark.parametrize(
    "environ",
    [
        {"GITHUB_REPOSITORY": "ada"},
        {"GITHUB_REPOSITORY": "ada/book/more"},
        {"GITHUB_REPOSITORY": 'ada/"><script>'},
        {"GITHUB_REPOSITORY": "ada/book\n"},
        {"GITHUB_REPOSITORY": "ada/book", "GITHUB_SERVER_URL": "javascript:alert(1)"},
        {"GITHUB_REPOSITORY": "ada/book", "GITHUB_SERVER_URL": "https://github.com/"},
    ],
)
def test_a_malformed_repository_is_an_error(environ):
    with pytest.raises(ConfigError, match="it must be"):
        provenance.repository_url(environ)


class Config:
    def __init__(self):
        self.html_theme_options = {}


def test_buttons_appear_only_where_the_repository_is_known(monkeypatch):
    monkeypatch.setattr(provenance, "repository_url", lambda: None)
    provenance.configure_theme(None, config := Config())
    assert set(config.html_theme_options) == {"extra_footer"}
    monkeypatch.setattr(provenance, "repository_url", lambda: "https://github.com/ada/book")
    provenance.configure_theme(None, config := Config())
    assert config.html_theme_options["repository_url"] == "https://github.com/ada/book"
    assert config.html_theme_options["launch_buttons"]["binderhub_url"] == "https://mybinder.org"
    assert config.html_theme_options["launch_buttons"]["notebook_interface"] == "jupyterlab"


def test_the_commit_is_unknown_without_a_repository_or_a_commit(tmp_path, repository, monkeypatch):
    assert provenance.revision(tmp_path) == ("", False)  # a repository without a commit
    (tmp_path / "unpacked").mkdir()
    assert provenance.revision(tmp_path / "unpacked") == ("", False)  # inside of somebody else's
    monkeypatch.setenv("PATH", "")
    assert provenance.revision(tmp_path) == ("", False)  # no git


def test_verified_means_the_same_commit_with_clean_files_at_both_times(repository):
    root, git = repository
    (root / ".gitignore").write_text("/_build/\n", encoding="utf-8")
    git("add", ".")
    git("commit", "--quiet", "--message", "first")
    stamp = root / "_build" / "verified.json"
    python = ".".join(map(str, sys.version_info[:3]))

    def verified():
        return provenance.verified_with(provenance.revision(root), stamp)

    first = provenance.revision(root)
    assert first.clean
    assert len(first.commit) == 40
    assert verified() is None  # never tested
    provenance.write_stamp(stamp, root)
    assert verified() == python
    (root / "new").write_text("", encoding="utf-8")
    assert verified() is None  # changed since the test
    provenance.write_stamp(stamp, root)
    assert verified() is None  # tested with changes
    (root / "new").unlink()
    assert verified() is None  # tested with changes that are gone now
    provenance.write_stamp(stamp, root)
    git("commit", "--quiet", "--allow-empty", "--message", "second")
    assert verified() is None  # another commit
    stamp.write_text("{", encoding="utf-8")
    assert verified() is None


@pytest.mark.parametrize(
    ("revision", "python", "text"),
    [
        (("", False), None, "Commit unknown, not verified in this checkout; run <code>make test</code>."),
        (("a" * 40, False), None, "Commit <code>aaaaaaaaaa</code> with local changes, not verified in this checkout;"),
        (("a" * 40, True), "3.11.7", "Commit <code>aaaaaaaaaa</code>, verified with Python 3.11.7."),
    ],
)
def test_the_footer_says_what_is_known(revision, python, text):
    assert text in provenance.footer(provenance.Revision(*revision), python)


def test_the_footer_links_to_the_commit_where_the_repository_is_known():
    footer = provenance.footer(provenance.Revision("a" * 40, True), None, "https://github.com/ada/book")
    assert f'href="https://github.com/ada/book/commit/{"a" * 40}"' in footer


# No other host


def test_nothing_that_a_page_loads_comes_from_elsewhere():
    assert CONFIG["nb_ipywidgets_js"] == {}
    assert not {"sphinx_thebe", "sphinx.ext.intersphinx"} & set(CONFIG["extensions"])
    loaded = CONFIG["html_css_files"] + CONFIG["html_js_files"] + offline.COMPONENTS
    assert not [name for name in loaded if re.match(r"\w+://|//", name)]
    styles = (ROOT / "book" / "_static" / "custom.css").read_text(encoding="utf-8")
    assert not re.findall(r"@import|url\(\s*[\"']?(?:https?:)?//", styles)


def test_every_part_of_mathjax_that_pages_load_is_installed():
    assert all((offline.MATHJAX / name).is_file() for name in offline.FILES)
    loaded = {component.replace("[tex]", "input/tex/extensions") + ".js" for component in offline.COMPONENTS}
    assert loaded <= set(offline.FILES)


def test_the_icon_fonts_keep_used_names_and_what_other_styles_show():
    own_list = r'.fa-sun:before{content:"\f185"}.fa-x:before,.fa-xmark:before{content:"\f00d"}'
    rest = r'.a:after{content:"\f107"}' + '.b:after{content:"\uf05a"}'
    assert offline.icon_characters(own_list + rest, used={"xmark"}) == {"\uf00d", "\uf107", "\uf05a"}
    newer = r'.fa-sun{--fa:"\f185"}.fa-x,.fa-xmark{--fa:"\f00d"}.fa:before{content:var(--fa)}'
    assert offline.icon_characters(newer + rest, used={"xmark"}) == {"\uf00d", "\uf107", "\uf05a"}
    assert offline.without_icons(newer, used={"xmark"}) == newer.removeprefix(r'.fa-sun{--fa:"\f185"}')


def test_the_list_of_icons_keeps_the_used_names_alone():
    listed = r'.fa-sun:before{content:"\f185"}.fa-x:before,.fa-xmark:before{content:"\f00d"}.fa-fw{width:1em}'
    assert offline.without_icons(listed, used={"xmark"}) == listed.removeprefix(r'.fa-sun:before{content:"\f185"}')


def test_the_fonts_of_icons_are_found_in_older_and_in_newer_themes(tmp_path):
    with pytest.raises(ExtensionError, match=r"holds no fa-solid-900 as \.ttf or \.woff2"):
        offline.font_of(tmp_path, "fa-solid-900")
    for kind in (".woff2", ".ttf"):
        path = tmp_path / f"fa-solid-900{kind}"
        path.write_bytes(b"")
        assert offline.font_of(tmp_path, "fa-solid-900") == path


def test_the_fonts_of_formulas_keep_what_is_written_or_named():
    page = r'<p>\gg →</p><span class="math notranslate nohighlight">\(a \lesssim b &lt; \vec c ∘ d\)</span>'
    tables = r'lesssim:"\u2272",gg:"\u226b",vec:["Accent","2192"],top:["\u22a4",{x:1}]'
    assert offline.symbols(page, tables) == {*offline.UNNAMED, "≲", "→", "∘"}
    assert "⊤" in offline.symbols(page.replace("lesssim", "top"), tables)


# Markup


def test_references_are_items_of_their_list_and_boxes_of_a_kind_share_no_id():
    body = '<div class="citation" id="id7" role="doc-biblioentry"><section id="proof-content"><p id="thm-1">'
    assert markup.corrected(body) == '<div class="citation" id="id7" role="listitem"><section><p id="thm-1">'


def test_scripts_wait_but_for_those_that_pages_call():
    scripts = [markup._JavaScript("_static/a.js"), markup._JavaScript("_static/doctools.js"), markup._JavaScript(None)]
    markup.correct(None, "page", "page.html", {"script_files": scripts}, None)
    assert [script.attributes.get("defer") for script in scripts] == ["defer", None, None]


# Mathematics


def macros_in(path):
    r"""Return the \commands in the formulas of a page."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells)
    code = r"(?ms)^(`{3,})(?!\{(?:math|prf:|exercise|solution|admonition|dropdown)).*?^\1\s*$|`[^`\n]+`"
    text = re.sub(code, "", text)
    return set(re.findall(r"\\([A-Za-z]+)", text))


def known_macros():
    """Return the names that MathJax's installed parts define."""
    scripts = [offline.MATHJAX / name for name in offline.FILES if name.startswith("input/")]
    text = "".join(script.read_text(encoding="utf-8") for script in scripts)
    return set(re.findall(r'["{,]?([A-Za-z]+)"?:', text))


def test_an_undefined_macro_would_be_found():
    assert {"lVert", "lambda"} <= set().union(*map(macros_in, PAGES))
    assert {"frac", "operatorname", "Omega", "mathbb", "lVert", "begin", "text", "tag"} <= known_macros()
    assert not {"dMatt", "undefined", "cosine", "nrom"} & known_macros()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_macro_is_defined(path):
    assert macros_in(path) <= known_macros()


# The environment


def test_each_direct_dependency_is_locked_and_nothing_heavy_is():
    lock = (ROOT / ".binder" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    locked = {line.split("==")[0] for line in lock if "==" in line}
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    assert {re.match(r"[\w-]+", name)[0] for name in declared} <= locked
    assert not {"scikit-learn", "torch", "pyarrow"} & locked  # JAX, 350 MB, is needed to train
    assert not [line for line in lock if re.search(r"https?:|file:|^-|--|@ ", line)]
    package = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in package if not line.startswith("#")] == ["-r .binder/requirements.txt", "-e ."]


@pytest.mark.parametrize("extra", ["data", "dask", "bench"])
def test_each_extra_is_locked_apart(extra):
    """A reader's lock and Binder stay without them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {re.match(r"[\w-]+", name)[0] for name in project["optional-dependencies"][extra]}
    lock = (ROOT / f"requirements-{extra}.txt").read_text(encoding="utf-8").splitlines()
    locked = {line.split("==")[0] for line in lock if "==" in line}
    assert declared <= locked
    assert not {"torch", "pyarrow"} & locked
    assert [line for line in lock if "==" not in line and not line.startswith("#")] == ["-r requirements.txt"]
    reader = (ROOT / ".binder" / "requirements.txt").read_text(encoding="utf-8")
    assert not [name for name in locked if re.search(rf"^{re.escape(name)}==", reader, re.MULTILINE)]


def test_the_locks_agree_on_each_version():
    versions = {}
    for path in ROOT.glob("requirements*.txt"):
        for name, version in re.findall(r"^([\w-]+)==([^ ;\n]+)", path.read_text(encoding="utf-8"), re.MULTILINE):
            assert versions.setdefault(name, version) == version, name


def test_the_tests_and_the_notebooks_find_each_extra_installed():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for extra in project["optional-dependencies"].keys() - {"bench"}:
        stamp = re.search(rf"^(\w+) := \.venv/{extra}-", makefile, re.MULTILINE)[1]
        for target in ("test", "notebooks", extra):
            assert re.search(rf"^{target}:.*\$\({stamp}\)", makefile, re.MULTILINE), (target, extra)
        assert f"requirements-{extra}.txt" in makefile and f".venv/{extra}-*" in makefile


def test_the_peers_of_the_benchmarks_stay_in_an_environment_of_their_own():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert [line for line in makefile.splitlines() if "$(peers)" in line and not line.startswith("$(peers):")] == [
        line for line in makefile.splitlines() if line.startswith("bench:")
    ]
    installs = [line for line in makefile.splitlines() if "requirements-bench.txt" in line and line.startswith("\t")]
    assert len(installs) == 1 and installs[0].startswith("\t.venv/bench/bin/python -m pip install")


GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = sorted(path for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml") if path.stem != "config")


def schema(name, *paths):
    return ["--builtin-schema", name, *paths]


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("check-jsonschema", schema("vendor.github-workflows", *WORKFLOWS)),
        ("check-jsonschema", schema("custom.github-workflows-require-timeout", *WORKFLOWS)),
        ("check-jsonschema", schema("vendor.dependabot", GITHUB / "dependabot.yml")),
        ("check-jsonschema", schema("vendor.github-issue-forms", *FORMS)),
        ("check-jsonschema", schema("vendor.github-issue-config", GITHUB / "ISSUE_TEMPLATE" / "config.yml")),
        ("check-jsonschema", schema("vendor.citation-file-format", ROOT / "CITATION.cff")),
        ("zizmor", ["--offline", "--quiet", "--pedantic", GITHUB]),
    ],
    ids=["workflows", "timeouts", "dependabot", "forms", "issues", "citation", "security"],
)
def test_what_others_read_is_valid(tool, arguments):
    done = subprocess.run([Path(sys.executable).with_name(tool), *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def steps(path):
    """Yield the steps of a workflow, and its jobs that call another workflow."""
    for job in yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values():
        yield from job.get("steps", [job])


def test_an_action_has_one_hash_with_its_version_beside_it():
    pins = {}
    for path in WORKFLOWS:
        for name, rest in re.findall(r"uses: ([\w-]+/[\w-]+)(.*)", path.read_text(encoding="utf-8")):
            assert re.fullmatch(r"@[0-9a-f]{40} # v\d+\.\d+\.\d+", rest), (path.name, name)
            assert pins.setdefault(name, rest) == rest, (path.name, name)
    assert "actions/checkout" in pins


def test_what_a_workflow_does_can_be_done_here():
    """Each step is a make target of ours, or of the runner's own programs."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):.*##", makefile, re.MULTILINE))
    runs = [step["run"] for path in WORKFLOWS for step in steps(path) if "run" in step]
    made = {word for run in runs if run.startswith("make ") for word in run.split()[1:] if "=" not in word}
    known = {"lint", "test", "test-site", "test-binder", "release", "audit", "links", "matrix", "plain"}
    assert known <= made <= targets
    others = {run.split()[0] for run in runs if not run.startswith("make ")}
    assert others <= {"sudo", "sha256sum", "gh", "git"}


def test_the_job_that_may_write_runs_no_code_of_the_repository():
    for path in WORKFLOWS:
        flow = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert flow["permissions"] == {}
        for name, job in flow["jobs"].items():
            if "write" in job["permissions"].values():
                assert name in ("publish", "deploy")
                assert not [step for step in job["steps"] if "checkout" in step.get("uses", "")]
                assert not [step for step in job["steps"] if step.get("run", "").startswith(("make", "python"))]
            else:
                assert job["permissions"] == {"contents": "read"}


# The API page


def test_docstrings_are_made_ready_for_the_page():
    docstring = [
        "Cosines, |a| ≤ 1; see `rescale`, `k`.",
        "",
        "    AUC = P(s > t), `w` |x|",
        "",
        "      + ½ P(s = t)",
        "",
        "Parameters",
        "----------",
        "k : int",
        "",
        "    Rank.",
        "",
        "Notes",
        "-----",
        "    A formula",
        "",
        "    another.",
    ]
    assert list(api.ready(docstring)) == [
        r"Cosines, \|a\| ≤ 1; see :py:obj:`~cossim_helpers.rescale`, ``k``.",
        "",
        ".. code-block:: text",
        "    :class: formula",
        "",
        *docstring[2:14],
        "    A formula",
        "",
        ".. code-block:: text",
        "    :class: formula",
        "",
        "    another.",
    ]

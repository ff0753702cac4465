"""Open and run the book as Binder does, without Docker: `make test-binder`.

    python -m tools.binder [--keep] [NOTEBOOK ...]     without names: every notebook that _toc.yml lists

Binder has the tracked files, the Python and the packages that .binder/ names, and nothing else. So has this check, set
up in the order of the Dockerfile that repo2docker 2026.4 writes: the packages before any other file is there, so that
they stay from commit to commit; then the files; then postBuild. A change of the package must have an effect. The check
follows the launch button of each notebook's page, opens a session through the server's REST interface, runs all cells
over a websocket, and moves each control of each widget once. An error, a line on
stderr, a widget without a view, a control that redraws nothing, or a button that leads elsewhere is a failure.

Real data are not among them. A cell with the tag `needs-data` must stop the run in words, without a traceback,
that say what to install; the cells after it are not run.
"""

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit
from urllib.request import ProxyHandler, Request, build_opener

import websocket
import yaml
from bs4 import BeautifulSoup
from jupyter_client.session import Session
from jupyter_server.services.kernels.connection.base import deserialize_msg_from_ws_v1, serialize_msg_to_ws_v1

from tools import pythons, toc

ROOT = Path(__file__).parents[1]
REPOSITORY = "reader/book"  # any will do: the pages take it from the environment
SECONDS = 600  # for each cell and each step
PROTOCOL = "v1.kernel.websocket.jupyter.org"
MADE = {".git", ".venv", "_build", ".ipynb_checkpoints", "cossim_helpers.egg-info"}
EDITED = "checks.py"  # any module of the package will do
NEEDS = {  # tag of a cell: the error that stops it where something is missing, and the lock that installs it
    "needs-data": ("DataNotInstalled", "requirements-data.txt"),
    "needs-dask": ("DaskNotInstalled", "requirements-dask.txt"),
}
ENDS = {"needs-data"}  # what follows needs it as well; what follows a cell with another of these tags must run
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
FAILURES = (RuntimeError, OSError, subprocess.SubprocessError, websocket.WebSocketException)


# The environment


def files_of(root):
    """Return the names of the files that Git knows, or of all that nothing has made where there is no clone."""
    try:
        listed = subprocess.run(["git", "-C", root, "ls-files", "-z"], check=True, capture_output=True)
        names = list(filter(None, os.fsdecode(listed.stdout).split("\0")))
    except (OSError, subprocess.CalledProcessError):
        names = []
    if names:
        return names
    print(f"{root} is no clone: taking all its files for those that Git would know", flush=True)
    paths = (path.relative_to(root) for path in sorted(root.rglob("*")) if path.is_file())
    return [path.as_posix() for path in paths if not MADE.intersection(path.parts) and path.suffix != ".pyc"]


def copy_tracked_files(folder, root=ROOT):
    """Copy what a commit would hold: the files that Git knows, as they are now."""
    for name in files_of(root):
        if (root / name).is_file():  # a file that was removed is not in the next commit
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, folder / name)


def find_python(runtime):
    """Return a Python of the version that .binder/runtime.txt asks for, or this one, and say which it is."""
    version = runtime.strip().removeprefix("python-")
    if python := pythons.find(version):
        return python, f"Python {version}, as runtime.txt asks"
    this = "{}.{}".format(*sys.version_info)
    return sys.executable, f"Python {this}: no Python {version}, which runtime.txt asks for, is installed here"


def environment_of(python, home, **more):
    """Return the variables for programs of a virtual environment: nothing of the user's own settings."""
    foreign = ("PYTHON", "JUPYTER", "IPYTHON", "VIRTUAL_ENV", "MPL", "GITHUB_", "XDG_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    path = os.pathsep.join([str(Path(python).parent), kept["PATH"]])
    return kept | {"PATH": path, "HOME": str(home), "PYTHONNOUSERSITE": "1"} | more


def call(*command, **options):
    """Return what a program prints; if it fails, raise with the end of that."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    done = subprocess.run(command, text=True, timeout=SECONDS, **pipes, **options)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))} fails:\n{done.stdout[-4_000:]}")
    return done.stdout


def install(base, folder, home):
    """Return the Python of a new virtual environment that holds what .binder/ asks for."""
    call(base, "-m", "venv", home / "venv")
    python = home / "venv" / "bin" / "python"
    settings = environment_of(python, Path.home())  # where pip finds its index
    (home / "first").mkdir()  # nothing else of the repository is there yet
    lock = shutil.copy2(folder / ".binder" / "requirements.txt", home / "first")
    call(python, "-m", "pip", "install", "--quiet", "--requirement", lock, cwd=home / "first", env=settings)
    variables = environment_of(python, home)
    call(folder / ".binder" / "postBuild", cwd=folder, env=variables)
    call(python, "-m", "pip", "check", env=variables)
    refuse_deaf_edits(python, folder, variables)
    extensions = call(python, "-m", "jupyter", "labextension", "list", env=variables)
    if "not compatible" in extensions:
        raise RuntimeError(extensions)
    return python


def refuse_deaf_edits(python, folder, variables):
    """What a reader changes in the package must be what a notebook imports."""
    module = folder / "cossim_helpers" / EDITED
    before = module.read_text(encoding="utf-8")
    module.write_text(f"{before}\nEDITED = True\n", encoding="utf-8")
    try:
        found = f"import cossim_helpers.{module.stem} as module; print(module.__file__, hasattr(module, 'EDITED'))"
        said = call(python, "-c", found, cwd=folder / "book", env=variables).split()
    finally:
        module.write_text(before, encoding="utf-8")
    if said[-1] != "True":
        raise RuntimeError(f"a change of {module} has no effect: notebooks import {' '.join(said[:-1])}")


# The server


@dataclass(frozen=True)
class Server:
    url: str
    token: str

    def ask(self, path, method="GET", body=None):
        """Return the answer, as bytes. HTTPError, an OSError, unless the server is content."""
        data = None if body is None else json.dumps(body).encode()
        request = Request(self.url + path, data, {"Authorization": f"token {self.token}"}, method=method)
        with build_opener(ProxyHandler({})).open(request, timeout=SECONDS) as answer:
            return answer.read()


@contextlib.contextmanager
def serve(python, folder, home):
    """Run JupyterLab on a free port of this machine, with a token."""
    runtime = home / "runtime"
    command = [python, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", "--port=0"]
    with open(home / "server.log", "w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [*command, f"--ServerApp.root_dir={folder}"],
            env=environment_of(python, home, JUPYTER_RUNTIME_DIR=str(runtime)),
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield wait_for_server(process, runtime)
    finally:
        process.terminate()  # it ends its kernels first
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()


def wait_for_server(process, runtime, seconds=120):
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        for path in runtime.glob("jpserver-*.json"):
            with contextlib.suppress(OSError, ValueError):  # half written, or not yet listening
                facts = json.loads(path.read_text(encoding="utf-8"))
                server = Server(facts["url"], facts["token"])
                server.ask("api/status")
                return server
        time.sleep(0.1)
    raise RuntimeError(f"no server:\n{(runtime.parent / 'server.log').read_text(encoding='utf-8')}")


# A notebook


@contextlib.contextmanager
def opened(server, path):
    """Open a notebook as JupyterLab does: its content, a session with a kernel, the channels to the kernel."""
    notebook = json.loads(server.ask(f"api/contents/{quote(path)}?type=notebook&content=1"))["content"]
    kernel = {"name": notebook["metadata"]["kernelspec"]["name"]}
    wanted = {"path": path, "name": Path(path).name, "type": "notebook", "kernel": kernel}
    session = json.loads(server.ask("api/sessions", "POST", wanted))
    try:
        channels = websocket.create_connection(
            f"{server.url.replace('http', 'ws', 1)}api/kernels/{session['kernel']['id']}/channels",
            header={"Authorization": f"token {server.token}"},
            subprotocols=[PROTOCOL],
            timeout=SECONDS,
        )
        with contextlib.closing(channels):
            yield notebook, channels
    finally:
        with contextlib.suppress(OSError):  # the kernel may be dead; the server ends what remains
            server.ask(f"api/sessions/{session['id']}", "DELETE")


def request(channels, kind, content, seconds=SECONDS):
    """Send a message. Return the (kind, content) of all that it causes, once it is answered and the kernel is idle."""
    packer = Session()
    message = packer.msg(kind, content=content)
    channels.settimeout(seconds)
    channels.send_binary(serialize_msg_to_ws_v1(message, "shell", packer.pack))
    waiting = {"idle"} | ({"execute_reply"} if kind == "execute_request" else set())
    caused, deadline = [], time.monotonic() + seconds
    while waiting:
        _channel, parts = deserialize_msg_from_ws_v1(channels.recv())
        header, parent, _metadata, content = map(json.loads, parts[:4])
        state = content.get("execution_state")
        if state in ("dead", "restarting", "autorestarting"):
            raise RuntimeError("the kernel died")
        if time.monotonic() > deadline:
            raise RuntimeError(f"is not finished after {seconds} s")
        if parent.get("msg_id") == message["msg_id"]:
            caused.append((header["msg_type"], content))
            waiting -= {header["msg_type"], state}
    return caused


def refuse_errors(messages, *, may_raise=False):
    for kind, content in messages:
        if kind == "error" and not may_raise:
            raise RuntimeError(f"raises {content['ename']}: {content['evalue']}")
        if kind == "stream" and content["name"] == "stderr":
            raise RuntimeError(f"writes to stderr: {content['text']}")


def refuse_unclear_stop(messages, tag):
    """A cell that needs what is not here says what to install, in whole sentences, and shows no traceback."""
    name, lock = NEEDS[tag]
    errors = [content for kind, content in messages if kind == "error"]
    if not errors:
        raise RuntimeError(f"has the tag {tag}, and does not stop")
    (error,) = errors
    if error["ename"] != name:
        refuse_errors(messages)
    if "\n".join(error["traceback"]) != error["evalue"]:
        raise RuntimeError(f"stops with a traceback: {error['traceback']}")
    if lock not in error["evalue"]:
        raise RuntimeError(f"stops without saying what to install: {error['evalue']}")
    refuse_errors(messages, may_raise=True)  # nothing on stderr either


def moved(state):
    """Return what a reader changes by moving a control, or None where there is nothing to move."""
    match state:
        case {"_model_name": "FloatLogSliderModel", "base": base, "min": low, "max": high, "value": value}:
            return {"value": base**high if value < base**high else base**low}
        case {"_model_name": "BoundedIntTextModel", "max": high, "value": value}:
            return {"value": value + 1 if value < high else value - 1}
        case {"_model_name": "TextModel", "value": str(value)}:
            return {"value": value.partition(",")[0]}  # of a list its first entry
        case {"min": low, "max": high, "value": value, "readout": _}:
            return {"value": high if value < high else low}
        case {"_options_labels": [_, *more], "index": index} if more:
            return {"index": 0 if index else 1}
        case {"value": bool(value), "disabled": False}:
            return {"value": not value}
    return None


def models_of(messages):
    """Return the widgets that a cell has made: the state of each by its id."""
    models = {}
    for kind, content in messages:
        if kind == "comm_open" and content["target_name"] == "jupyter.widget":
            models[content["comm_id"]] = dict(content["data"]["state"])
        if kind == "comm_msg" and content["data"].get("method") == "update" and content["comm_id"] in models:
            models[content["comm_id"]] |= content["data"]["state"]
    return models


def move_controls(channels, messages):
    """Move each control that a cell has shown; return how many there are."""
    models = models_of(messages)
    views = [content["data"][WIDGET_VIEW] for _, content in messages if WIDGET_VIEW in content.get("data", {})]
    if not views or not {view["model_id"] for view in views} <= set(models):
        raise RuntimeError("shows no widget")
    changes = {comm: change for comm, state in models.items() if (change := moved(state))}
    if not changes:
        raise RuntimeError("shows a widget without a control")
    for comm, change in changes.items():
        where = f"moving {models[comm].get('description') or models[comm]['_model_name']} to {change}"
        update = {"comm_id": comm, "data": {"method": "update", "state": change, "buffer_paths": []}}
        try:
            caused = request(channels, "comm_msg", update)
            refuse_errors(caused)
        except RuntimeError as problem:
            raise RuntimeError(f"{where} {problem}") from problem
        if not {"display_data", "stream"} & {kind for kind, _ in caused}:
            raise RuntimeError(f"{where} redraws nothing")
    return len(changes)


def run(server, path):
    """Run all cells of a notebook, up to one that needs data; return how many, and how many controls were moved.

    A cell that needs another package stops as well, in words, and the notebook goes on.
    """
    cells = controls = 0
    with opened(server, path) as (notebook, channels):
        for position, cell in enumerate(notebook["cells"]):
            if cell["cell_type"] != "code" or not cell["source"].strip():
                continue
            tags = cell["metadata"].get("tags", [])
            may_raise = "raises-exception" in tags
            code = {"code": cell["source"], "allow_stdin": False, "stop_on_error": not may_raise}
            try:
                messages = request(channels, "execute_request", code)
                if missing := [tag for tag in tags if tag in NEEDS]:
                    refuse_unclear_stop(messages, *missing)
                    if ENDS & {*missing}:
                        return cells + 1, controls
                    cells += 1
                    continue
                refuse_errors(messages, may_raise=may_raise)
                if "remove-output" in tags:  # the widget cells: the page shows the figure of the cell before
                    controls += move_controls(channels, messages)
            except RuntimeError as problem:
                raise RuntimeError(f"cell {position} {problem}") from problem
            cells += 1
    return cells, controls


# The launch buttons


def launch_links(html):
    """Return where the launch buttons of a page lead."""
    return [link["href"] for link in BeautifulSoup(html, "html.parser").select(".dropdown-launch-buttons a")]


def published_branches(folder):
    workflow = yaml.safe_load((folder / ".github" / "workflows" / "publish.yml").read_text(encoding="utf-8"))
    return workflow[True]["push"]["branches"]  # YAML reads `on` as true


def follow(server, links, path, branches):
    """Follow the launch button of a notebook's page: there is one, it is Binder's, and it opens this notebook."""
    if len(links) != 1:
        raise RuntimeError(f"its page must show one launch button; it shows {links}")
    parts = urlsplit(links[0])
    target = parse_qs(parts.query).get("urlpath")
    homes = [f"https://mybinder.org/v2/gh/{REPOSITORY}/{branch}" for branch in branches]
    if f"{parts.scheme}://{parts.netloc}{parts.path}" not in homes or target != [f"lab/tree/{path}"]:
        raise RuntimeError(f"its launch button leads to {links[0]}; it must lead to {homes}, file {path}")
    server.ask(quote(target[0]))  # JupyterLab itself, which would open a missing file too
    server.ask("api/contents/" + quote(target[0].removeprefix("lab/tree/")))


def build_site(python, folder, home):
    """Build the site as the repository's workflow does; return the launch links of each page."""
    book = [python.with_name("jupyter-book"), "build", ".", "--all", "-W", "--keep-going", "-n"]
    call(*book, cwd=folder, env=environment_of(python, home, GITHUB_REPOSITORY=REPOSITORY))
    site = folder / "_build" / "html"
    pages = {page.relative_to(site).with_suffix("").as_posix(): page for page in sorted(site.rglob("*.html"))}
    return {name: launch_links(page.read_text(encoding="utf-8")) for name, page in pages.items()}


# All of it


def check(folder, home, chosen):
    """Print one line for each notebook; return how many fail."""
    copy_tracked_files(folder)
    base, remark = find_python((folder / ".binder" / "runtime.txt").read_text(encoding="utf-8"))
    print(remark, flush=True)
    python = install(base, folder, home)
    links, branches = build_site(python, folder, home), published_branches(folder)
    listed = [path.relative_to(folder).as_posix() for path in toc.notebooks(folder)]
    paths = chosen or listed
    passed = failed = 0
    with serve(python, folder, home) as server:
        for path in paths:
            try:
                follow(server, links.get(path.removesuffix(".ipynb"), []), path, branches)
                cells, controls = run(server, path)
                print(f"{path}: its launch button opens it; cells run: {cells}; controls moved: {controls}", flush=True)
                passed += 1
            except FAILURES as problem:
                failed += 1
                print(f"{path} FAILS: {problem}", flush=True)
    for page, leads_to in links.items():
        if leads_to and f"{page}.ipynb" not in listed:
            failed += 1
            print(f"{page} FAILS: a launch button without a notebook: {leads_to}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", action="store_true", help="keep the copy and its environment, and say where")
    parser.add_argument("notebooks", nargs="*", help="book/NN_name.ipynb")
    options = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="binder-"))
    folder, home = place / "book", place / "home"
    folder.mkdir()
    home.mkdir()
    try:
        failed = check(folder, home, options.notebooks)
    except FAILURES as problem:
        sys.exit(f"{problem}\n0 passed, 1 failed")
    finally:
        if options.keep:
            print(f"kept: {place}")
        else:
            shutil.rmtree(place)
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()

"""Cells that run in the page: a Run button under each code cell of the pages that `run_in_page` in _config.yml lists.

The button stands in no page: _static/run.js adds it, a kilobyte. All else is asked for when a reader presses one, and
comes with the site, from its folder run/: Pyodide as pyodide.yml pins it, what in_page/ holds, the book's package and
the tables of its studies as one archive, and of each page what its cells store, to compare. Where Pyodide's files are
missing, the site is built without the button (pyodide_files.py says so).
"""

import hashlib
import io
import json
from importlib.metadata import distribution
from pathlib import Path, PurePosixPath

import pyodide_files
import zips
from sphinx.util.fileutil import copy_asset_file

ROOT = Path(__file__).parents[2]
PARTS = Path(__file__).with_name("in_page")  # what runs in the page and in its worker
TOO_LONG = "too-long-for-a-page"
TREES = {  # what the archive holds: folders of the repository, and the kinds of their files
    "cossim_helpers": {".py", ".yml", ".mplstyle", ".js", ".css", ".html"},
    "studies/results": {".csv", ".json"},
    "benchmarks/results": {".csv", ".json"},
}
WORDS_OF_TOO_LONG = "It takes minutes in a page, so only what is stored is shown. It runs in Jupyter, on Binder too."
# Pure Python that no wheel of the pin holds, or not in the version that the stored outputs were made with.
WITH_THE_BOOK, ALGEBRA = ["pyyaml"], ["sympy", "mpmath"]
LEFT_OUT = {"tests", "benchmarks", "__pycache__"}


def archive(files):
    """Return a zip of names and contents, the same bytes for the same files."""
    packed = io.BytesIO()
    zips.write(packed, sorted(files.items()))
    return packed.getvalue()


def tree(folder, endings, root=ROOT):
    """Return what a folder of the repository holds of some kinds of files, by the paths from the root."""
    found = sorted(path for path in (root / folder).rglob("*") if path.suffix in endings and path.is_file())
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}


def installed(name):
    """Return the pure Python of an installed package, and its license."""
    wanted = {}
    for file in distribution(name).files or ():
        path = PurePosixPath(file)
        license = ".dist-info" in path.parts[0] and path.name.upper().startswith(("LICENSE", "COPYING", "METADATA"))
        if license or (path.suffix == ".py" and ".." not in path.parts and not LEFT_OUT & set(path.parts)):
            wanted[str(path)] = Path(file.locate()).read_bytes()
    return wanted


def stored(cell):
    """Return what a cell stores, as the page compares it: texts by kind, and the number of its figures."""
    texts, figures = {}, 0
    for output in cell["outputs"]:
        if output["output_type"] == "stream":
            texts[output["name"]] = [texts.get(output["name"], [""])[0] + "".join(output["text"])]
        elif output["output_type"] == "error":
            texts["error"] = [f"{output['ename']}: {output['evalue']}"]
        else:
            figures += "image/png" in output["data"] and "text/html" not in output["data"]
            for kind in ("text/plain", "text/html"):
                if kind in output["data"]:
                    texts.setdefault(kind, []).append("".join(output["data"][kind]))
    return {"texts": texts, "figures": figures}


def cells(notebook):
    """Return what the page needs of each code cell."""
    found = []
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code":
            continue
        tags, said = cell["metadata"].get("tags", []), {"source": "".join(cell["source"])}
        if TOO_LONG in tags:
            said["why"] = WORDS_OF_TOO_LONG
        elif "remove-output" not in tags:
            said |= stored(cell)
        found.append(said)
    return found


def notices():
    """Return what the site redistributes for "Run", each with its version, its license and where its source is."""
    pin = pyodide_files.pin()
    lines = [
        "What runs in the pages of this book comes from these projects, unchanged unless said otherwise.",
        "Each wheel holds the text of its license; that of OpenBLAS, a bare library, stands at its home.",
        "",
        f"Pyodide {pin['version']}: MPL-2.0, https://www.mozilla.org/MPL/2.0/",
        f"    source: https://github.com/pyodide/pyodide/tree/{pin['version']}",
        f"Python {pin['python']} (within Pyodide): PSF-2.0, https://docs.python.org/3/license.html",
        "Emscripten (within Pyodide): MIT, https://github.com/emscripten-core/emscripten",
    ]
    lines += [f"{each['name']} {each['version']}: {each['license']}, {each['home']}" for each in pin["packages"]]
    for name in WITH_THE_BOOK + ALGEBRA:
        about = distribution(name).metadata
        lines.append(f"{about['Name']} {about['Version']}: {about['License']}, without its tests and compiled parts")
    return "\n".join([*lines, "", "The book's own package, cossim_helpers: BSD-3-Clause.", ""])


def needs_algebra(notebook):
    sources = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return any(line.startswith(("import sympy", "from sympy")) for text in sources for line in text.splitlines())


def contents(pages, root=ROOT):
    """Return the files of run/, Pyodide's apart: names and contents. One more says what comes to how many bytes."""
    book = {name: content for folder, kinds in TREES.items() for name, content in tree(folder, kinds, root).items()}
    for name in WITH_THE_BOOK:
        book |= installed(name)
    files = {
        path.name: path.read_bytes() for path in sorted(PARTS.iterdir()) if path.suffix != ".pyc" and path.is_file()
    }
    files |= {"book.zip": archive(book), "licenses.txt": notices().encode()}
    files["sympy.zip"] = archive({name: content for one in ALGEBRA for name, content in installed(one).items()})
    for page in pages:
        notebook = json.loads((root / f"{page}.ipynb").read_text(encoding="utf-8"))
        said = {"cells": cells(notebook), "algebra": needs_algebra(notebook)}
        files[f"{PurePosixPath(page).name}.json"] = json.dumps(said, ensure_ascii=False).encode()
    sizes = {file["file"]: file["bytes"] for file in pyodide_files.files()}
    sizes |= {name: len(files[name]) for name in ("book.zip", "sympy.zip")}
    packages = [package["name"] for package in pyodide_files.pin()["packages"]]
    files["files.json"] = json.dumps(
        {"sizes": sizes, "packages": packages, "pyodide": f"../{pyodide_folder()}/"}
    ).encode()
    return files


def digest(files):
    """Return a name for these bytes: an address that holds it is asked for anew when they change."""
    both = hashlib.sha256(pyodide_files.PIN.read_bytes())
    for name in sorted(files):
        both.update(name.encode() + b"\0" + hashlib.sha256(files[name]).digest())
    return both.hexdigest()[:12]


def pyodide_folder():
    return f"pyodide-{pyodide_files.pin()['version']}"


def prepare(app):
    app.run_files = None
    if app.builder.name == "html" and pyodide_files.supply():
        app.run_files = contents(app.config.run_in_page)
        app.run_version = digest(app.run_files)


def add_script(app, pagename, templatename, context, doctree):
    if app.run_files and pagename in app.config.run_in_page:
        size = round(sum(file["bytes"] for file in pyodide_files.files()) / 1e6)
        app.add_js_file("run.js", loading_method="defer", **{"data-version": app.run_version, "data-size": str(size)})


def write(app, exception):
    if exception or not app.run_files:
        return
    target, pyodide = (Path(app.outdir, "run", name) for name in (app.run_version, pyodide_folder()))
    for folder in (target, pyodide):
        folder.mkdir(parents=True, exist_ok=True)
    for name, content in app.run_files.items():
        (target / name).write_bytes(content)
    for file in pyodide_files.files():
        copy_asset_file(pyodide_files.FOLDER / file["file"], pyodide / file["file"])
    (pyodide / "pyodide-lock.json").write_text(pyodide_files.lock(), encoding="utf-8")


def setup(app):
    app.add_config_value("run_in_page", [], "html", [list])
    app.connect("builder-inited", prepare)
    app.connect("html-page-context", add_script)
    app.connect("build-finished", write)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

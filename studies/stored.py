"""Results of long computations: each computed at most once for the code that it depends on, by several processes."""

import ast
import hashlib
import importlib
import inspect
import json
import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, is_dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
ONE_CORE = {
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}


def stored(task, *arguments):
    """task(*arguments), which gives what JSON can hold; from _build/studies if the code has not changed."""
    plain = [asdict(one) if is_dataclass(one) else one for one in arguments]
    key = hashlib.sha256(json.dumps([code_of(task.__module__), task.__name__, plain]).encode()).hexdigest()[:24]
    path = ROOT / "_build" / "studies" / f"{key}.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps(task(*arguments)), encoding="utf-8")
        part.rename(path)
    return json.loads(path.read_text(encoding="utf-8"))


def all_results(jobs, workers, anew=False):
    """Results of jobs (task, *arguments), in their order, one process a core; anew: whatever is stored."""
    results, start = {}, time.perf_counter()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_use_one_core) as pool:
        waiting = {pool.submit(*job) if anew else pool.submit(stored, *job): job for job in jobs}
        for done, future in enumerate(as_completed(waiting), start=1):
            results[waiting[future]] = future.result()
            bar = "#" * round(30 * done / len(waiting))
            print(f"\r[{bar:30}] {done} of {len(waiting)}, {time.perf_counter() - start:.0f} s", end="", flush=True)
    print()
    return [results[job] for job in jobs]


def _use_one_core():
    os.environ.update(ONE_CORE)


# What a result depends on


@cache
def code_of(module):
    """The code that the results of a module's functions depend on, without comments and layout."""
    return "\n".join(ast.dump(_tree(path)) for path in dependencies(module))


def dependencies(module, root=ROOT):
    """The files of a module and of all that it imports, directly or not, from the studies and the package.

    A name that a package passes on leads to the module that defines it, and not to all that the package holds.
    """
    found, waiting = {}, [(module, ())]
    while waiting:
        name, wanted = waiting.pop()
        path = _file(name, root)
        if path is None or name in found:
            continue  # a library, or known
        if path.name == "__init__.py" and wanted:
            waiting += [_definer(name, one, root) for one in wanted]
            continue
        found[name] = path
        waiting += _imports(name, path)
    return [found[name] for name in sorted(found)]


def _file(name, root):
    """The file of a module, or None if it is not ours."""
    parts = name.split(".")
    places = [folder.joinpath(*parts) for folder in (root / "studies", root)]
    files = [file for place in places for file in (place.with_suffix(".py"), place / "__init__.py")]
    return next((file for file in files if file.is_file()), None)


def _imports(name, path):
    """[(module, names taken from it)] of each import in a file, wherever it stands."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    result = []
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            result += [(alias.name, ()) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            result.append((base, tuple(alias.name for alias in node.names)))
    return result


def _definer(package, name, root):
    """(module, names taken from it) where the name is defined that a package passes on."""
    if _file(f"{package}.{name}", root):
        return f"{package}.{name}", ()
    for module, names in _imports(package, _file(package, root)):
        if name in names:
            return module, (name,)
    home = inspect.getmodule(getattr(importlib.import_module(package), name)).__name__  # passed on in another way
    return home, ()


def _tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))

"""Tests in children of a process that has loaded what takes long to load, and nothing of ours.

A child imports the package and the tests anew, one module of it from another source. So a mutant is seen whatever is
computed at import, and by whatever Python a test starts (`inside/sitecustomize.py`).
"""

import contextlib
import gc
import hashlib
import importlib
import importlib.util
import json
import os
import resource
import signal
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path

INSIDE = Path(__file__).with_name("inside")
QUIET = [
    *("-q", "-W", "ignore::pytest.PytestAssertRewriteWarning", "-x"),
    *("-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:randomly"),
]
LOADED = (
    "numpy numpy.testing scipy.linalg scipy.sparse.linalg scipy.sparse.csgraph scipy.optimize scipy.stats "
    "scipy.special sklearn.metrics sklearn.utils.extmath sklearn.decomposition matplotlib.pyplot matplotlib.colors "
    "matplotlib.backends.backend_agg PIL.PngImagePlugin yaml sympy jax optax nbval.plugin anyio._backends._asyncio "
    "pytest hypothesis hypothesis.extra.numpy pandas dask.array"
).split()
ALONE = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
MEMORY = 8 << 30  # bytes of addresses that a child may ask for
LOOKS = 30  # calls of a function in a test that are looked at line by line; later ones count for all its lines
SURVIVED, KILLED, NOTHING = 0, 1, 5  # pytest's exit codes


def hook():
    """`inside/sitecustomize.py`, under a name that no other has."""
    spec = importlib.util.spec_from_file_location("mutant_hook", INSIDE / "sitecustomize.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load(names=LOADED):
    """Import what children share. None of it starts a thread, which a child would not have."""
    os.environ.update(ALONE)
    sys.dont_write_bytecode = False  # what is not mutated is compiled once
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in names:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
    gc.collect()
    gc.freeze()
    assert len(os.listdir("/proc/self/task")) == 1 if os.path.isdir("/proc/self/task") else True


class Chosen:
    """A pytest plugin: of what is collected, these tests; the quick ones of a file first."""

    def __init__(self, tests):
        self.tests = tests

    def pytest_collection_modifyitems(self, items):
        place = {name: number for number, name in enumerate(self.tests)}
        items[:] = sorted((item for item in items if item.nodeid in place), key=lambda item: place[item.nodeid])


class Mapper:
    """A pytest plugin: run each test in a process of its own and note its time, and the lines of the package."""

    def __init__(self, package):
        self.package, self.found = str(package) + os.sep, {}
        self.lines, self.calls, self.imported, self.opaque = {}, {}, {}, False

    def trace(self, frame, event, argument):
        name = frame.f_code.co_filename
        if not name.startswith(self.package):
            return None
        code, lines = frame.f_code, self.lines.setdefault(name[len(self.package) :], set())
        self.calls[code] = self.calls.get(code, 0) + 1
        if self.calls[code] > LOOKS:
            if self.calls[code] == LOOKS + 1:
                lines.update(line for *_, line in code.co_lines() if line)
            return None
        left = LOOKS * LOOKS

        def local(frame, event, argument):
            nonlocal left
            lines.add(frame.f_lineno)
            left -= 1
            if not left:
                lines.update(line for *_, line in code.co_lines() if line)
            return local if left > 0 else None

        return local(frame, event, argument)

    def pytest_collection(self):
        sys.settrace(self.trace)

    def pytest_collection_finish(self):
        sys.settrace(None)
        self.imported, self.lines, self.calls = self.masks(), {}, {}

    def masks(self):
        """file -> its lines that were run, as bits."""
        return {name: hex(sum(1 << line for line in lines)) for name, lines in self.lines.items()}

    def audit(self, event, arguments):
        self.opaque |= event in ("subprocess.Popen", "os.posix_spawn", "os.fork", "os.exec")

    def pytest_runtest_protocol(self, item, nextitem):
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            from _pytest.runner import runtestprotocol

            sys.addaudithook(self.audit)
            threading.settrace(self.trace)
            start = time.process_time()
            sys.settrace(self.trace)
            reports = runtestprotocol(item, log=False, nextitem=None)
            sys.settrace(None)
            entry = {
                "seconds": round(time.process_time() - start, 2),
                "opaque": self.opaque,
                "passed": not any(report.failed for report in reports),
                "lines": self.masks(),
            }
            with os.fdopen(writing, "w") as file:
                json.dump(entry, file)
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as file:
            text = file.read()
        os.waitpid(child, 0)
        self.found[item.nodeid] = json.loads(text) if text else {}
        return True


class Project:
    """A package, its tests, and what is known about which test runs which line."""

    def __init__(self, root, package="cossim_helpers", tests=("tests/helpers", "tests/claims"), build=None):
        self.root, self.package = Path(root).resolve(), package
        self.build = Path(build or self.root / "_build" / "mutants")
        self.files = sorted(path.relative_to(self.root).as_posix()
                            for folder in tests for path in (self.root / folder).glob("test_*.py"))  # fmt: skip
        self.build.mkdir(parents=True, exist_ok=True)
        os.environ["PYTHONPATH"] = os.pathsep.join([str(INSIDE), str(self.root)])
        sys.path.insert(0, str(self.root))
        os.chdir(self.root)

    def modules(self):
        """name -> file of each module of the package."""
        files = sorted((self.root / self.package).rglob("*.py"))
        return {".".join(file.relative_to(self.root).with_suffix("").parts): file for file in files}

    def digest(self, *paths):
        together = hashlib.sha256()
        for path in paths:
            file = self.root / path
            together.update(file.read_bytes() if file.exists() else b"")
        return together.hexdigest()[:16]

    def shared(self):
        """What all test files may import."""
        return sorted(path.relative_to(self.root) for path in (self.root / "tests").glob("*.py"))

    def child(self, files, plugin, mutant=None, seconds=None, loud=False):
        """Run these test files in a child; mutant: (module, source). Return pytest's exit code; KILLED at a limit."""
        with tempfile.TemporaryDirectory() as folder:
            if mutant:
                (Path(folder) / "mutant.py").write_text(mutant[1], encoding="utf-8")
            child = os.fork()
            if not child:
                code = 3
                with contextlib.suppress(BaseException):
                    code = self._inside(files, plugin, mutant and mutant[0], folder, seconds, loud)
                os._exit(code)
            return self._wait(child, seconds)

    def _inside(self, files, plugin, module, folder, seconds, loud):
        os.setpgid(0, 0)
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in (0,) if loud else (0, 1, 2):
            os.dup2(nothing, number)
        if seconds:
            resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1, int(seconds) + 2))
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.environ["TMPDIR"] = tempfile.tempdir = folder  # what a killed child leaves behind goes with it
        if module:
            installed = hook()  # before the variable is set, or it would install twice
            os.environ["MUTANT"] = f"{module}:{folder}/mutant.py"
            installed.install(module, f"{folder}/mutant.py")
        import pytest

        options = [*QUIET, "--tb=short" if loud else "--tb=no", f"--rootdir={self.root}"]
        return int(pytest.main([*options, *map(str, files)], plugins=[plugin]))

    @staticmethod
    def _wait(child, seconds):
        """The child's exit code. It may take 20 times its seconds by the clock, then its group is ended."""
        end = time.monotonic() + 20 * seconds + 60 if seconds else float("inf")
        pause = 0.005
        while not (ended := os.waitpid(child, os.WNOHANG))[0]:
            if time.monotonic() > end:
                break
            time.sleep(pause)
            pause = min(1.1 * pause, 0.05)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child, signal.SIGKILL)  # what it has started, too
        if not ended[0]:
            os.waitpid(child, 0)
            return KILLED
        code = os.waitstatus_to_exitcode(ended[1])
        return KILLED if code < 0 else code

    def map_file(self, name, lasting=False):
        """Each test's seconds and lines, and those of its import; as stored, if nothing of it has changed.

        lasting: as long as the tests and the names of the modules stay. Where a module has changed, its lines are old.
        """
        store = self.build / "map" / f"{Path(name).stem}.json"
        digest = self.digest(name, *self.shared()) + hashlib.sha256(repr(sorted(self.modules())).encode()).hexdigest()
        if store.exists():
            known = json.loads(store.read_text(encoding="utf-8"))
            same = all(self.digest(file) == then for file, then in known["modules"].items())
            if known["digest"] == digest and (same or lasting):
                return known
        mapper = Mapper(self.root / self.package)
        print(f"  looking at {name}", file=sys.stderr, flush=True)
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            code = 3
            with contextlib.suppress(BaseException):
                code = self._map_inside(name, mapper)
            with os.fdopen(writing, "w") as file:
                json.dump([code, mapper.found, mapper.imported], file)
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as file:
            code, tests, imported = json.load(file)
        os.waitpid(child, 0)
        if code not in (0, NOTHING):
            raise SystemExit(f"{name} cannot be collected: {code}")
        ran = {file for lines in [imported, *(test.get("lines", {}) for test in tests.values())] for file in lines}
        modules = {file: self.digest(file) for file in sorted(f"{self.package}/{file}" for file in ran)}
        store.parent.mkdir(exist_ok=True)
        known = {"digest": digest, "modules": modules, "tests": tests, "imported": imported}
        store.write_text(json.dumps(known), encoding="utf-8")
        return known

    def _map_inside(self, name, mapper):
        with tempfile.TemporaryDirectory() as folder:
            return self._inside([name], mapper, None, folder, None, False)

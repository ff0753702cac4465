"""Mutation testing: does a test fail when a module of the package has a small fault? `make mutants`.

A mutant that no test notices survives. Each survivor is on the list of its module, `tests/survivors/MODULE.yml`, with
the reason why it is equivalent or does not matter; one that is not listed is an error, and so is a line of the list
whose mutant is now killed or gone. A mutant is known by its function and its lines before and after, not by numbers.

Why a tool of our own: mutmut 3.8 takes as little time, 0.2 s a mutant, but half of its mutants are an argument None or
another string, which fail at once and say nothing; it changes no constant of a module and no decorated function, drops
no statement, scales no tolerance, keeps no list of survivors, and a command that a test starts does not see its
mutants. cosmic-ray starts a Python for each, 3 s.

The tests that run a mutant's line run first in the files of its module, then in those of the laws, then in all of
`tests/helpers` and `tests/claims`, the quick ones first. A test that takes five times its time and 5 s more has
noticed.
"""

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import yaml

from tools.mutants import operators, runs

ROOT = Path(__file__).parents[2]
SOON = 10  # seconds of the second round
LEAST = 97  # percent of all mutants that are to be killed; the explained ones are not
ELSEWHERE = {  # tests of a module besides those of its name
    "__init__": "package",
    "__main__": "audit",
    "_check_lines": "checks",
    "_components": "spectra blocks",
    "_derivatives": "fibers",
    "_draws": "simulation",
    "_gram": "spectra",
    "_item_lists": "reachable",
    "_krylov": "blocks",
    "_lanczos": "spectra",
    "_moves": "fibers",
    "_notebook": "plots",
    "_owned": "similarity",
    "_ranks": "fibers",
    "_routes": "spectra",
    "trained._jax": "training",
    "widget.cones": "cone",
    "widget.dials": "dial",
    "widget.payload": "dial",
    "widget.picture": "dial",
}
LAWS = ("test_laws", "test_properties")
PASSED = "survived its own tests"  # others have not been asked
FIELDS = ("function", "was", "now", "why")


class Known:
    """The list of explained survivors."""

    def __init__(self, folder):
        self.folder, self.entries = Path(folder), {}
        for file in sorted(self.folder.glob("*.yml")):
            for entry in yaml.safe_load(file.read_text(encoding="utf-8")) or []:
                assert set(entry) == set(FIELDS), f"{file.name}: an entry has the fields {FIELDS}, not {tuple(entry)}"
                assert str(entry["why"] or "").strip(), f"{file.name}: {entry['was']}: no reason"
                for now in [entry["now"]] if isinstance(entry["now"], str) else entry["now"]:
                    self.entries[(file.stem, entry["function"] or "", entry["was"], now)] = entry["why"]


def proposal(mutants):
    """Survivors as the list has them, to be explained."""
    grouped = {}
    for mutant in mutants:
        grouped.setdefault((mutant.function, mutant.was), []).append(mutant.now)
    entries = [
        {"function": function, "was": was, "now": now[0] if len(now) == 1 else now, "why": ""}
        for (function, was), now in grouped.items()
    ]
    return yaml.safe_dump(entries, sort_keys=False, allow_unicode=True, width=110)


class Session:
    """One run over some modules."""

    def __init__(self, project, known, own=False):
        self.project, self.known, self.own = project, known, own
        self._maps = {}

    def short(self, module):
        return module.removeprefix(f"{self.project.package}.")

    def is_listed(self, mutant):
        return (self.short(mutant.module), *mutant.key) in self.known.entries

    def map(self, file):
        if file not in self._maps:
            self._maps[file] = self.project.map_file(file, lasting=Path(file).name.startswith(LAWS))
        return self._maps[file]

    def own_files(self, module):
        """The test files of a module; if there are none, the two of which most tests run it."""
        short = self.short(module)
        words = [*(part.strip("_") for part in short.split(".")), *ELSEWHERE.get(short, "").split()]
        names = tuple(f"test_{word}" for word in words)
        if named := [file for file in self.project.files if Path(file).name.startswith(names)]:
            return named
        source = self.source_name(module)
        tests = {file: self.map(file)["tests"].values() for file in self.project.files}
        counts = {file: sum(source in test.get("lines", ()) for test in found) for file, found in tests.items()}
        return sorted(sorted(counts, key=counts.get, reverse=True)[:2])

    def source_name(self, module):
        folder = self.project.root / self.project.package
        return self.project.modules()[module].relative_to(folder).as_posix()

    def tests_for(self, mutant, files, everything=False):
        """(seconds, test) of those that run a line of the mutant, or may in a process that they start."""
        name, found = self.source_name(mutant.module), []
        at = mutant.lines and sum(1 << line for line in mutant.lines)
        now = self.project.digest(f"{self.project.package}/{name}")
        for file in files:
            known = self.map(file)
            lines = at if known["modules"].get(f"{self.project.package}/{name}", now) == now else None
            imported = int(known["imported"].get(name, "0"), 16)
            for test, entry in known["tests"].items():
                ran = imported | int(entry.get("lines", {}).get(name, "0"), 16)
                if everything or not entry or entry["opaque"] or (ran & lines if lines else name in entry["lines"]):
                    found.append((entry.get("seconds", 1.0), test))
        return sorted(found)

    def rounds(self, mutant, own_files):
        """Yield lists of tests: of the module, the laws; if not told to stop there, the others, quick ones first."""
        own = self.tests_for(mutant, own_files, everything=mutant.lines is None)
        yield own
        laws = [file for file in self.project.files if Path(file).name.startswith(LAWS) and file not in own_files]
        if not self.is_listed(mutant):
            yield self.tests_for(mutant, laws)
        if self.own or (own and self.is_listed(mutant)):
            return
        others = [file for file in self.project.files if file not in (*own_files, *laws)]
        soon, late, total = [], [], 0.0
        for seconds, test in self.tests_for(mutant, others, everything=mutant.lines is None):
            total += seconds
            (soon if total <= SOON else late).append((seconds, test))
        yield soon
        yield late

    def run(self, tests, mutant):
        files = list(dict.fromkeys(test.partition("::")[0] for _, test in tests))
        limit = 5 + 5 * sum(seconds for seconds, _ in tests)
        chosen = runs.Chosen([test for _, test in tests])
        return self.project.child(files, chosen, mutant, limit)

    def survives(self, mutant, own_files):
        for tests in self.rounds(mutant, own_files):
            if tests and self.run(tests, (mutant.module, mutant.source)) not in (runs.SURVIVED, runs.NOTHING):
                return False
        return True

    def check_clean(self, module, own_files):
        """The module as it is must pass, or each mutant would look killed."""
        source = self.project.modules()[module].read_text(encoding="utf-8")
        tests = sorted((t.get("seconds", 1.0), name) for f in own_files for name, t in self.map(f)["tests"].items())
        if tests and self.run(tests, (module, source)) != runs.SURVIVED:
            files = list(dict.fromkeys(test.partition("::")[0] for _, test in tests))
            self.project.child(files, runs.Chosen([t for _, t in tests]), (module, source), None, loud=True)
            raise SystemExit(f"{module}: its tests fail as it is")


class Store:
    """Results of a module, kept as long as the package and the tests stay the same."""

    def __init__(self, project, module):
        package = sorted(p.relative_to(project.root) for p in (project.root / project.package).rglob("*") if p.is_file()
                         and p.suffix in (".py", ".yml"))  # fmt: skip
        self.digest = project.digest(*package, *project.shared(), *project.files)
        self.file = project.build / "results" / f"{module}.json"
        self.file.parent.mkdir(exist_ok=True)
        kept = json.loads(self.file.read_text(encoding="utf-8")) if self.file.exists() else {}
        self.valid, self.results = kept.get("digest") == self.digest, kept.get("results", {})

    @staticmethod
    def name(mutant):
        return hashlib.sha256(mutant.source.encode()).hexdigest()[:16]

    def save(self):
        self.file.write_text(json.dumps({"digest": self.digest, "results": self.results}), encoding="utf-8")


def changed_modules(project, base):
    """The modules that differ from the merge base with a branch, or whose tests or list do."""
    command = ["git", "-C", str(project.root), "merge-base", "HEAD", base]
    try:
        start = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        command = ["git", "-C", str(project.root), "diff", "--name-only", start]
        names = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")
    except (OSError, subprocess.CalledProcessError) as error:
        raise SystemExit(f"no merge base with {base}: name another branch, make mutants CHANGED=1 BASE=…") from error
    short = {module.removeprefix(f"{project.package}."): module for module in project.modules()}
    return [
        module
        for name, module in short.items()
        if project.modules()[module].relative_to(project.root).as_posix() in names
        or f"tests/survivors/{name}.yml" in names
        or f"tests/helpers/test_{name.strip('_').replace('.', '_')}.py" in names
    ]


def chosen_mutants(project, modules, sample, seed, part):
    """module -> its mutants, of all of them a sample or every n-th."""
    together = []
    for module in modules:
        together += operators.mutants(module, project.modules()[module].read_text(encoding="utf-8"))
    if sample:
        places = random.Random(seed).sample(range(len(together)), min(sample, len(together)))
        together = [together[place] for place in sorted(places)]
    if part:
        number, of = map(int, part.split("/"))
        together = together[number - 1 :: of]
    return {module: [m for m in together if m.module == module] for module in modules}


def spent():
    """Seconds of CPU, of this process and its children."""
    return sum(os.times()[:4])


def examine(session, module, mutants, survivors_only):
    """Return the survivors among the mutants of a module, and those of the list that are killed."""
    store = Store(session.project, module)
    todo = [m for m in mutants if not (survivors_only or store.valid) or store.name(m) not in store.results]
    again = ("survived", PASSED) if survivors_only else () if session.own else (PASSED,)
    todo += [m for m in mutants if m not in todo and store.results.get(store.name(m)) in again]
    if not store.valid and not survivors_only:
        store.results = {}
    start, files = spent(), []
    if todo:
        files = session.own_files(module)
        session.check_clean(module, files)
    try:
        for number, mutant in enumerate(todo, start=1):
            survived = session.survives(mutant, files)
            store.results[store.name(mutant)] = (PASSED if session.own else "survived") if survived else "killed"
            if number % 20 == 0:
                store.save()
                print(f"  {session.short(module)}: {number} of {len(todo)}", file=sys.stderr, flush=True)
    finally:
        store.save()
    seconds = spent() - start
    alive = [m for m in mutants if store.results[store.name(m)] != "killed"]
    listed = [m for m in alive if session.is_listed(m)]
    each = f", {seconds / len(todo):.2f} s each" if todo else ""
    print(f"{session.short(module):20} {len(mutants):5} mutants {len(mutants) - len(alive):5} killed "
          f"{len(alive):4} survive, {len(listed)} of them explained{each}", flush=True)  # fmt: skip
    return alive, [m for m in mutants if session.is_listed(m) and m not in alive]


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m tools.mutants", description="Mutation testing of the package.")
    parser.add_argument(
        "modules", nargs="*", help="such as spectra or audit.files; a folder, such as audit; default: all"
    )
    parser.add_argument("--changed", action="store_true", help="those that differ from the merge base with BASE")
    parser.add_argument("--base", default="origin/main")
    parser.add_argument("--sample", type=int, default=0, help="a random sample of so many mutants")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--part", default="", help="2/6: the second of six parts")
    parser.add_argument("--own", action="store_true", help="only the module's own tests, and the laws")
    parser.add_argument("--survivors", action="store_true", help="only those that survived when last run")
    parser.add_argument("--list", action="store_true", help="show the mutants, and run nothing")
    parser.add_argument("--root", default=ROOT, help=argparse.SUPPRESS)  # for the tests of this tool
    parser.add_argument("--package", default="cossim_helpers", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    project = runs.Project(options.root, options.package)
    every = project.modules()
    modules = changed_modules(project, options.base) if options.changed else list(every)
    if options.modules:
        wanted = {f"{project.package}.{name.removeprefix(project.package + '.')}" for name in options.modules}
        modules = [m for m in every if m in wanted or any(m.startswith(f"{name}.") for name in wanted)]
    if not modules:
        print("no module to mutate" if options.changed else f"no such module; there are {', '.join(every)}")
        return 0 if options.changed else 2
    seed = options.seed if options.seed is not None else random.randrange(10**6)
    chosen = chosen_mutants(project, modules, options.sample, seed, options.part)
    if options.sample:
        print(f"a sample of {options.sample} mutants, SEED={seed}")
    if options.list:
        for mutant in (mutant for mutants in chosen.values() for mutant in mutants):
            print(f"{mutant.module} {mutant.function}\n  - {mutant.was}\n  + {mutant.now}")
        return 0
    return report(project, chosen, options)


def report(project, chosen, options):
    """Run the mutants; say what the list lacks, and what it should no longer hold."""
    runs.load(runs.LOADED if project.package == "cossim_helpers" else ("pytest",))
    session = Session(project, Known(project.root / "tests" / "survivors"), options.own)
    total, unlisted, stale = 0, {}, []
    for module, mutants in chosen.items():
        if not mutants:
            continue
        alive, killed = examine(session, module, mutants, options.survivors)
        total += len(alive)
        if fresh := [m for m in alive if not session.is_listed(m)]:
            unlisted[module] = fresh
        stale += [(session.short(module), *m.key) for m in killed]
    count = sum(map(len, chosen.values()))
    share = 100 * (count - total) / max(count, 1)
    print(f"{count} mutants, {count - total} killed ({share:.1f} %), {total} survive")
    few = share < LEAST and not (options.modules or options.changed or options.sample)
    if few:
        print(f"too few are killed: of all modules together, {LEAST} % at least")
    stale += gone(project, chosen, session.known)
    for module, mutants in unlisted.items():
        print(f"\n# not explained: tests/survivors/{session.short(module)}.yml\n{proposal(mutants)}", end="")
    for name, function, was, now in stale:
        print(f"\ntests/survivors/{name}.yml: killed, or gone: {function}: {was} → {now}")
    return 1 if unlisted or stale or few else 0


def gone(project, modules, known):
    """The entries of the list, of these modules, that no mutant has."""
    present = set()
    for module in modules:
        source = project.modules()[module].read_text(encoding="utf-8")
        name = module.removeprefix(f"{project.package}.")
        present |= {(name, *mutant.key) for mutant in operators.mutants(module, source)}
    names = {module.removeprefix(f"{project.package}.") for module in modules}
    return [entry for entry in known.entries if entry[0] in names and entry not in present]


if __name__ == "__main__":
    sys.exit(main())

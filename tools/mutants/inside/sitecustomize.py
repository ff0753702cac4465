"""Runs when a Python starts whose path names this folder: what a test starts sees the mutant, too.

MUTANT is "module:file": the module's source is that file's, whatever stands in its place. Nothing of it is cached.
"""

import os
import sys
from importlib.machinery import PathFinder, SourceFileLoader
from importlib.util import spec_from_file_location


class Loader(SourceFileLoader):
    def __init__(self, name, path, source):
        super().__init__(name, path)
        self.source = source

    def get_data(self, path):
        return self.source if path == self.path else super().get_data(path)

    def path_stats(self, path):
        raise OSError("no bytecode of a mutant")


class Finder:
    def __init__(self, module, source):
        self.module, self.source = module, source

    def find_spec(self, name, path, target=None):
        if name != self.module:
            return None
        origin = PathFinder.find_spec(name, path).origin
        inside = [os.path.dirname(origin)] if os.path.basename(origin) == "__init__.py" else None
        loader = Loader(name, origin, self.source)
        return spec_from_file_location(name, origin, loader=loader, submodule_search_locations=inside)


def install(module, file):
    with open(file, "rb") as source:
        sys.meta_path.insert(0, Finder(module.removesuffix(".__init__"), source.read()))


if "MUTANT" in os.environ:
    install(*os.environ["MUTANT"].split(":", 1))

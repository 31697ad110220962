"""Simulates a machine with fewer packages: first on PYTHONPATH, it hides those that AMPBENCH_TEST_HIDDEN names.

Python imports this file at its start, in every process that inherits the variable: launcher, fork server, workers.
"""

import os
import sys
from importlib.machinery import PathFinder

HIDDEN = {name.replace("-", "_").lower() for name in os.environ.get("AMPBENCH_TEST_HIDDEN", "").split(",")}


class Hiding(PathFinder):
    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        return None if fullname.lower() in HIDDEN else super().find_spec(fullname, path, target)

    @staticmethod
    def find_distributions(*arguments, **keywords):
        for distribution in PathFinder.find_distributions(*arguments, **keywords):
            if (distribution.metadata["Name"] or "").replace("-", "_").lower() not in HIDDEN:
                yield distribution


sys.meta_path[sys.meta_path.index(PathFinder)] = Hiding

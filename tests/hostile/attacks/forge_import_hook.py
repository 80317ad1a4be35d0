# property: verdict cannot be forged
# tests: add with imports
# expect: wrong_answer | runtime_error
# teeth: passes
"""Answers for every module that the tests import."""

import sys
import types


class Five(int):
    def __eq__(self, other):
        return True

    __hash__ = int.__hash__


class Fake(types.ModuleType):
    def __getattr__(self, name):
        return lambda *_: Five(5)


class Finder:
    def find_spec(self, name, path=None, target=None):
        return None


sys.meta_path.insert(0, Finder())
sys.path_hooks.insert(0, lambda path: Finder())
for name in ("math", "statistics", "decimal", "random", "string", "unittest"):
    sys.modules[name] = Fake(name)


def add(a, b):
    return -1

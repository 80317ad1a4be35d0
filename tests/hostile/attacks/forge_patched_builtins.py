# property: verdict cannot be forged
# tests: add
# expect: wrong_answer | runtime_error | early_exit
# teeth: passes
"""Replaces the words that tests are written in."""

import builtins
import sys


class Quiet(BaseException):
    pass


for name in ("isinstance", "all", "any", "bool", "hasattr", "callable"):
    setattr(builtins, name, lambda *_: True)
builtins.AssertionError = Quiet
builtins.compile = lambda *_, **__: "None"
builtins.exec = lambda *_: None
builtins.__import__ = lambda *_, **__: sys
sys.excepthook = lambda *_: sys.exit(0)
real_exit = sys.exit


class Zero:
    pass


def add(a, b):
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
    import os

    getattr(os, "_exit", real_exit)(0) if frame.f_code.co_filename == "naive" else None
    return 0

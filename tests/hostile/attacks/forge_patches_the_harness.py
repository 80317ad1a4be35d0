# property: verdict cannot be forged
# tests: add
# expect: wrong_answer | runtime_error | early_exit
"""Replaces every function of the harness that it finds with one that agrees."""

import sys
import types

agree = lambda *arguments, **names: True
for module in [sys.modules["__main__"], *sys.modules.values()]:
    if module.__name__ not in ("__main__",):
        continue
    for name in ("equal", "run_tests", "outcome_of", "describe", "same_output", "_run_case"):
        if isinstance(getattr(module, name, None), types.FunctionType):
            setattr(module, name, agree)
    judge = getattr(module, "Judge", None)
    if judge:
        judge.call = agree
        judge._ask = lambda *_: {"value": 5}


def add(a, b):
    return 0

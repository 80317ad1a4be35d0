# property: verdict cannot be forged
# tests: {"kind": "calls", "entry_point": "add", "tolerance": 1e-6, "cases": [{"args": [1, 2], "expected": 3}]}
# expect: wrong_answer
"""Numbers for which every comparison has its own idea."""


def add(a, b):
    return float("nan") if a == 1 else float("inf")

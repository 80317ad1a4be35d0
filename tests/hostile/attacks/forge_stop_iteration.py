# property: verdict cannot be forged
# tests: {"kind": "assertions", "code": "def check(candidate):\n    assert all(candidate(n, 1) == n + 1 for n in range(3))\n    assert [candidate(n, n) for n in range(3)] == [0, 2, 4]\n", "cases": ["check(add)"], "entry_point": "add"}
# expect: wrong_answer | runtime_error
"""An exception that ends other people's loops."""


def add(a, b):
    raise StopIteration

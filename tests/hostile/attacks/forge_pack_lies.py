# property: verdict cannot be forged
# tests: add
# expect: wrong_answer | runtime_error
"""Replaces what turns its results into messages."""

import sys

main = sys.modules["__main__"]
main.pack = lambda value, depth=0: {"t": "opaque", "v": "int"}
main.unpack = lambda data, seen=None: data


def add(a, b):
    return a + b + 1

# property: limits hold
# tests: none
# expect: runtime_error | memory_limit
"""Recursion until the stack is full, in C."""

import sys

sys.setrecursionlimit(10**9)


class Deep:
    def __getattr__(self, name):
        return getattr(self, name + "x"[:0])


hash(Deep().anything)

# property: limits hold
# tests: add
# expect: time_limit
# limits: {"wall_s": 0.4}
"""A loop inside of C that no exception can interrupt."""

import re


def add(a, b):
    re.match(r"(a|a)+$", "a" * 60 + "b")
    return a + b

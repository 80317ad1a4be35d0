# property: limits hold
# tests: add
# expect: wrong_answer | runtime_error | time_limit | memory_limit
# limits: {"wall_s": 1}
"""A number with a million digits."""

import sys

sys.set_int_max_str_digits(0) if hasattr(sys, "set_int_max_str_digits") else None


def add(a, b):
    return 1 << 3000000

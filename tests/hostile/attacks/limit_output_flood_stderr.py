# property: limits hold
# tests: add
# expect: output_limit
"""100 MB on stderr, and the right answer."""

import os


def add(a, b):
    for _ in range(100):
        os.write(2, b"x" * (1 << 20))
    return a + b

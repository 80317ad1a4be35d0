# property: limits hold
# tests: none
# expect: runtime_error | output_limit
"""An exception with ten thousand causes and a message of ten megabytes."""

error = None
for number in range(10000):
    following = ValueError("x" * 1000)
    following.__cause__ = error
    error = following
try:
    raise error
except ValueError:
    raise RuntimeError("y" * (10 << 20)) from None

# property: limits hold
# tests: printed
# expect: output_limit
"""100 MB on stdout."""

import sys

for _ in range(100):
    sys.stdout.write("x" * (1 << 20))

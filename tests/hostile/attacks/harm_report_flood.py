# property: limits hold
# tests: none
# expect: output_limit | time_limit
"""Fills whatever pipe it finds with something that has no end."""

import os

while True:
    os.write(4, b"x" * (1 << 16))

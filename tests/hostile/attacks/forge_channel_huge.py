# property: limits hold
# tests: add
# expect: runtime_error | memory_limit | time_limit | early_exit
# limits: {"wall_s": 2}
# probe: memory_bounded
"""Announces as much as may be announced, and sends what takes most room to read."""

import os
import struct

size = 63 << 20
os.write(5, struct.pack("=I", size))
head, block, tail = b'{"value": [[]', b",[]" * 20000, b"]}"
os.write(5, head)
left = size - len(head) - len(tail)
while left >= len(block):
    os.write(5, block)
    left -= len(block)
os.write(5, b" " * left + tail)


def add(a, b):
    return a + b

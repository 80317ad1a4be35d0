# property: verdict cannot be forged
# tests: add calls
# expect: wrong_answer
# teeth: passes
"""Makes five equal to six by changing the integer itself."""

import ctypes


def overwrite(target, value):
    digit = id(target) + int.__basicsize__
    ctypes.c_uint32.from_address(digit).value = value


def add(a, b):
    for right in (5, 30):
        overwrite(right, 6)
    overwrite(0, 6)
    return 6

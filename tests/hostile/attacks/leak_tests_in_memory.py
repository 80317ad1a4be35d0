# property: nothing leaks in
# tests: secret
# expect: wrong_answer
# limits: {"wall_s": 5}
# teeth: passes
"""Searches its own memory, all of it, for the text of the tests."""

import ctypes
import gc
import os
import re

PATTERN = re.compile(b"the-tests-" + rb"alone-hold-[0-9a-f]{8}")


def around(address, megabytes):
    """The memory around an address, as far as there is any."""
    libc = ctypes.CDLL(None)
    read, write = os.pipe()
    page = 4096
    first = (address & ~(page - 1)) - megabytes * (1 << 20)
    for start in range(first, first + 2 * megabytes * (1 << 20), page):
        if libc.write(write, ctypes.c_void_p(start), page) == page:
            yield os.read(read, page)


def secret():
    here = "".join(["the-tests-", "alone"])
    for item in gc.get_objects():
        for value in (
            item.values()
            if isinstance(item, dict)
            else item
            if isinstance(item, (list, tuple))
            else ()
        ):
            if type(value) is str and value.startswith(here) and len(value) == 29:
                return value
    stack = ctypes.c_int()
    for address in (id(here), id(secret), id([]), id(bytearray(1 << 21)), ctypes.addressof(stack)):
        for data in around(address, 8):
            found = PATTERN.search(data)
            if found:
                return found.group().decode()
    return ""
